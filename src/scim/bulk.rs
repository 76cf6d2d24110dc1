//! Bulk (RFC 7644 section 3.7): the messages, the references between operations, and the order in
//! which operations are done.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::filter::grammar::FILTER_BYTES_MAX;
use crate::scim::json;
use crate::scim::membership::is_members;
use crate::scim::message::judge_schemas;
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::schema::service_provider_config::BULK_OPERATIONS_MAX;
use crate::scim::schema::urn;

/// The prefix of a reference to a bulkId.
const REFERENCE: &str = "bulkId:";

/// A Bulk request, read but not yet done.
#[derive(Clone, Debug)]
pub struct BulkRequest {
    /// After how many errors no further operation is done.
    pub fail_on_errors: Option<u64>,
    /// The operations, in the order of the request.
    pub operations: Vec<BulkOperation>,
}

/// One of the `Operations`.
#[derive(Clone, Debug, Default)]
pub struct BulkOperation {
    /// The method, in capitals; none when it is missing or no text.
    pub method: Option<String>,
    /// The client's name for the operation and for what it creates.
    pub bulk_id: Option<String>,
    /// The segments of the path; none when it is missing or wrong.
    pub segments: Vec<String>,
    /// The version the resource must have.
    pub version: Option<String>,
    /// The body that a request by itself would have.
    pub data: Value,
    /// What is wrong with the operation, before its endpoint judges it.
    pub fault: Option<Error>,
    /// The bulkIds it refers to, once each.
    pub references: Vec<String>,
}

impl BulkRequest {
    /// Reads a Bulk request; `segments` reads a path. What is wrong with one operation is that
    /// operation's own fault.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for what is no BulkRequest message, 400 `invalidValue` for a wrong
    /// `failOnErrors`, 413 for too many operations.
    pub fn parse(
        mut body: Map<String, Value>,
        segments: &dyn Fn(&str) -> Result<Vec<String>, Error>,
    ) -> Result<BulkRequest, Error> {
        refuse_twice(&body, "a Bulk request")?;
        let schemas = take(&mut body, "schemas");
        judge_schemas(Some(&schemas), urn::BULK_REQUEST, |_| false, "A Bulk request", true)?;
        let fail_on_errors = match take(&mut body, "failOnErrors") {
            Value::Null => None,
            given => match given.as_u64() {
                Some(0) => None,
                Some(it) => Some(it),
                None => {
                    return Err(Error::invalid_value(
                        "\"failOnErrors\" must be a whole number: after how many errors no further \
                         operation is done. Leave it out to have all of them done.",
                    ));
                }
            },
        };
        let Value::Array(given) = take(&mut body, "Operations") else {
            let detail = "A Bulk request needs \"Operations\", an array of operations.";
            return Err(Error::invalid_syntax(detail));
        };
        if given.is_empty() {
            let detail = "\"Operations\" is empty: say at least one thing to do.";
            return Err(Error::invalid_syntax(detail));
        }
        if given.len() > BULK_OPERATIONS_MAX {
            return Err(Error::too_many(format!(
                "The Bulk request has {} operations; at most {BULK_OPERATIONS_MAX} are done at \
                 once. Send them in several requests.",
                given.len()
            )));
        }
        let mut operations: Vec<BulkOperation> =
            given.into_iter().map(|it| BulkOperation::parse(it, segments)).collect();
        judge_references(&mut operations);
        Ok(BulkRequest { fail_on_errors, operations })
    }

    /// The operation that creates the resource of each bulkId. At most one operation of a bulkId
    /// has no fault.
    #[must_use]
    pub fn creators(&self) -> HashMap<String, usize> {
        let creates = self.operations.iter().enumerate().filter(|(_, it)| it.creates());
        creates.filter_map(|(i, it)| Some((it.bulk_id.clone()?, i))).collect()
    }

    /// The order in which operations are done: that of the request, except that an operation comes
    /// before the first one that refers to it. Operations that refer to each other in a circle
    /// stand together.
    #[must_use]
    pub fn order(&self) -> Vec<Vec<usize>> {
        let creators = self.creators();
        let dependencies = |it: &BulkOperation| {
            it.references.iter().filter_map(|it| creators.get(it).copied()).collect()
        };
        dependency_order(&self.operations.iter().map(dependencies).collect::<Vec<Vec<usize>>>())
    }
}

