//! Several changes as one version.

use std::cell::{Cell, RefCell};
use std::collections::TryReserveError;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::NotifierIndex;
use crate::busted::{self, Sabotage};
use crate::draft::Draft;
use crate::engine::{Limit, Step};
use crate::error::{BatchError, InsertError, Refusal, Refused};
use crate::identity::Identities;
use crate::interval::Interval;
use crate::ops::Ops;
use crate::record::{self, Header, NewRecord};
use crate::registration::{Located, Locator, RawRegistration, Registration, remove_orphans};
use crate::shared::SharedEngine;

/// Numbers the batches of a process, so that a key knows its own. Never reused.
static BATCHES: Identities = Identities::new();

/// Numbers that a thread takes at once: so few of its batches write what others write too.
const NUMBERS_AT_ONCE: u64 = 256;

std::thread_local! {
    /// The next of a thread's numbers, and how many are left.
    static NUMBERS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn next_number() -> u64 {
    let own = NUMBERS.try_with(|numbers| {
        let (next, left) = match numbers.get() {
            (_, 0) => (BATCHES.next_of(NUMBERS_AT_ONCE), NUMBERS_AT_ONCE),
            some => some,
        };
        numbers.set((next + 1, left - 1));
        next
    });
    // While thread-locals are destroyed.
    own.unwrap_or_else(|_| BATCHES.next())
}

/// Several inserts, updates and removals that take effect together, or not at all.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let whole = index.insert(&ops, Interval::new(0, 99)?, "left").unwrap();
///
/// // A split: no reader ever sees a hole or a double cover.
/// let mut batch = index.batch();
/// batch.update(&whole, Interval::new(0, 49)?)?;
/// let key = batch.insert(&ops, Interval::new(50, 99)?, "right").unwrap();
/// let mut committed = batch.commit().unwrap();
/// let right = committed.take(key).unwrap();
/// assert_eq!((whole.interval().last(), right.interval().start()), (49, 50));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The order for an owner with a mirror is that of its parts (R5, R6): under the lock that his callbacks take, tear down
/// what mirrors the addresses that are given up, [`commit`](Batch::commit), unlock; then, if something was removed whose
/// callbacks may still run, [`barrier`](crate::NotifierIndex::barrier). A commit may drop payloads that were removed
/// earlier, so their destructors must not take that lock.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
/// use std::{collections::BTreeMap, sync::Mutex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let kept = index.insert(&ops, Interval::new(0, 99)?, "shrinks").unwrap();
/// let gone = index.insert(&ops, Interval::new(100, 199)?, "goes").unwrap();
/// let mirror = Mutex::new(BTreeMap::from([(10, 'a'), (60, 'b'), (150, 'c')]));
///
/// let mut locked = mirror.lock().unwrap();
/// locked.retain(|&address, _| address < 50);
/// let mut batch = index.batch();
/// batch.update(&kept, Interval::new(0, 49)?)?;
/// batch.remove(&gone).unwrap();
/// let _committed = batch.commit().unwrap();
/// drop(locked);
/// index.barrier()?; // No callback of what was removed runs any more.
/// assert_eq!((index.len(), mirror.into_inner().unwrap().len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Changes apply in the order in which they were given. What a batch names is touched by the commit only: one that was
/// refused or dropped leaves every registration as it was. Payloads that were moved into it are dropped with it.
///
/// A batch cannot outlive its index, nor a registration that it names:
///
/// ```compile_fail,E0505
/// let index = notifier_index::NotifierIndex::new();
/// let batch = index.batch();
/// drop(index);
/// batch.len();
/// ```
/// ```
/// let index = notifier_index::NotifierIndex::new();
/// let batch = index.batch();
/// batch.len();
/// drop(index);
/// ```
#[must_use = "a batch does nothing before it is committed"]
pub struct Batch<'a> {
    id: u64,
    engine: &'a SharedEngine,
    changes: Vec<Change<'a>>,
    /// Room for what the changes insert, so that a commit needs no memory of its own.
    inserted: Vec<Option<(RawRegistration, Interval)>>,
}

