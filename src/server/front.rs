//! What is answered before the application: the challenge of a certificate authority, and on port
//! 80 the way to HTTPS.

use std::sync::Arc;

use crate::acme::challenges::{Challenges, PATH};
use crate::http::request::{Method, Request};
use crate::http::response::Response;

/// What is answered before the application.
#[derive(Clone, Debug)]
pub struct Front {
    challenges: Arc<Challenges>,
    /// Where all else is sent, if it is: scheme and host.
    redirect: Option<String>,
}

impl Front {
    /// Answers challenges, and leaves all else to the application.
    #[must_use]
    pub fn new(challenges: Arc<Challenges>) -> Front {
        Front { challenges, redirect: None }
    }

    /// Answers challenges, and sends all else to this URL, which has no path.
    #[must_use]
    pub fn redirecting(challenges: Arc<Challenges>, to: String) -> Front {
        Front { challenges, redirect: Some(to) }
    }

    /// The answer to a request, unless it is one for the application.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Option<Response> {
        let reads = matches!(request.method, Method::Get | Method::Head);
        if reads && request.path.starts_with(PATH) {
            if let Some(text) = self.challenges.text(&request.path) {
                log::info!("ACME: the answer to a challenge is asked for");
                // RFC 8555 section 8.3.
                return Some(Response::new(200, "application/octet-stream", text.into_bytes()));
            }
            return self.redirect.as_ref().map(|_| sentence(404, NO_CHALLENGE));
        }
        let to = self.redirect.as_deref()?;
        if !reads {
            // What was sent has crossed the network in the clear, and must not do so again.
            return Some(sentence(405, PLAIN).with_header("Allow", "GET, HEAD"));
        }
        let (path, query) = (&request.path, &request.query);
        // Whatever else stands there would change the host.
        let path = if path.starts_with('/') { path.as_str() } else { "/" };
        let mark = if query.is_empty() { "" } else { "?" };
        Some(Response::empty(308).with_header("Location", format!("{to}{path}{mark}{query}")))
    }
}

fn sentence(status: u16, text: &str) -> Response {
    Response::new(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
}

const NO_CHALLENGE: &str = "There is no such challenge.";
const PLAIN: &str = "This is plain HTTP. Begin the URL with https:// and send it there; a token \
                     that was sent here was readable on the way: issue another one.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::challenges::Kind;

    fn status(front: &Front, method: Method, target: &str) -> Option<u16> {
        front.answer(&Request::new(method, target)).map(|it| it.status)
    }

    #[test]
    fn a_challenge_is_answered_and_all_else_is_left_or_sent_to_https() {
        let challenges = Arc::new(Challenges::default());
        challenges.answer(Kind::Http, "a.example", "t1", "t1.x".to_owned()).unwrap();
        let main = Front::new(Arc::clone(&challenges));
        let port_80 = Front::redirecting(challenges, "https://a.example".to_owned());
        let path = format!("{PATH}t1");
        for front in [&main, &port_80] {
            let answer = front.answer(&Request::new(Method::Get, &path)).unwrap();
            assert_eq!((answer.status, answer.body), (200, b"t1.x".to_vec()));
            assert_eq!(status(front, Method::Head, &path), Some(200));
        }
        let unknown = format!("{PATH}t2");
        for (method, target, expected) in [
            (Method::Get, unknown.as_str(), Some(404)),
            (Method::Post, path.as_str(), Some(405)),
            (Method::Post, "/scim/v2/Users", Some(405)),
            (Method::Get, "/scim/v2/Users", Some(308)),
            (Method::Head, "/", Some(308)),
        ] {
            assert_eq!(status(&main, method.clone(), target), None, "{target}");
            assert_eq!(status(&port_80, method, target), expected, "{target}");
        }
        for (target, expected) in [
            ("/a?b=c", "https://a.example/a?b=c"),
            ("//evil.example/", "https://a.example//evil.example/"),
            ("http://evil.example/", "https://a.example/"),
            (".evil.example/", "https://a.example/"),
            ("@evil.example/", "https://a.example/"),
        ] {
            let answer = port_80.answer(&Request::new(Method::Get, target)).unwrap();
            assert_eq!(answer.header("Location"), Some(expected), "{target}");
        }
    }
}
