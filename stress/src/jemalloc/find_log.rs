//! The finds of one finder, for the replay: all of them, or, where memory forces it, every second, fourth, ...

use crate::jemalloc::extent_index::Answer;

/// One find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedFind {
    pub(crate) address: u64,
    pub(crate) answer: Answer,
    /// Stamps of the beginning and the end of its block.
    pub(crate) time: [u64; 2],
}

/// The log.
#[derive(Debug)]
pub(crate) struct FindLog {
    kept: Vec<LoggedFind>,
    /// One block in so many is logged; a power of two.
    stride: u64,
    block_count: u64,
    made: u64,
    /// Full, the log is thinned to a half.
    most: usize,
}

impl FindLog {
    /// A log of at most so many finds; its memory is allocated here, so that logging does not allocate.
    pub(crate) fn keeping(most: usize) -> Self {
        FindLog { kept: Vec::with_capacity(most), stride: 1, block_count: 0, made: 0, most }
    }

    /// Notes a block of finds, if it is its turn.
    pub(crate) fn push_block(&mut self, finds: impl ExactSizeIterator<Item = LoggedFind>) {
        self.made += finds.len() as u64;
        self.block_count += 1;
        if !self.block_count.is_multiple_of(self.stride) || finds.len() > self.most {
            return;
        }
        if self.kept.len() + finds.len() > self.most {
            self.thin();
        }
        self.kept.extend(finds);
    }

    /// How many finds were made; some of them may not have been kept.
    pub(crate) fn made_count(&self) -> u64 {
        self.made
    }

    /// The finds that were kept.
    pub(crate) fn into_kept(self) -> Vec<LoggedFind> {
        self.kept
    }

    fn thin(&mut self) {
        let mut turn = false;
        self.kept.retain(|_| {
            turn = !turn;
            turn
        });
        self.stride *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(address: u64) -> LoggedFind {
        LoggedFind { address, answer: Answer::default(), time: [0; 2] }
    }

    #[test]
    fn a_full_log_keeps_samples_of_all_the_time() {
        let mut log = FindLog::keeping(64);
        (0..1000).for_each(|address| log.push_block([find(address), find(address)].into_iter()));
        assert_eq!(log.made_count(), 2000);
        let kept = log.into_kept();
        assert!((16..=64).contains(&kept.len()));
        assert!(kept[0].address < 100 && kept[kept.len() - 1].address > 900);
    }
}
