//! A file system for SQLite: the real one of Unix, with a [`Disk`] between that writes down every
//! change and fails when told. It is SQLite's default in this process, so plumm notices nothing.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};
use std::{mem, ptr, slice};

use rusqlite::ffi;

use crate::disk::{self, Call, Change, Disk, FileId};

type AnyFunction = unsafe extern "C" fn();
type OpenDirectory = unsafe extern "C" fn(*const c_char, *mut c_int) -> c_int;

static REAL_VFS: OnceLock<Shared> = OnceLock::new();
static REAL_OPEN_DIRECTORY: OnceLock<OpenDirectory> = OnceLock::new();

/// SQLite's own file system; it lives as long as the process and is not changed.
struct Shared(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite itself calls this structure from every thread.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

/// An open file: what SQLite sees first, what this file needs, and behind it the real file.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    watched: *mut Watched,
}

/// A file of a watched folder.
struct Watched {
    disk: Arc<Disk>,
    file: FileId,
}

/// Puts the file system in place. Call it before anything opens a database.
pub fn install() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        // SAFETY: called once; both structures live for ever, and the copied functions of the real
        // file system do not depend on the structure they are called with.
        unsafe {
            assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
            let real = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            assert!(!real.is_null(), "SQLite has no file system \"unix\"");
            let name = c"openDirectory".as_ptr();
            let found = ((*real).xGetSystemCall.unwrap())(real, name).expect("openDirectory");
            let found = mem::transmute::<AnyFunction, OpenDirectory>(found);
            let _ = REAL_OPEN_DIRECTORY.set(found);
            let hook = mem::transmute::<OpenDirectory, AnyFunction>(open_directory);
            assert_eq!(((*real).xSetSystemCall.unwrap())(real, name, Some(hook)), ffi::SQLITE_OK);
            let mut ours = *real;
            ours.szOsFile += mem::size_of::<Handle>() as c_int;
            ours.pNext = ptr::null_mut();
            ours.zName = c"watched".as_ptr();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            let _ = REAL_VFS.set(Shared(real));
            let registered = ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1);
            assert_eq!(registered, ffi::SQLITE_OK);
        }
    });
}

/// No xFetch: every read and write goes through this file.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn real_vfs() -> *mut ffi::sqlite3_vfs {
    REAL_VFS.get().expect("installed").0
}

/// The disk that watches this file's folder, and the file's name in it.
unsafe fn watched(path: *const c_char) -> Option<(Arc<Disk>, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: SQLite gives paths as C strings.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let disk = disk::watching(path.parent()?)?;
    Some((disk, path.file_name()?.to_str()?.to_owned()))
}

/// The real file behind ours.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: szOsFile has room for both.
    unsafe { file.cast::<Handle>().add(1).cast() }
}

unsafe fn methods(file: *mut ffi::sqlite3_file) -> &'static ffi::sqlite3_io_methods {
    // SAFETY: the methods of an open file of the real file system are a constant of SQLite.
    unsafe { &*(*real(file)).pMethods }
}

unsafe fn of(file: *mut ffi::sqlite3_file) -> Option<&'static Watched> {
    // SAFETY: set by `open`, freed by `close`, and SQLite uses no file after that.
    unsafe { (*file.cast::<Handle>()).watched.as_ref() }
}

