//! Checked histories: what every thread did is logged while it runs, and judged afterwards.
//!
//! Every operation of the index tells the version it took effect at, so version order *is* the linearization, and a
//! whole run can be checked in linear time (apart from sorting):
//!
//! ```text
//!   thread 1:  [update v7]      [find v8]            each thread appends to a log of its own (recorder.rs)
//!   thread 2:     [find v7]  [update v8]
//!                       |
//!                       v  merge, sort by version
//!   v7 update | find | v8 update | find              replay on the model, compare every answer (replay.rs)
//!                       |
//!                       v  sort by time
//!   "this find began after that update had returned: is its version at least as great?"   (real_time.rs)
//! ```
//!
//! The replay shows that each answer is right *for its version*; the sweep over time shows that the version was not too
//! old. Together they say: linearizable, in program order.

pub mod clock;
pub mod real_time;
pub mod recorder;
pub mod replay;

pub use recorder::{Log, Recorder};
pub use replay::{Replay, Verdict};
