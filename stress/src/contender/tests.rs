//! Every contender against the model, one thread, random operations; and the parts of the locked index that are not in
//! the common trait.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::btreemap::MutexBTreeMap;
use super::index::{IndexContender, ThroughGuard, ThroughReader, ThroughSnapshot};
use super::locked::{LockedChange, MutexIndex, RwLockIndex};
use super::persistent::ArcSwapMap;
use super::skiplist::SkipList;
use super::treeindex::SccTreeIndex;
use super::*;
use crate::model::{Answer, Change, Model, Query};

/// Does the steps on the contender and on the model and compares all answers and versions.
pub(crate) fn agrees_with_model<C: Contender>(steps: &[(Change, Owner, Span)]) {
    let (contender, mut model) = (C::new(), Model::new());
    let mut session = contender.session();
    let mut registrations = BTreeMap::new();
    for (change, owner, query) in steps {
        let Ok(version) = model.change(*change) else {
            continue;
        };
        let made = make(&mut session, &mut registrations, *change);
        assert!(made.is_none_or(|made| made == version), "{change:?} made {made:?}, the model {version}");
        compare(&mut session, &model, *owner, *query);
    }
}

fn make<S: Session>(
    session: &mut S,
    registrations: &mut BTreeMap<NotifierId, S::Registration>,
    change: Change,
) -> Option<u64> {
    match change {
        Change::Insert { owner, id, span } => {
            let (registration, version) = session.insert(owner, id, span);
            registrations.insert(id, registration);
            version
        }
        Change::Update { id, span } => session.update(registrations.get_mut(&id).unwrap(), span),
        Change::Remove { id } => session.remove(registrations.remove(&id).unwrap()),
    }
}

fn compare<S: Session>(session: &mut S, model: &Model, owner: Owner, span: Span) {
    let sighting = session.find(owner, span);
    assert_eq!(Answer::One(sighting.found), model.answer(&Query::Find { owner, span }), "find {span:?}");
    assert!(sighting.version.is_none_or(|version| version == model.version()));
    let mut all = Vec::new();
    session.find_all(owner, span, &mut all);
    assert_eq!(Answer::Many(all), model.answer(&Query::FindAll { owner, span }), "find_all {span:?}");
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..64_u64, 1 => (u64::MAX - 16)..=u64::MAX]
}

fn span() -> impl Strategy<Value = Span> {
    (address(), address()).prop_map(|(one, other)| Span::between(one, other))
}

/// Steps with two owners and any overlaps.
fn overlapping_steps() -> impl Strategy<Value = Vec<(Change, Owner, Span)>> {
    let change = prop_oneof![
        3 => (0..2_u32, 0..16_u64, span()).prop_map(|(owner, id, span)| Change::Insert { owner, id, span }),
        2 => (0..16_u64, span()).prop_map(|(id, span)| Change::Update { id, span }),
        1 => (0..16_u64).prop_map(|id| Change::Remove { id }),
    ];
    prop::collection::vec((change, 0..2_u32, span()), 1..60)
}

/// Steps with one owner whose notifiers each stay within a window of their own; the last window ends the address space.
fn disjoint_steps() -> impl Strategy<Value = Vec<(Change, Owner, Span)>> {
    let within = |id: u64, one: u64, other: u64| {
        let base = if id == 7 { u64::MAX - 7 } else { id * 8 };
        Span::between(base + one, base + other)
    };
    let change = (0..3_u8, 0..8_u64, 0..8_u64, 0..8_u64).prop_map(move |(kind, id, one, other)| match kind {
        0 => Change::Insert { owner: 0, id, span: within(id, one, other) },
        1 => Change::Update { id, span: within(id, one, other) },
        _ => Change::Remove { id },
    });
    prop::collection::vec((change, Just(0), span()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_locked_index_agrees_with_the_model(steps in overlapping_steps()) {
        agrees_with_model::<MutexIndex>(&steps);
        agrees_with_model::<RwLockIndex>(&steps);
    }

    #[test]
    fn the_index_agrees_with_the_model_through_all_ways_of_reading(steps in overlapping_steps()) {
        agrees_with_model::<IndexContender<ThroughReader>>(&steps);
        agrees_with_model::<IndexContender<ThroughGuard>>(&steps);
        agrees_with_model::<IndexContender<ThroughSnapshot>>(&steps);
    }

    #[test]
    fn the_maps_agree_with_the_model_where_intervals_are_disjoint(steps in disjoint_steps()) {
        agrees_with_model::<MutexBTreeMap>(&steps);
        agrees_with_model::<ArcSwapMap>(&steps);
        agrees_with_model::<SkipList>(&steps);
        agrees_with_model::<SccTreeIndex>(&steps);
    }
}

#[test]
fn a_batch_of_the_locked_index_is_one_version() {
    let index = RwLockIndex::new();
    let (whole, _) = index.insert(3, Span::between(0, 9), 1);
    let (mut other, _) = index.insert(3, Span::between(20, 29), 2);
    let half = |id, span| LockedChange::Insert { owner: 3, id, span, made: None };
    let mut split = [
        LockedChange::Remove { registration: whole },
        half(3, Span::between(0, 4)),
        half(4, Span::between(5, 9)),
        LockedChange::Update { registration: &mut other, span: Span::FULL },
    ];
    assert_eq!(index.batch(&mut split), 3);
    assert!(matches!(&split[1], LockedChange::Insert { made: Some(made), .. } if made.found().id == 3));
    let mut all = Vec::new();
    assert_eq!(index.find_all(3, Span::FULL, &mut all), 3);
    assert_eq!(all.iter().map(|found| found.id).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((index.len(), index.version(), index.is_empty()), (3, 3, false));
}

#[test]
fn the_last_address_and_all_addresses_can_be_registered() {
    let index = MutexIndex::new();
    let (point, _) = index.insert(0, Span::point(u64::MAX), 1);
    index.insert(0, Span::FULL, 2);
    assert_eq!(index.find(0, Span::point(u64::MAX)).found.unwrap().id, 2);
    index.remove(point);
    assert_eq!(index.len(), 1);
    assert_eq!(index.find(9, Span::FULL).found, None);
}

#[test]
fn a_registration_of_another_index_changes_nothing_here() {
    let (index, foreign) = (MutexIndex::new(), MutexIndex::new());
    let (mut registration, _) = foreign.insert(0, Span::point(1), 1);
    index.update(&mut registration, Span::point(2));
    index.remove(registration);
    assert_eq!((index.len(), index.find(0, Span::FULL).found), (0, None));
}
