//! The record of one notifier: what the tree's entries point to.
//!
//! ```text
//!   Record<N>: [ serial | references | activity | location | link | kind | owner | birth ] [ payload: N ]
//! ```
//!
//! The bounds of a notifier stand in the tree, never here, because they differ from version to version. What
//! stands here is `location`, a *hint* at the start under which the current version holds it: a change
//! looks there first, verifies it by the serial, and scans when another thread's change has outrun the
//! hint. So a stale hint costs time and nothing else.
//!
//! Invariants:
//! - **\[N1]** A record counts one reference for the tree (all versions together), one for its registration, if it has
//!   one, and one for each `Held` and `Removal`. The tree's is given up once, by the reclaimer, when no version that holds
//!   the record can be reached. A mark beside the count says that the registration was let go of and may be claimed.
//! - **\[N2]** Whoever takes the count to zero pushes the record on the list of releases, or is about to drop
//!   it himself; nothing can reach it then.
//! - **\[N3]** `kind` and `owner` are written before the record can be reached; `serial` and `birth` too, by the writer that
//!   publishes it.
//! - **\[N4]** A header with the kind of `N` is the head of a `Record<N>` that was allocated with its layout.

use std::alloc::{Layout, alloc};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::activity::Activity;
use crate::busted::{self, Sabotage};
use crate::error::WouldBlock;
use crate::identity::check_count;
use crate::interval::Interval;
use crate::notifier::{Invalidating, Notifier};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Number, Ordering, Witness, dealloc};
use crate::tree::{EntryHeader, EntryPtr};

/// What a record needs to know of its payload's type once that is erased.
pub(crate) struct Kind {
    /// Drops the payload and frees the record.
    release: unsafe fn(NonNull<Header>),
    type_name: fn() -> &'static str,
    callbacks: Option<Callbacks>,
    /// Bytes of the whole record.
    pub(crate) record_bytes: usize,
}

/// The two passes of a payload that wants to be told.
pub(crate) struct Callbacks {
    invalidate: unsafe fn(NonNull<Header>, &Invalidating<'_>) -> Result<(), WouldBlock>,
    finish: unsafe fn(NonNull<Header>, &Invalidating<'_>),
}

impl Callbacks {
    /// # Safety
    /// [N4] The record is of the kind that has these callbacks, and protected.
    pub(crate) unsafe fn invalidate(&self, record: NonNull<Header>, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        // SAFETY: [N4], says the caller.
        unsafe { (self.invalidate)(record, told) }
    }

    /// # Safety
    /// As for `invalidate`.
    pub(crate) unsafe fn finish(&self, record: NonNull<Header>, told: &Invalidating<'_>) {
        // SAFETY: [N4], says the caller.
        unsafe { (self.finish)(record, told) };
    }
}

impl Kind {
    pub(crate) fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    pub(crate) fn callbacks(&self) -> Option<&Callbacks> {
        self.callbacks.as_ref()
    }

    /// The kind of payloads that are only looked up.
    pub(crate) const fn passive<N>() -> &'static Kind {
        const { &KindOf::<N>::PASSIVE }
    }

    /// The kind of payloads that are told.
    pub(crate) const fn notified<N: Notifier>() -> &'static Kind {
        const { &KindOf::<N>::NOTIFIED }
    }
}

struct KindOf<N>(PhantomData<N>);

impl<N> KindOf<N> {
    const PASSIVE: Kind = Kind {
        release: release::<N>,
        type_name: std::any::type_name::<N>,
        callbacks: None,
        record_bytes: size_of::<Record<N>>(),
    };
}

impl<N: Notifier> KindOf<N> {
    const NOTIFIED: Kind = Kind {
        callbacks: Some(Callbacks { invalidate: invalidate::<N>, finish: finish::<N> }),
        ..KindOf::<N>::PASSIVE
    };
}

/// # Safety
/// [N4] It is a `Record<N>`, which is protected.
unsafe fn invalidate<N: Notifier>(record: NonNull<Header>, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
    // SAFETY: [N4], says the caller.
    unsafe { record.cast::<Record<N>>().as_ref() }.payload().invalidate(told)
}

/// # Safety
/// As for `invalidate`.
unsafe fn finish<N: Notifier>(record: NonNull<Header>, told: &Invalidating<'_>) {
    // SAFETY: [N4], says the caller.
    unsafe { record.cast::<Record<N>>().as_ref() }.payload().finish(told);
}

