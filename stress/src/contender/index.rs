//! `reader`, `guard`, `snapshot`: the index through its three ways of reading.
//!
//! All three search the same structure; they differ in how a thread comes to the version that it searches:
//!
//! - **reader**: one `Reader` a thread, which looks for a newer version at each find;
//! - **guard**: a `Guard` pinned for each find, as a caller does who finds now and then;
//! - **snapshot**: a `Snapshot` taken for each find. That is not what snapshots are for (one is taken for a long scan),
//!   but any other way would not find what was inserted just now, and so would not do the same job.

use std::marker::PhantomData;

use notifier_index::{Hit, Interval, NotifierIndex, Ops, Reader, Registration, View};

use super::{Contender, Session, Sighting};
use crate::span::{Found, NotifierId, Owner, Span};

/// Owners that the workloads use.
const OWNER_COUNT: usize = 2;

/// How a thread comes to the version that it searches.
pub trait Way: Sync + 'static {
    /// What a thread keeps for it.
    type Access<'i>;

    /// Opens it for a thread.
    fn open(index: &NotifierIndex) -> Self::Access<'_>;

    /// Looks at the newest version.
    fn look<R>(access: &mut Self::Access<'_>, look: impl FnOnce(View<'_>) -> R) -> R;
}

/// Through one `Reader` for each thread.
#[derive(Debug)]
pub struct ThroughReader;

/// Through a `Guard` for each look.
#[derive(Debug)]
pub struct ThroughGuard;

/// Through a `Snapshot` for each look.
#[derive(Debug)]
pub struct ThroughSnapshot;

impl Way for ThroughReader {
    type Access<'i> = Reader;

    fn open(index: &NotifierIndex) -> Reader {
        index.reader()
    }

    #[inline]
    fn look<R>(reader: &mut Reader, look: impl FnOnce(View<'_>) -> R) -> R {
        look(reader.view())
    }
}

impl Way for ThroughGuard {
    type Access<'i> = &'i NotifierIndex;

    fn open(index: &NotifierIndex) -> &NotifierIndex {
        index
    }

    #[inline]
    fn look<R>(index: &mut &NotifierIndex, look: impl FnOnce(View<'_>) -> R) -> R {
        let guard = index.pin();
        look(guard.view())
    }
}

impl Way for ThroughSnapshot {
    type Access<'i> = &'i NotifierIndex;

    fn open(index: &NotifierIndex) -> &NotifierIndex {
        index
    }

    #[inline]
    fn look<R>(index: &mut &NotifierIndex, look: impl FnOnce(View<'_>) -> R) -> R {
        let snapshot = index.snapshot();
        look(snapshot.view())
    }
}

/// The index with the owners that the workloads use; the payload is the notifier's name.
pub struct IndexContender<W> {
    index: NotifierIndex,
    owners: [Ops<NotifierId>; OWNER_COUNT],
    way: PhantomData<W>,
}

/// A thread's access to an [`IndexContender`].
pub struct IndexSession<'c, W: Way> {
    contender: &'c IndexContender<W>,
    access: W::Access<'c>,
}

impl<W: Way> Contender for IndexContender<W> {
    type Registration = Registration<NotifierId>;
    type Session<'c> = IndexSession<'c, W>;

    fn new() -> Self {
        let index = NotifierIndex::new();
        let owners = std::array::from_fn(|_| index.register_passive_ops());
        IndexContender { index, owners, way: PhantomData }
    }

    fn session(&self) -> IndexSession<'_, W> {
        IndexSession { contender: self, access: W::open(&self.index) }
    }

    fn retired_bytes(&self) -> Option<u64> {
        Some(self.index.stats().retired_bytes)
    }
}

impl<W: Way> Session for IndexSession<'_, W> {
    type Registration = Registration<NotifierId>;

    fn insert(&mut self, owner: Owner, id: NotifierId, span: Span) -> (Self::Registration, Option<u64>) {
        let ops = &self.contender.owners[owner as usize];
        let Ok(registration) = self.contender.index.insert(ops, interval(span), id) else {
            panic!("notifier {id} could not be inserted")
        };
        let version = registration.version();
        (registration, Some(version))
    }

    #[inline]
    fn update(&mut self, registration: &mut Self::Registration, span: Span) -> Option<u64> {
        match registration.update(interval(span)) {
            Ok(version) => Some(version),
            Err(error) => panic!("an update failed: {error}"),
        }
    }

    fn remove(&mut self, registration: Self::Registration) -> Option<u64> {
        let Ok(removal) = registration.remove_deferred() else { panic!("a notifier could not be removed") };
        Some(removal.version())
    }

    #[inline]
    fn find(&mut self, owner: Owner, span: Span) -> Sighting {
        let ops = &self.contender.owners[owner as usize];
        W::look(&mut self.access, |view| {
            let hit = view.find(ops, interval(span));
            Sighting { found: hit.map(|hit| found(owner, &hit)), version: Some(view.version()) }
        })
    }

    fn find_all(&mut self, owner: Owner, span: Span, all: &mut Vec<Found>) -> Option<u64> {
        let ops = &self.contender.owners[owner as usize];
        W::look(&mut self.access, |view| {
            let hits = view.find_all(ops, interval(span));
            all.extend(hits.map(|hit| found(owner, &hit)));
            Some(view.version())
        })
    }
}

#[inline]
fn interval(span: Span) -> Interval {
    Interval::new(span.start(), span.last()).expect("a span is not inverted")
}

#[inline]
fn found(owner: Owner, hit: &Hit<'_, NotifierId>) -> Found {
    let interval = hit.interval();
    Found { owner, id: *hit.payload(), span: Span::between(interval.start(), interval.last()) }
}
