//! One version of the whole index: the roots of all owners, the counts, and what this version replaced.
//!
//! ```text
//!   Version 7 ──base──> Version 6 ──base──> Version 5         (fixed when the version is made)
//!     │ roots: tree of owner 0, 1, 2, ..                       (shares most nodes with its base)
//!     │ replaced: what version 6 reaches and version 7 does not
//!     └ count: the cell, snapshots and readers that own it
//! ```
//!
//! A version is made in private (`draft.rs`), published once (`publish.rs`) and never changed after that;
//! only its count and the reclaimer's links move.
//!
//! Invariants:
//! - **\[V1]** From its publication on, everything reached through a version's roots is allocated and
//!   unchanged for as long as the version is owned, or was loaded from the mirror under a pin that still
//!   lasts, or is not yet behind the horizon.
//! - **\[V2]** `count` never rises from zero.
//! - **\[V3]** The record of `base` stays allocated for as long as this version is owned (only its address
//!   may be used).
//! - **\[V4]** `links` and, from the publication on, `replaced` are touched by the reclaimer only, one thread at a time.
//! - **\[V5]** The engine outlives every version.

use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};

use crate::busted::{self, Sabotage};
use crate::engine::Engine;
use crate::identity::check_count;
use crate::reclaim::Links;
use crate::reclaim::pool::Class;
use crate::record::{Header, Kind};
use crate::roots::{Roots, TableNode};
use crate::shared::SharedEngine;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Witness};
use crate::tree::{Inner, Leaf, TreeRef};
use crate::tuning::INLINE_REPLACED;

/// Set in `count` once the reclaimer has passed a version that was still owned: whoever lets go of it last
/// then reports it.
const PARKED: usize = 1 << (usize::BITS - 1);

/// An immutable state of the index.
#[repr(C)]
pub(crate) struct Version {
    // The first line holds what every look-up of the first owner reads.
    pub(crate) index: u64,
    pub(crate) seq: u64,
    pub(crate) roots: Roots,
    pub(crate) len: u64,
    pub(crate) leaf_count: u64,
    pub(crate) inner_count: u64,
    /// The insertion number that the next notifier gets; those below were inserted in this version or before.
    pub(crate) next_serial: u64,
    /// Bytes and objects retired by this version and all before it.
    pub(crate) retired_bytes: u64,
    pub(crate) retired_objects: u64,
    pub(crate) closed: bool,
    /// Touched by the reclaimer only, once published ([V4]).
    pub(crate) replaced: UnsafeCell<Replaced>,
    engine: *const Engine,
    base: *mut Version,
    count: AtomicUsize,
    stack_link: AtomicPtr<Version>,
    pub(crate) links: UnsafeCell<Links>,
    pub(crate) witness: Witness,
}

// SAFETY: [V1] what the pointers reach is immutable or atomic; [V4] the links have one user at a time.
unsafe impl Send for Version {}
// SAFETY: as above.
unsafe impl Sync for Version {}

impl Version {
    /// The first version of an index: empty, owned once.
    pub(crate) fn first(index: u64, engine: *const Engine) -> Self {
        Version {
            index,
            seq: 0,
            roots: Roots::EMPTY,
            len: 0,
            leaf_count: 0,
            inner_count: 0,
            next_serial: 0,
            retired_bytes: 0,
            retired_objects: 0,
            closed: false,
            replaced: UnsafeCell::new(Replaced::EMPTY),
            engine,
            base: ptr::null_mut(),
            count: AtomicUsize::new(1),
            stack_link: AtomicPtr::new(ptr::null_mut()),
            links: UnsafeCell::new(Links::NEW),
            witness: Witness::new(),
        }
    }

