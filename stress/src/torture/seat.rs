//! What a thread of the torture has to itself: its log, its dice, its counters. Callbacks find it through the thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use notifier_index::Held;
use parking_lot::Mutex;
use rand::Rng;

use super::actor::Actor;
use super::keeping::Parked;
use super::marks::{Mark, Marks};
use super::mixes::Deed;
use super::world::{KEEPER_ID, KEEPER_SPAN, World};
use crate::history::Recorder;
use crate::history::clock::{StampClock, Started};
use crate::model::{Answer, Change, Query};
use crate::span::{Found, NotifierId, Owner, Span};
use crate::workload::{Draws, draws};

/// Room for changes of one thread and round; beyond it the round is over.
pub(crate) const CHANGE_ROOM: usize = 1 << 16;
/// Queries of one thread and round that are kept.
pub(crate) const QUERY_ROOM: usize = 1 << 15;

/// A look-up whose version is not told, only that it lies between two others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between {
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) owner: Owner,
    pub(crate) span: Span,
    pub(crate) found: Found,
}

/// Removals whose versions are not told: they are the ones that nobody else made between these two.
#[derive(Clone, Debug)]
pub(crate) struct Unversioned {
    pub(crate) above: u64,
    pub(crate) most: u64,
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) ids: Vec<NotifierId>,
}

/// What a thread hands in after each round.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) recorder: Recorder,
    pub(crate) betweens: Vec<Between>,
    pub(crate) unversioned: Vec<Unversioned>,
    pub(crate) marks: Marks,
}

impl Report {
    pub(crate) fn new() -> Self {
        Report {
            recorder: Recorder::new(1 << 10, QUERY_ROOM),
            betweens: Vec::new(),
            unversioned: Vec::new(),
            marks: Marks::default(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.recorder.clear();
        self.betweens.clear();
        self.unversioned.clear();
        self.marks = Marks::default();
    }
}

/// A sign of life of one thread.
#[derive(Debug, Default)]
pub(crate) struct Heart {
    pub(crate) beats: AtomicU64,
    pub(crate) doing: AtomicU32,
}

/// Handles that a thread keeps for longer than it needs them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) holds: VecDeque<Held<Actor>>,
    pub(crate) parked: VecDeque<Parked>,
    /// Of a notifier whose mirror is filled again and again.
    pub(crate) filler: Option<Held<Actor>>,
}

/// What the threads and the judge exchange.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) report: Mutex<Report>,
    pub(crate) heart: Heart,
    /// What a thread leaves behind.
    pub(crate) left: Mutex<Kept>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Desk { report: Mutex::new(Report::new()), heart: Heart::default(), left: Mutex::default() }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Seat>>> = const { RefCell::new(None) };
}

/// What a thread has to itself.
pub(crate) struct Seat {
    pub(crate) world: Arc<World>,
    desk: Arc<Desk>,
    pub(crate) clock: StampClock,
    report: RefCell<Report>,
    dice: RefCell<Draws>,
    /// Callbacks that this thread is inside.
    pub(crate) depth: Cell<u32>,
    pub(crate) kept: RefCell<Kept>,
}

impl Seat {
    pub(crate) fn new(world: Arc<World>, desk: Arc<Desk>, seed: u64, stream: u64) -> Rc<Self> {
        Rc::new(Seat {
            world,
            desk,
            clock: StampClock::new(),
            report: RefCell::new(Report::new()),
            dice: RefCell::new(draws(seed, stream)),
            depth: Cell::new(0),
            kept: RefCell::default(),
        })
    }

    /// Makes it the one that callbacks on this thread find, until the answer is dropped.
    pub(crate) fn take(self: &Rc<Self>) -> Taken {
        CURRENT.with(|current| *current.borrow_mut() = Some(Rc::clone(self)));
        Taken
    }

    /// The seat of this thread, if it is one of the torture's.
    pub(crate) fn current() -> Option<Rc<Seat>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Begins a round with an empty report, in memory that was used before.
    pub(crate) fn begin_round(&self) {
        std::mem::swap(&mut *self.report.borrow_mut(), &mut *self.desk.report.lock());
        self.report.borrow_mut().clear();
    }

