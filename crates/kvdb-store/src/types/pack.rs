//! Packs: short sequences of short byte strings in one allocation.
//!
//! Most collections are small. A pack keeps the elements of one, or a piece of a long list, back to back without a
//! pointer to any of them, and is searched from one end to the other, which for a hundred elements is as quick as hashing.
//!
//! ```text
//! element  := head | payload | back
//! head     := 0xxxxxxx                 a string of x bytes
//!           | 10xxxxxx                 the integer x, no payload
//!           | 1100nnnn                 an integer of n bytes (1 to 8), two's complement, least byte first
//!           | 11010000 | varint        a string of that many bytes
//! back     := length of head and payload in groups of seven bits, the *last* byte holds the lowest; bit 7 of a byte
//!             says that there is another one before it
//! ```
//!
//! A string that is the canonical text of an integer is kept as that integer, so elements come out as [`ValueRef`]s.
//! `back` lets a pack be read from its end. The idea of both is that of Redis' listpacks.

use crate::entry::ValueRef;
use crate::object::canonical_int;
use crate::prefetch::prefetch;

const SMALL_INT: u8 = 0x80;
const INT: u8 = 0xc0;
const LONG: u8 = 0xd0;
const LONGEST_SHORT: usize = 0x7f;
/// The most bytes that a collection should be one pack of, as with Redis' listpacks.
pub const MAX_BYTES: usize = 1 << 30;

/// Cache lines that are asked for before a pack is read.
const PREFETCHED_LINES: usize = 4;

/// A sequence of byte strings in one allocation.
///
/// # Invariants
///
/// * `bytes[head..]` is a sequence of whole elements.
#[derive(Debug, Clone, Default)]
pub struct Pack {
    bytes: Vec<u8>,
    /// Where the first element begins: room before it makes adding to the front cheap.
    head: u32,
}

/// The longest encoding of what stands around a string: head and varint, and back.
const MAX_FRAME: usize = 6 + 5;

/// The bytes of an element's head and payload, written without an allocation where they are short.
struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    payload: &'a [u8],
}

