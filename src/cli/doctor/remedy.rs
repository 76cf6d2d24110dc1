//! Commands that mend something, as whoever runs `plumm doctor` can type them: with the database,
//! the user that it belongs to, and the way in which the server is run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::acme::settings::LETS_ENCRYPT;
use crate::cli::serve::note::Settings;
use crate::cli::text::quoted;

/// The file of settings that the unit of deploy/ reads.
const ENVIRONMENT_FILE: &str = "/etc/plumm/plumm.env";
/// The unit of deploy/, when no server runs.
const UNIT: &str = "plumm.service";
/// Where it is installed: by hand, or by a package.
const UNIT_FILES: [&str; 2] =
    ["/etc/systemd/system/plumm.service", "/usr/lib/systemd/system/plumm.service"];

/// What commands must name.
#[derive(Clone, Debug)]
pub struct Remedy {
    /// The database, as one word of a shell.
    database: String,
    /// The user that the database belongs to, where that is not who asks.
    other_owner: Option<String>,
    is_root: bool,
    /// The systemd unit that the server is run by.
    unit: Option<String>,
    /// Its process.
    process: Option<u32>,
    settings: Settings,
}

impl Remedy {
    /// Commands for this database. `owner`: its user, with a name; `me`: who asks.
    #[must_use]
    pub fn new(
        database: &Path,
        owner: Option<(u32, String)>,
        me: Option<u32>,
        process: Option<u32>,
        settings: Settings,
    ) -> Remedy {
        let is_installed = || UNIT_FILES.iter().any(|it| Path::new(it).exists());
        let installed = || is_installed().then(|| UNIT.to_owned());
        Remedy {
            database: quoted(&database.to_string_lossy()),
            other_owner: owner
                .filter(|(uid, _)| me.is_some_and(|me| me != *uid))
                .map(|(_, name)| name),
            is_root: me == Some(0),
            unit: match process {
                Some(it) => unit_of(it),
                None => installed(),
            },
            process,
            settings,
        }
    }

    /// A command of plumm's on this database, by the user it belongs to.
    #[must_use]
    pub fn plumm(&self, rest: &str) -> String {
        format!("{}plumm --db {} {rest}", self.as_owner(), self.database)
    }

    fn as_owner(&self) -> String {
        match &self.other_owner {
            None => String::new(),
            // Not every host has sudo, and root needs none.
            Some(it) if self.is_root => format!("runuser -u {} -- ", quoted(it)),
            Some(it) => format!("sudo -u {} ", quoted(it)),
        }
    }

    /// A command for a file that belongs to the same user.
    #[must_use]
    pub fn for_file(&self, command: &str) -> String {
        match self.other_owner {
            Some(_) if !self.is_root => format!("sudo {command}"),
            _ => command.to_owned(),
        }
    }

    /// Makes a folder that the owner of the database can write to, and nobody else.
    #[must_use]
    pub fn make_folder(&self, folder: &str) -> String {
        let folder = quoted(folder);
        match &self.other_owner {
            None => format!("install -d -m 700 {folder}"),
            Some(it) => self.as_root(&format!("install -d -m 700 -o {} {folder}", quoted(it))),
        }
    }

    /// A command that needs the rights of root.
    #[must_use]
    pub fn as_root(&self, command: &str) -> String {
        if self.is_root { command.to_owned() } else { format!("sudo {command}") }
    }

    /// Starts the server; the one that runs is ended first.
    #[must_use]
    pub fn restart(&self) -> Vec<String> {
        match (&self.unit, self.process) {
            (Some(unit), _) => vec![self.as_root(&format!("systemctl restart {unit}"))],
            (None, Some(_)) => vec![self.stop(), self.serve("")],
            (None, None) => vec![self.serve("")],
        }
    }

    /// Sets something of the server, and starts it with that.
    #[must_use]
    pub fn set(&self, flag: &str, variable: &str, value: &str) -> Vec<String> {
        let Some(unit) = &self.unit else {
            let stop = self.process.map(|_| self.stop());
            let serve = self.serve(&format!(" {flag} {}", quoted(value)));
            return stop.into_iter().chain([serve]).collect();
        };
        let line = quoted(&format!("{variable}={value}"));
        let tee = self.as_root(&format!("tee -a {ENVIRONMENT_FILE}"));
        vec![format!("echo {line} | {tee}"), self.as_root(&format!("systemctl restart {unit}"))]
    }

    /// Takes a variable away that nothing knows.
    #[must_use]
    pub fn unset(&self, variable: &str, of_server: bool) -> String {
        match &self.unit {
            Some(_) if of_server => {
                let script = quoted(&format!("/^{variable}=/d"));
                self.as_root(&format!("sed -i {script} {ENVIRONMENT_FILE}"))
            }
            _ => format!("unset {}", quoted(variable)),
        }
    }

    /// Has the server read its files again, and try again what failed.
    #[must_use]
    pub fn reload(&self) -> Option<String> {
        Some(match (&self.unit, self.process) {
            (Some(unit), Some(_)) => self.as_root(&format!("systemctl reload {unit}")),
            (_, Some(process)) => self.for_file(&format!("kill -HUP {process}")),
            (_, None) => return None,
        })
    }

    /// Shows what the server has logged.
    #[must_use]
    pub fn server_log(&self) -> Option<String> {
        let unit = self.unit.as_ref()?;
        Some(self.as_root(&format!("journalctl -u {unit} --since -1h")))
    }

    fn stop(&self) -> String {
        let process = self.process.map_or_else(String::new, |it| it.to_string());
        // Until it has ended, no other server can serve the file.
        let wait = format!("tail --pid={process} -f /dev/null");
        format!("{} && {wait}", self.for_file(&format!("kill {process}")))
    }

