//! One resident key with its value, in one allocation behind one tagged pointer.
//!
//! ```text
//! slot of the table (8 bytes)       allocation (16-byte aligned)
//! tag:16 | address:44 | tag:4  ──►  seq:48 flags:8 access:8 | value_len u16 access:16 | key_len u32 | [deadline u64] | key | value
//! ```
//!
//! A small string costs 16 bytes here beside its key and value and 8 bytes times the inverse of the load factor in the
//! table. User-space addresses have 47 bits and allocations are 16-byte aligned, so twenty bits of the pointer are free:
//! they hold the bits of the hash by which the table is ordered, and a probe that misses does not touch the entry.
//!
//! Values: bytes in place, an integer in place (eight bytes, so that INCR neither parses nor allocates), or a pointer to
//! a boxed growable string for values that are large or are changed piece by piece, or a collection in place, at the next
//! multiple of eight bytes.
//!
//! Beside [`member`](crate::types::member) this is the only unsafe module of the crate. Everything outside sees slices and
//! owned values.
#![expect(
    unsafe_code,
    reason = "a thin, tagged pointer to a header followed by bytes has no safe equivalent"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::prefetch::prefetch;
use crate::size_class;
use crate::types::Held;

const ALIGN: usize = 16;
const HEADER: usize = 16;
const TAG_HIGH_SHIFT: u32 = 48;
const LOW_MASK: usize = ALIGN - 1;
const _: () = assert!(align_of::<Held>() <= ALIGN, "an entry holds a collection at an aligned place");
const ADDRESS_MASK: usize = ((1 << TAG_HIGH_SHIFT) - 1) & !LOW_MASK;

/// Bits of a hash that a slot holds; see [`Entry::tag`].
pub const TAG_BITS: u32 = 20;

const SEQ_MASK: u64 = (1 << 48) - 1;
const FLAGS_SHIFT: u32 = 48;
const ACCESS_SHIFT: u32 = 56;

const HAS_DEADLINE: u8 = 1;
const IS_INT: u8 = 2;
const IS_BOXED: u8 = 4;
const PENDING: u8 = 8;
const HAS_TOKEN: u8 = 16;
const PIECEWISE: u8 = 32;
const IS_COLLECTION: u8 = 64;
/// Those of which at most one is set, and of which none means bytes in place.
const NOT_BYTES: u8 = IS_INT | IS_BOXED | IS_COLLECTION;

/// The access clock has 24 bits: seconds, as in Redis, so it wraps after half a year.
pub const ACCESS_MASK: u32 = (1 << 24) - 1;

/// Values of at most this many bytes are kept in place when they are written as a whole.
pub const INLINE_MAX: usize = 16 * 1024;

/// The value that an entry shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// An integer whose decimal text is the string.
    Int(i64),
}

impl ValueRef<'_> {
    /// The length in bytes of the string.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(b) => b.len(),
            Self::Int(i) => decimal_len(*i),
        }
    }

    /// Whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The length of the decimal text of `i`.
fn decimal_len(i: i64) -> usize {
    let digits = i.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(i < 0)
}

/// A growable string with the generation under which its chunks are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BigString {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The generation of its chunk rows; 0 while it is stored as one row.
    pub generation: u64,
}

/// A resident key and its value: an owning, tagged pointer of eight bytes (as is `Option<Entry>`).
///
/// # Invariants
///
/// * The address part points to an allocation of `layout()`, made by this module and owned by this value alone.
/// * One of `IS_INT`, `IS_BOXED`, `IS_COLLECTION` or none is set, and the value area holds an `i64`, a `Box<BigString>`, a
///   `Held` (aligned) or `value_len` bytes accordingly.
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its allocation, like a Box; the bytes and the boxed string in it are Send.
unsafe impl Send for Entry {}
// SAFETY: nothing in an entry changes behind a shared reference.
unsafe impl Sync for Entry {}

/// What a new entry is made of.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// Bytes, copied in place.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
    /// A growable string.
    Big(Box<BigString>),
    /// A value with elements; an empty one is left.
    Collection(&'a mut Held),
}