impl<'a> Encoded<'a> {
    fn of(element: &'a [u8]) -> Self {
        let mut head = [0; 9];
        if let Some(int) = canonical_int(element) {
            if (0..64).contains(&int) {
                head[0] = SMALL_INT | int as u8;
                return Self { head, head_len: 1, payload: &[] };
            }
            let width = int_width(int);
            head[0] = INT | width as u8;
            head[1..=8].copy_from_slice(&int.to_le_bytes());
            return Self { head, head_len: 1 + width, payload: &[] };
        }
        if element.len() <= LONGEST_SHORT {
            head[0] = element.len() as u8;
            return Self { head, head_len: 1, payload: element };
        }
        head[0] = LONG;
        let (mut rest, mut at) = (element.len(), 1);
        while rest >= 0x80 {
            head[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        head[at] = rest as u8;
        Self { head, head_len: at + 1, payload: element }
    }

    fn front_len(&self) -> usize {
        self.head_len + self.payload.len()
    }

    fn len(&self) -> usize {
        self.front_len() + back_len(self.front_len())
    }

    /// Whether it is the element at the beginning of `bytes`.
    #[inline]
    fn stands_at(&self, bytes: &[u8]) -> bool {
        let front = self.front_len();
        if bytes[0] != self.head[0] || bytes.len() < front {
            return false;
        }
        // Names often begin alike and differ at their end.
        if let Some(end) = self.payload.last_chunk::<8>()
            && bytes[front - 8..front] != *end
        {
            return false;
        }
        bytes[1..self.head_len] == self.head[1..self.head_len] && bytes[self.head_len..front] == *self.payload
    }

    /// Writes it into a place of exactly its length.
    fn write(&self, out: &mut [u8]) {
        let front = self.front_len();
        out[..self.head_len].copy_from_slice(&self.head[..self.head_len]);
        out[self.head_len..front].copy_from_slice(self.payload);
        let (mut rest, mut at, mut more) = (front, out.len(), 0);
        while at > front {
            at -= 1;
            out[at] = (rest & 0x7f) as u8 | more;
            rest >>= 7;
            more = 0;
        }
        // A reader comes from the right: every byte but the leftmost says that there is another before it.
        for byte in &mut out[front + 1..] {
            *byte |= 0x80;
        }
    }
}

/// Bytes that a signed integer needs.
fn int_width(int: i64) -> usize {
    let significant = 64 - if int < 0 { int.leading_ones() } else { int.leading_zeros() } + 1;
    (significant as usize).div_ceil(8)
}

/// Bytes of `back` for a front of so many.
#[inline]
fn back_len(front: usize) -> usize {
    if front < 0x80 {
        return 1;
    }
    ((usize::BITS - (front | 1).leading_zeros()) as usize).div_ceil(7)
}

/// What an element takes without `back`, in a sequence that is read forwards only.
pub(super) fn forward_len(element: &[u8]) -> usize {
    Encoded::of(element).front_len()
}

/// Adds an element without `back` to such a sequence.
pub(super) fn write_forward(out: &mut Vec<u8>, element: &[u8]) {
    let encoded = Encoded::of(element);
    out.extend_from_slice(&encoded.head[..encoded.head_len]);
    out.extend_from_slice(encoded.payload);
}

/// The element at the beginning of `bytes`, with its whole length.
#[inline]
fn decode(bytes: &[u8]) -> (ValueRef<'_>, usize) {
    let (value, front) = read_forward(bytes);
    (value, front + back_len(front))
}

/// The element at the beginning of `bytes`, with its length without `back`.
#[inline]
pub(super) fn read_forward(bytes: &[u8]) -> (ValueRef<'_>, usize) {
    let head = bytes[0];
    if head < SMALL_INT {
        let end = 1 + usize::from(head);
        (ValueRef::Bytes(&bytes[1..end]), end)
    } else if head < INT {
        (ValueRef::Int(i64::from(head & 0x3f)), 1)
    } else if head < LONG {
        let width = usize::from(head & 0x0f);
        (ValueRef::Int(read_int(&bytes[1..], width)), 1 + width)
    } else {
        let (len, at) = read_long(bytes);
        (ValueRef::Bytes(&bytes[at..at + len]), at + len)
    }
}

/// The integer of so many bytes at the beginning.
#[inline]
fn read_int(bytes: &[u8], width: usize) -> i64 {
    let unused = 64 - 8 * width as u32;
    // What follows is read along and thrown out again: a load is quicker than a copy of so many bytes.
    let le = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut le = [0; 8];
        le[..width].copy_from_slice(&bytes[..width]);
        le
    });
    i64::from_le_bytes(le) << unused >> unused
}

/// The length of a long string, and where it begins.
fn read_long(bytes: &[u8]) -> (usize, usize) {
    let (mut len, mut at, mut shift) = (0usize, 1, 0);
    loop {
        let byte = bytes[at];
        len |= usize::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte < 0x80 {
            return (len, at);
        }
    }
}

/// The whole length of the element at the beginning.
#[inline]
fn length_of(bytes: &[u8]) -> usize {
    let head = bytes[0];
    if usize::from(head) < LONGEST_SHORT {
        return usize::from(head) + 2;
    }
    let front = if head < SMALL_INT {
        1 + usize::from(head)
    } else if head < INT {
        1
    } else if head < LONG {
        1 + usize::from(head & 0x0f)
    } else {
        let (len, at) = read_long(bytes);
        at + len
    };
    front + back_len(front)
}

/// The whole length of the element that ends where `bytes` end.
#[inline]
fn length_before(bytes: &[u8]) -> usize {
    let (mut front, mut shift, mut at) = (0usize, 0, bytes.len());
    loop {
        at -= 1;
        front |= usize::from(bytes[at] & 0x7f) << shift;
        shift += 7;
        if bytes[at] < 0x80 {
            return front + (bytes.len() - at);
        }
    }
}

impl Pack {
    /// An empty pack, to be lent.
    pub const EMPTY: &'static Self = &Self::new();

