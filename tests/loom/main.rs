//! Models of the real code, explored by loom: `--cfg loom` puts loom's atomics behind `src/sync`.
//!
//! ```text
//! RUSTFLAGS="--cfg loom --cfg crossbeam_loom --cfg crossbeam_sanitize --cfg busted" cargo test --release --test loom -- ARGUMENTS
//!
//!   (nothing)      every model; each prints its executions, and fails below its floor
//!   NAME...        these models
//!   twins          every model with the sabotages that it is there for: each must fail
//!   mutants        every ordering of `src`, weakened: the models must fail, or `docs/orderings.md` lists why not
//!   hunt NAME...   every model, these first, as quick as for one mutant
//! ```
//!
//! `BUSTED=NAME` switches a sabotage on, `WEAKEN=FILE:LINE` weakens one ordering (`src/sync/weaken.rs`).

#[cfg(loom)]
mod models;
#[cfg(loom)]
mod mutants;
#[cfg(loom)]
mod runner;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(loom))]
fn main() {
    println!("the models need --cfg loom");
}