    /// A copy of `base`, numbered next, that replaces nothing yet and is owned once.
    ///
    /// # Safety
    /// `place` is private memory for a version; `base_place` is protected ([V1]), and the pointer that its memory was taken
    /// as: it is freed through that.
    pub(crate) unsafe fn write_successor(place: NonNull<Version>, base_place: NonNull<Version>) {
        // SAFETY: [V1], says the caller.
        let base = unsafe { base_place.as_ref() };
        let successor = Version {
            roots: base.roots,
            seq: base.seq.wrapping_add(1),
            retired_bytes: base.retired_bytes + base.record_retired_with(),
            replaced: UnsafeCell::new(Replaced::EMPTY),
            base: base_place.as_ptr(),
            count: AtomicUsize::new(1),
            stack_link: AtomicPtr::new(ptr::null_mut()),
            links: UnsafeCell::new(Links::NEW),
            witness: Witness::new(),
            ..*base
        };
        // SAFETY: private memory, says the caller.
        unsafe { place.write(successor) };
    }

    /// Bytes of the record that a successor of this version retires: that of this version's base, whose address is
    /// kept for helpers until this version goes ([V3]).
    fn record_retired_with(&self) -> u64 {
        if self.base.is_null() { 0 } else { Class::Large.slot_bytes() as u64 }
    }

    /// One owner's tree.
    #[inline]
    pub(crate) fn tree(&self, owner: u64) -> TreeRef<'_> {
        self.witness.read();
        // SAFETY: [V1] a reference to a version exists only while it is protected, and the nodes with it.
        unsafe { self.roots.get(owner).tree.as_ref() }
    }

    /// One owner's tree, whose payloads are of this kind.
    #[inline]
    pub(crate) fn tree_of_kind(&self, owner: u64, kind: &'static Kind) -> TreeRef<'_> {
        self.witness.read();
        let root = self.roots.get(owner);
        if !root.is_of(kind) {
            root.refuse(kind);
        }
        // SAFETY: [V1] as in `tree`.
        unsafe { root.tree.as_ref() }
    }

    /// The trees of all owners that have one, with the owners' numbers, ascending.
    pub(crate) fn next_tree(&self, from_owner: u64) -> Option<(u64, TreeRef<'_>)> {
        self.witness.read();
        let (owner, tree) = self.roots.next_from(from_owner)?;
        // SAFETY: [V1] as in `tree`.
        Some((owner, unsafe { tree.as_ref() }))
    }

    /// The tree of the last owner below `owner` that has one, with the owner's number.
    pub(crate) fn previous_tree(&self, owner: u64) -> Option<(u64, TreeRef<'_>)> {
        self.witness.read();
        let (owner, tree) = self.roots.previous_to(owner)?;
        // SAFETY: [V1] as in `tree`.
        Some((owner, unsafe { tree.as_ref() }))
    }

    pub(crate) fn base(&self) -> *mut Version {
        self.base
    }

    /// The index that this is a version of.
    pub(crate) fn engine(&self) -> &Engine {
        // SAFETY: [V5] the engine outlives its versions.
        unsafe { &*self.engine }
    }

    /// The same, counted.
    pub(crate) fn share_engine(&self) -> SharedEngine {
        // SAFETY: [V5] `engine` is the address of an `Arc`'s value with a count above zero.
        unsafe { SharedEngine::share(self.engine) }
    }

    /// The next version in a [`VersionStack`].
    pub(crate) fn stack_link(&self) -> &AtomicPtr<Version> {
        &self.stack_link
    }

    /// One owner more. The caller owns it, or is the cell that does.
    pub(crate) fn acquire(&self) {
        // [O4] Relaxed: made from ownership that exists ([V2]).
        check_count(self.count.fetch_add(1, Ordering::Relaxed) & !PARKED);
    }

    /// One owner more, unless there is none left.
    pub(crate) fn try_acquire(&self) -> bool {
        let more = |count: usize| (count & !PARKED != 0).then_some(count + 1);
        // [O4] Relaxed: the version is already protected; only the number matters.
        let before = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        before.inspect(|count| check_count(count & !PARKED)).is_ok()
    }

    /// One owner less; true if the version was parked and now nobody owns it. If it was not, and this was
    /// the last owner, the version may be gone when this returns, so nothing borrows it meanwhile but the count itself.
    ///
    /// # Safety
    /// [V1] The caller owns the version, and no more after this.
    pub(crate) unsafe fn let_go(version: NonNull<Version>) -> bool {
        // SAFETY: [V1] allocated until this very step.
        let count = unsafe { &(*version.as_ptr()).count };
        // [O5] AcqRel, partner of `park` and of each other: all reading through this version happens before
        // its nodes are used again.
        let before = count.fetch_sub(1, busted::weaker(Sabotage::LooseLastOwner, Ordering::AcqRel));
        debug_assert_ne!(before & !PARKED, 0, "[V2] let go of by one who did not own it");
        before == PARKED | 1
    }

    /// The reclaimer passes this version: true if somebody still owns it, who will then report it.
    pub(crate) fn park(&self) -> bool {
        // [O5] Acquire, partner of the Release in `let_go`. What the reclaimer did before is its own, and nobody's else.
        self.count.fetch_or(PARKED, Ordering::Acquire) != 0
    }
}

