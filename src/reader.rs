//! Reading through a cached version.

use std::fmt;
use std::marker::PhantomData;

use crate::publish::VersionHandle;
use crate::shared::SharedEngine;
use crate::view::{View, queries};

/// A per-thread handle with a cached version: the cheapest look-up.
///
/// Each call compares one word with the cached version and takes the newer one if there is one.
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
/// idle it keeps the nodes of the version that it saw last, and nothing newer.
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
    // Declared before the engine, so dropped before it ([V5]).
    version: VersionHandle,
    engine: SharedEngine,
    /// Bound to the thread whose protection slots `arc_swap` has prepared: so refreshing never allocates.
    thread: PhantomData<*const ()>,
}

impl Reader {
    pub(crate) fn new(engine: &SharedEngine) -> Self {
        Reader { version: engine.cell.load(), engine: engine.clone(), thread: PhantomData }
    }

    /// The newest version, for as long as the reader is borrowed.
    #[inline]
    pub fn view(&mut self) -> View<'_> {
        if !self.engine.cell.is_current(&self.version) {
            self.refresh();
        }
        View::new(&self.version)
    }

    #[cold]
    fn refresh(&mut self) {
        self.version = self.engine.cell.load();
    }

    queries!(self mut);
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader(version {})", self.version.seq)
    }
}
