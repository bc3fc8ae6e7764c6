//! The model that replay uses: answers like [`Model`](crate::model::Model), in logarithmic time.
//!
//! The naive model looks at every notifier for every question, and a run of a million notifiers asks millions of
//! questions. This one keeps each owner's notifiers in classes by the bit length of their size, each class an ordinary
//! `BTreeMap` by (start, order of insertion):
//!
//! ```text
//!   class 12: sizes 4096..8191     |--| |--|   |--|
//!   class 13: sizes 8192..16383      |-----|  |----|
//!                            query:      [==]
//! ```
//!
//! All members of a class have nearly the same size, so those that overlap a query are next to each other: they start
//! no more than that size before it. A query asks every class that has members and merges the answers. That is simple
//! enough to believe, and a property test holds it against the naive model all the same.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Answer, Change, Query, Refused};
use crate::span::{Found, NotifierId, Owner, Span};

/// Position of a notifier in the order of all answers: by start, then by insertion.
type Key = (u64, u64);

/// What is kept of a notifier under its key.
type Member = (u64, NotifierId);

/// The notifiers of one owner, by bit length of their size minus one.
type Classes = BTreeMap<u32, BTreeMap<Key, Member>>;

/// A model that is fast enough to replay millions of operations.
#[derive(Clone, Debug, Default)]
pub struct FastModel {
    owners: BTreeMap<Owner, Classes>,
    places: HashMap<NotifierId, Place>,
    inserted_count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    owner: Owner,
    span: Span,
    serial: u64,
}

impl FastModel {
    /// A model without notifiers.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many notifiers there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Does one change.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed.
    pub fn change(&mut self, change: Change) -> Result<(), Refused> {
        match change {
            Change::Insert { owner, id, span } => self.insert(owner, id, span),
            Change::Update { id, span } => self.update(id, span),
            Change::Remove { id } => self.remove(id),
        }
    }

    fn insert(&mut self, owner: Owner, id: NotifierId, span: Span) -> Result<(), Refused> {
        if self.places.contains_key(&id) {
            return Err(Refused::Duplicate(id));
        }
        let place = Place { owner, span, serial: self.inserted_count };
        self.inserted_count += 1;
        self.places.insert(id, place);
        self.add(id, place);
        Ok(())
    }

    fn update(&mut self, id: NotifierId, span: Span) -> Result<(), Refused> {
        let place = self.places.get_mut(&id).ok_or(Refused::Unknown(id))?;
        let before = *place;
        place.span = span;
        let after = *place;
        self.take(before);
        self.add(id, after);
        Ok(())
    }

    fn remove(&mut self, id: NotifierId) -> Result<(), Refused> {
        let place = self.places.remove(&id).ok_or(Refused::Unknown(id))?;
        self.take(place);
        Ok(())
    }

    fn add(&mut self, id: NotifierId, place: Place) {
        let members = self.owners.entry(place.owner).or_default().entry(class_of(place.span)).or_default();
        members.insert((place.span.start(), place.serial), (place.span.last(), id));
    }

    fn take(&mut self, place: Place) {
        let members = self.owners.get_mut(&place.owner).and_then(|owner| owner.get_mut(&class_of(place.span)));
        let taken = members.and_then(|members| members.remove(&(place.span.start(), place.serial)));
        debug_assert!(taken.is_some(), "a place names a member");
    }

    /// Answers like the naive model.
    pub fn answer(&self, query: &Query) -> Answer {
        match *query {
            Query::Find { owner, span } => Answer::One(self.find(owner, span)),
            Query::FindAll { owner, span } => Answer::Many(self.find_all(owner, span)),
            Query::Containing { owner, span } => Answer::Many(self.containing(owner, span)),
            Query::Overlapping { span } => {
                Answer::Many(self.owners.keys().flat_map(|owner| self.find_all(*owner, span)).collect())
            }
            Query::FirstAfter { owner, address } => Answer::One(self.first_after(owner, address)),
            Query::LastBefore { owner, address } => Answer::One(self.last_before(owner, address)),
            Query::GapAt { owner, address } => Answer::Gap(self.gap_at(owner, address)),
            Query::FindMany { owner, ref spans } => {
                Answer::Each(spans.iter().map(|span| self.find(owner, *span)).collect())
            }
            Query::Len => Answer::Count(self.len()),
            Query::LenOf { owner } => Answer::Count(self.classes(owner).map(|(_, members)| members.len()).sum()),
        }
    }

    fn classes(&self, owner: Owner) -> impl Iterator<Item = (u32, &BTreeMap<Key, Member>)> {
        self.owners.get(&owner).into_iter().flatten().map(|(class, members)| (*class, members))
    }

    fn find(&self, owner: Owner, span: Span) -> Option<Found> {
        let firsts = self.classes(owner).filter_map(|(class, members)| overlapping(class, members, span).next());
        firsts.min_by_key(|(key, _)| *key).map(|member| found(owner, member))
    }

