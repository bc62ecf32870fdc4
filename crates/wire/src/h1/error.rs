//! Why a message was refused. Every rule has its own variant and its own stable code.

/// A message head that we refuse to understand. The connection it came on must be closed after the answer:
/// where the next message would begin is unknown.
///
/// [`HeadError::status`] is the answer to a *request*; a refused *response* is always a 502 to the client
/// (contract `behaviour/errors.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    // The first line.
    /// More than `EMPTY_LINES_MAX` empty lines before the request line (RFC 9112 §2.2 tolerates "at least one").
    #[error("too many empty lines before the request line")]
    EmptyLines,
    /// The method is empty, no token, or longer than `METHOD_BYTES_MAX`.
    #[error("the method is not a token of at most 32 bytes followed by one space")]
    BadMethod,
    /// The target is missing, or holds a byte that no URI has.
    #[error("the request target is empty or holds a byte that must be percent-encoded")]
    BadTarget,
    /// The target holds `#`: fragments are never sent (RFC 9112 §3.2).
    #[error("the request target has a fragment; a client keeps it to itself")]
    TargetFragment,
    /// The target is longer than `Limits::uri_bytes_max`.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The target's form does not fit the method: `*` is for OPTIONS, `host:port` for CONNECT only.
    #[error("the form of the request target does not fit the method")]
    BadTargetForm,
    /// An absolute target whose scheme is neither http nor https.
    #[error("the scheme of the request target is not http or https")]
    BadScheme,
    /// An absolute target with `user@` (RFC 9110 §4.2.4 tells to treat it as an error).
    #[error("the request target has user information before the host")]
    UserInfo,
    /// What follows the target, or starts a response, is no HTTP version.
    #[error("the HTTP version is malformed")]
    BadVersion,
    /// A well-formed version other than 1.0 and 1.1.
    #[error("the HTTP version is not 1.0 or 1.1")]
    UnsupportedVersion,
    /// A status that is not three digits from 100 to 999, or is not followed by a space or the line's end.
    #[error("the status code is malformed")]
    BadStatus,

    // Lines.
    /// A carriage return that no line feed follows.
    #[error("a carriage return without a line feed")]
    BareCr,
    /// A line feed that no carriage return precedes.
    #[error("a line feed without a carriage return")]
    BareLf,
    /// NUL or another control byte in a target, reason phrase or field value.
    #[error("a control byte")]
    ControlByte,
    /// A header line that begins with a space or tab: obsolete folding, or a space before the first header.
    #[error("a header line begins with white space (obsolete line folding)")]
    ObsFold,
    /// White space between a header's name and its colon (RFC 9112 §5.1).
    #[error("white space before the colon of a header")]
    SpaceBeforeColon,
    /// A header line without a colon.
    #[error("a header line has no colon")]
    NoColon,
    /// A header name that is empty or no token.
    #[error("a header name is empty or holds a byte that no name has")]
    BadHeaderName,
    /// The head is longer than `Limits::head_bytes_max`.
    #[error("the head is too large")]
    HeadTooLarge,
    /// More header lines than `Limits::headers_max`.
    #[error("the head has too many header lines")]
    TooManyHeaders,

    // Host.
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    #[error("the request has no Host header")]
    HostMissing,
    /// More than one Host line.
    #[error("the request has more than one Host header")]
    HostRepeated,
    /// Host, or the authority of the target, is no `host[:port]`.
    #[error("the host is not a name, IPv4 address or [IPv6 address] with an optional port")]
    BadHost,

    // Framing.
    /// Content-Length and Transfer-Encoding in one message (RFC 9112 §6.1: the smuggler's favourite).
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndTransferEncoding,
    /// More than one Content-Length line, equal or not.
    #[error("more than one Content-Length")]
    LengthRepeated,
    /// Content-Length is not a plain decimal number from 0 to 2^63-1; lists such as `5, 5` are none.
    #[error("the Content-Length is not a decimal number below 2^63")]
    BadLength,
    /// More than one Transfer-Encoding line, or `chunked` more than once.
    #[error("more than one transfer coding")]
    TransferEncodingRepeated,
    /// Transfer-Encoding is no list of codings, has parameters, or is the withdrawn `identity`.
    #[error("the Transfer-Encoding is malformed; the only one understood is chunked")]
    BadTransferEncoding,
    /// A well-formed transfer coding other than chunked.
    #[error("the transfer coding is not implemented; the only one understood is chunked")]
    UnknownTransferCoding,
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1: its framing is faulty).
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    TransferEncodingOnHttp10,
    /// `Content_Length` or `Transfer_Encoding`: members that turn `_` into `-` would see another framing than we do.
    #[error("a header name that can be mistaken for Content-Length or Transfer-Encoding")]
    FramingLookAlike,
    /// CONNECT with a body declared, which has no meaning (RFC 9110 §9.3.6).
    #[error("a CONNECT request with a body")]
    ConnectWithBody,
    /// A 1xx response with Content-Length or Transfer-Encoding (RFC 9110 §8.6, RFC 9112 §6.1).
    #[error("an interim response declares a body")]
    InterimWithBody,

    // Connection, Upgrade, Expect.
    /// Connection is no list of tokens.
    #[error("the Connection header is not a list of names")]
    BadConnection,
    /// Connection names more than `NOMINATED_MAX` headers.
    #[error("the Connection header names too many headers")]
    TooManyConnectionOptions,
    /// Upgrade is no list of `protocol[/version]`.
    #[error("the Upgrade header is not a list of protocols")]
    BadUpgrade,
    /// Expect other than `100-continue`.
    #[error("an expectation other than 100-continue")]
    UnknownExpectation,
    /// A 101 answer to a request that asked for no upgrade.
    #[error("the member switched protocols though nobody asked for it")]
    UnexpectedUpgrade,
    /// A 101 answer whose Connection or Upgrade does not name the protocol asked for.
    #[error("the member switched to another protocol than the one asked for")]
    UpgradeMismatch,
}

