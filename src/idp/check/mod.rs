//! The check of a server, step by step, as an identity provider would meet it.

pub mod account;
pub mod group;
pub mod left;
pub mod made;
pub mod paging;
pub mod talk;

use serde_json::Value;

use crate::idp::check::account::Account;
use crate::idp::check::talk::{Credential, Talk, unexpected};
use crate::idp::message::Request;
use crate::idp::provider::Provider;
use crate::idp::step::{Course, Fault, Notes};

/// The steps that need a way to the server, in their order.
pub const REACH: [&str; 5] = ["url", "token", "dns", "connection", "certificate"];
/// The step that all further ones need.
const CREDENTIALS: &str = "credentials";

/// Makes every step that speaks SCIM, and cleans up. `needs`: the steps before that must have
/// passed.
pub fn run(course: &mut Course<'_>, talk: &mut Talk<'_>, needs: &[&str]) {
    course.step(CREDENTIALS, needs, |notes| credentials(talk, notes));
    let first = [CREDENTIALS];
    course.step("wrong-token", &first, |notes| wrong_token(talk, notes));
    course.step("configuration", &first, |notes| configuration(talk, notes));
    course.step("unknown-user", &first, |notes| account::unknown(talk, notes));
    let mut accounts: Vec<Account> = Vec::new();
    course.step("create", &[CREDENTIALS, "unknown-user"], |notes| {
        let made = account::create(talk, notes, 1)?;
        let words = format!("{}, id {}", made.person.user_name, made.id);
        accounts.push(made);
        Ok(words)
    });
    one_account(course, talk, &mut accounts);
    course.step("unknown-id", &first, |notes| account::unknown_id(talk, notes));
    course.step("paging", &["create"], |notes| {
        for n in [2, 3] {
            accounts.push(account::create(talk, notes, n)?);
        }
        paging::walk(talk, notes, &accounts)
    });
    one_group(course, talk, &accounts);
    course.finally("clean-up", |notes| left::clean_up(talk, notes));
}

/// The steps of one account.
fn one_account(course: &mut Course<'_>, talk: &mut Talk<'_>, accounts: &mut [Account]) {
    // Without an account no step is made that takes it.
    let missing = || Fault::not_there("there is no account");
    let mut step = |name, needs: &[&str], run: AccountStep| {
        course
            .step(name, needs, |notes| run(talk, notes, accounts.first_mut().ok_or_else(missing)?))
    };
    step("duplicate", &["create"], |talk, notes, it| account::duplicate(talk, notes, it));
    step("lookup", &["create"], |talk, notes, it| account::lookup(talk, notes, it));
    step("read", &["create"], |talk, notes, it| account::read_whole(talk, notes, it));
    step("update", &["create"], account::update);
    step("kept", &["update"], |talk, notes, it| account::is_kept(talk, notes, it));
    step("deactivate", &["create"], |talk, notes, it| account::set_active(talk, notes, it, false));
    step("still-there", &["deactivate"], |talk, notes, it| {
        account::inactive_is_found(talk, notes, it)
    });
    step("reactivate", &["deactivate"], |talk, notes, it| {
        account::set_active(talk, notes, it, true)
    });
    if talk.provider == Provider::Okta {
        course.step("catalogue", &["reactivate"], |notes| {
            account::by_catalogue(talk, notes, accounts.first().ok_or_else(missing)?)
        });
    } else {
        course.skip("catalogue", "it is about apps of Okta's catalogue");
    }
}

/// A step with one account.
type AccountStep = fn(&mut Talk<'_>, &mut Notes, &mut Account) -> Result<String, Fault>;

/// The steps of one group.
fn one_group(course: &mut Course<'_>, talk: &mut Talk<'_>, accounts: &[Account]) {
    let mut group = None;
    let missing = || Fault::not_there("there is no group");
    course.step("group-create", &["create"], |notes| {
        let made = group::create(talk, notes)?;
        let words = format!("{}, id {}", made.name, made.id);
        group = Some(made);
        Ok(words)
    });
    course.step("group-add", &["group-create"], |notes| {
        let two = &accounts[..accounts.len().min(2)];
        group::add(talk, notes, group.as_mut().ok_or_else(missing)?, two)
    });
    course.step("group-rename", &["group-create"], |notes| {
        group::rename(talk, notes, group.as_mut().ok_or_else(missing)?)
    });
    course.step("group-remove", &["group-add"], |notes| {
        group::remove(talk, notes, group.as_mut().ok_or_else(missing)?)
    });
    course.step("group-delete", &["group-create"], |notes| {
        group::delete(talk, notes, group.as_ref().ok_or_else(missing)?)
    });
}

/// What an admin clicks to try the credentials.
fn credentials(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<String, Fault> {
    let nobody = format!("plumm-check-{}", talk.mark);
    let page = talk.page(notes, &talk.provider.test_credentials(&nobody))?;
    let okta = talk.provider == Provider::Okta;
    if okta && page.resources.len() > 2 {
        notes.warn(format!("two accounts were asked for, and {} came", page.resources.len()));
    }
    if !okta && !page.resources.is_empty() {
        notes.warn("a random name was looked up, and somebody was found");
    }
    Ok(match okta {
        true => format!("the token is known, and there are {} accounts", page.total),
        false => "the token is known".to_owned(),
    })
}

/// A token that the server has not issued must be refused.
fn wrong_token(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<String, Fault> {
    let nobody = format!("plumm-check-{}", talk.mark);
    let request = talk.provider.test_credentials(&nobody);
    let answer = talk.ask_as(notes, &request, Credential::Wrong)?;
    match answer.status {
        401 => {}
        403 => notes.warn("a wrong token is answered 403: 401 says that it is not known"),
        200..300 => {
            return Err(Fault::new(
                "a wrong token is served as if it were right",
                "let the server refuse it with 401: anybody can read and change the accounts",
            ));
        }
        _ => {
            let mut fault = unexpected(&answer);
            fault.seen = format!("a wrong token: {}", fault.seen);
            fault.advice = Some("answer 401 with a SCIM Error".to_owned());
            return Err(fault);
        }
    }
    Ok("a wrong token is refused".to_owned())
}

/// What the server says that it can do; neither cloud asks for it, Okta's agent does.
fn configuration(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<String, Fault> {
    let answer = talk.ask(notes, &Request::plain("GET", "/ServiceProviderConfig"))?;
    let json = answer.json().unwrap_or_default();
    if answer.status != 200 || !json.is_object() {
        notes.warn(format!(
            "ServiceProviderConfig is answered {}: Okta's agent and others ask for it first",
            answer.status
        ));
        return Ok("none".to_owned());
    }
    let supported =
        |name: &str| json.pointer(&format!("/{name}/supported")) == Some(&Value::from(true));
    for name in ["patch", "bulk", "filter", "changePassword", "sort", "etag"] {
        if json.pointer(&format!("/{name}/supported")).is_none() {
            notes.warn(format!("ServiceProviderConfig has no `{name}.supported`"));
        }
    }
    if !supported("filter") {
        notes.warn(
            "ServiceProviderConfig says that filters are not supported: every provider uses \
                    them",
        );
    }
    if talk.provider != Provider::Okta && !supported("patch") {
        notes.warn("ServiceProviderConfig says that PATCH is not supported: Entra ID needs it");
    }
    let names = ["patch", "bulk", "filter", "sort", "etag"];
    let all: Vec<_> = names.into_iter().filter(|it| supported(it)).collect();
    Ok(format!("supported: {}", all.join(", ")))
}
