//! The record layer of an established TLS session: sealing bytes into records and opening them, straight from one buffer into
//! another.
//!
//! rustls makes the handshake and the keys, and computes the next ones when they are renewed; what is here is RFC 8446 section 5
//! (TLS 1.3) and RFC 5246 section 6.2 with RFC 5288 and RFC 7905 (TLS 1.2), for the three kinds of keys that rustls agrees to. It
//! exists because rustls' own copies every byte twice more: a third of the cost of a large response.
//!
//! What it does not do: it reads no handshake message or alert, and never decides to go on after a failure.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets as Secrets, crypto::cipher::Iv};

/// The most that one record may hold (RFC 8446 section 5.1).
pub(super) const DATA_BYTES_MAX: usize = 16 * 1024;

/// A record's type, version and length.
pub(super) const HEADER_BYTES: usize = 5;

/// The most that sealing adds: header, explicit nonce of TLS 1.2, or type of TLS 1.3, and tag.
pub(super) const OVERHEAD_BYTES_MAX: usize = HEADER_BYTES + 8 + 16;

/// The most that may follow a header (RFC 5246 section 6.2.3; TLS 1.3 allows less).
const BODY_BYTES_MAX: usize = DATA_BYTES_MAX + 2048;

const TAG_BYTES: usize = 16;

/// After so many records a key is renewed: below the limit of AES-GCM, 2^24.5 full records (RFC 8446 section 5.5).
const KEY_RECORDS_MAX: u64 = 1 << 24;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A change of cipher spec: nothing in TLS 1.3, and an error once a session stands.
    ChangeCipherSpec = 20,
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

impl Kind {
    fn of(byte: u8) -> Result<Self, RecordFault> {
        match byte {
            20 => Ok(Self::ChangeCipherSpec),
            21 => Ok(Self::Alert),
            22 => Ok(Self::Handshake),
            23 => Ok(Self::Data),
            _ => Err(RecordFault::Unexpected),
        }
    }
}

/// Why a session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordFault {
    /// Something was changed on the way, or is under another key.
    #[error("a record does not open under the session's key")]
    BadTag,
    /// It is longer than allowed.
    #[error("a record is longer than TLS allows")]
    TooLong,
    /// It cannot come at this point.
    #[error("a record came that cannot come in a session that stands")]
    Unexpected,
    /// A message is not formed as it must be.
    #[error("a message of TLS is malformed")]
    Malformed,
    /// The key has served its time, and TLS 1.2 knows no way to renew it.
    #[error("the session's key has sealed as many records as it may")]
    KeyWornOut,
    /// The peer said that it failed.
    #[error("the peer ended the session with alert {0}")]
    Alert(u8),
}

impl RecordFault {
    /// The alert that tells the peer; none where it told us.
    pub(super) fn alert(self) -> Option<u8> {
        match self {
            Self::BadTag => Some(20),
            Self::TooLong => Some(22),
            Self::Unexpected => Some(10),
            Self::Malformed => Some(50),
            Self::KeyWornOut => Some(80),
            Self::Alert(_) => None,
        }
    }
}

/// Where in a record the parts are, and how its nonce is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The type is within, behind the data.
    V13,
    /// A part of the nonce is in front of the data.
    Gcm12,
    /// Nothing is in front.
    ChaCha12,
}

impl Layout {
    fn nonce_bytes(self) -> usize {
        if self == Self::Gcm12 { 8 } else { 0 }
    }
}

/// One direction of a session.
pub(super) struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    layout: Layout,
}

