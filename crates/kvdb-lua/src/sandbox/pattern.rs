//! Lua 5.1 patterns (section 5.4.1 of its reference manual), with a budget.
//!
//! Lua's matcher backtracks: a pattern like `.-.-.-x` takes time that grows with a power of the subject's length, in C
//! code that no hook interrupts, and one with thousands of optional items recurses as deep. This one asks its owner
//! every [`STEPS_PER_POLL`] steps whether to go on, and refuses to nest deeper than [`MAX_DEPTH`]. A step looks at one
//! byte of the subject or of a set; what looks at many at once counts them all.

use std::ops::Range;

/// As many captures as a pattern may have.
pub(super) const MAX_CAPTURES: usize = 32;

/// How deep quantifiers and captures may nest in the course of a match.
const MAX_DEPTH: u32 = 200;

/// Character comparisons between two questions whether to go on: a fraction of a millisecond.
const STEPS_PER_POLL: usize = 100_000;

/// What a pattern has captured: part of the subject, or a position in it, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Capture {
    Text(Range<usize>),
    Position(usize),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PatternError<E> {
    /// The pattern is malformed or too demanding; Lua's words.
    Malformed(&'static str),
    /// The owner said no.
    Stopped(E),
}

type Result<T, E> = std::result::Result<T, PatternError<E>>;

/// A match that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) range: Range<usize>,
    /// The captures; empty where the pattern has none.
    pub(super) captures: Vec<Capture>,
}

impl Match {
    /// The captures, or the whole match where there are none.
    pub(super) fn values(self) -> Vec<Capture> {
        if self.captures.is_empty() { vec![Capture::Text(self.range)] } else { self.captures }
    }
}

/// A pattern at work on a subject.
pub(super) struct Matcher<'a, P> {
    subject: &'a [u8],
    pattern: &'a [u8],
    anchored: bool,
    captures: Vec<Open>,
    depth: u32,
    steps: usize,
    poll: P,
}

/// A capture while the match goes on.
#[derive(Clone, Copy)]
struct Open {
    start: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its parenthesis is still open.
    Pending,
    /// It ends here.
    At(usize),
    /// `()`: only the position counts.
    Position,
}

