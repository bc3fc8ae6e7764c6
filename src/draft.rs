//! A version in the making: private to one writer until it is published, or abandoned without a trace.
//!
//! It starts as a copy of its base and takes every node that it changes from the writer's workbench. Nodes born
//! in it are changed in place, so many changes in one draft share their upper levels. What its base reaches and
//! it does not is listed beside. Memory is reserved before each change, so that a change either
//! happens wholly or fails before it began.
//!
//! Invariants:
//! - **\[D1]** The draft's version record, and each node whose birth is the draft's number and that is reached from
//!   the draft's roots, is private to the draft.
//! - **\[D2]** The base is protected for as long as the draft exists.

use std::ptr::NonNull;

use crate::interval::Interval;
use crate::reclaim::pool::{Class, Depot, NoMemory, Workbench};
use crate::reclaim::{Object, PAGE_OBJECTS, Page, Replaced};
use crate::record::{self, Header, Kind};
use crate::roots::{Root, TableNode, TableStore};
use crate::tree::{Inner, Leaf, NodeStore, Tree, TreeRef};
use crate::version::Version;

/// The rule that makes `take` infallible, for the message of an `expect`.
const RESERVED: &str = "slots are reserved before a change begins ([P1], Draft::reserve)";

/// A new version, not yet published.
pub(crate) struct Draft<'w> {
    stock: Stock<'w>,
}

/// The parts of a draft that a tree's edit needs while it changes one of the draft's trees.
struct Stock<'w> {
    workbench: &'w mut Workbench,
    depot: &'w Depot,
    version: NonNull<Version>,
    /// What its base reaches and it does not.
    replaced: &'w mut Replaced,
}

impl<'w> Draft<'w> {
    /// Begins a version on top of `base`.
    ///
    /// # Safety
    /// [D2] `base` stays protected for as long as the draft exists.
    pub(crate) unsafe fn begin(
        workbench: &'w mut Workbench,
        replaced: &'w mut Replaced,
        depot: &'w Depot,
        base: &Version,
    ) -> Result<Self, NoMemory> {
        replaced.forget();
        workbench.reserve(depot, 0, 1)?;
        let place = workbench.take(Class::Large).ok_or(NoMemory)?.cast::<Version>();
        // SAFETY: [D1] the slot is ours alone, and large enough.
        unsafe { Version::write_successor(place, base) };
        Ok(Draft { stock: Stock { workbench, depot, version: place, replaced } })
    }

    /// The version being made, as it stands.
    pub(crate) fn version(&self) -> &Version {
        self.stock.version()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.version().closed
    }

    /// The draft's present state of one owner's tree.
    pub(crate) fn tree(&self, owner: u64) -> TreeRef<'_> {
        self.version().tree(owner)
    }

    pub(crate) fn close(&mut self) {
        self.stock.version_mut().closed = true;
    }

    /// Makes sure of the memory for one insert, remove or update in one owner's tree.
    pub(crate) fn reserve(&mut self, owner: u64) -> Result<(), NoMemory> {
        let roots = &self.version().roots;
        let nodes = roots.get(owner).tree.worst_case();
        let tables = roots.worst_case(owner);
        let pages = (nodes.leaf + nodes.inner + tables + 1).div_ceil(PAGE_OBJECTS) + 1;
        let large = nodes.inner + tables + pages;
        self.stock.workbench.reserve(self.stock.depot, nodes.leaf, large)
    }

    /// Makes sure of the memory for building a tree of so many notifiers.
    pub(crate) fn reserve_build(&mut self, owner: u64, count: usize) -> Result<(), NoMemory> {
        let nodes = Tree::bulk_counts(count);
        let tables = self.version().roots.worst_case(owner);
        self.stock.workbench.reserve(self.stock.depot, nodes.leaf, nodes.inner + tables + 2)
    }

    /// Inserts a record. `reserve` went before.
    ///
    /// # Safety
    /// The record is private to the caller, and stays allocated until the version has gone.
    pub(crate) unsafe fn insert(&mut self, interval: Interval, record: NonNull<Header>) {
        let owner = self.stamp(interval, record);
        let mut root = self.root_for(owner, record);
        // SAFETY: [T1] by [D1] and [D2]; [T2] by [P1].
        unsafe { root.tree.insert(&mut self.stock, interval, record::entry_of(record)) };
        self.set_root(owner, root);
        self.stock.version_mut().len += 1;
    }

    /// Fills the empty tree of `owner` with records: in the order of insertion, and in that of their starts.
    /// `reserve_build` went before.
    ///
    /// # Safety
    /// As for `insert`; all records are the owner's.
    pub(crate) unsafe fn build(
        &mut self,
        owner: u64,
        given: impl Iterator<Item = (Interval, NonNull<Header>)>,
        sorted: &[(Interval, NonNull<Header>)],
    ) {
        for (interval, record) in given {
            self.stamp(interval, record);
        }
        let entries = sorted.iter().map(|(interval, record)| (*interval, record::entry_of(*record)));
        // SAFETY: [T2] by [P1]; the entries are allocated, says the caller.
        let tree = unsafe { Tree::bulk_build(&mut self.stock, entries) };
        let kind = sorted.first().map(|(_, record)| kind_of(*record));
        self.set_root(owner, Root { tree, kind });
        self.stock.version_mut().len += sorted.len() as u64;
    }

    fn stamp(&mut self, interval: Interval, record: NonNull<Header>) -> u64 {
        let version = self.stock.version_mut();
        let serial = version.next_serial;
        version.next_serial += 1;
        let birth = version.seq;
        // SAFETY: [N3] private to this writer, says `insert`'s caller.
        unsafe {
            record::stamp(record, serial, birth, interval.start());
            record.as_ref().owner()
        }
    }

    /// Removes the record that stands under `start`. `reserve` went before. `None` if it is not there.
    pub(crate) fn remove(&mut self, record: &Header, start: u64) -> Option<()> {
        let mut root = *self.version().roots.get(record.owner());
        // SAFETY: [T1] by [D1] and [D2]; [T2] by [P1].
        let removed = unsafe { root.tree.remove(&mut self.stock, start, record.serial()) };
        let (_, entry) = removed?;
        self.set_root(record.owner(), root);
        self.stock.version_mut().len -= 1;
        self.stock.replace(Object::Record(record::header_of(entry)));
        Some(())
    }

    /// Gives the record that stands under `start` new bounds; those it had. `reserve` went before. `None` if it is not there.
    pub(crate) fn update(&mut self, record: &Header, start: u64, to: Interval) -> Option<Interval> {
        let mut root = *self.version().roots.get(record.owner());
        // SAFETY: [T1] by [D1] and [D2]; [T2] by [P1].
        let updated = unsafe { root.tree.update(&mut self.stock, start, record.serial(), to) };
        if updated.is_some() {
            self.set_root(record.owner(), root);
        }
        updated
    }

    /// The root that the record is to be put under, of the record's kind.
    fn root_for(&self, owner: u64, record: NonNull<Header>) -> Root {
        let (root, kind) = (*self.version().roots.get(owner), kind_of(record));
        if !root.is_of(kind) {
            root.refuse(kind);
        }
        Root { kind: Some(kind), ..root }
    }

    fn set_root(&mut self, owner: u64, root: Root) {
        // A copy, because the table takes its nodes from the draft that holds it.
        let mut roots = self.version().roots;
        roots.set(owner, root, &mut self.stock);
        self.stock.version_mut().roots = roots;
    }

    /// The finished version, to be published or abandoned; what it replaces is in the list.
    pub(crate) fn finish(self) -> NonNull<Version> {
        self.stock.version
    }

    /// Returns all that is private to the draft to the workbench.
    ///
    /// # Safety
    /// It was not published; [D2] still holds.
    pub(crate) unsafe fn abandon(
        workbench: &'w mut Workbench,
        replaced: &'w mut Replaced,
        depot: &'w Depot,
        version: NonNull<Version>,
    ) {
        let mut stock = Stock { workbench, depot, version, replaced };
        let roots = stock.version().roots;
        let birth = stock.birth();
        // SAFETY: [T1] [D1] reached from the draft's roots, never published.
        roots.visit_private(birth, &mut |tree| unsafe { tree.discard_private(&mut stock) }, &mut |_| ());
        roots.visit_private(birth, &mut |_| (), &mut |table| stock.discard(Class::Large, table.cast()));
        while let Some((_, emptied)) = stock.replaced.pop() {
            if let Some(page) = emptied {
                stock.discard(Class::Large, page.cast());
            }
        }
        stock.discard(Class::Large, version.cast());
    }
}

