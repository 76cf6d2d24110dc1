//! A database file by what it is and not by its name: a handle for locks and for its bytes.
//!
//! A lock on the file itself (flock(2), which `File::try_lock` takes on Linux) holds whatever name
//! the file is reached by: a hard link, a symbolic link, a name that was given it since. On Linux
//! it has nothing to do with the byte locks of SQLite (fcntl(2)), which neither see it nor wait
//! for it.
//!
//! One thing ties the two together: when a process closes *any* handle of a file, it loses all of
//! its own byte locks on it, those of SQLite's open connections too. So this process has at most
//! one handle of a file beside those of SQLite, shared by whoever needs one, and whoever opens a
//! file by SQLite holds a [`DatabaseFile`] of it until after its last connection is closed.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::store::mutex::lock;

/// The files of which this process has a handle. Handles are opened and closed while this is
/// locked, so that nobody opens a file by SQLite between another one's last look and its close.
static OPENED: Mutex<BTreeMap<Identity, Opened>> = Mutex::new(BTreeMap::new());

/// The device and inode of a file.
type Identity = (u64, u64);

struct Opened {
    file: Arc<File>,
    /// Further handles of the same file, which must not be closed before it.
    further: Vec<File>,
    holders: usize,
    /// What this process has locked the file for.
    locked: Option<Purpose>,
}

/// What a file is locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A server serves it, or it is being replaced.
    Serve,
    /// It is a copy in the making.
    Copy,
}

/// Who has locked a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// This process.
    This(Purpose),
    /// Another process.
    Another,
}

/// A share in the handle of a file. The last one that is dropped closes it.
pub struct DatabaseFile {
    identity: Identity,
    /// Always there until the value is dropped.
    file: Option<Arc<File>>,
}

impl DatabaseFile {
    /// The handle of a regular file.
    ///
    /// # Errors
    /// When it cannot be opened or is something else.
    pub fn open(path: &Path) -> io::Result<DatabaseFile> {
        let mut opened = lock(&OPENED);
        let found = fs::metadata(path)?;
        if !found.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "is no regular file"));
        }
        match opened.get_mut(&identity(&found)) {
            Some(it) => Ok(it.share(identity(&found))),
            // By now the path may lead to another file.
            None => DatabaseFile::register(&mut opened, File::open(path)?),
        }
    }

    /// Makes a handle that was just opened the one of its file.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn of(file: File) -> io::Result<DatabaseFile> {
        DatabaseFile::register(&mut lock(&OPENED), file)
    }

    fn register(opened: &mut BTreeMap<Identity, Opened>, file: File) -> io::Result<DatabaseFile> {
        let identity = identity(&file.metadata()?);
        if let Some(it) = opened.get_mut(&identity) {
            it.further.push(file);
            return Ok(it.share(identity));
        }
        let entry = Opened { file: Arc::new(file), further: Vec::new(), holders: 0, locked: None };
        Ok(opened.entry(identity).or_insert(entry).share(identity))
    }

    /// The handle.
    ///
    /// # Errors
    /// Never while the value is in use.
    pub fn file(&self) -> io::Result<&File> {
        self.file.as_deref().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Copies the whole content.
    ///
    /// # Errors
    /// Failures to read or to write.
    pub fn copy_to(&self, target: &mut impl io::Write) -> io::Result<()> {
        let (file, mut at) = (self.file()?, 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read_at(&mut buffer, at)?;
            if read == 0 {
                return Ok(());
            }
            target.write_all(&buffer[..read])?;
            at += read as u64;
        }
    }

    /// Whether this path leads to the file.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|it| identity(&it) == self.identity)
    }

    /// How many names the file has in the file system.
    #[must_use]
    pub fn names(&self) -> u64 {
        self.file().and_then(File::metadata).map_or(1, |it| it.nlink())
    }

    /// Locks the file against all other processes, until [`DatabaseFile::unlock`] or until the last
    /// share is dropped. Returns whether it was free.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn try_lock(&self, purpose: Purpose) -> io::Result<bool> {
        let mut opened = lock(&OPENED);
        let Some(it) = opened.get_mut(&self.identity) else { return Ok(false) };
        if it.locked.is_some() {
            return Ok(false);
        }
        match it.file.try_lock() {
            Ok(()) => it.locked = Some(purpose),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(true)
    }

    /// Ends the lock that this process has.
    pub fn unlock(&self) {
        if let Some(it) = lock(&OPENED).get_mut(&self.identity) {
            it.locked = None;
            let _ = it.file.unlock();
        }
    }

    /// Who has locked the file.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn holder(&self) -> io::Result<Holder> {
        let opened = lock(&OPENED);
        let Some(it) = opened.get(&self.identity) else { return Ok(Holder::Nobody) };
        if let Some(purpose) = it.locked {
            return Ok(Holder::This(purpose));
        }
        // Two that ask at once do not disturb each other, and a server tries for longer than this.
        match it.file.try_lock_shared() {
            Ok(()) => it.file.unlock().map(|()| Holder::Nobody),
            Err(TryLockError::WouldBlock) => Ok(Holder::Another),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Opened {
    fn share(&mut self, identity: Identity) -> DatabaseFile {
        self.holders += 1;
        DatabaseFile { identity, file: Some(Arc::clone(&self.file)) }
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        let mut opened = lock(&OPENED);
        self.file = None;
        let Some(it) = opened.get_mut(&self.identity) else { return };
        it.holders -= 1;
        if it.holders == 0 {
            // This closes the handle, and so ends its lock.
            opened.remove(&self.identity);
        }
    }
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_handle_whatever_its_names_are() {
        let folder = std::env::temp_dir().join(format!("plumm-file-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let (a, b) = (folder.join("a"), folder.join("b"));
        fs::write(&a, "x".repeat(3_000_000)).unwrap();
        fs::hard_link(&a, &b).unwrap();
        let handles = || {
            let all = fs::read_dir("/proc/self/fd").unwrap().filter_map(|it| {
                fs::read_link(it.unwrap().path()).ok().filter(|it| it.starts_with(&folder))
            });
            all.count()
        };
        let first = DatabaseFile::open(&a).unwrap();
        let second = DatabaseFile::open(&b).unwrap();
        assert_eq!((handles(), first.names()), (1, 2));
        assert_eq!(first.holder().unwrap(), Holder::Nobody);
        assert!(second.try_lock(Purpose::Copy).unwrap());
        assert!(!first.try_lock(Purpose::Serve).unwrap());
        assert_eq!(first.holder().unwrap(), Holder::This(Purpose::Copy));
        // The lock is seen by a handle that is not this one, as another process has it.
        assert!(File::open(&a).unwrap().try_lock_shared().is_err());
        let third = DatabaseFile::of(File::open(&b).unwrap()).unwrap();
        drop((first, second));
        assert_eq!((handles(), third.is_at(&a)), (2, true), "none is closed before the last one");
        third.unlock();
        assert_eq!(third.holder().unwrap(), Holder::Nobody);
        let mut copy = Vec::new();
        third.copy_to(&mut copy).unwrap();
        assert!(copy == fs::read(&a).unwrap());
        drop(third);
        assert_eq!(handles(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
