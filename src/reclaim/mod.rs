//! Reclamation: when an object that a version replaced may be used again.
//!
//! # The two-condition rule
//! An object born in version *b* and replaced in version *s* is reached by the versions *b* ..= *s* - 1. It may go
//! when (a) no pin can see any of them, and (b) nobody owns any of them.
//!
//! # How
//! (a) A writer now and then asks the collector for a grace period, *after* the mirror has reached its version;
//! when that is over, the horizon rises to it. One number serves all objects of all versions below.
//!
//! (b) A cursor follows the versions in order of publication, never past the horizon:
//!
//! ```text
//!  parked (still owned)          cursor            horizon          current
//!     3 <──────── 9               │                   │                │
//!     └ hanging   └ hanging       12 ───> 13 ───> 14 ─┴─> 15 ───> 16 ──┘
//! ```
//!
//! Passing from *v* to *s* = *v* + 1, it asks whether anybody still owns *v*. If so, *v* is *parked*. Each object that
//! *s* replaced then hangs on the newest parked version that reaches it, or, where there is none, is free. When the
//! last owner of a parked version lets go, he reports it; what hangs on it moves to the next older parked version that
//! reaches it, or is free. So an object is looked at once when it is replaced and once for each owned version that held
//! it back: O(1) amortised, no scan, and an idle reader keeps the tree it looks at and nothing newer. (The dead
//! lists of ZFS snapshots work alike.)
//!
//! The record of a version goes when both the version and its successor have gone, because helpers compare with
//! the address of the base of a version that they own (\[V3]).
//!
//! One thread reclaims at a time, by `try_lock`; who does not get it goes on. A thread stopped in the middle stops
//! reclamation, as a stuck pin does, and the retired limit answers both.
//!
//! Invariants:
//! - **\[C1]** The versions from the cursor to the newest one linked are allocated, and linked both ways.
//! - **\[C2]** Parked versions are allocated, older than the cursor, and in one list in order of age.
//! - **\[C3]** An object is in one list: of what one version replaced, or of what hangs on one parked version.

pub(crate) mod epoch;
pub(crate) mod pool;

use std::ptr::{self, NonNull};

use crate::busted::{self, Sabotage};
use crate::record::{Header, RecordStack};
use crate::roots::TableNode;
use crate::sync::{AtomicU64, Ordering};
use crate::version::{Object, Page, Version, VersionStack};
use pool::{Class, Depot, Workbench};

/// The reclaimer's links in a version record.
pub(crate) struct Links {
    next: *mut Version,
    older: *mut Version,
    newer: *mut Version,
    hanging: *mut (),
    gone: bool,
    successor_gone: bool,
}

impl Links {
    pub(crate) const NEW: Links = Links {
        next: ptr::null_mut(),
        older: ptr::null_mut(),
        newer: ptr::null_mut(),
        hanging: ptr::null_mut(),
        gone: false,
        successor_gone: false,
    };
}

/// What was freed so far, for the limit and the statistics.
#[derive(Default)]
pub(crate) struct Freed {
    bytes: AtomicU64,
    objects: AtomicU64,
    oldest_parked: AtomicU64,
    parked_count: AtomicU64,
}

impl Freed {
    // [O14] Relaxed in all four: statistics, and a limit that need not be exact.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// The oldest version that is kept for an owner, if any.
    pub(crate) fn oldest_parked(&self) -> Option<u64> {
        (self.parked_count() > 0).then(|| self.oldest_parked.load(Ordering::Relaxed))
    }

    pub(crate) fn parked_count(&self) -> u64 {
        self.parked_count.load(Ordering::Relaxed)
    }
}

/// Where a reclaimer leaves what it frees.
pub(crate) struct Outlet<'a> {
    pub(crate) workbench: &'a mut Workbench,
    pub(crate) depot: &'a Depot,
    pub(crate) released: &'a RecordStack,
    pub(crate) freed: &'a Freed,
}

/// The reclaimer's own view of the versions.
pub(crate) struct Chain {
    cursor: *mut Version,
    newest_linked: *mut Version,
    oldest_parked: *mut Version,
    newest_parked: *mut Version,
    /// Parked versions without an owner, by their stack links; the first may be half taken apart.
    unowned: *mut Version,
    /// The objects retired in all when the reclaimer last looked.
    retired_before: u64,
}

// SAFETY: [V4] the chain is used by one thread at a time.
unsafe impl Send for Chain {}

fn links<'a>(version: *mut Version) -> &'a mut Links {
    // SAFETY: [V4] [C1] [C2] only called with allocated versions by the one reclaimer, for one access at a time.
    unsafe { &mut *(*version).links.get() }
}

impl Chain {
    pub(crate) fn new(first: *const Version) -> Self {
        let first = first.cast_mut();
        Chain {
            cursor: first,
            newest_linked: first,
            oldest_parked: ptr::null_mut(),
            newest_parked: ptr::null_mut(),
            unowned: ptr::null_mut(),
            retired_before: 0,
        }
    }