/// # Safety
/// [N2] [N4]: the record is a `Record<N>` that nothing can reach any more.
unsafe fn release<N>(header: NonNull<Header>) {
    let record = header.cast::<Record<N>>();
    let guard = FreeOnDrop(record);
    // SAFETY: [N2] nobody else has it, and this is the only drop of the payload.
    unsafe {
        header.as_ref().witness.end();
        ptr::drop_in_place(&raw mut (*guard.0.as_ptr()).payload);
    }
}

/// Frees the record also when the payload's destructor panics.
struct FreeOnDrop<N>(NonNull<Record<N>>);

impl<N> Drop for FreeOnDrop<N> {
    fn drop(&mut self) {
        // SAFETY: [N4] allocated with this layout.
        unsafe { dealloc(self.0.as_ptr().cast(), Layout::new::<Record<N>>()) };
    }
}

/// The references of a record that has just been inserted.
const TREE_AND_REGISTRATION: usize = 2;

/// Beside the count of references: the notifier has no registration, and may be claimed.
const DETACHED: usize = 1 << (usize::BITS - 1);

/// The part of a record that does not depend on the payload's type.
#[repr(C)]
pub(crate) struct Header {
    entry: EntryHeader,
    references: AtomicUsize,
    activity: Activity,
    location: AtomicU64,
    link: AtomicPtr<Header>,
    kind: &'static Kind,
    owner: u64,
    /// The version that inserted it.
    birth: Cell<u64>,
    witness: Witness,
}

/// A notifier's header and its payload.
#[repr(C)]
pub(crate) struct Record<N> {
    header: Header,
    payload: N,
}

// SAFETY: [N3] serial and birth, the plain cells of a header, are written only while the record is private; all else is
// atomic or immutable.
unsafe impl Sync for Header {}

// SAFETY: as its header, and the payload may be shared, and dropped by another thread.
unsafe impl<N: Send + Sync> Sync for Record<N> {}

impl<N> Record<N> {
    pub(crate) fn payload(&self) -> &N {
        self.header.witness.read();
        &self.payload
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }
}

impl Header {
    pub(crate) fn serial(&self) -> u64 {
        self.entry.serial.get()
    }

    pub(crate) fn birth(&self) -> u64 {
        self.birth.get()
    }

    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    pub(crate) fn kind(&self) -> &'static Kind {
        self.witness.read();
        self.kind
    }

    /// Its generation, its running callbacks, and whether it is dead.
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    pub(crate) fn is_live(&self) -> bool {
        self.activity.is_live()
    }

    /// After new bounds were published. Where addresses were taken away, tickets become stale: published first, then
    /// raised (R5).
    pub(crate) fn moved(&self, to: Interval, has_lost: bool) {
        self.set_location(to.start());
        if has_lost && !busted::is(Sabotage::NoRaise) {
            self.activity.raise();
        }
    }

    /// Where the current version probably has it.
    pub(crate) fn location(&self) -> u64 {
        // [O11] Relaxed: a hint, verified by look-up.
        self.location.load(Ordering::Relaxed)
    }

    /// Notes where a current version has it.
    pub(crate) fn set_location(&self, start: u64) {
        // [O11] Relaxed: a hint, verified by look-up.
        self.location.store(start, Ordering::Relaxed);
    }

    /// The link of the list that a removed record is in, whatever that list packs into it.
    ///
    /// # Safety
    /// The record is allocated and the list is the caller's.
    pub(crate) unsafe fn list_link(record: NonNull<Header>) -> *mut () {
        // SAFETY: allocated, says the caller. [O13] Relaxed: lists have one owner.
        unsafe { record.as_ref() }.link.load(Ordering::Relaxed).cast()
    }

    /// # Safety
    /// As for `list_link`.
    pub(crate) unsafe fn set_list_link(record: NonNull<Header>, link: *mut ()) {
        // SAFETY: allocated, says the caller. [O13] Relaxed: lists have one owner.
        unsafe { record.as_ref() }.link.store(link.cast(), Ordering::Relaxed);
    }

    /// One more reference. The caller has one, or is protected by a version that holds the record.
    pub(crate) fn acquire(&self) {
        // [O12] Relaxed: a new reference is made from one that exists ([N1]).
        check_count(self.references.fetch_add(1, Ordering::Relaxed) & !DETACHED);
    }

    /// One reference less; true if it was the last, and the caller now has the record alone ([N2]). If it was not, the
    /// record may be gone when this returns, so nothing borrows it meanwhile but the count itself.
    ///
    /// # Safety
    /// [N1] The caller has a reference, which is gone after this.
    pub(crate) unsafe fn let_go(record: NonNull<Header>) -> bool {
        // SAFETY: [N1] allocated until this very step. [O12] AcqRel: all uses through other references happen before
        // the release of the record.
        unsafe { (*record.as_ptr()).references.fetch_sub(1, Ordering::AcqRel) & !DETACHED == 1 }
    }

    /// Leaves the notifier to whoever claims it. The registration's reference is given up after that.
    pub(crate) fn detach(&self) {
        // [O24] Release, partner of the Acquire in `claim`: what was done with the registration.
        self.references.fetch_or(DETACHED, Ordering::Release);
    }

    /// Takes the reference of a registration, if the notifier was left without one: of several callers one gets it. The
    /// record is protected by a version that holds it.
    pub(crate) fn claim(&self) -> bool {
        let is_for_all = busted::is(Sabotage::ClaimForAll);
        let claimed = |count: usize| (count & DETACHED != 0 || is_for_all).then(|| (count & !DETACHED) + 1);
        // [O24] Acquire, partner of the Release in `detach`: what was done with the registration before.
        self.references.fetch_update(Ordering::Acquire, Ordering::Relaxed, claimed).is_ok()
    }

    /// Whether the tree and a registration have the only references.
    pub(crate) fn is_unheld(&self) -> bool {
        // [O12] Relaxed: a look; a hold that comes later is one of a removed notifier.
        self.references.load(Ordering::Relaxed) & !DETACHED <= TREE_AND_REGISTRATION
    }
}

