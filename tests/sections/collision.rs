//! Begin and retry: who waits for which section, and which ticket is stale.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use notifier_index::{BeginError, Interval, NotifierIndex};

use crate::scope::scope;
use crate::support::{Gate, MOMENT, PATIENCE, UNMAP, between, deadline, touch, until, within};

#[test]
fn a_ticket_around_a_section_is_stale() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let before = registration.read_begin(between(10, 20)).unwrap();
    assert!(!before.is_stale());
    touch(&index, 15, 15);
    assert!(before.is_stale());
    let after = registration.read_begin(between(10, 20)).unwrap();
    assert!(registration.read_retry(before));
    assert!(!after.is_stale() && !registration.read_retry(after));
    let stats = index.stats();
    assert_eq!((stats.retries, stats.read_begin_waits, stats.sections_active), (1, 0, 0));
}

#[test]
fn a_stale_ticket_stays_stale() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let ticket = registration.read_begin(Interval::point(5)).unwrap();
    for _ in 0..1000 {
        touch(&index, 5, 5);
        assert!(ticket.is_stale());
        assert!(!registration.read_retry(registration.read_begin(Interval::point(5)).unwrap()));
    }
    assert!(registration.read_retry(ticket));
}

#[test]
fn a_ticket_beside_all_sections_stays_fresh() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(10, 19), ()).unwrap();
    let ticket = registration.read_begin(between(10, 19)).unwrap();
    touch(&index, 0, 9);
    touch(&index, 20, u64::MAX);
    let other = index.insert(&ops, between(10, 19), ()).unwrap();
    other.update(between(12, 13)).unwrap();
    other.remove().unwrap();
    assert!(!registration.read_retry(ticket), "neither neighbours nor others matter");
}

#[test]
fn begin_waits_for_the_end_of_a_section() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let begun = Gate::default();
    let section = index.invalidate(between(50, 60), UNMAP);
    scope(|scope| {
        scope.spawn(|| {
            let ticket = registration.read_begin(between(60, 70)).unwrap();
            begun.open();
            assert!(!registration.read_retry(ticket));
        });
        until("the filler waits", || index.stats().read_begin_waits == 1);
        std::thread::sleep(MOMENT);
        assert!(!begun.is_open(), "the section is not over");
        drop(section);
        begun.pass();
    });
}

#[test]
fn begin_does_not_wait_for_a_section_elsewhere() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let section = index.invalidate(between(50, 60), UNMAP);
    for free in [between(0, 49), between(61, 99)] {
        let beside = || within(PATIENCE, || registration.read_begin(free)).unwrap();
        scope(|scope| {
            assert!(!scope.spawn(|| registration.read_retry(beside())).join().unwrap());
        });
        assert!(!registration.read_retry(beside()), "nor on the thread of the section");
    }
    drop(section);
    assert_eq!(index.stats().read_begin_waits, 0);
}

#[test]
fn an_insert_after_the_walk_waits_for_the_section() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let section = index.invalidate(between(0, 9), UNMAP);
    let late = index.insert(&ops, between(5, 50), ()).unwrap();
    let begun = Gate::default();
    scope(|scope| {
        scope.spawn(|| {
            let beside = late.read_begin(between(10, 50)).unwrap();
            assert!(!late.read_retry(beside));
            let ticket = late.read_begin(between(9, 50)).unwrap();
            begun.open();
            assert!(!late.read_retry(ticket));
        });
        until("the filler waits", || index.stats().read_begin_waits == 1);
        std::thread::sleep(MOMENT);
        assert!(!begun.is_open());
        drop(section);
        begun.pass();
    });
}

#[test]
fn begin_waits_for_all_overlapping_sections() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    for last_first in [false, true] {
        let waits = index.stats().read_begin_waits;
        let begun = Gate::default();
        let mut sections =
            [Some(index.invalidate(between(10, 20), UNMAP)), Some(index.invalidate(between(20, 30), UNMAP))];
        scope(|scope| {
            scope.spawn(|| {
                let ticket = registration.read_begin(between(15, 25)).unwrap();
                begun.open();
                assert!(!registration.read_retry(ticket));
            });
            until("the filler waits", || index.stats().read_begin_waits > waits);
            drop(sections[usize::from(last_first)].take());
            std::thread::sleep(MOMENT);
            assert!(!begun.is_open(), "one of two is over");
            drop(sections[usize::from(!last_first)].take());
            begun.pass();
        });
    }
}

