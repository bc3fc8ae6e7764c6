//! The engine room: what all handles of one index share, and the one loop through which every change goes.
//!
//! ```text
//!   change: sit down at a bench ─> protect the base ─> draft ─> publish ──lost──> abandon, back off, again
//!                                                                 │ won
//!                        settle (under the base) ─> retire the base ─> now and then: grace period, a turn
//! ```
//!
//! A writer that loses the race has lost to one that won, so some change always completes: lock-free.

use std::cell::Cell;
use std::ptr::NonNull;

use arrayvec::ArrayVec;

use crate::bell::Bell;
use crate::bench::{Bench, Benches};
use crate::config::Config;
use crate::courtesy::Courtesy;
use crate::draft::Draft;
use crate::error::Refusal;
use crate::fork;
use crate::identity::Identities;
use crate::panics::FirstPanic;
use crate::publish::VersionCell;
use crate::reclaim::epoch::{self, Horizon};
use crate::reclaim::pool::{Class, Depot, NoMemory, Workbench};
use crate::reclaim::{Chained, Freed, Outlet, give_up_record};
use crate::reclaiming::Stuck;
use crate::record::{self, Header, RecordList, RecordStack, Releases};
use crate::section::SectionTable;
use crate::settings::Settings;
use crate::slots::Slots;
use crate::sync::{Arc, Mutex, Number, Ordering, process_wide, thread_local, try_lock};
use crate::tally::Tally;
use crate::tuning::{RELEASE_BUDGET, REMOVAL_BELLS};
use crate::version::Version;

/// Numbers the indexes of a process, so that an `Ops` knows its own. Never reused.
static INDEXES: Identities = Identities::new();

/// Everything that the handles of one index share.
pub(crate) struct Engine {
    pub(crate) id: u64,
    /// That of the process that made it.
    generation: u64,
    pub(crate) cell: VersionCell,
    pub(crate) freed: Freed,
    pub(crate) released: Releases,
    pub(crate) orphans: RecordStack,
    pub(crate) horizon: Arc<Horizon>,
    pub(crate) stuck: Stuck,
    pub(crate) shrinking: Mutex<()>,
    releasing: Mutex<RecordList>,
    owners: Identities,
    lost_race_count: Number,
    pub(crate) courtesy: Courtesy,
    pub(crate) settings: Settings,
    pub(crate) sections: SectionTable,
    pub(crate) tally: Tally,
    pub(crate) removal_bells: [Bell; REMOVAL_BELLS],
    // In this order: benches have slots.
    pub(crate) benches: Benches,
    pub(crate) slots: Slots,
    pub(crate) depot: Depot,
}

/// What an edit wants done with its draft.
pub(crate) enum Step<T> {
    /// Publish it; the change then has this result.
    Publish(T),
    /// Nothing is to be changed; this is the result, true of the base.
    Keep(T),
    /// The base has been overtaken, which is to lose the race too: begin again on a newer one.
    Again,
}

/// A change that was made, or found needless, and the version that shows it.
pub(crate) struct Changed<T> {
    pub(crate) version: u64,
    pub(crate) result: T,
}

impl Engine {
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>, NoMemory> {
        fork::watch()?;
        let depot = Depot::new();
        let mut workbench = Workbench::new();
        workbench.reserve(&depot, 0, 1)?;
        let first = workbench.take(Class::Large).ok_or(NoMemory)?.cast::<Version>();
        workbench.clear_away(&depot);
        let id = INDEXES.next();
        Ok(Arc::new_cyclic(|engine| {
            // SAFETY: [P1] a large slot is private memory enough for a version. [V5] The engine's own address,
            // used only once it is there.
            unsafe { first.write(Version::first(id, engine.as_ptr())) };
            Engine {
                id,
                generation: fork::generation(),
                cell: VersionCell::new(first),
                freed: Freed::default(),
                released: Releases::default(),
                orphans: RecordStack::default(),
                horizon: Arc::default(),
                stuck: Stuck::new(),
                shrinking: Mutex::new(()),
                releasing: Mutex::new(RecordList::EMPTY),
                owners: Identities::new(),
                lost_race_count: Number::new(0),
                courtesy: Courtesy::default(),
                settings: Settings::of(config),
                sections: SectionTable::new(id),
                tally: Tally::default(),
                removal_bells: std::array::from_fn(|_| Bell::new()),
                benches: Benches::new(),
                slots: Slots::new(),
                depot,
            }
        }))
    }

    /// Whether this process is a child, by `fork`, of the one that made the index: then nothing of it is changed, waited
    /// for or freed.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// The number of a new owner.
    pub(crate) fn next_owner(&self) -> u64 {
        self.owners.next()
    }

