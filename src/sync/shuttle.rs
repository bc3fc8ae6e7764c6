//! The façade over shuttle: every atomic operation is a point where another task may go on, all are sequentially
//! consistent, and tasks have thread-locals and statics of their own execution.

use super::Ordering;
use shuttle::sync::atomic::AtomicBool;

pub(crate) use super::event::{Event, listener};
pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic as raw;
pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use shuttle::thread::yield_now;
pub(crate) use shuttle::thread_local;
pub(crate) use std::alloc::dealloc;

macro_rules! process_wide {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;)+) => {
        shuttle::lazy_static! { $($(#[$attribute])* static ref $name: $type = $init;)+ }
    };
}
pub(crate) use process_wide;

/// Stands in memory that loom watches: shuttle does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness;

impl Witness {
    pub(crate) const fn new() -> Self {
        Witness
    }

    pub(crate) fn read(&self) {}

    pub(crate) fn write(&self) {}

    pub(crate) fn end(&self) {}
}

/// A point where another task may go on. A plain look rather than a yield: a yield would change priorities.
pub(crate) fn yield_point() {
    static POINT: AtomicBool = AtomicBool::new(false);
    POINT.load(Ordering::SeqCst);
}
