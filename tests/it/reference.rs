//! The tables of commands, settings and exit codes in the documents are those of the program, and
//! whatever command a document, a sentence of the program or a file for operators names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use plumm::cli::error::EXIT_CODES;
use plumm::cli::settings::{ENV_FILE, ENV_FILE_DEFAULT};
use serde_json::{Value, json};

use crate::cli::Place;
use crate::requirements::rust_files;

/// The flags of every command, which no row repeats.
const OF_ALL: [&str; 4] = ["--db", "--help", "--json", "--version"];

/// What a command takes, as its help says.
#[derive(Debug, Default)]
struct Grammar {
    /// Its arguments in their order, as `NAME` or `[NAME]`.
    arguments: Vec<String>,
    /// Its flags, each with the name of its value and the values there are.
    flags: BTreeMap<String, (Option<String>, Vec<String>)>,
    /// Whether it only leads to other commands.
    leads_on: bool,
}

/// All commands by their names; the program itself has none.
fn grammars(place: &Place) -> BTreeMap<String, Grammar> {
    let mut found = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(name) = left.pop() {
        let words = name.split(' ').filter(|it| !it.is_empty()).chain(["--help"]);
        let help = place.plumm(&words.collect::<Vec<_>>()).succeeds().to_owned();
        let below = help.lines().skip_while(|it| *it != "Commands:").skip(1);
        let below = below.take_while(|it| it.starts_with("  "));
        let below: Vec<&str> = below.filter_map(|it| it.split_whitespace().next()).collect();
        left.extend(below.iter().map(|it| format!("{name} {it}").trim_start().to_owned()));
        found.insert(name, Grammar { leads_on: !below.is_empty(), ..grammar(&help) });
    }
    found
}

fn grammar(help: &str) -> Grammar {
    let mut grammar = Grammar::default();
    let usage = help.lines().find_map(|it| it.strip_prefix("Usage: ")).unwrap();
    for word in usage.split(' ').filter(|it| !["[OPTIONS]", "<COMMAND>"].contains(it)) {
        let word = word.trim_end_matches("...");
        match word.strip_prefix('<').and_then(|it| it.strip_suffix('>')) {
            Some(name) => grammar.arguments.push(name.to_owned()),
            None if word.starts_with('[') => grammar.arguments.push(word.to_owned()),
            None => {}
        }
    }
    // The values of flags that must be given stand in the usage too.
    let required = usage.split(" --").skip(1).filter_map(|it| it.split(['<', '>']).nth(1));
    let required: Vec<&str> = required.collect();
    grammar.arguments.retain(|it| !required.contains(&it.as_str()));
    let mut last = None;
    for line in help.lines().skip_while(|it| *it != "Options:") {
        let text = line.trim_start();
        if text.starts_with('-') && !text.starts_with("- ") {
            let (_, rest) = text.split_once("--").unwrap();
            let name = rest.split([' ', '[']).next().unwrap();
            let value = rest[name.len()..].strip_prefix(" <");
            let value = value.and_then(|it| it.split('>').next()).map(str::to_owned);
            grammar.flags.insert(format!("--{name}"), (value, Vec::new()));
            last = Some(format!("--{name}"));
        }
        let Some((_, values)) = last.as_ref().and_then(|it| grammar.flags.get_mut(it)) else {
            continue;
        };
        if let Some((_, told)) = line.split_once("[possible values: ") {
            let told = told.split(']').next().unwrap();
            values.extend(told.split(", ").map(str::to_owned));
        }
        if let Some(value) = text.strip_prefix("- ") {
            values.extend(value.split(':').next().map(str::to_owned));
        }
    }
    grammar
}

/// A command as a row of a table has it: its words, its arguments, its flags with their values.
#[derive(Debug)]
struct Synopsis {
    words: Vec<String>,
    flags: BTreeMap<String, Option<String>>,
}

