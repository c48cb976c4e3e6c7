//! Certificates for etcd and its clients, signed by an authority made for them.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Writes an authority, and the certificates that it signed: `server` and `client`. `stranger` is
/// signed by another authority. Nodes listen at the addresses `servers`.
pub(super) fn write_certificates(directory: &Path, servers: Vec<String>) {
    let authority = authority();
    for (name, issuer) in [
        ("server", &authority),
        ("client", &authority),
        ("stranger", &self::authority()),
    ] {
        let mut params =
            CertificateParams::new(servers.clone()).unwrap_or_else(|error| panic!("{error}"));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap_or_else(|error| panic!("{error}"));
        let signed = params.signed_by(&key, issuer.1.as_ref());
        let signed = signed.unwrap_or_else(|error| panic!("{error}"));
        write(directory, &format!("{name}.pem"), &signed.pem());
        write(directory, &format!("{name}.key"), &key.serialize_pem());
    }
    write(directory, "ca.pem", &authority.0);
}

type Authority = (String, Box<Issuer<'static, KeyPair>>);

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap_or_else(|error| panic!("{error}"));
    let own = params
        .self_signed(&key)
        .unwrap_or_else(|error| panic!("{error}"));
    (own.pem(), Box::new(Issuer::new(params, key)))
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
