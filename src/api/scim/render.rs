//! Resources as answers: what is computed is fetched, what the client did not ask for is left out.

use std::collections::HashMap;

use serde_json::Map;

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::response::{Response, SCIM_JSON};
use crate::scim::membership;
use crate::scim::meta::Meta;
use crate::scim::print::to_text;
use crate::scim::resource::{self, META_BYTES};
use crate::scim::returned::{self, Projection};
use crate::scim::schema::name::{GROUPS, MEMBERS};
use crate::scim::schema::resource_type::ResourceType;
use crate::store::error::Error;
use crate::store::tables::member::Linked;
use crate::store::tables::resource::{Shown, Stored};
use crate::store::transaction::Read;

/// The largest group whose members stand in the answer to a PATCH that did not ask for them: of a
/// larger one a change would cost what the group has, and not what it changes.
const MEMBERS_IN_PATCH_MAX: usize = 100;

/// What a client asked to see, and of what.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The resource type.
    pub resource_type: &'a ResourceType,
    /// The URL of the resources of the type, with a trailing slash.
    pub location_base: &'a str,
    /// The attributes; all of them when there is none.
    pub projection: Option<&'a Projection>,
    /// Whether a large group may be answered without its members.
    pub brief: bool,
    /// Whether documents may hold what the answer must not show.
    pub hides: bool,
}

