//! Changes: one version each, atomic, none lost, whoever else changes at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use notifier_index::{FoundOrInserted, Interval, NotifierIndex};

use crate::canary::Canary;
use crate::scope::scope;
use crate::turn::together;
use crate::ways::{Eyes, between, ids};

#[test]
fn an_update_to_one_address_works_at_zero_and_elsewhere() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(10, 20), Canary::new(1)).unwrap();
    for to in [Interval::point(15), Interval::point(0), Interval::point(u64::MAX), Interval::FULL, Interval::point(0)] {
        let version = registration.update(to).unwrap();
        Eyes::new(&index).look_each(|_, view| {
            let all: Vec<_> = view.find_all(&ops, Interval::FULL).map(|hit| hit.interval()).collect();
            assert_eq!((view.version(), all, registration.interval()), (version, vec![to], to));
        });
    }
}

#[test]
fn an_update_keeps_the_place_among_ties() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let first = index.insert(&ops, between(10, 20), Canary::new(1)).unwrap();
    let _second = index.insert(&ops, between(10, 20), Canary::new(2)).unwrap();
    first.update(between(50, 60)).unwrap();
    first.update(between(10, 10)).unwrap();
    assert_eq!(ids(index.pin().view(), &ops, Interval::point(10)), [1, 2]);
}

#[test]
fn every_publication_raises_the_version_by_one() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let before = index.version();
    let one = index.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let many = index.insert_many(&ops, (2..50).map(|id| (between(id, id), Canary::new(id)))).unwrap();
    let updated = one.update(between(5, 9)).unwrap();
    let mut batch = index.batch();
    let key = batch.insert(&ops, between(7, 8), Canary::new(99)).unwrap();
    many[..20].iter().for_each(|registration| batch.remove(registration).unwrap());
    let mut committed = batch.commit().unwrap();
    let added = committed.take(key).unwrap();
    assert_eq!((one.version(), updated), (before + 1, before + 3));
    assert_eq!(committed.version(), before + 3 + 1);
    assert!(many[..20].iter().all(|gone| !gone.is_live()) && many[20..].iter().all(|stays| stays.is_live()));
    let removed = added.remove_deferred().unwrap().version();
    assert_eq!((removed, index.version(), index.stats().version), (before + 5, removed, removed));
}

#[test]
fn a_batch_may_move_one_registration_several_times() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all: Vec<_> =
        (0..40).map(|id| index.insert(&ops, between(id * 10, id * 10 + 5), Canary::new(id)).unwrap()).collect();
    let mut batch = index.batch();
    for to in [between(1000, 1001), between(0, 3), between(2000, 2000), between(70, 75)] {
        batch.update(&all[3], to).unwrap();
        batch.update(&all[4], between(to.start() + 1, to.last() + 1)).unwrap();
    }
    let version = batch.commit().unwrap().version();
    assert_eq!((all[3].interval(), all[4].interval()), (between(70, 75), between(71, 76)));
    assert_eq!((version, index.version(), index.len()), (41, 41, 40));
    assert_eq!(index.pin().view().check(), Ok(()));
    all[3].update(between(5, 5)).unwrap();
    assert_eq!(all[3].interval(), between(5, 5));
}

#[test]
fn what_a_batch_inserted_and_nobody_took_is_removed() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let mut batch = index.batch();
    let _untaken = batch.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let taken = batch.insert(&ops, between(10, 19), Canary::new(2)).unwrap();
    let mut committed = batch.commit().unwrap();
    assert_eq!(index.len(), 2);
    let kept = committed.take(taken).unwrap();
    drop(committed);
    assert_eq!(ids(index.pin().view(), &ops, Interval::FULL), [2]);
    assert_eq!(kept.interval(), between(10, 19));
}

#[test]
fn a_dropped_batch_changes_nothing() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let (moved, gone) = (
        index.insert(&ops, between(0, 9), Canary::new(1)).unwrap(),
        index.insert(&ops, between(10, 19), Canary::new(2)).unwrap(),
    );
    let mut batch = index.batch();
    batch.update(&moved, between(50, 59)).unwrap();
    let _ = batch.insert(&ops, between(20, 29), Canary::new(3)).unwrap();
    batch.remove(&gone).unwrap();
    drop(batch);
    assert_eq!((ids(index.pin().view(), &ops, Interval::FULL), moved.interval()), (vec![1, 2], between(0, 9)));
    assert!(gone.is_live());
}

