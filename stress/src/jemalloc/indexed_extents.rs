//! Extents in the index: the contender that all this is about, through its three ways of reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use notifier_index::{
    Event, Guard, Hit, Interval, Invalidating, Invalidation, Notifier, NotifierIndex, Ops, Reader, Reason,
    Registration, Snapshot, View, WouldBlock,
};

use crate::jemalloc::extent_index::{Answer, Cover, EXTENTS, ExtentFinder, ExtentIndex, Fill, Leftover, Way};
use crate::jemalloc::mirror_fill;
use crate::jemalloc::page_mirror::PageMirror;
use crate::span::{Found, NotifierId, Span};

/// How often the index may be asked to tidy up before what it still keeps counts as left over.
const MOST_MAINTAINS: usize = 256;

/// What is registered for an extent. A payload that is looked at after it was dropped shows a name that nobody has.
#[derive(Debug)]
pub(crate) struct Extent {
    id: AtomicU64,
    alive: Arc<AtomicU64>,
    mirror: Arc<PageMirror>,
}

impl Extent {
    fn new(id: NotifierId, alive: &Arc<AtomicU64>, mirror: &Arc<PageMirror>) -> Self {
        // Relaxed here and below: a count that is compared when nobody changes it.
        alive.fetch_add(1, Ordering::Relaxed);
        Extent { id: AtomicU64::new(id), alive: Arc::clone(alive), mirror: Arc::clone(mirror) }
    }
}

impl Notifier for Extent {
    /// Runs inside hooks, with jemalloc's locks held: a lock of the mirror is all that it takes.
    fn invalidate(&self, invalidating: &Invalidating<'_>) -> Result<(), WouldBlock> {
        if let Some(shared) = common(invalidating.interval(), invalidating.bounds()) {
            self.mirror.forget(span(shared));
        }
        Ok(())
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
    mirror: Arc<PageMirror>,
}

impl Default for IndexedExtents {
    fn default() -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        IndexedExtents { index, ops, alive: Arc::default(), mirror: Arc::default() }
    }
}

impl ExtentIndex for IndexedExtents {
    type Handle = Registration<Extent>;
    type Finder<'i> = IndexFinder<'i>;
    type Section<'i> = Invalidation<'i>;
    const NAME: &'static str = "index";
    const WAYS: &'static [Way] = &[Way::Reader, Way::Guard, Way::Snapshot];
    const KEEPS_VERSIONS: bool = true;
    const HAS_MIRROR: bool = true;

    fn insert(&self, span: Span, id: NotifierId) -> Option<u64> {
        let registration = self.index.insert(&self.ops, interval(span), self.extent(id)).ok()?;
        let version = registration.version();
        registration.detach();
        Some(version)
    }

    /// jemalloc names an extent by its range: the index itself is the map from there to the handle.
    fn claim(&self, span: Span) -> Option<(Registration<Extent>, NotifierId)> {
        let guard = self.index.pin();
        let hit = guard.find_all(&self.ops, span.start()).find(|hit| hit.interval() == interval(span))?;
        let registration = hit.claim()?;
        Some((registration, hit.payload().id.load(Ordering::Relaxed)))
    }

    fn release(&self, handle: Registration<Extent>) {
        handle.detach();
    }

    fn remove(&self, handle: Registration<Extent>) -> Result<u64, Registration<Extent>> {
        // R6: torn down and published under the mirror's lock. Deferred, and nobody waits for callbacks that may run:
        // a hook waits for nobody, and the payload that they look at lives as long as they do.
        let _locked = self.mirror.forget_locked(span(handle.interval()));
        let removal = handle.remove_deferred().map_err(|refused| refused.value)?;
        Ok(removal.version())
    }

    fn split(
        &self,
        handle: Registration<Extent>,
        left: Span,
        (right, right_id): (Span, NotifierId),
    ) -> Result<u64, Registration<Extent>> {
        match self.split_in_batch(&handle, left, right, right_id) {
            Some((made, version)) => {
                made.detach();
                handle.detach();
                Ok(version)
            }
            None => Err(handle),
        }
    }

