//! How long things live: a hit as long as its guard, a hold as long as it likes, a payload until nobody can reach it;
//! and its drop comes once, not on a reader's thread, and may do what it likes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::ThreadId;

use notifier_index::{Interval, NotifierIndex, Ops, Registration};
use parking_lot::Mutex;

use crate::canary::Canary;
use crate::forget::forget;
use crate::scope::scope;
use crate::turn::{alone, maintain_alone, together};
use crate::ways::{Eyes, Way, between};

#[test]
fn a_hit_stays_readable_after_the_removal_and_is_not_live() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(10, 20), Canary::new(7)).unwrap();
    let (guard, mut reader, snapshot) = (index.pin(), index.reader(), index.snapshot());
    let at = Interval::point(15);
    let hits = [guard.find(&ops, at).unwrap(), reader.find(&ops, at).unwrap(), snapshot.find(&ops, at).unwrap()];
    let held = [hits[0].hold(), hits[1].hold(), hits[2].hold(), registration.hold()];
    assert!(hits.iter().all(|hit| hit.is_live()) && held.iter().all(|held| held.is_live()));
    registration.remove().unwrap();
    for _ in 0..100 {
        index.insert(&ops, between(10, 20), Canary::new(8)).unwrap().remove().unwrap();
    }
    index.maintain();
    for hit in hits {
        assert_eq!((hit.payload().id(), hit.interval(), hit.is_live()), (7, between(10, 20), false));
    }
    drop((guard, reader, snapshot));
    index.maintain();
    for held in held {
        assert_eq!((held.id(), held.interval(), held.is_live()), (7, between(10, 20), false));
    }
}

#[test]
fn a_hold_of_a_live_notifier_keeps_the_bounds_it_was_found_with() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(10, 20), Canary::new(7)).unwrap();
    let held = index.pin().find(&ops, Interval::point(15)).unwrap().hold();
    registration.update(between(30, 40)).unwrap();
    assert_eq!((held.interval(), registration.interval(), held.is_live()), (between(10, 20), between(30, 40), true));
}

/// Inserts, holds, removes and updates so that payloads end in every way there is.
fn live_and_die(index: &NotifierIndex, ops: &Ops<Canary>, drops: &Arc<AtomicUsize>) -> usize {
    let count = 400_u64;
    let mut all: Vec<_> =
        (0..count).map(|id| index.insert(ops, Interval::point(id), Canary::counted(id, drops)).unwrap()).collect();
    let held: Vec<_> = all.iter().step_by(3).map(Registration::hold).collect();
    let snapshot = index.snapshot();
    all.drain(..100).for_each(drop);
    all.drain(..100).for_each(|registration| assert!(registration.remove().is_ok()));
    let gone: Vec<_> = all.drain(..100).collect();
    let mut batch = index.batch();
    gone.iter().for_each(|registration| batch.remove(registration).unwrap());
    let _untaken = batch.insert(ops, Interval::point(1), Canary::counted(count, drops)).unwrap();
    drop(batch.commit().unwrap());
    drop(gone);
    let mut refused = index.batch();
    let key = refused.insert(ops, Interval::point(2), Canary::counted(count + 1, drops)).unwrap();
    drop(refused.take_payload(key));
    let _ = refused.insert(ops, Interval::point(3), Canary::counted(count + 2, drops)).unwrap();
    drop(refused);
    let raced = index.find_or_insert_with(ops, Interval::point(399), || Canary::counted(count + 9, drops));
    drop((raced, snapshot));
    drop(held);
    count as usize + 3
}

#[test]
fn every_payload_is_dropped_exactly_once() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let made: usize = (0..5).map(|_| live_and_die(&index, &ops, &drops)).sum();
    maintain_alone(&index);
    // The last hundred of each round were dropped with their vector.
    assert_eq!((drops.load(Ordering::Relaxed), index.len()), (made, 0));
    drop(index);
    assert_eq!(drops.load(Ordering::Relaxed), made);
}

#[test]
fn the_end_of_the_index_drops_what_is_still_registered() {
    let _turn = together();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    for _ in 0..20 {
        let ops = index.register_passive_ops();
        for id in 0..30 {
            forget(index.insert(&ops, Interval::point(id), Canary::counted(id, &drops)).unwrap());
        }
    }
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    // A forgotten registration keeps the index: a leak at most.
    drop(index);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
}

