//! TLS to an engine: rustls with aws-lc-rs, the one provider of this program.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::docker_config::{self, BadFile};

mod anyone;

/// How an engine is spoken to over TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    directory: Option<PathBuf>,
    is_verified: bool,
}

impl Tls {
    /// With what is in `directory`: `ca.pem`, by which the engine is verified,
    /// and `cert.pem` with `key.pem`, which are shown to it. Without `ca.pem`
    /// the engine is verified by the machine's own authorities. If it is not
    /// to be verified, that has to be asked for.
    ///
    /// # Errors
    ///
    /// The file that cannot be used, and why.
    pub(crate) fn new(directory: Option<&Path>, is_verified: bool) -> Result<Self, BadFile> {
        if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
            return Err(bad(directory, "it is not a directory"));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(directory.unwrap_or(Path::new("")), error))?;
        let builder = if is_verified {
            let roots = Arc::new(authorities(directory)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
            let path = || directory.map_or_else(PathBuf::new, |directory| directory.join("ca.pem"));
            let verifier = verifier.build().map_err(|error| bad(&path(), error))?;
            builder.with_webpki_verifier(verifier)
        } else {
            let anyone = anyone::Anyone::new(&provider);
            builder.dangerous().with_custom_certificate_verifier(anyone)
        };
        let identity = directory.map(identity).transpose()?.flatten();
        let config = match identity {
            Some((certificates, key, path)) => builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| bad(&path, format!("it does not go with key.pem: {error}")))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self {
            config: Arc::new(config),
            directory: directory.map(Path::to_owned),
            is_verified,
        })
    }

    /// Where the certificates are, for people.
    pub(crate) fn shown(&self) -> String {
        let place = self.directory.as_ref().map(|path| path.display());
        let place = place.map_or("those of the machine".into(), |path| path.to_string());
        if self.is_verified {
            place
        } else {
            format!("{place}; the engine's own is not verified")
        }
    }

    /// Speaks TLS over `stream` to the engine at `host`.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("is_verified", &self.is_verified)
            .finish_non_exhaustive()
    }
}

/// By whom an engine's certificate has to be signed.
fn authorities(directory: Option<&Path>) -> Result<RootCertStore, BadFile> {
    let mut roots = RootCertStore::empty();
    let path = directory.map(|directory| directory.join("ca.pem"));
    let Some(path) = path.filter(|path| path.exists()) else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return match (roots.is_empty(), directory) {
            (false, _) => Ok(roots),
            (true, Some(directory)) => Err(bad(
                &directory.join("ca.pem"),
                "it does not exist, and the machine has no authorities of its own",
            )),
            (true, None) => Err(bad(
                Path::new("ca.pem"),
                "no directory with it is named, and the machine has no authorities of its own",
            )),
        };
    };
    for certificate in certificates(&path)? {
        roots.add(certificate).map_err(|error| bad(&path, error))?;
    }
    Ok(roots)
}

type Identity = (
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
    PathBuf,
);

/// Our own certificate and its key; both or none.
fn identity(directory: &Path) -> Result<Option<Identity>, BadFile> {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    match (certificate.exists(), key.exists()) {
        (false, false) => return Ok(None),
        (true, false) => return Err(bad(&key, "it does not exist, though cert.pem does")),
        (false, true) => return Err(bad(&certificate, "it does not exist, though key.pem does")),
        (true, true) => {}
    }
    let certificates = certificates(&certificate)?;
    let bytes = docker_config::read(&key).map_err(|error| bad(&key, error))?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound
            if bytes.windows(9).any(|window| window == b"ENCRYPTED") =>
        {
            bad(
                &key,
                "it is encrypted; a key without a passphrase is needed",
            )
        }
        rustls::pki_types::pem::Error::NoItemsFound => bad(&key, "there is no private key in it"),
        // It may quote the file, which is a secret.
        _ => bad(&key, "it is not a PEM file"),
    })?;
    Ok(Some((certificates, secret, certificate)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let bytes = docker_config::read(path).map_err(|error| bad(path, error))?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| bad(path, "it is not a PEM file"))?;
    if certificates.is_empty() {
        return Err(bad(path, "there is no certificate in it"));
    }
    Ok(certificates)
}

fn bad(path: &Path, why: impl Display) -> BadFile {
    BadFile {
        path: path.to_owned(),
        why: format!("{why}"),
    }
}
