//! Power loss: a run is written down change by change, and the disk is then made up as it may be
//! found at any moment of it.
//!
//! `PLUMM_CRASH_ROUNDS=20 cargo test -p plumm-crash power -- --nocapture` looks at more moments, in
//! 20 runs; `PLUMM_CRASH_SEED=N` begins with another seed. A failure names its seed: the requests
//! and the moments are the same again, only the threads may take turns in another way.

use std::sync::Mutex;
use std::{env, fs, thread};

use rusqlite::ffi;

use crate::chance::Chance;
use crate::crash::{LUCKS, Luck, Platter};
use crate::disk::{Call, Change, Disk, Fault};
use crate::harness::{self, Client, Folder, Harness};

/// Clients that change things at the same time.
const CLIENTS: usize = 4;
/// Requests of each of them, before and after the restart.
const STEPS: usize = 8;
/// Moments that are looked at in one round of `cargo test`, in each of the two ways to fail.
const CUTS: usize = 150;

/// A request and its answer.
struct Step {
    /// How many changes there were when it was sent, and when it was answered.
    sent: usize,
    answered: usize,
    status: u16,
    what: String,
    /// What the client had afterwards.
    rows: Vec<String>,
}

/// All that happened.
struct Run {
    changes: Vec<Change>,
    /// How many changes there were when the organisation and its token were made.
    founded: usize,
    /// In the order of the answers, of each client.
    steps: Vec<Vec<Step>>,
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |it| it.parse().expect(name))
}

#[test]
fn power_is_lost() {
    for seed in seeds() {
        examine(seed, &record(seed, false));
    }
}

#[test]
fn power_is_lost_after_syncs_have_failed() {
    for seed in seeds() {
        let run = record(seed, true);
        let failed = |it: &Change| matches!(it, Change::SyncFailed { .. });
        assert!(run.changes.iter().any(failed), "seed {seed}: no sync has failed");
        examine(seed, &run);
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = setting("PLUMM_CRASH_SEED", 1);
    first..first + setting("PLUMM_CRASH_ROUNDS", 1)
}

/// Clients at work, with a restart in the middle.
fn record(seed: u64, syncs_fail: bool) -> Run {
    let folder = Folder::new();
    let disk = Disk::watch(&folder.0);
    let mut harness = Harness::new(&folder.database());
    let founded = disk.changes();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|i| Client::new(format!("t{i}"), seed * 100 + i as u64)).collect();
    let steps: Vec<Mutex<Vec<Step>>> = (0..CLIENTS).map(|_| Mutex::default()).collect();
    for half in 0..2 {
        thread::scope(|scope| {
            for (i, client) in clients.iter_mut().enumerate() {
                let (harness, disk, steps, folder) = (&harness, &disk, &steps[i], &folder);
                let mut chance = Chance::new(seed ^ (i as u64 * 7 + half));
                scope.spawn(move || {
                    let beside = harness::look(&folder.database());
                    for _ in 0..STEPS {
                        if syncs_fail && chance.one_in(4) {
                            let nth = 1 + chance.below(4) as u64;
                            let code = ffi::SQLITE_IOERR_FSYNC;
                            disk.arm(Fault { call: Call::Sync, nth, lasting: false, code });
                        }
                        let sent = disk.changes();
                        let outcome = client.step(harness);
                        let answered = disk.changes();
                        let rows = harness::rows(&beside, &client.tag).remove(&client.tag);
                        let rows = rows.unwrap_or_default();
                        let mut steps = steps.lock().unwrap();
                        judge(&outcome, steps.last().map_or(&[], |it| &it.rows), &rows);
                        let (status, what) = (outcome.status, outcome.what);
                        steps.push(Step { sent, answered, status, what, rows });
                        if chance.one_in(6) {
                            // With a failing sync it may fail, and be made up for later.
                            let folded = harness.store.checkpoint();
                            assert!(syncs_fail || folded.is_ok(), "{folded:?}");
                        }
                    }
                });
            }
        });
        let token = harness.token.clone();
        drop(harness);
        disk.disarm();
        harness = Harness::open(&folder.database(), &token).unwrap();
    }
    drop(harness);
    disk.unwatch();
    let steps = steps.into_iter().map(|it| it.into_inner().unwrap()).collect();
    Run { changes: disk.take(), founded, steps }
}

/// The answer and what a reader sees at once must agree.
fn judge(outcome: &harness::Outcome, before: &[String], after: &[String]) {
    if outcome.status >= 400 {
        assert_eq!(before, after, "refused, and yet changed: {}", outcome.what);
        return;
    }
    assert_ne!(before, after, "done, and yet not changed: {}", outcome.what);
    for (id, version) in &outcome.changed {
        let version = version.as_deref().map_or("", |it| it.trim_matches(['W', '/', '"']));
        let said = |it: &&String| it.contains(id.as_str()) && it.contains(version);
        assert!(after.iter().any(|it| said(&it)), "{id} {version}: {}", outcome.what);
    }
}

