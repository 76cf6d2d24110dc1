//! Events that applications were told, by their types.

use crate::metrics::counter::Counter;
use crate::metrics::text::Text;

/// How an application is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It has asked the change feed.
    Feed,
    /// It has taken a webhook.
    Webhook,
}

const WAYS: [(Way, &str); 2] = [(Way::Feed, "feed"), (Way::Webhook, "webhook")];

/// Events by their types, told in each way.
#[derive(Debug)]
pub struct EventMetrics {
    types: Vec<&'static str>,
    told: [Vec<Counter>; WAYS.len()],
}

impl EventMetrics {
    /// No event of these types.
    pub fn new(types: &[&'static str]) -> EventMetrics {
        let zero = || types.iter().map(|_| Counter::default()).collect();
        EventMetrics { types: types.to_vec(), told: [zero(), zero()] }
    }

    /// Counts one more of this type; a type that is unknown is none of the application's events.
    pub fn add(&self, way: Way, event_type: &str) {
        if let Some(i) = self.types.iter().position(|it| *it == event_type) {
            self.told[way as usize][i].add();
        }
    }

    /// Adds them to the text.
    pub fn add_to(&self, text: &mut Text) {
        let help = "Events told to applications, those told again included.";
        text.family("plumm_events_told_total", "counter", help);
        for (way, word) in WAYS {
            for (name, count) in self.types.iter().zip(&self.told[way as usize]) {
                text.sample(&[("by", word), ("type", name)], count.get());
            }
        }
    }
}
