//! Ordering mutants: each ordering that is written in `src` is weakened, alone, and a model has to fail.
//!
//! A mutant is named `FILE:FUNCTION:NUMBER#PART`: the how-manieth operation with an ordering of its function, and what is
//! taken from it. Those that no model kills are listed by that name in `docs/orderings.md`, with the reason. Both
//! directions are checked: a survivor must be listed, and what is listed must exist and survive. So must the row of each
//! `[O..]` that the code names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::runner::{Verdict, run_apart};

/// A mutant that makes the models go on for longer has survived, or hangs: which is not told apart.
const LIMIT: Duration = Duration::from_secs(120);

/// Mutants at once.
const WORKERS: usize = 2;

struct Mutant {
    name: String,
    /// For `WEAKEN`.
    site: String,
    row: Option<String>,
}

/// True if something is wrong.
pub(crate) fn run_mutants() -> bool {
    let begun = Instant::now();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_to_string(root.join("docs/orderings.md")).expect("docs/orderings.md");
    let mutants = all_mutants(root);
    let (listed, rows) = (listed_in(&docs), rows_of(&docs));
    let mut wrong = Vec::new();
    for mutant in &mutants {
        match &mutant.row {
            None => wrong.push(format!("{} has no [O..] above it", mutant.name)),
            Some(row) if !rows.contains_key(row) => {
                wrong.push(format!("{} names {row}, which has no row", mutant.name))
            }
            Some(_) => {}
        }
    }
    let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    wrong.extend(
        listed
            .keys()
            .filter(|name| !names.contains(name.as_str()))
            .map(|name| format!("{name} is listed and does not exist")),
    );
    let killed = hunt_all(&mutants, &rows, &listed, &mut wrong);
    wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
    println!(
        "killed {killed} of {} mutants, {} listed, {:.0} s",
        mutants.len(),
        listed.len(),
        begun.elapsed().as_secs_f64()
    );
    println!("mutants: {} passed, {} failed", mutants.len() - wrong.len().min(mutants.len()), wrong.len());
    !wrong.is_empty()
}

fn hunt_all(
    mutants: &[Mutant],
    rows: &BTreeMap<String, Vec<&str>>,
    listed: &BTreeMap<String, String>,
    wrong: &mut Vec<String>,
) -> usize {
    let (next, results) = (AtomicUsize::new(0), Mutex::new((0, Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let killers = mutant.row.as_ref().and_then(|row| rows.get(row)).into_iter().flatten();
                    let words: Vec<&str> = std::iter::once("hunt").chain(killers.copied()).collect();
                    let verdict = run_apart(&words, "WEAKEN", &mutant.site, LIMIT);
                    let told = note(results.lock().expect("no worker panics"), mutant, listed, &verdict);
                    println!("{:<44} {told} ({:.1} s)", mutant.name, begun.elapsed().as_secs_f64());
                }
            });
        }
    });
    let (killed, found) = results.into_inner().expect("no worker panics");
    wrong.extend(found);
    killed
}

fn note(
    mut results: MutexGuard<'_, (usize, Vec<String>)>,
    mutant: &Mutant,
    listed: &BTreeMap<String, String>,
    verdict: &Verdict,
) -> String {
    let is_listed = listed.contains_key(&mutant.name);
    match verdict {
        Verdict::Caught(how) => {
            results.0 += 1;
            if is_listed {
                results.1.push(format!("{} is listed and was killed: {how}", mutant.name));
            }
            format!("killed: {how}")
        }
        Verdict::Passed | Verdict::Shrunk | Verdict::TimedOut => {
            if !is_listed {
                results.1.push(format!("{} survives and is not listed ({})", mutant.name, mutant.site));
            }
            if is_listed { "listed".to_owned() } else { "SURVIVES".to_owned() }
        }
    }
}

/// Lines of the form "- `NAME`: reason".
fn listed_in(docs: &str) -> BTreeMap<String, String> {
    let entry = |line: &str| {
        let (name, reason) = line.strip_prefix("- `")?.split_once("`: ")?;
        Some((name.to_owned(), reason.to_owned()))
    };
    docs.lines().filter_map(entry).collect()
}

/// The rows of the table, `[O1]` and so on, and the models that each names: they are hunted first.
fn rows_of(docs: &str) -> BTreeMap<String, Vec<&str>> {
    docs.lines().filter_map(row_of).collect()
}

