//! `POST /Bulk` (RFC 7644 section 3.7): several operations in one transaction. Each fails alone,
//! and each goes through the code of a request by itself.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::refused::FailedOperation;
use crate::api::scim::render::scim_response;
use crate::api::scim::resource;
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::id;
use crate::scim::bulk::{self, BulkOperation, BulkOutcome, BulkRequest};
use crate::scim::error::{Error, quoted};
use crate::scim::json::Names;
use crate::scim::membership;
use crate::scim::schema::urn;
use crate::store::transaction::Write;

/// Answers are made and not sent, so they hold as little as possible: the members of a large group
/// are not looked up for them.
const QUERY: &str = "attributes=id";

/// The longest path and the longest version of an operation, in bytes.
const PATH_BYTES_MAX: usize = 16 * 1024;
/// How long the operations of one request may take together; those that are left are refused.
pub const BULK_TIME_MAX: Duration = Duration::from_secs(2);

/// `POST /Bulk`
///
/// # Errors
/// 400 for what is no Bulk request, 413 for too many operations, failures of the store. What is
/// wrong with one operation stands in the answer.
pub fn bulk(context: &Context, request: &Request) -> Result<Response, Failure> {
    // Names that differ in letter case only are the fault of the operation that has them.
    let body = context.body_with(request, Names::Exact)?;
    let bulk = BulkRequest::parse(body, &|path| segments(context.base_url, path))?;
    let outcomes = context.write(|tx| {
        let context = Context {
            store: context.store,
            auth: context.auth,
            open: Cell::default(),
            change: Some(tx),
            bookmarks: context.bookmarks,
            definitions: context.definitions,
            principal: context.principal,
            now: context.now,
            base_url: context.base_url,
            client: context.client,
            request_id: context.request_id,
            metrics: context.metrics,
            pages: context.pages,
            host: context.host,
            notes: context.notes,
            dispatch: context.dispatch,
            memory: context.memory,
            taken: context.taken,
            work_done: context.work_done,
        };
        Work::new(&context, &bulk).run(tx)
    })?;
    note_failures(context, &bulk, &outcomes);
    let done = bulk.operations.iter().zip(&outcomes);
    let done = done.filter_map(|(operation, outcome)| Some((operation, outcome.as_ref()?)));
    Ok(scim_response(200, bulk::response(done).to_string()))
}

/// Notes what was refused of a request that was answered as a whole.
fn note_failures(context: &Context, bulk: &BulkRequest, outcomes: &[Option<BulkOutcome>]) {
    let mut noted = context.notes.refused.operations.borrow_mut();
    for (operation, outcome) in bulk.operations.iter().zip(outcomes) {
        let Some(Err(error)) = outcome.as_ref().map(|it| &it.result) else { continue };
        let method = Method::from_name(operation.method.as_deref().unwrap_or_default());
        let BulkOperation { segments, data, .. } = operation;
        noted.push(FailedOperation::new(&method, segments, data, error));
    }
}

fn out_of_time() -> Error {
    let seconds = BULK_TIME_MAX.as_secs();
    Error::new(
        503,
        format!(
            "The operations before this one took {seconds} seconds, which is all that one Bulk \
             request may take. Send this operation again, in a request with fewer of them."
        ),
    )
}

struct Work<'a, 'c> {
    context: &'a Context<'c>,
    bulk: &'a BulkRequest,
    creators: HashMap<String, usize>,
    /// The id of what each operation creates, chosen beforehand.
    ids: Vec<String>,
    outcomes: Vec<Option<BulkOutcome>>,
}

/// An operation as it is sent, and what of it has to wait.
struct Prepared {
    request: Request,
    segments: Vec<String>,
    late_members: Vec<Value>,
}

impl<'a, 'c> Work<'a, 'c> {
    fn new(context: &'a Context<'c>, bulk: &'a BulkRequest) -> Work<'a, 'c> {
        let id = |_: &BulkOperation| id::resource(context.now.milliseconds());
        Work {
            context,
            bulk,
            creators: bulk.creators(),
            ids: bulk.operations.iter().map(id).collect(),
            outcomes: vec![None; bulk.operations.len()],
        }
    }

