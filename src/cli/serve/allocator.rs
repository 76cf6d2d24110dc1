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
    /// The variable.
    name: &'static str,
    /// The other place where an operator may have set it is `GLIBC_TUNABLES`, under this name.
    tunable: &'static str,
    /// The value for a server.
    value: &'static str,
}

/// The settings: how many heaps there are, from how many bytes on a block is a mapping of its own,
/// and how many free bytes at its end a heap keeps.
const SETTINGS: [Setting; 3] = [
    Setting { name: "MALLOC_ARENA_MAX", tunable: "glibc.malloc.arena_max", value: "4" },
    Setting {
        name: "MALLOC_MMAP_THRESHOLD_",
        tunable: "glibc.malloc.mmap_threshold",
        value: "1048576",
    },
    Setting {
        name: "MALLOC_TRIM_THRESHOLD_",
        tunable: "glibc.malloc.trim_threshold",
        value: "4194304",
    },
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
    let is_missing = |it: &&Setting| given(it.name).is_none() && !tuned.contains(it.tunable);
    SETTINGS.iter().filter(is_missing).collect()
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
    command.args(arguments).envs(missing.iter().map(|it| (it.name, it.value)));
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
            let missing: Vec<_> = missing(value, 4711).iter().map(|it| it.name).collect();
            assert_eq!(missing, expected, "{given:?}");
        };
        let [heaps, large, end] = SETTINGS.map(|it| it.name);
        check(&[], &[heaps, large, end]);
        check(&[(heaps, "8")], &[large, end]);
        check(&[(heaps, "8"), (large, "9"), (end, "10")], &[]);
        check(&[(TUNABLES, "glibc.malloc.check=1")], &[heaps, large, end]);
        let tuned = "glibc.malloc.check=1:glibc.malloc.arena_max=2";
        check(&[(TUNABLES, tuned), (end, "1")], &[large]);
        check(&[("PLUMM_STARTED_AGAIN", "4711")], &[]);
        // Of a server that has started this one.
        check(&[("PLUMM_STARTED_AGAIN", "4710")], &[heaps, large, end]);
    }
}
