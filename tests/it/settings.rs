//! Where the settings come from: flags, the environment, the file of settings; and `plumm config`,
//! which tells.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::cli::{Place, Run, run, text};

const FILE: &str = "plumm.env";

/// A command with a file of settings of its own.
fn with_file(place: &Place, file: &str, args: &[&str]) -> Command {
    fs::write(place.folder.path().join(FILE), file).unwrap();
    let mut command = place.command(args);
    command.env("PLUMM_ENV_FILE", FILE);
    command
}

/// What `plumm config --json` says of a variable: its value, where from, and which line.
#[track_caller]
fn setting(config: &Value, variable: &str) -> (Value, String, Value) {
    let all = config["settings"].as_array().unwrap();
    let it = all.iter().find(|it| it["variable"] == variable);
    let it = it.unwrap_or_else(|| panic!("no {variable} in {config}"));
    (it["value"].clone(), text(&it["source"]), it["line"].clone())
}

#[test]
fn commands_read_the_file_of_settings() {
    let place = Place::new();
    let file = "# the service\nPLUMM_DB=\"data base.db\"\nPLUMM_LISTEN=10.0.0.1:1\nOTHER=1\n";
    let made = run(with_file(&place, file, &["org", "create", "acme"]));
    // The next command needs no flag either.
    assert!(made.succeeds().contains("plumm org activate acme"), "{made:?}");
    assert!(!made.out.contains("--db"), "{made:?}");
    assert_eq!(place.files(), ["data base.db", FILE]);
    // A flag and the environment win.
    let flagged = run(with_file(&place, file, &["org", "create", "acme", "--db", "flag.db"]));
    assert!(flagged.succeeds().contains("plumm --db flag.db org activate"), "{flagged:?}");
    let mut command = with_file(&place, file, &["org", "create", "acme"]);
    command.env("PLUMM_DB", "env.db");
    run(command).succeeds();
    assert_eq!(place.files(), ["data base.db", "env.db", "flag.db", FILE]);
    // And `plumm serve` has its settings from it.
    let ran = run(with_file(&place, file, &["serve"]));
    assert!(ran.err.contains("plain HTTP on 10.0.0.1:1 would carry"), "{ran:?}");
    let ran = run(with_file(&place, file, &["serve", "--listen", "10.0.0.2:1"]));
    assert!(ran.err.contains("plain HTTP on 10.0.0.2:1 would carry"), "{ran:?}");
}

#[test]
fn a_wrong_value_is_told_with_its_line_or_its_variable() {
    let place = Place::new();
    let refused = |file: &str, args: &[&str], words: &[&str]| {
        let ran = run(with_file(&place, file, args));
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        for it in words {
            assert!(ran.err.contains(it), "no \"{it}\" in {ran:?}");
        }
    };
    let given = "It is given by PLUMM_LISTEN in plumm.env, line 2.\n\nTry: plumm serve --help\n";
    refused("\nPLUMM_LISTEN=here\n", &["serve"], &["'here' for '--listen <ADDR:PORT>'", given]);
    refused(
        "PLUMM_INSECURE_HTTP=perhaps",
        &["serve"],
        &[
            "error: invalid value 'perhaps' for PLUMM_INSECURE_HTTP in plumm.env, line 1: it must be",
        ],
    );
    refused("PLUMM_TLS_CERT=a.pem", &["serve"], &["--tls-key <PEM>"]);
    refused("PLUMM_BACKUP_KEEP=3", &["serve"], &["--backup-dir <DIR>"]);
    refused(
        "PLUMM_LOG_FORMAT=xml",
        &["serve"],
        &["'xml' for '--log-format <FORMAT>'", "text or json"],
    );
    // Commands that do not need it are not stopped by it.
    run(with_file(&place, "PLUMM_LISTEN=here", &["org", "create", "acme"])).succeeds();

    let mut command = place.command(&["serve"]);
    command.env("PLUMM_LISTEN", "here");
    let ran = run(command);
    assert!(ran.err.contains("It is given by PLUMM_LISTEN in the environment."), "{ran:?}");
    let ran = place.plumm(&["serve", "--listen", "here"]);
    assert!(!ran.err.contains("given by"), "{ran:?}");
}

