//! The handles of a notifier: the unique one that stands for it, and counted ones that outlive it.
//!
//! Invariants:
//! - **\[H1]** As long as a registration exists, its notifier is in the current version: only its own removal takes it
//!   out. So its record is allocated.
//! - **\[H2]** A `Held` counts one reference of the record, and the engine outlives it.
//! - **\[H3]** Records of one owner have the payload type of its `Ops`, and a registration has that of its record.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::time::Duration;

use crate::busted::{self, Sabotage};
use crate::collision::{Parts, Seen, current_bounds, deadline_after, fillers};
use crate::draft::Draft;
use crate::engine::{Engine, Limit, Step};
use crate::error::{Refusal, RemoveError, UpdateError, WaitError};
use crate::hit::Hit;
use crate::interval::Interval;
use crate::known::Known;
use crate::reclaim::give_up_record;
use crate::record::{self, Header, Record};
use crate::sync::{Arc, spin_loop};
use crate::tuning::{LOCATE_ATTEMPTS, RELEASE_BUDGET};
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
    engine: Arc<Engine>,
}

// SAFETY: payloads are `Send + Sync`, by the bound on `register_passive_ops`; the header is atomic or immutable.
unsafe impl Send for RawRegistration {}
// SAFETY: as above.
unsafe impl Sync for RawRegistration {}

impl RawRegistration {
    /// # Safety
    /// [H1] The record has just been published, and this is the one registration made for it.
    pub(crate) unsafe fn new(record: NonNull<Header>, engine: Arc<Engine>) -> Self {
        RawRegistration { record, engine }
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: [H1]
        unsafe { self.record.as_ref() }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Removes the notifier; on success the registration may only be forgotten.
    fn remove(&self) -> Result<u64, Refusal> {
        let (record, mut locator) = (self.header(), Locator::default());
        let edit = |draft: &mut Draft<'_>| {
            draft.reserve(record.owner())?;
            Ok(match locator.act(draft, record, |draft, start| draft.remove(record, start)) {
                Located::Done(()) => Step::Publish(()),
                Located::Outrun => Step::Again,
                Located::Absent => Step::Keep(()),
            })
        };
        let changed = self.engine.change(Limit::Exceeded, edit, |()| record.activity().mark_removed())?;
        Ok(changed.version)
    }

    /// Lets go of the registration of a notifier that has been removed already.
    pub(crate) fn forget_removed(self) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped after the engine was moved out.
        drop(unsafe { std::ptr::read(&raw const this.engine) });
    }
}

impl Drop for RawRegistration {
    fn drop(&mut self) {
        if self.remove().is_err() {
            // No memory even to remove it: the next change or `maintain` tries again.
            // SAFETY: the registration is gone, so the record is in this list alone; [H1] until it is removed.
            unsafe { self.engine.orphans.push(self.record) };
        }
    }
}

