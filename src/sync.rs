//! The one door to atomics and locks: everything else in this crate takes them from here, so that a model
//! checker can be put behind the same names.
//!
//! Two kinds of locks are used and both only through `try_lock`: whoever does not get one goes on without,
//! so no writer ever waits for another.

pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// A value alone on its cache lines (two of them: adjacent lines are fetched together), so that writes to
/// its neighbours do not slow down those who read it.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Padded<T>(pub(crate) T);

/// Takes `mutex` if nobody holds it; a panic of an earlier holder is no reason to refuse.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
