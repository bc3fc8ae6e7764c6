//! Something that is made at most once, by whoever wants it first, without a lock: a fork cannot copy it half made.

use std::alloc::{Layout, alloc};
use std::ptr::{self, NonNull};

use crate::reclaim::pool::NoMemory;
use crate::sync::{AtomicPtr, Ordering, dealloc};

/// A value, once it is made; it stays until this goes.
pub(crate) struct Made<T>(AtomicPtr<T>);

// SAFETY: the value is shared by reference, and dropped with this.
unsafe impl<T: Send + Sync> Send for Made<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Made<T> {}

impl<T> Made<T> {
    /// Not made yet.
    pub(crate) fn not_yet() -> Self {
        Made(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value, if it is made.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // [O29] Acquire, partner of the Release in `make`: the value. SAFETY: never freed while this is there.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: as above, and nobody else has it. [O29] Relaxed: `&mut`.
        unsafe { self.0.load(Ordering::Relaxed).as_mut() }
    }

    /// Makes the value, unless another was first: then this one is dropped.
    #[cold]
    pub(crate) fn make(&self, value: T) -> Result<(), NoMemory> {
        // SAFETY: no value of size zero is made.
        let made = NonNull::new(unsafe { alloc(Layout::new::<T>()) }.cast::<T>()).ok_or(NoMemory)?;
        // SAFETY: fresh memory of this layout.
        unsafe { made.write(value) };
        // [O29] Release, partner of the Acquire in `get`: the value.
        if self.0.compare_exchange(ptr::null_mut(), made.as_ptr(), Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: shown to nobody.
            unsafe { free(made) };
        }
        Ok(())
    }
}

/// # Safety
/// From `make`, and used no more.
unsafe fn free<T>(made: NonNull<T>) {
    // SAFETY: says the caller.
    unsafe {
        ptr::drop_in_place(made.as_ptr());
        dealloc(made.as_ptr().cast(), Layout::new::<T>());
    }
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        // [O29] Relaxed: `&mut`.
        if let Some(made) = NonNull::new(self.0.load(Ordering::Relaxed)) {
            // SAFETY: from `make`.
            unsafe { free(made) };
        }
    }
}
