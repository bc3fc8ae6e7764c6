//! Results of look-ups: references into one version, with the bounds that they have in it.
//!
//! \[W1] (`view.rs`): a hit lives no longer than its view, so its record and its version are there.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use crate::collision::{self, Parts, Patience, Seen, Ticket};
use crate::error::BeginError;
use crate::interval::Interval;
use crate::ops::Ops;
use crate::record::{self, Header, Record};
use crate::registration::{Held, RawRegistration, Registration};
use crate::tree::{Matching, Slot, TreeRef};
use crate::version::Version;

/// A notifier that was found, protected for `'v`.
///
/// A hit cannot outlive the guard that found it; [`hold`](Hit::hold) makes a handle that can:
///
/// ```compile_fail,E0597
/// # use notifier_index::{Interval, NotifierIndex};
/// # let index = NotifierIndex::new();
/// # let ops = index.register_passive_ops::<u32>();
/// # let _registration = index.insert(&ops, Interval::point(1), 1).unwrap();
/// let hit = {
///     let guard = index.pin();
///     guard.find(&ops, Interval::point(1)).unwrap()
/// };
/// assert_eq!(*hit.payload(), 1);
/// ```
/// ```
/// # use notifier_index::{Interval, NotifierIndex};
/// # let index = NotifierIndex::new();
/// # let ops = index.register_passive_ops::<u32>();
/// # let _registration = index.insert(&ops, Interval::point(1), 1).unwrap();
/// let held = {
///     let guard = index.pin();
///     guard.find(&ops, Interval::point(1)).unwrap().hold()
/// };
/// assert_eq!(*held.payload(), 1);
/// ```
pub struct Hit<'v, N> {
    /// The pointer that the tree holds: a hold frees through it, so it never becomes a reference and a pointer again.
    record: NonNull<Record<N>>,
    start: u64,
    last: u64,
    version: &'v Version,
    /// Covariant in `N`, and `Send` and `Sync` as a reference to one is.
    lifetime: PhantomData<&'v Record<N>>,
}

// SAFETY: it is as a `&'v Record<N>`, which is `Send` where the record is `Sync`.
unsafe impl<N: Send + Sync> Send for Hit<'_, N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync> Sync for Hit<'_, N> {}

impl<N> Clone for Hit<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Hit<'_, N> {}

impl<'v, N> Hit<'v, N> {
    fn as_record(&self) -> &'v Record<N> {
        // SAFETY: [W1] [H3], said `new`'s caller.
        unsafe { self.record.as_ref() }
    }
}

impl<'v, N: Send + Sync> Hit<'v, N> {
    /// # Safety
    /// [W1] The slot was found in the version. [H3] Its owner's payload type is `N`.
    #[inline]
    pub(crate) unsafe fn new(slot: Slot<'v>, version: &'v Version) -> Self {
        let record = record::header_of(slot.entry).cast();
        Hit { record, start: slot.start, last: slot.last, version, lifetime: PhantomData }
    }

    pub(crate) fn record(&self) -> NonNull<Record<N>> {
        self.record
    }

    fn header(&self) -> &'v Header {
        self.as_record().header()
    }

    /// The number of its insertion: no other notifier of the index has it.
    pub(crate) fn serial(&self) -> u64 {
        self.header().serial()
    }

    /// The bounds that the notifier has in the version that was searched.
    pub fn interval(&self) -> Interval {
        Interval::from_ordered(self.start, self.last)
    }

    /// The first address.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The last address.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The payload.
    pub fn payload(&self) -> &'v N {
        self.as_record().payload()
    }

    /// The version that was searched.
    pub fn version(&self) -> u64 {
        self.version.seq
    }

    /// Whether the notifier is still registered. Protected is not the same as registered.
    pub fn is_live(&self) -> bool {
        self.header().is_live()
    }
}

