//! The table of roots: one tree per owner, persistent.
//!
//! The first few owners' trees stand in the version record itself. The others hang on a radix table over
//! the owner's number, copied by path like the trees, so that a publication costs O(log owners) and a reader
//! of an early owner follows no pointer more.
//!
//! Beside each tree stands the kind of its payloads: a look-up compares it with that of its `Ops` ([H3]), so even if two
//! owners had one number, none would read the other's payloads as its own.
//!
//! Invariants:
//! - **\[R1]** A table node reached from a protected version is allocated and unchanged. A node whose birth is
//!   the number of the draft that reaches it is private to that draft.

use std::ptr::{self, NonNull};

use crate::record::Kind;
use crate::tree::{NodeHeader, Tree};
use crate::tuning::INLINE_OWNERS;

const TREES: usize = 8;
const CHILDREN: usize = 32;

/// Levels that a table of all the numbers of owners there are takes, and one more.
const MOST_LEVELS: usize = 15;

/// One owner's tree, and what its payloads are.
#[derive(Clone, Copy)]
pub(crate) struct Root {
    pub(crate) tree: Tree,
    /// That of the records in the tree; where there are none, whichever was there last.
    pub(crate) kind: Option<&'static Kind>,
}

impl Root {
    const EMPTY: Root = Root { tree: Tree::EMPTY, kind: None };

    /// Whether the payloads in the tree are of this kind; an owner has one address of it for all of them.
    #[inline]
    pub(crate) fn is_of(&self, kind: &'static Kind) -> bool {
        self.kind.is_some_and(|own| ptr::eq(own, kind))
    }

    /// What a look-up with another kind comes to: nothing can be there, or the process must not go on.
    ///
    /// # Panics
    /// If payloads of another kind are there: two owners have one number, which [`Identities`](crate::identity) rules out.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, kind: &'static Kind) {
        let own = self.kind.map_or("nothing", Kind::type_name);
        assert!(self.tree.is_empty(), "[H3] an owner of {} has payloads of {own}", kind.type_name());
    }
}

/// A node of the table, in a large slot of the pool.
#[repr(C, align(64))]
pub(crate) struct TableNode {
    pub(crate) header: NodeHeader,
    slots: Slots,
}

#[derive(Clone, Copy)]
enum Slots {
    Roots([Root; TREES]),
    Children([Option<NonNull<TableNode>>; CHILDREN]),
}

impl Slots {
    fn empty(level: u32) -> Self {
        if level == 0 { Slots::Roots([Root::EMPTY; TREES]) } else { Slots::Children([None; CHILDREN]) }
    }
}

/// Where the draft takes table nodes from and leaves them.
pub(crate) trait TableStore {
    /// The number of the version being made.
    fn table_birth(&self) -> u64;
    /// Memory for a node; reserved before, so it cannot fail.
    fn take_table(&mut self) -> NonNull<TableNode>;
    /// A published node that the new table no longer reaches.
    fn replace_table(&mut self, old: NonNull<TableNode>);
}

/// One tree per owner.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Roots {
    inline: [Root; INLINE_OWNERS],
    table: Option<NonNull<TableNode>>,
    /// Levels of the table: 0 is none, 1 a single node of trees.
    levels: u32,
}

/// Owners that a table of so many levels holds.
const fn capacity(levels: u32) -> u64 {
    match levels {
        0 => 0,
        _ => (TREES as u64).saturating_mul((CHILDREN as u64).saturating_pow(levels - 1)),
    }
}

/// Which child of a node at `level` (0: trees) leads to `index`, and the index below it.
const fn step(level: u32, index: u64) -> (usize, u64) {
    let width = if level == 0 { 1 } else { capacity(level) };
    ((index / width) as usize, index % width)
}

impl Roots {
    pub(crate) const EMPTY: Roots = Roots { inline: [Root::EMPTY; INLINE_OWNERS], table: None, levels: 0 };

    /// Nodes that one `set` may take.
    pub(crate) fn worst_case(&self, owner: u64) -> usize {
        match owner.checked_sub(INLINE_OWNERS as u64) {
            None => 0,
            // Growing by a level takes a new top above the path.
            Some(_) => self.levels as usize + MOST_LEVELS,
        }
    }

