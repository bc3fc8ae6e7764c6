//! Bad input gets an error that gives back what came in, and nothing is changed.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

use notifier_index::{
    BatchError, Config, FindManyError, FoundOrInserted, Holder, InsertError, Interval, IntervalError, NotifierIndex,
    Ops, Refused, Registration, UpdateError,
};

use crate::canary::Canary;
use crate::turn::{alone, maintain_alone, together, until_no_thread_pins};
use crate::ways::{between, ids};

#[test]
fn no_bad_interval_can_be_made() {
    let _turn = together();
    assert_eq!(Interval::new(2, 1), Err(IntervalError::Inverted));
    assert_eq!(Interval::from_start_len(5, 0), Err(IntervalError::Empty));
    assert_eq!(Interval::from_start_len(u64::MAX, 2), Err(IntervalError::Overflow));
    assert_eq!(Interval::from_start_len(u64::MAX, 1), Ok(Interval::point(u64::MAX)));
    assert_eq!(Interval::try_from(RangeInclusive::new(7, 3)), Err(IntervalError::Inverted));
    assert_eq!(Interval::try_from(0..=u64::MAX), Ok(Interval::FULL));
}

/// What a look-up says when it panics, with the place in the caller's code that it names.
fn complaint(look: impl FnOnce()) -> Option<String> {
    let thrown = catch_unwind(AssertUnwindSafe(look)).err()?;
    Some(thrown.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn an_owner_of_another_index_is_a_mistake_that_every_query_names() {
    let _turn = together();
    let (ours, theirs) = (NotifierIndex::new(), NotifierIndex::new());
    let foreign: Ops<Canary> = theirs.register_passive_ops();
    let ops = ours.register_passive_ops();
    let _registration = ours.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let (guard, mut reader, snapshot) = (ours.pin(), ours.reader(), ours.snapshot());
    let number = |ops: &Ops<Canary>| format!("{ops:?}").rsplit_once(' ').unwrap().1.trim_end_matches(')').to_owned();
    let is_named = |look: &mut dyn FnMut()| {
        let text = complaint(look).expect("it panics");
        let expected =
            format!("this Ops belongs to index {}, and was used to look into index {}", number(&foreign), number(&ops));
        assert_eq!(text, expected);
    };
    for view in [guard.view(), reader.view(), snapshot.view()] {
        is_named(&mut || _ = view.find(&foreign, 5));
        is_named(&mut || _ = view.find_all(&foreign, 5));
        is_named(&mut || _ = view.containing(&foreign, 5));
        is_named(&mut || _ = view.first_after(&foreign, 0));
        is_named(&mut || _ = view.last_before(&foreign, 9));
        is_named(&mut || _ = view.gap_at(&foreign, 5));
        is_named(&mut || _ = view.len_of(&foreign));
        is_named(&mut || _ = view.find_many(&foreign, &[Interval::point(5)], &mut [None]));
        assert!(view.iter().next().unwrap().downcast(&foreign).is_none());
    }
    is_named(&mut || _ = guard.find(&foreign, 5));
    is_named(&mut || _ = snapshot.find_all(&foreign, 5));
    is_named(&mut || _ = reader.find(&foreign, 5));
    is_named(&mut || _ = reader.find_many(&foreign, &[], &mut []));
}

#[test]
fn an_owner_of_another_index_is_refused_by_every_change() {
    let _turn = together();
    let (ours, theirs) = (NotifierIndex::new(), NotifierIndex::new());
    let foreign = theirs.register_passive_ops();
    let at = Interval::point(5);
    let refused = ours.insert(&foreign, at, Canary::new(1)).unwrap_err();
    assert!(refused.reason == InsertError::ForeignOps, "{refused}");
    assert_eq!(refused.value.id(), 1);
    let many = ours.insert_many(&foreign, vec![(at, Canary::new(2)), (Interval::FULL, Canary::new(3))]).unwrap_err();
    let names: Vec<_> = many.value.map(|(interval, canary)| (interval, canary.id())).collect();
    assert_eq!((many.reason, names), (InsertError::ForeignOps, vec![(at, 2), (Interval::FULL, 3)]));
    let made = ours.find_or_insert_with(&foreign, at, || panic!("nothing is to be made"));
    assert!(matches!(made, Err(Refused { reason: InsertError::ForeignOps, value: None, .. })));
    let mut batch = ours.batch();
    let refused = batch.insert(&foreign, at, Canary::new(4)).unwrap_err();
    assert_eq!((batch.len(), refused.value.id()), (0, 4));
    drop(batch);
    assert_eq!((ours.version(), theirs.version(), ours.len() + theirs.len()), (0, 0, 0));
}

/// The name of the first that came back.
fn first(mut returned: impl Iterator<Item = (Interval, Canary)>) -> u64 {
    returned.next().map(|(_, canary)| canary.id()).expect("something comes back")
}

#[test]
fn a_registration_of_another_index_is_refused_and_stands() {
    let _turn = together();
    let (ours, theirs) = (NotifierIndex::new(), NotifierIndex::new());
    let ops = theirs.register_passive_ops();
    let registration = theirs.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let mut batch = ours.batch();
    assert!(batch.update(&registration, between(5, 6)).is_err());
    let mut batch = ours.batch();
    assert_eq!(batch.remove(&registration), Err(BatchError::ForeignRegistration));
    assert_eq!((batch.len(), registration.interval()), (0, between(0, 9)));
    drop(batch);
    assert_eq!((theirs.len(), ours.version()), (1, 0));
    registration.remove().unwrap();
    assert!(theirs.is_empty());
}

#[test]
fn a_closed_index_takes_nothing_new_and_does_all_else() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let (one, other) = (
        index.insert(&ops, between(0, 9), Canary::new(1)).unwrap(),
        index.insert(&ops, between(20, 29), Canary::new(2)).unwrap(),
    );
    let closed = index.close().unwrap();
    assert_eq!((index.close().unwrap(), index.version()), (closed, closed));
    let far = between(50, 59);
    assert!(matches!(index.insert(&ops, far, Canary::new(3)), Err(Refused { reason: InsertError::Closed, .. })));
    let many = index.insert_many(&ops, vec![(far, Canary::new(4))]).unwrap_err();
    assert_eq!((many.reason, many.value.count()), (InsertError::Closed, 1));
    let empty = index.register_passive_ops();
    let many = index.insert_many(&empty, vec![(far, Canary::new(4))]).unwrap_err();
    assert_eq!((many.reason, first(many.value)), (InsertError::Closed, 4));
    let refused = index.find_or_insert_with(&ops, far, || Canary::new(5)).unwrap_err();
    assert!(matches!(refused, Refused { reason: InsertError::Closed, value: Some(_), .. }));
    assert!(matches!(index.find_or_insert_with(&ops, between(5, 5), || Canary::new(6)), Ok(FoundOrInserted::Found(_))));
    assert_eq!(index.version(), closed);
    one.update(between(3, 4)).unwrap();
    other.remove().unwrap();
    let mut batch = index.batch();
    batch.update(&one, between(7, 8)).unwrap();
    let _ = batch.commit().unwrap();
    assert_eq!((ids(index.pin().view(), &ops, Interval::FULL), one.interval()), (vec![1], between(7, 8)));
    one.remove().unwrap();
    assert!(index.is_empty());
}

/// Whatever adds to what is there, by whichever call, is refused and comes back.
fn refuse_all_that_adds(index: &NotifierIndex, ops: &Ops<Canary>, registration: &Registration<Canary>) {
    let refused = index.insert(ops, between(0, 9), Canary::new(1000)).unwrap_err();
    assert!(matches!(refused.reason, InsertError::RetiredLimit(_)));
    assert_eq!(refused.value.id(), 1000);
    let many = index.insert_many(ops, vec![(between(0, 9), Canary::new(1001))]).unwrap_err();
    assert!(matches!(many.reason, InsertError::RetiredLimit(_)));
    assert_eq!(first(many.value), 1001);
    let refused = index.find_or_insert_with(ops, Interval::point(1 << 40), || Canary::new(1002)).unwrap_err();
    assert!(matches!(refused, Refused { reason: InsertError::RetiredLimit(_), value: Some(_), .. }));
    let mut batch = index.batch();
    batch.update(registration, Interval::point(7)).unwrap();
    let refused = batch.commit().unwrap_err();
    assert!(matches!(refused.reason, BatchError::RetiredLimit(_)));
    drop(refused);
}

#[test]
fn a_full_retired_limit_refuses_changes_but_no_removal_until_the_guard_is_gone() {
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(64 << 10));
    let ops = index.register_passive_ops();
    let mut all: Vec<_> =
        (0..200).map(|id| index.insert(&ops, Interval::point(id), Canary::new(id)).unwrap()).collect();
    let guard = index.pin();
    let refused = (0..10_000).find_map(|step: u64| all[0].update(Interval::point(step)).err());
    let Some(UpdateError::RetiredLimit(held_back)) = refused else { panic!("{refused:?}") };
    assert!(
        held_back.by == Holder::Pin && held_back.bytes > (64 << 10) && held_back.age_in_versions > 0,
        "{held_back}"
    );
    let (version, at, len) = (index.version(), all[0].interval(), index.len());

    refuse_all_that_adds(&index, &ops, &all[0]);
    assert_eq!((index.version(), all[0].interval(), index.len()), (version, at, len));
    assert_eq!(index.pin().view().check(), Ok(()));

    all.pop().unwrap().remove().unwrap();
    assert_eq!((index.version(), index.len()), (version + 1, len - 1));
    drop(guard);
    until_no_thread_pins();
    for step in 0..2_000 {
        all[0].update(Interval::point(step)).unwrap();
    }
    maintain_alone(&index);
    assert_eq!(index.stats().retired_objects, 0);
}

