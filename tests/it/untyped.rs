//! Hits of all owners at once: what they say without their type is what they say with it.

use notifier_index::NotifierIndex;

use crate::canary::Canary;
use crate::turn::together;
use crate::ways::between;

#[test]
fn an_untyped_hit_says_what_a_typed_one_says() {
    let _turn = together();
    let index = NotifierIndex::new();
    let (ops, others) = (index.register_passive_ops(), index.register_passive_ops());
    let first = index.insert(&ops, between(10, 20), Canary::new(1)).unwrap();
    let _second = index.insert(&others, between(15, 35), Canary::new(2)).unwrap();
    let snapshot = index.snapshot();
    let seen: Vec<_> = snapshot.view().overlapping(between(18, 19)).collect();
    let bounds: Vec<_> = seen.iter().map(|hit| (hit.start(), hit.last(), hit.interval(), hit.version())).collect();
    assert_eq!(bounds, [(10, 20, between(10, 20), 2), (15, 35, between(15, 35), 2)]);
    assert_eq!([seen[0].owner(), seen[1].owner()], [ops.number(), others.number()]);
    assert!(seen[0].downcast(&others).is_none() && seen[1].downcast(&ops).is_none());
    let typed = seen[0].downcast(&ops).unwrap();
    assert_eq!((typed.payload().id(), typed.version(), typed.interval()), (1, 2, between(10, 20)));
    assert!(seen.iter().all(|hit| hit.is_live()));
    first.remove().unwrap();
    assert_eq!([seen[0].is_live(), seen[1].is_live(), typed.is_live()], [false, true, false]);
}