enum Change<'a> {
    Insert(Interval, ErasedRecord),
    /// And whether it takes addresses away, known once it has been applied.
    Update(Interval, &'a RawRegistration, bool),
    Remove(&'a RawRegistration),
    /// Taken back after a refusal.
    Withdrawn,
}

impl Change<'_> {
    /// Where this change leaves the record: under a new start, or nowhere; `None` if it does not touch it.
    fn leaves(&self, record: &Header) -> Option<Option<u64>> {
        match self {
            Change::Update(to, registration, _) => {
                std::ptr::eq(registration.header(), record).then(|| Some(to.start()))
            }
            Change::Remove(registration) => std::ptr::eq(registration.header(), record).then_some(None),
            Change::Insert(..) | Change::Withdrawn => None,
        }
    }
}

/// A record that is not published yet, without its payload's type.
struct ErasedRecord(NonNull<Header>);

// SAFETY: payloads are `Send + Sync`, by the bound on `register_passive_ops`, and the record is this handle's alone.
unsafe impl Send for ErasedRecord {}
// SAFETY: as above.
unsafe impl Sync for ErasedRecord {}

impl Drop for ErasedRecord {
    fn drop(&mut self) {
        // SAFETY: [N2] never published, so nobody else has it.
        unsafe { record::release_erased(self.0) };
    }
}

/// Names an insertion of one batch. Consumed where it is used.
#[must_use = "the registration is taken by it, and a notifier without one is removed"]
pub struct InsertKey<N> {
    batch: u64,
    position: usize,
    /// Invariant: it proves the payload's type.
    payload: PhantomData<fn(N) -> N>,
}

