//! What changed between two versions is what comparing the two lists tells, and not more is looked at.

use std::collections::BTreeMap;

use notifier_index::{Interval, NotifierIndex, Ops, Registration, Snapshot};
use proptest::prelude::*;

use crate::draws::Draws;
use crate::turn::together;

type Bounds = (u64, u64, u64);

/// By owner and payload: bounds before and after.
type Told = BTreeMap<(u64, u64), (Option<Bounds>, Option<Bounds>)>;

fn list(snapshot: &Snapshot, ops: &[Ops<u64>]) -> BTreeMap<(u64, u64), Bounds> {
    let named = |hit: notifier_index::AnyHit<'_>| {
        let payload = ops.iter().find_map(|ops| Some(*hit.downcast(ops)?.payload())).expect("of some owner");
        ((hit.owner(), payload), (hit.owner(), hit.start(), hit.last()))
    };
    snapshot.view().iter().map(named).collect()
}

fn by_lists(one: &Snapshot, other: &Snapshot, ops: &[Ops<u64>]) -> Told {
    let (before, after) = (list(one, ops), list(other, ops));
    let names = before.keys().chain(after.keys());
    let changes = names.map(|name| (*name, (before.get(name).copied(), after.get(name).copied())));
    changes.filter(|(_, (before, after))| before != after).collect()
}

fn by_changes(one: &Snapshot, other: &Snapshot, ops: &[Ops<u64>]) -> Told {
    let mut told = Told::new();
    let mut last = None;
    for change in one.changes_to(other).unwrap() {
        let hit = change.after().or(change.before()).expect("one of the two");
        let payload = ops.iter().find_map(|ops| Some(*hit.downcast(ops)?.payload())).expect("of some owner");
        let bounds = |hit: notifier_index::AnyHit<'_>| (hit.owner(), hit.start(), hit.last());
        let is_new = told.insert((hit.owner(), payload), (change.before().map(bounds), change.after().map(bounds)));
        assert_eq!(is_new, None, "told twice");
        let place = Some((hit.owner(), hit.start()));
        assert!(last <= place, "not ascending");
        last = place;
    }
    told
}

fn assert_same(one: &Snapshot, other: &Snapshot, ops: &[Ops<u64>]) {
    assert_eq!(by_changes(one, other, ops), by_lists(one, other, ops));
    assert_eq!(by_changes(other, one, ops), by_lists(other, one, ops));
}

/// Some change.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(usize, u64, u64),
    Update(usize, u64, u64),
    Remove(usize),
    Clear(usize),
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 0..400_u64, 0..30_u64).prop_map(|(owner, at, len)| Step::Insert(owner, at, len)),
        8 => (any::<usize>(), 0..400_u64, 0..30_u64).prop_map(|(which, at, len)| Step::Update(which, at, len)),
        4 => any::<usize>().prop_map(Step::Remove),
        1 => (0..3_usize).prop_map(Step::Clear),
        2 => Just(Step::Snapshot),
    ]
}

fn run(index: &NotifierIndex, ops: &[Ops<u64>], steps: &[Step], snapshots: &mut Vec<Snapshot>) {
    let mut all: Vec<Registration<u64>> = Vec::new();
    for (name, step) in steps.iter().enumerate() {
        match *step {
            Step::Insert(owner, at, len) => {
                all.push(index.insert(&ops[owner], Interval::new(at, at + len).unwrap(), name as u64).unwrap());
            }
            Step::Update(which, at, len) if !all.is_empty() => {
                let registration = &all[which % all.len()];
                if registration.is_live() {
                    registration.update(Interval::new(at, at + len).unwrap()).unwrap();
                }
            }
            Step::Remove(which) if !all.is_empty() => drop(all.swap_remove(which % all.len())),
            Step::Clear(owner) => _ = index.clear(&ops[owner]).unwrap(),
            Step::Snapshot => snapshots.push(index.snapshot()),
            Step::Update(..) | Step::Remove(_) => {}
        }
    }
    snapshots.push(index.snapshot());
}

proptest! {
    #[test]
    fn changes_are_what_two_lists_tell(steps in prop::collection::vec(step(), 1..200)) {
        let _turn = together();
        let index = NotifierIndex::new();
        let ops: Vec<_> = (0..3).map(|_| index.register_passive_ops()).collect();
        let mut snapshots = vec![index.snapshot()];
        run(&index, &ops, &steps, &mut snapshots);
        for (at, one) in snapshots.iter().enumerate() {
            for other in &snapshots[at..] {
                assert_same(one, other, &ops);
            }
        }
    }
}

#[test]
fn few_changes_of_many_are_found() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = [index.register_passive_ops()];
    let all = index.insert_many(&ops[0], (0..20_000).map(|at| (Interval::point(at * 16), at))).unwrap();
    let mut draws = Draws::new(1);
    let mut before = index.snapshot();
    for count in [0, 1, 2, 30, 3_000] {
        for _ in 0..count {
            let at = draws.below(all.len() as u64);
            all[at as usize].update(Interval::point(at * 16 + draws.below(16))).unwrap();
        }
        let after = index.snapshot();
        assert_same(&before, &after, &ops);
        before = after;
    }
}

#[test]
fn snapshots_of_different_indexes_cannot_be_compared() {
    let _turn = together();
    let (one, other) = (NotifierIndex::new().snapshot(), NotifierIndex::new().snapshot());
    assert!(one.changes_to(&other).is_err() && one.changes_to(&one.clone()).is_ok_and(|changes| changes.len() == 0));
}
