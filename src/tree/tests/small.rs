//! Every small tree: all sequences of up to a few intervals over five addresses, in every order.
//!
//! The trees are visited depth first. Persistence does the work: a sequence that is one longer is one edit of
//! the tree of the shorter one, which stays as it was for the next.
//! `SMALL_TREE_LEN` sets the length; the default is small enough for an unoptimised build.

use super::super::{Inner, Leaf, NodeStore, Tree};
use super::model::{Item, Model};
use super::world::Entries;
use crate::interval::Interval;
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

/// The first and the last address are among them.
const ADDRESSES: [u64; 5] = [0, 1, 2, u64::MAX - 1, u64::MAX];

fn longest() -> usize {
    let by_default = if cfg!(debug_assertions) { 4 } else { 5 };
    std::env::var("SMALL_TREE_LEN").ok().and_then(|len| len.parse().ok()).unwrap_or(by_default)
}

/// A stack of nodes: those of a deeper edit are above, and go when it is done.
struct Stack {
    birth: u64,
    leaves: Vec<NonNull<Leaf>>,
    inners: Vec<NonNull<Inner>>,
    used: (usize, usize),
}

fn allocate<N>(nodes: &mut Vec<NonNull<N>>, used: &mut usize) -> NonNull<N> {
    if *used == nodes.len() {
        // SAFETY: [T2] A node is not of size zero.
        nodes.push(NonNull::new(unsafe { alloc(Layout::new::<N>()) }).expect("memory").cast());
    }
    *used += 1;
    nodes[*used - 1]
}

impl NodeStore for Stack {
    fn birth(&self) -> u64 {
        self.birth
    }
    fn take_leaf(&mut self) -> NonNull<Leaf> {
        allocate(&mut self.leaves, &mut self.used.0)
    }
    fn take_inner(&mut self) -> NonNull<Inner> {
        allocate(&mut self.inners, &mut self.used.1)
    }
    fn replace_leaf(&mut self, _old: NonNull<Leaf>) {}
    fn replace_inner(&mut self, _old: NonNull<Inner>) {}
    fn discard_leaf(&mut self, _private: NonNull<Leaf>) {}
    fn discard_inner(&mut self, _private: NonNull<Inner>) {}
}

impl Drop for Stack {
    fn drop(&mut self) {
        for leaf in &self.leaves {
            // SAFETY: [T2] Allocated with this layout, and the test is over.
            unsafe { dealloc(leaf.as_ptr().cast(), Layout::new::<Leaf>()) }
        }
        for inner in &self.inners {
            // SAFETY: [T2] Allocated with this layout, and the test is over.
            unsafe { dealloc(inner.as_ptr().cast(), Layout::new::<Inner>()) }
        }
    }
}

struct Explorer {
    store: Stack,
    intervals: Vec<Interval>,
    /// An entry for each position of a sequence, so that the serial is the order of insertion.
    items: Vec<Item>,
    tree_count: u64,
}

impl Explorer {
    /// Does one edit, shows its result to `look`, and takes it back.
    fn with_edit(&mut self, tree: Tree, edit: impl FnOnce(&mut Tree, &mut Stack), look: impl FnOnce(&mut Self, Tree)) {
        let (mut edited, used) = (tree, self.store.used);
        self.store.birth += 1;
        edit(&mut edited, &mut self.store);
        look(self, edited);
        self.store.used = used;
        self.store.birth -= 1;
    }

    fn extend(&mut self, tree: Tree, model: &Model, longest: usize) {
        self.verify(tree, model);
        self.remove_each(tree, model);
        if model.items.len() == longest {
            return;
        }
        for interval in self.intervals.clone() {
            let item = Item { interval, ..self.items[model.items.len()] };
            let mut longer = model.clone();
            longer.insert(item);
            // SAFETY: [T1] [T2] Entries live as long as the test; the stack hands out nodes that are not in use.
            let insert = |tree: &mut Tree, store: &mut Stack| unsafe { tree.insert(store, interval, item.entry) };
            self.with_edit(tree, insert, |explorer, tree| explorer.extend(tree, &longer, longest));
        }
    }

    fn remove_each(&mut self, tree: Tree, model: &Model) {
        for (index, &item) in model.items.iter().enumerate() {
            let mut shorter = model.clone();
            shorter.items.remove(index);
            let remove = |tree: &mut Tree, store: &mut Stack| {
                // SAFETY: [T1] [T2] As for insertion.
                let removed = unsafe { tree.remove(store, item.interval.start(), item.serial) };
                assert_eq!(removed, Some((item.interval, item.entry)));
            };
            self.with_edit(tree, remove, |explorer, tree| explorer.verify(tree, &shorter));
        }
    }

    fn verify(&mut self, tree: Tree, model: &Model) {
        self.tree_count += 1;
        // SAFETY: [T1] The nodes of the edits above this one are in use.
        let tree = unsafe { tree.as_ref() };
        assert_eq!(tree.check(), Ok(()));
        assert!(tree.matching(u64::MAX, 0).map(super::model::item).eq(model.items.iter().copied()));
        for &query in &self.intervals {
            assert_eq!(tree.first_overlap(query).map(super::model::item), model.first_overlap(query));
        }
        for address in ADDRESSES {
            assert_eq!(tree.gap_at(address), model.gap_at(address));
            assert_eq!(tree.first_after(address).map(super::model::item), model.first_after(address));
            assert_eq!(tree.last_before(address).map(super::model::item), model.last_before(address));
        }
    }
}

#[test]
fn every_small_tree_in_every_order_agrees_with_the_model() {
    let longest = longest();
    let mut entries = Entries::default();
    let items =
        (1..=longest as u64).map(|serial| Item { interval: Interval::FULL, serial, entry: entries.make(serial) });
    let pairs = ADDRESSES.iter().flat_map(|&start| ADDRESSES.iter().map(move |&last| (start, last)));
    let mut explorer = Explorer {
        store: Stack { birth: 1, leaves: Vec::new(), inners: Vec::new(), used: (0, 0) },
        intervals: pairs.filter_map(|(start, last)| Interval::new(start, last).ok()).collect(),
        items: items.collect(),
        tree_count: 0,
    };
    explorer.extend(Tree::EMPTY, &Model::default(), longest);
    assert!(explorer.tree_count >= 15u64.pow(longest as u32));
}
