//! Reading through a cached version.

use std::alloc::handle_alloc_error;
use std::fmt;
use std::ptr;

use crate::busted::{self, Sabotage};
use crate::reclaim::pool::NoMemory;
use crate::shared::SharedEngine;
use crate::slots::{OwnSlot, Slots, UserKind};
use crate::version::Version;
use crate::view::{View, queries};

/// A per-thread handle with a cached version: the cheapest look-up.
///
/// Each call compares one word with the cached version and takes the newer one if there is one: by a few loads, two stores to a
/// line of its own and one fence, so that it may be used inside a signal handler, or inside a `malloc`.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let mut reader = index.reader();
/// let _registration = index.insert(&ops, Interval::point(7), "seven").unwrap();
/// assert!(reader.find(&ops, Interval::point(7)).is_some());
/// ```
///
/// Consistency: linearizable; see the crate's documentation.
///
/// Blocking: never. After its creation a reader allocates nothing, frees nothing and runs no destructor. While it is
/// idle it keeps the nodes of the version that it saw last, and nothing newer; [`rest`](Self::rest) lets go of those too.
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let index = notifier_index::NotifierIndex::new();
/// let mut reader = index.reader();
/// std::thread::scope(|scope| { scope.spawn(move || reader.view().len()); });
/// ```
/// ```
/// let index = notifier_index::NotifierIndex::new();
/// std::thread::scope(|scope| { scope.spawn(|| index.reader().view().len()); });
/// ```
///
/// A view cannot outlive the refresh that may let its version go:
///
/// ```compile_fail,E0499
/// let index = notifier_index::NotifierIndex::new();
/// let mut reader = index.reader();
/// let view = reader.view();
/// reader.view();
/// view.len();
/// ```
/// ```
/// let index = notifier_index::NotifierIndex::new();
/// let mut reader = index.reader();
/// let view = reader.view();
/// view.len();
/// reader.view();
/// ```
#[must_use = "a reader is for looking things up"]
pub struct Reader {
    /// Null while it rests. A pointer also keeps the reader on its thread.
    version: *const Version,
    // Declared before the engine, so dropped before it.
    slot: OwnSlot,
    engine: SharedEngine,
}

impl Reader {
    pub(crate) fn new(engine: &SharedEngine) -> Self {
        let slot = engine.slots.take(UserKind::Reader);
        let slot = slot.unwrap_or_else(|NoMemory| handle_alloc_error(Slots::layout()));
        let version = slot.mark().protect(&engine.cell).as_ptr();
        Reader { version, slot, engine: engine.clone() }
    }

    /// The newest version, for as long as the reader is borrowed.
    #[inline]
    pub fn view(&mut self) -> View<'_> {
        if !self.engine.cell.is_current(self.version) {
            self.refresh();
        }
        // SAFETY: [V1] kept by the slot until the next refresh, which needs this reader for itself.
        View::new(unsafe { &*self.version })
    }

    #[cold]
    fn refresh(&mut self) {
        if self.version.is_null() || !busted::is(Sabotage::StaleReader) {
            self.version = self.slot.mark().protect(&self.engine.cell).as_ptr();
        }
    }

    /// The version that it has, without a look for a newer one; `None` while it rests.
    ///
    /// Consistency: it may be old.
    pub fn cached(&self) -> Option<View<'_>> {
        // SAFETY: [V1] as in `view`.
        unsafe { self.version.as_ref() }.map(View::new)
    }

    /// Lets go of the version that it keeps, until it is used again.
    ///
    /// ```
    /// use notifier_index::NotifierIndex;
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<&str>();
    /// let mut reader = index.reader();
    /// let registration = index.insert(&ops, 7, "seven").unwrap();
    /// assert!(reader.find(&ops, 7).is_some());
    /// reader.rest(); // Before a thread sleeps.
    /// registration.remove().unwrap();
    /// assert!(reader.cached().is_none() && reader.find(&ops, 7).is_none());
    /// ```
    ///
    /// Blocking: never; one store.
    pub fn rest(&mut self) {
        self.version = ptr::null();
        self.slot.mark().clear();
    }

    queries!(self mut);
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cached() {
            Some(view) => write!(f, "Reader(version {})", view.version()),
            None => f.write_str("Reader(resting)"),
        }
    }
}
