//! What the index promises, held from outside: one binary, one module for each promise.
//!
//! Everything here runs under an allocator that poisons what is freed and keeps it for a while, and every payload
//! carries a canary that is looked at on each hit: whoever reaches freed memory finds out.

#![cfg_attr(tsan, feature(custom_test_frameworks, test), test_runner(runner::run))]

mod agree;
mod both_ends;
mod bugs;
mod canary;
mod carve;
mod change;
mod changes;
mod cover;
mod draws;
mod figures;
mod find;
mod forget;
mod gaps;
mod handles;
mod history;
mod hostile;
mod lifetime;
#[path = "../visible/mailbox.rs"]
mod mailbox;
mod memory;
mod nothing_lost;
mod owners;
#[cfg(not(crossbeam_sanitize))]
mod poison;
mod refusal;
#[cfg(tsan)]
#[path = "../visible/runner.rs"]
mod runner;
mod scale;
#[path = "../visible/scope.rs"]
mod scope;
mod texts;
mod turn;
mod untyped;
mod ways;
mod world;

// Sanitizers keep freed memory back by themselves, and see more of it.
#[cfg(not(crossbeam_sanitize))]
#[global_allocator]
static ALLOCATOR: poison::Poisoning = poison::Poisoning::new();
