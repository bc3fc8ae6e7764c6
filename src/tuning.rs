//! Every number that was chosen rather than derived, in one place. `--cfg tiny_nodes` makes them small, so
//! that tests reach the rare paths; `--cfg loom` smaller still, because each step of a model multiplies its executions.

use std::time::Duration;

/// The usual number, the small one, or the one for models.
const fn choose(usual: usize, tiny: usize, modelled: usize) -> usize {
    if cfg!(loom) {
        modelled
    } else if cfg!(tiny_nodes) {
        tiny
    } else {
        usual
    }
}

/// Publications of one bench between two of its turns, each of which asks for a grace period.
pub(crate) const PUBLICATIONS_PER_TURN: u64 = choose(32, 2, 4) as u64;

/// The same where there are many threads.
pub(crate) const MOST_PUBLICATIONS_PER_TURN: u64 = choose(1024, 4, 4) as u64;

/// With so many threads, each of which the collector looks at, turns come after the root of so many times their number: 343
/// publications for 1,024 threads. A grace period costs about 40 ns a thread there, and what waits for one, a third of
/// a nanosecond a change and publication for being fetched from farther away.
pub(crate) const PUBLICATIONS_SQUARED_PER_THREAD: u64 = 115;

/// Bytes that wait at a bench beyond which turns are not put off.
pub(crate) const TURN_BYTES: u64 = 4 << 20;

/// Retired objects that one change looks at, besides twice what it has retired itself.
pub(crate) const STEP_OBJECTS: usize = choose(64, 8, 8);

/// Objects of another bench that a turn looks at.
pub(crate) const HELPED_OBJECTS: usize = choose(512, 32, 32);

/// Payloads that one changing operation drops for others.
pub(crate) const RELEASE_BUDGET: usize = 32;

/// Free slots of one class in one magazine of a workbench.
pub(crate) const MAGAZINE: usize = choose(128, 8, 8);

/// Shelves on which workbenches leave full magazines for one another.
pub(crate) const SHELVES: usize = choose(64, 64, 1);

/// Workbenches of one index: so many writers can be in the middle of a change without a spare one.
pub(crate) const WORKBENCHES: usize = choose(64, 64, 1);

/// Slots in one chunk of protection slots.
pub(crate) const SLOTS_OF_CHUNK: usize = choose(16, 2, 2);

/// Races that a change loses before it announces itself.
pub(crate) const LOST_BEFORE_ANNOUNCING: u32 = choose(16, 1, 1) as u32;

/// Time that a change loses before it does, if that is sooner.
pub(crate) const LOST_TIME_BEFORE_ANNOUNCING: Duration = Duration::from_micros(200);

/// Pauses that one backs off for at most after the first lost race, and half of it.
pub(crate) const LEAST_PAUSES: u64 = choose(128, 1, 1) as u64;

/// Pauses that one backs off for at most.
pub(crate) const MOST_PAUSES: u64 = choose(4096, 4, 2) as u64;

/// A pin that has held the horizon for so long is one that holds back.
pub(crate) const STUCK_FOR: Duration = Duration::from_millis(100);

/// Bytes of the first slab of a class; each further one doubles, up to [`LARGEST_SLAB`].
pub(crate) const FIRST_SLAB: usize = choose(2 << 10, 2 << 10, 4 << 10);

/// Bytes of the largest slab.
pub(crate) const LARGEST_SLAB: usize = 2 << 20;

/// Times an operation looks again for a notifier that another thread is moving, before it scans for it.
pub(crate) const LOCATE_ATTEMPTS: u32 = choose(64, 64, 2) as u32;

/// Bytes that may be retired and not yet freed, unless [`Config`](crate::Config) says otherwise.
pub(crate) const RETIRED_LIMIT: u64 = 256 << 20;

/// Rounds in which `maintain` pushes the epoch forward before it gives up.
pub(crate) const GRACE_ROUNDS: u32 = choose(64, 64, 3) as u32;

/// Rounds in which a change beyond the limit helps to reclaim, before it asks what holds so much back.
pub(crate) const RELIEF_ROUNDS: u32 = choose(8, 8, 3) as u32;

/// Objects listed in a version record itself before a page is taken.
pub(crate) const INLINE_REPLACED: usize = choose(20, 2, 8);

/// Owners whose root stands in the version record itself.
pub(crate) const INLINE_OWNERS: usize = choose(4, 2, 2);

/// Sections that can be active at once before further ones count as covering everything.
pub(crate) const SECTION_SLOTS: usize = choose(128, 3, 2);

/// Those of them that every index has.
pub(crate) const FEW_SECTION_SLOTS: usize = choose(4, 3, 2);

/// Lines on which threads count what sections and fillers do.
pub(crate) const TALLY_STRIPES: usize = 8;

/// Bells for those who wait for the callbacks of a removed notifier.
pub(crate) const REMOVAL_BELLS: usize = choose(16, 16, 2);

/// Indexes of which one thread tells its overflowing sections apart.
pub(crate) const OVERFLOWS_OF_THREAD: usize = choose(8, 2, 1);
