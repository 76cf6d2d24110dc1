//! What the check has made is taken away again.

use serde_json::Value;

use crate::idp::check::made::{Kind, Made};
use crate::idp::check::talk::{Talk, id_of};
use crate::idp::step::{Fault, Notes};

/// Takes everything away that was made. What cannot be is left in [`Talk::made`].
pub fn clean_up(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<String, Fault> {
    let made = std::mem::take(&mut talk.made);
    let (mut gone, mut deactivated) = (0, 0);
    // Groups were made last and go first.
    for it in made.into_iter().rev() {
        for one in with_ids(talk, notes, it) {
            match take_away(talk, notes, &one) {
                Ok(Gone::Deleted) => gone += 1,
                Ok(Gone::Deactivated) => {
                    deactivated += 1;
                    talk.made.push(one);
                }
                Err(()) => talk.made.push(one),
            }
        }
    }
    if talk.made.is_empty() {
        return Ok(match gone {
            0 => "nothing is left".to_owned(),
            _ => format!("{gone} made by this check and deleted, nothing is left"),
        });
    }
    let left: Vec<String> = talk.made.iter().map(Made::in_words).collect();
    let left = left.join(", ");
    if deactivated == talk.made.len() {
        notes.warn(format!("the server does not delete; left, and deactivated: {left}"));
        return Ok(format!("{deactivated} accounts of this check were deactivated"));
    }
    Err(Fault::new(format!("left at the server: {left}"), "delete it there by hand"))
}

/// How something was taken away.
enum Gone {
    Deleted,
    Deactivated,
}

/// Looks up what has no id: there is none of it, or one, or several.
fn with_ids(talk: &mut Talk<'_>, notes: &mut Notes, made: Made) -> Vec<Made> {
    if made.id.is_some() {
        return vec![made];
    }
    let request = match made.kind {
        Kind::User => talk.provider.lookup(&made.name),
        Kind::Group => talk.provider.lookup_group(&made.name),
    };
    let Ok(answer) = talk.ask_at_last(notes, &request) else { return vec![made] };
    let json = answer.json().unwrap_or_default();
    let found = json.get("Resources").and_then(Value::as_array);
    let Some(found) = found.filter(|_| answer.status == 200) else { return vec![made] };
    let name = match made.kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    };
    // A server that does not apply the filter must not have its people deleted.
    let own = found.iter().filter(|it| {
        let named = it.get(name).and_then(Value::as_str);
        named.is_some_and(|it| it.eq_ignore_ascii_case(&made.name))
    });
    own.filter_map(id_of).map(|id| Made { id: Some(id.to_owned()), ..made.clone() }).collect()
}

fn take_away(talk: &mut Talk<'_>, notes: &mut Notes, made: &Made) -> Result<Gone, ()> {
    let id = made.id.as_deref().ok_or(())?;
    let (delete, read) = match made.kind {
        Kind::User => (talk.provider.delete(id), talk.provider.read(id)),
        Kind::Group => (talk.provider.delete_group(id), talk.provider.read_group(id)),
    };
    let answer = talk.ask_at_last(notes, &delete).map_err(|_| ())?;
    if matches!(answer.status, 200 | 202 | 204 | 404) {
        return Ok(Gone::Deleted);
    }
    if made.kind == Kind::Group {
        return Err(());
    }
    let current = talk.ask_at_last(notes, &read).map_err(|_| ())?.json().unwrap_or_default();
    let request = talk.provider.set_active(id, &current, false);
    let answer = talk.ask_at_last(notes, &request).map_err(|_| ())?;
    if !matches!(answer.status, 200 | 204) {
        return Err(());
    }
    let current = talk.ask_at_last(notes, &read).map_err(|_| ())?.json().unwrap_or_default();
    match current.get("active") {
        Some(Value::Bool(false)) => Ok(Gone::Deactivated),
        _ => Err(()),
    }
}
