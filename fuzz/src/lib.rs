//! What the fuzz targets do with their bytes: each makes a history of them, and judges every step of it by the one
//! reference model, or by the contract. The model and its comparison with an index are those of the tests.

extern crate self as stress;

#[path = "../../stress/src/model.rs"]
pub mod model;
#[path = "../../stress/src/span.rs"]
pub mod span;

#[allow(dead_code)]
#[path = "../../tests/it/canary.rs"]
mod canary;
#[allow(dead_code)]
#[path = "../../tests/it/ways.rs"]
mod ways;
#[allow(dead_code)]
#[path = "../../tests/it/world.rs"]
mod world;

pub mod callbacks;
mod input;
pub mod operations;
pub mod queries;

/// Under `--cfg busted` the environment may name a sabotage, under which the targets must find something.
fn break_what_is_to_be_broken() {
    #[cfg(busted)]
    if let Ok(name) = std::env::var("BUSTED") {
        notifier_index::busted::set(&name).expect("a sabotage that is known");
    }
}
