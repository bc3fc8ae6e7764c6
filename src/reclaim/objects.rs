//! What is retired: nodes, tables, records and versions, and the lists that they stand in on their way.
//!
//! While a change is drafted, what it replaces is still everybody's, so it is noted in a list beside ([`Replaced`]). Once the
//! change has taken effect, the objects are the writer's to retire, and are linked through themselves ([`Chained`]).
//!
//! - **\[C3]** An object is in one list, and its link is that list's.

use std::ptr::{self, NonNull};

use super::pool::{Class, Depot, Workbench};
use crate::record::{Header, Releases};
use crate::roots::TableNode;
use crate::tree::{Inner, Leaf};
use crate::tuning::INLINE_REPLACED;
use crate::version::Version;

/// Something that a version no longer reaches and its base still does, or that base itself.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    Leaf(NonNull<Leaf>),
    Inner(NonNull<Inner>),
    Table(NonNull<TableNode>),
    Record(NonNull<Header>),
    Version(NonNull<Version>),
}

const TAGS: usize = 0b111;
const _: () = assert!(align_of::<Header>() > TAGS && align_of::<Version>() > TAGS);

impl Object {
    fn pack(self) -> *mut () {
        let (pointer, tag): (*mut (), usize) = match self {
            Object::Leaf(leaf) => (leaf.as_ptr().cast(), 0),
            Object::Inner(inner) => (inner.as_ptr().cast(), 1),
            Object::Table(table) => (table.as_ptr().cast(), 2),
            Object::Record(record) => (record.as_ptr().cast(), 3),
            Object::Version(version) => (version.as_ptr().cast(), 4),
        };
        // All five are aligned to eight bytes at least, so the tag finds room.
        pointer.map_addr(|address| address | tag)
    }

    fn unpack(packed: *mut ()) -> Option<Object> {
        let tag = packed.addr() & TAGS;
        let pointer = NonNull::new(packed.map_addr(|address| address & !TAGS))?;
        Some(match tag {
            0 => Object::Leaf(pointer.cast()),
            1 => Object::Inner(pointer.cast()),
            2 => Object::Table(pointer.cast()),
            3 => Object::Record(pointer.cast()),
            _ => Object::Version(pointer.cast()),
        })
    }

    /// The first version that reaches it.
    pub(super) fn birth(self) -> u64 {
        // SAFETY: [C3] in a list, so not freed.
        unsafe {
            match self {
                Object::Leaf(leaf) => leaf.as_ref().header.birth,
                Object::Inner(inner) => inner.as_ref().header.birth,
                Object::Table(table) => table.as_ref().header.birth,
                Object::Record(record) => record.as_ref().birth(),
                Object::Version(version) => version.as_ref().seq,
            }
        }
    }

    /// The bytes that it counts for.
    pub(crate) fn bytes(self) -> u64 {
        let bytes = match self {
            Object::Leaf(_) => Class::Leaf.slot_bytes(),
            Object::Inner(_) | Object::Table(_) | Object::Version(_) => Class::Large.slot_bytes(),
            // SAFETY: [C3] in a list, or about to be put in one.
            Object::Record(record) => unsafe { record.as_ref() }.kind().record_bytes,
        };
        bytes as u64
    }

    fn link(self) -> *mut () {
        // SAFETY: [C3] the list's own.
        unsafe {
            match self {
                Object::Leaf(leaf) => leaf.as_ref().header.link.get(),
                Object::Inner(inner) => inner.as_ref().header.link.get(),
                Object::Table(table) => table.as_ref().header.link.get(),
                Object::Record(record) => Header::list_link(record),
                Object::Version(version) => (*version.as_ref().lot.get()).link,
            }
        }
    }

    fn set_link(self, link: *mut ()) {
        // SAFETY: [C3] the list's own.
        unsafe {
            match self {
                Object::Leaf(leaf) => leaf.as_ref().header.link.set(link),
                Object::Inner(inner) => inner.as_ref().header.link.set(link),
                Object::Table(table) => table.as_ref().header.link.set(link),
                Object::Record(record) => Header::set_list_link(record, link),
                Object::Version(version) => (*version.as_ref().lot.get()).link = link,
            }
        }
    }

