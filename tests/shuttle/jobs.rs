//! Scenarios in processes of their own, some at the same time: a failure may be the end of its process, and a sabotage is
//! switched on for all of one.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::runner::{SCHEDULES, Scenario, number};
use crate::scenarios::SCENARIOS;

/// A twin that goes on for longer is tried again: a sabotage may tie the chain of versions into a ring, and who walks there
/// neither ends nor fails.
const TWIN_LIMIT: Duration = Duration::from_secs(10);

/// A twin that went on for longer so many times was not caught.
const TWIN_ATTEMPTS: usize = 5;

/// What a scenario may take beside its schedules.
const SCENARIO_LIMIT: Duration = Duration::from_secs(120);

/// A scenario that takes longer than so much a schedule hangs where shuttle cannot see it.
const SCHEDULE_LIMIT: Duration = Duration::from_millis(20);

/// Schedules of each kind in which a twin must be caught.
const TWIN_SCHEDULES: u64 = 2_500;

/// One process to be.
struct Job {
    title: String,
    command: Command,
    limit: Option<Duration>,
}

/// How it ended.
enum Ending {
    Passed,
    Failed,
    TimedOut,
}

struct Running {
    title: String,
    child: Child,
    log: PathBuf,
    begun: Instant,
    limit: Option<Duration>,
}

impl Job {
    fn new(title: String, arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(arguments).env("RUST_BACKTRACE", "0");
        Job { title, command, limit: None }
    }

    fn start(mut self, number: usize) -> Running {
        let log = std::env::temp_dir().join(format!("shuttle-{}-{number}", std::process::id()));
        let file = File::create(&log).expect("a temporary file");
        let both = file.try_clone().expect("a second handle");
        let child = self.command.stdout(both).stderr(file).stdin(Stdio::null()).spawn().expect("a process");
        Running { title: self.title, child, log, begun: Instant::now(), limit: self.limit }
    }
}

impl Running {
    fn ending(&mut self) -> Option<Ending> {
        let ended = self.child.try_wait().expect("a child of ours");
        if let Some(status) = ended {
            return Some(if ExitStatus::success(&status) { Ending::Passed } else { Ending::Failed });
        }
        self.limit.is_some_and(|limit| self.begun.elapsed() > limit).then(|| {
            let _ = self.child.kill();
            let _ = self.child.wait();
            Ending::TimedOut
        })
    }

    /// What it printed.
    fn into_text(self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let _ = std::fs::remove_file(&self.log);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Runs all jobs, so many at a time, and tells of each as it ends. True if all were as they should be.
fn run_jobs(jobs: Vec<Job>, mut tell: impl FnMut(&str, &Ending, &str) -> bool) -> bool {
    let at_once = number("JOBS", 2).max(1) as usize;
    let mut waiting = jobs.into_iter().enumerate();
    let mut running: Vec<Running> = Vec::new();
    let mut all_well = true;
    loop {
        while running.len() < at_once {
            let Some((number, job)) = waiting.next() else { break };
            running.push(job.start(number));
        }
        if running.is_empty() {
            return all_well;
        }
        let mut at = 0;
        while at < running.len() {
            let Some(ending) = running[at].ending() else {
                at += 1;
                continue;
            };
            let ended = running.swap_remove(at);
            let title = ended.title.clone();
            all_well &= tell(&title, &ending, &ended.into_text());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs what was recorded, and each scenario.
pub(crate) fn run_all() -> bool {
    let begun = Instant::now();
    let mut jobs = vec![Job::new("recorded".to_owned(), &["recorded"])];
    jobs.extend(SCENARIOS.iter().map(|scenario| Job::new(scenario.name.to_owned(), &[scenario.name])));
    let schedules = 2 * number("SCHEDULES", SCHEDULES);
    let limit = SCENARIO_LIMIT + SCHEDULE_LIMIT.saturating_mul(schedules.try_into().unwrap_or(u32::MAX));
    jobs.iter_mut().for_each(|job| job.limit = Some(limit));
    let mut failed = 0;
    let all_well = run_jobs(jobs, |title, ending, text| {
        print!("{text}");
        let passed = matches!(ending, Ending::Passed);
        if !passed {
            println!("{title:<32} FAILED");
            failed += 1;
        }
        passed
    });
    let schedules = schedules * SCENARIOS.len() as u64;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} scenarios, {schedules} schedules, {failed} failed, {seconds:.1} s", SCENARIOS.len());
    all_well
}

/// Runs each scenario with each of its sabotages: all must fail.
pub(crate) fn run_twins() -> bool {
    let begun = Instant::now();
    let twins_of = |scenario: &'static Scenario| scenario.twins.iter().map(|sabotage| (scenario.name, *sabotage));
    let mut twins: Vec<_> = SCENARIOS.iter().flat_map(twins_of).collect();
    let count = twins.len();
    let mut caught = 0;
    for _ in 0..TWIN_ATTEMPTS {
        let mut endless = Vec::new();
        run_jobs(twins.iter().map(twin).collect(), |title, ending, text| {
            let verdict = match ending {
                Ending::Passed => "MISSED".to_owned(),
                Ending::TimedOut => "did not end in time".to_owned(),
                Ending::Failed => format!("caught {}", first_failure(text)),
            };
            println!("{title} {verdict}");
            caught += usize::from(matches!(ending, Ending::Failed));
            if matches!(ending, Ending::TimedOut) {
                endless.push(title.to_owned());
            }
            matches!(ending, Ending::Failed)
        });
        twins.retain(|twin| endless.contains(&title(twin)));
    }
    println!("twins: {caught} caught, {} missed, {:.1} s", count - caught, begun.elapsed().as_secs_f64());
    caught == count
}

/// A scenario and its sabotage.
type Twin = (&'static str, &'static str);

fn title((scenario, sabotage): &Twin) -> String {
    format!("{scenario:<32} {sabotage:<24}")
}

fn twin(twin: &Twin) -> Job {
    let mut job = Job::new(title(twin), &[twin.0]);
    job.command.env("BUSTED", twin.1).env("SCHEDULES", number("SCHEDULES", TWIN_SCHEDULES).to_string());
    job.limit = Some(TWIN_LIMIT);
    job
}

/// What the first panic said, and after how many schedules.
fn first_failure(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at"));
    let Some(place) = lines.next() else { return "the process died".to_owned() };
    let place = place.rsplit(['/', ' ']).next().unwrap_or(place);
    let said: String = lines.next().unwrap_or_default().chars().take(80).collect();
    let count = lines.find_map(|line| line.strip_prefix("FAILED in schedule ")?.split_once(':'));
    let count = count.map_or("?", |(count, _)| count);
    format!("in schedule {count}, {place} {said}")
}