impl<N> fmt::Debug for InsertKey<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InsertKey({})", self.position)
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(index: &'a NotifierIndex) -> Self {
        Batch { id: next_number(), engine: index.engine(), changes: Vec::new(), inserted: Vec::new() }
    }

    /// Makes room for one change more, and for its result; the position that it will have.
    fn make_room(&mut self) -> Result<usize, TryReserveError> {
        self.changes.try_reserve(1)?;
        self.inserted.try_reserve(self.changes.len() + 1)?;
        Ok(self.changes.len())
    }

    /// Adds an insertion; the key gets its registration after the commit.
    ///
    /// # Errors
    /// [`Refused`] with the payload: no memory, or an owner of another index.
    pub fn insert<N: Send + Sync + 'static>(
        &mut self,
        ops: &Ops<N>,
        interval: impl Into<Interval>,
        payload: N,
    ) -> Result<InsertKey<N>, Refused<InsertError, N>> {
        let owner = match ops.owner_in(self.engine.id) {
            Some(owner) => owner,
            None => return Err(Refused::new(InsertError::ForeignOps, payload)),
        };
        let Ok(position) = self.make_room() else {
            return Err(Refused::new(InsertError::OutOfMemory, payload));
        };
        let record = NewRecord::allocate(owner, ops.kind(), payload)
            .map_err(|payload| Refused::new(InsertError::OutOfMemory, payload))?;
        self.changes.push(Change::Insert(interval.into(), ErasedRecord(record.into_erased())));
        Ok(InsertKey { batch: self.id, position, payload: PhantomData })
    }

    /// Adds new bounds for a notifier.
    ///
    /// # Errors
    /// [`BatchError`]: no memory, or a registration of another index.
    pub fn update<N: Send + Sync + 'static>(
        &mut self,
        registration: &'a Registration<N>,
        interval: impl Into<Interval>,
    ) -> Result<(), BatchError> {
        if !registration.raw().engine().is_same(self.engine) {
            return Err(BatchError::ForeignRegistration);
        }
        self.make_room().map_err(|_| BatchError::OutOfMemory)?;
        self.changes.push(Change::Update(interval.into(), registration.raw(), false));
        Ok(())
    }

    /// Adds a removal. Nothing happens to the notifier before the commit; after it the registration stands for a notifier
    /// that is no more, and may be dropped.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<&str>();
    /// let left = index.insert(&ops, Interval::new(0, 49)?, "left").unwrap();
    /// let right = index.insert(&ops, Interval::new(50, 99)?, "right").unwrap();
    ///
    /// // A merge: whoever looks finds the two halves, or the whole.
    /// let mut batch = index.batch();
    /// batch.update(&left, Interval::new(0, 99)?)?;
    /// batch.remove(&right)?;
    /// let _committed = batch.commit().unwrap();
    /// assert!(left.is_live() && !right.is_live());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Removing what has been removed already, by this batch or by another call, changes nothing.
    ///
    /// # Errors
    /// [`BatchError`]: no memory, or a registration of another index.
    pub fn remove<N: Send + Sync + 'static>(&mut self, registration: &'a Registration<N>) -> Result<(), BatchError> {
        if !registration.raw().engine().is_same(self.engine) {
            return Err(BatchError::ForeignRegistration);
        }
        self.make_room().map_err(|_| BatchError::OutOfMemory)?;
        self.changes.push(Change::Remove(registration.raw()));
        Ok(())
    }

    /// The number of changes, without those that were taken back.
    pub fn len(&self) -> usize {
        self.changes.iter().filter(|change| !matches!(change, Change::Withdrawn)).count()
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes all the changes, as one version; where there is nothing to change, none is made.
    ///
    /// Consistency: atomic; a look-up sees all of them or none.
    ///
    /// Complexity: O(b log n) for b changes; those close to one another share the upper levels of the tree.
    ///
    /// Blocking: never; lock-free.
    ///
    /// # Errors
    /// [`Refused`] with the batch; nothing was changed.
    pub fn commit(mut self) -> Result<Committed, Refused<BatchError, Self>> {
        self.engine.release_before(self.changes.len());
        remove_orphans(self.engine);
        let grows = self.changes.iter().any(|change| !matches!(change, Change::Remove(..)));
        let limit = if grows { Limit::Heeded } else { Limit::Exceeded };
        let mut locator = Locator::default();
        let changes = RefCell::new(&mut self.changes);
        let edit = |draft: &mut Draft<'_>| apply_all(draft, &mut changes.borrow_mut(), &mut locator);
        match self.engine.change(limit, edit, |()| changes.borrow().iter().for_each(settle)) {
            Ok(changed) => {
                // Also where nothing was changed: who has published a removal may not have marked it yet.
                self.changes.iter().for_each(mark);
                Ok(self.into_committed(changed.version))
            }
            Err(refusal) => Err(Refused::new(refusal, self)),
        }
    }

    fn into_committed(self, version: u64) -> Committed {
        let engine = self.engine;
        let inserted = |change| match change {
            Change::Insert(interval, record) => {
                let record = std::mem::ManuallyDrop::new(record).0;
                // SAFETY: [H1] just published; this is its one registration.
                Some((unsafe { RawRegistration::new(record, engine.clone()) }, interval))
            }
            Change::Remove(_) | Change::Update(..) | Change::Withdrawn => None,
        };
        Committed { batch: self.id, version, inserted: self.changes.into_iter().map(inserted).collect() }
    }

    fn withdraw(&mut self, batch: u64, position: usize) -> Option<Change<'a>> {
        let change = self.changes.get_mut(position).filter(|_| batch == self.id)?;
        Some(std::mem::replace(change, Change::Withdrawn))
    }

    /// Takes an insertion out again, and its payload.
    pub fn take_payload<N: Send + Sync + 'static>(&mut self, key: InsertKey<N>) -> Option<N> {
        match self.withdraw(key.batch, key.position)? {
            Change::Insert(_, record) => {
                let record = std::mem::ManuallyDrop::new(record).0;
                // SAFETY: [H3] the key was made for this record, with its payload's type; never published.
                Some(unsafe { NewRecord::<N>::from_erased(record) }.into_payload())
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} changes)", self.len())
    }
}

