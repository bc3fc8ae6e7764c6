//! Sections themselves: nesting, overlap, more than there are slots, closing, and two indexes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{BeginError, Event, InsertError, Interval, NotifierIndex, Reason, Refused, RemoveError};
use parking_lot::Mutex;

use crate::scope::scope;
use crate::support::{Gate, MOMENT, PATIENCE, Probe, UNMAP, between, deadline, touch, until, within};

/// More sections at once than the table has slots for.
const MANY: usize = if cfg!(tiny_nodes) { 12 } else { 200 };

/// The slots of the table.
const SLOTS: u64 = if cfg!(tiny_nodes) { 3 } else { 128 };

#[test]
fn sections_are_counted() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let sections: Vec<_> = (0..3).map(|at| index.invalidate(Interval::point(at), UNMAP)).collect();
    assert_eq!((index.stats().sections_started, index.stats().sections_active), (3, 3));
    assert_eq!(sections[2].interval(), Interval::point(2));
    drop(sections);
    assert!(index.try_invalidate(Interval::FULL, UNMAP).is_ok());
    assert_eq!((index.stats().sections_started, index.stats().sections_active), (4, 0));
}

#[test]
fn the_event_says_why_and_who() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let probe = Probe::doing(move |told| {
        log.lock().push((told.interval(), told.bounds(), told.reason(), told.initiator(), told.may_block()));
        assert_eq!((told.event().reason(), told.event().initiator()), (told.reason(), told.initiator()));
    });
    let registration = index.insert(&ops, between(10, 19), probe).unwrap();
    drop(index.invalidate(between(0, 12), Event::new(Reason::Migrate).by(77)));
    registration.update(between(11, 30)).unwrap();
    drop(index.try_invalidate(between(30, 40), Event::new(Reason::Clear)).unwrap());
    assert_eq!(
        *seen.lock(),
        [
            (between(0, 12), between(10, 19), Reason::Migrate, Some(77), true),
            (between(30, 40), between(11, 30), Reason::Clear, None, false),
        ]
    );
}

#[test]
fn the_ends_of_the_address_space_are_told() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let [first, last, all] = [between(0, 0), between(u64::MAX, u64::MAX), Interval::FULL]
        .map(|at| index.insert(&ops, at, Probe::quiet()).unwrap());
    touch(&index, u64::MAX, u64::MAX);
    assert_eq!([&first, &last, &all].map(|probe| probe.payload().calls()), [0, 1, 1]);
    touch(&index, 0, 0);
    touch(&index, 1, u64::MAX - 1);
    assert_eq!([&first, &last, &all].map(|probe| probe.payload().calls()), [1, 1, 3]);
    touch(&index, 0, u64::MAX);
    assert_eq!([&first, &last, &all].map(|probe| probe.payload().calls()), [2, 2, 4]);
}

#[test]
fn sections_end_in_any_order() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 9), ()).unwrap();
    let filled = |timeout| registration.read_begin_timeout(between(0, 9), timeout).map(|_| ());
    let elsewhere = |timeout| scope(|scope| scope.spawn(|| filled(timeout)).join().unwrap());
    let mut sections: Vec<_> =
        [between(0, 3), between(2, 5), between(0, 9)].map(|at| index.invalidate(at, UNMAP)).into();
    for at in [1, 1, 0] {
        assert_eq!(elsewhere(MOMENT / 10), Err(BeginError::TimedOut));
        drop(sections.remove(at));
    }
    assert_eq!((elsewhere(MOMENT), index.stats().sections_active), (Ok(()), 0));
}

#[test]
fn more_sections_than_slots_are_safe() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let probe = index.insert(&ops, between(0, 9999), Probe::quiet()).unwrap();
    let mut sections: Vec<_> = (0..MANY as u64).map(|at| index.invalidate(Interval::point(at), UNMAP)).collect();
    assert_eq!(probe.payload().calls(), MANY as u64);
    assert_eq!(index.stats().sections_active, MANY as u64);
    assert_eq!(probe.read_begin(Interval::FULL).unwrap_err(), BeginError::NotCovered);
    assert_eq!(probe.read_begin(between(0, 9999)).unwrap_err(), BeginError::WouldDeadlock);
    let last = Interval::point(MANY as u64 - 1);
    let begun = Gate::default();
    scope(|scope| {
        scope.spawn(|| {
            let ticket = probe.read_begin(last).unwrap();
            begun.open();
            assert!(!probe.read_retry(ticket));
        });
        until("the filler waits", || index.stats().read_begin_waits == 1);
        std::thread::sleep(MOMENT);
        assert!(!begun.is_open(), "the last section, which found no slot, is active");
        drop(sections.pop());
        if sections.len() > 1 {
            sections.truncate(1);
        }
        begun.pass();
    });
    drop(sections);
    let ticket = probe.read_begin(between(0, 9999)).unwrap();
    touch(&index, 0, 0);
    assert!(probe.read_retry(ticket));
    let stats = index.stats();
    assert_eq!((stats.sections_active, stats.sections_started), (0, MANY as u64 + 1));
}

