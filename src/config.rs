//! How an index is to behave.

use crate::tuning::RETIRED_LIMIT;

/// Settings of an index.
///
/// ```
/// use notifier_index::{Config, NotifierIndex};
///
/// let index = NotifierIndex::with_config(Config::new().retired_limit(64 << 20));
/// # let _ = index;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    retired_limit: u64,
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Config { retired_limit: RETIRED_LIMIT }
    }

    /// How many bytes may be retired and not yet freed (default: 256 MiB). Past it a change helps to reclaim, and
    /// fails where a pin makes that impossible. A snapshot or idle reader holds back up to the tree that it looks at,
    /// so allow for as many times the bytes of a tree as there are of them.
    #[must_use]
    pub fn retired_limit(mut self, bytes: u64) -> Self {
        self.retired_limit = bytes;
        self
    }

    pub(crate) fn retired_limit_bytes(&self) -> u64 {
        self.retired_limit
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
