//! One process for each setting of `retain`: jemalloc reads it once, before its first allocation.
//!
//! The job starts its own program again with the setting in jemalloc's environment variable.

use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::{JemallocOptions, Named};
use crate::jemalloc::part::Part;
use crate::jemalloc::patience;
use crate::part_process;

/// Set in a process that is a part of a job.
const PART: &str = "STRESS_JEMALLOC_PART";
/// jemalloc's settings.
const SETTINGS: &str = "_RJEM_MALLOC_CONF";

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

/// Runs the part of the job with this setting in a process of its own.
pub(crate) fn run_part(options: &JemallocOptions, retain: bool, churn: Duration) -> PartReport {
    let run = |mut command: Command| part_process::run::<PartReport>(&mut command, patience(churn), |_| ());
    match command(options, retain, churn).and_then(run) {
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
        command.args(["--break", &sabotage.name()]);
    }
    Ok(command)
}
