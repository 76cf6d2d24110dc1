//! Text for a terminal: tables, and words that neither a terminal nor a shell obeys.

use std::iter;

use crate::scim::datetime::Timestamp;

/// Rows under their heads, each column as wide as its widest cell.
pub fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]> + Clone,
) -> String {
    let mut widths = head.map(str::len);
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in iter::once(head.map(str::to_owned)).chain(rows) {
        for (width, cell) in widths.iter().zip(&row) {
            text += &format!("{cell:width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A time in a table, or a dash.
pub fn time_cell(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |it| it.to_string())
}

/// The text with control characters escaped, so that a terminal shows them instead of obeying.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for it in text.chars() {
        if it.is_control() {
            shown.extend(it.escape_default());
        } else {
            shown.push(it);
        }
    }
    shown
}

/// The text as one word of a shell command.
pub fn quoted(text: &str) -> String {
    let plain = |it: char| it.is_alphanumeric() || "@%+=:,./-_".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [["acme", "yes", "a"], ["Jürgen & Söhne", "no", ""]];
        let rows = rows.iter().map(|row| row.map(str::to_owned));
        let expected = "\
NAME            ON   LABEL
acme            yes  a
Jürgen & Söhne  no
";
        assert_eq!(table(["NAME", "ON", "LABEL"], rows), expected);
    }

    #[test]
    fn control_characters_and_shell_syntax_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{9b}é"), "a\\u{1b}[31mb\\nc\\u{9b}é");
        assert_eq!(quoted("acme"), "acme");
        assert_eq!(quoted("Söhne"), "Söhne");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
