//! A listing for people.

use std::fmt;

use crate::snapshot::Snapshot;

/// A listing of one version, written by `Display`: one notifier a line, owner by owner, ascending.
///
/// ```text
/// 0000000000001000-0000000000001fff 0 alloc::Extent
/// ```
///
/// That is: first and last address, the owner's number, and the payload's type. A notifier that has been removed
/// since is marked so. The last line says whether all invariants of the trees hold.
pub struct Dump {
    snapshot: Snapshot,
}

impl Dump {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Dump { snapshot }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for hit in self.snapshot.view() {
            let kind = hit.header().kind().type_name();
            let removed = if hit.is_live() { "" } else { " (removed)" };
            writeln!(f, "{:016x}-{:016x} {} {kind}{removed}", hit.start(), hit.last(), hit.owner())?;
        }
        match self.snapshot.view().check() {
            Ok(()) => writeln!(f, "version {}: sound", self.snapshot.view().version()),
            Err(corruption) => writeln!(f, "version {}: {corruption}", self.snapshot.view().version()),
        }
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dump({:?})", self.snapshot)
    }
}
