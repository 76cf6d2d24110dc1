//! Asks a server on this host, as a client would, whether it can do its work.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// How long the server may take for each step.
const STEP_TIME_MAX: Duration = Duration::from_secs(3);
/// The first line of an answer is no longer than this, in bytes.
const LINE_BYTES_MAX: u64 = 256;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The status of the answer.
    pub status: u16,
    /// The certificate that was shown, in DER form.
    pub certificate: Option<Vec<u8>>,
}

/// Asks for `/readyz` at this address. Nothing secret is sent, so that with `tls` any certificate
/// will do: what it is worth is for the caller to judge.
///
/// # Errors
/// When no answer came.
pub fn ready(address: SocketAddr, tls: bool) -> io::Result<Probed> {
    let mut tcp = TcpStream::connect_timeout(&address, STEP_TIME_MAX)?;
    tcp.set_read_timeout(Some(STEP_TIME_MAX))?;
    tcp.set_write_timeout(Some(STEP_TIME_MAX))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    if !tls {
        tcp.write_all(request.as_bytes())?;
        return Ok(Probed { status: status(&mut tcp)?, certificate: None });
    }
    let name = ServerName::IpAddress(address.ip().into());
    let client = ClientConnection::new(Arc::new(config()?), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(client, tcp);
    stream.write_all(request.as_bytes())?;
    let status = status(&mut stream)?;
    let certificate = stream.conn.peer_certificates().and_then(<[_]>::first);
    Ok(Probed { status, certificate: certificate.map(|it| it.to_vec()) })
}

fn status(stream: &mut impl Read) -> io::Result<u16> {
    let mut line = Vec::new();
    for byte in BufReader::new(stream.take(LINE_BYTES_MAX)).bytes() {
        let byte = byte?;
        if byte == b'\n' {
            break;
        }
        line.push(byte);
    }
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|it| it.get(..3)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP"))
}

fn config() -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let any = Arc::new(AnyCertificate(provider));
    Ok(builder.dangerous().with_custom_certificate_verifier(any).with_no_client_auth())
}

/// Takes any certificate of whoever has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
