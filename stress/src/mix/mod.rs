//! The race: contenders on synthetic sets, interleaved by rounds, every history checked.
//!
//! ```text
//!   round 1:  reader | guard | ... | scc-treeindex      each runs for the same time with the same draws,
//!   round 2:  reader | guard | ... | scc-treeindex      then its log is replayed before the next one starts
//!   ...
//! ```
//!
//! Interleaving spreads whatever else the machine does over all contenders; the median over the rounds is reported
//! with the least and the greatest. One find in so many is timed and logged, every update is. What is not logged is
//! still consumed and checked for sense: a hit must overlap its query and belong to the owner that was asked for.

mod course;
mod lane;
mod roster;
mod table;
mod worker;

use crate::cli::{Impossible, MixOptions, MixSabotage, Named};
use crate::history::Recorder;
use crate::progress::Progress;
use crate::report::Outcome;

use course::Course;
use roster::Entrant;

/// Runs `stress mix`: races, prints the table, hands back rows and failures.
///
/// # Errors
/// [`Impossible`] if the options contradict each other.
pub fn run(options: &MixOptions) -> Result<Outcome, Impossible> {
    options.check()?;
    let course = Course::new(options);
    let mut entrants = roster::entrants(options, &course);
    refuse_idle_sabotage(options, &entrants)?;
    table::print_heading(&course, options);
    race(options, &course, &mut entrants);
    table::print(&course, &entrants);
    Ok(outcome(&course, &entrants))
}

/// A sabotage that nobody could notice would pass for a check that works.
fn refuse_idle_sabotage(options: &MixOptions, entrants: &[Entrant]) -> Result<(), Impossible> {
    let racers = || entrants.iter().filter_map(|entrant| entrant.racer.as_deref());
    let reason = match options.sabotage {
        None => return Ok(()),
        Some(_) if racers().next().is_none() => "no contender runs",
        Some(_) if options.find_share >= 1.0 => "without updates nothing can be stale or lost",
        Some(MixSabotage::StaleFind) if options.find_share <= 0.0 => "without finds nothing can be stale",
        Some(MixSabotage::StaleFind) if !racers().any(|racer| racer.has_versions()) => {
            "a stale find can only be noticed where finds have versions"
        }
        Some(_) => return Ok(()),
    };
    Err(Impossible(format!("--break: {reason}")))
}

fn race(options: &MixOptions, course: &Course, entrants: &mut [Entrant]) {
    let runner_count = entrants.iter().filter(|entrant| entrant.racer.is_some()).count() as u32;
    let progress = Progress::new(options.seconds * options.rounds * runner_count);
    let mut recorders: Vec<Recorder> = (0..options.threads).map(|_| course.recorder()).collect();
    for round in 0..options.rounds {
        for entrant in entrants.iter_mut() {
            let Some(racer) = &mut entrant.racer else { continue };
            progress.stage(&format!("round {} of {}: {}", round + 1, options.rounds, entrant.name.name()));
            racer.run_round(course, &mut recorders, round);
            progress.advance(options.seconds);
        }
    }
    progress.finish();
}

fn outcome(course: &Course, entrants: &[Entrant]) -> Outcome {
    let rows = entrants.iter().map(|entrant| table::row(course, entrant)).collect();
    let failures = entrants.iter().filter_map(failure).collect();
    Outcome { rows, failures }
}

fn failure(entrant: &Entrant) -> Option<String> {
    let figures = entrant.racer.as_deref()?.figures();
    let name = entrant.name.name();
    if figures.mismatches() > 0 {
        let count = figures.mismatches();
        let first = figures.verdict.descriptions.first().map_or(String::new(), |text| format!(" ({text})"));
        return Some(format!("{name}: {count} mismatches{first}"));
    }
    let idle = figures.find_count + figures.update_count == 0;
    idle.then(|| format!("{name}: no operation in any round"))
}

#[cfg(test)]
mod tests;
