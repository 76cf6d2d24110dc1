//! JSON text from outside as a value in which no object has a name twice.
//!
//! JSON leaves open what a name means that stands twice (RFC 8259 section 4), and the names of SCIM
//! do not differ by letter case (RFC 7643 section 2.1): of two values one would have to be
//! passed over in silence.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::scim::error::quoted;

/// How many names of an object are compared one by one: so few cost less so than in a set.
const COMPARED_MAX: usize = 16;
/// The longest text that says where in the document a name stands, in bytes.
const PATH_BYTES_MAX: usize = 160;

/// Which names are one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those of the same letters in the same case.
    Exact,
    /// Those that differ in letter case only, too.
    AnyCase,
}

/// Why a text is no such value.
#[derive(Debug)]
pub enum JsonError {
    /// It is no JSON.
    Syntax(serde_json::Error),
    /// An object has a name twice.
    Twice(Twice),
}

/// What is wrong, as the end of a sentence about the text.
impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::Syntax(it) => write!(f, "it is not JSON ({it})"),
            JsonError::Twice(it) => write!(f, "in it {it}"),
        }
    }
}

/// A name that stands twice in one object.
#[derive(Debug)]
pub struct Twice {
    /// Where it stands, with its first spelling at the end.
    path: String,
    /// Both spellings, where they are two.
    spellings: Option<[String; 2]>,
}

impl Twice {
    fn of(first: &str, second: &str) -> Twice {
        let spellings = (first != second).then(|| [quoted(first), quoted(second)]);
        Twice { path: quoted(first), spellings }
    }

    /// Says what the object stands in.
    fn within(&mut self, outer: &str) {
        const CUT: char = '…';
        if self.path.len() < PATH_BYTES_MAX {
            let dot = if self.path.starts_with('[') { "" } else { "." };
            self.path = format!("{}{dot}{}", quoted(outer), self.path);
        } else if !self.path.starts_with(CUT) {
            self.path.insert(0, CUT);
        }
    }
}

/// The sentence without its end.
impl fmt::Display for Twice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.spellings {
            None => write!(f, "\"{}\" stands twice; give it once", self.path),
            Some([first, second]) => write!(
                f,
                "\"{}\" stands twice, as \"{first}\" and as \"{second}\", and letter case makes no \
                 difference; give it once",
                self.path
            ),
        }
    }
}

/// Reads a JSON text.
///
/// # Errors
/// What keeps it from being a value in which no object has a name twice.
pub fn parse(text: &str, names: Names) -> Result<Value, JsonError> {
    let twice = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Seed { names, twice: &twice }.deserialize(&mut deserializer);
    match value.and_then(|it| deserializer.end().map(|()| it)) {
        Ok(value) => Ok(value),
        Err(error) => Err(match twice.into_inner() {
            Some(it) => JsonError::Twice(it),
            None => JsonError::Syntax(error),
        }),
    }
}

/// The first name of an object that stands there in two spellings.
#[must_use]
pub fn twice(object: &Map<String, Value>) -> Option<Twice> {
    spelled_twice(object.keys()).map(|(first, name)| Twice::of(first, name))
}

/// The first of these names that another one before it has too, in any letter case; that one first.
pub fn spelled_twice<'a>(
    names: impl ExactSizeIterator<Item = &'a String> + Clone,
) -> Option<(&'a str, &'a str)> {
    let mut seen = Seen::default();
    let before = names.clone();
    names
        .enumerate()
        .find_map(|(i, name)| Some((seen.spelled(before.clone().take(i), name)?, name.as_str())))
}

/// The names of an object without their letter case, once they are many.
#[derive(Debug, Default)]
pub struct Seen {
    folded: HashSet<String>,
}

impl Seen {
    /// How one of the names before this one spells it.
    pub fn spelled<'a>(
        &mut self,
        mut before: impl ExactSizeIterator<Item = &'a String> + Clone,
        name: &str,
    ) -> Option<&'a str> {
        if before.len() >= COMPARED_MAX {
            if self.folded.is_empty() {
                self.folded.extend(before.clone().map(|it| it.to_ascii_lowercase()));
            }
            if self.folded.insert(name.to_ascii_lowercase()) {
                return None;
            }
        }
        before.find(|it| it.eq_ignore_ascii_case(name)).map(String::as_str)
    }
}

/// Reads one value, as [`Value`] itself is read, and notes the first name that stands twice.
#[derive(Clone, Copy)]
struct Seed<'a> {
    names: Names,
    twice: &'a RefCell<Option<Twice>>,
}