    /// Looks at about `budget` objects and twice as many as were retired since the last call, and at most at what a
    /// single publication replaced beyond that: so it keeps pace with any changes.
    ///
    /// `current` is a version that is protected, at least as new as any passed before; versions below
    /// `horizon` are out of the reach of pins.
    pub(crate) fn reclaim(
        &mut self,
        current: &Version,
        horizon: u64,
        reported: &VersionStack,
        budget: usize,
        outlet: &mut Outlet<'_>,
    ) {
        self.link_up_to(current);
        let mut left = self.pace(current).saturating_add(budget);
        while left > 0 {
            if self.unowned.is_null() && !reported.is_empty() {
                self.unowned = reported.take_all();
            }
            let step =
                if self.unowned.is_null() { self.advance(horizon, outlet) } else { Some(self.dismantle(left, outlet)) };
            let Some(looked_at) = step else { return };
            left = left.saturating_sub(looked_at + 1);
        }
    }

    /// Twice the objects that were retired since the last call.
    fn pace(&mut self, current: &Version) -> usize {
        let retired = current.retired_objects.saturating_sub(self.retired_before);
        self.retired_before = self.retired_before.max(current.retired_objects);
        (retired as usize).saturating_mul(2)
    }

    fn link_up_to(&mut self, current: &Version) {
        // SAFETY: [C1] allocated.
        if current.seq <= unsafe { (*self.newest_linked).seq } {
            return;
        }
        let current = ptr::from_ref(current).cast_mut();
        let mut version = current;
        while version != self.newest_linked {
            // SAFETY: [C1] the cursor has not passed it, so it is allocated.
            let base = unsafe { (*version).base() }.cast_mut();
            links(base).next = version;
            version = base;
        }
        self.newest_linked = current;
    }

    /// Moves the cursor by one version; the number of objects looked at, or nothing if it has to wait.
    fn advance(&mut self, horizon: u64, outlet: &mut Outlet<'_>) -> Option<usize> {
        let passed = self.cursor;
        let successor = links(passed).next;
        // SAFETY: [C1] allocated.
        if successor.is_null() || unsafe { (*successor).seq } > horizon {
            return None;
        }
        // SAFETY: [C1] allocated.
        let parked = unsafe { (*passed).park() } && !busted::is(Sabotage::EarlyFree);
        if parked {
            self.append_parked(passed, outlet);
        }
        let looked_at = self.distribute(successor, outlet);
        self.cursor = successor;
        if !parked {
            version_gone(passed, outlet);
        }
        Some(looked_at)
    }

    /// Homes each object that `successor` replaced.
    fn distribute(&self, successor: *mut Version, outlet: &mut Outlet<'_>) -> usize {
        // SAFETY: [V4] [C1] the list is the reclaimer's.
        let replaced = unsafe { &mut *(*successor).replaced.get() };
        let count = replaced.len();
        while let Some((object, emptied)) = replaced.pop() {
            home(object, self.newest_parked, outlet);
            if let Some(page) = emptied {
                give_page(page, outlet);
            }
        }
        count
    }

    /// Takes a parked version without owner apart, as far as `budget` goes.
    fn dismantle(&mut self, budget: usize, outlet: &mut Outlet<'_>) -> usize {
        let version = self.unowned;
        let older = links(version).older;
        for looked_at in 0..budget {
            let Some(object) = pop_hanging(version) else {
                // SAFETY: [C2] allocated; [O6] the stack's link was published by its push.
                self.unowned = unsafe { (*version).stack_link().load(Ordering::Relaxed) };
                self.remove_parked(version, outlet);
                version_gone(version, outlet);
                return looked_at;
            };
            home(object, older, outlet);
        }
        budget
    }

    fn append_parked(&mut self, version: *mut Version, outlet: &mut Outlet<'_>) {
        links(version).older = self.newest_parked;
        match self.newest_parked.is_null() {
            true => self.oldest_parked = version,
            false => links(self.newest_parked).newer = version,
        }
        self.newest_parked = version;
        self.note_parked(1, outlet);
    }

    fn remove_parked(&mut self, version: *mut Version, outlet: &mut Outlet<'_>) {
        let (older, newer) = (links(version).older, links(version).newer);
        match older.is_null() {
            true => self.oldest_parked = newer,
            false => links(older).newer = newer,
        }
        match newer.is_null() {
            true => self.newest_parked = older,
            false => links(newer).older = older,
        }
        self.note_parked(-1, outlet);
    }

    /// [O14] Relaxed: statistics, written by the one reclaimer.
    fn note_parked(&self, change: i64, outlet: &mut Outlet<'_>) {
        outlet.freed.parked_count.fetch_add(change as u64, Ordering::Relaxed);
        // SAFETY: [C2] allocated.
        let oldest = unsafe { self.oldest_parked.as_ref() }.map_or(0, |version| version.seq);
        outlet.freed.oldest_parked.store(oldest, Ordering::Relaxed);
    }
}

/// Hangs the object on the parked version `home`, if that reaches it, or frees it.
///
/// `home` is the newest parked version that may reach it: an older one reaches it only if this one does.
fn home(object: Object, home: *mut Version, outlet: &mut Outlet<'_>) {
    // SAFETY: [C2] a parked version is allocated.
    match unsafe { home.as_ref() } {
        Some(version) if reaches(version, object) => push_hanging(home, object),
        _ => free(object, outlet),
    }
}

