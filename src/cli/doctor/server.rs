//! Checks of the server and its host: does it answer, how is it reached, is the clock right.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::words::{DAY, count, seconds_between};
use crate::cli::healthcheck;
use crate::cli::text::quoted;
use crate::scim::datetime::Timestamp;
use crate::server::tls::certificates::Files;
use crate::server::tls::examined::examine;
use crate::store::serve_lock::Serving;

/// How long the server may take to say that it is ready.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How far behind the newest line of the record the clock may be, in seconds.
const BEHIND_MAX: i64 = 60;
/// So many requests that a proxy passed on without a token are no accident, when none had one.
const WITHOUT_TOKEN_MIN: u64 = 3;
/// Where systemd says that it keeps the clock right, and that it is right.
const TIMESYNC: &str = "/run/systemd/timesync";
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// Whether a server runs on the database and answers.
pub fn listening(facts: &Facts) -> Finding {
    match &facts.serving {
        Ok(Serving::Nobody) => {
            return Finding::to_do("no server runs on this database", facts.remedy.restart());
        }
        Ok(Serving::Elsewhere) => {
            return Finding::to_do(
                "a server runs on this file by another of its names (a hard link)",
                facts.remedy.restart(),
            );
        }
        Err(error) => return Finding::unknown(error.to_string()),
        Ok(Serving::Here(_)) => {}
    }
    let Some(url) = facts.note.as_ref().and_then(|it| it.local.as_deref()) else {
        return Finding::unknown(
            "a server runs, and does not say where: it has only just been started, or is older \
             than this program",
        );
    };
    match healthcheck::ask(&format!("{url}{}", healthcheck::PATH), ANSWER_TIME_MAX) {
        Ok(()) => {
            let process = facts.note.as_ref().map_or(0, |it| it.pid);
            Finding::well(format!("process {process} answers at {url}"))
        }
        Err(reason) => Finding::to_do(
            format!("a server runs and is not ready: {}", reason.words),
            facts.remedy.server_log().into_iter().chain(facts.remedy.restart()),
        ),
    }
}

/// Whether identity providers are told an address that they can use.
pub fn public_url(facts: &Facts) -> Finding {
    let Some(url) = &facts.settings.public_url else {
        let set = first_name(facts).map(|it| {
            facts.remedy.set("--public-url", "PLUMM_PUBLIC_URL", &format!("https://{it}"))
        });
        return Finding::note(
            "none is set: answers name the Host of each request. Okta needs https from outside",
            set.into_iter().flatten(),
        );
    };
    let Some(host) = host_of(url) else {
        return Finding::unknown(format!("{url} names no host"));
    };
    if url.get(..8).is_some_and(|it| it.eq_ignore_ascii_case("https://")) {
        let plain = facts.settings.tls_cert.is_none() && facts.settings.acme.is_empty();
        let proxy = if plain { ", by a proxy that speaks TLS" } else { "" };
        return Finding::well(format!("{url}{proxy}"));
    }
    let text = format!("{url} is not https, which Okta needs");
    if is_inside(&host) {
        return Finding::note(format!("{text}; it is an address of this host or network"), []);
    }
    let https = format!("https://{host}");
    Finding::to_do(text, facts.remedy.set("--public-url", "PLUMM_PUBLIC_URL", &https))
}

/// The first name of the certificate that is no address.
fn first_name(facts: &Facts) -> Option<String> {
    let (certificate, key) = (facts.settings.tls_cert.as_ref()?, facts.settings.tls_key.as_ref()?);
    let files = Files { certificate: certificate.into(), key: key.into() };
    let names = examine(&files, facts.now).ok()?.names;
    let is_name = |it: &&String| it.contains('.') && !it.starts_with('*') && !is_inside(it);
    names.iter().find(is_name).cloned()
}

/// The host of a URL, without its port.
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    Some(host.to_owned()).filter(|it| !it.is_empty())
}

