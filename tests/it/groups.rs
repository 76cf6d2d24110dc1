//! Groups and their members (RFC 7643 section 4.2, RFC 7644 section 3.5.2), in every form that
//! identity providers push them.

use plumm::store::tables::resource::State;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, encoded};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const OKTA_GROUP: &str = "urn:okta:custom:group:1.0";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const USERS: &str = "http://plumm.example/scim/v2/Users/";
const GROUPS: &str = "http://plumm.example/scim/v2/Groups/";

/// A harness with users `a`, `b`, … whose display names are their names in capitals.
struct Town {
    harness: Harness,
    people: Vec<String>,
}

impl Town {
    fn new(people: usize) -> Town {
        let harness = Harness::new();
        let letters = "abcdefghijklmnopqrstuvwxyz".chars().take(people);
        let people = letters.map(|it| {
            let mut body = crate::harness::user(&format!("{it}@example.com"));
            body["displayName"] = it.to_uppercase().to_string().into();
            text(&harness.post("/Users", &body).expect(201).json()["id"])
        });
        let people = people.collect();
        Town { harness, people }
    }

    /// The ids of people: `ids("ac")`.
    fn ids(&self, letters: &str) -> Vec<&str> {
        letters.bytes().map(|it| self.people[usize::from(it - b'a')].as_str()).collect()
    }

    fn id(&self, letter: &str) -> &str {
        self.ids(letter)[0]
    }

    /// People as values of `members`.
    fn values(&self, letters: &str) -> Value {
        self.ids(letters).into_iter().map(|it| json!({"value": it})).collect()
    }

    /// Creates a group with these people and returns its id.
    #[track_caller]
    fn group(&self, name: &str, letters: &str) -> String {
        let body = group(name, &self.values(letters));
        text(&self.harness.post("/Groups", &body).expect(201).json()["id"])
    }

    #[track_caller]
    fn read(&self, id: &str) -> Value {
        self.harness.get(&format!("/Groups/{id}")).expect(200).json()
    }

    /// The ids of a group's members, in its order.
    #[track_caller]
    fn members(&self, id: &str) -> Vec<String> {
        ids(&self.read(id)["members"])
    }

    #[track_caller]
    fn has(&self, id: &str, letters: &str) {
        assert_eq!(self.members(id), self.ids(letters), "not {letters}");
    }

    fn patch(&self, id: &str, operations: &Value) -> Answer {
        let listed =
            if operations.is_array() { operations.clone() } else { json!([operations.clone()]) };
        self.harness.patch(&format!("/Groups/{id}"), &listed)
    }

    /// `groups` of a user: name of the group and kind of membership.
    #[track_caller]
    fn groups_of(&self, letter: &str) -> Vec<(String, String)> {
        let user = self.harness.get(&format!("/Users/{}", self.id(letter))).expect(200).json();
        let groups = user["groups"].as_array().into_iter().flatten();
        groups.map(|it| (text(&it["display"]), text(&it["type"]))).collect()
    }