/// Whether a version older than the object's replacement reaches it, that is: whether the object is as old.
fn reaches(version: &Version, object: Object) -> bool {
    // SAFETY: [C3] in a list, so not freed.
    unsafe {
        match object {
            Object::Leaf(leaf) => leaf.as_ref().header.birth <= version.seq,
            Object::Inner(inner) => inner.as_ref().header.birth <= version.seq,
            Object::Table(table) => table.as_ref().header.birth <= version.seq,
            Object::Record(record) => record.as_ref().serial() < version.next_serial,
        }
    }
}

/// The bytes that a retired object counts for.
pub(crate) fn bytes_of(object: Object) -> u64 {
    let bytes = match object {
        Object::Leaf(_) => Class::Leaf.slot_bytes(),
        Object::Inner(_) | Object::Table(_) => Class::Large.slot_bytes(),
        // SAFETY: [C3] in a list, or about to be put in one.
        Object::Record(record) => unsafe { record.as_ref() }.kind().record_bytes,
    };
    bytes as u64
}

fn link_of(object: Object) -> *mut () {
    // SAFETY: [C3] in a list of the reclaimer's, whose links are its own.
    unsafe {
        match object {
            Object::Leaf(leaf) => leaf.as_ref().header.link.get(),
            Object::Inner(inner) => inner.as_ref().header.link.get(),
            Object::Table(table) => table.as_ref().header.link.get(),
            Object::Record(record) => Header::list_link(record),
        }
    }
}

fn set_link(object: Object, link: *mut ()) {
    // SAFETY: [C3] as in `link_of`.
    unsafe {
        match object {
            Object::Leaf(leaf) => leaf.as_ref().header.link.set(link),
            Object::Inner(inner) => inner.as_ref().header.link.set(link),
            Object::Table(table) => table.as_ref().header.link.set(link),
            Object::Record(record) => Header::set_list_link(record, link),
        }
    }
}

fn push_hanging(version: *mut Version, object: Object) {
    set_link(object, links(version).hanging);
    links(version).hanging = object.pack();
}

fn pop_hanging(version: *mut Version) -> Option<Object> {
    let object = Object::unpack(links(version).hanging)?;
    links(version).hanging = link_of(object);
    Some(object)
}

fn free(object: Object, outlet: &mut Outlet<'_>) {
    // [O14] Relaxed: written by the one reclaimer, read as statistics and for the limit.
    outlet.freed.bytes.fetch_add(bytes_of(object), Ordering::Relaxed);
    outlet.freed.objects.fetch_add(1, Ordering::Relaxed);
    // SAFETY: by the two-condition rule nobody can reach the object any more.
    unsafe {
        match object {
            Object::Leaf(leaf) => outlet.workbench.give(Class::Leaf, leaf.cast(), outlet.depot),
            Object::Inner(inner) => outlet.workbench.give(Class::Large, inner.cast(), outlet.depot),
            Object::Table(table) => outlet.workbench.give(Class::Large, table.cast(), outlet.depot),
            Object::Record(record) => give_up_record(record, outlet.released),
        }
    }
}

/// Gives up the tree's reference to a record.
///
/// # Safety
/// [N1] No version that holds the record can be reached, and this has not been done before.
pub(crate) unsafe fn give_up_record(record: NonNull<Header>, released: &RecordStack) {
    // SAFETY: [N1] the tree's reference kept it; [N2] the last reference pushes it, once.
    unsafe {
        if record.as_ref().let_go() {
            released.push(record);
        }
    }
}

/// Notes that a version has gone, and frees the records that nobody will compare with any more.
fn version_gone(version: *mut Version, outlet: &mut Outlet<'_>) {
    // SAFETY: the version is still allocated, and by the rule above so is its base.
    let base = unsafe { (*version).base() }.cast_mut();
    if !base.is_null() {
        match links(base).gone {
            true => free_record(base, outlet),
            false => links(base).successor_gone = true,
        }
    }
    match links(version).successor_gone {
        true => free_record(version, outlet),
        false => links(version).gone = true,
    }
}

fn free_record(version: *mut Version, outlet: &mut Outlet<'_>) {
    if let Some(version) = NonNull::new(version) {
        // SAFETY: [V3] it has gone and so has its successor: nobody uses its contents or its address.
        unsafe { outlet.workbench.give(Class::Large, version.cast(), outlet.depot) };
    }
}

fn give_page(page: NonNull<Page>, outlet: &mut Outlet<'_>) {
    // SAFETY: an emptied page belongs to whoever emptied it.
    unsafe { outlet.workbench.give(Class::Large, page.cast(), outlet.depot) };
}

const _: () = assert!(size_of::<Version>() <= Class::Large.slot_bytes());
const _: () = assert!(size_of::<TableNode>() <= Class::Large.slot_bytes());
const _: () = assert!(size_of::<Page>() <= Class::Large.slot_bytes());