/// Something that a version no longer reaches and its base still does.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    Leaf(NonNull<Leaf>),
    Inner(NonNull<Inner>),
    Table(NonNull<TableNode>),
    Record(NonNull<Header>),
}

const TAGS: usize = 0b11;

impl Object {
    pub(crate) fn pack(self) -> *mut () {
        let (pointer, tag): (*mut (), usize) = match self {
            Object::Leaf(leaf) => (leaf.as_ptr().cast(), 0),
            Object::Inner(inner) => (inner.as_ptr().cast(), 1),
            Object::Table(table) => (table.as_ptr().cast(), 2),
            Object::Record(record) => (record.as_ptr().cast(), 3),
        };
        // All four are aligned to eight bytes at least, so the tag finds room.
        pointer.map_addr(|address| address | tag)
    }

    pub(crate) fn unpack(packed: *mut ()) -> Option<Object> {
        let tag = packed.addr() & TAGS;
        let pointer = NonNull::new(packed.map_addr(|address| address & !TAGS))?;
        Some(match tag {
            0 => Object::Leaf(pointer.cast()),
            1 => Object::Inner(pointer.cast()),
            2 => Object::Table(pointer.cast()),
            _ => Object::Record(pointer.cast()),
        })
    }
}

/// Objects in a page of replaced ones.
pub(crate) const PAGE_OBJECTS: usize = 64;

/// An overflow page of [`Replaced`], in a large slot of the pool.
#[repr(C, align(64))]
pub(crate) struct Page {
    pub(crate) next: *mut Page,
    objects: [*mut (); PAGE_OBJECTS],
}

/// The objects that a version replaced: a few in place, the rest on pages.
pub(crate) struct Replaced {
    count: usize,
    inline: [*mut (); INLINE_REPLACED],
    pages: *mut Page,
}

impl Replaced {
    pub(crate) const EMPTY: Replaced =
        Replaced { count: 0, inline: [ptr::null_mut(); INLINE_REPLACED], pages: ptr::null_mut() };

    /// Whether the next `push` wants a page.
    pub(crate) fn wants_page(&self) -> bool {
        self.count >= INLINE_REPLACED && (self.count - INLINE_REPLACED).is_multiple_of(PAGE_OBJECTS)
    }

    /// Gives the list one page more.
    ///
    /// # Safety
    /// `page` is private memory for a page, and stays it until the list is taken apart.
    pub(crate) unsafe fn add_page(&mut self, page: NonNull<Page>) {
        // SAFETY: private memory, says the caller; the objects are written before they are counted.
        unsafe { (&raw mut (*page.as_ptr()).next).write(self.pages) };
        self.pages = page.as_ptr();
    }

    /// Adds an object; a page was added if one was wanted.
    pub(crate) fn push(&mut self, object: Object) {
        let at = self.count;
        self.count += 1;
        match self.inline.get_mut(at) {
            Some(place) => *place = object.pack(),
            // SAFETY: the newest page is ours, and has room: `wants_page` was asked before.
            None => unsafe {
                let place = (at - INLINE_REPLACED) % PAGE_OBJECTS;
                (&raw mut (*self.pages).objects[place]).write(object.pack());
            },
        }
    }

