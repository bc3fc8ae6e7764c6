//! What is registered is found, at once and by everybody; what is not is not.

use notifier_index::{Interval, NotifierIndex};

use crate::canary::Canary;
use crate::forget::forget;
use crate::mailbox::{Mailbox, PATIENCE};
use crate::scope::scope;
use crate::turn::together;
use crate::ways::{Eyes, Way, between, ids};

#[test]
fn find_takes_the_lowest_start_and_among_ties_the_first_inserted() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _later = index.insert(&ops, between(10, 30), Canary::new(1)).unwrap();
    let _tied = index.insert(&ops, between(10, 12), Canary::new(2)).unwrap();
    let lowest = index.insert(&ops, between(5, 11), Canary::new(3)).unwrap();
    let found = |at| index.pin().find(&ops, Interval::point(at)).map(|hit| hit.payload().id());
    assert_eq!((found(11), found(12), found(31)), (Some(3), Some(1), None));
    lowest.remove().unwrap();
    assert_eq!((found(11), found(9)), (Some(1), None));
}

#[test]
fn identical_intervals_are_all_found_once_in_order_of_insertion() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let same = between(100, 199);
    let mut all: Vec<_> = (0..300).map(|id| index.insert(&ops, same, Canary::new(id)).unwrap()).collect();
    let mut eyes = Eyes::new(&index);
    eyes.look_each(|_, view| assert_eq!(ids(view, &ops, between(150, 150)), (0..300).collect::<Vec<_>>()));

    all.remove(137).remove().unwrap();
    let expected: Vec<u64> = (0..300).filter(|id| *id != 137).collect();
    eyes.look_each(|_, view| {
        assert_eq!(ids(view, &ops, same), expected);
        assert_eq!(view.check(), Ok(()));
    });
}

#[test]
fn results_ascend_by_start_and_ties_by_insertion() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let starts = (0..500_u64).map(|id| (id.wrapping_mul(0x9e37_79b9) % 50, id));
    let all: Vec<_> = starts
        .map(|(start, id)| index.insert(&ops, between(start, start + id % 7), Canary::new(id)).unwrap())
        .collect();
    let guard = index.pin();
    let order: Vec<(u64, u64)> =
        guard.find_all(&ops, Interval::FULL).map(|hit| (hit.start(), hit.payload().id())).collect();
    assert!(order.is_sorted() && order.len() == all.len(), "{order:?}");
}

#[test]
fn a_query_beside_everything_finds_nothing() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _all: Vec<_> = (0..200)
        .map(|id| index.insert(&ops, between(1000 + id * 10, 1004 + id * 10), Canary::new(id)).unwrap())
        .collect();
    Eyes::new(&index).look_each(|_, view| {
        for beside in [between(0, 999), between(2995, u64::MAX), between(1005, 1009)] {
            assert!(view.find(&ops, beside).is_none());
            assert_eq!((view.find_all(&ops, beside).count(), view.overlapping(beside).count()), (0, 0));
        }
        assert!(view.first_after(&ops, 2990).is_none());
        assert!(view.last_before(&ops, 1000).is_none());
    });
}

#[test]
fn both_ends_of_the_address_space_are_addresses_like_any_other() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let first = index.insert(&ops, Interval::point(0), Canary::new(1)).unwrap();
    let last = index.insert(&ops, Interval::point(u64::MAX), Canary::new(2)).unwrap();
    let gap = |at| index.pin().view().gap_at(&ops, at);
    assert_eq!((gap(0), gap(u64::MAX)), (None, None));
    assert_eq!(gap(7), Some(between(1, u64::MAX - 1)));
    let whole = index.insert(&ops, Interval::FULL, Canary::new(3)).unwrap();
    let mut eyes = Eyes::new(&index);
    eyes.look_each(|_, view| {
        assert_eq!(ids(view, &ops, Interval::point(0)), [1, 3]);
        assert_eq!(ids(view, &ops, Interval::point(u64::MAX)), [3, 2]);
        let containing: Vec<_> = view.containing(&ops, Interval::FULL).map(|hit| hit.payload().id()).collect();
        assert_eq!(containing, [3]);
    });
    whole.update(Interval::point(u64::MAX)).unwrap();
    eyes.look_each(|_, view| {
        assert_eq!(ids(view, &ops, Interval::point(u64::MAX)), [2, 3]);
        assert_eq!(ids(view, &ops, Interval::point(0)), [1]);
    });
    drop((first, last));
    eyes.look_each(|_, view| assert_eq!(ids(view, &ops, Interval::FULL), [3]));
}

