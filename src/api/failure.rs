//! Why a handler could not answer as asked, and what the client is told of it.

use log::Level;

use crate::auth::Refusal;
use crate::http::response::{Response, SCIM_JSON};
use crate::scim::error::{Error, quoted};
use crate::store;
use crate::store::query::long_reads::LONG_READ_MAX;
use crate::store::tables::org::Org;
use crate::store::tables::token::Scope;
use crate::unique::LookError;

/// What a client is asked to wait when the server has too much to do, in seconds. An integer: Okta
/// waits five minutes for anything else.
pub const RETRY_AFTER_SECONDS: &str = "1";

/// What a client is asked to wait that has been refused too often, in seconds.
const RETRY_AFTER_REFUSALS_SECONDS: u64 = 10;
const WAIT_AFTER_REFUSALS: &str = "Too many requests with a wrong API token came from this \
    address. Check the API token in the identity provider; requests with a valid one are answered \
    at once.";

/// Why a handler could not answer as asked.
#[derive(Debug)]
pub enum Failure {
    /// The client is told this.
    Scim(Error),
    /// The path is known and the method is not allowed there: what the client is told, and the
    /// methods that are, for `Allow` (RFC 9110 section 10.2.1).
    MethodNotAllowed(Error, String),
    /// The client has sent too much, and is told this and in how many seconds to come again.
    TooMany(Error, u64),
    /// The store failed; the client is told as little as it needs.
    Store(store::error::Error),
}

impl Failure {
    /// What the client is told when this is the failure of one of several operations.
    ///
    /// # Errors
    /// The failure itself, when it is one of the whole request.
    pub fn of_one_operation(self) -> Result<Error, Failure> {
        match self {
            Failure::Scim(error) | Failure::MethodNotAllowed(error, _) => Ok(error),
            Failure::Store(store::error::Error::Conflict(_)) => Ok(in_use()),
            Failure::TooMany(..) | Failure::Store(_) => Err(self),
        }
    }

