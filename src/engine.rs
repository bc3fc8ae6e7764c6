//! The engine room: what all handles of one index share, and the one loop through which every change goes.
//!
//! ```text
//!   change: claim a workbench ─> borrow the base ─> draft ─> publish ──lost──> abandon, again
//!                                                               │ won
//!                                 settle (under the base) ─> now and then: grace period, reclaim
//! ```
//!
//! A writer that loses the race has lost to one that won, so some change always completes: lock-free.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use arrayvec::ArrayVec;

use crate::bell::Bell;
use crate::busted::{self, Sabotage};
use crate::config::{Config, RefusalHook};
use crate::draft::Draft;
use crate::error::Refusal;
use crate::fork;
use crate::identity::Identities;
use crate::panics::FirstPanic;
use crate::publish::{Base, VersionCell, VersionHandle};
use crate::reclaim::epoch::{self, Horizon};
use crate::reclaim::pool::{Class, Depot, NoMemory, Workbench};
use crate::reclaim::{Chain, Freed, Haul, Outlet, give_up_record};
use crate::record::{self, Header, RecordList, RecordStack};
use crate::section::SectionTable;
use crate::sync::{Arc, Mutex, Number, Ordering, Padded, process_wide, thread_local, try_lock};
use crate::tally::Tally;
use crate::tuning::{BACKLOG, GRACE_ROUNDS, PUBLICATIONS_PER_GRACE, RELEASE_BUDGET, REMOVAL_BELLS, WORKBENCHES};
use crate::version::{Version, VersionStack};

/// Numbers the indexes of a process, so that an `Ops` knows its own. Never reused.
static INDEXES: Identities = Identities::new();

/// Everything that the handles of one index share.
pub(crate) struct Engine {
    pub(crate) id: u64,
    /// That of the process that made it.
    generation: u64,
    pub(crate) cell: VersionCell,
    pub(crate) depot: Depot,
    pub(crate) freed: Freed,
    pub(crate) released: RecordStack,
    pub(crate) orphans: RecordStack,
    horizon: Arc<Horizon>,
    workbenches: Box<[Padded<Mutex<Workbench>>]>,
    unowned: VersionStack,
    chain: Mutex<Chain>,
    shrinking: Mutex<()>,
    releasing: Mutex<RecordList>,
    owners: Identities,
    lost_race_count: Number,
    retired_limit: u64,
    pub(crate) sections: SectionTable,
    pub(crate) tally: Tally,
    pub(crate) removal_bells: [Bell; REMOVAL_BELLS],
    pub(crate) refusal_hook: Option<RefusalHook>,
}