impl View<'_> {
    fn shows(&self, name: &str) -> bool {
        self.projection.is_none_or(|it| it.shows(name))
    }

    /// Whether members are a part of what is asked for.
    #[must_use]
    pub fn shows_members(&self) -> bool {
        membership::has_members(self.resource_type) && self.shows(MEMBERS)
    }

    /// Whether groups are.
    #[must_use]
    pub fn shows_groups(&self) -> bool {
        membership::has_groups(self.resource_type) && self.shows(GROUPS)
    }

    /// Whether documents are shown as they are stored.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.projection.is_none() && !self.hides
    }

    /// One resource as JSON, with its members or groups. Needs no transaction.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the file was changed by other hands.
    pub fn print(&self, context: &Context, shown: Shown, links: &Links) -> Result<String, Error> {
        let meta = self.meta(shown);
        let location = |it: &Linked| location(context, it);
        if self.is_plain() {
            let bytes = shown.document.len() + links.bytes() + META_BYTES;
            let mut text = String::with_capacity(bytes);
            resource::begin(&mut text, shown.document);
            if let Some(members) = &links.members {
                membership::write_list(
                    &mut text,
                    MEMBERS,
                    members.iter().map(|it| {
                        (
                            it.id.as_str(),
                            it.resource_type.as_str(),
                            it.display.as_deref(),
                            location(it),
                        )
                    }),
                );
            }
            if let Some(groups) = &links.groups {
                membership::write_list(
                    &mut text,
                    GROUPS,
                    groups.iter().map(|it| {
                        (
                            it.id.as_str(),
                            membership::nearness(it.direct),
                            it.display.as_deref(),
                            location(it),
                        )
                    }),
                );
            }
            resource::end(&mut text, &meta);
            return Ok(text);
        }
        let mut computed = Map::new();
        if let Some(members) = &links.members {
            let member = |it: &Linked| {
                membership::member(&it.id, &it.resource_type, it.display.as_deref(), &location(it))
            };
            computed.insert(MEMBERS.to_owned(), members.iter().map(member).collect());
        }
        if let Some(groups) = &links.groups {
            let group = |it: &Linked| {
                membership::group(&it.id, it.display.as_deref(), &location(it), it.direct)
            };
            computed.insert(GROUPS.to_owned(), groups.iter().map(group).collect());
        }
        let document = Stored::parse_text(shown.id, shown.document)?;
        let whole = resource::whole(document, computed, &meta);
        let visible = returned::shown(whole, self.projection, self.resource_type);
        Ok(to_text(&visible))
    }

    /// One resource as a response, with where it is and its version.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn answer(
        &self,
        context: &Context,
        tx: &Read,
        status: u16,
        stored: &Stored,
    ) -> Result<Response, Failure> {
        let links = self.links(context, tx, &[stored.seq])?;
        let links = links.into_values().next().unwrap_or_default();
        self.respond(context, status, stored, &links)
    }

    /// The same for one whose members or groups are known. Needs no transaction.
    ///
    /// # Errors
    /// As [`View::print`].
    pub fn respond(
        &self,
        context: &Context,
        status: u16,
        stored: &Stored,
        links: &Links,
    ) -> Result<Response, Failure> {
        let body = self.print(context, stored.shown(), links)?;
        Ok(self.headers(scim_response(status, body), stored))
    }

    /// A response with the header fields of an answer about one resource (RFC 7644 sections 3.1 and
    /// 3.14).
    #[must_use]
    pub fn headers(&self, response: Response, stored: &Stored) -> Response {
        let meta = self.meta(stored.shown());
        let location = meta.location();
        response
            .with_header("ETag", meta.version_tag())
            .with_header("Location", location.clone())
            .with_header("Content-Location", location)
    }

    /// The metadata of a resource.
    #[must_use]
    pub fn meta<'a>(&'a self, shown: Shown<'a>) -> Meta<'a> {
        Meta {
            resource_type: &self.resource_type.name,
            created: shown.created,
            last_modified: shown.last_modified,
            location_base: self.location_base,
            id: shown.id,
            version: shown.version,
        }
    }

    /// What no document holds: `members` of groups, `groups` of members, by the number of the
    /// resource's row; fetched for all at once.
    ///
    /// # Errors
    /// Failures of the store, and 503 when others have the memory that a large group needs.
    pub fn links(
        &self,
        context: &Context,
        tx: &Read,
        seqs: &[i64],
    ) -> Result<HashMap<i64, Links>, Failure> {
        let mut links = self.members(context, tx, seqs)?;
        if self.shows_groups() {
            for (seq, groups) in tx.groups(seqs)? {
                links.entry(seq).or_default().groups = Some(groups);
            }
        }
        Ok(links)
    }

    /// The same without `groups`.
    ///
    /// # Errors
    /// As [`View::links`].
    pub fn members(
        &self,
        context: &Context,
        tx: &Read,
        seqs: &[i64],
    ) -> Result<HashMap<i64, Links>, Failure> {
        let mut links: HashMap<i64, Links> = HashMap::new();
        if self.shows_members() {
            let brief = self.brief && self.projection.is_none();
            let most = if brief { MEMBERS_IN_PATCH_MAX as i64 + 1 } else { -1 };
            if !brief {
                let bytes = if self.projection.is_none() { 400 } else { LINK_VALUE_BYTES };
                context.try_take(tx.count_members(seqs)?.saturating_mul(bytes))?;
            }
            let mut found = tx.members(seqs, most)?;
            for seq in seqs {
                let members = found.remove(seq).unwrap_or_default();
                if brief && members.len() > MEMBERS_IN_PATCH_MAX {
                    continue;
                }
                // Always an array, also an empty one: clients add to what they read.
                links.entry(*seq).or_default().members = Some(members);
            }
        }
        Ok(links)
    }
}

/// The other ends of a resource's memberships.
#[derive(Debug, Default)]
pub struct Links {
    /// The members of a group; `None` where they are not shown.
    pub members: Option<Vec<Linked>>,
    /// The groups of a member; `None` where there are none, or they are not shown.
    pub groups: Option<Vec<Linked>>,
}

/// What a link takes in an answer or in memory, in bytes, without a long name.
pub const LINK_BYTES: usize = 240;
/// What it takes as a JSON value, while a resource of which not everything is shown is printed.
pub const LINK_VALUE_BYTES: usize = 1_400;

impl Links {
    /// About how many bytes they take in an answer.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let links = self.members.iter().chain(&self.groups).flatten();
        links.map(|it| LINK_BYTES + it.display.as_ref().map_or(0, String::len)).sum()
    }
}

/// A response with a SCIM body.
#[must_use]
pub fn scim_response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response::new(status, SCIM_JSON, body.into())
}

/// The URL of a member or a group.
#[must_use]
pub fn location(context: &Context, linked: &Linked) -> String {
    let found = context.definitions.resource_type(&linked.resource_type);
    found.map(|it| context.location_base(it)).unwrap_or_default() + &linked.id
}
