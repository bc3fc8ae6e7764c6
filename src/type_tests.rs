//! What must not compile: variance of the generic types, and results that are thrown away. Only doctests can see it.
//!
//! Each refusal stands beside a twin that compiles and differs in the one thing that is refused. For a covariant type the
//! twin is the conversion the other way: together they say that it is covariant and nothing else.
//!
//! The two payload types are functions of a reference: `Any` takes each, `Fixed` a `'static` one only. `Any` is the subtype.

macro_rules! doctests {
    ($name:ident, $prelude:expr, $refused:expr, $accepted:expr) => {
        #[doc = concat!("```compile_fail\n", $prelude, $refused, "\n```\n```\n", $prelude, $accepted, "\n```")]
        pub struct $name;
    };
}

macro_rules! payloads {
    () => {
        "use notifier_index::*;\ntype Any = for<'a> fn(&'a u8);\ntype Fixed = fn(&'static u8);\n"
    };
}

macro_rules! conversion {
    ($type:ident, $from:literal, $to:literal) => {
        concat!("fn convert(it: ", stringify!($type), $from, ") -> ", stringify!($type), $to, " { it }")
    };
}

macro_rules! invariant {
    ($($type:ident)*) => { $(
        pub mod $type {
            doctests!(Narrowed, payloads!(), conversion!($type, "<Any>", "<Fixed>"), conversion!($type, "<Any>", "<Any>"));
            doctests!(Widened, payloads!(), conversion!($type, "<Fixed>", "<Any>"), conversion!($type, "<Fixed>", "<Fixed>"));
        }
    )* };
}

macro_rules! covariant {
    ($($type:ident)*) => { $(
        doctests!($type, payloads!(), conversion!($type, "<Fixed>", "<Any>"), conversion!($type, "<Any>", "<Fixed>"));
    )* };
}

macro_rules! must_be_used {
    ($($name:ident: $type:ty;)*) => { $(
        doctests!(
            $name,
            concat!("#![deny(unused_must_use)]\nuse notifier_index::*;\nfn make() -> ", stringify!($type), " { loop {} }\n"),
            "fn lose() { make(); }",
            "fn keep() { let _kept = make(); }"
        );
    )* };
}

/// They prove a payload's type by identity: what goes in by one type must come out by the same.
#[allow(non_snake_case)]
pub mod owner_handles_are_invariant {
    invariant! { Ops InsertKey }
}

/// Payloads only come out of them.
pub mod covariant {
    covariant! { Registration Held Removal FoundOrInserted Carved }
}

/// Lost, they would end something, or leave it undone.
pub mod must_be_used {
    must_be_used! {
        AnyHits: AnyHits<'static>;
        Batch: Batch<'static>;
        Carved: Carved<u8>;
        Committed: Committed;
        FoundOrInserted: FoundOrInserted<u8>;
        Guard: Guard<'static>;
        Held: Held<u8>;
        Hits: Hits<'static, u8>;
        InsertKey: InsertKey<u8>;
        Invalidation: Invalidation<'static>;
        Reader: Reader;
        Registration: Registration<u8>;
        Removal: Removal<u8>;
        Returned: Returned<std::vec::IntoIter<u8>>;
        Snapshot: Snapshot;
        Ticket: Ticket<'static>;
    }
}

/// Lifetimes of what borrows shrink and never grow.
///
/// ```compile_fail
/// use notifier_index::*;
/// fn grow<'short>(it: Hit<'short, u8>) -> Hit<'static, u8> { it }
/// ```
/// ```compile_fail
/// use notifier_index::*;
/// fn grow<'short>(it: View<'short>) -> View<'static> { it }
/// ```
/// ```compile_fail
/// use notifier_index::*;
/// fn grow<'short>(it: Ticket<'short>) -> Ticket<'static> { it }
/// ```
/// ```compile_fail
/// use notifier_index::*;
/// fn grow<'short>(it: Hits<'short, u8>) -> Hits<'static, u8> { it }
/// ```
/// ```
/// use notifier_index::*;
/// fn shrink<'short>(it: Hit<'static, u8>) -> Hit<'short, u8> { it }
/// fn shrink_view<'short>(it: View<'static>) -> View<'short> { it }
/// fn shrink_ticket<'short>(it: Ticket<'static>) -> Ticket<'short> { it }
/// fn shrink_hits<'short>(it: Hits<'static, u8>) -> Hits<'short, u8> { it }
/// ```
pub struct Lifetimes;
