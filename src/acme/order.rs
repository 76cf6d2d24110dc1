//! One order, from its start or from where it was left, to its certificate (RFC 8555 section 7.4).

use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};

use crate::acme::account::Known;
use crate::acme::challenges::{Challenges, Kind};
use crate::acme::client::{Answer, Client};
use crate::acme::failure::{Cause, Failure, shown};
use crate::acme::issued::Issued;
use crate::acme::jws::Signer;
use crate::acme::problem::Problem;
use crate::acme::settings::Settings;
use crate::acme::storage::{OpenOrder, State, Storage};
use crate::scim::datetime::Timestamp;

/// How long each of the directory's steps may take: looking for the answers to its challenges,
/// making the certificate.
const STEP_TIME_MAX: Duration = Duration::from_secs(180);
/// The first pause between two questions whether it is done; each is twice the one before,
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// up to this one, whatever the directory asks for.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// A certificate and its key, as PEM.
pub struct Obtained {
    /// The certificate, and those of its authorities.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// What it says.
    pub issued: Issued,
}

/// What an order works with.
pub struct Ordering<'a, 'b> {
    /// What is asked for.
    pub settings: &'a Settings,
    /// The directory.
    pub client: &'a mut Client<'b>,
    /// Who asks.
    pub account: &'a Known,
    /// Where the answers to challenges are shown.
    pub challenges: &'a Challenges,
    /// What is kept,
    pub storage: &'a Storage,
    /// and known.
    pub state: &'a mut State,
    /// The time by this host's clock.
    pub now: Timestamp,
    /// Waits for so long; `false` when the server is being stopped.
    pub pause: &'a dyn Fn(Duration) -> bool,
}

impl Ordering<'_, '_> {
    /// Obtains a certificate with challenges of this kind. `replaces`: what the directory calls the
    /// one that it takes the place of.
    ///
    /// # Errors
    /// Why there is none.
    pub fn obtain(&mut self, kind: Kind, replaces: Option<&str>) -> Result<Obtained, Failure> {
        let done = self.try_to_obtain(kind, replaces);
        self.challenges.clear();
        if done.is_ok() {
            self.state.challenge = Some(kind);
        }
        if let Err(Failure { cause: Cause::Challenge | Cause::Refused, .. }) = done {
            // What has failed once fails for good.
            self.forget_order()?;
        }
        done
    }

    fn try_to_obtain(&mut self, kind: Kind, replaces: Option<&str>) -> Result<Obtained, Failure> {
        let mut order = match self.resumed()? {
            Some(it) => it,
            None => self.begun(replaces).map_err(|it| it.at("the order"))?,
        };
        if status(&order) == "pending" {
            self.authorize(&order, kind)?;
            order = self.order_after("pending").map_err(|it| it.at("the order"))?;
        }
        if status(&order) == "ready" {
            self.finalize(&order).map_err(|it| it.at("the request for the certificate"))?;
            order = self.order_after("ready").map_err(|it| it.at("the certificate"))?;
        }
        if status(&order) == "processing" {
            order = self.order_after("processing").map_err(|it| it.at("the certificate"))?;
        }
        if status(&order) != "valid" {
            return Err(self.of_invalid(&order));
        }
        self.downloaded(&order).map_err(|it| it.at("the certificate"))
    }

    /// The order that was left by a server that ended, if it can be gone on with.
    fn resumed(&mut self) -> Result<Option<Value>, Failure> {
        let Some(open) = &self.state.order else { return Ok(None) };
        let url = open.url.clone();
        match self.ask(&url).and_then(|it| it.json()) {
            Ok(order) if status(&order) != "invalid" => {
                log::info!("ACME: an order that was left half done is gone on with");
                Ok(Some(order))
            }
            Err(failure) if failure.cause == Cause::Directory => {
                Err(failure.at("the order that was left half done"))
            }
            _ => {
                self.forget_order()?;
                Ok(None)
            }
        }
    }