    fn merge(&self, [handle, gone]: [Registration<Extent>; 2], whole: Span) -> Result<u64, [Registration<Extent>; 2]> {
        match self.merge_in_batch(&handle, &gone, whole) {
            Some(version) => {
                handle.detach();
                Ok(version)
            }
            None => Err([handle, gone]),
        }
    }

    fn begin_section(&self, span: Span, reason: Reason) -> Invalidation<'_> {
        self.index.invalidate(interval(span), Event::new(reason))
    }

    fn mirror(&self) -> Option<&PageMirror> {
        Some(&self.mirror)
    }

    fn wait_count(&self) -> u64 {
        self.index.stats().read_begin_waits
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
    fn extent(&self, id: NotifierId) -> Extent {
        Extent::new(id, &self.alive, &self.mirror)
    }

    fn split_in_batch(
        &self,
        handle: &Registration<Extent>,
        left: Span,
        right: Span,
        right_id: NotifierId,
    ) -> Option<(Registration<Extent>, u64)> {
        // R5: what is cut off is torn down under the lock, and nobody looks before the generation has been raised.
        let _locked = self.mirror.forget_locked(right);
        let mut batch = self.index.batch();
        batch.update(handle, interval(left)).ok()?;
        let key = batch.insert(&self.ops, interval(right), self.extent(right_id)).ok()?;
        let mut committed = batch.commit().ok()?;
        let version = committed.version();
        Some((committed.take(key)?, version))
    }

    fn merge_in_batch(&self, handle: &Registration<Extent>, gone: &Registration<Extent>, whole: Span) -> Option<u64> {
        // R6 for the one that goes; R4 is kept, because the other one grows by the same publication.
        let _locked = self.mirror.forget_locked(span(gone.interval()));
        let mut batch = self.index.batch();
        batch.update(handle, interval(whole)).ok()?;
        batch.remove(gone).ok()?;
        batch.commit().ok().map(|committed| committed.version())
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
            cover.gap = Some(view.gap_at(ops, inside).map(span));
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

    fn fill(&mut self, way: Way, range: Span, linger: impl FnOnce()) -> Fill {
        let (index, ops, mirror) = (&self.index.index, &self.index.ops, &*self.index.mirror);
        let point = Interval::point(range.start());
        match way {
            // Through the hit, while the reader keeps its version.
            Way::Reader => match self.reader.view().find(ops, point) {
                Some(hit) => mirror_fill::through_hit(mirror, hit, interval(range), linger),
                None => Fill::Nowhere,
            },
            // Through a counted handle, so that nobody waits with a pin.
            Way::Guard | Way::Snapshot | Way::Locked => {
                let held = index.pin().find(ops, point).map(|hit| hit.hold());
                held.map_or(Fill::Nowhere, |held| mirror_fill::through_held(mirror, &held, interval(range), linger))
            }
        }
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
    let hit = view.find(ops, Interval::point(address));
    Answer { version: view.version(), found: hit.map(|hit| found(&hit)) }
}

fn all<'v>(view: &View<'v>, ops: &Ops<Extent>, range: Span) -> impl Iterator<Item = Found> + use<'v> {
    view.find_all(ops, interval(range)).map(|hit| found(&hit))
}

fn found(hit: &Hit<'_, Extent>) -> Found {
    // Relaxed: it is written only when the payload is dropped, which no reader may live to see.
    Found { owner: EXTENTS, id: hit.payload().id.load(Ordering::Relaxed), span: span(hit.interval()) }
}

fn interval(span: Span) -> Interval {
    Interval::new(span.start(), span.last()).expect("a span is never inverted")
}

/// What the two have in common.
pub(crate) fn common(one: Interval, other: Interval) -> Option<Interval> {
    Interval::new(one.start().max(other.start()), one.last().min(other.last())).ok()
}

pub(crate) fn span(interval: Interval) -> Span {
    Span::between(interval.start(), interval.last())
}
