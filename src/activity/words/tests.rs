//! Sentences as an administrator reads them.

use std::collections::{BTreeSet, HashMap};

use super::*;
use crate::activity::deeds::{DEEDS, Deed};
use crate::scim::datetime::Timestamp;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::ORG;
use crate::store::tables::refusal::Refusal;

fn at() -> Timestamp {
    Timestamp::parse("2026-01-31T08:00:00Z").unwrap()
}

fn change(method: &str, kind: &str, changes: Value) -> Change {
    let Value::Object(changes) = changes else { panic!() };
    Change {
        seq: 7,
        time: at(),
        org: OrgKey(1),
        actor: "ipceb05mrqbc".to_owned(),
        label: Some("okta".to_owned()),
        client: Some("10.1.2.3".to_owned()),
        request: None,
        reason: None,
        method: method.to_owned(),
        resource_type: kind.to_owned(),
        resource: "01a2".to_owned(),
        changes,
    }
}

fn said(happened: Happened, name: Option<&str>) -> String {
    Entry {
        happened,
        org: "acme".to_owned(),
        name: name.map(str::to_owned),
        members: HashMap::new(),
    }
    .sentence()
}

#[test]
fn a_change_says_who_from_where_what_before_and_after() {
    let mara = Some("mara@example.com");
    let before_after = |name: &str, before: Value, after: Value| json!({ name: { "before": before, "after": after } });
    for (method, kind, changes, expected) in [
        (
            "PATCH",
            "User",
            before_after("active", json!(true), json!(false)),
            "deactivated the user mara@example.com: active true → false",
        ),
        (
            "PUT",
            "User",
            before_after("active", json!(false), json!(true)),
            "reactivated the user mara@example.com: active false → true",
        ),
        (
            "PUT",
            "User",
            before_after("title", Value::Null, json!("Guide")),
            "updated the user mara@example.com: title nothing → \"Guide\"",
        ),
        (
            "POST",
            "User",
            json!({"id": {"before": null, "after": "1"}, "userName": {"before": null, "after": "m"}}),
            "created the user mara@example.com: with userName",
        ),
        ("PATCH", "User", json!({}), "updated the user mara@example.com: its values were erased"),
        (
            "PATCH",
            "Group",
            json!({"members": {"added": ["1", "2"], "removed": ["3"]}}),
            "changed the members of the group mara@example.com: members added 1, 2; removed 3",
        ),
        (
            "PUT",
            "User",
            json!({"passedOver": {"userName": "x", "emails": []}}),
            "updated the user mara@example.com: passed over: emails, userName",
        ),
        (
            "PUT",
            "User",
            json!({"leftOut": {"names": 50_000, "bytes": 700_000}}),
            "updated the user mara@example.com: 50000 further attributes (left out for their \
             length)",
        ),
        ("DELETE", "User", json!({}), "deleted the user mara@example.com"),
        (
            "PATCH",
            "User",
            json!({"note": {"leftOut": 70_000}}),
            "updated the user mara@example.com: note (left out for its length of 70000 bytes)",
        ),
    ] {
        let sentence = said(Happened::Change(change(method, kind, changes)), mara);
        assert_eq!(sentence, format!("token okta (ipceb05mrqbc) from 10.1.2.3 {expected}"));
    }
    let many: Vec<(String, Value)> =
        (0..9).map(|i| (format!("a{i}"), json!({"before": 1, "after": "x".repeat(500)}))).collect();
    let many = Value::Object(many.into_iter().collect());
    let sentence = said(Happened::Change(change("PUT", "User", many)), mara);
    assert!(sentence.ends_with(" and 3 more") && sentence.len() < 600, "{sentence}");
}

#[test]
fn a_command_is_told_by_whose_shell_it_was() {
    let command = |client: Option<&str>, method: &str, kind: &str, changes: Value| Change {
        actor: CLI.to_owned(),
        label: None,
        client: client.map(str::to_owned),
        reason: Some("left the firm".to_owned()),
        resource: "acme".to_owned(),
        ..change(method, kind, changes)
    };
    let active = json!({"active": {"before": true, "after": false}});
    for (client, method, kind, expected) in [
        (
            Some("user:root sudo:ann"),
            "deactivate",
            ORG,
            "a command of root (sudo by ann) deactivated provisioning of the organisation acme: \
             active true → false. Reason: left the firm",
        ),
        (
            Some("user:ann"),
            "revoke",
            TOKEN,
            "a command of ann revoked the API token acme: active true → false. Reason: left the \
             firm",
        ),
        (
            None,
            "deactivate",
            "User",
            "a command deactivated the user acme: active true → false. Reason: left the firm",
        ),
    ] {
        let it = command(client, method, kind, active.clone());
        assert_eq!(said(Happened::Change(it), None), expected);
    }
}

