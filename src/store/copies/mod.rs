//! Copies of the database file: making, checking, reading and restoring them.

pub mod backup;
pub mod check;
pub mod columns;
pub mod glance;
pub mod last_backup;
pub mod restore;
pub mod rotated;
pub mod snapshot;
pub mod view;