#[test]
fn many_at_once_are_found_like_one_by_one() {
    let _turn = together();
    for count in [1_u64, 2, 15, 16, 17, 18, 255, 256, 257, 273, 1000, 5000] {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops();
        let item = |id: u64| (between(id * 7 % (count * 2), id * 7 % (count * 2) + id % 5), Canary::new(id));
        let all = index.insert_many(&ops, (0..count).map(item)).unwrap();
        let more = index.insert_many(&ops, (count..count + 40).map(item)).unwrap();
        let view = index.snapshot();
        assert_eq!((view.view().check(), index.len(), index.version()), (Ok(()), all.len() + more.len(), 2));
        for registration in all.iter().chain(&more) {
            let id = registration.payload().id();
            assert_eq!(registration.interval(), item(id).0);
            assert!(ids(view.view(), &ops, registration.interval()).contains(&id));
        }
        drop(more);
        all.into_iter().rev().for_each(|registration| assert!(registration.remove().is_ok()));
        assert_eq!((index.len(), index.pin().view().check()), (0, Ok(())));
    }
}

#[test]
fn many_at_once_keep_the_order_given_among_later_ties() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let items = vec![(between(10, 20), Canary::new(1)), (between(0, 5), Canary::new(2))];
    let all = index.insert_many(&ops, items).unwrap();
    all[0].update(between(0, 0)).unwrap();
    assert_eq!(ids(index.pin().view(), &ops, Interval::point(0)), [1, 2]);
}

#[test]
fn a_batch_of_nothing_makes_no_version() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _registration = index.insert(&ops, Interval::point(1), Canary::new(1)).unwrap();
    assert_eq!((index.batch().commit().unwrap().version(), index.version()), (1, 1));
    let mut withdrawn = index.batch();
    let key = withdrawn.insert(&ops, Interval::point(2), Canary::new(2)).unwrap();
    assert!(withdrawn.take_payload(key).is_some());
    assert_eq!((withdrawn.commit().unwrap().version(), index.version()), (1, 1));
    assert!(index.insert_many(&ops, Vec::new()).unwrap().is_empty());
    assert_eq!((index.version(), index.pin().view().check()), (1, Ok(())));
}

#[test]
fn of_eight_threads_over_one_window_one_inserts() {
    let _turn = together();
    for round in 0..200_u64 {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops();
        let (ready, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let insert = |id: u64| {
            ready.fetch_add(1, Ordering::AcqRel);
            while ready.load(Ordering::Acquire) < 8 {
                std::thread::yield_now();
            }
            // Windows that differ, but all of which contain address 50.
            let window = between(50 - id, 50 + id);
            let make = || {
                made.fetch_add(1, Ordering::Relaxed);
                Canary::new(id)
            };
            index.find_or_insert_with(&ops, window, make).unwrap()
        };
        let results: Vec<_> = scope(|scope| {
            let threads: Vec<_> = (0..8).map(|id| scope.spawn(move || insert(id))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let names: BTreeSet<u64> = results
            .iter()
            .map(|result| match result {
                FoundOrInserted::Found(held) => held.id(),
                FoundOrInserted::Inserted(registration) => registration.payload().id(),
            })
            .collect();
        let inserted = results.iter().filter(|result| matches!(result, FoundOrInserted::Inserted(_))).count();
        assert_eq!((inserted, names.len(), index.len(), index.version()), (1, 1, 1, 1), "round {round}");
        assert!((1..=8).contains(&made.load(Ordering::Relaxed)));
    }
}

/// Four threads move one notifier; two more look at it all the time.
#[test]
fn of_concurrent_updates_of_one_notifier_the_last_version_wins() {
    let _turn = together();
    const UPDATES: u64 = 1500;
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _others: Vec<_> =
        (0..100).map(|id| index.insert(&ops, Interval::point(id * 1000), Canary::new(id)).unwrap()).collect();
    let moved = index.insert(&ops, between(1, 1), Canary::new(4242)).unwrap();
    let done = AtomicBool::new(false);
    let update = |thread: u64| {
        let bounds = |step: u64| between(thread * 20_000 + step * 13, thread * 20_000 + step * 13 + thread);
        let done = (0..UPDATES).map(|step| (moved.update(bounds(step)).unwrap(), bounds(step)));
        done.collect::<Vec<_>>()
    };
    let watch = || {
        let mut eyes = Eyes::new(&index);
        while !done.load(Ordering::Relaxed) {
            eyes.look_each(|_, view| {
                let seen = view.find_all(&ops, Interval::FULL).filter(|hit| hit.payload().id() == 4242);
                assert_eq!((seen.count(), view.len()), (1, 101));
            });
            assert_ne!(moved.interval(), Interval::FULL);
        }
    };
    let mut updates: Vec<(u64, Interval)> = scope(|scope| {
        let watchers = [scope.spawn(watch), scope.spawn(watch)];
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || update(thread))).collect();
        let all = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        watchers.into_iter().for_each(|watcher| watcher.join().unwrap());
        all
    });
    updates.sort_by_key(|(version, _)| *version);
    assert!(
        updates.iter().map(|(version, _)| *version).eq(102..102 + 4 * UPDATES),
        "each update has a version of its own"
    );
    let (version, bounds) = updates.pop().unwrap();
    assert_eq!((index.version(), moved.interval()), (version, bounds));
    assert_eq!(ids(index.pin().view(), &ops, bounds).iter().filter(|id| **id == 4242).count(), 1);
}
