//! Whoever looks after an organisation in a browser: the page at `/admin/`, and the JSON that it
//! reads below `/admin/api/`. A token sees and changes its own organisation only.

pub mod activity;
pub mod backup;
pub mod export;
pub mod files;
pub mod groups;
pub mod host;
pub mod overview;
pub mod parameters;
pub mod people;
pub mod setup;
pub mod tokens;
pub mod webhooks;
