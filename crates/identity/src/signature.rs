//! Requests signed with an access key: `SDK-HMAC-SHA256` (huawei/auth.md section 2).
//!
//! To check a request: [`Authorization::parse`] its header, look up the secret of [`Authorization::access_key`], then [`verify`].
//! To make one: [`sign`].
//!
//! What is guaranteed when [`verify`] says yes: method, path, query, the listed headers (always with `host` and `x-sdk-date`) and
//! the body are as the holder of the secret sent them, at most 15 minutes ago. The one exception is `UNSIGNED-PAYLOAD`, which the
//! holder can only choose for bodies that are neither JSON nor BSON (see [`BadSignature::UnsignedPayload`]).
//!
//! It does not notice a request that is sent twice within the window; nothing in the scheme can.

mod canonical;

use std::fmt;

use hmac::{Hmac, Mac};
use model::{AccessKeyId, Secret, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// The name of the scheme, as it begins the Authorization header.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// How far the client's clock may be away from ours, either way.
pub const CLOCK_WINDOW_MS: i64 = 15 * 60 * 1000;

/// What a client sends in `X-Sdk-Content-Sha256` when it did not hash the body.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

const HOST: &str = "host";
const DATE: &str = "x-sdk-date";
const CONTENT_HASH: &str = "x-sdk-content-sha256";
const DATE_FORMAT: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// A request as it came over the wire, borrowed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path, still percent-encoded, without query.
    pub path: &'a str,
    /// The query, still percent-encoded, without `?`; empty if there is none.
    pub query: &'a str,
    /// All headers, each occurrence on its own; names in any case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The whole body.
    pub body: &'a [u8],
}

/// What the Authorization header of a signed request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Whose secret signed it.
    pub access_key: AccessKeyId,
    /// The headers that are signed: lower case, ascending, with `host` and `x-sdk-date` among them.
    signed_headers: Vec<String>,
    signature: [u8; 32],
}

impl Authorization {
    /// Reads the header `SDK-HMAC-SHA256 Access=…, SignedHeaders=…, Signature=…`. Every part must be there once and in full.
    pub fn parse(value: &str) -> Result<Self, BadSignature> {
        let (algorithm, parameters) = value.trim().split_once(' ').ok_or(BadSignature::Malformed)?;
        if algorithm != ALGORITHM {
            return Err(BadSignature::UnknownAlgorithm);
        }
        let (mut access, mut headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').ok_or(BadSignature::Malformed)?;
            let slot = match name {
                "Access" => &mut access,
                "SignedHeaders" => &mut headers,
                "Signature" => &mut signature,
                _ => return Err(BadSignature::Malformed),
            };
            if slot.replace(value).is_some() {
                return Err(BadSignature::Malformed);
            }
        }
        let (Some(access), Some(headers), Some(text)) = (access, headers, signature) else {
            return Err(BadSignature::Malformed);
        };
        let mut signature = [0; 32];
        hex::decode_to_slice(text, &mut signature).map_err(|_| BadSignature::Malformed)?;
        Ok(Self {
            access_key: access.parse().map_err(|_| BadSignature::Malformed)?,
            signed_headers: signed_headers(headers)?,
            signature,
        })
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_key, signed_headers, signature } = self;
        let (headers, signature) = (signed_headers.join(";"), hex::encode(signature));
        write!(f, "{ALGORITHM} Access={access_key}, SignedHeaders={headers}, Signature={signature}")
    }
}

/// Why a signature is refused. The log may say it; the caller sees one answer for all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The header is not of the documented form.
    #[error("the Authorization header is not '{ALGORITHM} Access=…, SignedHeaders=…, Signature=…'")]
    Malformed,
    /// Another scheme.
    #[error("the Authorization header names a scheme other than {ALGORITHM}")]
    UnknownAlgorithm,
    /// The list of signed headers has upper case, is not ascending, or lacks host or x-sdk-date.
    #[error(
        "SignedHeaders must be lower-case names in ascending order, each once, with host and x-sdk-date among them"
    )]
    SignedHeaders,
    /// A signed header was not sent, or was sent several times.
    #[error("the signed header '{0}' must be sent exactly once")]
    Header(String),
    /// The date cannot be read.
    #[error("X-Sdk-Date is not a time like 20240102T030405Z")]
    Date,
    /// The date is too far away.
    #[error("X-Sdk-Date is {away_s} s away from this server's clock; set the client's clock right")]
    Clock {
        /// Seconds between the client's clock and ours; positive if the client's is behind.
        away_s: i64,
    },
    /// The hash that the client gave is not that of the body.
    #[error("X-Sdk-Content-Sha256 is not the hash of the body")]
    ContentHash,
    /// The body is not signed although it must be.
    #[error(
        "a body may only be sent as {UNSIGNED_PAYLOAD} with a content type that is neither JSON nor BSON"
    )]
    UnsignedPayload,
    /// All is well-formed, but the signature is another.
    #[error(
        "the signature does not fit the request; check the secret key, and that nothing on the way changes it"
    )]
    Mismatch,
}

