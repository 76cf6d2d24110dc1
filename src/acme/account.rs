//! The account with a directory: found, made, told of another email address.

use serde_json::{Value, json};

use crate::acme::client::Client;
use crate::acme::failure::Failure;
use crate::acme::jws::{AccountKey, Signer};
use crate::acme::settings::Settings;
use crate::acme::storage::{Account, State, Storage};

/// A key that a directory knows.
pub struct Known {
    /// The key.
    pub key: AccountKey,
    /// The URL of its account.
    pub url: String,
}

/// The account with the directory, made if there is none, and kept.
///
/// # Errors
/// Why there is none.
pub fn known(
    settings: &Settings,
    client: &mut Client<'_>,
    storage: &Storage,
    state: &mut State,
) -> Result<Known, Failure> {
    let kept = state.account.as_ref().filter(|it| it.directory == settings.directory);
    let kept = kept.and_then(|it| Some((it.key()?, it.clone())));
    let email = settings.email.as_deref();
    let known = match kept {
        Some((key, it)) if it.email.as_deref() == email => return Ok(Known { key, url: it.url }),
        Some((key, it)) => {
            let payload = json!({ "contact": contact(email) });
            client
                .post(&key, Signer::Kid(&it.url), &it.url, Some(&payload))
                .map_err(|it| it.at("the email address of the account"))?;
            Known { key, url: it.url }
        }
        None => {
            let no_random = || Failure::directory("this host has no random bytes for a key");
            let key = AccountKey::generate().ok_or_else(no_random)?;
            registered(settings, client, key).map_err(|it| it.at("the account"))?
        }
    };
    state.account = Some(Account::new(&settings.directory, &known.url, email, &known.key));
    storage.save_state(state)?;
    Ok(known)
}

/// Makes an account (RFC 8555 section 7.3). A key that the directory knows already gets the one it
/// has.
fn registered(
    settings: &Settings,
    client: &mut Client<'_>,
    key: AccountKey,
) -> Result<Known, Failure> {
    let mut payload = json!({ "termsOfServiceAgreed": true });
    if settings.email.is_some() {
        payload["contact"] = contact(settings.email.as_deref());
    }
    let at = client.directory.new_account.clone();
    let answer = client.post(&key, Signer::Jwk, &at, Some(&payload))?;
    let url = answer.header("location").map(str::to_owned);
    let url = url.ok_or_else(|| Failure::directory("the directory does not say where it is"))?;
    let terms = client.directory.terms.as_ref();
    let terms = terms.map_or_else(String::new, |it| format!(", under its terms of service, {it}"));
    log::info!("ACME: an account is made with {}{terms}", settings.directory);
    Ok(Known { key, url })
}

fn contact(email: Option<&str>) -> Value {
    email.map(|it| format!("mailto:{it}")).into_iter().collect()
}
