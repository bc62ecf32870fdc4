//! Sealing of secrets at rest: XChaCha20-Poly1305 with a random nonce. What a secret belongs to is bound into its seal, so a
//! sealed text that is moved to another row does not open.

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use crate::MasterKey;

const NONCE_BYTES: usize = 24;

/// Seals a text for an owner, for example `access_key/AK123`.
pub fn seal(key: &MasterKey, owner: &str, clear: &str) -> Result<String, BadSeal> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| BadSeal::NoRandom)?;
    let payload = Payload { msg: clear.as_bytes(), aad: owner.as_bytes() };
    let mut sealed = nonce.to_vec();
    sealed.extend(cipher(key).encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| BadSeal::Broken)?);
    Ok(STANDARD.encode(sealed))
}

/// Opens a sealed text of the same owner.
pub fn open(key: &MasterKey, owner: &str, sealed: &str) -> Result<String, BadSeal> {
    let bytes = STANDARD.decode(sealed).map_err(|_| BadSeal::Broken)?;
    let (nonce, msg) = bytes.split_at_checked(NONCE_BYTES).ok_or(BadSeal::Broken)?;
    let clear = cipher(key)
        .decrypt(XNonce::from_slice(nonce), Payload { msg, aad: owner.as_bytes() })
        .map_err(|_| BadSeal::Broken)?;
    String::from_utf8(clear).map_err(|_| BadSeal::Broken)
}

/// Why sealing or opening failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSeal {
    /// The text was changed, belongs to another owner, or was sealed under another key.
    #[error("the sealed text was changed, moved, or sealed under another key")]
    Broken,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.derive("seal").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_for_its_owner_and_key_alone() {
        let (key, other) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
        let sealed = seal(&key, "access_key/a", "secret").unwrap();
        assert_eq!(open(&key, "access_key/a", &sealed).unwrap(), "secret");
        for (why, got) in [
            ("another owner", open(&key, "access_key/b", &sealed)),
            ("another key", open(&other, "access_key/a", &sealed)),
            ("a changed text", open(&key, "access_key/a", &sealed.replacen(&sealed[40..41], "_", 1))),
            ("a cut text", open(&key, "access_key/a", "AAAA")),
        ] {
            assert_eq!(got, Err(BadSeal::Broken), "{why}");
        }
    }
}
