//! Every route plumm has, in one table. Who asks decides the room: the identity provider, the
//! application, whoever looks after an organisation, or whoever runs the server.
//!
//! The router, the `Allow` field of a 405, the route names of the metrics and the answers that say
//! what there is instead of an unknown path are all made from this table.

pub mod access;
pub mod admin;
pub mod body;
pub mod context;
pub mod failure;
pub mod operations;
pub mod pages;
pub mod refused;
pub mod router;
pub mod scim;
pub mod waiting;

use crate::api::access::{changes, check, login};
use crate::api::admin::{
    activity, backup, export, files, groups, overview, people, setup, tokens, webhooks,
};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::operations::{health, metrics, openapi};
use crate::api::scim::{bulk, discovery, query, resource};
use crate::http::request::Request;
use crate::http::response::{JSON, Response, SCIM_JSON};
use crate::scim::schema::resource_type::ResourceType;
use crate::store::Store;
use crate::store::tables::token::Scope;

/// What answers a request, by what it needs of the path.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Needs no token and no organisation; has the URL of `/scim/v2` as the client sees it.
    Open(fn(&Store, &str) -> Result<Response, Failure>),
    /// Needs no token, and of the path the last segment behind the room, if there is one: a file.
    File(fn(&Request, &str) -> Result<Response, Failure>),
    /// Needs nothing of the path.
    Fixed(fn(&Context, &Request) -> Result<Response, Failure>),
    /// Needs the segment of the path that the pattern has in braces: a name.
    Named(fn(&Context, &Request, &str) -> Result<Response, Failure>),
    /// Lists resources of the type in the path, or of all types where the path has none.
    List(fn(&Context, &[&ResourceType], &Request) -> Result<Response, Failure>),
    /// Needs the resource type in the path.
    Create(fn(&Context, &ResourceType, &Request) -> Result<Response, Failure>),
    /// Needs the resource type in the path, and the id in its last segment.
    Resource(fn(&Context, &ResourceType, &Request, &str) -> Result<Response, Failure>),
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method; `GET` stands for HEAD too, and `*` for every method.
    pub method: &'static str,
    /// The path. `{type}` is the endpoint of a resource type, another name in braces any one
    /// segment, and `{rest}` any number of them. Of two patterns that fit, the upper one counts.
    pub path: &'static str,
    /// The scopes of the tokens that may ask; empty for a handler that needs no token.
    pub scopes: &'static [Scope],
    /// What the metrics call the route.
    pub label: &'static str,
    /// What answers.
    pub handler: Handler,
}

/// What all paths that begin with the same segment have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    /// The first segment.
    pub first: &'static str,
    /// The path below which everything needs a token, also what is not there; empty for none.
    pub guard: &'static str,
    /// The scopes of the tokens that learn that there is nothing.
    pub scopes: &'static [Scope],
    /// Whether the organisation must be activated.
    pub activated: bool,
    /// The media type of errors.
    pub media_type: &'static str,
    /// Whether answers are kept out of caches.
    pub no_store: bool,
    /// Whether nobody may keep its requests waiting: logins, and whether the server is there.
    pub quick: bool,
    /// What in a quick room is not quick, since it reads as many rows as it is asked for: the
    /// segments behind the version.
    pub long: &'static [&'static str],
}

const SCIM: &[Scope] = &[Scope::Scim];
/// What reads under `/scim`.
const SCIM_READ: &[Scope] = &[Scope::Scim, Scope::Read];
const ACCESS: &[Scope] = &[Scope::Access, Scope::Read];
const READ: &[Scope] = &[Scope::Read];
const ADMIN: &[Scope] = &[Scope::Admin];

/// The rooms. A path that begins with none of these is in [`ELSEWHERE`].
pub const ROOMS: &[Room] = &[
    Room {
        first: "scim",
        guard: "/scim",
        scopes: SCIM_READ,
        activated: true,
        media_type: SCIM_JSON,
        no_store: true,
        quick: false,
        long: &[],
    },
    Room {
        first: "access",
        guard: "/access/v1",
        scopes: ACCESS,
        activated: false,
        media_type: JSON,
        no_store: true,
        quick: true,
        long: &["changes"],
    },
    Room { first: "admin", guard: "/admin/api", scopes: ADMIN, no_store: true, ..OPEN },
    Room { first: "metrics", no_store: true, ..OPEN },
    // It says the host that the client has named.
    Room { first: "openapi.json", no_store: true, ..OPEN },
    Room { first: "healthz", quick: true, ..OPEN },
    Room { first: "readyz", quick: true, ..OPEN },
];

/// Where there is nothing at all. An identity provider with a mistyped base URL ends here.
pub const ELSEWHERE: Room = Room { media_type: SCIM_JSON, ..OPEN };

const OPEN: Room = Room {
    first: "",
    guard: "",
    scopes: &[],
    activated: false,
    media_type: JSON,
    no_store: false,
    quick: false,
    long: &[],
};

/// The base URL of the connector: the path below which RFC 7644 section 3.2 puts everything.
pub const SCIM_BASE: &str = "/scim/v2";