#[test]
fn begin_does_not_wait_for_sections_that_came_later() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let first = index.invalidate(between(0, 9), UNMAP);
    let begun = Gate::default();
    scope(|scope| {
        scope.spawn(|| {
            let ticket = registration.read_begin(between(0, 9)).unwrap();
            begun.open();
            assert!(registration.read_retry(ticket), "the later section makes it stale");
        });
        until("the filler waits", || index.stats().read_begin_waits == 1);
        std::thread::sleep(MOMENT);
        let later = index.invalidate(between(0, 9), UNMAP);
        drop(first);
        begun.pass();
        drop(later);
    });
}

#[test]
fn all_waiters_wake() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registrations = [0; 3].map(|_| index.insert(&ops, between(0, 99), ()).unwrap());
    for round in 1..=50 {
        let section = index.invalidate(between(round, round + 9), UNMAP);
        let awake = AtomicUsize::new(0);
        scope(|scope| {
            for registration in registrations.iter().cycle().take(9) {
                scope.spawn(|| {
                    assert!(
                        !registration.read_retry(registration.read_begin_timeout(between(0, 99), PATIENCE).unwrap())
                    );
                    awake.fetch_add(1, Ordering::SeqCst);
                });
            }
            until("all wait", || index.stats().read_begin_waits == 9 * round);
            assert_eq!(awake.load(Ordering::SeqCst), 0);
            drop(section);
        });
        assert_eq!(awake.into_inner(), 9);
    }
}

#[test]
fn a_deadline_ends_the_waiting() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let section = index.invalidate(between(0, 99), UNMAP);
    scope(|scope| {
        scope.spawn(|| {
            for timeout in [Duration::ZERO, Duration::from_millis(1), MOMENT] {
                let begun = Instant::now();
                assert_eq!(registration.read_begin_timeout(between(3, 4), timeout).unwrap_err(), BeginError::TimedOut);
                assert!(begun.elapsed() >= timeout && begun.elapsed() < PATIENCE);
            }
        });
    });
    drop(section);
    for timeout in [Duration::ZERO, Duration::MAX] {
        let ticket = registration.read_begin_timeout(between(3, 4), timeout).unwrap();
        assert!(!registration.read_retry(ticket), "nothing to wait for");
    }
}

/// Two threads keep the range covered by sections without a gap; each filler waits for those that it saw, and a
/// deadline shorter than a section runs out.
#[test]
fn a_storm_over_the_range_neither_starves_nor_hangs() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let (stop, started) = (Gate::default(), AtomicUsize::new(0));
    let storm = || {
        while !stop.is_open() {
            let section = index.invalidate(between(10, 19), UNMAP);
            started.fetch_add(1, Ordering::SeqCst);
            // The other's section begins before this one ends.
            let seen = started.load(Ordering::SeqCst);
            until("the other has begun", || stop.is_open() || started.load(Ordering::SeqCst) > seen);
            std::thread::sleep(Duration::from_millis(2));
            drop(section);
        }
    };
    scope(|scope| {
        scope.spawn(storm);
        scope.spawn(storm);
        until("the storm blows", || started.load(Ordering::SeqCst) > 2);
        let mut timed_out = 0;
        for _ in 0..20 {
            let short = registration.read_begin_timeout(between(0, 99), Duration::from_micros(100));
            timed_out += u32::from(matches!(short, Err(BeginError::TimedOut)));
            let _ = within(PATIENCE, || registration.read_begin(between(0, 99))).unwrap();
        }
        stop.open();
        assert!(timed_out > 0, "sections without a gap, and no deadline ran out");
    });
    assert!(index.stats().read_begin_waits >= 20);
}

