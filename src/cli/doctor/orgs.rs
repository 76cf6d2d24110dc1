//! Checks of each organisation: is it activated, do its tokens last, does its identity provider
//! come, what was it refused, are its webhooks told.

use crate::cli::doctor::facts::{Facts, OrgContent};
use crate::cli::doctor::files::not_read;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::words::{DAY, count, seconds_between, span, when};
use crate::cli::text::quoted;
use crate::scim::datetime::Timestamp;
use crate::store::tables::token::{Scope, Token};
use crate::store::tables::webhook::Webhook;

/// How many days before its end a token is to be replaced at the latest,
const DAYS_TO_DO: i64 = 7;
/// and from when on its end is worth knowing.
const DAYS_NOTE: i64 = 30;
/// After so many days without contact that is said in words of its own.
const QUIET_DAYS: i64 = 7;
/// How long ago a refusal is worth knowing, in seconds.
const REFUSAL_SECONDS: i64 = DAY;
/// How old the first change may be that a receiver has not been told, in seconds.
const LAG_SECONDS_MAX: i64 = 15 * 60;

fn each(facts: &Facts, none: &str, check: impl Fn(&OrgContent) -> Vec<Finding>) -> Finding {
    match &facts.content {
        Ok(content) => Finding::all(content.orgs.iter().flat_map(check), Finding::well(none)),
        Err(_) => not_read(),
    }
}

/// Whether provisioning is activated.
pub fn organisations(facts: &Facts) -> Finding {
    if facts.content.as_ref().is_ok_and(|it| it.orgs.is_empty()) {
        let create = facts.remedy.plumm("org create NAME --activate");
        return Finding::to_do("there is no organisation yet", [create]);
    }
    each(facts, "", |it| {
        let name = &it.org.name;
        if it.org.active {
            return vec![Finding::well(format!("{name} is activated"))];
        }
        let activate = facts.remedy.plumm(&format!("org activate {}", quoted(name)));
        let expected = valid(it, facts.now).any(|token| token.scope == Scope::Scim);
        vec![match expected {
            true => Finding::to_do(
                format!(
                    "{name} is not activated and has a token: its identity provider is refused \
                     with 403"
                ),
                [activate],
            ),
            false => Finding::note(format!("{name} is not activated"), [activate]),
        }]
    })
}

fn valid(org: &OrgContent, now: Timestamp) -> impl Iterator<Item = &Token> {
    let accepted = move |it: &&Token| it.revoked.is_none() && it.expires.is_none_or(|at| at > now);
    org.tokens.iter().filter(accepted)
}

/// Whether the tokens last, and there is one for the identity provider.
pub fn tokens(facts: &Facts) -> Finding {
    each(facts, "there is no organisation", |org| {
        let name = &org.org.name;
        let create = |scope: Scope, label: &str| {
            let label = if label.is_empty() {
                String::new()
            } else {
                format!(" --label {}", quoted(label))
            };
            facts.remedy.plumm(&format!(
                "token create {} --scope {}{label} --expires 365",
                quoted(name),
                scope.word()
            ))
        };
        let mut found = Vec::new();
        let has_scim = valid(org, facts.now).any(|it| it.scope == Scope::Scim);
        if !has_scim && org.org.active {
            found.push(Finding::to_do(
                format!(
                    "{name} has no valid token of scope scim: its identity provider cannot come in"
                ),
                [create(Scope::Scim, "")],
            ));
        }
        for token in valid(org, facts.now) {
            let Some(expires) = token.expires else { continue };
            let left = seconds_between(facts.now, expires);
            if left > DAYS_NOTE * DAY {
                continue;
            }
            let text = format!("{} of {name} expires {}", called(token), when(expires, facts.now));
            // Another one of the same scope that lasts is there to take its place.
            let replaced = valid(org, facts.now).any(|it| {
                let lasts =
                    it.expires.is_none_or(|at| seconds_between(facts.now, at) > DAYS_NOTE * DAY);
                it.id != token.id && it.scope == token.scope && lasts && it.last_used.is_some()
            });
            found.push(match left <= DAYS_TO_DO * DAY && !replaced {
                true => Finding::to_do(text, [create(token.scope, &token.label)]),
                false => Finding::note(text, [create(token.scope, &token.label)]),
            });
        }
        found.extend(expired(org, facts, &create));
        let count = count(valid(org, facts.now).count(), "valid token");
        found.push(Finding::well(format!("{name} has {count}")));
        found
    })
}

