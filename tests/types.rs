//! What the types themselves promise: the auto traits of every public one, as a table.
//!
//! Variance and `must_use` are in `src/type_tests.rs`: only a doctest can see what does not compile.

#![cfg_attr(tsan, feature(custom_test_frameworks, test), test_runner(runner::run))]

#[cfg(tsan)]
#[path = "visible/runner.rs"]
mod runner;

use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};

use notifier_index::*;

/// Can be sent and shared, as payloads must, and has no other auto trait.
struct Dull(PhantomData<dyn Fn() + Send + Sync>);

/// Has no auto trait at all.
struct Nothing(PhantomData<dyn Fn()>);

/// Asks for a trait without asking for a bound: the constant of the type is taken where its bound holds, else that of the
/// trait.
struct Probe<T: ?Sized>(PhantomData<T>);

macro_rules! probes {
    ($($has:ident $otherwise:ident $auto:ident)*) => { $(
        trait $otherwise {
            const $has: bool = false;
        }
        impl<T: ?Sized> $otherwise for Probe<T> {}
        impl<T: ?Sized + $auto> Probe<T> {
            const $has: bool = true;
        }
    )* };
}

probes! {
    SEND OtherwiseSend Send
    SYNC OtherwiseSync Sync
    UNWIND OtherwiseUnwind UnwindSafe
    REF_UNWIND OtherwiseRefUnwind RefUnwindSafe
    UNPIN OtherwiseUnpin Unpin
}

/// The auto traits of a type: `Send`, `Sync`, `UnwindSafe`, `RefUnwindSafe`, `Unpin`, a dash for each that it has not.
macro_rules! traits_of {
    ($type:ty) => {{
        type Probed = Probe<$type>;
        let has = [Probed::SEND, Probed::SYNC, Probed::UNWIND, Probed::REF_UNWIND, Probed::UNPIN];
        has.iter().zip("SYWRP".chars()).map(|(has, initial)| if *has { initial } else { '-' }).collect::<String>()
    }};
}

macro_rules! table {
    ($($expected:literal $type:ty;)*) => {
        vec![$(Row { name: stringify!($type), expected: $expected, has: traits_of!($type) }),*]
    };
}

struct Row {
    name: &'static str,
    expected: &'static str,
    has: String,
}

impl Row {
    /// The type's name without its parameters.
    fn bare_name(&self) -> &'static str {
        self.name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
    }
}

/// Handles can be sent, shared and seen after a panic, whatever the payload is. What pins or is known to a thread
/// stays on its thread; what borrows from it may be shared meanwhile. Errors have what the payloads have that they give back.
fn table() -> Vec<Row> {
    table! {
        // The index, and what owns a part of it.
        "SYWRP" NotifierIndex;
        "SYWRP" Ops<Nothing>;
        "SYWRP" Registration<Dull>;
        "SYWRP" Removal<Dull>;
        "SYWRP" Held<Dull>;
        "SYWRP" FoundOrInserted<Dull>;
        "SYWRP" Snapshot;
        "SYWRP" Dump;

        // What belongs to a thread.
        "--WRP" Guard<'static>;
        "--WRP" Reader;
        "--WRP" Invalidation<'static>;

        // What borrows.
        "SYWRP" Ticket<'static>;
        "SYWRP" View<'static>;
        "SYWRP" Hit<'static, Dull>;
        "--WRP" Hit<'static, Nothing>;
        "SYWRP" Hits<'static, Dull>;
        "--WRP" Hits<'static, Nothing>;
        "SYWRP" AnyHit<'static>;
        "SYWRP" AnyHits<'static>;
        "SYWRP" Batch<'static>;
        "SYWRP" Change<'static>;
        "SYWRP" Changes<'static>;
        "SYWRP" InsertKey<Nothing>;
        "SYWRP" Committed;
        "SYWRP" Carved<Dull>;
        "SYWRP" Invalidating<'static>;

        // Values. A configuration holds the caller's hook.
        "SY--P" Config;
        "SYWRP" Event;
        "SYWRP" Interval;
        "SYWRP" Reason;
        "SYWRP" Stats;

        // Refusals.
        "SYWRP" BatchError;
        "SYWRP" BeginError;
        "SYWRP" CloseError;
        "SYWRP" Corruption;
        "SYWRP" FindManyError;
        "SYWRP" ForeignSnapshot;
        "SYWRP" HeldBack;
        "SYWRP" Holder;
        "SYWRP" InsertError;
        "SYWRP" IntervalError;
        "SYWRP" ParseIntervalError;
        "SYWRP" Refused<InsertError, u64>;
        "SY---" Refused<InsertError, Dull>;
        "-----" Refused<InsertError, Nothing>;
        "SYWRP" Refused<RemoveError, Registration<Dull>>;
        "SYWRP" RemoveError;
        "SYWRP" Returned<std::vec::IntoIter<u64>>;
        "SY---" Returned<std::vec::IntoIter<Dull>>;
        "-----" Returned<std::vec::IntoIter<Nothing>>;
        "SYWRP" UpdateError;
        "SYWRP" WaitError;
        "SYWRP" WouldBlock;
        "SYWRP" TryInvalidateError;
    }
}

#[test]
fn every_type_has_the_auto_traits_that_it_promises() {
    let wrong: Vec<String> = table()
        .iter()
        .filter(|row| row.has != row.expected)
        .map(|row| format!("{} has {}, and promises {}", row.name, row.has, row.expected))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The names that `lib.rs` gives to everybody.
fn public_names() -> Vec<&'static str> {
    let source = include_str!("../src/lib.rs");
    let exports = source.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = exports.filter_map(|path| path.split_once("::")).flat_map(|(_, names)| names.split(','));
    names.map(|name| name.trim_matches(|c: char| !c.is_alphanumeric())).filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_public_type_is_in_the_table() {
    const TRAITS: [&str; 1] = ["Notifier"];
    let (table, public) = (table(), public_names());
    let missing = |name: &&&str| !TRAITS.contains(name) && !table.iter().any(|row| row.bare_name() == **name);
    let missing: Vec<_> = public.iter().filter(missing).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    assert!(public.len() > 40 && table.iter().all(|row| public.contains(&row.bare_name())), "{public:?}");
}

/// The probes themselves, on types of the standard library that differ in every trait.
#[test]
fn probes_tell_types_apart() {
    use std::cell::{Cell, UnsafeCell};
    use std::marker::PhantomPinned;
    use std::rc::Rc;
    use std::sync::MutexGuard;

    let rows = table! {
        "SYWRP" u64;
        "S-W-P" Cell<u8>;
        "S-W-P" UnsafeCell<u8>;
        "--WRP" Rc<u8>;
        "SY-RP" &'static mut u8;
        "-YWRP" MutexGuard<'static, u8>;
        "SYWR-" PhantomPinned;
        "SY---" Dull;
        "-----" Nothing;
    };
    for row in rows {
        assert_eq!(row.has, row.expected, "{}", row.name);
    }
}