    #[inline]
    pub(crate) fn get(&self, owner: u64) -> &Root {
        match usize::try_from(owner).ok().and_then(|owner| self.inline.get(owner)) {
            Some(root) => root,
            None => self.get_from_table(owner - INLINE_OWNERS as u64),
        }
    }

    fn get_from_table(&self, index: u64) -> &Root {
        const NONE: &Root = &Root::EMPTY;
        if index >= capacity(self.levels) {
            return NONE;
        }
        let (mut node, mut level, mut index) = (self.table, self.levels, index);
        while let Some(table) = node {
            level -= 1;
            let (slot, below) = step(level, index);
            index = below;
            // SAFETY: [R1] the roots belong to a protected version, or to the draft in hand.
            match unsafe { &(*table.as_ptr()).slots } {
                Slots::Roots(roots) => return roots.get(slot).unwrap_or(NONE),
                Slots::Children(children) => node = children.get(slot).copied().flatten(),
            }
        }
        NONE
    }

    /// The first owner from `owner` on that has a tree that is not empty.
    pub(crate) fn next_from(&self, owner: u64) -> Option<(u64, Tree)> {
        let mut owner = owner;
        while let Some(root) = usize::try_from(owner).ok().and_then(|owner| self.inline.get(owner)) {
            if !root.tree.is_empty() {
                return Some((owner, root.tree));
            }
            owner += 1;
        }
        let first = owner - INLINE_OWNERS as u64;
        let (index, tree) = next_below(self.table, self.levels, first)?;
        Some((index + INLINE_OWNERS as u64, tree))
    }

    /// The last owner below `owner` that has a tree that is not empty.
    pub(crate) fn previous_to(&self, owner: u64) -> Option<(u64, Tree)> {
        let inline_owners = INLINE_OWNERS as u64;
        if let Some(last) = owner.checked_sub(inline_owners + 1)
            && let Some((index, tree)) = last_below(self.table, self.levels, last)
        {
            return Some((index + inline_owners, tree));
        }
        let used = |owner: &usize| !self.inline[*owner].tree.is_empty();
        let found = (0..owner.min(inline_owners) as usize).rev().find(used)?;
        Some((found as u64, self.inline[found].tree))
    }

    /// Puts an owner's new root in.
    pub(crate) fn set(&mut self, owner: u64, root: Root, store: &mut impl TableStore) {
        if let Some(place) = usize::try_from(owner).ok().and_then(|owner| self.inline.get_mut(owner)) {
            *place = root;
            return;
        }
        let index = owner - INLINE_OWNERS as u64;
        while index >= capacity(self.levels) {
            self.grow(store);
        }
        self.table = Some(set_below(self.table, self.levels - 1, index, root, store));
    }

    fn grow(&mut self, store: &mut impl TableStore) {
        if let Some(old) = self.table {
            let mut top = fresh(self.levels, store);
            // SAFETY: [R1] just taken, so private to the draft.
            if let Slots::Children(children) = unsafe { &mut top.as_mut().slots } {
                children[0] = Some(old);
            }
            self.table = Some(top);
        }
        self.levels += 1;
    }

    /// Visits the trees and the table nodes that were made by the draft numbered `birth`: the former first.
    pub(crate) fn visit_private(
        &self,
        birth: u64,
        tree: &mut impl FnMut(&Tree),
        node: &mut impl FnMut(NonNull<TableNode>),
    ) {
        self.inline.iter().for_each(|root| tree(&root.tree));
        visit_private_below(self.table, birth, tree, node);
    }
}

fn next_below(node: Option<NonNull<TableNode>>, levels: u32, from: u64) -> Option<(u64, Tree)> {
    let table = node?;
    if from >= capacity(levels) {
        return None;
    }
    let level = levels - 1;
    let (first, mut below) = step(level, from);
    // SAFETY: [R1] the roots belong to a protected version.
    match unsafe { &(*table.as_ptr()).slots } {
        Slots::Roots(roots) => {
            let found = (first..TREES).find(|slot| !roots[*slot].tree.is_empty())?;
            Some((found as u64, roots[found].tree))
        }
        Slots::Children(children) => {
            for (slot, child) in children.iter().enumerate().skip(first) {
                if let Some((index, tree)) = next_below(*child, level, below) {
                    return Some((slot as u64 * capacity(level) + index, tree));
                }
                below = 0;
            }
            None
        }
    }
}