#[test]
fn a_storm_elsewhere_costs_no_wait() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(1000, 1999), ()).unwrap();
    let stop = Gate::default();
    scope(|scope| {
        for thread in 0..2 {
            let (stop, index) = (&stop, &index);
            scope.spawn(move || {
                while !stop.is_open() {
                    touch(index, thread * 100, thread * 100 + 99);
                }
            });
        }
        until("the storm blows", || index.stats().sections_started > 1000);
        for _ in 0..20_000 {
            assert!(!registration.read_retry(registration.read_begin(between(1000, 1999)).unwrap()));
        }
        stop.open();
    });
    assert_eq!((index.stats().read_begin_waits, index.stats().retries), (0, 0));
}

#[test]
fn begin_refuses_what_it_cannot_promise() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops::<u32>();
    let registration = index.insert(&ops, between(10, 19), 1).unwrap();
    let (old, held) = (index.snapshot(), registration.hold());
    let hit = old.find(&ops, Interval::FULL).unwrap();
    for beyond in [between(9, 10), between(19, 20), Interval::point(0), Interval::FULL] {
        assert_eq!(registration.read_begin(beyond).unwrap_err(), BeginError::NotCovered);
        assert_eq!(held.read_begin(beyond).unwrap_err(), BeginError::NotCovered);
        assert_eq!(hit.read_begin(beyond).unwrap_err(), BeginError::NotCovered);
    }
    registration.update(between(10, 14)).unwrap();
    assert_eq!(hit.read_begin(Interval::point(15)).unwrap_err(), BeginError::NotCovered, "the hit's version is old");
    let ticket = held.read_begin(Interval::point(14)).unwrap();
    registration.remove().unwrap();
    assert!(ticket.is_stale() && held.read_retry(ticket));
    assert_eq!(held.read_begin(Interval::point(10)).unwrap_err(), BeginError::Removed);
    assert_eq!(hit.read_begin(Interval::point(10)).unwrap_err(), BeginError::Removed);
    let last = index.insert(&ops, between(10, 19), 2).unwrap();
    let ticket = last.read_begin(Interval::point(10)).unwrap();
    index.close().unwrap();
    assert!(last.read_retry(ticket), "closing changes all");
    assert_eq!(last.read_begin(Interval::point(10)).unwrap_err(), BeginError::Closed);
    let guard = index.pin();
    let found = guard.find(&ops, Interval::FULL).unwrap();
    assert_eq!(found.read_begin(Interval::point(10)).unwrap_err(), BeginError::Closed);
}

/// A ticket belongs to the notifier, through whichever handle it was made; another's is always stale.
#[test]
fn tickets_of_all_handles_are_alike() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops::<u32>();
    let registration = index.insert(&ops, between(10, 19), 1).unwrap();
    let other = index.insert(&ops, between(10, 19), 2).unwrap();
    let (guard, mut reader, held) = (index.pin(), index.reader(), registration.hold());
    let range = between(12, 15);
    let hit = guard.find(&ops, range).unwrap();
    let read = reader.find(&ops, range).unwrap();
    let ways =
        || [registration.read_begin(range), held.read_begin(range), hit.read_begin(range), read.read_begin(range)];
    for ticket in ways() {
        assert!(!registration.read_retry(ticket.unwrap()));
    }
    for ticket in ways() {
        assert!(!hit.read_retry(ticket.unwrap()));
    }
    for ticket in ways() {
        assert!(other.read_retry(ticket.unwrap()), "another's");
    }
    let tickets = ways();
    touch(&index, 15, 15);
    for ticket in tickets {
        assert!(held.read_retry(ticket.unwrap()));
    }
}

#[test]
fn begin_in_an_own_section_would_deadlock() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    let outer = index.invalidate(between(0, 9), UNMAP);
    let inner = index.invalidate(between(5, 5), UNMAP);
    assert_eq!(registration.read_begin(between(5, 50)).unwrap_err(), BeginError::WouldDeadlock);
    drop(inner);
    assert_eq!(registration.read_begin_timeout(between(9, 9), PATIENCE).unwrap_err(), BeginError::WouldDeadlock);
    drop(outer);
    assert!(!registration.read_retry(registration.read_begin(between(0, 99)).unwrap()));
}
