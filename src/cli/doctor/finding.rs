//! What a check found: how it is, in sentences, and the commands that mend it.

/// How it is, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is well.
    Well,
    /// Worth knowing; nothing needs to be done.
    Note,
    /// It could not be looked at.
    Unknown,
    /// Something needs to be done.
    ToDo,
}

impl State {
    /// The word of the state in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Well => "ok",
            State::Note => "note",
            State::Unknown => "unknown",
            State::ToDo => "todo",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The worst of what was found.
    pub state: State,
    /// What was found, a sentence each; the worst first.
    pub found: Vec<(State, String)>,
    /// What to type to mend it, in this order.
    pub commands: Vec<String>,
}

impl Finding {
    fn new(state: State, found: impl Into<String>, commands: Vec<String>) -> Finding {
        Finding { state, found: vec![(state, found.into())], commands }
    }

    /// All is well.
    pub fn well(found: impl Into<String>) -> Finding {
        Finding::new(State::Well, found, Vec::new())
    }

    /// Something is worth knowing.
    pub fn note(found: impl Into<String>, commands: impl IntoIterator<Item = String>) -> Finding {
        Finding::new(State::Note, found, commands.into_iter().collect())
    }

    /// It could not be looked at.
    pub fn unknown(found: impl Into<String>) -> Finding {
        Finding::new(State::Unknown, found, Vec::new())
    }

    /// Something needs to be done.
    pub fn to_do(found: impl Into<String>, commands: impl IntoIterator<Item = String>) -> Finding {
        Finding::new(State::ToDo, found, commands.into_iter().collect())
    }

    /// What was found of several things together; `otherwise` when there is none of them.
    pub fn all(each: impl IntoIterator<Item = Finding>, otherwise: Finding) -> Finding {
        let mut each = each.into_iter();
        let Some(mut sum) = each.next() else { return otherwise };
        for it in each {
            sum.state = sum.state.max(it.state);
            sum.found.extend(it.found);
            for command in it.commands {
                if !sum.commands.contains(&command) {
                    sum.commands.push(command);
                }
            }
        }
        sum.found.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_a_command_once() {
        let command = || ["mend".to_owned()];
        let each = [
            Finding::well("a"),
            Finding::to_do("b", command()),
            Finding::note("c", command()),
            Finding::to_do("d", ["more".to_owned()]),
        ];
        let all = Finding::all(each, Finding::well("none"));
        let found: Vec<&str> = all.found.iter().map(|(_, it)| it.as_str()).collect();
        assert_eq!((all.state, found), (State::ToDo, vec!["b", "d", "c", "a"]));
        assert_eq!(all.commands, ["mend", "more"]);
        assert_eq!(Finding::all([], Finding::well("none")), Finding::well("none"));
    }
}