#[test]
fn a_line_that_says_nothing_is_told_and_costs_no_other() {
    let place = Place::new();
    let file = "PLUMM_LISTEN 127.0.0.1:1\nPLUMM_DB=plumm.db\nplm_secret\n";
    let ran = run(with_file(&place, file, &["org", "create", "acme"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("WARN  plumm.env, line 1, is passed over: it has no `=`"), "{ran:?}");
    assert!(ran.err.contains("plumm.env, line 3, is passed over") && !ran.err.contains("secret"));
    // The database is not guessed where a line was to name it.
    let file = "export PLUMM_DB=/var/lib/plumm/plumm.db\n";
    let ran = run(with_file(&place, file, &["org", "create", "beta"]));
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    let sentence = "error: plumm.env, line 1, speaks of PLUMM_DB and says nothing: what stands \
                    before its `=` is no name of a variable: write NAME=VALUE, without `export`, \
                    or name the database with --db FILE\n";
    assert!(ran.err.ends_with(sentence), "{ran:?}");
    let listed = run(with_file(&place, file, &["org", "list", "--db", "plumm.db", "--json"]));
    let orgs: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((orgs.as_array().unwrap().len(), &orgs[0]["name"]), (1, &json!("acme")));
}

#[test]
fn a_file_that_cannot_be_read_is_said_where_the_database_is_needed() {
    let place = Place::new();
    let fails = |path: &str, args: &[&str], words: &str| {
        let mut command = place.command(args);
        command.env("PLUMM_ENV_FILE", path);
        let ran = run(command);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
        assert!(ran.err.ends_with(", or name the database with --db FILE\n"), "{ran:?}");
    };
    let missing = "nowhere.env may set PLUMM_DB, and cannot be read (it is not there): run it as ";
    fails("nowhere.env", &["org", "create", "acme"], missing);
    fails(".", &["status"], "cannot be read (it is no file)");
    fails("/dev/zero", &["check"], "cannot be read (it is too large)");
    assert_eq!(place.files(), [""; 0], "no file was made elsewhere");
    for args in [&["org", "create", "acme", "--db", "plumm.db"][..], &["check", "plumm.db"]] {
        let mut command = place.command(args);
        command.env("PLUMM_ENV_FILE", "nowhere.env");
        run(command).succeeds();
    }
    // Only root reads what nobody may.
    let path = place.folder.path().join(FILE);
    fs::write(&path, "PLUMM_DB=plumm.db\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_err() {
        fails(FILE, &["org", "list"], "cannot be read (permission denied): run it as ");
    }
}

/// A test that runs as root can be anybody.
#[test]
fn whoever_may_not_read_is_told_as_whom_to_run_the_command() {
    const NOBODY: u32 = 65534;
    let place = Place::new();
    let as_nobody = |args: &[&str], file: &str| {
        let mut command = place.command(args);
        command.env("PLUMM_ENV_FILE", file).uid(NOBODY).gid(NOBODY);
        command
    };
    let may = as_nobody(&["--version"], "").output();
    if !may.is_ok_and(|it| it.status.success()) {
        return;
    }
    place.plumm(&["org", "create", "acme"]).succeeds();
    let path = place.folder.path().join(FILE);
    fs::write(&path, "PLUMM_DB=plumm.db\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let ran = run(as_nobody(&["org", "list"], FILE));
    let sentence = "error: plumm.env may set PLUMM_DB, and cannot be read (permission denied): run \
                    it as root, `sudo plumm …`, or name the database with --db FILE\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), sentence));
    // The file may be read, and the database may not.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let ran = run(as_nobody(&["org", "list"], FILE));
    let end = "\n\nOnly another user may read the database: run it as root, `sudo plumm …`.\n";
    assert!(ran.code == Some(1) && ran.err.ends_with(end), "{ran:?}");
    // A check of `doctor` says it, and nothing behind the checks once more.
    let ran = run(as_nobody(&["doctor"], FILE));
    assert!(
        ran.out.contains(" may not read ") && !ran.err.contains("Only another user"),
        "{ran:?}"
    );
    // What needs no database does not mind.
    run(as_nobody(&["config"], FILE)).succeeds();
}

#[test]
fn a_variable_that_nothing_knows_is_told_with_the_nearest_one() {
    let place = Place::with_acme();
    let mut command =
        with_file(&place, "PLUMM_DB=plumm.db\nPLUMM_PUBLICURL=s3cret\n", &["org", "list"]);
    command.env("PLUMM_LISTN", "s3cret").env("PLUMM_NOTHING_LIKE_IT", "s3cret");
    command.env("PLUMM_TOKEN", "s3cret").env("PLUMM_URL", "");
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let warnings: Vec<&str> =
        ran.err.lines().map(|it| it.split_once(" WARN  ").unwrap().1).collect();
    assert_eq!(
        warnings,
        [
            "nothing knows the variable PLUMM_LISTN of the environment: is PLUMM_LISTEN meant?",
            "nothing knows the variable PLUMM_NOTHING_LIKE_IT of the environment",
            "nothing knows the variable PLUMM_PUBLICURL of plumm.env, line 2: is PLUMM_PUBLIC_URL \
             meant?",
        ]
    );
    // A server says it once, though it starts itself once more.
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("PLUMM_LISTN", "s3cret");
    let mut serving = crate::cli::Serving::start(command);
    serving.wait_for("nothing knows the variable PLUMM_LISTN");
    serving.wait_for("listening on");
    assert_eq!(serving.seen().iter().filter(|it| it.contains("PLUMM_LISTN")).count(), 1);
}

#[test]
fn config_tells_where_each_setting_comes_from() {
    let place = Place::new();
    let file = "PLUMM_DB=file.db\nPLUMM_LOG_DAYS=7\nPLUMM_INSECURE_HTTP=on\nPLUMM_LISTEN=127.0.0.1:1\n\
                PLUMM_LISTN=s3cret\nnonsense\n";
    let mut command = with_file(&place, file, &["config", "--json", "--public-url", "https://a.b"]);
    command.env("PLUMM_LISTEN", "127.0.0.1:2").env("PLUMM_TRUSTED_PROXIES", "10.0.0.1,10.0.0.2");
    command.env("PLUMM_LOG", "debug").env("PLUMM_SECRET", "s3cret");
    let ran = run(command);
    let config: Value = serde_json::from_str(ran.succeeds()).unwrap();
    assert!(!ran.out.contains("s3cret"), "{ran:?}");
    let all = |it| setting(&config, it);
    assert_eq!(all("PLUMM_DB"), (json!("file.db"), "file".into(), json!(1)));
    assert_eq!(all("PLUMM_LISTEN"), (json!("127.0.0.1:2"), "environment".into(), json!(null)));
    assert_eq!(all("PLUMM_PUBLIC_URL"), (json!("https://a.b"), "flag".into(), json!(null)));
    assert_eq!(all("PLUMM_INSECURE_HTTP"), (json!("on"), "file".into(), json!(3)));
    assert_eq!(all("PLUMM_LOG_DAYS"), (json!("7"), "file".into(), json!(2)));
    assert_eq!(all("PLUMM_BACKUP_KEEP"), (json!("7"), "default".into(), json!(null)));
    assert_eq!(all("PLUMM_TLS_KEY"), (json!(null), "default".into(), json!(null)));
    let proxies = (json!("10.0.0.1,10.0.0.2"), "environment".into(), json!(null));
    assert_eq!(all("PLUMM_TRUSTED_PROXIES"), proxies);
    assert_eq!(all("PLUMM_LOG").0, "debug");
    assert_eq!(all("PLUMM_ENV_FILE"), (json!(FILE), "environment".into(), json!(null)));
    let faults = json!([{"line": 6, "fault": "it has no `=`: write NAME=VALUE"}]);
    assert_eq!(config["file"], json!({"path": FILE, "unreadable": null, "faults": faults}));
    assert_eq!(
        config["unknown"],
        json!([
            {"variable": "PLUMM_SECRET", "line": null, "nearest": null},
            {"variable": "PLUMM_LISTN", "line": 5, "nearest": "PLUMM_LISTEN"},
        ])
    );
    // As text, for a person.
    let ran = run(with_file(&place, file, &["config"]));
    let table = ran.succeeds();
    for row in [
        "--db ",
        "PLUMM_DB ",
        " file.db ",
        " plumm.env, line 1\n",
        "PLUMM_TLS_CERT",
        " none ",
        "plumm.env, line 6, is passed over: it has no `=`",
        "nothing knows the variable PLUMM_LISTN of plumm.env, line 5: is PLUMM_LISTEN meant?",
    ] {
        assert!(table.contains(row), "no {row:?} in {table}");
    }
    // What the server would refuse is refused here.
    let refused: Run = run(with_file(&place, "PLUMM_LOG_DAYS=0", &["config"]));
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
    assert!(refused.err.contains("PLUMM_LOG_DAYS in plumm.env, line 1"), "{refused:?}");
    assert_eq!(place.files(), [FILE], "it opens no database");
    // Without a file.
    let none = place.plumm(&["config"]);
    assert!(none.succeeds().ends_with("\nNo file of settings is read.\n"), "{none:?}");
    let config = place.json(&["config"]);
    assert_eq!(setting(&config, "PLUMM_DB").0, "./plumm.db");
    let no_file = (json!(null), "environment".into(), json!(null));
    assert_eq!(setting(&config, "PLUMM_ENV_FILE"), no_file);
    assert_eq!(config["file"]["path"], json!(null));
}

/// The table of docs/settings.md is the one the program has.
#[test]
fn the_documented_settings_are_those_of_the_program() {
    let document = include_str!("../../docs/settings.md");
    let rows =
        document.lines().filter(|it| it.starts_with("| `--") || it.starts_with("| | `PLUMM_"));
    let rows: Vec<Vec<&str>> = rows
        .map(|it| it.trim_matches('|').split(" | ").map(|it| it.trim().trim_matches('`')).collect())
        .filter(|it: &Vec<&str>| it.iter().any(|cell| cell.starts_with("PLUMM_")))
        .collect();
    let config = Place::new().json(&["config"]);
    let settings = config["settings"].as_array().unwrap();
    assert!(settings.len() > 15, "{config}");
    for setting in settings {
        let variable = text(&setting["variable"]);
        let row = rows.iter().find(|row| row.contains(&variable.as_str()));
        let row = row.unwrap_or_else(|| panic!("docs/settings.md has no {variable}"));
        let (flag, default) = match row.as_slice() {
            [flag, _, default, _, ..] => (*flag, *default),
            other => panic!("{other:?}"),
        };
        assert_eq!(setting["flag"].as_str(), flag.split_whitespace().next(), "{variable}");
        let expected = match (setting["value"].as_str(), variable.as_str()) {
            // What the test itself has set.
            (_, "PLUMM_LOG") => "info",
            (_, "PLUMM_ENV_FILE") => "/etc/plumm/plumm.env",
            (None, "PLUMM_PUBLIC_URL") => "the `Host` of each request",
            (None, "PLUMM_ACME_HTTP_LISTEN") => "port 80",
            (value, _) => value.unwrap_or("none"),
        };
        assert_eq!(default, expected, "{variable}");
    }
    let known: Vec<&Value> = settings.iter().map(|it| &it["variable"]).collect();
    for row in rows {
        let variable = row.iter().find(|it| it.starts_with("PLUMM_")).unwrap();
        assert!(known.iter().any(|it| *it == variable), "the program has no {variable}");
    }
    for other in ["PLUMM_STARTED_AGAIN", "PLUMM_CHECK_TOKEN", "PLUMM_TOKEN"] {
        assert!(document.contains(other), "docs/settings.md does not tell of {other}");
    }
}

#[test]
fn help_is_shown_as_by_the_flag() {
    let place = Place::new();
    for command in [&[][..], &["serve"], &["user"], &["user", "purge"], &["help"]] {
        let by_command = place.plumm(&[&["help"], command].concat());
        let by_flag = place.plumm(&[command, &["--help"]].concat());
        assert_eq!(by_command.succeeds(), by_flag.succeeds(), "{command:?}");
    }
    place
        .plumm(&["help", "usr"])
        .is_misuse("there is no command 'usr' to be explained", "plumm --help");
    place
        .plumm(&["help", "user", "purg"])
        .is_misuse("there is no command 'purg' to be explained", "plumm user --help");
    assert_eq!(place.files(), [""; 0]);
}
