//! A certificate authority of a test's own, and the certificates that it issues.

use std::ops::Range;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both in PEM.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// Makes an authority that nobody knows.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "streamgate test authority";
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// Returns the authority's own certificate in PEM, for those who are to trust it.
    pub fn certificate(&self) -> String {
        self.0.as_ref().pem()
    }

    /// Issues a certificate for servers and clients with these names, which may be addresses.
    pub fn issue(&self, names: &[&str]) -> anyhow::Result<TlsIdentity> {
        self.issue_for_years(names, 2001..2100)
    }

    /// Issues a certificate that is valid from the beginning of a year to that of another.
    pub fn issue_for_years(
        &self,
        names: &[&str],
        years: Range<i32>,
    ) -> anyhow::Result<TlsIdentity> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok(TlsIdentity {
            certificate: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}
