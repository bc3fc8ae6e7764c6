//! The slots of a node as a list: inserting, removing, and moving runs of them between siblings.
//!
//! Leaves and inner nodes differ in the arrays they have, not in how slots move. Each says how a run of slots
//! is copied ([`Slots::copy_from`], [`Slots::move_within`]) and how the rest is marked unused
//! ([`Slots::set_len`]); all other motions are made of these three.

use super::node::{CAPACITY, ChildPtr, EntryPtr, Inner, Key, Leaf, Summary, UNUSED_LAST, UNUSED_SERIAL, UNUSED_START};
use std::ops::Range;

/// A list of up to [`CAPACITY`] slots.
pub(super) trait Slots {
    /// The number of used slots.
    fn len(&self) -> usize;

    /// Copies a run of slots of another node to `at`, without changing the length.
    fn copy_from(&mut self, at: usize, other: &Self, run: Range<usize>);

    /// Copies a run of slots to `at`, which may overlap it, without changing the length.
    fn move_within(&mut self, run: Range<usize>, at: usize);

    /// Sets the length, and marks the slots from there to the end of the old length as unused.
    fn set_len(&mut self, len: usize);

    /// The greatest last address of the used slots.
    fn greatest_last(&self) -> i64;

    /// Makes room for one slot at `at`, whose contents are then stale.
    #[inline]
    fn open_gap(&mut self, at: usize) {
        let len = self.len();
        self.move_within(at..len, at + 1);
        self.set_len(len + 1);
    }

    /// Removes the slot at `at`.
    #[inline]
    fn close_gap(&mut self, at: usize) {
        let len = self.len();
        self.move_within(at + 1..len, at);
        self.set_len(len - 1);
    }

    /// Moves the slots from `at` to the end into `right`, which is unused.
    fn split_off(&mut self, at: usize, right: &mut Self) {
        let len = self.len();
        right.copy_from(0, self, at..len);
        right.set_len(len - at);
        self.set_len(at);
    }

    /// Appends a copy of all slots of the right sibling.
    fn absorb_right(&mut self, right: &Self) {
        let len = self.len();
        self.copy_from(len, right, 0..right.len());
        self.set_len(len + right.len());
    }

    /// Puts a copy of all slots of the left sibling in front.
    fn absorb_left(&mut self, left: &Self) {
        let (len, more) = (self.len(), left.len());
        self.move_within(0..len, more);
        self.copy_from(0, left, 0..more);
        self.set_len(len + more);
    }

    /// Moves slots over the border between two siblings until their lengths differ by one at most.
    fn balance(&mut self, right: &mut Self) {
        let (len, right_len) = (self.len(), right.len());
        let target = (len + right_len) / 2;
        if len < target {
            self.copy_from(len, right, 0..target - len);
            self.set_len(target);
            right.move_within(target - len..right_len, 0);
        } else {
            right.move_within(0..right_len, len - target);
            right.copy_from(0, self, target..len);
            self.set_len(target);
        }
        right.set_len(len + right_len - target);
    }
}

impl Slots for Leaf {
    #[inline(always)]
    fn len(&self) -> usize {
        usize::from(self.header.len)
    }

    #[inline]
    fn copy_from(&mut self, at: usize, other: &Leaf, run: Range<usize>) {
        let to = at..at + run.len();
        self.last[to.clone()].copy_from_slice(&other.last[run.clone()]);
        self.start[to.clone()].copy_from_slice(&other.start[run.clone()]);
        self.entry[to].copy_from_slice(&other.entry[run]);
    }

    #[inline]
    fn move_within(&mut self, run: Range<usize>, at: usize) {
        self.last.copy_within(run.clone(), at);
        self.start.copy_within(run.clone(), at);
        self.entry.copy_within(run, at);
    }

    #[inline]
    fn set_len(&mut self, len: usize) {
        for slot in len..self.len() {
            self.last[slot] = UNUSED_LAST;
            self.start[slot] = UNUSED_START;
            self.entry[slot] = None;
        }
        self.header.len = len as u8;
    }

    #[inline]
    fn greatest_last(&self) -> i64 {
        greatest(&self.last)
    }
}

impl Slots for Inner {
    #[inline(always)]
    fn len(&self) -> usize {
        usize::from(self.header.len)
    }

    #[inline]
    fn copy_from(&mut self, at: usize, other: &Inner, run: Range<usize>) {
        let to = at..at + run.len();
        self.last[to.clone()].copy_from_slice(&other.last[run.clone()]);
        self.child[to.clone()].copy_from_slice(&other.child[run.clone()]);
        self.start[to.clone()].copy_from_slice(&other.start[run.clone()]);
        self.serial[to].copy_from_slice(&other.serial[run]);
    }

    #[inline]
    fn move_within(&mut self, run: Range<usize>, at: usize) {
        self.last.copy_within(run.clone(), at);
        self.child.copy_within(run.clone(), at);
        self.start.copy_within(run.clone(), at);
        self.serial.copy_within(run, at);
    }

    #[inline]
    fn set_len(&mut self, len: usize) {
        for slot in len..self.len() {
            self.last[slot] = UNUSED_LAST;
            self.child[slot] = None;
            self.start[slot] = UNUSED_START;
            self.serial[slot] = UNUSED_SERIAL;
        }
        self.header.len = len as u8;
    }

    #[inline]
    fn greatest_last(&self) -> i64 {
        greatest(&self.last)
    }
}

impl Leaf {
    #[inline]
    pub(super) fn set(&mut self, slot: usize, start: i64, last: i64, entry: EntryPtr) {
        self.last[slot] = last;
        self.start[slot] = start;
        self.entry[slot] = Some(entry);
    }

    /// Inserts an entry at `slot`; there must be room.
    #[inline]
    pub(super) fn insert(&mut self, slot: usize, start: i64, last: i64, entry: EntryPtr) {
        self.open_gap(slot);
        self.set(slot, start, last, entry);
    }
}

impl Inner {
    #[inline]
    pub(super) fn first_at(&self, slot: usize) -> Key {
        Key { start: self.start[slot % CAPACITY], serial: self.serial[slot % CAPACITY] }
    }

    #[inline]
    pub(super) fn set_first(&mut self, slot: usize, first: Key) {
        self.start[slot] = first.start;
        self.serial[slot] = first.serial;
    }

    #[inline]
    pub(super) fn set(&mut self, slot: usize, child: ChildPtr, summary: Summary) {
        self.child[slot] = Some(child);
        self.last[slot] = summary.last;
        self.set_first(slot, summary.first);
    }

    /// Inserts a child at `slot`; there must be room.
    pub(super) fn insert(&mut self, slot: usize, child: ChildPtr, summary: Summary) {
        self.open_gap(slot);
        self.set(slot, child, summary);
    }
}

/// The greatest of a node's keys, in four chains side by side. Unused slots hold the least key.
#[inline]
fn greatest(keys: &[i64; CAPACITY]) -> i64 {
    let mut chains = [i64::MIN; 4];
    for four in keys.as_chunks::<4>().0 {
        for (chain, &key) in chains.iter_mut().zip(four) {
            *chain = (*chain).max(key);
        }
    }
    chains[0].max(chains[1]).max(chains[2].max(chains[3]))
}
