//! Every invariant that `check` names, broken on purpose and caught.

use super::super::node::{CAPACITY, Inner, Leaf, UNUSED_LAST, UNUSED_START, flip};
use super::super::{NodeStore, Tree, Violation};
use super::store::TestStore;
use super::world::{Entries, World};
use crate::interval::Interval;
use std::error::Error;
use std::ptr::NonNull;

/// The parts of a tree of height 1 with two leaves, the second of them not full; open to be broken.
struct Parts<'t> {
    tree: &'t mut Tree,
    root: &'t mut Inner,
    left: &'t mut Leaf,
    right: &'t mut Leaf,
}

/// What `check` says of a sound tree after `sabotage`.
fn check_after(sabotage: impl FnOnce(Parts<'_>)) -> Result<(), Violation> {
    let (mut entries, mut store) = (Entries::default(), TestStore::new());
    let len = CAPACITY as u64 + CAPACITY as u64 / 2 + 1;
    let sorted: Vec<_> = (1..=len)
        .map(|serial| (Interval::from_ordered(100 * serial, 100 * serial + 50), entries.make(serial)))
        .collect();
    // SAFETY: [T1] [T2] The entries outlive the tree; the store hands out fresh allocations.
    let mut tree = unsafe { Tree::bulk_build(&mut store, sorted.into_iter()) };
    let mut root: NonNull<Inner> = tree.root.expect("a root").cast();
    // SAFETY: [T2] [T3] The tree is private, of height 1 and has two different leaves below its root.
    unsafe {
        let [mut left, mut right] = [0, 1].map(|slot| root.as_ref().child[slot].expect("a leaf").cast::<Leaf>());
        let parts = Parts { tree: &mut tree, root: root.as_mut(), left: left.as_mut(), right: right.as_mut() };
        sabotage(parts);
        tree.as_ref().check()
    }
}

#[test]
fn a_sound_tree_passes() {
    assert_eq!(check_after(|_| {}), Ok(()));
}

#[test]
fn keys_out_of_order_are_caught() {
    let swapped = check_after(|parts| {
        parts.left.start.swap(0, 1);
        parts.left.last.swap(0, 1);
        parts.left.entry.swap(0, 1);
    });
    assert_eq!(swapped, Err(Violation::Order));
    let across = check_after(|parts| parts.right.start[0] = flip(150));
    assert_eq!(across, Err(Violation::Order));
    let same_key_twice = check_after(|parts| {
        parts.left.start[1] = parts.left.start[0];
        parts.left.entry[1] = parts.left.entry[0];
    });
    assert_eq!(same_key_twice, Err(Violation::Order));
}

#[test]
fn an_inverted_entry_is_caught() {
    assert_eq!(check_after(|parts| parts.left.last[1] = parts.left.start[1] - 1), Err(Violation::Inverted));
}

#[test]
fn a_wrong_first_key_is_caught() {
    assert_eq!(check_after(|parts| parts.root.start[1] -= 1), Err(Violation::First));
    assert_eq!(check_after(|parts| parts.root.serial[1] -= 1), Err(Violation::First));
    assert_eq!(check_after(|parts| parts.tree.lowest_start -= 1), Err(Violation::First));
}

#[test]
fn a_wrong_greatest_last_address_is_caught() {
    assert_eq!(check_after(|parts| parts.root.last[0] += 1), Err(Violation::GreatestLast));
    assert_eq!(check_after(|parts| parts.tree.greatest_last += 1), Err(Violation::GreatestLast));
}

#[test]
fn a_thin_node_is_caught() {
    let leaf = check_after(|parts| parts.right.header.len = CAPACITY as u8 / 2 - 1);
    assert_eq!(leaf, Err(Violation::Thin));
    assert_eq!(check_after(|parts| parts.root.header.len = 1), Err(Violation::Thin));
}

#[test]
fn an_overfull_node_is_caught() {
    let overfull = check_after(|parts| parts.left.header.len = CAPACITY as u8 + 1);
    assert_eq!(overfull, Err(Violation::Overfull));
}

#[test]
fn a_missing_entry_or_child_is_caught() {
    assert_eq!(check_after(|parts| parts.left.entry[0] = None), Err(Violation::Missing));
    assert_eq!(check_after(|parts| parts.root.child[1] = None), Err(Violation::Missing));
}

#[test]
fn an_unused_slot_that_searches_could_find_is_caught() {
    let unused = CAPACITY - 1;
    assert_eq!(check_after(|parts| parts.right.last[unused] = 0), Err(Violation::UnusedSlot));
    assert_eq!(check_after(|parts| parts.right.start[unused] = 0), Err(Violation::UnusedSlot));
    assert_eq!(check_after(|parts| parts.right.entry[unused] = parts.right.entry[0]), Err(Violation::UnusedSlot));
    assert_eq!(check_after(|parts| parts.root.last[unused] = 0), Err(Violation::UnusedSlot));
    assert_eq!(check_after(|parts| parts.root.start[unused] = 0), Err(Violation::UnusedSlot));
    assert_eq!(check_after(|parts| parts.root.serial[unused] = 0), Err(Violation::UnusedSlot));
    assert_eq!(check_after(|parts| parts.root.child[unused] = parts.root.child[0]), Err(Violation::UnusedSlot));
}

#[test]
fn a_node_of_another_height_is_caught() {
    assert_eq!(check_after(|parts| parts.right.header.height = 1), Err(Violation::Height));
    assert_eq!(check_after(|parts| parts.root.header.height = 2), Err(Violation::Height));
}

#[test]
fn a_wrong_length_is_caught() {
    assert_eq!(check_after(|parts| parts.tree.len += 1), Err(Violation::Len));
}

#[test]
fn a_node_younger_than_its_parent_is_caught() {
    assert_eq!(check_after(|parts| parts.right.header.birth += 1), Err(Violation::Birth));
}

#[test]
fn an_empty_tree_with_a_summary_is_caught() {
    let check = |tree: Tree| {
        // SAFETY: [T1] The tree reaches nothing.
        unsafe { tree.as_ref() }.check()
    };
    assert_eq!(check(Tree::EMPTY), Ok(()));
    assert_eq!(check(Tree { len: 1, ..Tree::EMPTY }), Err(Violation::Len));
    assert_eq!(check(Tree { height: 1, ..Tree::EMPTY }), Err(Violation::Height));
    assert_eq!(check(Tree { lowest_start: UNUSED_START - 1, ..Tree::EMPTY }), Err(Violation::First));
    assert_eq!(check(Tree { greatest_last: UNUSED_LAST + 1, ..Tree::EMPTY }), Err(Violation::GreatestLast));
}

#[test]
fn a_violation_is_an_error_that_says_what_is_broken() {
    let error: Box<dyn Error> = Box::new(Violation::Order);
    assert_eq!(error.to_string(), "keys do not ascend");
    let all = [
        Violation::Order,
        Violation::Inverted,
        Violation::First,
        Violation::GreatestLast,
        Violation::Thin,
        Violation::Overfull,
        Violation::Missing,
        Violation::UnusedSlot,
        Violation::Height,
        Violation::Len,
        Violation::Birth,
    ];
    let texts: std::collections::BTreeSet<String> = all.iter().map(Violation::to_string).collect();
    assert!(texts.len() == all.len() && texts.iter().all(|text| !text.ends_with('.')));
}

/// The store itself must catch what it is there for.
mod store {
    use super::*;

    fn full_leaf() -> World {
        World::of((0..CAPACITY as u64).map(Interval::point))
    }

    #[test]
    #[should_panic(expected = "a private node is not reached")]
    fn a_leaked_node_is_caught() {
        let mut world = full_leaf();
        world.store.take_leaf();
        world.publish();
    }

    #[test]
    #[should_panic(expected = "a published node was changed")]
    fn a_changed_published_node_is_caught() {
        let mut world = full_leaf();
        let mut leaf: NonNull<Leaf> = world.tree.root.expect("a root").cast();
        // SAFETY: [T3] The tree is a leaf, and nobody else looks at it; changing it is the point.
        unsafe { leaf.as_mut() }.last[0] += 1;
        world.publish();
    }

    #[test]
    #[should_panic(expected = "replaced while")]
    fn a_node_replaced_twice_is_caught() {
        let mut world = full_leaf();
        let leaf = world.tree.root.expect("a root").cast();
        world.store.replace_leaf(leaf);
        world.store.replace_leaf(leaf);
    }

    #[test]
    #[should_panic(expected = "a replaced node is still reached")]
    fn a_replaced_node_that_is_still_reached_is_caught() {
        let mut world = full_leaf();
        world.store.replace_leaf(world.tree.root.expect("a root").cast());
        world.publish();
    }
}