impl BulkOperation {
    fn parse(given: Value, segments: &dyn Fn(&str) -> Result<Vec<String>, Error>) -> BulkOperation {
        let Value::Object(mut given) = given else {
            let detail = "An operation must be an object with \"method\", \"path\" and \"data\".";
            let fault = Some(Error::invalid_syntax(detail));
            return BulkOperation { fault, ..BulkOperation::default() };
        };
        let mut fault = refuse_twice(&given, "an operation").err();
        let mut text = |name: &str| match take(&mut given, name) {
            Value::Null => None,
            Value::String(it) => Some(it),
            _ => {
                let detail = format!("\"{name}\" of an operation must be text.");
                fault.get_or_insert(Error::invalid_syntax(detail));
                None
            }
        };
        let method = text("method").map(|it| it.trim().to_ascii_uppercase());
        let (bulk_id, path) = (text("bulkId"), text("path"));
        let version = text("version");
        let mut operation = BulkOperation {
            method,
            bulk_id,
            segments: Vec::new(),
            version,
            data: take(&mut given, "data"),
            fault: None,
            references: Vec::new(),
        };
        let path = path.filter(|it| !it.trim().is_empty());
        operation.fault = fault.or_else(|| operation.judge(path.as_deref()).err());
        match path.map_or(Ok(Vec::new()), |it| segments(it.trim())) {
            Ok(segments) => operation.segments = segments,
            Err(error) => drop(operation.fault.get_or_insert(error)),
        }
        let mut references = Vec::new();
        operation.each_reference(&mut |it| {
            references.push(it.to_owned());
            None
        });
        references.sort_unstable();
        references.dedup();
        operation.references = references;
        operation
    }

    fn judge(&self, path: Option<&str>) -> Result<(), Error> {
        let method = match self.method.as_deref() {
            Some(method @ ("POST" | "PUT" | "PATCH" | "DELETE")) => method,
            Some("GET" | "HEAD") => {
                let detail = "A Bulk request changes resources. Send a GET request by itself.";
                return Err(Error::new(405, detail));
            }
            Some(other) => {
                return Err(Error::invalid_syntax(format!(
                    "\"method\" must be POST, PUT, PATCH or DELETE, and is \"{}\".",
                    quoted(other)
                )));
            }
            None => {
                let detail = "An operation needs a \"method\": POST, PUT, PATCH or DELETE.";
                return Err(Error::invalid_syntax(detail));
            }
        };
        if path.is_none() {
            let detail = "An operation needs a \"path\", such as /Users or /Users/{id}.";
            return Err(Error::invalid_syntax(detail));
        }
        if method == "POST" && self.bulk_id.as_deref().is_none_or(str::is_empty) {
            let detail = "A POST operation needs a \"bulkId\": a name that no other has.";
            return Err(Error::invalid_syntax(detail));
        }
        if method != "DELETE" && self.data.is_null() {
            let detail = format!("A {method} operation needs \"data\": what would be the body.");
            return Err(Error::invalid_syntax(detail));
        }
        Ok(())
    }

    /// Whether this operation creates a resource.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.method.as_deref() == Some("POST")
    }

    /// Shows each reference's bulkId to `with`, and puts what that returns in its place.
    pub fn each_reference(&mut self, with: &mut dyn FnMut(&str) -> Option<String>) {
        for segment in &mut self.segments {
            if let Some(replaced) = reference(segment).and_then(&mut *with) {
                *segment = replaced;
            }
        }
        replace_references("", &mut self.data, with);
    }

    /// Takes out the members that refer to one of these bulkIds, to be added later.
    pub fn take_members(
        &mut self,
        resource_type: &ResourceType,
        pending: &dyn Fn(&str) -> bool,
    ) -> Vec<Value> {
        let Value::Object(data) = &mut self.data else { return Vec::new() };
        let found = data.iter_mut().find(|(name, _)| is_members(name, resource_type));
        let Some((_, members)) = found else { return Vec::new() };
        if !members.is_array() {
            *members = Value::Array(vec![members.take()]);
        }
        let Value::Array(items) = members else { return Vec::new() };
        let refers = |item: &mut Value| {
            let mut found = false;
            replace_references("", item, &mut |it| {
                found |= pending(it);
                None
            });
            found
        };
        items.extract_if(.., refers).collect()
    }
}

/// Refuses a part of the message that has a name twice; exact copies were refused before.
fn refuse_twice(part: &Map<String, Value>, called: &str) -> Result<(), Error> {
    let twice = json::twice(part);
    twice.map_or(Ok(()), |it| Err(Error::invalid_syntax(format!("In {called} {it}."))))
}

/// Takes a member out of an object; its name in any letter case, as elsewhere.
fn take(object: &mut Map<String, Value>, name: &str) -> Value {
    let found = object.iter_mut().find(|(it, _)| it.eq_ignore_ascii_case(name));
    found.map_or(Value::Null, |(_, value)| value.take())
}