fn examine(seed: u64, run: &Run) {
    let mut chance = Chance::new(seed);
    let cuts = cuts(run, &mut chance);
    println!("seed {seed}: {} changes, {} moments", run.changes.len(), cuts.len());
    let mut platter = Platter::default();
    let mut applied = 0;
    let folder = Folder::new();
    for cut in cuts {
        for number in applied..cut {
            platter.apply(number, &run.changes[number], &mut chance);
        }
        applied = cut;
        // What is torn can be torn in many ways.
        let luck = *LUCKS.get(chance.below(8)).unwrap_or(&Luck::Torn);
        let files = platter.crash(luck, &mut chance);
        let place = format!("seed {seed}, moment {cut} of {}, {luck:?}", run.changes.len());
        let _ = fs::remove_dir_all(&folder.0);
        fs::create_dir_all(&folder.0).unwrap();
        for (name, bytes) in files {
            fs::write(folder.0.join(name), bytes).unwrap();
        }
        look_after(run, cut, &folder, &place);
    }
}

/// Moments right before and after each sync, and some between; evenly over the run.
fn cuts(run: &Run, chance: &mut Chance) -> Vec<usize> {
    let synced = |it: &Change| {
        matches!(it, Change::Sync { .. } | Change::SyncFailed { .. } | Change::SyncFolder)
    };
    let at = run.changes.iter().enumerate().filter(|(_, it)| synced(it)).map(|(i, _)| i);
    let mut cuts: Vec<usize> = at.flat_map(|i| [i, i + 1]).collect();
    let answers = run.steps.iter().flatten().map(|it| it.answered);
    cuts.extend(answers);
    let between = cuts.len().max(CUTS);
    cuts.extend((0..between).map(|_| chance.below(run.changes.len() + 1)));
    cuts.push(run.changes.len());
    if setting("PLUMM_CRASH_ROUNDS", 0) == 0 {
        while cuts.len() > CUTS {
            cuts.swap_remove(chance.below(cuts.len()));
        }
    }
    cuts.sort_unstable();
    cuts
}

/// Opens what is left, as the next start of the server would, and compares.
fn look_after(run: &Run, cut: usize, folder: &Folder, place: &str) {
    let harness = Harness::open(&folder.database(), "");
    let harness = harness.unwrap_or_else(|it| panic!("{place}: {it}"));
    let connection = harness::look(&folder.database());
    let faults = harness::faults(&connection);
    assert!(faults.is_empty(), "{place}: {faults:?}");
    let founded = harness.store.read(|tx| tx.org("acme")).unwrap().is_some();
    assert!(founded || cut < run.founded, "{place}: the organisation is lost");
    let mut rows = harness::rows(&connection, "*");
    for (i, steps) in run.steps.iter().enumerate() {
        let found = rows.remove(&format!("t{i}")).unwrap_or_default();
        let answered = steps.iter().take_while(|it| it.answered <= cut).count();
        let before = answered.checked_sub(1).map_or(&[][..], |at| &steps[at].rows);
        let under_way = steps.get(answered).filter(|it| it.sent < cut);
        if found == before || under_way.is_some_and(|it| found == it.rows) {
            continue;
        }
        // After a sync that failed nobody knows what is on the disk, until the next one is done.
        let changing = |it: &&Step| it.status < 400 || it.status >= 500;
        let last = steps[..answered].iter().rfind(changing);
        let doubtful = |it: &Step| it.status >= 500 && !followed(run, it, cut);
        if [under_way, last].into_iter().flatten().any(doubtful) {
            continue;
        }
        let last = answered.checked_sub(1).map(|at| (&steps[at].what, steps[at].status));
        panic!(
            "{place}: client {i} after {answered} answers, the last being {last:?}:\nlost {:#?}\n\
             too much {:#?}",
            without(before, &found),
            without(&found, before)
        );
    }
    assert!(rows.is_empty(), "{place}: rows of nobody: {rows:?}");
}

/// Whether a later change was answered before the cut.
fn followed(run: &Run, failed: &Step, cut: usize) -> bool {
    let done = |it: &Step| it.status < 300 && it.sent >= failed.answered && it.answered <= cut;
    run.steps.iter().flatten().any(done)
}

fn without<'a>(these: &'a [String], those: &[String]) -> Vec<&'a String> {
    these.iter().filter(|it| !those.contains(it)).collect()
}
