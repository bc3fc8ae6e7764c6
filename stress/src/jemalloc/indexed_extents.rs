//! Extents in the index: the contender that all this is about, through its three ways of reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use notifier_index::{Guard, Hit, Interval, NotifierIndex, Ops, Reader, Registration, Snapshot, View};

use crate::jemalloc::extent_index::{Answer, Cover, EXTENTS, ExtentFinder, ExtentIndex, Leftover, Way};
use crate::span::{Found, NotifierId, Span};

/// How often the index may be asked to tidy up before what it still keeps counts as left over.
const MOST_MAINTAINS: usize = 256;

/// What is registered for an extent. A payload that is looked at after it was dropped shows a name that nobody has.
#[derive(Debug)]
pub(crate) struct Extent {
    id: AtomicU64,
    alive: Arc<AtomicU64>,
}

impl Extent {
    fn new(id: NotifierId, alive: &Arc<AtomicU64>) -> Self {
        // Relaxed here and below: a count that is compared when nobody changes it.
        alive.fetch_add(1, Ordering::Relaxed);
        Extent { id: AtomicU64::new(id), alive: Arc::clone(alive) }
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.id.store(NotifierId::MAX, Ordering::Relaxed);
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The index, with extents under one owner.
#[derive(Debug)]
pub(crate) struct IndexedExtents {
    index: NotifierIndex,
    ops: Ops<Extent>,
    /// Payloads that have been made and not been dropped.
    alive: Arc<AtomicU64>,
}

impl Default for IndexedExtents {
    fn default() -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        IndexedExtents { index, ops, alive: Arc::default() }
    }
}

impl ExtentIndex for IndexedExtents {
    type Handle = Registration<Extent>;
    type Finder<'i> = IndexFinder<'i>;
    const NAME: &'static str = "index";
    const WAYS: &'static [Way] = &[Way::Reader, Way::Guard, Way::Snapshot];
    const KEEPS_VERSIONS: bool = true;

    fn insert(&self, span: Span, id: NotifierId) -> Option<(Registration<Extent>, u64)> {
        let registration = self.index.insert(&self.ops, interval(span), Extent::new(id, &self.alive)).ok()?;
        let version = registration.version();
        Some((registration, version))
    }

    fn remove(&self, handle: Registration<Extent>) -> Result<u64, Registration<Extent>> {
        // Deferred: a hook waits for nobody.
        let removal = handle.remove_deferred().map_err(|refused| refused.into_registration())?;
        Ok(removal.version())
    }

    fn split(
        &self,
        handle: Registration<Extent>,
        left: Span,
        (right, right_id): (Span, NotifierId),
    ) -> Result<([Registration<Extent>; 2], u64), Registration<Extent>> {
        match self.split_in_batch(&handle, left, right, right_id) {
            Some((made, version)) => Ok(([handle, made], version)),
            None => Err(handle),
        }
    }

    fn merge(
        &self,
        [handle, gone]: [Registration<Extent>; 2],
        whole: Span,
    ) -> Result<(Registration<Extent>, u64), [Registration<Extent>; 2]> {
        match self.merge_in_batch(&handle, gone, whole) {
            Ok(version) => Ok((handle, version)),
            Err(gone) => Err([handle, gone]),
        }
    }

    fn finder(&self) -> IndexFinder<'_> {
        IndexFinder { index: self, reader: self.index.reader(), stale: None }
    }

    fn stale_finder(&self) -> Option<IndexFinder<'_>> {
        Some(IndexFinder { index: self, reader: self.index.reader(), stale: Some(self.index.snapshot()) })
    }

    fn contents(&self) -> (Vec<Found>, u64) {
        let snapshot = self.index.snapshot();
        let view = snapshot.view();
        (all(&view, &self.ops, Span::FULL).collect(), view.version())
    }

    fn retired_bytes(&self) -> Option<u64> {
        Some(self.index.stats().retired_bytes)
    }

    fn settle(&self) -> Leftover {
        let leftover = || {
            let stats = self.index.stats();
            Leftover {
                retired_objects: stats.retired_objects,
                retired_bytes: stats.retired_bytes,
                undropped_payloads: self.alive.load(Ordering::Relaxed),
            }
        };
        // Each call does a bounded amount of work.
        let calls = (0..MOST_MAINTAINS).map(|_| {
            self.index.maintain();
            leftover()
        });
        calls.take_while(|leftover| *leftover != Leftover::default()).last().map_or_else(leftover, |_| leftover())
    }
}

