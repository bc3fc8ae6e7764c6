//! The command line: what may be asked for, and what is refused before anything runs.
//!
//! Whatever is refused here ends the program with a message and exit status 2, which keeps it apart from a job that
//! ran and failed (status 1).

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod torture;

pub use torture::{MixName, TortureOptions, TortureSabotage};

/// Most threads that a job may be asked for.
const MOST_THREADS: usize = 1024;
/// Most intervals that `mix` may be asked for.
const MOST_INTERVALS: usize = 50_000_000;
/// Longest time that a job or a round may be asked for, in seconds.
const MOST_SECONDS: f64 = 86_400.0;

/// What is chosen by name on the command line.
pub trait Named: ValueEnum {
    /// Its name there, and in the rows.
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl<T: ValueEnum> Named for T {}

/// The main job of notifier-index, and races against what one would use instead.
#[derive(Debug, Parser)]
#[command(name = "stress", version, about)]
pub struct CommandLine {
    /// What to run; without one, `jemalloc` with its defaults.
    #[command(subcommand)]
    pub job: Option<Job>,
}

/// The jobs.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// A live jemalloc arena drives the index through its extent hooks while finders look its pointers up.
    Jemalloc(JemallocOptions),
    /// Contenders race on synthetic sets of intervals, interleaved by rounds.
    Mix(MixOptions),
    /// Every operation of the index, from many more threads than there are cores, in four mixes; all of it is checked.
    Torture(TortureOptions),
}

/// Options of `stress jemalloc`.
#[derive(Args, Clone, Debug)]
pub struct JemallocOptions {
    /// Seconds of churn, all phases together.
    #[arg(long, default_value = "20", value_parser = seconds)]
    pub seconds: Duration,
    /// Threads that allocate and free (as many again look pointers up).
    #[arg(long, default_value = "2", value_parser = thread_count)]
    pub threads: usize,
    /// jemalloc's `retain`: kept address space is split and merged, or each extent is mapped by itself.
    #[arg(long, value_enum, default_value_t = Retain::Both)]
    pub retain: Retain,
    /// Sabotage on purpose: the checks must then fail.
    #[arg(long = "break", value_enum, value_name = "NAME")]
    pub sabotage: Option<JemallocSabotage>,
    /// Write the figures to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Values of `--retain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Retain {
    /// Only with `retain:true`.
    True,
    /// Only with `retain:false`.
    False,
    /// One after the other.
    Both,
}

/// Sabotages of the jemalloc job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JemallocSabotage {
    /// One split in 10,000 is not told to the index.
    DropSplit,
    /// Finders look through a snapshot that is never taken anew.
    StaleFind,
    /// The index frees what readers may still see; only in builds with `--cfg busted`.
    EarlyFree,
    /// `read_retry` always says that nothing happened; only in builds with `--cfg busted`.
    SkipRetry,
    /// A section loads the tree before it is published; only in builds with `--cfg busted`.
    SectionAfterLoad,
}

impl JemallocSabotage {
    /// The library's own name of it, if it lies in the library.
    pub fn in_library(self) -> Option<&'static str> {
        match self {
            JemallocSabotage::DropSplit | JemallocSabotage::StaleFind => None,
            JemallocSabotage::EarlyFree => Some("early_free"),
            JemallocSabotage::SkipRetry => Some("skip_retry"),
            JemallocSabotage::SectionAfterLoad => Some("section_after_load"),
        }
    }
}

/// Options of `stress mix`.
#[derive(Args, Clone, Debug)]
pub struct MixOptions {
    /// Shape of the set of intervals.
    #[arg(long, value_enum, default_value_t = Shape::Disjoint)]
    pub workload: Shape,
    /// Intervals in the index.
    #[arg(long, default_value = "10000", value_parser = interval_count)]
    pub intervals: usize,
    /// Threads, each of which finds and updates.
    #[arg(long, default_value = "2", value_parser = thread_count)]
    pub threads: usize,
    /// Share of operations that are finds: 0 is update-only, 1 is find-only.
    #[arg(long, default_value = "0.99", value_parser = share)]
    pub find_share: f64,
    /// Seconds that each contender runs in each round.
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub seconds: Duration,
    /// Rounds; in each, every contender runs once.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Names of contenders, separated by commas, or `all`.
    #[arg(long, value_enum, default_value = "all", value_delimiter = ',', value_name = "NAME,...")]
    pub contender: Vec<ContenderName>,
    /// Sabotage on purpose: mismatches must then be found.
    #[arg(long = "break", value_enum, value_name = "NAME")]
    pub sabotage: Option<MixSabotage>,
    /// Write the figures to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl MixOptions {
    /// The contenders asked for, each once, in the order of the table.
    pub fn contenders(&self) -> Vec<ContenderName> {
        let wanted = |name: &ContenderName| {
            *name != ContenderName::All
                && (self.contender.contains(&ContenderName::All) || self.contender.contains(name))
        };
        ContenderName::value_variants().iter().copied().filter(wanted).collect()
    }