impl<'a, P, E> Matcher<'a, P>
where
    P: FnMut() -> std::result::Result<(), E>,
{
    /// Prepares to match. `poll` is asked now and then whether to go on.
    pub(super) fn new(subject: &'a [u8], pattern: &'a [u8], poll: P) -> Self {
        match pattern.strip_prefix(b"^") {
            Some(rest) => Self { anchored: true, ..Self::unanchored(subject, rest, poll) },
            None => Self::unanchored(subject, pattern, poll),
        }
    }

    /// As [`new`](Self::new) for a pattern in which a leading `^` is an ordinary character.
    pub(super) fn unanchored(subject: &'a [u8], pattern: &'a [u8], poll: P) -> Self {
        Self { subject, pattern, anchored: false, captures: Vec::new(), depth: 0, steps: 0, poll }
    }

    /// Whether the pattern begins with `^`, and so can only match where the search begins.
    pub(super) fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// The first match that begins at `from` or behind it.
    pub(super) fn search(&mut self, from: usize) -> Result<Option<Match>, E> {
        for start in from..=self.subject.len() {
            let found = self.match_at(start)?;
            if found.is_some() || self.anchored {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The match that begins at `start`.
    pub(super) fn match_at(&mut self, start: usize) -> Result<Option<Match>, E> {
        self.captures.clear();
        self.depth = 0;
        let Some(end) = self.run(start, 0)? else { return Ok(None) };
        let captures = self.captures.iter().map(|open| match open.end {
            End::Position => Ok(Capture::Position(open.start + 1)),
            End::At(end) => Ok(Capture::Text(open.start..end)),
            End::Pending => Err(PatternError::Malformed("unfinished capture")),
        });
        Ok(Some(Match { range: start..end, captures: captures.collect::<Result<_, E>>()? }))
    }

    /// Counts steps, and asks whether to go on when there were many.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), E> {
        self.steps += steps;
        if self.steps >= STEPS_PER_POLL {
            self.steps = 0;
            (self.poll)().map_err(PatternError::Stopped)?;
        }
        Ok(())
    }

    /// Matches the pattern from `p` on at `s`; where that ends, if it does.
    fn run(&mut self, s: usize, p: usize) -> Result<Option<usize>, E> {
        if self.depth == MAX_DEPTH {
            return Err(PatternError::Malformed("pattern too complex"));
        }
        self.depth += 1;
        let end = self.run_items(s, p);
        self.depth -= 1;
        end
    }

    fn run_items(&mut self, mut s: usize, mut p: usize) -> Result<Option<usize>, E> {
        loop {
            self.spend(1)?;
            match self.pattern[p..] {
                [] => return Ok(Some(s)),
                [b'(', b')', ..] => return self.open(s, p + 2, End::Position),
                [b'(', ..] => return self.open(s, p + 1, End::Pending),
                [b')', ..] => return self.close(s, p + 1),
                [b'$'] => return Ok((s == self.subject.len()).then_some(s)),
                [b'%', b'b', ..] => {
                    let Some(end) = self.balance(s, p + 2)? else { return Ok(None) };
                    (s, p) = (end, p + 4);
                    continue;
                }
                [b'%', b'f', ..] => {
                    let set = p + 2;
                    if self.pattern.get(set) != Some(&b'[') {
                        return Err(PatternError::Malformed("missing '[' after '%f' in pattern"));
                    }
                    let end = self.item_end(set)?;
                    let before = if s == 0 { 0 } else { self.subject[s - 1] };
                    let here = self.subject.get(s).copied().unwrap_or(0);
                    if self.set_holds(before, set, end - 1) || !self.set_holds(here, set, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                    continue;
                }
                [b'%', digit @ b'0'..=b'9', ..] => {
                    let Some(end) = self.back_reference(s, digit)? else { return Ok(None) };
                    (s, p) = (end, p + 2);
                    continue;
                }
                _ => {}
            }
            let end = self.item_end(p)?;
            match self.pattern.get(end) {
                Some(b'?') => {
                    if self.single(s, p, end)?
                        && let Some(found) = self.run(s + 1, end + 1)?
                    {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.greedy(s, p, end, 0),
                Some(b'+') => return self.greedy(s, p, end, 1),
                Some(b'-') => return self.lazy(s, p, end),
                _ => {
                    if !self.single(s, p, end)? {
                        return Ok(None);
                    }
                    (s, p) = (s + 1, end);
                }
            }
        }
    }

    /// As many of the item as there are, then fewer and fewer, down to `least`.
    fn greedy(&mut self, s: usize, p: usize, end: usize, least: usize) -> Result<Option<usize>, E> {
        let mut count = 0;
        while self.single(s + count, p, end)? {
            count += 1;
        }
        loop {
            if count < least {
                return Ok(None);
            }
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    /// As few of the item as will do.
    fn lazy(&mut self, mut s: usize, p: usize, end: usize) -> Result<Option<usize>, E> {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end)? {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, end: End) -> Result<Option<usize>, E> {
        if self.captures.len() == MAX_CAPTURES {
            return Err(PatternError::Malformed("too many captures"));
        }
        self.captures.push(Open { start: s, end });
        let level = self.captures.len();
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.truncate(level - 1);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Result<Option<usize>, E> {
        let Some(index) = self.captures.iter().rposition(|open| open.end == End::Pending) else {
            return Err(PatternError::Malformed("invalid pattern capture"));
        };
        self.captures[index].end = End::At(s);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures[index].end = End::Pending;
        }
        Ok(found)
    }

    /// `%bxy`: from an x to the y that closes it.
    fn balance(&mut self, s: usize, p: usize) -> Result<Option<usize>, E> {
        let [open, close, ..] = self.pattern[p..] else {
            return Err(PatternError::Malformed("unbalanced pattern"));
        };
        let subject = self.subject;
        if subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        let closes = |&byte: &u8| {
            if byte == close {
                depth -= 1;
            } else if byte == open {
                depth += 1;
            }
            depth == 0
        };
        let inside = subject[s + 1..].iter().position(closes);
        self.spend(inside.unwrap_or(subject.len() - s))?;
        Ok(inside.map(|len| s + len + 2))
    }

    /// `%1`: what the first capture holds, again.
    fn back_reference(&mut self, s: usize, digit: u8) -> Result<Option<usize>, E> {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let Some(&Open { start, end: End::At(end) }) = self.captures.get(index) else {
            return Err(PatternError::Malformed("invalid capture index"));
        };
        self.spend(end - start)?;
        let text = &self.subject[start..end];
        Ok(self.subject[s..].starts_with(text).then_some(s + text.len()))
    }

    /// Where the single-character item that begins at `p` ends.
    fn item_end(&mut self, p: usize) -> Result<usize, E> {
        match self.pattern[p..] {
            [b'%'] => Err(PatternError::Malformed("malformed pattern (ends with '%')")),
            [b'%', ..] => Ok(p + 2),
            [b'[', ..] => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // A bracket that comes first stands for itself.
                let first = at;
                loop {
                    match self.pattern.get(at) {
                        None => return Err(PatternError::Malformed("malformed pattern (missing ']')")),
                        Some(b'%') if at + 1 < self.pattern.len() => at += 2,
                        Some(b']') if at > first => break,
                        Some(_) => at += 1,
                    }
                }
                self.spend(at - p)?;
                Ok(at + 1)
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the item from `p` to `end` takes the character at `s`.
    fn single(&mut self, s: usize, p: usize, end: usize) -> Result<bool, E> {
        let Some(&byte) = self.subject.get(s) else { return Ok(false) };
        self.spend(end - p)?;
        Ok(match self.pattern[p] {
            b'.' => true,
            b'%' => class_holds(byte, self.pattern[p + 1]),
            b'[' => self.set_holds(byte, p, end - 1),
            literal => literal == byte,
        })
    }

    /// Whether a byte is in the set between the bracket at `open` and the one at `close`.
    fn set_holds(&self, byte: u8, open: usize, close: usize) -> bool {
        let mut members = &self.pattern[open + 1..close];
        let negated = members.first() == Some(&b'^');
        if negated {
            members = &members[1..];
        }
        loop {
            members = match *members {
                [] => return negated,
                [b'%', class, ref rest @ ..] => {
                    if class_holds(byte, class) {
                        return !negated;
                    }
                    rest
                }
                [low, b'-', high, ref rest @ ..] => {
                    if (low..=high).contains(&byte) {
                        return !negated;
                    }
                    rest
                }
                [member, ref rest @ ..] => {
                    if member == byte {
                        return !negated;
                    }
                    rest
                }
            };
        }
    }
}

/// Whether a byte belongs to a class like `%a`, or to its complement, `%A`. Any other character stands for itself.
fn class_holds(byte: u8, class: u8) -> bool {
    let holds = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    holds != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(subject: &str, pattern: &str) -> Option<(Range<usize>, Vec<Capture>)> {
        let mut matcher = Matcher::new(subject.as_bytes(), pattern.as_bytes(), || Ok::<_, ()>(()));
        matcher.search(0).unwrap().map(|found| (found.range, found.captures))
    }

    fn fault(subject: &str, pattern: &str) -> PatternError<()> {
        Matcher::new(subject.as_bytes(), pattern.as_bytes(), || Ok(())).search(0).unwrap_err()
    }

    #[test]
    fn quantifiers_take_as_much_or_as_little_as_they_may() {
        assert_eq!(find("aaab", "a*b"), Some((0..4, vec![])));
        assert_eq!(find("xaaab", "a+"), Some((1..4, vec![])));
        assert_eq!(find("<a><b>", "<(.-)>"), Some((0..3, vec![Capture::Text(1..2)])));
        assert_eq!(find("color", "colou?r"), Some((0..5, vec![])));
        assert_eq!(find("", ".+"), None);
        assert_eq!(find("", "a*"), Some((0..0, vec![])));
    }

    #[test]
    fn sets_classes_and_frontiers_are_those_of_lua() {
        assert_eq!(find("x]y", "[]]"), Some((1..2, vec![])));
        assert_eq!(find("a-b", "[a%-]+"), Some((0..2, vec![])));
        assert_eq!(find("abc123", "[^%d]+"), Some((0..3, vec![])));
        assert_eq!(find("THE (quick) fox", "%f[%a]%a+%f[%A]"), Some((0..3, vec![])));
        assert_eq!(find("f(a(b)c)d", "%b()"), Some((1..8, vec![])));
        assert_eq!(
            find("say 'hi'", "(['\"])(.-)%1"),
            Some((4..8, vec![Capture::Text(4..5), Capture::Text(5..7)]))
        );
        assert_eq!(find("ab", "()b()"), Some((1..2, vec![Capture::Position(2), Capture::Position(3)])));
    }

    #[test]
    fn malformed_patterns_are_refused_in_the_words_of_lua() {
        for (pattern, words) in [
            ("%", "malformed pattern (ends with '%')"),
            ("[a", "malformed pattern (missing ']')"),
            ("(a", "unfinished capture"),
            ("a)", "invalid pattern capture"),
            ("%1", "invalid capture index"),
            ("%b", "unbalanced pattern"),
            ("%fa", "missing '[' after '%f' in pattern"),
        ] {
            assert_eq!(fault("aaa", pattern), PatternError::Malformed(words), "{pattern}");
        }
        assert_eq!(fault("", &"()".repeat(33)), PatternError::Malformed("too many captures"));
        assert_eq!(
            fault(&"a".repeat(300), &"a?".repeat(300)),
            PatternError::Malformed("pattern too complex")
        );
    }

    #[test]
    fn what_looks_at_many_bytes_counts_them_all() {
        const BYTES: usize = 2_000;
        let set = format!("[{}]", "b".repeat(BYTES));
        let repeated = format!("[{}]*b", "x-z".repeat(BYTES / 3));
        let captured = format!("({}).-%1b", "a".repeat(BYTES / 2));
        for (pattern, subject) in [("%ba)", "a"), (&*set, "a"), (&*repeated, "z"), (&*captured, "a")] {
            let mut polls = 0;
            let poll = || {
                polls += 1;
                Ok::<_, ()>(())
            };
            let found = Matcher::new(subject.repeat(BYTES).as_bytes(), pattern.as_bytes(), poll).search(0);
            assert_eq!(found, Ok(None), "{pattern:.20}");
            assert!(polls * STEPS_PER_POLL > BYTES * BYTES / 4, "{pattern:.20}: {polls}");
        }
    }

    #[test]
    fn a_match_that_explodes_is_stopped() {
        let subject = "a".repeat(200);
        let mut polls = 0;
        let poll = || {
            polls += 1;
            if polls == 3 { Err("enough") } else { Ok(()) }
        };
        let stopped = Matcher::new(subject.as_bytes(), b"a-a-a-a-a-a-a-a-b", poll).search(0);
        assert_eq!(stopped, Err(PatternError::Stopped("enough")));
    }
}
