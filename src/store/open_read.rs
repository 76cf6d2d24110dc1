//! A consistent view of the database for the steps of one request: on a connection of the pool, or
//! on the writing connection while nobody writes.

use std::fmt;
use std::sync::Arc;

use crate::store::error::Error;
use crate::store::readers::{Borrowed, Purpose, Readers};
use crate::store::tables::token::Credential;
use crate::store::transaction::Read;
use crate::store::writer::{IdleWriter, Writer};

/// What a request opens its view for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// How much it reads.
    pub purpose: Purpose,
    /// Whether it then changes one resource. While nobody else writes, such a request reads on the
    /// writing connection, which has the pages in memory that it is about to write.
    pub changes: bool,
    /// Whether it is to be told the number of the organisation's last change.
    pub last_change: bool,
}

impl Need {
    /// A token and nothing else.
    pub const TOKEN: Need = Need { purpose: Purpose::Quick, changes: false, last_change: false };
}

/// The view. It holds a connection, so it is dropped before anything is waited for: memory, a
/// permit, a writer, a client.
pub struct OpenRead<'a> {
    on: On<'a>,
}

enum On<'a> {
    Reader(Borrowed<'a>),
    Writer(IdleWriter<'a>),
}

impl fmt::Debug for OpenRead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.on {
            On::Reader(it) => write!(f, "OpenRead({:?})", it.purpose()),
            On::Writer(_) => write!(f, "OpenRead(Writer)"),
        }
    }
}

impl<'a> OpenRead<'a> {
    /// Opens a view. For the time being it is for a row or two also where all connections are lent
    /// that are lent for more: [`OpenRead::shared`] waits for one.
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) fn open(
        readers: &'a Readers,
        writer: &'a Writer,
        need: Need,
    ) -> Result<OpenRead<'a>, Error> {
        if need.changes
            && let Some(idle) = writer.view_when_idle()
        {
            return Ok(OpenRead { on: On::Writer(idle) });
        }
        Ok(OpenRead { on: On::Reader(readers.begin(need.purpose)?) })
    }

    /// Opens a view for what may take a while: some connections are never lent for that.
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) fn open_shared(readers: &'a Readers) -> Result<OpenRead<'a>, Error> {
        Ok(OpenRead { on: On::Reader(readers.begin_shared()?) })
    }

    /// The view.
    ///
    /// # Errors
    /// None in a view that was opened.
    pub fn view(&self) -> Result<Read<'_>, Error> {
        match &self.on {
            On::Reader(it) => Ok(Read { connection: it.connection()? }),
            On::Writer(it) => Ok(it.view()),
        }
    }

    /// What a request with this token needs to know of it; the number of the organisation's last
    /// change as well, where it is asked for and the view is not on the writing connection.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn credential(
        &mut self,
        token: &str,
        last_change: bool,
    ) -> Result<Option<Arc<Credential>>, Error> {
        match &mut self.on {
            On::Reader(it) => {
                let (connection, credentials, commits) = it.credentials()?;
                credentials.find(connection, commits, token, last_change)
            }
            On::Writer(it) => it.credential(token),
        }
    }

    /// Whether [`OpenRead::shared`] is this view.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match &self.on {
            On::Reader(it) => it.purpose() == Purpose::Shared,
            On::Writer(_) => true,
        }
    }

    /// Whether this view stays open while a change is judged by what was read in it: the change is
    /// then written on the same connection.
    #[must_use]
    pub fn stays_open(&self) -> bool {
        matches!(self.on, On::Writer(_))
    }

    /// The same view, or a new one, for what may take a while.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn shared(self) -> Result<OpenRead<'a>, Error> {
        match self.on {
            On::Reader(it) if it.purpose() == Purpose::Quick => {
                let readers = it.readers();
                // Before the wait, in which it would be missing to others.
                drop(it);
                OpenRead::open_shared(readers)
            }
            on => Ok(OpenRead { on }),
        }
    }

    /// The writing connection, where the view is on it; a connection of the pool is given back.
    pub(super) fn into_writer(self) -> Option<IdleWriter<'a>> {
        match self.on {
            On::Reader(_) => None,
            On::Writer(it) => Some(it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::connection;
    use crate::store::readers::{READERS_MAX, SHARED_READERS_MAX};

    #[test]
    fn a_view_for_a_token_never_waits_and_gives_way_before_it_does() {
        let folder = std::env::temp_dir().join(format!("plumm-views-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("plumm.db");
        std::fs::File::create(&path).unwrap();
        let _writer = connection::open_writer(&path, false).unwrap();
        let readers = Readers::new(&path);
        let open = |purpose| readers.begin(purpose).map(|it| OpenRead { on: On::Reader(it) });
        let mut shared: Vec<_> =
            (0..SHARED_READERS_MAX).map(|_| open(Purpose::Shared).unwrap()).collect();
        assert!(shared.iter().all(|it| it.is_shared()));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let token = open(Purpose::Shared).unwrap();
                assert!(!token.is_shared());
                token.shared().unwrap().is_shared()
            });
            while readers.lent().1 == 0 {
                std::thread::yield_now();
            }
            // Its connection is back while it waits for one of the others.
            let free = READERS_MAX - SHARED_READERS_MAX;
            let quick: Vec<_> = (0..free).map(|_| open(Purpose::Quick).unwrap()).collect();
            assert!(!waits.is_finished());
            shared.pop();
            assert!(waits.join().unwrap());
            drop(quick);
        });
        drop(shared);
        assert_eq!(readers.lent(), (0, 0, 0));
        let _ = std::fs::remove_dir_all(&folder);
    }
}