/// The last tree up to index `to`.
fn last_below(node: Option<NonNull<TableNode>>, levels: u32, to: u64) -> Option<(u64, Tree)> {
    let table = node?;
    let level = levels - 1;
    let (last, mut below) = step(level, to.min(capacity(levels) - 1));
    // SAFETY: [R1] the roots belong to a protected version.
    match unsafe { &(*table.as_ptr()).slots } {
        Slots::Roots(roots) => {
            let found = (0..=last).rev().find(|slot| !roots[*slot].tree.is_empty())?;
            Some((found as u64, roots[found].tree))
        }
        Slots::Children(children) => {
            for slot in (0..=last).rev() {
                if let Some((index, tree)) = last_below(children[slot], level, below) {
                    return Some((slot as u64 * capacity(level) + index, tree));
                }
                below = u64::MAX;
            }
            None
        }
    }
}

fn fresh(level: u32, store: &mut impl TableStore) -> NonNull<TableNode> {
    let node = store.take_table();
    let header = NodeHeader::new(store.table_birth(), 0, 0);
    // SAFETY: [R1] private memory, just taken.
    unsafe { node.write(TableNode { header, slots: Slots::empty(level) }) };
    node
}

/// The node itself if it is the draft's own, else a private copy of it (or an empty one).
fn private(node: Option<NonNull<TableNode>>, level: u32, store: &mut impl TableStore) -> NonNull<TableNode> {
    let Some(old) = node else {
        return fresh(level, store);
    };
    // SAFETY: [R1] reached from the draft's roots.
    if unsafe { old.as_ref().header.birth } == store.table_birth() {
        return old;
    }
    let copy = store.take_table();
    // SAFETY: [R1] as above; the copy is private memory.
    unsafe { copy.write(TableNode { header: NodeHeader::new(store.table_birth(), 0, 0), slots: old.as_ref().slots }) };
    store.replace_table(old);
    copy
}

fn set_below(
    node: Option<NonNull<TableNode>>,
    level: u32,
    index: u64,
    root: Root,
    store: &mut impl TableStore,
) -> NonNull<TableNode> {
    let mut own = private(node, level, store);
    let (slot, below) = step(level, index);
    // SAFETY: [R1] private to the draft.
    match unsafe { &mut own.as_mut().slots } {
        Slots::Roots(roots) => roots[slot] = root,
        Slots::Children(children) => {
            children[slot] = Some(set_below(children[slot], level - 1, below, root, store));
        }
    }
    own
}

fn visit_private_below(
    node: Option<NonNull<TableNode>>,
    birth: u64,
    tree: &mut impl FnMut(&Tree),
    visit: &mut impl FnMut(NonNull<TableNode>),
) {
    let Some(table) = node else { return };
    // SAFETY: [R1] reached from the draft's roots.
    let inner = unsafe { table.as_ref() };
    // A node that only became the child of a new top is older, and so is all below it.
    if inner.header.birth != birth {
        return;
    }
    match &inner.slots {
        Slots::Roots(roots) => roots.iter().for_each(|root| tree(&root.tree)),
        Slots::Children(children) => {
            children.iter().for_each(|child| visit_private_below(*child, birth, tree, visit));
        }
    }
    visit(table);
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::ops::Ops;
    use crate::record::Kind;
    use crate::{Interval, NotifierIndex};

    /// Were two owners to get one number, as a counter that wraps would give it, neither reads the other's payloads.
    #[test]
    fn no_payload_is_read_as_another_type_even_under_one_number() {
        let index = NotifierIndex::new();
        let numbers = Ops::<[u64; 3]>::new(index.engine().id, 7, Kind::passive::<[u64; 3]>());
        let words = Ops::<String>::new(index.engine().id, 7, Kind::passive::<String>());
        let _numbers = index.insert(&numbers, Interval::point(1), [5; 3]).unwrap();
        let guard = index.pin();
        let panics = |act: &dyn Fn()| catch_unwind(AssertUnwindSafe(act)).is_err();
        assert!(panics(&|| _ = guard.find(&words, Interval::point(1))));
        assert!(panics(&|| _ = guard.find_all(&words, Interval::point(1))));
        assert!(panics(&|| drop(index.insert(&words, Interval::point(2), String::new()))));
        assert!(guard.view().iter().all(|hit| hit.downcast(&words).is_none()));
        assert!(guard.view().iter().all(|hit| hit.downcast(&numbers).is_some_and(|hit| *hit.payload() == [5; 3])));
    }
}
