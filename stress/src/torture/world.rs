//! One index with everything that its threads share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use notifier_index::{Interval, NotifierIndex, Ops, Registration};
use parking_lot::{Mutex, RwLock};

use super::actor::{Actor, Ledger};
use super::mixes::Plan;
use super::pages::{PAGE_SLOTS, Pages};
use crate::cli::TortureSabotage;
use crate::span::{Found, NotifierId, Owner, Span};
use crate::workload::Draws;
use rand::Rng;

/// Owner of the one notifier that stays from the first version to the last.
const KEEPER: Owner = 0;
/// Its name and its bounds.
pub(crate) const KEEPER_ID: NotifierId = 0;
pub(crate) const KEEPER_SPAN: Span = Span::between(1 << 20, 2 << 20);
/// Owners that are there from the beginning: looked up only, told, told and wide, told and mirroring pages.
pub(crate) const EXTENTS: Owner = 1;
pub(crate) const TOLD: Owner = 2;
pub(crate) const WIDE: Owner = 3;
pub(crate) const PAGED: Owner = 4;
const FIRST_OWNERS: usize = 5;
/// Owners at most.
const MOST_OWNERS: usize = 16;
/// Slots of the wide ones.
const WIDE_SLOTS: usize = 6;
/// Addresses for each slot: so that they overlap now and then.
const ADDRESSES_PER_SLOT: u64 = 64;

/// A registered notifier.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: NotifierId,
    pub(crate) owner: Owner,
    pub(crate) registration: Registration<Actor>,
}

/// One index, and what its threads share.
pub(crate) struct World {
    pub(crate) index: NotifierIndex,
    pub(crate) plan: &'static Plan,
    pub(crate) sabotage: Option<TortureSabotage>,
    owners: [OnceLock<Ops<Actor>>; MOST_OWNERS],
    owner_count: AtomicUsize,
    registering: Mutex<()>,
    pub(crate) keeper: Mutex<Option<Entry>>,
    pub(crate) slots: Vec<RwLock<Option<Entry>>>,
    pub(crate) page_slots: [Mutex<Option<Entry>>; PAGE_SLOTS],
    pub(crate) pages: Pages,
    next_id: AtomicU64,
    /// The greatest version of a change that has returned.
    floor: AtomicU64,
    /// The round is over: everybody to the barrier.
    pub(crate) is_resting: AtomicBool,
    /// Somebody is to close the index now.
    pub(crate) is_close_due: AtomicBool,
    pub(crate) is_closing: AtomicBool,
    pub(crate) is_closed: AtomicBool,
    /// Held while a registration is dropped, which tells no version.
    pub(crate) unversioned: Mutex<()>,
    /// One above the slot whose callback waits for its removal; 0 for none.
    pub(crate) lingering: AtomicUsize,
    pub(crate) ledger: Arc<Ledger>,
    /// Refusals by callbacks, those of sections that may block, and what of these the library reported.
    pub(crate) refused: AtomicU64,
    pub(crate) refused_blocking: AtomicU64,
    pub(crate) reported: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new(plan: &'static Plan, ledger: Arc<Ledger>, sabotage: Option<TortureSabotage>) -> Self {
        let reported = Arc::<AtomicU64>::default();
        let hooked = Arc::clone(&reported);
        // Relaxed: a count.
        let config = plan.config().refusal_hook(move |_| {
            hooked.fetch_add(1, Ordering::Relaxed);
        });
        let world = World {
            index: NotifierIndex::with_config(config),
            plan,
            sabotage,
            owners: Default::default(),
            owner_count: AtomicUsize::new(0),
            registering: Mutex::default(),
            keeper: Mutex::default(),
            slots: (0..plan.slot_count).map(|_| RwLock::default()).collect(),
            page_slots: Default::default(),
            pages: Pages::default(),
            next_id: AtomicU64::new(1),
            floor: AtomicU64::new(0),
            is_resting: AtomicBool::new(false),
            is_close_due: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            unversioned: Mutex::default(),
            lingering: AtomicUsize::new(0),
            ledger,
            refused: AtomicU64::new(0),
            refused_blocking: AtomicU64::new(0),
            reported,
        };
        (0..FIRST_OWNERS).for_each(|_| assert!(world.register_owner().is_some()));
        let keeper = Actor::new(&world.ledger, KEEPER_ID, None, None);
        let Ok(registration) = world.index.insert(world.ops(KEEPER), interval(KEEPER_SPAN), keeper) else {
            panic!("the first notifier cannot be inserted")
        };
        *world.keeper.lock() = Some(Entry { id: KEEPER_ID, owner: KEEPER, registration });
        world
    }

    /// Fills every other slot.
    pub(crate) fn populate(&self, draws: &mut Draws) {
        for (slot, place) in self.slots.iter().enumerate().step_by(2) {
            let owner = self.owner_of_slot(slot, draws);
            let actor = Actor::new(&self.ledger, self.new_id(), Some(slot), None);
            let (id, bounds) = (actor.id, interval(self.bounds(owner, draws)));
            let Ok(registration) = self.index.insert(self.ops(owner), bounds, actor) else {
                panic!("notifier {id} cannot be inserted")
            };
            *place.write() = Some(Entry { id, owner, registration });
        }
    }

