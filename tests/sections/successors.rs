//! A filler waits for the sections that it met, and not for those that take their places.

use notifier_index::{Interval, NotifierIndex};

use crate::support::{PATIENCE, UNMAP, between, deadline, until};

/// The next section of a thread takes the slot of its last one, and stands there when the filler wakes.
#[test]
fn the_next_section_in_a_slot_is_another_one() {
    const ROUNDS: u64 = 20;
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 99), ()).unwrap();
    for round in 1..=ROUNDS {
        let met = index.invalidate(Interval::point(50), UNMAP);
        std::thread::scope(|scope| {
            let filler = scope.spawn(|| registration.read_begin_timeout(between(0, 99), PATIENCE).map(drop));
            until("the filler waits", || index.stats().read_begin_waits == round);
            drop(met);
            let successor = index.invalidate(Interval::point(50), UNMAP);
            let waited = filler.join().unwrap();
            drop(successor);
            assert_eq!(waited, Ok(()), "it waited for the successor");
        });
    }
}
