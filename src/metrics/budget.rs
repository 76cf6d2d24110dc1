//! The numbers of a budget, which its owner is asked for.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::metrics::text::Text;

/// A family of metrics about a budget.
#[derive(Clone, Debug)]
pub struct BudgetMetric {
    /// Its name.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// What it says, on one line.
    pub help: &'static str,
    /// The values, each with its label where there are several.
    pub labelled: Vec<(Option<(&'static str, &'static str)>, u64)>,
}

type Source = Box<dyn Fn() -> Vec<BudgetMetric> + Send + Sync>;

/// Whom to ask.
#[derive(Default)]
pub struct Budgets(Mutex<Option<Source>>);

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budgets")
    }
}

impl Budgets {
    /// From now on, this one is asked.
    pub fn set(&self, source: Source) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Adds what it says to the text.
    pub fn add_to(&self, text: &mut Text) {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for it in source.as_ref().map(|source| source()).unwrap_or_default() {
            it.add_to(text);
        }
    }
}

impl BudgetMetric {
    /// Adds the family to the text.
    pub fn add_to(&self, text: &mut Text) {
        text.family(self.name, self.kind, self.help);
        for (label, value) in &self.labelled {
            text.sample(label.as_slice(), value);
        }
    }
}
