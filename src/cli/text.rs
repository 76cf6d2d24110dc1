//! Text for a terminal: tables, and words that neither a terminal nor a shell obeys.
//!
//! Names, labels and paths are made by others. [`printable`] makes one line of each where a
//! sentence or table is put together; whatever was forgotten is escaped where it is printed, all
//! but line breaks: [`printable_lines`] for text, [`printable_json`] for JSON, which stays JSON.

use std::fmt::Write as _;
use std::iter;

use crate::scim::datetime::Timestamp;
use crate::scim::error::is_unseen;

/// Rows under their heads, each column as wide as its widest cell. Cells are printable.
pub fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]> + Clone,
) -> String {
    let rows = rows.map(|row| row.map(|it| printable(&it)));
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

/// A number as people read it: 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in a table, or a dash.
pub fn time_cell(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |it| it.to_string())
}

/// The text on one line, with what is not seen escaped, so that a terminal shows it instead of
/// obeying.
pub fn printable(text: &str) -> String {
    escaped(text, |shown, it| shown.extend(it.escape_default()))
}

/// The same for a text of several lines.
pub fn printable_lines(text: &str) -> String {
    escaped(text, |shown, it| match it {
        '\n' => shown.push(it),
        _ => shown.extend(it.escape_default()),
    })
}

/// The same for a JSON text: it means what it meant, since only its strings hold such characters.
pub fn printable_json(json: &str) -> String {
    escaped(json, |shown, it| match it {
        // White space between values.
        '\n' => shown.push(it),
        _ => {
            for unit in it.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> String {
    let mut shown = String::with_capacity(text.len());
    for it in text.chars() {
        match is_unseen(it) {
            true => escape(&mut shown, it),
            false => shown.push(it),
        }
    }
    shown
}

/// The text as one word of a shell command; what is not seen in the form that shells read since
/// POSIX.1-2024.
pub fn quoted(text: &str) -> String {
    if text.chars().any(is_unseen) {
        let mut word = String::from("$'");
        for it in text.chars() {
            match it {
                '\'' | '\\' => word.extend(['\\', it]),
                _ if is_unseen(it) => {
                    for byte in it.encode_utf8(&mut [0; 4]).bytes() {
                        let _ = write!(word, "\\{byte:03o}");
                    }
                }
                _ => word.push(it),
            }
        }
        return word + "'";
    }
    let plain = |it: char| it.is_alphanumeric() || "@%+=:,./-_".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of the standards names: C0, DEL, C1, marks and embeddings of direction, isolates,
    /// separators of lines, and what has no width.
    #[test]
    fn what_is_not_seen_is_escaped_everywhere() {
        let unseen = (0..0x20).chain(0x7f..0xa0).chain(0x200b..0x2010).chain(0x2028..0x202f);
        let unseen = unseen.chain(0x2060..0x2070).chain([0xad, 0x61c, 0xfeff, 0xe0041]);
        for it in unseen.filter_map(char::from_u32) {
            let text = format!("a{it}b");
            for shown in [printable(&text), quoted(&text), printable_lines(&text)] {
                let seen = |it: char| it == '\n' || it.is_ascii_graphic();
                assert!(
                    shown.chars().all(seen) && !shown.contains(&text) || it == '\n',
                    "{shown:?}"
                );
            }
            // Escaping what is escaped changes nothing.
            assert_eq!(printable(&printable(&text)), printable(&text));
            let json = serde_json::json!({ &text: [&text] });
            for json_text in [json.to_string(), format!("{json:#}")] {
                let shown = printable_json(&json_text);
                let white = |it: char| it == '\n' || it == ' ';
                assert!(shown.chars().all(|it| white(it) || it.is_ascii_graphic()), "{shown:?}");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
            }
        }
        for seen in ["Zoë Müller", "山田 太郎", "עברית", "a\u{301}", "\u{1f600}"] {
            assert_eq!((printable(seen), printable_json(seen)), (seen.to_owned(), seen.to_owned()));
        }
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        texts.iter().for_each(|(number, text)| assert_eq!(&grouped(*number), text));
    }

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
        assert_eq!(printable_lines("a\u{1b}\nb\r"), "a\\u{1b}\nb\\r");
        assert_eq!(quoted("a'\\\u{1b}\u{202e}é"), r"$'a\'\\\033\342\200\256é'");
        assert_eq!(quoted("acme"), "acme");
        assert_eq!(quoted("Söhne"), "Söhne");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
