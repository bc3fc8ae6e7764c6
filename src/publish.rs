//! The cell: which version is the current one, and how all three ways of reading agree on it.
//!
//! Two words name the current version. `owner` (an `ArcSwap`) owns it and is what writers compare and swap;
//! `mirror` is a plain pointer that a pinned reader loads in one instruction. They cannot move at the same
//! instant, so one of them has to be the truth: **the mirror is**. A change takes effect when the mirror
//! moves to its version.
//!
//! ```text
//!   owner :  5 ──────> 6 ────────────> 7             compare-and-swap by the writer
//!   mirror:  5 ───────────> 6 ────────────> 7        compare-and-swap by the writer, or by anyone who helps
//!                           ^ takes effect  ^
//! ```
//!
//! - **\[M1]** *The mirror is the owner's version or its base.* A writer helps the mirror to its base before it
//!   swaps the owner away from it.
//! - **\[M2]** *Nobody uses a version from the owner before the mirror has reached it.* Whoever takes one first
//!   helps: one compare-and-swap from `version.base` to `version`. By \[M1] that either succeeds or the
//!   mirror is there or further already. No loop, no pin, no allocation.
//! - **\[M3]** *That compare-and-swap cannot be fooled by a reused address.* The helper owns `version`, and
//!   the record of its base stays allocated as long as it is owned (\[V3]), so while the mirror holds that
//!   address it is the base.
//! - **\[M4]** *A reader compares the mirror with the version it owns*, whose address cannot be reused meanwhile:
//!   equal means current. So one load validates a cached version, and `Guard`, `Reader` and `Snapshot` all
//!   linearize at the mirror.
//!
//! `arc_swap::Cache` would compare with the owner instead and then need a second look at the mirror.

use std::ptr::NonNull;

use crate::busted::{self, Sabotage};
use crate::sync::{AtomicPtr, Borrowed, Ordering, Padded, RefCnt, SharedCell, yield_point};
use crate::version::Version;

/// Owning one count of a version.
pub(crate) struct VersionHandle(NonNull<Version>);

// SAFETY: [V1] a version is shared by threads from its publication on; the count is atomic.
unsafe impl Send for VersionHandle {}
// SAFETY: as above.
unsafe impl Sync for VersionHandle {}

impl VersionHandle {
    /// # Safety
    /// One count of the version is given to the handle.
    pub(crate) unsafe fn from_count(version: NonNull<Version>) -> Self {
        VersionHandle(version)
    }

    /// Another handle, unless nobody owns the version any more.
    ///
    /// # Safety
    /// [V1] The version is protected while this runs.
    pub(crate) unsafe fn try_from_protected(version: NonNull<Version>) -> Option<Self> {
        // SAFETY: [V1], says the caller.
        let acquired = unsafe { version.as_ref() }.try_acquire();
        // Only now a handle: one that is made and dropped again would let go of a count that nobody took.
        acquired.then(|| VersionHandle(version))
    }

    /// The pointer that the version's memory was taken as: it may be freed through this.
    pub(crate) fn pointer(&self) -> NonNull<Version> {
        self.0
    }
}

impl std::ops::Deref for VersionHandle {
    type Target = Version;

    #[inline]
    fn deref(&self) -> &Version {
        // SAFETY: [V1] owned.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for VersionHandle {
    fn clone(&self) -> Self {
        self.acquire();
        VersionHandle(self.0)
    }
}

impl Drop for VersionHandle {
    fn drop(&mut self) {
        // SAFETY: [V1] owned until `let_go` returns. After that the engine is used only if the version was
        // parked, which keeps its record until it is popped; [V5] the engine is there.
        unsafe {
            if Version::let_go(self.0) {
                self.0.as_ref().engine().report_unowned(self.0);
            }
        }
    }
}

// SAFETY: `into_ptr` and `from_ptr` carry one count each way, `as_ptr` and clones of the handle name the same
// version, and an owned version neither moves nor goes away ([V1]).
unsafe impl RefCnt for VersionHandle {
    type Base = Version;

    fn into_ptr(me: Self) -> *mut Version {
        std::mem::ManuallyDrop::new(me).0.as_ptr()
    }

    fn as_ptr(me: &Self) -> *mut Version {
        me.0.as_ptr()
    }

