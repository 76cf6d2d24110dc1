//! What the head of a column may be called: by the path of its attribute in SCIM, or by a name that
//! people and their tools give it.

use crate::cli::people::columns::{Column, DELETED, Place, Typed, UNREGISTERED};
use crate::scim::filter::grammar::{CompareOp, Filter, Literal};
use crate::scim::filter::path::Target;
use crate::scim::patch::path::PatchPath;
use crate::scim::schema::attribute::{Attribute, Mutability, Type};
use crate::scim::schema::resource_type::{Name, ResourceType};
use crate::scim::schema::urn;

/// Other names, without regard to letter case and to what is no letter: those of Okta's profile, of
/// Entra ID, and of tables that people keep.
const ALIASES: &[(&str, &str)] = &[
    ("login", "userName"),
    ("username", "userName"),
    ("userprincipalname", "userName"),
    ("email", "emails[type eq \"work\"].value"),
    ("emailaddress", "emails[type eq \"work\"].value"),
    ("mail", "emails[type eq \"work\"].value"),
    ("workemail", "emails[type eq \"work\"].value"),
    ("primaryemail", "emails[type eq \"work\"].value"),
    ("homeemail", "emails[type eq \"home\"].value"),
    ("secondemail", "emails[type eq \"other\"].value"),
    ("otheremail", "emails[type eq \"other\"].value"),
    ("givenname", "name.givenName"),
    ("firstname", "name.givenName"),
    ("familyname", "name.familyName"),
    ("lastname", "name.familyName"),
    ("surname", "name.familyName"),
    ("middlename", "name.middleName"),
    ("honorificprefix", "name.honorificPrefix"),
    ("honorificsuffix", "name.honorificSuffix"),
    ("formattedname", "name.formatted"),
    ("fullname", "name.formatted"),
    ("displayname", "displayName"),
    ("nickname", "nickName"),
    ("externalid", "externalId"),
    ("enabled", "active"),
    ("isactive", "active"),
    ("accountenabled", "active"),
    ("jobtitle", "title"),
    ("language", "preferredLanguage"),
    ("phone", "phoneNumbers[type eq \"work\"].value"),
    ("phonenumber", "phoneNumbers[type eq \"work\"].value"),
    ("workphone", "phoneNumbers[type eq \"work\"].value"),
    ("primaryphone", "phoneNumbers[type eq \"work\"].value"),
    ("mobile", "phoneNumbers[type eq \"mobile\"].value"),
    ("mobilephone", "phoneNumbers[type eq \"mobile\"].value"),
    ("homephone", "phoneNumbers[type eq \"home\"].value"),
    ("street", "addresses[type eq \"work\"].streetAddress"),
    ("streetaddress", "addresses[type eq \"work\"].streetAddress"),
    ("city", "addresses[type eq \"work\"].locality"),
    ("locality", "addresses[type eq \"work\"].locality"),
    ("state", "addresses[type eq \"work\"].region"),
    ("region", "addresses[type eq \"work\"].region"),
    ("zip", "addresses[type eq \"work\"].postalCode"),
    ("zipcode", "addresses[type eq \"work\"].postalCode"),
    ("postalcode", "addresses[type eq \"work\"].postalCode"),
    ("country", "addresses[type eq \"work\"].country"),
    ("countrycode", "addresses[type eq \"work\"].country"),
    ("employeenumber", "employeeNumber"),
    ("employeeid", "employeeNumber"),
    ("costcenter", "costCenter"),
    ("organisation", "organization"),
    ("company", "organization"),
    ("managerid", "manager.value"),
];
/// The names of what only the server says of an account, beside those of the schemas.
const SERVER_SIDE: [&str; 5] =
    ["meta.created", "meta.lastmodified", "meta.version", "meta.location", "meta.resourcetype"];

/// What a column of this name is for.
///
/// # Errors
/// The end of a sentence about the column, where nothing here has this name.
pub fn column(header: &str, resource_type: &ResourceType) -> Result<Column, String> {
    let name = header.trim();
    let place = if name.eq_ignore_ascii_case(DELETED) {
        Some(Place::Deleted)
    } else if name.eq_ignore_ascii_case(UNREGISTERED) {
        Some(Place::Unregistered)
    } else if SERVER_SIDE.contains(&name.to_ascii_lowercase().as_str()) {
        Some(Place::PassedOver)
    } else {
        at_path(name, resource_type).or_else(|| {
            let letters = letters(name);
            let (_, path) = ALIASES.iter().find(|(alias, _)| *alias == letters)?;
            at_path(path, resource_type)
        })
    };
    match place {
        Some(place) => Ok(Column { header: name.to_owned(), place }),
        None => Err(nearest(name, resource_type)),
    }
}

/// What a name in a sentence about an account is the name of.
#[must_use]
pub fn target(name: &str, resource_type: &ResourceType) -> Option<Target> {
    // "urn:x.a" stands for an attribute of an extension in sentences, too.
    match resource_type.name(name) {
        Name::Attribute(target) if target.attribute.kind != Type::Any => Some(target),
        _ => None,
    }
}