    /// An empty pack.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), head: 0 }
    }

    fn elements(&self) -> &[u8] {
        &self.bytes[self.head as usize..]
    }

    /// Bytes of the elements.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len() - self.head as usize
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Bytes that adding an element makes the pack longer by, about.
    pub fn cost_of(element: &[u8]) -> usize {
        element.len() + if element.len() <= LONGEST_SHORT { 2 } else { MAX_FRAME }
    }

    /// Asks the processor for the first elements; those behind them follow when they are read.
    pub(super) fn prefetch(&self) {
        let first = self.bytes.as_ptr().wrapping_add(self.head as usize);
        (0..PREFETCHED_LINES).for_each(|line| prefetch(first.wrapping_add(64 * line)));
    }

    /// Bytes of memory it holds beside itself.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds an element behind the last.
    pub fn push_back(&mut self, element: &[u8]) {
        self.insert(self.len_bytes(), element);
    }

    /// Adds an element before the first.
    pub fn push_front(&mut self, element: &[u8]) {
        self.insert(0, element);
    }

    /// Adds an element before the one at `offset` (from [`Cursor::offset`]; the length in bytes for the end).
    pub fn insert(&mut self, offset: usize, element: &[u8]) {
        let encoded = Encoded::of(element);
        self.open(offset, encoded.len());
        let at = self.head as usize + offset;
        encoded.write(&mut self.bytes[at..at + encoded.len()]);
    }

    /// Puts another element in the place of the one at `offset`.
    pub fn replace(&mut self, offset: usize, element: &[u8]) {
        let encoded = Encoded::of(element);
        let at = self.head as usize + offset;
        let old = length_of(&self.bytes[at..]);
        if old < encoded.len() {
            self.open(offset, encoded.len() - old);
        } else {
            self.close(offset, old - encoded.len());
        }
        let at = self.head as usize + offset;
        encoded.write(&mut self.bytes[at..at + encoded.len()]);
    }

    /// Makes room for `len` bytes before the byte at `offset`.
    fn open(&mut self, offset: usize, len: usize) {
        let (head, used) = (self.head as usize, self.len_bytes());
        if offset == 0 && used > 0 {
            if head < len {
                // Room for as much again, so that adding to the front many times is not quadratic.
                let room = (len + used).min(4096).max(len);
                let mut grown = vec![0; room + used];
                grown[room..].copy_from_slice(self.elements());
                (self.bytes, self.head) = (grown, room as u32);
            }
            self.head -= len as u32;
            return;
        }
        if self.bytes.capacity() - self.bytes.len() < len {
            // A pack is made nearly to measure, as there may be millions of them, written once. The allocator mostly has
            // the room behind it anyway.
            let extra = if used < 256 { len } else { len.max(used / 16) };
            self.bytes.drain(..head);
            self.head = 0;
            self.bytes.reserve_exact(extra);
        }
        let at = self.head as usize + offset;
        let end = self.bytes.len();
        self.bytes.resize(end + len, 0);
        self.bytes.copy_within(at..end, at + len);
    }

    /// Takes `len` bytes from `offset` on out.
    fn close(&mut self, offset: usize, len: usize) {
        if offset == 0 {
            self.head += len as u32;
        } else {
            let at = self.head as usize + offset;
            self.bytes.copy_within(at + len.., at);
            self.bytes.truncate(self.bytes.len() - len);
        }
        self.settle();
    }

    /// Gives memory back after elements went, when most of it is not needed.
    fn settle(&mut self) {
        let used = self.len_bytes();
        if used == 0 {
            *self = Self::new();
        } else if self.bytes.capacity() > 64 && used < self.bytes.capacity() / 4 {
            self.bytes = self.elements().to_vec();
            self.head = 0;
        }
    }

    /// Takes out `count` elements, the first of which is at `offset`; fewer where the pack ends before.
    pub fn remove(&mut self, offset: usize, count: usize) {
        let elements = &self.elements()[offset..];
        let mut len = 0;
        for _ in 0..count {
            if len == elements.len() {
                break;
            }
            len += length_of(&elements[len..]);
        }
        self.close(offset, len);
    }

    /// Takes out the elements that `keep` refuses, in one pass.
    pub fn retain(&mut self, mut keep: impl FnMut(ValueRef<'_>) -> bool) {
        let mut from = self.head as usize;
        let mut to = from;
        while from < self.bytes.len() {
            let (value, len) = decode(&self.bytes[from..]);
            if keep(value) {
                self.bytes.copy_within(from..from + len, to);
                to += len;
            }
            from += len;
        }
        self.bytes.truncate(to);
        self.settle();
    }

    /// Cuts the pack in two before the element at `offset`; returns the second part.
    pub fn split_off(&mut self, offset: usize) -> Self {
        let bytes = self.elements()[offset..].to_vec();
        self.close(offset, bytes.len());
        Self { bytes, head: 0 }
    }

    /// Adds all elements of another pack behind the last.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(other.elements());
    }

    /// Gives memory back that is not needed.
    pub fn shrink(&mut self) {
        if self.bytes.capacity() > self.len_bytes() + self.len_bytes() / 8 {
            self.bytes = self.elements().to_vec();
            self.head = 0;
        }
    }

    /// Gives all memory back that the elements do not fill: nothing is to be added soon.
    pub fn fit(&mut self) {
        if self.bytes.capacity() > self.len_bytes() {
            self.bytes = self.elements().to_vec();
            self.head = 0;
        }
    }

    /// Looks for an element among the first, and every so many from there: its offset, its number among those, and the
    /// place behind it.
    pub(super) fn find(&self, element: &[u8], stride: usize) -> Option<(usize, usize, Cursor<'_>)> {
        let (wanted, bytes) = (Encoded::of(element), self.elements());
        let (mut offset, mut nth) = (0, 0);
        while offset < bytes.len() {
            let rest = &bytes[offset..];
            if wanted.stands_at(rest) {
                return Some((offset, nth, Cursor { bytes, offset: offset + wanted.len() }));
            }
            for _ in 0..stride {
                offset += length_of(&bytes[offset..]);
            }
            nth += 1;
        }
        None
    }

    /// Before the first element.
    #[inline]
    pub fn first(&self) -> Cursor<'_> {
        Cursor { bytes: self.elements(), offset: 0 }
    }

    /// Behind the last element.
    pub fn end(&self) -> Cursor<'_> {
        Cursor { bytes: self.elements(), offset: self.len_bytes() }
    }

    /// All elements from the first to the last.
    #[inline]
    pub fn iter(&self) -> Cursor<'_> {
        self.first()
    }
}

