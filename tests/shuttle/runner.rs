//! Runs scenarios under both schedulers, and repeats what failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::scenarios::SCENARIOS;
use crate::{jobs, near};

/// Some tasks over the public API.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The sabotages each of which it must catch.
    pub(crate) twins: &'static [&'static str],
    /// What must nearly have gone wrong, or the scenario has shrunk.
    pub(crate) near_misses: &'static [&'static str],
    pub(crate) run: fn(),
}

/// Schedules of each kind.
pub(crate) const SCHEDULES: u64 = 20_000;

/// Schedules that one seed stands for.
const BATCH: usize = 250;

/// Steps of one schedule; one that needs more does not end.
const MAX_STEPS: usize = 200_000;

/// Priority changes of a PCT schedule, and one.
const DEPTH: usize = 3;

#[derive(Clone, Copy)]
enum Kind {
    Random,
    Pct,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Random => "random",
            Kind::Pct => "pct",
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "random" => Kind::Random,
            "pct" => Kind::Pct,
            other => panic!("no such scheduler: {other}"),
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let passed = match words.as_slice() {
        [] => jobs::run_all(),
        ["twins"] => jobs::run_twins(),
        ["recorded"] => run_recorded(),
        ["schedule", name, file] => run_schedule(name, file),
        names => names.iter().all(|name| run(scenario(name))),
    };
    ExitCode::from(u8::from(!passed))
}

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("no such scenario: {name}"))
}

#[cfg(busted)]
fn sabotage() {
    if let Some(name) = std::env::var("BUSTED").ok().filter(|name| !is_of_user(name)) {
        notifier_index::busted::set(&name).expect("a known sabotage");
    }
}

#[cfg(busted)]
fn is_of_user(name: &str) -> bool {
    name.starts_with("r4") || name.starts_with("r6")
}

#[cfg(not(busted))]
fn sabotage() {
    assert!(std::env::var("BUSTED").is_err(), "BUSTED needs --cfg busted");
}

/// A number that the environment gives.
pub(crate) fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.failure_persistence = FailurePersistence::Print;
    config.silence_warnings = true;
    config
}

/// What runs now, for whoever reads that it failed.
static NOW: Mutex<String> = Mutex::new(String::new());

/// Schedules begun.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Says at a panic which seed repeats it, and ends the process: what has gone wrong may keep the index from being dropped.
/// Set before shuttle's hook, which prints the schedule and then calls this.
fn say_what_failed() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        let count = COUNT.load(Ordering::Relaxed);
        eprintln!("FAILED in schedule {count}: {}", NOW.lock().expect("no holder panics"));
        std::process::exit(1);
    }));
}

/// Runs one scenario under both schedulers; false if it has shrunk, or failed.
fn run(scenario: &Scenario) -> bool {
    sabotage();
    say_what_failed();
    let (schedules, mut seed) = (number("SCHEDULES", SCHEDULES) as usize, first_seed());
    let begun = Instant::now();
    for kind in [Kind::Random, Kind::Pct] {
        let mut left = schedules;
        while left > 0 {
            let batch = left.min(BATCH);
            if !run_batch(scenario, kind, seed, batch) {
                return false;
            }
            (left, seed) = (left - batch, seed.wrapping_add(1));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let missed: Vec<_> = scenario.near_misses.iter().map(|what| (what, near::count(what))).collect();
    let listed: Vec<_> = missed.iter().map(|(what, count)| format!("{what} {count}")).collect();
    let shrunk = missed.iter().any(|(_, count)| *count == 0);
    println!(
        "{:<32} {} {} schedules, {seconds:.1} s, {:.0} a second; {}",
        scenario.name,
        if shrunk { "SHRUNK" } else { "ok" },
        2 * schedules,
        2.0 * schedules as f64 / seconds,
        listed.join(", "),
    );
    !shrunk
}

fn first_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    number("SEED", RandomState::new().hash_one(0) >> 16)
}

/// Runs the schedules that a seed stands for; false if one failed.
fn run_batch(scenario: &Scenario, kind: Kind, seed: u64, schedules: usize) -> bool {
    *NOW.lock().expect("no holder panics") = format!("{} {} {seed} {schedules}", scenario.name, kind.name());
    match kind {
        Kind::Random => runs(scenario, RandomScheduler::new_from_seed(seed, schedules)),
        Kind::Pct => runs(scenario, PctScheduler::new_from_seed(seed, DEPTH, schedules)),
    }
}

fn runs(scenario: &Scenario, scheduler: impl Scheduler + 'static) -> bool {
    let run = scenario.run;
    let counted = move || {
        COUNT.fetch_add(1, Ordering::Relaxed);
        run();
    };
    catch_unwind(AssertUnwindSafe(|| Runner::new(scheduler, config()).run(counted))).is_ok()
}

/// Runs what failed once: lines of scenario, scheduler, seed and number of schedules, and what was found.
fn run_recorded() -> bool {
    sabotage();
    say_what_failed();
    let lines = include_str!("recorded.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut count = 0;
    for line in lines {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_else(|| panic!("SCENARIO SCHEDULER SEED SCHEDULES: {line}"));
        let (name, kind) = (word(), Kind::named(word()));
        let (seed, schedules) = (word().parse().expect("a seed"), word().parse().expect("a number"));
        if !run_batch(scenario(name), kind, seed, schedules) {
            return false;
        }
        count += 1;
    }
    println!("{count} recorded seeds passed");
    true
}

/// Replays one schedule, of exactly this code.
fn run_schedule(name: &str, file: &str) -> bool {
    sabotage();
    let scheduler = ReplayScheduler::new_from_file(file).expect("a schedule, as a failure prints it");
    runs(scenario(name), scheduler)
}