/// Whether a host is this one, or one of a private network.
fn is_inside(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(it)) => it.is_loopback() || it.is_private() || it.is_link_local(),
        Ok(IpAddr::V6(it)) => it.is_loopback() || (it.segments()[0] & 0xfe00) == 0xfc00,
        Err(_) => {
            let name = bare.to_ascii_lowercase();
            !name.contains('.') || name.ends_with(".localhost") || name.ends_with(".internal")
        }
    }
}

/// Whether a proxy passes on the tokens that identity providers send.
pub fn proxy(facts: &Facts) -> Finding {
    let Some(note) = &facts.note else {
        return Finding::unknown("no server runs that could have seen it");
    };
    let (with, without) = (note.proxied.with_token, note.proxied.without_token);
    let requests = |it: u64| count(usize::try_from(it).unwrap_or(usize::MAX), "request");
    match (with, without) {
        (0, 0) => Finding::well("no request has come through a proxy since the start"),
        (0, without) if without < WITHOUT_TOKEN_MIN => Finding::note(
            format!("{} came through a proxy, without a token", requests(without)),
            [],
        ),
        (0, without) => Finding::to_do(
            format!(
                "{} came through a proxy, and none had the field Authorization: the proxy drops \
                 it. It must be told to pass it on; in nginx, within the location:",
                requests(without)
            ),
            [
                "proxy_set_header Authorization $http_authorization;".to_owned(),
                // A token that came through is called unknown; one that did not, missing.
                format!(
                    "curl -H 'Authorization: Bearer plm_x' {}",
                    quoted(&format!("{}/Users?count=0", note.url.trim_end_matches('/')))
                ),
            ],
        ),
        (with, without) => Finding::well(format!(
            "{} through a proxy had a token, {without} had none",
            requests(with)
        )),
    }
}

/// Whether the clock is right, as far as that can be seen.
pub fn clock(facts: &Facts) -> Finding {
    let set = || [facts.remedy.as_root("timedatectl set-ntp true"), "date -u".to_owned()];
    let built = fs::metadata("/proc/self/exe").map(|it| it.mtime());
    let built = built.map(|it| Timestamp::from_nanoseconds(it.saturating_mul(1_000_000_000)));
    if let Some(at) = built.ok().filter(|it| seconds_between(facts.now, *it) > DAY) {
        let text = format!("it is {} here, and this program was installed at {at}", facts.now);
        return Finding::to_do(text, set());
    }
    if let Some(at) = newest(facts).filter(|it| seconds_between(facts.now, *it) > BEHIND_MAX) {
        let text = format!(
            "it is {} here, and the database has a change of {at}: the clock is wrong, or it was \
             then",
            facts.now
        );
        return Finding::to_do(text, set());
    }
    if Path::new(TIMESYNC).exists() && !Path::new(SYNCHRONIZED).exists() {
        return Finding::note(
            format!("it is {}; systemd has not yet set the clock by another", facts.now),
            ["timedatectl status".to_owned()],
        );
    }
    Finding::well(facts.now.to_string())
}

/// The newest time that the database knows of something that has happened.
fn newest(facts: &Facts) -> Option<Timestamp> {
    let content = facts.content.as_ref().ok()?;
    let times = content.orgs.iter().flat_map(|it| {
        let tokens = it.tokens.iter().flat_map(|token| [Some(token.created), token.last_used]);
        tokens.chain([it.last_line, Some(it.org.created)])
    });
    times.flatten().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls_and_which_are_inside() {
        for (url, host) in [
            ("https://scim.example.com", Some("scim.example.com")),
            ("http://10.0.0.7:8080/scim/v2", Some("10.0.0.7")),
            ("https://[::1]:8443", Some("[::1]")),
            ("https://[2001:db8::1]", Some("[2001:db8::1]")),
            ("https://", None),
            ("x", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
        for host in
            ["localhost", "127.0.0.1", "[::1]", "10.0.0.7", "fd00::1", "plumm", "a.internal"]
        {
            assert!(is_inside(host), "{host}");
        }
        for host in ["scim.example.com", "203.0.113.7", "[2001:db8::1]"] {
            assert!(!is_inside(host), "{host}");
        }
    }
}
