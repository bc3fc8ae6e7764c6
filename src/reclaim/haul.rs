//! What one turn of the reclaimer has found to be free: carried out of its lock and freed outside.
//!
//! So the lock is held for a few pointers a version, and a thread that is preempted while it frees holds up nobody.

use std::ptr::NonNull;

use arrayvec::ArrayVec;

use super::freed::Freed;
use super::pool::{Class, Depot, Workbench};
use super::{bytes_of, give_up_record};
use crate::record::RecordStack;
use crate::tuning::HAUL_LISTS;
use crate::version::{Object, Page, Replaced, Version};

const OBJECTS: usize = 256;
const PAGES: usize = 8;
/// A version that goes may take its base's record along.
const RECORDS: usize = 2 * (HAUL_LISTS + 1);

/// Where a reclaimer leaves what it frees.
pub(crate) struct Outlet<'a> {
    pub(crate) workbench: &'a mut Workbench,
    pub(crate) depot: &'a Depot,
    pub(crate) released: &'a RecordStack,
    pub(crate) freed: &'a Freed,
}

/// Things that nobody can reach any more, by the two-condition rule.
pub(crate) struct Haul {
    lists: ArrayVec<Replaced, HAUL_LISTS>,
    objects: ArrayVec<Object, OBJECTS>,
    pages: ArrayVec<NonNull<Page>, PAGES>,
    records: ArrayVec<NonNull<Version>, RECORDS>,
}

impl Haul {
    pub(crate) fn new() -> Self {
        Haul { lists: ArrayVec::new(), objects: ArrayVec::new(), pages: ArrayVec::new(), records: ArrayVec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.objects.is_empty() && self.pages.is_empty() && self.records.is_empty()
    }

    /// Room for one object with its page, one list, and the records of one version that goes.
    pub(super) fn has_room(&self) -> bool {
        !self.lists.is_full()
            && !self.objects.is_full()
            && !self.pages.is_full()
            && self.records.remaining_capacity() >= 2
    }

    pub(super) fn add_list(&mut self, list: Replaced) {
        self.lists.push(list);
    }

    pub(super) fn add_object(&mut self, object: Object) {
        self.objects.push(object);
    }

    pub(super) fn add_page(&mut self, page: NonNull<Page>) {
        self.pages.push(page);
    }

    pub(super) fn add_record(&mut self, version: NonNull<Version>) {
        self.records.push(version);
    }

    /// Frees all of it.
    pub(crate) fn free(self, outlet: &mut Outlet<'_>) {
        let mut tally = Tally::default();
        for object in self.objects {
            tally.free(object, outlet);
        }
        for mut list in self.lists {
            while let Some((object, emptied)) = list.pop() {
                tally.free(object, outlet);
                emptied.into_iter().for_each(|page| tally.give(page.cast(), outlet));
            }
        }
        self.pages.into_iter().for_each(|page| tally.give(page.cast(), outlet));
        self.records.into_iter().for_each(|record| tally.give_record(record, outlet));
        outlet.freed.note_freed(tally.objects, tally.bytes);
    }
}

#[derive(Default)]
struct Tally {
    objects: u64,
    bytes: u64,
}

impl Tally {
    fn free(&mut self, object: Object, outlet: &mut Outlet<'_>) {
        self.objects += 1;
        self.bytes += bytes_of(object);
        // SAFETY: [C4] nobody can reach what is in a haul, and it is in no other list.
        unsafe {
            match object {
                Object::Leaf(leaf) => {
                    leaf.as_ref().header.witness.end();
                    outlet.workbench.give(Class::Leaf, leaf.cast(), outlet.depot);
                }
                Object::Inner(inner) => {
                    inner.as_ref().header.witness.end();
                    outlet.workbench.give(Class::Large, inner.cast(), outlet.depot);
                }
                Object::Table(table) => {
                    table.as_ref().header.witness.end();
                    outlet.workbench.give(Class::Large, table.cast(), outlet.depot);
                }
                Object::Record(record) => give_up_record(record, outlet.released),
            }
        }
    }

    fn give_record(&mut self, version: NonNull<Version>, outlet: &mut Outlet<'_>) {
        // SAFETY: [C4] as in `free`.
        unsafe { version.as_ref() }.witness.end();
        self.give(version.cast(), outlet);
    }

    /// Gives back a page or a version record.
    fn give(&mut self, slot: NonNull<u8>, outlet: &mut Outlet<'_>) {
        self.bytes += Class::Large.slot_bytes() as u64;
        // SAFETY: [C4] as in `free`.
        unsafe { outlet.workbench.give(Class::Large, slot, outlet.depot) };
    }
}
