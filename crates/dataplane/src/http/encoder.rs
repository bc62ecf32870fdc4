//! Compressing a body while it passes.
//!
//! Memory: an encoder lives for one response. gzip takes about 256 KiB, zstd about 1 MiB, brotli about 1 MiB (windows of 128 KiB for
//! the latter two), and none of them holds more of the body than its window.

use std::io::{self, Write};

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

/// A body's encoder. What comes out is taken by [`Encoder::take`].
pub(super) struct Encoder {
    inner: Inner,
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
    pub(super) fn new(coding: ContentCoding) -> io::Result<Self> {
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
        Ok(Self { inner, dirty: false })
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
            let mut encoder = Encoder::new(coding).unwrap();
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
    fn an_empty_body_is_an_empty_body() {
        for coding in [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd] {
            let mut encoder = Encoder::new(coding).unwrap();
            encoder.finish().unwrap();
            assert_eq!(decoded(coding, &encoder.take()), b"", "{coding:?}");
        }
    }
}
