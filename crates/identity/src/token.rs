//! Tokens: signed claims that need no storage.
//!
//! A token is `fulcrum1.<claims>.<mac>`: the claims as JSON in base64url, and HMAC-SHA256 over `fulcrum1.<claims>`. Whoever holds
//! the key can check it, so several control planes that share the key accept each other's tokens, also after a restart.
//! A token says who and for which scope; it does not say what they may do: roles are looked up when it is used, so a
//! disabled user or a taken role works at once.
//!
//! It cannot be revoked before it expires, except by disabling its user or changing the key.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use model::{DomainId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Milliseconds that a token lives: 24 hours (huawei/auth.md section 5).
pub const LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// Longest text that is looked at as a token; ours have about 350 characters.
pub const LENGTH_MAX: usize = 2048;

const PREFIX: &str = "fulcrum1.";

/// The key that tokens are signed with.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// A key from 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(******)")
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who logged in.
    #[serde(rename = "u")]
    pub user: UserId,
    /// Where the token may be used.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// How the user proved who they are, for example `password`.
    #[serde(rename = "m")]
    pub methods: Vec<String>,
    /// When it was issued.
    #[serde(rename = "i")]
    pub issued: Timestamp,
    /// The first moment at which it is worth nothing.
    #[serde(rename = "e")]
    pub expires: Timestamp,
    /// A random text that makes two tokens of the same moment different; clients see it as audit id.
    #[serde(rename = "n")]
    pub nonce: String,
}

/// Where a token may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// In one project.
    #[serde(rename = "p")]
    Project(ProjectId),
    /// On a domain: to look up its projects, not to work in them.
    #[serde(rename = "d")]
    Domain(DomainId),
    /// Nowhere yet: only to ask for a scope.
    #[serde(rename = "n")]
    None,
}

/// Why a token is refused. The log may say it; the caller sees one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not of our form.
    #[error("not a token of this server")]
    Malformed,
    /// Signed with another key, or changed.
    #[error("the token's signature does not fit; it was changed or made by another installation")]
    Forged,
    /// Too old.
    #[error("the token has expired; log in again")]
    Expired,
}

impl BadToken {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::Forged => "token_forged",
            Self::Expired => "token_expired",
        }
    }
}

/// The token for some claims.
pub fn issue(key: &TokenKey, claims: &Claims) -> String {
    let claims = serde_json::to_vec(claims).expect("claims are plain data");
    let signed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(claims));
    let mac = key.mac(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// The claims of a token that is ours, unchanged and alive. The signature is compared in constant time, and nothing inside is
/// looked at before it fits.
pub fn check(key: &TokenKey, now: Timestamp, token: &str) -> Result<Claims, BadToken> {
    if token.len() > LENGTH_MAX || !token.starts_with(PREFIX) {
        return Err(BadToken::Malformed);
    }
    let (signed, mac) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
    let claims = signed.strip_prefix(PREFIX).ok_or(BadToken::Malformed)?;
    let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| BadToken::Malformed)?;
    key.mac(signed).verify_slice(&mac).map_err(|_| BadToken::Forged)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| BadToken::Malformed)?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| BadToken::Malformed)?;
    if now < claims.expires { Ok(claims) } else { Err(BadToken::Expired) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TokenKey = TokenKey::new([3; 32]);
    const ISSUED: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn claims(scope: Scope) -> Claims {
        Claims {
            user: UserId::new(uuid::Uuid::from_u128(1)),
            scope,
            methods: vec!["password".to_owned()],
            issued: ISSUED,
            expires: Timestamp::from_millis(ISSUED.millis() + LIFE_MS),
            nonce: "AAAA".to_owned(),
        }
    }
    fn project() -> Claims {
        claims(Scope::Project(ProjectId::new(uuid::Uuid::from_u128(2))))
    }

    #[test]
    fn claims_come_back_as_they_went_in() {
        let domain = Scope::Domain(DomainId::new(uuid::Uuid::from_u128(2)));
        for claims in [project(), claims(domain), claims(Scope::None)] {
            assert_eq!(check(&KEY, ISSUED, &issue(&KEY, &claims)), Ok(claims));
        }
    }

    #[test]
    fn a_token_ends_at_its_expiry_to_the_millisecond() {
        let token = issue(&KEY, &project());
        let end = ISSUED.millis() + LIFE_MS;
        assert!(check(&KEY, Timestamp::from_millis(end - 1), &token).is_ok());
        assert_eq!(check(&KEY, Timestamp::from_millis(end), &token), Err(BadToken::Expired));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let token = issue(&KEY, &project());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(check(&KEY, ISSUED, &changed).is_err(), "character {at}");
        }
    }

    #[test]
    fn foreign_texts_are_refused() {
        let token = issue(&KEY, &project());
        let long = format!("{PREFIX}{}", "A".repeat(LENGTH_MAX));
        for (why, text, expect) in [
            ("empty", "", BadToken::Malformed),
            ("prefix alone", PREFIX, BadToken::Malformed),
            ("no signature", token.rsplit_once('.').unwrap().0, BadToken::Malformed),
            ("an empty signature", &format!("{PREFIX}AAAA."), BadToken::Forged),
            ("too long", &long, BadToken::Malformed),
            ("with something behind", &format!("{token}="), BadToken::Malformed),
        ] {
            assert_eq!(check(&KEY, ISSUED, text), Err(expect), "{why}");
        }
        assert_eq!(check(&TokenKey::new([4; 32]), ISSUED, &token), Err(BadToken::Forged), "another key");
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{KEY:?}"), "TokenKey(******)");
    }
}
