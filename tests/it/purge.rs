//! What `purge` leaves in the files of the database: nothing of the person.

use std::fs;

use plumm::store::tables::resource::State;
use serde_json::{Value, json};

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
