//! The handles of a notifier: the unique one that stands for it, and counted ones that outlive it.
//!
//! Invariants:
//! - **\[H1]** A registration counts one reference of its record, which is so allocated, also when the notifier has been
//!   removed by another call. No two registrations of one notifier exist at a time.
//! - **\[H2]** A `Held` or `Removal` counts one reference of the record, and the engine outlives it.
//! - **\[H3]** Records of one owner have the payload type of its `Ops`, and a registration has that of its record.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::time::Duration;

use crate::busted::{self, Sabotage};
use crate::collision::{Parts, Seen, current_bounds, deadline_after, fillers};
use crate::draft::Draft;
use crate::engine::{Limit, Step};
use crate::error::{Refusal, Refused, RemoveError, UpdateError, WaitError};
use crate::hit::Hit;
use crate::interval::Interval;
use crate::known::Known;
use crate::reclaim::give_up_record;
use crate::record::{self, Header, Record};
use crate::shared::SharedEngine;
use crate::sync::spin_loop;
use crate::tuning::LOCATE_ATTEMPTS;
use crate::version::Version;

/// Looks for a record where its location says, and where it really is if that has been outrun.
#[derive(Default)]
pub(crate) struct Locator {
    attempts: u32,
}

/// What became of an attempt.
pub(crate) enum Located<T> {
    /// The change was made.
    Done(T),
    /// Another thread is moving it; a newer base will tell where to.
    Outrun,
    /// It is not there.
    Absent,
}

impl<T> Located<T> {
    pub(crate) fn map<U>(self, of: impl FnOnce(T) -> U) -> Located<U> {
        match self {
            Located::Done(done) => Located::Done(of(done)),
            Located::Outrun => Located::Outrun,
            Located::Absent => Located::Absent,
        }
    }
}

impl Locator {
    /// Lets `act` try the start at which the record stands.
    pub(crate) fn act<T>(
        &mut self,
        draft: &mut Draft<'_>,
        record: &Header,
        act: impl Fn(&mut Draft<'_>, u64) -> Option<T>,
    ) -> Located<T> {
        if let Some(done) = act(draft, record.location()) {
            return Located::Done(done);
        }
        self.attempts += 1;
        if self.attempts < LOCATE_ATTEMPTS {
            spin_loop();
            return Located::Outrun;
        }
        // The draft's own state, which nobody else has: it goes back on the record once it is published.
        let found = scan(draft.tree(record.owner()), record);
        match found.and_then(|interval| act(draft, interval.start())) {
            Some(done) => Located::Done(done),
            None => Located::Absent,
        }
    }
}

pub(crate) fn scan(tree: crate::tree::TreeRef<'_>, record: &Header) -> Option<Interval> {
    let is_it = |slot: &crate::tree::Slot<'_>| std::ptr::eq(record::header_of(slot.entry).as_ptr(), record);
    tree.matching(u64::MAX, 0).find(is_it).map(crate::tree::Slot::interval)
}

/// The bounds of a record in one version.
pub(crate) fn bounds_in(version: &Version, record: &Header) -> Option<Interval> {
    let tree = version.tree(record.owner());
    tree.locate(record.location(), record.serial()).map(crate::tree::Slot::interval)
}

/// A registration without its payload's type. Dropping it removes the notifier.
pub(crate) struct RawRegistration {
    record: NonNull<Header>,
    engine: SharedEngine,
}

// SAFETY: payloads are `Send + Sync`, by the bound on `register_passive_ops`; the header is atomic or immutable.
unsafe impl Send for RawRegistration {}
// SAFETY: as above.
unsafe impl Sync for RawRegistration {}

impl RawRegistration {
    /// # Safety
    /// [H1] The record has been published, this is its one registration, and has that reference.
    pub(crate) unsafe fn new(record: NonNull<Header>, engine: SharedEngine) -> Self {
        RawRegistration { record, engine }
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: [H1]
        unsafe { self.record.as_ref() }
    }

    pub(crate) fn engine(&self) -> &SharedEngine {
        &self.engine
    }

    /// Removes the notifier, if it is still registered; the version that shows it no more.
    fn remove(&self) -> Result<u64, Refusal> {
        let removed = self.remove_if(|_| true)?;
        Ok(removed.unwrap_or_else(|version| version))
    }

