//! Handles that are kept for too long: holds, snapshots, readers, pins.

use std::time::{Duration, Instant};

use notifier_index::{Interval, Reader, Snapshot, View};

use super::looks;
use super::marks::Mark;
use super::seat::Seat;
use super::world::{EXTENTS, TOLD};
use crate::model::{Answer, Query};

/// Holds that a thread keeps.
const HOLDS: usize = 32;
/// Snapshots that a thread keeps.
const SNAPSHOTS: usize = 4;
/// Versions over which a handle has to stay to count as parked.
const PARKED_VERSIONS: u64 = 1000;
/// Versions over which a pin has to stay to count as long.
const LONG_PIN_VERSIONS: u64 = 100;

/// A snapshot that is kept, and what it said at first.
#[derive(Debug)]
pub(crate) struct Parked {
    snapshot: Snapshot,
    query: Query,
    answer: Answer,
}

impl Parked {
    pub(crate) fn view(&self) -> View<'_> {
        self.snapshot.view()
    }

    fn version(&self) -> u64 {
        self.view().version()
    }

    /// It says the same for ever.
    pub(crate) fn check(&self, seat: &Seat) {
        let now = looks::answer(seat, self.snapshot.view(), &self.query);
        seat.expect(now == self.answer, || {
            let Parked { query, answer, .. } = self;
            format!("version {}: {query:x?} answered {answer:x?} and later {now:x?}", self.version())
        });
        seat.mark(Mark::SteadySnapshot);
    }
}

/// Keeps one hold more, and looks at the oldest.
pub(crate) fn hold(seat: &Seat) {
    let at = Interval::point(seat.draw(|draws| seat.world.address(draws)));
    let owner = if seat.one_in(2) { EXTENTS } else { TOLD };
    let guard = seat.world.index.pin();
    let held = guard.find(seat.world.ops(owner), at).map(|hit| hit.hold());
    drop(guard);
    let mut kept = seat.kept.borrow_mut();
    kept.holds.extend(held.into_iter().flat_map(|held| [held.clone(), held]));
    while kept.holds.len() > HOLDS {
        let Some(oldest) = kept.holds.pop_front() else { break };
        seat.expect(oldest.is_alive(), || format!("a held notifier is dead, live {}", oldest.is_live()));
        if !oldest.is_live() {
            seat.mark(Mark::HoldOutlived);
        }
    }
}

/// Keeps one snapshot more, or asks one that was kept for long again and lets it go.
pub(crate) fn park(seat: &Seat) {
    let world = &seat.world;
    let oldest = seat.kept.borrow_mut().parked.pop_front();
    if let Some(parked) = oldest {
        parked.check(seat);
        let age = world.index.version() - parked.version();
        if age > PARKED_VERSIONS {
            seat.mark(Mark::SnapshotParked);
        } else {
            seat.kept.borrow_mut().parked.push_front(parked);
        }
    }
    if seat.kept.borrow().parked.len() < SNAPSHOTS {
        let (floor, started) = (world.floor(), seat.start());
        let snapshot = world.index.snapshot();
        let (query, answer) = looks::ask_view(seat, started, floor, snapshot.view());
        seat.kept.borrow_mut().parked.push_back(Parked { snapshot, query, answer });
    }
}

/// A reader that is used now and then.
pub(crate) struct IdleReader {
    reader: Reader,
    version: u64,
}

impl IdleReader {
    pub(crate) fn new(mut reader: Reader) -> Self {
        let version = reader.view().version();
        IdleReader { reader, version }
    }

    /// Wakes it up, if it has idled for long.
    pub(crate) fn wake(&mut self, seat: &Seat) {
        if seat.world.index.version() - self.version <= PARKED_VERSIONS {
            return;
        }
        let (floor, started) = (seat.world.floor(), seat.start());
        let view = self.reader.view();
        self.version = view.version();
        drop(looks::ask_view(seat, started, floor, view));
        seat.mark(Mark::ReaderParked);
    }
}

/// Pins for long, and looks through one view all the time.
pub(crate) fn long_pin(seat: &Seat) {
    let until = Instant::now() + Duration::from_millis(10 + seat.below(120));
    let (floor, started) = (seat.world.floor(), seat.start());
    let guard = seat.world.index.pin();
    let view = guard.view();
    let (query, answer) = looks::ask_view(seat, started, floor, view);
    while Instant::now() < until && !seat.world.is_resting() {
        seat.beat();
        std::thread::sleep(Duration::from_millis(1));
        let now = looks::answer(seat, view, &query);
        seat.expect(now == answer, || format!("under one pin {query:x?} answered {answer:x?} and later {now:x?}"));
    }
    if guard.view().version() - view.version() > LONG_PIN_VERSIONS {
        seat.mark(Mark::LongPin);
    }
}