/// Notes the fault of each POST operation that shares its bulkId with another, and of each
/// operation that refers to a bulkId of no POST operation, or of several.
fn judge_references(operations: &mut [BulkOperation]) {
    let mut times: HashMap<String, usize> = HashMap::new();
    for it in operations.iter().filter(|it| it.creates()) {
        *times.entry(it.bulk_id.clone().unwrap_or_default()).or_default() += 1;
    }
    let times_of = |bulk_id: &str| times.get(bulk_id).copied().unwrap_or_default();
    for it in operations {
        let own = it.bulk_id.as_deref().filter(|_| it.creates()).unwrap_or_default();
        let fault = if times_of(own) > 1 && !own.is_empty() {
            format!(
                "Several POST operations of this request have the bulkId \"{}\". Give each one of \
                 its own.",
                quoted(own)
            )
        } else if let Some(wrong) = it.references.iter().find(|it| times_of(it) != 1) {
            let found = if times_of(wrong) == 0 { "no POST operation" } else { "more than one" };
            format!(
                "This operation refers to the bulkId \"{}\", and {found} of this request has it.",
                quoted(wrong)
            )
        } else {
            continue;
        };
        it.fault.get_or_insert(Error::invalid_value(fault));
    }
}

/// The bulkId in a text that is a reference and nothing else.
#[must_use]
pub fn reference(text: &str) -> Option<&str> {
    let prefix = text.get(..REFERENCE.len())?;
    prefix.eq_ignore_ascii_case(REFERENCE).then(|| &text[REFERENCE.len()..])
}

fn replace_references(name: &str, value: &mut Value, with: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            let replaced = match (reference(text), name) {
                (Some(bulk_id), _) => with(bulk_id),
                (None, "$ref") => replace_in_path(text, with),
                (None, name) if name.eq_ignore_ascii_case("path") => replace_in_filter(text, with),
                _ => None,
            };
            if let Some(replaced) = replaced {
                *text = replaced;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| replace_references(name, it, with)),
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, it)| replace_references(name, it, with));
        }
        _ => {}
    }
}

/// `/Users/bulkId:x`; none when there is nothing to replace.
fn replace_in_path(path: &str, with: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    replace_in_parts(path, '/', 1, with)
}

/// `members[value eq "bulkId:x"]`; none when there is nothing to replace.
fn replace_in_filter(filter: &str, with: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    replace_in_parts(filter, '"', 2, with)
}

