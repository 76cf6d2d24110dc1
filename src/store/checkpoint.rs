//! Checkpoints: the write-ahead log is folded into the file.

use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::connection::wait_when_busy;
use crate::store::error::Error;
use crate::store::mutex::lock;
use crate::store::paths::{beside, resolved};

/// How long a checkpoint waits for readers; then it gives up, and is tried again later.
const READERS_WAIT: Duration = Duration::from_millis(200);

/// When the last change was committed that no checkpoint has folded in yet.
#[derive(Default)]
pub struct WriteClock {
    pub(super) last: Mutex<Option<Instant>>,
    pub(super) touched: Condvar,
}

impl WriteClock {
    /// Notes that a change has just been committed.
    pub fn touch(&self) {
        // A thread that waits because of an earlier change wakes by itself and reads the new time.
        if lock(&self.last).replace(Instant::now()).is_none() {
            self.touched.notify_one();
        }
    }
}

/// Whether the write-ahead log of a database holds anything.
pub fn log_has_bytes(database: &Path) -> bool {
    fs::metadata(beside(&resolved(database), "-wal")).is_ok_and(|it| it.len() > 0)
}

/// Folds the log in for a server that leaves that to a program which replicates it, if no other
/// has the file open. Warns where the server before was killed and one has.
///
/// A server that is killed while it commits may leave a commit that is whole in the log, and that
/// the index of the log does not know yet. Whoever opens the file alone takes it from the log; but
/// programs that had the file open go by the index, and the next commit overwrites it. One that
/// replicates the log may have sent it by then. That the log is empty tells such a program to send
/// the whole database anew.
pub fn fold_before_replication(connection: &mut Connection, path: &Path, follows_killed: bool) {
    match checkpoint(connection) {
        Ok(true) => {}
        Ok(false) if !follows_killed => {}
        Ok(false) => log::warn!(
            "the server before was killed while another program had {} open: if that replicates \
             it, what it has sent may be damaged from then on. Have it send the whole database \
             anew: stop it, start this server anew, and start it again after that",
            path.display()
        ),
        Err(error) => log::warn!("checkpoint of {} failed: {error}", path.display()),
    }
}

/// Folds the write-ahead log into the file and cuts it to nothing. Returns whether that could be
/// done now.
///
/// # Errors
/// Any failure of the disk.
pub fn checkpoint(connection: &mut Connection) -> Result<bool, Error> {
    connection.busy_timeout(READERS_WAIT)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let busy: rusqlite::Result<i64> = busy;
    wait_when_busy(connection)?;
    match busy.map_err(Error::from) {
        Ok(busy) => Ok(busy == 0),
        Err(Error::Busy) => Ok(false),
        Err(error) => Err(error),
    }
}
