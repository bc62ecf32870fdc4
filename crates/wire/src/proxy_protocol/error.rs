//! Why a header is none.

/// First bytes of a connection that are no PROXY protocol header. The connection is to be closed at once, so that the sender notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyProtocolError {
    /// The bytes begin in another way than either version.
    #[error(
        "the connection does not begin with a PROXY protocol header; switch it on at the sender, or off at the listener"
    )]
    NoHeader,
    /// No end of the line in the first 107 bytes (version 1).
    #[error("the PROXY line does not end within 107 bytes")]
    LineTooLong,
    /// A line feed or a carriage return without the other (version 1).
    #[error("the PROXY line does not end with CR LF")]
    BadLineEnd,
    /// Another protocol than TCP4, TCP6 or UNKNOWN, or other fields than it has (version 1).
    #[error("the PROXY line is not of the form \"PROXY TCP4 source destination port port\"")]
    BadLine,
    /// An address that is not of the family that was announced, or not as it is written (version 1).
    #[error("an address in the PROXY line is not one of its family")]
    BadAddress,
    /// A port that is not a decimal number up to 65535 without leading zeros (version 1).
    #[error("a port in the PROXY line is not a number from 0 to 65535")]
    BadPort,
    /// Another version than 2 behind the binary signature.
    #[error("the binary PROXY header is not of version 2")]
    BadVersion,
    /// Another command than LOCAL or PROXY (version 2).
    #[error("the PROXY header has an unassigned command")]
    BadCommand,
    /// An address family or protocol without meaning (version 2).
    #[error("the PROXY header has an unassigned address family or protocol")]
    BadFamily,
    /// More than [`PROXY_HEADER_BYTES_MAX`](super::PROXY_HEADER_BYTES_MAX) are announced (version 2).
    #[error("the PROXY header is longer than 4 KiB")]
    TooLong,
    /// Fewer bytes than the addresses of the family have (version 2).
    #[error("the PROXY header is too short for its addresses")]
    TooShort,
    /// What follows the addresses is not cut into types, lengths and values (version 2).
    #[error("an additional field of the PROXY header does not fit into it")]
    BadTlv,
}

impl ProxyProtocolError {
    /// Stable name for logs, metrics and tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoHeader => "proxy_protocol_no_header",
            Self::LineTooLong => "proxy_protocol_line_too_long",
            Self::BadLineEnd => "proxy_protocol_bad_line_end",
            Self::BadLine => "proxy_protocol_bad_line",
            Self::BadAddress => "proxy_protocol_bad_address",
            Self::BadPort => "proxy_protocol_bad_port",
            Self::BadVersion => "proxy_protocol_bad_version",
            Self::BadCommand => "proxy_protocol_bad_command",
            Self::BadFamily => "proxy_protocol_bad_family",
            Self::TooLong => "proxy_protocol_too_long",
            Self::TooShort => "proxy_protocol_too_short",
            Self::BadTlv => "proxy_protocol_bad_tlv",
        }
    }
}
