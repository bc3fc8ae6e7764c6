//! The torture of pages: a source with one generation a page, mirrors of it, and everybody at once.
//!
//! Mutators raise the generations of some pages inside a section over them. Fillers copy generations into the mirror of
//! a notifier by begin and retry. Meanwhile notifiers come, go and move. Two things hold throughout (CONTRACT 5):
//!
//! - from the return of `invalidate` to the end of the section no mirror has an entry of its range;
//! - what is committed is the page's newest generation, and nobody is inside a section over it.
//!
//! # Its sabotages
//! It must fail under each of these, and does within seconds:
//! ```text
//! RUSTFLAGS="--cfg busted" CARGO_TARGET_DIR=target/busted BUSTED=NAME \
//!     cargo test --release --test sections torture
//! ```
//! with NAME one of `section_after_load` (R1), `generation_after_scan` (R2), `no_coverage` (R3), `no_raise` (R5),
//! `lost_wake`, `skip_retry`, which are in the library, and `r4_remove_insert` (a move as removal and insertion),
//! `r6_teardown_late` (the mirror is torn down after the removal's wait), which are mistakes of the user, below.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use notifier_index::{
    BeginError, Held, Interval, Invalidating, Notifier, NotifierIndex, Ops, Registration, WouldBlock,
};
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::scope::scope;
use crate::support::{UNMAP, between, busted, deadline_after, until};

const PAGES: usize = 12;
const SLOTS: usize = 3;
const STEPS: u64 = 400;
const ROUNDS: u64 = if cfg!(debug_assertions) { 48 } else { 256 };

/// Beyond this a wait was lost.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// What fillers have copied, under the user's lock.
#[derive(Default)]
struct Mirror(Mutex<[Option<u64>; PAGES]>);

/// Breaks of the user's own rules.
#[derive(Clone, Copy, Default)]
struct Breaks {
    remove_insert: bool,
    teardown_late: bool,
}

/// How often something nearly went wrong.
#[derive(Default)]
struct NearMisses {
    /// Entries that a callback took down.
    collisions: AtomicU64,
    /// Fills that were refused at the last moment.
    retries: AtomicU64,
    fills: AtomicU64,
    waits: AtomicU64,
    callbacks: AtomicU64,
    uncovered: AtomicU64,
}

struct World {
    index: NotifierIndex,
    ops: Ops<Owner>,
    generations: [AtomicU64; PAGES],
    /// Mutators between the return of `invalidate` and the end of the section.
    inside: [AtomicU64; PAGES],
    mirrors: RwLock<Vec<Arc<Mirror>>>,
    slots: [Mutex<Option<Registration<Owner>>>; SLOTS],
    near: Arc<NearMisses>,
    breaks: Breaks,
}

/// The payload: takes down what it mirrors of the range.
struct Owner {
    mirror: Arc<Mirror>,
    near: Arc<NearMisses>,
    /// Its removal has been waited for.
    is_gone: AtomicBool,
}

impl Notifier for Owner {
    fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        assert!(!self.is_gone.load(SeqCst), "called after the wait for its removal");
        let mut entries = self.mirror.0.lock();
        let torn = pages(told.interval()).filter(|page| entries[*page].take().is_some()).count();
        self.near.collisions.fetch_add(torn as u64, SeqCst);
        Ok(())
    }
}

fn pages(interval: Interval) -> impl Iterator<Item = usize> {
    (interval.start() as usize)..=(interval.last() as usize)
}

fn raise(counters: &[AtomicU64; PAGES], range: Interval) {
    for page in pages(range) {
        counters[page].fetch_add(1, SeqCst);
    }
}

fn lower(counters: &[AtomicU64; PAGES], range: Interval) {
    for page in pages(range) {
        counters[page].fetch_sub(1, SeqCst);
    }
}

/// A generator of random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % bound
    }

    fn range(&mut self, longest: u64) -> Interval {
        let start = self.below(PAGES as u64);
        between(start, (start + self.below(longest)).min(PAGES as u64 - 1))
    }

    fn pause(&mut self) {
        (0..self.below(4)).for_each(|_| std::thread::yield_now());
    }
}

