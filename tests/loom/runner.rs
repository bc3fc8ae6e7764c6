//! Runs models, and their busted twins in processes of their own.

use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::models::MODELS;
use crate::mutants;

/// One scenario over the public API.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// The sabotages each of which it must catch.
    pub(crate) twins: &'static [&'static str],
    /// Times that a thread is stopped where it could have gone on.
    pub(crate) preemptions: usize,
    /// The same while mutants are hunted, where the whole has to be quick.
    pub(crate) hunting: usize,
    /// Executions below which the model has shrunk, and shows less than it did.
    pub(crate) floor: u64,
    pub(crate) run: fn(),
}

/// A twin that goes on for longer is one that was not caught.
const TWIN_LIMIT: Duration = Duration::from_secs(60);

/// Steps of one execution; a model that needs more does not end.
const MAX_BRANCHES: usize = 20_000;

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = match words.as_slice() {
        ["twins"] => run_twins(),
        ["mutants"] => mutants::run_mutants(),
        ["hunt", first @ ..] => hunt(first),
        [] => run_all(),
        names => run_models(names),
    };
    ExitCode::from(u8::from(failed))
}

#[cfg(busted)]
fn sabotage() {
    if let Ok(name) = std::env::var("BUSTED") {
        notifier_index::busted::set(&name).expect("a known sabotage");
    }
}

#[cfg(not(busted))]
fn sabotage() {
    assert!(std::env::var("BUSTED").is_err(), "BUSTED needs --cfg busted");
}

/// Every model in a process of its own, as many at once as there are processors, the longest first. True if one has failed.
fn run_all() -> bool {
    let begun = Instant::now();
    let mut models: Vec<&Model> = MODELS.iter().collect();
    models.sort_by_key(|model| std::cmp::Reverse(model.floor));
    let (next, total, failed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run_alone(model) {
                        Some(executions) => _ = total.fetch_add(executions, Ordering::Relaxed),
                        None => _ = failed.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
    });
    let (total, failed) = (total.into_inner(), failed.into_inner());
    println!("{} models, {total} executions, {:.1} s", models.len(), begun.elapsed().as_secs_f64());
    println!("models: {} passed, {failed} failed", models.len() - failed);
    failed > 0
}

/// Runs one model in a process of its own and shows what that says; how many executions it had, if it passed.
fn run_alone(model: &Model) -> Option<u64> {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let output = command.arg(model.name).stderr(Stdio::inherit()).output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with(model.name)).unwrap_or(model.name);
    println!("{line}{}", if output.status.success() { "" } else { "  FAILED" });
    let words: Vec<&str> = line.split_whitespace().collect();
    let executions = words.windows(2).find(|pair| pair[1] == "executions").and_then(|pair| pair[0].parse().ok());
    executions.filter(|_| output.status.success())
}

/// True if a model has shrunk. A model that fails panics.
fn run_models(names: &[&str]) -> bool {
    sabotage();
    let (mut total, mut failed, begun) = (0, 0, Instant::now());
    let chosen: Vec<&Model> = MODELS.iter().filter(|model| names.is_empty() || names.contains(&model.name)).collect();
    assert!(!chosen.is_empty() && names.len() <= chosen.len(), "no such model among {names:?}");
    for model in &chosen {
        let (executions, begun) = (explore(model, model.preemptions), Instant::now().checked_duration_since(begun));
        total += executions;
        let shrunk = executions < model.floor;
        failed += u32::from(shrunk);
        let verdict = if shrunk { "SHRUNK" } else { "ok" };
        let seconds = begun.unwrap_or_default().as_secs_f64();
        println!(
            "{:<32} {verdict:<6} {executions:>8} executions (floor {}), {seconds:.1} s so far",
            model.name, model.floor
        );
    }
    println!("{} models, {total} executions, {:.1} s", chosen.len(), begun.elapsed().as_secs_f64());
    println!("models: {} passed, {failed} failed", chosen.len() - failed as usize);
    failed > 0
}

/// All models as quick as they are worth it, those named first and then the quickest. False: a model that fails panics.
fn hunt(first: &[&str]) -> bool {
    let mut models: Vec<&Model> = MODELS.iter().collect();
    let steps = |model: &Model| model.floor * model.hunting as u64 / model.preemptions as u64;
    models.sort_by_key(|model| (!first.contains(&model.name), steps(model)));
    for model in models {
        eprintln!("model {}", model.name);
        explore(model, model.hunting);
    }
    false
}

fn explore(model: &Model, preemptions: usize) -> u64 {
    let executions = Arc::new(AtomicU64::new(0));
    let (count, run) = (Arc::clone(&executions), model.run);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = MAX_BRANCHES;
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        run();
    });
    executions.load(Ordering::Relaxed)
}

/// True if a twin was not caught.
fn run_twins() -> bool {
    let begun = Instant::now();
    let (mut caught, mut missed) = (0, 0);
    for model in MODELS {
        for sabotage in model.twins {
            let verdict = run_apart(&[model.name], "BUSTED", sabotage, TWIN_LIMIT);
            println!("{:<32} {sabotage:<24} {verdict}", model.name);
            if verdict.is_caught() { caught += 1 } else { missed += 1 }
        }
    }
    println!("twins: {caught} passed, {missed} failed");
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    missed > 0
}

/// How a run in a process of its own ended.
pub(crate) enum Verdict {
    /// By itself, without a failure.
    Passed,
    /// With a failure, of which this is the first line.
    Caught(String),
    /// By itself, with fewer executions than the floor: that nothing was found is all that it shows.
    Shrunk,
    /// Not in time.
    TimedOut,
}

impl Verdict {
    pub(crate) fn is_caught(&self) -> bool {
        matches!(self, Verdict::Caught(_))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Passed => write!(f, "MISSED"),
            Verdict::Caught(how) => write!(f, "caught: {how}"),
            Verdict::Shrunk => write!(f, "MISSED: fewer executions, and none failed"),
            Verdict::TimedOut => write!(f, "MISSED: it did not end in time"),
        }
    }
}

/// Runs models in a process of their own, with one variable set.
pub(crate) fn run_apart(names: &[&str], variable: &str, value: &str, limit: Duration) -> Verdict {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("notifier-index-loom-{}-{run}", std::process::id()));
    let file = std::fs::File::create(&log).expect("a temporary file");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(names)
        .env(variable, value)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .expect("a process");
    let begun = Instant::now();
    let verdict = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break match status.code() {
                Some(0) => Verdict::Passed,
                // What a model that has shrunk ends with; one that fails panics, or ends by a signal.
                Some(1) => Verdict::Shrunk,
                _ => Verdict::Caught(first_failure(&log)),
            };
        }
        if begun.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            break Verdict::TimedOut;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let _ = std::fs::remove_file(&log);
    verdict
}

/// Which model it was, if that was told, and what the first panic said.
fn first_failure(log: &std::path::Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let model = text.lines().filter_map(|line| line.strip_prefix("model ")).next_back().unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at"));
    let place = lines.next().unwrap_or("no message");
    let place = place.rsplit_once("panicked at ").map_or(place, |(_, place)| place);
    let place = place.rsplit_once("/src/").map_or(place, |(_, place)| place);
    format!("{model} {place} {}", lines.next().unwrap_or_default()).trim_start().to_owned()
}
