//! Parts that loom explores alone, in fewer steps than a whole index takes: a door for `tests/loom/models/parts.rs`, built
//! under `--cfg loom` only.

use std::ptr::{self, NonNull};
use std::sync::Mutex;

use crate::activity;
use crate::gauge;
use crate::interval::Interval;
use crate::known;
use crate::publish::VersionCell;
use crate::reclaim::pool::Class;
use crate::reclaim::{self, Chained, Retired, epoch};
use crate::section::{self, SectionTable, Walking};
use crate::slots::{OwnSlot, Protected, Slots, UserKind};
use crate::sync::Arc;
use crate::version::Version;

/// A count, and waiting for those that are counted.
#[derive(Default)]
pub struct Gauge(gauge::Gauge);

/// Under which count something was entered.
pub struct Entry(gauge::Entry);

impl Gauge {
    /// One more.
    pub fn enter(&self) -> Entry {
        Entry(self.0.enter())
    }

    /// One less.
    pub fn leave(&self, entry: Entry) {
        self.0.leave(entry.0);
    }

    /// The phase in which all that are counted now have left.
    pub fn target(&self) -> u64 {
        self.0.target()
    }

    /// Pushes the phase on as far as it goes; whether it has reached `target`.
    pub fn advance(&self, target: u64) -> bool {
        self.0.advance(target)
    }
}

/// A notifier's word.
pub struct Activity(activity::Activity);

/// A generation.
#[derive(Clone, Copy)]
pub struct Stamp(activity::Stamp);

impl Activity {
    /// That of a notifier to which nothing has happened.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Activity(activity::Activity::new())
    }

    /// Marks it dead.
    pub fn mark_removed(&self) {
        self.0.mark_removed();
    }

    /// Begins a callback; false if it is dead.
    pub fn enter(&self) -> bool {
        self.0.enter()
    }

    /// Its generation.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.0.stamp())
    }

    /// Begins a new generation.
    pub fn raise(&self) {
        self.0.raise();
    }
}

/// Bounds that are known.
pub struct Known(known::Known);

impl Known {
    /// None.
    pub fn nothing() -> Self {
        Known(known::Known::nothing())
    }

    /// Whether `interval` is known to be covered in the generation `stamp`.
    pub fn covers(&self, stamp: Stamp, interval: Interval) -> bool {
        self.0.covers(stamp.0, interval)
    }

    /// Notes what was seen in the generation `stamp`.
    pub fn note(&self, stamp: Stamp, bounds: Interval) {
        self.0.note(stamp.0, bounds);
    }
}

/// The active sections.
pub struct Sections(SectionTable);

/// The place of a section.
#[derive(Clone, Copy)]
pub struct Place(section::Place);

/// That a section makes callbacks.
pub struct Walk(Walking);

impl Sections {
    /// None.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Sections(SectionTable::new(0))
    }

    /// A section over everything begins.
    pub fn begin(&self, seat: usize) -> Place {
        Place(self.0.begin(Interval::FULL, seat, seat as u64))
    }

    /// Its callbacks begin.
    pub fn walk(&self, place: Place) -> Walk {
        Walk(self.0.walk(place.0))
    }

    /// Its callbacks have returned.
    pub fn stand(&self, place: Place, walk: Walk) {
        self.0.stand(place.0, walk.0);
    }

    /// It is over.
    pub fn end(&self, place: Place) {
        self.0.end(place.0);
    }

    /// Waits for the callbacks that run now.
    pub fn wait_for_walks(&self) {
        self.0.wait_for_walks();
    }
}

/// A word for the current version, slots, and versions that reach nothing.
pub struct Marked {
    cell: VersionCell,
    slots: Slots,
    versions: Mutex<Vec<NonNull<Version>>>,
}

// SAFETY: versions are shared as an index's are, and freed by the drop alone.
unsafe impl Send for Marked {}
// SAFETY: as above.
unsafe impl Sync for Marked {}