    fn run(mut self, tx: &Write) -> Result<Vec<Option<BulkOutcome>>, Failure> {
        let mut errors = 0;
        let started = Instant::now();
        for part in self.bulk.order() {
            // What was done stays (RFC 7644 section 3.7): others wait for the database.
            if started.elapsed() > BULK_TIME_MAX {
                for i in part {
                    self.outcomes[i] = Some(self.outcome(i, Err(out_of_time())));
                }
                continue;
            }
            if self.bulk.fail_on_errors.is_some_and(|it| errors >= it) {
                break;
            }
            for (i, outcome) in self.part(tx, &part)? {
                errors += u64::from(outcome.result.is_err());
                self.outcomes[i] = Some(outcome);
            }
        }
        Ok(self.outcomes)
    }

    /// One operation; or several that refer to each other, which succeed or fail together, since
    /// each of them needs all others.
    fn part(&self, tx: &Write, part: &[usize]) -> Result<Vec<(usize, BulkOutcome)>, Failure> {
        let mut at = 0;
        let done = tx.savepoint(|_| -> Result<_, Failure> {
            let mut done = Vec::with_capacity(part.len());
            let mut late = Vec::new();
            for (nth, i) in part.iter().enumerate() {
                at = *i;
                let prepared = self.prepared(*i, &part[nth..])?;
                let response = self.send(*i, &prepared)?;
                if !prepared.late_members.is_empty() {
                    late.push((nth, prepared));
                }
                done.push((*i, self.outcome(*i, Ok(response))));
            }
            for (nth, prepared) in late {
                at = part[nth];
                let version = self.add_members(at, &prepared)?.header("ETag").map(str::to_owned);
                done[nth].1.version = version;
            }
            Ok(done)
        });
        let error = match done {
            Ok(done) => return Ok(done),
            // Failures of the store are those of the whole request.
            Err(failure) => failure.of_one_operation()?,
        };
        let failed = |i: &usize| {
            let error = if *i == at { error.clone() } else { self.needs_failed(at) };
            (*i, self.outcome(*i, Err(error)))
        };
        Ok(part.iter().map(failed).collect())
    }

    /// `pending`: the operations of the same circle that have not been done yet.
    fn prepared(&self, i: usize, pending: &[usize]) -> Result<Prepared, Error> {
        let mut operation = self.bulk.operations[i].clone();
        if let Some(fault) = operation.fault.take() {
            return Err(fault);
        }
        for it in &operation.references {
            if let Some(needed) = self.creators.get(it).filter(|it| self.has_failed(**it)) {
                return Err(self.needs_failed(*needed));
            }
        }
        let created = self.context.definitions.at_endpoint(&operation.segments[0]);
        let mut late_members = Vec::new();
        if let Some(group) = created.filter(|it| membership::has_members(it))
            && operation.creates()
        {
            let waits = |it: &str| self.creators.get(it).is_some_and(|it| pending.contains(it));
            late_members = operation.take_members(group, &waits);
        }
        let mut rest = BulkOperation { data: late_members.into(), ..BulkOperation::default() };
        for it in [&mut operation, &mut rest] {
            it.each_reference(&mut |it| self.id(it));
        }
        let late_members = rest.data.as_array().cloned().unwrap_or_default();
        let method = Method::from_name(operation.method.as_deref().unwrap_or_default());
        let segments = operation.segments;
        let path = format!("/scim/v2/{}", segments.join("/"));
        let mut request = Request::new(method, "");
        request.path = path;
        request.query = QUERY.to_owned();
        let version = operation.version.filter(|_| request.method != Method::Post);
        if version.as_ref().is_some_and(|it| it.len() > PATH_BYTES_MAX) {
            let detail = "\"version\" of an operation is too long to be one.";
            return Err(Error::invalid_value(detail));
        }
        request.headers.extend(version.map(|it| ("If-Match", it)));
        if request.method != Method::Delete {
            request.body = operation.data.to_string().into_bytes();
        }
        Ok(Prepared { request, segments, late_members })
    }

    fn id(&self, bulk_id: &str) -> Option<String> {
        self.creators.get(bulk_id).map(|it| self.ids[*it].clone())
    }

