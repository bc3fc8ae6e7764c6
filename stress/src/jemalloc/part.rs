//! What one process finds out about one contender, in the form in which it tells its parent.

use serde::{Deserialize, Serialize};

use crate::jemalloc::checks::Check;
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::mirror_thread::MirrorCounts;
use crate::jemalloc::tally::{ExtentEvents, RoundTally, missing_checks};
use crate::jemalloc::worker::Work;
use crate::latency::{Latency, Percentiles};
use crate::report::{Row, Spread};

/// Figures of one way of looking, over all rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WayPart {
    /// Name of the contender.
    pub(crate) name: String,
    /// Million finds a second, in each round.
    pub(crate) find_mops: Vec<f64>,
    /// p50, p99, p99.9, p99.99 and the longest, in nanoseconds.
    pub(crate) latency_ns: Option<[u64; 5]>,
}

/// Figures of one contender under one setting of `retain`, over all rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The index, or the baseline.
    pub(crate) name: String,
    pub(crate) retain: bool,
    pub(crate) threads: u64,
    pub(crate) ways: Vec<WayPart>,
    /// Million changes a second, in each round.
    pub(crate) hook_mops: Vec<f64>,
    /// Nanoseconds that the index takes for a change, in each round.
    pub(crate) hook_ns: Vec<f64>,
    pub(crate) events: ExtentEvents,
    pub(crate) work: Work,
    pub(crate) interval_count: u64,
    pub(crate) retired_bytes_max: Option<u64>,
    pub(crate) raced: u64,
    pub(crate) replayed: u64,
    pub(crate) mismatches: u64,
    pub(crate) finds_made: u64,
    pub(crate) finds_logged: u64,
    /// What the mirror's threads did, where there is a mirror.
    pub(crate) mirror: Option<MirrorCounts>,
    /// Checks made, in the order of [`Check::ALL`].
    pub(crate) checks: Vec<u64>,
    pub(crate) failed_count: u64,
    pub(crate) failures: Vec<String>,
}

impl Part {
    /// Puts the rounds of a contender together. A kind of check, or of event, that never happened is a failure.
    pub(crate) fn of<I: ExtentIndex>(retain: bool, threads: usize, rounds: &[RoundTally]) -> Part {
        let sum = |figure: fn(&RoundTally) -> u64| rounds.iter().map(figure).sum();
        let checks = (0..Check::ALL.len()).map(|kind| rounds.iter().map(|round| round.checks[kind]).sum()).collect();
        let mut part = Part {
            name: I::NAME.to_owned(),
            retain,
            threads: threads as u64,
            ways: (0..I::WAYS.len()).map(|way| way_part::<I>(way, rounds)).collect(),
            hook_mops: rounds.iter().map(|round| round.hook_mops).collect(),
            hook_ns: rounds.iter().map(|round| round.hook_ns).collect(),
            events: rounds.iter().fold(ExtentEvents::default(), |sum, round| sum.plus(round.events)),
            work: rounds.iter().fold(Work::default(), |sum, round| sum.plus(round.work)),
            interval_count: rounds.iter().map(|round| round.interval_count as u64).max().unwrap_or(0),
            retired_bytes_max: rounds.iter().filter_map(|round| round.retired_bytes_max).max(),
            raced: sum(|round| round.raced),
            replayed: sum(|round| round.replayed.replayed),
            mismatches: sum(|round| round.replayed.mismatches),
            finds_made: sum(|round| round.replayed.finds_made),
            finds_logged: sum(|round| round.replayed.finds_logged),
            mirror: rounds.iter().filter_map(|round| round.mirror).reduce(MirrorCounts::plus),
            checks,
            failed_count: sum(|round| round.failed_count),
            failures: rounds.iter().flat_map(|round| round.failures.clone()).collect(),
        };
        part.demand_work::<I>();
        part
    }

    /// A torture that has run out of work looks like success.
    fn demand_work<I: ExtentIndex>(&mut self) {
        let missing = missing_checks::<I>(&self.checks).into_iter();
        let mut idle: Vec<String> = missing.map(|check| format!("no check of kind {}", check.name())).collect();
        let ExtentEvents { mapped, unmapped, split, merged, .. } = self.events;
        let events = [("map", mapped), ("unmap", unmapped), ("split", split), ("merge", merged)];
        let near_misses = [("resize", self.work.resized), ("race between a find and a free", self.raced)];
        let of_mirror = self.mirror.into_iter().flat_map(|mirror| {
            let MirrorCounts { fills, retries, waits, .. } = mirror;
            [("fill of the mirror", fills), ("retry", retries), ("wait for a section", waits)]
        });
        let rare = events.into_iter().chain(near_misses).chain(of_mirror).filter(|(_, count)| *count == 0);
        idle.extend(rare.map(|(name, _)| format!("not a single {name}")));
        self.failed_count += idle.len() as u64;
        self.failures.extend(idle);
    }

    /// One row for each way of looking.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.ways.iter().map(|way| self.row(way)).collect()
    }

    fn row(&self, way: &WayPart) -> Row {
        let median = |rounds: &[f64]| Spread::of(rounds).map(|spread| spread.median);
        let mut row = Row {
            contender: way.name.clone(),
            workload: self.workload(),
            intervals: Some(self.interval_count),
            threads: Some(self.threads),
            find_mops: median(&way.find_mops),
            update_mops: median(&self.hook_mops),
            retired_bytes_max: self.retired_bytes_max,
            mismatches: Some(self.mismatches),
            replayed: Some(self.replayed),
            ..Row::default()
        };
        if let Some([p50_ns, p99_ns, p999_ns, p9999_ns, max_ns]) = way.latency_ns {
            row.set_latency(Percentiles { p50_ns, p99_ns, p999_ns, p9999_ns, max_ns });
        }
        row
    }

    /// The name of the workload in rows and tables.
    pub(crate) fn workload(&self) -> String {
        format!("jemalloc-retain-{}", self.retain)
    }
}

fn way_part<I: ExtentIndex>(way: usize, rounds: &[RoundTally]) -> WayPart {
    let mut latency = Latency::new();
    let tallies = || rounds.iter().filter_map(|round| round.ways.get(way));
    tallies().for_each(|tally| latency.merge(&tally.latency));
    let figures = |p: Percentiles| [p.p50_ns, p.p99_ns, p.p999_ns, p.p9999_ns, p.max_ns];
    WayPart {
        name: I::WAYS[way].name().to_owned(),
        find_mops: tallies().map(|tally| tally.find_mops).collect(),
        latency_ns: latency.percentiles().map(figures),
    }
}
