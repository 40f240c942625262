//! Parts of sorted sets: between two scores, or between two members.

/// The members with scores between two, which count or not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    /// The lowest score.
    pub min: f64,
    /// Whether `min` itself does not count.
    pub above_min: bool,
    /// The highest score.
    pub max: f64,
    /// Whether `max` itself does not count.
    pub below_max: bool,
}

impl ScoreRange {
    /// Whether a score is too low.
    pub fn is_below(&self, score: f64) -> bool {
        score < self.min || (self.above_min && score == self.min)
    }

    /// Whether a score is too high.
    pub fn is_above(&self, score: f64) -> bool {
        score > self.max || (self.below_max && score == self.max)
    }
}

/// An end of a part by members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexEnd<'a> {
    /// Before every member.
    First,
    /// Behind every member.
    Last,
    /// At this member, which counts.
    At(&'a [u8]),
    /// At this member, which does not count.
    Beside(&'a [u8]),
}

/// The members between two, in the order of their bytes: of a sorted set whose scores are all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The lower end.
    pub min: LexEnd<'a>,
    /// The upper end.
    pub max: LexEnd<'a>,
}

impl LexRange<'_> {
    /// Whether a member stands before the lower end.
    pub fn is_below(&self, member: &[u8]) -> bool {
        match self.min {
            LexEnd::First => false,
            LexEnd::Last => true,
            LexEnd::At(end) => member < end,
            LexEnd::Beside(end) => member <= end,
        }
    }

    /// Whether a member stands behind the upper end.
    pub fn is_above(&self, member: &[u8]) -> bool {
        match self.max {
            LexEnd::First => true,
            LexEnd::Last => false,
            LexEnd::At(end) => member > end,
            LexEnd::Beside(end) => member >= end,
        }
    }
}
