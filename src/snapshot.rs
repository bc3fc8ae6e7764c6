//! Keeping a version.

use std::alloc::handle_alloc_error;
use std::fmt;
use std::ptr::NonNull;

use crate::reclaim::pool::NoMemory;
use crate::shared::SharedEngine;
use crate::slots::{OwnSlot, Slots, UserKind};
use crate::version::Version;
use crate::view::{View, queries};

/// A version of its own, for long scans and other threads: it never changes.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<u32>();
/// let registration = index.insert(&ops, Interval::point(7), 7).unwrap();
/// let snapshot = index.snapshot();
/// registration.remove().unwrap();
/// assert_eq!(snapshot.view().len(), 1);
/// let hit = snapshot.find(&ops, Interval::point(7)).unwrap();
/// assert!(!hit.is_live());
/// ```
///
/// Consistency: the version that was current when it was taken, which is linearizable.
///
/// Complexity: O(1); it takes a slot, which clones share, and of which each reclaimer reads one line.
///
/// Blocking: never. It keeps the nodes of its version, and nothing newer.
///
/// ```compile_fail,E0505
/// let index = notifier_index::NotifierIndex::new();
/// let snapshot = index.snapshot();
/// let view = snapshot.view();
/// drop(snapshot);
/// view.len();
/// ```
/// ```
/// let index = notifier_index::NotifierIndex::new();
/// let snapshot = index.snapshot();
/// let view = snapshot.view();
/// view.len();
/// drop(snapshot);
/// ```
#[must_use = "it keeps its version only as long as it is kept"]
pub struct Snapshot {
    version: NonNull<Version>,
    // Declared before the engine, so dropped before it.
    slot: OwnSlot,
    engine: SharedEngine,
}

// SAFETY: [V1] the version is kept by the slot, and may be looked at from any thread.
unsafe impl Send for Snapshot {}
// SAFETY: as above.
unsafe impl Sync for Snapshot {}

impl Snapshot {
    pub(crate) fn new(engine: SharedEngine) -> Self {
        Self::try_new(engine).unwrap_or_else(|NoMemory| handle_alloc_error(Slots::layout()))
    }

    pub(crate) fn try_new(engine: SharedEngine) -> Result<Self, NoMemory> {
        let slot = engine.slots.take(UserKind::Snapshot)?;
        let version = slot.mark().protect(&engine.cell);
        Ok(Snapshot { version, slot, engine })
    }

    /// The version, for as long as the snapshot is borrowed.
    #[inline]
    pub fn view(&self) -> View<'_> {
        View::new(self.version())
    }

    /// Whether this is still the current version.
    pub fn is_current(&self) -> bool {
        self.engine.cell.is_current(self.version.as_ptr())
    }

    queries!(self);

    pub(crate) fn engine(&self) -> &SharedEngine {
        &self.engine
    }

    pub(crate) fn version(&self) -> &Version {
        // SAFETY: [V1] kept by the slot for as long as this, or a clone, is there.
        unsafe { self.version.as_ref() }
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        Snapshot { version: self.version, slot: self.slot.share(), engine: self.engine.clone() }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(version {})", self.version().seq)
    }
}