impl HeadError {
    /// Status to answer a refused request with: 400, 414, 417, 501 or 505.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::UnknownTransferCoding => 501,
            Self::UnsupportedVersion => 505,
            Self::EmptyLines
            | Self::BadMethod
            | Self::BadTarget
            | Self::TargetFragment
            | Self::BadTargetForm
            | Self::BadScheme
            | Self::UserInfo
            | Self::BadVersion
            | Self::BadStatus
            | Self::BareCr
            | Self::BareLf
            | Self::ControlByte
            | Self::ObsFold
            | Self::SpaceBeforeColon
            | Self::NoColon
            | Self::BadHeaderName
            | Self::HeadTooLarge
            | Self::TooManyHeaders
            | Self::HostMissing
            | Self::HostRepeated
            | Self::BadHost
            | Self::LengthAndTransferEncoding
            | Self::LengthRepeated
            | Self::BadLength
            | Self::TransferEncodingRepeated
            | Self::BadTransferEncoding
            | Self::TransferEncodingOnHttp10
            | Self::FramingLookAlike
            | Self::ConnectWithBody
            | Self::InterimWithBody
            | Self::BadConnection
            | Self::TooManyConnectionOptions
            | Self::BadUpgrade
            | Self::UnexpectedUpgrade
            | Self::UpgradeMismatch => 400,
        }
    }

    /// Stable name for logs, metrics and tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::EmptyLines => "h1_empty_lines",
            Self::BadMethod => "h1_bad_method",
            Self::BadTarget => "h1_bad_target",
            Self::TargetFragment => "h1_target_fragment",
            Self::TargetTooLong => "h1_target_too_long",
            Self::BadTargetForm => "h1_bad_target_form",
            Self::BadScheme => "h1_bad_scheme",
            Self::UserInfo => "h1_user_info",
            Self::BadVersion => "h1_bad_version",
            Self::UnsupportedVersion => "h1_unsupported_version",
            Self::BadStatus => "h1_bad_status",
            Self::BareCr => "h1_bare_cr",
            Self::BareLf => "h1_bare_lf",
            Self::ControlByte => "h1_control_byte",
            Self::ObsFold => "h1_obs_fold",
            Self::SpaceBeforeColon => "h1_space_before_colon",
            Self::NoColon => "h1_no_colon",
            Self::BadHeaderName => "h1_bad_header_name",
            Self::HeadTooLarge => "h1_head_too_large",
            Self::TooManyHeaders => "h1_too_many_headers",
            Self::HostMissing => "h1_host_missing",
            Self::HostRepeated => "h1_host_repeated",
            Self::BadHost => "h1_bad_host",
            Self::LengthAndTransferEncoding => "h1_length_and_transfer_encoding",
            Self::LengthRepeated => "h1_length_repeated",
            Self::BadLength => "h1_bad_length",
            Self::TransferEncodingRepeated => "h1_transfer_encoding_repeated",
            Self::BadTransferEncoding => "h1_bad_transfer_encoding",
            Self::UnknownTransferCoding => "h1_unknown_transfer_coding",
            Self::TransferEncodingOnHttp10 => "h1_transfer_encoding_on_http10",
            Self::FramingLookAlike => "h1_framing_look_alike",
            Self::ConnectWithBody => "h1_connect_with_body",
            Self::InterimWithBody => "h1_interim_with_body",
            Self::BadConnection => "h1_bad_connection",
            Self::TooManyConnectionOptions => "h1_too_many_connection_options",
            Self::BadUpgrade => "h1_bad_upgrade",
            Self::UnknownExpectation => "h1_unknown_expectation",
            Self::UnexpectedUpgrade => "h1_unexpected_upgrade",
            Self::UpgradeMismatch => "h1_upgrade_mismatch",
        }
    }
}

