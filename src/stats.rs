//! Counters for those who watch an index.

use std::fmt;

use crate::engine::Engine;
use crate::reclaim::pool::Class;
use crate::slots::Protected;
use crate::version::Version;

/// Counters of an index at one moment. Those of the version agree with one another; the others may be newer.
///
/// ```
/// let index = notifier_index::NotifierIndex::new();
/// assert_eq!(index.stats().live_notifiers, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of the current version, which is also the number of publications.
    pub version: u64,
    /// Notifiers of all owners.
    pub live_notifiers: u64,
    /// Tree nodes that the current version reaches.
    pub live_nodes: u64,
    /// Bytes of these nodes.
    pub node_bytes: u64,
    /// Levels of the highest tree: 0 if there is none, 1 for a single leaf.
    pub tree_height: u64,
    /// Nodes and notifiers that were replaced or removed and are not freed yet.
    pub retired_objects: u64,
    /// Bytes of these.
    pub retired_bytes: u64,
    /// Bytes that the pool has from the allocator, in use or not.
    pub pool_bytes: u64,
    /// Bytes of notifiers that nobody can reach any more, and whose payloads wait to be dropped.
    pub releasable_bytes: u64,
    /// Versions other than the current one that a reader, a snapshot, a section or a change looks at.
    pub owned_versions: u64,
    /// The oldest of these; the current version if there is none.
    pub oldest_version: u64,
    /// Publications since the last grace period that is known to have passed: how far a pin holds back, in versions.
    pub versions_awaiting_grace: u64,
    /// Changes that had to begin again because another was first.
    pub lost_races: u64,
    /// Times that a change which kept losing has asked the others to give way.
    pub announcements: u64,
    /// Sections begun.
    pub sections_started: u64,
    /// Sections that are active now.
    pub sections_active: u64,
    /// First passes of callbacks run.
    pub callbacks_run: u64,
    /// First passes that refused.
    pub callbacks_refused: u64,
    /// Calls of `read_begin` that had to wait.
    pub read_begin_waits: u64,
    /// Calls of `read_retry` that said to retry.
    pub retries: u64,
}

impl Stats {
    pub(crate) fn of(engine: &Engine) -> Self {
        engine.with_current(|version| Self::of_version(engine, version))
    }

    fn of_version(engine: &Engine, version: &Version) -> Self {
        let mut protected = Protected::default();
        engine.scan(&mut protected);
        let (owned_versions, oldest) = protected.summary(version.seq);
        let (sections_started, sections_active) = engine.sections.counts();
        Stats {
            version: version.seq,
            live_notifiers: version.len,
            live_nodes: version.leaf_count + version.inner_count,
            node_bytes: node_bytes_of(version),
            tree_height: height_of(version),
            retired_objects: version.retired_objects.saturating_sub(engine.freed.objects()),
            retired_bytes: engine.retired_bytes(version),
            pool_bytes: engine.depot.bytes(),
            releasable_bytes: engine.released.bytes(),
            owned_versions,
            oldest_version: oldest.unwrap_or(version.seq),
            versions_awaiting_grace: version.seq.saturating_sub(engine.horizon.load()),
            lost_races: engine.lost_race_count(),
            announcements: engine.courtesy.count(),
            sections_started,
            sections_active,
            callbacks_run: engine.tally.calls(),
            callbacks_refused: engine.tally.refusals(),
            read_begin_waits: engine.tally.begin_waits(),
            retries: engine.tally.retries(),
        }
    }
}

/// Bytes of the nodes that a version reaches.
pub(crate) fn node_bytes_of(version: &Version) -> u64 {
    version.leaf_count * Class::Leaf.slot_bytes() as u64 + version.inner_count * Class::Large.slot_bytes() as u64
}

fn height_of(version: &Version) -> u64 {
    let mut height = 0;
    let mut owner = 0;
    while let Some((found, tree)) = version.next_tree(owner) {
        height = height.max(u64::from(tree.height()) + 1);
        let Some(next) = found.checked_add(1) else { break };
        owner = next;
    }
    height
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "version {}: {} notifiers, {} nodes ({} bytes), height {}; retired {} ({} bytes); {} owned versions, oldest {}",
            self.version,
            self.live_notifiers,
            self.live_nodes,
            self.node_bytes,
            self.tree_height,
            self.retired_objects,
            self.retired_bytes,
            self.owned_versions,
            self.oldest_version,
        )
    }
}
