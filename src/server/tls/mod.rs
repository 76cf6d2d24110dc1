//! TLS: the stream over a socket, and the certificate that it is served with.

pub mod certificates;
mod pem;
pub mod stream;
