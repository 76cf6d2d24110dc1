//! Copies of the database file: made, judged, read, and put in its place.

pub mod backup;
pub mod check;
pub mod restore;
pub mod view;
