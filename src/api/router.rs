//! From a path to its route: what the table of `api` says of a request.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::refused::About;
use crate::api::{ELSEWHERE, Handler, ROOMS, ROUTES, Room, Route, SCIM_BASE};
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::Store;
use crate::store::open_read::Need;
use crate::store::readers::Purpose;
use crate::store::tables::token::Scope;

/// How many segments the base URL of the connector has.
const SCIM_BASE_SEGMENTS: usize = 2;
/// What the metrics call a path that no route has.
const OTHER: &str = "other";

/// The patterns of the table, in its order.
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let mut patterns: Vec<Pattern> = Vec::new();
    for route in ROUTES {
        match patterns.iter_mut().find(|it| it.path == route.path) {
            Some(known) => known.rows.push(route),
            None => {
                let segments = segments_of(route.path);
                patterns.push(Pattern { path: route.path, segments, rows: vec![route] });
            }
        }
    }
    patterns
});

/// What stands directly below `/scim/v2` in every organisation.
static FIXED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let below = ROUTES.iter().filter_map(|it| it.path.strip_prefix(SCIM_BASE)?.strip_prefix('/'));
    below.filter(|it| !it.contains(['/', '{', '.'])).collect()
});

/// A path of the table, cut into its segments, with the rows that have it.
struct Pattern {
    path: &'static str,
    segments: Vec<&'static str>,
    rows: Vec<&'static Route>,
}

/// The router, with the names of the routes.
#[derive(Debug)]
pub struct Router {
    labels: Vec<String>,
    /// The beginnings of paths, each with the index of its label.
    prefixes: Vec<(Vec<String>, usize)>,
}

/// Where a request goes, decided once on its decoded path.
#[derive(Debug)]
pub struct Located<'r> {
    /// The room.
    pub room: &'static Room,
    /// The index of the route's name among those of the metrics.
    pub label: usize,
    /// The decoded segments; the first one alone when the path does not decode.
    segments: Vec<Cow<'r, str>>,
    readable: bool,
    /// The index of the first pattern that the path has, whatever resource types there are.
    pattern: Option<usize>,
}

/// The pattern that a path has.
struct Fit<'d> {
    pattern: &'static Pattern,
    resource_type: Option<&'d ResourceType>,
}

impl Router {
    /// A router that has names for the resource types of these definitions.
    #[must_use]
    pub fn new(definitions: &Definitions) -> Router {
        let mut router = Router { labels: Vec::new(), prefixes: Vec::new() };
        for route in ROUTES {
            let prefix = if route.path.starts_with(route.label) { route.label } else { route.path };
            match route.label.contains("{type}") {
                true => {
                    for it in &definitions.resource_types {
                        let path = route.label.replace("{type}", &it.endpoint);
                        router.add(&path, &path);
                    }
                }
                false => router.add(prefix, route.label),
            }
        }
        router.labels.push(OTHER.to_owned());
        router
    }

    fn add(&mut self, prefix: &str, label: &str) {
        let known = self.labels.iter().position(|it| it == label);
        let index = known.unwrap_or_else(|| {
            self.labels.push(label.to_owned());
            self.labels.len() - 1
        });
        let prefix: Vec<String> = segments_of(prefix).into_iter().map(str::to_owned).collect();
        if !self.prefixes.iter().any(|(it, _)| *it == prefix) {
            self.prefixes.push((prefix, index));
        }
    }

    /// The names of the routes, as the metrics have them.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Where a request goes.
    #[must_use]
    pub fn locate<'r>(&self, request: &'r Request) -> Located<'r> {
        let decoded = request.segments();
        let readable = decoded.is_some();
        // A path that does not decode is at home where its first segment says.
        let raw = || segments_of(&request.path).into_iter().take(1).map(Cow::Borrowed).collect();
        let segments: Vec<Cow<str>> = decoded.unwrap_or_else(raw);
        let first = segments.first().map_or("", |it| it.as_ref());
        let room = room_that_begins_with(first);
        let fits = self.prefixes.iter().filter(|(prefix, _)| begins(room, prefix, &segments));
        let best = fits.max_by_key(|(prefix, _)| prefix.len());
        let label = best.map_or(self.labels.len() - 1, |(_, index)| *index);
        let found = if readable { fit(room, &segments, None, 0) } else { None };
        Located { room, label, segments, readable, pattern: found.map(|(index, _)| index) }
    }
}

