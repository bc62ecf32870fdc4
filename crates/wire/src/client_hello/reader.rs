//! Reading lengths and what they announce, never beyond the message.

use super::ClientHelloError;

/// A part of the hello's message, which is shorter than 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    from: u16,
    to: u16,
}

impl Span {
    pub(super) fn of(self, message: &[u8]) -> &[u8] {
        message.get(usize::from(self.from)..usize::from(self.to)).unwrap_or_default()
    }

    pub(super) fn len(self) -> usize {
        usize::from(self.to - self.from)
    }
}

/// A place in the message, and the end up to which may be read.
pub(super) struct Reader<'m> {
    message: &'m [u8],
    at: u16,
    end: u16,
}

impl<'m> Reader<'m> {
    /// All of `message`; of a longer one than a hello can be (`records` lets none through), its first 64 KiB.
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0, end: u16::try_from(message.len()).unwrap_or(u16::MAX) }
    }

    /// The bytes of `span` alone.
    pub(super) fn within(&self, span: Span) -> Self {
        Self { message: self.message, at: span.from, end: span.to }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), ClientHelloError> {
        if self.is_empty() { Ok(()) } else { Err(ClientHelloError::BadLength) }
    }

    /// What is left.
    pub(super) fn rest(&self) -> Span {
        Span { from: self.at, to: self.end }
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<Span, ClientHelloError> {
        let count = u16::try_from(count).map_err(|_| ClientHelloError::BadLength)?;
        let to =
            self.at.checked_add(count).filter(|&to| to <= self.end).ok_or(ClientHelloError::BadLength)?;
        let span = Span { from: self.at, to };
        self.at = to;
        Ok(span)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ClientHelloError> {
        match self.skip(1)?.of(self.message) {
            &[byte] => Ok(byte),
            _ => Err(ClientHelloError::BadLength),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, ClientHelloError> {
        match self.skip(2)?.of(self.message) {
            &[high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(ClientHelloError::BadLength),
        }
    }

    /// A length in one byte, at least `least`, and as many bytes.
    pub(super) fn list_of_bytes(&mut self, least: u8) -> Result<Span, ClientHelloError> {
        let length = self.u8()?;
        if length < least {
            return Err(ClientHelloError::BadLength);
        }
        self.skip(usize::from(length))
    }

    /// A length in two bytes and as many bytes.
    pub(super) fn block(&mut self) -> Result<Span, ClientHelloError> {
        let length = self.u16()?;
        self.skip(usize::from(length))
    }

    /// A length of bytes in two bytes, then at least one number of two bytes.
    pub(super) fn list_of_u16s(&mut self) -> Result<Span, ClientHelloError> {
        self.block().and_then(pairs)
    }

    /// A length of bytes in one byte, then at least one number of two bytes.
    pub(super) fn short_list_of_u16s(&mut self) -> Result<Span, ClientHelloError> {
        self.list_of_bytes(2).and_then(pairs)
    }
}

fn pairs(span: Span) -> Result<Span, ClientHelloError> {
    if span.len() == 0 || span.len() % 2 == 1 { Err(ClientHelloError::BadLength) } else { Ok(span) }
}

/// Numbers of two bytes.
#[derive(Clone, Debug)]
pub(super) struct U16s<'m>(std::slice::ChunksExact<'m, u8>);

impl<'m> U16s<'m> {
    pub(super) fn new(bytes: &'m [u8]) -> Self {
        Self(bytes.chunks_exact(2))
    }
}

impl Iterator for U16s<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.0.next().map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
