//! Compressing a body while it passes.
//!
//! Memory: an encoder lives for one response, and none holds more of the body than its window ([`memory_bytes`] is what each takes). A
//! connection on which many answers are under way at once has room for some of them ([`EncoderRoom`]).

use std::{
    cell::Cell,
    io::{self, Write},
    rc::Rc,
};

use flate2::{Compression, write::GzEncoder};
use wire::content_coding::ContentCoding;

/// Levels for traffic: what a core gives at line speed.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// 2^17 bytes.
const WINDOW_LOG: u32 = 17;
/// Less than this waits for more, for a flush or for the end.
const CHUNK_BYTES_MIN: usize = 4096;
const BROTLI_BUFFER_BYTES: usize = 4096;

/// What the encoders of one connection may take together: 32 of gzip, 8 of the others.
const ROOM_BYTES: usize = 8 << 20;

/// About what an encoder takes, in bytes; brotli and zstd with windows of 128 KiB.
fn memory_bytes(coding: ContentCoding) -> usize {
    match coding {
        ContentCoding::Gzip => 256 << 10,
        ContentCoding::Brotli | ContentCoding::Zstd => 1 << 20,
    }
}

/// The room for encoders on a connection of which many answers may be under way at once.
#[derive(Default)]
pub(crate) struct EncoderRoom {
    taken: Cell<usize>,
}

/// The room that one encoder has.
pub(super) struct EncoderPlace {
    room: Rc<EncoderRoom>,
    bytes: usize,
}

impl EncoderRoom {
    /// Room for one more encoder, while there is some.
    pub(super) fn take(self: &Rc<Self>, coding: ContentCoding) -> Option<EncoderPlace> {
        let bytes = memory_bytes(coding);
        let taken = self.taken.get() + bytes;
        (taken <= ROOM_BYTES).then(|| {
            self.taken.set(taken);
            EncoderPlace { room: self.clone(), bytes }
        })
    }
}

impl Drop for EncoderPlace {
    fn drop(&mut self) {
        self.room.taken.set(self.room.taken.get() - self.bytes);
    }
}

/// A body's encoder. What comes out is taken by [`Encoder::take`].
pub(super) struct Encoder {
    inner: Inner,
    /// Until all is out; none: its connection has one answer at a time.
    place: Option<EncoderPlace>,
    /// Something went in since the last flush.
    dirty: bool,
}

enum Inner {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// All is out.
    Finished(Vec<u8>),
}

impl Encoder {
    pub(super) fn new(coding: ContentCoding, place: Option<EncoderPlace>) -> io::Result<Self> {
        let inner = match coding {
            ContentCoding::Gzip => Inner::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            ContentCoding::Brotli => Inner::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                WINDOW_LOG,
            ))),
            ContentCoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG)?;
                Inner::Zstd(encoder)
            }
        };
        Ok(Self { inner, place, dirty: false })
    }

    /// Takes a piece of the body.
    pub(super) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        self.dirty |= !data.is_empty();
        match &mut self.inner {
            Inner::Gzip(encoder) => encoder.write_all(data),
            Inner::Brotli(encoder) => encoder.write_all(data),
            Inner::Zstd(encoder) => encoder.write_all(data),
            Inner::Finished(_) => Ok(()),
        }
    }

    /// Brings out all that went in, so that a client need not wait for what comes later.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        match &mut self.inner {
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Brotli(encoder) => encoder.flush(),
            Inner::Zstd(encoder) => encoder.flush(),
            Inner::Finished(_) => Ok(()),
        }
    }

    /// The body is whole.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.dirty = false;
        let out = match std::mem::replace(&mut self.inner, Inner::Finished(Vec::new())) {
            Inner::Gzip(encoder) => encoder.finish()?,
            Inner::Brotli(encoder) => encoder.into_inner(),
            Inner::Zstd(encoder) => encoder.finish()?,
            Inner::Finished(out) => out,
        };
        self.inner = Inner::Finished(out);
        self.place = None;
        Ok(())
    }

    /// Whether something went in that may not have come out.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What came out since the last time, once it is worth a chunk of its own.
    pub(super) fn take_if_large(&mut self) -> Vec<u8> {
        match self.out().len() {
            0..CHUNK_BYTES_MIN => Vec::new(),
            _ => self.take(),
        }
    }

    /// What came out since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.out())
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.inner {
            Inner::Gzip(encoder) => encoder.get_mut(),
            Inner::Brotli(encoder) => encoder.get_mut(),
            Inner::Zstd(encoder) => encoder.get_mut(),
            Inner::Finished(out) => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            ContentCoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
            ContentCoding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap(),
            ContentCoding::Zstd => {
                zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap()
            }
        };
        out
    }

    #[test]
    fn what_goes_in_comes_out_smaller_and_a_flush_holds_nothing_back() {
        let text: Vec<u8> = (0..50_000).flat_map(|n: u32| format!("line {n}\n").into_bytes()).collect();
        for coding in [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd] {
            let mut encoder = Encoder::new(coding, None).unwrap();
            let mut out = Vec::new();
            for piece in text.chunks(10_000) {
                encoder.push(piece).unwrap();
                out.extend(encoder.take());
                encoder.flush().unwrap();
                assert!(!encoder.is_dirty());
                out.extend(encoder.take());
            }
            encoder.finish().unwrap();
            out.extend(encoder.take());
            assert!(out.len() < text.len() / 2, "{coding:?}: {} bytes of {}", out.len(), text.len());
            assert_eq!(decoded(coding, &out), text, "{coding:?}");
        }
    }

    #[test]
    fn a_connection_has_room_for_so_many_encoders_and_gets_it_back() {
        let room = Rc::<EncoderRoom>::default();
        let mut encoders: Vec<_> = std::iter::from_fn(|| room.take(ContentCoding::Gzip))
            .map(|place| Encoder::new(ContentCoding::Gzip, Some(place)).unwrap())
            .collect();
        assert_eq!(encoders.len(), 32);
        assert!(room.take(ContentCoding::Brotli).is_none());
        encoders.iter_mut().take(3).for_each(|encoder| encoder.finish().unwrap());
        assert!(room.take(ContentCoding::Zstd).is_none(), "that takes as much as four of gzip");
        encoders.pop();
        drop(room.take(ContentCoding::Zstd).unwrap());
        encoders.clear();
        assert_eq!(room.taken.get(), 0);
    }

    #[test]
    fn an_empty_body_is_an_empty_body() {
        for coding in [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd] {
            let mut encoder = Encoder::new(coding, None).unwrap();
            encoder.finish().unwrap();
            assert_eq!(decoded(coding, &encoder.take()), b"", "{coding:?}");
        }
    }
}
