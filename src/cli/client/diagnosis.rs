//! Why there is no connection: a try of our own, step by step, with a cause that can be named.
//!
//! The C core reports a refused connection, an unknown host and a failed handshake alike. So when
//! it has failed, the same steps are taken here once: find the host, connect, shake hands, and see
//! whether the server goes on talking. Under TLS 1.3 a client learns only there that the server
//! refused its certificate.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, SslConnector, SslMethod};
use openssl::x509::X509VerifyResult;
use openssl::x509::store::X509StoreBuilder;

use super::connection::Connection;
use super::error::ClientError;
use super::identity::Identity;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a client of HTTP/2 sends first, with an empty settings frame.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Names what keeps `connection` from its server; `None` if all goes well now.
pub(super) fn diagnose(connection: &Connection) -> Option<ClientError> {
    let server = connection.address.to_string();
    let stream = match reach(connection) {
        Ok(stream) => stream,
        Err(error) => return Some(error),
    };
    match &connection.identity {
        None => greet(stream).is_err().then_some(ClientError::NoAnswer { server, plaintext: true }),
        Some(identity) => shake_hands(stream, identity, &connection.name, server).err(),
    }
}

fn reach(connection: &Connection) -> Result<TcpStream, ClientError> {
    let server = connection.address.to_string();
    let unknown = |source| ClientError::UnknownHost { server: server.clone(), source };
    let address = &connection.address;
    let addresses: Vec<SocketAddr> =
        (address.host.as_str(), address.port).to_socket_addrs().map_err(unknown)?.collect();
    let mut why = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE).and_then(patient) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = error,
        }
    }
    Err(ClientError::Unreachable { server, source: why })
}

fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn shake_hands(
    stream: TcpStream,
    identity: &Identity,
    name: &str,
    server: String,
) -> Result<(), ClientError> {
    let failed = |why: &str, source| ClientError::Handshake {
        server: server.clone(),
        why: why.to_owned(),
        source,
    };
    let connector = connector(identity)
        .map_err(|error| failed("this client cannot use its files", Some(error.into())))?;
    match connector.connect(name, stream) {
        Ok(stream) => greet(stream).map_err(|error| {
            let inner = error.into_inner().and_then(|inner| inner.downcast().ok());
            failed("the server did not accept the client's certificate", inner.map(|inner| *inner))
        }),
        Err(HandshakeError::SetupFailure(error)) => {
            Err(failed("this client cannot use its files", Some(error.into())))
        }
        Err(HandshakeError::Failure(broken) | HandshakeError::WouldBlock(broken)) => {
            let verified = broken.ssl().verify_result();
            if verified == X509VerifyResult::OK {
                return Err(failed("is it a TLS server?", Some(broken.into_error())));
            }
            let why = verified.error_string().to_owned();
            Err(ClientError::NotTrusted { server, why })
        }
    }
}

fn connector(identity: &Identity) -> Result<SslConnector, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    let mut roots = X509StoreBuilder::new()?;
    for root in &identity.roots {
        roots.add_cert(root.clone())?;
    }
    builder.set_cert_store(roots.build());
    if let Some((leaf, rest)) = identity.chain.split_first() {
        builder.set_certificate(leaf)?;
        for certificate in rest {
            builder.add_extra_chain_cert(certificate.clone())?;
        }
    }
    builder.set_private_key(&identity.key)?;
    builder.set_alpn_protos(b"\x02h2")?;
    Ok(builder.build())
}

/// Says hello as HTTP/2 does and waits for the first byte of the answer.
fn greet(mut stream: impl io::Read + io::Write) -> io::Result<()> {
    stream.write_all(GREETING)?;
    stream.flush()?;
    stream.read_exact(&mut [0])
}