    /// The same, if `is_wanted` says so right before; else the version that was looked at, as an `Err`.
    fn remove_if(&self, is_wanted: impl Fn(&Header) -> bool) -> Result<Result<u64, u64>, Refusal> {
        let (record, mut locator) = (self.header(), Locator::default());
        let edit = |draft: &mut Draft<'_>| {
            // One that another call has removed is in no current version, whoever holds it.
            if !record.is_live() {
                return Ok(Step::Keep(true));
            }
            if !is_wanted(record) {
                return Ok(Step::Keep(false));
            }
            draft.reserve(record.owner())?;
            Ok(match locator.act(draft, record, |draft, start| draft.remove(record, start)) {
                Located::Done(()) => Step::Publish(true),
                Located::Outrun => Step::Again,
                Located::Absent => Step::Keep(true),
            })
        };
        let settle = |_: &bool| record.activity().mark_removed();
        let changed = self.engine.change(Limit::Exceeded, edit, settle)?;
        // Whoever has published the removal may not have marked it yet, and nothing may be told after this returns.
        if changed.result {
            record.activity().mark_removed();
        }
        Ok(if changed.result { Ok(changed.version) } else { Err(changed.version) })
    }

    /// Takes the handle apart, without giving the reference up.
    fn into_parts(self) -> (NonNull<Header>, SharedEngine) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped after the engine was moved out.
        (this.record, unsafe { std::ptr::read(&raw const this.engine) })
    }
}

impl Drop for RawRegistration {
    fn drop(&mut self) {
        // One that another call has removed needs no memory.
        let is_removed = !self.header().is_live() || self.remove().is_ok();
        // SAFETY: [H1] the one reference, which goes here; or, where there is no memory even to remove it, goes with the
        // record into the list, from which the next change or `maintain` tries again.
        unsafe {
            match is_removed {
                true => give_up_record(self.record, &self.engine.released),
                false => self.engine.orphans.push(self.record),
            }
        }
    }
}

/// Removes the notifiers whose registrations were dropped when there was no memory to do so.
pub(crate) fn remove_orphans(engine: &SharedEngine) {
    if engine.is_inherited() || engine.orphans.is_empty() {
        return;
    }
    let mut orphans = engine.orphans.take_all();
    while let Some(record) = orphans.pop() {
        // SAFETY: [H1] the list had the reference of its registration; dropping tries to remove it again.
        drop(unsafe { RawRegistration::new(record, engine.clone()) });
    }
}

/// The unique handle of a registered notifier, which [`insert`](crate::NotifierIndex::insert) returns; dropping it
/// removes the notifier, as [`remove_deferred`](Registration::remove_deferred) does.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let registration = index.insert(&ops, Interval::point(7), "seven").unwrap();
/// assert_eq!(*registration.payload(), "seven");
/// drop(registration);
/// assert!(index.is_empty());
/// ```
///
/// One that is dropped by mistake is a warning:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// let index = notifier_index::NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// index.insert(&ops, 7, "seven").unwrap();
/// ```
/// ```
/// #![deny(unused_must_use)]
/// let index = notifier_index::NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let _registration = index.insert(&ops, 7, "seven").unwrap();
/// ```
#[must_use = "a notifier is removed when its registration is dropped"]
pub struct Registration<N: Send + Sync + 'static> {
    raw: RawRegistration,
    version: u64,
    made_with: Interval,
    known: Known,
    payload: PhantomData<fn() -> N>,
}

