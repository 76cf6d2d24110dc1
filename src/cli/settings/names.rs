//! The names of variables that begin with `PLUMM_`: which are known, and which known one was meant.

use crate::cli::settings::{Setting, Surroundings};
use crate::cli::text::printable;

/// Holds the id of a server that has started itself once more (`cli/serve/allocator.rs`).
pub const STARTED_AGAIN: &str = "PLUMM_STARTED_AGAIN";
/// What the examples of applications read, which may share an environment with plumm.
const OF_EXAMPLES: [&str; 3] = ["PLUMM_URL", "PLUMM_TOKEN", "PLUMM_WEBHOOK_SECRET"];
/// How other programs call a variable that names the file in which a secret stands. No setting of
/// plumm holds a secret: those about one name its file already.
const OF_FILE: &str = "_FILE";

/// A variable that nothing knows. Its value is shown nowhere: it may be secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// The line of the file of settings that sets it; of the environment none.
    pub line: Option<usize>,
    /// The setting that was meant, perhaps.
    pub nearest: Option<String>,
}

impl Unknown {
    /// A sentence for the log.
    #[must_use]
    pub fn in_words(&self, surroundings: &Surroundings) -> String {
        let place = match self.line {
            Some(line) => format!("{}, line {line}", surroundings.file_name()),
            None => "the environment".to_owned(),
        };
        let meant = self.nearest.as_ref().map(|it| format!(": is {it} meant?"));
        let name = printable(&self.name);
        format!("nothing knows the variable {name} of {place}{}", meant.unwrap_or_default())
    }
}

/// The variables that something knows: settings, and what is none.
pub fn known(table: &[Setting]) -> impl Iterator<Item = &str> {
    let settings = table.iter().map(|it| it.variable.as_str());
    settings.chain([STARTED_AGAIN]).chain(OF_EXAMPLES)
}

/// The variables of the surroundings that nothing knows.
#[must_use]
pub fn unknown(surroundings: &Surroundings, table: &[Setting]) -> Vec<Unknown> {
    let settings: Vec<&str> = table.iter().map(|it| it.variable.as_str()).collect();
    let strange = surroundings.names().filter(|(name, _)| !known(table).any(|it| it == *name));
    let unknown = strange.map(|(name, line)| Unknown {
        name: name.to_owned(),
        line,
        nearest: nearest(name, &settings).map(str::to_owned),
    });
    unknown.collect()
}

/// The known name that takes the fewest letters to be changed, if they are few.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // Nobody types the prefix wrong who got here.
    let rest = |it: &str| it.strip_prefix("PLUMM_").unwrap_or(it).to_ascii_uppercase();
    let name = rest(name.strip_suffix(OF_FILE).unwrap_or(name));
    let near = known.iter().map(|it| (distance(&name, &rest(it)), *it));
    let (distance, nearest) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.len().div_ceil(3)).then_some(nearest)
}

/// How many letters are to be inserted, removed or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    // Enough for any name; the work is bounded by it.
    let cut = |it: &str| it.chars().take(64).collect::<Vec<_>>();
    let (a, b) = (cut(a), cut(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["PLUMM_DB", "PLUMM_LISTEN", "PLUMM_LOG", "PLUMM_LOG_DAYS", "PLUMM_PUBLIC_URL"];
        for (name, expected) in [
            ("PLUMM_DBB", Some("PLUMM_DB")),
            ("PLUMM_LISTN", Some("PLUMM_LISTEN")),
            ("PLUMM_listen", Some("PLUMM_LISTEN")),
            ("PLUMM_LOGDAYS", Some("PLUMM_LOG_DAYS")),
            ("PLUMM_PUBLICURL", Some("PLUMM_PUBLIC_URL")),
            ("PLUMM_LISTEN_FILE", Some("PLUMM_LISTEN")),
            ("PLUMM_SOMETHING_ELSE", None),
            ("PLUMM_", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert!(distance(&"x".repeat(100_000), "") <= 64);
    }
}
