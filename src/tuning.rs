//! Every number that was chosen rather than derived, in one place. `--cfg tiny_nodes` makes them small, so
//! that tests reach the rare paths.

/// A publication whose number is a multiple of this asks for a grace period, and takes part in reclaiming.
pub(crate) const PUBLICATIONS_PER_GRACE: u64 = if cfg!(tiny_nodes) { 2 } else { 32 };

/// Versions that one turn of the reclaimer passes: more than come between two turns.
pub(crate) const HAUL_LISTS: usize = if cfg!(tiny_nodes) { 3 } else { 64 };

/// Retired objects waiting for the reclaimer, beyond which every change takes a turn.
pub(crate) const BACKLOG: u64 = if cfg!(tiny_nodes) { 64 } else { 4096 };

/// Payloads that one changing operation drops for others.
pub(crate) const RELEASE_BUDGET: usize = 32;

/// Free slots of one class in one magazine of a workbench.
pub(crate) const MAGAZINE: usize = if cfg!(tiny_nodes) { 8 } else { 128 };

/// Shelves on which workbenches leave full magazines for one another.
pub(crate) const SHELVES: usize = 64;

/// Workbenches of one index: so many writers can be in the middle of a change without a spare one.
pub(crate) const WORKBENCHES: usize = 64;

/// Bytes of the first slab of a class; each further one doubles, up to [`LARGEST_SLAB`].
pub(crate) const FIRST_SLAB: usize = 8 << 10;

/// Bytes of the largest slab.
pub(crate) const LARGEST_SLAB: usize = 2 << 20;

/// Times an operation looks again for a notifier that another thread is moving, before it scans for it.
pub(crate) const LOCATE_ATTEMPTS: u32 = 64;

/// Bytes that may be retired and not yet freed, unless [`Config`](crate::Config) says otherwise.
pub(crate) const RETIRED_LIMIT: u64 = 256 << 20;

/// Rounds in which a change, or `maintain`, pushes the epoch forward before it gives up.
pub(crate) const GRACE_ROUNDS: u32 = 64;

/// Objects listed in a version record itself before a page is taken.
pub(crate) const INLINE_REPLACED: usize = if cfg!(tiny_nodes) { 2 } else { 20 };

/// Owners whose root stands in the version record itself.
pub(crate) const INLINE_OWNERS: usize = if cfg!(tiny_nodes) { 2 } else { 4 };

/// Sections that can be active at once before further ones count as covering everything.
pub(crate) const SECTION_SLOTS: usize = if cfg!(tiny_nodes) { 3 } else { 128 };

/// Bells for those who wait for the callbacks of a removed notifier.
pub(crate) const REMOVAL_BELLS: usize = 16;

/// Indexes of which one thread tells its overflowing sections apart.
pub(crate) const OVERFLOWS_OF_THREAD: usize = if cfg!(tiny_nodes) { 2 } else { 8 };