    /// Takes the last object off, and the page that became empty by it.
    pub(crate) fn pop(&mut self) -> Option<(Object, Option<NonNull<Page>>)> {
        let at = self.count.checked_sub(1)?;
        self.count = at;
        if let Some(packed) = self.inline.get(at) {
            return Object::unpack(*packed).map(|object| (object, None));
        }
        let place = (at - INLINE_REPLACED) % PAGE_OBJECTS;
        let page = NonNull::new(self.pages)?;
        // SAFETY: the page is the list's own, and the object at `place` was written by `push`.
        let (packed, next) = unsafe { (page.as_ref().objects[place], page.as_ref().next) };
        let emptied = (place == 0).then(|| {
            self.pages = next;
            page
        });
        Object::unpack(packed).map(|object| (object, emptied))
    }

    /// Takes the whole list, and leaves an empty one.
    pub(crate) fn take(&mut self) -> Replaced {
        std::mem::replace(self, Replaced::EMPTY)
    }
}

/// Versions whose last owner has gone after the reclaimer passed them: many push, the reclaimer empties.
#[derive(Default)]
pub(crate) struct VersionStack(AtomicPtr<Version>);

impl VersionStack {
    pub(crate) fn is_empty(&self) -> bool {
        // [O6] Relaxed: a look that saves the swap.
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// # Safety
    /// `let_go` has just returned true for this version: [V4] its stack link is the caller's until then.
    pub(crate) unsafe fn push(&self, version: NonNull<Version>) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: a parked version is not freed before it has been popped from here.
            unsafe { version.as_ref() }.stack_link().store(head, Ordering::Relaxed);
            // [O6] Release, partner of the Acquire in `take_all`.
            match self.0.compare_exchange_weak(head, version.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    pub(crate) fn take_all(&self) -> *mut Version {
        // [O6] Acquire, partner of the Release in `push`.
        self.0.swap(ptr::null_mut(), Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Corruption;
    use crate::identity::{GREATEST_COUNT, tests::ends_the_process};
    use crate::publish::VersionHandle;
    use crate::view::View;

    /// [V2], and who is told that nobody is left.
    #[test]
    fn ownership_is_had_from_owners_only_and_its_end_is_reported_once_parked() {
        // SAFETY: owned as often as it is let go of.
        let let_go = |version: &mut Version| unsafe { Version::let_go(NonNull::from(version)) };
        let mut version = Version::first(0, ptr::null());
        assert!(version.try_acquire());
        assert!(!let_go(&mut version) && !let_go(&mut version), "not parked, so nobody is told");
        assert!(!version.try_acquire());
        let mut version = Version::first(0, ptr::null());
        assert!(version.park() && version.try_acquire());
        assert!(!let_go(&mut version) && let_go(&mut version));
        assert!(!version.try_acquire());
        let mut version = Version::first(0, ptr::null());
        assert!(!let_go(&mut version) && !version.park());
        assert!(!version.try_acquire());
    }

    /// What is refused leaves no trace: a count taken below zero would look owned for ever.
    #[test]
    fn a_refused_handle_takes_nothing_from_the_count() {
        let mut version = Version::first(0, ptr::null());
        // SAFETY: owned once, and let go of once.
        unsafe { Version::let_go(NonNull::from(&mut version)) };
        // SAFETY: [V1] the version is on this stack.
        let refused = unsafe { VersionHandle::try_from_protected(NonNull::from(&mut version)) };
        assert!(refused.is_none());
        assert_eq!(version.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn owners_that_are_forgotten_do_not_wrap_the_count() {
        let counted = |count| {
            let version = Version::first(0, ptr::null());
            version.count.store(count, Ordering::Relaxed);
            version
        };
        let name = "version::tests::owners_that_are_forgotten_do_not_wrap_the_count";
        ends_the_process(name, || counted(GREATEST_COUNT + 1).acquire());
        counted(GREATEST_COUNT).acquire();
        assert!(counted(GREATEST_COUNT | PARKED).try_acquire());
    }

    #[test]
    fn a_count_that_does_not_add_up_is_named() {
        let mut version = Version::first(0, ptr::null());
        assert_eq!(View::new(&version).check(), Ok(()));
        version.len = 1;
        assert_eq!(View::new(&version).check(), Err(Corruption::COUNT));
    }
}