/// So many sections of this thread that the table is full, and one more that has no slot.
fn overflowing(index: &NotifierIndex) -> Vec<notifier_index::Invalidation<'_>> {
    (0..MANY as u64).map(|at| index.invalidate(Interval::point(at), UNMAP)).collect()
}

#[test]
fn an_overflowing_section_forbids_only_what_would_wait_for_it() {
    let _deadline = deadline();
    let (index, other) = (NotifierIndex::new(), NotifierIndex::new());
    let (ops, other_ops) = (index.register_passive_ops(), other.register_passive_ops());
    let _sections = overflowing(&index);
    let far = between(1 << 20, 1 << 21);
    let registration = index.insert(&ops, far, ()).unwrap();
    assert_eq!(registration.read_begin(far).unwrap_err(), BeginError::WouldDeadlock);
    let elsewhere = other.insert(&other_ops, Interval::FULL, ()).unwrap();
    assert!(!elsewhere.read_retry(elsewhere.read_begin(Interval::FULL).unwrap()));
    // Outside of callbacks nothing that waits for callbacks is refused.
    assert!(registration.remove().is_ok() && elsewhere.remove().is_ok());
    assert_eq!((index.barrier(), other.barrier()), (Ok(()), Ok(())));
}

#[test]
fn a_callback_of_an_overflowing_section_is_known_to_its_thread() {
    let _deadline = deadline();
    let (index, other) = (Arc::new(NotifierIndex::new()), NotifierIndex::new());
    let ops = index.register_ops();
    let (victims, others) = (index.register_passive_ops(), other.register_passive_ops());
    let inserted =
        (index.insert(&victims, Interval::FULL, ()).unwrap(), other.insert(&others, Interval::FULL, ()).unwrap());
    let (given, other) = (Mutex::new(Some(inserted)), Arc::new(other));
    let (inner, elsewhere) = (Arc::downgrade(&index), Arc::clone(&other));
    let far = Interval::point(1 << 20);
    let probe = Probe::doing(move |_| {
        let (victim, stranger) = given.lock().take().unwrap();
        assert!(matches!(victim.remove(), Err(Refused { reason: RemoveError::WouldDeadlock, .. })));
        assert!(inner.upgrade().unwrap().barrier().is_err());
        assert!(stranger.remove().is_ok() && elsewhere.barrier().is_ok());
    });
    let _registration = index.insert(&ops, far, probe).unwrap();
    let _sections = overflowing(&index);
    drop(index.invalidate(far, UNMAP));
    assert_eq!(index.stats().callbacks_run, 1);
    assert!(index.barrier().is_ok(), "the callback is over");
}

/// Sections without a slot of which one is always active: a filler waits for those that are there when it looks, only.
#[test]
fn a_storm_of_overflowing_sections_starves_no_filler() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(1 << 20, 1 << 21), ()).unwrap();
    let (stop, started) = (Gate::default(), AtomicUsize::new(0));
    let storm = |at: u64| {
        let mut section = index.invalidate(Interval::point(at), UNMAP);
        while !stop.is_open() {
            let seen = started.fetch_add(1, Ordering::SeqCst) + 1;
            until("the other has begun", || stop.is_open() || started.load(Ordering::SeqCst) > seen);
            // The next begins before this one ends.
            section = index.invalidate(Interval::point(at), UNMAP);
        }
        drop(section);
    };
    let _full: Vec<_> = (0..SLOTS).map(|at| index.invalidate(Interval::point(at), UNMAP)).collect();
    scope(|scope| {
        scope.spawn(|| storm(1000));
        scope.spawn(|| storm(1001));
        until("the storm blows", || started.load(Ordering::SeqCst) > 10);
        for _ in 0..20 {
            let ticket = within(PATIENCE, || registration.read_begin(between(1 << 20, 1 << 21))).unwrap();
            assert!(!registration.read_retry(ticket));
        }
        stop.open();
    });
    assert_eq!(index.stats().read_begin_waits, 20, "some section without a slot is always active");
}