impl World {
    fn new(near: &Arc<NearMisses>, breaks: Breaks) -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        let (near, mirrors) = (Arc::clone(near), RwLock::default());
        let (generations, inside, slots) = Default::default();
        World { index, ops, generations, inside, mirrors, slots, near, breaks }
    }

    fn insert(&self, bounds: Interval, mirror: Arc<Mirror>) -> Registration<Owner> {
        let owner = Owner { mirror, near: Arc::clone(&self.near), is_gone: AtomicBool::new(false) };
        self.index.insert(&self.ops, bounds, owner).unwrap()
    }

    /// The invariant of the contract's section 5.
    fn check_nothing_mirrored(&self, range: Interval, when: &str) {
        for mirror in self.mirrors.read().iter() {
            let entries = mirror.0.lock();
            for page in pages(range) {
                assert!(entries[page].is_none(), "{when} an entry of page {page} is there, section {range}");
            }
        }
    }

    fn mutate(&self, dice: &mut Dice) {
        let range = dice.range(4);
        let section = match dice.below(3) {
            0 => self.index.try_invalidate(range, UNMAP).expect("nobody refuses"),
            _ => self.index.invalidate(range, UNMAP),
        };
        self.check_nothing_mirrored(range, "when invalidate returned");
        raise(&self.inside, range);
        dice.pause();
        raise(&self.generations, range);
        dice.pause();
        self.check_nothing_mirrored(range, "inside the section");
        lower(&self.inside, range);
        drop(section);
        dice.pause();
    }

    /// Copies a range of the source; false if the notifier did not cover it.
    fn fill(&self, held: &Held<Owner>, range: Interval, dice: &mut Dice) -> bool {
        let begun = Instant::now();
        let answer = held.read_begin_timeout(range, WAIT_LIMIT);
        assert!(begun.elapsed() < WAIT_LIMIT, "not woken when the last section ended");
        let ticket = match answer {
            Ok(ticket) => ticket,
            Err(BeginError::NotCovered | BeginError::Removed) => return false,
            Err(error) => panic!("read_begin over {range}: {error}"),
        };
        let read = self.generations.each_ref().map(|generation| generation.load(SeqCst));
        dice.pause();
        let mut entries = held.mirror.0.lock();
        if held.read_retry(ticket) {
            self.near.retries.fetch_add(1, SeqCst);
            return true;
        }
        for page in pages(range) {
            assert_eq!(self.inside[page].load(SeqCst), 0, "filled page {page} inside a section");
            assert_eq!(read[page], self.generations[page].load(SeqCst), "filled an old generation of page {page}");
            entries[page] = Some(read[page]);
        }
        self.near.fills.fetch_add(1, SeqCst);
        true
    }

    fn fill_what_is_found(&self, kept: &mut Option<Held<Owner>>, dice: &mut Dice) {
        let range = dice.range(3);
        let use_kept = dice.below(3) > 0;
        let held = match kept.take().filter(|_| use_kept) {
            Some(held) => held,
            None => match self.index.pin().find(&self.ops, range) {
                Some(hit) => hit.hold(),
                None => return dice.pause(),
            },
        };
        if !self.fill(&held, range, dice) {
            self.near.uncovered.fetch_add(1, SeqCst);
        }
        *kept = Some(held);
    }

    fn slot(&self, dice: &mut Dice) -> MutexGuard<'_, Option<Registration<Owner>>> {
        self.slots[dice.below(SLOTS as u64) as usize].lock()
    }

    /// Removes what is in a slot, or puts a new notifier there and fills it at once.
    fn come_or_go(&self, dice: &mut Dice) {
        let mut slot = self.slot(dice);
        let Some(registration) = slot.take() else {
            let (bounds, mirror) = (dice.range(8), Arc::<Mirror>::default());
            self.mirrors.write().push(Arc::clone(&mirror));
            let held = slot.insert(self.insert(bounds, mirror)).hold();
            drop(slot);
            self.fill(&held, bounds, dice);
            return;
        };
        let held = registration.hold();
        // R6: tear down and remove under the lock, wait after it.
        let mut entries = held.mirror.0.lock();
        if !self.breaks.teardown_late {
            *entries = Default::default();
        }
        let removal = registration.remove_deferred().unwrap();
        drop(entries);
        removal.wait_timeout(WAIT_LIMIT).unwrap();
        held.is_gone.store(true, SeqCst);
        if self.breaks.teardown_late {
            dice.pause();
            *held.mirror.0.lock() = Default::default();
        }
        drop(slot);
        dice.pause();
    }

    /// Moves a notifier, and fills what it covers now.
    fn update(&self, dice: &mut Dice) {
        let mut slot = self.slot(dice);
        let Some(registration) = slot.take() else { return dice.pause() };
        let (bounds, held) = (dice.range(8), registration.hold());
        // R5: tear down what is cut off and publish under the lock.
        let mut entries = held.mirror.0.lock();
        let outside = (0..PAGES).filter(|page| !bounds.covers(Interval::point(*page as u64)));
        outside.for_each(|page| entries[page] = None);
        let registration = self.move_to(registration, bounds, dice);
        drop(entries);
        let held = slot.insert(registration).hold();
        drop(slot);
        self.fill(&held, bounds, dice);
    }

    fn move_to(&self, registration: Registration<Owner>, bounds: Interval, dice: &mut Dice) -> Registration<Owner> {
        if self.breaks.remove_insert {
            let mirror = Arc::clone(&registration.payload().mirror);
            drop(registration.remove_deferred().unwrap());
            dice.pause();
            return self.insert(bounds, mirror);
        }
        if dice.below(3) == 0 {
            let mut batch = self.index.batch();
            batch.update(&registration, bounds).unwrap();
            let _ = batch.commit().unwrap();
        } else {
            registration.update(bounds).unwrap();
        }
        registration
    }

    /// One who waits for the last section of all is woken by nobody else.
    fn check_the_last_wake(&self) {
        let registration = self.insert(between(0, 3), Arc::default());
        let waits = self.index.stats().read_begin_waits;
        scope(|scope| {
            let section = self.index.invalidate(between(2, 2), UNMAP);
            let waiter = scope.spawn(|| registration.read_begin_timeout(between(0, 3), WAIT_LIMIT).map(drop));
            until("somebody waits", || self.index.stats().read_begin_waits > waits);
            // Until he has gone to sleep.
            std::thread::sleep(Duration::from_millis(2));
            let ended = Instant::now();
            drop(section);
            assert_eq!(waiter.join().unwrap(), Ok(()), "not woken");
            assert!(ended.elapsed() < WAIT_LIMIT / 2, "woken by nobody but the time");
        });
    }
}

