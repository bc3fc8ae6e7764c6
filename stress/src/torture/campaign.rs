//! One mix in one process: world after world, each for some rounds, each round judged before the next begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use notifier_index::Stats;
use serde::{Deserialize, Serialize};

use super::actor::Ledger;
use super::faults::Faults;
use super::forgotten;
use super::judge::Judge;
use super::marks::{Mark, Marks};
use super::mixes::Plan;
use super::seat::{Desk, Seat};
use super::takedown;
use super::watchdog::Watchdog;
use super::worker::{Meeting, Worker};
use super::world::World;
use crate::cli::TortureSabotage;
use crate::history::Verdict;
use crate::workload::draws;

/// How long the threads work between two judgements, unless there is more to judge than that.
const ROUND: Duration = Duration::from_millis(400);
/// Rounds of one index.
const ROUNDS: u32 = 6;
/// How often a line is printed.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) plan: &'static Plan,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) duration: Duration,
    pub(crate) sabotage: Option<TortureSabotage>,
    /// Whether a guard may be forgotten at the end, which spoils the process for other indexes.
    pub(crate) forgets: bool,
}

/// What came of it so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) marks: Marks,
    pub(crate) replayed: u64,
    pub(crate) mismatches: u64,
    /// Payloads and retired objects that were left over.
    pub(crate) leaks: u64,
    pub(crate) retired_bytes_max: u64,
    /// Seconds in which the threads worked, and in all.
    pub(crate) working_seconds: f64,
    pub(crate) seconds: f64,
    pub(crate) notifiers_max: u64,
    pub(crate) threads: u64,
    /// The first few things that were wrong, in words.
    pub(crate) failures: Vec<String>,
}

/// A mix under way.
pub(crate) struct Campaign<'c> {
    order: Order,
    faults: Arc<Faults>,
    findings: Findings,
    verdict: Verdict,
    begun: Instant,
    last_line: Instant,
    watchdog: &'c Watchdog,
    print: &'c dyn Fn(&Findings),
}

impl<'c> Campaign<'c> {
    pub(crate) fn new(order: Order, watchdog: &'c Watchdog, print: &'c dyn Fn(&Findings)) -> Self {
        Campaign {
            order,
            faults: Arc::default(),
            findings: Findings { threads: order.threads as u64, ..Findings::default() },
            verdict: Verdict::default(),
            begun: Instant::now(),
            last_line: Instant::now(),
            watchdog,
            print,
        }
    }

    /// Runs for the time that was ordered, or until something is wrong.
    pub(crate) fn run(mut self) -> Findings {
        let mut number = 0;
        loop {
            self.world(number);
            number += 1;
            if self.is_over() {
                break;
            }
        }
        if self.order.forgets && self.order.plan.is_hostile && !self.has_failed() {
            forgotten::scene(&self.faults, &mut self.findings.marks);
        }
        self.update();
        (self.print)(&self.findings);
        self.findings
    }

    fn has_failed(&self) -> bool {
        self.faults.count() + self.verdict.mismatches() > 0
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.order.duration || self.has_failed()
    }

    /// Puts the sums in.
    fn update(&mut self) {
        let findings = &mut self.findings;
        findings.replayed = self.verdict.replayed;
        findings.mismatches = self.verdict.mismatches() + self.faults.count();
        findings.seconds = self.begun.elapsed().as_secs_f64();
        findings.failures = self.faults.texts().into_iter().chain(self.verdict.descriptions.iter().cloned()).collect();
    }

