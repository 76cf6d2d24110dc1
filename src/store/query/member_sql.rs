//! Compiles conditions on the members of a group and on the groups of a member to SQL. No document
//! holds them: the table `member` does.
//!
//! The rows are the same that `tables/member.rs` reads for an answer.

use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::Type;
use crate::scim::schema::name::{GROUPS, MEMBERS};
use crate::store::query::expression::Expression;
use crate::store::query::fragment::{Fragment, bound, sql};

/// An attribute whose values are rows of the table `member`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// The members of a group.
    Members,
    /// The groups of a member, also those it is in through other groups.
    Groups,
}

impl Membership {
    /// The membership that an attribute holds, if it is one of the two.
    pub(crate) fn of(target: &Target) -> Option<Membership> {
        let attribute = &target.attribute;
        if attribute.kind != Type::Complex || !attribute.multi_valued {
            return None;
        }
        match () {
            () if target.is_core(MEMBERS) => Some(Membership::Members),
            () if target.is_core(GROUPS) => Some(Membership::Groups),
            () => None,
        }
    }

    /// The FROM clause whose rows are the values: each has the resource at the other end of the
    /// membership as `linked`.
    pub(crate) fn rows(self) -> Fragment {
        match self {
            Membership::Members => self.rows_for_presence(),
            Membership::Groups => sql(
                "(WITH RECURSIVE up (grp, distance) AS (
                    SELECT member.grp, 0 FROM member
                    JOIN resource AS live ON live.seq = member.grp AND live.deleted IS NULL
                    WHERE member.resource = resource.seq
                    UNION
                    SELECT member.grp, 1 FROM up
                    JOIN member ON member.resource = up.grp
                    JOIN resource AS live ON live.seq = member.grp AND live.deleted IS NULL
                 )
                 SELECT grp, min(distance) AS distance FROM up GROUP BY grp) AS held
                 JOIN resource AS linked ON linked.seq = held.grp",
                [],
            ),
        }
    }

    /// Cheaper rows for a test of presence: there are some when [`Membership::rows`] has some.
    pub(crate) fn rows_for_presence(self) -> Fragment {
        match self {
            Membership::Members => sql(
                "member JOIN resource AS linked
                 ON linked.seq = member.resource AND member.grp = resource.seq",
                [],
            ),
            Membership::Groups => sql(
                "member JOIN resource AS linked ON linked.seq = member.grp
                 AND linked.deleted IS NULL AND member.resource = resource.seq",
                [],
            ),
        }
    }

    /// The expression for a sub-attribute in these rows.
    pub(crate) fn sub_attribute(self, sub: &str, locations: &[(String, String)]) -> Expression {
        match (sub, self) {
            // The folded form of an id is the id, so an index finds it in any letter case.
            ("value", _) => Expression::column("linked.id", true),
            ("$ref", _) => Expression::typed(location(locations)),
            ("display", _) => Expression::typed(sql("linked.display", [])),
            ("type", Membership::Members) => Expression::typed(sql("linked.type", [])),
            ("type", Membership::Groups) => {
                Expression::typed(sql("iif(held.distance = 0, 'direct', 'indirect')", []))
            }
            _ => Expression::typed(sql("NULL", [])),
        }
    }

    /// Whether one of the values has this id. The search starts at that id, instead of asking every
    /// resource.
    pub(crate) fn has_id(self, id: &str) -> Fragment {
        let id = bound(id.to_owned());
        match self {
            Membership::Members => sql(
                "(resource.seq IN (SELECT member.grp FROM resource AS linked
                    JOIN member ON member.resource = linked.seq WHERE linked.id = @))",
                [&id],
            ),
            Membership::Groups => sql(
                "(resource.seq IN (WITH RECURSIVE down (grp) AS (
                    SELECT linked.seq FROM resource AS linked
                    WHERE linked.id = @ AND linked.deleted IS NULL
                    UNION
                    SELECT member.resource FROM down
                    JOIN member ON member.grp = down.grp
                    JOIN resource AS linked
                        ON linked.seq = member.resource AND linked.deleted IS NULL
                 )
                 SELECT member.resource FROM down JOIN member ON member.grp = down.grp))",
                [&id],
            ),
        }
    }
}

/// The `$ref` of the resource in a row `linked`.
fn location(locations: &[(String, String)]) -> Fragment {
    let mut bases = sql("''", []);
    for (name, base) in locations {
        let (name, base) = (bound(name.clone()), bound(base.clone()));
        bases = sql("iif(linked.type = @, @, @)", [&name, &base, &bases]);
    }
    sql("(@ || linked.id)", [&bases])
}

#[cfg(test)]
mod tests;
