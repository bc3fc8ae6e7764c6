//! Public bugs of other systems, held as rules under the names that the contract gives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{BeginError, FoundOrInserted, Interval, NotifierIndex, Registration, WouldBlock};
use parking_lot::Mutex;

use crate::scope::scope;
use crate::support::{Gate, MOMENT, PATIENCE, Probe, UNMAP, between, deadline, touch, until, within};

/// Interval notifiers, v6: inside a section, find returned what waited for its removal and missed what waited for its
/// insertion. The other half of this rule is in `it`.
#[test]
fn find_sees_no_pending_remove() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let (guard, mut reader) = (index.pin(), index.reader());
    let old = index.insert(&ops, between(10, 20), Probe::quiet()).unwrap();
    let section = index.invalidate(between(15, 15), UNMAP);
    old.remove().unwrap();
    assert!(guard.find(&ops, Interval::FULL).is_none(), "removed inside a section, and found");
    assert!(reader.find(&ops, Interval::FULL).is_none());
    let new = index.insert(&ops, between(12, 18), Probe::quiet()).unwrap();
    assert_eq!(guard.find(&ops, Interval::point(15)).unwrap().interval(), between(12, 18));
    assert_eq!(reader.find(&ops, Interval::point(15)).unwrap().interval(), between(12, 18));
    new.update(between(30, 40)).unwrap();
    assert!(index.snapshot().find(&ops, Interval::point(15)).is_none());
    drop(section);
    assert_eq!(guard.find(&ops, Interval::FULL).unwrap().interval(), between(30, 40));
}

/// Interval notifiers, v6: `while find { put }` never ended inside an invalidation, and corrupted the list.
#[test]
fn drain_loop_terminates_during_section() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let mut registrations = std::collections::BTreeMap::new();
    for at in 0..500 {
        registrations.insert(at * 2, index.insert(&ops, between(at * 2, at * 2 + 50), Probe::quiet()).unwrap());
    }
    let section = index.invalidate(Interval::FULL, UNMAP);
    let mut turns = 0;
    loop {
        let Some(start) = index.pin().find(&ops, Interval::FULL).map(|hit| hit.start()) else { break };
        drop(registrations.remove(&start).unwrap().remove_deferred().unwrap());
        turns += 1;
        assert!(turns <= 500, "found again what was removed");
    }
    assert_eq!((turns, index.len(), registrations.len()), (500, 0, 0));
    drop(section);
    assert_eq!(index.snapshot().view().check(), Ok(()));
}

/// Interval notifiers, v6: after an update in the middle of a section `read_begin` did not wait: a stale mapping.
#[test]
fn update_is_covered_by_running_section() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(0, 9), Probe::quiet()).unwrap();
    let section = index.invalidate(between(100, 109), UNMAP);
    registration.update(between(100, 119)).unwrap();
    let begun = Gate::default();
    scope(|scope| {
        scope.spawn(|| {
            let beside = registration.read_begin(between(110, 119)).unwrap();
            assert!(!registration.read_retry(beside));
            assert_eq!(registration.read_begin_timeout(between(105, 105), MOMENT).unwrap_err(), BeginError::TimedOut);
            let _ = registration.read_begin(between(105, 115)).unwrap();
            begun.open();
        });
        until("the filler waits", || index.stats().read_begin_waits == 2);
        std::thread::sleep(MOMENT);
        assert!(!begun.is_open());
        drop(section);
        begun.pass();
    });
    assert_eq!(registration.payload().calls(), 0, "it was not there when the section looked");
}

/// Kernel commit 319561669a59: a removal against the end of a section used what was free already.
#[test]
fn remove_waits_for_its_callback() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    for turn in 0..300 {
        let (entered, inside) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
        let shared = (Arc::clone(&entered), Arc::clone(&inside));
        let probe = Probe::doing(move |_| {
            shared.1.fetch_add(1, Ordering::SeqCst);
            shared.0.open();
            (0..turn % 50).for_each(|_| std::thread::yield_now());
        });
        let shared = Arc::clone(&inside);
        let probe = probe.then(move |_| {
            shared.fetch_sub(1, Ordering::SeqCst);
        });
        let registration = index.insert(&ops, between(0, 9), probe).unwrap();
        scope(|scope| {
            scope.spawn(|| touch(&index, 5, 5));
            entered.pass();
            within(PATIENCE, || registration.remove()).unwrap();
            assert_eq!(inside.load(Ordering::SeqCst), 0, "removed, and its callback still runs");
        });
    }
}

