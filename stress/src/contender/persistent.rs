//! `arcswap-imbl`: a persistent map whose newest state hangs on an atomic pointer; disjoint intervals of one owner.

use arc_swap::ArcSwap;
use imbl::OrdMap;

use super::disjoint::{Entry, Rest, all_overlaps, lowest_overlap};
use super::{Contender, Session, Sighting};
use crate::span::{Found, NotifierId, Owner, Span};

/// `ArcSwap<OrdMap>`: readers load, writers copy a path and exchange the pointer until they win.
#[derive(Debug)]
pub struct ArcSwapMap {
    newest: ArcSwap<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    map: OrdMap<u64, Rest>,
    version: u64,
}

impl State {
    fn descending(&self, query: Span) -> impl Iterator<Item = (u64, Rest)> + '_ {
        self.map.range(..=query.last()).rev().map(|(start, rest)| (*start, *rest))
    }
}

impl ArcSwapMap {
    fn change(&self, edit: impl Fn(&mut OrdMap<u64, Rest>)) -> Option<u64> {
        let before = self.newest.rcu(|state| {
            let mut next = State::clone(state);
            edit(&mut next.map);
            next.version += 1;
            next
        });
        Some(before.version + 1)
    }
}

impl Contender for ArcSwapMap {
    type Registration = Entry;
    type Session<'c> = &'c ArcSwapMap;

    fn new() -> Self {
        ArcSwapMap { newest: ArcSwap::from_pointee(State::default()) }
    }

    fn session(&self) -> &ArcSwapMap {
        self
    }
}

impl Session for &ArcSwapMap {
    type Registration = Entry;

    fn insert(&mut self, _owner: Owner, id: NotifierId, span: Span) -> (Entry, Option<u64>) {
        let version = self.change(|map| {
            map.insert(span.start(), (span.last(), id));
        });
        (Entry::new(id, span), version)
    }

    #[inline]
    fn update(&mut self, entry: &mut Entry, span: Span) -> Option<u64> {
        let before = std::mem::replace(&mut entry.span, span);
        self.change(|map| {
            if before.start() != span.start() {
                map.remove(&before.start());
            }
            map.insert(span.start(), (span.last(), entry.id));
        })
    }

    fn remove(&mut self, entry: Entry) -> Option<u64> {
        self.change(|map| {
            map.remove(&entry.span.start());
        })
    }

    #[inline]
    fn find(&mut self, _owner: Owner, span: Span) -> Sighting {
        let state = self.newest.load();
        Sighting { found: lowest_overlap(state.descending(span), span), version: Some(state.version) }
    }

    fn find_all(&mut self, _owner: Owner, span: Span, found: &mut Vec<Found>) -> Option<u64> {
        let state = self.newest.load();
        all_overlaps(state.descending(span), span, found);
        Some(state.version)
    }
}
