//! The table of active sections: which ranges are about to change, and who waits for them.
//!
//! ```text
//!   used:  0b…0111   slots that were ever claimed: set once, so a section writes to no line but its slot's
//!   slot:  [ state = number · waited · phase | start | last | thread | counts ]      one padded line pair a slot
//!            free ──claim──> claimed ──publish──> standing ──end──> free, number + 1
//!                                               walk │  ^ stand
//!                                                    v  │        only if there is somebody to tell
//!                                                  walking
//! ```
//!
//! A thread claims the slot of its own seat, or the next free one; where all are taken, the section is *overflowing*,
//! which stands for all ranges. Most slots are made when there is somebody to tell: an index that is only searched is small.
//!
//! A section is published *before* it loads the tree, and a filler reads the generation and the tree *before* it scans
//! the table (R1, R2, R3); a `SeqCst` fence stands between the two steps on both sides, so at least one sees the other. The
//! section's is the one that stands in front of every load of the tree: that of its mark (\[O6]), or of a pin.
//!
//! A scan reads state, range, state: if the state changed in between, the section it first saw is over, and one that
//! took its place began after the scan and finds the notifier in the tree. So each slot is looked at once.
//!
//! Whoever is about to sleep marks the state as *waited* for. The mark and the end are changes of one word, so that either
//! the waiter sees the end or the end sees the mark.

use std::time::Instant;

use crate::bell::WaitingRoom;
use crate::busted::{self, Sabotage};
use crate::engine::NO_THREAD;
use crate::gauge::Entry;
use crate::interval::Interval;
use crate::made::Made;
use crate::overflow::{self, Overflow, OverflowPlace};
use crate::slots::{Mark, User, UserKind};
use crate::sync::{AtomicU64, Ordering, Padded, yield_point};
use crate::tuning::{FEW_SECTION_SLOTS, SECTION_SLOTS};

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const STANDING: u64 = 2;
/// What makes a standing section a walking one.
const CALLS: u64 = 1;
const WALKING: u64 = STANDING + CALLS;
const PHASES: u64 = 4;
const WAITED: u64 = 4;
const NUMBER: u64 = 8;

const WORDS: usize = SECTION_SLOTS.div_ceil(64);

const fn phase(state: u64) -> u64 {
    state % PHASES
}

const fn is_active(state: u64) -> bool {
    phase(state) >= STANDING
}

const fn is_same_section(a: u64, b: u64) -> bool {
    a / NUMBER == b / NUMBER
}

/// One place for a section.
struct SectionSlot {
    state: AtomicU64,
    start: AtomicU64,
    last: AtomicU64,
    /// The thread that began it.
    thread: AtomicU64,
    /// Written by the section's own thread only.
    started_count: AtomicU64,
    /// The version that the section's walk looks at.
    mark: Mark,
    room: WaitingRoom,
}

impl SectionSlot {
    fn new() -> Self {
        SectionSlot {
            state: AtomicU64::new(FREE),
            start: AtomicU64::new(0),
            last: AtomicU64::new(0),
            thread: AtomicU64::new(0),
            started_count: AtomicU64::new(0),
            mark: Mark::new(),
            room: WaitingRoom::new(),
        }
    }

    fn claim(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Relaxed);
        // [O17] Acquire, partner of the Release in `end`: the slot is ours after the one before has left it.
        (phase(state) == FREE
            && self.state.compare_exchange(state, state + CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok())
        .then_some(state / NUMBER)
    }

