//! Telling the processor what will be needed soon.
//!
//! With a million keys, most of a command's time is waiting for memory: the slot of the table, then the entry. Commands
//! that arrive in a pipeline are known before they run, so their lines are asked for together and arrive together.
#![expect(unsafe_code, reason = "prefetching is an intrinsic; it reads nothing and cannot fault")]

/// Asks for the cache line of an address, if the processor can be asked. Any address will do.
#[inline]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch has no effect on memory and never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