    fn find_all(&self, owner: Owner, span: Span) -> Vec<Found> {
        let mut all: Vec<(Key, Member)> =
            self.classes(owner).flat_map(|(class, members)| overlapping(class, members, span)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|member| found(owner, member)).collect()
    }

    fn containing(&self, owner: Owner, span: Span) -> Vec<Found> {
        let mut overlapping = self.find_all(owner, span);
        overlapping.retain(|found| found.span.covers(span));
        overlapping
    }

    fn first_after(&self, owner: Owner, address: u64) -> Option<Found> {
        let least = (address.checked_add(1)?, 0);
        let firsts = self.classes(owner).filter_map(|(_, members)| members.range(least..).next());
        firsts.map(|(key, member)| (*key, *member)).min_by_key(|(key, _)| *key).map(|member| found(owner, member))
    }

    fn last_before(&self, owner: Owner, address: u64) -> Option<Found> {
        let lasts = self.classes(owner).filter_map(|(_, members)| members.range(..(address, 0)).next_back());
        lasts.map(|(key, member)| (*key, *member)).max_by_key(|(key, _)| *key).map(|member| found(owner, member))
    }

    fn gap_at(&self, owner: Owner, address: u64) -> Option<Span> {
        if self.find(owner, Span::point(address)).is_some() {
            return None;
        }
        let last = self.first_after(owner, address).map_or(u64::MAX, |found| found.span.start() - 1);
        let ends = self.classes(owner).filter_map(|(class, members)| greatest_last_below(class, members, address));
        Span::new(ends.max().map_or(0, |last| last + 1), last)
    }
}

fn class_of(span: Span) -> u32 {
    (span.last() - span.start()).checked_ilog2().map_or(0, |bits| bits + 1)
}

/// The greatest distance from start to last in a class.
fn greatest_reach(class: u32) -> u64 {
    1_u64.checked_shl(class).map_or(u64::MAX, |bound| bound - 1)
}

/// The members of a class that overlap the span, ascending.
fn overlapping(class: u32, members: &BTreeMap<Key, Member>, span: Span) -> impl Iterator<Item = (Key, Member)> + '_ {
    let earliest = (span.start().saturating_sub(greatest_reach(class)), 0);
    let candidates = members.range(earliest..=(span.last(), u64::MAX));
    candidates.filter(move |(_, (last, _))| *last >= span.start()).map(|(key, member)| (*key, *member))
}

/// The greatest last of the members that start below the address; right where no member contains the address.
fn greatest_last_below(class: u32, members: &BTreeMap<Key, Member>, address: u64) -> Option<u64> {
    // Whoever starts more than the reach before the greatest start cannot end after that one's start.
    let (&(greatest_start, _), _) = members.range(..(address, 0)).next_back()?;
    let earliest = (greatest_start.saturating_sub(greatest_reach(class)), 0);
    members.range(earliest..(address, 0)).map(|(_, (last, _))| *last).max()
}

fn found(owner: Owner, (key, (last, id)): (Key, Member)) -> Found {
    Found { owner, id, span: Span::between(key.0, last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..64_u64, 1 => (u64::MAX - 16)..=u64::MAX, 1 => any::<u64>()]
    }

    fn span() -> impl Strategy<Value = Span> {
        (address(), address()).prop_map(|(one, other)| Span::between(one, other))
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => (0..2_u32, 0..24_u64, span()).prop_map(|(owner, id, span)| Change::Insert { owner, id, span }),
            2 => (0..24_u64, span()).prop_map(|(id, span)| Change::Update { id, span }),
            1 => (0..24_u64).prop_map(|id| Change::Remove { id }),
        ]
    }

    fn queries(owner: Owner, span: Span, address: u64) -> Vec<Query> {
        vec![
            Query::Find { owner, span },
            Query::FindAll { owner, span },
            Query::Containing { owner, span },
            Query::Overlapping { span },
            Query::FirstAfter { owner, address },
            Query::LastBefore { owner, address },
            Query::GapAt { owner, address },
            Query::FindMany { owner, spans: vec![span, Span::point(address)] },
            Query::Len,
            Query::LenOf { owner },
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn answers_are_those_of_the_naive_model(
            steps in prop::collection::vec((change(), 0..2_u32, span(), address()), 1..80)
        ) {
            let (mut fast, mut naive) = (FastModel::new(), Model::new());
            for (change, owner, span, address) in steps {
                prop_assert_eq!(fast.change(change).err(), naive.change(change).err());
                for query in queries(owner, span, address) {
                    prop_assert_eq!(fast.answer(&query), naive.answer(&query), "{:?}", query);
                }
            }
        }
    }

    #[test]
    fn classes_cover_all_sizes() {
        assert_eq!((class_of(Span::point(3)), class_of(Span::FULL)), (0, 64));
        assert_eq!((greatest_reach(0), greatest_reach(1), greatest_reach(64)), (0, 1, u64::MAX));
    }
}