    unsafe fn from_ptr(version: *const Version) -> Self {
        // SAFETY: [V1] the pointer came from `into_ptr`, so it is not null.
        VersionHandle(unsafe { NonNull::new_unchecked(version.cast_mut()) })
    }
}

/// A version that a writer has borrowed from the cell: as good as owned, and cheaper to take.
pub(crate) type Base = Borrowed<VersionHandle>;

/// The current version of an index.
pub(crate) struct VersionCell {
    owner: Padded<SharedCell<VersionHandle>>,
    mirror: Padded<AtomicPtr<Version>>,
}

impl VersionCell {
    pub(crate) fn new(first: VersionHandle) -> Self {
        let mirror = Padded(AtomicPtr::new(first.0.as_ptr()));
        VersionCell { owner: Padded(SharedCell::new(first)), mirror }
    }

    /// The current version, owned.
    pub(crate) fn load(&self) -> VersionHandle {
        yield_point();
        let version = self.owner.0.load_full();
        yield_point();
        self.help_on_the_way(&version);
        version
    }

    /// The current version, borrowed.
    pub(crate) fn borrow(&self) -> Base {
        yield_point();
        let version = self.owner.0.load();
        yield_point();
        self.help_on_the_way(&version);
        version
    }

    /// Whether `version` is the current one.
    #[inline]
    pub(crate) fn is_current(&self, version: &VersionHandle) -> bool {
        self.is_mirrored(version)
    }

    /// The same, for a version that is protected in whichever way.
    #[inline]
    pub(crate) fn is_mirrored(&self, version: &Version) -> bool {
        yield_point();
        // [O2] Acquire, partner of the Release in `help`: if it is not, the newer one's contents.
        std::ptr::eq(self.mirror.0.load(Ordering::Acquire), version)
    }

    /// The current version, for a reader under a pin.
    ///
    /// # Safety
    /// The calling thread is pinned, and stays so for as long as the reference is used.
    #[inline]
    pub(crate) unsafe fn mirrored<'p>(&self) -> &'p Version {
        // SAFETY: [V1] loaded from the mirror under a pin, says the caller.
        unsafe { self.mirrored_pointer().as_ref() }
    }

    /// The same, as the pointer that its memory was taken as.
    ///
    /// # Safety
    /// As for `mirrored`.
    #[inline]
    pub(crate) unsafe fn mirrored_pointer(&self) -> NonNull<Version> {
        yield_point();
        // [O1] Acquire, partner of the Release in `help`: the contents of the version.
        let version = self.mirror.0.load(Ordering::Acquire);
        yield_point();
        // SAFETY: the mirror is never null.
        unsafe { NonNull::new_unchecked(version) }
    }

    /// Makes `next` the current version if `base`, its base, still is. True if so; then it has taken effect.
    pub(crate) fn publish(&self, base: &Base, next: &VersionHandle) -> bool {
        yield_point();
        let before = self.owner.0.compare_and_swap(base, next.clone());
        yield_point();
        let won = RefCnt::as_ptr(&*before) == RefCnt::as_ptr(&**base) || busted::is(Sabotage::LostUpdate);
        if won && !busted::is(Sabotage::MirrorBehind) {
            self.help(next);
        }
        won
    }

    #[inline]
    fn help_on_the_way(&self, version: &VersionHandle) {
        if !busted::is(Sabotage::NoHelp) {
            self.help(version);
        }
    }

    /// Moves the mirror from the version's base to the version, if it has not got there ([M2]).
    #[inline]
    fn help(&self, version: &VersionHandle) {
        let version_ptr = version.0.as_ptr();
        // [O3] Relaxed: what is behind the version was acquired with it from the owner.
        if self.mirror.0.load(Ordering::Relaxed) != version_ptr {
            // [O3] Release, partners [O1] and [O2]: publishes the version's contents, also those that this helper has
            // from others. A failure means that the mirror is past the base already, and Relaxed is enough as above.
            let _ = self.mirror.0.compare_exchange(
                version.base(),
                version_ptr,
                busted::weaker(Sabotage::RelaxedPublish, Ordering::Release),
                Ordering::Relaxed,
            );
        }
    }
}
