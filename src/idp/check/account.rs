//! The life of an account: looked up, created, changed, deactivated, reactivated.

use serde_json::Value;

use crate::idp::check::made::Made;
use crate::idp::check::talk::{Talk, id_of, shown, unexpected};
use crate::idp::message::Answer;
use crate::idp::person::{Mapped, Person};
use crate::idp::provider::Provider;
use crate::idp::step::{Fault, Notes};

/// An account that the check has made.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id at the server.
    pub id: String,
    /// The person as it was sent last.
    pub person: Person,
    /// The paths of the attributes that the server keeps.
    kept: Vec<&'static str>,
}

/// A person of this check, the n-th.
pub fn person(mark: &str, n: usize) -> Person {
    let number = if n == 1 { String::new() } else { format!("-{n}") };
    Person {
        user_name: format!("plumm-check-{mark}{number}@example.com"),
        given_name: "Check".to_owned(),
        family_name: format!("Plumm{n}"),
        title: "Test Account".to_owned(),
        department: "Checks".to_owned(),
        external_id: format!("plumm-check-{mark}{number}"),
    }
}

/// Nobody has this name: the answer is an empty list.
pub fn unknown(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<String, Fault> {
    let plain = format!("plumm-check-{}-nobody@example.com", talk.mark);
    let request = talk.provider.lookup(&plain);
    if !talk.found(notes, &request)?.is_empty() {
        return Err(someone(&plain));
    }
    // Names have such letters, and what is read as a filter must not be one.
    let odd = format!("plumm-check-{}-o'neil+\"x\" or userName pr@example.com", talk.mark);
    let request = talk.provider.lookup(&odd);
    let answer = talk.ask(notes, &request)?;
    match answer.status {
        200 => {
            let found = answer.json().and_then(|it| it.get("totalResults")?.as_u64());
            if found != Some(0) {
                return Err(someone(&odd));
            }
        }
        500.. => {
            let mut fault = unexpected(&answer);
            fault.seen = format!("{} (to a name with quotes)", fault.seen);
            return Err(fault);
        }
        _ => notes.warn(format!(
            "a name with an escaped quote is answered {}: a filter may hold any text (RFC 7644 \
             section 3.4.2.2)",
            answer.status
        )),
    }
    Ok("an empty list, as for everybody whom the server does not know".to_owned())
}

fn someone(name: &str) -> Fault {
    Fault::new(
        format!("a lookup of {name}, whom nobody knows, finds somebody"),
        "let the server apply the filter, and refuse with 400 what it cannot apply: a provider \
         links the person to whoever is found",
    )
}

/// A new account. What the server does not keep is noted.
pub fn create(talk: &mut Talk<'_>, notes: &mut Notes, n: usize) -> Result<Account, Fault> {
    let mut person = person(&talk.mark, n);
    let at = talk.made.len();
    talk.made.push(Made::user(&person.user_name));
    let mut answer = talk.ask(notes, &talk.provider.create(&person))?;
    if answer.status == 400 {
        // A provider leaves out what is not mapped.
        person.department.clear();
        let plainer = talk.ask(notes, &talk.provider.create(&person))?;
        if (200..300).contains(&plainer.status) {
            talk.tell_once(
                notes,
                "the server refuses accounts with attributes of the extension for enterprises \
                 (department): map none of them"
                    .to_owned(),
            );
            answer = plainer;
        }
    }
    if !(200..300).contains(&answer.status) {
        talk.made.remove(at);
        return Err(unexpected(&answer));
    }
    let account = answer.json().unwrap_or_default();
    let Some(id) = id_of(&account) else {
        return Err(Fault::new(
            format!("the answer {} has no `id`", answer.status),
            "answer 201 with the whole account: without it Okta says \"Create new user returned \
             empty user.\"",
        ));
    };
    talk.made[at].id = Some(id.to_owned());
    remarks_on_creation(talk, notes, &answer, &account);
    let user_name = account.get("userName").and_then(Value::as_str).unwrap_or_default();
    if user_name != person.user_name {
        return Err(Fault::new(
            format!("`userName` was sent as {}, and is {}", person.user_name, shown(user_name)),
            "keep it as it was sent: a provider looks the account up by it",
        ));
    }
    if account.get("active") != Some(&Value::Bool(true)) {
        return Err(Fault::new(
            format!("a new account has `active` {}", member(&account, "active")),
            "let it be true, as it was sent",
        ));
    }
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for it in person.mapped() {
        match is_there(&account, &it) {
            true => kept.push(it.path),
            false => lost.push(it.path),
        }
    }
    let needed = ["name.givenName", "name.familyName"];
    let missing: Vec<_> = needed.into_iter().filter(|it| lost.contains(it)).collect();
    if !missing.is_empty() {
        return Err(Fault::new(
            format!("{} was sent, and is not in the answer", missing.join(" and ")),
            "keep it: every provider sends it and reads it back",
        ));
    }
    if !lost.is_empty() && n == 1 {
        notes.warn(format!("the server does not keep {}", lost.join(", ")));
    }
    Ok(Account { id: id.to_owned(), person, kept })
}

fn remarks_on_creation(talk: &mut Talk<'_>, notes: &mut Notes, answer: &Answer, account: &Value) {
    if answer.status != 201 {
        talk.tell_once(
            notes,
            format!("a creation is answered {} and should be 201", answer.status),
        );
    }
    if answer.header("Location").is_none() {
        let words = "a creation is answered without the header Location (RFC 7644 section 3.3)";
        talk.tell_once(notes, words.to_owned());
    }
    for name in ["resourceType", "location", "version"] {
        if account.pointer(&format!("/meta/{name}")).is_none() {
            talk.tell_once(
                notes,
                format!("a resource has no `meta.{name}` (RFC 7643 section 3.1)"),
            );
        }
    }
}

/// The same person once more, in this letter case and in another.
pub fn duplicate(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &Account,
) -> Result<String, Fault> {
    let other_case = account.person.user_name.to_uppercase();
    for (user_name, how) in [
        (account.person.user_name.clone(), "the same userName"),
        (other_case, "the same userName in capitals"),
    ] {
        let twin = Person {
            user_name: user_name.clone(),
            external_id: format!("{}-twin", account.person.external_id),
            ..account.person.clone()
        };
        let at = talk.made.len();
        talk.made.push(Made::user(&user_name));
        let answer = talk.ask(notes, &talk.provider.create(&twin))?;
        if (200..300).contains(&answer.status) {
            let json = answer.json().unwrap_or_default();
            talk.made[at].id = id_of(&json).map(str::to_owned);
            return Err(Fault::new(
                format!("a second account with {how} was accepted"),
                "refuse it with 409 and scimType uniqueness: a userName is unique in any letter \
                 case (RFC 7643 section 4.1.1), or one person has two accounts",
            ));
        }
        talk.made.remove(at);
        if answer.status != 409 {
            let mut fault = unexpected(&answer);
            fault.seen = format!("a second account with {how}: {}", fault.seen);
            fault.advice = Some("refuse it with 409 and scimType uniqueness".to_owned());
            return Err(fault);
        }
    }
    Ok("a second account of the same person is refused with 409".to_owned())
}

/// The account is found by its name, in any letter case.
pub fn lookup(talk: &mut Talk<'_>, notes: &mut Notes, account: &Account) -> Result<String, Fault> {
    let name = &account.person.user_name;
    for (name, how) in [(name.clone(), "by its userName"), (name.to_uppercase(), "in capitals")] {
        let request = talk.provider.lookup(&name);
        let found = talk.found(notes, &request)?;
        match found.as_slice() {
            [one] if id_of(one) == Some(account.id.as_str()) => {}
            [] => {
                return Err(Fault::new(
                    format!("the account is not found {how}"),
                    "let `userName eq` find it at once and in any letter case: a provider that \
                     does not find a person creates them once more",
                ));
            }
            [_] => {
                return Err(Fault::new(
                    format!("a lookup {how} finds another account"),
                    "let the filter apply to `userName`",
                ));
            }
            more => {
                return Err(Fault::new(
                    format!("a lookup {how} finds {} accounts", more.len()),
                    "let the filter apply, and a userName be unique",
                ));
            }
        }
    }
    Ok(format!("found by its name, in any letter case: id {}", account.id))
}

/// The account as the server has it.
pub fn read(talk: &mut Talk<'_>, notes: &mut Notes, account: &Account) -> Result<Value, Fault> {
    let current = talk.object(notes, &talk.provider.read(&account.id))?;
    if id_of(&current) != Some(account.id.as_str()) {
        return Err(Fault::new(
            format!("its id was {}, and is {}", account.id, member(&current, "id")),
            "an id never changes",
        ));
    }
    Ok(current)
}

/// Reads the account, and whether it has what was sent.
pub fn read_whole(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &Account,
) -> Result<String, Fault> {
    let current = read(talk, notes, account)?;
    has_all(account, &current)?;
    Ok("the account as it was sent".to_owned())
}

/// The profile of the person changes. Whatever was refused, the account counts as it was before.
pub fn update(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &mut Account,
) -> Result<String, Fault> {
    let current = read(talk, notes, account)?;
    let now = Person {
        given_name: "Checked".to_owned(),
        family_name: "Plumm-O'Neil".to_owned(),
        title: "Changed Account".to_owned(),
        ..account.person.clone()
    };
    let request = talk.provider.update(&account.id, &current, &account.person, &now);
    talk.done(notes, &request)?;
    account.person = now;
    Ok("name, displayName and title were changed".to_owned())
}

/// What was changed is there, and what was not is there still.
pub fn is_kept(talk: &mut Talk<'_>, notes: &mut Notes, account: &Account) -> Result<String, Fault> {
    let current = read(talk, notes, account)?;
    has_all(account, &current)?;
    match current.get("active") {
        Some(Value::Bool(true)) => Ok("all that was changed, and the rest as before".to_owned()),
        _ => Err(Fault::new(
            format!("after a change of the profile `active` is {}", member(&current, "active")),
            "leave alone what a change does not name",
        )),
    }
}

fn has_all(account: &Account, current: &Value) -> Result<(), Fault> {
    let mapped = account.person.mapped().into_iter();
    let lost: Vec<String> = mapped
        .filter(|it| account.kept.contains(&it.path) && !is_there(current, it))
        .map(|it| {
            let is = current.pointer(it.pointer).unwrap_or(&Value::Null);
            format!("{} should be \"{}\" and is {}", it.path, it.value, shown(&is.to_string()))
        })
        .collect();
    let name = current.get("userName").and_then(Value::as_str).unwrap_or_default();
    if !name.eq_ignore_ascii_case(&account.person.user_name) {
        return Err(Fault::new(
            format!("`userName` was {}, and is {}", account.person.user_name, shown(name)),
            "leave alone what a change does not name",
        ));
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err(Fault::new(
        format!("the server answered that it was done, and has not kept all of it: {}", {
            lost.join("; ")
        }),
        "apply every operation and every attribute of a request, or refuse the whole of it: the \
         provider believes the answer and does not send it again",
    ))
}

/// Login is taken away or given back, and read again.
pub fn set_active(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &Account,
    active: bool,
) -> Result<String, Fault> {
    let request = match talk.provider {
        Provider::Okta => {
            let current = read(talk, notes, account)?;
            talk.provider.set_active(&account.id, &current, active)
        }
        _ => talk.provider.set_active(&account.id, &Value::Null, active),
    };
    talk.done(notes, &request)?;
    is_active(talk, notes, account, active)
}

/// Whether the account is what it was just set to.
fn is_active(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &Account,
    active: bool,
) -> Result<String, Fault> {
    let current = match (talk.object(notes, &talk.provider.read(&account.id)), active) {
        (Ok(it), _) => it,
        (Err(fault), false) if fault.seen.contains("404") => {
            return Err(Fault::new(
                "a deactivated account is gone: its id is answered 404",
                "let it be read with active false: a provider reactivates the same account",
            ));
        }
        (Err(fault), _) => return Err(fault),
    };
    if current.get("active") != Some(&Value::Bool(active)) {
        let (verb, danger) = match active {
            false => ("deactivate", ": who has left could still log in"),
            true => ("reactivate", ""),
        };
        return Err(Fault::new(
            format!(
                "the server answered that it was done, and `active` is {} after it was asked to \
                 {verb} the account{danger}",
                member(&current, "active")
            ),
            format!("let active: {active} be kept, whatever its form (false, \"False\")"),
        ));
    }
    has_all(account, &current)?;
    Ok(format!("`active` is {active}, and the rest is as before"))
}

/// A deactivated account is found, and says that it is.
pub fn inactive_is_found(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &Account,
) -> Result<String, Fault> {
    let request = talk.provider.lookup(&account.person.user_name);
    let found = talk.found(notes, &request)?;
    match found.iter().find(|it| id_of(it) == Some(account.id.as_str())) {
        Some(it) if it.get("active") == Some(&Value::Bool(false)) => {
            Ok("the deactivated account is found by its name".to_owned())
        }
        Some(it) => Err(Fault::new(
            format!("the deactivated account is listed with `active` {}", member(it, "active")),
            "let lists and the account itself say the same",
        )),
        None => Err(Fault::new(
            "the deactivated account is not found by its name",
            "let lookups find it: a provider that does not find a person creates them once more",
        )),
    }
}

/// The same as an app of Okta's catalogue does it: by PATCH, without a path.
pub fn by_catalogue(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    account: &Account,
) -> Result<String, Fault> {
    for active in [false, true] {
        let request = talk.provider.set_active_by_catalogue(&account.id, active);
        let answer = talk.ask(notes, &request)?;
        match answer.status {
            200 | 204 => is_active(talk, notes, account, active)?,
            // What is refused does no harm: nobody believes that it was done.
            400 | 403 | 404 | 405 | 501 => {
                return Err(Fault::not_there(format!(
                    "the server does not take PATCH without a path ({}): an app of your own in \
                     Okta does not send it, one of its catalogue does",
                    answer.status
                )));
            }
            _ => return Err(unexpected(&answer)),
        };
    }
    Ok("deactivated and reactivated by PATCH without a path".to_owned())
}

/// An id that nobody has.
pub fn unknown_id(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<String, Fault> {
    let id = format!("plumm-check-{}", talk.mark);
    let answer = talk.ask(notes, &talk.provider.read(&id))?;
    match answer.status {
        404 => Ok("404, as for every account that is not there".to_owned()),
        400 => {
            notes.warn("an id that nobody has is answered 400: 404 says that it is not there");
            Ok("400".to_owned())
        }
        _ => {
            let mut fault = unexpected(&answer);
            fault.seen = format!("an id that nobody has: {}", fault.seen);
            fault.advice = Some(
                "answer 404 with a SCIM Error: the provider then knows that the account is gone"
                    .to_owned(),
            );
            Err(fault)
        }
    }
}

fn is_there(document: &Value, attribute: &Mapped) -> bool {
    let found = document.pointer(attribute.pointer).and_then(Value::as_str);
    found == Some(attribute.value.as_str())
}

/// A member as JSON, for a sentence.
fn member(of: &Value, name: &str) -> String {
    of.get(name).map_or_else(|| "not there".to_owned(), |it| shown(&it.to_string()))
}
