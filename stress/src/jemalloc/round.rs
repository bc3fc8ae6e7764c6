//! One round: an index, two arenas on it, workers, finders, checks, and the end of it all.
//!
//! ```text
//!   finders   |--- look up, judge, log ------------------------------------------|
//!   monitor   |--- retired bytes, mappings --------------------------------------|
//!   workers      |-- churn --|      |-- churn --|      |-- churn --|  free all
//!   checks                   | rest |           | rest |           |   rest      destroy, emptied, replay
//! ```
//!
//! One arena keeps all that it is given and one gives back, so that both lives of an extent are there under
//! `retain:true` and `retain:false` alike; the two share the index, so that *whose* an address is, is a question.

use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rayon::ThreadPool;

use crate::cli::JemallocSabotage;
use crate::history::Log;
use crate::history::clock::StampClock;
use crate::history::recorder::QueryRecord;
use crate::jemalloc::control::{Arena, ControlError, Lookup};
use crate::jemalloc::driver::Driver;
use crate::jemalloc::extent_index::{EXTENTS, ExtentIndex};
use crate::jemalloc::finder::Hunt;
use crate::jemalloc::hooks::ArenaHooks;
use crate::jemalloc::live::Places;
use crate::jemalloc::replay::replay;
use crate::jemalloc::rest;
use crate::jemalloc::tally::RoundTally;
use crate::jemalloc::watch::Watch;
use crate::jemalloc::worker::{Work, Worker};
use crate::model::{Answer, Query};
use crate::span::Span;

/// Times in a round that the workers rest and the whole index is checked.
const PHASES: u32 = 3;
/// Places for allocations, dealt to the workers, but at least so many to each; about half of them are filled.
const PLACES: (usize, usize) = (2048, 64);
/// Finds that are logged in a round, dealt to the finders: what memory allows.
const LOGGED_FINDS: usize = 1 << 20;
/// Steps of a worker between two looks at the clock.
const STEPS_PER_LOOK: u32 = 64;
/// Looks at the clock between two times that a worker frees every third allocation.
const LOOKS_PER_EBB: u32 = 128;
/// How long an arena that gives back caches pages that were freed, in milliseconds: long enough for them to be split
/// and merged, short enough to see them go.
const DECAY_MS: isize = 20;

/// What a round is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundPlan {
    /// Time that the workers churn.
    pub(crate) churn: Duration,
    /// Workers, and as many finders.
    pub(crate) threads: usize,
    /// Where random choices begin.
    pub(crate) seed: u64,
    /// What is to go wrong on purpose.
    pub(crate) sabotage: Option<JemallocSabotage>,
}

/// Runs a round; `progress` is told of the time that has been worked off.
///
/// # Errors
/// If jemalloc refuses what the round cannot do without.
pub(crate) fn run<I: ExtentIndex + Default>(
    plan: RoundPlan,
    pool: &ThreadPool,
    progress: &dyn Fn(Duration),
) -> Result<RoundTally, ControlError> {
    let drops_splits = plan.sabotage == Some(JemallocSabotage::DropSplit);
    // Both live for ever, for the hook tables do, and they refer to the driver.
    let driver: &'static Driver<I> = Box::leak(Box::new(Driver::new(I::default(), drops_splits)));
    let hooks = [ArenaHooks::leak(driver, true), ArenaHooks::leak(driver, false)];
    let places = Places::new(plan.threads, PLACES.1.max(PLACES.0 / plan.threads));
    let regions = hooks[0].regions().expect("the first arena keeps its regions");
    let (is_over, logged_finds) = (AtomicBool::new(false), LOGGED_FINDS / plan.threads);
    let hunt = Hunt { driver, places: &places, regions, is_over: &is_over, logged_finds };
    let is_stale = plan.sabotage == Some(JemallocSabotage::StaleFind);

    // The finders stand ready before the arenas exist.
    let ready = Barrier::new(plan.threads + 1);
    let (churned, watched) = std::thread::scope(|scope| {
        let watch = Watch::start(scope, &hunt, &ready, (plan.threads, plan.seed, is_stale));
        ready.wait();
        let churned = churn(plan, pool, &hunt, &hooks, progress);
        (churned, watch.end(&hunt))
    });
    let mut churned = churned?;
    end(&mut churned, &hunt, &hooks)?;

    let mut tally = RoundTally::new(&churned, driver);
    let finds = tally.add_watched(watched);
    tally.add_replayed(replay(&driver.checks, driver.log.take(), finds, churned.contents));
    tally.add_checks(&driver.checks);
    Ok(tally)
}

