//! Reading under an epoch pin.

use crate::NotifierIndex;
use crate::reclaim::epoch::{self, Pin};
use crate::shared::SharedEngine;
use crate::snapshot::Snapshot;
use crate::view::{View, queries};

/// An epoch pin: a short protection, for some look-ups in a row on one thread.
///
/// Each call looks at the version that is current at that moment, so a find sees every change that returned before
/// it, also one made under the same guard; [`view`](Guard::view) fixes one version for several queries.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let guard = index.pin();
/// let _registration = index.insert(&ops, Interval::point(7), "seven").unwrap();
/// let hit = guard.find(&ops, Interval::point(7)).unwrap();
/// assert_eq!(*hit.payload(), "seven");
/// ```
///
/// Consistency: linearizable; see the crate's documentation.
///
/// Blocking: never. A long-lived guard keeps everything that is retired meanwhile, up to
/// [`Config::retired_limit`](crate::Config::retired_limit), where changes begin to fail: for long scans take a
/// [`Snapshot`].
///
/// A guard stays on its thread:
///
/// ```compile_fail,E0277
/// let index = notifier_index::NotifierIndex::new();
/// let guard = index.pin();
/// std::thread::scope(|scope| { scope.spawn(move || guard.view().len()); });
/// ```
/// ```
/// let index = notifier_index::NotifierIndex::new();
/// let snapshot = index.snapshot();
/// std::thread::scope(|scope| { scope.spawn(move || snapshot.view().len()); });
/// ```
#[must_use = "it protects only as long as it is kept"]
pub struct Guard<'i> {
    pin: Pin,
    engine: &'i SharedEngine,
}

impl<'i> Guard<'i> {
    #[inline]
    pub(crate) fn new(index: &'i NotifierIndex) -> Self {
        Guard { pin: epoch::pin(), engine: index.engine() }
    }

    /// The newest version, for as long as the guard is borrowed.
    #[inline]
    pub fn view(&self) -> View<'_> {
        // SAFETY: [V1] this thread is pinned for as long as the guard exists, and the view borrows it.
        View::new(unsafe { self.engine.cell.under_pin() })
    }

    /// Lets the epoch go on and pins anew, for less than a new guard costs.
    ///
    /// ```compile_fail,E0502
    /// let index = notifier_index::NotifierIndex::new();
    /// let mut guard = index.pin();
    /// let view = guard.view();
    /// guard.repin();
    /// view.len();
    /// ```
    /// ```
    /// let index = notifier_index::NotifierIndex::new();
    /// let mut guard = index.pin();
    /// let view = guard.view();
    /// view.len();
    /// guard.repin();
    /// ```
    pub fn repin(&mut self) {
        self.pin.repin();
    }

    /// The newest version, kept for as long as the handle is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.engine.clone())
    }

    queries!(self);
}

impl std::fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard(version {})", self.view().version())
    }
}
