//! Edits: go down, change the leaf, and take the news up.
//!
//! An edit finds its leaf, makes it its own (a copy, unless this edit made it before), and changes it. What
//! the parent has to know then climbs as [`News`]: where the node now is, its summary as far as it changed,
//! whether it was split, whether it has become too thin. Each node on the way is made the edit's own, told the news
//! of its child, and becomes the news for its parent:
//!
//! ```text
//!   root'   <- News { node: inner', last, first }      plant: the tree takes the new root
//!     |
//!   inner'  <- News { node: leaf', last, first: None,  adopt: one slot rewritten; a split child's right half inserted;
//!     |               split: None, thin: true }               a thin child mended with a sibling
//!   leaf'   changed
//! ```
//!
//! In a batch the way up ends early: where a node is the edit's own already and the news says nothing that
//! it does not hold, nothing above changes either.

use super::Tree;
use super::node::{
    CAPACITY, ChildPtr, EntryPtr, Handle, Inner, Key, LEAST_LEN, Leaf, Node, Private, Summary, Workshop, flip, unflip,
};
use super::path::{Path, path_to};
use super::rebalance;
use super::slots::Slots;
use crate::interval::Interval;
use std::ptr::NonNull;

/// Where an edit takes nodes from and leaves them.
///
/// A node that is handed out is the edit's alone, sized and aligned for its type; what is in it does not
/// matter. A replaced node stays allocated and unchanged, but for its link, at least until the edit returns.
pub(crate) trait NodeStore {
    /// The version of the edit: a node of this birth is private to it and is changed in place.
    fn birth(&self) -> u64;
    /// Cannot fail: enough were reserved, see [`Tree::worst_case`].
    fn take_leaf(&mut self) -> NonNull<Leaf>;
    /// Cannot fail: enough were reserved, see [`Tree::worst_case`].
    fn take_inner(&mut self) -> NonNull<Inner>;
    /// A published node that the new tree no longer reaches.
    fn replace_leaf(&mut self, old: NonNull<Leaf>);
    /// A published node that the new tree no longer reaches.
    fn replace_inner(&mut self, old: NonNull<Inner>);
    /// A private node that is no longer used.
    fn discard_leaf(&mut self, private: NonNull<Leaf>);
    /// A private node that is no longer used.
    fn discard_inner(&mut self, private: NonNull<Inner>);
}

/// What a changed node tells its parent.
pub(super) struct News {
    node: ChildPtr,
    last: i64,
    /// The key of the first entry below, if it may have changed.
    first: Option<Key>,
    /// The right half, if the node was split.
    split: Option<(ChildPtr, Summary)>,
    /// Whether the node has too few slots in use.
    thin: bool,
}

pub(super) fn insert<S: NodeStore>(
    tree: &mut Tree,
    workshop: &mut Workshop<'_, S>,
    interval: Interval,
    entry: EntryPtr,
) {
    let key = Key { start: flip(interval.start()), serial: workshop.serial_of(entry) };
    insert_key(tree, workshop, key, flip(interval.last()), entry);
}

fn insert_key<S: NodeStore>(tree: &mut Tree, workshop: &mut Workshop<'_, S>, key: Key, last: i64, entry: EntryPtr) {
    match find(tree, workshop, key) {
        None => {
            let leaf = workshop.fresh::<Leaf>(0);
            workshop.write(leaf).insert(0, key.start, last, entry);
            let news = leaf_news(workshop, leaf, Some(key));
            plant(tree, workshop, news);
        }
        Some(path) => {
            let news = insert_into_leaf(workshop, &path, key, last, entry);
            climb(tree, workshop, &path, news);
        }
    }
    tree.len += 1;
}

pub(super) fn remove<S: NodeStore>(
    tree: &mut Tree,
    workshop: &mut Workshop<'_, S>,
    start: u64,
    serial: u64,
) -> Option<(Interval, EntryPtr)> {
    let path = find(tree, workshop, Key { start: flip(start), serial })?;
    if !path.found {
        return None;
    }
    let slot = path.rank - 1;
    let leaf = workshop.read(path.leaf);
    let removed = (Interval::from_ordered(start, unflip(leaf.last[slot])), leaf.entry[slot]?);
    remove_at(tree, workshop, &path);
    Some(removed)
}

fn remove_at<S: NodeStore>(tree: &mut Tree, workshop: &mut Workshop<'_, S>, path: &Path) {
    let slot = path.rank - 1;
    let leaf = workshop.own(path.leaf);
    workshop.write(leaf).close_gap(slot);
    let first = (slot == 0).then(|| workshop.read(leaf.handle()).first());
    let news = leaf_news(workshop, leaf, first);
    climb(tree, workshop, path, news);
    tree.len -= 1;
}

