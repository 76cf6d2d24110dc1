//! What each line of the log means, by what was before and after.

use serde_json::json;

use super::*;
use crate::scim::changes::Changes;
use crate::scim::identity::IdentityChanges;

/// A line and what it means: the names of the events, each with the names of what it says changed.
type Row<'a> = (&'a str, Value, &'a [(&'a str, &'a [&'a str])]);

#[track_caller]
fn check(subject: Subject, rows: &[Row]) {
    for (method, line, expected) in rows {
        let found = events(subject, method, line.as_object().unwrap());
        let found: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|it| (it.kind.name(), it.changed.keys().map(String::as_str).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> =
            expected.iter().map(|(name, changed)| (*name, changed.to_vec())).collect();
        assert_eq!(found, expected, "{method} {line}");
    }
}

/// The changes of a line, from the document before and after.
fn between(before: &Value, after: &Value) -> Value {
    Changes::between(before.as_object().unwrap(), after.as_object().unwrap()).to_value()
}

#[test]
fn what_becomes_of_accounts() {
    let ann = json!({"id": "1", "userName": "ann@example.com", "active": true});
    let off = json!({"id": "1", "userName": "ann@example.com", "active": false});
    let unset = json!({"id": "1", "userName": "ann@example.com"});
    let renamed = json!({"id": "1", "userName": "ann@example.com", "active": true, "title": "x"});
    let both = json!({"id": "1", "userName": "ann@example.com", "active": false, "title": "x"});
    let none = json!({});
    let created: &[(&str, &[&str])] = &[("user.created", &["active", "userName"])];
    let deactivated: &[(&str, &[&str])] = &[("user.deactivated", &["active"])];
    let reactivated: &[(&str, &[&str])] = &[("user.reactivated", &["active"])];
    check(
        Subject::User,
        &[
            ("POST", between(&none, &ann), created),
            ("POST", between(&none, &off), created),
            ("PUT", between(&ann, &renamed), &[("user.updated", &["title"])]),
            ("PATCH", between(&renamed, &ann), &[("user.updated", &["title"])]),
            ("PATCH", between(&ann, &off), deactivated),
            ("PUT", between(&ann, &unset), deactivated),
            ("deactivate", between(&ann, &off), deactivated),
            ("PATCH", between(&off, &ann), reactivated),
            ("PUT", between(&unset, &ann), reactivated),
            // Neither may log in.
            ("PUT", between(&off, &unset), &[("user.updated", &["active"])]),
            // Two things at once: first what counts at login.
            (
                "PUT",
                between(&ann, &both),
                &[("user.deactivated", &["active"]), ("user.updated", &["title"])],
            ),
            (
                "PATCH",
                between(&both, &ann),
                &[("user.reactivated", &["active"]), ("user.updated", &["title"])],
            ),
            // What was asked for and passed over has not changed.
            (
                "PATCH",
                json!({"active": {"before": true, "after": false},
                    "passedOver": {"userName": "deleted-ann@example.com"}}),
                deactivated,
            ),
            ("DELETE", json!({}), &[("user.deleted", &[])]),
            ("DELETE", json!({"groups": {"removed": ["9"]}}), &[("user.deleted", &["groups"])]),
            ("restore", json!({}), &[("user.restored", &[])]),
            ("purge", json!({}), &[("user.purged", &[])]),
            // After a purge: that something happened stays.
            ("POST", json!({}), &[("user.created", &[])]),
            ("PATCH", json!({}), &[("user.updated", &[])]),
        ],
    );
}

#[test]
fn what_becomes_of_groups() {
    let staff = json!({"id": "9", "schemas": ["x"], "displayName": "Staff"});
    let team = json!({"id": "9", "schemas": ["x"], "displayName": "Team"});
    let with = |mut changes: Value, members: Value| {
        changes["members"] = members;
        changes
    };
    let added = json!({"added": ["1"]});
    let none = json!({});
    check(
        Subject::Group,
        &[
            ("POST", between(&none, &staff), &[("group.created", &["displayName"])]),
            (
                "POST",
                with(between(&none, &staff), added.clone()),
                &[("group.created", &["displayName"]), ("group.members_changed", &["members"])],
            ),
            ("PUT", between(&staff, &team), &[("group.updated", &["displayName"])]),
            ("PATCH", json!({"members": added}), &[("group.members_changed", &["members"])]),
            (
                "PUT",
                with(between(&staff, &team), json!({"added": ["1"], "removed": ["2"]})),
                &[("group.updated", &["displayName"]), ("group.members_changed", &["members"])],
            ),
            ("DELETE", json!({}), &[("group.deleted", &[])]),
        ],
    );
}

/// A line that was too long is told as what it is, and says that it is not the whole of it.
#[test]
fn what_was_left_out_of_a_line_is_said_by_the_event_that_it_belongs_to() {
    let off = json!({"before": true, "after": false});
    let members = json!({"leftOut": 780_000});
    let attributes = json!({"names": 70_000, "bytes": 9_000_000});
    let short = json!({"before": null, "after": "x"});
    let whole = |subject, method, line: Value| {
        let found = events(subject, method, line.as_object().unwrap());
        let told = found.into_iter().map(|it| {
            let changed: Vec<String> = it.changed.keys().cloned().collect();
            format!("{} {} {}", it.kind.name(), changed.join(","), !it.incomplete)
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(
        whole(Subject::Group, "POST", json!({"displayName": short, "members": members})),
        ["group.created displayName true", "group.members_changed members false"]
    );
    assert_eq!(
        whole(Subject::Group, "PATCH", json!({"members": {"added": ["1"]}, "leftOut": attributes})),
        ["group.updated  false", "group.members_changed members true"]
    );
    assert_eq!(
        whole(Subject::User, "PUT", json!({"active": off, "title": {"leftOut": 70_000}})),
        ["user.deactivated active true", "user.updated title false"]
    );
    assert_eq!(
        whole(Subject::User, "PUT", json!({"active": off, "leftOut": attributes})),
        ["user.deactivated active true", "user.updated  false"]
    );
    assert_eq!(
        whole(Subject::User, "DELETE", json!({"groups": {"leftOut": 70_000}})),
        ["user.deleted groups false"]
    );
    // An attribute of this name is one like any other.
    assert_eq!(
        whole(Subject::User, "PUT", json!({"leftOut": short})),
        ["user.updated leftOut true"]
    );
}

#[test]
fn what_becomes_of_provisioning() {
    let on = between(&json!({"active": false}), &json!({"active": true}));
    let off = between(&json!({"active": true}), &json!({"active": false}));
    check(
        Subject::Provisioning,
        &[
            ("activate", on, &[("provisioning.activated", &["active"])]),
            ("deactivate", off, &[("provisioning.deactivated", &["active"])]),
            ("set", json!({"strict": {"before": false, "after": true}}), &[]),
        ],
    );
}

#[test]
fn users_and_groups_are_known_by_their_schemas() {
    let definitions = Definitions::builtin(IdentityChanges::Refuse);
    let of = |name| Subject::of(name, &definitions);
    assert_eq!(of("User"), Some(Subject::User));
    assert_eq!(of("Group"), Some(Subject::Group));
    assert_eq!(of("Device"), None);
}

#[test]
fn each_kind_has_a_name_of_its_own() {
    for (i, (kind, name)) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, i);
        assert_eq!(Kind::ALL.iter().filter(|(_, it)| *it == name).count(), 1);
    }
}

#[test]
fn an_event_is_as_the_application_reads_it() {
    let time = Timestamp::parse("2026-01-31T08:12:45.120Z").unwrap();
    let line = Line { sequence: 118, time, by: By::Token("ipceb05mrqbc", "okta") };
    let off = json!({"active": {"before": true, "after": false}});
    let event = &events(Subject::User, "PATCH", off.as_object().unwrap())[0];
    let json = line.to_json(0, event.clone(), Some(Now::User("1", json!({"active": false}))));
    let expected = r#"{"by":{"id":"ipceb05mrqbc","kind":"token","label":"okta"},"changed":{"active":{"after":false,"before":true}},"id":"evt_118_0","sequence":118,"time":"2026-01-31T08:12:45.120Z","type":"user.deactivated","user":{"active":false},"userId":"1"}"#;
    assert_eq!(json.to_string(), expected);
    let line = Line { by: By::Command, ..line };
    let json = line.to_json(1, event.clone(), Some(Now::Group("9", Value::Null)));
    assert_eq!((&json["groupId"], &json["group"]), (&json!("9"), &Value::Null));
    let json = line.to_json(1, event.clone(), None);
    assert_eq!(json["by"], json!({"kind": "command"}));
    assert!(json["id"] == "evt_118_1" && json.get("user").is_none());
    assert!(json.get("incomplete").is_none());
    let event = Event { incomplete: true, ..event.clone() };
    assert_eq!(line.to_json(1, event, None)["incomplete"], true);
}