    /// Refuses sizes that are each possible but not together.
    ///
    /// # Errors
    /// [`Impossible`], with the reason.
    pub fn check(&self) -> Result<(), Impossible> {
        if self.threads > self.intervals {
            let (threads, intervals) = (self.threads, self.intervals);
            return Err(Impossible(format!(
                "--threads {threads} is more than --intervals {intervals}: each thread needs one of its own to update"
            )));
        }
        Ok(())
    }
}

/// Shapes of synthetic sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Page-granular spans with gaps between them.
    Disjoint,
    /// Mixed lengths, about four deep everywhere.
    Overlap,
    /// One in a hundred spans nearly everything; owner 0 has the long ones, owner 1 the short ones.
    Adversarial,
}

/// Contenders of the race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ContenderName {
    /// All of them.
    All,
    /// The index, through a `Reader` for each thread.
    Reader,
    /// The index, through a `Guard` pinned for each find.
    Guard,
    /// The index, through a `Snapshot` taken for each find.
    Snapshot,
    /// The interval tree `iset` behind a mutex.
    LockedMutex,
    /// The interval tree `iset` behind a reader-writer lock.
    LockedRwlock,
    /// The standard `BTreeMap` behind a mutex; disjoint only.
    MutexBtreemap,
    /// `imbl::OrdMap` behind `ArcSwap`; disjoint only.
    ArcswapImbl,
    /// `crossbeam_skiplist::SkipMap`; disjoint only.
    Skiplist,
    /// `scc::TreeIndex`; disjoint only.
    SccTreeindex,
}

/// Sabotages of the race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MixSabotage {
    /// Now and then a thread reports what it found some time ago as what it finds now.
    StaleFind,
    /// Now and then an update is reported as done and not done.
    LostUpdate,
}

/// Why a job cannot be run as asked; `main` prints it and exits with status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible(pub String);

impl std::fmt::Display for Impossible {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(value > 0.0 && value <= MOST_SECONDS) {
        return Err(format!("must be above 0 and at most {MOST_SECONDS}"));
    }
    Ok(Duration::from_secs_f64(value))
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !(0.0..=1.0).contains(&value) {
        return Err("must be from 0 to 1".to_owned());
    }
    Ok(value)
}

fn thread_count(text: &str) -> Result<usize, String> {
    count(text, MOST_THREADS)
}

fn interval_count(text: &str) -> Result<usize, String> {
    count(text, MOST_INTERVALS)
}

fn count(text: &str, most: usize) -> Result<usize, String> {
    let value: usize = text.replace('_', "").parse().map_err(|_| "not a whole number".to_owned())?;
    if !(1..=most).contains(&value) {
        return Err(format!("must be from 1 to {most}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<CommandLine, i32> {
        CommandLine::try_parse_from(line.split(' ')).map_err(|error| error.exit_code())
    }

    fn mix(line: &str) -> MixOptions {
        match parse(line).unwrap().job {
            Some(Job::Mix(options)) => options,
            other => panic!("expected mix, got {other:?}"),
        }
    }

    #[test]
    fn the_declaration_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn no_arguments_mean_the_main_job() {
        assert!(parse("stress").unwrap().job.is_none());
    }

    #[test]
    fn impossible_values_end_with_status_2() {
        for line in [
            "stress --nonsense",
            "stress mix --threads 0",
            "stress mix --intervals 0",
            "stress mix --intervals 99999999999",
            "stress mix --find-share 1.5",
            "stress mix --find-share nan",
            "stress mix --seconds 0",
            "stress mix --seconds -1",
            "stress mix --seconds inf",
            "stress mix --rounds 0",
            "stress mix --contender nobody",
            "stress mix --workload round",
            "stress mix --break nothing",
            "stress jemalloc --retain maybe",
            "stress jemalloc --break nothing",
            "stress torture --mix nobody",
            "stress torture --break nothing",
            "stress torture --threads-per-core 0",
            "stress torture --minutes 0",
            "stress torture --minutes 1 --seconds 1",
        ] {
            assert_eq!(parse(line).unwrap_err(), 2, "{line}");
        }
    }

    #[test]
    fn more_threads_than_intervals_is_refused() {
        assert!(mix("stress mix --threads 2 --intervals 2").check().is_ok());
        assert!(mix("stress mix --threads 3 --intervals 2").check().is_err());
    }

    #[test]
    fn all_names_every_contender_once() {
        assert_eq!(mix("stress mix --contender all").contenders().len(), 9);
        let some = mix("stress mix --contender guard,reader,guard").contenders();
        assert_eq!(some, [ContenderName::Reader, ContenderName::Guard]);
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        assert_eq!(ContenderName::MutexBtreemap.name(), "mutex-btreemap");
        assert_eq!(TortureSabotage::EarlyFree.in_library().unwrap(), "early_free");
    }
}
