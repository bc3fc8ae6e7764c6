//! Sections, tickets and removal under fire, held from outside: one binary, one module for each promise.
//!
//! Each test runs under a deadline of its own, so that a lost wake-up is a failure and not a hang.

mod bugs;
mod callbacks;
mod collision;
mod removal;
mod second_pass;
mod sections;
mod support;
mod torture;
mod update;