/// A place between two elements, from which a pack is read in either direction.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// The place, in bytes from the first element.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether nothing stands behind.
    pub fn at_end(&self) -> bool {
        self.offset == self.bytes.len()
    }

    /// Steps over the next element without looking at it; tells whether there was one.
    #[inline]
    pub fn pass(&mut self) -> bool {
        let is_there = self.offset < self.bytes.len();
        if is_there {
            self.offset += length_of(&self.bytes[self.offset..]);
        }
        is_there
    }

    /// Steps back over the element before this place without looking at it; tells whether there was one.
    pub fn pass_back(&mut self) -> bool {
        let is_there = self.offset > 0;
        if is_there {
            self.offset -= length_before(&self.bytes[..self.offset]);
        }
        is_there
    }

    /// Steps back over the element before this place, and shows it.
    pub fn back(&mut self) -> Option<ValueRef<'a>> {
        if !self.pass_back() {
            return None;
        }
        Some(decode(&self.bytes[self.offset..]).0)
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = ValueRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'a>> {
        if self.offset == self.bytes.len() {
            return None;
        }
        let (value, len) = decode(&self.bytes[self.offset..]);
        self.offset += len;
        Some(value)
    }
}

/// An element that others are compared with.
pub struct Needle<'a> {
    bytes: &'a [u8],
    int: Option<i64>,
}