impl<N: Send + Sync + 'static> Registration<N> {
    /// # Safety
    /// [H3] The record is a `Record<N>`, which has these bounds in `version`.
    pub(crate) unsafe fn from_raw(raw: RawRegistration, version: u64, made_with: Interval) -> Self {
        Registration { raw, version, made_with, known: Known::nothing(), payload: PhantomData }
    }

    pub(crate) fn raw(&self) -> &RawRegistration {
        &self.raw
    }

    fn record(&self) -> &Record<N> {
        // SAFETY: [H1] [H3]
        unsafe { self.raw.record.cast().as_ref() }
    }

    /// The payload.
    pub fn payload(&self) -> &N {
        self.record().payload()
    }

    /// The version that inserted the notifier, or in which it was claimed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The bounds that the notifier has now; those that it had when this handle was made, if it was removed by another
    /// call since ([`is_live`](Self::is_live)).
    ///
    /// Consistency: as of one current version; another thread may change them at once.
    ///
    /// Complexity: O(log n); O(n) once, if updates of this same notifier kept outrunning the look-up.
    pub fn interval(&self) -> Interval {
        current_bounds(&self.raw.engine, self.raw.header()).unwrap_or(self.made_with)
    }

    /// Whether the notifier is still registered: a batch may have removed it, through a reference to this handle.
    pub fn is_live(&self) -> bool {
        self.raw.header().is_live()
    }

    /// Leaves the notifier registered without a handle: whoever finds it may [`claim`](crate::Hit::claim) one.
    ///
    /// For those who have only an address when the time comes, as an allocator's `free` or an `munmap` have: the index itself
    /// is the map from address to handle.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let extents = index.register_passive_ops::<&str>();
    /// index.insert(&extents, Interval::new(0x1000, 0x1fff)?, "extent").unwrap().detach();
    ///
    /// let guard = index.pin();
    /// let hit = guard.find(&extents, 0x1234).expect("still registered");
    /// let registration = hit.claim().expect("nobody else was first");
    /// assert!(hit.claim().is_none());
    /// registration.remove().unwrap();
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    ///
    /// Consistency: what was done through the handle happens before what is done through the one that is claimed.
    ///
    /// Blocking: never. One that is never claimed stays until the index goes.
    pub fn detach(self) {
        self.raw.header().detach();
        let (record, engine) = self.raw.into_parts();
        // SAFETY: [H1] the one reference, which goes here.
        unsafe { give_up_record(record, &engine.released) };
    }

    /// Gives the notifier new bounds, in one publication; the version that shows them first.
    ///
    /// ```
    /// # use notifier_index::{Interval, NotifierIndex};
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<()>();
    /// let registration = index.insert(&ops, Interval::new(0, 9)?, ()).unwrap();
    /// registration.update(Interval::new(20, 29)?)?;
    /// assert_eq!(registration.interval(), Interval::new(20, 29)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The order for an owner with a mirror (R5): under the lock that his callbacks take, tear down what mirrors the
    /// part that is given up, then update, then unlock. After that no callback comes for it and no ticket over it is
    /// fresh, so nothing old can stay or appear there. For growth (R4) one update is enough: never a removal and an
    /// insertion, between which a section would find nobody.
    ///
    /// ```
    /// # use notifier_index::{BeginError, Interval, NotifierIndex};
    /// # use std::{collections::BTreeMap, sync::Mutex};
    /// # let index = NotifierIndex::new();
    /// # let ops = index.register_passive_ops::<()>();
    /// let registration = index.insert(&ops, Interval::new(0, 99)?, ()).unwrap();
    /// let mirror = Mutex::new(BTreeMap::from([(10, "stays"), (60, "goes")]));
    /// let ticket = registration.read_begin(Interval::point(60))?;
    ///
    /// let mut locked = mirror.lock().unwrap();
    /// locked.retain(|&address, _| address < 50);
    /// registration.update(Interval::new(0, 49)?)?;
    /// drop(locked);
    ///
    /// assert!(registration.read_retry(ticket), "whoever was about to fill address 60 must not");
    /// assert_eq!(registration.read_begin(Interval::point(60)).unwrap_err(), BeginError::NotCovered);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Consistency: atomic; every look-up that starts after the return sees the new bounds only. Of two updates at once
    /// the one with the greater version is last. Tickets become stale where the old bounds are not within the new.
    ///
    /// Complexity: O(log n) copied nodes.
    ///
    /// Blocking: never; lock-free.
    ///
    /// # Errors
    /// [`UpdateError`]: the notifier keeps its bounds.
    pub fn update(&self, interval: impl Into<Interval>) -> Result<u64, UpdateError> {
        let interval = interval.into();
        let (record, mut locator) = (self.raw.header(), Locator::default());
        let edit = |draft: &mut Draft<'_>| {
            if !record.is_live() {
                return Err(Refusal::Removed);
            }
            draft.reserve(record.owner())?;
            match locator.act(draft, record, |draft, start| draft.update(record, start, interval)) {
                Located::Done(old) => Ok(Step::Publish(old)),
                Located::Outrun => Ok(Step::Again),
                Located::Absent => Err(Refusal::Removed),
            }
        };
        let settle = |old: &Interval| record.moved(interval, !interval.covers(*old));
        Ok(self.raw.engine.change(Limit::Heeded, edit, settle)?.version)
    }

    /// Removes the notifier and waits for its running callbacks; the version that shows it no more.
    ///
    /// The order for an owner with a mirror (R6): under his lock tear the mirror down and call
    /// [`remove_deferred`](Self::remove_deferred), unlock, then [`wait`](Removal::wait). This call is the last two at
    /// once, for those who hold no lock that a callback takes.
    ///
    /// Consistency: a look-up that starts after the return does not find it, and no callback of it runs. References and
    /// holds stay valid.
    ///
    /// Complexity: O(log n), also among identical intervals.
    ///
    /// Blocking: for its own callbacks only; not for the end of sections, nor for other notifiers.
    ///
    /// # Errors
    /// [`Refused`] with the registration, which stands as before: no memory, or called inside a callback.
    pub fn remove(self) -> Result<u64, Refused<RemoveError, Self>> {
        if self.raw.engine.is_in_callback() {
            return Err(Refused::new(RemoveError::WouldDeadlock, self));
        }
        self.raw.engine.release_before(1);
        let removal = self.remove_deferred()?;
        // Not in a callback, without a deadline and in the process of the index: nothing can be refused.
        let waited = removal.wait();
        debug_assert_eq!(waited, Ok(()));
        Ok(removal.version())
    }

    /// Removes the notifier without waiting and without running any foreign code: may be called anywhere, in callbacks
    /// and under the caller's locks.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    /// use std::sync::Mutex;
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<()>();
    /// let registration = index.insert(&ops, Interval::point(7), ()).unwrap();
    /// let mirror = Mutex::new(Some("entry"));
    ///
    /// // R6: under the lock tear down and publish; unlock; only then wait.
    /// let mut locked = mirror.lock().unwrap();
    /// *locked = None;
    /// let removal = registration.remove_deferred().unwrap();
    /// drop(locked);
    /// removal.wait().unwrap();
    /// ```
    ///
    /// Consistency: as for [`remove`](Self::remove), but a callback that runs may go on; see [`Removal::wait`].
    ///
    /// # Errors
    /// [`Refused`] with the registration, which stands as before: no memory.
    pub fn remove_deferred(self) -> Result<Removal<N>, Refused<RemoveError, Self>> {
        match self.raw.remove() {
            Ok(version) => Ok(self.into_removal(version)),
            Err(refusal) => Err(Refused::new(refusal, self)),
        }
    }

    /// The registration's reference is the removal's from here on.
    fn into_removal(self, version: u64) -> Removal<N> {
        let (record, engine) = self.raw.into_parts();
        Removal { record: record.cast(), version, engine }
    }

    /// Removes the notifier unless somebody holds it, as a cache does that evicts; otherwise as
    /// [`remove_deferred`](Self::remove_deferred).
    ///
    /// ```
    /// use notifier_index::{NotifierIndex, RemoveError};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<&str>();
    /// let registration = index.insert(&ops, 7, "seven").unwrap();
    /// let held = registration.hold();
    /// let refused = registration.remove_if_unheld().unwrap_err();
    /// assert_eq!(refused.reason, RemoveError::Held);
    /// drop(held);
    /// let _removal = refused.value.remove_if_unheld().unwrap();
    /// assert!(index.is_empty());
    /// ```
    ///
    /// Consistency: nobody holds it right before the removal is published. Who had found it before then may still
    /// [`hold`](crate::Hit::hold) it, and sees by `is_live` that it is no longer registered.
    ///
    /// # Errors
    /// [`Refused`] with the registration, which stands as before: [`RemoveError::Held`], or no memory.
    pub fn remove_if_unheld(self) -> Result<Removal<N>, Refused<RemoveError, Self>> {
        match self.raw.remove_if(Header::is_unheld) {
            Ok(Ok(version)) => Ok(self.into_removal(version)),
            Ok(Err(_)) => Err(Refused::new(RemoveError::Held, self)),
            Err(refusal) => Err(Refused::new(refusal, self)),
        }
    }

    fn filler_parts(&self, _: Interval) -> Parts<'_, '_> {
        (&self.raw.engine, self.raw.header(), Seen::Known(&self.known))
    }

    fillers!();

    /// A counted handle that keeps the payload, whatever becomes of the registration.
    pub fn hold(&self) -> Held<N> {
        // SAFETY: [H1] registered, so allocated; [H3].
        unsafe { Held::new(self.raw.record.cast(), self.interval(), self.raw.engine.clone()) }
    }
}

