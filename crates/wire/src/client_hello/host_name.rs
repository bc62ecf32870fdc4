//! Host names as SNI has them (RFC 6066 §3, RFC 1123 §2.1).

/// The host name that `sent` is, without a final dot.
pub(super) fn read(sent: &[u8]) -> Option<&str> {
    let name = sent.strip_suffix(b".").unwrap_or(sent);
    std::str::from_utf8(name).ok().filter(|name| is_host_name(name))
}

/// Is this a host name? Labels of 1 to 63 letters, digits, `-` and `_` (which is no letter of a host name, but is used), none
/// with `-` at an end; 253 bytes in all; no final dot. The last label has a letter, or it would be an address.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}
