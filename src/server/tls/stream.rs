//! TLS over a socket: the handshake, and the stream.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::acme::challenges::ALPN;
use crate::server::socket::Socket;
use crate::server::stream::Stream;

/// What rustls may hold of an answer that is being written, in bytes: two full records. Without a
/// limit, a slow reader would have the whole of it held twice.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// The server's side of a TLS connection.
#[derive(Debug)]
pub struct TlsStream {
    rustls: StreamOwned<ServerConnection, Socket>,
}

impl TlsStream {
    /// Completes the handshake with a client within the deadline of the socket.
    ///
    /// # Errors
    ///
    /// When the client does not finish in time or wants what this server does not offer; it gets an
    /// alert where TLS has one to send.
    pub fn accept(config: Arc<ServerConfig>, socket: Socket) -> io::Result<TlsStream> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        let mut rustls = StreamOwned::new(connection, socket);
        while rustls.conn.is_handshaking() {
            // It returns early only when the socket takes no more bytes.
            if rustls.conn.complete_io(&mut rustls.sock)? == (0, 0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(TlsStream { rustls })
    }

    /// Whether an authority has looked for the answer to its challenge, which was the handshake.
    pub fn is_challenge(&self) -> bool {
        self.rustls.conn.alpn_protocol() == Some(ALPN)
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rustls.read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rustls.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rustls.flush()
    }
}

impl Stream for TlsStream {
    /// Sends `close_notify` first: without it, the peer could not tell the end of the stream from a
    /// connection that somebody cut (RFC 8446 section 6.1).
    fn finish(&mut self) {
        self.rustls.conn.send_close_notify();
        // The peer may have gone; there is nobody left to tell.
        let _ = self.rustls.flush();
        self.rustls.sock.finish();
    }
}