impl Half {
    /// The direction under these keys; none for keys of a kind that nobody agreed to.
    pub(super) fn new(v13: bool, sequence: u64, secrets: &Secrets) -> Option<Self> {
        let (algorithm, key, iv, gcm): (_, _, &Iv, _) = match secrets {
            Secrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, true),
            Secrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, true),
            Secrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, false),
            _ => return None,
        };
        let layout = match (v13, gcm) {
            (true, _) => Layout::V13,
            (false, true) => Layout::Gcm12,
            (false, false) => Layout::ChaCha12,
        };
        let key = key.as_ref().get(..algorithm.key_len())?;
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Self { key, iv: iv.as_ref().try_into().ok()?, sequence, layout })
    }

    /// Whether the key must be renewed before it seals much more.
    pub(super) fn is_worn(&self) -> bool {
        self.sequence >= KEY_RECORDS_MAX
    }

    /// Seals a record of at most [`DATA_BYTES_MAX`] bytes into `out`, which has room for it and [`OVERHEAD_BYTES_MAX`]; how long it is.
    /// The data is what the pieces hold from `at` on, which moves behind it.
    pub(super) fn seal(
        &mut self,
        kind: Kind,
        length: usize,
        pieces: &mut Cursor<'_, '_>,
        out: &mut [u8],
    ) -> Result<usize, RecordFault> {
        if self.is_worn() && self.layout != Layout::V13 {
            return Err(RecordFault::KeyWornOut);
        }
        let explicit = self.layout.nonce_bytes();
        let inner: &[u8] = if self.layout == Layout::V13 { &[kind as u8] } else { &[] };
        let shown = if self.layout == Layout::V13 { Kind::Data } else { kind };
        let body = explicit + length + inner.len() + TAG_BYTES;
        let header = header(shown, body);
        let nonce = self.nonce();
        let aad = self.aad(shown, header, length);
        self.sequence += 1;
        let (front, rest) = out.split_at_mut(HEADER_BYTES + explicit);
        front[..HEADER_BYTES].copy_from_slice(&header);
        front[HEADER_BYTES..].copy_from_slice(&nonce[nonce.len() - explicit..]);
        let (data, end) = rest.split_at_mut(length);
        let end = &mut end[..inner.len() + TAG_BYTES];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(aad.as_ref());
        let sealed = match pieces.take_whole(length) {
            Some(plain) => self.key.seal_out_of_place_scatter(nonce, aad, plain, data, inner, end),
            None => {
                pieces.copy_into(data);
                self.key.seal_in_place_scatter(nonce, aad, data, inner, end)
            }
        };
        sealed.map_err(|_| RecordFault::KeyWornOut)?;
        Ok(HEADER_BYTES + body)
    }

    /// Opens a record's body into `out`, which is as long as [`Half::room_for`] says; what the record is about, and how long its
    /// content is.
    pub(super) fn open(
        &mut self,
        header: [u8; HEADER_BYTES],
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(Kind, usize), RecordFault> {
        let kind = Kind::of(header[0])?;
        if self.layout == Layout::V13 && kind != Kind::Data {
            return Err(RecordFault::Unexpected);
        }
        let room = self.room_for(body.len())?;
        let explicit = self.layout.nonce_bytes();
        let mut nonce = self.nonce();
        nonce[12 - explicit..].copy_from_slice(&body[..explicit]);
        let aad = self.aad(kind, header, room);
        let (data, tag) = body[explicit..].split_at(room);
        let out = &mut out[..room];
        self.key
            .open_separate_gather(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad.as_ref()),
                data,
                tag,
                out,
            )
            .map_err(|_| RecordFault::BadTag)?;
        // 2^64 records do not come.
        self.sequence += 1;
        let (kind, length) = match self.layout {
            Layout::V13 => {
                let end = out.iter().rposition(|byte| *byte != 0).ok_or(RecordFault::Unexpected)?;
                (Kind::of(out[end])?, end)
            }
            Layout::Gcm12 | Layout::ChaCha12 => (kind, room),
        };
        if length > DATA_BYTES_MAX {
            return Err(RecordFault::TooLong);
        }
        Ok((kind, length))
    }

    /// How many bytes opening a body of this length needs.
    pub(super) fn room_for(&self, body_bytes: usize) -> Result<usize, RecordFault> {
        if body_bytes > BODY_BYTES_MAX {
            return Err(RecordFault::TooLong);
        }
        body_bytes.checked_sub(self.layout.nonce_bytes() + TAG_BYTES).ok_or(RecordFault::BadTag)
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= of_sequence;
        }
        nonce
    }

    /// What is sealed along with the data.
    fn aad(&self, kind: Kind, header: [u8; HEADER_BYTES], length: usize) -> Along {
        let mut bytes = [0; 13];
        if self.layout == Layout::V13 {
            bytes[..HEADER_BYTES].copy_from_slice(&header);
            return Along { bytes, length: HEADER_BYTES };
        }
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&header_of_length(kind, length));
        Along { bytes, length: 13 }
    }
}

struct Along {
    bytes: [u8; 13],
    length: usize,
}

impl AsRef<[u8]> for Along {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn header(kind: Kind, body_bytes: usize) -> [u8; HEADER_BYTES] {
    header_of_length(kind, body_bytes)
}

fn header_of_length(kind: Kind, length: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = (length as u16).to_be_bytes();
    [kind as u8, 3, 3, high, low]
}

/// The length of the first record's body in `input`; none while its header has not come whole.
pub(super) fn body_bytes(input: &[u8]) -> Result<Option<usize>, RecordFault> {
    let Some(&[_, _, _, high, low]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BODY_BYTES_MAX { Err(RecordFault::TooLong) } else { Ok(Some(length)) }
}

/// A place in pieces of plain bytes.
pub(super) struct Cursor<'p, 'b> {
    pieces: &'p [std::io::IoSlice<'b>],
    at: usize,
    taken: usize,
    length: usize,
}

impl<'p, 'b> Cursor<'p, 'b> {
    pub(super) fn new(pieces: &'p [std::io::IoSlice<'b>]) -> Self {
        Self { pieces, at: 0, taken: 0, length: pieces.iter().map(|piece| piece.len()).sum() }
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.length - self.taken
    }

