//! One version of the whole index: the roots of all owners, and the counts.
//!
//! ```text
//!   Version 7          roots: tree of owner 0, 1, 2, ..        (shares most nodes with its base, version 6)
//!     └ lot            once 7 is replaced by 8: what 7 reaches and 8 does not
//! ```
//!
//! A version is made in private (`draft.rs`), published once (`publish.rs`) and never changed after that; when it has been
//! replaced, its lot is written by the one writer that has replaced it.
//!
//! Invariants:
//! - **\[V1]** From its publication on, a version and everything reached through its roots is allocated and unchanged for as
//!   long as a mark protects its number (\[S1]), or it was loaded under a pin that still lasts, or it is not yet behind the
//!   horizon.
//! - **\[V4]** `lot` is touched by who has replaced the version, and then by the bench that it lies at.
//! - **\[V5]** The engine outlives every version.

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use crate::engine::Engine;
use crate::reclaim::Lot;
use crate::reclaim::pool::Class;
use crate::record::Kind;
use crate::roots::Roots;
use crate::shared::SharedEngine;
use crate::sync::Witness;
use crate::tree::TreeRef;

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
    pub(crate) lot: UnsafeCell<Lot>,
    pub(crate) lot_witness: Witness,
    engine: *const Engine,
    pub(crate) witness: Witness,
}

// SAFETY: [V1] what the pointers reach is immutable or atomic; [V4] the lot has one user at a time.
unsafe impl Send for Version {}
// SAFETY: as above.
unsafe impl Sync for Version {}

impl Version {
    /// The first version of an index: empty.
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
            lot: UnsafeCell::new(Lot::NONE),
            lot_witness: Witness::new(),
            engine,
            witness: Witness::new(),
        }
    }

    /// A copy of `base`, numbered next, that has replaced nothing but `base` itself.
    ///
    /// # Safety
    /// `place` is private memory for a version.
    pub(crate) unsafe fn write_successor(place: NonNull<Version>, base: &Version) {
        let successor = Version {
            roots: base.roots,
            seq: base.seq + 1,
            retired_bytes: base.retired_bytes + Class::Large.slot_bytes() as u64,
            retired_objects: base.retired_objects + 1,
            lot: UnsafeCell::new(Lot::NONE),
            lot_witness: Witness::new(),
            witness: Witness::new(),
            ..*base
        };
        // SAFETY: private memory, says the caller.
        unsafe { place.write(successor) };
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
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::error::Corruption;
    use crate::view::View;

    #[test]
    fn a_count_that_does_not_add_up_is_named() {
        let mut version = Version::first(0, ptr::null());
        assert_eq!(View::new(&version).check(), Ok(()));
        version.len = 1;
        assert_eq!(View::new(&version).check(), Err(Corruption::COUNT));
    }
}
