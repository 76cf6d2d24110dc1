//! What the check has made at the server.

/// Something that the check has made, or may have made: its answer may never have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its type.
    pub kind: Kind,
    /// Its id at the server, where that is known.
    pub id: Option<String>,
    /// Its userName or displayName.
    pub name: String,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An account.
    User,
    /// A group.
    Group,
}

impl Kind {
    /// Its name in a sentence and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Group => "group",
        }
    }
}

impl Made {
    /// An account of this name.
    #[must_use]
    pub fn user(name: &str) -> Made {
        Made { kind: Kind::User, id: None, name: name.to_owned() }
    }

    /// A group of this name.
    #[must_use]
    pub fn group(name: &str) -> Made {
        Made { kind: Kind::Group, id: None, name: name.to_owned() }
    }

    /// What it is called in a sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        match &self.id {
            Some(id) => format!("the {} {} ({id})", self.kind.word(), self.name),
            None => format!("perhaps a {} {}", self.kind.word(), self.name),
        }
    }
}
