//! A progress bar on a terminal, plain lines anywhere else.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a job of known duration is; written to standard error, so that standard output stays clean.
#[derive(Debug)]
pub struct Progress {
    /// `None` where standard error is not a terminal: a log file gets one line a stage and no control characters.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar over so much time.
    pub fn new(total: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| bar_over(total));
        Progress { bar }
    }

    /// Says what is going on now.
    pub fn stage(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("{text}"),
        }
    }

    /// Moves the bar on by the time that has been worked off.
    pub fn advance(&self, by: Duration) {
        if let Some(bar) = &self.bar {
            bar.inc(milliseconds(by));
        }
    }

    /// Prints a line on standard output, above the bar.
    pub fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Takes the bar away; what follows is the table.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar_over(total: Duration) -> ProgressBar {
    let bar = ProgressBar::new(milliseconds(total));
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % [{elapsed_precise}] {wide_msg}")
        .expect("the template is a constant in the right form");
    bar.set_style(style);
    bar
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
