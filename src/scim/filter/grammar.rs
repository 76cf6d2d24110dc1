//! The filter grammar of RFC 7644 section 3.4.2.2, figure 1: text in, [`Filter`] out.
//!
//! Names and values are judged later, against a resource type, in `condition.rs`. What clients send
//! beyond the grammar is accepted as well: operators in any case, values without quotes, and
//! `emails[type eq "work"] eq "x"`.

use std::fmt;

use serde_json::{Number, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::filter::path::{AttrPath, is_path_char};

/// The longest filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 32 * 1024;
/// The deepest nesting of parentheses, brackets and `not`.
pub const FILTER_DEPTH_MAX: usize = 32;
/// The most comparisons in one filter.
pub const FILTER_TERMS_MAX: usize = 500;

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// equal
    Eq,
    /// not equal
    Ne,
    /// contains
    Co,
    /// starts with
    Sw,
    /// ends with
    Ew,
    /// greater than
    Gt,
    /// greater than or equal
    Ge,
    /// less than
    Lt,
    /// less than or equal
    Le,
}

impl CompareOp {
    /// Every operator with its keyword.
    pub const ALL: [(CompareOp, &'static str); 9] = [
        (CompareOp::Eq, "eq"),
        (CompareOp::Ne, "ne"),
        (CompareOp::Co, "co"),
        (CompareOp::Sw, "sw"),
        (CompareOp::Ew, "ew"),
        (CompareOp::Gt, "gt"),
        (CompareOp::Ge, "ge"),
        (CompareOp::Lt, "lt"),
        (CompareOp::Le, "le"),
    ];

    /// The keyword.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        CompareOp::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, keyword)| keyword)
    }

    fn from_keyword(word: &str) -> Option<CompareOp> {
        let found = CompareOp::ALL.iter().find(|(_, keyword)| keyword.eq_ignore_ascii_case(word));
        found.map(|(it, _)| *it)
    }
}

/// The value of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A JSON number.
    Number(Number),
    /// A JSON string, or a bare word.
    String(String),
}

/// A filter as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these.
    And(Vec<Filter>),
    /// At least one of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// `attrPath op value`
    Compare(AttrPath, CompareOp, Literal),
    /// `attrPath pr`
    Present(AttrPath),
    /// `attrPath[filter]`
    ValuePath(AttrPath, Box<Filter>),
}

impl Filter {
    /// How many comparisons there are in it.
    #[must_use]
    pub fn comparisons(&self) -> usize {
        match self {
            Filter::And(terms) | Filter::Or(terms) => terms.iter().map(Filter::comparisons).sum(),
            Filter::Not(inner) | Filter::ValuePath(_, inner) => inner.comparisons(),
            Filter::Compare(..) | Filter::Present(_) => 1,
        }
    }
}

