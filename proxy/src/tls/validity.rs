//! From when until when a certificate is valid. rustls checks that of a peer, not of its own.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use simple_asn1::ASN1Block;

/// The period of a certificate (RFC 5280, section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Validity {
    /// Returns `None` if the certificate does not have the form of RFC 5280.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let blocks = simple_asn1::from_der(certificate).ok()?;
        let certificate = sequence(blocks.first()?)?;
        let to_be_signed = sequence(certificate.first()?)?;
        // The only sequence of two times in it. The version before it is optional.
        to_be_signed
            .iter()
            .find_map(|field| match sequence(field)? {
                [not_before, not_after] => Some(Self {
                    not_before: time(not_before)?,
                    not_after: time(not_after)?,
                }),
                _ => None,
            })
    }
}

fn sequence(block: &ASN1Block) -> Option<&[ASN1Block]> {
    match block {
        ASN1Block::Sequence(_, blocks) => Some(blocks),
        _ => None,
    }
}

fn time(block: &ASN1Block) -> Option<SystemTime> {
    match block {
        ASN1Block::UTCTime(_, time) | ASN1Block::GeneralizedTime(_, time) => {
            Some(time.assume_utc().into())
        }
        _ => None,
    }
}
