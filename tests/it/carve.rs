//! Ranges that are taken away, against a model that does it address by address; and what a carve does beside others.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{BatchError, BeginError, Config, Interval, NotifierIndex, Ops, UpdateError};
use proptest::prelude::*;

use crate::canary::Canary;
use crate::draws::Draws;
use crate::scope::scope;
use crate::turn::{alone, maintain_alone, together};
use crate::ways::{between, ids};

/// Addresses of the small world, which stands at either end of the address space.
const WIDTH: u64 = 24;

/// The stretches that are left of `bounds` without `range`, found address by address.
fn stretches(bounds: Interval, range: Interval) -> Vec<Interval> {
    let left = (bounds.start()..=bounds.last()).filter(|address| !range.overlaps(Interval::point(*address)));
    let mut stretches: Vec<Interval> = Vec::new();
    for address in left {
        match stretches.last_mut() {
            Some(last) if last.last() + 1 == address => *last = between(last.start(), address),
            _ => stretches.push(Interval::point(address)),
        }
    }
    stretches
}

/// Who stands where, in the order of look-ups.
fn content(index: &NotifierIndex, ops: &Ops<Canary>) -> Vec<(Interval, u64)> {
    index.pin().find_all(ops, Interval::FULL).map(|hit| (hit.interval(), hit.payload().id())).collect()
}

proptest! {
    #[test]
    fn a_range_is_taken_away_address_by_address(
        ends in prop::collection::vec((0..WIDTH, 0..WIDTH), 0..8),
        ranges in prop::collection::vec((0..WIDTH, 0..WIDTH), 1..4),
        is_high in any::<bool>(),
    ) {
        let _turn = together();
        let base = if is_high { u64::MAX - (WIDTH - 1) } else { 0 };
        let interval = |(a, b): (u64, u64)| between(base + a.min(b), base + a.max(b));
        let index = NotifierIndex::new();
        let (ops, others) = (index.register_passive_ops(), index.register_passive_ops());
        let other = index.insert(&others, Interval::FULL, Canary::new(999)).unwrap();
        // In order of insertion: name, bounds, handle.
        let mut all: Vec<_> = ends.into_iter().map(interval).enumerate().map(|(id, at)| {
            (id as u64, at, index.insert(&ops, at, Canary::new(id as u64)).unwrap())
        }).collect();
        for range in ranges.into_iter().map(interval) {
            let before = index.version();
            let touched = all.iter().filter(|(_, at, _)| at.overlaps(range)).count();
            let mut asked = Vec::new();
            let mut carved = index.carve(&ops, range, |hit| {
                asked.push((hit.payload().id(), hit.interval()));
                Canary::new(hit.payload().id() + 100)
            }).unwrap();
            prop_assert_eq!((carved.version, index.version()), (before + u64::from(touched > 0), carved.version));
            let mut split: Vec<_> = all.iter().filter(|(_, at, _)| stretches(*at, range).len() == 2).map(|(id, at, _)| (*at, *id)).collect();
            // Ascending by start; among equal starts as inserted.
            split.sort_by_key(|(at, _)| at.start());
            asked.sort_by_key(|(_, at)| at.start());
            let named: Vec<_> = split.iter().map(|(_, id)| id + 100).collect();
            prop_assert_eq!(carved.right_halves.iter().map(|half| half.payload().id()).collect::<Vec<_>>(), named);
            prop_assert_eq!(asked.len(), split.len());
            let mut gone = 0;
            let mut right = Vec::new();
            all.retain_mut(|(_, at, registration)| match stretches(*at, range)[..] {
                [] => {
                    gone += 1;
                    assert!(!registration.is_live());
                    false
                }
                [first, ..] => {
                    assert!(registration.is_live() && registration.interval() == first);
                    *at = first;
                    true
                }
            });
            for ((at, id), half) in split.iter().zip(carved.right_halves.drain(..)) {
                assert_eq!((half.version(), half.interval()), (carved.version, stretches(*at, range)[1]));
                right.push((id + 100, half.interval(), half));
            }
            all.extend(right);
            prop_assert_eq!((carved.removed, carved.cut), (gone, touched - gone));
            let mut expected: Vec<_> = all.iter().map(|(id, at, _)| (*at, *id)).collect();
            expected.sort_by_key(|(at, _)| at.start());
            prop_assert_eq!(content(&index, &ops), expected);
            prop_assert_eq!(index.pin().view().check(), Ok(()));
        }
        assert!(other.is_live() && other.interval() == Interval::FULL);
    }
}

#[test]
fn a_carve_over_nothing_changes_nothing() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _one = index.insert(&ops, between(10, 19), Canary::new(1)).unwrap();
    for range in [between(0, 9), between(20, u64::MAX)] {
        let carved = index.carve(&ops, range, |_| unreachable!()).unwrap();
        assert_eq!((carved.removed, carved.cut, carved.right_halves.len(), carved.version), (0, 0, 0, 1));
    }
    assert_eq!(index.version(), 1);
}

