//! The index: what its users hold.

use std::fmt;

use crate::batch::{self, Batch};
use crate::carve::{Carved, Carving};
use crate::clear;
use crate::config::Config;
use crate::draft::Draft;
use crate::dump::Dump;
use crate::engine::{Engine, Limit, Step};
use crate::error::{BatchError, CloseError, InsertError, Refusal, Refused, RemoveError, TryInvalidateError, WaitError};
use crate::guard::Guard;
use crate::hit::Hit;
use crate::interval::Interval;
use crate::invalidation::Invalidation;
use crate::many::Many;
use crate::notifier::{Event, Invalidating, Notifier, Reason};
use crate::ops::Ops;
use crate::reader::Reader;
use crate::record::{Kind, NewRecord};
use crate::registration::{Held, RawRegistration, Registration, remove_orphans};
use crate::returned::Returned;
use crate::shared::SharedEngine;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::view::View;

/// A lock-free index of notifiers on address intervals.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let extents = index.register_passive_ops::<&str>();
/// let extent = index.insert(&extents, Interval::new(0x1000, 0x4fff)?, "heap").unwrap();
///
/// let guard = index.pin();
/// let hit = guard.find(&extents, 0x2345).unwrap();
/// assert_eq!((hit.start(), *hit.payload()), (0x1000, "heap"));
///
/// extent.remove().unwrap();
/// assert!(guard.find(&extents, 0x2345).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
/// It is a handle, as an `Arc` is: a clone is the same index, and the last one to go takes the index with it.
///
/// ```
/// use notifier_index::NotifierIndex;
///
/// let index = NotifierIndex::new();
/// let same = index.clone();
/// let ops = same.register_passive_ops::<&str>();
/// let _registration = index.insert(&ops, 7, "seven").unwrap();
/// assert_eq!(same.len(), 1);
/// ```
#[derive(Clone)]
pub struct NotifierIndex {
    engine: SharedEngine,
}

/// What [`find_or_insert_with`](NotifierIndex::find_or_insert_with) came to.
#[must_use = "what was inserted is removed when this is dropped"]
#[derive(Debug)]
pub enum FoundOrInserted<N: Send + Sync + 'static> {
    /// An overlapping notifier was there.
    Found(Held<N>),
    /// None was, and the new one is.
    Inserted(Registration<N>),
}

impl NotifierIndex {
    /// An empty index with the default configuration.
    ///
    /// # Panics
    /// Never; where even the first 8 KiB are not to be had, the process ends as for any allocation of std.
    pub fn new() -> Self {
        Self::with_config(Config::new())
    }

    /// An empty index.
    pub fn with_config(config: Config) -> Self {
        match Engine::new(&config) {
            Ok(engine) => NotifierIndex { engine: SharedEngine::new(engine) },
            Err(_) => std::alloc::handle_alloc_error(std::alloc::Layout::new::<Engine>()),
        }
    }

    pub(crate) fn engine(&self) -> &SharedEngine {
        &self.engine
    }

    /// Registers an owner of notifiers that are told of changes: see [`Notifier`].
    ///
    /// A payload that is to be told must say how, so that none is registered deaf by mistake; for those that are only
    /// looked up there is [`register_passive_ops`](Self::register_passive_ops).
    ///
    /// ```compile_fail,E0277
    /// struct Mirror;
    /// let index = notifier_index::NotifierIndex::new();
    /// let mirrors = index.register_ops::<Mirror>();
    /// ```
    /// ```
    /// struct Mirror;
    /// impl notifier_index::Notifier for Mirror {
    ///     fn invalidate(&self, _: &notifier_index::Invalidating<'_>) -> Result<(), notifier_index::WouldBlock> {
    ///         Ok(())
    ///     }
    /// }
    /// let index = notifier_index::NotifierIndex::new();
    /// let mirrors = index.register_ops::<Mirror>();
    /// ```
    ///
    /// Complexity: O(1). An owner is a number and takes no memory until it has notifiers; numbers are not reused.
    pub fn register_ops<N: Notifier>(&self) -> Ops<N> {
        self.engine.sections.make_room();
        Ops::new(self.engine.id, self.engine.next_owner(), Kind::notified::<N>())
    }

