//! What all contenders of one race have in common: the workload, the mix, the time, and how much is logged.

use std::time::Duration;

use crate::cli::{MixOptions, MixSabotage};
use crate::history::Recorder;
use crate::workload::Workload;

/// Seed of all draws of a race.
const SEED: u64 = 0x6e6f_7469_6669_6572;
/// Queries that a thread's log holds for one round: about 100 MB.
const QUERY_LIMIT: usize = 1 << 20;
/// Room for so many changes is there from the start; the log grows beyond.
const EXPECTED_CHANGES: usize = 1 << 20;
/// At least one find in so many is left untimed between two that are timed, so that the clock is a small part of it.
const LEAST_STRIDE: u64 = 16;
/// The fastest find to reckon with when the log is cut to size, in finds a second and thread.
const FASTEST_FINDS: f64 = 16e6;

/// The race that all contenders run.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) workload: Workload,
    pub(super) notifier_count: usize,
    pub(super) thread_count: usize,
    pub(super) find_share: f64,
    pub(super) duration: Duration,
    pub(super) sabotage: Option<MixSabotage>,
    /// One find in so many is timed and logged; a power of two.
    pub(super) stride: u64,
    pub(super) seed: u64,
}

impl Course {
    pub(super) fn new(options: &MixOptions) -> Self {
        Course {
            workload: Workload::new(options.workload, options.intervals),
            notifier_count: options.intervals,
            thread_count: options.threads,
            find_share: options.find_share,
            duration: options.seconds,
            sabotage: options.sabotage,
            stride: stride(options.seconds, options.find_share),
            seed: SEED,
        }
    }

    /// A log for one thread of the race.
    pub(super) fn recorder(&self) -> Recorder {
        let expected_changes = if self.find_share < 1.0 { EXPECTED_CHANGES } else { 0 };
        Recorder::new(expected_changes, QUERY_LIMIT)
    }
}

/// The stride with which even the fastest contender does not fill its log.
fn stride(duration: Duration, find_share: f64) -> u64 {
    let most_finds = duration.as_secs_f64() * find_share * FASTEST_FINDS;
    let needed = (most_finds / QUERY_LIMIT as f64).ceil() as u64;
    needed.max(LEAST_STRIDE).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_rounds_are_logged_more_sparsely() {
        assert_eq!(stride(Duration::from_millis(10), 1.0), 16);
        assert_eq!(stride(Duration::from_secs(1), 1.0), 16);
        assert_eq!(stride(Duration::from_secs(10), 1.0), 256);
        assert_eq!(stride(Duration::from_secs(10), 0.0), 16);
    }
}
