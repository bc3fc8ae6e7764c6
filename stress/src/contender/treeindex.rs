//! `scc-treeindex`: the read-optimised concurrent B+tree of `scc`; disjoint intervals of one owner.
//!
//! A move is two steps here, so a find may for a moment see the notifier at both places. It has no versions either:
//! what it answers cannot be replayed, only what is left at the end of a round can be compared.

use scc::{Guard, TreeIndex};

use super::disjoint::{Entry, Rest, all_overlaps, lowest_overlap};
use super::{Contender, Session, Sighting};
use crate::span::{Found, NotifierId, Owner, Span};

/// A `TreeIndex` from start to (last, id).
#[derive(Debug, Default)]
pub struct SccTreeIndex {
    map: TreeIndex<u64, Rest>,
}

impl SccTreeIndex {
    fn descending<'g>(&'g self, query: Span, guard: &'g Guard) -> impl Iterator<Item = (u64, Rest)> + 'g {
        self.map.range(..=query.last(), guard).rev().map(|(start, rest)| (*start, *rest))
    }
}

impl Contender for SccTreeIndex {
    type Registration = Entry;
    type Session<'c> = &'c SccTreeIndex;

    fn new() -> Self {
        Self::default()
    }

    fn session(&self) -> &SccTreeIndex {
        self
    }
}

impl Session for &SccTreeIndex {
    type Registration = Entry;

    fn insert(&mut self, _owner: Owner, id: NotifierId, span: Span) -> (Entry, Option<u64>) {
        self.map.upsert_sync(span.start(), (span.last(), id));
        (Entry::new(id, span), None)
    }

    #[inline]
    fn update(&mut self, entry: &mut Entry, span: Span) -> Option<u64> {
        self.map.upsert_sync(span.start(), (span.last(), entry.id));
        if entry.span.start() != span.start() {
            self.map.remove_sync(&entry.span.start());
        }
        entry.span = span;
        None
    }

    fn remove(&mut self, entry: Entry) -> Option<u64> {
        self.map.remove_sync(&entry.span.start());
        None
    }

    #[inline]
    fn find(&mut self, _owner: Owner, span: Span) -> Sighting {
        let guard = Guard::new();
        Sighting { found: lowest_overlap(self.descending(span, &guard), span), version: None }
    }

    fn find_all(&mut self, _owner: Owner, span: Span, found: &mut Vec<Found>) -> Option<u64> {
        let guard = Guard::new();
        all_overlaps(self.descending(span, &guard), span, found);
        None
    }
}
