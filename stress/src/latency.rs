//! Durations of operations, kept in a histogram, reported as percentiles.
//!
//! Where operations are *paced* (one is due each so many nanoseconds, whether or not the last one has finished), a
//! stall hides the operations that were due meanwhile: that is coordinated omission, and [`Latency::record_paced`]
//! corrects it by adding the durations that those operations would have had. Where a thread simply runs as fast as it
//! can, nothing was due, nothing was omitted, and [`Latency::record`] is the right form.

use hdrhistogram::Histogram;

/// Durations above this are counted as this one: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// A histogram of durations in nanoseconds, exact to three significant digits.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

/// The five figures that are reported of a [`Latency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// Median, in nanoseconds.
    pub p50_ns: u64,
    /// 99th percentile, in nanoseconds.
    pub p99_ns: u64,
    /// 99.9th percentile, in nanoseconds.
    pub p999_ns: u64,
    /// 99.99th percentile, in nanoseconds.
    pub p9999_ns: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// An empty histogram; its memory is allocated here, so recording does not allocate.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are constants in range");
        Latency { histogram }
    }

    /// Records one duration of an operation that was started when the one before it had finished.
    pub fn record(&mut self, duration_ns: u64) {
        self.histogram.saturating_record(duration_ns);
    }

    /// Records one duration of an operation of which one was due each `pace_ns`, corrected for coordinated omission.
    pub fn record_paced(&mut self, duration_ns: u64, pace_ns: u64) {
        let duration_ns = duration_ns.min(LONGEST_NS);
        self.histogram.record_correct(duration_ns, pace_ns).expect("the duration is within the bounds");
    }

    /// Adds all durations of another thread or round.
    pub fn merge(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram).expect("all histograms have the same bounds");
    }

    /// How many durations there are, corrections included.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The figures to report; `None` if nothing was recorded.
    pub fn percentiles(&self) -> Option<Percentiles> {
        if self.histogram.is_empty() {
            return None;
        }
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        Some(Percentiles {
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: self.histogram.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latency = Latency::new();
        assert_eq!(latency.percentiles(), None);
        (1..=1000).for_each(|ns| latency.record(ns));
        let figures = latency.percentiles().unwrap();
        assert_eq!((figures.p50_ns, figures.p99_ns, figures.max_ns), (500, 990, 1000));
    }

    #[test]
    fn a_paced_stall_adds_what_was_omitted() {
        let mut latency = Latency::new();
        latency.record_paced(1000, 100);
        assert_eq!(latency.count(), 10);
    }

    #[test]
    fn threads_add_up_and_too_long_is_kept_as_longest() {
        let (mut one, mut other) = (Latency::new(), Latency::new());
        one.record(5);
        other.record(u64::MAX);
        other.record_paced(u64::MAX, 0);
        one.merge(&other);
        assert_eq!(one.count(), 3);
        assert!(one.percentiles().unwrap().max_ns >= LONGEST_NS);
    }
}
