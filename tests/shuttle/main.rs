//! Scenarios over the real code, scheduled by shuttle: `--cfg shuttle` puts shuttle's atomics behind `src/sync`.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle --cfg tiny_nodes --cfg busted" cargo test --release --test shuttle -- ARGUMENTS
//!
//!   (nothing)            the recorded seeds, then every scenario; schedules, rates and near misses are printed
//!   NAME...              these scenarios
//!   twins                every scenario with each sabotage that it is there for: each must fail
//!   recorded             the seeds of failures that were found once (`recorded.txt`)
//!   schedule NAME FILE   one schedule, as a failure prints it
//! ```
//!
//! | variable | is |
//! |---|---|
//! | `SCHEDULES` | how many of each kind, random and PCT, a scenario gets (20,000) |
//! | `SEED` | of the first batch; by default another one each time. A failure prints the seed of its batch |
//! | `JOBS` | scenarios that run at the same time (2) |
//! | `BUSTED` | a sabotage |

#[cfg(shuttle)]
#[path = "../it/canary.rs"]
#[allow(dead_code)]
mod canary;
#[cfg(shuttle)]
mod jobs;
#[cfg(shuttle)]
#[path = "../../stress/src/model.rs"]
#[allow(dead_code, unreachable_pub, unused_imports)]
mod model;
#[cfg(shuttle)]
mod near;
#[cfg(shuttle)]
mod runner;
#[cfg(shuttle)]
mod scenarios;
#[cfg(shuttle)]
#[path = "../../stress/src/span.rs"]
#[allow(dead_code, unreachable_pub, unused_imports)]
mod span;
#[cfg(shuttle)]
mod support;

#[cfg(shuttle)]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(shuttle))]
fn main() {
    println!("the scenarios need --cfg shuttle");
}
