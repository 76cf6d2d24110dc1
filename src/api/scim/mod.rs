//! The endpoints under `/scim/v2` (RFC 7644 section 3.2): the router, and what handlers share.

pub mod bookmarks;
pub mod bulk;
pub mod cursor;
pub mod discovery;
pub mod query;
pub mod render;
pub mod resource;

use serde_json::{Map, Value};

use crate::api::scim::bookmarks::Bookmarks;
use crate::auth::Principal;
use crate::http::request::{Method, Request};
use crate::http::response::{Response, SCIM_JSON};
use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::query::long_reads::LONG_READ_MAX;
use crate::store::tables::provisioning_log::Actor;
use crate::store::tables::resource::Kind;
use crate::store::{self, Read, Store, Write};

/// The deepest nesting of objects and arrays in a body. What handles a body calls itself for each
/// level, on the small stack of a connection's thread; SCIM itself needs fewer than ten.
pub const BODY_DEPTH_MAX: usize = 64;

/// The most values in a body. Each takes about 80 bytes once it is read, so that a body of nothing
/// but commas would take forty times its length.
pub const BODY_VALUES_MAX: usize = 200_000;

/// What a handler works with: one request's principal, time and surroundings.
pub struct Context<'a> {
    /// The store.
    pub store: &'a Store,
    /// The change this request is part of, when it is one of several in a Bulk request.
    pub change: Option<&'a Write<'a>>,
    /// Where the last pages of lists ended.
    pub bookmarks: &'a Bookmarks,
    /// The schemas and resource types of the organisation.
    pub definitions: &'a Definitions,
    /// Who asks.
    pub principal: &'a Principal,
    /// The time of the request.
    pub now: Timestamp,
    /// The URL of `/scim/v2` as the client sees it, without a trailing slash.
    pub base_url: &'a str,
    /// The client's address.
    pub client: Option<String>,
}

impl Context<'_> {
    /// The URL of the resources of a type, with a trailing slash: an id behind it makes `location`.
    #[must_use]
    pub fn location_base(&self, resource_type: &ResourceType) -> String {
        format!("{}/{}/", self.base_url, resource_type.endpoint)
    }

    /// The URL of the resources of each type, by the type's name.
    #[must_use]
    pub fn locations(&self) -> Vec<(String, String)> {
        let types = self.definitions.resource_types.iter();
        types.map(|it| (it.name.clone(), self.location_base(it))).collect()
    }

    /// The resources of a type in the principal's organisation.
    #[must_use]
    pub fn kind<'b>(&self, resource_type: &'b ResourceType, location_base: &'b str) -> Kind<'b> {
        Kind { org: self.principal.org.key, resource_type: &resource_type.name, location_base }
    }

    /// Reads: from the change at hand, where there is one.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store.
    pub fn read<T>(&self, work: impl FnOnce(&Read) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.change {
            Some(change) => work(change),
            None => self.store.read(work),
        }
    }

    /// Reads what may take long: a list that no index leads to.
    ///
    /// # Errors
    /// 503 when too many such lists are asked for at once, 400 `tooMany` for one that took too
    /// long, what the closure returns, and failures of the store.
    pub fn read_long<T>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.change {
            Some(change) => work(change),
            None => self.store.read_long(work).map_err(of_long_list),
        }
    }

    /// Makes a change: a part of the one at hand, where there is one.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store.
    pub fn write<T>(&self, work: impl FnOnce(&Write) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.change {
            Some(change) => change.savepoint(work),
            None => self.store.write(self.now, work),
        }
    }

    /// Who stands in the provisioning log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { name: self.principal.token.clone(), client: self.client.clone() }
    }
}

/// Why a handler could not answer as asked.
#[derive(Debug)]
pub enum Failure {
    /// The client is told this.
    Scim(Error),
    /// The path is known, the method is not allowed there; with the methods that are.
    MethodNotAllowed(&'static str),
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
            Failure::Scim(error) => Ok(error),
            Failure::MethodNotAllowed(allowed) => Ok(method_not_allowed(allowed)),
            Failure::Store(store::error::Error::Conflict(_)) => Ok(in_use()),
            Failure::TooMany(..) | Failure::Store(_) => Err(self),
        }
    }
}