/// The tree's pointer to a record.
pub(crate) fn entry_of(header: NonNull<Header>) -> EntryPtr {
    EntryPtr(header.cast())
}

/// The record that an entry of one of our trees points to.
pub(crate) fn header_of(entry: EntryPtr) -> NonNull<Header> {
    entry.0.cast()
}

/// A record that no version holds yet; dropping it drops the payload.
pub(crate) struct NewRecord<N>(NonNull<Record<N>>);

impl<N> NewRecord<N> {
    /// Allocates a record, or gives the payload back if there is no memory.
    pub(crate) fn allocate(owner: u64, kind: &'static Kind, payload: N) -> Result<Self, N> {
        // SAFETY: a record is never of size zero.
        let memory = unsafe { alloc(Layout::new::<Record<N>>()) }.cast::<Record<N>>();
        let Some(record) = NonNull::new(memory) else {
            return Err(payload);
        };
        let header = Header {
            entry: EntryHeader { serial: Cell::new(0) },
            references: AtomicUsize::new(TREE_AND_REGISTRATION),
            activity: Activity::new(),
            owner,
            location: AtomicU64::new(0),
            link: AtomicPtr::new(ptr::null_mut()),
            kind,
            birth: Cell::new(0),
            witness: Witness::new(),
        };
        // SAFETY: fresh memory of the record's own layout.
        unsafe { record.write(Record { header, payload }) };
        Ok(NewRecord(record))
    }

    pub(crate) fn as_header(&self) -> NonNull<Header> {
        self.0.cast()
    }

    /// Notes where the record stands among those that are inserted with it; overwritten when it is inserted.
    pub(crate) fn set_position(&self, position: u64) {
        // SAFETY: [N2] not published, so this handle's own.
        unsafe { self.as_header().as_ref() }.set_location(position);
    }

    /// Gives the record away: to the tree that was published with it, or to a handle that forgets its type.
    pub(crate) fn into_erased(self) -> NonNull<Header> {
        std::mem::ManuallyDrop::new(self).0.cast()
    }

    /// # Safety
    /// [N4] The record came from `into_erased` of the same type, and was not published.
    pub(crate) unsafe fn from_erased(record: NonNull<Header>) -> Self {
        NewRecord(record.cast())
    }

    /// Takes the payload back out.
    pub(crate) fn into_payload(self) -> N {
        let record = std::mem::ManuallyDrop::new(self);
        let _free = FreeOnDrop(record.0);
        // SAFETY: [N2] never published, so nobody else has it; the memory is freed without dropping it.
        unsafe { ptr::read(&raw const (*record.0.as_ptr()).payload) }
    }
}

