//! Runs the tests under ThreadSanitizer, one after the other, in the place of libtest: that one learns by a channel of
//! the standard library how a test ended, which comes compiled without instrumentation and is reported as a race.
//!
//! Names, or parts of them, select tests; `--skip NAME` leaves some out.

extern crate test;

use std::process::exit;
use std::thread::Builder;
use std::time::Instant;

use test::{TestDescAndFn, TestFn};

/// What was asked for on the command line.
#[derive(Default)]
struct Selection {
    only: Vec<String>,
    skipped: Vec<String>,
}

impl Selection {
    fn of_arguments() -> Self {
        let (mut selection, mut arguments) = (Selection::default(), std::env::args().skip(1));
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--skip" => selection.skipped.extend(arguments.next()),
                _ => selection.only.push(argument),
            }
        }
        selection
    }

    fn has(&self, name: &str) -> bool {
        let is_part = |part: &String| name.contains(part.as_str());
        (self.only.is_empty() || self.only.iter().any(is_part)) && !self.skipped.iter().any(is_part)
    }
}

/// On a thread of its own, as libtest does, which is joined.
fn passes(test: &TestDescAndFn) -> bool {
    let TestFn::StaticTestFn(function) = test.testfn else { unreachable!("{} is not a function", test.desc.name) };
    let thread = Builder::new().name(test.desc.name.to_string()).spawn(function).expect("a thread");
    matches!(thread.join(), Ok(Ok(())))
}

pub(crate) fn run(tests: &[&TestDescAndFn]) {
    let selection = Selection::of_arguments();
    warm_up();
    let (mut passed, mut failed) = (0, 0);
    for test in tests {
        if !selection.has(test.desc.name.as_slice()) {
            continue;
        }
        let begun = Instant::now();
        let is_passed = passes(test);
        *if is_passed { &mut passed } else { &mut failed } += 1;
        let word = if is_passed { "ok" } else { "FAILED" };
        println!("test {} ... {word} ({:.1} s)", test.desc.name, begun.elapsed().as_secs_f64());
    }
    println!("test result: {passed} passed; {failed} failed; {} filtered out", tests.len() - passed - failed);
    if failed > 0 || passed == 0 {
        exit(101);
    }
}

/// What is made at its first use is made here: who waits for a `LazyLock` goes the uninstrumented way.
fn warm_up() {
    use notifier_index::{Event, Interval, NotifierIndex, Reason};
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, Interval::FULL, ()).expect("room");
    drop((index.invalidate(Interval::FULL, Event::new(Reason::Unmap)), index.pin(), index.reader()));
    drop(registration.remove_deferred().expect("room"));
    index.maintain();
}