impl IndexedExtents {
    fn split_in_batch(
        &self,
        handle: &Registration<Extent>,
        left: Span,
        right: Span,
        right_id: NotifierId,
    ) -> Option<(Registration<Extent>, u64)> {
        let mut batch = self.index.batch();
        batch.update(handle, interval(left)).ok()?;
        let key = batch.insert(&self.ops, interval(right), Extent::new(right_id, &self.alive)).ok()?;
        let mut committed = batch.commit().ok()?;
        let version = committed.version();
        Some((committed.take(key)?, version))
    }

    fn merge_in_batch(
        &self,
        handle: &Registration<Extent>,
        gone: Registration<Extent>,
        whole: Span,
    ) -> Result<u64, Registration<Extent>> {
        let mut batch = self.index.batch();
        if batch.update(handle, interval(whole)).is_err() {
            return Err(gone);
        }
        let key = batch.remove(gone).map_err(|refused| refused.into_registration())?;
        match batch.commit() {
            Ok(committed) => Ok(committed.version()),
            Err(refused) => {
                let gone = refused.into_batch().take_registration(key);
                Err(gone.expect("a refused batch still has what was put into it"))
            }
        }
    }
}

/// A finder with a `Reader` of its own, which it keeps for all the round.
#[derive(Debug)]
pub(crate) struct IndexFinder<'i> {
    index: &'i IndexedExtents,
    reader: Reader,
    /// The sabotage: everything is answered from here.
    stale: Option<Snapshot>,
}

impl ExtentFinder for IndexFinder<'_> {
    fn find_each(&mut self, way: Way, addresses: &[u64], tick: impl FnMut(Answer)) {
        let ops = &self.index.ops;
        let answers = addresses.iter().copied();
        match (way, &self.stale) {
            (_, Some(stale)) => answers.map(|address| find(&stale.view(), ops, address)).for_each(tick),
            (Way::Guard, None) => {
                answers.map(|address| find(&self.index.index.pin().view(), ops, address)).for_each(tick);
            }
            (Way::Snapshot, None) => {
                let snapshot = self.index.index.snapshot();
                answers.map(|address| find(&snapshot.view(), ops, address)).for_each(tick);
            }
            (Way::Reader | Way::Locked, None) => {
                answers.map(|address| find(&self.reader.view(), ops, address)).for_each(tick);
            }
        }
    }

    fn cover(&mut self, way: Way, range: Span, inside: u64, cover: &mut Cover) {
        self.with_view(way, |view, ops| {
            cover.all.clear();
            cover.all.extend(all(view, ops, range));
            cover.any_owner_count = Some(view.overlapping(interval(range)).count());
            cover.gap = Some(view.gap_at(ops, inside).ok().flatten().map(span));
        });
    }

    fn steady(&mut self, way: Way, addresses: &[u64], meanwhile: impl FnOnce()) -> Option<bool> {
        self.with_view(way, |view, ops| {
            let answers = || addresses.iter().map(|address| find(view, ops, *address)).collect::<Vec<_>>();
            let before = answers();
            meanwhile();
            Some(before == answers())
        })
    }
}

impl IndexFinder<'_> {
    /// Looks at one version, in one of the ways.
    fn with_view<R>(&mut self, way: Way, look: impl FnOnce(&View<'_>, &Ops<Extent>) -> R) -> R {
        let ops = &self.index.ops;
        match (way, &self.stale) {
            (_, Some(stale)) => look(&stale.view(), ops),
            (Way::Guard, None) => {
                let guard: Guard<'_> = self.index.index.pin();
                look(&guard.view(), ops)
            }
            (Way::Snapshot, None) => look(&self.index.index.snapshot().view(), ops),
            (Way::Reader | Way::Locked, None) => look(&self.reader.view(), ops),
        }
    }
}

fn find(view: &View<'_>, ops: &Ops<Extent>, address: u64) -> Answer {
    let hit = view.find(ops, Interval::point(address)).ok().flatten();
    Answer { version: view.version(), found: hit.map(|hit| found(&hit)) }
}

fn all<'v>(view: &View<'v>, ops: &Ops<Extent>, range: Span) -> impl Iterator<Item = Found> + use<'v> {
    view.find_all(ops, interval(range)).into_iter().flatten().map(|hit| found(&hit))
}

fn found(hit: &Hit<'_, Extent>) -> Found {
    // Relaxed: it is written only when the payload is dropped, which no reader may live to see.
    Found { owner: EXTENTS, id: hit.payload().id.load(Ordering::Relaxed), span: span(hit.interval()) }
}

fn interval(span: Span) -> Interval {
    Interval::new(span.start(), span.last()).expect("a span is never inverted")
}

fn span(interval: Interval) -> Span {
    Span::between(interval.start(), interval.last())
}
