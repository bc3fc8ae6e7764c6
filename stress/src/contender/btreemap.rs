//! `mutex-btreemap`: the standard library's map behind a mutex; disjoint intervals of one owner.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::disjoint::{Entry, Rest, all_overlaps, lowest_overlap};
use super::{Contender, Session, Sighting};
use crate::span::{Found, NotifierId, Owner, Span};

/// A mutex around a `BTreeMap` from start to (last, id).
#[derive(Debug, Default)]
pub struct MutexBTreeMap {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<u64, Rest>,
    version: u64,
}

impl State {
    fn raise_version(&mut self) -> Option<u64> {
        self.version += 1;
        Some(self.version)
    }

    fn descending(&self, query: Span) -> impl Iterator<Item = (u64, Rest)> + '_ {
        self.map.range(..=query.last()).rev().map(|(start, rest)| (*start, *rest))
    }
}

impl Contender for MutexBTreeMap {
    type Registration = Entry;
    type Session<'c> = &'c MutexBTreeMap;

    fn new() -> Self {
        Self::default()
    }

    fn session(&self) -> &MutexBTreeMap {
        self
    }
}

impl Session for &MutexBTreeMap {
    type Registration = Entry;

    fn insert(&mut self, _owner: Owner, id: NotifierId, span: Span) -> (Entry, Option<u64>) {
        let mut state = self.state.lock();
        state.map.insert(span.start(), (span.last(), id));
        (Entry::new(id, span), state.raise_version())
    }

    #[inline]
    fn update(&mut self, entry: &mut Entry, span: Span) -> Option<u64> {
        let mut state = self.state.lock();
        if entry.span.start() != span.start() {
            state.map.remove(&entry.span.start());
        }
        state.map.insert(span.start(), (span.last(), entry.id));
        entry.span = span;
        state.raise_version()
    }

    fn remove(&mut self, entry: Entry) -> Option<u64> {
        let mut state = self.state.lock();
        state.map.remove(&entry.span.start());
        state.raise_version()
    }

    #[inline]
    fn find(&mut self, _owner: Owner, span: Span) -> Sighting {
        let state = self.state.lock();
        Sighting { found: lowest_overlap(state.descending(span), span), version: Some(state.version) }
    }

    fn find_all(&mut self, _owner: Owner, span: Span, found: &mut Vec<Found>) -> Option<u64> {
        let state = self.state.lock();
        all_overlaps(state.descending(span), span, found);
        Some(state.version)
    }
}
