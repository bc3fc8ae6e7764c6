//! A tree with its store, its model and its past: every edit is done to both and verified.

use super::super::{EntryHeader, EntryPtr, Tree, TreeRef};
use super::model::{Item, Model};
use super::store::{TestStore, node_addresses};
use crate::interval::Interval;
use std::cell::Cell;
use std::ptr::NonNull;

pub(super) struct World {
    pub(super) store: TestStore,
    /// The tree and the model as the edit under way has them.
    pub(super) tree: Tree,
    pub(super) model: Model,
    /// The published versions, oldest first; the last is the newest.
    history: Vec<(Tree, Model)>,
    entries: Entries,
    next_serial: u64,
}

/// The entries of a test, which live until its end.
#[derive(Default)]
pub(super) struct Entries(Vec<NonNull<EntryHeader>>);

impl Entries {
    pub(super) fn make(&mut self, serial: u64) -> EntryPtr {
        let entry = NonNull::from(Box::leak(Box::new(EntryHeader { serial: Cell::new(serial) })));
        self.0.push(entry);
        EntryPtr(entry)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        for entry in self.0.drain(..) {
            // SAFETY: [T1] The entry was made of a box, and the test is over.
            drop(unsafe { Box::from_raw(entry.as_ptr()) });
        }
    }
}

/// As many versions of the past as are kept.
const HISTORY_LEN: usize = 6;

impl World {
    pub(super) fn new() -> World {
        World {
            store: TestStore::new(),
            tree: Tree::EMPTY,
            model: Model::default(),
            history: vec![(Tree::EMPTY, Model::default())],
            entries: Entries::default(),
            next_serial: 1,
        }
    }

    /// A published tree of these intervals, inserted in this order.
    pub(super) fn of(intervals: impl IntoIterator<Item = Interval>) -> World {
        let mut world = World::new();
        intervals.into_iter().for_each(|interval| world.insert(interval));
        world.publish();
        world
    }

    /// A published tree of these intervals, built at once.
    pub(super) fn bulk(intervals: &[Interval]) -> World {
        let mut world = World::new();
        for &interval in intervals {
            let item = world.new_item(interval);
            world.model.items.push(item);
        }
        world.model.sort();
        let sorted = world.model.items.iter().map(|item| (item.interval, item.entry));
        // SAFETY: [T1] [T2] The entries live as long as the world; the store hands out fresh allocations.
        world.tree = unsafe { Tree::bulk_build(&mut world.store, sorted) };
        assert_eq!(world.store.taken(), Tree::bulk_counts(intervals.len()));
        world.publish();
        world
    }

    pub(super) fn tree_ref(&self) -> TreeRef<'_> {
        // SAFETY: [T1] The store frees no node that the tree reaches, and the borrow keeps it unchanged.
        unsafe { self.tree.as_ref() }
    }

    fn new_item(&mut self, interval: Interval) -> Item {
        let serial = self.next_serial;
        self.next_serial += 1;
        Item { interval, serial, entry: self.entries.make(serial) }
    }

    pub(super) fn insert(&mut self, interval: Interval) {
        let item = self.new_item(interval);
        self.edit(|tree, store| {
            // SAFETY: [T1] [T2] The entry lives as long as the world; the store hands out fresh allocations.
            unsafe { tree.insert(store, interval, item.entry) }
        });
        self.model.insert(item);
    }

    /// Removes the item that stands at `index` of the model.
    pub(super) fn remove(&mut self, index: usize) {
        let item = self.model.items.remove(index);
        let removed = self.edit(|tree, store| {
            // SAFETY: [T1] [T2] As for insertion.
            unsafe { tree.remove(store, item.interval.start(), item.serial) }
        });
        assert_eq!(removed, Some((item.interval, item.entry)));
    }

    pub(super) fn update(&mut self, index: usize, to: Interval) {
        let item = self.model.items[index];
        let old = self.edit(|tree, store| {
            // SAFETY: [T1] [T2] As for insertion.
            unsafe { tree.update(store, item.interval.start(), item.serial, to) }
        });
        assert_eq!(old, Some(item.interval));
        self.model.items[index].interval = to;
        self.model.sort();
    }

    /// Removes and updates what is not there: neither changes anything.
    pub(super) fn miss(&mut self, start: u64, serial: u64) {
        let before = (node_addresses(&self.tree), self.tree.len());
        self.edit(|tree, store| {
            // SAFETY: [T1] [T2] As for insertion.
            unsafe {
                assert_eq!(tree.remove(store, start, serial), None);
                assert_eq!(tree.update(store, start, serial, Interval::FULL), None);
            }
        });
        assert_eq!((node_addresses(&self.tree), self.tree.len()), before);
    }

    /// Edits the tree and verifies that no more nodes were taken than announced.
    fn edit<T>(&mut self, edit: impl FnOnce(&mut Tree, &mut TestStore) -> T) -> T {
        let bound = self.tree.worst_case();
        let result = edit(&mut self.tree, &mut self.store);
        let taken = self.store.taken();
        assert!(taken.leaf <= bound.leaf && taken.inner <= bound.inner, "{taken:?} exceeds {bound:?}");
        assert_eq!(self.tree_ref().check(), Ok(()));
        result
    }

    pub(super) fn publish(&mut self) {
        // SAFETY: [T1] As for `tree_ref`, of which this is a copy beside the borrow of the store.
        self.store.publish(unsafe { self.tree.as_ref() });
        if self.history.len() == HISTORY_LEN {
            self.history.remove(1);
        }
        self.history.push((self.tree, self.model.clone()));
    }

    /// Drops the edit under way, as after a lost race.
    pub(super) fn abort(&mut self) {
        self.store.abort();
        let (tree, model) = self.history.last().expect("the empty tree at least").clone();
        (self.tree, self.model) = (tree, model);
        assert_eq!(self.tree_ref().check(), Ok(()));
    }

    /// Verifies the current tree, and that every version kept is as it was.
    pub(super) fn verify_all(&self) {
        self.model.verify_all(self.tree_ref());
        for (tree, model) in &self.history {
            // SAFETY: [T1] The store frees published nodes only at the end of the test.
            let tree = unsafe { tree.as_ref() };
            self.store.verify_unchanged(tree);
            assert_eq!(tree.check(), Ok(()));
            let all: Vec<Item> = tree.matching(u64::MAX, 0).map(super::model::item).collect();
            assert_eq!(all, model.items);
        }
    }
}
