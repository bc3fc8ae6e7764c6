//! What people read at the end: the figures, what was done and checked, and what was wrong.

use crate::jemalloc::checks::Check;
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::locked_extents::LockedExtents;
use crate::jemalloc::mirror_thread::MirrorCounts;
use crate::jemalloc::part::{Part, WayPart};
use crate::jemalloc::process::PartReport;
use crate::report::{Outcome, Spread, bytes, figure, nanoseconds, print_table};

/// How many failures are put into the last line; all are printed before it.
const FAILURES_IN_LINE: usize = 3;

/// Prints everything, and hands back what the last line and the JSON file are made from.
pub(crate) fn print(reports: &[PartReport]) -> Outcome {
    let parts: Vec<&Part> = reports.iter().flat_map(|report| &report.parts).collect();
    print_figures(&parts);
    print_counts(&parts);
    parts.iter().for_each(|part| print_replay(part));
    let failures: Vec<String> = reports.iter().flat_map(failures_of).collect();
    failures.iter().for_each(|failure| println!("FAILED {failure}"));
    let mut in_line: Vec<String> = failures.iter().take(FAILURES_IN_LINE).cloned().collect();
    if failures.len() > in_line.len() {
        in_line.push(format!("and {} more", failures.len() - in_line.len()));
    }
    Outcome { rows: parts.iter().flat_map(|part| part.rows()).collect(), failures: in_line }
}

fn failures_of(report: &PartReport) -> Vec<String> {
    let of_parts = report.parts.iter().flat_map(|part| {
        let uncounted = (part.failed_count > 0 && part.failures.is_empty()).then(|| "failed checks".to_owned());
        part.failures.iter().cloned().chain(uncounted).map(|text| format!("{}: {text}", title(part)))
    });
    report.failures.iter().cloned().chain(of_parts).collect()
}

fn title(part: &Part) -> String {
    format!("{}, retain:{}", part.name, part.retain)
}

/// The baseline that ran in the same process, round by round in turns.
fn baseline_of<'p>(part: &Part, parts: &[&'p Part]) -> Option<&'p Part> {
    parts.iter().copied().find(|other| other.retain == part.retain && other.name == LockedExtents::NAME)
}

fn print_figures(parts: &[&Part]) {
    let headers = [
        "contender",
        "retain",
        "finds M/s",
        "ratio",
        "hooks k/s",
        "ns each",
        "ratio",
        "p50",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "retired",
    ];
    let rows = parts.iter().flat_map(|part| part.ways.iter().map(|way| figures(part, way, baseline_of(part, parts))));
    print_table(&headers, &rows.collect::<Vec<_>>());
    println!("finds M/s: of all finders together, while they are finding; median (least..greatest) of the rounds");
    println!("hooks k/s: changes by extent hooks, while the workers churn; ns each: the index's share of one");
    println!(
        "ratio: to locked-mutex in the same rounds (more finds, fewer ns are better); p50 to max: one find, clock"
    );
    println!("included; retired: most bytes that waited to be freed");
}

fn figures(part: &Part, way: &WayPart, baseline: Option<&Part>) -> Vec<String> {
    let find = Spread::of(&way.find_mops);
    let hook_mops = Spread::of(&part.hook_mops);
    let hook_ns = Spread::of(&part.hook_ns);
    let base_find = baseline.and_then(|baseline| Spread::of(&baseline.ways.first()?.find_mops));
    let base_ns = baseline.and_then(|baseline| Spread::of(&baseline.hook_ns));
    let mut cells = vec![
        way.name.clone(),
        part.retain.to_string(),
        figure(find.map(|find| format!("{:.1} ({:.1}..{:.1})", find.median, find.least, find.greatest))),
        ratio(find, base_find),
        figure(hook_mops.map(|spread| format!("{:.1}", spread.median * 1e3))),
        figure(hook_ns.map(|spread| format!("{:.0}", spread.median))),
        ratio(hook_ns, base_ns),
    ];
    cells.extend((0..5).map(|place| nanoseconds(way.latency_ns.map(|figures| figures[place]))));
    cells.push(bytes(part.retired_bytes_max));
    cells
}

fn ratio(ours: Option<Spread>, base: Option<Spread>) -> String {
    let ratio = ours.zip(base).filter(|(_, base)| base.median > 0.0);
    figure(ratio.map(|(ours, base)| format!("{:.2}x", ours.median / base.median)))
}

/// One column for each part: what happened, and what was checked how often.
fn print_counts(parts: &[&Part]) {
    let titles: Vec<String> = parts.iter().map(|part| title(part)).collect();
    let line = |name: &str, count: &dyn Fn(&Part) -> u64| {
        let counts = parts.iter().map(|part| count(part).to_string());
        std::iter::once(name.to_owned()).chain(counts).collect::<Vec<String>>()
    };
    let headers = |first| std::iter::once(first).chain(titles.iter().map(String::as_str)).collect::<Vec<&str>>();
    let events = EVENTS.iter().map(|(name, count)| line(name, count)).collect::<Vec<_>>();
    print_table(&headers("what happened"), &events);
    let mirror_line = |name: &str, count: fn(MirrorCounts) -> u64| {
        let counts = parts.iter().map(|part| figure(part.mirror.map(count)));
        std::iter::once(name.to_owned()).chain(counts).collect::<Vec<String>>()
    };
    let mirror = MIRROR_EVENTS.iter().map(|(name, count)| mirror_line(name, *count)).collect::<Vec<_>>();
    print_table(&headers("the mirror"), &mirror);
    println!("the baseline runs without sections and without a mirror, and so without the checks of these");
    let checks = Check::ALL.iter().map(|check| line(check.name(), &|part| part.checks[*check as usize]));
    let failed = std::iter::once(line("failed", &|part| part.failed_count));
    print_table(&headers("checks made"), &checks.chain(failed).collect::<Vec<_>>());
}

/// A count of a part, with its name.
type Count = (&'static str, fn(&Part) -> u64);

const EVENTS: [Count; 11] = [
    ("allocated", |part| part.work.allocated),
    ("freed", |part| part.work.freed),
    ("resized in place", |part| part.work.resized),
    ("extents mapped", |part| part.events.mapped),
    ("extents unmapped", |part| part.events.unmapped),
    ("extents split", |part| part.events.split),
    ("extents merged", |part| part.events.merged),
    ("refused", |part| part.events.refused + part.work.refused),
    ("intervals at most", |part| part.interval_count),
    ("finds", |part| part.finds_made),
    ("raced with a free", |part| part.raced),
];

/// A count of the mirror, with its name.
type MirrorCount = (&'static str, fn(MirrorCounts) -> u64);

const MIRROR_EVENTS: [MirrorCount; 8] = [
    ("sections of hooks", |mirror| mirror.hook_sections),
    ("other sections", |mirror| mirror.other_sections),
    ("fills", |mirror| mirror.fills),
    ("pages filled", |mirror| mirror.pages),
    ("retries", |mirror| mirror.retries),
    ("waits", |mirror| mirror.waits),
    ("waits timed out", |mirror| mirror.timeouts),
    ("nothing to fill", |mirror| mirror.nowhere),
];

fn print_replay(part: &Part) {
    let share = 100.0 * part.finds_logged as f64 / (part.finds_made as f64).max(1.0);
    println!(
        "{}: replayed {} operations on the model: all changes, and {} of {} finds ({share:.1} %): {} mismatches",
        title(part),
        part.replayed,
        part.finds_logged,
        part.finds_made,
        part.mismatches,
    );
}