#[test]
fn a_change_is_seen_when_it_has_returned_through_whatever_was_opened_before() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let guard = index.pin();
    let mut reader = index.reader();
    for id in 0..200 {
        let at = Interval::point(id);
        let registration = index.insert(&ops, at, Canary::new(id)).unwrap();
        assert_eq!(guard.find(&ops, at).unwrap().payload().id(), id);
        assert_eq!(reader.find(&ops, at).unwrap().payload().id(), id);
        assert_eq!(index.snapshot().find(&ops, at).unwrap().payload().id(), id);
        let there = Interval::point(1000 + id);
        registration.update(there).unwrap();
        assert!(guard.find(&ops, at).is_none() && reader.find(&ops, at).is_none());
        assert!(index.snapshot().find(&ops, there).is_some());
        registration.remove().unwrap();
        assert!(guard.find(&ops, there).is_none() && reader.find(&ops, there).is_none());
        assert!(index.snapshot().find(&ops, there).is_none());
    }
}

/// The finder learns of each change by a message, so it must see it, in whichever way it looks.
#[test]
fn a_change_is_seen_by_whoever_was_told_of_it() {
    let _turn = together();
    const ROUNDS: u64 = 3000;
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let told = Mailbox::<Option<(u64, u64, bool)>>::new(4);
    scope(|scope| {
        scope.spawn(|| {
            let mut eyes = Eyes::new(&index);
            for (number, (version, at, is_there)) in
                std::iter::from_fn(|| told.take(PATIENCE).expect("something is posted")).enumerate()
            {
                eyes.look(Way::ALL[number % 3], |view| {
                    assert!(view.version() >= version);
                    assert_eq!(view.find(&ops, Interval::point(at)).is_some(), is_there, "at {at}");
                });
                assert!(index.version() >= version);
            }
        });
        for at in 0..ROUNDS {
            let registration = index.insert(&ops, Interval::point(at), Canary::new(at)).unwrap();
            if at % 2 == 0 {
                told.post(Some((registration.version(), at, true)));
                forget(registration);
            } else {
                told.post(Some((registration.remove().unwrap(), at, false)));
            }
        }
        told.post(None);
    });
}

#[test]
fn views_and_snapshots_never_change() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let mut all: Vec<_> =
        (0..100).map(|id| index.insert(&ops, Interval::point(id), Canary::new(id)).unwrap()).collect();
    let snapshot = index.snapshot();
    let (guard, mut reader) = (index.pin(), index.reader());
    let (under_pin, cached) = (guard.view(), reader.view());
    let version = index.version();
    for id in 100..400 {
        all.push(index.insert(&ops, Interval::point(id % 50), Canary::new(id)).unwrap());
        drop(all.swap_remove(id as usize % all.len()));
        index.maintain();
    }
    for view in [under_pin, cached, snapshot.view(), snapshot.clone().view()] {
        assert_eq!((view.version(), view.len(), view.is_empty()), (version, 100, false));
        assert_eq!(ids(view, &ops, Interval::FULL), (0..100).collect::<Vec<_>>());
        assert_eq!(view.check(), Ok(()));
    }
    assert!(!snapshot.is_current() && index.snapshot().is_current());
}

#[test]
fn a_snapshot_taken_under_a_guard_is_the_newest_version() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let guard = index.pin();
    for id in 0..100 {
        let registration = index.insert(&ops, Interval::point(7), Canary::new(id)).unwrap();
        let snapshot = guard.snapshot();
        assert_eq!((snapshot.view().version(), snapshot.is_current()), (registration.version(), true));
        assert_eq!(ids(snapshot.view(), &ops, Interval::FULL), [id]);
    }
}

#[test]
fn a_snapshot_is_read_on_other_threads() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, Interval::point(7), Canary::new(7)).unwrap();
    let snapshot = index.snapshot();
    registration.remove().unwrap();
    drop(index);
    let copies: Vec<_> = (0..4).map(|_| snapshot.clone()).collect();
    let readers = copies
        .into_iter()
        .map(|copy| std::thread::spawn(move || copy.find(&ops, Interval::point(7)).unwrap().payload().id()));
    assert!(readers.map(|reader| reader.join().unwrap()).eq([7; 4]));
}
