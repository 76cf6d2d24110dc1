//! The allocator of a server: its settings bound what all threads together keep of freed memory.
//!
//! glibc gives threads up to eight heaps for each processor, and none of them returns what lies
//! below something that is still in use. A large request on one connection after the other fills
//! them all: 24 clients that send the same body of 700 KB, of which two are parsed at a time,
//! brought a server to 1.1 GB that took 244 MB with four heaps and 74 MB with one. With one, eight
//! clients that ask for pages wait for each other, and get half as many; with four they do not.
//!
//! Of large blocks, such as the 19 MiB in which argon2 verifies a new token and the text of a page,
//! glibc learns: once one was returned to the system, the next of that size is put among the small
//! ones and kept. Eight rotations of a token brought a server from 16 to 197 MiB so. With a limit
//! that is set, each large block is a mapping of its own and goes back at once: 28 MiB.
//!
//! Of small blocks, each thread keeps up to seven of a size for itself, and pays for the heap that
//! all share with any further one. A user that is parsed and dropped has more than that. With 32,
//! a PATCH takes 2.5% fewer instructions, and 64 connections hold 2 MiB more.
//!
//! The C library reads its settings when a program starts and never again, so a server that was
//! started without them starts itself once more, as the same process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use crate::cli::settings::names::STARTED_AGAIN;

/// A setting of the allocator.
struct Setting {
    /// Its variable, where it has one of its own.
    name: Option<&'static str>,
    /// Its name in `GLIBC_TUNABLES`, where an operator may have set any of them.
    tunable: &'static str,
    /// The value for a server.
    value: &'static str,
}

/// The settings: how many heaps there are, from how many bytes on a block is a mapping of its own,
/// how many free bytes at its end a heap keeps, and how many free blocks of a size a thread keeps.
const SETTINGS: [Setting; 4] = [
    Setting { name: Some("MALLOC_ARENA_MAX"), tunable: "glibc.malloc.arena_max", value: "4" },
    Setting {
        name: Some("MALLOC_MMAP_THRESHOLD_"),
        tunable: "glibc.malloc.mmap_threshold",
        value: "1048576",
    },
    Setting {
        name: Some("MALLOC_TRIM_THRESHOLD_"),
        tunable: "glibc.malloc.trim_threshold",
        value: "4194304",
    },
    Setting { name: None, tunable: "glibc.malloc.tcache_count", value: "32" },
];
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Starts this program once more with the settings, and does not return then. Does nothing where
/// an operator has set them, or where another C library is used.
pub fn bound() {
    let given = |name: &str| env::var_os(name);
    if !cfg!(target_env = "gnu") {
        return;
    }
    let missing = missing(given, process::id());
    if !missing.is_empty() {
        let error = start_again(&missing);
        log::debug!("the settings of the allocator stay as they are: {error}");
    }
}

/// The settings that are missing; none if this process has started itself once more already.
fn missing(given: impl Fn(&str) -> Option<OsString>, id: u32) -> Vec<&'static Setting> {
    // Where the system withholds a setting from a program, it must not do so for ever.
    if given(STARTED_AGAIN).is_some_and(|it| it == OsStr::new(&id.to_string())) {
        return Vec::new();
    }
    let tuned = given(TUNABLES).unwrap_or_default().to_string_lossy().into_owned();
    let is_missing =
        |it: &&Setting| it.name.is_none_or(|it| given(it).is_none()) && !tuned.contains(it.tunable);
    SETTINGS.iter().filter(is_missing).collect()
}

/// The variables of these settings, beside what an operator has tuned.
fn variables(missing: &[&Setting], tuned: Option<OsString>) -> Vec<(&'static str, OsString)> {
    let value = |it: &&Setting| Some((it.name?, it.value.into()));
    let mut variables: Vec<_> = missing.iter().filter_map(value).collect();
    let nameless = missing.iter().filter(|it| it.name.is_none());
    let nameless = nameless.map(|it| [it.tunable, "=", it.value].concat().into());
    let tuned = tuned.filter(|it| !it.is_empty()).into_iter();
    let tuned: Vec<OsString> = tuned.chain(nameless).collect();
    if !tuned.is_empty() {
        variables.push((TUNABLES, tuned.join(OsStr::new(":"))));
    }
    variables
}

/// Returns only when that fails.
fn start_again(missing: &[&Setting]) -> io::Error {
    let program = match env::current_exe() {
        Ok(it) => it,
        Err(error) => return error,
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).envs(variables(missing, env::var_os(TUNABLES)));
    command.env(STARTED_AGAIN, process::id().to_string());
    command.exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_itself_once_more_unless_the_settings_are_there() {
        let check = |given: &[(&str, &str)], expected: &[&str]| {
            let value = |name: &str| {
                given.iter().find(|(it, _)| *it == name).map(|(_, value)| OsString::from(value))
            };
            let missing: Vec<_> =
                missing(value, 4711).iter().map(|it| it.name.unwrap_or(it.tunable)).collect();
            assert_eq!(missing, expected, "{given:?}");
        };
        let all = SETTINGS.map(|it| it.name.unwrap_or(it.tunable));
        let [heaps, large, end, blocks] = all;
        check(&[], &all);
        check(&[(heaps, "8")], &[large, end, blocks]);
        let few = "glibc.malloc.tcache_count=1";
        check(&[(heaps, "8"), (large, "9"), (end, "10"), (TUNABLES, few)], &[]);
        check(&[(TUNABLES, "glibc.malloc.check=1")], &all);
        let tuned = "glibc.malloc.check=1:glibc.malloc.arena_max=2";
        check(&[(TUNABLES, tuned), (end, "1")], &[large, blocks]);
        check(&[("PLUMM_STARTED_AGAIN", "4711")], &[]);
        // Of a server that has started this one.
        check(&[("PLUMM_STARTED_AGAIN", "4710")], &all);
    }

    #[test]
    fn what_an_operator_has_tuned_stays() {
        let [heaps, .., blocks] = &SETTINGS;
        let given = |it: &str| Some(OsString::from(it));
        let check = |missing: &[&Setting], tuned: Option<OsString>, expected: &[(&str, &str)]| {
            let found = variables(missing, tuned);
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
            assert_eq!(found, expected);
        };
        let (four, many) = (("MALLOC_ARENA_MAX", "4"), "glibc.malloc.tcache_count=32");
        check(&[heaps, blocks], None, &[four, (TUNABLES, many)]);
        check(&[heaps, blocks], given(""), &[four, (TUNABLES, many)]);
        let both = format!("glibc.malloc.check=1:{many}");
        check(&[blocks], given("glibc.malloc.check=1"), &[(TUNABLES, &both)]);
        check(&[heaps], given("a=1"), &[four, (TUNABLES, "a=1")]);
    }
}
