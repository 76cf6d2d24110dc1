//! What the application asks: `/access/v1`.

pub mod changes;
pub mod check;
pub mod login;
