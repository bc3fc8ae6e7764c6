//! Parts that loom explores alone, in fewer steps than a whole index takes: a door for `tests/loom/models/parts.rs`, built
//! under `--cfg loom` only.

use std::ptr::{self, NonNull};

use crate::activity;
use crate::gauge;
use crate::interval::Interval;
use crate::known;
use crate::reclaim::epoch;
use crate::section::{self, SectionTable, Walking};
use crate::sync::Arc;
use crate::version::{Version, VersionStack};

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

/// A version's count of owners, and where the last of them reports it.
pub struct Owned {
    version: NonNull<Version>,
    unowned: VersionStack,
}

// SAFETY: the version is shared as an index's are, and freed by the drop alone.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: from a box, and nobody else has it any more.
        drop(unsafe { Box::from_raw(self.version.as_ptr()) });
    }
}

impl Owned {
    /// A version with one owner.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let version = Box::into_raw(Box::new(Version::first(0, ptr::null())));
        Owned { version: NonNull::new(version).expect("a box is not null"), unowned: VersionStack::default() }
    }

    fn version(&self) -> &Version {
        // SAFETY: there until the drop.
        unsafe { self.version.as_ref() }
    }

    /// One owner more.
    pub fn acquire(&self) {
        self.version().acquire();
    }

    /// One owner less, who reports the version if he was the last.
    pub fn let_go(&self) {
        // SAFETY: owned by the caller; pushed where `let_go` has returned true.
        unsafe {
            if Version::let_go(self.version) {
                self.unowned.push(self.version);
            }
        }
    }

    /// The reclaimer passes; whether somebody still owns it.
    pub fn park(&self) -> bool {
        self.version().park()
    }

    /// Whether the last owner has reported it.
    pub fn take_unowned(&self) -> bool {
        !self.unowned.is_empty() && !self.unowned.take_all().is_null()
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
        epoch::drive(&self.0, seq);
    }

    /// What is below is out of the reach of every pin.
    pub fn load(&self) -> u64 {
        self.0.load()
    }
}
