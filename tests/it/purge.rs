//! What `purge` leaves in the files of the database: nothing of the person.

use std::fs;

use plumm::store::tables::refusal::Refusal;
use plumm::store::tables::resource::State;
use serde_json::{Value, json};

use crate::cli::{Place, text};
use crate::harness::{Harness, user};

/// Every byte of the database and of the files beside it, free pages and the log included.
fn bytes(harness: &Harness) -> String {
    let files = fs::read_dir(harness.folder.path()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|it| fs::read(it.unwrap().path()).unwrap()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn profile(i: usize, step: usize, length: usize) -> Value {
    let mut body = user(&format!("marker-user-{i}@example.com"));
    let text = format!("marker-{i}-{step} ").repeat(length);
    body["displayName"] = format!("marker-{i}-{step}").into();
    body["title"] = text.as_str().into();
    body["externalId"] = format!("marker-ext-{i}-{step}").into();
    let other = json!({"value": format!("marker-{i}-{step}@home.example"), "type": "home"});
    body["emails"].as_array_mut().unwrap().push(other);
    body["urn:okta:marker:1.0:user:custom"] = json!({"note": text});
    body
}

#[test]
fn a_purge_leaves_nothing_of_a_person_in_any_file() {
    let harness = Harness::new();
    // Sixty accounts whose documents shrink and grow, so that pages split, merge and spill over.
    let lengths = [1, 700, 3, 120, 9, 2000, 40];
    let ids: Vec<String> = (0..60)
        .map(|i| {
            let made = harness.post("/Users", &profile(i, 0, lengths[i % 7])).expect(201).json();
            made["id"].as_str().unwrap().to_owned()
        })
        .collect();
    for step in 1..4 {
        for (i, id) in ids.iter().enumerate() {
            let body = profile(i, step, lengths[(i * 3 + step) % 7]);
            harness.put(&format!("/Users/{id}"), &body).expect(200);
        }
    }
    let other = harness.user("stays@example.com");
    assert!(harness.store.checkpoint().unwrap());
    assert!(bytes(&harness).matches("marker-").count() > 1_000);

    for (i, id) in ids.iter().enumerate() {
        if i % 2 == 0 {
            harness.call("DELETE", &format!("/Users/{id}"), "").expect(204);
        }
        let state = if i % 2 == 0 { State::Deleted } else { State::Present };
        let purged = harness.store.write(harness.now, |tx| {
            let stored = tx.find(harness.org.key, "User", id, state)?.unwrap();
            tx.purge_resource(harness.org.key, "User", &stored, &tx.lines_about(&stored.id)?)
        });
        purged.unwrap();
        if i == 29 {
            // Half of them are gone, and of those nothing is left.
            assert!(harness.store.checkpoint().unwrap());
            let bytes = bytes(&harness);
            for gone in 0..=29 {
                for marker in [format!("marker-{gone}-"), format!("marker-user-{gone}@")] {
                    assert!(!bytes.contains(&marker), "{marker}");
                }
            }
        }
    }
    assert!(harness.store.checkpoint().unwrap());
    let bytes = bytes(&harness);
    assert!(!bytes.contains("marker-"));
    assert!(bytes.contains("stays@example.com"));
    assert_eq!(harness.get(&format!("/Users/{}", other["id"].as_str().unwrap())).status, 200);
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
}

#[test]
fn a_purge_takes_along_what_was_refused_about_the_person() {
    let harness = Harness::new();
    let mut body = user("marker-mara@example.com");
    body["displayName"] = "Marker Mara".into();
    body["externalId"] = "marker-00u1".into();
    let home = json!({"value": "marker-home@home.example", "type": "home"});
    body["emails"].as_array_mut().unwrap().push(home);
    let id = text(&harness.post("/Users", &body).expect(201).json()["id"]);
    let other = Refusal {
        org: harness.org.key,
        first: harness.now,
        last: harness.now,
        count: 1,
        various: false,
        token: "0123456789ab".to_owned(),
        client: None,
        request: None,
        method: "POST".to_owned(),
        path: "/scim/v2/Users".to_owned(),
        resource_type: Some("User".to_owned()),
        resource: None,
        subject: Some("stays@example.com".to_owned()),
        status: 409,
        scim_type: Some("uniqueness".to_owned()),
        detail: "another stays@example.com is there".to_owned(),
    };
    let detail = |it: &str| Refusal { detail: it.to_owned(), ..other.clone() };
    let about = [
        Refusal { resource: Some(id.clone()), ..other.clone() },
        Refusal { subject: Some("marker-mara@example.com".to_owned()), ..other.clone() },
        detail("\"Marker-Mara@example.com\" is in use"),
        detail("the address marker-HOME@home.example cannot change"),
        detail("externalId marker-00u1 is in use"),
        detail("MARKER MARA is not known"),
        detail(&format!("no resource {id}")),
        other.clone(),
    ];
    let purged = harness.store.write(harness.now, |tx| {
        about.iter().try_for_each(|it| tx.add_refusal(it).map(drop))?;
        let stored = tx.find(harness.org.key, "User", &id, State::Present)?.unwrap();
        tx.purge_resource(harness.org.key, "User", &stored, &tx.lines_about(&stored.id)?)
    });
    purged.unwrap();
    let database = rusqlite::Connection::open(harness.store.path()).unwrap();
    let left: Vec<String> = database
        .prepare("SELECT detail FROM refusal")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(left, [other.detail]);
    assert!(harness.store.checkpoint().unwrap());
    assert!(!bytes(&harness).to_lowercase().contains("marker"));
}

#[test]
fn a_deleted_group_comes_back_or_is_erased_with_who_was_in_it() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let send = |method: &str, target: &str, body: &Value| {
        serving.send(method, &format!("/scim/v2{target}"), &token, &body.to_string())
    };
    let ann = text(&send("POST", "/Users", &user("ann@example.com")).1["id"]);
    let bob = text(&send("POST", "/Users", &user("bob@example.com")).1["id"]);
    let falcon = json!({ "displayName": "Falcon X", "externalId": "marker-1",
        "members": [{ "value": ann }, { "value": bob }] });
    let group = || text(&send("POST", "/Groups", &falcon).1["id"]);
    let delete = |id: &str| assert_eq!(send("DELETE", &format!("/Groups/{id}"), &json!({})).0, 204);
    let first = group();
    let named = format!("Falcon X (id {first})");

    // One that is there is left to the identity provider.
    place
        .plumm(&["group", "purge", "acme", "FALCON x", "--yes"])
        .fails(&format!("group {named} is not deleted: delete it in the identity provider first"));
    place
        .plumm(&["group", "restore", "acme", &first])
        .fails(&format!("group {named} is not deleted: there is nothing to restore"));
    place.plumm(&["group", "purge", "acme", "nobody", "--yes"]).fails(
        "there is no deleted group nobody in organisation acme: `plumm group list acme --deleted` \
         lists those there are",
    );
    assert_eq!(place.json(&["group", "list", "acme"])[0]["displayName"], "Falcon X");

    // It comes back with the members that are there, which have new versions.
    delete(&first);
    assert_eq!(send("DELETE", &format!("/Users/{bob}"), &json!({})).0, 204);
    assert_eq!(place.json(&["group", "list", "acme", "--deleted"])[0]["id"], json!(first));
    let before = send("GET", &format!("/Users/{ann}"), &json!({})).1;
    assert_eq!(
        place.plumm(&["group", "restore", "acme", "falcon x"]).succeeds(),
        format!("Group {named} of organisation acme is restored.\n")
    );
    let back = send("GET", &format!("/Groups/{first}"), &json!({})).1;
    assert_eq!(back["members"].as_array().unwrap().len(), 1, "{back}");
    let after = send("GET", &format!("/Users/{ann}"), &json!({})).1;
    assert_eq!(after["groups"][0]["value"], json!(first));
    assert_ne!(before["meta"]["version"], after["meta"]["version"]);

    // Several of a name are told apart by their ids; one whose name is taken stays.
    delete(&first);
    let second = group();
    delete(&second);
    let third = group();
    place.plumm(&["group", "purge", "acme", "Falcon X", "--yes"]).fails(&format!(
        "several deleted groups of organisation acme have the name Falcon X (ids {first}, \
         {second}). Name the one you mean by its id: `plumm group list acme --deleted` says when \
         each was deleted"
    ));
    place.plumm(&["group", "restore", "acme", &second]).fails(&format!(
        "group Falcon X (id {second}) cannot be restored: another group has taken the name since \
         (id {third}). Rename or delete that one in the identity provider first"
    ));
    delete(&third);

    // Erased when asked for in earnest, and then nothing of it is left.
    place.plumm(&["group", "purge", "acme", &first]).is_misuse(
        &format!(
            "this would erase {named} of organisation acme, deleted, for good: its name, who was in \
             it, all its data, and what the log says of its values. Nothing brings it back. \
             Nothing has been erased yet"
        ),
        &format!("plumm group purge acme {first} --yes"),
    );
    let purged = place.json(&["group", "purge", "acme", &first, "--yes"]);
    assert_eq!(purged, json!({ "id": first, "displayName": "Falcon X", "purged": true }));
    for id in [&second, &third] {
        place.plumm(&["group", "purge", "acme", id, "--yes"]).succeeds();
    }
    assert_eq!(place.json(&["group", "list", "acme", "--deleted"]), json!([]));
    assert_eq!(serving.stop("TERM").0, Some(0));
    for file in place.files() {
        let bytes = fs::read(place.folder.path().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("Falcon") && !text.contains("marker-1"), "in {file}");
    }
}