    fn publish(&self, number: u64, interval: Interval, thread: u64) {
        // [O17] Release, partner of the Acquire in `overlapping`: whoever reads this range for that of the section before
        // also sees that the one before is over.
        self.start.store(interval.start(), Ordering::Release);
        self.last.store(interval.last(), Ordering::Release);
        // [O17] Relaxed, published by the store of the state.
        self.thread.store(thread, Ordering::Relaxed);
        self.started_count.store(self.started_count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // [O17] Release, partner of the Acquire in `overlapping`: range and thread.
        self.state.store(number * NUMBER + STANDING, Ordering::Release);
    }

    /// The state of an active section here that overlaps `interval`, as seen in one look.
    fn overlapping(&self, interval: Interval) -> Option<u64> {
        // [O17] Acquire, partner of the Release in `publish`.
        let state = self.state.load(Ordering::Acquire);
        if !is_active(state) {
            return None;
        }
        let (start, last) = (self.start.load(Ordering::Acquire), self.last.load(Ordering::Acquire));
        // [O17] The Acquire loads before keep this one after them: unchanged means that they belong together. Acquire,
        // partner of the Release in `end`: if the section is over by now, what was changed inside.
        let again = self.state.load(Ordering::Acquire);
        let overlaps = start <= interval.last() && interval.start() <= last;
        (is_same_section(state, again) && overlaps).then_some(state)
    }

    /// Callbacks begin.
    fn walk(&self) {
        // [O17] Relaxed, published by the first callback that begins ([O20]): whoever marks its notifier removed after
        // that sees that the section is walking.
        self.state.fetch_add(CALLS, Ordering::Relaxed);
    }

    /// All callbacks have returned.
    fn stand(&self) {
        // [O17] Release: what the callbacks did, to whoever waits for them.
        let state = self.state.fetch_sub(CALLS, Ordering::Release);
        if state & WAITED != 0 && !busted::is(Sabotage::QuietWalk) {
            self.room.wake_all();
        }
    }

    fn end(&self, number: u64) {
        // [O17] Release, partner of the Acquire loads of waiters: what was changed inside.
        let state = self.state.swap((number + 1) * NUMBER + FREE, Ordering::Release);
        if state & WAITED != 0 && !busted::is(Sabotage::LostWake) {
            self.room.wake_all();
        }
    }

    fn is_of(&self, state: u64) -> bool {
        // [O17] Relaxed: asked of a thread's own section.
        is_same_section(self.state.load(Ordering::Relaxed), state)
    }

    /// Waits until the section with this state is no longer in any of the phases. False if the time ran out.
    fn wait(&self, state: u64, phases: impl Fn(u64) -> bool, deadline: Option<Instant>) -> bool {
        self.room.wait_until(|| !self.mark_waited(state, &phases), deadline)
    }

    /// Marks the section with this state as waited for, while it is in one of the phases. False if it is not.
    fn mark_waited(&self, state: u64, phases: impl Fn(u64) -> bool) -> bool {
        // [O17] Acquire, partner of the Release in `end` and `stand`: what was changed inside the section.
        let mut now = self.state.load(Ordering::Acquire);
        loop {
            if !is_same_section(now, state) || !phases(phase(now)) {
                return false;
            }
            if now & WAITED != 0 {
                return true;
            }
            // [O17] Relaxed: the end sees the mark because both change one word; who is in the room, the event orders
            // with its notification. Acquire as above.
            match self.state.compare_exchange_weak(now, now | WAITED, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return true,
                Err(changed) => now = changed,
            }
        }
    }
}

/// The place of an active section.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// A slot, and the number of the section in it.
    Slot(usize, u64),
    /// The table was full.
    Overflow(OverflowPlace),
}

/// That a section makes callbacks; where it overflows, how that is counted.
pub(crate) struct Walking(Option<Entry>);

/// All active sections of an index.
pub(crate) struct SectionTable {
    index: u64,
    used: Padded<[AtomicU64; WORDS]>,
    overflow: Padded<Overflow>,
    few: [Padded<SectionSlot>; FEW_SECTION_SLOTS],
    /// All others, once there is somebody to tell, or a section that may wait.
    others: Made<[Padded<SectionSlot>; OTHER_SLOTS]>,
}

const OTHER_SLOTS: usize = SECTION_SLOTS - FEW_SECTION_SLOTS;

/// Something that a filler has to wait for.
#[derive(Clone, Copy)]
pub(crate) enum Obstacle {
    Slot(usize, u64),
    Overflow,
}

impl SectionTable {
    /// That of the index with this number.
    pub(crate) fn new(index: u64) -> Self {
        SectionTable {
            index,
            used: Padded::default(),
            overflow: Padded::default(),
            few: std::array::from_fn(|_| Padded(SectionSlot::new())),
            others: Made::not_yet(),
        }
    }

    /// Makes room for all sections, if there is memory; where there is none, some overflow.
    #[inline]
    pub(crate) fn make_room(&self) {
        if OTHER_SLOTS > 0 && self.others.get().is_none() {
            let _ = self.others.make(std::array::from_fn(|_| Padded(SectionSlot::new())));
        }
    }

    /// How many slots there are so far.
    fn slot_count(&self) -> usize {
        if OTHER_SLOTS == 0 || self.others.get().is_none() { FEW_SECTION_SLOTS } else { SECTION_SLOTS }
    }

    fn slot(&self, at: usize) -> &SectionSlot {
        let other = || self.others.get().and_then(|others| others.get(at - FEW_SECTION_SLOTS));
        let slot = self.few.get(at).or_else(other);
        &slot.expect("a place is given out once there is room ([O29])").0
    }

    /// Publishes a section over `interval` (R1). The tree is looked at through a mark or a pin taken after this, whose fence
    /// comes after the section can be seen.
    pub(crate) fn begin(&self, interval: Interval, seat: usize, thread: u64) -> Place {
        yield_point();
        let place = match self.claim(seat) {
            Some((at, number)) => {
                self.slot(at).publish(number, interval, thread);
                Place::Slot(at, number)
            }
            None => Place::Overflow(self.overflow.0.begin(self.index)),
        };
        yield_point();
        place
    }

    /// The mark of a section that has a slot.
    pub(crate) fn mark(&self, place: Place) -> Option<&Mark> {
        match place {
            Place::Slot(at, _) => Some(&self.slot(at).mark),
            Place::Overflow(_) => None,
        }
    }

