//! Looks at the certificate that a server on this host shows its clients.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

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
    let mut tcp = TcpStream::connect_timeout(&address, STEP_TIME_MAX)?;
    tcp.set_read_timeout(Some(STEP_TIME_MAX))?;
    tcp.set_write_timeout(Some(STEP_TIME_MAX))?;
    let name = ServerName::IpAddress(address.ip().into());
    let mut client = ClientConnection::new(Arc::new(config()?), name).map_err(io::Error::other)?;
    client.complete_io(&mut tcp)?;
    client.send_close_notify();
    client.write_tls(&mut tcp)?;
    let certificate = client.peer_certificates().and_then(<[_]>::first);
    Ok(certificate.map(|it| it.to_vec()))
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