    /// Takes so many bytes, if they are in one piece.
    fn take_whole(&mut self, length: usize) -> Option<&'p [u8]> {
        self.skip_empty();
        let piece: &'p [u8] = self.pieces.first().map_or(&[], |piece| piece);
        let whole = piece.get(self.at..self.at + length)?;
        self.at += length;
        self.taken += length;
        Some(whole)
    }

    /// Fills `out` with the next bytes.
    pub(super) fn copy_into(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            self.skip_empty();
            let Some(piece) = self.pieces.first() else { return };
            let rest = &piece[self.at..];
            let bytes = rest.len().min(out.len());
            out[..bytes].copy_from_slice(&rest[..bytes]);
            out = &mut out[bytes..];
            self.at += bytes;
            self.taken += bytes;
        }
    }

    fn skip_empty(&mut self) {
        while let [first, rest @ ..] = self.pieces
            && self.at == first.len()
        {
            (self.pieces, self.at) = (rest, 0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use std::io::IoSlice;

    use rustls::crypto::cipher::AeadKey;

    use super::*;

    fn halves() -> Vec<(&'static str, Half, Half)> {
        let secrets = || {
            let key = || AeadKey::from([7; 32]);
            let iv = || Iv::from([9; 12]);
            [
                Secrets::Aes128Gcm { key: key(), iv: iv() },
                Secrets::Aes256Gcm { key: key(), iv: iv() },
                Secrets::Chacha20Poly1305 { key: key(), iv: iv() },
            ]
        };
        let both = |v13, secrets: &Secrets| {
            (Half::new(v13, 5, secrets).unwrap(), Half::new(v13, 5, secrets).unwrap())
        };
        let mut all = Vec::new();
        for (name, v13) in [("1.3", true), ("1.2", false)] {
            for secrets in secrets() {
                let (seal, open) = both(v13, &secrets);
                all.push((name, seal, open));
            }
        }
        all
    }

    #[test]
    fn what_is_sealed_of_any_pieces_opens_as_one_and_only_once_and_unchanged() {
        let big = vec![b'x'; DATA_BYTES_MAX - 4];
        for (version, mut seal, mut open) in halves() {
            for pieces in [&[&b"abcd"[..]][..], &[b"ab", b"", b"cd"], &[b"", b""], &[b"abcd", &big]] {
                let plain: Vec<u8> = pieces.concat();
                let pieces: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                let mut out = vec![0; DATA_BYTES_MAX + OVERHEAD_BYTES_MAX];
                let mut cursor = Cursor::new(&pieces);
                let length = seal.seal(Kind::Data, plain.len(), &mut cursor, &mut out).unwrap();
                assert_eq!((cursor.taken(), cursor.left()), (plain.len(), 0), "{version}");
                let record = &out[..length];
                assert_eq!(body_bytes(record).unwrap(), Some(length - HEADER_BYTES), "{version}");
                let (header, body) = record.split_first_chunk().unwrap();
                let mut opened = vec![0; open.room_for(body.len()).unwrap()];
                let mut changed = body.to_vec();
                changed[0] ^= 1;
                let bad = open.open(*header, &changed, &mut opened);
                assert_eq!(bad, Err(RecordFault::BadTag), "{version}: a changed record");
                let (kind, bytes) = open.open(*header, body, &mut opened).unwrap();
                assert_eq!((kind, &opened[..bytes]), (Kind::Data, &plain[..]), "{version}");
                let again = open.open(*header, body, &mut opened);
                assert_eq!(again, Err(RecordFault::BadTag), "{version}: a record that came before");
            }
        }
    }

    #[test]
    fn a_record_that_is_too_short_too_long_or_of_no_kind_is_refused() {
        for (version, _, mut open) in halves() {
            let mut out = vec![0; 32];
            let short = open.open([23, 3, 3, 0, 1], &[0], &mut out);
            assert_eq!(short, Err(RecordFault::BadTag), "{version}");
            let odd = open.open([99, 3, 3, 0, 32], &[0; 32], &mut out);
            assert_eq!(odd, Err(RecordFault::Unexpected), "{version}");
        }
        assert_eq!(body_bytes(&[23, 3, 3, 0xff, 0xff]), Err(RecordFault::TooLong));
        assert_eq!(body_bytes(&[23, 3, 3, 0]), Ok(None));
    }

    #[test]
    fn a_worn_key_of_tls_1_2_seals_nothing_more() {
        for (version, mut seal, _) in halves() {
            seal.sequence = KEY_RECORDS_MAX;
            let mut out = [0; 64];
            let sealed = seal.seal(Kind::Data, 0, &mut Cursor::new(&[]), &mut out);
            assert_eq!(sealed.is_ok(), version == "1.3");
        }
    }
}