pub(super) fn update<S: NodeStore>(
    tree: &mut Tree,
    workshop: &mut Workshop<'_, S>,
    start: u64,
    serial: u64,
    to: Interval,
) -> Option<Interval> {
    let key = Key { start: flip(start), serial };
    let path = find(tree, workshop, key)?;
    if !path.found {
        return None;
    }
    let slot = path.rank - 1;
    let leaf = workshop.read(path.leaf);
    let (old, entry) = (Interval::from_ordered(start, unflip(leaf.last[slot])), leaf.entry[slot]?);
    let to_key = Key { start: flip(to.start()), serial };
    if old == to {
        return Some(old);
    }
    if keeps_its_place(workshop, &path, key, to_key) {
        let leaf = workshop.own(path.leaf);
        workshop.write(leaf).set(slot, to_key.start, flip(to.last()), entry);
        let news = leaf_news(workshop, leaf, (slot == 0).then_some(to_key));
        climb(tree, workshop, &path, news);
    } else {
        remove_at(tree, workshop, &path);
        insert_key(tree, workshop, to_key, flip(to.last()), entry);
    }
    Some(old)
}

/// Whether the entry that `path` found, at `key`, may have the key `to` in the same slot.
///
/// The first slot of a leaf may not go below its key unless no leaf stands on its left: what stands there is
/// on no node of the path.
fn keeps_its_place<S: NodeStore>(workshop: &Workshop<'_, S>, path: &Path, key: Key, to: Key) -> bool {
    let (leaf, slot) = (workshop.read(path.leaf), path.rank - 1);
    let at = |slot: usize| Key { start: leaf.start[slot], serial: leaf.serial_at(slot) };
    let after_previous = match slot {
        0 => to >= key || path.steps.iter().all(|step| step.slot == 0),
        _ => leaf.start[slot - 1] < to.start || at(slot - 1) < to,
    };
    let before_next = || {
        if slot + 1 < leaf.len() {
            return leaf.start[slot + 1] > to.start || at(slot + 1) > to;
        }
        next_subtree_first(workshop, path).is_none_or(|next| to < next)
    };
    after_previous && before_next()
}

/// The key of the first entry behind the leaf of `path`.
fn next_subtree_first<S: NodeStore>(workshop: &Workshop<'_, S>, path: &Path) -> Option<Key> {
    path.steps.iter().rev().find_map(|step| {
        let inner = workshop.read(step.node);
        (step.slot + 1 < inner.len()).then(|| inner.first_at(step.slot + 1))
    })
}

/// The way to `key`; `None` in an empty tree.
fn find<S: NodeStore>(tree: &Tree, workshop: &Workshop<'_, S>, key: Key) -> Option<Path> {
    path_to(workshop.root(tree.root?, tree.height), key)
}

fn insert_into_leaf<S: NodeStore>(
    workshop: &mut Workshop<'_, S>,
    path: &Path,
    key: Key,
    last: i64,
    entry: EntryPtr,
) -> News {
    let rank = path.rank;
    let node = workshop.own(path.leaf);
    let first = (rank == 0).then_some(key);
    let leaf = workshop.write(node);
    if leaf.len() < CAPACITY {
        leaf.insert(rank, key.start, last, entry);
        return leaf_news(workshop, node, first);
    }
    let right = workshop.fresh::<Leaf>(0);
    let (leaf, right_leaf) = workshop.write_both(node, right);
    leaf.split_off(LEAST_LEN, right_leaf);
    if rank <= LEAST_LEN {
        leaf.insert(rank, key.start, last, entry);
    } else {
        right_leaf.insert(rank - LEAST_LEN, key.start, last, entry);
    }
    let summary = Summary { first: right_leaf.first(), last: right_leaf.greatest_last() };
    News { split: Some((right.address(), summary)), ..leaf_news(workshop, node, first) }
}

fn leaf_news<S: NodeStore>(workshop: &Workshop<'_, S>, node: Private<Leaf>, first: Option<Key>) -> News {
    let leaf = workshop.read(node.handle());
    News { node: node.address(), last: leaf.greatest_last(), first, split: None, thin: leaf.len() < LEAST_LEN }
}

fn inner_news<S: NodeStore>(workshop: &Workshop<'_, S>, node: Private<Inner>) -> News {
    let inner = workshop.read(node.handle());
    News {
        node: node.address(),
        last: inner.greatest_last(),
        first: Some(inner.first()),
        split: None,
        thin: inner.len() < LEAST_LEN,
    }
}

