//! What may be asked of `stress torture`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{MOST_SECONDS, Named, count, seconds};

/// Most threads for each core that `torture` may be asked for.
const MOST_THREADS_PER_CORE: usize = 32;

/// Options of `stress torture`.
#[derive(Args, Clone, Debug)]
pub struct TortureOptions {
    /// Seconds of each mix, checks included.
    #[arg(long, default_value = "30", value_parser = seconds)]
    pub seconds: Duration,
    /// Minutes of each mix, instead of seconds: for releases.
    #[arg(long, value_parser = minutes, conflicts_with = "seconds")]
    pub minutes: Option<Duration>,
    /// Names of mixes, separated by commas, or `all`.
    #[arg(long, value_enum, default_value = "all", value_delimiter = ',', value_name = "NAME,...")]
    pub mix: Vec<MixName>,
    /// Threads for each core.
    #[arg(long, default_value = "4", value_parser = threads_per_core)]
    pub threads_per_core: usize,
    /// Seed of all random choices; without one, a new one each time, which is printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Sabotage on purpose: the checks must then fail.
    #[arg(long = "break", value_enum, value_name = "NAME")]
    pub sabotage: Option<TortureSabotage>,
    /// Write the figures to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl TortureOptions {
    /// How long each mix runs.
    pub fn duration(&self) -> Duration {
        self.minutes.unwrap_or(self.seconds)
    }

    /// The mixes asked for, each once.
    pub fn mixes(&self) -> Vec<MixName> {
        let wanted =
            |name: &MixName| *name != MixName::All && (self.mix.contains(&MixName::All) || self.mix.contains(name));
        MixName::value_variants().iter().copied().filter(wanted).collect()
    }
}

/// Mixes of the torture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MixName {
    /// All of them.
    All,
    /// Nearly all threads look up.
    Lookups,
    /// Nearly all threads change: batches, splits, updates.
    Changes,
    /// Sections, fillers of a mirror, and callbacks that change the index.
    Sections,
    /// Handles that are kept too long, forgotten or outlive their index; a small limit; closing; panics.
    Hostile,
}

/// Sabotages of the torture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TortureSabotage {
    /// Now and then a split only shrinks the left half.
    DropSplit,
    /// Now and then a find looks through a snapshot that is long out of date.
    StaleFind,
    /// The index frees what readers may still see; this and what follows only in builds with `--cfg busted`.
    EarlyFree,
    /// A reader stays with the version that it has.
    StaleReader,
    /// A section loads the tree before it is published.
    SectionAfterLoad,
    /// The generation is read after the sections were scanned.
    GenerationAfterScan,
    /// `read_begin` does not ask whether the notifier covers the range.
    NoCoverage,
    /// An update does not make tickets stale.
    NoRaise,
    /// The end of a section wakes nobody.
    LostWake,
    /// `read_retry` always says that nothing happened.
    SkipRetry,
}

impl TortureSabotage {
    /// The library's own name of it, if it lies in the library.
    pub fn in_library(self) -> Option<String> {
        let is_ours = matches!(self, TortureSabotage::DropSplit | TortureSabotage::StaleFind);
        (!is_ours).then(|| self.name().replace('-', "_"))
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| "not a number of minutes".to_owned())?;
    if !(value > 0.0 && value <= MOST_SECONDS / 60.0) {
        return Err(format!("must be above 0 and at most {}", MOST_SECONDS / 60.0));
    }
    Ok(Duration::from_secs_f64(value * 60.0))
}

fn threads_per_core(text: &str) -> Result<usize, String> {
    count(text, MOST_THREADS_PER_CORE)
}
