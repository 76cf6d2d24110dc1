//! What the application asks: `/access/v1`.

pub mod login;
