//! What a job hands back: rows for machines, a table for people, one last line for both.
//!
//! A [`Row`] is one line of the JSON file and has exactly the fields that were agreed for it; a figure that a job did
//! not measure is `null`, never a guess. The table may show more (least and greatest round, ratios, remarks), because
//! people need the spread to judge a median.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use crate::latency::Percentiles;

/// The figures of one contender in one job; `None` (JSON `null`) where not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Name of the contender, as on the command line.
    pub contender: String,
    /// Name of the workload.
    pub workload: String,
    /// Intervals in the index at the start.
    pub intervals: Option<u64>,
    /// Threads that worked on the index.
    pub threads: Option<u64>,
    /// Share of operations that are finds, 0 to 1.
    pub find_share: Option<f64>,
    /// Million finds a second, all threads together, median round.
    pub find_mops: Option<f64>,
    /// Million changes a second, all threads together, median round.
    pub update_mops: Option<f64>,
    /// Median duration of a find, in nanoseconds.
    pub p50_ns: Option<u64>,
    /// 99th percentile of the duration of a find, in nanoseconds.
    pub p99_ns: Option<u64>,
    /// 99.9th percentile of the duration of a find, in nanoseconds.
    pub p999_ns: Option<u64>,
    /// 99.99th percentile of the duration of a find, in nanoseconds.
    pub p9999_ns: Option<u64>,
    /// Longest find seen, in nanoseconds.
    pub max_ns: Option<u64>,
    /// Greatest amount of retired and not yet freed memory seen, in bytes.
    pub retired_bytes_max: Option<u64>,
    /// Answers that disagreed with the model, or with what the contender itself said elsewhere.
    pub mismatches: Option<u64>,
    /// Operations replayed on the model in version order.
    pub replayed: Option<u64>,
}

impl Row {
    /// Fills the five latency fields.
    pub fn set_latency(&mut self, percentiles: Percentiles) {
        self.p50_ns = Some(percentiles.p50_ns);
        self.p99_ns = Some(percentiles.p99_ns);
        self.p999_ns = Some(percentiles.p999_ns);
        self.p9999_ns = Some(percentiles.p9999_ns);
        self.max_ns = Some(percentiles.max_ns);
    }
}

/// What a job hands to `main`: its rows, and why it failed, if it did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One row a contender, for `--json`.
    pub rows: Vec<Row>,
    /// One short sentence for each check that failed; empty means success.
    pub failures: Vec<String>,
}

impl Outcome {
    /// The last line that the program prints.
    pub fn last_line(&self) -> String {
        if self.failures.is_empty() {
            return "RESULT=ok".to_owned();
        }
        format!("RESULT=failed: {}", self.failures.join("; "))
    }

    /// The exit status that goes with the last line: 0 or 1.
    pub fn exit_status(&self) -> u8 {
        u8::from(!self.failures.is_empty())
    }
}

/// Writes the rows as JSON, one object a line.
///
/// # Errors
/// Whatever the writer reports.
pub fn write_json(rows: &[Row], mut output: impl Write) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut output, row)?;
        writeln!(output)?;
    }
    output.flush()
}

/// Prints a table to standard output: the first column to the left, figures to the right.
pub fn print_table(headers: &[&str], rows: &[Vec<String>]) {
    println!("{}", table(headers, rows));
}

fn table(headers: &[&str], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Shows a figure, or a dash where there is none.
pub fn figure(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Shows nanoseconds in the unit that keeps the number short.
pub fn nanoseconds(value: Option<u64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ns) if ns < 10_000 => format!("{ns} ns"),
        Some(ns) if ns < 10_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        Some(ns) => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

/// Shows bytes in the binary unit that keeps the number short.
pub fn bytes(value: Option<u64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(count) if count < 10 << 10 => format!("{count} B"),
        Some(count) if count < 10 << 20 => format!("{:.1} KiB", count as f64 / 1024.0),
        Some(count) => format!("{:.1} MiB", count as f64 / (1024.0 * 1024.0)),
    }
}

/// The middle of the rounds, with the least and the greatest: how every throughput is reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle round (mean of the two middle ones if their number is even).
    pub median: f64,
    /// The least round.
    pub least: f64,
    /// The greatest round.
    pub greatest: f64,
}

impl Spread {
    /// The spread of some rounds; `None` if there were none.
    pub fn of(rounds: &[f64]) -> Option<Spread> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Spread { median: f64::midpoint(low, high), least, greatest })
    }
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.3} ({:.3}..{:.3})", self.median, self.least, self.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_agreed_fields_in_order_and_null_where_not_measured() {
        let row = Row { contender: "reader".into(), workload: "disjoint".into(), ..Row::default() };
        let mut line = Vec::new();
        write_json(&[row], &mut line).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            concat!(
                r#"{"contender":"reader","workload":"disjoint","intervals":null,"threads":null,"find_share":null,"#,
                r#""find_mops":null,"update_mops":null,"p50_ns":null,"p99_ns":null,"p999_ns":null,"p9999_ns":null,"#,
                r#""max_ns":null,"retired_bytes_max":null,"mismatches":null,"replayed":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_last_line_and_the_status_agree() {
        let mut outcome = Outcome::default();
        assert_eq!((outcome.last_line().as_str(), outcome.exit_status()), ("RESULT=ok", 0));
        outcome.failures = vec!["a".into(), "b".into()];
        assert_eq!((outcome.last_line().as_str(), outcome.exit_status()), ("RESULT=failed: a; b", 1));
    }

    #[test]
    fn a_spread_is_the_middle_between_the_ends() {
        assert_eq!(Spread::of(&[]), None);
        let odd = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.greatest), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn a_table_shows_every_cell() {
        let text = table(&["contender", "find"], &[vec!["reader".into(), "12".into()]]).to_string();
        assert!(text.contains("reader") && text.contains("12") && text.contains("contender"));
    }
}
