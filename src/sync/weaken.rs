//! Ordering mutants: one build, in which one call of one atomic operation is weaker than it is written.
//!
//! `WEAKEN=src/publish.rs:163` makes the call on that line relaxed, or leaves the fence out. `WEAKEN=FILE:LINE:COLUMN` tells
//! calls on one line apart, and a part behind it weakens less: `#acquire` and `#release` take that half away,
//! `#failure` the ordering of a failed exchange. `SITES=FILE` appends each call with an ordering to a file, once.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;
use std::sync::{Mutex, OnceLock};

use super::Ordering;

/// What is to be weakened.
struct Weakening {
    file: String,
    line: u32,
    column: Option<u32>,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Acquire,
    Release,
    Failure,
}

impl Weakening {
    fn parse(text: &str) -> Option<Self> {
        let (site, part) = text.split_once('#').unwrap_or((text, "all"));
        let part = match part {
            "all" => Part::All,
            "acquire" => Part::Acquire,
            "release" => Part::Release,
            "failure" => Part::Failure,
            _ => return None,
        };
        let mut fields = site.split(':');
        let (file, line) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
        let column = fields.next().map(str::parse).transpose().ok()?;
        Some(Weakening { file, line, column, part })
    }

    fn names(&self, caller: &Location<'_>) -> bool {
        caller.line() == self.line
            && self.column.is_none_or(|column| column == caller.column())
            && caller.file().ends_with(&self.file)
    }
}

fn weakening() -> Option<&'static Weakening> {
    static WEAKENING: OnceLock<Option<Weakening>> = OnceLock::new();
    let parse = |text: String| Weakening::parse(&text).expect("WEAKEN=FILE:LINE[:COLUMN][#acquire|release|failure]");
    WEAKENING.get_or_init(|| std::env::var("WEAKEN").ok().map(parse)).as_ref()
}

fn part_at(caller: &Location<'_>) -> Option<Part> {
    weakening().filter(|weakening| weakening.names(caller)).map(|weakening| weakening.part)
}

/// The ordering that the caller gets.
#[track_caller]
pub(super) fn ordering(given: Ordering) -> Ordering {
    let caller = Location::caller();
    note(caller, given, None);
    weakened(given, part_at(caller))
}

/// The two orderings of an exchange.
#[track_caller]
pub(super) fn orderings(success: Ordering, failure: Ordering) -> (Ordering, Ordering) {
    let caller = Location::caller();
    note(caller, success, Some(failure));
    match part_at(caller) {
        Some(Part::Failure) => (success, Ordering::Relaxed),
        part => (weakened(success, part), failure),
    }
}

/// Whether the caller's fence stands.
#[track_caller]
pub(super) fn stands(given: Ordering) -> bool {
    let caller = Location::caller();
    note(caller, given, None);
    part_at(caller).is_none()
}

fn weakened(given: Ordering, part: Option<Part>) -> Ordering {
    match (given, part) {
        (_, None | Some(Part::Failure)) => given,
        (Ordering::AcqRel, Some(Part::Acquire)) => Ordering::Release,
        (Ordering::AcqRel, Some(Part::Release)) => Ordering::Acquire,
        _ => Ordering::Relaxed,
    }
}

/// Writes the site down if it has an ordering to lose and has not been seen.
fn note(caller: &Location<'_>, success: Ordering, failure: Option<Ordering>) {
    static LIST: OnceLock<Option<String>> = OnceLock::new();
    static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let Some(list) = LIST.get_or_init(|| std::env::var("SITES").ok()) else { return };
    let is_relaxed = |ordering: Ordering| ordering == Ordering::Relaxed;
    if is_relaxed(success) && failure.is_none_or(is_relaxed) {
        return;
    }
    let mut seen = SEEN.lock().expect("no holder panics");
    if seen.get_or_insert_default().insert(caller.to_string()) {
        let failure = failure.map(|failure| format!(" {failure:?}")).unwrap_or_default();
        let mut list = OpenOptions::new().append(true).create(true).open(list).expect("SITES names a file");
        writeln!(list, "{caller} {success:?}{failure}").expect("written");
    }
}
