//! Splitting a PEM text into its sections (RFC 7468). Text outside of sections is a remark and passed over.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::PemFault;

/// A section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// What stands behind BEGIN.
    pub(super) label: &'a str,
    /// Whether it has header lines that say that it is encrypted (RFC 1421).
    pub(super) encrypted: bool,
    /// What the base64 text stands for.
    pub(super) der: Vec<u8>,
}

/// The sections in order.
pub(super) fn split(text: &str) -> Result<Vec<Block<'_>>, PemFault> {
    let mut blocks = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let mut last = 0;
    for (n, line) in text.lines().enumerate() {
        last = n + 1;
        let malformed = |reason| Err(PemFault::Malformed { line: n + 1, reason });
        let line = line.trim_end();
        match (open.take(), edge(line)) {
            (None, Edge::None) => {}
            (None, Edge::Begin(label)) => {
                open = Some(Open { label, line: n + 1, encrypted: false, base64: String::new() });
            }
            (None, Edge::End(_)) => return malformed("an END line without its BEGIN line"),
            (_, Edge::Broken) => {
                return malformed(
                    "a BEGIN or END line must stand at the line's start and have five hyphens at each end",
                );
            }
            (Some(_), Edge::Begin(_)) => {
                return malformed("a BEGIN line before the END line of the last section");
            }
            (Some(section), Edge::End(label)) if section.label == label => blocks.push(section.close()?),
            (Some(_), Edge::End(_)) => {
                return malformed("the END line has another label than the BEGIN line");
            }
            (Some(mut section), Edge::None) => {
                section.line(line);
                open = Some(section);
            }
        }
    }
    match open {
        None => Ok(blocks),
        Some(_) => {
            Err(PemFault::Malformed { line: last, reason: "the END line of the last section is missing" })
        }
    }
}

/// A section whose end has not come.
struct Open<'a> {
    label: &'a str,
    line: usize,
    encrypted: bool,
    base64: String,
}

impl<'a> Open<'a> {
    fn line(&mut self, line: &str) {
        match line.split_once(':') {
            Some((name, value)) => {
                self.encrypted |= name.trim() == "Proc-Type" && value.contains("ENCRYPTED");
            }
            None => self.base64.push_str(line.trim_start()),
        }
    }

    fn close(self) -> Result<Block<'a>, PemFault> {
        let Self { label, line, encrypted, base64 } = self;
        let malformed = |reason| Err(PemFault::Malformed { line, reason });
        match STANDARD.decode(&base64) {
            // The text of an encrypted key means nothing to us.
            Ok(der) if !der.is_empty() || encrypted => Ok(Block { label, encrypted, der }),
            Ok(_) => malformed("the section that begins there is empty"),
            Err(_) => malformed("the section that begins there is no base64 text"),
        }
    }
}

enum Edge<'a> {
    Begin(&'a str),
    End(&'a str),
    /// Looks like an edge, but is none.
    Broken,
    None,
}

fn edge(line: &str) -> Edge<'_> {
    let label = |begin: &str| {
        let label = line.strip_prefix(begin)?.strip_suffix("-----")?;
        (!label.is_empty() && !label.contains("--")).then_some(label)
    };
    match (label("-----BEGIN "), label("-----END ")) {
        (Some(label), _) => Edge::Begin(label),
        (None, Some(label)) => Edge::End(label),
        (None, None) if line.contains("----") && (line.contains("BEGIN") || line.contains("END")) => {
            Edge::Broken
        }
        (None, None) => Edge::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_and_remarks_passed_over() {
        let text = "subject=/CN=a\n-----BEGIN A-----\r\nAQID\r\n-----END A-----\r\n\n-----BEGIN B C-----\nAQ\nID\n-----END B C-----";
        let blocks = split(text).unwrap();
        let shown: Vec<_> = blocks.iter().map(|block| (block.label, block.der.as_slice())).collect();
        assert_eq!(shown, [("A", &[1, 2, 3][..]), ("B C", &[1, 2, 3])]);
        assert_eq!(split("").unwrap(), []);
    }

    #[test]
    fn what_is_not_well_formed_is_named_with_its_line() {
        for (why, text, line) in [
            ("never ends", "-----BEGIN A-----\nAQID\n", 2),
            ("ends without a beginning", "x\n-----END A-----", 2),
            ("ends as something else", "-----BEGIN A-----\nAQID\n-----END B-----", 3),
            ("begins twice", "-----BEGIN A-----\n-----BEGIN A-----", 2),
            ("four hyphens", "-----BEGIN A----\nAQID\n-----END A-----", 1),
            ("five hyphens in the middle", "----- BEGIN A-----", 1),
            ("indented", "  -----BEGIN A-----\nAQID\n-----END A-----", 1),
            ("no base64", "-----BEGIN A-----\nAQ*D\n-----END A-----", 1),
            ("cut base64", "-----BEGIN A-----\nAQI\n-----END A-----", 1),
            ("empty", "-----BEGIN A-----\n-----END A-----", 1),
        ] {
            match split(text) {
                Err(PemFault::Malformed { line: found, .. }) => assert_eq!(found, line, "{why}"),
                other => panic!("{why}: {other:?}"),
            }
        }
    }

    #[test]
    fn old_headers_say_that_a_key_is_encrypted() {
        let text =
            "-----BEGIN K-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END K-----";
        let blocks = split(text).unwrap();
        assert!(blocks[0].encrypted);
        assert_eq!(blocks[0].der, [1, 2, 3]);
    }
}
