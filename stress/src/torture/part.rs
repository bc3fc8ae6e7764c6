//! One process for each mix: what crashes or hangs is a failed mix with a reason. Memory that is given back to the
//! allocator is overwritten in it, so that what is read too late looks wrong.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::{MixName, Named, TortureOptions, TortureSabotage};
use crate::part_process;
use crate::progress::Progress;

use super::campaign::{Campaign, Findings, Order};
use super::marks::Mark;
use super::mixes::Plan;
use super::summary::{self, MixReport};
use super::watchdog::Watchdog;

/// Set in a process that is a part of a job.
const PART: &str = "STRESS_TORTURE_PART";
/// The C library's setting by which freed memory is filled with a byte; other libraries ignore it.
const PERTURB: (&str, &str) = ("MALLOC_PERTURB_", "165");
/// A thread that does one and the same for so long hangs.
const HANG: Duration = Duration::from_secs(9);
/// How many failures of a mix are told.
const FAILURES_TOLD: usize = 8;

/// Whether this process is a part of a job, and not the job.
pub(crate) fn is_part() -> bool {
    std::env::var_os(PART).is_some()
}

/// How many threads a mix has.
fn thread_count(options: &TortureOptions) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Fewer than four would leave roles without anybody.
    (cores * options.threads_per_core).max(4)
}

/// The part: runs the one mix that the options name and tells the parent.
pub(crate) fn run(options: &TortureOptions, seed: u64) {
    break_library(options.sabotage);
    for name in options.mixes() {
        let order = Order {
            plan: Plan::of(name),
            seed,
            threads: thread_count(options),
            duration: options.duration(),
            sabotage: options.sabotage,
            forgets: true,
        };
        let watchdog = Watchdog::new(HANG, |text| {
            part_process::tell_parent(&Findings { failures: vec![text], ..Findings::default() });
            std::process::exit(0);
        });
        let print = |findings: &Findings| println!("{}", summary::line(name, seed, findings));
        part_process::tell_parent(&Campaign::new(order, &watchdog, &print).run());
    }
}

/// The sabotage that lies in the library itself.
fn break_library(sabotage: Option<TortureSabotage>) {
    #[cfg(busted)]
    if let Some(name) = sabotage.and_then(TortureSabotage::in_library) {
        notifier_index::busted::set(&name).expect("the library knows its own sabotages");
    }
    #[cfg(not(busted))]
    let _ = sabotage;
}

/// The arguments that ask for one mix, with the same choices.
fn arguments(options: &TortureOptions, name: MixName, seed: u64) -> Vec<String> {
    let (seconds, threads_per_core) = (options.duration().as_secs_f64(), options.threads_per_core);
    let line = format!(
        "torture --mix {} --seed {seed} --seconds {seconds} --threads-per-core {threads_per_core}",
        name.name()
    );
    let sabotage = options.sabotage.map(|sabotage| ["--break".to_owned(), sabotage.name()]);
    line.split(' ').map(str::to_owned).chain(sabotage.into_iter().flatten()).collect()
}

/// The line that runs a mix again; the choices are then the same, the order of the threads' steps is not.
pub(crate) fn again(options: &TortureOptions, name: MixName, seed: u64) -> String {
    format!("stress {}", arguments(options, name, seed).join(" "))
}

fn command(options: &TortureOptions, name: MixName, seed: u64) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(PART, "1").env(PERTURB.0, PERTURB.1).args(arguments(options, name, seed));
    Ok(command)
}

/// How long a part may take, generously.
fn patience(duration: Duration) -> Duration {
    duration * 2 + Duration::from_secs(60)
}

/// The job: runs a mix in a process of its own.
pub(crate) fn run_mix(options: &TortureOptions, name: MixName, seed: u64, progress: &Progress) -> MixReport {
    let mut shown = Instant::now();
    let hand_on = |line: &str| {
        progress.advance(shown.elapsed());
        shown = Instant::now();
        // The part's own last line is not the job's.
        if !line.starts_with("RESULT=") {
            progress.print(line);
        }
    };
    let run = |mut command: Command| part_process::run::<Findings>(&mut command, patience(options.duration()), hand_on);
    let (findings, failures) = match command(options, name, seed).and_then(run) {
        Ok((Some(findings), status)) if status.success() => {
            let failures = failures(options, name, &findings);
            (findings, failures)
        }
        Ok((_, status)) => (Findings::default(), vec![format!("its process ended by {status}")]),
        Err(error) => (Findings::default(), vec![error.to_string()]),
    };
    MixReport { name, findings, failures }
}

fn failures(options: &TortureOptions, name: MixName, findings: &Findings) -> Vec<String> {
    let mut failures: Vec<String> = findings.failures.iter().take(FAILURES_TOLD).cloned().collect();
    if findings.mismatches > 0 {
        failures.insert(0, format!("{} mismatches", findings.mismatches));
    }
    // Where something is broken on purpose, only what was found wrong counts.
    if failures.is_empty() && options.sabotage.is_none() {
        let missing = findings.marks.missing(name);
        if !missing.is_empty() {
            failures.push(format!("ran out of work: no {}", missing.join(", no ")));
        }
    }
    failures.extend((findings.leaks > 0).then(|| format!("{} leaks", findings.leaks)));
    debug_assert!(findings.marks.get(Mark::Worlds) > 0 || !failures.is_empty());
    failures
}
