//! Callbacks that do anything the contract allows: change the index, begin sections inside sections, look, take and check
//! tickets, remove others and themselves, refuse. One thread, so that what must happen is known exactly:
//!
//! - a section tells whoever overlaps it when it begins, once, in order of start, but for those removed meanwhile;
//! - a refusal ends a section that may not block, and its second passes are those of the first ones that went well;
//! - a ticket is stale when its notifier was told, moved or removed since;
//! - what would wait for itself is refused, and nothing else is;
//! - each payload is dropped once, and not before its removal.

mod machine;
mod sections;
mod steps;

/// One run.
pub fn run(data: &[u8]) {
    crate::break_what_is_to_be_broken();
    let machine = machine::Machine::new(data);
    while machine.step() {}
    machine.end();
}
