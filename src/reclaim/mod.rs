//! Reclamation: when an object that a version replaced may be used again.
//!
//! # The two-condition rule
//! An object born in version *b* and replaced in version *s* is reached by the versions *b* ..= *s* - 1. It may go
//! when (a) no pin can see any of them, and (b) nobody owns any of them.
//!
//! # How
//! (a) A writer now and then asks the collector for a grace period, *after* the mirror has reached its version;
//! when that is over, the horizon rises to it. One request is outstanding at a time, and one number serves all objects of all versions below.
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
//! One thread moves the cursor at a time, by `try_lock`; who does not get it goes on. What it finds free it carries out
//! of the lock as a *haul* and frees outside. A thread stopped inside stops reclamation, as a stuck pin does, and the
//! retired limit answers both.
//!
//! Invariants:
//! - **\[C1]** The versions from the cursor to the newest one linked are allocated, and linked both ways.
//! - **\[C2]** Parked versions are allocated, older than the cursor, and in one list in order of age.
//! - **\[C4]** What is in a haul can be reached by nobody, and is in no other list.
//! - **\[C3]** An object is in one list: of what one version replaced, or of what hangs on one parked version.

mod asan;
pub(crate) mod epoch;
mod freed;
mod haul;
pub(crate) mod pool;
// AddressSanitizer ends the process where the pool would panic.
#[cfg(all(test, debug_assertions, not(asan_poison)))]
mod pool_tests;

pub(crate) use freed::Freed;
pub(crate) use haul::{Haul, Outlet};

use std::ptr::{self, NonNull};

use crate::busted::{self, Sabotage};
use crate::publish::VersionHandle;
use crate::record::{Header, RecordStack};
use crate::roots::TableNode;
use crate::sync::Ordering;
use crate::version::{Object, Page, Version, VersionStack};
use pool::Class;

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

/// The reclaimer's own view of the versions.
pub(crate) struct Chain {
    cursor: *mut Version,
    newest_linked: *mut Version,
    oldest_parked: *mut Version,
    newest_parked: *mut Version,
    /// Parked versions without an owner, by their stack links; the first may be half taken apart.
    unowned: *mut Version,
    parked_count: u64,
    /// Whether the version at the cursor is parked, once that is decided.
    fate: Option<bool>,
}

// SAFETY: [V4] the chain is used by one thread at a time.
unsafe impl Send for Chain {}

fn links<'a>(version: *mut Version) -> &'a mut Links {
    // SAFETY: [V4] [C1] [C2] only called with allocated versions by the one reclaimer, for one access at a time.
    unsafe {
        (*version).witness.read();
        &mut *(*version).links.get()
    }
}

impl Chain {
    pub(crate) fn new(first: *mut Version) -> Self {
        Chain {
            cursor: first,
            newest_linked: first,
            oldest_parked: ptr::null_mut(),
            newest_parked: ptr::null_mut(),
            unowned: ptr::null_mut(),
            parked_count: 0,
            fate: None,
        }
    }

    /// Collects what can go, as far as the haul has room.
    ///
    /// `current` is a version that is protected; versions below `horizon` are out of the reach of pins.
    pub(crate) fn collect(
        &mut self,
        current: &VersionHandle,
        horizon: u64,
        reported: &VersionStack,
        freed: &Freed,
        haul: &mut Haul,
    ) {
        self.link_up_to(current);
        while haul.has_room() {
            if self.unowned.is_null() && !reported.is_empty() {
                self.unowned = reported.take_all();
            }
            if !self.unowned.is_null() {
                self.dismantle(freed, haul);
            } else if !self.advance(horizon, freed, haul) {
                return;
            }
        }
    }

    fn link_up_to(&mut self, current: &VersionHandle) {
        // SAFETY: [C1] allocated.
        if current.seq <= unsafe { (*self.newest_linked).seq } {
            return;
        }
        let current = current.pointer().as_ptr();
        let mut version = current;
        while version != self.newest_linked {
            // SAFETY: [C1] the cursor has not passed it, so it is allocated.
            let base = unsafe { (*version).base() };
            links(base).next = version;
            version = base;
        }
        self.newest_linked = current;
    }

    /// Moves the cursor by one version, or a part of the way if the haul is full; false if it has to wait.
    fn advance(&mut self, horizon: u64, freed: &Freed, haul: &mut Haul) -> bool {
        let passed = self.cursor;
        let successor = links(passed).next;
        // SAFETY: [C1] allocated.
        if successor.is_null() || unsafe { (*successor).seq } > horizon {
            return false;
        }
        let is_parked = self.fate_of_passed(freed);
        if self.distribute(successor, freed, haul) {
            self.cursor = successor;
            self.fate = None;
            if !is_parked {
                version_gone(passed, haul);
            }
        }
        true
    }

