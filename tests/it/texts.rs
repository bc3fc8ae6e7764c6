//! What people read: errors say in lower case, without a full stop, what was refused, each in its own words; handles say
//! where they stand.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;

use notifier_index::{
    BatchError, BeginError, CloseError, Config, FindManyError, ForeignSnapshot, HeldBack, InsertError, Interval,
    NotifierIndex, RemoveError, TryInvalidateError, UpdateError, WaitError, WouldBlock,
};

use crate::turn::together;
use crate::ways::between;

/// Each says something, as the rule wants it, and no two of a kind say the same.
fn judge(errors: &[&dyn Error]) {
    let texts: BTreeSet<String> = errors.iter().map(|error| error.to_string()).collect();
    assert_eq!(texts.len(), errors.len(), "{texts:?}");
    for text in texts {
        assert!(text.len() > 10 && !text.ends_with('.') && !text.starts_with(char::is_uppercase), "{text:?}");
    }
}

/// What a change under a guard is refused for in the end.
fn held_back() -> HeldBack {
    let index = NotifierIndex::with_config(Config::new().retired_limit(16 << 10));
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, 0, ()).unwrap();
    let _guard = index.pin();
    let refused = (0..10_000).find_map(|at: u64| registration.update(at).err());
    let Some(UpdateError::RetiredLimit(held_back)) = refused else { panic!("{refused:?}") };
    held_back
}

#[test]
fn errors_say_what_was_refused() {
    let _turn = together();
    let held_back = held_back();
    let text = InsertError::RetiredLimit(held_back).to_string();
    assert!(text.contains("a guard that is not let go") && text.contains(&held_back.bytes.to_string()), "{text}");
    judge(
        &[
            InsertError::Closed,
            InsertError::OutOfMemory,
            InsertError::RetiredLimit(held_back),
            InsertError::ForeignOps,
            InsertError::Forked,
        ]
        .each_ref()
        .map(as_error),
    );
    judge(
        &[
            RemoveError::OutOfMemory,
            RemoveError::Held,
            RemoveError::WouldDeadlock,
            RemoveError::ForeignRegistration,
            RemoveError::Forked,
        ]
        .each_ref()
        .map(as_error),
    );
    let reasons = [
        BatchError::Closed,
        BatchError::OutOfMemory,
        BatchError::RetiredLimit(held_back),
        BatchError::ForeignOps,
        BatchError::ForeignRegistration,
        BatchError::Removed,
        BatchError::Forked,
    ];
    judge(&reasons.each_ref().map(as_error));
    judge(&[
        &UpdateError::OutOfMemory,
        &UpdateError::RetiredLimit(held_back),
        &UpdateError::Closed,
        &UpdateError::Removed,
    ]);
    judge(&[&UpdateError::Forked, &WouldBlock, &FindManyError::LengthMismatch, &CloseError::OutOfMemory]);
    judge(&[&BeginError::Removed, &BeginError::NotCovered, &BeginError::Closed, &BeginError::WouldDeadlock]);
    judge(&[&BeginError::TimedOut, &WaitError::WouldDeadlock, &WaitError::TimedOut]);
    judge(&[&TryInvalidateError::WouldBlock, &TryInvalidateError::Forked, &BeginError::WouldWait]);
    judge(&[&CloseError::Forked, &CloseError::OutOfMemory]);
    judge(&[&WaitError::Forked, &WaitError::TimedOut, &ForeignSnapshot]);
}

#[test]
fn a_reason_is_the_same_by_whichever_call() {
    let _turn = together();
    let held_back = held_back();
    for (of_one, of_many) in [
        (InsertError::Closed, BatchError::Closed),
        (InsertError::OutOfMemory, BatchError::OutOfMemory),
        (InsertError::RetiredLimit(held_back), BatchError::RetiredLimit(held_back)),
        (InsertError::ForeignOps, BatchError::ForeignOps),
        (InsertError::Forked, BatchError::Forked),
    ] {
        assert_eq!((BatchError::from(of_one), of_one.to_string()), (of_many, of_many.to_string()));
    }
}