/// Replaces references among the parts of a text; of all parts, or of each second one.
fn replace_in_parts(
    text: &str,
    separator: char,
    step: usize,
    with: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<String> {
    // No address and no path that could be read is longer.
    if text.len() > FILTER_BYTES_MAX * 2 {
        return None;
    }
    let mut parts: Vec<String> = text.split(separator).map(str::to_owned).collect();
    let mut any = false;
    for part in parts.iter_mut().skip(step - 1).step_by(step) {
        if let Some(replaced) = reference(part).and_then(&mut *with) {
            *part = replaced;
            any = true;
        }
    }
    any.then(|| parts.join(&separator.to_string()))
}

/// Puts each operation after those it depends on, and operations that depend on each other together
/// (Tarjan's strongly connected components, without recursion: a chain may be as long as the
/// request).
fn dependency_order(dependencies: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNVISITED: usize = usize::MAX;
    let (mut visited, mut low) =
        (vec![UNVISITED; dependencies.len()], vec![UNVISITED; dependencies.len()]);
    let mut placed = vec![false; dependencies.len()];
    let (mut stack, mut components) = (Vec::new(), Vec::new());
    let mut count = 0;
    for root in 0..dependencies.len() {
        // The operations from the root to the one at hand, each with how many of its dependencies
        // are visited.
        let mut path = if visited[root] == UNVISITED { vec![(root, 0)] } else { Vec::new() };
        while let Some((i, done)) = path.pop() {
            if done == 0 {
                (visited[i], low[i]) = (count, count);
                count += 1;
                stack.push(i);
            } else {
                let dependency = dependencies[i][done - 1];
                if !placed[dependency] {
                    low[i] = low[i].min(low[dependency]);
                }
            }
            if let Some(dependency) = dependencies[i].get(done).copied() {
                path.push((i, done + 1));
                if visited[dependency] == UNVISITED {
                    path.push((dependency, 0));
                }
                continue;
            }
            if low[i] == visited[i] {
                let from = stack.iter().rposition(|it| *it == i).unwrap_or_default();
                let mut component = stack.split_off(from);
                component.iter().for_each(|it| placed[*it] = true);
                component.sort_unstable();
                components.push(component);
            }
        }
    }
    components
}

/// The result of an operation.
#[derive(Clone, Debug)]
pub struct BulkOutcome {
    /// Where the resource is; none for what could not be created.
    pub location: Option<String>,
    /// The version it has now.
    pub version: Option<String>,
    /// The HTTP status a request by itself would have been answered with, or the error.
    pub result: Result<u16, Error>,
}

/// The BulkResponse message: the operations that were done, in the order of the request.
#[must_use]
pub fn response<'a>(
    outcomes: impl Iterator<Item = (&'a BulkOperation, &'a BulkOutcome)>,
) -> Map<String, Value> {
    let entry = |(operation, outcome): (&BulkOperation, &BulkOutcome)| {
        let mut entry = Map::new();
        let method = operation.method.as_deref().map(quoted);
        for (name, value) in [
            ("location", outcome.location.clone()),
            ("method", method),
            ("bulkId", operation.bulk_id.clone()),
            ("version", outcome.version.clone()),
        ] {
            entry.extend(value.map(|it| (name.to_owned(), Value::from(it))));
        }
        let (status, error) = match &outcome.result {
            Ok(status) => (*status, None),
            Err(error) => (error.status, Some(error)),
        };
        entry.insert("status".to_owned(), status.to_string().into());
        entry.extend(error.map(|it| ("response".to_owned(), it.to_json())));
        Value::Object(entry)
    };
    Map::from_iter([
        ("schemas".to_owned(), Value::Array(vec![urn::BULK_RESPONSE.into()])),
        ("Operations".to_owned(), outcomes.map(entry).collect()),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;

    #[test]
    fn what_is_needed_comes_first_and_circles_stand_together() {
        let check = |needs: &[&[usize]], expected: &[&[usize]]| {
            let needs: Vec<Vec<usize>> = needs.iter().map(|it| it.to_vec()).collect();
            assert_eq!(dependency_order(&needs), expected, "{needs:?}");
        };
        check(&[], &[]);
        check(&[&[], &[], &[]], &[&[0], &[1], &[2]]);
        check(&[&[2], &[], &[]], &[&[2], &[0], &[1]]);
        check(&[&[0]], &[&[0]]);
        check(&[&[1], &[0]], &[&[0, 1]]);
        check(&[&[1], &[2], &[0, 3], &[]], &[&[3], &[0, 1, 2]]);
        check(&[&[1, 2], &[2], &[1]], &[&[1, 2], &[0]]);
        check(&[&[], &[0, 2], &[1, 3], &[4], &[3]], &[&[0], &[3, 4], &[1, 2]]);
        // A long chain costs no stack.
        let chain: Vec<Vec<usize>> = (1..=100_000).map(|it| vec![it % 100_000]).collect();
        assert_eq!(dependency_order(&chain).len(), 1);
        let chain: Vec<Vec<usize>> =
            (1..=100_000).map(|it| (it..(it + 1).min(100_000)).collect()).collect();
        assert_eq!(dependency_order(&chain).len(), 100_000);
    }

    #[test]
    fn references_are_found_where_they_stand_for_an_id() {
        let mut operation = BulkOperation {
            segments: vec!["Users".to_owned(), "bulkId:a".to_owned()],
            data: json!({
                "value": "bulkid:b",
                "list": ["bulkId:c", {"deep": {"value": "bulkId:d"}}, 7, null],
                "$ref": "../Users/bulkId:e",
                "path": "members[value eq \"bulkId:f\" or value eq \"bulkId:g\"]",
                "displayName": "the bulkId:x is \"bulkId:y\" and /bulkId:z",
                "bulkId:key": "",
            }),
            ..BulkOperation::default()
        };
        let mut found = String::new();
        operation.each_reference(&mut |it| {
            found.push_str(it);
            Some(it.to_uppercase())
        });
        // In the order of their names: "$ref" stands before "list".
        assert_eq!(found, "aecdfgb");
        assert_eq!(operation.segments, ["Users", "A"]);
        let expected = json!({
            "value": "B",
            "list": ["C", {"deep": {"value": "D"}}, 7, null],
            "$ref": "../Users/E",
            "path": "members[value eq \"F\" or value eq \"G\"]",
            "displayName": "the bulkId:x is \"bulkId:y\" and /bulkId:z",
            "bulkId:key": "",
        });
        assert_eq!(operation.data, expected);
    }

    #[test]
    fn members_that_wait_are_taken_out() {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        let group = definitions.resource_type("Group").unwrap();
        let members = json!(["bulkId:a", {"value": "bulkId:b"}, {"value": "c"}]);
        let mut operation =
            BulkOperation { data: json!({"Members": members}), ..BulkOperation::default() };
        assert_eq!(operation.take_members(group, &|it| it == "b"), [json!({"value": "bulkId:b"})]);
        assert_eq!(operation.data, json!({"Members": ["bulkId:a", {"value": "c"}]}));
        operation.data = json!({"members": {"value": "bulkId:b"}});
        assert_eq!(operation.take_members(group, &|it| it == "b").len(), 1);
        assert_eq!(operation.data, json!({"members": []}));
    }
}
