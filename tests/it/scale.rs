//! The write side with many threads, readers and large changes: nobody is refused without a cause, nobody starves, nobody pays
//! for all, and what is looked at stays as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use notifier_index::{Config, Holder, Interval, NotifierIndex, Ops, Registration, UpdateError};

use crate::canary::Canary;
use crate::draws::Draws;
use crate::scope::scope;
use crate::turn::{alone, maintain_alone, together};

/// So much less where every step is dear.
const SHARE: u64 = if cfg!(any(debug_assertions, tsan)) { 10 } else { 1 };

fn filled(index: &NotifierIndex, ops: &Ops<u64>, count: u64) -> Vec<Registration<u64>> {
    index.insert_many(ops, (0..count).map(|at| (Interval::point(at * 16), at))).unwrap()
}

fn update_one(all: &[Registration<u64>], draw: u64) -> Result<u64, UpdateError> {
    let at = draw % all.len() as u64;
    all[at as usize].update(Interval::point(at * 16 + (draw >> 32) % 16))
}

/// Many writers on few processors, with little room, and nothing that holds anything back but these writers themselves.
#[test]
fn nobody_is_refused_without_a_cause() {
    const WRITERS: u64 = 16;
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(1 << 20));
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, 10_000);
    scope(|scope| {
        for writer in 0..WRITERS {
            let all = &all;
            scope.spawn(move || {
                let mut draws = Draws::new(writer);
                for _ in 0..40_000 / SHARE {
                    update_one(all, draws.below(u64::MAX)).unwrap_or_else(|error| panic!("{error}"));
                }
            });
        }
    });
}

/// Fill and clear, over and over: payloads of removed notifiers are dropped as fast as they come, and are counted until then.
#[test]
fn dropped_payloads_keep_up() {
    const MANY: u64 = 1_000;
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(4 << 20));
    let ops = index.register_passive_ops();
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut made, mut most, mut most_bytes) = (0, 0, 0);
    for _ in 0..400 / SHARE {
        let items = (0..MANY).map(|at| (Interval::point(at), Canary::counted(at, &drops)));
        drop(index.insert_many(&ops, items).unwrap());
        made += MANY;
        most = most.max(made - drops.load(Ordering::Relaxed) as u64);
        most_bytes = most_bytes.max(index.stats().releasable_bytes);
    }
    println!("{most} payloads of {made} waited at most, {most_bytes} bytes");
    assert!(most < 40 * MANY, "{most} payloads of {made} wait");
    assert!(most_bytes > 0 && most_bytes < 4 << 20, "{most_bytes} bytes wait");
    maintain_alone(&index);
    assert_eq!((drops.load(Ordering::Relaxed) as u64, index.stats().releasable_bytes), (made, 0));
}

/// After many snapshots have gone, and after a huge change, each call looks at a bounded number of objects, and in the end
/// everything has gone.
#[test]
fn letting_many_snapshots_go_is_no_stall() {
    const MOST_OF_A_CALL: u64 = 1_024;
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let count = 100_000 / SHARE;
    let mut all = filled(&index, &ops, count);
    let mut draws = Draws::new(7);
    let snapshots: Vec<_> = (0..100)
        .map(|_| {
            (0..200).for_each(|_| _ = update_one(&all, draws.below(u64::MAX)).unwrap());
            index.snapshot()
        })
        .collect();
    let rest = all.split_off(100);
    index.remove_many(rest).unwrap();
    let held_back = index.stats().retired_objects;
    assert!(held_back > count, "{held_back} objects wait: there is nothing to show");
    snapshots.into_iter().for_each(drop);
    let (mut most, mut calls) = (0, 0);
    while index.stats().retired_objects > 2_000 {
        let before = index.stats();
        update_one(&all, draws.below(u64::MAX)).unwrap();
        let after = index.stats();
        // What this call has retired itself is a path, and its version.
        most = most.max((before.retired_objects + 20).saturating_sub(after.retired_objects));
        calls += 1;
        assert!(calls < 1_000 + 2 * held_back, "{after}");
    }
    println!("{held_back} objects in {calls} calls, {most} in one at most");
    assert!(most <= MOST_OF_A_CALL, "{most} objects in one call");
}