/// A refusal half-way left the section counted for ever: all fillers waited for its end, which never came.
#[test]
fn refused_section_is_unwound() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let told = index.insert(&ops, between(0, 9), Probe::quiet()).unwrap();
    let refuser = index.insert(&ops, between(5, 14), Probe::answering(|_| Err(WouldBlock))).unwrap();
    let untold = index.insert(&ops, between(6, 19), Probe::quiet()).unwrap();
    for turn in 1..=1000 {
        assert!(index.try_invalidate(between(0, 19), UNMAP).is_err());
        assert_eq!((told.payload().calls(), told.payload().finishes()), (turn, turn));
        assert_eq!((refuser.payload().calls(), refuser.payload().finishes()), (turn, 0));
        assert_eq!(index.stats().sections_active, 0);
    }
    assert_eq!((untold.payload().calls(), index.stats().callbacks_refused), (0, 1000));
    for one in [&told, &refuser, &untold] {
        assert!(!one.read_retry(one.read_begin_timeout(one.interval(), MOMENT).unwrap()));
    }
    within(PATIENCE, || refuser.remove()).unwrap();
    assert!(index.try_invalidate(between(0, 19), UNMAP).is_ok());
}

/// A retry loop that went on with its first sequence number: each turn failed until somebody else's luck. Here the
/// ticket is consumed, so each turn takes a new one, and one collision costs one turn.
#[test]
fn stale_ticket_cannot_be_reused() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 9), ()).unwrap();
    for collisions in 0..100 {
        let mut turns = 0;
        loop {
            let ticket = registration.read_begin(between(0, 9)).unwrap();
            if turns < collisions {
                touch(&index, 5, 5);
            }
            if !registration.read_retry(ticket) {
                break;
            }
            turns += 1;
            assert!(turns <= collisions, "a turn without a collision, and a retry");
        }
        assert_eq!(turns, collisions);
    }
    assert_eq!(index.stats().retries, (0..100).sum::<u64>());
}

/// ompi#7303, libfabric#5554: a callback that freed, unmapped or registered deadlocked.
#[test]
fn callback_may_change_the_index() {
    let _deadline = deadline();
    let index = Arc::new(NotifierIndex::new());
    let (ops, cache) = (index.register_ops(), index.register_passive_ops::<u64>());
    let cached: Arc<Mutex<Vec<Registration<u64>>>> = Arc::default();
    let parts = (Arc::downgrade(&index), Arc::clone(&cached));
    let evict = Probe::doing(move |told| {
        let index = parts.0.upgrade().unwrap();
        // Frees: the entries of the range go, and what they stood for is unmapped in turn.
        let mut cached = parts.1.lock();
        let all = std::mem::take(&mut *cached).into_iter();
        let (gone, kept): (Vec<_>, Vec<_>) = all.partition(|one| one.interval().overlaps(told.interval()));
        *cached = kept;
        gone.into_iter().for_each(|one| drop(one.remove_deferred().unwrap()));
        drop(cached);
        if told.interval().start() < 0x10_0000 {
            touch(&index, told.interval().start() + 0x10_0000, told.interval().last() + 0x10_0000);
        }
        // Registers: an entry of another range.
        let elsewhere = between(0x90_0000, 0x90_0fff);
        if let FoundOrInserted::Inserted(one) = index.find_or_insert_with(&cache, elsewhere, || 9).unwrap() {
            parts.1.lock().push(one);
        }
    });
    let _evictor = index.insert(&ops, Interval::FULL, evict).unwrap();
    scope(|scope| {
        for thread in 0..4_u64 {
            let (index, cached) = (&index, &cached);
            scope.spawn(move || {
                for turn in 0..100 {
                    let at = (thread * 100 + turn) << 8;
                    for base in [at, at + 0x10_0000] {
                        let one = index.insert(&cache, between(base, base + 0xff), turn).unwrap();
                        cached.lock().push(one);
                    }
                    touch(index, at, at + 0xff);
                    assert!(index.pin().find(&cache, between(at, at + 0xff)).is_none());
                }
            });
        }
    });
    assert_eq!((index.len(), cached.lock().len()), (2, 1));
    cached.lock().clear();
}
