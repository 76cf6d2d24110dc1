//! Applies the operations of a PATCH to a document (RFC 7644 section 3.5.2).
//!
//! A request is applied to a copy of the document, operation by operation; `validate::judge_change`
//! then judges the result. Where one operation fails, nothing of the request is kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::coerce::{coerce, foreign};
use crate::scim::error::{Error, quoted};
use crate::scim::filter::condition::Condition;
use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::identity::{self, IdentityChanges, Rules};
use crate::scim::json::spelled_twice;
use crate::scim::membership::{self, MemberChange};
use crate::scim::patch::message::{Op, PatchOp, PatchOperation};
use crate::scim::patch::multi_valued::Selection;
use crate::scim::patch::path::PatchPath;
use crate::scim::patch::target::{self, TargetLocation};
use crate::scim::patch::{multi_valued, singular};
use crate::scim::schema::attribute::{Attribute, Mutability, Type};
use crate::scim::schema::name::{ACTIVE, EMAILS, MEMBERS, SCHEMAS, USER_NAME};
use crate::scim::schema::resource_type::{Name, ResourceType};
use crate::scim::strict;
use crate::scim::twice::{in_order, refuse_two_names};
use crate::scim::validate::{spell_extensions, takes_an_object};

/// The most work of one change on attributes with several values, a whole Bulk request included:
/// the bytes of the values an operation goes through, times the comparisons with each. Half a
/// second of the writer's time.
pub const WORK_MAX: usize = 1 << 28;

/// The most operations of one request that select members by anything but their `value`: each of
/// them reads the whole group.
pub const MEMBER_FILTERS_MAX: usize = 20;

/// What a request makes of a resource.
#[derive(Clone, Debug)]
pub struct Patched {
    /// The document after all operations. It is not yet judged.
    pub document: Map<String, Value>,
    /// What is to be done to the members, in order; they are no part of the document.
    pub members: Vec<MemberChange>,
    /// The names and paths of the request that were ignored, each with the value where it is small.
    pub passed_over: Map<String, Value>,
}

impl PatchOp {
    /// What all operations together make of a resource with this document.
    ///
    /// `work`: what was done of [`WORK_MAX`], by earlier operations of the same change too.
    ///
    /// # Errors
    /// 400 with the `scimType` of RFC 7644 table 9 that says which operation failed and why, 413
    /// for too much work.
    pub fn apply(
        &self,
        before: &Map<String, Value>,
        resource_type: &ResourceType,
        rules: Rules,
        work: &mut usize,
    ) -> Result<Patched, Error> {
        let mut patched =
            Patched { document: before.clone(), members: Vec::new(), passed_over: Map::new() };
        let mut known = 0;
        let mut unknown: Option<Error> = None;
        spell_extensions(&mut patched.document, resource_type);
        for (i, operation) in self.operations.iter().enumerate() {
            let Patched { document, members, passed_over } = &mut patched;
            let mut patch = Patch {
                document,
                members,
                passed_over,
                resource_type,
                rules,
                work: &mut *work,
                unknown: None,
            };
            let numbered = |mut error: Error| {
                if self.operations.len() > 1 {
                    error.detail = format!("Operation {}: {}", i + 1, error.detail);
                }
                error
            };
            patch.operation(operation).map_err(numbered)?;
            match patch.unknown {
                None => known += 1,
                Some(error) => drop(unknown.get_or_insert(numbered(error))),
            }
        }
        // An operation on what no schema defines is ignored, as in POST and PUT, unless every
        // operation is one.
        match unknown {
            Some(error) if known == 0 => Err(error),
            _ => Ok(patched),
        }
    }
}

/// A request that is being applied, operation by operation.
struct Patch<'a> {
    document: &'a mut Map<String, Value>,
    members: &'a mut Vec<MemberChange>,
    passed_over: &'a mut Map<String, Value>,
    resource_type: &'a ResourceType,
    rules: Rules,
    /// How much of [`WORK_MAX`] is used up.
    work: &'a mut usize,
    /// The error for an operation that names what no schema defines.
    unknown: Option<Error>,
}