    fn begun(&mut self, replaces: Option<&str>) -> Result<Value, Failure> {
        let identifiers = self.settings.domains.iter();
        let identifiers: Value =
            identifiers.map(|it| json!({"type": "dns", "value": it})).collect();
        let mut payload = json!({ "identifiers": identifiers });
        // RFC 9773 section 5.
        let known = self.client.directory.renewal_info.is_some();
        if let Some(it) = replaces.filter(|_| known) {
            payload["replaces"] = it.into();
        }
        let at = self.client.directory.new_order.clone();
        let mut answer = self.post(&at, Some(&payload));
        let refused = |it: &Failure| it.cause == Cause::Refused && it.wait.is_none();
        if answer.as_ref().is_err_and(refused) && payload.get("replaces").is_some() {
            // It may know of another one that has taken the old one's place.
            payload = json!({ "identifiers": identifiers });
            answer = self.post(&at, Some(&payload));
        }
        let answer = answer?;
        let url = answer.header("location").map(str::to_owned);
        let url =
            url.ok_or_else(|| Failure::directory("the directory does not say where it is"))?;
        let order = answer.json()?;
        let key = KeyPair::generate();
        let key = key.map_err(|it| Failure::directory(format!("no key can be made: {it}")))?;
        // Before anything is issued: the key is not lost with this process, and a full disk is
        // noticed in time.
        self.state.order = Some(OpenOrder { url, key: key.serialize_pem() });
        self.storage.save_state(self.state)?;
        Ok(order)
    }

    fn forget_order(&mut self) -> Result<(), Failure> {
        self.state.order = None;
        self.storage.save_state(self.state)
    }

    /// Shows the directory that each name of the order leads here (RFC 8555 section 7.5).
    fn authorize(&mut self, order: &Value, kind: Kind) -> Result<(), Failure> {
        let mut asked = Vec::new();
        for url in texts(&order["authorizations"]) {
            let authorization = self.ask(url).and_then(|it| it.json());
            let authorization = authorization.map_err(|it| it.at("the authorization"))?;
            if status(&authorization) == "valid" {
                continue;
            }
            let domain = shown(authorization["identifier"]["value"].as_str().unwrap_or_default());
            let step = format!("challenge {kind} for {domain}");
            self.respond(&authorization, kind, &domain).map_err(|it| it.at(&step))?;
            asked.push((url.to_owned(), domain, step));
        }
        for (url, domain, step) in asked {
            self.validated(&url, kind, &domain).map_err(|it| it.at(&step))?;
            log::info!("ACME: {domain} is shown to lead here, by {kind}");
        }
        Ok(())
    }

    /// Answers the challenge of this kind, and says so to the directory.
    fn respond(&mut self, authorization: &Value, kind: Kind, domain: &str) -> Result<(), Failure> {
        if status(authorization) != "pending" {
            let words = format!("the authorization is {}", shown(status(authorization)));
            return Err(Failure::challenge(words));
        }
        let offered = authorization["challenges"].as_array().into_iter().flatten();
        let mut offered = offered.filter(|it| it["type"] == kind.to_string());
        let challenge = offered.next().ok_or_else(|| {
            Failure::challenge("the directory does not offer this kind of challenge")
        })?;
        let text = |name: &str| challenge[name].as_str().unwrap_or_default();
        let (token, url) = (text("token"), text("url"));
        let answer = self.account.key.key_authorization(token);
        self.challenges.answer(kind, domain, token, answer).map_err(Failure::challenge)?;
        // It may have been told before this process began.
        if status(challenge) == "pending" {
            self.post(url, Some(&json!({})))?;
        }
        Ok(())
    }

    /// Waits until the directory has looked for the answer.
    fn validated(&mut self, url: &str, kind: Kind, domain: &str) -> Result<(), Failure> {
        let port = kind.port();
        let where_to = format!("port {port} of {domain}");
        let last = self.changed(url, "pending", &format!("it has not looked at {where_to} yet"))?;
        if status(&last) == "valid" {
            return Ok(());
        }
        let challenges = last["challenges"].as_array().into_iter().flatten();
        let problem = challenges.filter_map(|it| Problem::of(it.get("error")?)).next();
        Err(match problem {
            Some(it) => it.of_challenge(&where_to),
            None => Failure::challenge(format!(
                "the directory says {} and not why: does {where_to} lead to this server?",
                shown(status(&last))
            )),
        })
    }

