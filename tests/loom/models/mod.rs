//! The models, and what they share.

mod handles;
mod parts;
mod publication;
mod reclamation;
mod removal;
mod sections;

use crate::runner::Model;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};
use notifier_index::{Event, Interval, Invalidating, Notifier, NotifierIndex, Reason, Registration, WouldBlock};
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    parts::GAUGE,
    parts::GAUGE_BARRIER,
    parts::GAUGE_PASSED,
    parts::KNOWN,
    parts::MARK,
    parts::SHARED_MARK,
    parts::REUSED_MARK,
    parts::GROWTH,
    parts::STRAYS,
    parts::WALKS,
    parts::HORIZON,
    publication::VISIBLE,
    publication::NOTHING_LOST,
    publication::AGREE,
    publication::DEAD,
    publication::CLOSE,
    reclamation::PIN,
    reclamation::SNAPSHOT,
    reclamation::OWNERS,
    reclamation::GRACE,
    reclamation::SLOTS,
    reclamation::SLABS,
    reclamation::HANDLES,
    handles::CLAIM,
    handles::CLAIMS,
    handles::CLEAR,
    handles::CARVE,
    sections::INSERT,
    sections::NEXT,
    sections::NEXT_BELOW,
    sections::SLOT,
    sections::UPDATE,
    sections::SHRINK,
    sections::SHRINK_HIT,
    sections::GROWTH,
    sections::BATCH,
    sections::CARVE,
    sections::CARVE_REMOVES,
    sections::REMOVAL,
    sections::KNOWN,
    sections::OVERFLOW,
    sections::TICKET,
    sections::WAITER,
    sections::WAITER_OF_TWO,
    removal::CALLBACK,
    removal::BARRIER,
    removal::DEFERRED,
];

/// An interval from literals.
fn interval(start: u64, last: u64) -> Interval {
    Interval::new(start, last).expect("in order")
}

/// The range that sections and fillers of all models are about.
fn range() -> Interval {
    interval(10, 19)
}

/// What notifiers mirror: one number, without an order of its own.
struct Source(AtomicU64);

impl Source {
    fn new() -> Arc<Self> {
        Arc::new(Source(AtomicU64::new(0)))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes the source inside a section.
    fn change(&self, index: &NotifierIndex) {
        let section = index.invalidate(range(), Event::new(Reason::Clear));
        self.set();
        drop(section);
    }

    fn set(&self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

/// A copy of the source, which must not be old.
struct Mirror(Mutex<Option<u64>>);

impl Mirror {
    fn new() -> Self {
        Mirror(Mutex::new(None))
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn get(&self) -> Option<u64> {
        *self.0.lock().unwrap()
    }
}

impl Notifier for Mirror {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.clear();
        Ok(())
    }
}

/// One try to fill the mirror, by the rules.
fn fill(registration: &Registration<Mirror>, source: &Source) {
    let Ok(ticket) = registration.read_begin(range()) else { return };
    let seen = source.get();
    let mut entry = registration.payload().0.lock().unwrap();
    if !registration.read_retry(ticket) {
        *entry = Some(seen);
    }
}

/// After all: empty, or up to date.
fn assert_not_stale(registration: &Registration<Mirror>) {
    let entry = registration.payload().get();
    assert!(entry.is_none_or(|entry| entry == 1), "the mirror shows the source as it was before the section");
}