/// The failure of a long list, in words for who asked for it.
fn of_long_list(failure: Failure) -> Failure {
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

/// 405.
#[must_use]
pub fn method_not_allowed(allowed: &str) -> Error {
    Error::new(405, format!("This method cannot be used here; these can: {allowed}."))
}

/// 409 for a value that the look before the change has failed to see: two servers, or a race.
#[must_use]
pub fn in_use() -> Error {
    Error::uniqueness("A value of this resource that must be unique is already in use.")
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

/// Answers a request below `/scim/v2`; `path` holds the segments behind that.
///
/// # Errors
/// The [`Failure`] the client is to be told.
pub fn handle(context: &Context, request: &Request, path: &[String]) -> Result<Response, Failure> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let lower: Vec<String> = path.iter().map(|it| it.to_ascii_lowercase()).collect();
    let first = lower.first().map_or("", String::as_str);
    let get = matches!(request.method, Method::Get | Method::Head);
    // Discovery, RFC 7644 section 4. Okta's on-premises agent and SailPoint use the plural.
    match (first, path.len()) {
        ("serviceproviderconfig" | "serviceproviderconfigs", 1) => {
            return only_get(get, || discovery::service_provider_config(context));
        }
        ("resourcetypes", 1) => {
            return only_get(get, || discovery::resource_types(context, request));
        }
        ("resourcetypes", 2) => {
            return only_get(get, || discovery::resource_type(context, path[1]));
        }
        ("schemas", 1) => return only_get(get, || discovery::schemas(context, request)),
        ("schemas", 2) => return only_get(get, || discovery::schema(context, path[1])),
        _ => {}
    }
    // Resources, sections 3.2 to 3.6.
    if let Some(resource_type) = context.definitions.at_endpoint(first) {
        return match (path.len(), &request.method) {
            (1, Method::Get | Method::Head) => query::list(context, &[resource_type], request),
            (1, Method::Post) => resource::create(context, resource_type, request),
            (1, _) => Err(Failure::MethodNotAllowed("GET, HEAD, POST")),
            (2, Method::Post) if lower[1] == ".search" => {
                query::search(context, &[resource_type], request)
            }
            (2, _) if lower[1] == ".search" => Err(Failure::MethodNotAllowed("POST")),
            (2, Method::Get | Method::Head) => {
                resource::get(context, resource_type, request, path[1])
            }
            (2, Method::Put) => resource::replace(context, resource_type, request, path[1]),
            (2, Method::Patch) => resource::patch(context, resource_type, request, path[1]),
            (2, Method::Delete) => resource::delete(context, resource_type, request, path[1]),
            (2, _) => Err(Failure::MethodNotAllowed("GET, HEAD, PUT, PATCH, DELETE")),
            _ => Err(no_such_path(request).into()),
        };
    }
    match (first, path.len()) {
        ("bulk", 1) if request.method == Method::Post => bulk::bulk(context, request),
        ("bulk", 1) => Err(Failure::MethodNotAllowed("POST")),
        // Sections 3.4.2.1 and 3.4.3: over all resource types.
        ("", 0) if get => query::list(context, &all_types(context), request),
        ("", 0) => Err(Failure::MethodNotAllowed("GET, HEAD")),
        (".search", 1) if request.method == Method::Post => {
            query::search(context, &all_types(context), request)
        }
        (".search", 1) => Err(Failure::MethodNotAllowed("POST")),
        // A provisioning token is no user (section 3.11).
        ("me", _) => Err(Error::new(
            501,
            "/Me stands for the user who asks, and an API token is no user. Ask for /Users/{id}.",
        )
        .into()),
        _ => Err(no_such_path(request).into()),
    }
}

fn only_get(
    is_get: bool,
    answer: impl FnOnce() -> Result<Response, Failure>,
) -> Result<Response, Failure> {
    if is_get { answer() } else { Err(Failure::MethodNotAllowed("GET, HEAD")) }
}

fn all_types<'a>(context: &Context<'a>) -> Vec<&'a ResourceType> {
    context.definitions.resource_types.iter().collect()
}

fn no_such_path(request: &Request) -> Error {
    Error::new(
        404,
        format!(
            "There is nothing at {}. The base URL of the connector ends with /scim/v2; below it \
             are /Users, /Groups, /Bulk, /ServiceProviderConfig, /ResourceTypes and /Schemas.",
            quoted(&request.path)
        ),
    )
}

/// The body as a JSON object.
///
/// # Errors
/// 400 `invalidSyntax` that says what is wrong with it, and where.
pub fn body_object(request: &Request) -> Result<Map<String, Value>, Error> {
    let bytes = request.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&request.body);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::invalid_syntax(
            "The body is empty; send the resource or operations as a JSON object.",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|it| {
        let at = it.valid_up_to();
        Error::invalid_syntax(format!("The body is not UTF-8 text: byte {at} does not belong."))
    })?;
    let shape = shape(bytes);
    if shape.depth > BODY_DEPTH_MAX {
        return Err(Error::invalid_syntax(format!(
            "The body is nested more than {BODY_DEPTH_MAX} deep. Send fewer objects and arrays \
             within each other."
        )));
    }
    if shape.values > BODY_VALUES_MAX {
        return Err(Error::new(
            413,
            format!("The body has more than {BODY_VALUES_MAX} values. Send it in parts."),
        ));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(Error::invalid_syntax(
            "The body is JSON, but no object; send the resource or operations as a JSON object.",
        )),
        Err(error) if error.to_string().starts_with("recursion limit") => {
            Err(Error::invalid_syntax(
                "The body is nested more than 127 deep. Send a resource or operations with fewer \
                 objects and arrays inside each other.",
            ))
        }
        Err(error) => Err(Error::invalid_syntax(format!("The body is not JSON: {error}."))),
    }
}

/// What reading a JSON text would take.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    /// How deep its objects and arrays are nested.
    depth: usize,
    /// About how many values it has, and no fewer.
    values: usize,
}

fn shape(json: &[u8]) -> Shape {
    let mut shape = Shape { depth: 0, values: 1 };
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                shape.depth = shape.depth.max(depth);
                shape.values += 1;
            }
            b',' if !in_string => shape.values += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    shape
}

/// A response with a SCIM body.
#[must_use]
pub fn scim_response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response::new(status, SCIM_JSON, body.into())
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
        // Whatever is 503 is sent with Retry-After (app.rs).
        let (status, keyword, _) = refused(store::error::Error::Crowded);
        assert_eq!((status, keyword), (503, None));
        let other = of_long_list(Failure::Store(store::error::Error::Full));
        assert!(matches!(other, Failure::Store(store::error::Error::Full)));
    }

    #[test]
    fn nesting_and_values_are_counted_outside_of_strings() {
        for (json, depth, values) in [
            ("1", 0, 1),
            ("{}", 1, 2),
            (r#"{"a":[{}],"b":[]}"#, 3, 6),
            (r#"{"[[[":"\"[,[\\"}"#, 1, 2),
            (r#"["\\",["\\\"",[]]]"#, 3, 6),
            ("]]]][[,", 2, 4),
        ] {
            assert_eq!(shape(json.as_bytes()), Shape { depth, values }, "{json}");
        }
    }
}
