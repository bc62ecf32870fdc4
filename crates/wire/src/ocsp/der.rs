//! The little of DER that OCSP needs around what `x509_parser` reads: a row of values, taken one by one; and values written.

use x509_parser::asn1_rs::{Any, Class, FromDer, Header};

pub(super) const BOOLEAN: u32 = 1;
pub(super) const INTEGER: u32 = 2;
pub(super) const BITS: u32 = 3;
pub(super) const OCTETS: u32 = 4;
pub(super) const NULL: u32 = 5;
pub(super) const OID: u32 = 6;
pub(super) const ENUMERATED: u32 = 10;
pub(super) const SEQUENCE: u32 = 16;
pub(super) const SET: u32 = 17;
pub(super) const TIME: u32 = 24;

/// A value and what follows it.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    /// With tag and length.
    pub(super) whole: &'a [u8],
    pub(super) content: &'a [u8],
    class: Class,
    tag: u32,
    constructed: bool,
}

impl Value<'_> {
    /// The number of a value with a tag of its context.
    pub(super) fn context(&self) -> Option<u32> {
        (self.class == Class::ContextSpecific).then_some(self.tag)
    }
}

/// The bytes are no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unlike;

/// Values one after the other.
#[derive(Clone, Copy)]
pub(super) struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, whatever it is.
    pub(super) fn value(&mut self) -> Result<Value<'a>, Unlike> {
        let (rest, any) = Any::from_der(self.0).map_err(|_| Unlike)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        let content = &whole[whole.len() - any.data.len()..];
        let (class, tag) = (any.class(), any.tag().0);
        // Sequences and sets are made of values, no other type of DER is.
        if class == Class::Universal && any.header.is_constructed() != matches!(tag, SEQUENCE | SET) {
            return Err(Unlike);
        }
        self.0 = rest;
        Ok(Value { whole, content, class, tag, constructed: any.header.is_constructed() })
    }

    /// The next value, of that universal type.
    pub(super) fn of(&mut self, tag: u32) -> Result<Value<'a>, Unlike> {
        let value = self.value()?;
        if value.class == Class::Universal && value.tag == tag { Ok(value) } else { Err(Unlike) }
    }

    /// The next value if it is of that universal type.
    pub(super) fn maybe(&mut self, tag: u32) -> Result<Option<Value<'a>>, Unlike> {
        match self.follows(Class::Universal, tag) {
            true => self.value().map(Some),
            false => Ok(None),
        }
    }

    /// What is inside the next value, a sequence.
    pub(super) fn sequence(&mut self) -> Result<Self, Unlike> {
        Ok(Self(self.of(SEQUENCE)?.content))
    }

    /// What is inside the next value if it has that tag of its context.
    pub(super) fn explicit(&mut self, tag: u32) -> Result<Option<Self>, Unlike> {
        match self.follows(Class::ContextSpecific, tag) {
            true => match self.value()? {
                value if value.constructed => Ok(Some(Self(value.content))),
                _ => Err(Unlike),
            },
            false => Ok(None),
        }
    }

    /// Nothing follows.
    pub(super) fn end(self) -> Result<(), Unlike> {
        if self.is_empty() { Ok(()) } else { Err(Unlike) }
    }

    fn follows(&self, class: Class, tag: u32) -> bool {
        Header::from_der(self.0).is_ok_and(|(_, header)| header.class() == class && header.tag().0 == tag)
    }
}

/// A value of a universal type with a low tag.
pub(super) fn tlv(tag: u32, content: &[u8]) -> Vec<u8> {
    let tag = u8::try_from(tag).expect("universal types have tags below 31");
    let constructed = if u32::from(tag) == SEQUENCE { 0x20 } else { 0 };
    let mut out = vec![tag | constructed];
    match content.len() {
        short @ 0..=127 => out.push(u8::try_from(short).expect("below 128")),
        long => {
            let bytes = long.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | u8::try_from(bytes.len()).expect("a length has at most 8 bytes"));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A sequence of values.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}
