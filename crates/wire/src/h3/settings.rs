//! Settings (RFC 9114 section 7.2.4, RFC 9220 section 3).

use super::{Code, kind, push_frame_header, push_varint, read_varint};

/// What a peer wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The longest list of fields that it takes, counted as [`super::qpack::FIELD_BYTES`] says; none: any.
    pub max_field_section_size: Option<u64>,
}

impl Settings {
    /// The settings of a whole payload. Unknown ones mean nothing.
    ///
    /// # Errors
    /// The code that the connection is to be ended with: one is there twice, or of HTTP/2, or the last is not whole.
    pub fn parse(mut payload: &[u8]) -> Result<Self, Code> {
        let mut settings = Self::default();
        let mut seen = Vec::new();
        while !payload.is_empty() {
            let (id, used) = read_varint(payload).ok_or(Code::FRAME_ERROR)?;
            let (value, used_too) = read_varint(&payload[used..]).ok_or(Code::FRAME_ERROR)?;
            payload = &payload[used + used_too..];
            if matches!(id, 0x0 | 0x2..=0x5) || seen.contains(&id) {
                return Err(Code::SETTINGS_ERROR);
            }
            seen.push(id);
            match id {
                MAX_FIELD_SECTION_SIZE => settings.max_field_section_size = Some(value),
                ENABLE_CONNECT_PROTOCOL if value > 1 => return Err(Code::SETTINGS_ERROR),
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// Appends the frame of a server's settings: extended CONNECT is understood, lists of fields have at most so many bytes, and there is no
/// dynamic table (which is the default).
pub fn push_settings(out: &mut Vec<u8>, max_field_section_size: u64) {
    let mut payload = Vec::new();
    for (id, value) in [(MAX_FIELD_SECTION_SIZE, max_field_section_size), (ENABLE_CONNECT_PROTOCOL, 1)] {
        push_varint(&mut payload, id);
        push_varint(&mut payload, value);
    }
    push_frame_header(out, kind::SETTINGS, payload.len() as u64);
    out.extend_from_slice(&payload);
}

const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_wrong_ones_end_the_connection() {
        for (why, payload, expect) in [
            ("none", &[][..], Ok(None)),
            ("ours", &[0x6, 0x44, 0x00, 0x8, 1], Ok(Some(1024))),
            ("an unknown one", &[0x21, 7, 0x6, 1], Ok(Some(1))),
            ("twice", &[0x6, 1, 0x6, 1], Err(Code::SETTINGS_ERROR)),
            ("of HTTP/2", &[0x4, 1], Err(Code::SETTINGS_ERROR)),
            ("not a switch", &[0x8, 2], Err(Code::SETTINGS_ERROR)),
            ("without a value", &[0x6], Err(Code::FRAME_ERROR)),
        ] {
            let settings = Settings::parse(payload).map(|settings| settings.max_field_section_size);
            assert_eq!(settings, expect, "{why}");
        }
        let mut out = Vec::new();
        push_settings(&mut out, 65_536);
        assert_eq!(out[0], 4);
        assert_eq!(Settings::parse(&out[2..]).unwrap().max_field_section_size, Some(65_536));
    }
}