    /// What the log says of the latest change of a resource.
    fn logged(&self, id: &str) -> Value {
        let file = rusqlite::Connection::open(self.harness.folder.database()).unwrap();
        let sql = "SELECT changes FROM provisioning_log WHERE resource = ? ORDER BY seq DESC";
        let text: String = file.query_row(sql, [id], |row| row.get(0)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn lines(&self) -> i64 {
        let file = rusqlite::Connection::open(self.harness.folder.database()).unwrap();
        file.query_row("SELECT count(*) FROM provisioning_log", [], |row| row.get(0)).unwrap()
    }

    /// Each row: who is in a group before, operations, who is in it after.
    #[track_caller]
    fn applies(&self, rows: Vec<(&str, Value, &str)>) {
        for (before, operations, after) in rows {
            let id = self.group("Team", before);
            let answer = self.patch(&id, &operations);
            assert_eq!(answer.status, 200, "{operations}: {}", answer.text);
            let answer = answer.json();
            assert_eq!(ids(&answer["members"]), self.ids(after), "{operations}");
            assert_eq!(self.read(&id), answer, "{operations}");
            let changed = before != after || answer["displayName"] != "Team";
            let version = if changed { "W/\"2\"" } else { "W/\"1\"" };
            assert_eq!(answer["meta"]["version"], version, "{operations}");
        }
    }

    /// Each row is refused with this `scimType` and these words, and changes nothing.
    #[track_caller]
    fn refuses(&self, rows: Vec<(Value, &str, &str)>) {
        for (operations, scim_type, words) in rows {
            let id = self.group("Team", "ab");
            let before = self.read(&id);
            let answer = self.patch(&id, &operations);
            assert_eq!(answer.status, 400, "{operations}: {}", answer.text);
            answer.refused(400, Some(scim_type), words);
            assert_eq!(self.read(&id), before, "{operations}");
        }
    }
}

fn group(name: &str, members: &Value) -> Value {
    json!({"schemas": [CORE], "displayName": name, "members": members})
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[track_caller]
fn ids(members: &Value) -> Vec<String> {
    let members = members.as_array().unwrap_or_else(|| panic!("{members} is no array"));
    members.iter().map(|it| text(&it["value"])).collect()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
}

#[test]
fn a_group_is_created_read_listed_replaced_and_deleted() {
    let town = Town::new(2);
    let mut body = group("Engineers", &town.values("ab"));
    body["externalId"] = "00g1".into();
    let answer = town.harness.post("/Groups", &body).expect(201);
    let made = answer.json();
    let id = text(&made["id"]);
    let location = format!("{GROUPS}{id}");
    assert_eq!(answer.header("Location"), Some(location.as_str()));
    assert_eq!(answer.header("ETag"), Some("W/\"1\""));
    let expected = json!({
        "schemas": [CORE], "id": id, "externalId": "00g1", "displayName": "Engineers",
        "members": [
            {"value": town.id("a"), "$ref": format!("{USERS}{}", town.id("a")), "type": "User",
                "display": "A"},
            {"value": town.id("b"), "$ref": format!("{USERS}{}", town.id("b")), "type": "User",
                "display": "B"}
        ],
        "meta": {"resourceType": "Group", "created": made["meta"]["created"],
            "lastModified": made["meta"]["created"], "location": location, "version": "W/\"1\""}
    });
    assert_eq!(made, expected);
    assert_eq!(town.read(&id), made);
    let list = town.harness.get("/Groups?startIndex=1&count=100").expect(200).json();
    assert_eq!((&list["totalResults"], &list["Resources"]), (&json!(1), &json!([made])));
    assert_eq!(town.harness.get("/Users").json()["totalResults"], 2);

    town.harness.app.clock().advance(60);
    let renamed = json!({"schemas": [CORE], "displayName": "Builders"});
    let replaced = town.harness.put(&format!("/Groups/{id}"), &renamed).expect(200).json();
    assert_eq!(replaced["displayName"], "Builders");
    assert_eq!(replaced.get("externalId"), None);
    assert_eq!(replaced["members"], made["members"]);
    assert_ne!(replaced["meta"]["lastModified"], made["meta"]["lastModified"]);

    town.harness.call("DELETE", &format!("/Groups/{id}"), "").expect(204);
    town.harness.get(&format!("/Groups/{id}")).refused(404, None, "no Group");
    town.harness.call("DELETE", &format!("/Groups/{id}"), "").refused(404, None, "no Group");
    town.patch(&id, &json!({"op": "add", "path": "members", "value": []}))
        .refused(404, None, "no Group");
    assert_eq!(town.harness.get("/Groups").json()["totalResults"], 0);
    assert_eq!(town.groups_of("a"), []);
    // No group, and no user, is found as the other.
    town.harness.get(&format!("/Groups/{}", town.id("a"))).refused(404, None, "no Group");
    town.patch("null", &json!({"op": "add", "path": "members", "value": []}))
        .refused(404, None, "\"null\"");
}

#[test]
fn a_group_has_a_name_and_two_may_share_it() {
    let town = Town::new(0);
    for body in
        [json!({"schemas": [CORE]}), json!({"schemas": [CORE], "displayName": null, "members": []})]
    {
        town.harness.post("/Groups", &body).refused(400, Some("invalidValue"), "displayName");
    }
    let id = town.group("Engineers", "");
    town.group("Engineers", "");
    let nameless = json!({"schemas": [CORE], "members": []});
    let answer = town.harness.put(&format!("/Groups/{id}"), &nameless);
    answer.refused(400, Some("invalidValue"), "displayName");
    town.patch(&id, &json!({"op": "remove", "path": "displayName"})).refused(
        400,
        Some("mutability"),
        "displayName",
    );
    // A name that is blank is none, and the one there is stays.
    for blank in ["", " ", "\t"] {
        let body = json!({"schemas": [CORE], "displayName": blank});
        town.harness.post("/Groups", &body).refused(400, Some("invalidValue"), "displayName");
        town.harness.put(&format!("/Groups/{id}"), &body).refused(
            400,
            Some("invalidValue"),
            "displayName",
        );
        let rename = json!({"op": "replace", "path": "displayName", "value": blank});
        town.patch(&id, &rename).refused(400, Some("invalidValue"), "displayName");
    }
    assert_eq!(town.read(&id)["displayName"], "Engineers");
}

#[test]
fn members_are_always_an_array() {
    let town = Town::new(1);
    for members in [json!([]), Value::Null, json!([null])] {
        let made = town.harness.post("/Groups", &group("Empty", &members)).expect(201).json();
        assert_eq!(made["members"], json!([]), "{members}");
        assert_eq!(town.read(&text(&made["id"]))["members"], json!([]));
    }
    let id = town.group("One", "a");
    let gone = town.patch(&id, &json!({"op": "remove", "path": "members"})).expect(200).json();
    assert_eq!(gone["members"], json!([]));
    let list = town.harness.get("/Groups").expect(200).json();
    let listed = list["Resources"].as_array().unwrap();
    assert!(listed.len() == 4 && listed.iter().all(|it| it["members"] == json!([])));
    for what in ["attributes=members", "attributes=members.value", "excludedAttributes=id"] {
        let read = town.harness.get(&format!("/Groups/{id}?{what}")).expect(200).json();
        assert_eq!(read["members"], json!([]), "{what}");
    }
}

#[test]
fn members_are_shown_as_they_are_called_now() {
    let town = Town::new(1);
    let inner = town.group("Inner", "a");
    let outer = town.harness.post("/Groups", &group("Outer", &json!([{"value": inner}])));
    let outer = text(&outer.expect(201).json()["id"]);
    let member = &town.read(&outer)["members"][0];
    let expected = json!({"value": inner, "$ref": format!("{GROUPS}{inner}"), "type": "Group",
        "display": "Inner"});
    assert_eq!(*member, expected);
    // What the client calls it does not count.
    let body = json!([{"value": town.id("a"), "display": "Zed", "type": "Group", "$ref": "x"}]);
    let made = town.harness.post("/Groups", &group("Other", &body)).expect(201).json();
    assert_eq!(made["members"][0]["display"], "A");
    assert_eq!(made["members"][0]["type"], "User");
    assert_eq!(made["members"][0]["$ref"], format!("{USERS}{}", town.id("a")));

    let rename = |name: Value| json!([{"op": "replace", "value": {"displayName": name}}]);
    let user = format!("/Users/{}", town.id("a"));
    town.harness.patch(&user, &rename("Anna".into())).expect(200);
    town.harness.patch(&format!("/Groups/{inner}"), &rename("Core".into())).expect(200);
    assert_eq!(town.read(&inner)["members"][0]["display"], "Anna");
    assert_eq!(town.read(&outer)["members"][0]["display"], "Core");
    assert_eq!(
        town.groups_of("a"),
        named(&[("Core", "direct"), ("Outer", "indirect"), ("Other", "direct")])
    );
    let nameless = json!([{"op": "remove", "path": "displayName"}]);
    town.harness.patch(&user, &nameless).expect(200);
    assert_eq!(town.read(&inner)["members"][0].get("display"), None);
}

#[test]
fn groups_of_a_user_are_true_direct_and_indirect_also_in_a_circle() {
    let town = Town::new(3);
    let [a, b, c] = ["A", "B", "C"].map(|it| town.group(it, ""));
    let add = |group: &str, member: &str| {
        let operation = json!({"op": "add", "path": "members", "value": [{"value": member}]});
        town.patch(group, &operation).expect(200);
    };
    add(&b, &a);
    add(&a, &b);
    let itself = json!({"op": "add", "path": "members", "value": [{"value": c}]});
    town.patch(&c, &itself).refused(400, Some("invalidValue"), "member of itself");
    add(&b, &c);
    assert_eq!(town.groups_of("a"), []);
    add(&a, town.id("a"));
    add(&c, town.id("b"));
    assert_eq!(town.groups_of("a"), named(&[("A", "direct"), ("B", "indirect")]));
    let circle = [("A", "indirect"), ("B", "indirect"), ("C", "direct")];
    assert_eq!(town.groups_of("b"), named(&circle));
    assert_eq!(town.groups_of("c"), []);
    // Direct wins over the way round.
    add(&b, town.id("a"));
    assert_eq!(town.groups_of("a"), named(&[("A", "direct"), ("B", "direct")]));
    let user = town.harness.get(&format!("/Users/{}", town.id("a"))).expect(200).json();
    let first = json!({"value": a, "$ref": format!("{GROUPS}{a}"), "type": "direct",
        "display": "A"});
    assert_eq!(user["groups"][0], first);
    let list = town.harness.get("/Users").expect(200).json();
    assert_eq!(list["Resources"][0], user);
    assert_eq!(list["Resources"][2].get("groups"), None);
    // A deleted group in between breaks the chain.
    town.harness.call("DELETE", &format!("/Groups/{b}"), "").expect(204);
    assert_eq!(town.groups_of("a"), named(&[("A", "direct")]));
    assert_eq!(town.groups_of("b"), named(&[("C", "direct")]));
    assert_eq!(town.members(&a), [town.id("a")]);
}

#[test]
fn groups_cannot_be_changed_through_a_user() {
    let town = Town::new(2);
    let id = town.group("Team", "a");
    let other = town.group("Other", "");
    let at = format!("/Users/{}", town.id("a"));
    let before = town.harness.get(&at).expect(200).json();
    for groups in
        [json!([]), Value::Null, json!([{"value": other}]), json!("x"), before["groups"].clone()]
    {
        let mut body = before.clone();
        body["groups"] = groups.clone();
        assert_eq!(town.harness.put(&at, &body).expect(200).json(), before, "{groups}");
        let patched =
            town.harness.patch(&at, &json!([{"op": "replace", "value": {"groups": groups}}]));
        assert_eq!(patched.expect(200).json(), before);
        let mut body = crate::harness::user("new@example.com");
        body["groups"] = groups;
        let made = town.harness.post("/Users", &body).expect(201).json();
        assert_eq!(made.get("groups"), None);
        let gone = format!("/Users/{}", text(&made["id"]));
        town.harness.call("DELETE", &gone, "").expect(204);
    }
    let answer = town
        .harness
        .patch(&at, &json!([{"op": "add", "path": "groups", "value": [{"value": other}]}]));
    answer.refused(400, Some("mutability"), "groups");
    town.has(&id, "a");
    town.has(&other, "");
    // A user has no members.
    let none = json!([{"op": "add", "path": "members", "value": [{"value": other}]}]);
    town.harness.patch(&at, &none).refused(400, Some("invalidPath"), "members");
}

#[test]
fn a_deleted_or_purged_user_leaves_every_group_and_comes_back_to_none() {
    let town = Town::new(3);
    let (one, two) = (town.group("One", "abc"), town.group("Two", "ab"));
    town.harness.call("DELETE", &format!("/Users/{}", town.id("a")), "").expect(204);
    town.has(&one, "bc");
    town.has(&two, "b");
    let org = town.harness.org.key;
    let find = |letter: &str, state| {
        let found = town.harness.store.read(|tx| tx.find(org, "User", town.id(letter), state));
        found.unwrap().unwrap()
    };
    let (a, b) = (find("a", State::Deleted), find("b", State::Present));
    town.harness
        .store
        .write(town.harness.now, |tx| {
            tx.restore_resource(org, "User", &a)?;
            tx.purge_resource(org, "User", &b, &tx.lines_about(&b.id)?)
        })
        .unwrap();
    assert_eq!(town.groups_of("a"), []);
    town.has(&one, "c");
    town.has(&two, "");
    let add = json!({"op": "add", "path": "members", "value": town.values("a")});
    town.patch(&two, &add).expect(200);
    town.has(&two, "a");
    let add = json!({"op": "add", "path": "members", "value": town.values("b")});
    town.patch(&two, &add).refused(400, Some("invalidValue"), town.id("b"));
    // A deactivated one stays.
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    town.harness.patch(&format!("/Users/{}", town.id("c")), &off).expect(200);
    town.has(&one, "c");
}

/// Whoever holds an earlier version of the group does not hold these members.
#[test]
fn a_group_that_loses_a_member_by_deletion_has_a_new_version() {
    let town = Town::new(2);
    let [id, outer] = ["Team", "Outer"].map(|it| town.group(it, ""));
    let add = json!({"op": "add", "path": "members", "value": town.values("ab")});
    town.patch(&id, &add).expect(200);
    let add = json!({"op": "add", "path": "members", "value": [{"value": id}]});
    town.patch(&outer, &add).expect(200);
    let before = town.read(&id);
    assert_eq!(before["meta"]["version"], "W/\"2\"");
    town.harness.app.clock().advance(60);
    town.harness.call("DELETE", &format!("/Users/{}", town.id("a")), "").expect(204);
    let after = town.read(&id);
    assert_eq!(after["meta"]["version"], "W/\"3\"");
    assert!(text(&after["meta"]["lastModified"]) > text(&before["meta"]["lastModified"]));
    town.harness
        .store
        .write(town.harness.now, |tx| {
            let org = town.harness.org.key;
            let stored = tx.find(org, "User", town.id("b"), State::Present)?.unwrap();
            tx.purge_resource(org, "User", &stored, &tx.lines_about(&stored.id)?)
        })
        .unwrap();
    assert_eq!(town.read(&id)["meta"]["version"], "W/\"4\"");
    town.harness.call("DELETE", &format!("/Groups/{id}"), "").expect(204);
    assert_eq!(town.read(&outer)["meta"]["version"], "W/\"3\"");
    assert_eq!(town.read(&outer)["members"], json!([]));
}

#[test]
fn members_are_of_the_same_organisation_and_strangers_are_named() {
    let town = Town::new(2);
    let (_, token) = town.harness.neighbour("globex");
    let theirs = crate::harness::user("z@example.com").to_string();
    let theirs = town.harness.with_token(&token, "POST", "/scim/v2/Users", &theirs);
    let theirs = text(&theirs.expect(201).json()["id"]);
    let id = town.group("Team", "a");
    let before = town.read(&id);
    let lines = town.lines();
    for stranger in [theirs.as_str(), "nobody", "", &id.to_uppercase(), "00000000-0000"] {
        let mixed = json!([{"value": town.id("b")}, {"value": stranger}]);
        let quoted = format!("\"{stranger}\"");
        let body = group("New", &mixed);
        town.harness.post("/Groups", &body).refused(400, Some("invalidValue"), &quoted);
        let at = format!("/Groups/{id}");
        town.harness.put(&at, &body).refused(400, Some("invalidValue"), &quoted);
        for operation in [
            json!({"op": "add", "path": "members", "value": mixed}),
            json!({"op": "replace", "path": "members", "value": mixed}),
            json!({"op": "replace", "value": {"displayName": "New", "members": mixed}}),
        ] {
            town.patch(&id, &operation).refused(400, Some("invalidValue"), &quoted);
        }
        // Removing a stranger is no failure.
        let remove = json!({"op": "remove", "path": "members", "value": [{"value": stranger}]});
        assert_eq!(town.patch(&id, &remove).expect(200).json(), before);
    }
    assert_eq!(town.read(&id), before);
    assert_eq!(town.harness.get("/Groups").json()["totalResults"], 1);
    assert_eq!(town.lines(), lines);
    // The neighbour sees and reaches none of it.
    for (method, body) in
        [("GET", ""), ("DELETE", ""), ("PUT", &*group("x", &json!([])).to_string())]
    {
        let target = format!("/scim/v2/Groups/{id}");
        town.harness.with_token(&token, method, &target, body).refused(404, None, "no Group");
    }
    let many: Vec<Value> = (0..9).map(|it| json!({"value": format!("x{it}")})).collect();
    let answer = town.harness.post("/Groups", &group("New", &many.into()));
    answer.refused(400, Some("invalidValue"), "\"x4\" and 4 more");
}

#[test]
fn members_are_added() {
    let town = Town::new(4);
    let (a, b) = (town.id("a"), town.id("b"));
    town.applies(vec![
        ("a", json!({"op": "add", "path": "members", "value": town.values("b")}), "ab"),
        ("", json!({"op": "add", "path": "members", "value": town.values("abcd")}), "abcd"),
        // Adding again, and twice in one request.
        ("ab", json!({"op": "add", "path": "members", "value": town.values("a")}), "ab"),
        ("a", json!({"op": "add", "path": "members", "value": town.values("bab")}), "ab"),
        (
            "",
            json!({"op": "add", "path": "members",
                "value": [{"value": a, "type": "User"}, {"value": a}]}),
            "a",
        ),
        // One object, a bare id, bare ids.
        ("a", json!({"op": "add", "path": "members", "value": {"value": b}}), "ab"),
        ("a", json!({"op": "add", "path": "members", "value": b}), "ab"),
        ("a", json!({"op": "add", "path": "members", "value": [a, b]}), "ab"),
        // As Entra ID, and in capitals.
        ("a", json!({"op": "Add", "path": "members", "value": [{"$ref": null, "value": b}]}), "ab"),
        ("a", json!({"Op": "ADD", "Path": "Members", "Value": [{"Value": b}]}), "ab"),
        ("a", json!({"op": "add", "path": format!("{CORE}:members"), "value": [b]}), "ab"),
        // Without a path.
        ("a", json!({"op": "add", "value": {"members": town.values("b")}}), "ab"),
        (
            "a",
            json!({"op": "add", "value": {"members": [
                {"display": "B", "$ref": format!("{USERS}{b}"), "value": b}]}}),
            "ab",
        ),
        ("a", json!({"op": "add", "value": {format!("{CORE}:members"): town.values("b")}}), "ab"),
        // Nobody.
        ("a", json!({"op": "add", "path": "members", "value": []}), "a"),
        ("a", json!({"op": "add", "value": {"members": []}}), "a"),
        ("a", json!({"op": "add", "value": {"members": null}}), "a"),
        // By its address alone.
        (
            "a",
            json!({"op": "add", "path": "members", "value": [{"$ref": format!("{USERS}{b}")}]}),
            "ab",
        ),
        (
            "a",
            json!({"op": "add", "path": "members", "value": [{"$ref": format!("../Users/{b}")}]}),
            "ab",
        ),
    ]);
}

#[test]
fn members_are_removed() {
    let town = Town::new(4);
    let (a, b) = (town.id("a"), town.id("b"));
    let eq = |it: &str| format!("members[value eq \"{it}\"]");
    let one_by_one: Vec<Value> =
        town.ids("acd").iter().map(|it| json!({"op": "remove", "path": eq(it)})).collect();
    town.applies(vec![
        ("ab", json!({"op": "remove", "path": eq(a)}), "b"),
        ("ab", json!({"op": "Remove", "path": format!("members[Value Eq \"{a}\"]")}), "b"),
        ("ab", json!({"op": "remove", "path": format!("{CORE}:{}", eq(a))}), "b"),
        ("ab", json!({"op": "remove", "path": eq(&a.to_uppercase())}), "b"),
        ("abcd", json!(one_by_one), "b"),
        (
            "abcd",
            json!({"op": "remove",
                "path": format!("members[value eq \"{a}\" or value eq \"{b}\"]")}),
            "cd",
        ),
        // With values: these only.
        ("abc", json!({"op": "Remove", "path": "members", "value": [{"$ref": null, "value": a}]}), "bc"),
        ("abc", json!({"op": "remove", "path": "members", "value": town.values("ab")}), "c"),
        ("abc", json!({"op": "remove", "path": "members", "value": {"value": a}}), "bc"),
        ("abc", json!({"op": "remove", "path": "members", "value": a}), "bc"),
        ("abc", json!({"op": "remove", "path": "members", "value": [a]}), "bc"),
        ("abc", json!({"op": "remove", "path": "members", "value": []}), "abc"),
        ("abc", json!({"op": "remove", "path": "members", "value": [null]}), "abc"),
        ("abc", json!({"op": "remove", "path": "members", "value": [{}]}), "abc"),
        ("abc", json!({"op": "remove", "path": "members", "value": ""}), "abc"),
        // Strangers.
        ("a", json!({"op": "remove", "path": eq(b)}), "a"),
        ("a", json!({"op": "remove", "path": eq("nobody")}), "a"),
        ("a", json!({"op": "remove", "path": "members", "value": town.values("b")}), "a"),
        ("ab", json!({"op": "remove", "path": "members", "value": town.values("bc")}), "a"),
        ("", json!({"op": "remove", "path": eq(a)}), ""),
        ("", json!({"op": "remove", "path": "members"}), ""),
        // All.
        ("abc", json!({"op": "remove", "path": "members"}), ""),
        ("abc", json!({"op": "remove", "path": "members", "value": null}), ""),
        // By what they are.
        ("abc", json!({"op": "remove", "path": "members[display eq \"b\"]"}), "ac"),
        ("abc", json!({"op": "remove", "path": "members[display sw \"z\"]"}), "abc"),
        ("abc", json!({"op": "remove", "path": "members[type eq \"User\"]"}), ""),
        ("abc", json!({"op": "remove", "path": "members[type eq \"Group\"]"}), "abc"),
        ("abc", json!({"op": "remove", "path": "members[not (display eq \"B\")]"}), "b"),
        ("abc", json!({"op": "remove", "path": format!("members[value ne \"{a}\"]")}), "a"),
        (
            "abc",
            json!({"op": "remove", "path": format!("members[value eq \"{a}\" and type eq \"User\"]")}),
            "bc",
        ),
        ("abc", json!({"op": "remove", "path": format!("members[$ref eq \"{USERS}{a}\"]")}), "bc"),
    ]);
}

#[test]
fn members_are_replaced() {
    let town = Town::new(4);
    let shown: Vec<Value> =
        town.ids("cd").iter().map(|it| json!({"value": it, "display": "x@example.com"})).collect();
    town.applies(vec![
        ("ab", json!({"op": "replace", "path": "members", "value": shown}), "cd"),
        ("ab", json!({"op": "replace", "value": {"members": town.values("bc")}}), "bc"),
        ("ab", json!({"op": "Replace", "path": "members", "value": town.ids("d")}), "d"),
        ("ab", json!({"op": "replace", "path": "members", "value": {"value": town.id("c")}}), "c"),
        ("ab", json!({"op": "replace", "path": "members", "value": town.id("c")}), "c"),
        ("ab", json!({"op": "replace", "path": "members", "value": town.values("ba")}), "ab"),
        ("ab", json!({"op": "replace", "path": "members", "value": []}), ""),
        ("ab", json!({"op": "replace", "path": "members", "value": null}), ""),
        ("ab", json!({"op": "replace", "value": {"members": []}}), ""),
        ("", json!({"op": "replace", "path": "members", "value": []}), ""),
        ("", json!({"op": "replace", "path": "members", "value": town.values("abcd")}), "abcd"),
    ]);
}

#[test]
fn operations_follow_one_another() {
    let town = Town::new(4);
    let add = |who: &str| json!({"op": "add", "path": "members", "value": town.values(who)});
    let remove = |who: &str| json!({"op": "remove", "path": "members", "value": town.values(who)});
    let replace =
        |who: &str| json!({"op": "replace", "path": "members", "value": town.values(who)});
    let like =
        |name: &str| json!({"op": "remove", "path": format!("members[display eq \"{name}\"]")});
    town.applies(vec![
        ("ab", json!([remove("a"), add("c")]), "bc"),
        ("ab", json!([add("c"), remove("b"), add("d"), replace("a"), add("b"), remove("a")]), "b"),
        ("ab", json!([like("A"), like("B"), add("ac"), like("C")]), "a"),
        ("a", json!([replace("b"), replace("c"), replace("bc")]), "bc"),
        ("", json!([add("a"), add("b"), add("c"), add("d")]), "abcd"),
        ("abcd", json!([remove("a"), remove("b"), remove("c")]), "d"),
    ]);
}

/// What undoes itself within a request is no change.
#[test]
fn members_added_and_removed_again_are_no_change() {
    let town = Town::new(3);
    let add = |who: &str| json!({"op": "add", "path": "members", "value": town.values(who)});
    let remove = |who: &str| json!({"op": "remove", "path": "members", "value": town.values(who)});
    let replace =
        |who: &str| json!({"op": "replace", "path": "members", "value": town.values(who)});
    town.applies(vec![
        ("ab", json!([remove("a"), add("a")]), "ab"),
        ("ab", json!([add("c"), remove("c")]), "ab"),
        ("ab", json!([replace(""), replace("ab")]), "ab"),
    ]);
    let id = town.group("Team", "ab");
    town.patch(&id, &json!([remove("ab"), add("ac")])).expect(200);
    let members = json!({"added": town.ids("c"), "removed": town.ids("b")});
    assert_eq!(town.logged(&id), json!({"members": members}));
}

#[test]
fn the_name_is_changed_beside_the_members() {
    let town = Town::new(2);
    let id = town.group("Team", "a");
    // Okta, right after the creation and with every change of members.
    let value = json!({"id": id, "displayName": "Team"});
    let answer = town.patch(&id, &json!({"op": "replace", "value": value})).expect(200);
    assert_eq!(answer.header("ETag"), Some("W/\"1\""));
    for other in ["x", town.id("a")] {
        let value = json!({"id": other, "displayName": format!("Team {other}")});
        let renamed = town.patch(&id, &json!({"op": "replace", "value": value})).expect(200);
        assert_eq!(renamed.json()["displayName"], format!("Team {other}"));
        assert_eq!(renamed.json()["id"], id);
    }
    // authentik: the whole group.
    let whole = json!({"schemas": [CORE], "id": id, "externalId": "7", "displayName": "Crew"});
    let crew = town.patch(&id, &json!({"op": "replace", "value": whole})).expect(200).json();
    assert_eq!((&crew["displayName"], &crew["externalId"]), (&json!("Crew"), &json!("7")));
    assert_eq!(ids(&crew["members"]), town.ids("a"));
    let mixed = json!([
        {"op": "Replace", "path": "displayName", "value": "Gang"},
        {"op": "Add", "path": "members", "value": town.values("b")},
        {"op": "Remove", "path": "externalId"}
    ]);
    let gang = town.patch(&id, &mixed).expect(200).json();
    assert_eq!(gang["displayName"], "Gang");
    assert_eq!(gang.get("externalId"), None);
    assert_eq!(ids(&gang["members"]), town.ids("ab"));
    let echoed = json!([{"op": "replace", "value": gang}]);
    assert_eq!(town.patch(&id, &echoed).expect(200).json(), gang);
}

#[test]
fn what_cannot_be_done_to_members_is_refused() {
    let town = Town::new(3);
    let (a, c) = (town.id("a"), town.id("c"));
    let eq = format!("members[value eq \"{a}\"]");
    town.refuses(vec![
        (
            json!({"op": "replace", "path": format!("{eq}.display"), "value": "x"}),
            "mutability",
            "display",
        ),
        (
            json!({"op": "replace", "path": format!("{eq}.value"), "value": c}),
            "mutability",
            "value",
        ),
        (json!({"op": "remove", "path": "members.value"}), "mutability", "value"),
        (json!({"op": "add", "path": "members.display", "value": "x"}), "mutability", "display"),
        (json!({"op": "replace", "path": eq, "value": [{"value": c}]}), "invalidPath", "members"),
        (json!({"op": "add", "path": eq, "value": [{"value": c}]}), "invalidPath", "members"),
        (json!({"op": "remove", "path": "members[value xx \"a\"]"}), "invalidPath", "xx"),
        (json!({"op": "remove", "path": "members[nothing eq \"a\"]"}), "invalidFilter", "nothing"),
        (json!({"op": "add", "path": "members", "value": 7}), "invalidValue", "members"),
        (
            json!({"op": "add", "path": "members", "value": [{"value": true}]}),
            "invalidValue",
            "members",
        ),
        (json!({"op": "add", "path": "members"}), "invalidValue", "value"),
        (json!({"op": "remove"}), "noTarget", "path"),
        (json!({"op": "remove", "value": {"members": town.values("a")}}), "noTarget", "path"),
        (json!({"op": "add", "path": "memberz", "value": [c]}), "invalidPath", "memberz"),
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability", "id"),
    ]);
}

#[test]
fn a_patch_whose_later_operation_fails_changes_nothing() {
    let town = Town::new(3);
    let add = json!({"op": "add", "path": "members", "value": town.values("c")});
    let remove = json!({"op": "remove", "path": "members", "value": town.values("a")});
    let rename = json!({"op": "replace", "path": "displayName", "value": "New"});
    let stranger = json!({"op": "add", "path": "members", "value": ["nobody"]});
    let misplaced = json!({"op": "add", "path": format!("{USER}:title"), "value": 1});
    let nameless = json!({"op": "replace", "path": "displayName", "value": null});
    town.refuses(vec![
        (json!([remove, rename, add, stranger]), "invalidValue", "nobody"),
        (json!([remove, rename, add, misplaced]), "invalidPath", "Operation 4"),
        (json!([remove, add, nameless]), "invalidValue", "displayName"),
        (json!([stranger, remove]), "invalidValue", "nobody"),
    ]);
    let id = town.group("Team", "ab");
    let lines = town.lines();
    town.patch(&id, &json!([remove, stranger])).refused(400, Some("invalidValue"), "nobody");
    assert_eq!(town.lines(), lines);
    assert_eq!(town.groups_of("c"), []);
}

#[test]
fn put_without_members_keeps_them_and_with_none_empties() {
    let town = Town::new(3);
    let body = |members: Option<Value>| {
        let mut body = json!({"schemas": [CORE], "id": "echoed", "displayName": "Team"});
        if let Some(members) = members {
            body["members"] = members;
        }
        body
    };
    let shown = json!([{"value": town.id("c"), "display": "x", "$ref": "y", "type": "User"}]);
    for (before, members, after) in [
        ("ab", None, "ab"),
        ("ab", Some(json!([])), ""),
        ("ab", Some(Value::Null), ""),
        ("", Some(town.values("ab")), "ab"),
        ("ab", Some(shown), "c"),
        ("ab", Some(town.values("bc")), "bc"),
        ("ab", Some(json!({"value": town.id("a")})), "a"),
        ("ab", Some(json!(town.ids("c"))), "c"),
    ] {
        let id = town.group("Team", before);
        let sent = body(members);
        let at = format!("/Groups/{id}");
        let answer = town.harness.put(&at, &sent).expect(200).json();
        assert_eq!(ids(&answer["members"]), town.ids(after), "{sent}");
        assert_eq!(answer["id"], id);
        assert_eq!(town.read(&id), answer);
        // The same again changes nothing.
        assert_eq!(town.harness.put(&at, &sent).expect(200).json(), answer);
    }
    let id = town.group("Team", "ab");
    let mut echo = town.read(&id);
    let before = echo.clone();
    assert_eq!(town.harness.put(&format!("/Groups/{id}"), &echo).expect(200).json(), before);
    echo["members"].as_array_mut().unwrap().pop();
    town.harness.put(&format!("/Groups/{id}"), &echo).expect(200);
    town.has(&id, "a");
}

#[test]
fn members_are_left_out_or_cut_down_on_demand() {
    let town = Town::new(2);
    let id = town.group("Team", "ab");
    let read = |what: &str| town.harness.get(&format!("/Groups/{id}?{what}")).expect(200).json();
    let without = read("excludedAttributes=members");
    assert_eq!(without.get("members"), None);
    assert_eq!(without["displayName"], "Team");
    assert_eq!(read("attributes=displayName").get("members"), None);
    assert_eq!(read("attributes=members.value")["members"], town.values("ab"));
    let named = read("attributes=members.display,members.value")["members"][1].clone();
    assert_eq!(named, json!({"value": town.id("b"), "display": "B"}));
    assert_eq!(read("excludedAttributes=members.$ref,members.type")["members"][1], named);
    assert_eq!(read("attributes=members")["members"], town.read(&id)["members"]);
    let filter = encoded("displayName eq \"team\"");
    let target = format!("/Groups?excludedAttributes=members&filter={filter}");
    let list = town.harness.get(&target).expect(200).json();
    assert_eq!(list["Resources"], json!([without]));
    let user = format!("/Users/{}?excludedAttributes=groups", town.id("a"));
    assert_eq!(town.harness.get(&user).expect(200).json().get("groups"), None);
    let user = format!("/Users/{}?attributes=groups.display", town.id("a"));
    assert_eq!(town.harness.get(&user).json()["groups"], json!([{"display": "Team"}]));
}

#[test]
fn a_patch_of_a_large_group_is_answered_without_its_members() {
    let harness = Harness::new();
    let made = |it: usize| {
        let user = harness.user(&format!("u{it}@example.com"));
        json!({"value": user["id"]})
    };
    let people: Vec<Value> = (0..102).map(made).collect();
    let body = group("Crowd", &people[..100].to_vec().into());
    let id = text(&harness.post("/Groups", &body).expect(201).json()["id"]);
    let at = format!("/Groups/{id}");
    let op = |op: &str, it: &Value| json!([{"op": op, "path": "members", "value": [it]}]);
    harness.patch(&at, &op("remove", &people[0])).expect(200);
    let hundred = harness.patch(&at, &op("add", &people[100])).expect(200).json();
    assert_eq!(hundred["members"].as_array().unwrap().len(), 100);
    let answer = harness.patch(&at, &op("add", &people[101])).expect(200);
    assert_eq!(answer.json().get("members"), None);
    assert_eq!(answer.json()["displayName"], "Crowd");
    assert_eq!(answer.header("ETag"), Some("W/\"4\""));
    let asked = harness.patch(&format!("{at}?attributes=members"), &op("add", &people[0]));
    assert_eq!(asked.expect(200).json()["members"].as_array().unwrap().len(), 102);
    for whole in
        [harness.get(&at), harness.put(&at, &json!({"schemas": [CORE], "displayName": "C"}))]
    {
        assert_eq!(whole.expect(200).json()["members"].as_array().unwrap().len(), 102);
    }
    let nothing = harness.patch(&format!("{at}?attributes="), &op("remove", &people[0]));
    assert_eq!(nothing.expect(204).text, "");
}

#[test]
fn a_change_of_members_is_a_new_version_and_no_change_is_none() {
    let town = Town::new(3);
    let id = town.group("Team", "a");
    let at = format!("/scim/v2/Groups/{id}");
    let bearer = format!("Bearer {}", town.harness.token());
    let send = |method: &str, field: &str, tag: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), (field, tag)];
        town.harness.send(method, &at, &headers, body)
    };
    let patch = |who: &str| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "members", "value": town.values(who)}]})
        .to_string()
    };
    town.harness.app.clock().advance(60);
    let answer = send("PATCH", "If-Match", "W/\"1\"", &patch("b")).expect(200);
    assert_eq!(answer.header("ETag"), Some("W/\"2\""));
    let changed = answer.json();
    assert_eq!(changed["meta"]["version"], "W/\"2\"");
    assert_ne!(changed["meta"]["lastModified"], changed["meta"]["created"]);
    let put = group("Team", &town.values("c")).to_string();
    for (method, body) in [("PATCH", patch("c")), ("PUT", put), ("DELETE", String::new())] {
        send(method, "If-Match", "W/\"1\"", &body).refused(412, None, "W/\"2\"");
    }
    town.has(&id, "ab");
    send("GET", "If-None-Match", "W/\"2\"", "").expect(304);
    send("GET", "If-None-Match", "W/\"1\"", "").expect(200);

    town.harness.app.clock().advance(60);
    let lines = town.lines();
    for operation in [
        json!({"op": "add", "path": "members", "value": town.values("ab")}),
        json!({"op": "remove", "path": "members", "value": town.values("c")}),
        json!({"op": "remove", "path": format!("members[value eq \"{}\"]", town.id("c"))}),
        json!({"op": "replace", "path": "members", "value": town.values("ba")}),
        json!({"op": "replace", "value": {"id": id, "displayName": "Team"}}),
    ] {
        assert_eq!(town.patch(&id, &operation).expect(200).json(), changed, "{operation}");
    }
    assert_eq!(town.lines(), lines);
}

