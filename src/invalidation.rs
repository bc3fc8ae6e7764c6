//! The section as its user holds it.

use std::fmt;
use std::marker::PhantomData;

use crate::engine::Engine;
use crate::interval::Interval;
use crate::section::Place;

/// An active section: a range is changing. Dropping it is the end.
///
/// ```
/// use notifier_index::{Event, Interval, NotifierIndex, Reason};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<()>();
/// let registration = index.insert(&ops, Interval::new(0, 9).unwrap(), ()).unwrap();
/// let ticket = registration.read_begin(Interval::point(5)).unwrap();
/// let section = index.invalidate(Interval::new(4, 6).unwrap(), Event::new(Reason::Protect));
/// // Here the source changes.
/// drop(section);
/// assert!(registration.read_retry(ticket), "what was read before may be old");
/// ```
///
/// Forgetting one keeps its fillers waiting for ever, as forgetting a lock's guard does. It stays on its thread, so that a
/// filler on the same thread is refused and not left waiting for itself.
#[must_use = "the section ends when this is dropped"]
pub struct Invalidation<'i> {
    engine: &'i Engine,
    place: Option<Place>,
    interval: Interval,
    thread: PhantomData<*const ()>,
}

impl<'i> Invalidation<'i> {
    pub(crate) fn new(engine: &'i Engine, place: Place, interval: Interval) -> Self {
        Invalidation { engine, place: Some(place), interval, thread: PhantomData }
    }

    /// One that stands in no table, and tells nobody.
    pub(crate) fn of_nobody(engine: &'i Engine, interval: Interval) -> Self {
        Invalidation { engine, place: None, interval, thread: PhantomData }
    }

    /// The range.
    pub fn interval(&self) -> Interval {
        self.interval
    }
}

impl Drop for Invalidation<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.engine.end_section(place);
        }
    }
}

impl fmt::Debug for Invalidation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalidation({})", self.interval)
    }
}