impl Located<'_> {
    /// The answer of a route that needs no token; `None` for every other path.
    #[must_use]
    pub fn open(
        &self,
        request: &Request,
        store: &Store,
        base_url: impl FnOnce() -> String,
    ) -> Option<Result<Response, Failure>> {
        let pattern = self.pattern()?;
        let is_open = matches!(pattern.rows.first()?.handler, Handler::Open(_) | Handler::File(_));
        if !is_open {
            return None;
        }
        Some(pattern.allowed(self.room, &request.method).and_then(|it| match it.handler {
            Handler::Open(answer) => answer(store, &base_url()),
            Handler::File(answer) => {
                let name = self.segments.get(1).map_or("", |it| it.as_ref());
                answer(request, name)
            }
            _ => Err(nothing_here(request, None).into()),
        }))
    }

    /// The scopes of the tokens that may ask this; `None` when there is nothing here, and whoever
    /// asks may know it.
    #[must_use]
    pub fn scopes(&self, method: &Method) -> Option<&'static [Scope]> {
        if let Some(pattern) = self.pattern() {
            let row = pattern.row(method).or(pattern.rows.first().copied());
            return row.map(|it| it.scopes);
        }
        let guard = segments_of(self.room.guard);
        // Nobody is told what is below a path that cannot be read.
        let below = !self.readable || begins(self.room, &guard, &self.segments);
        (below && guard.first() == Some(&self.room.first)).then_some(self.room.scopes)
    }

    /// What the view is opened for in which the token is read, and whether rows are read in it
    /// before anything else, and soon.
    #[must_use]
    pub fn need(&self, method: &Method) -> (Need, bool) {
        let row = self.pattern().and_then(|it| it.row(method));
        let (reads_rows, changes) = row.map_or((false, false), |it| match it.handler {
            Handler::List(_) | Handler::Named(_) => (method.is_safe(), false),
            Handler::Create(_) => (false, true),
            // A change is judged by what is read, before its turn to write.
            Handler::Resource(_) if matches!(method, Method::Put | Method::Patch) => (true, true),
            Handler::Resource(_) => (method.is_safe(), false),
            _ => (false, false),
        });
        let purpose = match self.room.quick || !reads_rows {
            true => Purpose::Quick,
            false => Purpose::Shared,
        };
        let last_change = self.room.quick || reads_rows;
        (Need { purpose, changes, last_change }, reads_rows)
    }

    /// The answer to a request whose token may ask it.
    ///
    /// # Errors
    /// 404 where there is nothing, 405 for a method that cannot be used, and what the handler
    /// returns.
    pub fn answer(&self, context: &Context, request: &Request) -> Result<Response, Failure> {
        if !self.readable {
            return Err(nothing_here(request, None).into());
        }
        answer(self.room, context, request, &self.segments, self.pattern)
    }

    /// 404, in words for whoever asked without a token.
    #[must_use]
    pub fn nothing_here(&self, request: &Request) -> Error {
        nothing_here(request, None)
    }

    /// What the request is about, by these definitions.
    #[must_use]
    pub fn about(&self, definitions: &Definitions) -> About {
        about(self.room, if self.readable { &self.segments } else { &[] }, definitions)
    }

    fn pattern(&self) -> Option<&'static Pattern> {
        PATTERNS.get(self.pattern?)
    }
}

/// Whether nobody may keep a request with this path waiting, judged by the path as it was sent: one
/// that is percent-encoded where it need not be is not quick, and [`Router::locate`] finds it.
#[must_use]
pub fn is_quick(path: &str) -> bool {
    let mut segments = path.split('/').filter(|it| !it.is_empty());
    let room = room_that_begins_with(segments.next().unwrap_or_default());
    let is_long = |it: &str| it.contains('%') || room.long.contains(&it);
    room.quick && !segments.nth(1).is_some_and(is_long)
}

fn room_that_begins_with(first: &str) -> &'static Room {
    ROOMS.iter().find(|it| it.first == first).unwrap_or(&ELSEWHERE)
}

/// Answers a request below `/scim/v2` whose path has these segments behind that: an operation of a
/// Bulk request (RFC 7644 section 3.7).
///
/// # Errors
/// As [`Located::answer`].
pub fn dispatch(
    context: &Context,
    request: &Request,
    segments: &[String],
) -> Result<Response, Failure> {
    answer(&ROOMS[0], context, request, &below_base(segments), Some(0))
}

