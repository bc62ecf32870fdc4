//! Private keys: one, not encrypted, and that of the certificate.

use aws_lc_rs::{
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    },
};

use super::{
    KEY_LENGTH_MAX, PemFault,
    blocks::{self, Block},
    check_length,
};

/// Whether the text holds one good key that belongs to a certificate with this public key; none: the key is of an algorithm that we
/// do not know, and only kept.
pub(super) fn check(text: &str, point: Option<&[u8]>) -> Result<(), PemFault> {
    check_length(text, KEY_LENGTH_MAX)?;
    let mut blocks = blocks::split(text)?;
    // Some tools write the name of the curve in front of the key.
    blocks.retain(|block| block.label != "EC PARAMETERS");
    if let Some(foreign) = blocks.iter().find(|block| !block.label.ends_with("PRIVATE KEY")) {
        return Err(PemFault::ForeignSection { label: foreign.label.to_owned() });
    }
    let [block] = blocks.as_slice() else {
        return Err(match blocks.len() {
            0 => PemFault::NoKey,
            count => PemFault::SeveralKeys { count },
        });
    };
    if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
        return Err(PemFault::EncryptedKey);
    }
    let form = form(block).ok_or_else(|| PemFault::ForeignSection { label: block.label.to_owned() })?;
    let Some(point) = point else { return Ok(()) };
    let public = public_key(form, &block.der).ok_or(PemFault::UnusableKey)?;
    if public == point { Ok(()) } else { Err(PemFault::KeyMismatch) }
}

/// How a key is written.
#[derive(Clone, Copy)]
enum Form {
    Pkcs1,
    Sec1,
    Pkcs8,
}

fn form(block: &Block<'_>) -> Option<Form> {
    match block.label {
        "RSA PRIVATE KEY" => Some(Form::Pkcs1),
        "EC PRIVATE KEY" => Some(Form::Sec1),
        "PRIVATE KEY" => Some(Form::Pkcs8),
        _ => None,
    }
}

/// The public half, as a certificate writes it; none for a key that cannot be read or served.
fn public_key(form: Form, der: &[u8]) -> Option<Vec<u8>> {
    let curves =
        [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    let rsa = |pair: rsa::KeyPair| pair.public_key().as_ref().to_vec();
    let ecdsa = |pair: EcdsaKeyPair| pair.public_key().as_ref().to_vec();
    match form {
        Form::Pkcs1 => rsa::KeyPair::from_der(der).ok().map(rsa),
        Form::Sec1 => curves
            .into_iter()
            .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())
            .map(ecdsa),
        Form::Pkcs8 => {
            let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok();
            let of_curve = || curves.into_iter().find_map(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok());
            rsa::KeyPair::from_pkcs8(der)
                .ok()
                .map(rsa)
                .or_else(|| of_curve().map(ecdsa))
                .or_else(|| ed25519().map(|pair| pair.public_key().as_ref().to_vec()))
        }
    }
}
