//! PATCH (RFC 7644 section 3.5.2), in the forms identity providers send it.

pub mod apply;
pub mod message;
pub mod multi_valued;
pub mod path;
pub mod singular;
pub mod target;
