//! Who reclaims when: the part of it that falls to ordinary changes, what `maintain` does, and what a change does that finds too
//! much retired.

use std::time::Instant;

use crate::bench::Bench;
use crate::busted::{self, Sabotage};
use crate::engine::Engine;
use crate::error::{HeldBack, Holder, Refusal};
use crate::reclaim::pool::Workbench;
use crate::reclaim::{Evidence, Outlet, Retired, epoch};
use crate::slots::{Protected, UserKind};
use crate::sync::{Number, Ordering, try_lock, yield_now};
use crate::tuning::{
    GRACE_ROUNDS, HELPED_OBJECTS, MOST_PUBLICATIONS_PER_TURN, PUBLICATIONS_PER_TURN, PUBLICATIONS_SQUARED_PER_THREAD,
    RELIEF_ROUNDS, STEP_OBJECTS, STUCK_FOR, TURN_BYTES, WORKBENCHES,
};
use crate::version::Version;

impl Engine {
    /// The part of reclaiming that falls to an ordinary change of so many objects: twice as many of those that are due, and some
    /// more. So whatever has piled up goes in small pieces.
    ///
    /// Every so many changes there is a new turn, which asks for a grace period and reads who looks at what. The more threads
    /// there are, the dearer that is, and the more changes share it.
    #[inline]
    pub(crate) fn after_change(&self, bench: &mut Bench, own_count: usize) {
        if bench.is_spare {
            return;
        }
        let is_much = || bench.retired.waiting_bytes() > TURN_BYTES && bench.publication_count >= PUBLICATIONS_PER_TURN;
        if bench.publication_count >= bench.turn_after || is_much() || busted::is(Sabotage::EarlyFree) {
            self.begin_turn(bench);
        }
        let horizon = self.reclaim_horizon();
        if bench.retired.is_due(horizon, &bench.protected) {
            self.sift(bench, horizon, STEP_OBJECTS + 2 * own_count);
        }
    }

    fn reclaim_horizon(&self) -> u64 {
        if busted::is(Sabotage::EarlyFree) { u64::MAX } else { self.horizon.load() }
    }

    #[cold]
    fn begin_turn(&self, bench: &mut Bench) {
        self.drive();
        self.look_around(bench);
        bench.publication_count = 0;
        // What is put off falls out of the caches, and what is not costs a look at each thread: the middle way.
        let of_threads = (epoch::participant_count() * PUBLICATIONS_SQUARED_PER_THREAD).isqrt();
        bench.turn_after = of_threads.clamp(PUBLICATIONS_PER_TURN, MOST_PUBLICATIONS_PER_TURN);
        self.help_another(bench);
    }

    /// Asks for a grace period behind which all is that has been replaced by now, and helps it on.
    fn drive(&self) {
        epoch::drive(&self.horizon, || self.with_current(|version| version.seq));
    }

    /// Reads which versions are kept.
    pub(crate) fn scan(&self, protected: &mut Protected) {
        let before = self.with_current(|version| version.seq);
        self.slots.scan(protected, before, |note| self.sections.marks(note));
    }

    /// The same, for what was retired at a bench.
    fn look_around(&self, bench: &mut Bench) {
        if !self.benches.strays.is_empty() {
            bench.retired.adopt(&self.benches.strays);
        }
        match busted::is(Sabotage::EarlyFree) {
            true => bench.protected = Protected::nothing(),
            false => self.scan(&mut bench.protected),
        }
        bench.retired.begin_anew();
    }

    /// Looks at so many objects of a bench; whether there were any.
    fn sift(&self, bench: &mut Bench, horizon: u64, budget: usize) -> bool {
        let Bench { stock, retired, protected, .. } = bench;
        let mut outlet = Outlet { workbench: stock, depot: &self.depot, released: &self.released };
        let turned = retired.turn(horizon, protected, budget, &mut outlet);
        self.freed.note(turned);
        turned.sifted > 0
    }

