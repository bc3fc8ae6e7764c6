//! Updates and batches while sections run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use notifier_index::{BeginError, Interval, NotifierIndex, Registration};
use parking_lot::Mutex;

use crate::scope::scope;
use crate::support::{Gate, MOMENT, Probe, UNMAP, between, deadline, touch, until};

#[test]
fn shrinking_makes_tickets_stale_and_ends_the_calls() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(0, 99), Probe::quiet()).unwrap();
    let ticket = registration.read_begin(between(60, 70)).unwrap();
    registration.update(between(0, 49)).unwrap();
    assert!(ticket.is_stale() && registration.read_retry(ticket));
    touch(&index, 50, u64::MAX);
    assert_eq!(registration.payload().calls(), 0, "given up");
    assert_eq!(registration.read_begin(between(49, 50)).unwrap_err(), BeginError::NotCovered);
    touch(&index, 49, 60);
    assert_eq!(registration.payload().calls(), 1);
}

/// As below, through a batch.
#[test]
fn growing_in_a_batch_leaves_tickets_fresh() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(50, 99), Probe::quiet()).unwrap();
    for (bounds, is_stale) in [(between(0, 99), false), (between(0, 199), false), (between(10, 299), true)] {
        let ticket = registration.read_begin(between(60, 70)).unwrap();
        let mut batch = index.batch();
        batch.update(&registration, bounds).unwrap();
        let _ = batch.commit().unwrap();
        assert_eq!((registration.interval(), registration.read_retry(ticket)), (bounds, is_stale));
    }
}

/// A ticket is about addresses: it stays fresh as long as none of the notifier's is given up.
#[test]
fn growing_leaves_tickets_fresh() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(50, 99), Probe::quiet()).unwrap();
    let ticket = registration.read_begin(between(60, 70)).unwrap();
    registration.update(between(0, 99)).unwrap();
    registration.update(between(0, 199)).unwrap();
    let grown = registration.read_begin(between(0, 199)).unwrap();
    assert!(!ticket.is_stale() && !registration.read_retry(ticket));
    touch(&index, 150, 150);
    assert!(registration.read_retry(grown), "told where it has grown");
    let ticket = registration.read_begin(between(60, 70)).unwrap();
    registration.update(between(10, 299)).unwrap();
    assert!(registration.read_retry(ticket), "grown to one side, and shrunk on the other");
}

#[test]
fn growing_in_a_section_waits_for_it() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    for (grown, new) in [(between(0, 59), between(20, 39)), (between(40, 109), between(60, 200))] {
        let registration = index.insert(&ops, between(40, 59), Probe::quiet()).unwrap();
        let waits = index.stats().read_begin_waits;
        let section = index.invalidate(new, UNMAP);
        let begun = Gate::default();
        registration.update(grown).unwrap();
        scope(|scope| {
            scope.spawn(|| {
                let _ = registration.read_begin(grown).unwrap();
                begun.open();
            });
            until("the filler waits", || index.stats().read_begin_waits > waits);
            std::thread::sleep(MOMENT);
            assert!(!begun.is_open());
            drop(section);
            begun.pass();
        });
    }
}

#[test]
fn single_addresses_and_the_ends_of_the_space_are_bounds() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(50, 50), Probe::quiet()).unwrap();
    let mut calls = 0;
    for bounds in [between(0, 0), between(u64::MAX, u64::MAX), Interval::FULL, between(50, 50)] {
        registration.update(bounds).unwrap();
        for end in [bounds.start(), bounds.last()] {
            let ticket = registration.read_begin(bounds).unwrap();
            touch(&index, end, end);
            calls += 1;
            assert_eq!(registration.payload().calls(), calls);
            assert!(registration.read_retry(ticket));
        }
    }
}

