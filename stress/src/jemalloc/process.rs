//! One process for each setting of `retain`: jemalloc reads it once, before its first allocation.
//!
//! The job starts its own program again with the setting in jemalloc's environment variable. That has a second use: a
//! part that crashes, as one may whose index frees too early, or that never ends, is a failed job with a reason, and
//! not a job without a result.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cli::JemallocOptions;
use crate::jemalloc::part::Part;
use crate::jemalloc::patience;

/// Set in a process that is a part of a job.
const PART: &str = "STRESS_JEMALLOC_PART";
/// jemalloc's settings.
const SETTINGS: &str = "_RJEM_MALLOC_CONF";
/// What the line begins with by which a part tells its parent.
const LINE: &str = "PART=";

/// What a part tells its parent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartReport {
    pub(crate) parts: Vec<Part>,
    /// Why the part could not go on, if it could not.
    pub(crate) failures: Vec<String>,
}

/// Whether this process is a part of a job, and not the job.
pub(crate) fn is_part() -> bool {
    std::env::var_os(PART).is_some()
}

/// Tells the parent what was found out.
pub(crate) fn tell_parent(report: &PartReport) {
    let text = serde_json::to_string(report).expect("figures and texts can be written as JSON");
    println!("{LINE}{text}");
}

/// Runs the part of the job with this setting in a process of its own.
pub(crate) fn run_part(options: &JemallocOptions, retain: bool, churn: Duration) -> PartReport {
    let outcome = command(options, retain, churn).and_then(|mut command| command.spawn());
    let report = outcome.and_then(|child| listen(child, patience(churn)));
    match report {
        Ok((Some(report), status)) if status.success() => report,
        Ok((_, status)) => failed(format!("the part with retain:{retain} ended by {status}")),
        Err(error) => failed(format!("the part with retain:{retain}: {error}")),
    }
}

fn failed(reason: String) -> PartReport {
    PartReport { failures: vec![reason], ..PartReport::default() }
}

fn command(options: &JemallocOptions, retain: bool, churn: Duration) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(PART, "1").env(SETTINGS, format!("abort_conf:true,retain:{retain}"));
    command.args(["jemalloc", "--retain", if retain { "true" } else { "false" }]);
    command.args(["--threads", &options.threads.to_string(), "--seconds", &churn.as_secs_f64().to_string()]);
    if let Some(sabotage) = options.sabotage {
        command.args(["--break", sabotage.name()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// Waits for a part, but not for ever, and takes what it says.
fn listen(mut child: Child, patience: Duration) -> std::io::Result<(Option<PartReport>, ExitStatus)> {
    let output = child.stdout.take();
    let listener = std::thread::spawn(move || {
        let mut text = String::new();
        output.map(|mut output| output.read_to_string(&mut text)).transpose().map(|_| text)
    });
    let status = wait(&mut child, Instant::now() + patience)?;
    let text = listener.join().unwrap_or_else(|_| Ok(String::new()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(LINE));
    Ok((line.and_then(|line| serde_json::from_str(line).ok()), status))
}

fn wait(child: &mut Child, until: Instant) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > until {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
