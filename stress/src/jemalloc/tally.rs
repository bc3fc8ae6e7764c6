//! The figures of one round.

use serde::{Deserialize, Serialize};

use crate::jemalloc::checks::{Check, Checks};
use crate::jemalloc::driver::{Driver, count_of};
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::find_log::FindLog;
use crate::jemalloc::mirror_thread::MirrorCounts;
use crate::jemalloc::replay::Replayed;
use crate::jemalloc::round::Churned;
use crate::jemalloc::watch::Watched;
use crate::jemalloc::worker::Work;
use crate::latency::Latency;

/// What was found out about one way of looking, by all finders together.
#[derive(Clone, Debug)]
pub(crate) struct WayTally {
    /// Finds a microsecond of all finders together, in the time that they were finding.
    pub(crate) find_mops: f64,
    pub(crate) latency: Latency,
}

/// How often each thing happened to an extent.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ExtentEvents {
    pub(crate) mapped: u64,
    pub(crate) unmapped: u64,
    pub(crate) split: u64,
    pub(crate) merged: u64,
    pub(crate) refused: u64,
}

impl ExtentEvents {
    /// The sum of two rounds.
    pub(crate) fn plus(self, other: ExtentEvents) -> ExtentEvents {
        ExtentEvents {
            mapped: self.mapped + other.mapped,
            unmapped: self.unmapped + other.unmapped,
            split: self.split + other.split,
            merged: self.merged + other.merged,
            refused: self.refused + other.refused,
        }
    }
}

/// The figures of one round.
#[derive(Clone, Debug)]
pub(crate) struct RoundTally {
    pub(crate) ways: Vec<WayTally>,
    /// Changes a microsecond: what the hooks did, in the time that the workers churned.
    pub(crate) hook_mops: f64,
    /// Nanoseconds that the index took for one of them, on average.
    pub(crate) hook_ns: f64,
    pub(crate) events: ExtentEvents,
    pub(crate) work: Work,
    pub(crate) interval_count: usize,
    pub(crate) retired_bytes_max: Option<u64>,
    /// Answers about allocations that were freed meanwhile.
    pub(crate) raced: u64,
    pub(crate) replayed: Replayed,
    /// What the mirror's threads did, where there is a mirror.
    pub(crate) mirror: Option<MirrorCounts>,
    /// Checks made, in the order of [`Check::ALL`].
    pub(crate) checks: Vec<u64>,
    pub(crate) failed_count: u64,
    pub(crate) failures: Vec<String>,
}

impl RoundTally {
    /// What the workers and the hooks did.
    pub(crate) fn new<I: ExtentIndex>(churned: &Churned, driver: &Driver<I>) -> Self {
        let counts = &driver.counts;
        let total = counts.total() as f64;
        RoundTally {
            ways: Vec::new(),
            hook_mops: total / churned.time.as_secs_f64() / 1e6,
            hook_ns: count_of(&counts.index_ns) as f64 / total.max(1.0),
            events: ExtentEvents {
                mapped: count_of(&counts.mapped),
                unmapped: count_of(&counts.unmapped),
                split: count_of(&counts.split),
                merged: count_of(&counts.merged),
                refused: count_of(&counts.refused),
            },
            work: churned.work,
            interval_count: churned.interval_count,
            retired_bytes_max: None,
            raced: 0,
            replayed: Replayed::default(),
            mirror: None,
            checks: Vec::new(),
            failed_count: 0,
            failures: Vec::new(),
        }
    }

    /// What the finders and the monitor saw; returns the finders' logs.
    pub(crate) fn add_watched(&mut self, watched: Watched) -> Vec<FindLog> {
        self.retired_bytes_max = watched.retired_bytes_max;
        self.mirror = watched.mirror;
        let Watched { findings, .. } = watched;
        self.raced = findings.iter().map(|findings| findings.raced).sum();
        let ways = findings.first().map_or(0, |findings| findings.ways.len());
        for way in 0..ways {
            let mut latency = Latency::new();
            let mut find_mops = 0.0;
            for figures in findings.iter().map(|findings| &findings.ways[way]) {
                latency.merge(&figures.latency);
                find_mops += figures.find_count as f64 * 1e3 / (figures.busy_ns as f64).max(1.0);
            }
            self.ways.push(WayTally { find_mops, latency });
        }
        findings.into_iter().map(|findings| findings.log).collect()
    }

    /// What the replay said.
    pub(crate) fn add_replayed(&mut self, replayed: Replayed) {
        self.replayed = replayed;
    }

    /// What was checked, with how it ended; to be called last.
    pub(crate) fn add_checks(&mut self, checks: &Checks) {
        self.checks = checks.made();
        self.failed_count = checks.failed_count();
        self.failures = checks.texts();
    }
}

/// The kinds of checks that some rounds of a contender should have made and did not.
pub(crate) fn missing_checks<I: ExtentIndex>(made: &[u64]) -> Vec<Check> {
    let is_due =
        |check: &Check| (*check != Check::Steady || I::KEEPS_VERSIONS) && (!check.needs_mirror() || I::HAS_MIRROR);
    let is_missing = |check: &Check| is_due(check) && made[*check as usize] == 0;
    Check::ALL.into_iter().filter(is_missing).collect()
}