impl<N: Send + Sync + 'static> fmt::Debug for Registration<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.interval())
    }
}

/// A removal that has taken effect.
///
/// It keeps the payload until it is dropped.
#[must_use = "callbacks of the removed notifier may still run: wait for them, or drop this to say that they may"]
pub struct Removal<N: Send + Sync + 'static> {
    record: NonNull<Record<N>>,
    version: u64,
    engine: SharedEngine,
}

// SAFETY: like `Held`, a shared handle of an `N` that is `Send + Sync`.
unsafe impl<N: Send + Sync + 'static> Send for Removal<N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync + 'static> Sync for Removal<N> {}

impl<N: Send + Sync + 'static> Removal<N> {
    fn header(&self) -> &Header {
        // SAFETY: [H2] a removal counts one reference, too.
        unsafe { self.record.as_ref() }.header()
    }

    /// The version that shows the notifier no more.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Waits until no callback of the notifier runs.
    ///
    /// Blocking: for its own callbacks only. Not under a lock that they take.
    ///
    /// # Errors
    /// [`WaitError::WouldDeadlock`] inside a callback, if one of the notifier's runs.
    pub fn wait(&self) -> Result<(), WaitError> {
        self.engine.wait_for_callbacks(self.header(), None)
    }

    /// As [`wait`](Self::wait), for at most so long.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and [`WaitError::TimedOut`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.engine.wait_for_callbacks(self.header(), deadline_after(timeout))
    }
}