#[test]
fn the_log_says_who_was_added_and_removed() {
    let town = Town::new(4);
    let id = town.group("Team", "ab");
    assert_eq!(town.logged(&id)["members"], json!({"added": town.ids("ab")}));
    assert_eq!(town.logged(&id)["displayName"], json!({"before": null, "after": "Team"}));
    let mixed = json!([
        {"op": "remove", "path": format!("members[value eq \"{}\"]", town.id("a"))},
        {"op": "add", "path": "members", "value": town.values("bc")},
        {"op": "add", "path": "members", "value": town.values("d")}
    ]);
    town.patch(&id, &mixed).expect(200);
    let members = json!({"added": town.ids("cd"), "removed": town.ids("a")});
    assert_eq!(town.logged(&id), json!({"members": members}));
    let put = group("Crew", &town.values("ad"));
    town.harness.put(&format!("/Groups/{id}"), &put).expect(200);
    let members = json!({"added": town.ids("a"), "removed": town.ids("bc")});
    let name = json!({"before": "Team", "after": "Crew"});
    assert_eq!(town.logged(&id), json!({"displayName": name, "members": members}));
    town.patch(&id, &json!({"op": "remove", "path": "members"})).expect(200);
    assert_eq!(town.logged(&id), json!({"members": {"removed": town.ids("ad")}}));
}