/// A body that does not follow its framing. The connection it came on must be closed, and what was forwarded of
/// it must end without its end (no last chunk), so that the receiver sees it as incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk size that is empty, no hexadecimal number, or longer than 16 digits or 2^63-1.
    #[error("a chunk size is not a hexadecimal number of at most 16 digits")]
    BadChunkSize,
    /// A chunk extension that does not follow RFC 9112 §7.1.1 (white space in it is refused too).
    #[error("a chunk extension is malformed")]
    BadChunkExtension,
    /// Chunk extensions without end: see `CHUNK_EXTENSION_BYTES_MAX`.
    #[error("the chunk extensions are too long")]
    ChunkExtensionTooLong,
    /// Chunk data that CRLF does not follow.
    #[error("chunk data is not followed by CRLF")]
    BadChunkEnd,
    /// More than `TRAILER_BYTES_MAX` bytes of trailers.
    #[error("the trailer section is too large")]
    TrailersTooLarge,
    /// A trailer line that breaks the rules of header lines.
    #[error("a trailer line is malformed")]
    BadTrailer(#[source] HeadError),
    /// The connection ended before the body did.
    #[error("the connection closed before the body was complete")]
    Truncated,
}

impl BodyError {
    /// Status to answer with while no answer has begun: 400. A response's body error is a 502, if it still can be.
    pub fn status(self) -> u16 {
        400
    }

    /// Stable name for logs, metrics and tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadChunkSize => "h1_bad_chunk_size",
            Self::BadChunkExtension => "h1_bad_chunk_extension",
            Self::ChunkExtensionTooLong => "h1_chunk_extension_too_long",
            Self::BadChunkEnd => "h1_bad_chunk_end",
            Self::TrailersTooLarge => "h1_trailers_too_large",
            Self::BadTrailer(_) => "h1_bad_trailer",
            Self::Truncated => "h1_truncated",
        }
    }
}
