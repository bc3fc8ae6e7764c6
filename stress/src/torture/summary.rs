//! The report line, and what is printed at the end.

use crate::cli::{MixName, Named};
use crate::report::{Row, print_table};

use super::campaign::Findings;
use super::marks::{Mark, demanded};

/// One mix, as the parent knows it.
pub(crate) struct MixReport {
    pub(crate) name: MixName,
    pub(crate) findings: Findings,
    /// Why it failed, if it did.
    pub(crate) failures: Vec<String>,
}

/// The line that is printed every few seconds and at the end, in the manner of rcutorture.
pub(crate) fn line(name: MixName, seed: u64, findings: &Findings) -> String {
    let marks = &findings.marks;
    let get = |mark| marks.get(mark);
    format!(
        "torture {} seed {seed} {:.0} s: finds {} publications {} lost-races {} sections {} begin-waits {} retries {} \
         refusals {} callbacks {} replayed {} ({} finds, {:.2} %, and {} changes, all) mismatches {} leaks {} \
         worlds {} retired-max {} KiB age {} past-bound {}",
        name.name(),
        findings.seconds,
        get(Mark::Finds),
        get(Mark::Publications),
        get(Mark::LostRaces),
        get(Mark::Sections),
        get(Mark::BeginWaits),
        get(Mark::Retries),
        get(Mark::Refusals),
        get(Mark::Callbacks),
        findings.replayed,
        get(Mark::FindsLogged),
        share(get(Mark::FindsLogged), get(Mark::Finds)),
        get(Mark::Changes),
        findings.mismatches,
        findings.leaks,
        get(Mark::Worlds),
        findings.retired_bytes_max >> 10,
        marks.ages(),
        get(Mark::PastBound),
    )
}

fn share(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / (whole as f64).max(1.0)
}

/// Every counter of every mix; what a mix must have seen is marked with an asterisk.
pub(crate) fn print(reports: &[MixReport]) {
    let names: Vec<String> = reports.iter().map(|report| report.name.name()).collect();
    let headers: Vec<&str> = std::iter::once("count").chain(names.iter().map(String::as_str)).collect();
    let cell = |mark: Mark, report: &MixReport| {
        let asterisk = if demanded(report.name).contains(&mark) { " *" } else { "" };
        format!("{}{asterisk}", report.findings.marks.get(mark))
    };
    let row = |mark: &Mark| {
        let cells = reports.iter().map(|report| cell(*mark, report));
        std::iter::once(mark.name().to_owned()).chain(cells).collect::<Vec<String>>()
    };
    print_table(&headers, &Mark::ALL.iter().map(row).collect::<Vec<_>>());
    println!("*: must not be 0 at the end of this mix");
    let sum = |mark: Mark| reports.iter().map(|report| report.findings.marks.get(mark)).sum::<u64>();
    let replayed: u64 = reports.iter().map(|report| report.findings.replayed).sum();
    let mismatches: u64 = reports.iter().map(|report| report.findings.mismatches).sum();
    let seconds: f64 = reports.iter().map(|report| report.findings.seconds).sum();
    let (finds, logged) = (sum(Mark::Finds), sum(Mark::FindsLogged));
    println!(
        "torture: {} mixes, {seconds:.0} s, {finds} finds in all ({:.1} million a second), {logged} of them replayed \
         ({:.2} %), {} changes, all replayed; {replayed} operations replayed, {mismatches} mismatches",
        reports.len(),
        finds as f64 / seconds.max(1e-9) / 1e6,
        share(logged, finds),
        sum(Mark::Changes),
    );
}

/// The row of a mix for the JSON file.
pub(crate) fn row(report: &MixReport) -> Row {
    let findings = &report.findings;
    let (finds, changes) = (findings.marks.get(Mark::Finds), findings.marks.get(Mark::Changes));
    let rate = |count: u64| Some(count as f64 / findings.working_seconds.max(1e-9) / 1e6);
    Row {
        contender: "torture".to_owned(),
        workload: report.name.name(),
        intervals: Some(findings.notifiers_max),
        threads: Some(findings.threads),
        find_share: Some(share(finds, finds + changes) / 100.0),
        find_mops: rate(finds),
        update_mops: rate(changes),
        retired_bytes_max: Some(findings.retired_bytes_max),
        mismatches: Some(findings.mismatches),
        replayed: Some(findings.replayed),
        ..Row::default()
    }
}
