//! Why a hello is none.

/// Bytes that begin as TLS and are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ClientHelloError {
    /// A record of another kind than handshake where the hello must be.
    #[error("the connection does not begin with a handshake record")]
    UnexpectedRecord,
    /// A record whose version is none of SSL 3.0 to TLS 1.3.
    #[error("a record's version is not one of TLS")]
    BadRecordVersion,
    /// A handshake record without content (RFC 8446 §5.1).
    #[error("a handshake record is empty")]
    EmptyRecord,
    /// A record of more than 16 KiB (RFC 8446 §5.1).
    #[error("a record is longer than 16 KiB")]
    RecordTooLong,
    /// More than [`RECORDS_MAX`](super::RECORDS_MAX) records.
    #[error("the hello is spread over too many records")]
    TooManyRecords,
    /// The hello ends beyond [`CLIENT_HELLO_BYTES_MAX`](super::CLIENT_HELLO_BYTES_MAX).
    #[error("the hello is longer than 64 KiB")]
    TooLong,
    /// The first handshake message is another one.
    #[error("the first message is not a ClientHello")]
    NotClientHello,
    /// A length that goes beyond what holds it, leaves bytes over, is odd where pairs must be, or is 0 where it may not.
    #[error("a length in the hello does not fit")]
    BadLength,
    /// More than [`EXTENSIONS_MAX`](super::EXTENSIONS_MAX) extensions.
    #[error("the hello has too many extensions")]
    TooManyExtensions,
    /// An extension that is there twice (RFC 8446 §4.2).
    #[error("an extension is there twice")]
    RepeatedExtension,
    /// More than one host name (RFC 6066 §3).
    #[error("the hello asks for more than one host name")]
    RepeatedHostName,
}

impl ClientHelloError {
    /// Stable name for logs, metrics and tests.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnexpectedRecord => "hello_unexpected_record",
            Self::BadRecordVersion => "hello_bad_record_version",
            Self::EmptyRecord => "hello_empty_record",
            Self::RecordTooLong => "hello_record_too_long",
            Self::TooManyRecords => "hello_too_many_records",
            Self::TooLong => "hello_too_long",
            Self::NotClientHello => "hello_not_client_hello",
            Self::BadLength => "hello_bad_length",
            Self::TooManyExtensions => "hello_too_many_extensions",
            Self::RepeatedExtension => "hello_repeated_extension",
            Self::RepeatedHostName => "hello_repeated_host_name",
        }
    }

    /// The alert to close with (RFC 8446 §6): unexpected_message, record_overflow, illegal_parameter, decode_error or
    /// protocol_version.
    pub fn alert(self) -> u8 {
        match self {
            Self::UnexpectedRecord | Self::EmptyRecord | Self::NotClientHello => 10,
            Self::RecordTooLong => 22,
            Self::RepeatedExtension | Self::RepeatedHostName => 47,
            Self::TooManyRecords | Self::TooLong | Self::BadLength | Self::TooManyExtensions => 50,
            Self::BadRecordVersion => 70,
        }
    }
}