/// Reads a filter.
///
/// # Errors
/// 400 `invalidFilter` that says what was expected, what was found, and at which character.
pub fn parse(text: &str) -> Result<Filter, Error> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(Error::invalid_filter(format!(
            "The filter is {} bytes long; at most {FILTER_BYTES_MAX} are read. Ask in parts.",
            text.len()
        )));
    }
    let mut parser = Parser { text, position: 0, terms: 0 };
    let filter = parser.or(0)?;
    parser.skip_spaces();
    if parser.position < text.len() {
        return Err(parser.expected("\"and\", \"or\" or the end"));
    }
    Ok(filter)
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn or(&mut self, depth: usize) -> Result<Filter, Error> {
        let mut terms = vec![self.and(depth)?];
        while self.keyword("or") {
            terms.push(self.and(depth)?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Filter::Or(terms) })
    }

    // "and" binds closer than "or" (RFC 7644 section 3.4.2.2, order of precedence).
    fn and(&mut self, depth: usize) -> Result<Filter, Error> {
        let mut terms = vec![self.term(depth)?];
        while self.keyword("and") {
            terms.push(self.term(depth)?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Filter::And(terms) })
    }

    fn term(&mut self, depth: usize) -> Result<Filter, Error> {
        if depth > FILTER_DEPTH_MAX {
            return Err(Error::invalid_filter(format!(
                "The filter is nested more than {FILTER_DEPTH_MAX} deep at character {}. Write it \
                 with fewer parentheses.",
                self.character_number()
            )));
        }
        self.skip_spaces();
        if self.take('(') {
            let inner = self.or(depth + 1)?;
            self.close(')')?;
            return Ok(inner);
        }
        // "not" is a keyword only before a group: an attribute may be called so.
        let before = self.position;
        if self.word().eq_ignore_ascii_case("not") {
            self.skip_spaces();
            if self.take('(') {
                let inner = self.or(depth + 1)?;
                self.close(')')?;
                return Ok(Filter::Not(Box::new(inner)));
            }
        }
        self.position = before;
        self.expression(depth)
    }

    fn expression(&mut self, depth: usize) -> Result<Filter, Error> {
        self.terms += 1;
        if self.terms > FILTER_TERMS_MAX {
            return Err(Error::invalid_filter(format!(
                "The filter has more than {FILTER_TERMS_MAX} comparisons. Ask in parts."
            )));
        }
        let before = self.position;
        let word = self.word();
        let Some(path) = AttrPath::new(word) else {
            self.position = before;
            return Err(self.expected("an attribute name"));
        };
        self.skip_spaces();
        if self.take('[') {
            let inner = self.or(depth + 1)?;
            self.close(']')?;
            return self.after_brackets(path, inner);
        }
        let before = self.position;
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let Some(op) = CompareOp::from_keyword(word) else {
            self.position = before;
            return Err(self.expected("an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr)"));
        };
        Ok(Filter::Compare(path, op, self.literal()?))
    }

    /// `emails[type eq "work"].value eq "x"` and Microsoft's `emails[type eq "work"] eq "x"`: one
    /// value of the attribute must meet both parts.
    fn after_brackets(&mut self, path: AttrPath, inner: Filter) -> Result<Filter, Error> {
        let mut leaf = AttrPath::new("value");
        if self.take('.') {
            let before = self.position;
            leaf = AttrPath::new(self.word()).filter(|it| !it.as_str().contains(['.', ':']));
            if leaf.is_none() {
                self.position = before;
                return Err(self.expected("a sub-attribute"));
            }
        }
        let named = self.text[..self.position].ends_with(|it| it != ']');
        self.skip_spaces();
        let before = self.position;
        let word = self.word();
        let outer = match (leaf, CompareOp::from_keyword(word)) {
            (Some(leaf), Some(op)) => Filter::Compare(leaf, op, self.literal()?),
            (Some(leaf), None) if word.eq_ignore_ascii_case("pr") => Filter::Present(leaf),
            _ => {
                self.position = before;
                if named {
                    return Err(self.expected("an operator"));
                }
                return Ok(Filter::ValuePath(path, Box::new(inner)));
            }
        };
        Ok(Filter::ValuePath(path, Box::new(Filter::And(vec![inner, outer]))))
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        self.skip_spaces();
        let rest = &self.text[self.position..];
        if rest.starts_with('"') {
            let end = string_end(rest).ok_or_else(|| self.expected("a closing quote"))?;
            let text: String = serde_json::from_str(&rest[..end])
                .map_err(|_| self.expected("a quoted value in JSON's own form"))?;
            self.position += end;
            return Ok(Literal::String(text));
        }
        let end = rest.find([' ', '\t', ')', ']']).unwrap_or(rest.len());
        let word = &rest[..end];
        // Single and typographic quotes are no quotes in a filter, and nobody's value begins so.
        if rest.starts_with(['\'', '`', '´', '‘', '’', '‚', '“', '”', '„', '«', '»'])
        {
            return Err(self.expected("a value in double quotes (\")"));
        }
        if word.is_empty() || word.contains(['"', '(', '[', '{']) {
            return Err(self.expected("a value such as \"text\", true, 12 or null"));
        }
        self.position += end;
        Ok(match serde_json::from_str(word) {
            Ok(Value::Null) => Literal::Null,
            Ok(Value::Bool(it)) => Literal::Bool(it),
            Ok(Value::Number(it)) => Literal::Number(it),
            // Entra ID's own samples send values without quotes.
            _ => Literal::String(word.to_owned()),
        })
    }

    /// Takes a keyword that stands between two terms.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.position;
        self.skip_spaces();
        let found = self.word().eq_ignore_ascii_case(keyword);
        if !found {
            self.position = before;
        }
        found
    }

    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.position..];
        let end = rest.find(|it| !is_path_char(it)).unwrap_or(rest.len());
        self.position += end;
        &rest[..end]
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.text[self.position..].starts_with(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    fn close(&mut self, wanted: char) -> Result<(), Error> {
        self.skip_spaces();
        if self.take(wanted) {
            return Ok(());
        }
        Err(self.expected(&format!("\"and\", \"or\" or \"{wanted}\"")))
    }

    fn skip_spaces(&mut self) {
        let rest = &self.text[self.position..];
        self.position += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn character_number(&self) -> usize {
        self.text[..self.position].chars().count() + 1
    }

    fn expected(&self, what: &str) -> Error {
        let rest = &self.text[self.position..];
        let found = match rest.split([' ', '\t']).next() {
            None | Some("") => "the end".to_owned(),
            Some(word) => format!("\"{}\"", quoted(word)),
        };
        Error::invalid_filter(format!(
            "The filter cannot be read at character {}: expected {what}, found {found}. A filter \
             looks like userName eq \"bob@example.com\".",
            self.character_number()
        ))
    }
}

/// Where the quoted string that this text begins with ends, quotes included.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// The filter in the RFC's grammar, with parentheses wherever `and` and `or` mix.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, terms: &[Filter], word: &str| {
            for (i, term) in terms.iter().enumerate() {
                if i > 0 {
                    write!(f, " {word} ")?;
                }
                match term {
                    Filter::And(_) | Filter::Or(_) => write!(f, "({term})")?,
                    _ => write!(f, "{term}")?,
                }
            }
            Ok(())
        };
        match self {
            Filter::And(terms) => joined(f, terms, "and"),
            Filter::Or(terms) => joined(f, terms, "or"),
            Filter::Not(inner) => write!(f, "not ({inner})"),
            Filter::Compare(path, op, value) => write!(f, "{path} {} {value}", op.keyword()),
            Filter::Present(path) => write!(f, "{path} pr"),
            Filter::ValuePath(path, inner) => write!(f, "{path}[{inner}]"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("null"),
            Literal::Bool(it) => write!(f, "{it}"),
            Literal::Number(it) => write!(f, "{it}"),
            Literal::String(it) => write!(f, "{}", Value::String(it.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let filter = parse(text).unwrap_or_else(|it| panic!("{text}: {it}"));
        assert_eq!(filter.to_string(), expected);
        assert_eq!(parse(expected).unwrap(), filter, "what is printed reads the same");
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(error.detail.contains(expected), "{text}: {}", error.detail);
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for text in [
            "userName eq \"bjensen\"",
            "name.familyName co \"O'Malley\"",
            "userName sw \"J\"",
            "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\"",
            "title pr",
            "meta.lastModified gt \"2011-05-13T04:42:34Z\"",
            "title pr and userType eq \"Employee\"",
            "title pr or userType eq \"Intern\"",
            "schemas eq \"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\"",
            "userType eq \"Employee\" and (emails co \"example.com\" or emails.value co \"x\")",
            "userType ne \"Employee\" and not (emails co \"example.com\")",
            "emails[type eq \"work\" and value co \"@example.com\"]",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        check("a pr or b pr and c pr", "a pr or (b pr and c pr)");
        check("(a pr or b pr) and c pr", "(a pr or b pr) and c pr");
        check("((a pr))", "a pr");
    }

    #[test]
    fn what_clients_send_is_read_as_they_mean_it() {
        check("userName EQ \"x\" AND active Eq True", "userName eq \"x\" and active eq \"True\"");
        check("externalId eq jyoung", "externalId eq \"jyoung\"");
        check("  a   eq  1.5 ", "a eq 1.5");
        check("a eq null and b eq false", "a eq null and b eq false");
        check("a eq \"x\\\"y\\u00e9\"", "a eq \"x\\\"yé\"");
        let both = "emails[type eq \"work\" and value eq \"x\"]";
        check("emails[type eq \"work\"].value eq \"x\"", both);
        check("emails[type eq \"work\"] eq \"x\"", both);
        check("emails[type eq \"work\"].value pr", "emails[type eq \"work\" and value pr]");
        check("not(a pr)", "not (a pr)");
        check("not pr", "not pr");
        check("emails [ type eq \"work\" ] and b pr", "emails[type eq \"work\"] and b pr");
    }

    #[test]
    fn numbers_keep_their_last_digit() {
        check("a eq -9.104643499937751e+78", "a eq -9.104643499937751e+78");
        check("a eq 18446744073709551615", "a eq 18446744073709551615");
    }

    #[test]
    fn wrong_filters_point_at_the_character() {
        refuse("", "character 1: expected an attribute name, found the end");
        refuse("RUNSCOPE300@atko.com", "character 12: expected an operator");
        refuse("userName", "expected an operator");
        refuse("userName eq", "character 12: expected a value");
        refuse("userName eq \"x", "expected a closing quote");
        refuse("userName eq \"\\x\"", "JSON's own form");
        refuse("userName xx \"x\"", "character 10: expected an operator");
        refuse("userName eq \"x\" \"y\"", "expected \"and\", \"or\" or the end");
        refuse("(a pr", "\")\"");
        refuse("a pr)", "the end, found \")\"");
        refuse("a[b pr", "\"]\"");
        refuse("a[b pr].", "a sub-attribute");
        refuse("a[b pr].c", "an operator");
        refuse("a pr and", "an attribute name");
        refuse("a eq (1)", "expected a value");
        for text in ["a eq 'x'", "a eq ‘x’", "a eq “x”", "a eq `x`", "a eq „x“"] {
            refuse(text, "expected a value in double quotes (\")");
        }
        refuse("é\u{0} eq 1", "found");
    }

    #[test]
    fn limits() {
        refuse(&"(".repeat(5000), "more than 32 deep");
        refuse(&"not (".repeat(5000), "more than 32 deep");
        refuse(&"a[".repeat(5000), "more than 32 deep");
        refuse(&"a pr or ".repeat(600), "more than 500 comparisons");
        refuse(&"x".repeat(FILTER_BYTES_MAX + 1), "bytes long");
        let deep = format!("{}a pr{}", "(".repeat(32), ")".repeat(32));
        assert!(parse(&deep).is_ok());
    }
}
