//! The arguments of one request: [`Args`], a view that is cheap to copy, and [`OwnedArgs`], for
//! requests that outlive the buffer they came from or never were in one.

use std::error::Error;
use std::fmt;
use std::ops::{Index, Range};

/// Where one argument lies within its buffer. Offsets, not pointers: the buffer may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    #[inline]
    fn of(self, base: &[u8]) -> Option<&[u8]> {
        let start = self.start as usize;
        base.get(start..start + self.len as usize)
    }
}

/// The arguments of one request, the command's name first.
///
/// Indexing panics where [`get`](Self::get) answers `None`; handlers index within the arity that
/// the command table has checked.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    base: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    #[inline]
    pub(crate) fn new(base: &'a [u8], spans: &'a [Span]) -> Self {
        Self { base, spans }
    }

    /// The number of arguments, the name included.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`; 0 is the command's name.
    #[inline]
    #[must_use]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index)?.of(self.base)
    }

    /// The first argument, or an empty string if there is none.
    #[inline]
    #[must_use]
    pub fn name(self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// The arguments from `start` on; none if there are not that many.
    #[inline]
    #[must_use]
    pub fn tail(self, start: usize) -> Self {
        Self::new(self.base, self.spans.get(start..).unwrap_or_default())
    }

    /// The arguments within `range`, which is cut to those that exist.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        Self::new(self.base, self.spans.get(range.start..end).unwrap_or_default())
    }

    /// The arguments in order.
    #[inline]
    #[must_use]
    pub fn iter(self) -> ArgsIter<'a> {
        ArgsIter { base: self.base, spans: self.spans.iter() }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.spans[index].of(self.base).expect("the arguments are read from the buffer that was decoded")
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = self.iter().map(|arg| arg.escape_ascii().to_string());
        f.debug_list().entries(escaped).finish()
    }
}

impl PartialEq for Args<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Args<'_> {}

/// Iterator over [`Args`].
#[derive(Clone)]
pub struct ArgsIter<'a> {
    base: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next()?.of(self.base)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl DoubleEndedIterator for ArgsIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back()?.of(self.base)
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

/// Arguments with memory of their own: a command queued by MULTI, one called by a script, one
/// written out in a test. Two allocations whatever the number of arguments.
///
/// ```
/// use kvdb_resp::OwnedArgs;
///
/// let set: OwnedArgs = ["SET", "key", "value"].into_iter().collect();
/// assert_eq!(set.as_args().name(), b"SET");
/// assert_eq!(set.as_args().tail(1).len(), 2);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// No arguments yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an argument.
    ///
    /// # Errors
    /// Leaves the arguments as they were if they would reach 4 GiB.
    pub fn push(&mut self, arg: &[u8]) -> Result<(), ArgsTooLarge> {
        let end = self.bytes.len().checked_add(arg.len()).ok_or(ArgsTooLarge)?;
        u32::try_from(end).map_err(|_| ArgsTooLarge)?;
        self.spans.push(Span { start: self.bytes.len() as u32, len: arg.len() as u32 });
        self.bytes.extend_from_slice(arg);
        Ok(())
    }

    /// Forgets the arguments and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// The view that commands take.
    #[must_use]
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Bytes of memory held, for limits on queued commands.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

impl<A: AsRef<[u8]>> FromIterator<A> for OwnedArgs {
    /// # Panics
    /// If the arguments reach 4 GiB; [`push`](OwnedArgs::push) is for arguments of unknown size.
    fn from_iter<I: IntoIterator<Item = A>>(args: I) -> Self {
        let mut owned = Self::new();
        for arg in args {
            owned.push(arg.as_ref()).expect("arguments collected in one go stay below 4 GiB");
        }
        owned
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        let mut owned = Self {
            bytes: Vec::with_capacity(args.iter().map(<[u8]>::len).sum()),
            spans: Vec::with_capacity(args.len()),
        };
        for arg in args {
            owned.push(arg).expect("the arguments of a request are disjoint parts of less than 4 GiB");
        }
        owned
    }
}

impl fmt::Debug for OwnedArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_args().fmt(f)
    }
}

/// The arguments of one command would reach 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgsTooLarge;

impl fmt::Display for ArgsTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arguments of one command exceed 4 GiB")
    }
}

impl Error for ArgsTooLarge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_reads_slices_and_compares() {
        let owned: OwnedArgs = ["MSET", "a", "", "b", "2"].into_iter().collect();
        let args = owned.as_args();
        assert_eq!((args.len(), args.name()), (5, &b"MSET"[..]));
        assert_eq!(args.get(2), Some(&b""[..]));
        assert_eq!(args.get(5), None);
        assert_eq!(&args[4], b"2");
        assert_eq!(args.tail(3).iter().collect::<Vec<_>>(), [&b"b"[..], &b"2"[..]]);
        assert!(args.tail(6).is_empty());
        assert_eq!(args.slice(1..3).len(), 2);
        assert_eq!(args.slice(4..100).len(), 1);
        assert!(args.slice(9..12).is_empty());
        assert_eq!(args.iter().next_back(), Some(&b"2"[..]));
        assert_eq!(OwnedArgs::from(args.tail(1)).as_args(), args.tail(1));
        assert_eq!(format!("{:?}", args.slice(0..2)), r#"["MSET", "a"]"#);
    }
}