/// Takes the news of the leaf of `path` up to the root.
#[inline]
fn climb<S: NodeStore>(tree: &mut Tree, workshop: &mut Workshop<'_, S>, path: &Path, mut news: News) {
    for step in path.steps.iter().rev() {
        if workshop.is_private(step.node) && knows(workshop.read(step.node), step.slot, &news) {
            return;
        }
        let node = workshop.own(step.node);
        news = adopt(workshop, node, step.slot, &news);
    }
    plant(tree, workshop, news);
}

/// Whether the news tells an inner node nothing that it does not hold.
fn knows(inner: &Inner, slot: usize, news: &News) -> bool {
    inner.child[slot] == Some(news.node)
        && inner.last[slot] == news.last
        && news.first.is_none_or(|first| inner.first_at(slot) == first)
        && news.split.is_none()
        && !news.thin
}

/// Tells an inner node the news of the child in `slot`.
#[inline]
fn adopt<S: NodeStore>(workshop: &mut Workshop<'_, S>, node: Private<Inner>, slot: usize, news: &News) -> News {
    let inner = workshop.write(node);
    inner.child[slot] = Some(news.node);
    inner.last[slot] = news.last;
    if let Some(first) = news.first {
        inner.set_first(slot, first);
    }
    if let Some((right, summary)) = news.split {
        return insert_child(workshop, node, slot + 1, right, summary);
    }
    if news.thin {
        rebalance::mend(workshop, node, slot);
    }
    inner_news(workshop, node)
}

/// Inserts a child, and splits the node if it is full.
fn insert_child<S: NodeStore>(
    workshop: &mut Workshop<'_, S>,
    node: Private<Inner>,
    slot: usize,
    child: ChildPtr,
    summary: Summary,
) -> News {
    let inner = workshop.write(node);
    if inner.len() < CAPACITY {
        inner.insert(slot, child, summary);
        return inner_news(workshop, node);
    }
    let height = inner.header.height;
    let right = workshop.fresh::<Inner>(height);
    let (inner, right_inner) = workshop.write_both(node, right);
    inner.split_off(LEAST_LEN, right_inner);
    if slot <= LEAST_LEN {
        inner.insert(slot, child, summary);
    } else {
        right_inner.insert(slot - LEAST_LEN, child, summary);
    }
    let right_summary = Summary { first: right_inner.first(), last: right_inner.greatest_last() };
    News { split: Some((right.address(), right_summary)), ..inner_news(workshop, node) }
}

/// Takes the news of the root into the tree.
#[inline]
fn plant<S: NodeStore>(tree: &mut Tree, workshop: &mut Workshop<'_, S>, news: News) {
    tree.root = Some(news.node);
    tree.greatest_last = news.last;
    if let Some(first) = news.first {
        tree.lowest_start = first.start;
    }
    if let Some((right, summary)) = news.split {
        grow(tree, workshop, &news, right, summary);
    } else if news.thin {
        shrink(tree, workshop, news.node);
    }
}

/// Puts a new root above the two halves of the old one.
fn grow<S: NodeStore>(
    tree: &mut Tree,
    workshop: &mut Workshop<'_, S>,
    left: &News,
    right: ChildPtr,
    right_summary: Summary,
) {
    let left_first = match left.first {
        Some(first) => first,
        None => workshop.read(workshop.root_handle::<Leaf>(left.node)).first(),
    };
    let root = workshop.fresh::<Inner>(tree.height + 1);
    let inner = workshop.write(root);
    inner.insert(0, left.node, Summary { first: left_first, last: left.last });
    inner.insert(1, right, right_summary);
    tree.root = Some(root.address());
    tree.height += 1;
    tree.greatest_last = left.last.max(right_summary.last);
}

/// Gives up a root leaf without entries, or an inner root with one child.
fn shrink<S: NodeStore>(tree: &mut Tree, workshop: &mut Workshop<'_, S>, root: ChildPtr) {
    if tree.height == 0 {
        let leaf: Handle<Leaf> = workshop.root_handle(root);
        if workshop.read(leaf).len() == 0 {
            workshop.let_go(leaf);
            *tree = Tree { len: tree.len, ..Tree::EMPTY };
        }
        return;
    }
    let inner: Handle<Inner> = workshop.root_handle(root);
    if workshop.read(inner).len() == 1 {
        tree.root = workshop.read(inner).child[0];
        tree.height -= 1;
        workshop.let_go(inner);
    }
}