impl<'v, N: Send + Sync + 'static> Hit<'v, N> {
    /// A counted handle that keeps the payload beyond the guard, reader or snapshot.
    ///
    /// Complexity: O(1), two shared counters.
    pub fn hold(&self) -> Held<N> {
        // SAFETY: [W1] the view's version keeps the record.
        unsafe { Held::new(self.record, self.interval(), self.version.share_engine()) }
    }

    /// The unique handle of a notifier that was [detached](crate::Registration::detach): exactly one caller gets it.
    ///
    /// `None` if it was not detached, was claimed by another, or is no longer registered.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let spans = index.register_passive_ops::<&str>();
    /// let registration = index.insert(&spans, Interval::new(0, 99)?, "span").unwrap();
    /// assert!(index.pin().find(&spans, 7).unwrap().claim().is_none(), "it has a handle");
    /// registration.detach();
    /// let claimed = index.pin().find(&spans, 7).unwrap().claim().unwrap();
    /// claimed.update(Interval::new(0, 49)?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In a child of `fork` there is nothing to claim in an index that was inherited.
    ///
    /// Complexity: O(1). Blocking: never.
    pub fn claim(&self) -> Option<Registration<N>> {
        let is_inherited = self.version.engine().is_inherited();
        if is_inherited || !self.is_live() || !self.header().claim() {
            return None;
        }
        // SAFETY: [H1] the claim has given this registration its reference, and nobody else; [H3] [W1].
        let claimed = unsafe {
            let raw = RawRegistration::new(self.record.cast(), self.version.share_engine());
            Registration::from_raw(raw, self.version(), self.interval())
        };
        claimed.is_live().then_some(claimed)
    }

    fn filler_parts(&self, interval: Interval) -> Parts<'_, 'v> {
        let seen = if self.interval().covers(interval) { Seen::In(self.version) } else { Seen::Nothing };
        (self.version.engine(), self.header(), seen)
    }

    /// Begins to read the source under `interval`, unless it would have to wait: a hit may stand under a pin, which would
    /// keep the memory of every index back meanwhile.
    ///
    /// ```
    /// use notifier_index::{BeginError, Event, Interval, NotifierIndex, Reason};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<()>();
    /// let _registration = index.insert(&ops, Interval::point(7), ()).unwrap();
    /// let section = index.invalidate(Interval::point(7), Event::new(Reason::Migrate));
    ///
    /// let guard = index.pin();
    /// let hit = guard.find(&ops, Interval::point(7)).unwrap();
    /// assert_eq!(hit.read_begin(Interval::point(7)).unwrap_err(), BeginError::WouldWait);
    /// let held = hit.hold();
    /// drop(guard);
    /// drop(section); // Another thread's, in earnest.
    /// let ticket = held.read_begin(Interval::point(7))?; // Waits, if it must, without a pin.
    /// assert!(!held.read_retry(ticket));
    /// # Ok::<(), BeginError>(())
    /// ```
    ///
    /// Blocking: never.
    ///
    /// # Errors
    /// [`BeginError`]: removed, not covered, closed, or a section over the range is active
    /// ([`WouldWait`](BeginError::WouldWait)).
    pub fn read_begin(&self, interval: impl Into<Interval>) -> Result<Ticket<'v>, BeginError> {
        let interval = interval.into();
        let (engine, header, seen) = self.filler_parts(interval);
        collision::begin(engine, header, interval, &seen, Patience::None)
    }

    /// As [`Held::read_retry`].
    pub fn read_retry(&self, ticket: Ticket<'_>) -> bool {
        collision::retry(self.version.engine(), self.header(), &ticket)
    }
}

impl<N: fmt::Debug> fmt::Debug for Hit<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = Interval::from_ordered(self.start, self.last);
        write!(f, "Hit({interval}, {:?})", self.as_record().payload())
    }
}

/// The hits of one owner, ascending. Made by [`View::find_all`](crate::View::find_all) and
/// [`View::containing`](crate::View::containing).
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Hits<'v, N> {
    slots: Matching<'v>,
    version: &'v Version,
    payload: PhantomData<&'v N>,
}

// SAFETY: it borrows a version, which does not change, and gives hits.
unsafe impl<N: Send + Sync> Send for Hits<'_, N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync> Sync for Hits<'_, N> {}

impl<'v, N> Hits<'v, N> {
    /// # Safety
    /// [W1] The slots are found in the version. [H3] Their owner's payload type is `N`.
    pub(crate) unsafe fn new(slots: Matching<'v>, version: &'v Version) -> Self {
        Hits { slots, version, payload: PhantomData }
    }
}

impl<N> Clone for Hits<'_, N> {
    fn clone(&self) -> Self {
        Hits { slots: self.slots.clone(), ..*self }
    }
}

impl<N: Send + Sync> FusedIterator for Hits<'_, N> {}

impl<N: Send + Sync + fmt::Debug> fmt::Debug for Hits<'_, N> {
    /// Lists the hits that are still to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'v, N: Send + Sync> Iterator for Hits<'v, N> {
    type Item = Hit<'v, N>;

    #[inline]
    fn next(&mut self) -> Option<Hit<'v, N>> {
        let slot = self.slots.next()?;
        // SAFETY: [W1] [H3], said the maker.
        Some(unsafe { Hit::new(slot, self.version) })
    }
}

impl<'v, N: Send + Sync> DoubleEndedIterator for Hits<'v, N> {
    /// The last of those that are still to come. Complexity: O(log n).
    fn next_back(&mut self) -> Option<Hit<'v, N>> {
        let slot = self.slots.next_back()?;
        // SAFETY: [W1] [H3], said the maker.
        Some(unsafe { Hit::new(slot, self.version) })
    }
}

/// A notifier of whichever owner.
#[derive(Clone, Copy)]
pub struct AnyHit<'v> {
    slot: Slot<'v>,
    version: &'v Version,
}

// SAFETY: it is as a reference to a record, whose payload is `Send + Sync` by the bound on `register_passive_ops`.
unsafe impl Send for AnyHit<'_> {}
// SAFETY: as above.
unsafe impl Sync for AnyHit<'_> {}

