//! Hellos that were recorded, and hellos that are made.

use wire::client_hello::{ClientHello, HelloParse};

// Made by OpenSSL 3.0.
pub(crate) const MODERN: &str = "1603010200010001fc0303657e7af7ee7ae5891f5b2b18b749eeffbbfd07d2b711967cb5dfa0b7127be9b8208de0eefef33a1e8d6b7e7bf43b491442b0c8ed4ca30bf09351e1732de62be5a40024130213031301c02cc030c02bc02fcca9cca8c024c028c023c027009f009e006b006700ff0100018f00000014001200000f7777772e6578616d706c652e636f6d000b000403000102000a00160014001d0017001e0019001801000101010201030104002300000010000e000c02683208687474702f312e310016000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602002b00050403040303002d00020101003300260024001d002090fcc39a992b7d391ec8d90b659c40fce94e56070ebfdb933295a0fca1b18e14001500cc000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
pub(crate) const ONE_OLD_SUITE: &str = "16030100710100006d030342e0b13f27dd3f25449cff46777ea079cafd2efada6d2fa956b172be2c6296bd000004002f00ff01000040002300000016000000170000000d0030002e040305030603080708080809080a080b080408050806040105010601030302030301020103020202040205020602";
pub(crate) const TLS10: &str = "16030100970100009303011ad9006151b994ce10b4cdfbd2b81615c3ac571459859ba8fabdfd57b0db6fa200002ec00ac0140039003800880087c019003a0089c009c0130033003200450044c0180034004600350084002f004100ff0100003c00000014001200000f6f6c642e6578616d706c652e636f6d000b000403000102000a000c000a001d0017001e00190018002300000016000000170000";

pub(crate) fn hello(bytes: &[u8]) -> ClientHello<'_> {
    match ClientHello::parse(bytes) {
        Ok(HelloParse::Complete(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn be(value: usize, bytes: usize) -> Vec<u8> {
    (value as u64).to_be_bytes()[8 - bytes..].to_vec()
}
/// A length of `width` bytes and the content.
pub(crate) fn with_length(width: usize, content: &[u8]) -> Vec<u8> {
    [be(content.len(), width), content.to_vec()].concat()
}
pub(crate) fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// A hello to be made; each list that is there becomes an extension.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) version: u16,
    pub(crate) suites: Vec<u16>,
    pub(crate) compression: Vec<u8>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

impl Made {
    pub(crate) fn new(version: u16, suites: &[u16]) -> Self {
        Self { version, suites: suites.to_vec(), compression: vec![0], extensions: Vec::new() }
    }
    pub(crate) fn with(mut self, kind: u16, body: Vec<u8>) -> Self {
        self.extensions.push((kind, body));
        self
    }
    pub(crate) fn name(self, name: &[u8]) -> Self {
        self.with(0, with_length(2, &[&[0][..], &with_length(2, name)].concat()))
    }
    pub(crate) fn groups(self, groups: &[u16]) -> Self {
        self.with(10, with_length(2, &u16s(groups)))
    }
    pub(crate) fn points(self, formats: &[u8]) -> Self {
        self.with(11, with_length(1, formats))
    }
    pub(crate) fn schemes(self, schemes: &[u16]) -> Self {
        self.with(13, with_length(2, &u16s(schemes)))
    }
    pub(crate) fn alpn(self, names: &[&[u8]]) -> Self {
        self.with(16, with_length(2, &names.iter().flat_map(|name| with_length(1, name)).collect::<Vec<_>>()))
    }
    pub(crate) fn versions(self, versions: &[u16]) -> Self {
        self.with(43, with_length(1, &u16s(versions)))
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, body)| [be(usize::from(*kind), 2), with_length(2, body)].concat())
            .collect();
        let body = [
            self.version.to_be_bytes().to_vec(),
            vec![7; 32],
            with_length(1, &[]),
            with_length(2, &u16s(&self.suites)),
            with_length(1, &self.compression),
            if self.extensions.is_empty() { Vec::new() } else { with_length(2, &extensions) },
        ]
        .concat();
        message(1, &body)
    }
    pub(crate) fn bytes(&self) -> Vec<u8> {
        records(&self.message(), &[])
    }
}

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], with_length(3, body)].concat()
}

/// Handshake records of these lengths, then of the usual one until the message ends.
pub(crate) fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut lengths = lengths.iter().copied().chain(std::iter::repeat(1 << 14));
    let mut rest = message;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(lengths.next().unwrap_or(1).clamp(1, rest.len()));
        out.extend([22, 3, 1]);
        out.extend(with_length(2, now));
        rest = later;
    }
    out
}
