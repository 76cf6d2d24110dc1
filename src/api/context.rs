//! What a handler works with: one request's principal, time and surroundings.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::api::admin::host::Host;
use crate::api::body::{Shape, body_object};
use crate::api::failure::{Failure, of_long_list};
use crate::api::pages::Pages;
use crate::api::refused::{Noted, subject_of};
use crate::api::scim::bookmarks::Bookmarks;
use crate::api::waiting::Wait;
use crate::auth::{Auth, Principal};
use crate::http::forwarded;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::memory::{self, Memory, Taken};
use crate::metrics::Metrics;
use crate::scim::datetime::Timestamp;
use crate::scim::error::Error;
use crate::scim::json::Names;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::name::USER_NAME;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::Store;
use crate::store::open_read::OpenRead;
use crate::store::tables::change::{Change, Outcome};
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::Actor;
use crate::store::tables::resource::Kind;
use crate::store::transaction::{Read, Write};

const NO_MEMORY: &str = "Too many large requests and answers are under way at this moment; send \
                         the request again, or ask for less at once.";

/// The longest body that is parsed while a connection to the database is held: some hundreds of
/// microseconds.
const BODY_BYTES_AT_ONCE: usize = 16 * 1024;

/// Answers a request below `/scim/v2` whose path has these segments behind that.
pub type Dispatch = fn(&Context, &Request, &[String]) -> Result<Response, Failure>;

/// What becomes known while a request is answered, and is told beside the answer.
#[derive(Debug, Default)]
pub struct Notes {
    /// Whose request it is, once that is known.
    pub org: Cell<Option<OrgKey>>,
    /// The number of the organisation's last change that the answer has seen.
    pub seen: Cell<Option<i64>>,
    /// What the client would rather wait for than have this answer.
    pub wait: Cell<Option<Wait>>,
    /// Whether the client has waited already.
    pub waited: bool,
    /// What follows the body of the answer, where that is only a part.
    pub rest: RefCell<Option<Box<dyn Rest>>>,
    /// Whether this is such a further part, of an answer whose request was counted already.
    pub goes_on: bool,
    /// What is kept of it, should it be refused.
    pub refused: Noted,
    /// The memory that making the answer has taken. The answer keeps what it needs of it, so that
    /// at no moment there is an answer for which nothing is taken.
    pub taken: RefCell<Vec<Taken>>,
}

/// What follows the part of an answer that is made already. Each part is made as the answer to a
/// request of its own is: with a token that is still valid, in its turn, within the budgets.
pub trait Rest: Send {
    /// The length of the whole body in bytes, the first part included, where it is known.
    fn length(&self) -> Option<u64> {
        None
    }

    /// How much memory the next part is likely to take, in bytes.
    fn memory(&self) -> usize;

    /// The next part; `None` behind the last one.
    ///
    /// # Errors
    /// Whatever may fail a request. What is sent already cannot be taken back, so the answer is cut
    /// off there, in a way that the client notices (RFC 9112 section 8).
    fn next(&mut self, context: &Context) -> Result<Option<Vec<u8>>, Failure>;
}

impl fmt::Debug for dyn Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rest({:?})", self.length())
    }
}

/// What a handler works with.
pub struct Context<'a> {
    /// The store.
    pub store: &'a Store,
    /// Who knows when tokens were last used.
    pub auth: &'a Auth,
    /// The view in which the token was read, while nobody has read anything else, and the number
    /// of the organisation's last change in it where that was read too.
    pub open: Cell<Option<(OpenRead<'a>, Option<i64>)>>,
    /// The change this request is part of, when it is one of several in a Bulk request.
    pub change: Option<&'a Write<'a>>,
    /// Where the last pages of lists ended.
    pub bookmarks: &'a Bookmarks,
    /// The schemas and resource types of the organisation.
    pub definitions: &'a Definitions,
    /// Who asks.
    pub principal: &'a Principal,
    /// The time of the request.
    pub now: Timestamp,
    /// The URL of `/scim/v2` as the client sees it, without a trailing slash.
    pub base_url: &'a str,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// What the request is called.
    pub request_id: &'a str,
    /// What the server counts.
    pub metrics: &'a Metrics,
    /// Pages of the change feed that were made a moment ago.
    pub pages: &'a Pages,
    /// What the page needs beside the database.
    pub host: &'a Host,
    /// What is told beside the answer.
    pub notes: &'a Notes,
    /// How an operation of a Bulk request is answered: as a request by itself would be.
    pub dispatch: Dispatch,
    /// The memory that requests of this organisation may take.
    pub memory: &'a Memory,
    /// What this request has taken of it.
    pub taken: &'a RefCell<Vec<Taken>>,
    /// What the change has done of the work that one may do, by all operations of a Bulk request.
    pub work_done: &'a Cell<usize>,
}