    /// A part of a turn at the next bench where nobody sits: its thread may not come back.
    fn help_another(&self, bench: &mut Bench) {
        bench.next_helped = (bench.next_helped + 1) % WORKBENCHES;
        if let Some(mut other) = self.benches.try_claim(bench.next_helped)
            && !other.retired.is_empty()
        {
            self.look_around(&mut other);
            self.sift(&mut other, self.reclaim_horizon(), HELPED_OBJECTS);
        }
    }

    /// Turns at this bench and at all where nobody sits, until there is nothing to be had.
    fn take_all_turns(&self, bench: &mut Bench) {
        if !bench.is_spare {
            self.take_turn(bench);
        }
        self.benches.idle().filter(|other| !other.retired.is_empty()).for_each(|mut other| self.take_turn(&mut other));
    }

    fn take_turn(&self, bench: &mut Bench) {
        self.look_around(bench);
        while self.sift(bench, self.reclaim_horizon(), usize::MAX) {}
    }

    pub(crate) fn limit_of(&self, version: &Version) -> u64 {
        self.settings.retired_limit(|| crate::stats::node_bytes_of(version))
    }

    pub(crate) fn is_over_limit(&self, version: &Version) -> bool {
        let retired = self.retired_bytes(version);
        retired > self.limit_of(version)
    }