/// Threads that all hold a section at the same time, more than there are slots: each excludes the fillers of its range.
#[test]
fn more_threads_than_slots_are_safe() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 9999), ()).unwrap();
    let (inside, stop) = (AtomicUsize::new(0), Gate::default());
    let threads = if cfg!(tiny_nodes) { 8 } else { 150 };
    scope(|scope| {
        for at in 0..threads {
            let (index, inside, stop) = (&index, &inside, &stop);
            scope.spawn(move || {
                let section = index.invalidate(Interval::point(at as u64), UNMAP);
                inside.fetch_add(1, Ordering::SeqCst);
                stop.pass();
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(section);
            });
        }
        until("all are inside", || inside.load(Ordering::SeqCst) == threads);
        for at in 0..threads as u64 {
            let refused = registration.read_begin_timeout(Interval::point(at), MOMENT / 100).unwrap_err();
            assert_eq!(refused, BeginError::TimedOut, "section {at} is active");
        }
        stop.open();
        let ticket = registration.read_begin(between(0, 9999)).unwrap();
        assert_eq!(inside.load(Ordering::SeqCst), 0, "begun while a section was active");
        assert!(!registration.read_retry(ticket));
    });
    assert_eq!(index.stats().sections_active, 0);
}

#[test]
fn two_indexes_never_touch() {
    let _deadline = deadline();
    let (one, two) = (NotifierIndex::new(), NotifierIndex::new());
    let (ops_one, ops_two) = (one.register_ops(), two.register_ops());
    let told = one.insert(&ops_one, Interval::FULL, Probe::quiet()).unwrap();
    let untold = two.insert(&ops_two, Interval::FULL, Probe::quiet()).unwrap();
    let ticket = untold.read_begin(Interval::FULL).unwrap();
    let section = one.invalidate(Interval::FULL, UNMAP);
    assert!(!untold.read_retry(untold.read_begin(Interval::FULL).unwrap()), "waits for no section of another index");
    assert!(two.barrier().is_ok());
    drop(section);
    assert!(!untold.read_retry(ticket));
    assert_eq!((told.payload().calls(), untold.payload().calls()), (1, 0));
    assert_eq!((one.stats().sections_started, two.stats().sections_started), (1, 0));
    one.close().unwrap();
    assert!(untold.read_begin(Interval::FULL).is_ok());
    untold.remove().unwrap();
}

#[test]
fn close_releases_each_notifier_once() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let (ops, others) = (index.register_ops(), index.register_ops());
    let release = || {
        Probe::doing(|told| {
            assert_eq!((told.reason(), told.interval(), told.may_block()), (Reason::Release, Interval::FULL, true));
        })
    };
    let mut registrations: Vec<_> =
        (0..100).map(|at| index.insert(&ops, Interval::point(at), release()).unwrap()).collect();
    registrations.push(index.insert(&others, Interval::point(u64::MAX), release()).unwrap());
    scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| index.close().unwrap());
        }
    });
    assert!(registrations.iter().all(|one| (one.payload().calls(), one.payload().finishes()) == (1, 1)));
    assert!(matches!(
        index.insert(&ops, Interval::point(1), release()),
        Err(Refused { reason: InsertError::Closed, .. })
    ));
    assert_eq!(registrations[0].read_begin(Interval::point(0)).unwrap_err(), BeginError::Closed);
    assert!(index.pin().find(&ops, Interval::point(7)).is_some());
    let version = index.version();
    index.close().unwrap();
    assert_eq!((index.version(), registrations[0].payload().calls()), (version, 1), "closed already");
    for registration in registrations {
        registration.remove().unwrap();
    }
    assert!(index.is_empty());
}

/// Inserts that race with a close are refused, or told.
#[test]
fn close_misses_no_insert() {
    let _deadline = deadline();
    for _ in 0..100 {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        let inserted = scope(|scope| {
            let inserter = scope.spawn(|| {
                let probes = (0..200).map_while(|at| index.insert(&ops, Interval::point(at), Probe::quiet()).ok());
                probes.collect::<Vec<_>>()
            });
            std::thread::yield_now();
            index.close().unwrap();
            inserter.join().unwrap()
        });
        assert!(inserted.iter().all(|one| one.payload().calls() == 1));
    }
}

/// Every section tells each notifier once, however many run at once.
#[test]
fn parallel_sections_each_tell_once() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let probes: Vec<_> =
        (0..10).map(|at| index.insert(&ops, between(at * 10, at * 10 + 9), Probe::quiet()).unwrap()).collect();
    scope(|scope| {
        for thread in 0..4 {
            let index = &index;
            scope.spawn(move || (0..500).for_each(|_| touch(index, thread * 20 + 5, thread * 20 + 15)));
        }
    });
    let calls: Vec<_> = probes.iter().map(|probe| (probe.payload().calls(), probe.payload().finishes())).collect();
    assert_eq!(calls, [vec![(500, 500); 8], vec![(0, 0); 2]].concat());
    let stats = index.stats();
    assert_eq!((stats.sections_started, stats.sections_active, stats.callbacks_run), (2000, 0, 4000));
}
