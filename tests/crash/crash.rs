//! What a disk may hold when power is lost: all that was synced, and anything of the rest.

use std::collections::BTreeMap;

use crate::chance::Chance;
use crate::disk::{Change, FileId};

/// Parts of a disk that are written whole or not at all, in bytes.
const SECTORS: [usize; 2] = [512, 4096];

/// How much of what was not synced has reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    Nothing,
    Everything,
    /// What was written first.
    Beginning,
    /// Any part, in any order, down to single sectors; some of them garbage.
    Torn,
}

pub const LUCKS: [Luck; 4] = [Luck::Nothing, Luck::Everything, Luck::Beginning, Luck::Torn];

/// A disk at a moment of the run.
#[derive(Default)]
pub struct Platter {
    files: Vec<File>,
    names: BTreeMap<String, FileId>,
    names_unsynced: Vec<(String, Option<FileId>)>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Clone)]
struct Unsynced {
    /// Its number among the changes.
    number: usize,
    /// Whether a sync of it has failed: a later sync that succeeds says nothing about it.
    doubtful: bool,
    what: What,
}

#[derive(Clone)]
enum What {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { size: usize },
}

impl Platter {
    /// Takes the change with this number in.
    pub fn apply(&mut self, number: usize, change: &Change, chance: &mut Chance) {
        match change {
            Change::Create { name, file } => {
                assert_eq!(*file, self.files.len());
                self.files.push(File::default());
                self.names_unsynced.push((name.clone(), Some(*file)));
            }
            Change::Delete { name } => self.names_unsynced.push((name.clone(), None)),
            Change::SyncFolder => {
                for (name, file) in self.names_unsynced.drain(..) {
                    rename(&mut self.names, &name, file);
                }
            }
            Change::Write { file, at, bytes } => {
                let what = What::Write { at: *at, bytes: bytes.clone() };
                self.files[*file].unsynced.push(Unsynced { number, doubtful: false, what });
            }
            Change::Truncate { file, size } => {
                let what = What::Truncate { size: *size };
                self.files[*file].unsynced.push(Unsynced { number, doubtful: false, what });
            }
            Change::Sync { file, covers } => self.files[*file].sync(*covers, chance),
            Change::SyncFailed { file, covers } => {
                for it in &mut self.files[*file].unsynced {
                    it.doubtful |= it.number < *covers;
                }
            }
        }
    }

    /// The files after the power has come back: name and bytes.
    pub fn crash(&self, luck: Luck, chance: &mut Chance) -> Vec<(String, Vec<u8>)> {
        let mut names = self.names.clone();
        let beginning = chance.below(self.names_unsynced.len() + 1);
        for (i, (name, file)) in self.names_unsynced.iter().enumerate() {
            let kept = match luck {
                Luck::Nothing => false,
                Luck::Everything => true,
                Luck::Beginning => i < beginning,
                Luck::Torn => chance.one_in(2),
            };
            if kept {
                rename(&mut names, name, *file);
            }
        }
        names.into_iter().map(|(name, file)| (name, self.files[file].crash(luck, chance))).collect()
    }
}

impl File {
    fn sync(&mut self, covers: usize, chance: &mut Chance) {
        let covered = self.unsynced.iter().take_while(|it| it.number < covers).count();
        for it in self.unsynced.drain(..covered) {
            if it.doubtful {
                tear(&mut self.synced, &it.what, SECTORS[chance.below(2)], chance);
            } else {
                put(&mut self.synced, &it.what);
            }
        }
    }

    fn crash(&self, luck: Luck, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        match luck {
            Luck::Nothing => {}
            Luck::Everything => self.unsynced.iter().for_each(|it| put(&mut bytes, &it.what)),
            Luck::Beginning => {
                let sector = SECTORS[chance.below(2)];
                let whole = chance.below(self.unsynced.len() + 1);
                self.unsynced[..whole].iter().for_each(|it| put(&mut bytes, &it.what));
                if let Some(it) = self.unsynced.get(whole) {
                    tear(&mut bytes, &it.what, sector, chance);
                }
            }
            Luck::Torn => {
                let sector = SECTORS[chance.below(2)];
                // What happens to the length of a file happens in order; the bytes in any.
                for stretch in self.unsynced.split_inclusive(Unsynced::truncates) {
                    let mut order: Vec<&Unsynced> = stretch.iter().collect();
                    let writes =
                        order.len() - usize::from(stretch.last().is_some_and(Unsynced::truncates));
                    for i in (1..writes).rev() {
                        order.swap(i, chance.below(i + 1));
                    }
                    for it in order {
                        if chance.one_in(2) {
                            tear(&mut bytes, &it.what, sector, chance);
                        }
                    }
                }
            }
        }
        bytes
    }
}

impl Unsynced {
    fn truncates(&self) -> bool {
        matches!(self.what, What::Truncate { .. })
    }
}

fn rename(names: &mut BTreeMap<String, FileId>, name: &str, file: Option<FileId>) {
    match file {
        Some(file) => names.insert(name.to_owned(), file),
        None => names.remove(name),
    };
}

fn put(file: &mut Vec<u8>, what: &What) {
    match what {
        What::Write { at, bytes } => put_bytes(file, *at, bytes),
        What::Truncate { size } => file.resize(*size, 0),
    }
}

fn put_bytes(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Each sector of a write alone: mostly written, sometimes not, seldom as garbage. The bytes around
/// a write are never harmed, which SQLite relies on (SQLITE_IOCAP_POWERSAFE_OVERWRITE).
fn tear(file: &mut Vec<u8>, what: &What, sector: usize, chance: &mut Chance) {
    let What::Write { at, bytes } = what else {
        if chance.one_in(2) {
            put(file, what);
        }
        return;
    };
    let mut from = *at;
    let end = at + bytes.len();
    while from < end {
        let to = end.min((from / sector + 1) * sector);
        match chance.below(16) {
            0 => {
                let garbage: Vec<u8> = (from..to).map(|_| chance.below(256) as u8).collect();
                put_bytes(file, from, &garbage);
            }
            1..4 => {}
            _ => put_bytes(file, from, &bytes[from - at..to - at]),
        }
        from = to;
    }
}
