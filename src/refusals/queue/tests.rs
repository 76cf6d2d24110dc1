//! What a flood becomes, on a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn refusal(org: i64, seconds: i64, detail: &str) -> Refusal {
    let at = Timestamp::from_nanoseconds(1_800_000_000_000_000_000).plus_seconds(seconds);
    Refusal {
        org: OrgKey(org),
        first: at,
        last: at,
        count: 1,
        various: false,
        token: "0123456789ab".to_owned(),
        client: None,
        request: None,
        method: "POST".to_owned(),
        path: "/scim/v2/Users".to_owned(),
        resource_type: Some("User".to_owned()),
        resource: None,
        subject: None,
        status: 400,
        scim_type: Some("invalidValue".to_owned()),
        detail: detail.to_owned(),
    }
}

/// Rows as the file would have them, by their numbers, and how often something was written.
#[derive(Default)]
struct Rows {
    rows: BTreeMap<i64, Refusal>,
    newest: i64,
    writes: usize,
}

impl Rows {
    fn write(&mut self, queue: &mut Queue) {
        let batch = queue.take();
        self.writes += usize::from(!batch.is_empty());
        for it in batch {
            self.newest += 1;
            let mut row = it.refusal.clone();
            if let Some(former) = it.row.map(|seq| self.rows.remove(&seq).unwrap()) {
                row.first = former.first;
                row.count += former.count;
            }
            self.rows.insert(self.newest, row);
            queue.written(&it, self.newest);
        }
    }

    fn count(&self, org: i64) -> i64 {
        self.rows.values().filter(|it| it.org.0 == org).map(|it| it.count).sum()
    }
}

#[test]
fn the_same_request_again_and_again_is_one_row_of_each_day() {
    let (mut queue, mut rows) = (Queue::default(), Rows::default());
    for seconds in 0..100_000 {
        assert!(queue.add(refusal(1, seconds, "no e-mail address")));
        if seconds % 60 == 59 {
            rows.write(&mut queue);
        }
    }
    rows.write(&mut queue);
    let found: Vec<(i64, bool)> = rows.rows.values().map(|it| (it.count, it.various)).collect();
    assert_eq!(found, [(86_400, false), (13_600, false)]);
    let last = rows.rows.values().last().unwrap();
    assert_eq!(last.last.nanoseconds() - last.first.nanoseconds(), 13_599 * 1_000_000_000);
}

#[test]
fn a_flood_of_different_requests_becomes_few_rows_and_pushes_nobody_out() {
    let (mut queue, mut rows) = (Queue::default(), Rows::default());
    // 100,000 in ten minutes, no two the same, of two tokens and with two reasons.
    for i in 0..100_000_i64 {
        let mut it = refusal(1, i * 600 / 100_000, &format!("not {i}@example"));
        it.token = format!("{:012}", i % 2);
        it.status = if i % 4 < 2 { 400 } else { 409 };
        assert!(queue.add(it));
        if i % 5_000 == 0 {
            assert!(queue.add(refusal(2, i * 600 / 100_000, &format!("neighbour {i}"))));
        }
        // Twice a second.
        if i % 83 == 0 {
            rows.write(&mut queue);
        }
    }
    rows.write(&mut queue);
    let of_org = |org: i64| rows.rows.values().filter(move |it| it.org.0 == org);
    let apart = of_org(1).filter(|it| !it.various).count();
    assert!((1_000..=1_100).contains(&apart), "{apart}");
    let together: Vec<_> = of_org(1).filter(|it| it.various).collect();
    let kinds: BTreeSet<_> = together.iter().map(|it| (&it.token, it.status)).collect();
    assert_eq!((together.len(), kinds.len()), (4, 4));
    assert_eq!(rows.count(1), 100_000);
    assert_eq!(of_org(2).count(), 20);
    assert!(rows.writes <= 1_206, "{}", rows.writes);
    // What waits is bounded too, where nothing can be written.
    for i in 0..100_000 {
        queue.add(refusal(1_000 + i, 600, "of as many organisations"));
    }
    assert_eq!(queue.pending.len(), PENDING_MAX);
}

#[test]
fn what_could_not_be_written_is_counted_on() {
    let (mut queue, mut rows) = (Queue::default(), Rows::default());
    queue.add(refusal(1, 0, "a"));
    queue.add(refusal(1, 1, "b"));
    let batch = queue.take();
    queue.add(refusal(1, 2, "a"));
    queue.give_back(batch);
    rows.write(&mut queue);
    let found: Vec<_> = rows.rows.values().map(|it| (it.detail.as_str(), it.count)).collect();
    assert_eq!(found, [("a", 2), ("b", 1)]);
    assert_eq!(rows.rows[&1].first, refusal(1, 0, "").first);
    // The row is gone, for a purge: the writer says so, and a new one is begun.
    queue.add(refusal(1, 3, "a"));
    let again = queue.take().remove(0);
    assert_eq!(again.row, Some(1));
    assert_eq!(again.refusal.count, 1);
}