#[test]
fn what_is_taken_away_is_known_to_its_fillers_and_handles() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let [inside, below, around] = [between(40, 59), between(0, 49), between(30, 99)]
        .map(|at| index.insert(&ops, at, Canary::new(at.start())).unwrap());
    let tickets =
        [&inside, &below, &around].map(|one| one.read_begin(Interval::point(one.interval().start())).unwrap());
    let mut carved = index.carve(&ops, between(40, 59), |whole| Canary::new(whole.last())).unwrap();
    let right = carved.right_halves.pop().unwrap();
    assert_eq!((carved.removed, carved.cut, right.payload().id()), (1, 2, 99));
    let stale = tickets.map(|ticket| ticket.is_stale());
    assert_eq!(stale, [true; 3]);
    assert_eq!((inside.is_live(), inside.update(between(1, 2))), (false, Err(UpdateError::Removed)));
    assert_eq!(inside.read_begin(Interval::point(40)).unwrap_err(), BeginError::Removed);
    assert_eq!(around.read_begin(Interval::point(60)).unwrap_err(), BeginError::NotCovered);
    let ticket = right.read_begin(Interval::point(60)).unwrap();
    assert!(!right.read_retry(ticket));
    assert_eq!(ids(index.pin().view(), &ops, Interval::FULL), [0, 30, 99]);
}

/// The right half of a detached notifier has a handle, and the left half still has none.
#[test]
fn a_detached_notifier_is_split_like_any() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    index.insert(&ops, between(0, 99), Canary::new(1)).unwrap().detach();
    let mut carved = index.carve(&ops, between(40, 59), |_| Canary::new(2)).unwrap();
    carved.right_halves.pop().unwrap().detach();
    assert!(carved.right_halves.is_empty());
    let guard = index.pin();
    for (at, bounds) in [(0, between(0, 39)), (99, between(60, 99))] {
        let claimed = guard.find(&ops, at).unwrap().claim().unwrap();
        assert_eq!(claimed.interval(), bounds);
        claimed.detach();
    }
    let carved = index.carve(&ops, Interval::FULL, |_| unreachable!()).unwrap();
    assert_eq!((carved.removed, index.len()), (2, 0));
}

/// A payload is made for the bounds that are split: where these move in between, it is made again.
#[test]
fn a_right_half_fits_the_bounds_that_were_split() {
    let _turn = alone();
    let (index, drops) = (NotifierIndex::new(), Arc::new(AtomicUsize::new(0)));
    let ops = index.register_passive_ops();
    let whole = index.insert(&ops, between(0, 99), Canary::new(0)).unwrap();
    let calls = Cell::new(0);
    let make = |hit: notifier_index::Hit<'_, Canary>| {
        calls.set(calls.get() + 1);
        if hit.last() < 104 {
            // Under no lock and no pin: it may change the index itself.
            whole.update(between(0, hit.last() + 1)).unwrap();
        }
        Canary::counted(hit.last(), &drops)
    };
    let mut carved = index.carve(&ops, between(40, 59), make).unwrap();
    let right = carved.right_halves.pop().unwrap();
    assert_eq!((calls.get(), right.payload().id(), right.interval()), (6, 104, between(60, 104)));
    assert_eq!(drops.load(Ordering::Relaxed), 5, "those that did not fit were dropped");
    assert_eq!(whole.interval(), between(0, 39));
}

/// What was made for a split that did not come about is dropped, by a later change.
#[test]
fn a_half_that_nobody_wants_is_dropped_later() {
    let _turn = alone();
    let (index, drops) = (NotifierIndex::new(), Arc::new(AtomicUsize::new(0)));
    let ops = index.register_passive_ops();
    let whole = index.insert(&ops, between(0, 99), Canary::new(0)).unwrap();
    let make = |_: notifier_index::Hit<'_, Canary>| {
        whole.update(between(0, 50)).unwrap();
        Canary::counted(7, &drops)
    };
    let carved = index.carve(&ops, between(40, 59), make).unwrap();
    assert_eq!((carved.cut, carved.right_halves.len(), whole.interval()), (1, 0, between(0, 39)));
    maintain_alone(&index);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    // And where it is not registered any more at all.
    let whole = Cell::new(Some(index.insert(&ops, between(100, 199), Canary::new(1)).unwrap()));
    let make = |_: notifier_index::Hit<'_, Canary>| {
        drop(whole.take());
        Canary::counted(8, &drops)
    };
    let carved = index.carve(&ops, between(140, 159), make).unwrap();
    assert_eq!((carved.cut, carved.removed, index.len()), (0, 0, 1));
    maintain_alone(&index);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
}