fn apply_all(draft: &mut Draft<'_>, changes: &mut [Change<'_>], locator: &mut Locator) -> Result<Step<()>, Refusal> {
    let mut is_changed = false;
    for at in 0..changes.len() {
        let (earlier, rest) = changes.split_at_mut(at);
        let located = match &mut rest[0] {
            Change::Insert(interval, record) => {
                insert(draft, *interval, record.0)?;
                Located::Done(())
            }
            Change::Update(interval, registration, has_lost) => {
                let act = |draft: &mut Draft<'_>, record: &Header, start| draft.update(record, start, *interval);
                let located = relocate(draft, earlier, registration.header(), locator, act)?;
                located.map(|old| *has_lost = !interval.covers(old))
            }
            Change::Remove(registration) => {
                let act = |draft: &mut Draft<'_>, record: &Header, start| draft.remove(record, start);
                relocate(draft, earlier, registration.header(), locator, act)?
            }
            Change::Withdrawn => continue,
        };
        match (located, &rest[0]) {
            (Located::Outrun, _) => return Ok(Step::Again),
            (Located::Absent, Change::Update(..)) => return Err(Refusal::Removed),
            (Located::Absent, _) => {}
            (Located::Done(()), _) => is_changed = true,
        }
    }
    Ok(if is_changed { Step::Publish(()) } else { Step::Keep(()) })
}

/// Inserts a record into a draft of an open index.
pub(crate) fn insert(draft: &mut Draft<'_>, interval: Interval, record: NonNull<Header>) -> Result<(), Refusal> {
    if draft.is_closed() && !busted::is(Sabotage::ClosedInsert) {
        return Err(Refusal::Closed);
    }
    // SAFETY: [N3] not published yet, so private to its owner, who waits for this change.
    unsafe {
        draft.reserve(record.as_ref().owner())?;
        draft.insert(interval, record);
    }
    Ok(())
}

/// Changes a record where it stands: where an earlier change of this batch has put it, or where the base has it.
fn relocate<T>(
    draft: &mut Draft<'_>,
    earlier: &[Change<'_>],
    record: &Header,
    locator: &mut Locator,
    act: impl Fn(&mut Draft<'_>, &Header, u64) -> Option<T>,
) -> Result<Located<T>, Refusal> {
    draft.reserve(record.owner())?;
    if let Some(done) = act(draft, record, record.location()) {
        return Ok(Located::Done(done));
    }
    match earlier.iter().rev().find_map(|change| change.leaves(record)) {
        // Removed by this batch.
        Some(None) => return Ok(Located::Absent),
        Some(Some(start)) => {
            if let Some(done) = act(draft, record, start) {
                return Ok(Located::Done(done));
            }
        }
        None if !record.is_live() => return Ok(Located::Absent),
        None => {}
    }
    Ok(locator.act(draft, record, |draft, start| act(draft, record, start)))
}

fn settle(change: &Change<'_>) {
    if let Change::Update(interval, registration, has_lost) = change {
        registration.header().moved(*interval, *has_lost);
    }
    mark(change);
}

fn mark(change: &Change<'_>) {
    if let Change::Remove(registration) = change {
        registration.header().activity().mark_removed();
    }
}

/// A batch that has taken effect, with the registrations of what it inserted.
///
/// What is not [taken](Committed::take) is dropped with it, and so removed.
#[must_use = "the registrations that are not taken are dropped with this, and their notifiers removed"]
pub struct Committed {
    batch: u64,
    version: u64,
    inserted: Vec<Option<(RawRegistration, Interval)>>,
}

impl Committed {
    /// The version that shows the changes first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The registration of an insertion; `None` for a key of another batch.
    pub fn take<N: Send + Sync + 'static>(&mut self, key: InsertKey<N>) -> Option<Registration<N>> {
        let place = self.inserted.get_mut(key.position).filter(|_| key.batch == self.batch)?;
        let (raw, interval) = place.take()?;
        // SAFETY: [H3] the key was made for this record, with its payload's type.
        Some(unsafe { Registration::from_raw(raw, self.version, interval) })
    }
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Committed(version {})", self.version)
    }
}
