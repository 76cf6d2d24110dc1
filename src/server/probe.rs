//! Looks at the certificates that a server shows its clients.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// How long the server may take for each step.
const STEP_TIME_MAX: Duration = Duration::from_secs(3);

/// The certificate that the server at this address shows, in DER form. Nothing is asked, so that
/// any will do: what it is worth is for the caller to judge.
///
/// # Errors
/// When no connection came about.
pub fn shown_certificate(address: SocketAddr) -> io::Result<Option<Vec<u8>>> {
    let name = ServerName::IpAddress(address.ip().into());
    Ok(shown_chain(address, name, STEP_TIME_MAX)?.into_iter().next())
}

/// The certificates that the server at this address shows who asks for this name, its own first, in
/// DER form: what they are worth is for the caller to judge. `patience`: how long it may take, once
/// the connection is there.
///
/// # Errors
/// When no connection came about.
pub fn shown_chain(
    address: SocketAddr,
    name: ServerName<'static>,
    patience: Duration,
) -> io::Result<Vec<Vec<u8>>> {
    let mut tcp = TcpStream::connect_timeout(&address, patience)?;
    let end = Instant::now() + patience;
    let mut client = ClientConnection::new(Arc::new(config()?), name).map_err(io::Error::other)?;
    while client.is_handshaking() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        tcp.set_read_timeout(Some(left))?;
        tcp.set_write_timeout(Some(left))?;
        if client.wants_write() {
            client.write_tls(&mut tcp)?;
        } else if client.read_tls(&mut tcp)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        } else if let Err(error) = client.process_new_packets() {
            // The alert is a courtesy.
            let _ = client.write_tls(&mut tcp);
            return Err(io::Error::other(error));
        }
    }
    client.send_close_notify();
    // What was to be seen is seen.
    let _ = client.write_tls(&mut tcp);
    let shown = client.peer_certificates().unwrap_or_default();
    Ok(shown.iter().map(|it| it.to_vec()).collect())
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