#[test]
fn unknown_extensions_and_schemas_of_groups_are_tolerated() {
    let town = Town::new(1);
    let mut body = group("Team", &town.values("a"));
    body["schemas"] = json!([CORE, OKTA_GROUP]);
    body[OKTA_GROUP] = json!({"description": "All of us"});
    let made = town.harness.post("/Groups", &body).expect(201).json();
    let at = format!("/Groups/{}", text(&made["id"]));
    assert_eq!(made[OKTA_GROUP], json!({"description": "All of us"}));
    assert_eq!(made["schemas"], json!([CORE, OKTA_GROUP]));
    assert_eq!(town.harness.get(&at).expect(200).json(), made);
    let kept = town.harness.put(&at, &group("Team", &json!([]))).expect(200).json();
    assert_eq!(kept[OKTA_GROUP], made[OKTA_GROUP]);
    let value = json!({"id": made["id"], "displayName": "Team",
        OKTA_GROUP: {"description": "Some of us"}});
    let answer = town.harness.patch(&at, &json!([{"op": "replace", "value": value}]));
    assert_eq!(answer.expect(200).json()[OKTA_GROUP]["description"], "Some of us");

    let second = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";
    let body = json!({"schemas": [CORE, second], "externalId": "8aa1",
        "displayName": "displayName", "meta": {"resourceType": "Group"}});
    let made = town.harness.post("/Groups", &body).expect(201).json();
    assert_eq!((&made["externalId"], &made["members"]), (&json!("8aa1"), &json!([])));
    assert_eq!(made["schemas"], json!([CORE]));
}

