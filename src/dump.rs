//! A listing for people.

use std::fmt;

use crate::snapshot::Snapshot;

/// A listing of one version, written by `Display`: one notifier a line, owner by owner, ascending.
///
/// ```text
/// 0000000000001000-0000000000001fff 0 alloc::Extent
/// ```
///
/// That is: first and last address, the owner's number, and [its name](crate::NotifierIndex::name_owner) if it has one, and
/// the payload's type. A notifier that has been removed
/// since is marked so. The last line says whether all invariants of the trees hold.
pub struct Dump {
    snapshot: Snapshot,
}

impl Dump {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Dump { snapshot }
    }

    /// An owner's number, and its name.
    fn owner(&self, number: u64) -> String {
        match self.snapshot.engine().settings.name_of(number) {
            Some(name) => format!("{number} {name}"),
            None => number.to_string(),
        }
    }

    /// The nodes of all trees as a graph for `dot` of Graphviz: what is in which node, how full it is, and in which version
    /// it was born.
    ///
    /// ```
    /// # use notifier_index::{Interval, NotifierIndex};
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<u32>();
    /// let _registration = index.insert(&ops, Interval::new(0x1000, 0x1fff).unwrap(), 1).unwrap();
    /// let graph = index.dump().dot().to_string();
    /// assert!(graph.starts_with("digraph") && graph.contains("0000000000001000-0000000000001fff"));
    /// ```
    pub fn dot(&self) -> impl fmt::Display + '_ {
        Dot(self)
    }
}

struct Dot<'d>(&'d Dump);

impl fmt::Display for Dot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.0.snapshot.version();
        writeln!(
            f,
            "digraph notifiers {{\n  node [shape=box, fontname=monospace];\n  label=\"version {}\";",
            version.seq
        )?;
        let mut owner = Some(0);
        while let Some((found, tree)) = owner.and_then(|owner| version.next_tree(owner)) {
            writeln!(f, "  owner{found} [label=\"owner {}: {} notifiers\"];", self.0.owner(found), tree.len())?;
            tree.write_picture(f, &format!("owner{found}"))?;
            owner = found.checked_add(1);
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for hit in self.snapshot.view() {
            let kind = hit.header().kind().type_name();
            let removed = if hit.is_live() { "" } else { " (removed)" };
            writeln!(f, "{:016x}-{:016x} {} {kind}{removed}", hit.start(), hit.last(), self.owner(hit.owner()))?;
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