    fn print_line(&mut self) {
        if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.update();
            (self.print)(&self.findings);
        }
    }

    /// One index from its making to its end.
    fn world(&mut self, number: u64) {
        let Order { plan, threads, seed, sabotage, .. } = self.order;
        let ledger = Ledger::new(Arc::clone(&self.faults));
        let world = Arc::new(World::new(plan, Arc::clone(&ledger), sabotage));
        world.populate(&mut draws(seed, !number));
        let desks: Vec<Arc<Desk>> = (0..threads).map(|_| Arc::new(Desk::new())).collect();
        let meeting = Meeting { barrier: Barrier::new(threads + 1), is_over: AtomicBool::new(false) };
        let mut judge = Judge::new(&world);
        self.watchdog.watch(&desks);
        std::thread::scope(|scope| {
            for (thread, desk) in desks.iter().enumerate() {
                let (world, desk, meeting) = (Arc::clone(&world), Arc::clone(desk), &meeting);
                let stream = number * threads as u64 * 2 + thread as u64 * 2;
                scope.spawn(move || {
                    let seat = Seat::new(world, desk, seed, stream);
                    Worker::new(seat, plan.role(thread), draws(seed, stream + 1)).run(meeting);
                });
            }
            for round in 0..ROUNDS {
                let is_last = round + 1 == ROUNDS;
                self.round(&world, &meeting, is_last && plan.is_hostile);
                self.judge(&world, &desks, &mut judge);
                self.print_line();
                if self.is_over() && (is_last || !plan.is_hostile || self.has_failed()) {
                    break;
                }
            }
            // Relaxed: ordered by the barrier.
            meeting.is_over.store(true, Ordering::Relaxed);
            meeting.barrier.wait();
        });
        self.note_stats(&world.index.stats());
        takedown::check_counts(&world);
        if !self.has_failed() {
            let kept = desks.iter().map(|desk| std::mem::take(&mut *desk.left.lock())).collect();
            self.findings.leaks += takedown::take_down(world, kept, number, &mut self.findings.marks);
        }
        self.findings.marks.add(Mark::Worlds, 1);
    }

    /// Lets the threads work.
    fn round(&mut self, world: &World, meeting: &Meeting, closes: bool) {
        // Relaxed: ordered by the barrier.
        world.is_resting.store(false, Ordering::Relaxed);
        meeting.barrier.wait();
        let begun = Instant::now();
        while begun.elapsed() < ROUND && !world.is_resting() {
            std::thread::sleep(Duration::from_millis(10));
            let half = begun.elapsed() > ROUND / 2;
            // Relaxed: a request.
            world.is_close_due.store(closes && half, Ordering::Relaxed);
            let stats = world.index.stats();
            self.findings.retired_bytes_max = self.findings.retired_bytes_max.max(stats.retired_bytes);
            self.findings.notifiers_max = self.findings.notifiers_max.max(stats.live_notifiers);
        }
        // Relaxed: it only ends loops.
        world.is_resting.store(true, Ordering::Relaxed);
        meeting.barrier.wait();
        self.findings.working_seconds += begun.elapsed().as_secs_f64();
    }

    /// Judges what the threads have handed in; they wait meanwhile.
    fn judge(&mut self, world: &World, desks: &[Arc<Desk>], judge: &mut Judge) {
        let reports: Vec<_> = desks.iter().map(|desk| desk.report.lock()).collect();
        let reports: Vec<_> = reports.iter().map(|report| &**report).collect();
        let marks = &mut self.findings.marks;
        reports.iter().for_each(|report| marks.merge(&report.marks));
        self.verdict.merge(judge.judge(&reports, &self.faults, marks));
        judge.compare(world, &self.faults);
        world.pages.check_at_rest(&self.faults);
        marks.add(Mark::Rounds, 1);
    }

    fn note_stats(&mut self, stats: &Stats) {
        let marks = &mut self.findings.marks;
        marks.add(Mark::Publications, stats.version);
        marks.add(Mark::LostRaces, stats.lost_races);
        marks.add(Mark::Sections, stats.sections_started);
        marks.add(Mark::Callbacks, stats.callbacks_run);
        marks.add(Mark::BeginWaits, stats.read_begin_waits);
        marks.add(Mark::Retries, stats.retries);
        marks.add(Mark::Refusals, stats.callbacks_refused);
    }
}