    /// Asks for the certificate (RFC 8555 section 7.4), with a key that nobody else has.
    fn finalize(&mut self, order: &Value) -> Result<(), Failure> {
        let key = self.order_key()?;
        let failed = |it: rcgen::Error| Failure::refused(format!("it cannot be made: {it}"));
        let mut params = CertificateParams::new(self.settings.domains.clone()).map_err(failed)?;
        // Names stand in the list of names alone; the common name is out of use.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(failed)?;
        let request = Base64UrlUnpadded::encode_string(request.der());
        let at = order["finalize"].as_str().unwrap_or_default();
        self.post(at, Some(&json!({ "csr": request }))).map(drop)
    }

    fn order_key(&self) -> Result<KeyPair, Failure> {
        let kept = self.state.order.as_ref().and_then(|it| KeyPair::from_pem(&it.key).ok());
        kept.ok_or_else(|| Failure::refused("its key cannot be read any more"))
    }

    /// The order, once it is not in this state any more.
    fn order_after(&mut self, state: &str) -> Result<Value, Failure> {
        let url = self.state.order.as_ref().map(|it| it.url.clone()).unwrap_or_default();
        self.changed(&url, state, "the directory is not done with it")
    }

    /// What stands at a URL, once it is not in this state any more.
    fn changed(&mut self, url: &str, state: &str, slow: &str) -> Result<Value, Failure> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let answer = self.ask(url)?;
            let found = answer.json()?;
            if status(&found) != state {
                return Ok(found);
            }
            if begun.elapsed() > STEP_TIME_MAX {
                let seconds = STEP_TIME_MAX.as_secs();
                return Err(Failure::directory(format!("{slow} after {seconds} seconds")));
            }
            let asked = answer.retry_after().unwrap_or(Duration::ZERO);
            if !(self.pause)(pause.max(asked).min(PAUSE_MAX)) {
                return Err(Failure::stopped());
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn of_invalid(&self, order: &Value) -> Failure {
        let problem = order.get("error").and_then(Problem::of);
        let failure = problem.map_or_else(
            || Failure::refused(format!("the directory says {} and not why", shown(status(order)))),
            |it| it.failure(None),
        );
        failure.at("the order")
    }

    /// The certificate of an order, when it is what was asked for.
    fn downloaded(&mut self, order: &Value) -> Result<Obtained, Failure> {
        let at = order["certificate"].as_str().unwrap_or_default();
        let answer = self.ask(at)?;
        let chain = answer.text()?.to_owned();
        let key = self.order_key()?.serialize_pem();
        let wrong = |it: String| Failure::refused(format!("the directory sent a wrong one: {it}"));
        let issued = Issued::read(chain.as_bytes(), key.as_bytes()).map_err(wrong)?;
        if !issued.is_for(&self.settings.domains) {
            let (names, asked) = (issued.names.join(", "), self.settings.domains.join(", "));
            return Err(wrong(format!("it is for {}, and not for {asked}", shown(&names))));
        }
        let (expires, now) = (issued.validity.expires, self.now);
        if expires <= now {
            let clock = "is the clock of this host right?";
            return Err(wrong(format!("it ended at {expires}, and it is {now}: {clock}")));
        }
        Ok(Obtained { chain, key, issued })
    }

    /// A POST-as-GET.
    fn ask(&mut self, url: &str) -> Result<Answer, Failure> {
        self.post(url, None)
    }

    fn post(&mut self, url: &str, payload: Option<&Value>) -> Result<Answer, Failure> {
        self.client.post(&self.account.key, Signer::Kid(&self.account.url), url, payload)
    }
}

fn status(of: &Value) -> &str {
    of["status"].as_str().unwrap_or_default()
}

fn texts(of: &Value) -> impl Iterator<Item = &str> {
    of.as_array().into_iter().flatten().filter_map(Value::as_str)
}
