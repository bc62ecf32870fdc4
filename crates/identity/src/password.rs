//! Password hashes: argon2id in PHC form (`$argon2id$v=19$m=…`).
//!
//! Hashing takes tens of milliseconds and 19 MiB on purpose: callers run it off their event loop and bound how many run at once.
//! Parameters are the crate's defaults (19 MiB, 2 passes, 1 lane), which are OWASP's recommendation; they stand in each hash, so
//! they can be raised later without invalidating old hashes.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};

/// Length of a salt in bytes (RFC 9106 section 3.1 recommends 16).
pub const SALT_BYTES: usize = 16;

/// The hash of a password under a salt that the caller drew at random.
pub fn hash(password: &str, salt: &[u8; SALT_BYTES]) -> String {
    let salt = SaltString::encode_b64(salt).expect("16 bytes are a legal salt");
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .expect("the default parameters are legal and a password may have any length below 4 GiB")
        .to_string()
}

/// Whether a password fits a hash. A hash that cannot be read fits nothing.
pub fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .and_then(|hash| Argon2::default().verify_password(password.as_bytes(), &hash))
        .is_ok()
}

/// The hash to verify against when there is no such user, so that the answer takes as long as for a real one. Nothing fits it.
pub const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_only() {
        let hashed = hash("correct horse ü", &[7; SALT_BYTES]);
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(verify("correct horse ü", &hashed));
        assert!(!verify("correct horse", &hashed));
        assert!(!verify("", &hashed));
    }

    #[test]
    fn the_salt_changes_the_hash() {
        assert_ne!(hash("p", &[1; SALT_BYTES]), hash("p", &[2; SALT_BYTES]));
    }

    #[test]
    fn nothing_fits_a_broken_hash_or_nobody() {
        for hash in ["", "plain", "$argon2id$v=19$m=1", NOBODY] {
            assert!(!verify("", hash), "{hash}");
        }
        assert!(PasswordHash::new(NOBODY).is_ok(), "it must cost what a real hash costs");
    }
}
