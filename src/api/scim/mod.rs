//! The identity provider: `/scim/v2` (RFC 7644 section 3.2).

pub mod bookmarks;
pub mod bulk;
pub mod cursor;
pub mod discovery;
pub mod long_page;
pub mod members;
pub mod page;
pub mod page_text;
pub mod query;
pub mod render;
pub mod resource;