impl<N: Send + Sync + 'static> Drop for Removal<N> {
    fn drop(&mut self) {
        // SAFETY: [H2] its one reference, which goes here.
        unsafe { give_up_record(self.record.cast(), &self.engine.released) };
    }
}

impl<N: Send + Sync + 'static> fmt::Debug for Removal<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Removal(version {})", self.version)
    }
}

/// A counted handle of a notifier's payload: it outlives the guard, and the registration.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<String>();
/// let registration = index.insert(&ops, Interval::point(7), "seven".to_string()).unwrap();
/// let held = index.pin().find(&ops, Interval::point(7)).unwrap().hold();
/// registration.remove().unwrap();
/// assert_eq!(*held, "seven");
/// assert!(!held.is_live());
/// ```
///
/// The payload is not dropped by the last `Held`, but by the next change of the index, `maintain`, or the index's own
/// drop; where the index itself has gone before, by whoever lets go last.
#[must_use = "it holds the payload only as long as it is kept"]
pub struct Held<N: Send + Sync + 'static> {
    record: NonNull<Record<N>>,
    interval: Interval,
    known: Known,
    engine: SharedEngine,
}

// SAFETY: a shared handle of an `N` that is `Send + Sync`; the header is atomic or immutable.
unsafe impl<N: Send + Sync + 'static> Send for Held<N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync + 'static> Sync for Held<N> {}

impl<N: Send + Sync + 'static> Held<N> {
    /// # Safety
    /// [N1] The record is protected while this runs, by a version or another reference; [H2] it is one of this engine.
    pub(crate) unsafe fn new(record: NonNull<Record<N>>, interval: Interval, engine: SharedEngine) -> Self {
        if !busted::is(Sabotage::UncountedHold) {
            // SAFETY: [N1], says the caller.
            unsafe { record.as_ref() }.header().acquire();
        }
        Held { record, interval, known: Known::nothing(), engine }
    }

    /// A handle of a hit in a version that is protected otherwise.
    pub(crate) fn of_hit(hit: &Hit<'_, N>, engine: &SharedEngine) -> Self {
        // SAFETY: [W1] the hit's version keeps the record.
        unsafe { Held::new(hit.record(), hit.interval(), engine.clone()) }
    }

    fn record(&self) -> &Record<N> {
        // SAFETY: [H2]
        unsafe { self.record.as_ref() }
    }

    /// The payload.
    pub fn payload(&self) -> &N {
        self.record().payload()
    }

    /// The bounds that the notifier had in the version in which it was found.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// Whether the notifier is still registered. Protected is not the same as registered.
    pub fn is_live(&self) -> bool {
        self.record().header().is_live()
    }

    fn filler_parts(&self, _: Interval) -> Parts<'_, '_> {
        (&self.engine, self.record().header(), Seen::Known(&self.known))
    }

    fillers!();
}

impl<N: Send + Sync + 'static> Clone for Held<N> {
    fn clone(&self) -> Self {
        // SAFETY: [H2] this handle's own reference keeps the record.
        unsafe { Held::new(self.record, self.interval, self.engine.clone()) }
    }
}

impl<N: Send + Sync + 'static> Deref for Held<N> {
    type Target = N;

    fn deref(&self) -> &N {
        self.payload()
    }
}

impl<N: Send + Sync + 'static> Drop for Held<N> {
    fn drop(&mut self) {
        // SAFETY: [H2] its one reference, which goes here.
        unsafe { give_up_record(self.record.cast(), &self.engine.released) };
    }
}

impl<N: Send + Sync + 'static + fmt::Debug> fmt::Debug for Held<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(self.payload()).finish()
    }
}
