//! `plumm doctor`: each fault is staged, and found under its number with the command that mends it.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::cli::{PATIENCE, Place, Serving, run, text};

/// The names of the checks, in the order of their numbers: a promise.
const NAMES: [&str; 17] = [
    "file",
    "schema",
    "permissions",
    "space",
    "wal",
    "backup",
    "listening",
    "public-url",
    "certificate",
    "proxy",
    "clock",
    "settings",
    "organisations",
    "tokens",
    "contact",
    "refusals",
    "webhooks",
];

/// What `plumm doctor` said.
struct Report {
    value: Value,
    code: Option<i32>,
}

impl Report {
    fn check(&self, name: &str) -> &Value {
        let number = NAMES.iter().position(|it| *it == name).unwrap();
        let check = &self.value["checks"][number];
        assert_eq!((&check["id"], &check["name"]), (&json!(number + 1), &json!(name)));
        check
    }

    /// The check of this name has this state, found these words, and gives these commands.
    #[track_caller]
    fn finds(&self, name: &str, state: &str, words: &str, commands: &[&str]) {
        let check = self.check(name);
        assert_eq!(check["state"], state, "{check}");
        let found = check["found"].as_array().unwrap();
        let told = found.iter().any(|it| it.as_str().unwrap().contains(words));
        assert!(told, "no \"{words}\" in {check}");
        assert_eq!(check["commands"], json!(commands), "{check}");
        if state == "todo" {
            assert_eq!((self.code, &self.value["healthy"]), (Some(1), &json!(false)));
        }
    }
}

fn doctor(place: &Place) -> Report {
    doctor_with(place, &[])
}

/// The report, in an environment with these variables.
#[track_caller]
fn doctor_with(place: &Place, variables: &[(&str, &str)]) -> Report {
    let mut command = place.command(&["--json", "doctor"]);
    command.envs(variables.iter().copied());
    let run = run(command);
    let value: Value = serde_json::from_str(&run.out).unwrap_or_else(|it| panic!("{it}: {run:?}"));
    let to_do =
        value["checks"].as_array().unwrap().iter().filter(|it| it["state"] == "todo").count();
    assert_eq!(run.code, Some(i32::from(to_do > 0)), "{value}");
    assert_eq!(run.err.is_empty(), to_do == 0, "{run:?}");
    Report { value, code: run.code }
}