#[test]
fn a_refused_batch_gives_everything_back_and_can_be_committed_later() {
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(64 << 10));
    let ops = index.register_passive_ops();
    let mut all: Vec<_> =
        (0..200).map(|id| index.insert(&ops, Interval::point(id), Canary::new(id)).unwrap()).collect();
    let guard = index.pin();
    let refused = (0..10_000).any(|step: u64| all[0].update(Interval::point(step)).is_err());
    assert!(refused);
    let moved = all[0].interval();
    let (version, gone, gone_too) = (index.version(), all.pop().unwrap(), all.pop().unwrap());
    let mut batch = index.batch();
    let (new, newer) = (
        batch.insert(&ops, between(500, 509), Canary::new(500)).unwrap(),
        batch.insert(&ops, between(600, 609), Canary::new(600)).unwrap(),
    );
    batch.update(&all[5], between(700, 709)).unwrap();
    batch.remove(&gone).unwrap();
    batch.remove(&gone_too).unwrap();
    let mut batch = batch.commit().unwrap_err().value;
    assert_eq!((index.version(), index.len(), all[5].interval()), (version, 200, Interval::point(5)));

    assert_eq!(batch.take_payload(new).unwrap().id(), 500);
    assert_eq!((gone.is_live(), gone.interval()), (true, Interval::point(199)));
    drop(guard);
    until_no_thread_pins();
    let mut committed = batch.commit().unwrap();
    let newer = committed.take(newer).unwrap();
    assert_eq!((committed.version(), newer.version(), index.len()), (version + 1, version + 1, 199));
    assert!(!gone.is_live() && !gone_too.is_live());
    assert_eq!((newer.interval(), all[5].interval()), (between(600, 609), between(700, 709)));
    assert_eq!(
        ids(index.pin().view(), &ops, between(190, 900)),
        [190, 191, 192, 193, 194, 195, 196, 197, 600, 5],
        "{moved}"
    );
}

#[test]
fn a_key_of_another_batch_opens_nothing() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let (mut one, mut other) = (index.batch(), index.batch());
    let _mine = one.insert(&ops, between(10, 19), Canary::new(2)).unwrap();
    let foreign = other.insert(&ops, between(20, 29), Canary::new(3)).unwrap();
    let foreign_too = other.insert(&ops, between(30, 39), Canary::new(4)).unwrap();
    other.remove(&registration).unwrap();
    assert!(one.take_payload(foreign).is_none());
    let mut committed = one.commit().unwrap();
    assert!(committed.take(foreign_too).is_none());
    assert_eq!((other.len(), index.len()), (3, 2));
}

#[test]
fn find_many_wants_a_place_for_each_query() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _registration = index.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let guard = index.pin();
    for places in [0, 1, 3] {
        let mut hits = vec![None; places];
        let refused = guard.find_many(&ops, &[Interval::point(5), Interval::point(6)], &mut hits);
        assert_eq!(refused, Err(FindManyError::LengthMismatch));
        assert!(hits.iter().all(Option::is_none));
    }
    assert_eq!(guard.find_many(&ops, &[], &mut []), Ok(()));
}