impl Patch<'_> {
    fn operation(&mut self, operation: &PatchOperation) -> Result<(), Error> {
        let PatchOperation { op, path, value } = operation;
        if let Some(path) = path {
            return self.at_path(*op, path, value, true);
        }
        if self.rules.strict {
            return Err(Error::invalid_syntax(
                "Every operation needs a \"path\": this organisation is set to strict.",
            ));
        }
        if *op == Op::Remove {
            let detail = "A removal needs a \"path\" that says what to remove.";
            return Err(Error::no_target(detail));
        }
        let Value::Object(members) = value else {
            return Err(Error::invalid_value(
                "Without a \"path\", \"value\" must be an object that names the attributes to \
                 change.",
            ));
        };
        self.apply_without_path(*op, members)
    }

    /// Applies an operation without a path: its value names the attributes.
    fn apply_without_path(&mut self, op: Op, members: &Map<String, Value>) -> Result<(), Error> {
        if let Some((_, name)) = spelled_twice(members.keys()) {
            return Err(Error::invalid_syntax(format!(
                "The attribute \"{}\" stands twice in the value, in different letter case.",
                quoted(name)
            )));
        }
        refuse_two_names(members, self.resource_type, "the value")?;
        for (name, value) in in_order(members) {
            match value {
                // The core schema as an object is the resource itself.
                Value::Object(inner) if name.eq_ignore_ascii_case(&self.resource_type.core.id) => {
                    self.apply_without_path(op, inner)?;
                }
                _ => self.at_path(op, name, value, false)?,
            }
        }
        Ok(())
    }

    /// Applies an operation to what one path names. `explicit`: the client sent this path, so what
    /// cannot be done is refused. A member of a value without a path that is unknown or read-only
    /// is ignored, as in POST and PUT: Okta sends the group's `id` that way, authentik the whole
    /// resource.
    fn at_path(&mut self, op: Op, text: &str, value: &Value, explicit: bool) -> Result<(), Error> {
        if self.rules.strict {
            strict::judge_operation(text, value, self.resource_type)?;
        }
        if let (Name::Core, Value::Object(members)) = (self.resource_type.name(text), value)
            && !self.rules.strict
            && op != Op::Remove
        {
            return self.apply_without_path(op, members);
        }
        let found = target::find(self.document, self.resource_type, text, value, explicit)?;
        let (path, target) = match found {
            TargetLocation::Extension(urn) => return self.extension(op, &urn, value),
            TargetLocation::Attribute(path, target) => (path, target),
            TargetLocation::Unknown(error) => return self.pass_over(text, error),
            TargetLocation::Ignored => return Ok(()),
        };
        if let Some(urn) = &target.extension
            && target.attribute.kind == Type::Any
        {
            // The names below this URN were compared one by one.
            let compared = self.document.get(urn).and_then(Value::as_object).map_or(0, Map::len);
            self.add_work(compared, urn)?;
        }
        let read_only = target.attribute.mutability == Mutability::ReadOnly
            || target.leaf().mutability == Mutability::ReadOnly
            || target.is_core("schemas");
        if read_only {
            if !explicit || self.changes_nothing(op, &target, value) {
                return Ok(());
            }
            let detail = format!("\"{}\" is read-only: only the server sets it.", quoted(text));
            return Err(Error::mutability(detail));
        }
        if target.leaf().is_secret() {
            coerce(target.leaf(), value.clone(), text, self.rules.strict)?;
            return Ok(());
        }
        let one = !target.attribute.multi_valued;
        if op == Op::Remove && (one || value.is_null()) {
            if target.is_core(USER_NAME) && self.rules.keeps_identity() {
                self.passed_over.insert(USER_NAME.to_owned(), Value::Null);
                return Ok(());
            }
            self.refuse_removal(&target, path.filter.is_some(), text)?;
        } else if is_unassigned(value) && self.keeps(&target) {
            return Ok(());
        }
        self.count_work(&path, &target, value)?;
        // In a request that takes login away the address is kept whatever becomes of the entries.
        let free = self.rules.identity_changes == IdentityChanges::Allow
            || !identity::is_account(self.resource_type);
        if !target.is_core(EMAILS) || free || self.rules.keeps_identity() {
            return self.change(op, &path, &target, value, text);
        }
        let old = identity::primary_email(self.document).map(str::to_owned);
        let keeps = op != Op::Remove && is_unassigned(value);
        let before = if keeps { self.document.get(EMAILS).cloned() } else { None };
        self.change(op, &path, &target, value, text)?;
        self.judge_emails(op, old.as_deref(), before)
    }

    /// Ignores an operation that names what no schema defines. An organisation that is set to
    /// strict refuses the request, as RFC 7644 section 3.5.2 says.
    fn pass_over(&mut self, text: &str, error: Error) -> Result<(), Error> {
        if self.rules.strict {
            return Err(error);
        }
        self.passed_over.insert(text.to_owned(), Value::Null);
        self.unknown = Some(error);
        Ok(())
    }

    /// Refuses a request that would take long: no other change is made meanwhile.
    fn count_work(
        &mut self,
        path: &PatchPath,
        target: &Target,
        value: &Value,
    ) -> Result<(), Error> {
        let attribute = &target.attribute;
        if !attribute.multi_valued && attribute.kind != Type::Any {
            return Ok(());
        }
        let whole = Target { sub: None, ..target.clone() };
        let cost = multi_valued::cost(self.get(&whole), path.filter.as_ref(), value);
        self.add_work(cost, &attribute.name)
    }

    fn add_work(&mut self, cost: usize, name: &str) -> Result<(), Error> {
        *self.work = self.work.saturating_add(cost);
        if *self.work <= WORK_MAX {
            return Ok(());
        }
        Err(Error::too_many(format!(
            "Up to this change of \"{}\", the request goes through too many values. Send its \
             operations in several requests.",
            quoted(name)
        )))
    }

    fn change(
        &mut self,
        op: Op,
        path: &PatchPath,
        target: &Target,
        value: &Value,
        text: &str,
    ) -> Result<(), Error> {
        let attribute = &target.attribute;
        if target.is_core(MEMBERS) && membership::has_members(self.resource_type) {
            return self.apply_to_members(op, path, target, value, text);
        }
        // Below a URN that no schema registers, an attribute with an array is multi-valued.
        let list;
        let attribute = match attribute.kind == Type::Any && self.is_list(op, path, target, value) {
            true => {
                list = Arc::new(Attribute { multi_valued: true, ..Attribute::clone(attribute) });
                &list
            }
            false => attribute,
        };
        let strict = self.rules.strict;
        let holder = self.holder(target.extension.as_deref(), op != Op::Remove);
        let Some(holder) = holder else {
            return Ok(());
        };
        if attribute.multi_valued {
            let (filter, sub) = (path.filter.as_ref(), target.sub.as_ref());
            let selection = Selection::new(attribute, filter, sub, strict)?;
            multi_valued::apply(holder, attribute, &selection, op, value, text)?;
        } else if path.filter.is_some() {
            return Err(Error::invalid_path(format!(
                "\"{}\" has one value, so no brackets can follow it.",
                quoted(attribute.name.as_str())
            )));
        } else {
            singular::apply(holder, attribute, target.sub.as_ref(), op, value, text, strict)?;
        }
        self.drop_empty_extension(target.extension.as_deref());
        Ok(())
    }

    /// Whether an attribute of any type holds several values, or is to.
    fn is_list(&self, op: Op, path: &PatchPath, target: &Target, value: &Value) -> bool {
        let whole = Target { sub: None, ..target.clone() };
        let stored = self.get(&whole);
        path.filter.is_some()
            || stored.is_some_and(Value::is_array)
            || (op == Op::Add && value.is_array() && stored.is_some())
    }

    fn apply_to_members(
        &mut self,
        op: Op,
        path: &PatchPath,
        target: &Target,
        value: &Value,
        text: &str,
    ) -> Result<(), Error> {
        if target.sub.is_some() {
            return Err(Error::mutability(format!(
                "\"{}\" cannot be changed: a member is added or removed as a whole.",
                quoted(text)
            )));
        }
        if op != Op::Remove {
            membership::refuse_nameless(value)?;
        }
        let filter = path.filter.as_ref();
        let condition = filter.map(|it| Condition::of_values(it, &target.attribute)).transpose()?;
        let named = coerce(&target.attribute, value.clone(), text, self.rules.strict)?;
        // An empty list of members to remove removes nobody; no list at all removes them all.
        let no_members = Value::Array(Vec::new());
        let value = named.as_ref().or((!value.is_null()).then_some(&no_members));
        let change = membership::change(op, condition, value)?;
        let has_filter = |it: &MemberChange| matches!(it, MemberChange::RemoveWhere(_));
        let filters_so_far = || self.members.iter().filter(|it| has_filter(it)).count();
        if has_filter(&change) && filters_so_far() >= MEMBER_FILTERS_MAX {
            return Err(Error::too_many(format!(
                "More than {MEMBER_FILTERS_MAX} operations select members by something else than \
                 their \"value\". Send them in several requests."
            )));
        }
        self.members.push(change);
        Ok(())
    }

    fn extension(&mut self, op: Op, urn: &str, value: &Value) -> Result<(), Error> {
        // The names in the document and in the extension are compared one by one.
        let there = self.document.get(urn).and_then(Value::as_object).map_or(0, Map::len);
        self.add_work(self.document.len() + there, urn)?;
        if op == Op::Remove || value.is_null() {
            self.document.remove(urn);
            return Ok(());
        }
        let Value::Object(members) = value else {
            // PHP prints an object without members as [].
            let empty = value.as_array().is_some_and(Vec::is_empty) || *value == "";
            return if empty && !self.rules.strict { Ok(()) } else { Err(takes_an_object(urn)) };
        };
        if let Some(extension) = self.resource_type.extension(urn) {
            let at = |name: &String| format!("{urn}:{name}");
            // A name that no attribute can have is unknown, and ignored like every unknown name.
            // `schemas` is no attribute of an extension; a client may name the extension by it.
            let nameable = |name: &str| {
                let names_itself = name.eq_ignore_ascii_case(SCHEMAS)
                    && extension.schema.attribute(name).is_none();
                (name.contains('[') || AttrPath::new(name).is_some()) && !names_itself
            };
            return members
                .iter()
                .filter(|(name, _)| nameable(name))
                .try_for_each(|(name, value)| self.at_path(op, &at(name), value, false));
        }
        let holder = self.document.get(urn).and_then(Value::as_object).into_iter().flatten();
        let stored: HashMap<String, String> =
            holder.map(|(name, _)| (name.to_ascii_lowercase(), name.clone())).collect();
        // In one pass: their names are looked for in any letter case.
        let gone: HashSet<String> = members
            .iter()
            .filter(|(_, it)| it.is_null())
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        if let Some(holder) = self.holder(Some(urn), false).filter(|_| !gone.is_empty()) {
            holder.retain(|name, _| !gone.contains(&name.to_ascii_lowercase()));
        }
        for (given, value) in members {
            let Some(kept) = foreign(given, value.clone())? else { continue };
            let name = stored.get(&given.to_ascii_lowercase()).unwrap_or(given);
            let attribute = Arc::new(Attribute::untyped(name));
            let target = Target { extension: Some(urn.to_owned()), attribute, sub: None };
            let attribute = AttrPath::new(name).ok_or_else(|| takes_an_object(urn))?;
            let path = PatchPath { attribute, filter: None, sub: None };
            self.change(op, &path, &target, &kept, name)?;
        }
        self.drop_empty_extension(Some(urn));
        Ok(())
    }

    /// The object that holds an attribute: the document, or an extension in it.
    fn holder(&mut self, extension: Option<&str>, make: bool) -> Option<&mut Map<String, Value>> {
        let Some(urn) = extension else {
            return Some(self.document);
        };
        if make && !self.document.get(urn).is_some_and(Value::is_object) {
            self.document.insert(urn.to_owned(), Value::Object(Map::new()));
        }
        self.document.get_mut(urn)?.as_object_mut()
    }

    fn drop_empty_extension(&mut self, extension: Option<&str>) {
        if let Some(urn) = extension
            && self.document.get(urn).and_then(Value::as_object).is_some_and(Map::is_empty)
        {
            self.document.remove(urn);
        }
    }

    fn get(&self, target: &Target) -> Option<&Value> {
        let holder = match &target.extension {
            None => Some(&*self.document),
            Some(urn) => self.document.get(urn).and_then(Value::as_object),
        };
        let value = holder?.get(&target.attribute.name)?;
        match &target.sub {
            None => Some(value),
            Some(sub) => value.get(&sub.name),
        }
    }

    /// Whether an addition or replacement would change nothing (RFC 7644 section 3.5.2.1).
    fn changes_nothing(&self, op: Op, target: &Target, value: &Value) -> bool {
        match (op, self.get(target)) {
            (Op::Remove, _) => false,
            (Op::Add, Some(Value::Array(stored))) => match value {
                Value::Array(added) => added.iter().all(|it| stored.contains(it)),
                one => stored.contains(one),
            },
            (_, Some(stored)) => stored == value,
            (_, None) => is_unassigned(value),
        }
    }

    /// "If an attribute is removed and is defined as a required or a read-only attribute" the
    /// answer is `mutability` (RFC 7644 section 3.5.2.2). `active` has no third state.
    fn refuse_removal(&self, target: &Target, filtered: bool, text: &str) -> Result<(), Error> {
        let leaf = target.leaf();
        let whole = target.sub.is_none() && !filtered;
        let fixed = leaf.mutability == Mutability::Immutable && !filtered;
        let required = leaf.required && (whole || target.sub.is_some());
        if (whole && self.decides_login(target)) || fixed || required {
            return Err(Error::mutability(format!(
                "\"{}\" cannot be removed: a {} always has it.",
                quoted(text),
                self.resource_type.name
            )));
        }
        Ok(())
    }

    /// Whether an attribute keeps its value when a client sends null, "" or [], as in a PUT.
    fn keeps(&self, target: &Target) -> bool {
        let whole = target.sub.is_none();
        let immutable = target.leaf().mutability == Mutability::Immutable;
        whole && (self.decides_login(target) || immutable)
    }

    /// Whether this is the attribute that says whether an account may log in.
    fn decides_login(&self, target: &Target) -> bool {
        target.is_core(ACTIVE) && identity::is_account(self.resource_type)
    }

    /// The primary e-mail address must be the same after the change. Where it is lost because the
    /// client sent no value, the addresses before the change are put back; its removal is refused.
    fn judge_emails(
        &mut self,
        op: Op,
        old: Option<&str>,
        before: Option<Value>,
    ) -> Result<(), Error> {
        let new = identity::primary_email(self.document);
        match old {
            Some(old) if new != Some(old) => {
                if op == Op::Remove {
                    return Err(identity::email_change_refused(old, new));
                }
                self.document.extend(before.map(|it| (EMAILS.to_owned(), it)));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a value stands for "unassigned" (RFC 7643 section 2.5). The empty text counts too: Okta
/// clears attributes with it.
fn is_unassigned(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(it) => it.is_empty(),
        Value::Array(it) => it.iter().all(is_unassigned),
        _ => false,
    }
}