impl Context<'_> {
    /// The URL of the resources of a type, with a trailing slash: an id behind it makes `location`.
    #[must_use]
    pub fn location_base(&self, resource_type: &ResourceType) -> String {
        [self.base_url, "/", &resource_type.endpoint, "/"].concat()
    }

    /// The URL of the resources of each type, by the type's name.
    #[must_use]
    pub fn locations(&self) -> Vec<(String, String)> {
        let types = self.definitions.resource_types.iter();
        types.map(|it| (it.name.clone(), self.location_base(it))).collect()
    }

    /// The body as a JSON object, whose memory is taken for as long as the request is handled.
    ///
    /// # Errors
    /// As [`body_object`], and 503 when others have the memory that it needs.
    pub fn body(&self, request: &Request) -> Result<Map<String, Value>, Error> {
        self.body_with(request, Names::AnyCase)
    }

    /// The same where names in other letter case are judged later, by parts of the body.
    ///
    /// # Errors
    /// As [`Context::body`].
    pub fn body_with(&self, request: &Request, names: Names) -> Result<Map<String, Value>, Error> {
        // What takes a while to read holds no connection meanwhile.
        if request.body.len() > BODY_BYTES_AT_ONCE {
            self.close_read();
        }
        let shape = Shape::of(&request.body);
        // An operation of a Bulk request is a part of a body that is counted already.
        if self.change.is_none() {
            self.take(shape.memory(request.body.len()))?;
        }
        let body = body_object(request, names, &shape)?;
        if self.change.is_none() {
            *self.notes.refused.subject.borrow_mut() = subject_of(body.get(USER_NAME));
        }
        Ok(body)
    }

    /// Takes memory for as long as the request is handled.
    ///
    /// # Errors
    /// 503 when others have it.
    pub fn take(&self, bytes: usize) -> Result<(), Error> {
        let mut taken = self.taken.borrow_mut();
        // Nobody waits with a connection in hand.
        let more = self.memory.take(bytes, &taken, || self.close_read());
        taken.push(more.ok_or_else(|| Error::new(503, NO_MEMORY))?);
        Ok(())
    }

    /// The same without waiting, for a moment at which a database connection is held.
    ///
    /// # Errors
    /// As [`Context::take`].
    pub fn try_take(&self, bytes: usize) -> Result<(), Error> {
        let mut taken = self.taken.borrow_mut();
        let more = self.memory.try_take(bytes, &taken);
        taken.push(more.ok_or_else(|| Error::new(503, NO_MEMORY))?);
        Ok(())
    }

    /// Takes the memory that the answer to a change needs beyond what the request has taken, before
    /// the change is made: a change that is made is answered whether there is memory or not.
    ///
    /// # Errors
    /// As [`Context::try_take`]. An operation of a Bulk request is answered in a few words.
    pub fn take_for_answer(&self, bytes: usize) -> Result<(), Error> {
        let held = memory::sum(&self.taken.borrow());
        if self.change.is_some() || bytes <= held {
            return Ok(());
        }
        self.try_take(bytes - held)
    }

    /// Why there is no memory for an answer.
    #[must_use]
    pub fn no_memory(&self) -> Error {
        Error::new(503, NO_MEMORY)
    }

    /// Does a part of the work that one change may do.
    ///
    /// # Errors
    /// What the closure returns.
    pub fn work<T>(&self, work: impl FnOnce(&mut usize) -> Result<T, Error>) -> Result<T, Error> {
        let mut done = self.work_done.get();
        let result = work(&mut done);
        self.work_done.set(done);
        result
    }

    /// Whether requests are taken to the letter of the RFCs.
    #[must_use]
    pub fn strict(&self) -> bool {
        self.principal.org.settings.strict
    }

    /// The resources of a type in the principal's organisation.
    #[must_use]
    pub fn kind<'b>(&self, resource_type: &'b ResourceType, location_base: &'b str) -> Kind<'b> {
        Kind { org: self.principal.org.key, resource_type: &resource_type.name, location_base }
    }

    /// Reads: from the change at hand, where there is one.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store.
    pub fn read<T>(&self, work: impl FnOnce(&Read) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.change {
            Some(change) => work(change),
            None => {
                let open = match self.open.take() {
                    Some((open, last_change)) => {
                        if open.is_shared() {
                            self.note(last_change);
                        }
                        open.shared()?
                    }
                    None => self.store.open_shared()?,
                };
                self.noted(&open.view()?, work)
            }
        }
    }

    /// Reads what a change is then judged by. A view on the writing connection stays open, and is
    /// asked for the number of the last change only where the change is not made
    /// ([`Context::note_read`]): of one that is made, the answer tells its own.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store.
    pub fn read_to_change<T>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.open.take() {
            Some((open, _)) if open.stays_open() => {
                let read = open.view().map_err(Failure::from).and_then(|tx| work(&tx));
                self.open.set(Some((open, None)));
                read
            }
            open => {
                self.open.set(open);
                self.read(work)
            }
        }
    }

    /// Gives the writing connection back before a change is judged, where that may take a while.
    pub fn close_read_before_work(&self, bytes: usize) {
        if bytes > BODY_BYTES_AT_ONCE {
            let _ = self.note_read();
            self.close_read();
        }
    }

    /// Has the answer tell the number of the last change in the view that is still open, if there
    /// is one.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn note_read(&self) -> Result<(), Failure> {
        let Some((open, last_change)) = self.open.take() else { return Ok(()) };
        let noted = open.view().map_err(Failure::from).and_then(|tx| self.last_change(&tx));
        self.open.set(Some((open, last_change)));
        noted.map(drop)
    }

    /// Reads a row or two at a login, which waits behind nobody's pages.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store.
    pub fn read_at_once<T>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.open.take() {
            Some((open, last_change)) => {
                self.note(last_change);
                self.noted(&open.view()?, work)
            }
            None => self.store.read(|tx| self.noted(tx, work)),
        }
    }

    /// Gives the connection back on which the token was read, before anything is waited for.
    fn close_read(&self) {
        drop(self.open.take());
    }

    /// Reads what may take long: a list that no index leads to.
    ///
    /// # Errors
    /// 503 when too many such lists are asked for at once, 400 `tooMany` for one that took too
    /// long, what the closure returns, and failures of the store.
    pub fn read_long<T>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.change {
            Some(change) => work(change),
            None => {
                self.close_read();
                let org = self.principal.org.key;
                self.store.read_long(org, |tx| self.noted(tx, work)).map_err(of_long_list)
            }
        }
    }

    fn noted<T>(
        &self,
        tx: &Read,
        work: impl FnOnce(&Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let answer = work(tx);
        self.last_change(tx)?;
        answer
    }

    /// The number of the organisation's last change, which the answer will tell. Where an answer is
    /// read in several steps, of the first one: what came later may be only half in it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn last_change(&self, tx: &Read) -> Result<i64, Failure> {
        if let Some(seen) = self.notes.seen.get() {
            return Ok(seen);
        }
        let seen = tx.last_change(self.principal.org.key)?;
        self.note(Some(seen));
        Ok(seen)
    }

    fn note(&self, last_change: Option<i64>) {
        self.notes.seen.set(self.notes.seen.get().or(last_change));
    }

    /// Makes a change: a part of the one at hand, where there is one.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store.
    pub fn write<T>(&self, work: impl FnOnce(&Write) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.change {
            Some(change) => change.savepoint(work),
            None => {
                self.close_read();
                let org = self.principal.org.key;
                let (answer, seen) = self.store.write_for(org, self.now, |tx| {
                    let answer = work(tx)?;
                    Ok::<_, Failure>((answer, tx.last_change(org)?))
                })?;
                self.notes.seen.set(Some(seen));
                Ok(answer)
            }
        }
    }

    /// Makes a change that is plain data, when this request is none of several in a Bulk request.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn apply(&self, change: Change) -> Result<Outcome, Failure> {
        let outcome = self.store.apply(change, self.open.take().map(|(open, _)| open))?;
        if let Outcome::Made(line) = outcome {
            self.notes.seen.set(Some(line));
        }
        Ok(outcome)
    }

    /// Who stands in the provisioning log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.principal.token.clone(),
            client: self.client.map(forwarded::text_of),
            request: Some(self.request_id.to_owned()),
            reason: None,
        }
    }
}