/// The tokens that were in use until they expired, and have nothing in their place.
fn expired(
    org: &OrgContent,
    facts: &Facts,
    create: &impl Fn(Scope, &str) -> String,
) -> Vec<Finding> {
    let over = |it: &&Token| it.revoked.is_none() && it.expires.is_some_and(|at| at <= facts.now);
    let mut found = Vec::new();
    for token in org.tokens.iter().filter(over) {
        let (Some(expires), Some(used)) = (token.expires, token.last_used) else { continue };
        let in_use = seconds_between(used, expires) < DAYS_TO_DO * DAY;
        let replaced = valid(org, facts.now)
            .any(|it| it.scope == token.scope && it.last_used.is_some_and(|at| at >= used));
        if !in_use || replaced {
            continue;
        }
        let text = format!(
            "{} of {}, in use until then, has expired {}",
            called(token),
            org.org.name,
            when(expires, facts.now)
        );
        let revoke = facts.remedy.plumm(&format!("token revoke {}", token.id));
        found.push(Finding::to_do(text, [create(token.scope, &token.label), revoke]));
    }
    found
}

fn called(token: &Token) -> String {
    match token.label.as_str() {
        "" => format!("token {} ({})", token.id, token.scope.word()),
        label => format!("token {} ({}, \"{label}\")", token.id, token.scope.word()),
    }
}

/// When the identity provider last came.
pub fn contact(facts: &Facts) -> Finding {
    each(facts, "there is no organisation", |org| {
        let name = &org.org.name;
        let of_provider = org.tokens.iter().filter(|it| it.scope == Scope::Scim);
        let last = of_provider.filter_map(|it| it.last_used).max().max(org.last_push);
        let changed = match org.last_push {
            Some(at) => format!("; it last changed something {}", when(at, facts.now)),
            None => "; it has not changed anything yet".to_owned(),
        };
        let list = facts.remedy.plumm(&format!("token list {}", quoted(name)));
        vec![match last {
            None => Finding::note(
                format!("the identity provider of {name} has never come: test its API credentials"),
                [list],
            ),
            Some(at) if seconds_between(at, facts.now) > QUIET_DAYS * DAY => Finding::note(
                format!(
                    "the identity provider of {name} has not come for {}{changed}",
                    span(seconds_between(at, facts.now))
                ),
                [list],
            ),
            Some(at) => Finding::well(format!(
                "the identity provider of {name} came {}{changed}",
                when(at, facts.now)
            )),
        }]
    })
}

/// What each organisation was last refused.
pub fn refusals(facts: &Facts) -> Finding {
    each(facts, "there is no organisation", |org| {
        let name = &org.org.name;
        let Some(refused) = &org.last_refusal else {
            return vec![Finding::well(format!("no request of {name} was refused"))];
        };
        let (it, ago) = (&refused.refusal, when(refused.refusal.last, facts.now));
        let often = match it.count {
            1 => String::new(),
            count if it.various => {
                format!(
                    " ({count} times since {}; this is the last of several that differ)",
                    it.first
                )
            }
            count => format!(" ({count} times since {})", it.first),
        };
        let text = format!(
            "a request of {name} was last refused {ago}: {}, \"{}\"{often}",
            it.in_short(),
            it.detail
        );
        if seconds_between(it.last, facts.now) > REFUSAL_SECONDS {
            return vec![Finding::well(text)];
        }
        let log = format!("log {} --refused --since 1d", quoted(name));
        vec![Finding::note(text, [facts.remedy.plumm(&log)])]
    })
}

/// Whether receivers of webhooks are told of changes.
pub fn webhooks(facts: &Facts) -> Finding {
    each(facts, "there is none", |org| {
        org.webhooks.iter().map(|(it, behind)| of_webhook(facts, org, it, *behind)).collect()
    })
}

fn of_webhook(
    facts: &Facts,
    org: &OrgContent,
    webhook: &Webhook,
    (behind, since): (u32, Option<Timestamp>),
) -> Finding {
    let progress = &webhook.progress;
    let (id, name, url) = (&webhook.id, &org.org.name, &webhook.url);
    if let Some(at) = progress.disabled {
        let reason = progress.reason.as_deref().unwrap_or("by command");
        let text = format!("{id} of {name} ({url}) is disabled since {at}: {reason}");
        let deliveries = facts.remedy.plumm(&format!("webhook deliveries {id} --failed"));
        let enable = facts.remedy.plumm(&format!("webhook enable {id}"));
        return Finding::to_do(text, [deliveries, enable]);
    }
    let late = since.filter(|it| seconds_between(*it, facts.now) > LAG_SECONDS_MAX);
    if let Some(at) = late.filter(|_| behind > 0) {
        let behind = count(usize::try_from(behind).unwrap_or(usize::MAX), "change");
        let text = format!(
            "{id} of {name} ({url}) has not been told {behind}, the first one {}",
            when(at, facts.now)
        );
        let deliveries = facts.remedy.plumm(&format!("webhook deliveries {id} --failed"));
        let test = facts.remedy.plumm(&format!("webhook test {id}"));
        return Finding::to_do(text, [deliveries, test]);
    }
    Finding::well(format!("{id} of {name} is told of changes"))
}