    fn send(&self, i: usize, prepared: &Prepared) -> Result<Response, Failure> {
        let Prepared { request, segments, .. } = prepared;
        let created = self.context.definitions.at_endpoint(&segments[0]);
        match created.filter(|_| request.method == Method::Post && segments.len() == 1) {
            Some(it) => resource::create_as(self.context, it, request, &self.ids[i]),
            None => (self.context.dispatch)(self.context, request, segments),
        }
    }

    /// Adds the members that could not be there when their group was created.
    fn add_members(&self, i: usize, prepared: &Prepared) -> Result<Response, Failure> {
        let segments = [prepared.segments[0].clone(), self.ids[i].clone()];
        let add = json!({"op": "add", "path": "members", "value": prepared.late_members});
        let body = json!({"schemas": [urn::PATCH_OP], "Operations": [add]});
        let mut request = Request::new(Method::Patch, &prepared.request.path);
        request.query = QUERY.to_owned();
        request.body = body.to_string().into_bytes();
        (self.context.dispatch)(self.context, &request, &segments)
    }

    fn outcome(&self, i: usize, result: Result<Response, Error>) -> BulkOutcome {
        let header = |name: &str| result.as_ref().ok()?.header(name).map(str::to_owned);
        BulkOutcome {
            location: header("Location").or_else(|| self.location(i)),
            version: header("ETag"),
            result: result.map(|it| it.status),
        }
    }

    /// Where the resource is that an operation is about, unless it was to create it.
    fn location(&self, i: usize) -> Option<String> {
        let operation = &self.bulk.operations[i];
        let [endpoint, id] = operation.segments.as_slice() else { return None };
        let id = bulk::reference(id).and_then(|it| self.id(it)).unwrap_or_else(|| id.clone());
        let creator = self.ids.iter().position(|it| *it == id);
        let nowhere =
            bulk::reference(&id).is_some() || creator.is_some_and(|it| self.has_failed(it));
        if operation.creates() || nowhere {
            return None;
        }
        let resource_type = self.context.definitions.at_endpoint(endpoint)?;
        Some(self.context.location_base(resource_type) + &id)
    }

    fn has_failed(&self, i: usize) -> bool {
        self.outcomes[i].as_ref().is_some_and(|it| it.result.is_err())
    }

    fn needs_failed(&self, needed: usize) -> Error {
        let bulk_id = self.bulk.operations[needed].bulk_id.as_deref().unwrap_or_default();
        Error::new(
            409,
            format!(
                "This operation needs what the bulkId \"{}\" stands for, and the operation that \
                 was to create it failed.",
                quoted(bulk_id)
            ),
        )
    }
}

/// The segments of an operation's path behind `/scim/v2`; there is one at least.
fn segments(base_url: &str, path: &str) -> Result<Vec<String>, Error> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Error::invalid_syntax(format!(
            "A path has {} bytes; at most {PATH_BYTES_MAX} are read.",
            path.len()
        )));
    }
    let wrong = |why: &str| {
        Error::invalid_syntax(format!(
            "The path \"{}\" {why} Send one such as /Users or /Users/{{id}}.",
            quoted(path)
        ))
    };
    let own = path.get(..base_url.len()).is_some_and(|it| it.eq_ignore_ascii_case(base_url));
    let rest = if own { &path[base_url.len()..] } else { path };
    let rest = rest.strip_prefix("/scim/v2/").unwrap_or(rest);
    if rest.contains("://") || (own && !rest.is_empty() && !rest.starts_with(['/', '?'])) {
        return Err(wrong("is no address below the base URL of this server."));
    }
    let request = Request::new(Method::Post, rest);
    let segments = request.segments().filter(|it| !it.is_empty());
    let segments = segments.ok_or_else(|| wrong("names nothing."))?;
    let segments: Vec<String> = segments.into_iter().map(Cow::into_owned).collect();
    if segments[0].eq_ignore_ascii_case("bulk") {
        return Err(wrong("stands for a Bulk request, and this is one already."));
    }
    if segments.iter().any(|it| it.eq_ignore_ascii_case(".search")) {
        return Err(wrong("stands for a search, which a Bulk request cannot do."));
    }
    Ok(segments)
}