/// What a path in the words of SCIM names.
fn at_path(path: &str, resource_type: &ResourceType) -> Option<Place> {
    if path.contains('[') {
        return typed(path, resource_type).map(Place::Typed);
    }
    let Name::Attribute(target) = resource_type.name(path) else { return None };
    // Below a URN that no schema registers, what is meant is text.
    if target.attribute.kind == Type::Any {
        return (urn::is_urn(path) && !resource_type.strict).then_some(Place::Value(target));
    }
    if is_passed_over(&target.attribute) || is_passed_over(target.leaf()) {
        return Some(Place::PassedOver);
    }
    let attribute = &target.attribute;
    match &target.sub {
        Some(_) if attribute.multi_valued => None,
        Some(_) => Some(Place::Value(target)),
        None if attribute.multi_valued => Some(Place::Whole(target)),
        // A name has parts, and one text does not say which is which.
        None if attribute.kind == Type::Complex && attribute.sub_attribute("value").is_none() => {
            None
        }
        None if attribute.kind == Type::Complex => Some(Place::Whole(target)),
        None => Some(Place::Value(target)),
    }
}

/// What only the server sets, and what it never keeps, such as a password.
fn is_passed_over(attribute: &Attribute) -> bool {
    attribute.mutability == Mutability::ReadOnly
        || attribute.is_secret()
        || attribute.name == "schemas"
}

/// The value of one type of a multi-valued attribute: `emails[type eq "work"].value`.
fn typed(path: &str, resource_type: &ResourceType) -> Option<Typed> {
    let path = PatchPath::parse(path).ok()?;
    let target = resource_type.resolve(&path.attribute)?;
    let Some(Filter::Compare(of, CompareOp::Eq, Literal::String(kind))) = &path.filter else {
        return None;
    };
    let fits = of.as_str().eq_ignore_ascii_case("type")
        && target.attribute.multi_valued
        && target.attribute.sub_attribute("type").is_some()
        && !is_passed_over(&target.attribute);
    let sub = target.attribute.sub_attribute(path.sub.as_deref().unwrap_or("value"))?;
    let sub = (!["type", "primary"].contains(&sub.name.as_str())).then(|| sub.name.clone())?;
    fits.then(|| Typed { target, kind: kind.clone(), sub })
}

/// The advice for a name that nothing has: the one it is most like.
fn nearest(name: &str, resource_type: &ResourceType) -> String {
    // A part of an attribute, or an attribute of several parts.
    let attribute = name.split(['.', '[']).next().and_then(|it| target(it, resource_type));
    let about = attribute.and_then(|attribute| {
        let mut all = Column::all(resource_type).into_iter();
        all.find(|it| it.is_about(&attribute)).map(|it| it.header)
    });
    if let Some(header) = about {
        return format!("the nearest one is {header}");
    }
    let given = letters(name);
    let mut known: Vec<(String, String)> =
        Column::all(resource_type).into_iter().map(|it| (letters(&it.header), it.header)).collect();
    known.extend(ALIASES.iter().map(|(alias, path)| ((*alias).to_owned(), (*path).to_owned())));
    let distances = known.into_iter().map(|(letters, path)| (distance(&given, &letters), path));
    match distances.min_by_key(|(far, _)| *far) {
        Some((far, path)) if far <= 1 + given.chars().count() / 3 => {
            format!("the nearest one is {path}")
        }
        _ => "give it the name of a SCIM attribute, or take the column out".to_owned(),
    }
}

fn letters(name: &str) -> String {
    name.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters have to be added, taken away or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    const LETTERS_MAX: usize = 200;
    let other: Vec<char> = other.chars().take(LETTERS_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(LETTERS_MAX).enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;

    fn found(header: &str) -> Result<String, String> {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        let user = definitions.resource_type("User").unwrap();
        column(header, user).map(|it| it.key())
    }

    #[test]
    fn a_column_goes_by_its_path_or_by_another_name() {
        for names in [
            &["userName", "USERNAME", " user name ", "Login", "User-Name"][..],
            &["name.givenName", "First Name", "givenName", "first_name"],
            &["emails[type eq \"work\"].value", "email", "E-Mail", "emails[TYPE EQ \"work\"]"],
            &["department", "Department", &format!("{ENTERPRISE}:department")],
            &["manager.value", "managerId"],
            &["active", "enabled"],
        ] {
            let first = found(names[0]).unwrap();
            for name in names {
                assert_eq!(found(name).unwrap(), first, "{name}");
            }
        }
        for passed_over in ["id", "meta.created", "groups", "password", "manager.displayName"] {
            assert_eq!(found(passed_over).unwrap(), "", "{passed_over}");
        }
    }

    #[test]
    fn the_name_that_is_nearest_is_said() {
        for (given, nearest) in [
            ("usrename", "userName"),
            ("fist name", "name.givenName"),
            ("departement", "department"),
            ("emial", "emails[type eq \"work\"].value"),
            ("emails.value", "emails[type eq \"work\"].value"),
            ("name", "name.formatted"),
        ] {
            assert_eq!(found(given).unwrap_err(), format!("the nearest one is {nearest}"));
        }
        assert!(found("shoe size in inches").unwrap_err().contains("take the column out"));
        assert!(found("name").is_err() && found("").is_err());
    }

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
}