    /// Gives the memory back, or, of a record, the tree's reference.
    ///
    /// # Safety
    /// Nobody can reach it any more, and it is in no list.
    pub(super) unsafe fn free(self, outlet: &mut Outlet<'_>) {
        // SAFETY: says the caller.
        unsafe {
            match self {
                Object::Leaf(leaf) => {
                    leaf.as_ref().header.witness.end();
                    outlet.workbench.give(Class::Leaf, leaf.cast(), outlet.depot);
                }
                Object::Inner(inner) => {
                    inner.as_ref().header.witness.end();
                    outlet.give_large(inner.cast());
                }
                Object::Table(table) => {
                    table.as_ref().header.witness.end();
                    outlet.give_large(table.cast());
                }
                Object::Record(record) => give_up_record(record, outlet.released),
                Object::Version(version) => {
                    version.as_ref().witness.end();
                    outlet.give_large(version.cast());
                }
            }
        }
    }
}

/// Where a reclaimer leaves what it frees.
pub(crate) struct Outlet<'a> {
    pub(crate) workbench: &'a mut Workbench,
    pub(crate) depot: &'a Depot,
    pub(crate) released: &'a Releases,
}

impl Outlet<'_> {
    /// # Safety
    /// A large slot that nobody can reach any more.
    unsafe fn give_large(&mut self, slot: NonNull<u8>) {
        // SAFETY: says the caller.
        unsafe { self.workbench.give(Class::Large, slot, self.depot) };
    }
}

/// Gives up a reference to a record: a handle's, or that of the tree.
///
/// # Safety
/// [N1] The reference is the caller's, and used no more. For that of the tree: no version that holds the record can be
/// reached, and this has not been done before.
pub(crate) unsafe fn give_up_record(record: NonNull<Header>, released: &Releases) {
    // SAFETY: [N1] the reference kept it; [N2] the last reference pushes it, once.
    unsafe {
        if Header::let_go(record) {
            released.push(record);
        }
    }
}

/// Objects that are linked through themselves.
pub(crate) struct Chained {
    first: *mut (),
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Chained {
    pub(crate) const EMPTY: Chained = Chained { first: ptr::null_mut(), count: 0, bytes: 0 };

    /// What a change that has taken effect has replaced; the pages of the list are free at once.
    pub(crate) fn of(replaced: &mut Replaced, outlet: &mut Outlet<'_>) -> Self {
        let mut objects = Chained::EMPTY;
        while let Some((object, emptied)) = replaced.pop() {
            objects.push(object);
            // SAFETY: [C3] the list's own page, which nobody else has seen.
            emptied.into_iter().for_each(|page| unsafe { outlet.give_large(page.cast()) });
        }
        objects
    }

    pub(super) fn push(&mut self, object: Object) {
        object.set_link(self.first);
        self.first = object.pack();
        self.count += 1;
        self.bytes += object.bytes();
    }

    pub(super) fn pop(&mut self) -> Option<Object> {
        let object = Object::unpack(self.first)?;
        self.first = object.link();
        self.count -= 1;
        self.bytes -= object.bytes();
        Some(object)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }
}

/// What goes with a version that has been replaced: all that it was the last to reach.
pub(crate) struct Lot {
    /// The next version in a queue of lots.
    pub(super) next: *mut Version,
    pub(super) objects: Chained,
    /// The version's own, as an object in a list.
    link: *mut (),
}

impl Lot {
    pub(crate) const NONE: Lot = Lot { next: ptr::null_mut(), objects: Chained::EMPTY, link: ptr::null_mut() };
}

/// Objects in a page of replaced ones.
pub(crate) const PAGE_OBJECTS: usize = 64;

/// An overflow page of [`Replaced`], in a large slot of the pool.
#[repr(C, align(64))]
pub(crate) struct Page {
    next: *mut Page,
    objects: [*mut (); PAGE_OBJECTS],
}

/// The objects that a change replaces: a few in place, the rest on pages.
pub(crate) struct Replaced {
    count: usize,
    inline: [*mut (); INLINE_REPLACED],
    pages: *mut Page,
}

// SAFETY: [C3] the pages and objects belong to the list alone, whichever thread has it.
unsafe impl Send for Replaced {}

impl Replaced {
    pub(crate) const EMPTY: Replaced =
        Replaced { count: 0, inline: [ptr::null_mut(); INLINE_REPLACED], pages: ptr::null_mut() };

    /// Begins anew. Nothing is left in it but after a panic in the middle of a change, and then that stays where it was.
    pub(crate) fn forget(&mut self) {
        (self.count, self.pages) = (0, ptr::null_mut());
    }

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
}

const _: () = assert!(size_of::<Version>() <= Class::Large.slot_bytes());
const _: () = assert!(size_of::<TableNode>() <= Class::Large.slot_bytes());
const _: () = assert!(size_of::<Page>() <= Class::Large.slot_bytes());