fn boxed_first() -> NonNull<Version> {
    NonNull::new(Box::into_raw(Box::new(Version::first(0, ptr::null())))).expect("a box")
}

/// A protection slot.
pub struct Slot(OwnSlot);

impl Marked {
    /// With version 0.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let first = boxed_first();
        Marked { cell: VersionCell::new(first), slots: Slots::new(), versions: Mutex::new(vec![first]) }
    }

    /// A slot that protects nothing.
    pub fn take(&self) -> Slot {
        Slot(self.slots.take(UserKind::Reader).expect("memory"))
    }

    /// Protects the newest version in the slot; its number.
    pub fn protect(&self, slot: &Slot) -> u64 {
        // SAFETY: there until the drop.
        unsafe { slot.0.mark().protect(&self.cell).as_ref() }.seq
    }

    /// The next version is current. One caller at a time.
    pub fn publish(&self) {
        let base = self.cell.look();
        let next = NonNull::new(Box::into_raw(Box::<Version>::new_uninit())).expect("a box").cast::<Version>();
        // SAFETY: private memory; the base is there until the drop, as all are.
        unsafe {
            Version::write_successor(next, base.as_ref());
            assert!(self.cell.publish(base, next));
        }
        self.versions.lock().expect("no holder panics").push(next);
    }

    /// Whether nobody can reach a version that was replaced before this call.
    pub fn is_free(&self, number: u64) -> bool {
        let mut protected = Protected::default();
        self.slots.scan(&mut protected, number + 1, |_| ());
        !protected.contains(number) && !protected.is_open_at(number)
    }
}

impl Slot {
    /// One slot for two.
    pub fn share(&self) -> Slot {
        Slot(self.0.share())
    }

    /// Nothing is used any more.
    pub fn clear(&self) {
        self.0.mark().clear();
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        for version in self.versions.get_mut().expect("no holder panics").drain(..) {
            // SAFETY: from a box, and nobody else has it any more.
            drop(unsafe { Box::from_raw(version.as_ptr()) });
        }
    }
}

/// What benches have left that are gone.
pub struct Strays {
    strays: reclaim::Strays,
    versions: Mutex<Vec<NonNull<Version>>>,
}

// SAFETY: versions are shared as an index's are, and freed by the drop alone.
unsafe impl Send for Strays {}
// SAFETY: as above.
unsafe impl Sync for Strays {}

impl Strays {
    /// Nothing.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Strays { strays: reclaim::Strays::default(), versions: Mutex::default() }
    }

    /// A bench goes, and leaves a version.
    pub fn leave(&self) {
        let version = boxed_first();
        self.versions.lock().expect("no holder panics").push(version);
        let mut retired = Retired::NOTHING;
        // SAFETY: nobody else has the version.
        unsafe { retired.add(version, Chained::EMPTY) };
        retired.leave(&self.strays);
    }

    /// Another takes over what is there; how many versions.
    pub fn take_over(&self) -> u64 {
        let mut retired = Retired::NOTHING;
        retired.adopt(&self.strays);
        retired.waiting_bytes() / Class::Large.slot_bytes() as u64
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        for version in self.versions.get_mut().expect("no holder panics").drain(..) {
            // SAFETY: from a box, and nobody else has it any more.
            drop(unsafe { Box::from_raw(version.as_ptr()) });
        }
    }
}

/// What grace periods have passed.
#[derive(Default)]
pub struct Horizon(Arc<epoch::Horizon>);

/// That the calling thread is pinned.
pub struct Pin(#[expect(dead_code, reason = "held")] epoch::Pin);

/// Pins the calling thread.
pub fn pin() -> Pin {
    Pin(epoch::pin())
}

impl Horizon {
    /// Brings it nearer to `seq`.
    pub fn drive(&self, seq: u64) {
        epoch::drive(&self.0, || seq);
    }

    /// What is below is out of the reach of every pin.
    pub fn load(&self) -> u64 {
        self.0.load()
    }
}
