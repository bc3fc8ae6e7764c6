//! The main job of notifier-index: see `stress --help`.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use stress::cli::{CommandLine, Impossible, Job};
use stress::report::{self, Outcome};
use stress::{jemalloc, mix, torture};

/// Exit status of a request that cannot be run, as of a command line that cannot be parsed.
const IMPOSSIBLE: u8 = 2;

fn main() -> ExitCode {
    match run(CommandLine::parse().job) {
        Ok(outcome) => {
            println!("{}", outcome.last_line());
            ExitCode::from(outcome.exit_status())
        }
        Err(Impossible(reason)) => {
            eprintln!("error: {reason}");
            ExitCode::from(IMPOSSIBLE)
        }
    }
}

fn run(job: Option<Job>) -> Result<Outcome, Impossible> {
    match job.unwrap_or_else(main_job) {
        Job::Jemalloc(options) => with_json(options.json.as_deref(), || jemalloc::run(&options)),
        Job::Mix(options) => with_json(options.json.as_deref(), || mix::run(&options)),
        Job::Torture(options) => with_json(options.json.as_deref(), || torture::run(&options)),
    }
}

/// What runs without a subcommand: parsed like any other line, so that the defaults are written once.
fn main_job() -> Job {
    CommandLine::parse_from(["stress", "jemalloc"]).job.expect("the line names a job")
}

/// Opens the file before the job runs, so that a wrong path does not cost a run.
fn with_json(path: Option<&Path>, job: impl FnOnce() -> Result<Outcome, Impossible>) -> Result<Outcome, Impossible> {
    let file = path.map(File::create).transpose().map_err(|error| cannot_write(path, &error))?;
    let mut outcome = job()?;
    if let Some(file) = file
        && let Err(error) = report::write_json(&outcome.rows, BufWriter::new(file))
    {
        outcome.failures.push(cannot_write(path, &error).0);
    }
    Ok(outcome)
}

fn cannot_write(path: Option<&Path>, error: &std::io::Error) -> Impossible {
    let path = path.unwrap_or(Path::new(""));
    Impossible(format!("cannot write {}: {error}", path.display()))
}