/// What an operation of a Bulk request is about, whose path has these segments behind `/scim/v2`.
#[must_use]
pub fn about_operation(segments: &[String], definitions: &Definitions) -> About {
    about(&ROOMS[0], &below_base(segments), definitions)
}

/// The whole path of an operation.
fn below_base(segments: &[String]) -> Vec<&str> {
    segments_of(SCIM_BASE).into_iter().chain(segments.iter().map(String::as_str)).collect()
}

fn about(room: &Room, path: &[impl AsRef<str>], definitions: &Definitions) -> About {
    let Some((_, fit)) = fit(room, path, Some(definitions), 0) else {
        let first = if room.first.is_empty() { "" } else { "/" };
        return About { path: format!("{first}{}/…", room.first), ..About::default() };
    };
    let endpoint = fit.resource_type.map_or("", |it| &it.endpoint);
    let pattern = fit.pattern.path;
    let id = pattern.ends_with("/{id}").then(|| path.last().map(|it| it.as_ref().to_owned()));
    About {
        path: pattern.replace("{type}", endpoint),
        resource_type: fit.resource_type.map(|it| it.name.clone()),
        id: id.flatten(),
    }
}

fn answer(
    room: &Room,
    context: &Context,
    request: &Request,
    path: &[impl AsRef<str>],
    first_pattern: Option<usize>,
) -> Result<Response, Failure> {
    // What no pattern fits without definitions, none fits with them.
    let found = first_pattern.and_then(|it| fit(room, path, Some(context.definitions), it));
    let Some((_, fit)) = found else {
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        return Err(nothing_here(request, Some((&path, context.definitions))).into());
    };
    let last = path.last().map_or("", AsRef::as_ref);
    if let Some(resource_type) = fit.resource_type
        && path.len() == SCIM_BASE_SEGMENTS + 2
        && is_endpoint(last, context.definitions)
    {
        return Err(wrong_base(request, resource_type, last).into());
    }
    let row = fit.pattern.allowed(room, &request.method)?;
    let wrong_row = || Failure::from(nothing_here(request, None));
    match row.handler {
        Handler::Open(answer) => answer(context.store, context.base_url),
        Handler::File(answer) => answer(request, last),
        Handler::Fixed(answer) => answer(context, request),
        Handler::Named(answer) => answer(context, request, named(fit.pattern.path, path)),
        Handler::List(answer) => match fit.resource_type {
            Some(it) => answer(context, &[it], request),
            None => answer(context, &context.definitions.all_types(), request),
        },
        Handler::Create(answer) => {
            answer(context, fit.resource_type.ok_or_else(wrong_row)?, request)
        }
        Handler::Resource(answer) => {
            answer(context, fit.resource_type.ok_or_else(wrong_row)?, request, last)
        }
    }
}

/// The segment that the pattern has in braces: most often the last one.
fn named<'p>(pattern: &str, path: &'p [impl AsRef<str>]) -> &'p str {
    let last = || path.len().saturating_sub(1);
    let at = match pattern.ends_with('}') {
        true => last(),
        false => {
            let mut segments = pattern.split('/').filter(|it| !it.is_empty());
            segments.position(|it| it.starts_with('{')).unwrap_or_else(last)
        }
    };
    path.get(at).map_or("", AsRef::as_ref)
}

/// The first pattern that this path has, from this one on, and its index. Without definitions,
/// every segment is the endpoint of a type.
fn fit<'d>(
    room: &Room,
    path: &[impl AsRef<str>],
    definitions: Option<&'d Definitions>,
    from: usize,
) -> Option<(usize, Fit<'d>)> {
    PATTERNS.iter().enumerate().skip(from).find_map(|(index, pattern)| {
        let segments = match pattern.segments.split_last() {
            Some((&"{rest}", before)) if path.len() >= before.len() => before,
            _ if pattern.segments.len() == path.len() => &pattern.segments,
            _ => return None,
        };
        let mut resource_type = None;
        let mut pairs = segments.iter().zip(path).enumerate();
        let fits = pairs.all(|(i, (expected, given))| match *expected {
            "{type}" => match definitions {
                Some(it) => {
                    resource_type = it.at_endpoint(given.as_ref());
                    resource_type.is_some()
                }
                None => true,
            },
            it if it.starts_with('{') => true,
            it => same(room, i, it, given.as_ref()),
        });
        fits.then_some((index, Fit { pattern, resource_type }))
    })
}

