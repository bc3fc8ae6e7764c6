//! What the job asks of an index of extents, so that it is written once for the index and for its locked rival.
//!
//! ```text
//!   extent hooks -> Driver -> ExtentIndex::{insert, remove, split, merge}          (writers, with jemalloc's locks held)
//!   finders      -> ExtentIndex::finder -> ExtentFinder::{find_each, cover, steady} (readers, with nothing held)
//! ```
//!
//! A name ([`NotifierId`]) carries the arena in its lowest bits: it is what a lookup hands to an allocator that wants to
//! know whose an address is, it costs both rivals the same, and it names a notifier uniquely for the replay.

use notifier_index::Reason;

use crate::jemalloc::page_mirror::PageMirror;
use crate::span::{Found, NotifierId, Span};

/// The owner that all extents are registered under.
pub(crate) const EXTENTS: u32 = 0;

/// Bits of a name that hold the number of the arena.
const ARENA_BITS: u32 = 12;

/// Makes the name of the so-many-th notifier, of an arena.
pub(crate) fn name_extent(serial: u64, arena: u32) -> NotifierId {
    serial << ARENA_BITS | u64::from(arena) & ((1 << ARENA_BITS) - 1)
}

/// The arena that a name carries.
pub(crate) fn arena_of(id: NotifierId) -> u32 {
    (id & ((1 << ARENA_BITS) - 1)) as u32
}

/// A way of looking through an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A `Reader` for each thread, refreshed by each find.
    Reader,
    /// A `Guard` pinned for each find.
    Guard,
    /// A `Snapshot` taken for each block of finds.
    Snapshot,
    /// The only way of a locked index.
    Locked,
}

impl Way {
    /// The contender's name in tables and rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Reader => "reader",
            Way::Guard => "guard",
            Way::Snapshot => "snapshot",
            Way::Locked => "locked-mutex",
        }
    }
}

/// What a find of an address said, and the version that it looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) version: u64,
    pub(crate) found: Option<Found>,
}

/// What one version says of a range, asked in each way that there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cover {
    /// What overlaps the range, ascending.
    pub(crate) all: Vec<Found>,
    /// How many the query over all owners names; `None` if there is no such query.
    pub(crate) any_owner_count: Option<usize>,
    /// What the gap query says of an address inside; `None` if there is no such query.
    pub(crate) gap: Option<Option<Span>>,
}

/// What is left over when all should be gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) retired_objects: u64,
    pub(crate) retired_bytes: u64,
    pub(crate) undropped_payloads: u64,
}

/// What became of an attempt to mirror some pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// No extent was found there, or it had gone or shrunk before the filler could begin.
    Nowhere,
    /// A section over it took too long.
    TimedOut,
    /// What was read may be old.
    Retry,
    /// So many pages are mirrored, and their entries are as new as they are.
    Filled(u64),
    /// They are mirrored although they are older than their pages.
    Older(String),
}

/// An index of extents. The changes are called with jemalloc's locks held: they wait for no reader and never panic.
/// A refused change has changed nothing and gives back the handles.
pub(crate) trait ExtentIndex: Send + Sync + 'static {
    /// The right to change one extent's interval.
    type Handle: Send;
    /// A thread's means of looking through the index.
    type Finder<'i>: ExtentFinder
    where
        Self: 'i;
    /// A range that is about to change, until it is dropped.
    type Section<'i>
    where
        Self: 'i;
    /// Its name in tables.
    const NAME: &'static str;
    /// The ways that a finder has.
    const WAYS: &'static [Way];
    /// Whether old versions can be kept, so that [`ExtentFinder::steady`] has something to say.
    const KEEPS_VERSIONS: bool;
    /// Whether [`ExtentIndex::mirror`] has one.
    const HAS_MIRROR: bool = false;

    /// Registers an interval, to be claimed; returns the version that it appeared in.
    fn insert(&self, span: Span, id: NotifierId) -> Option<u64>;
    /// The right to change the extent that is exactly this range, and its name; jemalloc serialises the hooks of one extent.
    fn claim(&self, span: Span) -> Option<(Self::Handle, NotifierId)>;
    /// Leaves an extent to be claimed anew.
    fn release(&self, handle: Self::Handle);
    /// Takes an interval away; returns the version that it was gone in.
    fn remove(&self, handle: Self::Handle) -> Result<u64, Self::Handle>;
    /// Shrinks an interval to `left` and registers `right`, in one version, both to be claimed.
    fn split(&self, handle: Self::Handle, left: Span, right: (Span, NotifierId)) -> Result<u64, Self::Handle>;
    /// Grows the first interval to `whole`, to be claimed, and takes the second away, in one version.
    fn merge(&self, handles: [Self::Handle; 2], whole: Span) -> Result<u64, [Self::Handle; 2]>;

    /// Begins a section: tells whoever mirrors the range.
    fn begin_section(&self, span: Span, reason: Reason) -> Self::Section<'_>;
    /// The mirror of the extents' pages, if there is one.
    fn mirror(&self) -> Option<&PageMirror> {
        None
    }
    /// How often a filler had to wait for a section.
    fn wait_count(&self) -> u64 {
        0
    }

    /// A finder for the calling thread.
    fn finder(&self) -> Self::Finder<'_>;
    /// A finder that looks at the version of now for ever: a sabotage. `None` where it cannot be made.
    fn stale_finder(&self) -> Option<Self::Finder<'_>>;
    /// Everything registered, in one version, and that version.
    fn contents(&self) -> (Vec<Found>, u64);
    /// Bytes that are retired and not yet freed; `None` if there is no such thing.
    fn retired_bytes(&self) -> Option<u64>;
    /// Frees what can be freed, and says what stays.
    fn settle(&self) -> Leftover;
}

/// A thread's means of looking through an index.
pub(crate) trait ExtentFinder {
    /// Finds the extent of each address; calls `tick` after each find, with its answer.
    fn find_each(&mut self, way: Way, addresses: &[u64], tick: impl FnMut(Answer));
    /// Describes a range, and an address inside it, in one version.
    fn cover(&mut self, way: Way, range: Span, inside: u64, cover: &mut Cover);
    /// Finds all addresses in one version, calls `meanwhile`, finds them again in the same version, and says whether
    /// the answers are the same; `None` if the index keeps no versions.
    fn steady(&mut self, way: Way, addresses: &[u64], meanwhile: impl FnOnce()) -> Option<bool>;
    /// Mirrors the pages of the range that belong to the extent at its start; calls `linger` between reading them and
    /// asking whether what was read is old.
    fn fill(&mut self, _way: Way, _range: Span, _linger: impl FnOnce()) -> Fill {
        Fill::Nowhere
    }
}