#[test]
fn a_refusal_says_what_was_asked_and_why_it_was_refused() {
    let refusal = Refusal {
        org: OrgKey(1),
        first: at(),
        last: at().plus_seconds(60),
        count: 1,
        various: false,
        token: "ipceb05mrqbc".to_owned(),
        client: None,
        request: None,
        method: "POST".to_owned(),
        path: "/scim/v2/Users".to_owned(),
        resource_type: Some("User".to_owned()),
        resource: None,
        subject: Some("mara".to_owned()),
        status: 400,
        scim_type: Some("invalidValue".to_owned()),
        detail: "No address.".to_owned(),
    };
    let refused = |refusal: Refusal| Refused { seq: 1, label: None, refusal };
    let one = "token ipceb05mrqbc was refused POST /scim/v2/Users about mara: 400 invalidValue, \
               \"No address.\"";
    assert_eq!(said(Happened::Refusal(refused(refusal.clone())), None), one);
    let many = Refusal { count: 12, various: true, ..refusal };
    let since =
        " (12 times since 2026-01-31T08:00:00.000Z; this is the last of several that differ)";
    let many = Entry {
        happened: Happened::Refusal(refused(many)),
        org: "acme".to_owned(),
        name: None,
        members: HashMap::new(),
    };
    assert_eq!(many.sentence(), format!("{one}{since}"));
    let json = many.to_json();
    assert_eq!((&json["kind"], &json["action"]), (&json!("refusal"), &json!("refused")));
    assert_eq!((&json["count"], &json["time"]), (&json!(12), &json!("2026-01-31T08:01:00.000Z")));
    assert_eq!(json["by"], json!({"kind": "token", "id": "ipceb05mrqbc", "label": ""}));
}

/// A command that is not in the table leaves no line: `record` in src/cli/record.rs asserts it.
#[test]
fn each_deed_of_a_command_has_a_sentence_and_a_word_of_its_own() {
    let mut sentences = BTreeSet::new();
    let each = |deed: &'static Deed| {
        let types = match deed.resource_type {
            "*" => vec!["User", "Group", "Role"],
            only => vec![only],
        };
        types.into_iter().map(move |it| (deed, it))
    };
    for (deed, kind) in DEEDS.iter().flat_map(each) {
        let line = Change {
            actor: CLI.to_owned(),
            label: None,
            client: Some("user:ann".to_owned()),
            reason: Some("as asked".to_owned()),
            ..change(deed.method, kind, json!({"a": {"before": 1, "after": 2}}))
        };
        for name in [None, Some("mara")] {
            let entry = Entry {
                happened: Happened::Change(line.clone()),
                org: "acme".to_owned(),
                name: name.map(str::to_owned),
                members: HashMap::new(),
            };
            let sentence = entry.sentence();
            let begins =
                format!("a command of ann {} {}", deed.words_for(kind), name.unwrap_or("01a2"));
            assert!(sentence.starts_with(&begins), "{sentence}");
            assert!(sentence.ends_with(". Reason: as asked"), "{sentence}");
            assert!(sentences.insert(sentence.clone()), "twice: {sentence}");
            assert_eq!(entry.action(), deed.action);
            assert_eq!(entry.to_json()["text"], sentence);
        }
        // The past tense of an English verb, in the sentence and as a word.
        assert!(deed.action.ends_with("ed"), "{deed:?}");
        assert!(deeds::find(deed.method, kind) == Some(deed), "twice: {deed:?}");
    }
    let erased = Change { resource: NAMELESS.to_owned(), ..change("delete", ORG, json!({})) };
    let erased = Change { actor: CLI.to_owned(), client: None, ..erased };
    let entry = Entry {
        happened: Happened::Change(erased),
        org: String::new(),
        name: None,
        members: HashMap::new(),
    };
    assert_eq!(entry.sentence(), "a command erased an organisation for good, with all it had");
    assert_eq!(entry.to_json()["org"], Value::Null);
}

#[test]
fn members_are_told_by_their_names_as_far_as_they_have_one() {
    let ids: Vec<String> = (0..40).map(|i| format!("id-{i}")).collect();
    let changes = json!({"members": {"added": ids, "removed": ["gone"]}});
    let happened = Happened::Change(change("PATCH", "Group", changes));
    let names = [("id-0", "mara@example.com"), ("id-2", "Sales")];
    let members = names.iter().map(|(id, it)| ((*id).to_owned(), (*it).to_owned())).collect();
    let entry = Entry { happened, org: "acme".to_owned(), name: Some("All".to_owned()), members };
    let expected = "changed the members of the group All: members added mara@example.com, id-1, \
                    Sales and 37 more; removed gone";
    assert!(entry.sentence().ends_with(expected), "{}", entry.sentence());
    assert_eq!(entry.happened.members(2), ["id-0", "id-1", "gone"]);
}