    pub(crate) fn lost_race_count(&self) -> u64 {
        // [O14] Relaxed: a statistic.
        self.lost_race_count.load(Ordering::Relaxed)
    }

    /// Bytes retired and not yet freed, as of `version`.
    pub(crate) fn retired_bytes(&self, version: &Version) -> u64 {
        version.retired_bytes.saturating_sub(self.freed.bytes())
    }

    /// Looks at the current version for a moment, under a pin.
    pub(crate) fn with_current<R>(&self, look: impl FnOnce(&Version) -> R) -> R {
        let _pin = epoch::pin();
        // SAFETY: [V1] pinned for as long as the version is looked at.
        look(unsafe { self.cell.under_pin() })
    }

    /// Runs `work` at a bench of its own.
    pub(crate) fn at_bench<R>(&self, work: impl FnOnce(&mut Bench) -> R) -> Result<R, NoMemory> {
        self.benches.sit_down(&self.slots, &self.depot, seat(), work)
    }

    /// Makes a change: `edit` describes it on a draft, as often as it takes; `settle` runs once it has taken
    /// effect, while the base still protects what the change removed.
    pub(crate) fn change<T>(
        &self,
        limit: Limit,
        edit: impl FnMut(&mut Draft<'_>) -> Result<Step<T>, Refusal>,
        settle: impl FnOnce(&T),
    ) -> Result<Changed<T>, Refusal> {
        if self.is_inherited() {
            return Err(Refusal::Forked);
        }
        self.at_bench(|bench| {
            let before = bench.retired.retired_count();
            let changed = self.change_at(bench, limit, edit, settle);
            bench.slot.mark().clear();
            let own_count = bench.retired.retired_count() - before;
            self.after_change(bench, own_count as usize);
            changed
        })?
    }

    fn change_at<T>(
        &self,
        bench: &mut Bench,
        mut limit: Limit,
        mut edit: impl FnMut(&mut Draft<'_>) -> Result<Step<T>, Refusal>,
        settle: impl FnOnce(&T),
    ) -> Result<Changed<T>, Refusal> {
        let mut turn = self.courtesy.begin();
        loop {
            turn.give_way(&mut bench.ignored);
            let base_pointer = bench.slot.mark().protect(&self.cell);
            // SAFETY: [V1] protected by the bench's slot until the change is over, or the next attempt begins.
            let base = unsafe { base_pointer.as_ref() };
            if limit == Limit::Heeded && self.is_over_limit(base) {
                self.relieve(bench)?;
                limit = Limit::Exceeded;
                continue;
            }
            // SAFETY: [D2] as above.
            let mut draft = unsafe { Draft::begin(&mut bench.stock, &mut bench.replaced, &self.depot, base)? };
            let step = edit(&mut draft);
            let version = draft.finish();
            match step {
                Ok(Step::Publish(result)) => {
                    turn.give_way(&mut bench.ignored);
                    // SAFETY: [M1] the base is protected.
                    if unsafe { self.cell.publish(base_pointer, version) } {
                        let number = base.seq + 1;
                        settle(&result);
                        self.retire(bench, base_pointer);
                        return Ok(Changed { version: number, result });
                    }
                    // [O14] Relaxed: a statistic.
                    self.lost_race_count.fetch_add(1, Ordering::Relaxed);
                    self.abandon(bench, version);
                    turn.lost();
                }
                Ok(Step::Again) => {
                    self.abandon(bench, version);
                    turn.lost();
                }
                Ok(Step::Keep(result)) => {
                    self.abandon(bench, version);
                    return Ok(Changed { version: base.seq, result });
                }
                Err(refusal) => {
                    self.abandon(bench, version);
                    return Err(refusal);
                }
            }
        }
    }

    fn abandon(&self, bench: &mut Bench, version: NonNull<Version>) {
        // SAFETY: not published, and [D2] the base is still protected.
        unsafe { Draft::abandon(&mut bench.stock, &mut bench.replaced, &self.depot, version) };
    }

    /// Leaves the base, which the caller has replaced, at the bench, with what it was the last to reach.
    fn retire(&self, bench: &mut Bench, base: NonNull<Version>) {
        let mut outlet = Outlet { workbench: &mut bench.stock, depot: &self.depot, released: &self.released };
        let objects = Chained::of(&mut bench.replaced, &mut outlet);
        // SAFETY: [V4] `publish` has moved `current` from it.
        unsafe { bench.retired.add(base, objects) };
        bench.publication_count += 1;
    }
}

impl Engine {
    /// Drops payloads of notifiers that nobody can reach any more, before a change of so many notifiers: more than that change
    /// may give up, and all that wait if they are too much. Runs foreign code, so without any lock.
    ///
    /// # Panics
    /// Where a payload's destructor does, after the others have run.
    pub(crate) fn release_before(&self, size: usize) {
        if self.released.bytes() == 0 {
            return;
        }
        let is_too_much = || self.released.bytes() > self.with_current(|version| self.limit_of(version));
        let budget = if is_too_much() { usize::MAX } else { RELEASE_BUDGET.saturating_add(size.saturating_mul(2)) };
        self.release_up_to(budget).resume();
    }

    /// The same for so many of them; what the first destructor has thrown that did.
    pub(crate) fn release_up_to(&self, budget: usize) -> FirstPanic {
        if self.is_inherited() {
            return FirstPanic::default();
        }
        // A destructor that changes an index must not run the destructors of others inside it, and so on.
        match ReleaseTurn::begin() {
            Some(_turn) => self.release_now(budget),
            None => FirstPanic::default(),
        }
    }

    fn release_now(&self, budget: usize) -> FirstPanic {
        let (mut left, mut panic) = (budget, FirstPanic::default());
        loop {
            let releases = self.take_releases(left.min(RELEASE_BUDGET));
            if releases.is_empty() {
                return panic;
            }
            left -= releases.len();
            for record in releases {
                self.released.note_taken(record);
                // SAFETY: [N2] it came from the list of releases, where it stood once.
                panic.catch(|| unsafe { record::release_erased(record) });
            }
        }
    }

    fn take_releases(&self, count: usize) -> ReleaseList {
        let mut records = ReleaseList::new();
        let Some(mut list) = try_lock(&self.releasing) else {
            return records;
        };
        while records.len() < count {
            if list.is_empty() && !self.released.is_empty() {
                *list = self.released.take_all();
            }
            let Some(record) = list.pop() else { break };
            records.push(record);
        }
        records
    }
}

type ReleaseList = ArrayVec<NonNull<Header>, RELEASE_BUDGET>;

/// Whether a change is refused when too much is retired.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It is.
    Heeded,
    /// It is not: removals are bounded by what there is to remove.
    Exceeded,
}

thread_local! {
    /// The generation in which this thread runs destructors: one that forks in a destructor may never return from it in
    /// the child.
    static RELEASING_IN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Stands while this thread runs destructors.
struct ReleaseTurn;

impl ReleaseTurn {
    /// `None` if it does so already, or has no thread-locals any more.
    fn begin() -> Option<Self> {
        let now = Some(fork::generation());
        let before = RELEASING_IN.try_with(|releasing| releasing.replace(now));
        before.is_ok_and(|before| before != now).then(|| ReleaseTurn)
    }
}

impl Drop for ReleaseTurn {
    fn drop(&mut self) {
        // While thread-locals are destroyed nobody asks any more.
        let _ = RELEASING_IN.try_with(|releasing| releasing.set(None));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let current = self.cell.look();
        // No handle is left, so every version but the current one is out of reach.
        self.reclaim_everything();
        // SAFETY: [V1] never retired.
        let current = unsafe { current.as_ref() };
        let mut owner = 0;
        while let Some((found, tree)) = current.next_tree(owner) {
            for slot in tree.matching(u64::MAX, 0) {
                // SAFETY: [N1] no handle of the index is left, so no version can be reached.
                unsafe { give_up_record(record::header_of(slot.entry), &self.released) };
            }
            let Some(next) = found.checked_add(1) else { break };
            owner = next;
        }
        let mut orphans = self.orphans.take_all();
        while let Some(record) = orphans.pop() {
            // SAFETY: [H1] the list had the reference of its registration.
            unsafe { give_up_record(record, &self.released) };
        }
        let panic = self.release_now(usize::MAX);
        // What a destructor has thrown goes on only once the memory has been given back, by the fields that follow.
        panic.resume();
    }
}

/// The number of no thread: of one whose thread-locals are gone, on platforms that take these away first.
pub(crate) const NO_THREAD: u64 = 0;

/// The calling thread's own number; [`NO_THREAD`] if it can have none, which is then nobody's own.
///
/// It has no destructor, so it can be asked for in those of other thread-locals too.
pub(crate) fn thread_number() -> u64 {
    THREAD
        .try_with(|number| {
            if number.get() == NO_THREAD {
                number.set(THREADS.next() + 1);
            }
            number.get()
        })
        .unwrap_or(NO_THREAD)
}

/// Where the calling thread looks for a workbench or a slot first.
pub(crate) fn seat() -> usize {
    thread_number().saturating_sub(1) as usize
}

process_wide! {
    static THREADS: Identities = Identities::new();
}

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(NO_THREAD) };
}