impl<N> Drop for NewRecord<N> {
    fn drop(&mut self) {
        // SAFETY: [N2] [N4] never published, so nobody else has it.
        unsafe { release::<N>(self.0.cast()) };
    }
}

/// Writes the insertion number, the version and the first location into a record that nobody else can reach.
///
/// # Safety
/// The record is not in any published version.
pub(crate) unsafe fn stamp(header: NonNull<Header>, serial: u64, birth: u64, start: u64) {
    // SAFETY: [N3] still private to the writer.
    let header = unsafe { header.as_ref() };
    header.entry.serial.set(serial);
    header.birth.set(birth);
    header.set_location(start);
}

/// Drops the payload of a record and frees it.
///
/// # Safety
/// [N2]: its count has reached zero and nobody else will release it.
pub(crate) unsafe fn release_erased(header: NonNull<Header>) {
    // SAFETY: [N4] the kind is that of the record's own payload.
    unsafe { (header.as_ref().kind.release)(header) };
}

/// A list of records that many push to and one at a time empties.
#[derive(Default)]
pub(crate) struct RecordStack(AtomicPtr<Header>);

impl RecordStack {
    pub(crate) fn is_empty(&self) -> bool {
        // [O13] Relaxed: a look that saves the swap.
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// # Safety
    /// The record is in no other list, and stays allocated until it is popped.
    pub(crate) unsafe fn push(&self, record: NonNull<Header>) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: allocated, says the caller.
            unsafe { record.as_ref() }.link.store(head, Ordering::Relaxed);
            // [O13] Release, partner of the Acquire in `take_all`: the link, and all that was done with
            // the record.
            match self.0.compare_exchange_weak(head, record.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    pub(crate) fn take_all(&self) -> RecordList {
        // [O13] Acquire, partner of the Release in `push`.
        RecordList(self.0.swap(ptr::null_mut(), Ordering::Acquire))
    }
}

/// Records whose payloads nobody can reach any more, until they are dropped; and how much they are.
#[derive(Default)]
pub(crate) struct Releases {
    stack: RecordStack,
    bytes: Number,
}

impl Releases {
    /// Bytes of the records that wait here.
    pub(crate) fn bytes(&self) -> u64 {
        // [O14] Relaxed: a statistic, and a limit that need not be exact.
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// # Safety
    /// [N2] The caller has let go of the last reference.
    pub(crate) unsafe fn push(&self, record: NonNull<Header>) {
        // SAFETY: [N2] the caller's alone until it is pushed.
        unsafe {
            self.bytes.fetch_add(record.as_ref().kind().record_bytes as u64, Ordering::Relaxed);
            self.stack.push(record);
        }
    }

    pub(crate) fn take_all(&self) -> RecordList {
        self.stack.take_all()
    }

    /// One that was taken is about to be dropped.
    pub(crate) fn note_taken(&self, record: NonNull<Header>) {
        // SAFETY: [N2] taken, and not yet dropped.
        let bytes = unsafe { record.as_ref() }.kind().record_bytes;
        // [O14] Relaxed: a statistic.
        self.bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

/// A list of records with one owner.
pub(crate) struct RecordList(*mut Header);

// SAFETY: the records in it belong to the list alone; they are `Send` because payloads are.
unsafe impl Send for RecordList {}

impl RecordList {
    pub(crate) const EMPTY: RecordList = RecordList(ptr::null_mut());

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn pop(&mut self) -> Option<NonNull<Header>> {
        let record = NonNull::new(self.0)?;
        // SAFETY: records in a list stay allocated until they are popped.
        self.0 = unsafe { record.as_ref() }.link.load(Ordering::Relaxed);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{GREATEST_COUNT, tests::ends_the_process};

    #[test]
    fn holds_that_are_forgotten_do_not_wrap_the_count() {
        let record = NewRecord::allocate(0, Kind::passive::<u64>(), 7).unwrap();
        // SAFETY: [N2] not published, so this handle's own.
        let header = unsafe { record.as_header().as_ref() };
        let name = "record::tests::holds_that_are_forgotten_do_not_wrap_the_count";
        ends_the_process(name, || {
            header.references.store(GREATEST_COUNT + 1, Ordering::Relaxed);
            header.acquire();
        });
        header.references.store(GREATEST_COUNT, Ordering::Relaxed);
        header.acquire();
    }
}