fn as_error<E: Error>(error: &E) -> &dyn Error {
    error
}

#[test]
fn a_refusal_gives_back_what_it_was_about() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(1, 2), 7).unwrap();
    let held = registration.hold();
    let refused = registration.remove_if_unheld().unwrap_err();
    assert_eq!(
        (refused.to_string(), RemoveError::Held.to_string()),
        (as_error(&refused).to_string(), refused.to_string())
    );
    // Says nothing of what comes back, which need not be fit to be shown.
    assert_eq!(format!("{refused:?}"), "Refused { reason: Held, .. }");
    assert_eq!(refused.value.interval(), between(1, 2));
    drop(held);
    index.close().unwrap();
    let many = index.insert_many(&ops, [(between(1, 2), 8)]).unwrap_err();
    assert_eq!(many.value.collect::<Vec<_>>(), [(between(1, 2), 8)]);
    let mut batch = index.batch();
    let _ = batch.insert(&ops, between(1, 2), 8).unwrap();
    let refused = batch.commit().unwrap_err();
    assert_eq!((refused.reason, refused.to_string()), (BatchError::Closed, BatchError::Closed.to_string()));
    assert_eq!(refused.value.len(), 1);
    let why = || -> Result<(), Box<dyn Error>> {
        let _one = index.insert(&ops, between(1, 2), 9)?;
        Ok(())
    };
    assert_eq!(why().unwrap_err().to_string(), InsertError::Closed.to_string());
    let reason = || -> Result<(), InsertError> {
        let _many = index.insert_many(&ops, (0..3).map(|at| (Interval::point(at), at)))?;
        Ok(())
    };
    assert_eq!(reason(), Err(InsertError::Closed));
}

/// `text` names what the handle is and holds what is known of it.
fn shows(handle: &dyn Debug, name: &str, known: &str) {
    let text = format!("{handle:?}");
    assert!(text.starts_with(name) && text.contains(known), "{text:?} is no {name} of {known}");
}

#[test]
fn handles_say_where_they_stand() {
    let _turn = together();
    let index = NotifierIndex::default();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0x10, 0x1f), 77).unwrap();
    shows(&index, "NotifierIndex", "version 1, 1 notifiers");
    shows(&registration, "Registration", "0x10-0x1f");
    shows(&index.pin(), "Guard", "version 1");
    shows(&index.reader(), "Reader", "version 1");
    shows(&index.snapshot(), "Snapshot", "version 1");
    shows(&index.dump(), "Dump", "version 1");
    shows(&ops, "Ops", "of index");
    shows(&Config::default().retired_limit(12_345), "Config", "12345");
    shows(&index.stats(), "Stats", "version: 1");
    assert!(index.stats().to_string().contains('1'));
    let snapshot = index.snapshot();
    shows(&snapshot.find(&ops, Interval::FULL).unwrap(), "Hit", "77");
    shows(&snapshot.view().iter().next().unwrap(), "AnyHit", "0x10-0x1f");
    let held = registration.hold();
    shows(&held.clone(), "Held", "77");
    assert!(held.clone().is_live() && held.clone().interval() == held.interval());
    shows(&index.invalidate(between(5, 6), notifier_index::Event::new(notifier_index::Reason::Clear)), "Invali", "0x5");
    shows(&registration.read_begin(between(0x10, 0x10)).unwrap(), "Ticket", "(");
    let mut batch = index.batch();
    let key = batch.insert(&ops, Interval::point(1), 78).unwrap();
    shows(&key, "InsertKey", "0");
    shows(&batch, "Batch", "1 changes");
    let committed = batch.commit().unwrap();
    shows(&committed, "Committed", "version 2");
    shows(&registration.remove_deferred().unwrap(), "Removal", "version 3");
}
