//! The scenarios, 3 to 5 tasks each.

mod agree;
mod closing;
mod hold;
mod lifetime;
mod mirrors;
mod pages;
mod removal;
mod writers;

use crate::runner::Scenario;

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    agree::SCENARIO,
    hold::SCENARIO,
    writers::SCENARIO,
    mirrors::STANDING,
    mirrors::MOVING,
    removal::SCENARIO,
    lifetime::SCENARIO,
    closing::CLOSE,
    closing::OVERFLOW,
];