    /// The marks of all sections.
    pub(crate) fn marks(&self, note: &mut dyn FnMut(&Mark, User)) {
        for at in self.used_slots() {
            note(&self.slot(at).mark, User { kind: UserKind::Section, thread: None });
        }
    }

    fn claim(&self, seat: usize) -> Option<(usize, u64)> {
        let slot_count = self.slot_count();
        let mut places = (0..slot_count).map(|offset| (seat + offset) % slot_count);
        places.find_map(|at| {
            let number = self.slot(at).claim()?;
            self.note_used(at);
            Some((at, number))
        })
    }

    fn note_used(&self, at: usize) {
        let (word, bit) = (&self.used.0[at / 64], 1 << (at % 64));
        // [O18] Relaxed: set before the section is published and ordered by the same fence; set once, so that later
        // sections only read it.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The section is about to make callbacks.
    pub(crate) fn walk(&self, place: Place) -> Walking {
        Walking(match place {
            Place::Slot(at, _) => {
                self.slot(at).walk();
                None
            }
            Place::Overflow(place) => Some(self.overflow.0.walk(self.index, place)),
        })
    }

    /// All its callbacks have returned.
    pub(crate) fn stand(&self, place: Place, walking: Walking) {
        match (place, walking.0) {
            (Place::Overflow(place), Some(entry)) => self.overflow.0.stand(self.index, place, entry),
            (Place::Slot(at, _), _) => self.slot(at).stand(),
            (Place::Overflow(_), None) => {}
        }
    }

    /// The section is over.
    pub(crate) fn end(&self, place: Place) {
        match place {
            Place::Slot(at, number) => self.slot(at).end(number),
            Place::Overflow(place) => self.overflow.0.end(self.index, place),
        }
    }

    fn used_slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.used.0.iter().enumerate().flat_map(|(word, bits)| {
            // [O18] Relaxed: ordered by the caller's fence.
            let mut left = bits.load(Ordering::Relaxed);
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(word * 64 + bit)
            })
        })
    }

    /// The active sections that overlap `interval`, in one scan. A `SeqCst` fence went before.
    #[inline]
    pub(crate) fn obstacles(&self, interval: Interval) -> impl Iterator<Item = Obstacle> + '_ {
        let slots = self.used_slots().filter_map(move |at| {
            let state = self.slot(at).overlapping(interval)?;
            Some(Obstacle::Slot(at, state))
        });
        let overflows = self.overflow.0.active.count() > 0 && !busted::is(Sabotage::UncountedSection);
        slots.chain(overflows.then_some(Obstacle::Overflow))
    }

    /// Whether it is a section of this thread, which would wait for itself.
    pub(crate) fn is_own(&self, obstacle: Obstacle, thread: u64) -> bool {
        match obstacle {
            Obstacle::Slot(at, state) => {
                let slot = self.slot(at);
                // [O17] Relaxed: a thread's own number was written by itself.
                thread != NO_THREAD && slot.thread.load(Ordering::Relaxed) == thread && slot.is_of(state)
            }
            Obstacle::Overflow => overflow::is_active_here(self.index),
        }
    }

    /// Waits until the section is over. False if the time ran out.
    pub(crate) fn wait(&self, obstacle: Obstacle, deadline: Option<Instant>) -> bool {
        match obstacle {
            Obstacle::Slot(at, state) => self.slot(at).wait(state, |phase| phase >= STANDING, deadline),
            Obstacle::Overflow => self.overflow.0.active.wait(deadline),
        }
    }

    /// Whether this thread is inside a callback.
    pub(crate) fn is_calling(&self, thread: u64) -> bool {
        let is_calling_in = |at: usize| {
            let slot = self.slot(at);
            // [O17] Relaxed: a thread's own section was written by itself.
            phase(slot.state.load(Ordering::Relaxed)) == WALKING && slot.thread.load(Ordering::Relaxed) == thread
        };
        overflow::is_walking_here(self.index) || thread != NO_THREAD && self.used_slots().any(is_calling_in)
    }

    /// Waits until all callbacks that run now have returned.
    pub(crate) fn wait_for_walks(&self) {
        for at in self.used_slots() {
            let slot = self.slot(at);
            // [O17] Relaxed: tells which section is meant; `wait` looks again.
            let state = slot.state.load(Ordering::Relaxed);
            slot.wait(state, |phase| phase == WALKING, None);
        }
        self.overflow.0.walking.wait(None);
    }

    /// Sections begun, and sections active now.
    pub(crate) fn counts(&self) -> (u64, u64) {
        // [O18] Relaxed: statistics.
        let (mut started, mut active) = (self.overflow.0.started(), self.overflow.0.active.count());
        for at in self.used_slots() {
            let slot = self.slot(at);
            started += slot.started_count.load(Ordering::Relaxed);
            active += u64::from(is_active(slot.state.load(Ordering::Relaxed)));
        }
        (started, active)
    }
}
