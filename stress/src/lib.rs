//! Everything that puts notifier-index under load and judges what it says: the reference model, contenders,
//! workloads, checked histories, the race (`mix`), the live allocator (`jemalloc`) and the torture (`torture`).

pub mod cli;
pub mod contender;
pub mod fast_model;
pub mod history;
pub mod jemalloc;
pub mod latency;
pub mod mix;
pub mod model;
mod part_process;
pub mod progress;
#[cfg(test)]
mod protocol;
pub mod report;
pub mod span;
pub mod torture;
pub mod workload;