#[test]
fn handles_outlive_the_index_and_still_work() {
    let _turn = together();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 9), Canary::counted(1, &drops)).unwrap();
    let other = index.insert(&ops, between(20, 29), Canary::counted(2, &drops)).unwrap();
    let (mut reader, snapshot, held) = (index.reader(), index.snapshot(), registration.hold());
    drop(index);
    registration.update(between(5, 14)).unwrap();
    assert_eq!(reader.find(&ops, Interval::point(12)).unwrap().payload().id(), 1);
    assert!(snapshot.find(&ops, Interval::point(12)).is_none());
    other.remove().unwrap();
    assert_eq!(reader.view().len(), 1);
    drop((reader, snapshot, registration));
    assert_eq!((held.id(), held.is_live()), (1, false));
    drop(held);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
}

/// A payload that says on which thread it was dropped.
struct Witness(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.lock().push(std::thread::current().id());
    }
}

#[test]
fn no_payload_is_dropped_on_a_readers_thread() {
    let _turn = alone();
    let places = Arc::new(Mutex::new(Vec::new()));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let read = |way: Way| {
        let mut eyes = Eyes::new(&index);
        let mut held = None;
        while !done.load(Ordering::Relaxed) {
            held = eyes.look(way, |view| view.find(&ops, Interval::FULL).map(|hit| hit.hold()));
            looks.fetch_add(1, Ordering::Relaxed);
        }
        drop(held);
        std::thread::current().id()
    };
    let read = &read;
    let readers: Vec<ThreadId> = scope(|scope| {
        let threads: Vec<_> = Way::ALL.into_iter().map(|way| scope.spawn(move || read(way))).collect();
        let mut made = 0;
        while made < 3000 || looks.load(Ordering::Relaxed) < 300 {
            let witness = Witness(Arc::clone(&places));
            index.insert(&ops, Interval::point(7), witness).unwrap().remove().unwrap();
            made += 1;
        }
        done.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    maintain_alone(&index);
    let places = places.lock();
    assert!(places.len() >= 3000 && places.iter().all(|place| !readers.contains(place)));
}

/// The reader's hold is the very last: what falls to it is a push to a list.
#[test]
fn the_last_hold_leaves_the_drop_to_the_next_change() {
    let _turn = alone();
    let places = Arc::new(Mutex::new(Vec::new()));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, Interval::point(7), Witness(Arc::clone(&places))).unwrap();
    let (held, others) = (registration.hold(), index.register_passive_ops());
    registration.remove().unwrap();
    maintain_alone(&index);
    let count = || places.lock().len();
    assert_eq!((count(), index.stats().retired_objects), (0, 0));
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(count(), 0);
    let _next = index.insert(&others, Interval::point(7), Canary::new(7)).unwrap();
    assert_eq!(*places.lock(), [std::thread::current().id()]);
}

/// A payload whose drop uses the index in every way there is.
struct Caller {
    index: Arc<NotifierIndex>,
    ops: Ops<Canary>,
    calls: Arc<AtomicUsize>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        let registration = self.index.insert(&self.ops, between(5, 6), Canary::new(5)).unwrap();
        registration.update(between(7, 8)).unwrap();
        assert!(self.index.pin().find(&self.ops, Interval::point(7)).is_some());
        let mut batch = self.index.batch();
        batch.remove(&registration).unwrap();
        let _ = batch.commit().unwrap();
        self.index.maintain();
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_payloads_drop_may_call_the_index() {
    let _turn = alone();
    let index = Arc::new(NotifierIndex::new());
    let (ops, callers) = (index.register_passive_ops(), index.register_passive_ops());
    let calls = Arc::new(AtomicUsize::new(0));
    let caller = || Caller { index: Arc::clone(&index), ops, calls: Arc::clone(&calls) };
    for id in 0..200 {
        let registration = index.insert(&callers, Interval::point(id), caller()).unwrap();
        if id % 2 == 0 {
            drop(registration.hold())
        }
        registration.remove().unwrap();
    }
    maintain_alone(&index);
    maintain_alone(&index);
    assert_eq!((calls.load(Ordering::Relaxed), index.len()), (200, 0));
}

/// Each drop changes the index, which drops others, whose drops change the index: the stack must not grow with it.
#[test]
fn drops_that_call_the_index_do_not_pile_up() {
    let _turn = alone();
    struct Shallow(Arc<NotifierIndex>, Ops<()>);
    impl Drop for Shallow {
        fn drop(&mut self) {
            drop(self.0.insert(&self.1, Interval::point(1), ()));
        }
    }
    let index = Arc::new(NotifierIndex::new());
    let (ops, shallow) = (index.register_passive_ops(), index.register_passive_ops());
    let item = |at| (Interval::point(at), Shallow(Arc::clone(&index), ops));
    let all = index.insert_many(&shallow, (0..50_000).map(item)).unwrap();
    let held: Vec<_> = all.iter().map(Registration::hold).collect();
    drop(all);
    maintain_alone(&index);
    drop(held);
    // Now all wait to be dropped, and this insertion drops the first few.
    index.insert(&ops, Interval::point(2), ()).unwrap().remove().unwrap();
    maintain_alone(&index);
    assert_eq!((index.len(), Arc::strong_count(&index)), (0, 1));
}

/// A payload that panics when it is dropped, if it is told to.
struct Explosive(Canary, bool);

impl Drop for Explosive {
    fn drop(&mut self) {
        assert!(!self.1 || std::thread::panicking(), "as it was told");
    }
}

#[test]
fn a_panicking_drop_leaves_the_others_and_the_index_whole() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let explosive = |id: u64| Explosive(Canary::counted(id, &drops), id == 13);
    let all: Vec<_> = (0..30).map(|id| index.insert(&ops, Interval::point(id), explosive(id)).unwrap()).collect();
    drop(all);
    let panicked = catch_unwind(AssertUnwindSafe(|| index.maintain())).is_err();
    assert!(panicked && drops.load(Ordering::Relaxed) == 30, "{} dropped", drops.load(Ordering::Relaxed));
    let after = index.insert(&ops, Interval::point(1), explosive(100)).unwrap();
    after.update(Interval::point(2)).unwrap();
    Eyes::new(&index).look_each(|_, view| {
        assert_eq!((view.check(), view.find(&ops, Interval::point(2)).unwrap().payload().0.id()), (Ok(()), 100));
    });
    after.remove().unwrap();
    maintain_alone(&index);
    assert_eq!((drops.load(Ordering::Relaxed), index.stats().retired_objects), (31, 0));
}

#[test]
fn a_panicking_drop_at_the_end_of_the_index_leaves_the_others() {
    let _turn = together();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let explosive = |id: u64| Explosive(Canary::counted(id, &drops), id == 13);
    let all: Vec<_> = (0..30).map(|id| index.insert(&ops, Interval::point(id), explosive(id)).unwrap()).collect();
    drop(index);
    assert!(catch_unwind(AssertUnwindSafe(move || drop(all))).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 30);
}

/// Uses the index from the destructor of a thread-local, when those of the collector may be gone.
#[test]
fn the_index_can_be_used_while_a_thread_ends() {
    let _turn = together();
    struct AtExit(Arc<NotifierIndex>, Ops<Canary>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let registration = self.0.insert(&self.1, Interval::point(5), Canary::new(5)).unwrap();
            assert!(self.0.pin().find(&self.1, Interval::point(5)).is_some());
            assert!(self.0.reader().find(&self.1, Interval::point(5)).is_some());
            forget(registration);
        }
    }
    thread_local! {
        static AT_EXIT: std::cell::RefCell<Option<AtExit>> = const { std::cell::RefCell::new(None) };
    }
    let index = Arc::new(NotifierIndex::new());
    let ops = index.register_passive_ops();
    for warm in [false, true] {
        let shared = Arc::clone(&index);
        let thread = std::thread::spawn(move || {
            AT_EXIT.set(Some(AtExit(Arc::clone(&shared), ops)));
            if warm {
                drop(shared.insert(&ops, Interval::point(1), Canary::new(1)).unwrap());
            }
        });
        thread.join().unwrap();
    }
    assert_eq!((index.len(), index.pin().view().check()), (2, Ok(())));
}
