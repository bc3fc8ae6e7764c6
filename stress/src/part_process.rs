//! Parts of a job in processes of their own: a part that crashes, as one may whose index frees too early, or that never
//! ends, is a failed job with a reason, and not a job without a result.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the line begins with by which a part tells its parent.
const LINE: &str = "PART=";

/// Tells the parent what was found out.
pub(crate) fn tell_parent(report: &impl Serialize) {
    let text = serde_json::to_string(report).expect("figures and texts can be written as JSON");
    println!("{LINE}{text}");
}

/// Starts a part, hands on the other lines that it prints, and takes what it says; but does not wait for ever.
pub(crate) fn run<T: DeserializeOwned + Send>(
    command: &mut Command,
    patience: Duration,
    mut hand_on: impl FnMut(&str) + Send,
) -> io::Result<(Option<T>, ExitStatus)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take();
    std::thread::scope(|scope| {
        let listener = scope.spawn(move || {
            let mut report = None;
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok) {
                match line.strip_prefix(LINE) {
                    Some(text) => report = serde_json::from_str(text).ok(),
                    None => hand_on(&line),
                }
            }
            report
        });
        let status = wait(&mut child, Instant::now() + patience)?;
        Ok((listener.join().unwrap_or(None), status))
    })
}

fn wait(child: &mut Child, until: Instant) -> io::Result<ExitStatus> {
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