impl BadSignature {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "signature_malformed",
            Self::UnknownAlgorithm => "signature_unknown_algorithm",
            Self::SignedHeaders => "signature_signed_headers",
            Self::Header(_) => "signature_header",
            Self::Date => "signature_date",
            Self::Clock { .. } => "signature_clock",
            Self::ContentHash => "signature_content_hash",
            Self::UnsignedPayload => "signature_unsigned_payload",
            Self::Mismatch => "signature_mismatch",
        }
    }
}

/// Whether a request was signed with this secret, within 15 minutes of `now`. The signatures are compared in constant time.
pub fn verify(
    authorization: &Authorization,
    secret: &Secret,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<(), BadSignature> {
    let date = single_text(request, DATE)?;
    let away = now.millis().saturating_sub(parse_date(date)?.millis());
    if away.abs() > CLOCK_WINDOW_MS {
        return Err(BadSignature::Clock { away_s: away / 1000 });
    }
    let payload = payload_hash(request)?;
    let canonical = canonical::request(request, &authorization.signed_headers, &payload)?;
    let expected = signature(secret, date, &canonical);
    if bool::from(expected.ct_eq(&authorization.signature)) { Ok(()) } else { Err(BadSignature::Mismatch) }
}

/// The Authorization header for a request whose headers are complete: all of them are signed except those with `_` in their name.
/// `host` and `x-sdk-date` (see [`date`]) must be among them.
pub fn sign(
    access_key: &AccessKeyId,
    secret: &Secret,
    request: &Request<'_>,
) -> Result<String, BadSignature> {
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.retain(|name| !name.contains('_') && name != "authorization");
    names.sort_unstable();
    let signed_headers = signed_headers(&names.join(";"))?;
    let payload = payload_hash(request)?;
    let canonical = canonical::request(request, &signed_headers, &payload)?;
    let signature = signature(secret, single_text(request, DATE)?, &canonical);
    Ok(Authorization { access_key: access_key.clone(), signed_headers, signature }.to_string())
}

/// Whether a text is that secret. Compared by hash and in constant time, so neither length nor beginning can be measured.
pub fn is_secret(secret: &Secret, given: &str) -> bool {
    Sha256::digest(secret.reveal()).ct_eq(&Sha256::digest(given)).into()
}

/// A moment as `X-Sdk-Date` writes it.
pub fn date(at: Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(at.seconds())
        .ok()
        .and_then(|at| at.format(DATE_FORMAT).ok())
        .unwrap_or_else(|| "19700101T000000Z".to_owned())
}

fn parse_date(text: &str) -> Result<Timestamp, BadSignature> {
    let at = PrimitiveDateTime::parse(text, DATE_FORMAT).map_err(|_| BadSignature::Date)?;
    Ok(Timestamp::from_millis(at.assume_utc().unix_timestamp() * 1000))
}

fn signed_headers(list: &str) -> Result<Vec<String>, BadSignature> {
    let names: Vec<String> = list.split(';').map(str::to_owned).collect();
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
    };
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let ascending = names.windows(2).all(|pair| pair[0] < pair[1]);
    if names.iter().all(plain) && ascending && has(HOST) && has(DATE) {
        Ok(names)
    } else {
        Err(BadSignature::SignedHeaders)
    }
}

/// The last line of the canonical request. A hash that the client gives is used only if it is that of the body, so a body can
/// never be exchanged; an unsigned one is accepted only where the SDKs leave it unsigned.
fn payload_hash(request: &Request<'_>) -> Result<String, BadSignature> {
    let real = || hex::encode(Sha256::digest(request.body));
    if !canonical::is_sent(request, CONTENT_HASH) {
        return Ok(real());
    }
    let given = single_text(request, CONTENT_HASH)?;
    if given == UNSIGNED_PAYLOAD {
        let kind = single_text(request, "content-type").map_err(|_| BadSignature::UnsignedPayload)?;
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let structured = kind.is_empty() || kind == "application/json" || kind == "application/bson";
        return if structured { Err(BadSignature::UnsignedPayload) } else { Ok(given.to_owned()) };
    }
    let real = real();
    if given.eq_ignore_ascii_case(&real) { Ok(given.to_owned()) } else { Err(BadSignature::ContentHash) }
}

fn single_text<'a>(request: &Request<'a>, name: &str) -> Result<&'a str, BadSignature> {
    let value = canonical::single(request, name)?;
    std::str::from_utf8(value).map_err(|_| BadSignature::Header(name.to_owned()))
}

fn signature(secret: &Secret, date: &str, canonical: &[u8]) -> [u8; 32] {
    let hash = hex::encode(Sha256::digest(canonical));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{ALGORITHM}\n{date}\n{hash}").as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
