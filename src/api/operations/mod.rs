//! What whoever runs the server asks: is it alive, and what does it count?

pub mod health;
pub mod metrics;
