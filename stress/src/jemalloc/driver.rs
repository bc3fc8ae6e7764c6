//! Between jemalloc's hooks and the index: each thing that happens to an extent becomes one change of the index.
//!
//! ```text
//!   mapped  [a..c]        insert                                 one version
//!   split   [a..c] at b   { update [a..c] to [a..b], insert [b..c] }   one version: no reader sees a hole or a double
//!   merge   [a..b][b..c]  { update [a..b] to [a..c], remove [b..c] }   one version: likewise
//!   unmap   [a..b]        remove, and only then the memory goes
//! ```
//!
//! A change that the index refuses is refused to jemalloc too, with everything as it was. A range that jemalloc names
//! and that is not registered as exactly this range is a failed check: somebody lost a change before.
//!
//! jemalloc names an extent by its range. So does this: extents stand in the index without a handle, and the hook of an
//! extent claims it by its address.
//!
//! Everything here runs with jemalloc's locks held, on whichever thread needed memory: it takes a shard of the log for a
//! moment, calls the index, and never waits for a reader.

use std::sync::atomic::{AtomicU64, Ordering};

use notifier_index::Reason;

use crate::history::clock::StampClock;
use crate::jemalloc::change_log::ChangeLog;
use crate::jemalloc::checks::{Check, Checks};
use crate::jemalloc::extent_index::{EXTENTS, ExtentIndex, arena_of, name_extent};
use crate::model::Change;
use crate::span::{NotifierId, Span};

/// One split in so many is dropped by the sabotage, the first one included.
const SPLITS_PER_DROP: u64 = 10_000;

/// The change was not made; jemalloc is told so, and goes on as if it had not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// An extent that its hook has claimed.
struct Claimed<H> {
    handle: H,
    id: NotifierId,
}

/// How often each thing happened to extents, and how long the index took for it.
#[derive(Debug, Default)]
pub(crate) struct HookCounts {
    pub(crate) mapped: AtomicU64,
    pub(crate) unmapped: AtomicU64,
    pub(crate) split: AtomicU64,
    pub(crate) merged: AtomicU64,
    /// Changes that the index refused.
    pub(crate) refused: AtomicU64,
    /// Sections.
    pub(crate) sections: AtomicU64,
    /// Nanoseconds spent in the index, all threads together.
    pub(crate) index_ns: AtomicU64,
}

impl HookCounts {
    /// Changes made in all.
    pub(crate) fn total(&self) -> u64 {
        [&self.mapped, &self.unmapped, &self.split, &self.merged].into_iter().map(count_of).sum()
    }
}