#[test]
fn five_thousand_members_come_in_one_request() {
    let harness = Harness::new();
    let people: Vec<Value> = harness
        .store
        .write(harness.now, |tx| {
            let kind = plumm::store::tables::resource::Kind {
                org: harness.org.key,
                resource_type: "User",
                location_base: USERS,
            };
            (0..5_000)
                .map(|it| {
                    let id = plumm::id::resource(it);
                    let body = json!({"schemas": [], "id": id, "userName": format!("u{it}@x.y")});
                    tx.add_resource(kind, &id, body.as_object().unwrap())?;
                    Ok(json!({"value": id}))
                })
                .collect::<Result<_, plumm::store::error::Error>>()
        })
        .unwrap();
    let members = Value::from(people.clone());
    let made = harness.post("/Groups", &group("Crowd", &members)).expect(201).json();
    let at = format!("/Groups/{}", text(&made["id"]));
    assert_eq!(ids(&made["members"]), ids(&members));
    let operations = |op: &str| -> Value {
        people.iter().map(|it| json!({"op": op, "path": "members", "value": [it]})).collect()
    };
    harness.patch(&at, &operations("remove")).expect(200);
    assert_eq!(harness.get(&at).json()["members"], json!([]));
    harness.patch(&at, &operations("add")).expect(200);
    let one = json!([{"op": "remove", "path": "members", "value": members}]);
    harness.patch(&at, &one).expect(200);
    harness.put(&at, &group("Crowd", &members)).expect(200);
    assert_eq!(harness.get(&at).json()["members"].as_array().unwrap().len(), 5_000);
}

