//! The cell: which version is the current one.
//!
//! One word names it. A writer protects the current version, builds the next one from it, and moves the word from the one to
//! the other by compare-and-swap. That is the instant at which a change takes effect, for all ways of reading:
//!
//! ```text
//!   current:  5 ──────────> 6 ──────────> 7
//! ```
//!
//! - **\[M1]** *The word is moved only by one who protects the version in it*, so no address can come back meanwhile: if the
//!   word still has the base's address, it is the base.
//! - **\[M2]** *A reader compares the word with the version that it protects*: equal means current. So one load validates a
//!   version, and `Guard`, `Reader` and `Snapshot` linearize at the same word.

use std::ptr::NonNull;

use crate::busted::{self, Sabotage};
use crate::sync::{AtomicPtr, Ordering, Padded, yield_point};
use crate::version::Version;

/// The current version of an index.
pub(crate) struct VersionCell {
    current: Padded<AtomicPtr<Version>>,
}

impl VersionCell {
    pub(crate) fn new(first: NonNull<Version>) -> Self {
        VersionCell { current: Padded(AtomicPtr::new(first.as_ptr())) }
    }

    /// Whether `version` is the current one. It is protected, or null.
    #[inline]
    pub(crate) fn is_current(&self, version: *const Version) -> bool {
        yield_point();
        // [O2] Relaxed: what is behind an equal pointer was acquired with it, and one that is not equal is looked at again.
        std::ptr::eq(self.current.0.load(Ordering::Relaxed), version)
    }

    /// The current version; there for sure only if the caller has protected what may be found here.
    #[inline]
    pub(crate) fn look(&self) -> NonNull<Version> {
        yield_point();
        // [O1] Acquire, partner of the Release in `publish`: the contents of the version.
        let version = self.current.0.load(Ordering::Acquire);
        yield_point();
        // SAFETY: the word is never null.
        unsafe { NonNull::new_unchecked(version) }
    }

    /// The current version, for a reader under a pin.
    ///
    /// # Safety
    /// The calling thread is pinned, and stays so for as long as the reference is used.
    #[inline]
    pub(crate) unsafe fn under_pin<'p>(&self) -> &'p Version {
        // SAFETY: [V1] loaded under a pin, says the caller.
        unsafe { self.look().as_ref() }
    }

    /// Makes `next` the current version if `base`, its base, still is. True if so; then it has taken effect.
    ///
    /// # Safety
    /// [M1] The caller protects `base`.
    pub(crate) unsafe fn publish(&self, base: NonNull<Version>, next: NonNull<Version>) -> bool {
        yield_point();
        // [O3] Release, partner of the Acquire in `look`: publishes the version's contents. A failure is not looked into.
        let release = busted::weaker(Sabotage::RelaxedPublish, Ordering::Release);
        let moved = self.current.0.compare_exchange(base.as_ptr(), next.as_ptr(), release, Ordering::Relaxed);
        yield_point();
        moved.is_ok() || busted::is(Sabotage::LostUpdate)
    }
}
