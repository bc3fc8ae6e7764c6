//! The process's mappings, as the kernel lists them in `/proc/self/maps`.
//!
//! The kernel promises no consistent picture while mappings change, but it does promise that an address which was
//! mapped during all of the reading is listed. So a caller compares with what was in the index both before and after.

use std::io;

use crate::span::Span;

/// Disjoint spans, ascending, neighbours joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mappings {
    spans: Vec<Span>,
}

impl Mappings {
    /// Reads the list of now.
    ///
    /// # Errors
    /// That of reading the file.
    pub(crate) fn read() -> io::Result<Mappings> {
        Ok(Mappings::parse(&std::fs::read_to_string("/proc/self/maps")?))
    }

    fn parse(text: &str) -> Mappings {
        let mut listed: Vec<Span> = text.lines().filter_map(parse_line).collect();
        listed.sort_by_key(|span| span.start());
        let mut spans: Vec<Span> = Vec::with_capacity(listed.len());
        for span in listed {
            match spans.last_mut() {
                Some(before) if span.start() <= before.last().saturating_add(1) => {
                    *before = Span::between(before.start(), before.last().max(span.last()));
                }
                _ => spans.push(span),
            }
        }
        Mappings { spans }
    }

    /// Whether every address of the span is mapped.
    pub(crate) fn cover(&self, span: Span) -> bool {
        let after = self.spans.partition_point(|mapping| mapping.start() <= span.start());
        after.checked_sub(1).is_some_and(|place| self.spans[place].covers(span))
    }
}

fn parse_line(line: &str) -> Option<Span> {
    let (start, rest) = line.split_once('-')?;
    let (end, _) = rest.split_once(' ')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    Span::new(start, end.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_and_holes_stay() {
        let mappings = Mappings::parse("1000-3000 rw-p 0\n3000-4000 r--p 0 name\n6000-7000 rw-p 0\nnonsense\n");
        assert!(mappings.cover(Span::between(0x1000, 0x3fff)));
        assert!(!mappings.cover(Span::between(0x1000, 0x4000)));
        assert!(!mappings.cover(Span::between(0x3000, 0x6fff)));
        assert!(!mappings.cover(Span::point(0)) && mappings.cover(Span::point(0x6fff)));
    }

    #[test]
    fn this_very_stack_is_mapped() {
        let local = 0u64;
        let address = std::ptr::from_ref(&local) as u64;
        assert!(Mappings::read().unwrap().cover(Span::between(address, address + 7)));
    }
}
