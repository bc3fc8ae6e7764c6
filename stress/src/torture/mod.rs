//! The torture: every operation of the index, from many more threads than there are cores, all of it checked.
//!
//! ```text
//!   mix ── a process of its own ── world (one index) ── world ── ...
//!                                    └ round: threads work ── round: ... ── taken down: nothing may be left
//!                                               └ logs ── judged, while the threads wait at a barrier
//! ```
//!
//! - Every change is logged with the version that it returned, and a share of the look-ups with the one that they saw;
//!   after each round all of it is replayed in the order of versions on the reference model, and held against the clock.
//! - Every find, logged or not, looks at its payload: the canary must be alive, and the notifier must not have been
//!   removed in the version that was searched or before.
//! - Pages and their mirrors show whether collision-retry keeps its promise, at every fill and inside every section.
//! - At the end of each world every payload has been dropped once, and nothing is retired any more.
//! - Near misses are counted, and a mix in which one that belongs to it never came about has failed.
//!
//! From the outside in: `part` runs each mix in a process and `summary` prints; `campaign` has the worlds and rounds,
//! `watchdog` sees to it that they end, `judge` judges them, `takedown` and `forgotten` end them; `worker` does what the
//! `mixes` say: `looks`, `changes`, `batches`, `sections`, `paging` and `keeping`, from its own `seat` on the shared
//! `world`; `actor` is the payload, `callbacks` what it does when it is told, `pages` the source and its mirrors.

use std::time::SystemTime;

use crate::cli::{Impossible, Named, TortureOptions};
use crate::progress::Progress;
use crate::report::Outcome;

mod actor;
mod batches;
mod callbacks;
mod campaign;
mod changes;
mod faults;
mod forgotten;
mod judge;
mod keeping;
mod listed;
mod looks;
mod marks;
mod mixes;
mod pages;
mod paging;
mod part;
mod patience;
mod seat;
mod sections;
mod summary;
mod takedown;
mod watchdog;
mod worker;
mod world;

#[cfg(test)]
mod tests;

/// Runs the job and prints its lines and its table; the caller prints the last line.
///
/// # Errors
/// [`Impossible`] if this build cannot run it as asked.
pub fn run(options: &TortureOptions) -> Result<Outcome, Impossible> {
    if let Some(sabotage) = options.sabotage
        && sabotage.in_library().is_some()
        && !cfg!(busted)
    {
        return Err(Impossible(format!(
            "--break {} changes the library itself and is compiled in only with RUSTFLAGS=\"--cfg busted\": build \
             stress again with that",
            sabotage.name()
        )));
    }
    let seed = options.seed.unwrap_or_else(new_seed);
    if part::is_part() {
        part::run(options, seed);
        return Ok(Outcome::default());
    }
    let (mixes, mut reports) = (options.mixes(), Vec::new());
    let progress = Progress::new(options.duration() * mixes.len() as u32);
    for name in mixes {
        progress.stage(&format!("torture: {}, {:?}, seed {seed}", name.name(), options.duration()));
        reports.push(part::run_mix(options, name, seed, &progress));
    }
    progress.finish();
    summary::print(&reports);
    let failures = reports.iter().filter(|report| !report.failures.is_empty());
    let failures = failures.map(|report| {
        report.failures.iter().for_each(|failure| println!("FAILED {}, seed {seed}: {failure}", report.name.name()));
        println!("again: {}", part::again(options, report.name, seed));
        format!("{}, seed {seed}: {}", report.name.name(), report.failures[0])
    });
    Ok(Outcome { failures: failures.collect(), rows: reports.iter().map(summary::row).collect() })
}

fn new_seed() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64 >> 10)
}
