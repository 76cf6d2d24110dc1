//! Names that are near to one that nobody has, for a message that says what may have been meant.

use rusqlite::params;

use crate::scim::filter::comparison::fold;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::Read;

/// How many names are compared that begin in the same way, or with anything: all names of most
/// organisations.
const NAMES_MAX: i64 = 20_000;
/// How many entries of the index are read for the end of a name.
const ENTRIES_MAX: i64 = 1_000_000;
/// The shortest end of a name that is looked for, in characters.
const TAIL_CHARS_MIN: usize = 3;
/// No name that is longer is compared, in characters.
const CHARS_MAX: usize = 100;

impl Read<'_> {
    /// The userNames that differ from a text by few characters, the nearest first; folded.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn near_user_names(
        &self,
        org: OrgKey,
        resource_type: &str,
        text: &str,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let folded = fold(text.trim()).into_owned();
        let wanted: Vec<char> = folded.chars().collect();
        if wanted.is_empty() || wanted.len() > CHARS_MAX {
            return Ok(Vec::new());
        }
        let sql = "SELECT user_name FROM resource WHERE org = ?1 AND type = ?2 AND deleted IS NULL
            AND user_name >= ?3 AND user_name < ?4 ORDER BY user_name LIMIT ?5";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut near: Vec<(usize, String)> = Vec::new();
        let start = |chars: usize| wanted.iter().take(chars).collect::<String>();
        let chars = wanted.len();
        for start in [chars.div_ceil(2), chars.div_ceil(3), 0].map(start) {
            let end = format!("{start}\u{10ffff}");
            let values = params![org.0, resource_type, start, end, NAMES_MAX];
            let names = statement.query_map(values, |row| row.get::<_, String>(0))?;
            for name in names {
                let name = name?;
                if let Some(distance) = distance_of_name(&wanted, &name)
                    && !near.iter().any(|(_, it)| *it == name)
                {
                    near.push((distance, name));
                }
            }
        }
        // A slip near the beginning leads to other names; what stands behind it does not.
        let local = wanted.iter().position(|it| *it == '@').unwrap_or(chars);
        let tail: String = wanted[local / 2..local].iter().collect();
        if near.is_empty() && local - local / 2 >= TAIL_CHARS_MIN {
            let sql = "SELECT name FROM (
                    SELECT user_name AS name FROM resource INDEXED BY resource_user_name
                    WHERE org = ? AND type = ? AND deleted IS NULL AND user_name IS NOT NULL
                    LIMIT ?)
                WHERE instr(name, ?) > 0 LIMIT ?";
            let mut statement = self.connection.prepare_cached(sql)?;
            let values = params![org.0, resource_type, ENTRIES_MAX, tail, NAMES_MAX];
            let names = statement.query_map(values, |row| row.get::<_, String>(0))?;
            for name in names {
                let name = name?;
                near.extend(distance_of_name(&wanted, &name).map(|it| (it, name)));
            }
        }
        near.sort();
        Ok(near.into_iter().take(most).map(|(_, name)| name).collect())
    }
}

/// How far a name is from what was typed, where that is not far; what stands before the `@` may be
/// all that was typed.
fn distance_of_name(wanted: &[char], name: &str) -> Option<usize> {
    let most = match wanted.len() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    let whole: Vec<char> = name.chars().take(CHARS_MAX + 1).collect();
    let local = whole.iter().position(|it| *it == '@').unwrap_or(whole.len());
    let distances = [&whole[..], &whole[..local]].into_iter();
    distances.filter_map(|it| distance(wanted, it, most)).min()
}

/// How many characters are to be inserted, removed, replaced or swapped with the next one to make
/// one text of another, if not more than `most`.
fn distance(a: &[char], b: &[char], most: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        if row.iter().min().is_none_or(|it| *it > most) {
            return None;
        }
        before_last = last;
        last = row;
    }
    last.pop().filter(|it| *it <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_slips_are_near_and_other_names_are_not() {
        let far = |a: &str, b: &str| {
            let wanted: Vec<char> = a.chars().collect();
            distance_of_name(&wanted, b)
        };
        let mara = "mara.novak@example.com";
        assert_eq!(far("mara.novak@example.com", mara), Some(0));
        assert_eq!(far("mara.nowak@example.com", mara), Some(1));
        assert_eq!(far("mara.novka@example.com", mara), Some(1));
        assert_eq!(far("mara.novak@exmaple.co", mara), Some(2));
        assert_eq!(far("maranovak", mara), Some(1));
        assert_eq!(far("nobody", mara), None);
        assert_eq!(far("mara.novak@example.org", mara), Some(3));
        assert_eq!(far("ann", "bob@example.com"), None);
    }
}
