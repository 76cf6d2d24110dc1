//! A watched folder: the list of changes made to its files, and the faults it is told to make.

use std::collections::HashMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file for as long as it exists; a file that is made anew under the same name is another one.
pub type FileId = usize;

/// One change to the folder or a file of it, in the order they were made.
#[derive(Clone, Debug)]
pub enum Change {
    Create {
        name: String,
        file: FileId,
    },
    Delete {
        name: String,
    },
    SyncFolder,
    Write {
        file: FileId,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: FileId,
        size: usize,
    },
    /// What was written before the change with this number is on disk.
    Sync {
        file: FileId,
        covers: usize,
    },
    /// The same was asked for and failed: whether it is on disk is anybody's guess, for ever.
    SyncFailed {
        file: FileId,
        covers: usize,
    },
}

/// What SQLite asks of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Delete,
    ShmMap,
}

/// A fault to come.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: Call,
    /// At which call from now on, the next one being 1.
    pub nth: u64,
    /// Whether all later ones fail as well.
    pub lasting: bool,
    /// What SQLite is told.
    pub code: c_int,
}

/// A folder under watch.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    log: Mutex<Log>,
    fault: Mutex<Option<Fault>>,
}

#[derive(Debug, Default)]
struct Log {
    changes: Vec<Change>,
    names: HashMap<String, FileId>,
    files: usize,
}

static DISKS: Mutex<Vec<Arc<Disk>>> = Mutex::new(Vec::new());

/// The disk that watches a folder.
pub fn watching(folder: &Path) -> Option<Arc<Disk>> {
    locked(&DISKS).iter().find(|it| it.folder == folder).cloned()
}

impl Disk {
    /// Watches a folder from now on.
    pub fn watch(folder: &Path) -> Arc<Disk> {
        let folder = folder.to_owned();
        let disk = Disk { folder, log: Mutex::default(), fault: Mutex::default() };
        let disk = Arc::new(disk);
        locked(&DISKS).push(Arc::clone(&disk));
        disk
    }

    /// Lets the folder go.
    pub fn unwatch(&self) {
        locked(&DISKS).retain(|it| it.folder != self.folder);
    }

    /// How many changes there have been.
    pub fn changes(&self) -> usize {
        locked(&self.log).changes.len()
    }

    /// Takes the list of changes.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut locked(&self.log).changes)
    }

    pub fn write_down(&self, change: Change) {
        locked(&self.log).changes.push(change);
    }

    /// The file of this name, which is a new one when the name was not in use.
    pub fn opened(&self, name: &str) -> FileId {
        let log = &mut *locked(&self.log);
        if let Some(file) = log.names.get(name) {
            return *file;
        }
        let file = log.files;
        log.files += 1;
        log.names.insert(name.to_owned(), file);
        log.changes.push(Change::Create { name: name.to_owned(), file });
        file
    }

    pub fn deleted(&self, name: &str) {
        let log = &mut *locked(&self.log);
        if log.names.remove(name).is_some() {
            log.changes.push(Change::Delete { name: name.to_owned() });
        }
    }

    /// Lets a call fail.
    pub fn arm(&self, fault: Fault) {
        *locked(&self.fault) = Some(fault);
    }

    /// Puts another fault in place of the one there is, which is returned.
    pub fn exchange(&self, fault: Option<Fault>) -> Option<Fault> {
        std::mem::replace(&mut *locked(&self.fault), fault)
    }

    /// Ends the fault; returns whether it has happened.
    pub fn disarm(&self) -> bool {
        locked(&self.fault).take().is_some_and(|it| it.nth == 0)
    }

    /// What to answer to this call, if it is to fail.
    pub fn fault(&self, call: Call) -> Option<c_int> {
        let mut armed = locked(&self.fault);
        let fault = armed.as_mut().filter(|it| it.call == call)?;
        if fault.nth == 0 {
            return fault.lasting.then_some(fault.code);
        }
        fault.nth -= 1;
        (fault.nth == 0).then_some(fault.code)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