/// A batch is let through, however many single changes run beside it.
#[test]
fn big_changes_are_not_starved() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let (all, size) = (filled(&index, &ops, 20_000), 20_000 / SHARE as usize);
    let begun = Instant::now();
    update_many(&index, &all[..size], 1);
    let alone_took = begun.elapsed();
    let (stop, updates) = (AtomicBool::new(false), AtomicU64::new(0));
    let others = &all[size / 2..];
    scope(|scope| {
        for updater in 0..3 {
            let (stop, updates) = (&stop, &updates);
            scope.spawn(move || {
                let mut draws = Draws::new(updater);
                while !stop.load(Ordering::Relaxed) {
                    let at = draws.below(u64::MAX) % others.len() as u64;
                    let registration = &others[at as usize];
                    registration
                        .update(Interval::point(*registration.payload() * 16 + draws.below(u64::MAX) % 16))
                        .unwrap();
                    updates.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut longest = Duration::ZERO;
        for round in 0..5 {
            let begun = Instant::now();
            update_many(&index, &all[..size], round);
            longest = longest.max(begun.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        println!("alone {alone_took:?}, beside {} updates {longest:?} at most", updates.load(Ordering::Relaxed));
        // Generously: four threads share two processors, beside whatever else the machine does.
        assert!(longest < 20 * alone_took + Duration::from_secs(2), "{longest:?}, and {alone_took:?} alone");
    });
    assert!(index.stats().announcements > 0, "nobody had to ask the others to give way");
}

fn update_many(index: &NotifierIndex, all: &[Registration<u64>], round: u64) {
    let mut batch = index.batch();
    for registration in all {
        batch.update(registration, Interval::point(*registration.payload() * 16 + round)).unwrap();
    }
    let _ = batch.commit().unwrap();
}

/// One that rests holds nothing back, and finds what is new when it is used again.
#[test]
fn a_reader_that_rests_holds_nothing_back() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, 1_000);
    let mut reader = index.reader();
    assert!(reader.find(&ops, 16).is_some() && reader.cached().is_some_and(|view| view.version() == 1));
    reader.rest();
    assert!(reader.cached().is_none());
    all.into_iter().for_each(drop);
    maintain_alone(&index);
    assert_eq!((index.stats().retired_objects, index.stats().owned_versions), (0, 0));
    assert!(reader.find(&ops, 16).is_none());
    assert_eq!(format!("{reader:?}"), format!("Reader(version {})", index.version()));
}

/// Who holds so much back that changes are refused is told, and it is he who is told.
#[test]
fn a_refusal_names_who_holds_back() {
    let _turn = alone();
    let refused_beside = |by: Holder, hold: &dyn Fn(&NotifierIndex) -> Box<dyn std::any::Any>| {
        let index = NotifierIndex::with_config(Config::new().retired_limit(16 << 10));
        let ops = index.register_passive_ops();
        let all = filled(&index, &ops, 2_000);
        let holder = hold(&index);
        let mut draws = Draws::new(3);
        let refused = (0..100_000).find_map(|_| update_one(&all, draws.below(u64::MAX)).err());
        let Some(UpdateError::RetiredLimit(held_back)) = refused else { panic!("{refused:?}") };
        assert!(held_back.by == by && held_back.bytes > 16 << 10 && held_back.age_in_versions > 0, "{held_back}");
        assert!(held_back.thread.is_some() || !cfg!(target_os = "linux"), "{held_back}");
        drop(holder);
        maintain_alone(&index);
        update_one(&all, draws.below(u64::MAX)).unwrap();
    };
    refused_beside(Holder::Reader, &|index| Box::new(index.reader()));
    refused_beside(Holder::Snapshot, &|index| Box::new(index.snapshot()));
}

/// Slots are taken, shared and given back by many, beside changes: in the end nothing is left.
#[test]
fn many_readers_and_snapshots_come_and_go() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, 500);
    let (index, ops, all) = (&index, &ops, &all);
    scope(|scope| {
        for user in 0..4 {
            scope.spawn(move || {
                let mut draws = Draws::new(user);
                for _ in 0..4_000 / SHARE {
                    let mut reader = index.reader();
                    let snapshots: Vec<_> = (0..draws.below(u64::MAX) % 20).map(|_| index.snapshot()).collect();
                    let clones: Vec<_> = snapshots.iter().rev().cloned().collect();
                    drop(snapshots);
                    assert!(clones.iter().all(|snapshot| snapshot.view().len() == 500));
                    assert_eq!(reader.find_all(ops, Interval::FULL).count(), 500);
                    update_one(all, draws.below(u64::MAX)).unwrap();
                    assert_eq!(clones.first().map_or(500, |snapshot| snapshot.view().iter().count()), 500);
                }
            });
        }
    });
    maintain_alone(index);
    assert_eq!((index.stats().retired_objects, index.stats().owned_versions), (0, 0));
}

/// What a view shows stays what it was for as long as it is held, whichever way, while everything else changes.
#[test]
fn views_that_are_held_stay_what_they_were() {
    const COUNT: u64 = 300;
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, COUNT);
    let (stop, index, ops, all) = (&AtomicBool::new(false), &index, &ops, &all);
    scope(|scope| {
        for writer in 0..2 {
            scope.spawn(move || {
                let mut draws = Draws::new(writer);
                while !stop.load(Ordering::Relaxed) {
                    update_one(all, draws.below(u64::MAX)).unwrap();
                }
            });
        }
        let mut reader = index.reader();
        for round in 0..3_000 / SHARE {
            let snapshot = index.snapshot();
            let views = [reader.view(), snapshot.view()];
            let shown = views.map(|view| view.find_all(ops, Interval::FULL).map(|hit| hit.start()).collect::<Vec<_>>());
            std::thread::yield_now();
            for (view, shown) in views.iter().zip(&shown) {
                assert!(view.find_all(ops, Interval::FULL).map(|hit| hit.start()).eq(shown.iter().copied()));
                assert_eq!((view.check(), shown.len() as u64), (Ok(()), COUNT), "round {round}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
