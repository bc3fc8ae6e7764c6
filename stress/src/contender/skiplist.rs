//! `skiplist`: crossbeam's lock-free map; disjoint intervals of one owner.
//!
//! A move is two steps here, so a find may for a moment see the notifier at both places. It has no versions either:
//! what it answers cannot be replayed, only what is left at the end of a round can be compared.

use std::ops::Bound;

use crossbeam_skiplist::SkipMap;

use super::disjoint::{Entry, Rest, all_overlaps, lowest_overlap};
use super::{Contender, Session, Sighting};
use crate::span::{Found, NotifierId, Owner, Span};

/// A `SkipMap` from start to (last, id).
#[derive(Debug, Default)]
pub struct SkipList {
    map: SkipMap<u64, Rest>,
}

impl SkipList {
    fn descending(&self, query: Span) -> impl Iterator<Item = (u64, Rest)> + '_ {
        let first = self.map.upper_bound(Bound::Included(&query.last()));
        let entries = std::iter::successors(first, |entry| entry.prev());
        entries.map(|entry| (*entry.key(), *entry.value()))
    }
}

impl Contender for SkipList {
    type Registration = Entry;
    type Session<'c> = &'c SkipList;

    fn new() -> Self {
        Self::default()
    }

    fn session(&self) -> &SkipList {
        self
    }
}

impl Session for &SkipList {
    type Registration = Entry;

    fn insert(&mut self, _owner: Owner, id: NotifierId, span: Span) -> (Entry, Option<u64>) {
        self.map.insert(span.start(), (span.last(), id));
        (Entry::new(id, span), None)
    }

    #[inline]
    fn update(&mut self, entry: &mut Entry, span: Span) -> Option<u64> {
        self.map.insert(span.start(), (span.last(), entry.id));
        if entry.span.start() != span.start() {
            self.map.remove(&entry.span.start());
        }
        entry.span = span;
        None
    }

    fn remove(&mut self, entry: Entry) -> Option<u64> {
        self.map.remove(&entry.span.start());
        None
    }

    #[inline]
    fn find(&mut self, _owner: Owner, span: Span) -> Sighting {
        Sighting { found: lowest_overlap(self.descending(span), span), version: None }
    }

    fn find_all(&mut self, _owner: Owner, span: Span, found: &mut Vec<Found>) -> Option<u64> {
        all_overlaps(self.descending(span), span, found);
        None
    }
}
