//! TLS: the stream over a socket, and the certificate that it is served with.

pub mod certificates;
pub mod examined;
pub mod pem;
pub mod stream;
