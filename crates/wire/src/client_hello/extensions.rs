//! The extensions of a hello: where those are that we look at.

use super::reader::{Reader, Span};
use super::{ClientHelloError, EXTENSIONS_MAX};

/// Where the extensions are. A list that is there is never empty, but for a session ticket and key shares.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions {
    /// All of them.
    all: Option<Span>,
    pub(super) host_name: Option<Span>,
    pub(super) groups: Option<Span>,
    pub(super) point_formats: Option<Span>,
    pub(super) signature_schemes: Option<Span>,
    pub(super) alpn: Option<Span>,
    pub(super) session_ticket: Option<Span>,
    pub(super) supported_versions: Option<Span>,
}

impl Extensions {
    /// The block of extensions at `reader`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ClientHelloError> {
        let all = reader.block()?;
        let mut rest = reader.within(all);
        let mut found = Self { all: Some(all), ..Self::default() };
        let mut types = [0u16; EXTENSIONS_MAX];
        let mut count = 0;
        while !rest.is_empty() {
            let kind = rest.u16()?;
            if types[..count].contains(&kind) {
                return Err(ClientHelloError::RepeatedExtension);
            }
            *types.get_mut(count).ok_or(ClientHelloError::TooManyExtensions)? = kind;
            count += 1;
            let body = rest.block()?;
            found.note(kind, rest.within(body))?;
        }
        Ok(found)
    }

    fn note(&mut self, kind: u16, mut body: Reader<'_>) -> Result<(), ClientHelloError> {
        match kind {
            SERVER_NAME => self.host_name = host_name(&mut body)?,
            GROUPS => self.groups = Some(body.list_of_u16s()?),
            POINT_FORMATS => self.point_formats = Some(body.list_of_bytes(1)?),
            SIGNATURE_SCHEMES => self.signature_schemes = Some(body.list_of_u16s()?),
            ALPN => self.alpn = Some(protocols(&mut body)?),
            SUPPORTED_VERSIONS => self.supported_versions = Some(body.short_list_of_u16s()?),
            SESSION_TICKET => {
                self.session_ticket = Some(body.rest());
                return Ok(());
            }
            _ => return Ok(()),
        }
        body.end()
    }

    /// The types of all extensions, in order.
    pub(super) fn types(self, message: &[u8]) -> impl Iterator<Item = u16> + Clone + '_ {
        let mut rest = self.all.map_or(&[][..], |all| all.of(message));
        std::iter::from_fn(move || {
            let &[a, b, c, d, ref behind @ ..] = rest else { return None };
            rest = behind.get(usize::from(u16::from_be_bytes([c, d]))..)?;
            Some(u16::from_be_bytes([a, b]))
        })
    }

    pub(super) fn has(self, kind: u16, message: &[u8]) -> bool {
        self.types(message).any(|there| there == kind)
    }
}

/// The one host name of a server_name extension (RFC 6066 §3); names of other kinds are skipped.
fn host_name(body: &mut Reader<'_>) -> Result<Option<Span>, ClientHelloError> {
    /// The kind of a host name.
    const HOST_NAME: u8 = 0;
    let list = body.block()?;
    let mut list = body.within(list);
    let mut found = None;
    while {
        let kind = list.u8()?;
        let name = list.block()?;
        if kind == HOST_NAME && found.replace(name).is_some() {
            return Err(ClientHelloError::RepeatedHostName);
        }
        !list.is_empty()
    } {}
    Ok(found)
}

/// The list of an ALPN extension (RFC 7301 §3.1): at least one name, none empty.
fn protocols(body: &mut Reader<'_>) -> Result<Span, ClientHelloError> {
    let list = body.block()?;
    let mut names = body.within(list);
    while {
        names.list_of_bytes(1)?;
        !names.is_empty()
    } {}
    Ok(list)
}

/// Types of extensions (the IANA registry "TLS ExtensionType Values").
pub(super) const SERVER_NAME: u16 = 0;
pub(super) const ALPN: u16 = 16;
pub(super) const PRE_SHARED_KEY: u16 = 41;
pub(super) const EARLY_DATA: u16 = 42;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_SCHEMES: u16 = 13;
const SESSION_TICKET: u16 = 35;
const SUPPORTED_VERSIONS: u16 = 43;