    /// Registers one owner more, if there is room.
    pub(crate) fn register_owner(&self) -> Option<Owner> {
        let _one_at_a_time = self.registering.lock();
        let at = self.owner_count.load(Ordering::Relaxed);
        let place = self.owners.get(at)?;
        let is_told = ![KEEPER, EXTENTS].contains(&(at as Owner)) && (at < FIRST_OWNERS || at.is_multiple_of(2));
        let ops = if is_told { self.index.register_ops() } else { self.index.register_passive_ops() };
        assert_eq!(ops.number() as usize, at, "owners are numbered in order of registration");
        place.set(ops).expect("one thread at a time registers");
        // Release, partner of the Acquire in `owner_count`.
        self.owner_count.store(at + 1, Ordering::Release);
        Some(at as Owner)
    }

    fn owner_count(&self) -> usize {
        self.owner_count.load(Ordering::Acquire)
    }

    /// The owner of this number.
    pub(crate) fn ops(&self, owner: Owner) -> &Ops<Actor> {
        self.owners[owner as usize].get().expect("only registered owners are named")
    }

    /// Whose notifiers are registered in this slot.
    pub(crate) fn owner_of_slot(&self, slot: usize, draws: &mut Draws) -> Owner {
        let late = self.owner_count() - FIRST_OWNERS;
        match slot {
            0..WIDE_SLOTS => WIDE,
            _ if slot.is_multiple_of(16) && late > 0 => (FIRST_OWNERS + slot / 16 % late) as Owner,
            _ if draws.next_u32().is_multiple_of(2) => EXTENTS,
            _ => TOLD,
        }
    }

    /// An owner to ask about.
    pub(crate) fn any_owner(&self, draws: &mut Draws) -> Owner {
        match draws.next_u32() % 32 {
            0 => KEEPER,
            1 => WIDE,
            2 => PAGED,
            3..=5 => draws.next_u32() % self.owner_count() as Owner,
            6..=14 => TOLD,
            _ => EXTENTS,
        }
    }

    pub(crate) fn new_id(&self) -> NotifierId {
        // Relaxed: only uniqueness matters.
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The greatest version of a change that has returned: what begins now sees at least that.
    #[inline]
    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    /// A change that made this version has returned.
    pub(crate) fn raise_floor(&self, version: u64) {
        self.floor.fetch_max(version, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_resting(&self) -> bool {
        // Relaxed: the flag only ends loops.
        self.is_resting.load(Ordering::Relaxed)
    }

    /// The addresses in which most notifiers are.
    fn width(&self) -> u64 {
        self.plan.slot_count as u64 * ADDRESSES_PER_SLOT
    }

    /// An address to ask about.
    #[inline]
    pub(crate) fn address(&self, draws: &mut Draws) -> u64 {
        let draw = draws.next_u64();
        let address = ((u128::from(draw) * u128::from(self.width())) >> 64) as u64;
        if draw & 0xff == 0 { u64::MAX - (draw >> 8) % 64 } else { address }
    }

    /// Bounds for a notifier of this owner.
    pub(crate) fn bounds(&self, owner: Owner, draws: &mut Draws) -> Span {
        let draw = draws.next_u32();
        let start = self.address(draws);
        let length_bits = match owner {
            WIDE if draw.is_multiple_of(4) => return Span::FULL,
            WIDE => draw / 4 % 16,
            _ => draw / 256 % 8,
        };
        match draw % 256 {
            0 => Span::point(u64::MAX),
            1 => Span::point(0),
            2..=5 => Span::between(u64::MAX - start % 64, u64::MAX),
            _ => Span::between(start, start.saturating_add((1 << length_bits) - 1)),
        }
    }

    /// A range to ask about, or for a section.
    pub(crate) fn range(&self, draws: &mut Draws) -> Span {
        let draw = draws.next_u32();
        let start = self.address(draws);
        match draw % 512 {
            0 => Span::FULL,
            1..=16 => Span::between(start, start.saturating_add(self.width() / 16)),
            _ => Span::between(start, start.saturating_add(u64::from(draw / 512 % 96))),
        }
    }

    /// All notifiers, owner by owner, each ascending, with the version.
    pub(crate) fn content(&self) -> (Vec<Found>, u64) {
        let snapshot = self.index.snapshot();
        let view = snapshot.view();
        (view.iter().filter_map(|hit| found_any(self, hit, view.version())).collect(), view.version())
    }
}

/// A hit of whichever owner, in the model's terms.
pub(crate) fn found_any(world: &World, hit: notifier_index::AnyHit<'_>, version: u64) -> Option<Found> {
    let owner = Owner::try_from(hit.owner()).expect("owners of a run are few");
    let hit = hit.downcast(world.ops(owner))?;
    Some(found(world, owner, &hit, version))
}

/// A hit in the model's terms; its payload is checked.
#[inline]
pub(crate) fn found(world: &World, owner: Owner, hit: &notifier_index::Hit<'_, Actor>, version: u64) -> Found {
    let actor = hit.payload();
    world.ledger.faults.expect(actor.is_sound(version), || actor.complaint(version));
    Found { owner, id: actor.id, span: Span::between(hit.start(), hit.last()) }
}

/// A span in the library's terms.
#[inline]
pub(crate) fn interval(span: Span) -> Interval {
    Interval::new(span.start(), span.last()).expect("a span is not inverted")
}

/// An interval in the model's terms.
pub(crate) fn span(interval: Interval) -> Span {
    Span::between(interval.start(), interval.last())
}