    /// Registers an owner of notifiers that are looked up, and never told of anything: extents, maps of code.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let extents = index.register_passive_ops::<&str>();
    /// let _heap = index.insert(&extents, Interval::new(0x1000, 0x4fff)?, "heap").unwrap();
    /// assert!(index.pin().find(&extents, 0x2345).is_some());
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    ///
    /// Complexity: as for [`register_ops`](Self::register_ops).
    pub fn register_passive_ops<N: Send + Sync + 'static>(&self) -> Ops<N> {
        Ops::new(self.engine.id, self.engine.next_owner(), Kind::passive::<N>())
    }

    /// Begins a section: tells every overlapping notifier that the range is about to change, in two passes.
    ///
    /// Consistency: when it returns, nothing that was mirrored from the old source survives in the range, and none
    /// appears until the section is dropped. Each notifier that is registered when the section looks is told once.
    ///
    /// Complexity: O(log n + k) for k overlapping notifiers of an owner.
    ///
    /// Blocking: as long as the callbacks take; no lock and no pin is held while they run.
    ///
    /// In a child of `fork`, on an index that it inherited, nobody is told: there is no one to answer for the mirrors.
    ///
    /// # Panics
    /// Where a callback does: the others are told all the same, the section is over, and the panic goes on.
    pub fn invalidate(&self, interval: impl Into<Interval>, event: Event) -> Invalidation<'_> {
        let interval = interval.into();
        match self.engine.begin_section(interval, &event, true) {
            Ok(section) => section,
            // In a child of `fork`: whom it would tell is not there.
            Err(_) => Invalidation::of_nobody(&self.engine, interval),
        }
    }

    /// As [`invalidate`](Self::invalidate), without waiting for anything: the first refusal stops it.
    ///
    /// Blocking: never, if the notifiers keep their promise; allocates nothing, ever, unless more sections than the table has room
    /// for are active at once.
    ///
    /// # Errors
    /// [`TryInvalidateError`]; the section is over.
    ///
    /// # Panics
    /// As [`invalidate`](Self::invalidate).
    pub fn try_invalidate(
        &self,
        interval: impl Into<Interval>,
        event: Event,
    ) -> Result<Invalidation<'_>, TryInvalidateError> {
        self.engine.begin_section(interval.into(), &event, false)
    }

    /// Waits until the callbacks that run now have returned, so that no callback of a notifier that was removed before
    /// runs any more, and frees what can be freed.
    ///
    /// The order for an owner who takes many down at once: under his lock tear down and
    /// [`remove_deferred`](crate::Registration::remove_deferred) each, unlock, then one barrier for all. Never under a
    /// lock that callbacks or destructors of payloads take: it waits for the ones, and runs the others.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    /// use std::sync::Mutex;
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<()>();
    /// let mirror = Mutex::new(vec!["entry"; 100]);
    /// let registrations: Vec<_> =
    ///     (0..100).map(|at| index.insert(&ops, Interval::point(at), ()).unwrap()).collect();
    ///
    /// let mut locked = mirror.lock().unwrap();
    /// locked.clear();
    /// for registration in registrations {
    ///     registration.remove_deferred().unwrap();
    /// }
    /// drop(locked);
    /// index.barrier()?;
    /// // What the callbacks used can go now.
    /// drop(mirror);
    /// # Ok::<(), notifier_index::WaitError>(())
    /// ```
    ///
    /// Blocking: as long as the callbacks take that run when it looks; not for the end of sections, nor for callbacks of
    /// sections that look at the tree later.
    ///
    /// # Errors
    /// [`WaitError::WouldDeadlock`] inside a callback; [`WaitError::Forked`].
    ///
    /// # Panics
    /// Where a payload's destructor does; the others are dropped all the same.
    pub fn barrier(&self) -> Result<(), WaitError> {
        self.engine.wait_for_walks()?;
        self.maintain();
        Ok(())
    }

    /// What every change that may run foreign code does first.
    fn before_change(&self, size: usize) {
        self.engine.release_before(size);
        remove_orphans(&self.engine);
    }

    /// Registers a notifier.
    ///
    /// Consistency: a look-up that starts after the return finds it.
    ///
    /// Complexity: O(log n) copied nodes. Drops some payloads of notifiers removed earlier.
    ///
    /// Blocking: never; lock-free.
    ///
    /// # Errors
    /// [`Refused`] with the payload; nothing was changed.
    pub fn insert<N: Send + Sync + 'static>(
        &self,
        ops: &Ops<N>,
        interval: impl Into<Interval>,
        payload: N,
    ) -> Result<Registration<N>, Refused<InsertError, N>> {
        let interval = interval.into();
        let Some(owner) = ops.owner_in(self.engine.id) else {
            return Err(Refused::new(InsertError::ForeignOps, payload));
        };
        self.before_change(1);
        let record = NewRecord::allocate(owner, ops.kind(), payload)
            .map_err(|payload| Refused::new(InsertError::OutOfMemory, payload))?;
        let edit = |draft: &mut Draft<'_>| {
            batch::insert(draft, interval, record.as_header())?;
            Ok(Step::Publish(()))
        };
        match self.engine.change(Limit::Heeded, edit, |()| ()) {
            Ok(changed) => Ok(self.registration(record, changed.version, interval)),
            Err(refusal) => Err(Refused::new(refusal, record.into_payload())),
        }
    }

    fn registration<N: Send + Sync + 'static>(
        &self,
        record: NewRecord<N>,
        version: u64,
        interval: Interval,
    ) -> Registration<N> {
        // SAFETY: [H1] just published, and this is its one registration; [H3] a record of `N`.
        unsafe {
            let raw = RawRegistration::new(record.into_erased(), self.engine.clone());
            Registration::from_raw(raw, version, interval)
        }
    }

    /// Registers many notifiers of one owner as one version, in any order.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<u64>();
    /// let pages = index.insert_many(&ops, (0..100).map(|page| (Interval::point(page << 12), page)))?;
    /// assert_eq!((pages.len(), index.version()), (100, 1));
    /// # Ok::<(), notifier_index::InsertError>(())
    /// ```
    ///
    /// The iterator is read to its end before anything is changed, and may use the index itself; of no items no version is
    /// made.
    ///
    /// Complexity: O(k log k) for k items if the owner has none yet, with full nodes; O(k log n) otherwise.
    ///
    /// Blocking: never, but for what the iterator does; lock-free.
    ///
    /// # Errors
    /// [`Refused`] with all items in their order; nothing was changed.
    #[expect(clippy::type_complexity, reason = "one shape for all refusals, and an alias would hide it")]
    pub fn insert_many<N: Send + Sync + 'static, I: IntoIterator<Item = (Interval, N)>>(
        &self,
        ops: &Ops<N>,
        items: I,
    ) -> Result<Vec<Registration<N>>, Refused<InsertError, Returned<I::IntoIter>>> {
        let items = Returned::gather(items).map_err(|returned| Refused::new(InsertError::OutOfMemory, returned))?;
        let refused = |reason, items| Refused::new(reason, Returned::all(items));
        let Some(owner) = ops.owner_in(self.engine.id) else {
            return Err(refused(InsertError::ForeignOps, items));
        };
        self.before_change(items.len());
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let many =
            Many::allocate(owner, ops.kind(), items).map_err(|items| refused(InsertError::OutOfMemory, items))?;
        let edit = |draft: &mut Draft<'_>| match draft.tree(owner).len() {
            0 => build(draft, owner, &many),
            _ => many.given().try_for_each(|(interval, record)| batch::insert(draft, interval, record)),
        };
        match self.engine.change(Limit::Heeded, |draft| edit(draft).map(Step::Publish), |()| ()) {
            Ok(changed) => {
                Ok(many.into_registrations(|record, interval| self.registration(record, changed.version, interval)))
            }
            Err(refusal) => Err(refused(refusal.into(), many.into_items())),
        }
    }

    /// Finds the overlapping notifier with the lowest start, or registers a new one, in one atomic step.
    ///
    /// ```
    /// use notifier_index::{FoundOrInserted, Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<u32>();
    /// let window = Interval::new(0, 9).unwrap();
    /// let FoundOrInserted::Inserted(_first) = index.find_or_insert_with(&ops, window, || 1).unwrap() else { panic!() };
    /// let FoundOrInserted::Found(found) = index.find_or_insert_with(&ops, window, || 2).unwrap() else { panic!() };
    /// assert_eq!(*found, 1);
    /// ```
    ///
    /// Consistency: of several at once over one window exactly one inserts. `make` is called at most once, under no
    /// lock; where another thread was first after all, what it made is dropped.
    ///
    /// # Errors
    /// [`Refused`] with what `make` made, if it was called; nothing was changed.
    pub fn find_or_insert_with<N: Send + Sync + 'static>(
        &self,
        ops: &Ops<N>,
        interval: impl Into<Interval>,
        make: impl FnOnce() -> N,
    ) -> Result<FoundOrInserted<N>, Refused<InsertError, Option<N>>> {
        let interval = interval.into();
        let Some(owner) = ops.owner_in(self.engine.id) else {
            return Err(Refused::new(InsertError::ForeignOps, None));
        };
        if let Some(hit) = self.pin().find(ops, interval) {
            return Ok(FoundOrInserted::Found(hit.hold()));
        }
        self.before_change(1);
        let record = NewRecord::allocate(owner, ops.kind(), make())
            .map_err(|made| Refused::new(InsertError::OutOfMemory, Some(made)))?;
        let edit = |draft: &mut Draft<'_>| {
            let version = View::new(draft.version());
            if let Some(hit) = version.find(ops, interval) {
                return Ok(Step::Keep(Some(Held::of_hit(&hit, &self.engine))));
            }
            batch::insert(draft, interval, record.as_header())?;
            Ok(Step::Publish(None))
        };
        match self.engine.change(Limit::Heeded, edit, |_| ()) {
            Ok(changed) => Ok(match changed.result {
                Some(held) => FoundOrInserted::Found(held),
                None => FoundOrInserted::Inserted(self.registration(record, changed.version, interval)),
            }),
            Err(refusal) => Err(Refused::new(refusal, Some(record.into_payload()))),
        }
    }

    /// Removes many notifiers of one payload's type as one version, and tells which; callbacks of theirs may still run, until a
    /// [`barrier`](Self::barrier).
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<u64>();
    /// let all = index.insert_many(&ops, (0..100).map(|at| (Interval::point(at), at)))?;
    /// assert_eq!(index.remove_many(all).unwrap(), 2);
    /// assert!(index.is_empty());
    /// # Ok::<(), notifier_index::InsertError>(())
    /// ```
    ///
    /// Where all had been removed before, nothing is changed, and no version made.
    ///
    /// Complexity: O(k log n) for k registrations.
    ///
    /// Blocking: never, but for what the iterator does; lock-free.
    ///
    /// # Errors
    /// [`Refused`] with all registrations in their order, which stand as before: no memory, or one belongs to another index.
    pub fn remove_many<N: Send + Sync + 'static, I: IntoIterator<Item = Registration<N>>>(
        &self,
        registrations: I,
    ) -> Result<u64, Refused<RemoveError, Returned<I::IntoIter>>> {
        let registrations =
            Returned::gather(registrations).map_err(|returned| Refused::new(RemoveError::OutOfMemory, returned))?;
        let mut batch = self.batch();
        let added = registrations.iter().try_for_each(|registration| batch.remove(registration));
        let committed = added.and_then(|()| Ok(batch.commit()?));
        match committed {
            Ok(committed) => Ok(committed.version()),
            Err(reason) => Err(Refused::new(RemoveError::of_batch(reason), Returned::all(registrations))),
        }
    }

    /// Removes every notifier of this owner as one version; how many there were.
    ///
    /// Their handles are inert afterwards; callbacks of theirs may still run, until a [`barrier`](Self::barrier). Where there
    /// are none, nothing is changed.
    ///
    /// ```
    /// use notifier_index::NotifierIndex;
    ///
    /// let index = NotifierIndex::new();
    /// let (ours, theirs) = (index.register_passive_ops::<&str>(), index.register_passive_ops::<&str>());
    /// let (one, _other) = (index.insert(&ours, 1, "ours").unwrap(), index.insert(&theirs, 1, "theirs").unwrap());
    /// assert_eq!(index.clear(&ours), Ok(1));
    /// assert!(!one.is_live() && index.len() == 1);
    /// ```
    ///
    /// Complexity: O(k log k) for the k notifiers of this owner.
    ///
    /// Blocking: never; lock-free.
    ///
    /// # Errors
    /// [`BatchError`]: no memory, or the owner belongs to another index; nothing was changed.
    pub fn clear<N>(&self, ops: &Ops<N>) -> Result<usize, BatchError> {
        let owner = ops.owner_in(self.engine.id).ok_or(BatchError::ForeignOps)?;
        self.before_change(self.engine.with_current(|version| version.tree(owner).len()) as usize);
        Ok(clear::clear(&self.engine, owner)?)
    }

    /// Takes a range away from this owner as one version, as an `munmap` does: what lies inside is removed, what reaches in is
    /// cut, and what encloses the range is split. `make_right` names the payload of a split's right half.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let maps = index.register_passive_ops::<&str>();
    /// let low = index.insert(&maps, Interval::new(0x1000, 0x3fff)?, "low").unwrap();
    /// let high = index.insert(&maps, Interval::new(0x4000, 0x9fff)?, "high").unwrap();
    ///
    /// // Nothing encloses this range.
    /// let carved = index.carve(&maps, Interval::new(0x3000, 0x4fff)?, |_| unreachable!()).unwrap();
    /// assert_eq!((carved.removed, carved.cut), (0, 2));
    /// assert_eq!((low.interval().last(), high.interval().start()), (0x2fff, 0x5000));
    ///
    /// // One does this: it keeps its left half, and the right half is a notifier of its own.
    /// let mut carved = index.carve(&maps, Interval::new(0x6000, 0x7fff)?, |whole| *whole.payload()).unwrap();
    /// let above = carved.right_halves.pop().unwrap();
    /// assert_eq!((high.interval(), above.interval()), (Interval::new(0x5000, 0x5fff)?, Interval::new(0x8000, 0x9fff)?));
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    ///
    /// Those who were removed have inert handles afterwards, and callbacks of theirs may still run, until a
    /// [`barrier`](Self::barrier). Right halves have handles of their own, also those of notifiers that were
    /// [detached](crate::Registration::detach). Where nothing is touched, nothing is changed and no version made.
    ///
    /// The order for an owner with a mirror is that of its parts (R5, R6): under the lock that his callbacks take, tear down what
    /// mirrors the range, carve, unlock; then, if something was removed whose callbacks may still run, the barrier.
    ///
    /// Consistency: atomic; a look-up sees the range as it was, or free. `make_right` sees the bounds that are split; where
    /// another thread changes these before the carve takes effect, it is called again, and the first payload is dropped.
    ///
    /// Complexity: O(k log n) for k notifiers that overlap.
    ///
    /// Blocking: never, but for what `make_right` does, which runs under no lock and no pin; lock-free.
    ///
    /// # Errors
    /// [`Refused`] with the payloads that were made; nothing was changed: no memory, the owner belongs to another index, or
    /// there is something to split while the index is closed or beyond its retired limit.
    ///
    /// # Panics
    /// Where `make_right` does; nothing was changed.
    pub fn carve<N: Send + Sync + 'static>(
        &self,
        ops: &Ops<N>,
        interval: impl Into<Interval>,
        make_right: impl FnMut(Hit<'_, N>) -> N,
    ) -> Result<Carved<N>, Refused<BatchError, Vec<N>>> {
        let Some(owner) = ops.owner_in(self.engine.id) else {
            return Err(Refused::new(BatchError::ForeignOps, Vec::new()));
        };
        self.before_change(1);
        Carving::new(&self.engine, ops, interval.into(), make_right).run(owner)
    }

    /// Begins a batch of changes.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Pins the calling thread for some look-ups.
    ///
    /// Complexity: O(1), some nanoseconds; one call in many does a bounded piece of the collector's work.
    #[inline]
    pub fn pin(&self) -> Guard<'_> {
        Guard::new(self)
    }

    /// A handle for many look-ups on one thread.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.engine)
    }

    /// The current version, kept for as long as the handle is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.engine.clone())
    }

    /// The number of the current version. It rises by one with each publication.
    ///
    /// Consistency: linearizable with all look-ups.
    pub fn version(&self) -> u64 {
        self.engine.with_current(|version| version.seq)
    }

    /// The number of notifiers of all owners.
    pub fn len(&self) -> usize {
        self.engine.with_current(|version| version.len as usize)
    }

    /// Whether no owner has a notifier.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frees all that can be freed now, drops the payloads that nobody can reach, and gives unused memory back to the
    /// allocator.
    ///
    /// Runs destructors of payloads, so not under a lock that one of them takes: unlock first. A thread that only updates
    /// and removes with `remove_deferred`, which run none, calls this where it holds no lock.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    /// use std::sync::{Arc, Mutex};
    ///
    /// struct Logged(Arc<Mutex<Vec<&'static str>>>);
    /// impl Drop for Logged {
    ///     fn drop(&mut self) {
    ///         self.0.lock().unwrap().push("dropped");
    ///     }
    /// }
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<Logged>();
    /// let log = Arc::default();
    /// let registration = index.insert(&ops, Interval::point(7), Logged(Arc::clone(&log))).unwrap();
    ///
    /// let mut locked = log.lock().unwrap();
    /// registration.remove_deferred().unwrap(); // Drops nothing.
    /// locked.push("removed");
    /// drop(locked);
    /// index.maintain();
    /// assert_eq!(*log.lock().unwrap(), ["removed", "dropped"]);
    /// ```
    ///
    /// Blocking: never; what a pinned guard or an owned version still needs, stays. In a child of `fork` it does nothing to an
    /// index that was inherited.
    ///
    /// # Panics
    /// Where a payload's destructor does; the others are dropped all the same.
    pub fn maintain(&self) {
        remove_orphans(&self.engine);
        self.engine.maintain();
    }

    /// Closes the index to new notifiers and fillers, and tells all notifiers, once, with [`Reason::Release`]. What is
    /// registered stays, and can be found and removed. The version that shows it closed first.
    ///
    /// The order for an owner with mirrors: close, without his lock, because the callbacks take it to tear down; then
    /// what he registered can go in any order. A filler that had begun finds its ticket stale, under that lock.
    ///
    /// ```
    /// use notifier_index::{
    ///     BeginError, InsertError, Interval, Invalidating, Notifier, NotifierIndex, Reason, WouldBlock,
    /// };
    /// use std::sync::Mutex;
    ///
    /// struct Mirror(Mutex<Option<&'static str>>);
    /// impl Notifier for Mirror {
    ///     fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
    ///         assert_eq!(told.reason(), Reason::Release);
    ///         *self.0.lock().unwrap() = None;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_ops();
    /// let everywhere = Interval::FULL;
    /// let mirror = index.insert(&ops, everywhere, Mirror(Mutex::new(Some("entry")))).unwrap();
    /// let ticket = mirror.read_begin(everywhere)?;
    /// index.close()?;
    /// let locked = mirror.payload().0.lock().unwrap();
    /// assert!(locked.is_none() && mirror.read_retry(ticket));
    /// drop(locked);
    /// assert_eq!(mirror.read_begin(everywhere).unwrap_err(), BeginError::Closed);
    /// let refused = index.insert(&ops, everywhere, Mirror(Mutex::default())).unwrap_err();
    /// assert_eq!(refused.reason, InsertError::Closed);
    /// mirror.remove().unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Blocking: as long as the callbacks take. Of two calls only the first tells; the other may return before it.
    ///
    /// # Errors
    /// [`CloseError`]; the index is as before.
    ///
    /// # Panics
    /// As [`invalidate`](Self::invalidate).
    pub fn close(&self) -> Result<u64, CloseError> {
        let edit = |draft: &mut Draft<'_>| {
            if draft.is_closed() {
                return Ok(Step::Keep(false));
            }
            draft.close();
            Ok(Step::Publish(true))
        };
        let changed = self.engine.change(Limit::Exceeded, edit, |_| ()).map_err(|refusal| match refusal {
            Refusal::Forked => CloseError::Forked,
            _ => CloseError::OutOfMemory,
        })?;
        if changed.result {
            drop(self.invalidate(Interval::FULL, Event::new(Reason::Release)));
        }
        Ok(changed.version)
    }

    /// Counters of the index as it is now.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.engine)
    }

    /// From now on so many bytes may be retired and not yet freed: see [`Config::retired_limit`].
    ///
    /// Blocking: never.
    pub fn set_retired_limit(&self, bytes: u64) {
        self.engine.settings.set_retired_limit(bytes);
    }

    /// From now on `hook` is called where a notifier refuses in a section that may block, instead of the one before: see
    /// [`Config::refusal_hook`].
    ///
    /// Blocking: never; a call of the hook before may still run.
    pub fn set_refusal_hook(&self, hook: impl Fn(&Invalidating<'_>) + Send + Sync + 'static) {
        self.engine.settings.set_refusal_hook(Some(std::sync::Arc::new(hook)));
    }

    /// Gives an owner a name, by which a [`dump`](Self::dump) tells his notifiers.
    ///
    /// ```
    /// # use notifier_index::{BatchError, NotifierIndex};
    /// let index = NotifierIndex::new();
    /// let heaps = index.register_passive_ops::<u32>();
    /// index.name_owner(&heaps, "heaps")?;
    /// let _registration = index.insert(&heaps, 7, 1).unwrap();
    /// assert!(index.dump().to_string().contains("heaps"));
    /// # Ok::<(), BatchError>(())
    /// ```
    ///
    /// # Errors
    /// [`BatchError::ForeignOps`].
    pub fn name_owner<N>(&self, ops: &Ops<N>, name: &str) -> Result<(), BatchError> {
        let owner = ops.owner_in(self.engine.id).ok_or(BatchError::ForeignOps)?;
        self.engine.settings.name_owner(owner, name);
        Ok(())
    }

    /// A listing of all notifiers, in the manner of a maps file: one a line, addresses in hexadecimal.
    ///
    /// ```
    /// # use notifier_index::{Interval, NotifierIndex};
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<u32>();
    /// let _registration = index.insert(&ops, Interval::new(0x1000, 0x1fff).unwrap(), 1).unwrap();
    /// assert!(index.dump().to_string().contains("0000000000001000-0000000000001fff 0 u32"));
    /// ```
    pub fn dump(&self) -> Dump {
        Dump::new(self.snapshot())
    }
}

fn build<N: Send + Sync + 'static>(draft: &mut Draft<'_>, owner: u64, many: &Many<N>) -> Result<(), Refusal> {
    if draft.is_closed() {
        return Err(Refusal::Closed);
    }
    draft.reserve_build(owner, many.sorted.len())?;
    // SAFETY: [N3] not published yet, so private to the caller, who waits for this change.
    unsafe { draft.build(owner, many.given(), &many.sorted) };
    Ok(())
}

impl Default for NotifierIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NotifierIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, len) = self.engine.with_current(|version| (version.seq, version.len));
        write!(f, "NotifierIndex(version {version}, {len} notifiers)")
    }
}
