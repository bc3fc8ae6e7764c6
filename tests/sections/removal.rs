//! Removal while callbacks run: what waits for what.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notifier_index::{Interval, NotifierIndex, Ops, Registration, WaitError};
use parking_lot::Mutex;

use crate::scope::scope;
use crate::support::{Gate, MOMENT, PATIENCE, Probe, UNMAP, between, deadline, touch, until, within};

/// A notifier whose first pass waits at a gate.
struct Sleeper {
    inside: Arc<AtomicUsize>,
    leave: Arc<Gate>,
}

impl Sleeper {
    fn new() -> Self {
        Sleeper { inside: Arc::default(), leave: Arc::default() }
    }

    fn probe(&self) -> Probe {
        let (inside, leave) = (Arc::clone(&self.inside), Arc::clone(&self.leave));
        Probe::doing(move |_| {
            inside.fetch_add(1, Ordering::SeqCst);
            leave.pass();
            inside.fetch_sub(1, Ordering::SeqCst);
        })
    }

    fn wait_for(&self, count: usize) {
        until("the callbacks sleep", || self.inside.load(Ordering::SeqCst) == count);
    }

    fn count(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
}

#[test]
fn an_idle_notifier_is_removed_at_once() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(0, 9), Probe::quiet()).unwrap();
    let held = registration.hold();
    touch(&index, 0, 9);
    registration.remove().unwrap();
    touch(&index, 0, 9);
    assert_eq!((held.calls(), held.is_live()), (1, false));
}

#[test]
fn a_foreign_section_is_not_waited_for() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(0, 9), Probe::quiet()).unwrap();
    let section = index.invalidate(between(0, 9), UNMAP);
    scope(|scope| {
        scope.spawn(|| registration.remove().unwrap());
    });
    assert_eq!(index.stats().sections_active, 1, "removed while the section stands");
    drop(section);
}

#[test]
fn another_notifiers_callback_is_not_waited_for() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let (ops, other) = (index.register_ops(), index.register_passive_ops());
    let slow = Probe::doing(|_| std::thread::sleep(Duration::from_millis(300)));
    let entered = Arc::new(Gate::default());
    let gate = Arc::clone(&entered);
    let first = index.insert(&ops, between(0, 9), Probe::doing(move |_| gate.open())).unwrap();
    let slow = index.insert(&ops, between(0, 9), slow).unwrap();
    let unrelated = index.insert(&other, between(0, 9), ()).unwrap();
    scope(|scope| {
        let section = scope.spawn(|| touch(&index, 0, 9));
        entered.pass();
        within(Duration::from_millis(50), || unrelated.remove()).unwrap();
        assert!(!section.is_finished(), "it still sleeps");
        section.join().unwrap();
    });
    drop((first, slow));
}

#[test]
fn remove_deferred_does_not_wait_and_its_wait_may_be_bounded() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let sleeper = Sleeper::new();
    let registration = index.insert(&ops, between(0, 9), sleeper.probe()).unwrap();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        sleeper.wait_for(1);
        let removal = within(PATIENCE, || registration.remove_deferred()).unwrap();
        assert!(index.pin().find(&ops, Interval::FULL).is_none());
        for timeout in [Duration::ZERO, MOMENT] {
            assert_eq!((removal.wait_timeout(timeout), sleeper.count()), (Err(WaitError::TimedOut), 1));
        }
        sleeper.leave.open();
        assert_eq!((removal.wait(), sleeper.count()), (Ok(()), 0));
        assert_eq!((removal.wait(), removal.wait_timeout(Duration::ZERO)), (Ok(()), Ok(())), "twice");
    });
}

/// Three threads are inside; one of them removes the notifier, and the removal waits for all.
#[test]
fn a_removal_in_its_own_callback_waits_for_the_others() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let sleeper = Sleeper::new();
    let (own, removal) = (Arc::new(Mutex::new(None::<Registration<Probe>>)), Arc::new(Mutex::new(None)));
    let (inside, leave) = (Arc::clone(&sleeper.inside), Arc::clone(&sleeper.leave));
    let shared = (Arc::clone(&own), Arc::clone(&removal));
    let probe = Probe::doing(move |told| {
        inside.fetch_add(1, Ordering::SeqCst);
        if told.initiator() == Some(0) {
            until("all are inside", || inside.load(Ordering::SeqCst) == 3);
            let registration = shared.0.lock().take().unwrap();
            *shared.1.lock() = Some(registration.remove_deferred().unwrap());
        } else {
            leave.pass();
        }
        inside.fetch_sub(1, Ordering::SeqCst);
    });
    *own.lock() = Some(index.insert(&ops, between(0, 9), probe).unwrap());
    scope(|scope| {
        for thread in 0..3 {
            let index = &index;
            scope.spawn(move || drop(index.invalidate(between(0, 9), UNMAP.by(thread))));
        }
        until("it is removed", || removal.lock().is_some());
        let removal = removal.lock().take().unwrap();
        assert_eq!(removal.wait_timeout(MOMENT), Err(WaitError::TimedOut));
        sleeper.leave.open();
        assert_eq!((removal.wait(), sleeper.count()), (Ok(()), 0));
    });
}

#[test]
fn the_second_pass_is_waited_for() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let (entered, leave) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let gates = (Arc::clone(&entered), Arc::clone(&leave));
    let probe = Probe::quiet().then(move |_| {
        gates.0.open();
        gates.1.pass();
    });
    let registration = index.insert(&ops, between(0, 9), probe).unwrap();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        entered.pass();
        let removal = registration.remove_deferred().unwrap();
        assert_eq!(removal.wait_timeout(MOMENT), Err(WaitError::TimedOut));
        leave.open();
        assert_eq!(removal.wait(), Ok(()));
    });
}