/// The fault that is due at this call, if there is one.
unsafe fn fault(file: *mut ffi::sqlite3_file, call: Call) -> Option<c_int> {
    unsafe { of(file) }.and_then(|it| it.disk.fault(call))
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe {
        (*file).pMethods = ptr::null();
        let watched = watched(name);
        if let Some(code) = watched.as_ref().and_then(|(disk, _)| disk.fault(Call::Open)) {
            return code;
        }
        let opened = ((*real_vfs()).xOpen.unwrap())(real_vfs(), name, real(file), flags, out_flags);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        let watched = watched.map_or(ptr::null_mut(), |(disk, name)| {
            let file = disk.opened(&name);
            Box::into_raw(Box::new(Watched { disk, file }))
        });
        file.cast::<Handle>()
            .write(Handle { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, watched });
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    unsafe {
        let watched = watched(name);
        if let Some(code) = watched.as_ref().and_then(|(disk, _)| disk.fault(Call::Delete)) {
            return code;
        }
        // Before it is done: the real one may sync the folder at once.
        if let Some((disk, name)) = watched {
            disk.deleted(&name);
        }
        ((*real_vfs()).xDelete.unwrap())(real_vfs(), name, sync_folder)
    }
}

/// SQLite opens a folder only to sync it.
unsafe extern "C" fn open_directory(path: *const c_char, out: *mut c_int) -> c_int {
    unsafe {
        if let Some((disk, _)) = watched(path) {
            disk.write_down(Change::SyncFolder);
        }
        (REAL_OPEN_DIRECTORY.get().expect("installed"))(path, out)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let closed = (methods(file).xClose.unwrap())(real(file));
        let watched = mem::replace(&mut (*file.cast::<Handle>()).watched, ptr::null_mut());
        if !watched.is_null() {
            drop(Box::from_raw(watched));
        }
        closed
    }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    bytes: c_int,
    at: i64,
) -> c_int {
    unsafe {
        fault(file, Call::Read)
            .unwrap_or_else(|| (methods(file).xRead.unwrap())(real(file), buffer, bytes, at))
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    bytes: c_int,
    at: i64,
) -> c_int {
    unsafe {
        let real_write = methods(file).xWrite.unwrap();
        let Some(it) = of(file) else {
            return real_write(real(file), buffer, bytes, at);
        };
        let fault = it.disk.fault(Call::Write);
        // A disk that fails or is full may have taken a part.
        let taken = if fault.is_some() { bytes / 2 } else { bytes };
        let part = slice::from_raw_parts(buffer.cast::<u8>(), taken as usize);
        it.disk.write_down(Change::Write { file: it.file, at: at as usize, bytes: part.to_vec() });
        let written = real_write(real(file), buffer, taken, at);
        fault.unwrap_or(written)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    unsafe {
        if let Some(code) = fault(file, Call::Truncate) {
            return code;
        }
        if let Some(it) = of(file) {
            it.disk.write_down(Change::Truncate { file: it.file, size: size as usize });
        }
        (methods(file).xTruncate.unwrap())(real(file), size)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        // Files that nobody watches are copies to be looked at: no power is ever lost there.
        let Some(it) = of(file) else {
            return ffi::SQLITE_OK;
        };
        // What is written from here on may not be covered.
        let covers = it.disk.changes();
        if let Some(code) = it.disk.fault(Call::Sync) {
            it.disk.write_down(Change::SyncFailed { file: it.file, covers });
            return code;
        }
        let synced = (methods(file).xSync.unwrap())(real(file), flags);
        if synced == ffi::SQLITE_OK {
            it.disk.write_down(Change::Sync { file: it.file, covers });
        }
        synced
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    unsafe { (methods(file).xFileSize.unwrap())(real(file), size) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe { (methods(file).xLock.unwrap())(real(file), level) }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe { (methods(file).xUnlock.unwrap())(real(file), level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    unsafe { (methods(file).xCheckReservedLock.unwrap())(real(file), out) }
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    op: c_int,
    argument: *mut c_void,
) -> c_int {
    unsafe { (methods(file).xFileControl.unwrap())(real(file), op, argument) }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe { (methods(file).xSectorSize.unwrap())(real(file)) }
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe { (methods(file).xDeviceCharacteristics.unwrap())(real(file)) }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    page_bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    unsafe {
        if let Some(code) = fault(file, Call::ShmMap) {
            *out = ptr::null_mut();
            return code;
        }
        (methods(file).xShmMap.unwrap())(real(file), page, page_bytes, extend, out)
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    n: c_int,
    flags: c_int,
) -> c_int {
    unsafe { (methods(file).xShmLock.unwrap())(real(file), offset, n, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    unsafe { (methods(file).xShmBarrier.unwrap())(real(file)) }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    unsafe { (methods(file).xShmUnmap.unwrap())(real(file), delete) }
}