fn round(number: u64, near: &Arc<NearMisses>, breaks: Breaks) {
    let world = World::new(near, breaks);
    scope(|scope| {
        for thread in 0..7 {
            let (world, mut dice) = (&world, Dice((number * 7 + thread + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let mut kept = None;
            scope.spawn(move || {
                for _ in 0..STEPS {
                    match thread {
                        0 | 1 => world.mutate(&mut dice),
                        2 | 3 => world.fill_what_is_found(&mut kept, &mut dice),
                        4 => world.come_or_go(&mut dice),
                        _ => world.update(&mut dice),
                    }
                }
            });
        }
    });
    if number.is_multiple_of(16) {
        world.check_the_last_wake();
    }
    let stats = world.index.stats();
    assert_eq!((stats.sections_active, world.index.snapshot().view().check()), (0, Ok(())));
    near.waits.fetch_add(stats.read_begin_waits, SeqCst);
    near.callbacks.fetch_add(stats.callbacks_run, SeqCst);
}

#[test]
fn mirrors_are_never_stale() {
    let _deadline = deadline_after(Duration::from_secs(300));
    let name = busted();
    let is = |sabotage| name.as_deref() == Some(sabotage);
    let breaks = Breaks { remove_insert: is("r4_remove_insert"), teardown_late: is("r6_teardown_late") };
    let near = Arc::default();
    (0..ROUNDS).for_each(|number| round(number, &near, breaks));
    let NearMisses { collisions, retries, fills, waits, callbacks, uncovered } = &*near;
    let counts = [
        ("collisions", collisions),
        ("retries", retries),
        ("fills", fills),
        ("waits", waits),
        ("callbacks", callbacks),
        ("uncovered", uncovered),
    ];
    for (what, count) in counts {
        println!("{what}: {}", count.load(SeqCst));
        assert!(count.load(SeqCst) > 0, "no {what}: nothing was tortured");
    }
}
