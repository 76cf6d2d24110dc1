//! Who runs a command, as the record of changes names it.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::scim::error::quoted;
use crate::store::tables::provisioning_log::Actor;

/// The file that names the users of this system.
const PASSWD: &str = "/etc/passwd";

/// Support, and whose shell it was: `user:root sudo:ann`.
#[must_use]
pub fn actor() -> Actor {
    let user = match uid() {
        Some(uid) => Some(user_name(uid)),
        None => env::var("USER").ok().filter(|it| !it.is_empty()),
    };
    // Who has typed it, where that is somebody else.
    let sudo = env::var("SUDO_USER").ok().filter(|it| !it.is_empty());
    Actor { client: client(user.as_deref(), sudo.as_deref()), ..Actor::cli() }
}

/// The number of the user whom this process belongs to.
#[must_use]
pub fn uid() -> Option<u32> {
    // A process owns its entry in /proc.
    fs::metadata("/proc/self").map(|it| it.uid()).ok()
}

/// The name of a user of this system; the number of one that has none.
#[must_use]
pub fn user_name(uid: u32) -> String {
    user_named(&fs::read_to_string(PASSWD).unwrap_or_default(), uid)
}

fn client(user: Option<&str>, sudo: Option<&str>) -> Option<String> {
    let user = format!("user:{}", quoted(user?));
    Some(match sudo {
        Some(it) => format!("{user} sudo:{}", quoted(it)),
        None => user,
    })
}

/// What to type instead of `plumm`, to read a file that this user may not read.
#[must_use]
pub fn who_can_read(path: &Path) -> String {
    // Of a folder that hides the file, whoever the folder belongs to.
    let owner = path.ancestors().find_map(|it| fs::metadata(it).ok());
    let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
    let user = owner.and_then(|it| user_who_reads(&passwd, it.uid(), it.gid(), it.mode()));
    match user {
        Some(user) => format!("run it as the user {user}, `sudo -u {user} plumm …`"),
        None => "run it as root, `sudo plumm …`".to_owned(),
    }
}

/// The user, other than root, who can read what has this owner, group and mode.
fn user_who_reads(passwd: &str, uid: u32, gid: u32, mode: u32) -> Option<String> {
    if uid != 0 {
        return Some(user_named(passwd, uid));
    }
    let of_group = |line: &&str| {
        line.split(':').nth(3) == Some(gid.to_string().as_str()) && !line.starts_with("root:")
    };
    let line = passwd.lines().find(of_group).filter(|_| gid != 0 && mode & 0o040 != 0)?;
    line.split(':').next().map(str::to_owned)
}

/// The name of a user of the system; the number of one that has none.
fn user_named(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_the_system_have_their_names() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n\nbroken\nann:x:1000:0::/:\nbob:x:1000:0::/:\n";
        for (uid, name) in [(0, "root"), (1000, "ann"), (100, "100")] {
            assert_eq!(user_named(passwd, uid), name);
        }
        let who = |uid, gid, mode| user_who_reads(passwd, uid, gid, mode);
        assert_eq!(who(1000, 7, 0o600).as_deref(), Some("ann"));
        assert_eq!(who(0, 0, 0o640), None);
        assert_eq!(who(0, 7, 0o640), None);
        let passwd = "root:x:0:0::/:\nplumm:x:998:997::/:\n";
        let who = |uid, gid, mode| user_who_reads(passwd, uid, gid, mode);
        assert_eq!(who(0, 997, 0o640).as_deref(), Some("plumm"));
        assert_eq!((who(0, 997, 0o600), who(998, 0, 0o600)), (None, Some("plumm".to_owned())));
        assert_eq!(client(Some("ann"), None).as_deref(), Some("user:ann"));
        assert_eq!(client(Some("root"), Some("a\nb")).unwrap(), "user:root sudo:a\u{fffd}b");
        assert_eq!(client(None, Some("ann")), None);
        assert!(actor().client.is_none_or(|it| it.starts_with("user:")));
    }
}
