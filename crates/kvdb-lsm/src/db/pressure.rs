//! How far writes are ahead of the work they cause. Nothing is held back here: the owner of the
//! database decides what to do with the number.

/// The pressure begins to be felt at this share of what is allowed.
const SOFT_SHARE: f32 = 0.5;
/// The disk begins to be short when less is free than so many times what a flush needs.
const DISK_RESERVES: u64 = 16;

/// How far writes are ahead of flushes and compactions.
#[derive(Debug, Clone, PartialEq)]
pub enum Pressure {
    /// Not at all.
    None,
    /// Writes should slow down; the number rises from 0 to 1 on the way to [`Pressure::Hard`].
    Soft(f32),
    /// Writes are refused, or soon will be. The text says why.
    Hard(String),
}

/// The shares of what is allowed that are taken: 1 is all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shares {
    /// Memtables, of this database or of all that share the memory.
    pub(super) memory: f32,
    /// The depth of level 0, of that at which writes have to be held back.
    pub(super) level0: f32,
    /// Bytes that have to be compacted before the levels are in order.
    pub(super) pending: f32,
    /// The space on the disk that flushes need.
    pub(super) disk: f32,
}

impl Shares {
    /// What remains of the disk, as a share: `free` bytes, of which a flush needs `reserve`.
    pub(super) fn of_disk(free: u64, reserve: u64) -> f32 {
        let plenty = reserve.saturating_mul(DISK_RESERVES);
        1.0 - free.saturating_sub(reserve) as f32 / plenty.saturating_sub(reserve).max(1) as f32
    }

    /// What the owner is told. Only memory makes appends be refused; what else there is slows them
    /// down as much as can be.
    pub(super) fn pressure(self, full: impl FnOnce() -> String) -> Pressure {
        if self.memory >= 1.0 {
            return Pressure::Hard(full());
        }
        let others = [self.level0, self.pending, self.disk];
        let worst = others.into_iter().fold(self.memory, f32::max).clamp(0.0, 1.0);
        if worst <= SOFT_SHARE {
            return Pressure::None;
        }
        Pressure::Soft((worst - SOFT_SHARE) / (1.0 - SOFT_SHARE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(shares: Shares) -> Pressure {
        shares.pressure(|| "full".to_owned())
    }

    #[test]
    fn the_worst_share_counts_from_half_on() {
        assert_eq!(told(Shares { memory: 0.5, level0: 0.4, ..Shares::default() }), Pressure::None);
        for shares in [
            Shares { memory: 0.75, ..Shares::default() },
            Shares { level0: 0.75, ..Shares::default() },
            Shares { pending: 0.75, memory: 0.2, ..Shares::default() },
            Shares { disk: 0.75, ..Shares::default() },
        ] {
            assert_eq!(told(shares), Pressure::Soft(0.5));
        }
    }

    #[test]
    fn only_memory_refuses() {
        assert_eq!(told(Shares { memory: 1.0, ..Shares::default() }), Pressure::Hard("full".to_owned()));
        let others = Shares { level0: 3.0, pending: 9.0, disk: 1.0, ..Shares::default() };
        assert_eq!(told(others), Pressure::Soft(1.0));
    }

    #[test]
    fn the_disk_is_short_before_it_is_full() {
        let of = |free| Shares::of_disk(free, 100);
        assert!(of(1600) <= 0.0 && of(u64::MAX) <= 0.0);
        assert_eq!(of(100), 1.0);
        assert_eq!(of(0), 1.0);
        assert!((of(850) - 0.5).abs() < 1e-6);
        assert!(Shares::of_disk(5, 0) <= 0.0);
    }
}