fn synopsis(text: &str) -> Synopsis {
    let mut synopsis = Synopsis { words: Vec::new(), flags: BTreeMap::new() };
    let mut flag: Option<String> = None;
    for word in text.split(' ').skip(1) {
        let word = word.trim_end_matches('…');
        let closing = word.matches(']').count() > word.matches('[').count();
        let word = if closing { &word[..word.len() - 1] } else { word };
        if let Some(flags) = word.strip_prefix('[').unwrap_or(word).strip_prefix("--") {
            let flags = flags.trim_end_matches(']').split("|--").map(|it| format!("--{it}"));
            for it in flags {
                synopsis.flags.insert(it.clone(), None);
                flag = Some(it);
            }
        } else if let Some(value) = flag.take().and_then(|it| synopsis.flags.get_mut(&it)) {
            *value = Some(word.to_owned());
        } else {
            synopsis.words.push(word.to_owned());
        }
        if closing {
            flag = None;
        }
    }
    synopsis
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The rows of the table that has this head, each as its cells.
fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let rows = text.lines().skip_while(|it| *it != head).skip(2);
    let rows = rows.take_while(|it| it.starts_with('|'));
    let cells = |row: &str| {
        // A bar in code is written `\|`, and is no end of a cell.
        let row = row.trim_matches('|').replace("\\|", "\u{0}");
        row.split('|').map(|it| it.replace('\u{0}', "|").trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// What stands between backticks.
fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_row_of_a_command_has_its_arguments_and_flags() {
    let grammars = grammars(&Place::new());
    let (text, settings) = (document("docs/commands.md"), document("docs/settings.md"));
    let heads = ["| flag | variable | default | meaning |", "| flag | default | meaning |"];
    let of_settings = heads.map(|head| {
        let flags = rows(&settings, head).into_iter().filter_map(|it| {
            spans(&it[0]).first().map(|it| it.split(' ').next().unwrap().to_owned())
        });
        flags.collect::<BTreeSet<String>>()
    });
    let [of_server, of_orgs] = of_settings;
    let with_reason = with_reason(&text);
    let mut told = BTreeSet::new();
    for row in rows(&text, "| command | what it does |") {
        for span in spans(&row[0]) {
            let synopsis = synopsis(span);
            let known = (1..=synopsis.words.len()).rev().map(|n| synopsis.words[..n].join(" "));
            let name = known.clone().find(|it| grammars.contains_key(it));
            let name = name.unwrap_or_else(|| panic!("there is no command `{span}`"));
            let grammar = &grammars[&name];
            let arguments = &synopsis.words[name.split(' ').count()..];
            assert_eq!(arguments, grammar.arguments, "`{span}` has other arguments");
            for (flag, value) in &synopsis.flags {
                let Some((expected, values)) = grammar.flags.get(flag) else {
                    panic!("`{span}`: the command has no {flag}");
                };
                let all = values.join("|");
                let fits = value == expected || (!all.is_empty() && value.as_deref() == Some(&all));
                assert!(fits, "`{span}`: {flag} takes {expected:?} of {values:?}");
            }
            let elsewhere = |it: &str| match name.as_str() {
                "serve" | "config" | "healthcheck" => of_server.contains(it),
                "org create" | "org set" => of_orgs.contains(it),
                _ => it == "--reason" && with_reason.contains(&name),
            };
            for flag in grammar.flags.keys().filter(|it| !OF_ALL.contains(&it.as_str())) {
                let here = synopsis.flags.contains_key(flag);
                assert!(here || elsewhere(flag), "`{span}` does not tell of {flag}");
            }
            assert!(told.insert(name.clone()), "`plumm {name}` has two rows");
        }
    }
    let all = grammars.iter().filter(|(_, it)| !it.leads_on).map(|(name, _)| name.clone());
    assert_eq!(told, all.collect());
    let having = grammars.iter().filter(|(_, it)| it.flags.contains_key("--reason"));
    assert_eq!(with_reason, having.map(|(name, _)| name.clone()).collect());
}

/// The commands that the sentence about `--reason` names: one word goes with the noun before it.
fn with_reason(text: &str) -> BTreeSet<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, sentence) = text.split_once("`--reason TEXT` says why").unwrap();
    let (_, list) = sentence.split_once(": with ").unwrap();
    let list = list.split(". ").next().unwrap();
    let mut noun = String::new();
    let mut names = BTreeSet::new();
    for span in spans(list) {
        match span.split_once(' ') {
            Some((first, _)) => {
                noun = first.to_owned();
                names.insert(span.to_owned());
            }
            None => drop(names.insert(format!("{noun} {span}"))),
        }
    }
    names
}

/// A default as the table has it, as the program has it.
fn default_of(cell: &str) -> Value {
    match spans(cell).first() {
        Some(value) if cell.starts_with('`') => json!(value),
        _ if cell == "off" => json!("off"),
        _ => Value::Null,
    }
}

#[test]
fn the_tables_of_settings_are_those_of_the_program() {
    let place = Place::new();
    fs::write(place.folder.path().join("empty.env"), "").unwrap();
    let mut command = place.command(&["--json", "config"]);
    let said = command.env_remove("PLUMM_LOG").env(ENV_FILE, "empty.env").output().unwrap();
    let told: Value = serde_json::from_slice(&said.stdout).unwrap();
    let serve = &grammars(&place)["serve"];
    let text = document("docs/settings.md");
    let written = rows(&text, "| flag | variable | default | meaning |");
    let settings = told["settings"].as_array().unwrap();
    assert_eq!(written.len(), settings.len());
    for (row, setting) in written.iter().zip(settings) {
        let flag = setting["flag"].as_str();
        let value = flag.and_then(|it| serve.flags[it].0.clone());
        let shown = flag.map(|it| [it, value.as_deref().unwrap_or_default()].join(" "));
        let shown = shown.as_deref().unwrap_or_default().trim_end();
        assert_eq!(spans(&row[0]).first().copied().unwrap_or_default(), shown);
        assert_eq!(spans(&row[1]), [setting["variable"].as_str().unwrap()], "{row:?}");
        let default = match setting["variable"] == ENV_FILE {
            true => json!(ENV_FILE_DEFAULT),
            false => setting["value"].clone(),
        };
        assert_eq!(default_of(&row[2]), default, "{row:?}");
    }

    let made = place.json(&["org", "create", "acme"]);
    let create = &grammars(&place)["org create"];
    let mut written = BTreeSet::new();
    for row in rows(&text, "| flag | default | meaning |") {
        let (flag, value) = spans(&row[0])[0].split_once(' ').unwrap();
        let (name, values) = &create.flags[flag];
        let values = values.join("|");
        assert!(name.as_deref() == Some(value) || values == value, "{row:?}: {name:?} {values}");
        let key = flag.trim_start_matches('-').replace('-', "_");
        let default = match &made[&key] {
            Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(row[1].trim_matches('`'), default, "{row:?}");
        written.insert(flag.to_owned());
    }
    let flags = create.flags.keys().filter(|it| !OF_ALL.contains(&it.as_str()));
    let flags: BTreeSet<String> = flags.filter(|it| *it != "--activate").cloned().collect();
    assert_eq!(written, flags);
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let written = rows(&document("docs/commands.md"), "| exit code | meaning |");
    let codes = EXIT_CODES.iter().map(|(code, meaning)| vec![code.to_string(), (*meaning).into()]);
    assert_eq!(written, codes.collect::<Vec<_>>());
}

/// The commands in a text: what stands in backticks, and lines of shell.
fn mentions(text: &str, is_markdown: bool) -> Vec<String> {
    let mut found = Vec::new();
    let (mut prose, mut language) = (String::new(), None);
    let text = text.replace("\\\n", " ");
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```").filter(|_| is_markdown);
        match (fence, language) {
            (Some(name), None) => language = Some(name == "sh"),
            (Some(_), Some(_)) => language = None,
            (None, Some(true)) => found.extend(typed(line)),
            (None, Some(false)) => {}
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    let spans = spans.filter(|it| it.len() < 200);
    let spans = spans.map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    // A bar in the cell of a table is written `\|`.
    found.extend(spans.filter(|it| it.starts_with("plumm ")).map(|it| it.replace("\\|", "|")));
    found
}

/// The commands of plumm in a line of shell.
fn typed(line: &str) -> Vec<String> {
    let line = line.split(" # ").next().unwrap();
    let commands = line.split(['|', ';', '&', '(', ')', '>']);
    let words = commands.map(|it| it.split_whitespace().collect::<Vec<_>>());
    let before = |it: &str| {
        ["sudo", "-u", "exec", "plumm"].contains(&it) || it.contains('=') || it.starts_with('#')
    };
    let found = words.filter_map(|words| {
        let at = words.iter().rposition(|it| *it == "plumm")?;
        words[..at].iter().all(|it| before(it)).then(|| words[at..].join(" "))
    });
    found.collect()
}

/// What is wrong with a command that is named somewhere, if anything.
fn fault(mention: &str, grammars: &BTreeMap<String, Grammar>) -> Option<String> {
    let mut words = mention.split(' ').skip(1).peekable();
    let (mut name, mut flags) = (String::new(), Vec::new());
    let mut named = false;
    while let Some(word) = words.next() {
        let bare = word.trim_matches(|it| "[]…,.'\"".contains(it));
        if let Some(flag) = bare.strip_prefix("--") {
            let flag = flag.split(['=', '|', ' ']).next().unwrap();
            flags.push(format!("--{flag}"));
            // `--db FILE` may stand before the command.
            if flag == "db" {
                words.next();
            }
            continue;
        }
        // `list|show` are two commands, of which the first one is looked at further.
        let each = bare.split('|').map(|it| format!("{name} {it}").trim_start().to_owned());
        let each: Vec<String> = each.collect();
        let longer = each.iter().find(|it| !grammars.contains_key(*it)).unwrap_or(&each[0]).clone();
        if !named && grammars.contains_key(&longer) {
            name = longer;
        } else if !named && grammars[&name].leads_on {
            // A placeholder, or the end of a sentence about all commands.
            let open = bare.is_empty() || bare == "COMMAND" || bare.contains(['{', '}']);
            if !open {
                return Some(format!("there is no command `{longer}`"));
            }
            return None;
        } else {
            named = true;
        }
    }
    let known = |it: &String| {
        grammars[&name].flags.contains_key(it) || OF_ALL.contains(&it.as_str()) || it == "--"
    };
    let strange: Vec<&String> = flags.iter().filter(|it| !known(it)).collect();
    (!strange.is_empty()).then(|| format!("`plumm {name}` has no {strange:?}"))
}

/// Every text in which people read what to type.
fn texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    rust_files(&root.join("src"), &mut paths);
    let mut folders = vec![root.join("docs"), root.join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { paths.push(path) }
        }
    }
    let at_root = ["README", "CONTRIBUTING", "RELEASING", "SECURITY", "CHANGELOG"];
    paths.extend(at_root.iter().map(|it| root.join(format!("{it}.md"))));
    paths
}

#[test]
fn each_command_that_is_named_somewhere_is_there_with_its_flags() {
    let grammars = grammars(&Place::new());
    let (mut faults, mut count) = (Vec::new(), 0);
    for path in texts() {
        // A picture names nothing.
        if path.extension().is_some_and(|it| it == "png") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Comments are read by whoever changes plumm; those with three strokes are help too.
        let is_comment = |it: &&str| it.starts_with("//!") || it.starts_with("// ");
        let lines = text.lines().filter(|it| !is_comment(&it.trim_start()));
        let text = lines.collect::<Vec<_>>().join("\n");
        for mention in mentions(&text, path.extension().is_some_and(|it| it == "md")) {
            count += 1;
            if let Some(what) = fault(&mention, &grammars) {
                faults.push(format!("{}: `{mention}`: {what}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(count > 300, "{count}");
}

/// The checker is itself checked.
#[test]
fn each_fault_of_a_mention_is_found() {
    let grammars = grammars(&Place::new());
    for good in [
        "plumm",
        "plumm …",
        "plumm serve --init acme",
        "plumm --db x.db --json user show acme mara --json",
        "plumm token create ORG [--scope scim|read] [--label TEXT]",
        "plumm org delete NAME --yes",
        "plumm user",
        "plumm user list acme --search token",
        "plumm webhook list|show",
    ] {
        assert_eq!(fault(good, &grammars), None, "{good}");
    }
    for (bad, words) in [
        ("plumm serv", "no command `serv`"),
        ("plumm webhook list|shaw", "no command `webhook shaw`"),
        ("plumm user shaw acme", "no command `user shaw`"),
        ("plumm user show acme --reason x", "`plumm user show` has no [\"--reason\"]"),
        ("plumm --db x user purge acme mara --yess", "has no [\"--yess\"]"),
    ] {
        assert!(fault(bad, &grammars).unwrap().contains(words), "{bad}");
    }
    let text = "# A\n`plumm x y`, `cat plumm z`, `plumm\nq`\n```sh\nsudo -u plumm plumm a | plumm b --c # plumm d\n\
        A=1 plumm e && cat plumm f\nT=$(plumm g \\\n  --h)\n```\n```text\nplumm i\n```\n";
    let found = ["plumm a", "plumm b --c", "plumm e", "plumm g --h", "plumm x y", "plumm q"];
    assert_eq!(mentions(text, true), found);
}