impl Seed<'_> {
    fn refuse<E: de::Error>(self, first: &str, second: &str) -> E {
        *self.twice.borrow_mut() = Some(Twice::of(first, second));
        E::custom("")
    }

    /// The error of a value within this member or element.
    #[cold]
    fn within<E>(self, error: E, outer: impl fmt::Display) -> E {
        if let Some(it) = self.twice.borrow_mut().as_mut() {
            it.within(&outer.to_string());
        }
        error
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            match access.next_element_seed(self) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => return Ok(Value::Array(values)),
                Err(error) => return Err(self.within(error, format_args!("[{}]", values.len()))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        let mut seen = Seen::default();
        while let Some(name) = access.next_key::<String>()? {
            if self.names == Names::AnyCase
                && let Some(first) = seen.spelled(values.keys(), &name)
            {
                return Err(self.refuse(first, &name));
            }
            let value = match access.next_value_seed(self) {
                Ok(value) => value,
                Err(error) => return Err(self.within(error, name)),
            };
            match values.entry(name) {
                Entry::Vacant(it) => drop(it.insert(value)),
                Entry::Occupied(it) => return Err(self.refuse(it.key(), it.key())),
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refused(text: &str, names: Names) -> String {
        match parse(text, names) {
            Err(JsonError::Twice(it)) => it.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_has_each_name_once_is_read_as_ever() {
        for text in [
            "null",
            " [1, -2, 3.5, 1e300, true, \"\\u00e4\\n\", {}] ",
            r#"{"b": {"a": [{"a": 1}, {"A": 2}]}, "a": {"b": null}, "c": 18446744073709551615}"#,
            "0.1",
            "-0",
            "123456789012345678901234567890",
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            for names in [Names::Exact, Names::AnyCase] {
                let found = parse(text, names).unwrap();
                assert_eq!(found.to_string(), expected.to_string(), "{text}");
            }
        }
        for text in ["", "{", "[1,]", "{\"a\":1}}", "1e999", "\"\\ud800\""] {
            let expected = serde_json::from_str::<Value>(text).unwrap_err().to_string();
            let Err(JsonError::Syntax(found)) = parse(text, Names::AnyCase) else {
                panic!("{text}");
            };
            assert_eq!(found.to_string(), expected);
        }
        assert!(parse(r#"{"a":1,"A":1}"#, Names::Exact).is_ok());
    }

    #[test]
    fn a_name_that_stands_twice_is_said_with_its_place() {
        for (text, place) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"\u0061":2}"#, "a"),
            (r#"{"name":{"b":1,"c":{},"b":2}}"#, "name.b"),
            (r#"{"Operations":[1,{"data":[[{"a":{},"a":{}}]]}]}"#, "Operations[1].data[0][0].a"),
            (r#"[{"a":1},{"":1,"":2}]"#, "[1]."),
        ] {
            for names in [Names::Exact, Names::AnyCase] {
                let sentence = format!("\"{place}\" stands twice; give it once");
                assert_eq!(refused(text, names), sentence, "{text}");
            }
        }
        assert_eq!(
            refused(r#"{"x":{"userName":1,"USERNAME":2}}"#, Names::AnyCase),
            "\"x.userName\" stands twice, as \"userName\" and as \"USERNAME\", and letter case \
             makes no difference; give it once"
        );
    }

    #[test]
    fn many_names_are_compared_as_few_are() {
        for many in [COMPARED_MAX - 1, COMPARED_MAX, COMPARED_MAX + 1, 1_000] {
            let names: Vec<String> = (0..many).map(|i| format!("\"n{i}\":{i}")).collect();
            let object = names.join(",");
            let Ok(Value::Object(found)) = parse(&format!("{{{object}}}"), Names::AnyCase) else {
                panic!("{many}");
            };
            assert_eq!(found.len(), many);
            assert!(twice(&found).is_none());
            for first in [0, many / 2, many - 1] {
                let again = format!("{{{object},\"N{first}\":0}}");
                let sentence = refused(&again, Names::AnyCase);
                assert!(sentence.starts_with(&format!("\"n{first}\" stands twice")), "{sentence}");
                let Ok(Value::Object(found)) = parse(&again, Names::Exact) else { panic!() };
                // Of a value that is read already, the first spelling is the one that sorts first.
                let expected = format!(
                    "\"N{first}\" stands twice, as \"N{first}\" and as \"n{first}\", and letter case \
                     makes no difference; give it once"
                );
                assert_eq!(twice(&found).unwrap().to_string(), expected);
            }
        }
    }

    #[test]
    fn what_is_said_is_short_and_clean() {
        let mut text = r#"{"\u001b[2J":1,"\u001b[2J":2}"#.to_owned();
        for _ in 0..60 {
            text = format!("{{\"{}\":[{text}]}}", "é".repeat(5_000));
        }
        let sentence = refused(&text, Names::AnyCase);
        assert!(sentence.len() < 600, "{sentence}");
        assert!(sentence.contains("[2J") && !sentence.contains('\u{1b}'), "{sentence}");
        assert_eq!(json!(sentence).as_str().unwrap(), sentence);
    }
}