/// Sections over an address that old and new bounds share tell the notifier, whichever it has at the time.
#[test]
fn concurrent_updates_miss_no_section() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, between(40, 60), Probe::quiet()).unwrap();
    let stop = Gate::default();
    scope(|scope| {
        for thread in 0..2 {
            let (registration, stop) = (&registration, &stop);
            scope.spawn(move || {
                for turn in 0.. {
                    if stop.is_open() {
                        break;
                    }
                    let by = (turn * 7 + thread * 3) % 40;
                    registration.update(between(50 - by, 50 + by)).unwrap();
                }
            });
        }
        for turn in 1..=3000 {
            touch(&index, 50, 50);
            assert_eq!(registration.payload().calls(), turn);
            touch(&index, 91, 1000);
            assert_eq!(registration.payload().calls(), turn);
        }
        stop.open();
    });
    assert!(registration.interval().covers(Interval::point(50)));
}

/// A split in a section: both halves wait for it, and a section that follows tells both.
#[test]
fn both_halves_of_a_split_are_told() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let left = index.insert(&ops, between(0, 99), Probe::quiet()).unwrap();
    let ticket = left.read_begin(between(0, 99)).unwrap();
    let section = index.invalidate(between(45, 55), UNMAP);
    let mut batch = index.batch();
    batch.update(&left, between(0, 49)).unwrap();
    let key = batch.insert(&ops, between(50, 99), Probe::quiet()).unwrap();
    let right = batch.commit().unwrap().take(key).unwrap();
    assert!(left.read_retry(ticket));
    assert_eq!((left.payload().calls(), right.payload().calls()), (1, 0), "inserted after the section looked");
    let begun = AtomicU64::new(0);
    scope(|scope| {
        for half in [&left, &right] {
            let begun = &begun;
            scope.spawn(move || {
                let _ = half.read_begin(half.interval()).unwrap();
                begun.fetch_add(1, Ordering::SeqCst);
            });
        }
        until("both wait", || index.stats().read_begin_waits == 2);
        std::thread::sleep(MOMENT);
        assert_eq!(begun.load(Ordering::SeqCst), 0);
        drop(section);
    });
    touch(&index, 49, 50);
    assert_eq!((left.payload().calls(), right.payload().calls()), (2, 1));
}

/// The callback of an unmap punches the hole; whoever looks sees both halves whole or the old notifier, never a hole
/// elsewhere and never a double cover.
#[test]
fn a_hole_punched_by_a_callback_is_atomic() {
    let _deadline = deadline();
    let index = Arc::new(NotifierIndex::new());
    let ops = index.register_ops();
    let kept: Arc<Mutex<Vec<Registration<Probe>>>> = Arc::default();
    let (inner, shared) = (Arc::downgrade(&index), Arc::clone(&kept));
    let punch = Probe::doing(move |told| {
        let index = inner.upgrade().unwrap();
        let mut kept = shared.lock();
        let right = {
            let mut batch = index.batch();
            batch.update(&kept[0], between(0, told.interval().start() - 1)).unwrap();
            let key = batch.insert(&ops, between(told.interval().last() + 1, 99), Probe::quiet()).unwrap();
            batch.commit().unwrap().take(key).unwrap()
        };
        kept.push(right);
    });
    kept.lock().push(index.insert(&ops, between(0, 99), punch).unwrap());
    let stop = Gate::default();
    scope(|scope| {
        scope.spawn(|| {
            while !stop.is_open() {
                let guard = index.pin();
                for outside in [10, 90] {
                    assert_eq!(guard.find_all(&ops, Interval::point(outside)).count(), 1);
                }
                let all: Vec<_> = guard.find_all(&ops, Interval::FULL).map(|hit| hit.interval()).collect();
                assert!(all == [between(0, 99)] || all == [between(0, 39), between(60, 99)], "{all:?}");
            }
        });
        for _ in 0..300 {
            touch(&index, 40, 59);
            let mut kept = kept.lock();
            let right = kept.pop().unwrap();
            let mut batch = index.batch();
            batch.remove(&right).unwrap();
            batch.update(&kept[0], between(0, 99)).unwrap();
            let _ = batch.commit().unwrap();
        }
        stop.open();
    });
    kept.lock().clear();
}