    /// The server with its settings and more.
    fn serve(&self, more: &str) -> String {
        let it = &self.settings;
        let mut line = self.plumm("serve");
        let mut add = |flag: &str, value: Option<&String>| {
            if let Some(value) = value.filter(|_| !more.contains(&format!(" {flag} "))) {
                let _ = write!(line, " {flag} {}", quoted(value));
            }
        };
        let by_acme = !it.acme.is_empty();
        let usual = if by_acme { "0.0.0.0:443" } else { "127.0.0.1:8080" };
        add("--listen", Some(&it.listen).filter(|it| !it.is_empty() && *it != usual));
        if by_acme {
            add("--acme", Some(&it.acme.join(",")));
            add("--acme-email", it.acme_email.as_ref());
            let directory = Some(&it.acme_directory).filter(|it| *it != LETS_ENCRYPT);
            add("--acme-directory", directory);
            add("--acme-http-listen", it.acme_http_listen.as_ref());
        }
        add("--tls-cert", it.tls_cert.as_ref());
        add("--tls-key", it.tls_key.as_ref());
        add("--public-url", it.public_url.as_ref());
        let proxies = Some(it.trusted_proxies.join(",")).filter(|it| !it.is_empty());
        add("--trusted-proxies", proxies.as_ref());
        add("--backup-dir", it.backup_dir.as_ref());
        for (set, flag) in [
            (it.insecure_http, " --insecure-http"),
            (it.external_checkpoint, " --external-checkpoint"),
        ] {
            line += if set { flag } else { "" };
        }
        line + more
    }
}

/// The systemd unit that a process belongs to.
fn unit_of(process: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    unit_in(&groups)
}

fn unit_in(groups: &str) -> Option<String> {
    let names = groups.lines().filter_map(|it| it.trim_end().rsplit('/').next());
    let mut units = names.filter(|it| it.ends_with(".service") && it.contains("plumm"));
    units.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(owner: u32, me: u32, unit: Option<&str>) -> Remedy {
        let settings = Settings {
            public_url: Some("https://scim.example.com".to_owned()),
            listen: "127.0.0.1:9000".to_owned(),
            insecure_http: true,
            ..Settings::default()
        };
        let owner = Some((owner, "plumm".to_owned()));
        let mut it =
            Remedy::new(Path::new("/var/my plumm/plumm.db"), owner, Some(me), None, settings);
        it.unit = unit.map(str::to_owned);
        it
    }

    #[test]
    fn commands_name_the_database_and_its_user() {
        let own = remedy(7, 7, None);
        assert_eq!(own.plumm("doctor"), "plumm --db '/var/my plumm/plumm.db' doctor");
        assert_eq!(own.for_file("chmod 600 x"), "chmod 600 x");
        assert_eq!(own.as_root("timedatectl"), "sudo timedatectl");
        let other = remedy(7, 8, None);
        assert_eq!(other.plumm("x"), "sudo -u plumm plumm --db '/var/my plumm/plumm.db' x");
        assert_eq!(other.for_file("chmod 600 x"), "sudo chmod 600 x");
        let root = remedy(7, 0, None);
        assert_eq!(root.plumm("x"), "runuser -u plumm -- plumm --db '/var/my plumm/plumm.db' x");
        assert_eq!(own.make_folder("/b"), "install -d -m 700 /b");
        assert_eq!(other.make_folder("/b"), "sudo install -d -m 700 -o plumm /b");
        assert_eq!(root.make_folder("/b"), "install -d -m 700 -o plumm /b");
        assert_eq!((root.for_file("a"), root.as_root("b")), ("a".to_owned(), "b".to_owned()));
    }

    #[test]
    fn a_setting_is_set_in_the_way_the_server_is_run() {
        let set = |it: &Remedy| it.set("--public-url", "PLUMM_PUBLIC_URL", "https://b.example");
        let flags = "plumm --db '/var/my plumm/plumm.db' serve --listen 127.0.0.1:9000 \
                     --insecure-http --public-url https://b.example";
        assert_eq!(set(&remedy(7, 7, None)), [flags]);
        let unit = remedy(7, 7, Some("plumm.service"));
        assert_eq!(
            set(&unit),
            [
                "echo PLUMM_PUBLIC_URL=https://b.example | sudo tee -a /etc/plumm/plumm.env",
                "sudo systemctl restart plumm.service"
            ]
        );
        assert_eq!(unit.restart(), ["sudo systemctl restart plumm.service"]);
        assert_eq!(
            unit.unset("PLUMM_LISTN", true),
            "sudo sed -i '/^PLUMM_LISTN=/d' /etc/plumm/plumm.env"
        );
        assert_eq!(unit.unset("PLUMM_LISTN", false), "unset PLUMM_LISTN");
        let mut running = remedy(7, 7, None);
        running.process = Some(4711);
        assert_eq!(running.restart()[0], "kill 4711 && tail --pid=4711 -f /dev/null");
    }

    #[test]
    fn the_unit_of_a_process_is_in_its_control_group() {
        let unit = unit_in("0::/system.slice/plumm.service\n");
        assert_eq!(unit.as_deref(), Some("plumm.service"));
        let unit = unit_in("12:pids:/system.slice/plumm@acme.service\n0::/x\n");
        assert_eq!(unit.as_deref(), Some("plumm@acme.service"));
        for other in ["", "0::/", "0::/user.slice/user@1000.service/app.slice/term.scope"] {
            assert_eq!(unit_in(other), None, "{other}");
        }
    }
}