impl Pattern {
    /// The row for this method.
    fn row(&self, method: &Method) -> Option<&'static Route> {
        let name = if *method == Method::Head { "GET" } else { method.name() };
        self.rows.iter().find(|it| it.method == name || it.method == "*").copied()
    }

    /// The row for this method, or what is answered where there is none.
    fn allowed(&self, room: &Room, method: &Method) -> Result<&'static Route, Failure> {
        if let Some(row) = self.row(method) {
            return Ok(row);
        }
        let rows = self.rows.iter();
        let methods = rows.map(|it| if it.method == "GET" { "GET, HEAD" } else { it.method });
        let allowed = methods.collect::<Vec<_>>().join(", ");
        let detail = match allowed.as_str() {
            "GET, HEAD" if !room.activated => "Only GET can be used here.".to_owned(),
            allowed => format!("This method cannot be used here; these can: {allowed}."),
        };
        Err(Failure::MethodNotAllowed(Error::new(405, detail), allowed))
    }
}

/// 404 that says what there is instead. Below `/scim/v2` names are those of the organisation's
/// resource types.
fn nothing_here(request: &Request, asked: Option<(&[&str], &Definitions)>) -> Error {
    let path = quoted(&request.path);
    let detail = match asked {
        Some((segments, definitions)) if segments.starts_with(&segments_of(SCIM_BASE)) => {
            let below = below_scim(definitions);
            format!(
                "There is nothing at {path}. The base URL of the connector ends with {SCIM_BASE}; \
                 below it are {below}."
            )
        }
        Some((segments, _)) if segments.first() != Some(&"scim") => {
            let routes =
                ROUTES.iter().filter(|it| segments_of(it.path).first() == segments.first());
            let known: Vec<_> = routes.map(|it| format!("{} {}", it.method, it.path)).collect();
            format!("There is nothing at {path}; ask {}.", known.join(" or "))
        }
        _ => {
            format!(
                "There is nothing at {path}. The base URL of the connector ends with {SCIM_BASE}."
            )
        }
    };
    Error::new(404, detail)
}

/// Whether a segment names what stands directly below `/scim/v2`; no id is such a name.
fn is_endpoint(segment: &str, definitions: &Definitions) -> bool {
    definitions.at_endpoint(segment).is_some()
        || FIXED.iter().any(|it| it.eq_ignore_ascii_case(segment))
}

/// 404 for a connector whose base URL goes on behind `/scim/v2`.
fn wrong_base(request: &Request, resource_type: &ResourceType, last: &str) -> Error {
    let detail = format!(
        "There is nothing at {}: \"{}\" stands where the id of a {} belongs. The base URL of the \
         connector must end with {SCIM_BASE}, without /{} behind it.",
        quoted(&request.path),
        quoted(last),
        resource_type.name,
        resource_type.endpoint
    );
    Error::new(404, detail)
}