    /// Leaves the handles behind.
    pub(crate) fn leave_handles(&self) {
        *self.desk.left.lock() = self.kept.take();
    }

    /// Hands in the report.
    pub(crate) fn end_round(&self) {
        std::mem::swap(&mut *self.report.borrow_mut(), &mut *self.desk.report.lock());
    }

    /// Says what is being done, and that this thread is alive.
    #[inline]
    pub(crate) fn doing(&self, deed: Deed) {
        // Relaxed: for the watchdog's report.
        self.desk.heart.doing.store(deed as u32, Ordering::Relaxed);
        self.beat();
    }

    #[inline]
    pub(crate) fn beat(&self) {
        // Relaxed: as above; written by this thread only.
        let beats = self.desk.heart.beats.load(Ordering::Relaxed);
        self.desk.heart.beats.store(beats + 1, Ordering::Relaxed);
    }

    /// Whether this thread is in a callback: then its waits are refused.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.depth.get() > 0
    }

    pub(crate) fn mark(&self, mark: Mark) {
        self.mark_many(mark, 1);
    }

    pub(crate) fn mark_many(&self, mark: Mark, count: u64) {
        self.report.borrow_mut().marks.add(mark, count);
    }

    /// Counts how old the answer of a look-up at this version is now.
    pub(crate) fn mark_age(&self, version: u64) {
        let age = self.world.index.version().saturating_sub(version);
        self.report.borrow_mut().marks.add_age(age);
    }

    pub(crate) fn fault(&self, text: impl FnOnce() -> String) {
        self.world.ledger.faults.note(text());
    }

    pub(crate) fn expect(&self, holds: bool, text: impl FnOnce() -> String) {
        self.world.ledger.faults.expect(holds, text);
    }

    /// A number below the bound.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        let draw = self.dice.borrow_mut().next_u64();
        ((u128::from(draw) * u128::from(bound)) >> 64) as u64
    }

    pub(crate) fn one_in(&self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// Draws something that needs the dice itself.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Draws) -> T) -> T {
        draw(&mut self.dice.borrow_mut())
    }

    pub(crate) fn start(&self) -> Started {
        self.clock.start()
    }

    /// Logs changes that have just returned as one version.
    pub(crate) fn log_changes(&self, started: Started, version: u64, changes: &[Change]) {
        self.world.raise_floor(version);
        let mut report = self.report.borrow_mut();
        report.recorder.batch(started, version, changes);
        report.marks.add(Mark::Changes, changes.len() as u64);
        if report.recorder.log().changes.len() > CHANGE_ROOM {
            // Relaxed: the flag only ends loops.
            self.world.is_resting.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn log_change(&self, started: Started, version: u64, change: Change) {
        self.log_changes(started, version, &[change]);
    }

    /// Logs a change that made a version and changed no notifier: as an update of the keeper to what it has.
    pub(crate) fn log_nothing(&self, started: Started, version: u64) {
        self.log_change(started, version, Change::Update { id: KEEPER_ID, span: KEEPER_SPAN });
    }

    /// Logs a look-up that has just answered.
    pub(crate) fn log_query(&self, started: Started, version: u64, query: Query, answer: Answer) {
        let mut report = self.report.borrow_mut();
        if report.recorder.log().queries.len() < QUERY_ROOM {
            report.marks.add(Mark::FindsLogged, 1);
        }
        report.recorder.query(started, version, query, answer);
    }

    pub(crate) fn log_between(&self, between: Between) {
        self.report.borrow_mut().betweens.push(between);
    }

    pub(crate) fn log_unversioned(&self, unversioned: Unversioned) {
        let mut report = self.report.borrow_mut();
        report.marks.add(Mark::Changes, unversioned.ids.len() as u64);
        report.unversioned.push(unversioned);
    }
}

/// Stands while a seat is taken.
pub(crate) struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        CURRENT.with(|current| *current.borrow_mut() = None);
    }
}
