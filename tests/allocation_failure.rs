//! Allocations that fail: each operation is tried with the first, the second, the third .. allocation refused, until
//! one attempt gets through. Each refusal must be a typed error that gives everything back, with nothing changed.
//!
//! Not refused are the collector's own bags: crossbeam has no way to say that there is no memory for one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notifier_index::{BatchError, InsertError, Interval, NotifierIndex, Ops, Registration, Snapshot, UpdateError};

/// What the allocator does with a thread's requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Giving,
    /// So many more, then one refusal, then it gives again.
    OneRefusalAfter(u32),
    Refusing,
}

thread_local! {
    static MOOD: Cell<Mood> = const { Cell::new(Mood::Giving) };
    static REFUSALS: Cell<u32> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// The tests take turns: all indexes share one collector, by which a thread may free what another has retired.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Moody;

#[global_allocator]
static ALLOCATOR: Moody = Moody;

fn is_refused(layout: Layout) -> bool {
    let bag_bytes = if cfg!(crossbeam_sanitize) { 152..153 } else { 2000..2200 };
    if bag_bytes.contains(&layout.size()) && layout.align() <= 8 {
        return false;
    }
    let refused = match MOOD.get() {
        Mood::Giving => false,
        Mood::Refusing => true,
        Mood::OneRefusalAfter(0) => {
            MOOD.set(Mood::Giving);
            true
        }
        Mood::OneRefusalAfter(more) => {
            MOOD.set(Mood::OneRefusalAfter(more - 1));
            false
        }
    };
    REFUSALS.set(REFUSALS.get() + u32::from(refused));
    refused
}

// SAFETY: everything that is not refused is passed on to the system's allocator.
unsafe impl GlobalAlloc for Moody {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout) {
            return std::ptr::null_mut();
        }
        LIVE_BYTES.set(LIVE_BYTES.get() + layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get() - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The result of `work` in a mood, and how often it was refused memory.
fn in_mood<R>(mood: Mood, work: impl FnOnce() -> R) -> (R, u32) {
    REFUSALS.set(0);
    MOOD.set(mood);
    let result = work();
    MOOD.set(Mood::Giving);
    (result, REFUSALS.get())
}

/// Calls `attempt` with its first, second, third .. allocation refused, until it is refused none any more;
/// how often it was refused.
fn refuse_each(mut attempt: impl FnMut(&dyn Fn(&mut dyn FnMut()) -> u32) -> u32) -> u32 {
    for at in 0..1000 {
        let run = |work: &mut dyn FnMut()| in_mood(Mood::OneRefusalAfter(at), work).1;
        if attempt(&run) == 0 {
            return at;
        }
    }
    panic!("refused a thousand times in a row");
}

/// A payload that counts those alive.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>, u64);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>, id: u64) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(alive), id)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An index in which nothing can be reclaimed, so that changes need new memory again and again.
struct World {
    index: NotifierIndex,
    ops: Ops<Counted>,
    all: Vec<Registration<Counted>>,
    alive: Arc<AtomicUsize>,
    kept: Vec<Snapshot>,
    refusals: u32,
}

/// What must not change.
type State = (u64, usize, usize);

impl World {
    fn new(count: u64) -> Self {
        let index = NotifierIndex::new();
        // The collector's own registration of a thread, on its first pin, cannot be refused either.
        drop(index.pin());
        let (ops, alive) = (index.register_passive_ops(), Arc::new(AtomicUsize::new(0)));
        let items = (0..count).map(|id| (Interval::point(id * 10), Counted::new(&alive, id)));
        let all = index.insert_many(&ops, items).unwrap();
        World { index, ops, all, alive, kept: Vec::with_capacity(10_000), refusals: 0 }
    }

    fn state(&self) -> State {
        (self.index.version(), self.index.len(), self.alive.load(Ordering::Relaxed))
    }

    /// Holds back all that the next changes replace.
    fn keep(&mut self) {
        self.kept.push(self.index.snapshot());
    }

    fn assert_unchanged(&self, before: State) {
        assert_eq!(self.state(), before);
        assert_eq!(self.index.pin().view().check(), Ok(()));
    }

    /// All is gone, nothing is lost, and some were refused at all.
    fn end(mut self, refusals_at_least: u32) {
        assert!(self.refusals >= refusals_at_least, "only {} refusals", self.refusals);
        println!("{} refusals", self.refusals);
        assert_eq!(self.index.pin().view().check(), Ok(()));
        self.all.clear();
        self.kept.clear();
        // Other tests of this process pin too, now and then.
        for _ in 0..1000 {
            self.index.maintain();
            if self.index.stats().retired_objects == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!((self.index.len(), self.index.stats().retired_objects), (0, 0));
        assert_eq!(self.alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_refused_insert_gives_the_payload_back() {
    let _turn = turn();
    let mut world = World::new(200);
    for id in 0..400 {
        world.keep();
        let mut payload = Some(Counted::new(&world.alive, 1000 + id));
        let before = world.state();
        let mut made = None;
        world.refusals += refuse_each(|run| {
            let mut result = None;
            let given = payload.take().unwrap();
            let mut given = Some(given);
            let refusals = run(&mut || {
                result = Some(world.index.insert(&world.ops, Interval::point(id * 7), given.take().unwrap()));
            });
            match result.unwrap() {
                Ok(registration) => made = Some(registration),
                Err(refused) => {
                    assert!(refusals > 0 && refused.reason == InsertError::OutOfMemory);
                    world.assert_unchanged(before);
                    payload = Some(refused.value);
                    assert_eq!(payload.as_ref().unwrap().1, 1000 + id);
                    return refusals;
                }
            }
            0
        });
        world.all.extend(made);
        assert_eq!(world.state(), (before.0 + 1, before.1 + 1, before.2));
    }
    world.end(400);
}

#[test]
fn a_refused_update_leaves_the_bounds() {
    let _turn = turn();
    let mut world = World::new(300);
    for step in 0..600 {
        world.keep();
        let registration = &world.all[step * 7 % 300];
        let (before, at, to) = (world.state(), registration.interval(), Interval::point(step as u64 * 11));
        world.refusals += refuse_each(|run| {
            let mut result = None;
            let refusals = run(&mut || result = Some(registration.update(to)));
            match result.unwrap() {
                Ok(version) => assert_eq!((version, registration.interval()), (before.0 + 1, to)),
                Err(refused) => {
                    assert!(refusals > 0 && refused == UpdateError::OutOfMemory);
                    assert_eq!(registration.interval(), at);
                    world.assert_unchanged(before);
                    return refusals;
                }
            }
            0
        });
    }
    world.end(4);
}

#[test]
fn a_refused_removal_gives_the_registration_back() {
    let _turn = turn();
    let mut world = World::new(600);
    while world.all.len() > 10 {
        world.keep();
        let mut registration = Some(world.all.swap_remove(world.all.len() / 2));
        let before = world.state();
        world.refusals += refuse_each(|run| {
            let mut given = registration.take();
            let mut result = None;
            let refusals = run(&mut || result = Some(given.take().unwrap().remove()));
            match result.unwrap() {
                Ok(version) => assert_eq!((version, world.index.len()), (before.0 + 1, before.1 - 1)),
                Err(refused) => {
                    assert!(refusals > 0);
                    world.assert_unchanged(before);
                    registration = Some(refused.value);
                    return refusals;
                }
            }
            0
        });
    }
    world.end(4);
}

#[test]
fn a_refused_insert_many_gives_all_items_back_in_order() {
    let _turn = turn();
    let mut world = World::new(50);
    let fresh: Ops<Counted> = world.index.register_passive_ops();
    for (round, ops) in [world.ops, fresh].into_iter().enumerate() {
        world.keep();
        let item = |id: u64| (Interval::point((id * 37) % 90), Counted::new(&world.alive, id));
        let mut items: Option<Vec<_>> = Some((0..60).map(item).collect());
        let before = world.state();
        let mut made = None;
        world.refusals += refuse_each(|run| {
            let mut given = items.take();
            let mut result = None;
            let refusals = run(&mut || result = Some(world.index.insert_many(&ops, given.take().unwrap())));
            match result.unwrap() {
                Ok(all) => made = Some(all),
                Err(refused) => {
                    assert!(refusals > 0 && refused.reason == InsertError::OutOfMemory);
                    world.assert_unchanged(before);
                    let back: Vec<_> = refused.value.collect();
                    assert!(back.iter().map(|(_, payload)| payload.1).eq(0..60));
                    items = Some(back);
                    return refusals;
                }
            }
            0
        });
        assert_eq!(world.state(), (before.0 + 1, before.1 + 60, before.2), "round {round}");
        world.all.extend(made.unwrap());
    }
    world.end(120);
}

/// One batch of each kind of change; what it is made of comes back from a refusal by the keys.
#[test]
fn a_refused_batch_comes_back_whole() {
    let _turn = turn();
    let mut world = World::new(400);
    for step in 0..100_u64 {
        world.keep();
        let gone = world.all.swap_remove(step as usize % world.all.len());
        let before = world.state();
        let moved = &world.all[step as usize];
        let at = moved.interval();
        let mut batch = world.index.batch();
        let key = batch.insert(&world.ops, Interval::point(step), Counted::new(&world.alive, step)).unwrap();
        batch.remove(&gone).unwrap();
        batch.update(moved, Interval::point(step * 31)).unwrap();
        let (mut batch, mut committed) = (Some(batch), None);
        world.refusals += refuse_each(|run| {
            let mut given = batch.take();
            let mut result = None;
            let refusals = run(&mut || result = Some(given.take().unwrap().commit()));
            match result.unwrap() {
                Ok(done) => committed = Some(done),
                Err(refused) => {
                    assert!(refusals > 0 && refused.reason == BatchError::OutOfMemory);
                    assert_eq!((world.index.version(), world.index.len(), moved.interval()), (before.0, before.1, at));
                    batch = Some(refused.value);
                    return refusals;
                }
            }
            0
        });
        let mut committed = committed.unwrap();
        assert_eq!((committed.version(), world.index.len()), (before.0 + 1, before.1));
        world.all.push(committed.take(key).unwrap());
    }
    world.end(4);
}

/// Of a carve that splits, cuts and removes the payloads that were made come back, and all notifiers stand as before.
#[test]
fn a_refused_carve_gives_the_right_halves_back() {
    let _turn = turn();
    let mut world = World::new(0);
    for round in 0..20_u64 {
        let at = |start, last| Interval::new(round * 100 + start, round * 100 + last).unwrap();
        let bounds = [at(0, 99), at(10, 89), at(20, 50), at(45, 55), at(50, 70)];
        let made = bounds.map(|at| world.index.insert(&world.ops, at, Counted::new(&world.alive, at.start())).unwrap());
        world.all.extend(made);
        world.keep();
        let before = world.state();
        let mut carved = None;
        world.refusals += refuse_each(|run| {
            let mut result = None;
            let make = |hit: notifier_index::Hit<'_, Counted>| Counted::new(&world.alive, hit.last());
            let refusals = run(&mut || result = Some(world.index.carve(&world.ops, at(40, 59), make)));
            match result.unwrap() {
                Ok(done) => carved = Some(done),
                Err(refused) => {
                    assert!(refusals > 0 && refused.reason == BatchError::OutOfMemory);
                    assert!(refused.value.len() <= 2);
                    drop(refused);
                    world.assert_unchanged(before);
                    return refusals;
                }
            }
            0
        });
        let carved = carved.unwrap();
        assert_eq!((carved.version, carved.removed, carved.cut, carved.right_halves.len()), (before.0 + 1, 1, 4, 2));
        world.all.extend(carved.right_halves);
        world.all.retain(Registration::is_live);
    }
    world.end(20);
}

/// While a batch is put together, a refusal gives back what was to be put in.
#[test]
fn a_batch_that_cannot_grow_gives_back_what_was_to_go_in() {
    let _turn = turn();
    let world = World::new(100);
    let mut all = world.all.iter();
    let (mut batch, mut keys) = (world.index.batch(), Vec::with_capacity(100));
    let mut refusals = 0;
    for id in 0..50 {
        let mut payload = Some(Counted::new(&world.alive, id));
        refusals += refuse_each(|run| {
            let mut given = payload.take();
            let mut result = None;
            let refusals =
                run(&mut || result = Some(batch.insert(&world.ops, Interval::point(id), given.take().unwrap())));
            match result.unwrap() {
                Ok(key) => keys.push(key),
                Err(refused) => {
                    payload = Some(refused.value);
                    return refusals;
                }
            }
            0
        });
        let registration = all.next().unwrap();
        refusals += refuse_each(|run| {
            let mut result = None;
            let refusals = run(&mut || result = Some(batch.remove(registration)));
            if result.unwrap().is_err() { refusals } else { 0 }
        });
    }
    assert!(refusals >= 50 && batch.len() == 100, "{refusals}");
    let mut committed = batch.commit().unwrap();
    let inserted: Vec<_> = keys.into_iter().map(|key| committed.take(key).unwrap()).collect();
    assert_eq!((inserted.len(), world.index.len()), (50, 100));
}

#[test]
fn a_removal_by_drop_without_memory_is_made_up_for_later() {
    let _turn = turn();
    for made_up_by_maintain in [false, true] {
        let mut world = World::new(2_000);
        let mut dropped = 0;
        while world.index.len() == 2_000 - dropped {
            world.keep();
            let registration = world.all.pop().expect("some removal needs memory");
            let ((), _) = in_mood(Mood::Refusing, || drop(registration));
            dropped += 1;
        }
        let late = world.index.len() + dropped - 2_000;
        assert_eq!((late, world.index.pin().view().check()), (1, Ok(())));
        if made_up_by_maintain {
            world.index.maintain();
            assert_eq!(world.index.len(), 2_000 - dropped);
        } else {
            let new = world.index.insert(&world.ops, Interval::point(1), Counted::new(&world.alive, 1)).unwrap();
            assert_eq!(world.index.len(), 2_000 - dropped + 1);
            drop(new);
        }
        world.refusals = 1;
        world.end(1);
    }
}

/// The same life with and without refusals leaves the same bytes behind.
#[test]
fn refusals_leave_no_memory_behind() {
    let _turn = turn();
    let life = |mood: fn(u32) -> Mood| {
        let mut world = World::new(300);
        let mut refused = 0;
        for step in 0..900_u64 {
            if step % 3 == 0 {
                world.keep();
            }
            let (result, refusals) =
                in_mood(mood(step as u32 % 3), || world.all[step as usize % 300].update(Interval::point(step)));
            assert!(result.is_ok() || refusals > 0);
            refused += refusals;
            let payload = Counted::new(&world.alive, step);
            let (result, refusals) =
                in_mood(mood(step as u32 % 4), || world.index.insert(&world.ops, Interval::point(step), payload));
            assert!(result.is_ok() || refusals > 0);
            refused += refusals;
        }
        world.end(0);
        refused
    };
    let bytes_of = |mood| {
        let before = LIVE_BYTES.get();
        let refused = life(mood);
        let index = NotifierIndex::new();
        (0..20).for_each(|_| index.maintain());
        drop(index);
        (LIVE_BYTES.get() - before, refused)
    };
    bytes_of(|_| Mood::Giving);
    let ((without, _), (with, refused)) = (bytes_of(|_| Mood::Giving), bytes_of(Mood::OneRefusalAfter));
    assert!(refused > 200, "{refused} refusals");
    assert!((without - with).abs() < 16 << 10, "{without} bytes left without refusals, {with} with them");
}