fn row_of(line: &str) -> Option<(String, Vec<&str>)> {
    let (name, _) = line.strip_prefix("| ")?.split_once(" |")?;
    let (_, checks) = line.strip_suffix('|')?.rsplit_once('|')?;
    Some((name.to_owned(), checks.split('`').skip(1).step_by(2).collect()))
}

fn all_mutants(root: &Path) -> Vec<Mutant> {
    let mut files = Vec::new();
    collect_files(&root.join("src"), &mut files);
    files.sort();
    files.iter().flat_map(|file| mutants_of(root, file)).collect()
}

/// All sources, without the façade itself and without tests.
fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "sync" && name != "tests" {
                collect_files(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

const OPERATIONS: [&str; 13] = [
    "load",
    "store",
    "swap",
    "fetch_add",
    "fetch_sub",
    "fetch_or",
    "fetch_and",
    "fetch_max",
    "fetch_update",
    "compare_exchange",
    "compare_exchange_weak",
    "fence",
    "fetch_min",
];

fn mutants_of(root: &Path, file: &Path) -> Vec<Mutant> {
    let text = fs::read_to_string(file).expect("a source");
    let name = file.strip_prefix(root).expect("below the root").to_str().expect("a plain name");
    // Comments become blanks, so that columns stay.
    let code: Vec<String> = text.lines().map(without_comment).collect();
    let lines: Vec<&str> = text.lines().collect();
    let mut mutants = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for (at, line) in code.iter().enumerate() {
        for column in calls_in(line) {
            let orderings = orderings_of(&code[at..], column);
            let parts = parts_of(&orderings);
            if parts.is_empty() {
                continue;
            }
            let function = function_at(&code[..=at]);
            let number = numbers.entry(function.clone()).or_default();
            *number += 1;
            for part in parts {
                mutants.push(Mutant {
                    name: format!("{}:{function}:{number}#{part}", name.trim_start_matches("src/")),
                    site: format!("{name}:{}:{}#{part}", at + 1, column + 1),
                    row: row_above(&lines[..=at]),
                });
            }
        }
    }
    mutants
}

fn without_comment(line: &str) -> String {
    line.split("//").next().unwrap_or_default().to_owned()
}

/// Where operations are called, by the column of their name.
fn calls_in(line: &str) -> Vec<usize> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut columns = Vec::new();
    for (at, _) in line.match_indices('(') {
        let begin = line[..at].rfind(|character| !is_word(character)).map_or(0, |before| before + 1);
        let is_called = line[..begin].ends_with('.') || &line[begin..at] == "fence";
        if is_called && OPERATIONS.contains(&&line[begin..at]) {
            columns.push(begin);
        }
    }
    columns
}

/// The orderings among the arguments of the call that begins in the first line, in their order.
fn orderings_of(code: &[String], column: usize) -> Vec<String> {
    let (mut depth, mut arguments) = (0, String::new());
    for (number, line) in code.iter().enumerate() {
        let line = if number == 0 { &line[column..] } else { line };
        for character in line.chars() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            arguments.push(character);
            if character == ')' && depth == 0 {
                let tokens = arguments.split("Ordering::").skip(1);
                return tokens.map(|token| token.chars().take_while(|c| c.is_alphanumeric()).collect()).collect();
            }
        }
        arguments.push(' ');
    }
    Vec::new()
}

/// What can be taken from an operation with these orderings.
fn parts_of(orderings: &[String]) -> Vec<&'static str> {
    let mut parts = match orderings.first().map(String::as_str) {
        Some("AcqRel") => vec!["acquire", "release"],
        Some("Acquire" | "Release" | "SeqCst") => vec!["all"],
        _ => vec![],
    };
    if orderings.get(1).is_some_and(|failure| failure != "Relaxed") {
        parts.push("failure");
    }
    parts
}

fn function_at(code: &[String]) -> String {
    let name = |line: &String| {
        let (_, rest) = line.split_once("fn ")?;
        Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
    };
    code.iter().rev().find_map(name).filter(|name| !name.is_empty()).unwrap_or_else(|| "none".to_owned())
}

/// The nearest `[O..]` in the comments above, within the function.
fn row_above(lines: &[&str]) -> Option<String> {
    let note = |line: &&str| {
        let at = line.find("[O")?;
        Some(line[at..].split_inclusive(']').next()?.to_owned())
    };
    lines.iter().rev().take(12).find_map(note)
}