/// Waits until the server has noted something for the report.
#[track_caller]
fn doctor_when(place: &Place, is_so: impl Fn(&Report) -> bool) -> Report {
    let started = Instant::now();
    loop {
        let report = doctor(place);
        if is_so(&report) {
            return report;
        }
        assert!(started.elapsed() < PATIENCE, "it has not come: {}", report.value);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The database as the report names it.
fn database(place: &Place) -> String {
    fs::canonicalize(place.folder.path()).unwrap().join("plumm.db").to_str().unwrap().to_owned()
}

/// A command of plumm's on the database of this place.
fn plumm(place: &Place, rest: &str) -> String {
    format!("plumm --db {} {rest}", database(place))
}

/// A place with the activated organisation acme, a token of it, and a backup.
fn in_order() -> (Place, String) {
    let place = Place::with_acme();
    let token = place.token();
    place.plumm(&["backup", "copy.db"]).succeeds();
    (place, token)
}

fn set(place: &Place, sql: &str) {
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn an_installation_in_order_needs_nothing() {
    let (place, token) = in_order();
    let backups = place.folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let serving = place.serve(&["--backup-dir", backups.to_str().unwrap()]);
    assert_eq!(serving.test_credentials(&token), 200);
    let report = doctor(&place);
    assert_eq!((report.code, &report.value["healthy"]), (Some(0), &json!(true)));
    assert_eq!(report.value["database"], database(&place));
    let names: Vec<String> =
        report.value["checks"].as_array().unwrap().iter().map(|it| text(&it["name"])).collect();
    assert_eq!(names, NAMES);
    for name in NAMES {
        let state = &report.check(name)["state"];
        assert!(state == "ok" || state == "note", "{}", report.check(name));
    }
    report.finds(
        "listening",
        "ok",
        &format!("process {} answers at http://127.0.0.1:", serving.child.id()),
        &[],
    );
    report.finds("public-url", "note", "Okta needs https from outside", &[]);
    // As text, each check has its number, and is one line when there is no more to say.
    let run = place.plumm(&["doctor"]);
    let out = run.succeeds();
    assert!(
        out.starts_with(&format!(" 1  file           ok       {}, ", database(&place))),
        "{out}"
    );
    assert!(out.contains("\n13  organisations  ok       acme is activated\n"), "{out}");
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn the_document_has_each_check_by_its_number() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitor.md");
    let document = fs::read_to_string(document).unwrap();
    for (i, name) in NAMES.iter().enumerate() {
        let row = format!("\n| {} | `{name}` | ", i + 1);
        assert!(document.contains(&row), "docs/monitor.md has no row {row:?}");
    }
}

#[test]
fn it_looks_and_changes_nothing() {
    let (place, token) = in_order();
    let serving = place.serve(&[]);
    assert_eq!(serving.test_credentials(&token), 200);
    place.plumm(&["org", "create", "other"]).succeeds();
    // Killed, so that its log stands beside the file.
    drop(serving);
    let content = || -> Vec<(String, Vec<u8>)> {
        let read = |it: &String| fs::read(place.folder.path().join(it)).unwrap();
        place.files().iter().map(|it| (it.clone(), read(it))).collect()
    };
    let before = content();
    let report = doctor(&place);
    assert_eq!(content(), before);
    report.finds("file", "ok", "plumm.db, ", &[]);
    report.finds(
        "organisations",
        "note",
        "other is not activated",
        &[&plumm(&place, "org activate other")],
    );
    report.finds(
        "listening",
        "todo",
        "no server runs on this database",
        &[&plumm(&place, "serve")],
    );
    report.finds("proxy", "unknown", "no server runs", &[]);
    report.finds("refusals", "ok", "no request of other was refused", &[]);
}

#[test]
fn a_database_that_is_missing_foreign_damaged_or_cut_short_is_said_to_be() {
    let place = Place::new();
    let file = place.folder.database();
    let report = doctor(&place);
    let create = plumm(&place, "org create NAME --activate");
    report.finds("file", "todo", "there is no database at", &[&create]);
    for name in ["schema", "organisations", "tokens", "contact", "refusals", "webhooks"] {
        report.finds(name, "unknown", "see checks 1 and 2", &[]);
    }
    assert_eq!(place.files(), [""; 0], "nothing is made");
    fs::write(&file, "dear friend ".repeat(100)).unwrap();
    doctor(&place).finds(
        "file",
        "todo",
        "it is no SQLite database",
        &[&plumm(&place, "check"), &plumm(&place, "restore BACKUP --force")],
    );
    fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    let foreign = "is not a plumm database: name another file with --db";
    doctor(&place).finds("file", "todo", foreign, &[&plumm(&place, "check")]);
    fs::remove_file(&file).unwrap();

    place.plumm(&["org", "create", "acme", "--activate"]).succeeds();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let copy = fs::canonicalize(place.folder.path()).unwrap().join("copy.db");
    let restore = plumm(&place, &format!("restore {} --force", copy.display()));
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 4096]).unwrap();
    let commands: [&str; 2] = [&plumm(&place, "check"), &restore];
    doctor(&place).finds("file", "todo", "the copy was cut short", &commands);
    // Pages of rubbish behind a header that is as it should be.
    let mut damaged = whole;
    damaged[4096..].fill(0x5a);
    fs::write(&file, damaged).unwrap();
    doctor(&place).finds("file", "todo", "is damaged", &commands);
    fs::remove_file(&file).unwrap();
    let restore = plumm(&place, &format!("restore {}", copy.display()));
    doctor(&place).finds("file", "todo", "there is no database at", &[&restore]);
}

#[test]
fn a_newer_or_older_schema_is_told() {
    let (place, _) = in_order();
    let known: i64 = {
        let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    set(&place, &format!("PRAGMA user_version = {}", known + 1));
    let copy = fs::canonicalize(place.folder.path()).unwrap().join("copy.db");
    let back = plumm(&place, &format!("restore {} --force", copy.display()));
    let report = doctor(&place);
    report.finds("schema", "todo", "was written by a newer plumm", &["plumm --version", &back]);
    report.finds("file", "ok", "is a database of plumm", &[]);
    report.finds("tokens", "unknown", "see checks 1 and 2", &[]);
    set(&place, &format!("PRAGMA user_version = {}", known - 1));
    let serve = plumm(&place, "serve");
    doctor(&place).finds("schema", "todo", "was written by an older plumm", &[&serve]);
}

#[test]
fn files_that_others_can_read_or_replace_are_told() {
    let (place, _) = in_order();
    let file = database(&place);
    let folder = Path::new(&file).parent().unwrap().to_owned();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let chmod = format!("chmod 600 {file}");
    doctor(&place).finds("permissions", "todo", "has mode 644: others can read it", &[&chmod]);
    fs::set_permissions(&file, Permissions::from_mode(0o660)).unwrap();
    doctor(&place).finds("permissions", "todo", "has mode 660: others can change it", &[&chmod]);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let chmod = format!("chmod go-w {}", folder.display());
    doctor(&place).finds("permissions", "todo", "others can replace the database", &[&chmod]);
    // As /tmp is: everybody removes their own files only.
    fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
    doctor(&place).finds("permissions", "ok", "alone can read and write the files", &[]);
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        let status = format!("{file}-status");
        std::os::unix::fs::chown(&status, Some(1), Some(1)).unwrap();
        let chown = format!("chown root:0 {status}");
        doctor(&place).finds("permissions", "todo", ", and the database to root", &[&chown]);
        std::os::unix::fs::chown(&status, Some(0), Some(0)).unwrap();
    }
}

/// Somebody else on the host asks, or the owner of a file that nobody may read.
#[test]
fn who_may_not_read_the_file_is_told_whose_it_is() {
    let (place, _) = in_order();
    let file = database(&place);
    let run = if is_root() {
        // Where everybody may run it.
        let program = std::env::temp_dir().join(format!("plumm-doctor-{}", std::process::id()));
        fs::copy(crate::cli::PLUMM, &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let mut command = std::process::Command::new(&program);
        command.args(["--db", &file, "--json", "doctor"]).current_dir("/").uid(65534).gid(65534);
        command.env_clear();
        let run = run(command);
        fs::remove_file(program).unwrap();
        run
    } else {
        fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
        place.plumm(&["--json", "doctor"])
    };
    let value: Value = serde_json::from_str(&run.out).unwrap();
    let report = Report { value, code: run.code };
    let prefix = if is_root() { "sudo -u root " } else { "" };
    let command = format!("{prefix}{}", plumm(&place, "doctor"));
    report.finds("file", "todo", &format!("may not read {file}"), &[&command]);
    report.finds("tokens", "unknown", "was not read", &[]);
}

#[test]
fn a_log_that_nobody_folds_in_is_told() {
    let (place, _) = in_order();
    let file = database(&place);
    // A file of zeros is an empty log to SQLite.
    let log = File::create(format!("{file}-wal")).unwrap();
    log.set_len(300 << 20).unwrap();
    let commands: [&str; 2] = [&format!("fuser -v {file}"), &plumm(&place, "serve")];
    doctor(&place).finds("wal", "todo", "has grown to 300 MiB", &commands);
    log.set_len(1 << 20).unwrap();
    doctor(&place).finds("wal", "note", "a server which was killed has left", &[]);
    log.set_len(300 << 20).unwrap();
    let external = [("PLUMM_EXTERNAL_CHECKPOINT", "1")];
    let root = if is_root() { "" } else { "sudo " };
    let command = format!("{root}systemctl status litestream");
    let report = doctor_with(&place, &external);
    report.finds("wal", "todo", "the program that replicates it", &[&command]);
}

/// A database that is larger than the disk, which only a file with a hole can be.
#[test]
fn a_disk_without_room_for_a_copy_is_told() {
    let (place, _) = in_order();
    let file = fs::OpenOptions::new().write(true).open(place.folder.database()).unwrap();
    if file.set_len(4 << 40).is_err() {
        // This disk has no files of that size; a unit test has the rule.
        return;
    }
    let report = doctor(&place);
    let check = report.check("space");
    assert_eq!(check["state"], "todo", "{check}");
    assert!(
        text(&check["found"][0]).contains("an upgrade, a backup or a restore needs"),
        "{check}"
    );
    assert!(text(&check["commands"][0]).starts_with("df -h /"), "{check}");
}

#[test]
fn backups_that_are_missing_old_failed_or_broken_are_told() {
    let place = Place::with_acme();
    let folder = fs::canonicalize(place.folder.path()).unwrap();
    let none = "no backup of this database is known";
    doctor(&place).finds(
        "backup",
        "todo",
        none,
        &[
            &format!("install -d -m 700 {}", folder.join("backups").display()),
            &plumm(&place, &format!("serve --backup-dir {}", folder.join("backups").display())),
        ],
    );
    let litestream = [("PLUMM_EXTERNAL_CHECKPOINT", "1")];
    doctor_with(&place, &litestream).finds("backup", "note", "replicated by another program", &[]);
    place.plumm(&["backup", "copy.db"]).succeeds();
    let copy = folder.join("copy.db");
    let well = "it is on the disk of the database: copy it to another host";
    doctor(&place).finds("backup", "note", well, &[]);
    // Others can read it.
    fs::set_permissions(&copy, Permissions::from_mode(0o640)).unwrap();
    let chmod = format!("chmod 600 {}", copy.display());
    doctor(&place).finds("backup", "todo", "others can read all accounts in it", &[&chmod]);
    fs::set_permissions(&copy, Permissions::from_mode(0o600)).unwrap();
    // It was cut short where it lies.
    let whole = fs::read(&copy).unwrap();
    fs::write(&copy, &whole[..8192]).unwrap();
    let report = doctor(&place);
    let commands = report.check("backup")["commands"].clone();
    report.finds(
        "backup",
        "todo",
        "the last backup is of no use",
        &[&plumm(&place, &format!("check {}", copy.display())), commands[1].as_str().unwrap()],
    );
    let again = plumm(&place, &format!("backup {}", folder.join("plumm-2").display()));
    assert!(text(&commands[1]).starts_with(&again), "{commands}");
    fs::remove_file(&copy).unwrap();
    doctor(&place).finds("backup", "note", "is not there any more: it was moved", &[]);
    // It is old.
    let status = folder.join("plumm.db-status");
    let known = fs::read_to_string(&status).unwrap();
    let year = &known[known.find("\"time\":\"").unwrap() + 8..][..4];
    fs::write(&status, known.replace(year, "2020")).unwrap();
    let report = doctor(&place);
    assert_eq!(report.check("backup")["state"], "todo");
    assert!(text(&report.check("backup")["found"][0]).contains("nothing makes them by itself"));
    let report = doctor_with(&place, &[("PLUMM_BACKUP_DIR", ".")]);
    assert!(text(&report.check("backup")["found"][0]).contains("one is to be made every 24 hours"));
}

#[test]
fn a_scheduled_backup_that_failed_is_told_by_doctor_status_and_metrics() {
    let place = Place::with_acme();
    let folder = fs::canonicalize(place.folder.path()).unwrap();
    let backups = folder.join("backups");
    fs::create_dir(&backups).unwrap();
    // The counter contradicts the table: no backup is made of what is not whole.
    set(&place, "UPDATE resource_count SET count = 7");
    let admin = text(&place.json(&["token", "create", "acme", "--scope", "admin"])["token"]);
    set(
        &place,
        "INSERT OR REPLACE INTO resource_count (org, type, count) SELECT id, 'User', 7 FROM org",
    );
    let mut serving = place.serve(&["--backup-dir", "backups"]);
    serving.wait_for("the backup failed");
    let report = doctor(&place);
    let check = report.check("backup");
    assert_eq!(check["state"], "todo", "{check}");
    let found = check["found"].to_string();
    assert!(found.contains("the last backup failed") && found.contains("is not whole"), "{check}");
    let again = plumm(&place, &format!("backup {}", backups.join("plumm-2").display()));
    assert!(text(&check["commands"][0]).starts_with(&again), "{check}");
    let status = place.json(&["status"]);
    assert_eq!(status["backup"]["made"], Value::Null);
    assert!(text(&status["backup"]["failed"]["reason"]).contains("is not whole"), "{status}");
    assert!(place.plumm(&["status"]).succeeds().contains("FAILED at "));
    let (_, metrics) = serving.get("/metrics", &admin);
    assert!(metrics.contains("\nplumm_backup_failed 1\n"), "{metrics}");
    assert!(!metrics.contains("plumm_backup_last_success"), "{metrics}");
    set(&place, "UPDATE resource_count SET count = 0");
    place.plumm(&["backup", "copy.db"]).succeeds();
    let status = place.json(&["status"]);
    assert_eq!(status["backup"]["failed"], Value::Null);
    assert_eq!(text(&status["backup"]["made"]["file"]), folder.join("copy.db").to_str().unwrap());
    let (_, metrics) = serving.get("/metrics", &admin);
    assert!(metrics.contains("\nplumm_backup_failed 0\n"), "{metrics}");
    assert!(metrics.contains("\nplumm_backup_last_success_timestamp_seconds 1"), "{metrics}");
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let (place, _) = in_order();
    let serving = place.serve(&[]);
    serving.signal("STOP");
    let report = doctor(&place);
    serving.signal("CONT");
    let id = serving.child.id();
    let address = serving.url.strip_prefix("http://").unwrap();
    report.finds(
        "listening",
        "todo",
        "a server runs and is not ready: no answer from http://127.0.0.1:",
        &[
            &format!("kill {id} && tail --pid={id} -f /dev/null"),
            &plumm(&place, &format!("serve --listen {}", "127.0.0.1:0")),
        ],
    );
    assert!(text(&report.check("listening")["found"][0]).contains(address));
}

#[test]
fn a_public_url_that_okta_cannot_use_is_told() {
    let (place, _) = in_order();
    for (url, state, words) in [
        ("http://scim.example.com", "todo", "is not https, which Okta needs"),
        ("http://10.0.0.7:8080", "note", "an address of this host or network"),
        ("https://scim.example.com", "ok", "by a proxy that speaks TLS"),
    ] {
        let serve = plumm(&place, "serve --public-url https://scim.example.com");
        let commands: &[&str] = if state == "todo" { &[&serve] } else { &[] };
        let report = doctor_with(&place, &[("PLUMM_PUBLIC_URL", url)]);
        report.finds("public-url", state, words, commands);
    }
}

/// Two files in the place: a certificate, with those behind it, and its key.
struct Pem {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pem {
    fn write(place: &Place, certificate: &str, key: &KeyPair) -> Pem {
        let folder = fs::canonicalize(place.folder.path()).unwrap();
        let it = Pem { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&it.certificate, certificate).unwrap();
        fs::write(&it.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&it.key, Permissions::from_mode(0o600)).unwrap();
        it
    }

    fn report(&self, place: &Place, more: &[(&str, &str)]) -> Report {
        let [certificate, key] = [&self.certificate, &self.key].map(|it| it.to_str().unwrap());
        let files = [("PLUMM_TLS_CERT", certificate), ("PLUMM_TLS_KEY", key)];
        doctor_with(place, &[&files, more].concat())
    }

    /// The command that makes another pair in place of this one.
    fn anew(&self, place: &Place, host: &str) -> String {
        let [cert, key] = [self.certificate.display(), self.key.display()];
        let make = plumm(
            place,
            &format!("tls self-signed --host {host} --out-cert {cert} --out-key {key}"),
        );
        format!("mv {cert} {cert}.old && mv {key} {key}.old && {make}")
    }
}

fn params(days: i64) -> CertificateParams {
    let mut params = CertificateParams::new(["scim.example.com".to_owned()]).unwrap();
    let now = i64::try_from(plumm::clock::Clock::System.now().milliseconds() / 1000).unwrap();
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap())
    };
    params.not_before = at(now - 400 * 86_400);
    params.not_after = at(now + days * 86_400 + 3_600);
    params
}

#[test]
fn a_certificate_that_ends_or_is_for_another_host_or_key_is_told() {
    let (place, _) = in_order();
    let key = KeyPair::generate().unwrap();
    let made = |days: i64| {
        let certificate = params(days).self_signed(&key).unwrap();
        Pem::write(&place, &certificate.pem(), &key)
    };
    let pem = made(90);
    pem.report(&place, &[]).finds("certificate", "note", "it vouches for itself", &[]);
    let url = [("PLUMM_PUBLIC_URL", "https://scim.example.com")];
    pem.report(&place, &url).finds("certificate", "note", "it is for scim.example.com", &[]);
    // The name of the certificate is proposed as the public URL.
    let set = plumm(
        &place,
        &format!(
            "serve --tls-cert {} --tls-key {} --public-url https://scim.example.com",
            pem.certificate.display(),
            pem.key.display()
        ),
    );
    pem.report(&place, &[]).finds("public-url", "note", "none is set", &[&set]);
    let url = [("PLUMM_PUBLIC_URL", "https://other.example.com:8443")];
    let words = "it is for scim.example.com, and the public URL names other.example.com";
    let anew = pem.anew(&place, "other.example.com");
    pem.report(&place, &url).finds("certificate", "todo", words, &[&anew]);
    let behind = [url[0], ("PLUMM_TRUSTED_PROXIES", "10.0.0.1")];
    pem.report(&place, &behind).finds("certificate", "note", words, &[]);
    made(20).report(&place, &[]).finds("certificate", "note", "it expires in 20 days", &[]);
    let anew = pem.anew(&place, "scim.example.com");
    made(5).report(&place, &[]).finds("certificate", "todo", "it expires in 5 days", &[&anew]);
    let show = format!("openssl x509 -in {} -noout -dates -subject", pem.certificate.display());
    made(-3).report(&place, &[]).finds("certificate", "todo", "expired at", &[&show, &anew]);
    made(90);
    let other = KeyPair::generate().unwrap();
    fs::write(&pem.key, other.serialize_pem()).unwrap();
    let words = "does not belong to the first certificate of";
    pem.report(&place, &[]).finds("certificate", "todo", words, &[&show, &anew]);
    made(90);
    fs::set_permissions(&pem.key, Permissions::from_mode(0o644)).unwrap();
    let chmod = format!("chmod 600 {}", pem.key.display());
    let words = "has mode 644: everybody on this host can read it";
    pem.report(&place, &[]).finds("certificate", "todo", words, &[&chmod]);
    fs::remove_file(&pem.certificate).unwrap();
    // There is nothing to move out of the way but the key.
    let anew = anew.split_once(" && ").unwrap().1;
    pem.report(&place, &[]).finds("certificate", "todo", "there is no such file", &[&show, anew]);
    fs::write(&pem.certificate, "dear friend").unwrap();
    pem.report(&place, &[]).finds("certificate", "todo", "holds no certificate", &[&show]);
}

#[test]
fn a_chain_with_a_gap_is_told() {
    let (place, _) = in_order();
    let [root_key, middle_key, key] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let (root, middle) = (authority("Root"), authority("Middle"));
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(root, root_key);
    let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
    let middle = Issuer::new(middle, middle_key);
    // RFC 5280 section 4.2.2.1: id-ad-caIssuers with a URL, as public authorities have it.
    let url = b"http://a.example/i.der";
    let mut access = vec![0x30, 0x24, 0x30, 0x22, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86];
    access.push(u8::try_from(url.len()).unwrap());
    access.extend(url);
    let length = u8::try_from(access.len()).unwrap();
    (access[1], access[3]) = (length - 2, length - 4);
    let mut public = params(90);
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
    public.custom_extensions = vec![CustomExtension::from_oid_content(&oid, access)];
    let public = public.signed_by(&key, &middle).unwrap().pem();
    let private = params(90).signed_by(&key, &middle).unwrap().pem();

    let check = |certificates: &[&str], state: &str, words: &str, from: &str| {
        let pem = Pem::write(&place, &certificates.concat(), &key);
        let report = pem.report(&place, &[]);
        let path = pem.certificate.display();
        let show =
            format!("openssl crl2pkcs7 -nocrl -certfile {path} | openssl pkcs7 -print_certs");
        let append = format!("{from} | tee -a {path}");
        let commands: &[&str] = if state == "todo" { &[&show, &append] } else { &[] };
        report.finds("certificate", state, words, commands);
    };
    check(&[&public, &middle_pem], "ok", "it is for scim.example.com", "");
    check(&[&public, &middle_pem, &root_pem], "ok", "it expires in 90 days", "");
    check(&[&private], "note", "clients must know its issuer, CN=Middle", "");
    let words = "without the certificate of its issuer, CN=Middle, behind it";
    check(&[&public], "todo", words, "curl -fsS http://a.example/i.der | openssl x509 -inform der");
    let words = "the certificate of CN=Middle must follow that of";
    check(&[&public, &root_pem], "todo", words, "cat ISSUER.pem");
    // One of an authority is not replaced by one that vouches for itself.
    let old = params(3).signed_by(&key, &middle).unwrap().pem();
    let pem = Pem::write(&place, &(old + &middle_pem), &key);
    let request = format!(
        "openssl req -new -key {} -subj /CN=scim.example.com -addext \
         subjectAltName=DNS:scim.example.com -out plumm.csr",
        pem.key.display()
    );
    pem.report(&place, &[]).finds("certificate", "todo", "it expires in 3 days", &[&request]);
}

#[test]
fn a_server_with_a_certificate_is_asked_by_tls() {
    let (place, _) = in_order();
    place.plumm(&["tls", "self-signed"]).succeeds();
    let serving = place.serve(&["--tls-cert", "plumm-cert.pem", "--tls-key", "plumm-key.pem"]);
    let report = doctor(&place);
    report.finds("listening", "ok", "answers at https://127.0.0.1:", &[]);
    report.finds("certificate", "note", "it is for localhost, 127.0.0.1, ::1", &[]);
    assert_eq!(report.code, Some(0), "{}", report.value);
    // The files change, and the key is not that of the certificate: the server goes on with the old
    // ones, and the report is about the files.
    let certificate = params(90).self_signed(&KeyPair::generate().unwrap()).unwrap();
    fs::write(place.folder.path().join("plumm-cert.pem"), certificate.pem()).unwrap();
    let report = doctor(&place);
    assert_eq!(report.check("certificate")["state"], "todo");
    report.finds("listening", "ok", "answers at", &[]);
    drop(serving);
}

/// A server that cannot read its new files goes on with the old ones. Here it has not looked yet.
#[test]
fn a_server_that_shows_another_certificate_than_the_file_is_told() {
    let (place, _) = in_order();
    let files = ["--out-cert", "new-cert.pem", "--out-key", "new-key.pem"];
    place.plumm(&["tls", "self-signed"]).succeeds();
    let serving = place.serve(&["--tls-cert", "plumm-cert.pem", "--tls-key", "plumm-key.pem"]);
    let words = "the server shows another certificate than the one of the file";
    // It looks every three seconds, perhaps just now.
    let seen = (0..10).any(|_| {
        place.plumm(&[&["tls", "self-signed"], &files[..]].concat()).succeeds();
        for name in ["cert", "key"] {
            let [from, to] = [format!("new-{name}.pem"), format!("plumm-{name}.pem")];
            fs::rename(place.folder.path().join(from), place.folder.path().join(to)).unwrap();
        }
        let report = doctor(&place);
        let check = report.check("certificate");
        let told = check["found"].to_string().contains(words);
        assert_eq!(told, check["state"] == "todo", "{check}");
        assert!(!told || text(&check["commands"][0]).starts_with("kill "), "{check}");
        told
    });
    assert!(seen);
    drop(serving);
}

/// Sends a request to a server without a token, with this further header field.
fn send(serving: &Serving, field: &str) {
    let address = serving.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("GET /scim/v2/Users HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[test]
fn a_proxy_that_drops_the_token_is_told() {
    let (place, token) = in_order();
    let admin = text(&place.json(&["token", "create", "acme", "--scope", "admin"])["token"]);
    let serving = place.serve(&[]);
    // No proxy: somebody has tried the address without a token.
    send(&serving, "");
    doctor(&place).finds("proxy", "ok", "no request has come through a proxy", &[]);
    send(&serving, "X-Forwarded-For: 198.51.100.7\r\n");
    send(&serving, "Via: 1.1 proxy\r\n");
    doctor_when(&place, |it| it.check("proxy")["state"] != "ok");
    send(&serving, "Forwarded: for=198.51.100.7\r\n");
    let url = format!("{}/scim/v2/Users?count=0", serving.url);
    let curl = format!("curl -H 'Authorization: Bearer plm_x' '{url}'");
    doctor_when(&place, |it| it.check("proxy")["state"] == "todo").finds(
        "proxy",
        "todo",
        "3 requests came through a proxy, and none had the field Authorization",
        &["proxy_set_header Authorization $http_authorization;", &curl],
    );
    // Once a token comes through, those without one are somebody else's.
    send(&serving, &format!("Forwarded: for=198.51.100.7\r\nAuthorization: Bearer {token}\r\n"));
    doctor_when(&place, |it| it.check("proxy")["state"] == "ok").finds(
        "proxy",
        "ok",
        "1 request through a proxy had a token, 3 had none",
        &[],
    );
    let (_, metrics) = serving.get("/metrics", &admin);
    for line in [
        "plumm_proxied_requests_total{authorization=\"present\"} 1",
        "plumm_proxied_requests_total{authorization=\"absent\"} 3",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{metrics}");
    }
}

#[test]
fn a_refusal_is_told_by_doctor_status_and_metrics() {
    let (place, token) = in_order();
    let admin = text(&place.json(&["token", "create", "acme", "--scope", "admin"])["token"]);
    let serving = place.serve(&[]);
    doctor(&place).finds("refusals", "ok", "no request of acme was refused", &[]);
    assert_eq!(place.json(&["status"])["last_refusal"], Value::Null);
    // What is not there is asked for without anything being wrong.
    assert_eq!(serving.get("/scim/v2/Users/nobody", &token).0, 404);
    let (_, answer) = serving.send("POST", "/scim/v2/Users", &token, "{}");
    let detail = text(&answer["detail"]);
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, "{}").0, 400);
    let is_counted = |it: &Report| it.check("refusals").to_string().contains("(2 times since ");
    let report = doctor_when(&place, is_counted);
    assert_eq!(serving.get("/scim/v2/Users/nobody", &token).0, 404);
    let log = plumm(&place, "log acme --refused --since 1d");
    let words = format!(": 400 invalidValue POST /scim/v2/Users, \"{detail}\" (2 times since ");
    report.finds("refusals", "note", "a request of acme was last refused ", &[&log]);
    report.finds("refusals", "note", &words, &[&log]);
    // The table says it, so that it is known however often the server is started again.
    let (_, metrics) = serving.get("/metrics", &admin);
    assert!(metrics.contains("\nplumm_last_refusal_timestamp_seconds 1"), "{metrics}");
    drop(serving);
    doctor(&place).finds("refusals", "note", &words, &[&log]);
    let status = place.json(&["status"]);
    let of_acme = &status["orgs"][0]["last_refusal"];
    assert_eq!(status["last_refusal"], of_acme["time"]);
    let told = [&of_acme["status"], &of_acme["scim_type"], &of_acme["count"], &of_acme["detail"]];
    assert_eq!(told, [&json!(400), &json!("invalidValue"), &json!(2), &json!(detail)]);
    let shown = format!(": 400 invalidValue POST /scim/v2/Users,\n             \"{detail}\"\n");
    let ran = place.plumm(&["status"]);
    let text = ran.succeeds();
    assert!(text.contains("\nRefused      a request of acme, last at ") && text.contains(&shown));
    // What was long ago needs nobody's eye.
    set(&place, "UPDATE refusal SET time = time - 90000000000000");
    doctor(&place).finds("refusals", "ok", "a request of acme was last refused ", &[]);
}

#[test]
fn a_clock_that_is_behind_the_database_is_told() {
    let (place, _) = in_order();
    let root = if is_root() { "" } else { "sudo " };
    let commands: [&str; 2] = [&format!("{root}timedatectl set-ntp true"), "date -u"];
    let ahead = 3_600_000_000_000_i64;
    set(&place, &format!("UPDATE provisioning_log SET time = time + {ahead}"));
    doctor(&place).finds("clock", "todo", "the clock is wrong, or it was then", &commands);
    set(&place, &format!("UPDATE provisioning_log SET time = time - {ahead}"));
    let state = doctor(&place).check("clock")["state"].clone();
    assert!(state == "ok" || state == "note", "{state}");
    set(&place, &format!("UPDATE token SET last_used = created + {ahead}"));
    doctor(&place).finds("clock", "todo", "the clock is wrong, or it was then", &commands);
}

#[test]
fn a_setting_that_nothing_knows_is_told() {
    let (place, _) = in_order();
    let report = doctor_with(&place, &[("PLUMM_LISTN", "0.0.0.0:80")]);
    let words = "nothing knows the variable PLUMM_LISTN of the environment: is PLUMM_LISTEN meant?";
    report.finds("settings", "todo", words, &["unset PLUMM_LISTN"]);
    let report = doctor_with(&place, &[("PLUMM_LOG_DAYS", "many")]);
    report.finds("settings", "todo", "invalid value 'many'", &[&plumm(&place, "config")]);
    // The file of settings.
    let file = place.folder.path().join("plumm.env");
    fs::write(&file, "PLUMM_LISTN=x\nPLUMM_LISTEN\nPLUMM_SOMETHING_ELSE='\n'\n").unwrap();
    let file = file.to_str().unwrap();
    let report = doctor_with(&place, &[("PLUMM_ENV_FILE", file)]);
    let rename = format!("sed -i 1s/PLUMM_LISTN/PLUMM_LISTEN/ {file}");
    let (third, second) = (format!("vi +3 {file}"), format!("vi +2 {file}"));
    let commands: [&str; 3] = [&rename, &third, &second];
    for words in [
        &format!(
            "nothing knows the variable PLUMM_LISTN of {file}, line 1: is PLUMM_LISTEN meant?"
        ),
        &format!("nothing knows the variable PLUMM_SOMETHING_ELSE of {file}, line 3"),
        &format!("{file}, line 2, is passed over: it has no `=`"),
    ] {
        report.finds("settings", "todo", words, &commands);
    }
    fs::remove_file(file).unwrap();
    let report = doctor_with(&place, &[("PLUMM_ENV_FILE", file), ("PLUMM_DB", "plumm.db")]);
    let words = format!("{file} cannot be read (it is not there)");
    report.finds("settings", "unknown", &words, &[]);
    // A name is no part of a command.
    let report = doctor_with(&place, &[("PLUMM_X;reboot", "1")]);
    report.finds("settings", "todo", "PLUMM_X;reboot", &["unset 'PLUMM_X;reboot'"]);
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("PLUMM_TLS_CERTIFICATE", "x");
    let serving = Serving::start(command);
    let id = serving.child.id();
    doctor(&place).finds(
        "settings",
        "todo",
        "nothing knows the variable PLUMM_TLS_CERTIFICATE of the environment (of the server)",
        &[
            "unset PLUMM_TLS_CERTIFICATE",
            &format!("kill {id} && tail --pid={id} -f /dev/null"),
            &plumm(&place, "serve --listen 127.0.0.1:0"),
        ],
    );
}

#[test]
fn an_organisation_that_is_not_activated_is_told() {
    let place = Place::new();
    place.plumm(&["org", "create", "Acme & Co"]).succeeds();
    let activate = plumm(&place, "org activate 'Acme & Co'");
    let words = "Acme & Co is not activated";
    doctor(&place).finds("organisations", "note", words, &[&activate]);
    place.plumm(&["token", "create", "acme & co"]).succeeds();
    let words = "its identity provider is refused with 403";
    doctor(&place).finds("organisations", "todo", words, &[&activate]);
    set(
        &place,
        "DELETE FROM token; DELETE FROM provisioning_log; DELETE FROM resource_count; DELETE FROM org",
    );
    let create = plumm(&place, "org create NAME --activate");
    doctor(&place).finds("organisations", "todo", "there is no organisation yet", &[&create]);
}

#[test]
fn tokens_that_end_or_are_missing_are_told() {
    let place = Place::with_acme();
    let create =
        |more: &str| plumm(&place, &format!("token create acme --scope {more} --expires 365"));
    let words = "acme has no valid token of scope scim";
    doctor(&place).finds("tokens", "todo", words, &[&create("scim")]);
    let make =
        |args: &[&str]| text(&place.json(&[&["token", "create", "acme"], args].concat())["id"]);
    let id = make(&["--label", "Okta prod", "--expires", "20"]);
    let labelled = create("scim --label 'Okta prod'");
    let words = format!("token {id} (scim, \"Okta prod\") of acme expires in 19 days");
    doctor(&place).finds("tokens", "note", &words, &[&labelled]);
    let day = 86_400_000_000_000_i64;
    set(&place, &format!("UPDATE token SET expires = expires - 15 * {day}"));
    doctor(&place).finds("tokens", "todo", "of acme expires in 4 days", &[&labelled]);
    // Another one has taken its place, and is in use.
    let other = make(&["--label", "new"]);
    doctor(&place).finds("tokens", "todo", "expires in 4 days", &[&labelled]);
    set(&place, &format!("UPDATE token SET last_used = created WHERE id = '{other}'"));
    doctor(&place).finds("tokens", "note", "expires in 4 days", &[&labelled]);
    set(&place, &format!("DELETE FROM token WHERE id = '{other}'"));
    // It was in use until it expired.
    set(
        &place,
        &format!(
            "UPDATE token SET created = created - 90 * {day}, \
        expires = expires - 10 * {day}, last_used = expires - 11 * {day}"
        ),
    );
    let revoke = plumm(&place, &format!("token revoke {id}"));
    let report = doctor(&place);
    report.finds(
        "tokens",
        "todo",
        "in use until then, has expired 5 days ago",
        &[&create("scim"), &labelled, &revoke],
    );
}

#[test]
fn the_last_contact_is_told_in_words() {
    let (place, token) = in_order();
    let list = plumm(&place, "token list acme");
    doctor(&place).finds(
        "contact",
        "note",
        "the identity provider of acme has never come",
        &[&list],
    );
    let serving = place.serve(&[]);
    let user = crate::harness::user("mara@example.com").to_string();
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user).0, 201);
    doctor(&place).finds("contact", "ok", "it last changed something ", &[]);
    assert_eq!(serving.stop("TERM").0, Some(0));
    set(
        &place,
        "UPDATE provisioning_log SET time = time - 8 * 86400000000000;
        UPDATE token SET last_used = last_used - 8 * 86400000000000",
    );
    let words = "the identity provider of acme has not come for 8 days";
    doctor(&place).finds("contact", "note", words, &[&list]);
}

#[test]
fn a_webhook_that_is_disabled_or_behind_is_told() {
    let (place, token) = in_order();
    doctor(&place).finds("webhooks", "ok", "there is none", &[]);
    let url = "https://127.0.0.1:9/hook";
    let id = text(&place.json(&["webhook", "add", "acme", url])["id"]);
    let words = format!("{id} of acme is told of changes");
    doctor(&place).finds("webhooks", "ok", &words, &[]);
    let serving = place.serve(&[]);
    let user = crate::harness::user("mara@example.com").to_string();
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user).0, 201);
    assert_eq!(serving.stop("TERM").0, Some(0));
    set(&place, "UPDATE provisioning_log SET time = time - 3600000000000");
    let failed = plumm(&place, &format!("webhook deliveries {id} --failed"));
    let test = plumm(&place, &format!("webhook test {id}"));
    let words =
        format!("{id} of acme ({url}) has not been told 1 change, the first one 60 minutes ago");
    doctor(&place).finds("webhooks", "todo", &words, &[&failed, &test]);
    place.plumm(&["webhook", "disable", &id]).succeeds();
    let enable = plumm(&place, &format!("webhook enable {id}"));
    doctor(&place).finds("webhooks", "todo", "is disabled since", &[&failed, &enable]);
}