/// Reads a counter; relaxed, because it is a figure for a report.
pub(crate) fn count_of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Adds to a counter; relaxed, as [`count_of`].
fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Takes one from a counter; relaxed, as [`count_of`].
fn count_down(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

/// The extents of some arenas, their index, and what was done to it.
pub(crate) struct Driver<I: ExtentIndex> {
    pub(crate) index: I,
    pub(crate) checks: Checks,
    pub(crate) log: ChangeLog,
    pub(crate) counts: HookCounts,
    /// Extents that should be in the index, as the hooks count them.
    extent_count: AtomicU64,
    clock: StampClock,
    next_serial: AtomicU64,
    /// Greatest version of a change that has returned: no find that begins now may look at an older one.
    returned: AtomicU64,
    drops_splits: bool,
}

impl<I: ExtentIndex> Driver<I> {
    /// A driver of an empty index; with the sabotage, it drops one split in 10,000.
    pub(crate) fn new(index: I, drops_splits: bool) -> Self {
        Driver {
            index,
            checks: Checks::default(),
            log: ChangeLog::default(),
            counts: HookCounts::default(),
            extent_count: AtomicU64::new(0),
            clock: StampClock::new(),
            next_serial: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            drops_splits,
        }
    }

    /// The least version that a find which begins now may look at.
    pub(crate) fn returned_version(&self) -> u64 {
        // Acquire, with the release in `record`: what had been done before that version had returned is visible.
        self.returned.load(Ordering::Acquire)
    }

    /// How many extents should be registered, by what the hooks have done.
    pub(crate) fn registered_count(&self) -> usize {
        count_of(&self.extent_count) as usize
    }

    /// Memory has been mapped: it becomes an extent.
    pub(crate) fn mapped(&self, span: Span, arena: u32) -> Result<(), Refused> {
        let id = self.name(arena);
        let (inserted, time) = self.timed(|| self.index.insert(span, id));
        let version = inserted.ok_or_else(|| self.refuse())?;
        count(&self.extent_count, 1);
        self.record(version, time, &[Change::Insert { owner: EXTENTS, id, span }]);
        count(&self.counts.mapped, 1);
        Ok(())
    }

    /// An extent is going to be unmapped: it is taken out; returns its arena, in case that it has to come back.
    pub(crate) fn unmapping(&self, span: Span) -> Result<u32, Refused> {
        let Claimed { handle, id } = self.claim(span, "unmap")?;
        match self.timed(|| self.index.remove(handle)) {
            (Ok(version), time) => self.record(version, time, &[Change::Remove { id }]),
            (Err(handle), _) => return Err(self.give_back(handle)),
        }
        count_down(&self.extent_count);
        count(&self.counts.unmapped, 1);
        Ok(arena_of(id))
    }

    /// An extent becomes two.
    pub(crate) fn split(&self, left: Span, right: Span, arena: u32) -> Result<(), Refused> {
        let whole = Span::between(left.start(), right.last());
        let Claimed { handle, id } = self.claim(whole, "split")?;
        let right_id = self.name(arena);
        let before = self.counts.split.fetch_add(1, Ordering::Relaxed);
        let changes = [Change::Update { id, span: left }, Change::Insert { owner: EXTENTS, id: right_id, span: right }];
        if self.drops_splits && before.is_multiple_of(SPLITS_PER_DROP) {
            self.log.push(self.returned_version(), [self.clock.start().0; 2], &changes);
            self.index.release(handle);
            count(&self.extent_count, 1);
            return Ok(());
        }
        match self.timed(|| self.index.split(handle, left, (right, right_id))) {
            (Ok(version), time) => {
                count(&self.extent_count, 1);
                self.aim(right.start());
                self.record(version, time, &changes);
                Ok(())
            }
            (Err(handle), _) => Err(self.give_back(handle)),
        }
    }

    /// Two neighbouring extents become one.
    pub(crate) fn merge(&self, left: Span, right: Span) -> Result<(), Refused> {
        let first = self.claim(left, "merge (left)")?;
        let second = match self.claim(right, "merge (right)") {
            Ok(second) => second,
            Err(Refused) => return Err(self.give_back(first.handle)),
        };
        let whole = Span::between(left.start(), right.last());
        let (id, gone) = (first.id, second.id);
        match self.timed(|| self.index.merge([first.handle, second.handle], whole)) {
            (Ok(version), time) => {
                count_down(&self.extent_count);
                self.record(version, time, &[Change::Update { id, span: whole }, Change::Remove { id: gone }]);
                count(&self.counts.merged, 1);
                Ok(())
            }
            (Err([one, other]), _) => {
                self.index.release(other);
                Err(self.give_back(one))
            }
        }
    }

    /// Does something to a range inside a section: nothing of the range is mirrored from its beginning to its end, and
    /// its pages change meanwhile.
    pub(crate) fn in_section<T>(&self, span: Span, reason: Reason, work: impl FnOnce() -> T) -> T {
        let section = self.index.begin_section(span, reason);
        self.expect_unmirrored(span, "has begun");
        if let Some(mirror) = self.index.mirror() {
            mirror.raise(span);
            mirror.aim(span.start());
            count(&self.counts.sections, 1);
        }
        let result = work();
        self.expect_unmirrored(span, "is about to end");
        drop(section);
        result
    }

    fn expect_unmirrored(&self, span: Span, when: &str) {
        let Some(mirror) = self.index.mirror() else { return };
        let mirrored = mirror.count_in(span);
        self.checks.expect(Check::Cleared, mirrored == 0, || {
            format!("{mirrored} pages of {span:?} are mirrored while a section over it {when}")
        });
    }

    /// Tells the fillers of a place.
    fn aim(&self, address: u64) {
        if let Some(mirror) = self.index.mirror() {
            mirror.aim(address);
        }
    }

    fn name(&self, arena: u32) -> NotifierId {
        // Relaxed: only uniqueness matters.
        name_extent(self.next_serial.fetch_add(1, Ordering::Relaxed), arena)
    }

    /// Makes a change; returns the stamps of its beginning and its end, too.
    fn timed<T>(&self, change: impl FnOnce() -> T) -> (T, [u64; 2]) {
        let started = self.clock.start().0;
        let result = change();
        let ended = self.clock.end();
        count(&self.counts.index_ns, self.clock.nanoseconds(started, ended));
        (result, [started, ended])
    }

    fn record(&self, version: u64, time: [u64; 2], changes: &[Change]) {
        self.log.push(version, time, changes);
        // Release, with the acquire in `returned_version`.
        self.returned.fetch_max(version, Ordering::Release);
    }

    fn claim(&self, span: Span, deed: &str) -> Result<Claimed<I::Handle>, Refused> {
        let (claimed, _) = self.timed(|| self.index.claim(span));
        self.checks.expect(Check::Named, claimed.is_some(), || format!("{deed} of {span:?}, which is not registered"));
        claimed.map(|(handle, id)| Claimed { handle, id }).ok_or(Refused)
    }

    fn give_back(&self, handle: I::Handle) -> Refused {
        self.index.release(handle);
        self.refuse()
    }

    fn refuse(&self) -> Refused {
        count(&self.counts.refused, 1);
        Refused
    }
}
