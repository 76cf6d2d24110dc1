//! The header fields of a request, all in one piece of memory.

use zeroize::Zeroize;

/// Header fields in the order they came. A request has a dozen, and an allocation for each name and
/// each value would be most of what its head costs. Dropping them overwrites them: one holds the
/// API token.
#[derive(Clone, Default)]
pub struct Fields {
    /// The names and values, one behind the other.
    text: String,
    places: Vec<Place>,
}

/// Where a field stands in the text; its value begins where its name ends.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Fields {
    /// No fields, and room for this many with this many bytes of names and values.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Fields {
        Fields { text: String::with_capacity(bytes), places: Vec::with_capacity(fields) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a field, its name and its value.
    pub fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        let name_end = start + name.len();
        let end = name_end + value.len();
        if end > self.text.capacity() {
            // `String::reserve` would leave a copy of the text behind.
            let mut larger = String::with_capacity(end.saturating_mul(2));
            larger.push_str(&self.text);
            self.text.zeroize();
            self.text = larger;
        }
        self.text.push_str(name);
        self.text.push_str(value);
        self.places.push(Place { start, name_end, end });
    }

    /// The fields: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places.iter().map(|it| (&self.text[it.start..it.name_end], self.value(*it)))
    }

    /// The values of the fields of this name, in any letter case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.places.iter().filter(|it| self.is_named(**it, name)).map(|it| self.value(*it))
    }

    /// The value of the first field of this name, in any letter case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        let found = self.places.iter().find(|it| self.is_named(**it, name));
        found.map(|it| self.value(*it))
    }

    /// Removes the fields of this name, in any letter case.
    pub fn remove(&mut self, name: &str) {
        let mut kept = Fields::with_capacity(self.len(), self.text.capacity());
        let others = self.iter().filter(|(it, _)| !it.eq_ignore_ascii_case(name));
        others.for_each(|(it, value)| kept.push(it, value));
        *self = kept;
    }

    fn is_named(&self, place: Place, name: &str) -> bool {
        // Most names differ in length already.
        place.name_end - place.start == name.len()
            && self.text[place.start..place.name_end].eq_ignore_ascii_case(name)
    }

    fn value(&self, place: Place) -> &str {
        &self.text[place.name_end..place.end]
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for Fields {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, fields: I) {
        fields.into_iter().for_each(|(name, it)| self.push(name.as_ref(), it.as_ref()));
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Fields {
        let mut all = Fields::default();
        all.extend(fields);
        all
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_letter_case_and_keep_their_order() {
        let three = [("Host", "a"), ("X-User", ""), ("host", "ä")];
        let mut fields: Fields = three.into_iter().collect();
        assert_eq!(fields.iter().collect::<Vec<_>>(), three);
        assert_eq!(fields.named("HOST").collect::<Vec<_>>(), ["a", "ä"]);
        assert_eq!(fields.named("Hos").count(), 0);
        fields.remove("hOST");
        fields.push("Host", "b");
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("X-User", ""), ("Host", "b")]);
        assert!(fields.len() == 2 && !fields.is_empty());
    }
}
