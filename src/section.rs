//! The table of active sections: which ranges are about to change, and who waits for them.
//!
//! ```text
//!   used:  0b…0111   slots that were ever claimed: set once, so a section writes to no line but its slot's
//!   slot:  [ state = number · phase | start | last | thread | counts ]      one padded line pair a slot
//!            free ──claim──> claimed ──publish──> walking ──> standing ──end──> free, number + 1
//! ```
//!
//! A thread claims the slot of its own seat, or the next free one; where all are taken, the section is counted as
//! *overflowing*, which stands for all ranges.
//!
//! A section is published *before* it loads the tree, and a filler reads the generation and the tree *before* it scans
//! the table (R1, R2, R3); a `SeqCst` fence stands between the two steps on both sides, so at least one sees the other.
//!
//! A scan reads state, range, state: if the state changed in between, the section it first saw is over, and one that
//! took its place began after the scan and finds the notifier in the tree. So each slot is looked at once.

use std::time::Instant;

use crate::bell::Bell;
use crate::busted::{self, Sabotage};
use crate::interval::Interval;
use crate::sync::{AtomicU64, Ordering, Padded, fence};
use crate::tuning::SECTION_SLOTS;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const WALKING: u64 = 2;
const STANDING: u64 = 3;
const PHASES: u64 = 4;

const WORDS: usize = SECTION_SLOTS.div_ceil(64);

const fn phase(state: u64) -> u64 {
    state % PHASES
}

const fn is_active(state: u64) -> bool {
    phase(state) >= WALKING
}

const fn is_same_section(a: u64, b: u64) -> bool {
    a / PHASES == b / PHASES
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
    bell: Bell,
}

impl SectionSlot {
    fn new() -> Self {
        SectionSlot {
            state: AtomicU64::new(FREE),
            start: AtomicU64::new(0),
            last: AtomicU64::new(0),
            thread: AtomicU64::new(0),
            started_count: AtomicU64::new(0),
            bell: Bell::new(),
        }
    }

    fn claim(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Relaxed);
        // [O17] Acquire, partner of the Release in `end`: the slot is ours after the one before has left it.
        (phase(state) == FREE
            && self.state.compare_exchange(state, state + CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok())
        .then_some(state / PHASES)
    }

    fn publish(&self, number: u64, interval: Interval, thread: u64) {
        // [O17] Relaxed, published by the store of the state.
        self.start.store(interval.start(), Ordering::Relaxed);
        self.last.store(interval.last(), Ordering::Relaxed);
        self.thread.store(thread, Ordering::Relaxed);
        self.started_count.store(self.started_count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // [O17] Release, partner of the Acquire in `overlapping`: range and thread.
        self.state.store(number * PHASES + WALKING, Ordering::Release);
    }

    /// The state of an active section here that overlaps `interval`, as seen in one look.
    fn overlapping(&self, interval: Interval) -> Option<u64> {
        // [O17] Acquire, partner of the Release in `publish`.
        let state = self.state.load(Ordering::Acquire);
        if !is_active(state) {
            return None;
        }
        let (start, last) = (self.start.load(Ordering::Acquire), self.last.load(Ordering::Acquire));
        // [O17] The Acquire loads before keep this one after them: unchanged means that they belong together.
        let again = self.state.load(Ordering::Relaxed);
        let overlaps = start <= interval.last() && interval.start() <= last;
        (is_same_section(state, again) && overlaps).then_some(state)
    }

    fn is_in(&self, state: u64, phases: impl Fn(u64) -> bool) -> bool {
        // [O17] Acquire, partner of the Release in `end`: what was changed inside the section.
        let now = self.state.load(Ordering::Acquire);
        is_same_section(now, state) && phases(phase(now))
    }

    /// Waits until the section with this state is no longer in any of the phases. False if the time ran out.
    fn wait(&self, state: u64, phases: impl Fn(u64) -> bool, deadline: Option<Instant>) -> bool {
        self.bell.wait_until(|| !self.is_in(state, &phases), deadline)
    }
}

/// The place of an active section: a slot and its number, or none where the table was full.
#[derive(Clone, Copy)]
pub(crate) struct Place(Option<(usize, u64)>);

impl Place {
    pub(crate) fn is_overflow(self) -> bool {
        self.0.is_none()
    }
}

/// All active sections of an index.
pub(crate) struct SectionTable {
    used: Padded<[AtomicU64; WORDS]>,
    overflow: Padded<Overflow>,
    slots: Box<[Padded<SectionSlot>]>,
}

/// Sections that found no slot: they stand for all ranges.
#[derive(Default)]
struct Overflow {
    active: AtomicU64,
    walking: AtomicU64,
    started: AtomicU64,
    bell: Bell,
}

/// Something that a filler has to wait for.
#[derive(Clone, Copy)]
pub(crate) enum Obstacle {
    Slot(usize, u64),
    Overflow,
}

impl SectionTable {
    pub(crate) fn new() -> Self {
        SectionTable {
            used: Padded::default(),
            overflow: Padded::default(),
            slots: (0..SECTION_SLOTS).map(|_| Padded(SectionSlot::new())).collect(),
        }
    }

