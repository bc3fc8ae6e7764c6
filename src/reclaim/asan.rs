//! Tells AddressSanitizer which slots of the pool are free, under `--cfg asan_poison`: to it a slab is one allocation, so
//! that by itself it would not see that a freed node is still looked at.
//!
//! A free slot is hidden but for the links at its head, and shown again where it is taken.

use std::ptr::NonNull;

use super::pool::{Class, LINK_BYTES};

/// The slot is free from now on.
#[inline(always)]
pub(super) fn hide(slot: NonNull<u8>, class: Class) {
    // SAFETY: [P1] the slot is the giver's alone and `slot_bytes` long, of which the head stays open.
    unsafe {
        runtime::__asan_poison_memory_region(slot.as_ptr().add(LINK_BYTES), class.slot_bytes() - LINK_BYTES);
    }
}

/// The slot is in use from now on.
#[inline(always)]
pub(super) fn show(slot: NonNull<u8>, class: Class) {
    // SAFETY: [P1] the slot is the taker's alone and `slot_bytes` long.
    unsafe { runtime::__asan_unpoison_memory_region(slot.as_ptr(), class.slot_bytes()) };
}

#[cfg(asan_poison)]
mod runtime {
    unsafe extern "C" {
        pub(super) fn __asan_poison_memory_region(start: *const u8, bytes: usize);
        pub(super) fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
    }
}

#[cfg(not(asan_poison))]
mod runtime {
    #[inline(always)]
    pub(super) unsafe fn __asan_poison_memory_region(_start: *const u8, _bytes: usize) {}

    #[inline(always)]
    pub(super) unsafe fn __asan_unpoison_memory_region(_start: *const u8, _bytes: usize) {}
}