impl<'a> Needle<'a> {
    /// To look for these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, int: canonical_int(bytes) }
    }

    /// Whether an element is equal.
    #[inline]
    pub fn is(&self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Bytes(bytes) => bytes == self.bytes,
            ValueRef::Int(int) => self.int == Some(int),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::text_of;
    use proptest::prelude::*;

    fn texts(pack: &Pack) -> Vec<Vec<u8>> {
        pack.iter().map(text_of).collect()
    }

    fn backwards(pack: &Pack) -> Vec<Vec<u8>> {
        let mut cursor = pack.end();
        let mut out: Vec<_> = std::iter::from_fn(|| cursor.back()).map(text_of).collect();
        out.reverse();
        out
    }

    fn offset_of(pack: &Pack, index: usize) -> usize {
        let mut cursor = pack.first();
        assert!((0..index).all(|_| cursor.pass()));
        cursor.offset()
    }

    proptest! {
        #[test]
        fn an_element_is_found_where_it_stands_first(
            elements in prop::collection::vec(prop_oneof![element(), "([ab]{0,2}|member:0{10}[01]{2})".prop_map(String::into_bytes)], 0..20),
            which in any::<prop::sample::Index>(),
            stride in 1usize..3,
        ) {
            let mut pack = Pack::new();
            let whole = elements.len() / stride * stride;
            elements[..whole].iter().for_each(|e| pack.push_back(e));
            let wanted = if elements.is_empty() { &b"absent"[..] } else { which.get(&elements) };
            let place = elements[..whole].iter().step_by(stride).position(|e| e == wanted);
            let found = pack.find(wanted, stride);
            prop_assert_eq!(found.map(|(_, nth, _)| nth), place);
            if let Some((offset, nth, mut behind)) = found {
                prop_assert_eq!(offset, offset_of(&pack, nth * stride));
                prop_assert_eq!(behind.next().map(text_of), elements[..whole].get(nth * stride + 1).cloned());
            }
        }
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..20),
            1 => prop::collection::vec(any::<u8>(), 120..140),
            1 => prop::collection::vec(any::<u8>(), 16_370..16_390),
            4 => any::<i64>().prop_map(|i| i.to_string().into_bytes()),
            2 => (0u32..64).prop_flat_map(|bits| (Just(bits), any::<bool>(), -1i64..2))
                .prop_map(|(bits, negative, by)| {
                    let power = (1i64 << bits.min(62)).wrapping_add(by);
                    (if negative { -power } else { power }).to_string().into_bytes()
                }),
        ]
    }

    proptest! {
        #[test]
        fn elements_are_read_forwards_without_what_lets_them_be_read_backwards(
            elements in prop::collection::vec(element(), 0..20),
        ) {
            let mut bytes = Vec::new();
            elements.iter().for_each(|element| write_forward(&mut bytes, element));
            prop_assert_eq!(bytes.len(), elements.iter().map(|element| forward_len(element)).sum::<usize>());
            let mut rest = &bytes[..];
            for element in elements {
                let (value, len) = read_forward(rest);
                prop_assert_eq!(text_of(value), element);
                rest = &rest[len..];
            }
        }

        #[test]
        fn behaves_as_a_vector(ops in prop::collection::vec((0u8..9, any::<prop::sample::Index>(), element()), 1..60)) {
            let (mut pack, mut model) = (Pack::new(), Vec::<Vec<u8>>::new());
            for (op, index, element) in ops {
                let at = index.index(model.len() + 1);
                match op {
                    0 => { pack.push_back(&element); model.push(element); }
                    1 => { pack.push_front(&element); model.insert(0, element); }
                    2 => { pack.insert(offset_of(&pack, at), &element); model.insert(at, element); }
                    3 if at < model.len() => {
                        pack.replace(offset_of(&pack, at), &element);
                        model[at] = element;
                    }
                    4 if at < model.len() => {
                        pack.remove(offset_of(&pack, at), 2);
                        model.drain(at..(at + 2).min(model.len()));
                    }
                    5 => {
                        let mut tail = pack.split_off(offset_of(&pack, at));
                        let model_tail = model.split_off(at);
                        prop_assert_eq!(texts(&tail), &model_tail[..]);
                        // Put together the other way round.
                        tail.append(&pack);
                        pack = tail;
                        model = [model_tail, model].concat();
                    }
                    6 => {
                        let keeps = |text: &[u8]| text.len() % 3 != at % 3;
                        pack.retain(|value| keeps(&text_of(value)));
                        model.retain(|text| keeps(text));
                    }
                    7 => {
                        pack.fit();
                        prop_assert_eq!(pack.memory_bytes(), pack.len_bytes());
                    }
                    _ => pack.shrink(),
                }
                prop_assert_eq!(texts(&pack), &model[..]);
                prop_assert_eq!(backwards(&pack), &model[..]);
                prop_assert_eq!(pack.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn small_elements_cost_little_beside_their_bytes() {
        let len = |element: &str| {
            let mut pack = Pack::new();
            pack.push_back(element.as_bytes());
            pack.len_bytes()
        };
        let lens =
            ["", "a", "0", "63", "64", "-1", "127", "128", "32767", "123456", "9223372036854775807"].map(len);
        assert_eq!(lens, [2, 3, 2, 2, 3, 3, 3, 4, 4, 5, 10]);
        assert_eq!((len(&"x".repeat(126)), len(&"x".repeat(127)), len(&"x".repeat(128))), (128, 130, 133));
    }

    #[test]
    fn adding_to_the_front_does_not_move_everything_every_time() {
        let mut pack = Pack::new();
        (0..100).for_each(|_| pack.push_front(b"element"));
        let before = pack.head;
        pack.push_front(b"element");
        assert!(pack.head < before || before < 9);
        assert_eq!(texts(&pack).len(), 101);
    }
}