impl<'v> AnyHit<'v> {
    /// \[W1] The slot was found in the version.
    pub(crate) fn new(slot: Slot<'v>, version: &'v Version) -> Self {
        AnyHit { slot, version }
    }

    /// The number of its insertion: no other notifier of the index has it.
    pub(crate) fn serial(&self) -> u64 {
        self.header().serial()
    }

    /// The pointer to its record that the tree holds.
    pub(crate) fn record(&self) -> NonNull<Header> {
        record::header_of(self.slot.entry)
    }

    pub(crate) fn header(&self) -> &'v Header {
        // SAFETY: [W1] an entry of the version.
        unsafe { record::header_of(self.slot.entry).as_ref() }
    }

    /// The bounds that the notifier has in the version that was searched.
    pub fn interval(&self) -> Interval {
        self.slot.interval()
    }

    /// The first address.
    pub fn start(&self) -> u64 {
        self.slot.start
    }

    /// The last address.
    pub fn last(&self) -> u64 {
        self.slot.last
    }

    /// The version that was searched.
    pub fn version(&self) -> u64 {
        self.version.seq
    }

    /// Whether the notifier is still registered.
    pub fn is_live(&self) -> bool {
        self.header().is_live()
    }

    /// The number of its owner, see [`Ops::number`].
    pub fn owner(&self) -> u64 {
        self.header().owner()
    }

    /// The hit with its payload, if it belongs to this owner.
    pub fn downcast<N: Send + Sync>(&self, ops: &Ops<N>) -> Option<Hit<'v, N>> {
        let owner = ops.owner_in(self.version.index)?;
        let is_its = owner == self.owner() && std::ptr::eq(ops.kind(), self.header().kind());
        // SAFETY: [W1]; [H3] the same owner, and the payload's kind is that of the owner.
        is_its.then(|| unsafe { Hit::new(self.slot, self.version) })
    }
}

impl fmt::Debug for AnyHit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyHit({}, owner {})", self.interval(), self.owner())
    }
}

/// The hits of all owners, owner by owner. Made by [`View::overlapping`](crate::View::overlapping) and
/// [`View::iter`](crate::View::iter).
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Clone)]
pub struct AnyHits<'v> {
    version: &'v Version,
    interval: Interval,
    /// The owners that neither end has come to. The greatest number is no owner's.
    owners: Range<u64>,
    /// The owner at the front, and the one at the back.
    front: Option<Matching<'v>>,
    back: Option<Matching<'v>>,
}

// SAFETY: it borrows a version, which does not change, and gives hits.
unsafe impl Send for AnyHits<'_> {}
// SAFETY: as above.
unsafe impl Sync for AnyHits<'_> {}

impl<'v> AnyHits<'v> {
    pub(crate) fn new(version: &'v Version, interval: Interval) -> Self {
        AnyHits { version, interval, owners: 0..u64::MAX, front: None, back: None }
    }

    fn matching(&self, tree: TreeRef<'v>) -> Option<Matching<'v>> {
        Some(tree.matching(self.interval.last(), self.interval.start()))
    }

    /// Goes on to the next owner that has notifiers, if the back has not come to it.
    fn next_owner(&mut self) -> Option<()> {
        let next = self.version.next_tree(self.owners.start);
        let (owner, tree) = next.filter(|(owner, _)| self.owners.contains(owner))?;
        self.owners.start = owner + 1;
        self.front = self.matching(tree);
        Some(())
    }

    /// Goes back to the previous owner that has notifiers, if the front has not come to it.
    fn previous_owner(&mut self) -> Option<()> {
        let previous = self.version.previous_tree(self.owners.end);
        let (owner, tree) = previous.filter(|(owner, _)| self.owners.contains(owner))?;
        self.owners.end = owner;
        self.back = self.matching(tree);
        Some(())
    }
}

impl FusedIterator for AnyHits<'_> {}

impl fmt::Debug for AnyHits<'_> {
    /// Lists the hits that are still to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'v> Iterator for AnyHits<'v> {
    type Item = AnyHit<'v>;

    fn next(&mut self) -> Option<AnyHit<'v>> {
        let version = self.version;
        loop {
            if let Some(slot) = self.front.as_mut().and_then(Iterator::next) {
                return Some(AnyHit { slot, version });
            }
            if self.next_owner().is_none() {
                // What is left is the back's own.
                return self.back.as_mut()?.next().map(|slot| AnyHit { slot, version });
            }
        }
    }
}

impl<'v> DoubleEndedIterator for AnyHits<'v> {
    /// The last of the last owner's that are still to come.
    fn next_back(&mut self) -> Option<AnyHit<'v>> {
        let version = self.version;
        loop {
            if let Some(slot) = self.back.as_mut().and_then(DoubleEndedIterator::next_back) {
                return Some(AnyHit { slot, version });
            }
            if self.previous_owner().is_none() {
                // What is left is the front's own.
                return self.front.as_mut()?.next_back().map(|slot| AnyHit { slot, version });
            }
        }
    }
}
