//! Owners are separate, however many there are: those whose root stands in the version, and those in the table.

use notifier_index::{Interval, NotifierIndex, Ops, Registration};

use crate::canary::Canary;
use crate::turn::together;
use crate::ways::{Eyes, between, ids};

fn registered(index: &NotifierIndex, count: usize) -> Vec<(Ops<Canary>, Registration<Canary>)> {
    let with_one = |id| {
        let ops = index.register_passive_ops();
        (ops, index.insert(&ops, between(10, 20), Canary::new(id as u64)).unwrap())
    };
    (0..count).map(with_one).collect()
}

#[test]
fn two_owners_of_one_type_never_meet() {
    let _turn = together();
    let index = NotifierIndex::new();
    let (one, other) = (index.register_passive_ops(), index.register_passive_ops());
    assert_ne!(one, other);
    let _mine = index.insert(&one, between(0, 99), Canary::new(1)).unwrap();
    let _yours = index.insert(&other, between(50, 149), Canary::new(2)).unwrap();
    Eyes::new(&index).look_each(|_, view| {
        assert_eq!((ids(view, &one, Interval::FULL), ids(view, &other, Interval::FULL)), (vec![1], vec![2]));
        assert!(view.find(&other, between(0, 49)).is_none());
        let owners: Vec<u64> = view.overlapping(between(60, 60)).map(|hit| hit.owner()).collect();
        assert_eq!(owners, [one.number(), other.number()]);
        let any = view.iter().next().unwrap();
        assert!(any.downcast(&one).is_some() && any.downcast(&other).is_none());
        assert_eq!((view.len(), view.len_of(&one), view.len_of(&other)), (2, 1, 1));
    });
}

#[test]
fn payloads_of_many_types_live_side_by_side() {
    let _turn = together();
    let index = NotifierIndex::new();
    let (words, numbers, nothings) = (
        index.register_passive_ops::<String>(),
        index.register_passive_ops::<[u64; 40]>(),
        index.register_passive_ops::<()>(),
    );
    let _word = index.insert(&words, between(0, 9), "word".to_string()).unwrap();
    let _number = index.insert(&numbers, between(0, 9), [7; 40]).unwrap();
    let _nothing = index.insert(&nothings, between(0, 9), ()).unwrap();
    let guard = index.pin();
    assert_eq!(guard.find(&words, Interval::point(3)).unwrap().payload(), "word");
    assert_eq!(guard.find(&numbers, Interval::point(3)).unwrap().payload(), &[7; 40]);
    assert!(guard.find(&nothings, Interval::point(3)).is_some());
    let typed = guard.view().iter().filter_map(|hit| hit.downcast(&words));
    assert_eq!(typed.map(|hit| hit.payload().len()).collect::<Vec<_>>(), [4]);
}

fn each_of_many_owners_has_its_own(count: usize) {
    let index = NotifierIndex::new();
    let mut all = registered(&index, count);
    let mut eyes = Eyes::new(&index);
    eyes.look_each(|_, view| {
        assert_eq!((view.check(), view.len()), (Ok(()), count));
        for (id, (ops, _)) in all.iter().enumerate() {
            assert_eq!(view.find(ops, Interval::point(15)).unwrap().payload().id(), id as u64);
            assert_eq!(view.len_of(ops), 1);
        }
        assert!(view.iter().map(|hit| hit.owner()).eq(0..count as u64));
    });
    for (id, (_, registration)) in all.iter().enumerate() {
        registration.update(Interval::point(1000 + id as u64)).unwrap();
    }
    let (_, last) = all.pop().unwrap();
    drop(last);
    let half: Vec<_> = all.into_iter().enumerate().filter(|(id, _)| id % 2 == 0).collect();
    eyes.look_each(|_, view| {
        assert_eq!((view.check(), view.len()), (Ok(()), half.len()));
        for (id, (ops, _)) in &half {
            let hit = view.find(ops, Interval::FULL).unwrap();
            assert_eq!((hit.start(), hit.payload().id()), (1000 + *id as u64, *id as u64));
        }
    });
}

#[test]
fn one_owner_has_its_own() {
    let _turn = together();
    each_of_many_owners_has_its_own(1);
}

#[test]
fn five_owners_have_their_own() {
    let _turn = together();
    each_of_many_owners_has_its_own(5);
}

#[test]
fn a_hundred_owners_have_their_own() {
    let _turn = together();
    each_of_many_owners_has_its_own(100);
}

#[test]
fn five_thousand_owners_have_their_own() {
    let _turn = together();
    each_of_many_owners_has_its_own(5000);
}

#[test]
fn owners_without_notifiers_are_seen_as_empty_wherever_they_stand() {
    let _turn = together();
    let index = NotifierIndex::new();
    let owners: Vec<Ops<Canary>> = (0..20_000).map(|_| index.register_passive_ops()).collect();
    let far = index.insert(&owners[19_999], between(0, 9), Canary::new(1)).unwrap();
    Eyes::new(&index).look_each(|_, view| {
        for ops in [&owners[0], &owners[3], &owners[4], &owners[11], &owners[300], &owners[10_000]] {
            assert_eq!((view.len_of(ops), view.gap_at(ops, 5)), (0, Some(Interval::FULL)));
        }
        assert!(view.iter().map(|hit| hit.owner()).eq([19_999]));
    });
    far.remove().unwrap();
    assert_eq!(index.pin().view().iter().count(), 0);
}

#[test]
fn one_batch_changes_many_owners_at_once() {
    let _turn = together();
    let index = NotifierIndex::new();
    let all = registered(&index, 300);
    let mut batch = index.batch();
    for (id, (_, registration)) in all.iter().enumerate() {
        batch.update(registration, Interval::point(id as u64)).unwrap();
    }
    let before = index.snapshot();
    let version = batch.commit().unwrap().version();
    assert_eq!(version, before.view().version() + 1);
    let moved = |view: notifier_index::View<'_>| view.iter().filter(|hit| hit.start() == hit.owner()).count();
    // Owner 10 began where it was sent to, but was longer.
    assert_eq!((moved(before.view()), moved(index.pin().view())), (1, 300));
}
