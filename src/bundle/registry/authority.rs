//! A certificate authority that lives as long as one install and is believed
//! by nobody else. With it the proxy stands in for the registries that have
//! credentials, and no other: their requests must be seen to be given one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::domain::host::without_brackets;
use crate::error::{Context, Result};

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// By host.
    known: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    pub(super) fn new() -> Result<Self> {
        let what = "make the install's certificate authority";
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "HiveSync, for one install");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().or_internal(what)?;
        let certificate = params.self_signed(&key).or_internal(what)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
            known: Mutex::default(),
        })
    }

    /// The certificate that an install is told to believe.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to speak TLS in the name of `host`.
    pub(super) fn stand_in(&self, host: &str) -> Result<Arc<ServerConfig>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.config(host)?);
        known.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn config(&self, host: &str) -> Result<ServerConfig> {
        let what = "make a certificate for an install";
        let name = without_brackets(host);
        let mut params = CertificateParams::new([name.to_owned()]).or_internal(what)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().or_internal(what)?;
        let certificate = params.signed_by(&key, &self.issuer).or_internal(what)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .or_internal(what)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .or_internal(what)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
