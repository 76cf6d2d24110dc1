//! What whoever runs the server asks: is it alive, what does it count, what can be asked?

pub mod health;
pub mod metrics;
pub mod openapi;
