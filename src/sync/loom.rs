//! The façade over loom. Each atomic operation asks [`weaken`] for its ordering, by the place that called it.
//!
//! loom explores two orders of a load and a store only if it still remembers the load when the store comes, and it
//! remembers one access of each object, the last: `load` by A, then `load` and `compare_exchange` by B, and the order
//! in which B is first is never tried. So each operation is preceded by a [`Step`] on an object that knows nothing but
//! read-modify-writes, where remembering the last is enough. A step changes nothing, synchronises nothing, and does
//! not narrow which stores the load may see.

use std::alloc::Layout;
use std::cell::Cell as PlainCell;
use std::ops::Deref;

use ::loom::cell::UnsafeCell;
use ::loom::sync::atomic as model;

use super::{Ordering, weaken};

pub(crate) use super::event::{Event, listener};
pub(crate) use ::loom::hint::spin_loop;
pub(crate) use ::loom::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use ::loom::thread::yield_now;

/// Makes loom remember that an object was used.
#[derive(Debug)]
struct Step(model::AtomicUsize);

impl Step {
    fn new() -> Self {
        Step(model::AtomicUsize::new(0))
    }

    /// An exchange that fails: it counts as a read-modify-write and stores nothing.
    fn take(&self) {
        let _ = self.0.compare_exchange(1, 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Operations that take a value and yield the one before.
macro_rules! read_modify_write {
    ($value:ty: $($operation:ident)+) => {
        $(#[track_caller]
        pub(crate) fn $operation(&self, value: $value, order: Ordering) -> $value {
            self.1.take();
            self.0.$operation(value, weaken::ordering(order))
        })+
    };
}

/// The operations that integers and pointers have in common.
macro_rules! common_operations {
    ($value:ty) => {
        #[track_caller]
        pub(crate) fn load(&self, order: Ordering) -> $value {
            self.1.take();
            self.0.load(weaken::ordering(order))
        }

        #[track_caller]
        pub(crate) fn store(&self, value: $value, order: Ordering) {
            self.1.take();
            self.0.store(value, weaken::ordering(order));
        }

        read_modify_write!($value: swap);

        #[track_caller]
        pub(crate) fn compare_exchange(
            &self,
            current: $value,
            new: $value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<$value, $value> {
            self.1.take();
            let (success, failure) = weaken::orderings(success, failure);
            self.0.compare_exchange(current, new, success, failure)
        }

        #[track_caller]
        pub(crate) fn compare_exchange_weak(
            &self,
            current: $value,
            new: $value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<$value, $value> {
            self.compare_exchange(current, new, success, failure)
        }
    };
}

macro_rules! atomic_integer {
    ($name:ident, $value:ty) => {
        /// As of the same name in std.
        #[derive(Debug)]
        pub(crate) struct $name(model::$name, Step);

        // Not every operation is used with every width.
        #[allow(dead_code)]
        impl $name {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                $name(model::$name::new(value), Step::new())
            }

            common_operations!($value);
            read_modify_write!($value: fetch_add fetch_sub fetch_or fetch_and fetch_max);

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.1.take();
                let (set, fetch) = weaken::orderings(set, fetch);
                self.0.fetch_update(set, fetch, update)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }
    };
}

atomic_integer!(AtomicU32, u32);
atomic_integer!(AtomicU64, u64);
atomic_integer!(AtomicUsize, usize);

/// As of the same name in std.
#[derive(Debug)]
pub(crate) struct AtomicPtr<T>(model::AtomicPtr<T>, Step);

impl<T> AtomicPtr<T> {
    #[track_caller]
    pub(crate) fn new(value: *mut T) -> Self {
        AtomicPtr(model::AtomicPtr::new(value), Step::new())
    }

    common_operations!(*mut T);
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(std::ptr::null_mut())
    }
}

/// As of the same name in std.
#[track_caller]
pub(crate) fn fence(order: Ordering) {
    if weaken::stands(order) {
        model::fence(order);
    }
}

/// Counted, with the orderings that std promises for the last drop. loom's own has no way to name a value before it
/// is there.
pub(crate) struct Arc<T>(std::sync::Arc<Shared<T>>);

/// The value first, so that its address is that of the whole.
#[repr(C)]
struct Shared<T> {
    value: T,
    dropped: model::AtomicUsize,
}

/// The address of a value that is being made.
pub(crate) struct Unborn<'a, T>(&'a std::sync::Weak<Shared<T>>);

impl<T> Unborn<'_, T> {
    pub(crate) fn as_ptr(&self) -> *const T {
        self.0.as_ptr().cast()
    }
}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::new_cyclic(|_| value)
    }

    pub(crate) fn new_cyclic(make: impl FnOnce(&Unborn<'_, T>) -> T) -> Self {
        Arc(std::sync::Arc::new_cyclic(|weak| Shared {
            value: make(&Unborn(weak)),
            dropped: model::AtomicUsize::new(0),
        }))
    }

    pub(crate) fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.0, &other.0)
    }

    /// # Safety
    /// As in std.
    pub(crate) unsafe fn increment_strong_count(value: *const T) {
        // SAFETY: the value's address is that of the whole, which is counted, says the caller.
        unsafe { std::sync::Arc::increment_strong_count(value.cast::<Shared<T>>()) };
    }

    /// # Safety
    /// As in std.
    pub(crate) unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the value's address is that of the whole; one count is the caller's to give.
        Arc(unsafe { std::sync::Arc::from_raw(value.cast()) })
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Arc(std::sync::Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        // All uses through other counts happen before the drop of the value, which follows in the same step.
        self.0.dropped.fetch_add(1, Ordering::AcqRel);
    }
}