impl Entry {
    /// Makes an entry. `tag` has [`TAG_BITS`] bits.
    ///
    /// # Panics
    /// When the key is longer than `u32::MAX`, bytes are longer than [`INLINE_MAX`], or memory is exhausted.
    pub fn new(tag: u32, key: &[u8], value: NewValue<'_>, deadline: Option<u64>) -> Self {
        let key_len = u32::try_from(key.len()).expect("key lengths are bounded by the protocol");
        let (value_len, flag) = match &value {
            NewValue::Bytes(b) => {
                (u16::try_from(b.len()).expect("values in place are at most INLINE_MAX long"), 0)
            }
            NewValue::Int(_) => (8, IS_INT),
            NewValue::Big(_) => (8, IS_BOXED),
            NewValue::Collection(_) => (size_of::<Held>() as u16, IS_COLLECTION),
        };
        let flags = flag | if deadline.is_some() { HAS_DEADLINE } else { 0 };
        let layout = Self::layout_of(flags, key_len, value_len);
        // SAFETY: the layout is never of size zero, the header alone has 16 bytes.
        let base = unsafe { alloc(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        assert!(
            base.as_ptr().addr() & !ADDRESS_MASK == 0,
            "the allocator returned an address outside 47 bits"
        );
        // SAFETY: `base` points to `layout.size()` fresh bytes; every write below stays within the areas that
        // `layout_of` summed up, and the header writes are aligned (16-byte base, offsets 0, 8, 10, 12, 16).
        unsafe {
            base.cast::<u64>().write(u64::from(flags) << FLAGS_SHIFT);
            base.add(8).cast::<u16>().write(value_len);
            base.add(10).cast::<u16>().write(0);
            base.add(12).cast::<u32>().write(key_len);
            if let Some(deadline) = deadline {
                base.add(HEADER).cast::<u64>().write(deadline);
            }
            let at = Self::key_offset(flags);
            base.add(at).copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            let area = base.add(Self::area_offset(flags, key_len));
            match value {
                NewValue::Bytes(b) => area.copy_from_nonoverlapping(NonNull::from(b).cast(), b.len()),
                NewValue::Int(i) => area.cast::<i64>().write_unaligned(i),
                NewValue::Big(big) => area.cast::<*mut BigString>().write_unaligned(Box::into_raw(big)),
                // `area_offset` has aligned it.
                NewValue::Collection(held) => area.cast::<Held>().write(held.take()),
            }
        }
        let mut entry = Self(base);
        entry.set_tag(tag);
        entry
    }

    fn layout_of(flags: u8, key_len: u32, value_len: u16) -> Layout {
        let size = Self::area_offset(flags, key_len) + usize::from(value_len);
        Layout::from_size_align(size, ALIGN)
            .expect("the sum of two lengths of at most 32 bits and a header fits an allocation")
    }

    fn set_tag(&mut self, tag: u32) {
        debug_assert!(tag >> TAG_BITS == 0);
        let bits = ((tag as usize >> 4) << TAG_HIGH_SHIFT) | (tag as usize & LOW_MASK);
        let tagged = self.0.as_ptr().map_addr(|a| (a & ADDRESS_MASK) | bits);
        // The address part is not null, so neither is the tagged pointer.
        self.0 = NonNull::new(tagged).expect("an address with tag bits is not null");
    }

    /// The bits of the hash by which the table orders entries.
    #[inline]
    pub fn tag(&self) -> u32 {
        let addr = self.0.as_ptr().addr();
        (((addr >> TAG_HIGH_SHIFT) << 4) | (addr & LOW_MASK)) as u32
    }

    #[inline]
    fn base(&self) -> NonNull<u8> {
        // SAFETY: the address part of a live entry is that of its allocation and never null.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|a| a & ADDRESS_MASK)) }
    }

    #[inline]
    fn word(&self) -> u64 {
        // SAFETY: the first eight bytes of the allocation are the header word, written by `new`.
        unsafe { self.base().cast::<u64>().read() }
    }

    #[inline]
    fn set_word(&mut self, word: u64) {
        // SAFETY: as in `word`; `&mut self` excludes readers.
        unsafe { self.base().cast::<u64>().write(word) }
    }

    #[inline]
    fn lens(&self) -> (u16, u32) {
        // SAFETY: offsets 8 and 12 hold the lengths, written by `new`.
        unsafe { (self.base().add(8).cast::<u16>().read(), self.base().add(12).cast::<u32>().read()) }
    }

    #[inline]
    fn flags(&self) -> u8 {
        (self.word() >> FLAGS_SHIFT) as u8
    }

    fn set_flag(&mut self, flag: u8, on: bool) {
        let bit = u64::from(flag) << FLAGS_SHIFT;
        let word = self.word();
        self.set_word(if on { word | bit } else { word & !bit });
    }

    /// The sequence of the entry's last change; 0 when it was loaded from rows that were durable already.
    #[inline]
    pub fn seq(&self) -> u64 {
        self.word() & SEQ_MASK
    }

    /// Sets the sequence and clears the pending mark.
    ///
    /// # Panics
    /// When the sequence passes 48 bits (at a million writes a second, in nine years of one uptime-independent log).
    pub fn commit(&mut self, seq: u64) {
        assert!(seq <= SEQ_MASK, "the sequence has outgrown 48 bits");
        let word = self.word() & !(SEQ_MASK | (u64::from(PENDING) << FLAGS_SHIFT));
        self.set_word(word | seq);
    }

    /// Whether the entry was changed by a run that has not been appended to the log yet.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.flags() & PENDING != 0
    }

    /// Marks the entry as changed by the run under way.
    pub fn set_pending(&mut self) {
        self.set_flag(PENDING, true);
    }

    /// Whether the expiry index holds a token for this key.
    pub fn has_token(&self) -> bool {
        self.flags() & HAS_TOKEN != 0
    }

    /// Notes whether the expiry index holds a token for this key.
    pub fn set_token(&mut self, on: bool) {
        self.set_flag(HAS_TOKEN, on);
    }

    /// When the entry was last used, in seconds modulo 2^24 of a clock that the owner chooses.
    #[inline]
    pub fn access(&self) -> u32 {
        // SAFETY: offset 10 holds the low half of the access clock, written by `new`.
        let low = unsafe { self.base().add(10).cast::<u16>().read() };
        (((self.word() >> ACCESS_SHIFT) as u32) << 16) | u32::from(low)
    }

    /// Sets the access clock; writes only when it changes, so that a hot key's line stays shared.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        if self.access() != access & ACCESS_MASK {
            let word = self.word() & !(0xff << ACCESS_SHIFT);
            self.set_word(word | (u64::from((access >> 16) & 0xff) << ACCESS_SHIFT));
            // SAFETY: as in `access`; `&mut self` excludes readers.
            unsafe { self.base().add(10).cast::<u16>().write(access as u16) };
        }
    }

    /// Whether the value was made by a change to a part of it (APPEND, SETRANGE, SETBIT).
    pub fn is_piecewise(&self) -> bool {
        self.flags() & PIECEWISE != 0
    }

    /// Notes that the value was made by a change to a part of it.
    pub fn set_piecewise(&mut self) {
        self.set_flag(PIECEWISE, true);
    }

    /// The moment at which the key dies, if it does.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        // SAFETY: with HAS_DEADLINE set, offset 16 holds the deadline, written by `new`.
        (self.flags() & HAS_DEADLINE != 0).then(|| unsafe { self.base().add(HEADER).cast::<u64>().read() })
    }

    /// Replaces the deadline of an entry that has one; `false` (and no change) when it has none.
    pub fn replace_deadline(&mut self, deadline: u64) -> bool {
        if self.flags() & HAS_DEADLINE == 0 {
            return false;
        }
        // SAFETY: as in `deadline`; `&mut self` excludes readers.
        unsafe { self.base().add(HEADER).cast::<u64>().write(deadline) };
        true
    }

    #[inline]
    fn key_offset(flags: u8) -> usize {
        HEADER + if flags & HAS_DEADLINE != 0 { 8 } else { 0 }
    }

    /// Where the value area begins.
    #[inline]
    fn area_offset(flags: u8, key_len: u32) -> usize {
        let behind_key = Self::key_offset(flags) + key_len as usize;
        if flags & IS_COLLECTION != 0 { behind_key.next_multiple_of(align_of::<Held>()) } else { behind_key }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let (_, key_len) = self.lens();
        // SAFETY: `new` wrote key_len bytes at this offset; they live as long as self.
        unsafe {
            std::slice::from_raw_parts(
                self.base().add(Self::key_offset(self.flags())).as_ptr(),
                key_len as usize,
            )
        }
    }

    #[inline]
    fn area(&self) -> (NonNull<u8>, usize) {
        let (value_len, key_len) = self.lens();
        // SAFETY: the value area begins there, inside the allocation.
        (unsafe { self.base().add(Self::area_offset(self.flags(), key_len)) }, usize::from(value_len))
    }

    /// The value, when it is a string.
    #[inline]
    pub fn string(&self) -> Option<ValueRef<'_>> {
        let flags = self.flags();
        if flags & NOT_BYTES == 0 {
            let (area, len) = self.area();
            // SAFETY: with none of these flags the area holds `len` initialised bytes that live as long as self.
            return Some(ValueRef::Bytes(unsafe { std::slice::from_raw_parts(area.as_ptr(), len) }));
        }
        if flags & IS_INT != 0 {
            // SAFETY: with IS_INT set the area holds an i64, unaligned.
            return Some(ValueRef::Int(unsafe { self.area().0.cast::<i64>().read_unaligned() }));
        }
        self.big().map(|big| ValueRef::Bytes(&big.bytes))
    }

    /// The value, when it is a collection.
    #[inline]
    pub fn held(&self) -> Option<&Held> {
        if self.flags() & IS_COLLECTION == 0 {
            return None;
        }
        // SAFETY: with IS_COLLECTION set the area holds a collection, aligned, that lives as long as self.
        Some(unsafe { self.area().0.cast::<Held>().as_ref() })
    }

    /// Whether the meta row says that elements of the value die before the key.
    #[inline]
    pub fn fades(&self) -> bool {
        self.held().is_some_and(|held| held.collection.told_deadline().is_some())
    }

    /// The value, when it is a collection, for change.
    #[inline]
    pub fn held_mut(&mut self) -> Option<&mut Held> {
        if self.flags() & IS_COLLECTION == 0 {
            return None;
        }
        // SAFETY: as in `held`; `&mut self` makes the access exclusive.
        Some(unsafe { self.area().0.cast::<Held>().as_mut() })
    }

    /// The growable string, when the value is one.
    pub fn big(&self) -> Option<&BigString> {
        if self.flags() & IS_BOXED == 0 {
            return None;
        }
        // SAFETY: with IS_BOXED set the area holds the pointer of a Box that this entry owns.
        Some(unsafe { &*self.area().0.cast::<*mut BigString>().read_unaligned() })
    }

    /// The growable string, for change.
    pub fn big_mut(&mut self) -> Option<&mut BigString> {
        if self.flags() & IS_BOXED == 0 {
            return None;
        }
        // SAFETY: as in `big`; `&mut self` makes the access exclusive.
        Some(unsafe { &mut *self.area().0.cast::<*mut BigString>().read_unaligned() })
    }

    /// Overwrites the value in place when the new one has the same shape (bytes of the same length, or an integer over
    /// an integer) and the deadline can stay where it is; tells whether it did. Spares an allocation and a free.
    #[inline]
    pub fn overwrite(&mut self, value: &NewValue<'_>, deadline: Option<u64>) -> bool {
        let flags = self.flags();
        if (flags & HAS_DEADLINE != 0) != deadline.is_some() {
            return false;
        }
        let (area, len) = self.area();
        match value {
            NewValue::Bytes(b) if flags & NOT_BYTES == 0 && b.len() == len => {
                // SAFETY: the area has exactly b.len() bytes, and a caller's slice cannot overlap what `&mut self` owns.
                unsafe { area.copy_from_nonoverlapping(NonNull::from(*b).cast(), len) };
            }
            NewValue::Int(i) if flags & IS_INT != 0 => {
                // SAFETY: with IS_INT set the area holds an i64, unaligned.
                unsafe { area.cast::<i64>().write_unaligned(*i) };
            }
            _ => return false,
        }
        if let Some(deadline) = deadline {
            self.replace_deadline(deadline);
        }
        if flags & PIECEWISE != 0 {
            self.set_flag(PIECEWISE, false);
        }
        true
    }

    /// Asks the processor for the header, the key and the beginning of the value.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let base = self.base().as_ptr();
        prefetch(base);
        prefetch(base.wrapping_add(64));
    }

    /// Asks the processor for what a collection is, some time after [`Self::prefetch`]; tells whether it is one.
    #[inline]
    pub(crate) fn prefetch_held(&self) -> bool {
        let Some(held) = self.held() else { return false };
        let held = std::ptr::from_ref(held).cast::<u8>();
        prefetch(held);
        prefetch(held.wrapping_add(size_of::<Held>() - 1));
        true
    }

    /// Bytes of memory that the entry holds, without its slot in the table.
    pub fn memory_bytes(&self) -> usize {
        let big = self.big().map_or(0, |b| b.bytes.capacity() + size_of::<BigString>());
        let elements = self.held().map_or(0, |held| held.collection.memory_bytes());
        size_class::of(self.layout().size()) + big + elements
    }

    fn layout(&self) -> Layout {
        let (value_len, key_len) = self.lens();
        Self::layout_of(self.flags(), key_len, value_len)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = self.layout();
        if self.flags() & IS_BOXED != 0 {
            // SAFETY: the pointer came from Box::into_raw in `new` and is owned by this entry alone.
            drop(unsafe { Box::from_raw(self.area().0.cast::<*mut BigString>().read_unaligned()) });
        }
        if self.flags() & IS_COLLECTION != 0 {
            // SAFETY: `new` has written it there, it is this entry's alone, and nobody reads it again.
            unsafe { self.area().0.cast::<Held>().drop_in_place() };
        }
        // SAFETY: the allocation was made with this very layout: flags that shape it and lengths never change.
        unsafe { dealloc(self.base().as_ptr(), layout) }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("seq", &self.seq())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Elements, Layout, Set};

    #[test]
    fn an_entry_is_one_word() {
        assert_eq!(size_of::<Option<Entry>>(), 8);
    }

    #[test]
    fn what_goes_in_comes_out() {
        for deadline in [None, Some(77)] {
            for tag in [0, 1, 15, 16, (1 << TAG_BITS) - 1] {
                let bytes = Entry::new(tag, b"key", NewValue::Bytes(b"some value"), deadline);
                assert_eq!((bytes.tag(), bytes.key(), bytes.deadline()), (tag, &b"key"[..], deadline));
                assert_eq!(bytes.string(), Some(ValueRef::Bytes(b"some value")));
                let int = Entry::new(tag, b"", NewValue::Int(i64::MIN), deadline);
                assert_eq!((int.key(), int.string()), (&b""[..], Some(ValueRef::Int(i64::MIN))));
                let big = Box::new(BigString { bytes: vec![9; 100], generation: 3 });
                let mut big = Entry::new(tag, b"k", NewValue::Big(big), deadline);
                big.big_mut().expect("made big").bytes.push(1);
                assert_eq!(big.string().map(|s| s.len()), Some(101));
                assert_eq!(big.big().expect("made big").generation, 3);
            }
        }
    }

    #[test]
    fn a_collection_is_held_at_an_aligned_place() {
        let layout = Layout::with_seed(1);
        for deadline in [None, Some(77)] {
            for key_len in 0..18 {
                let (key, mut set) = (vec![b'k'; key_len], Set::default());
                assert!(set.insert(b"member", &layout));
                let mut held = Held::new(9, set.into_collection());
                let mut entry = Entry::new(3, &key, NewValue::Collection(&mut held), deadline);
                assert!(held.collection.is_empty());
                assert_eq!((entry.key(), entry.deadline(), entry.string()), (&key[..], deadline, None));
                let set = entry.held_mut().and_then(|held| Set::of_mut(&mut held.collection));
                assert!(set.expect("it is a set").insert(b"another member", &layout));
                assert_eq!(entry.held().map(|held| (held.generation, held.collection.len())), Some((9, 2)));
                assert!(entry.memory_bytes() >= 16 + key_len + size_of::<Held>() + 20);
                assert!(!entry.overwrite(&NewValue::Int(1), deadline));
            }
        }
    }

    #[test]
    fn header_fields_do_not_disturb_one_another() {
        let mut entry = Entry::new(5, b"k", NewValue::Bytes(b"v"), Some(1));
        entry.set_pending();
        entry.set_access(0xabcdef);
        entry.set_token(true);
        entry.commit(SEQ_MASK);
        assert_eq!((entry.seq(), entry.access(), entry.is_pending()), (SEQ_MASK, 0xabcdef, false));
        assert!(entry.has_token());
        assert!(entry.replace_deadline(9));
        assert_eq!((entry.deadline(), entry.seq(), entry.tag()), (Some(9), SEQ_MASK, 5));
    }

    #[test]
    fn overwriting_in_place_needs_the_same_shape() {
        let mut entry = Entry::new(0, b"k", NewValue::Bytes(b"four"), None);
        assert!(entry.overwrite(&NewValue::Bytes(b"five"), None));
        assert_eq!(entry.string(), Some(ValueRef::Bytes(b"five")));
        assert!(!entry.overwrite(&NewValue::Bytes(b"longer"), None));
        assert!(!entry.overwrite(&NewValue::Int(1), None));
        assert!(!entry.overwrite(&NewValue::Bytes(b"four"), Some(1)));
        let mut int = Entry::new(0, b"k", NewValue::Int(1), Some(4));
        assert!(int.overwrite(&NewValue::Int(2), Some(5)));
        assert_eq!((int.string(), int.deadline()), (Some(ValueRef::Int(2)), Some(5)));
    }

    #[test]
    fn the_length_of_an_integer_is_that_of_its_text() {
        for i in [0, 9, 10, -1, -10, i64::MAX, i64::MIN] {
            assert_eq!(ValueRef::Int(i).len(), i.to_string().len(), "{i}");
        }
    }
}