/// What there is directly below `/scim/v2`, for people: the resource types first.
fn below_scim(definitions: &Definitions) -> String {
    let types = definitions.resource_types.iter().map(|it| format!("/{}", it.endpoint));
    let mut names: Vec<String> = types.collect();
    for route in ROUTES {
        let rest = route.path.strip_prefix(SCIM_BASE).unwrap_or_default();
        let plain = rest.len() > 1 && !rest[1..].contains(['/', '{', '.']);
        let singular = ROUTES.iter().any(|it| format!("{}s", it.path) == route.path);
        if plain && !singular && !names.iter().any(|it| it == rest) {
            names.push(rest.to_owned());
        }
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Whether a path begins with the segments of a pattern that names none. Identity providers spell
/// the endpoints of SCIM in every letter case; the base URL is spelled as it is.
fn begins(room: &Room, pattern: &[impl AsRef<str>], path: &[impl AsRef<str>]) -> bool {
    let mut pairs = pattern.iter().zip(path).enumerate();
    pattern.len() <= path.len() && pairs.all(|(i, (a, b))| same(room, i, a.as_ref(), b.as_ref()))
}

fn same(room: &Room, index: usize, pattern: &str, given: &str) -> bool {
    match room.activated && index >= SCIM_BASE_SEGMENTS {
        true => pattern.eq_ignore_ascii_case(given),
        false => pattern == given,
    }
}

fn segments_of(path: &str) -> Vec<&str> {
    path.split('/').filter(|it| !it.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::own_type::FIXED_ENDPOINTS;

    fn router() -> Router {
        Router::new(&Definitions::builtin(IdentityChanges::Refuse))
    }

    #[test]
    fn each_path_has_the_name_of_its_route() {
        let router = router();
        for (path, expected) in [
            ("/scim/v2/Users", "/scim/v2/Users"),
            ("//scim//v2//users//x", "/scim/v2/Users"),
            ("/scim/v2/Groups/1", "/scim/v2/Groups"),
            ("/scim/v2/bulk/", "/scim/v2/Bulk"),
            ("/scim/v2/Schemas", "/scim"),
            ("/scim", "/scim"),
            ("/scim/v2/.search", "/scim"),
            ("/access/v1/users/bob", "/access"),
            ("/access/v1/changes", "/access/v1/changes"),
            ("/metrics", "/metrics"),
            ("/readyz", "/healthz"),
            ("/", "other"),
            ("/scimmed/v2/Users", "other"),
            ("*", "other"),
            // Decoded once, for every purpose.
            ("/%73cim/v2/Users", "/scim/v2/Users"),
            ("/scim/%ff", "/scim"),
        ] {
            let request = Request::new(Method::Get, path);
            let located = router.locate(&request);
            assert_eq!(router.labels()[located.label], expected, "{path}");
        }
    }

    #[test]
    fn logins_are_quick_and_what_reads_many_rows_is_not() {
        for (path, expected) in [
            ("/access/v1/users/bob%40example.com", true),
            ("/access/v1/users/changes", true),
            ("/access/v1/user", true),
            ("/access/v1/check", true),
            ("//healthz", true),
            ("/access/v1/changes", false),
            ("//access//v1//changes/", false),
            // Perhaps the same, percent-encoded.
            ("/access/v1/%63hanges", false),
            ("/%61ccess/v1/changes", false),
            ("/scim/v2/Users", false),
            ("/metrics", false),
        ] {
            assert_eq!(is_quick(path), expected, "{path}");
        }
    }

    #[test]
    fn every_row_can_be_reached_and_is_guarded() {
        let router = router();
        for route in ROUTES {
            let path = route
                .path
                .replace("{type}", "Users")
                .replace("{rest}", "x")
                .replace(['{', '}'], "");
            let method = Method::from_name(route.method);
            let request = Request::new(method.clone(), &path);
            let located = router.locate(&request);
            let segments = &located.segments;
            let definitions = Definitions::builtin(IdentityChanges::Refuse);
            let (index, fit) = fit(located.room, segments, Some(&definitions), 0).unwrap();
            assert_eq!(fit.pattern.path, route.path, "{path}");
            assert_eq!(located.pattern, Some(index), "{path}");
            let open = matches!(route.handler, Handler::Open(_) | Handler::File(_));
            assert_eq!(route.scopes.is_empty(), open, "{path}");
            let scopes = located.scopes(&method).unwrap();
            assert_eq!(scopes, route.scopes, "{path}");
        }
    }

    #[test]
    fn no_resource_type_can_stand_where_another_route_does() {
        for route in ROUTES {
            let rest = route.path.strip_prefix(SCIM_BASE).unwrap_or_default();
            let Some(first) = segments_of(rest).first().copied() else { continue };
            let fixed = FIXED_ENDPOINTS.contains(&first) || first == "{type}";
            assert!(fixed, "{}", route.path);
        }
    }

    #[test]
    fn what_stands_instead_is_read_from_the_table() {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        assert_eq!(
            below_scim(&definitions),
            "/Users, /Groups, /Bulk, /ServiceProviderConfig, /ResourceTypes and /Schemas"
        );
        let request = Request::new(Method::Get, "/access/v1/nobody");
        let error = nothing_here(&request, Some((&["access", "v1", "nobody"], &definitions)));
        let routes = "ask GET /access/v1/users/{userName} or GET /access/v1/user or GET \
                      /access/v1/check or GET /access/v1/changes.";
        assert!(error.detail.ends_with(routes), "{}", error.detail);
    }
}
