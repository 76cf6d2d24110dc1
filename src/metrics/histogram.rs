//! How long something took, in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::counter::Counter;
use crate::metrics::text::Text;

/// The upper ends of the buckets of a duration, in microseconds, with the label of each in seconds.
const BUCKETS: [(u64, &str); 16] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// How often a duration fell into which bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Each bucket by itself; the last one has no upper end.
    buckets: [Counter; BUCKETS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&self, took: Duration) {
        // Rounded up, so that a bucket holds nothing beyond its end.
        let microseconds = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|(end, _)| microseconds <= *end);
        let bucket = bucket.unwrap_or(BUCKETS.len());
        self.buckets[bucket].add();
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// Adds the buckets to the family begun last, with the name of this route; nothing when nothing
    /// was counted.
    pub fn add_to(&self, text: &mut Text, route: &str) {
        // Read once: the count then always equals that of the last bucket.
        let counts = self.buckets.each_ref().map(Counter::get);
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return;
        }
        let ends = BUCKETS.iter().map(|(_, label)| *label).chain(["+Inf"]);
        let mut so_far = 0;
        for (end, in_bucket) in ends.zip(counts) {
            so_far += in_bucket;
            text.line("_bucket", &[("route", route), ("le", end)], so_far);
        }
        let microseconds = self.microseconds.load(Ordering::Relaxed);
        let sum = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
        text.line("_sum", &[("route", route)], sum);
        text.line("_count", &[("route", route)], count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_are_in_order_and_labelled_in_seconds() {
        assert!(BUCKETS.is_sorted());
        for (end, label) in BUCKETS {
            assert_eq!(label.parse::<f64>().unwrap() * 1e6, end as f64);
        }
    }
}