/// Between the passes of a walk nothing of the notifier runs, and yet its second pass is still to come.
#[test]
fn a_removal_between_the_passes_waits_for_the_second() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let first = index.insert(&ops, between(0, 9), Probe::quiet()).unwrap();
    let held = first.hold();
    let sleeper = Sleeper::new();
    let _second = index.insert(&ops, between(1, 9), sleeper.probe()).unwrap();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        sleeper.wait_for(1);
        assert_eq!((held.calls(), held.finishes()), (1, 0));
        let removal = first.remove_deferred().unwrap();
        assert_eq!(removal.wait_timeout(MOMENT), Err(WaitError::TimedOut));
        sleeper.leave.open();
        assert_eq!((removal.wait(), held.finishes()), (Ok(()), 1));
    });
}

/// One that was removed before the walk has come to it is not told any more.
#[test]
fn a_removal_before_its_turn_is_not_told() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let sleeper = Sleeper::new();
    let first = index.insert(&ops, between(0, 9), sleeper.probe()).unwrap();
    let second = index.insert(&ops, between(1, 9), Probe::quiet()).unwrap();
    let held = second.hold();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        sleeper.wait_for(1);
        within(PATIENCE, || second.remove()).unwrap();
        sleeper.leave.open();
    });
    assert_eq!((held.calls(), held.finishes(), first.payload().finishes()), (0, 0, 1));
}

/// A thousand of them, with their callbacks running; the barrier waits for all.
#[test]
fn a_barrier_waits_for_all_deferred_removals() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let (inside, payload) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let probe = || {
        let (inside, payload) = (Arc::clone(&inside), Arc::clone(&payload));
        Probe::doing(move |_| {
            inside.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(20));
            assert!(Arc::strong_count(&payload) > 1);
            inside.fetch_sub(1, Ordering::SeqCst);
        })
    };
    let registrations: Vec<_> = (0..1000).map(|at| index.insert(&ops, between(at, at + 3), probe()).unwrap()).collect();
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| touch(&index, 0, 2000));
        }
        until("callbacks run", || index.stats().callbacks_run > 0 || inside.load(Ordering::SeqCst) > 0);
        registrations.into_iter().for_each(|one| drop(one.remove_deferred().unwrap()));
        index.barrier().unwrap();
        assert_eq!(inside.load(Ordering::SeqCst), 0, "a callback of a removed notifier runs");
    });
    until("all payloads are dropped", || {
        index.barrier().unwrap();
        Arc::strong_count(&payload) == 1
    });
}

/// A batch removes without waiting; the barrier is what waits.
#[test]
fn a_barrier_waits_for_what_a_batch_removed() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let sleeper = Sleeper::new();
    let registration = index.insert(&ops, between(0, 9), sleeper.probe()).unwrap();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        sleeper.wait_for(1);
        let mut batch = index.batch();
        batch.remove(&registration).unwrap();
        let _ = within(PATIENCE, || batch.commit()).unwrap();
        let barrier = scope.spawn(|| {
            index.barrier().unwrap();
            sleeper.count()
        });
        std::thread::sleep(MOMENT);
        assert!(!barrier.is_finished());
        sleeper.leave.open();
        assert_eq!(barrier.join().unwrap(), 0);
    });
}

/// R6: teardown and removal under the lock that the callback takes, the wait after it.
#[test]
fn the_order_under_the_users_lock_does_not_deadlock() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let stop = Gate::default();
    scope(|scope| {
        scope.spawn(|| {
            while !stop.is_open() {
                touch(&index, 5, 5);
            }
        });
        for _ in 0..500 {
            let mirror = Arc::new(Mutex::new(Some("entry")));
            let torn = Arc::clone(&mirror);
            let registration = index.insert(&ops, between(0, 9), Probe::doing(move |_| *torn.lock() = None)).unwrap();
            let held = registration.hold();
            std::thread::yield_now();
            let mut locked = mirror.lock();
            *locked = None;
            let removal = registration.remove_deferred().unwrap();
            drop(locked);
            removal.wait().unwrap();
            let calls = held.calls();
            std::thread::yield_now();
            assert_eq!(held.calls(), calls, "called after the wait");
        }
        stop.open();
    });
}

/// A payload that changes its index when it is dropped.
struct Restless {
    index: Weak<NotifierIndex>,
    ops: Ops<Probe>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        let Some(index) = self.index.upgrade() else { return };
        let registration = index.insert(&self.ops, between(0, 9), Probe::quiet()).unwrap();
        touch(&index, 5, 5);
        assert_eq!(registration.payload().calls(), 1);
        registration.remove().unwrap();
    }
}

#[test]
fn a_payload_may_change_the_index_when_it_is_dropped() {
    let _deadline = deadline();
    let index = Arc::new(NotifierIndex::new());
    let (ops, restless) = (index.register_ops(), index.register_passive_ops());
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let payload = Restless { index: Arc::downgrade(&index), ops, dropped: Arc::clone(&dropped) };
        index.insert(&restless, between(0, 9), payload).unwrap().remove().unwrap();
    }
    until("all are dropped", || {
        index.maintain();
        dropped.load(Ordering::SeqCst) == 100
    });
}
