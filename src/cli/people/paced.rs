//! Output that whoever makes it never waits for: what the reader has not taken yet stands in
//! memory, and what is more than that in a file without a name. So a slow reader, or a person who
//! looks at one page after the other, holds no view of the database.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::cli::error::CliError;
use crate::cli::people::nameless::nameless_file;

/// How much of it stands in memory, in bytes.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;
/// How much is read back from the file at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// Where the maker puts what it makes.
pub struct Paced<'a> {
    folder: &'a Path,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    spill: Option<Spill>,
    failed: Option<io::Error>,
    ended: bool,
}

/// What did not fit into memory.
struct Spill {
    file: File,
    written: u64,
    read: u64,
}

/// Runs `make`, and writes what it puts to `out` meanwhile.
///
/// # Errors
/// What `make` returns, and failures to write.
pub fn paced<T>(
    out: impl Write + Send,
    folder: &Path,
    make: impl FnOnce(&Paced) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let paced = Paced { folder, state: Mutex::default(), changed: Condvar::new() };
    thread::scope(|scope| {
        let writer = scope.spawn(|| paced.write_out(out));
        let made = {
            // The writing thread must end also when `make` panics.
            let _end = End(&paced);
            make(&paced)
        };
        let _ = writer.join();
        match (paced.lock().failed.take(), made) {
            (Some(error), Ok(_)) => Err(CliError::Output(error)),
            (_, made) => made,
        }
    })
}

struct End<'a, 'b>(&'a Paced<'b>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Paced<'_> {
    /// Puts a piece of the output. An error when nobody reads it any more, or nothing can hold it.
    ///
    /// # Errors
    /// Failures to write.
    pub fn put(&self, piece: Vec<u8>) -> Result<(), CliError> {
        self.keep(piece).map_err(CliError::Output)
    }

    fn keep(&self, piece: Vec<u8>) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(error) = &state.failed {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        if state.spill.is_none() && state.bytes + piece.len() <= MEMORY_BYTES {
            state.bytes += piece.len();
            state.queue.push_back(piece);
        } else {
            if state.spill.is_none() {
                let file = nameless_file(self.folder)?;
                state.spill = Some(Spill { file, written: 0, read: 0 });
            }
            if let Some(spill) = &mut state.spill {
                spill.file.write_all_at(&piece, spill.written)?;
                spill.written += piece.len() as u64;
            }
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn write_out(&self, mut out: impl Write) {
        while let Some(piece) = self.take() {
            let written = piece.and_then(|it| out.write_all(&it));
            if let Err(error) = written {
                self.lock().failed = Some(error);
                break;
            }
        }
        let flushed = out.flush();
        let mut state = self.lock();
        if let (Err(error), None) = (flushed, &state.failed) {
            state.failed = Some(error);
        }
        state.ended = true;
        state.queue.clear();
        state.bytes = 0;
        state.spill = None;
        drop(state);
        self.changed.notify_all();
    }

    /// The next piece, once there is one; `None` at the end.
    fn take(&self) -> Option<io::Result<Vec<u8>>> {
        let mut state = self.lock();
        loop {
            if let Some(piece) = state.queue.pop_front() {
                // It counts as long as it is in memory, which is until the next one is asked for.
                state.bytes -= piece.len();
                return Some(Ok(piece));
            }
            if let Some(spill) = &mut state.spill
                && spill.read < spill.written
            {
                let left = usize::try_from(spill.written - spill.read).unwrap_or(CHUNK_BYTES);
                let mut piece = vec![0; left.min(CHUNK_BYTES)];
                let read = spill.file.read_exact_at(&mut piece, spill.read);
                spill.read += piece.len() as u64;
                if spill.read == spill.written {
                    // The reader has caught up: memory is enough again.
                    state.spill = None;
                }
                return Some(read.map(|()| piece));
            }
            if state.ended {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A reader that takes nothing before it is told.
    struct Slow {
        begin: Option<mpsc::Receiver<()>>,
        taken: Vec<u8>,
        most: usize,
    }

    impl Write for &mut Slow {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            if let Some(begin) = self.begin.take() {
                let _ = begin.recv_timeout(Duration::from_secs(20));
            }
            if self.taken.len() >= self.most {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.taken.extend(buffer);
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_makes_the_output_does_not_wait_for_who_reads_it() {
        let (go, begin) = mpsc::channel();
        let mut slow = Slow { begin: Some(begin), taken: Vec::new(), most: usize::MAX };
        let folder = std::env::temp_dir();
        let pieces = 5 * MEMORY_BYTES / 100_000;
        let piece = |i: usize| vec![u8::try_from(i % 251).unwrap(); 100_000];
        let made: Result<(), CliError> = paced(&mut slow, &folder, |paced| {
            for i in 0..pieces {
                paced.put(piece(i))?;
            }
            // All of it was taken, and the reader has not begun.
            go.send(()).unwrap();
            Ok(())
        });
        made.unwrap();
        assert_eq!(slow.taken, (0..pieces).flat_map(piece).collect::<Vec<u8>>());
    }

    #[test]
    fn a_reader_that_goes_away_ends_it() {
        let mut slow = Slow { begin: None, taken: Vec::new(), most: 10 };
        let folder = std::env::temp_dir();
        let made: Result<(), CliError> = paced(&mut slow, &folder, |paced| {
            for _ in 0..1_000_000 {
                paced.put(vec![b'x'; 100])?;
                thread::yield_now();
            }
            panic!("nobody has said that the reader is gone");
        });
        let Err(CliError::Output(error)) = made else { panic!() };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
