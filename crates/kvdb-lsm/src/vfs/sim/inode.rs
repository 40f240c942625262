//! A simulated file: what is cached, what is durable, and what a crash does to the difference.

/// The unit in which a write can be torn.
const SECTOR: usize = 512;

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the page cache; the next sync saves it.
    Dirty,
    /// A sync failed on it: in the page cache, and no sync will save it.
    Lost,
    /// Saved.
    Durable,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// # Invariants
/// `cached` is `base` with all of `changes` applied; the first of `changes` is not durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) cached: Vec<u8>,
    pub(super) base: Vec<u8>,
    pub(super) changes: Vec<(Change, Stage)>,
    /// Bytes reserved by `allocate`, counted against the capacity.
    pub(super) reserved: usize,
    pub(super) handles: usize,
}

/// SplitMix64: enough for choosing what survives.
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `of_256` of 256 cases.
    pub(super) fn chance(&mut self, of_256: u64) -> bool {
        self.next() % 256 < of_256
    }
}

pub(super) fn write_into(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if data.len() < offset + bytes.len() {
        data.resize(offset + bytes.len(), 0);
    }
    data[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Change {
    pub(super) fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write_into(data, *offset, bytes),
            Self::SetLen(len) => data.resize(*len, 0),
        }
    }

    /// Applies the part of the change that this crash lets through.
    pub(super) fn survive(&self, data: &mut Vec<u8>, choices: &mut Choices, keep: u64) {
        let Self::Write { offset, bytes } = self else {
            if choices.chance(keep) {
                self.apply(data);
            }
            return;
        };
        // A third each: decided for the write as a whole, as a prefix, or sector by sector.
        match choices.next() % 3 {
            0 => {
                if choices.chance(keep) {
                    self.apply(data);
                }
            }
            1 => {
                let sectors = bytes.len() / SECTOR + 1;
                let cut = (choices.next() % sectors as u64) as usize * SECTOR;
                // Sector boundaries are those of the file, not of the write.
                let cut = cut.saturating_sub(offset % SECTOR).min(bytes.len());
                if cut > 0 {
                    write_into(data, *offset, &bytes[..cut]);
                }
            }
            _ => {
                let mut at = 0;
                while at < bytes.len() {
                    let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                    if choices.chance(keep) {
                        write_into(data, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

impl Inode {
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { base: bytes.clone(), cached: bytes, ..Self::default() }
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.changes.push((change, Stage::Dirty));
    }

    /// Moves dirty changes on, and folds what is durable at the front into `base`.
    pub(super) fn settle(&mut self, to: Stage) {
        for (_, stage) in &mut self.changes {
            if *stage == Stage::Dirty {
                *stage = to;
            }
        }
        let durable = self.changes.iter().take_while(|(_, s)| *s == Stage::Durable).count();
        for (change, _) in self.changes.drain(..durable) {
            change.apply(&mut self.base);
        }
    }

    pub(super) fn footprint(&self) -> u64 {
        self.cached.len().max(self.reserved) as u64
    }
}