/// What the workers leave behind when they stop.
#[derive(Debug)]
pub(crate) struct Churned {
    arenas: [Arena; 2],
    lookup: Lookup,
    /// Whole contents of the index, once for each rest.
    contents: Log,
    /// Time that the workers churned.
    pub(crate) time: Duration,
    /// What they did.
    pub(crate) work: Work,
    /// Most intervals that there were at a rest.
    pub(crate) interval_count: usize,
}

fn churn<I: ExtentIndex>(
    plan: RoundPlan,
    pool: &ThreadPool,
    hunt: &Hunt<'_, I>,
    hooks: &[&'static ArenaHooks<I>; 2],
    progress: &dyn Fn(Duration),
) -> Result<Churned, ControlError> {
    let lookup = Lookup::new()?;
    let arenas = [Arena::create(hooks[0].table())?, Arena::create(hooks[1].table())?];
    arenas[1].set_decay_ms(DECAY_MS, 0)?;
    let mut churned = Churned {
        arenas,
        lookup,
        contents: Log::default(),
        time: Duration::ZERO,
        work: Work::default(),
        interval_count: 0,
    };
    let worker = |number: usize| {
        let seed = plan.seed + number as u64;
        Mutex::new(Worker::new(hunt.places.of_worker(number), &arenas, &hunt.driver.checks, lookup, seed))
    };
    let workers: Vec<Mutex<Worker<'_>>> = (0..plan.threads).map(worker).collect();
    for _ in 0..PHASES {
        let (begin, phase) = (Instant::now(), plan.churn / PHASES);
        pool.broadcast(|context| work(&mut workers[context.index()].lock(), begin + phase));
        churned.time += begin.elapsed();
        progress(phase);
        rest(&mut churned, hunt)?;
    }
    // While the finders still look, everything goes.
    pool.broadcast(|context| workers[context.index()].lock().ebb(1));
    churned.work = workers.into_iter().map(|worker| worker.into_inner().work).fold(Work::default(), Work::plus);
    rest(&mut churned, hunt)?;
    Ok(churned)
}

/// Churns until then.
fn work(worker: &mut Worker<'_>, until: Instant) {
    let mut look_count = 0;
    while Instant::now() < until {
        (0..STEPS_PER_LOOK).for_each(|_| worker.step());
        look_count += 1;
        if look_count % LOOKS_PER_EBB == 0 {
            worker.ebb(3);
        }
    }
}

/// Checks the whole index while the workers rest, and logs its contents for the replay.
fn rest<I: ExtentIndex>(churned: &mut Churned, hunt: &Hunt<'_, I>) -> Result<(), ControlError> {
    let clock = StampClock::new();
    let started = clock.start().0;
    let (found, version) = hunt.driver.index.contents();
    let (ended, query) = (clock.end(), Query::FindAll { owner: EXTENTS, span: Span::FULL });
    churned.interval_count = churned.interval_count.max(found.len());
    rest::check_at_rest(hunt.driver, &found, &churned.arenas, hunt.places.all(), churned.lookup)?;
    churned.contents.queries.push(QueryRecord { version, started, ended, query, answer: Answer::Many(found) });
    Ok(())
}

/// Destroys the arenas, once nobody looks any more; then nothing may be left.
fn end<I: ExtentIndex>(
    churned: &mut Churned,
    hunt: &Hunt<'_, I>,
    hooks: &[&'static ArenaHooks<I>; 2],
) -> Result<(), ControlError> {
    for (hooks, arena) in hooks.iter().zip(churned.arenas) {
        hooks.close();
        // SAFETY: control's contract: the workers have freed everything and have ended.
        unsafe { arena.destroy() }?;
    }
    rest::check_emptied(hunt.driver);
    Ok(())
}