fn kind_of(record: NonNull<Header>) -> &'static Kind {
    // SAFETY: [N3] private to this writer, and allocated.
    unsafe { record.as_ref() }.kind()
}

impl Stock<'_> {
    fn version(&self) -> &Version {
        // SAFETY: [D1] private and initialised by `begin`.
        unsafe { self.version.as_ref() }
    }

    fn version_mut(&mut self) -> &mut Version {
        // SAFETY: [D1] private and initialised by `begin`.
        unsafe { self.version.as_mut() }
    }

    fn take(&mut self, class: Class) -> NonNull<u8> {
        self.workbench.take(class).expect(RESERVED)
    }

    fn discard(&mut self, class: Class, slot: NonNull<u8>) {
        // SAFETY: [D1] private to the draft, which no longer uses it.
        unsafe { self.workbench.give(class, slot, self.depot) };
    }

    fn replace(&mut self, object: Object) {
        let version = self.version_mut();
        version.retired_bytes += object.bytes();
        version.retired_objects += 1;
        if self.replaced.wants_page() {
            let page = self.take(Class::Large).cast::<Page>();
            // SAFETY: [P1] a large slot is private memory enough for a page.
            unsafe { self.replaced.add_page(page) };
        }
        self.replaced.push(object);
    }
}

impl NodeStore for Stock<'_> {
    fn birth(&self) -> u64 {
        self.version().seq
    }

    fn take_leaf(&mut self) -> NonNull<Leaf> {
        self.version_mut().leaf_count += 1;
        self.take(Class::Leaf).cast()
    }

    fn take_inner(&mut self) -> NonNull<Inner> {
        self.version_mut().inner_count += 1;
        self.take(Class::Large).cast()
    }

    fn replace_leaf(&mut self, old: NonNull<Leaf>) {
        self.version_mut().leaf_count -= 1;
        self.replace(Object::Leaf(old));
    }

    fn replace_inner(&mut self, old: NonNull<Inner>) {
        self.version_mut().inner_count -= 1;
        self.replace(Object::Inner(old));
    }

    fn discard_leaf(&mut self, private: NonNull<Leaf>) {
        self.version_mut().leaf_count -= 1;
        self.discard(Class::Leaf, private.cast());
    }

    fn discard_inner(&mut self, private: NonNull<Inner>) {
        self.version_mut().inner_count -= 1;
        self.discard(Class::Large, private.cast());
    }
}

impl TableStore for Stock<'_> {
    fn table_birth(&self) -> u64 {
        self.version().seq
    }

    fn take_table(&mut self) -> NonNull<TableNode> {
        self.take(Class::Large).cast()
    }

    fn replace_table(&mut self, old: NonNull<TableNode>) {
        self.replace(Object::Table(old));
    }
}
