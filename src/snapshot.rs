//! Owning a version.

use std::fmt;

use crate::publish::VersionHandle;
use crate::shared::SharedEngine;
use crate::version::Version;
use crate::view::{View, queries};

/// An owned version, for long scans and other threads: it never changes.
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
#[derive(Clone)]
pub struct Snapshot {
    // Declared before the engine, so dropped before it ([V5]).
    version: VersionHandle,
    engine: SharedEngine,
}

impl Snapshot {
    pub(crate) fn new(version: VersionHandle, engine: SharedEngine) -> Self {
        Snapshot { version, engine }
    }

    /// The version, for as long as the snapshot is borrowed.
    #[inline]
    pub fn view(&self) -> View<'_> {
        View::new(&self.version)
    }

    /// Whether this is still the current version.
    pub fn is_current(&self) -> bool {
        self.engine.cell.is_current(&self.version)
    }

    queries!(self);

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(version {})", self.version.seq)
    }
}