#[test]
fn a_panic_while_halves_are_made_has_changed_nothing() {
    let _turn = alone();
    let (index, drops) = (NotifierIndex::new(), Arc::new(AtomicUsize::new(0)));
    let ops = index.register_passive_ops();
    let all: Vec<_> = (0..5).map(|id| index.insert(&ops, between(id, 99), Canary::new(id)).unwrap()).collect();
    let before = (index.version(), content(&index, &ops));
    let thrown = catch_unwind(AssertUnwindSafe(|| {
        index.carve(&ops, between(40, 59), |hit| match hit.start() {
            3 => panic!("no payload"),
            id => Canary::counted(id, &drops),
        })
    }));
    assert!(thrown.is_err() && all.iter().all(|one| one.is_live()));
    assert_eq!((index.version(), content(&index, &ops)), before);
    assert_eq!(drops.load(Ordering::Relaxed), 3, "what had been made is dropped");
}

#[test]
fn a_refused_carve_gives_the_payloads_back() {
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(64 << 10));
    let (ops, foreign) = (index.register_passive_ops(), NotifierIndex::new().register_passive_ops());
    let all: Vec<_> = (0..3).map(|id| index.insert(&ops, between(id, 99), Canary::new(id)).unwrap()).collect();
    let refused =
        index.carve(&foreign, between(40, 59), |_: notifier_index::Hit<'_, Canary>| unreachable!()).unwrap_err();
    assert_eq!((refused.reason, refused.value.len()), (BatchError::ForeignOps, 0));
    let names = |payloads: Vec<Canary>| {
        let mut names: Vec<_> = payloads.iter().map(Canary::id).collect();
        names.sort_unstable();
        names
    };

    let guard = index.pin();
    while all[0].update(between(0, 99)).is_ok() {}
    let before = (index.version(), content(&index, &ops));
    let refused = index.carve(&ops, between(40, 59), |hit| Canary::new(hit.start() + 10)).unwrap_err();
    assert!(matches!(refused.reason, BatchError::RetiredLimit(_)), "{refused}");
    assert_eq!(names(refused.value), vec![10, 11, 12]);
    assert_eq!((index.version(), content(&index, &ops)), before);
    // Who only gives addresses up is not refused for what others hold.
    assert_eq!(index.carve(&ops, between(98, 99), |_| unreachable!()).unwrap().cut, 3);
    drop(guard);

    maintain_alone(&index);
    index.close().unwrap();
    let before = (index.version(), content(&index, &ops));
    let refused = index.carve(&ops, between(40, 59), |hit| Canary::new(hit.start() + 10)).unwrap_err();
    assert_eq!((refused.reason, names(refused.value)), (BatchError::Closed, vec![10, 11, 12]));
    assert_eq!((index.version(), content(&index, &ops)), before);
    assert_eq!(index.carve(&ops, between(90, 99), |_| unreachable!()).unwrap().cut, 3);
    assert_eq!(index.carve(&ops, Interval::FULL, |_| unreachable!()).unwrap().removed, 3);
}

/// Addresses that one thread has for itself; notifiers reach over the borders.
const REGION: u64 = 64;
const THREADS: u64 = 4;
const ROUNDS: u64 = 400;

/// Carves and inserts within the thread's own region, and knows after each step how often each address of it is covered.
fn keep_house(index: &NotifierIndex, ops: &Ops<Canary>, region: u64) {
    let mut covers = [1_usize; REGION as usize];
    let mut draw = Draws::new(region + 1);
    for round in 0..ROUNDS {
        let (first, second) = (draw.below(REGION), draw.below(REGION));
        let (first, last) = (first.min(second), first.max(second));
        let range = between(region * REGION + first, region * REGION + last);
        let touched = &mut covers[first as usize..=last as usize];
        if round % 2 == 0 {
            let carved = index.carve(ops, range, |whole| Canary::new(whole.payload().id())).unwrap();
            carved.right_halves.into_iter().for_each(notifier_index::Registration::detach);
            touched.fill(0);
        } else {
            index.insert(ops, range, Canary::new(region)).unwrap().detach();
            touched.iter_mut().for_each(|covers| *covers += 1);
        }
        let view = index.snapshot();
        let found =
            |address| view.find_all(ops, region * REGION + address).inspect(|hit| _ = hit.payload().id()).count();
        assert!((0..REGION).map(found).eq(covers), "thread {region}, round {round}, {range}");
    }
}

#[test]
fn carves_beside_carves_take_away_what_they_say_and_no_more() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    index.insert(&ops, between(0, THREADS * REGION - 1), Canary::new(99)).unwrap().detach();
    scope(|scope| {
        for region in 0..THREADS {
            let index = &index;
            scope.spawn(move || keep_house(index, &ops, region));
        }
    });
    assert_eq!(index.pin().view().check(), Ok(()));
    let all = index.carve(&ops, Interval::FULL, |_| unreachable!()).unwrap();
    assert!(all.removed > 0 && all.cut == 0 && index.is_empty());
}