/// A member without an id was passed over, and a group with none else emptied.
#[test]
fn a_member_that_names_nobody_is_refused() {
    let town = Town::new(2);
    for member in [json!({}), json!({"display": "A"}), json!({"type": "User", "value": null})] {
        let members = json!([{"value": town.id("a")}, member]);
        town.refuses(vec![
            (json!({"op": "add", "path": "members", "value": members}), "invalidValue", "its id"),
            (json!({"op": "add", "path": "members", "value": member}), "invalidValue", "its id"),
            (json!({"op": "replace", "value": {"members": [member]}}), "invalidValue", "its id"),
        ]);
        let id = town.group("Team", "ab");
        let body = group("Team", &json!([member]));
        let answer = town.harness.put(&format!("/Groups/{id}"), &body);
        answer.refused(400, Some("invalidValue"), "its id");
        town.harness.post("/Groups", &body).refused(400, Some("invalidValue"), "its id");
        town.has(&id, "ab");
    }
}

/// Each such operation reads the whole group.
#[test]
fn members_are_selected_by_filter_a_few_times_in_a_request() {
    let town = Town::new(2);
    let id = town.group("Team", "ab");
    let like = json!({"op": "remove", "path": "members[display eq \"A\"]"});
    let add = json!({"op": "add", "path": "members", "value": town.values("a")});
    let many = |times| -> Value { (0..times).flat_map(|_| [like.clone(), add.clone()]).collect() };
    town.patch(&id, &many(21)).refused(413, Some("tooMany"), "More than 20");
    town.patch(&id, &many(20)).expect(200);
    town.has(&id, "ab");
    let exact = json!({"op": "remove", "path": format!("members[value eq \"{}\"]", town.id("a"))});
    town.patch(&id, &(0..100).map(|_| exact.clone()).collect()).expect(200);
    town.has(&id, "b");
}

#[test]
fn the_log_says_which_groups_a_deleted_user_left() {
    let town = Town::new(2);
    let ids = [town.group("One", "ab"), town.group("Two", "a")];
    town.harness.call("DELETE", &format!("/Users/{}", town.id("a")), "").expect(204);
    assert_eq!(town.logged(town.id("a")), json!({"groups": {"removed": ids}}));
}
