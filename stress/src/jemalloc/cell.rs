//! The rounds of one process: the index and the baseline in turns.

use std::time::Duration;

use rayon::ThreadPoolBuilder;

use crate::cli::{JemallocOptions, JemallocSabotage, Retain};
use crate::jemalloc::control;
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::indexed_extents::IndexedExtents;
use crate::jemalloc::locked_extents::LockedExtents;
use crate::jemalloc::part::Part;
use crate::jemalloc::process::PartReport;
use crate::jemalloc::round::{self, RoundPlan};
use crate::jemalloc::tally::RoundTally;
use crate::progress::Progress;

/// Rounds, if there is time for them.
const MOST_ROUNDS: u32 = 10;
/// A round churns at least so long.
const LEAST_CHURN: Duration = Duration::from_millis(200);

/// Runs all rounds of this process, whose jemalloc has the setting that is asked for.
pub(crate) fn run(options: &JemallocOptions) -> PartReport {
    let retain = options.retain == Retain::True;
    match control::retains() {
        Ok(setting) if setting == retain => {}
        Ok(setting) => return refused(format!("jemalloc runs with retain:{setting}")),
        Err(error) => return refused(error.to_string()),
    }
    break_library(options.sabotage);
    rounds(options, retain).unwrap_or_else(|error| refused(error.to_string()))
}

fn refused(reason: String) -> PartReport {
    PartReport { failures: vec![reason], ..PartReport::default() }
}

/// The sabotage that lies in the library itself.
fn break_library(sabotage: Option<JemallocSabotage>) {
    #[cfg(busted)]
    if let Some(name) = sabotage.and_then(JemallocSabotage::in_library) {
        notifier_index::busted::set(name).expect("the library knows its own sabotages");
    }
    #[cfg(not(busted))]
    let _ = sabotage;
}

fn rounds(options: &JemallocOptions, retain: bool) -> Result<PartReport, Box<dyn std::error::Error>> {
    let has_baseline = options.sabotage.is_none();
    let each = options.seconds / if has_baseline { 2 } else { 1 };
    let round_count = (each.as_secs_f64() / LEAST_CHURN.as_secs_f64()) as u32;
    let round_count = round_count.clamp(1, MOST_ROUNDS);
    let pool = ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let progress = Progress::new(options.seconds);
    progress.stage(&format!("jemalloc, retain:{retain}"));
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for seed in 0..u64::from(round_count) {
        let plan = RoundPlan { churn: each / round_count, threads: options.threads, seed, sabotage: options.sabotage };
        ours.push(round::run::<IndexedExtents>(plan, &pool, &|time| progress.advance(time))?);
        if has_baseline {
            baseline.push(round::run::<LockedExtents>(plan, &pool, &|time| progress.advance(time))?);
        }
        if ours.iter().chain(&baseline).any(|round| round.failed_count > 0) {
            break;
        }
    }
    progress.finish();
    let mut parts = vec![part::<IndexedExtents>(retain, options, &ours)];
    if has_baseline {
        parts.push(part::<LockedExtents>(retain, options, &baseline));
    }
    Ok(PartReport { parts, failures: Vec::new() })
}

fn part<I: ExtentIndex>(retain: bool, options: &JemallocOptions, rounds: &[RoundTally]) -> Part {
    Part::of::<I>(retain, options.threads, rounds)
}
