//! Sections, tickets and removal under fire, held from outside: one binary, one module for each promise.
//!
//! Each test runs under a deadline of its own, so that a lost wake-up is a failure and not a hang.

#![cfg_attr(tsan, feature(custom_test_frameworks, test), test_runner(runner::run))]

mod bugs;
mod callbacks;
mod collision;
mod hostile_walks;
#[path = "../visible/mailbox.rs"]
mod mailbox;
mod overflowing;
mod removal;
#[cfg(tsan)]
#[path = "../visible/runner.rs"]
mod runner;
#[path = "../visible/scope.rs"]
mod scope;
mod second_pass;
mod sections;
mod successors;
mod support;
mod torture;
mod update;
