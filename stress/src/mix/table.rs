//! The race in figures: the table for people, the rows for machines.

use super::course::Course;
use super::lane::{Figures, Racer};
use super::roster::{Entrant, NOT_RUN, is_disjoint_only, is_lock};
use crate::cli::{MixOptions, Named};
use crate::report::{self, Row, Spread};

const HEADERS: [&str; 12] = [
    "contender",
    "find Mops/s",
    "update Mops/s",
    "to fastest lock",
    "p50",
    "p99",
    "p99.9",
    "p99.99",
    "max",
    "retired max",
    "mismatches",
    "replayed",
];

/// Says what is raced, before the race.
pub(super) fn print_heading(course: &Course, options: &MixOptions) {
    println!(
        "mix: {} {} intervals, {} threads, {} of operations are finds, {} rounds of {:?} each",
        course.notifier_count,
        course.workload.shape().name(),
        course.thread_count,
        course.find_share,
        options.rounds,
        course.duration,
    );
}

/// Prints the table and what must be known to read it.
pub(super) fn print(course: &Course, entrants: &[Entrant]) {
    let fastest = fastest_lock(course, entrants);
    let rows: Vec<Vec<String>> = racers(entrants)
        .map(|(entrant, racer)| cells(course, entrant, racer, fastest.map(|fastest| speeds(course, fastest))))
        .collect();
    report::print_table(&HEADERS, &rows);
    print_remarks(course, entrants);
    for (entrant, racer) in racers(entrants) {
        for description in &racer.figures().verdict.descriptions {
            println!("mismatch: {}: {description}", entrant.name.name());
        }
    }
}

fn print_remarks(course: &Course, entrants: &[Entrant]) {
    println!("median (least..greatest) of the rounds; the ratio is taken round by round");
    println!("one find in {} is timed and logged, every update is; latencies include the clock", course.stride);
    let figures = || racers(entrants).map(|(_, racer)| racer.figures());
    let (finds, logged) = (figures().map(|f| f.find_count).sum::<u64>(), figures().map(|f| f.logged_find_count).sum());
    let share = |part: u64, whole: u64| {
        if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
    };
    println!("checks: {finds} finds for sense, of which {:.2} % were logged", share(logged, finds));
    let hits = figures().map(|f| f.hit_count).sum();
    println!("hits: {:.1} % of finds", share(hits, finds));
    for (entrant, _) in racers(entrants).filter(|(_, racer)| !racer.has_versions()) {
        let name = entrant.name.name();
        println!("{name}: no versions, a move is two steps: not replayed, its content compared after each round");
    }
    if racers(entrants).any(|(entrant, _)| is_disjoint_only(entrant.name)) {
        println!("mutex-btreemap, arcswap-imbl, skiplist, scc-treeindex: disjoint intervals of one owner only");
    }
    for entrant in entrants.iter().filter(|entrant| entrant.racer.is_none()) {
        println!("not run: {}: {NOT_RUN}", entrant.name.name());
    }
}

/// The row of a contender; of one that did not run, only what was asked.
pub(super) fn row(course: &Course, entrant: &Entrant) -> Row {
    let mut row = Row {
        contender: entrant.name.name(),
        workload: course.workload.shape().name(),
        intervals: Some(course.notifier_count as u64),
        threads: Some(course.thread_count as u64),
        find_share: Some(course.find_share),
        ..Row::default()
    };
    if let Some(racer) = entrant.racer.as_deref() {
        fill(&mut row, course, racer);
    }
    row
}

fn fill(row: &mut Row, course: &Course, racer: &dyn Racer) {
    let figures = racer.figures();
    row.find_mops = find_spread(course, figures).map(|spread| spread.median);
    row.update_mops = update_spread(course, figures).map(|spread| spread.median);
    if let Some(percentiles) = figures.latency.percentiles() {
        row.set_latency(percentiles);
    }
    row.retired_bytes_max = figures.retired_bytes_max;
    row.mismatches = Some(figures.mismatches());
    row.replayed = racer.has_versions().then_some(figures.verdict.replayed);
}

fn cells(course: &Course, entrant: &Entrant, racer: &dyn Racer, lock: Option<&[f64]>) -> Vec<String> {
    let row = row(course, entrant);
    let figures = racer.figures();
    vec![
        row.contender,
        report::figure(find_spread(course, figures)),
        report::figure(update_spread(course, figures)),
        report::figure(lock.and_then(|lock| ratio(speeds(course, figures), lock))),
        report::nanoseconds(row.p50_ns),
        report::nanoseconds(row.p99_ns),
        report::nanoseconds(row.p999_ns),
        report::nanoseconds(row.p9999_ns),
        report::nanoseconds(row.max_ns),
        report::bytes(row.retired_bytes_max),
        report::figure(row.mismatches),
        report::figure(row.replayed),
    ]
}

fn racers(entrants: &[Entrant]) -> impl Iterator<Item = (&Entrant, &dyn Racer)> {
    entrants.iter().filter_map(|entrant| Some((entrant, entrant.racer.as_deref()?)))
}

fn find_spread(course: &Course, figures: &Figures) -> Option<Spread> {
    Spread::of(&figures.find_mops).filter(|_| course.find_share > 0.0)
}

fn update_spread(course: &Course, figures: &Figures) -> Option<Spread> {
    Spread::of(&figures.update_mops).filter(|_| course.find_share < 1.0)
}

/// What contenders are compared by: finds, or updates if there are no finds. (In a mix the two go together.)
fn speeds<'f>(course: &Course, figures: &'f Figures) -> &'f [f64] {
    if course.find_share > 0.0 { &figures.find_mops } else { &figures.update_mops }
}

/// The lock with the greatest median.
fn fastest_lock<'e>(course: &Course, entrants: &'e [Entrant]) -> Option<&'e Figures> {
    let median = |figures: &&Figures| Spread::of(speeds(course, figures)).map_or(0.0, |spread| spread.median);
    let locks = racers(entrants).filter(|(entrant, _)| is_lock(entrant.name)).map(|(_, racer)| racer.figures());
    locks.max_by(|one, other| median(one).total_cmp(&median(other)))
}

/// How many times faster, round by round, for the two ran next to each other in each.
fn ratio(speeds: &[f64], lock: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = speeds.iter().zip(lock).map(|(one, other)| one / other).collect();
    Spread::of(&ratios)
}
