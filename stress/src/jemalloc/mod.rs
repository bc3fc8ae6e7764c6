//! The main job: a live jemalloc drives the index through its extent hooks, while finders look its pointers up.
//!
//! ```text
//!   workers -- mallocx, xallocx, dallocx --> jemalloc -- hooks --> driver --> index <-- finders
//!                                               |                                 |
//!                       arenas.lookup, stats, /proc/self/maps  =====  checks  ====+==== replayed log
//! ```
//!
//! Nothing that judges was written for this index: whose a pointer is, and how many bytes an arena has, are jemalloc's
//! own figures; what is mapped is the kernel's list; and every change and every logged find is replayed in the order of
//! versions on the reference model. The same job then runs with the locked baseline in place of the index, round by
//! round in turns, for the ratio.
//!
//! From the outside in:
//! `process` starts one process for each setting of `retain`, which jemalloc reads once; `cell` has the rounds of one
//! process, `round` one round with its `worker`s, `finder`s and `watch`; `hooks` and `driver` lead from jemalloc to the
//! index, `control` and `mapping` lie beneath them; `extent_index` is what is asked of an index, `indexed_extents` and
//! `locked_extents` give it; `page_mirror`, `mirror_fill` and `mirror_thread` are its subscriber; `judge`, `rest` and `replay` are the checks, counted in `checks`; `tally`, `part` and
//! `summary` are the figures.

use std::time::Duration;

use crate::cli::{Impossible, JemallocOptions, Named, Retain};
use crate::part_process;
use crate::report::Outcome;

mod apart;
mod cell;
mod change_log;
mod checks;
mod control;
mod driver;
mod extent_index;
mod find_log;
mod finder;
mod hooks;
mod indexed_extents;
mod judge;
mod live;
mod locked_extents;
mod mapping;
mod mirror_fill;
mod mirror_thread;
mod page_mirror;
mod part;
mod process;
mod process_maps;
mod regions;
mod replay;
mod rest;
mod round;
mod summary;
mod tally;
mod watch;
mod worker;

#[cfg(test)]
mod crooked;
#[cfg(test)]
mod tests;

/// Runs the job and prints its tables; the caller prints the last line.
///
/// # Errors
/// [`Impossible`] if this build or this machine cannot run it as asked.
pub fn run(options: &JemallocOptions) -> Result<Outcome, Impossible> {
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
    if process::is_part() {
        part_process::tell_parent(&cell::run(options));
        return Ok(Outcome::default());
    }
    let settings: &[bool] = match options.retain {
        Retain::True => &[true],
        Retain::False => &[false],
        Retain::Both => &[true, false],
    };
    let seconds = options.seconds / settings.len() as u32;
    let reports: Vec<_> = settings.iter().map(|retain| process::run_part(options, *retain, seconds)).collect();
    Ok(summary::print(&reports))
}

/// How long a part may take that churns for so long: replay and checks included, and generously.
fn patience(churn: Duration) -> Duration {
    churn * 10 + Duration::from_secs(120)
}
