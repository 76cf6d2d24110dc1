//! The integration tests, one module per feature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod socket;