    /// Publishes a section over `interval` (R1): what is loaded after this returns, is loaded after the section can be
    /// seen.
    pub(crate) fn begin(&self, interval: Interval, seat: usize, thread: u64) -> Place {
        let place = self.claim(seat);
        match place.0 {
            Some((at, number)) => self.slots[at].0.publish(number, interval, thread),
            None => {
                // [O18] Relaxed: ordered by the fence below, like the slots.
                self.overflow.0.walking.fetch_add(1, Ordering::Relaxed);
                self.overflow.0.active.fetch_add(1, Ordering::Relaxed);
                self.overflow.0.started.fetch_add(1, Ordering::Relaxed);
            }
        }
        // [O19] SeqCst, partner of the fence in `read_begin`: the section is seen, or it sees the tree.
        fence(Ordering::SeqCst);
        place
    }

    fn claim(&self, seat: usize) -> Place {
        for offset in 0..SECTION_SLOTS {
            let at = (seat + offset) % SECTION_SLOTS;
            if let Some(number) = self.slots[at].0.claim() {
                self.note_used(at);
                return Place(Some((at, number)));
            }
        }
        Place(None)
    }

    fn note_used(&self, at: usize) {
        let (word, bit) = (&self.used.0[at / 64], 1 << (at % 64));
        // [O18] Relaxed: set before the section is published and ordered by the same fence; set once, so that later
        // sections only read it.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// All callbacks of the section have returned.
    pub(crate) fn stand(&self, place: Place) {
        match place.0 {
            Some((at, number)) => {
                let slot = &self.slots[at].0;
                // [O17] Release: what the callbacks did, to whoever waits for them.
                slot.state.store(number * PHASES + STANDING, Ordering::Release);
                slot.bell.ring();
            }
            None => {
                self.overflow.0.walking.fetch_sub(1, Ordering::Release);
                self.overflow.0.bell.ring();
            }
        }
    }

    /// The section is over.
    pub(crate) fn end(&self, place: Place) {
        match place.0 {
            Some((at, number)) => {
                let slot = &self.slots[at].0;
                // [O17] Release, partner of the Acquire loads of waiters: what was changed inside.
                slot.state.store((number + 1) * PHASES + FREE, Ordering::Release);
                if !busted::is(Sabotage::LostWake) {
                    slot.bell.ring();
                }
            }
            None => {
                self.overflow.0.active.fetch_sub(1, Ordering::Release);
                self.overflow.0.bell.ring();
            }
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
            let state = self.slots[at].0.overlapping(interval)?;
            Some(Obstacle::Slot(at, state))
        });
        // [O18] Relaxed: ordered by the caller's fence.
        let overflows = self.overflow.0.active.load(Ordering::Relaxed) > 0;
        slots.chain(overflows.then_some(Obstacle::Overflow))
    }

    /// Whether it is a section of this thread, which would wait for itself.
    pub(crate) fn is_own(&self, obstacle: Obstacle, thread: u64) -> bool {
        match obstacle {
            Obstacle::Slot(at, state) => {
                let slot = &self.slots[at].0;
                // [O17] Relaxed: a thread's own number was written by itself.
                slot.thread.load(Ordering::Relaxed) == thread && slot.is_in(state, |_| true)
            }
            Obstacle::Overflow => false,
        }
    }

    /// Waits until the section is over. False if the time ran out.
    pub(crate) fn wait(&self, obstacle: Obstacle, deadline: Option<Instant>) -> bool {
        match obstacle {
            Obstacle::Slot(at, state) => self.slots[at].0.wait(state, |phase| phase >= WALKING, deadline),
            Obstacle::Overflow => {
                let overflow = &self.overflow.0;
                // [O18] Acquire, partner of the Release in `end`.
                overflow.bell.wait_until(|| overflow.active.load(Ordering::Acquire) == 0, deadline)
            }
        }
    }

    /// Whether this thread is inside a callback of a section that has a slot.
    pub(crate) fn is_calling(&self, thread: u64) -> bool {
        self.used_slots().any(|at| {
            let slot = &self.slots[at].0;
            // [O17] Relaxed: a thread's own section was written by itself.
            phase(slot.state.load(Ordering::Relaxed)) == WALKING && slot.thread.load(Ordering::Relaxed) == thread
        })
    }

    /// Waits until all callbacks that run now have returned.
    pub(crate) fn wait_for_walks(&self) {
        for at in self.used_slots() {
            let slot = &self.slots[at].0;
            // [O17] Acquire, partner of the Release in `publish`.
            let state = slot.state.load(Ordering::Acquire);
            slot.wait(state, |phase| phase == WALKING, None);
        }
        let overflow = &self.overflow.0;
        // [O18] Acquire, partner of the Release in `stand`.
        overflow.bell.wait_until(|| overflow.walking.load(Ordering::Acquire) == 0, None);
    }

    /// Sections begun, and sections active now.
    pub(crate) fn counts(&self) -> (u64, u64) {
        // [O18] Relaxed: statistics.
        let (mut started, mut active) =
            (self.overflow.0.started.load(Ordering::Relaxed), self.overflow.0.active.load(Ordering::Relaxed));
        for at in self.used_slots() {
            let slot = &self.slots[at].0;
            started += slot.started_count.load(Ordering::Relaxed);
            active += u64::from(is_active(slot.state.load(Ordering::Relaxed)));
        }
        (started, active)
    }
}
