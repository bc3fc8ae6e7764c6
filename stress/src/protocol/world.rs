//! What the actors share: source, mirror, lock, published tree, table of sections, and the notifier itself.

use std::fmt::{self, Debug, Display};
use std::ops::{BitAnd, BitOr, Not};

/// The number of pages of the source.
pub(super) const PAGE_COUNT: usize = 2;

/// The number of slots in the table of sections: each section actor has its own.
pub(super) const SLOT_COUNT: usize = 2;

/// A set of pages, as bits: the bounds of the notifier, or the range of a section or a fill.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Pages(u8);

impl Pages {
    /// No page: not in the tree, or a free slot.
    pub(super) const NONE: Pages = Pages(0);
    /// The first page.
    pub(super) const FIRST: Pages = Pages(1);
    /// The second page.
    pub(super) const SECOND: Pages = Pages(2);
    /// Both pages.
    pub(super) const BOTH: Pages = Pages(3);

    /// Whether there is none.
    pub(super) fn is_empty(self) -> bool {
        self == Pages::NONE
    }

    /// Whether that page is one of them.
    pub(super) fn contains(self, page: usize) -> bool {
        self.0 >> page & 1 == 1
    }

    /// Whether they have a page in common.
    pub(super) fn overlaps(self, other: Pages) -> bool {
        !(self & other).is_empty()
    }

    /// Whether all of `other` are among these.
    pub(super) fn covers(self, other: Pages) -> bool {
        self & other == other
    }

    /// The pages, ascending.
    pub(super) fn each(self) -> impl Iterator<Item = usize> {
        (0..PAGE_COUNT).filter(move |page| self.contains(*page))
    }
}

impl BitAnd for Pages {
    type Output = Pages;

    fn bitand(self, other: Pages) -> Pages {
        Pages(self.0 & other.0)
    }
}

impl BitOr for Pages {
    type Output = Pages;

    fn bitor(self, other: Pages) -> Pages {
        Pages(self.0 | other.0)
    }
}

impl Not for Pages {
    type Output = Pages;

    fn not(self) -> Pages {
        Pages(!self.0) & Pages::BOTH
    }
}

impl Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Pages::NONE => "-",
            Pages::FIRST => "0",
            Pages::SECOND => "1",
            _ => "01",
        })
    }
}

/// As short as [`Display`], since steps are printed with their pages.
impl Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// What the library keeps with a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Notifier {
    /// Raised before each callback, and by shrinking.
    pub(super) generation: u8,
    /// How many walkers have entered it.
    pub(super) running_count: u8,
    /// Set by removing.
    pub(super) dead: bool,
}

/// All that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The version of each page.
    pub(super) source: [u8; PAGE_COUNT],
    /// The version that the mirror's entry of each page was made from.
    pub(super) mirror: [Option<u8>; PAGE_COUNT],
    /// Whether somebody holds the user's lock.
    pub(super) locked: bool,
    /// The published bounds of the notifier.
    pub(super) tree: Pages,
    /// The active sections: a range a slot.
    pub(super) table: [Pages; SLOT_COUNT],
    /// The notifier.
    pub(super) notifier: Notifier,
    /// What its handle knows: in which generation it was seen to have which bounds. No bounds at first.
    pub(super) known: (u8, Pages),
}

impl World {
    /// Nothing has happened yet; the notifier has these bounds.
    pub(super) fn new(tree: Pages) -> Self {
        World {
            source: [0; PAGE_COUNT],
            mirror: [None; PAGE_COUNT],
            locked: false,
            tree,
            table: [Pages::NONE; SLOT_COUNT],
            notifier: Notifier { generation: 0, running_count: 0, dead: false },
            known: (0, Pages::NONE),
        }
    }

    /// Takes the mirror's entries of these pages away.
    pub(super) fn tear_down(&mut self, pages: Pages) {
        for page in pages.each() {
            self.mirror[page] = None;
        }
    }

    /// Whether the mirror has an entry at all.
    pub(super) fn has_entry(&self) -> bool {
        self.mirror != [None; PAGE_COUNT]
    }

    /// Whether the mirror has an entry of one of these pages, or one that is not of the present version.
    pub(super) fn has_stale_entry(&self, inside: Pages) -> bool {
        let is_stale = |page: usize, version: u8| inside.contains(page) || version != self.source[page];
        (0..PAGE_COUNT).any(|page| self.mirror[page].is_some_and(|version| is_stale(page, version)))
    }
}

impl Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = |page: usize| self.mirror[page].map_or("-".to_owned(), |version| version.to_string());
        let Notifier { generation, running_count, dead } = self.notifier;
        write!(f, "source {}{} mirror {}{}", self.source[0], self.source[1], entry(0), entry(1))?;
        write!(f, " | tree {:2} sections {:2} {:2}", self.tree, self.table[0], self.table[1])?;
        write!(f, " | generation {generation} running {running_count}")?;
        write!(f, "{}{}", if dead { " dead" } else { "" }, if self.locked { " | locked" } else { "" })
    }
}