/// What an edit wants done with its draft.
pub(crate) enum Step<T> {
    /// Publish it; the change then has this result.
    Publish(T),
    /// Nothing is to be changed; this is the result, true of the base.
    Keep(T),
    /// The base has been overtaken: begin again on a newer one.
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
        let mut workbenches = vec![Padded(Mutex::new(workbench))];
        workbenches.resize_with(WORKBENCHES, || Padded(Mutex::new(Workbench::new())));
        let id = INDEXES.next();
        Ok(Arc::new_cyclic(|engine| {
            // SAFETY: [P1] a large slot is private memory enough for a version. [V5] The engine's own address,
            // used only once it is there. The version is born with the one count that the handle takes.
            let handle = unsafe {
                first.write(Version::first(id, engine.as_ptr()));
                VersionHandle::from_count(first)
            };
            Engine {
                id,
                generation: fork::generation(),
                cell: VersionCell::new(handle),
                freed: Freed::default(),
                released: RecordStack::default(),
                orphans: RecordStack::default(),
                horizon: Arc::default(),
                workbenches: workbenches.into_boxed_slice(),
                unowned: VersionStack::default(),
                chain: Mutex::new(Chain::new(first.as_ptr())),
                shrinking: Mutex::new(()),
                releasing: Mutex::new(RecordList::EMPTY),
                owners: Identities::new(),
                lost_race_count: Number::new(0),
                retired_limit: config.retired_limit_bytes(),
                sections: SectionTable::new(id),
                tally: Tally::default(),
                removal_bells: std::array::from_fn(|_| Bell::new()),
                refusal_hook: config.take_refusal_hook(),
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

    /// Versions below this are out of the reach of pins.
    pub(crate) fn horizon(&self) -> u64 {
        self.horizon.load()
    }

    pub(crate) fn lost_race_count(&self) -> u64 {
        // [O14] Relaxed: a statistic.
        self.lost_race_count.load(Ordering::Relaxed)
    }

    /// Bytes retired and not yet freed, as of `version`.
    pub(crate) fn retired_bytes(&self, version: &Version) -> u64 {
        version.retired_bytes.saturating_sub(self.freed.bytes())
    }

    /// The last owner of a parked version has let go of it.
    pub(crate) fn report_unowned(&self, version: NonNull<Version>) {
        // SAFETY: called by `VersionHandle`'s drop, right after `let_go` returned true.
        unsafe { self.unowned.push(version) };
    }

    /// Runs `work` at a workbench of its own: one of the index's, or a spare one if all are taken.
    fn at_workbench<R>(&self, work: impl FnOnce(&mut Workbench) -> R) -> R {
        let seat = seat();
        for offset in 0..self.workbenches.len() {
            let place = &self.workbenches[(seat + offset) % self.workbenches.len()].0;
            if let Some(mut workbench) = try_lock(place) {
                return work(&mut workbench);
            }
        }
        let mut spare = Workbench::new();
        let result = work(&mut spare);
        spare.clear_away(&self.depot);
        result
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
        self.at_workbench(|workbench| self.change_at(workbench, limit, edit, settle))
    }

    fn change_at<T>(
        &self,
        workbench: &mut Workbench,
        limit: Limit,
        mut edit: impl FnMut(&mut Draft<'_>) -> Result<Step<T>, Refusal>,
        settle: impl FnOnce(&T),
    ) -> Result<Changed<T>, Refusal> {
        loop {
            let base = self.cell.borrow();
            if limit == Limit::Heeded && self.retired_bytes(&base) > self.retired_limit {
                drop(base);
                self.relieve(workbench)?;
                continue;
            }
            // SAFETY: [D2] `base` is held to the end of the round.
            let mut draft = unsafe { Draft::begin(workbench, &self.depot, base.pointer())? };
            let step = edit(&mut draft);
            let version = draft.finish();
            let (published, outcome) = match step {
                Ok(Step::Publish(result)) if self.publish(&base, version) => (true, Ok(Some(result))),
                Ok(Step::Publish(_) | Step::Again) => (false, Ok(None)),
                Ok(Step::Keep(result)) => (false, Ok(Some(result))),
                Err(refusal) => (false, Err(refusal)),
            };
            if !published {
                // SAFETY: from `finish`, and not published, so only we own it; `base` is still held.
                unsafe { Draft::abandon(workbench, &self.depot, version) };
            }
            let Some(result) = outcome? else { continue };
            if published {
                settle(&result);
                // SAFETY: `publish` left us one count of the version.
                let version = unsafe { VersionHandle::from_count(version) };
                drop(base);
                return Ok(Changed { version: self.after_publication(workbench, version), result });
            }
            return Ok(Changed { version: base.seq, result });
        }
    }

    /// Publishes a finished draft; if that succeeds, one count of it remains the caller's.
    fn publish(&self, base: &Base, version: NonNull<Version>) -> bool {
        // SAFETY: `finish` gave us the one count; the handle is forgotten, so that it stays ours.
        let handle = ManuallyDrop::new(unsafe { VersionHandle::from_count(version) });
        let won = self.cell.publish(base, &handle);
        if !won {
            // [O14] Relaxed: a statistic.
            self.lost_race_count.fetch_add(1, Ordering::Relaxed);
        }
        won
    }

    /// The part of reclaiming that falls to an ordinary change; the version's number.
    ///
    /// One turn every so often, or at each change while much awaits it; a turn takes on more versions than came in
    /// between, so many short turns keep pace with any load.
    fn after_publication(&self, workbench: &mut Workbench, version: VersionHandle) -> u64 {
        let seq = version.seq;
        let is_due = seq.is_multiple_of(PUBLICATIONS_PER_GRACE) || self.awaiting(&version) > BACKLOG;
        if is_due || busted::is(Sabotage::EarlyFree) {
            epoch::drive(&self.horizon, seq);
            self.reclaim(workbench, &version);
        }
        seq
    }

    /// Retired objects that the reclaimer has neither freed nor hung on an owned version.
    fn awaiting(&self, version: &Version) -> u64 {
        version.retired_objects.saturating_sub(self.freed.objects() + self.freed.hanging_count())
    }

    /// One turn of reclaiming what grace periods have set free, unless another thread is at it; false if there was
    /// nothing to be had.
    fn reclaim(&self, workbench: &mut Workbench, current: &VersionHandle) -> bool {
        let horizon = if busted::is(Sabotage::EarlyFree) { u64::MAX } else { self.horizon.load() };
        self.reclaim_up_to(horizon, workbench, current)
    }

    fn reclaim_up_to(&self, horizon: u64, workbench: &mut Workbench, current: &VersionHandle) -> bool {
        let mut haul = Haul::new();
        if let Some(mut chain) = try_lock(&self.chain) {
            chain.collect(current, horizon, &self.unowned, &self.freed, &mut haul);
        }
        let found = !haul.is_empty();
        let mut outlet = Outlet { workbench, depot: &self.depot, released: &self.released, freed: &self.freed };
        haul.free(&mut outlet);
        found
    }

    /// Reclaims what can be, at once: some grace periods, without waiting for anybody's pin.
    fn reclaim_all(&self, workbench: &mut Workbench) {
        let wanted = self.cell.load().seq;
        for _ in 0..GRACE_ROUNDS {
            let version = self.cell.load();
            epoch::drive(&self.horizon, version.seq);
            while self.reclaim(workbench, &version) {}
            if self.horizon.load() >= wanted {
                return;
            }
        }
    }

    /// Helps to get below the retired limit, or says that it is not to be had.
    #[cold]
    fn relieve(&self, workbench: &mut Workbench) -> Result<(), Refusal> {
        self.reclaim_all(workbench);
        match self.retired_bytes(&self.cell.load()) > self.retired_limit {
            true => Err(Refusal::RetiredLimit),
            false => Ok(()),
        }
    }

    /// See [`NotifierIndex::maintain`](crate::NotifierIndex::maintain).
    pub(crate) fn maintain(&self) {
        if self.is_inherited() {
            return;
        }
        self.at_workbench(|workbench| self.reclaim_all(workbench));
        let panic = self.release_all_of(usize::MAX);
        self.shrink();
        panic.resume();
    }

    /// Gives unused slabs back, as far as their slots are not at a workbench in use.
    fn shrink(&self) {
        // Not the chain's lock: reclaiming goes on meanwhile, or what is retired would grow with the pool.
        let Some(_one_at_a_time) = try_lock(&self.shrinking) else {
            return;
        };
        let mut guards: Vec<_> = self.workbenches.iter().filter_map(|place| try_lock(&place.0)).collect();
        let mut workbenches: Vec<&mut Workbench> = guards.iter_mut().map(|guard| &mut **guard).collect();
        self.depot.shrink(&mut workbenches);
    }

    /// Drops the payloads of up to `budget` notifiers that nobody can reach any more. Runs foreign code, so it is
    /// called before a change has begun, and without any lock.
    ///
    /// # Panics
    /// Where a payload's destructor does, after the others have run.
    pub(crate) fn release(&self, budget: usize) {
        self.release_all_of(budget).resume();
    }

    fn release_all_of(&self, budget: usize) -> FirstPanic {
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
        let mut workbench = Workbench::new();
        let current = self.cell.load();
        // No handle is left, so every version but the current one is out of reach.
        while self.reclaim_up_to(u64::MAX, &mut workbench, &current) {}
        let mut owner = 0;
        while let Some((found, tree)) = current.next_tree(owner) {
            for slot in tree.matching(u64::MAX, 0) {
                // SAFETY: [N1] no handle of the index is left, so no version can be reached.
                unsafe { give_up_record(record::header_of(slot.entry), &self.released) };
            }
            let Some(next) = found.checked_add(1) else { break };
            owner = next;
        }
        drop(current);
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