    /// Whether the version at the cursor is still owned, decided once.
    fn fate_of_passed(&mut self, freed: &Freed) -> bool {
        if let Some(is_parked) = self.fate {
            return is_parked;
        }
        // SAFETY: [C1] allocated.
        let is_parked = unsafe { (*self.cursor).park() } && !busted::is(Sabotage::EarlyFree);
        if is_parked {
            self.append_parked(self.cursor, freed);
        }
        self.fate = Some(is_parked);
        is_parked
    }

    /// Homes what `successor` replaced; false if the haul has no room for all of it.
    fn distribute(&self, successor: *mut Version, freed: &Freed, haul: &mut Haul) -> bool {
        // SAFETY: [V4] [C1] the list is the reclaimer's.
        let replaced = unsafe { &mut *(*successor).replaced.get() };
        if self.newest_parked.is_null() {
            haul.add_list(replaced.take());
            return true;
        }
        while haul.has_room() {
            let Some((object, emptied)) = replaced.pop() else { return true };
            home(object, self.newest_parked, freed, haul);
            emptied.into_iter().for_each(|page| haul.add_page(page));
        }
        false
    }

    /// Takes a parked version without owner apart, as far as the haul has room.
    fn dismantle(&mut self, freed: &Freed, haul: &mut Haul) {
        let version = self.unowned;
        let older = links(version).older;
        while haul.has_room() {
            let Some(object) = pop_hanging(version) else {
                // SAFETY: [C2] allocated; [O6] the stack's link was published by its push.
                self.unowned = unsafe { (*version).stack_link().load(Ordering::Relaxed) };
                self.remove_parked(version, freed);
                version_gone(version, haul);
                return;
            };
            freed.note_taken_down();
            home(object, older, freed, haul);
        }
    }

    fn append_parked(&mut self, version: *mut Version, freed: &Freed) {
        links(version).older = self.newest_parked;
        match self.newest_parked.is_null() {
            true => self.oldest_parked = version,
            false => links(self.newest_parked).newer = version,
        }
        self.newest_parked = version;
        self.parked_count += 1;
        self.note_parked(freed);
    }

    fn remove_parked(&mut self, version: *mut Version, freed: &Freed) {
        let (older, newer) = (links(version).older, links(version).newer);
        match older.is_null() {
            true => self.oldest_parked = newer,
            false => links(older).newer = newer,
        }
        match newer.is_null() {
            true => self.newest_parked = older,
            false => links(newer).older = older,
        }
        self.parked_count -= 1;
        self.note_parked(freed);
    }

    fn note_parked(&self, freed: &Freed) {
        // SAFETY: [C2] allocated.
        let oldest = unsafe { self.oldest_parked.as_ref() }.map_or(0, |version| version.seq);
        freed.note_parked(self.parked_count, oldest);
    }
}

/// Hangs the object on the parked version `home`, if that reaches it, or puts it into the haul.
///
/// `home` is the newest parked version that may reach it: an older one reaches it only if this one does.
fn home(object: Object, home: *mut Version, freed: &Freed, haul: &mut Haul) {
    // SAFETY: [C2] a parked version is allocated.
    match unsafe { home.as_ref() } {
        Some(version) if reaches(version, object) => {
            push_hanging(home, object);
            freed.note_hung();
        }
        _ => haul.add_object(object),
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

/// Gives up a reference to a record: a handle's, or that of the tree.
///
/// # Safety
/// [N1] The reference is the caller's, and used no more. For that of the tree: no version that holds the record can be
/// reached, and this has not been done before.
pub(crate) unsafe fn give_up_record(record: NonNull<Header>, released: &RecordStack) {
    // SAFETY: [N1] the reference kept it; [N2] the last reference pushes it, once.
    unsafe {
        if Header::let_go(record) {
            released.push(record);
        }
    }
}

/// Notes that a version has gone, and adds the records that nobody will compare with any more.
fn version_gone(version: *mut Version, haul: &mut Haul) {
    // SAFETY: the version is still allocated, and by the rule above so is its base.
    let base = unsafe { (*version).base() };
    if !base.is_null() {
        match links(base).gone {
            true => NonNull::new(base).into_iter().for_each(|base| haul.add_record(base)),
            false => links(base).successor_gone = true,
        }
    }
    match links(version).successor_gone {
        true => NonNull::new(version).into_iter().for_each(|version| haul.add_record(version)),
        false => links(version).gone = true,
    }
}

const _: () = assert!(size_of::<Version>() <= Class::Large.slot_bytes());
const _: () = assert!(size_of::<TableNode>() <= Class::Large.slot_bytes());
const _: () = assert!(size_of::<Page>() <= Class::Large.slot_bytes());
