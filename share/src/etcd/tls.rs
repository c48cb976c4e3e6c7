//! TLS to etcd: both sides prove who they are with certificates, and the servers' must come from
//! one configured authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::EtcdError;

/// The files of a host's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority that signs etcd's certificates, in PEM.
    pub ca: PathBuf,
    /// This host's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    /// Reads the files.
    pub(super) fn load(&self) -> Result<Arc<ClientConfig>, EtcdError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            let added = roots.add(certificate);
            added.map_err(|error| unusable(&self.ca, &error))?;
        }
        let own = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key);
        let key = key.map_err(|error| unusable(&self.key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.3 needs")
            .with_root_certificates(roots)
            .with_client_auth_cert(own, key)
            .map_err(|error| unusable(&self.certificate, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EtcdError> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| unusable(path, &error))?;
    if all.is_empty() {
        return Err(unusable(path, &"there is no certificate in it"));
    }
    Ok(all)
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> EtcdError {
    EtcdError::Certificate {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
