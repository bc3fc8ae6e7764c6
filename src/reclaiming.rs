//! Who reclaims when: the part of it that falls to ordinary changes, what `maintain` does, and what a change does that finds too
//! much retired.

use crate::bench::Bench;
use crate::busted::{self, Sabotage};
use crate::engine::Engine;
use crate::error::{HeldBack, Holder, Refusal};
use crate::reclaim::pool::Workbench;
use crate::reclaim::{Evidence, Outlet, Retired, Turned, epoch};
use crate::slots::{Protected, UserKind};
use crate::sync::{try_lock, yield_now};
use crate::tuning::{
    BACKLOG, GRACE_ROUNDS, HELPED_OBJECTS, PUBLICATIONS_PER_TURN, RELIEF_ROUNDS, TURN_OBJECTS, WORKBENCHES,
};
use crate::version::Version;

impl Engine {
    /// The part of reclaiming that falls to an ordinary change: a turn every so often, or at each change while much awaits it.
    /// A turn takes on more than comes in between, so short turns keep pace with any load.
    pub(crate) fn after_change(&self, bench: &mut Bench) {
        let is_due = bench.publication_count >= PUBLICATIONS_PER_TURN || bench.retired.waiting_count() > BACKLOG;
        if (is_due || busted::is(Sabotage::EarlyFree)) && !bench.is_spare {
            bench.publication_count = 0;
            self.drive();
            self.take_turn(bench, TURN_OBJECTS);
            self.help_another(bench);
        }
    }

    /// Asks for a grace period behind which all is that has been replaced by now, and helps it on.
    fn drive(&self) {
        epoch::drive(&self.horizon, || self.with_current(|version| version.seq));
    }

    /// Reads which versions are kept.
    pub(crate) fn scan(&self, protected: &mut Protected) {
        self.slots.scan(protected, |note| self.sections.marks(note));
    }

    /// One turn at a bench; whether anything was looked at.
    fn take_turn(&self, bench: &mut Bench, budget: usize) -> bool {
        if !self.benches.strays.is_empty() {
            bench.retired.adopt(&self.benches.strays);
        }
        let horizon = if busted::is(Sabotage::EarlyFree) { u64::MAX } else { self.horizon.load() };
        // What is retired here, was so before the scan.
        match busted::is(Sabotage::EarlyFree) {
            true => bench.protected = Protected::default(),
            false => self.scan(&mut bench.protected),
        }
        self.turn_with(bench, horizon, budget).sifted > 0
    }

    fn turn_with(&self, bench: &mut Bench, horizon: u64, budget: usize) -> Turned {
        let Bench { stock, retired, protected, .. } = bench;
        let mut outlet = Outlet { workbench: stock, depot: &self.depot, released: &self.released };
        let turned = retired.turn(horizon, protected, budget, &mut outlet);
        self.freed.note(turned);
        turned
    }

    /// A turn at the next bench where nobody sits: its thread may not come back.
    fn help_another(&self, bench: &mut Bench) {
        bench.next_helped = (bench.next_helped + 1) % WORKBENCHES;
        if let Some(mut other) = self.benches.try_claim(bench.next_helped) {
            self.take_turn(&mut other, HELPED_OBJECTS);
        }
    }

    /// Turns at this bench and at all where nobody sits, until there is nothing to be had.
    fn take_all_turns(&self, bench: &mut Bench) {
        while !bench.is_spare && self.take_turn(bench, TURN_OBJECTS) {}
        for mut other in self.benches.idle() {
            while self.take_turn(&mut other, TURN_OBJECTS) {}
        }
    }

    pub(crate) fn limit_of(&self, version: &Version) -> u64 {
        self.settings.retired_limit(|| crate::stats::node_bytes_of(version))
    }

    pub(crate) fn is_over_limit(&self, version: &Version) -> bool {
        let retired = self.retired_bytes(version);
        retired > self.limit_of(version)
    }

    /// Helps to get below the retired limit; refuses only where it is known what holds more than that back.
    #[cold]
    pub(crate) fn relieve(&self, bench: &mut Bench) -> Result<(), Refusal> {
        bench.slot.mark().clear();
        for _ in 0..RELIEF_ROUNDS {
            self.drive();
            self.take_all_turns(bench);
            if !self.with_current(|version| self.is_over_limit(version)) {
                return Ok(());
            }
            yield_now();
        }
        let limit = self.with_current(|version| self.limit_of(version));
        match self.what_is_held_back(bench) {
            (bytes, Some(held_back)) if bytes > limit => Err(Refusal::RetiredLimit(held_back)),
            _ => Ok(()),
        }
    }

    /// How much is held back by others than changes on their way, and by whom most.
    fn what_is_held_back(&self, bench: &mut Bench) -> (u64, Option<HeldBack>) {
        let (horizon, mut evidence) = (self.horizon.load(), Evidence::default());
        self.scan(&mut bench.protected);
        bench.retired.witness(horizon, &mut evidence);
        self.benches.idle().for_each(|other| other.retired.witness(horizon, &mut evidence));
        let current = self.with_current(|version| version.seq);
        let mut total = 0;
        let by_kind = HOLDERS.iter().filter_map(|by| judge(*by, &evidence, &bench.protected, current));
        let most = by_kind.inspect(|held_back| total += held_back.bytes).max_by_key(|held_back| held_back.bytes);
        (total, most)
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
        let nobody = Protected::default();
        let Engine { benches, depot, released, .. } = self;
        let mut stock = Workbench::new();
        let mut outlet = Outlet { workbench: &mut stock, depot, released };
        let mut strays = Retired::NOTHING;
        strays.adopt(&benches.strays);
        strays.turn(u64::MAX, &nobody, usize::MAX, &mut outlet);
        for bench in benches.all() {
            bench.retired.turn(u64::MAX, &nobody, usize::MAX, &mut outlet);
        }
    }
}

/// Whose holding back is a reason to refuse a change; that of another change on its way is none.
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
