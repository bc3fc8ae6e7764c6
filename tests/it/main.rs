//! What the index promises, held from outside: one binary, one module for each promise.
//!
//! Everything here runs under an allocator that poisons what is freed and keeps it for a while, and every payload
//! carries a canary that is looked at on each hit: whoever reaches freed memory finds out.

mod agree;
mod bugs;
mod canary;
mod change;
mod cover;
mod find;
mod forget;
mod history;
mod hostile;
mod lifetime;
mod memory;
mod owners;
#[cfg(not(crossbeam_sanitize))]
mod poison;
mod refusal;
mod texts;
mod turn;
mod untyped;
mod ways;
mod world;

// Sanitizers keep freed memory back by themselves, and see more of it.
#[cfg(not(crossbeam_sanitize))]
#[global_allocator]
static ALLOCATOR: poison::Poisoning = poison::Poisoning::new();
