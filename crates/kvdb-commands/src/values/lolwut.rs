//! LOLWUT: a picture of a log-structured merge tree.
//!
//! Bars are keys. They fall into short runs at the top, each sorted by itself; every level below is
//! one longer run, merged from what fell down before. The picture follows from the arguments alone.

use std::fmt::Write as _;

/// The widest picture, in bars.
const MAX_WIDTH: u64 = 160;
/// The most levels.
const MAX_LEVELS: u64 = 12;

/// What LOLWUT draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// How many bars the lowest level has; cut to 8..=160.
    pub width: u64,
    /// How many levels there are; cut to 1..=12.
    pub levels: u64,
    /// Which picture of that size.
    pub seed: u64,
}

impl Default for Picture {
    fn default() -> Self {
        Self { width: 64, levels: 5, seed: 6379 }
    }
}

impl Picture {
    /// The picture that the numbers among the arguments ask for: width, levels, seed.
    #[must_use]
    pub fn from_arguments(arguments: &[i64]) -> Self {
        let default = Self::default();
        let argument = |at: usize, otherwise| match arguments.get(at) {
            Some(value) => u64::try_from(*value).unwrap_or(0),
            None => otherwise,
        };
        Self {
            width: argument(0, default.width),
            levels: argument(1, default.levels),
            seed: argument(2, default.seed),
        }
    }

    /// The picture as text. The last line is `Redis ver. ` and `version`, as clients expect it.
    #[must_use]
    pub fn render(&self, version: &str) -> String {
        let width = self.width.clamp(8, MAX_WIDTH) as usize;
        let levels = self.levels.clamp(1, MAX_LEVELS) as usize;
        let mut state = self.seed;
        let mut text = String::new();
        for level in 0..levels {
            let bars = (width * (level + 1) / levels).max(4);
            let run = if level == 0 { (bars / 4).max(2) } else { bars };
            let indent = (width - bars) / 2;
            let _ = write!(text, "L{level:<3}{:indent$}", "");
            let mut heights: Vec<u8> = (0..bars).map(|_| (next(&mut state) % 8) as u8).collect();
            heights.chunks_mut(run).for_each(<[u8]>::sort_unstable);
            for height in heights {
                text.push(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][usize::from(height)]);
            }
            text.push('\n');
        }
        let _ = write!(text, "\nWhat falls in disorder settles in order.\nRedis ver. {version}\n");
        text
    }
}

/// One step of SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_the_version() {
        let text = Picture::default().render("7.2.4");
        assert_eq!(text.lines().last(), Some("Redis ver. 7.2.4"));
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn pictures_follow_from_their_arguments() {
        let picture = Picture::from_arguments(&[40, 3, 7]);
        assert_eq!(picture, Picture { width: 40, levels: 3, seed: 7 });
        assert_eq!(picture.render("1"), picture.render("1"));
        assert_ne!(picture.render("1"), Picture { seed: 8, ..picture }.render("1"));
        assert_eq!(Picture::from_arguments(&[]), Picture::default());
    }

    #[test]
    fn sizes_are_bounded() {
        let huge = Picture::from_arguments(&[i64::MAX, i64::MAX, -1]).render("1");
        assert_eq!(huge.lines().count(), MAX_LEVELS as usize + 3);
        assert!(huge.lines().all(|line| line.chars().count() <= MAX_WIDTH as usize + 4));
        let tiny = Picture::from_arguments(&[-5, 0]).render("1");
        assert_eq!(tiny.lines().count(), 1 + 3);
        assert_eq!(tiny.lines().next().map(|line| line.chars().count()), Some(4 + 8));
    }
}
