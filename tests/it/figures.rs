//! What the counters say, held against what can be counted from outside, in a small tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{BatchError, Interval, NotifierIndex, Stats};

use crate::canary::Canary;
use crate::turn::{alone, maintain_alone, together};

/// Splits of leaves one by one: the first makes two leaves and a root, the second a leaf more.
#[test]
fn nodes_and_bytes_are_the_sums_over_both_kinds() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let mut all = Vec::new();
    let mut grown: Vec<Stats> = Vec::new();
    for at in 0_u64.. {
        all.push(index.insert(&ops, Interval::point(at), at).unwrap());
        let stats = index.stats();
        if grown.last().is_none_or(|before| before.live_nodes != stats.live_nodes) {
            grown.push(stats);
        }
        if grown.len() == 3 {
            break;
        }
    }
    let of_each = |figure: fn(&Stats) -> u64| [figure(&grown[0]), figure(&grown[1]), figure(&grown[2])];
    assert_eq!(of_each(|stats| stats.live_nodes), [1, 3, 4]);
    assert_eq!(of_each(|stats| stats.tree_height), [1, 2, 2]);
    let [one_leaf, with_root, three_leaves] = of_each(|stats| stats.node_bytes);
    assert_eq!(three_leaves - with_root, one_leaf);
    let root = with_root - 2 * one_leaf;
    assert!(root > 0 && one_leaf > 0 && root % 64 == 0 && one_leaf % 64 == 0, "{one_leaf} {root}");
}

/// Each round abandons a draft that has copied a leaf and all that is above it.
#[test]
fn what_a_refused_batch_made_goes_back_to_the_pool() {
    const ROUNDS: u64 = 200;
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = index.insert_many(&ops, (0..500).map(|id| (Interval::point(id * 4), id))).unwrap();
    index.close().unwrap();
    let refuse = |round: u64| {
        let mut batch = index.batch();
        batch.remove(&all[round as usize % all.len()]).unwrap();
        let _ = batch.insert(&ops, Interval::point(round), round).unwrap();
        let refused = batch.commit().unwrap_err();
        assert_eq!(refused.reason, BatchError::Closed);
    };
    (0..ROUNDS).for_each(refuse);
    maintain_alone(&index);
    let before = index.stats();
    (0..ROUNDS).for_each(refuse);
    maintain_alone(&index);
    assert_eq!(index.stats(), before);
}

/// The same with so many owners that their roots stand in tables, on more than one level.
#[test]
fn what_a_refused_batch_of_many_owners_made_goes_back_to_the_pool() {
    const OWNERS: usize = 3000;
    let _turn = alone();
    let index = NotifierIndex::new();
    let all_ops: Vec<_> = (0..OWNERS).map(|_| index.register_passive_ops()).collect();
    let at = Interval::point(7);
    let all: Vec<_> = all_ops.iter().map(|ops| index.insert(ops, at, 1_u64).unwrap()).collect();
    index.close().unwrap();
    let refuse = |round: usize| {
        let place = round * 7 % OWNERS;
        let mut batch = index.batch();
        batch.remove(&all[place]).unwrap();
        let _ = batch.insert(&all_ops[0], at, 2).unwrap();
        drop(batch.commit().unwrap_err());
    };
    (0..100).for_each(refuse);
    maintain_alone(&index);
    let before = index.stats();
    (0..1000).for_each(refuse);
    maintain_alone(&index);
    assert_eq!(index.stats(), before);
}

/// Lists of replaced objects that take pages are counted with their pages, when they are made as when they go.
#[test]
fn what_is_retired_is_counted_once_more_when_it_is_freed() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = index.insert_many(&ops, (0..2000).map(|id| (Interval::point(id * 16), id))).unwrap();
    for round in 1..10_u64 {
        let mut batch = index.batch();
        for registration in all.iter().step_by(3) {
            batch.update(registration, Interval::point(*registration.payload() * 16 + round)).unwrap();
        }
        let _ = batch.commit().unwrap();
        maintain_alone(&index);
        assert_eq!((index.stats().retired_objects, index.stats().retired_bytes), (0, 0));
    }
    let guard = index.pin();
    all[0].update(Interval::point(1)).unwrap();
    let stats = index.stats();
    assert!(stats.retired_objects >= 2 && stats.retired_bytes > 64 * stats.retired_objects, "{stats:?}");
    drop(guard);
}

#[test]
fn slabs_of_which_nothing_is_in_use_are_given_back() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = index.insert_many(&ops, (0..4000).map(|id| (Interval::point(id), id))).unwrap();
    let leaves_and_more = index.stats().node_bytes;
    let before = index.stats().pool_bytes;
    drop(all);
    maintain_alone(&index);
    let after = index.stats().pool_bytes;
    assert!(after > 0 && after + leaves_and_more / 2 < before, "{after} of {before} bytes are left");
}

/// How many payloads one change of one notifier drops: `RELEASE_BUDGET`, and twice what it may give up itself.
const BUDGET: usize = 32 + 2;

#[test]
fn one_change_drops_no_more_payloads_than_its_share() {
    const COUNT: usize = 200;
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let (ops, others) = (index.register_passive_ops(), index.register_passive_ops());
    let insert = |id| index.insert(&ops, Interval::point(id), Canary::counted(id, &drops)).unwrap();
    let all: Vec<_> = (0..COUNT as u64).map(insert).collect();
    let mut batch = index.batch();
    all.iter().for_each(|registration| batch.remove(registration).unwrap());
    let _ = batch.commit().unwrap();
    drop(all);
    let mut most = 0;
    for at in 0..20_000 {
        let before = drops.load(Ordering::Relaxed);
        drop(index.insert(&others, Interval::point(at), Canary::new(at)).unwrap());
        most = most.max(drops.load(Ordering::Relaxed) - before);
        if before == COUNT {
            break;
        }
    }
    assert_eq!(drops.load(Ordering::Relaxed), COUNT);
    assert!(most <= BUDGET, "{most} at once");
}

/// Two threads change one index until one has lost to the other; one alone never does.
#[test]
fn lost_races_are_counted_where_there_are_two() {
    const ENOUGH: u64 = 3_000_000;
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let change = |at: u64| drop(index.insert(&ops, Interval::point(at), at).unwrap());
    (0..100).for_each(change);
    assert_eq!(index.stats().lost_races, 0);
    let compete = || {
        (0..ENOUGH).any(|at| {
            change(at % 100);
            at % 64 == 0 && index.stats().lost_races > 1
        })
    };
    std::thread::scope(|scope| {
        let competitors = [scope.spawn(compete), scope.spawn(compete)];
        assert!(competitors.map(|competitor| competitor.join().unwrap()).contains(&true), "nobody was ever late");
    });
}
