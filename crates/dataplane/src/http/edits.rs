//! The header edits of policies, prepared once per plan: first removed, then written.
//!
//! What is written replaces what the message had of that name, also under a look-alike name with `_`. Headers that carry the
//! message itself (Host, framing, hop-by-hop) cannot be touched: the serialiser does not let them be.

use std::net::SocketAddr;

use model::{
    LoadBalancerId,
    policy::{HeaderEdits, InsertedValue, SystemValue},
};
use wire::h1::{HeaderId, HeaderLines, HeaderSet, RequestHead};

use super::{
    client_tls::{self, ClientTls},
    inserted::Decimal,
};

/// The header edits of one policy.
pub(crate) struct HeaderChanges {
    /// Names that go, those that are written anew among them.
    drop: HeaderSet,
    drop_names: Vec<Box<[u8]>>,
    insert: Vec<(Box<[u8]>, Source)>,
}

/// Where a written value comes from.
enum Source {
    Text(Box<[u8]>),
    Header(Box<[u8]>),
    System(SystemValue),
}

/// What written values are made from.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'v> {
    pub(super) head: &'v RequestHead<'v>,
    pub(super) client: SocketAddr,
    /// The address that the client reached.
    pub(super) reached: SocketAddr,
    pub(super) scheme: &'static str,
    pub(super) load_balancer: LoadBalancerId,
    pub(super) tls: Option<&'v ClientTls>,
}

impl HeaderChanges {
    pub(super) fn new(edits: &HeaderEdits) -> Self {
        let mut changes = Self { drop: HeaderSet::EMPTY, drop_names: Vec::new(), insert: Vec::new() };
        let inserted = edits.insert.iter().map(|header| &header.name);
        for name in edits.remove.iter().chain(inserted) {
            match HeaderId::of(name.as_bytes()) {
                HeaderId::OTHER => changes.drop_names.push(name.as_bytes().into()),
                id => changes.drop.insert(id),
            }
        }
        changes.insert = edits
            .insert
            .iter()
            .map(|header| {
                let source = match &header.value {
                    InsertedValue::Text(text) => Source::Text(text.as_bytes().into()),
                    InsertedValue::Header(name) => Source::Header(name.as_bytes().into()),
                    InsertedValue::System(value) => Source::System(*value),
                };
                (header.name.as_bytes().into(), source)
            })
            .collect();
        changes
    }

    /// Known names that go.
    pub(super) fn drop(&self) -> HeaderSet {
        self.drop
    }

    /// Other names that go.
    pub(super) fn drop_names(&self) -> impl Iterator<Item = &[u8]> {
        self.drop_names.iter().map(|name| &**name)
    }

    /// Appends what is written. A value that does not exist, or that no header can have, is left out.
    pub(super) fn write(&self, lines: &mut HeaderLines, around: &Surroundings<'_>) {
        for (name, source) in &self.insert {
            let _left_out = match source {
                Source::Text(text) => lines.push(name, text),
                Source::Header(of) => match value_of(around.head, of) {
                    Some(value) => lines.push(name, value),
                    None => Ok(()),
                },
                Source::System(value) => around.push(*value, name, lines),
            };
        }
    }

    /// What is written into an answer of our own, and which of its usual headers are left out.
    pub(super) fn for_answer(&self, around: &Surroundings<'_>) -> (HeaderLines, HeaderSet) {
        let mut lines = HeaderLines::new();
        self.write(&mut lines, around);
        (lines, self.drop)
    }
}

/// The first value of a header.
fn value_of<'v>(head: &RequestHead<'v>, name: &[u8]) -> Option<&'v [u8]> {
    match HeaderId::of(name) {
        HeaderId::OTHER => head.values_named(name).next(),
        id => head.header(id),
    }
}

impl Surroundings<'_> {
    fn push(
        &self,
        value: SystemValue,
        name: &[u8],
        lines: &mut HeaderLines,
    ) -> Result<(), wire::h1::BadHeaderLine> {
        match value {
            SystemValue::ClientPort => lines.push(name, Decimal::number(self.client.port()).as_bytes()),
            SystemValue::ClientIp => lines.push(name, Decimal::ip(self.client.ip()).as_bytes()),
            SystemValue::ElbProtocol => lines.push(name, self.scheme.as_bytes()),
            SystemValue::ElbId => lines.push(name, self.load_balancer.to_string().as_bytes()),
            SystemValue::ElbPort => lines.push(name, Decimal::number(self.reached.port()).as_bytes()),
            // A public address is turned into the VIP before we see it; what the client reached is the VIP then.
            SystemValue::ElbEip | SystemValue::ElbVip => {
                lines.push(name, Decimal::ip(self.reached.ip()).as_bytes())
            }
            // Of a client that spoke in clear there is nothing to say.
            SystemValue::TlsProtocol
            | SystemValue::TlsCipher
            | SystemValue::ClientcertSubjectdn
            | SystemValue::ClientcertIssuerdn
            | SystemValue::ClientcertFingerprint
            | SystemValue::ClientcertClientverify
            | SystemValue::ClientcertSerialnumber
            | SystemValue::Clientcert
            | SystemValue::ClientcertCiphers
            | SystemValue::ClientcertEnd
            | SystemValue::TlsAlpnProtocol
            | SystemValue::TlsSni
            | SystemValue::TlsJa3
            | SystemValue::TlsJa4 => {
                let header = client_tls::header_of(value);
                let told = self.tls.zip(header).and_then(|(tls, header)| tls.value(header));
                told.map_or(Ok(()), |told| lines.push(name, told.as_bytes()))
            }
        }
    }
}
