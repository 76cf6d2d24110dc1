//! Who asks decides the room: the identity provider, the application, or whoever runs the server.

pub mod access;
pub mod operations;
pub mod scim;