macro_rules! process_wide {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;)+) => {
        ::loom::lazy_static! { $($(#[$attribute])* static ref $name: $type = $init;)+ }
    };
}
pub(crate) use process_wide;

macro_rules! local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;)+) => {
        ::loom::thread_local! { $($(#[$attribute])* static $name: $type = $init;)+ }
    };
}
pub(crate) use local as thread_local;

/// Memory that was given back, until the end of the execution: so a use of it is one that its witness can tell, and no
/// execution depends on which address the allocator gives next.
#[derive(Default)]
struct Quarantine(std::sync::Mutex<Vec<(*mut u8, Layout)>>);

// SAFETY: nobody uses the memory any more.
unsafe impl Send for Quarantine {}
// SAFETY: as above.
unsafe impl Sync for Quarantine {}

process_wide! {
    static QUARANTINE: Quarantine = Quarantine::default();
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        for (memory, layout) in self.0.get_mut().expect("no holder panics").drain(..) {
            // SAFETY: given to `dealloc`, once.
            unsafe { std::alloc::dealloc(memory, layout) };
        }
    }
}

/// # Safety
/// As in std.
pub(crate) unsafe fn dealloc(memory: *mut u8, layout: Layout) {
    QUARANTINE.0.lock().expect("no holder panics").push((memory, layout));
}

/// Stands in memory that loom cannot see, and is looked at and given up with it.
#[derive(Debug)]
pub(crate) struct Witness(UnsafeCell<PlainCell<bool>>);

impl Witness {
    /// The memory is written for the first time.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Witness(UnsafeCell::new(PlainCell::new(true)))
    }

    /// The memory is read: its writing must have happened before, and its end must not.
    #[track_caller]
    pub(crate) fn read(&self) {
        // SAFETY: the closure looks at the cell that it is given; that the memory is there is what is asked.
        let is_there = self.0.with(|witness| unsafe { (*witness).get() });
        assert!(is_there, "memory was read after its end");
    }

    /// The memory is written, by one at a time: all other uses must have happened before.
    #[track_caller]
    pub(crate) fn write(&self) {
        // SAFETY: as in `read`.
        let is_there = self.0.with_mut(|witness| unsafe { (*witness).get() });
        assert!(is_there, "memory was written after its end");
    }

    /// The memory is given up: all reads must have happened before.
    #[track_caller]
    pub(crate) fn end(&self) {
        // SAFETY: as in `read`.
        let was_there = self.0.with_mut(|witness| unsafe { (*witness).replace(false) });
        assert!(was_there, "memory was given up twice");
    }
}

/// loom goes on elsewhere at each operation; nothing is to be added.
pub(crate) fn yield_point() {}