/// All routes. Within a pattern the rows stand in the order of `Allow`.
pub const ROUTES: &[Route] = &[
    // Several operations at once, section 3.7.
    Route { label: "/scim/v2/Bulk", ..scim("POST", "/scim/v2/Bulk", Handler::Fixed(bulk::bulk)) },
    // Discovery, RFC 7644 section 4. Okta's on-premises agent and SailPoint use the plural.
    scim(
        "GET",
        "/scim/v2/ServiceProviderConfig",
        Handler::Fixed(discovery::service_provider_config),
    ),
    scim(
        "GET",
        "/scim/v2/ServiceProviderConfigs",
        Handler::Fixed(discovery::service_provider_config),
    ),
    scim("GET", "/scim/v2/ResourceTypes", Handler::Fixed(discovery::resource_types)),
    scim("GET", "/scim/v2/ResourceTypes/{name}", Handler::Named(discovery::resource_type)),
    scim("GET", "/scim/v2/Schemas", Handler::Fixed(discovery::schemas)),
    scim("GET", "/scim/v2/Schemas/{urn}", Handler::Named(discovery::schema)),
    // Over all resource types, sections 3.4.2.1 and 3.4.3.
    scim("GET", "/scim/v2", Handler::List(query::list)),
    scim("POST", "/scim/v2/.search", Handler::List(query::search)),
    // A provisioning token is no user, section 3.11.
    scim("*", "/scim/v2/Me/{rest}", Handler::Fixed(discovery::me)),
    // Resources, sections 3.2 to 3.6.
    resources("GET", "/scim/v2/{type}", Handler::List(query::list)),
    resources("POST", "/scim/v2/{type}", Handler::Create(resource::create)),
    resources("POST", "/scim/v2/{type}/.search", Handler::List(query::search)),
    resources("GET", "/scim/v2/{type}/{id}", Handler::Resource(resource::get)),
    resources("PUT", "/scim/v2/{type}/{id}", Handler::Resource(resource::replace)),
    resources("PATCH", "/scim/v2/{type}/{id}", Handler::Resource(resource::patch)),
    resources("DELETE", "/scim/v2/{type}/{id}", Handler::Resource(resource::delete)),
    // The application, at each login and in between.
    access("/access/v1/users/{userName}", Handler::Named(login::by_user_name)),
    access("/access/v1/user", Handler::Fixed(login::by_key)),
    access("/access/v1/check", Handler::Fixed(check::check)),
    Route {
        scopes: READ,
        label: "/access/v1/changes",
        ..access("/access/v1/changes", Handler::Fixed(changes::list))
    },
    // Whoever looks after the organisation, in a browser.
    admin("GET", "/admin/api/overview", Handler::Fixed(overview::get)),
    admin("GET", "/admin/api/users", Handler::Fixed(people::list)),
    admin("GET", "/admin/api/users/{id}", Handler::Named(people::get)),
    admin("POST", "/admin/api/users/{id}/deactivate", Handler::Named(people::deactivate)),
    admin("POST", "/admin/api/users/{id}/activate", Handler::Named(people::activate)),
    admin("GET", "/admin/api/groups", Handler::Fixed(groups::list)),
    admin("GET", "/admin/api/groups/{id}", Handler::Named(groups::get)),
    admin("GET", "/admin/api/activity", Handler::Fixed(activity::list)),
    admin("GET", "/admin/api/activity.csv", Handler::Fixed(export::csv)),
    admin("GET", "/admin/api/tokens", Handler::Fixed(tokens::list)),
    admin("POST", "/admin/api/tokens", Handler::Fixed(tokens::create)),
    admin("POST", "/admin/api/tokens/{id}/revoke", Handler::Named(tokens::revoke)),
    admin("GET", "/admin/api/webhooks", Handler::Fixed(webhooks::list)),
    admin("GET", "/admin/api/webhooks/{id}", Handler::Named(webhooks::get)),
    admin("POST", "/admin/api/webhooks/{id}/enable", Handler::Named(webhooks::enable)),
    admin("POST", "/admin/api/webhooks/{id}/disable", Handler::Named(webhooks::disable)),
    admin("POST", "/admin/api/webhooks/{id}/replay", Handler::Named(webhooks::replay)),
    admin("POST", "/admin/api/webhooks/{id}/test", Handler::Named(webhooks::test)),
    admin("GET", "/admin/api/backup", Handler::Fixed(backup::get)),
    admin("POST", "/admin/api/backup/snapshot", Handler::Fixed(backup::snapshot)),
    admin("GET", "/admin/api/setup", Handler::Fixed(setup::get)),
    Route { label: "/admin", ..open("/admin", Handler::File(files::file)) },
    Route { label: "/admin", ..open("/admin/{file}", Handler::File(files::file)) },
    Route {
        method: "GET",
        path: "/metrics",
        scopes: ADMIN,
        label: "/metrics",
        handler: Handler::Fixed(metrics::get),
    },
    open("/healthz", Handler::Open(health::alive)),
    open("/readyz", Handler::Open(health::ready)),
    Route { label: "/openapi.json", ..open("/openapi.json", Handler::Open(openapi::description)) },
];

const fn scim(method: &'static str, path: &'static str, handler: Handler) -> Route {
    Route { method, path, scopes: scim_scopes(method, handler), label: "/scim", handler }
}

const fn resources(method: &'static str, path: &'static str, handler: Handler) -> Route {
    Route { method, path, scopes: scim_scopes(method, handler), label: "/scim/v2/{type}", handler }
}

/// Under `/scim`, who only reads may send GET, and a search by POST; to any other method the answer
/// is the same for all.
const fn scim_scopes(method: &str, handler: Handler) -> &'static [Scope] {
    match (method.as_bytes(), handler) {
        (b"GET" | b"*", _) | (_, Handler::List(_)) => SCIM_READ,
        _ => SCIM,
    }
}

const fn access(path: &'static str, handler: Handler) -> Route {
    Route { method: "GET", path, scopes: ACCESS, label: "/access", handler }
}

const fn admin(method: &'static str, path: &'static str, handler: Handler) -> Route {
    Route { method, path, scopes: ADMIN, label: "/admin/api", handler }
}

const fn open(path: &'static str, handler: Handler) -> Route {
    Route { method: "GET", path, scopes: &[], label: "/healthz", handler }
}
