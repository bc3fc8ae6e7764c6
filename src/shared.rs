//! The counted handle of an engine.

use std::mem::ManuallyDrop;
use std::ops::Deref;

use crate::engine::Engine;
use crate::sync::Arc;

/// An `Arc` that lets go of nothing in a child of `fork`, where others may have been in the middle of everything: so an
/// inherited engine, and all memory that its versions reach, stays for as long as the child.
pub(crate) struct SharedEngine(ManuallyDrop<Arc<Engine>>);

impl SharedEngine {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        SharedEngine(ManuallyDrop::new(engine))
    }

    /// One handle more of an engine that has some.
    ///
    /// # Safety
    /// \[V5] `engine` is the address of an `Arc`'s value with a count above zero.
    pub(crate) unsafe fn share(engine: *const Engine) -> Self {
        // SAFETY: [V5], says the caller.
        SharedEngine::new(unsafe {
            Arc::increment_strong_count(engine);
            Arc::from_raw(engine)
        })
    }

    /// Whether both are of the same index.
    pub(crate) fn is_same(&self, other: &SharedEngine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for SharedEngine {
    type Target = Engine;

    #[inline]
    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl Clone for SharedEngine {
    #[inline]
    fn clone(&self) -> Self {
        SharedEngine(ManuallyDrop::new(Arc::clone(&self.0)))
    }
}

impl Drop for SharedEngine {
    fn drop(&mut self) {
        if !self.is_inherited() {
            // SAFETY: dropped here only, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}
