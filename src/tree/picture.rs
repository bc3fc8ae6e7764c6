//! A picture of a tree's nodes, in the language of Graphviz.

use std::fmt;

use super::TreeRef;
use super::node::{CAPACITY, Kind, NodeRef, unflip};
use super::slots::Slots;

impl TreeRef<'_> {
    /// Writes one box a node, with the addresses below it, how full it is and in which version it was born; and an
    /// arrow from each node to each of its children. `name` tells the boxes from those of other trees.
    pub(crate) fn write_picture(self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let Some(root) = self.root() else { return Ok(()) };
        let mut picture = Picture { f, name, node_count: 0 };
        let root = picture.subtree(root)?;
        writeln!(picture.f, "  {name} -> {name}_{root};")
    }
}

struct Picture<'p, 'f> {
    f: &'p mut fmt::Formatter<'f>,
    name: &'p str,
    node_count: usize,
}

impl Picture<'_, '_> {
    /// Writes a node and all below it; its number.
    fn subtree(&mut self, node: NodeRef<'_>) -> Result<usize, fmt::Error> {
        let number = self.node_count;
        self.node_count += 1;
        match node.kind() {
            Kind::Leaf(leaf) => {
                let last = leaf.last.iter().copied().max().unwrap_or_default();
                self.boxed(number, leaf.start[0], last, leaf.len(), leaf.header.birth)?;
            }
            Kind::Inner(inner) => {
                let last = inner.last.iter().copied().max().unwrap_or_default();
                self.boxed(number, inner.start[0], last, inner.len(), inner.header.birth)?;
                for child in (0..inner.len()).filter_map(|slot| inner.child(slot)) {
                    let child = self.subtree(child)?;
                    writeln!(self.f, "  {0}_{number} -> {0}_{child};", self.name)?;
                }
            }
        }
        Ok(number)
    }

    fn boxed(&mut self, number: usize, start: i64, last: i64, len: usize, birth: u64) -> fmt::Result {
        let (start, last, name) = (unflip(start), unflip(last), self.name);
        writeln!(self.f, "  {name}_{number} [label=\"{start:016x}-{last:016x}\\n{len}/{CAPACITY}, version {birth}\"];")
    }
}
