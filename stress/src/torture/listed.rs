//! Enumerations whose members are listed once, with their names.

/// An enumeration with `ALL`, its members in order, and `name`.
macro_rules! listed {
    ($(#[$outer:meta])* $kind:ident { $($(#[$doc:meta])* $member:ident = $name:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $kind { $($(#[$doc])* $member,)* }

        impl $kind {
            /// All of them, in the order of their numbers.
            pub(crate) const ALL: &[$kind] = &[$($kind::$member,)*];

            /// Its name in reports.
            pub(crate) fn name(self) -> &'static str {
                match self { $($kind::$member => $name,)* }
            }
        }
    };
}
pub(crate) use listed;
