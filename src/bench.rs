//! The benches at which writers work: a stock of slots, what was retired there, and a protection slot. Each is claimed for the
//! time of a change, without waiting; where all are taken, a spare one is made and cleared away again.

use crate::made::Made;
use crate::reclaim::pool::{Depot, NoMemory, Workbench};
use crate::reclaim::{Replaced, Retired, Strays};
use crate::slots::{OwnSlot, Protected, Slots, UserKind};
use crate::sync::{Mutex, MutexGuard, Padded, get_mut, try_lock};
use crate::tuning::{PUBLICATIONS_PER_TURN, WORKBENCHES};

/// What one writer at a time works with.
pub(crate) struct Bench {
    pub(crate) stock: Workbench,
    /// What the change under way replaces.
    pub(crate) replaced: Replaced,
    pub(crate) retired: Retired,
    /// Protects the base of a change.
    pub(crate) slot: OwnSlot,
    /// What the last scan has found; kept for its memory.
    pub(crate) protected: Protected,
    pub(crate) publication_count: u64,
    /// Publications until the next turn.
    pub(crate) turn_after: u64,
    /// The announcement that this bench has waited for long enough.
    pub(crate) ignored: u64,
    /// Where the bench that is helped next stands.
    pub(crate) next_helped: usize,
    /// A spare one takes no turns.
    pub(crate) is_spare: bool,
}

impl Bench {
    fn new(slots: &Slots, seat: usize, is_spare: bool) -> Result<Self, NoMemory> {
        Ok(Bench {
            stock: Workbench::new(),
            replaced: Replaced::EMPTY,
            retired: Retired::NOTHING,
            slot: slots.take(UserKind::Writer)?,
            protected: Protected::default(),
            publication_count: 0,
            turn_after: PUBLICATIONS_PER_TURN,
            ignored: 0,
            next_helped: seat + 1,
            is_spare,
        })
    }
}

/// All benches of an index, made where somebody sits down.
pub(crate) struct Benches {
    places: [Made<Padded<Mutex<Bench>>>; WORKBENCHES],
    pub(crate) strays: Strays,
}

impl Benches {
    pub(crate) fn new() -> Self {
        Benches { places: std::array::from_fn(|_| Made::not_yet()), strays: Strays::default() }
    }

    /// The bench in this place, if it is there and nobody sits at it.
    pub(crate) fn try_claim(&self, at: usize) -> Option<MutexGuard<'_, Bench>> {
        try_lock(&self.places[at % WORKBENCHES].get()?.0)
    }

    /// All benches at which nobody sits.
    pub(crate) fn idle(&self) -> impl Iterator<Item = MutexGuard<'_, Bench>> {
        (0..WORKBENCHES).filter_map(|at| self.try_claim(at))
    }

    /// Runs `work` at a bench of its own: one of the index's, or a spare one if all are taken.
    pub(crate) fn sit_down<R>(
        &self,
        slots: &Slots,
        depot: &Depot,
        seat: usize,
        work: impl FnOnce(&mut Bench) -> R,
    ) -> Result<R, NoMemory> {
        for at in seat..seat + WORKBENCHES {
            let place = &self.places[at % WORKBENCHES];
            if place.get().is_none() {
                place.make(Padded(Mutex::new(Bench::new(slots, at, false)?)))?;
            }
            if let Some(mut bench) = self.try_claim(at) {
                return Ok(work(&mut bench));
            }
        }
        let mut spare = Bench::new(slots, seat, true)?;
        let result = work(&mut spare);
        spare.stock.clear_away(depot);
        spare.retired.leave(&self.strays);
        Ok(result)
    }

    /// All benches, when nobody sits at any.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Bench> {
        self.places.iter_mut().filter_map(|place| Some(get_mut(&mut place.get_mut()?.0)))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::{Interval, NotifierIndex};

    /// Runs `work` while so many benches are taken.
    fn beside_writers(index: &NotifierIndex, count: usize, work: &dyn Fn()) {
        if count == 0 {
            return work();
        }
        assert!(index.engine().at_bench(|_| beside_writers(index, count - 1, work)).is_ok());
    }

    /// Where all benches are taken, changes go on, and what they retire is left to others.
    #[test]
    fn more_writers_than_benches_lose_nothing() {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops::<u64>();
        let all = index.insert_many(&ops, (0..100).map(|at| (Interval::point(at * 16), at))).unwrap();
        index.maintain();
        beside_writers(&index, WORKBENCHES, &|| {
            assert_eq!(index.clear(&index.register_passive_ops::<u64>()), Ok(0), "one that retires nothing");
            for registration in &all {
                registration.update(Interval::point(registration.payload() * 16 + 1)).unwrap();
            }
        });
        assert!(!index.engine().benches.strays.is_empty() && index.stats().retired_objects >= 100);
        index.maintain();
        assert!(index.engine().benches.strays.is_empty());
        // Beside other tests a pin may hold some back; what was left is at a bench by now.
        let at_benches: u64 = index.engine().benches.idle().map(|bench| bench.retired.retired_count()).sum();
        assert!(at_benches > 0 && index.stats().retired_objects < 1_000, "{}", index.stats());
        assert!(index.pin().view().iter().all(|hit| hit.start() % 16 == 1));
    }
}
