//! Memory from the kernel and back, as the extent hooks need it: aligned, at a wished place or anywhere, in parts.
//!
//! Invariant that the `unsafe` blocks of this file rest on:
//! - **M1** An anonymous private mapping that is asked for without `MAP_FIXED` never replaces another one, so it
//!   touches nothing that anybody else owns.

use std::ffi::c_void;

use crate::span::Span;

/// Size of a page, the unit of everything here; jemalloc is built for the same one.
pub(crate) const PAGE: u64 = 4096;

/// Maps fresh zeroed memory anywhere, its address a multiple of `alignment` (a power of two, at least a page).
pub(crate) fn map(bytes: u64, alignment: u64) -> Option<Span> {
    if alignment <= PAGE {
        return map_somewhere(0, bytes);
    }
    let wide = map_somewhere(0, bytes.checked_add(alignment - PAGE)?)?;
    let start = wide.start().next_multiple_of(alignment);
    let kept = span_of(start, bytes)?;
    trim(wide, kept);
    Some(kept)
}

/// Maps fresh zeroed memory exactly there, or nothing if anything is there already.
pub(crate) fn map_at(start: u64, bytes: u64) -> Option<Span> {
    let got = map_somewhere(start, bytes)?;
    if got.start() == start {
        return Some(got);
    }
    // SAFETY: U1 of `unmap`: made three lines above, and nobody else has been told of it.
    unsafe { unmap(got) };
    None
}

/// Gives a mapping, or a part of one, back; false if the kernel refused, and then nothing has changed.
///
/// # Safety
/// **U1** Nobody uses this memory any more, and nobody does so after the call.
pub(crate) unsafe fn unmap(span: Span) -> bool {
    // SAFETY: U1 by contract.
    unsafe { libc::munmap(pointer(span.start()), byte_len(span)) == 0 }
}

/// Makes memory one that nobody can use; if the kernel refuses, it is only unused.
///
/// # Safety
/// U1.
pub(crate) unsafe fn forbid(span: Span) {
    // SAFETY: U1 by contract.
    unsafe { libc::mprotect(pointer(span.start()), byte_len(span), libc::PROT_NONE) };
}

/// Tells the kernel that the contents may go, at once (zeroed afterwards) or when it likes; false if it refused.
///
/// # Safety
/// **U2** Nobody relies on the contents of this memory any more.
pub(crate) unsafe fn discard(span: Span, at_once: bool) -> bool {
    let advice = if at_once { libc::MADV_DONTNEED } else { libc::MADV_FREE };
    // SAFETY: U2 by contract.
    unsafe { libc::madvise(pointer(span.start()), byte_len(span), advice) == 0 }
}

/// The span of so many bytes; `None` if there is none (no bytes, or past the end of the address space).
pub(crate) fn span_of(start: u64, bytes: u64) -> Option<Span> {
    Span::new(start, start.checked_add(bytes.checked_sub(1)?)?)
}

/// How many bytes a span of a real mapping has; never the whole address space.
pub(crate) fn bytes_of(span: Span) -> u64 {
    span.last() - span.start() + 1
}

fn map_somewhere(wish: u64, bytes: u64) -> Option<Span> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: M1.
    let start = unsafe { libc::mmap(pointer(wish), bytes as usize, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED { None } else { span_of(start as u64, bytes) }
}

/// Gives back what stands out of `kept` on both sides; a refusal leaves a few pages mapped that nobody uses.
fn trim(wide: Span, kept: Span) {
    let before = span_of(wide.start(), kept.start() - wide.start());
    let after = span_of(kept.last() + 1, wide.last() - kept.last());
    for edge in [before, after].into_iter().flatten() {
        // SAFETY: U1: the caller has just made `wide`, and has told nobody but of `kept`.
        unsafe { unmap(edge) };
    }
}

fn pointer(address: u64) -> *mut c_void {
    address as usize as *mut c_void
}

fn byte_len(span: Span) -> usize {
    bytes_of(span) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_aligned_and_can_be_given_back_in_parts() {
        let span = map(8 * PAGE, 1 << 21).unwrap();
        assert_eq!((span.start() % (1 << 21), bytes_of(span)), (0, 8 * PAGE));
        assert_eq!(map_at(span.start(), PAGE), None, "a place in use is refused");
        let (left, right) = (span_of(span.start(), PAGE), span_of(span.start() + PAGE, 7 * PAGE));
        // SAFETY: U1, U2: made above, used by nobody.
        unsafe {
            assert!(discard(left.unwrap(), true) && discard(left.unwrap(), false));
            assert!(unmap(right.unwrap()) && unmap(left.unwrap()));
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert_eq!(map(1 << 60, PAGE), None);
        assert_eq!(map(u64::MAX, 1 << 21), None);
        assert_eq!(span_of(5, 0), None);
        assert_eq!(span_of(u64::MAX, 2), None);
    }
}