    /// What the log is to have under the id of the request, once; the client never reads it.
    #[must_use]
    pub fn cause(&self) -> Option<(Level, String)> {
        match self {
            Failure::Scim(error) if error.status == 503 => {
                Some((Level::Warn, error.detail.clone()))
            }
            Failure::Store(error @ store::error::Error::TooManyChanges) => {
                Some((Level::Warn, error.to_string()))
            }
            Failure::Store(error) => Some((Level::Error, error.to_string())),
            _ => None,
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn told(&self, request_id: &str) -> Error {
        match self {
            Failure::Scim(error)
            | Failure::MethodNotAllowed(error, _)
            | Failure::TooMany(error, _) => error.clone(),
            Failure::Store(error) => match error {
                store::error::Error::Conflict(_) => in_use(),
                store::error::Error::Busy => Error::new(
                    503,
                    "The server has too much to do at this moment; send the request again.",
                ),
                store::error::Error::TooManyChanges => Error::new(
                    503,
                    "Too many changes wait for their turn at this moment, and nothing of this \
                     request was applied. Send it again, and large ones one after the other.",
                ),
                store::error::Error::Full => Error::new(
                    507,
                    "The server's disk is full, and nothing of this request was applied. Make \
                     room, then send it again.",
                ),
                store::error::Error::Disk(_)
                | store::error::Error::Undone
                | store::error::Error::ReadOnly(_)
                | store::error::Error::Io(..) => Error::new(
                    503,
                    format!(
                        "The server's disk failed on this request. The reason stands in the \
                         server's log under {request_id}; send the request again."
                    ),
                ),
                _ => internal_error(request_id),
            },
        }
    }

    /// The failure as the client is told it (RFC 7644 section 3.12).
    #[must_use]
    pub fn response(self, request_id: &str) -> Response {
        let error = self.told(request_id);
        let response = scim_error(&error);
        match self {
            Failure::MethodNotAllowed(_, allowed) => response.with_header("Allow", allowed),
            Failure::TooMany(_, wait) => response.with_header("Retry-After", wait.to_string()),
            _ if error.status == 401 => {
                response.with_header("WWW-Authenticate", "Bearer realm=\"plumm\"")
            }
            _ if error.status == 503 => response.with_header("Retry-After", RETRY_AFTER_SECONDS),
            _ => response,
        }
    }
}

/// 409 for a value that the look before the change has failed to see: two servers, or a race.
fn in_use() -> Error {
    Error::uniqueness("A value of this resource that must be unique is already in use.")
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Failure {
        match error {
            LookError::Refused(error) => error.into(),
            LookError::Store(error) => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Scim(error)
    }
}

impl From<store::error::Error> for Failure {
    fn from(error: store::error::Error) -> Failure {
        Failure::Store(error)
    }
}

/// The failure of a long list, in words for who asked for it.
#[must_use]
pub fn of_long_list(failure: Failure) -> Failure {
    match failure {
        Failure::Store(store::error::Error::Crowded) => Error::new(
            503,
            "Too many long lists are asked for at this moment; send the request again. Filters on \
             userName, externalId, displayName, emails or id with eq do not have to wait.",
        )
        .into(),
        Failure::Store(store::error::Error::TooLong) => {
            let seconds = LONG_READ_MAX.as_secs();
            Error::too_many_to_search(format!(
                "The list was not complete after {seconds} seconds, and nothing of it is sent. Ask \
                 for less: a filter with eq on userName, externalId, displayName, emails or id is \
                 answered at once, also when it is joined to this one by \"and\"; sw on these \
                 and gt on meta.lastModified are fast too. Leave sortBy out.",
            ))
            .into()
        }
        failure => failure,
    }
}

/// 403: the token is valid, and support has not activated the organisation.
#[must_use]
pub fn not_activated(org: &Org) -> Failure {
    let detail = format!(
        "Provisioning is not activated for the organisation \"{}\". The API token is valid; Plumm \
         Support activates provisioning.",
        quoted(&org.name)
    );
    Error::new(403, detail).into()
}

/// 403: the token is valid, and not for this.
#[must_use]
pub fn wrong_scope(has: Scope, needed: &[Scope]) -> Failure {
    let needed: Vec<_> = needed.iter().map(|it| format!("\"{}\"", it.word())).collect();
    let detail = format!(
        "This API token has the scope \"{}\", and this URL needs one with the scope {}. Ask Plumm \
         Support for a token of that scope.",
        has.word(),
        needed.join(" or ")
    );
    Error::new(403, detail).into()
}

/// 503: no further client may wait for a change.
#[must_use]
pub fn too_many_wait(request_id: &str, media_type: &'static str) -> Response {
    let detail = "Too many clients are waiting for changes at this moment. Ask again in a second, \
                  or without the parameter wait.";
    let failure: Failure = Error::new(503, detail).into();
    failure.response(request_id).with_content_type(media_type)
}

/// 429: this address has sent too many wrong tokens.
#[must_use]
pub fn refused_too_often() -> Failure {
    Failure::TooMany(Error::new(429, WAIT_AFTER_REFUSALS), RETRY_AFTER_REFUSALS_SECONDS)
}

/// An organisation has sent more than it may, and is to come again in so many seconds.
#[must_use]
pub fn too_fast(org: &Org, wait: u64) -> Failure {
    let (name, rate) = (quoted(&org.name), org.settings.rate);
    let (requests, seconds) = (
        if rate == 1 { "request" } else { "requests" },
        if wait == 1 { "second" } else { "seconds" },
    );
    let detail = format!(
        "The organisation \"{name}\" may send {rate} {requests} a minute and has sent more. Send \
         the request again in {wait} {seconds}. Plumm Support raises the limit with `plumm org set \
         ORG --rate N`."
    );
    Failure::TooMany(Error::new(429, detail), wait)
}

/// A request without a valid token is refused: 401, or 503 while too many tokens are checked.
#[must_use]
pub fn unauthorized(refusal: Refusal) -> Failure {
    let detail = match refusal {
        Refusal::Store(error) => return error.into(),
        Refusal::Busy => {
            let detail = "Too many API tokens are being checked at this moment; send the request \
                          again.";
            return Error::new(503, detail).into();
        }
        Refusal::Missing => {
            "No API token was sent. Paste the API token into the identity provider's API token \
             field."
                .to_owned()
        }
        Refusal::Malformed => {
            "What was sent is no API token of plumm: those are plm_, an id, _ and a secret of \
             letters and digits. \
             Paste the whole API token into the identity provider's API token field."
                .to_owned()
        }
        Refusal::Broken => {
            "The API token has a blank or a line break inside. Paste it as one line, \
             from plm_ to its last letter."
                .to_owned()
        }
        Refusal::Mistyped => "The API token is incomplete or mistyped. Copy the whole text, from \
             plm_ to its last letter."
            .to_owned(),
        Refusal::Wrong => {
            "This API token is not valid here. Check that it belongs to this server, \
             or ask Plumm Support for a new one."
                .to_owned()
        }
        Refusal::Revoked(at, _) => {
            format!("This API token was revoked on {at}. Ask Plumm Support for a new one.")
        }
        Refusal::Expired(at, _) => {
            format!("This API token expired on {at}. Ask Plumm Support for a new one.")
        }
    };
    Error::new(401, detail).into()
}

/// 500: the server failed, and its log says why.
#[must_use]
pub fn internal(request_id: &str) -> Response {
    scim_error(&internal_error(request_id))
}

fn internal_error(request_id: &str) -> Error {
    Error::new(
        500,
        format!(
            "The server failed on this request, and nothing of it was applied. The reason stands \
             in the server's log under {request_id}."
        ),
    )
}

/// An error as a response (RFC 7644 section 3.12).
#[must_use]
pub fn scim_error(error: &Error) -> Response {
    Response::new(error.status, SCIM_JSON, error.to_json().to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::error::ScimType;

    #[test]
    fn a_long_list_is_refused_in_words_for_the_client() {
        let refused = |error| match of_long_list(Failure::Store(error)) {
            Failure::Scim(it) => (it.status, it.scim_type.map(ScimType::keyword), it.detail),
            other => panic!("{other:?}"),
        };
        let (status, keyword, detail) = refused(store::error::Error::TooLong);
        assert_eq!((status, keyword), (400, Some("tooMany")));
        assert!(detail.contains("after 20 seconds") && detail.contains("userName"), "{detail}");
        // Whatever is 503 is sent with Retry-After (`app`).
        let (status, keyword, _) = refused(store::error::Error::Crowded);
        assert_eq!((status, keyword), (503, None));
        let other = of_long_list(Failure::Store(store::error::Error::Full));
        assert!(matches!(other, Failure::Store(store::error::Error::Full)));
    }

    #[test]
    fn too_much_to_do_is_answered_with_when_to_come_again() {
        let read_only = store::error::Error::ReadOnly("plumm.db".into());
        for failure in [
            unauthorized(Refusal::Busy),
            Failure::Store(store::error::Error::Busy),
            Failure::Store(read_only),
        ] {
            let response = failure.response("1");
            let retry_after = response.header("Retry-After");
            assert_eq!((response.status, retry_after), (503, Some(RETRY_AFTER_SECONDS)));
        }
    }

    #[test]
    fn the_cause_of_a_store_failure_stays_inside() {
        let cases = [
            (store::error::Error::Invalid("secret cause".to_owned()), 500),
            (store::error::Error::Busy, 503),
            (store::error::Error::Undone, 503),
            (store::error::Error::Full, 507),
            (store::error::Error::Conflict("secret cause".to_owned()), 409),
        ];
        for (error, status) in cases {
            let response = Failure::Store(error).response("1");
            assert_eq!(response.status, status);
            assert!(!String::from_utf8(response.body).unwrap().contains("secret cause"));
        }
    }
}