/// Removes the notifiers whose registrations were dropped when there was no memory to do so.
pub(crate) fn remove_orphans(engine: &Arc<Engine>) {
    if engine.orphans.is_empty() {
        return;
    }
    let mut orphans = engine.orphans.take_all();
    while let Some(record) = orphans.pop() {
        // SAFETY: [H1] still registered, and the list had it alone; dropping tries to remove it again.
        drop(unsafe { RawRegistration::new(record, Arc::clone(engine)) });
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
    known: Known,
    payload: PhantomData<fn() -> N>,
}

impl<N: Send + Sync + 'static> Registration<N> {
    /// # Safety
    /// [H3] The record is a `Record<N>`; `version` inserted it.
    pub(crate) unsafe fn from_raw(raw: RawRegistration, version: u64) -> Self {
        Registration { raw, version, known: Known::nothing(), payload: PhantomData }
    }

    pub(crate) fn raw(&self) -> &RawRegistration {
        &self.raw
    }

    pub(crate) fn into_raw(self) -> (RawRegistration, u64) {
        (self.raw, self.version)
    }

    fn record(&self) -> &Record<N> {
        // SAFETY: [H1] [H3]
        unsafe { self.raw.record.cast().as_ref() }
    }

    /// The payload.
    pub fn payload(&self) -> &N {
        self.record().payload()
    }

    /// The version that inserted the notifier.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The bounds that the notifier has now.
    ///
    /// Consistency: as of one current version; another thread may change them at once.
    ///
    /// Complexity: O(log n); O(n) if updates of this same notifier kept outrunning the look-up.
    pub fn interval(&self) -> Interval {
        current_bounds(&self.raw.engine, self.raw.header())
            .expect("[H1] a registered notifier is in the current version")
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
            draft.reserve(record.owner())?;
            Ok(match locator.act(draft, record, |draft, start| draft.update(record, start, interval)) {
                Located::Done(old) => Step::Publish(Some(old)),
                Located::Outrun => Step::Again,
                Located::Absent => Step::Keep(None),
            })
        };
        let settle = |old: &Option<Interval>| record.moved(interval, old.is_some_and(|old| !interval.covers(old)));
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
    /// [`RemoveError`] with the registration, which stands as before: no memory, or called inside a callback.
    pub fn remove(self) -> Result<u64, RemoveError<N>> {
        if self.raw.engine.is_in_callback() {
            return Err(RemoveError::WouldDeadlock(self));
        }
        self.raw.engine.release(RELEASE_BUDGET);
        let removal = self.remove_deferred()?;
        removal.wait().expect("not in a callback, and without a deadline");
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
    /// [`RemoveError::OutOfMemory`] with the registration, which stands as before.
    pub fn remove_deferred(self) -> Result<Removal<N>, RemoveError<N>> {
        self.raw.header().acquire();
        let removal = Removal { record: self.raw.record.cast(), version: 0, engine: Arc::clone(&self.raw.engine) };
        match self.raw.remove() {
            Ok(version) => {
                self.raw.forget_removed();
                Ok(Removal::with_version(removal, version))
            }
            Err(_) => Err(RemoveError::OutOfMemory(self)),
        }
    }

    fn filler_parts(&self, _: Interval) -> Parts<'_, '_> {
        (&self.raw.engine, self.raw.header(), Seen::Known(&self.known))
    }

    fillers!();

    /// A counted handle that keeps the payload, whatever becomes of the registration.
    pub fn hold(&self) -> Held<N> {
        // SAFETY: [H1] registered, so allocated; [H3].
        unsafe { Held::new(self.raw.record.cast(), self.interval(), Arc::clone(&self.raw.engine)) }
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
    engine: Arc<Engine>,
}

// SAFETY: like `Held`, a shared handle of an `N` that is `Send + Sync`.
unsafe impl<N: Send + Sync + 'static> Send for Removal<N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync + 'static> Sync for Removal<N> {}

impl<N: Send + Sync + 'static> Removal<N> {
    fn with_version(mut removal: Self, version: u64) -> Self {
        removal.version = version;
        removal
    }

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
    engine: Arc<Engine>,
}

// SAFETY: a shared handle of an `N` that is `Send + Sync`; the header is atomic or immutable.
unsafe impl<N: Send + Sync + 'static> Send for Held<N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync + 'static> Sync for Held<N> {}

impl<N: Send + Sync + 'static> Held<N> {
    /// # Safety
    /// [N1] The record is protected while this runs, by a version or another reference; [H2] it is one of this engine.
    pub(crate) unsafe fn new(record: NonNull<Record<N>>, interval: Interval, engine: Arc<Engine>) -> Self {
        if !busted::is(Sabotage::UncountedHold) {
            // SAFETY: [N1], says the caller.
            unsafe { record.as_ref() }.header().acquire();
        }
        Held { record, interval, known: Known::nothing(), engine }
    }

    /// A handle of a hit in a version that is protected otherwise.
    pub(crate) fn of_hit(hit: &Hit<'_, N>, engine: &Arc<Engine>) -> Self {
        // SAFETY: [W1] the hit's version keeps the record.
        unsafe { Held::new(hit.record(), hit.interval(), Arc::clone(engine)) }
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
        unsafe { Held::new(self.record, self.interval, Arc::clone(&self.engine)) }
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
