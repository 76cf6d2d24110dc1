//! HTTP messages as plain values: what `server/` reads, `app` answers and tests build by hand.

pub mod fields;
pub mod forwarded;
pub mod request;
pub mod request_id;
pub mod response;