    /// Helps to get below the retired limit; refuses only where it is known what holds more than that back.
    ///
    /// A pin is only known to hold back once it has for some time: the threads that are at work here pin for a moment too, and
    /// may be stopped just then. That time is waited for, once.
    #[cold]
    pub(crate) fn relieve(&self, bench: &mut Bench) -> Result<(), Refusal> {
        bench.slot.mark().clear();
        for round in 1.. {
            self.drive();
            self.take_all_turns(bench);
            if !self.with_current(|version| self.is_over_limit(version)) {
                break;
            }
            yield_now();
            if round < RELIEF_ROUNDS {
                continue;
            }
            let horizon = self.horizon.load();
            let limit = self.with_current(|version| self.limit_of(version));
            let (bytes, held_back) = self.what_is_held_back(bench);
            match held_back {
                Some(held_back) if bytes.of_all > limit => {
                    if bytes.without_pins > limit || self.stuck.is_at(horizon) {
                        return Err(Refusal::RetiredLimit(held_back));
                    }
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// How much is held back by others than changes on their way, and by whom most.
    fn what_is_held_back(&self, bench: &mut Bench) -> (Bytes, Option<HeldBack>) {
        let (horizon, mut evidence) = (self.horizon.load(), Evidence::default());
        self.scan(&mut bench.protected);
        bench.retired.witness(horizon, &mut evidence);
        self.benches.idle().for_each(|other| other.retired.witness(horizon, &mut evidence));
        let current = self.with_current(|version| version.seq);
        let by_kind = HOLDERS.map(|by| judge(by, &evidence, &bench.protected, current));
        let sum = |held_back: &[Option<HeldBack>]| held_back.iter().flatten().map(|held_back| held_back.bytes).sum();
        let bytes = Bytes { of_all: sum(&by_kind), without_pins: sum(&by_kind[1..]) };
        (bytes, by_kind.into_iter().flatten().max_by_key(|held_back| held_back.bytes))
    }

    /// See [`NotifierIndex::maintain`](crate::NotifierIndex::maintain).
    pub(crate) fn maintain(&self) {
        if self.is_inherited() {
            return;
        }
        // Without memory for a bench there is nothing to give back that a bench could help with.
        let _ = self.at_bench(|bench| self.reclaim_all(bench));
        let panic = self.release_up_to(usize::MAX);
        self.shrink();
        panic.resume();
    }

    /// Reclaims what can be, at once: some grace periods, without waiting for anybody's pin.
    fn reclaim_all(&self, bench: &mut Bench) {
        let wanted = self.with_current(|version| version.seq);
        for _ in 0..GRACE_ROUNDS {
            self.drive();
            let is_over = self.horizon.load() >= wanted;
            self.take_all_turns(bench);
            if is_over {
                return;
            }
        }
    }

    /// Gives unused slabs back, as far as their slots are not at a bench in use.
    fn shrink(&self) {
        // Not a bench's lock: reclaiming goes on meanwhile, or what is retired would grow with the pool.
        let Some(_one_at_a_time) = try_lock(&self.shrinking) else {
            return;
        };
        let mut guards: Vec<_> = self.benches.idle().collect();
        let mut workbenches: Vec<&mut Workbench> = guards.iter_mut().map(|bench| &mut bench.stock).collect();
        self.depot.shrink(&mut workbenches);
    }

    /// When no handle is left: everything retired.
    pub(crate) fn reclaim_everything(&mut self) {
        let nobody = Protected::nothing();
        let Engine { benches, depot, released, .. } = self;
        let mut stock = Workbench::new();
        let mut outlet = Outlet { workbench: &mut stock, depot, released };
        let mut strays = Retired::NOTHING;
        strays.adopt(&benches.strays);
        strays.turn(u64::MAX, &nobody, usize::MAX, &mut outlet);
        for bench in benches.all() {
            bench.retired.begin_anew();
            bench.retired.turn(u64::MAX, &nobody, usize::MAX, &mut outlet);
            debug_assert!(bench.retired.is_empty(), "nobody holds anything back");
        }
    }
}

/// Where the horizon was last seen to stand still, and since when.
pub(crate) struct Stuck {
    birth: Instant,
    horizon: Number,
    since: Number,
}

impl Stuck {
    pub(crate) fn new() -> Self {
        Stuck { birth: Instant::now(), horizon: Number::new(u64::MAX), since: Number::new(0) }
    }

    /// Whether the horizon has been there for so long that a pin holds it.
    fn is_at(&self, horizon: u64) -> bool {
        let now = self.birth.elapsed().as_micros() as u64;
        // [O14] Relaxed: who misjudges it waits a little longer, or refuses a little sooner.
        if self.horizon.swap(horizon, Ordering::Relaxed) != horizon {
            self.since.store(now, Ordering::Relaxed);
        }
        now.saturating_sub(self.since.load(Ordering::Relaxed)) >= STUCK_FOR.as_micros() as u64
    }
}

/// How much is held back.
struct Bytes {
    of_all: u64,
    without_pins: u64,
}

/// Whose holding back is a reason to refuse a change, pins first; that of another change on its way is none.
const HOLDERS: [Holder; 4] = [Holder::Pin, Holder::Reader, Holder::Snapshot, Holder::Section];

/// What all holders of one kind hold back.
fn judge(by: Holder, evidence: &Evidence, protected: &Protected, current: u64) -> Option<HeldBack> {
    let (mut oldest, mut sum) = (None::<(u64, Option<u32>)>, 0);
    let mut add = |number, bytes, thread| {
        sum += bytes;
        if oldest.is_none_or(|(least, _)| number < least) {
            oldest = Some((number, thread));
        }
    };
    match evidence.pinned {
        Some((number, bytes)) if by == Holder::Pin => add(number, bytes, None),
        _ => {}
    }
    for (number, bytes) in &evidence.held {
        if let Some(user) = protected.user_of(*number).filter(|user| holder_of(user.kind) == by) {
            add(*number, *bytes, user.thread);
        }
    }
    let (number, thread) = oldest?;
    Some(HeldBack { by, bytes: sum, age_in_versions: current.saturating_sub(number), thread })
}

fn holder_of(kind: UserKind) -> Holder {
    match kind {
        UserKind::Reader => Holder::Reader,
        UserKind::Snapshot => Holder::Snapshot,
        UserKind::Section => Holder::Section,
        UserKind::Writer => Holder::Change,
    }
}
