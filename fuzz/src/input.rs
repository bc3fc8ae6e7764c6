//! The bytes of one run, taken one by one; when they have run out, nothing more is done.

use crate::model::Query;
use crate::span::{Owner, Span};

pub(crate) struct Input<'d>(pub(crate) &'d [u8]);

/// How wide the addresses of a run are spread.
#[derive(Clone, Copy)]
pub(crate) enum Spread {
    /// 64 addresses: everything overlaps.
    Narrow,
    /// Up to both ends of the address space.
    Wide,
}

impl Input<'_> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// One of `count`.
    pub(crate) fn below(&mut self, count: u8) -> Option<u8> {
        Some(self.byte()? % count)
    }

    pub(crate) fn address(&mut self, spread: Spread) -> Option<u64> {
        let byte = u64::from(self.byte()?);
        Some(match spread {
            Spread::Narrow => byte % 64,
            // From both ends inwards, and powers of two between.
            Spread::Wide => match byte {
                0..=63 => byte,
                64..=127 => u64::MAX - (byte - 64),
                128..=191 => 1 << (byte - 128),
                _ => (byte - 191) << 20,
            },
        })
    }

    pub(crate) fn span(&mut self, spread: Spread) -> Option<Span> {
        Some(Span::between(self.address(spread)?, self.address(spread)?))
    }

    pub(crate) fn owner(&mut self, owner_count: u8) -> Option<Owner> {
        self.below(owner_count).map(Owner::from)
    }

    pub(crate) fn query(&mut self, owner_count: u8, spread: Spread) -> Option<Query> {
        let owner = self.owner(owner_count)?;
        Some(match self.below(10)? {
            0 => Query::Find { owner, span: self.span(spread)? },
            1 => Query::FindAll { owner, span: self.span(spread)? },
            2 => Query::Containing { owner, span: self.span(spread)? },
            3 => Query::Overlapping { span: self.span(spread)? },
            4 => Query::FirstAfter { owner, address: self.address(spread)? },
            5 => Query::LastBefore { owner, address: self.address(spread)? },
            6 => Query::GapAt { owner, address: self.address(spread)? },
            7 => {
                let count = self.below(40)?;
                let spans = (0..count).map_while(|_| self.span(spread)).collect();
                Query::FindMany { owner, spans }
            }
            8 => Query::Len,
            _ => Query::LenOf { owner },
        })
    }
}
