//! The allocator of a server: its settings bound what all threads together keep of freed memory.
//!
//! glibc gives threads up to eight heaps for each processor, and none of them returns what lies
//! below something that is still in use. A large request on one connection after the other fills
//! them all: 24 clients that send the same body of 700 KB, of which two are parsed at a time,
//! brought a server to 1.1 GB that took 244 MB with four heaps and 74 MB with one. With one, eight
//! clients that ask for pages wait for each other, and get half as many; with four they do not.
//!
//! The C library reads its settings when a program starts and never again, so a server that was
//! started without them starts itself once more, as the same process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

/// The setting, and its value for a server.
const HEAPS_MAX: (&str, &str) = ("MALLOC_ARENA_MAX", "4");
/// The other place where an operator may have set it, and under which name.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.arena_max");
/// Holds the id of a process that has started itself once more. Where the system withholds the
/// setting from a program, it must not do so for ever.
pub const STARTED_AGAIN: &str = "PLUMM_STARTED_AGAIN";

/// Starts this program once more with the settings, and does not return then. Does nothing where
/// an operator has set them, or where another C library is used.
pub fn bound() {
    let given = |name: &str| env::var_os(name);
    if !cfg!(target_env = "gnu") || !is_needed(given, process::id()) {
        return;
    }
    let error = start_again();
    log::debug!("the settings of the allocator stay as they are: {error}");
}

/// Whether the settings are missing, and this process has not started itself once more already.
fn is_needed(given: impl Fn(&str) -> Option<OsString>, id: u32) -> bool {
    let tuned = |it: OsString| it.to_string_lossy().contains(TUNABLES.1);
    given(HEAPS_MAX.0).is_none()
        && !given(TUNABLES.0).is_some_and(tuned)
        && given(STARTED_AGAIN).is_none_or(|it| it != OsStr::new(&id.to_string()))
}

/// Returns only when that fails.
fn start_again() -> io::Error {
    let program = match env::current_exe() {
        Ok(it) => it,
        Err(error) => return error,
    };
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(HEAPS_MAX.0, HEAPS_MAX.1);
    command.env(STARTED_AGAIN, process::id().to_string());
    command.exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_itself_once_more_unless_the_settings_are_there() {
        let check = |given: &[(&str, &str)], expected: bool| {
            let value = |name: &str| {
                given.iter().find(|(it, _)| *it == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(is_needed(value, 4711), expected, "{given:?}");
        };
        check(&[], true);
        check(&[("MALLOC_ARENA_MAX", "8")], false);
        check(&[("GLIBC_TUNABLES", "glibc.malloc.check=1")], true);
        check(&[("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.malloc.arena_max=2")], false);
        check(&[("PLUMM_STARTED_AGAIN", "4711")], false);
        // Of a server that has started this one.
        check(&[("PLUMM_STARTED_AGAIN", "4710")], true);
    }
}
