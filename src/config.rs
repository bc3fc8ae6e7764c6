//! How an index is to behave.

use std::fmt;

use crate::notifier::Invalidating;
use crate::sync::PlainArc as Arc;
use crate::tuning::RETIRED_LIMIT;

/// Settings of an index.
///
/// ```
/// use notifier_index::{Config, NotifierIndex};
///
/// let index = NotifierIndex::with_config(Config::new().retired_limit(64 << 20));
/// # let _ = index;
/// ```
#[derive(Clone)]
pub struct Config {
    retired_limit: Option<u64>,
    refusal_hook: Option<RefusalHook>,
}

/// Called with what a notifier refused, on the thread of the section.
pub(crate) type RefusalHook = Arc<dyn Fn(&Invalidating<'_>) + Send + Sync>;

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Config { retired_limit: None, refusal_hook: None }
    }

    /// How many bytes may be retired and not yet freed (default: 256 MiB, or four times the bytes of the live tree if that is
    /// more). Past it a change helps to reclaim, waits up to 100 ms for those to go who are pinned, and fails where a pin, a reader, a snapshot or a section demonstrably holds
    /// back more. A snapshot or idle reader holds back up to the tree that it looks at, so allow for as many times the
    /// bytes of a tree as there are of them. [`set_retired_limit`](crate::NotifierIndex::set_retired_limit) changes it later.
    #[must_use]
    pub fn retired_limit(mut self, bytes: u64) -> Self {
        self.retired_limit = Some(bytes);
        self
    }

    /// Calls `hook` whenever a notifier refuses in a section that may block: its owner breaks its promise, and mirrors
    /// what is about to change. Without a hook it is only counted.
    #[must_use]
    pub fn refusal_hook(mut self, hook: impl Fn(&Invalidating<'_>) + Send + Sync + 'static) -> Self {
        self.refusal_hook = Some(Arc::new(hook));
        self
    }

    pub(crate) fn take_refusal_hook(&self) -> Option<RefusalHook> {
        self.refusal_hook.clone()
    }

    /// The limit that goes with the tree.
    pub(crate) const BY_THE_TREE: u64 = u64::MAX;

    /// What that is at least, in bytes.
    pub(crate) const fn least_retired_limit() -> u64 {
        RETIRED_LIMIT
    }

    pub(crate) fn retired_limit_bytes(&self) -> u64 {
        // One byte less than everything is as good as no limit.
        self.retired_limit.map_or(Self::BY_THE_TREE, |bytes| bytes.min(Self::BY_THE_TREE - 1))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("retired_limit", &self.retired_limit)
            .field("refusal_hook", &self.refusal_hook.is_some())
            .finish()
    }
}
