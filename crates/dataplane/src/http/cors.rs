//! Cross-origin sharing: preflights are answered here, and answers say who may read them (the Fetch standard, "CORS protocol").
//!
//! What members say about it is taken out of their answers: the policy alone says who may read. A preflight of an origin that may not
//! is answered without leave, which is how a browser is told.

use plan::{CorsPlan, cors::Origins};
use wire::h1::{HeaderId, HeaderLines, MethodKind, RequestHead};

/// The headers of members that the policy's own take the place of.
pub(super) const MEMBERS_OWN: &[&[u8]] =
    &[b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-expose-headers"];

/// The lines of the answer to a preflight; none: the request is none.
pub(super) fn preflight(cors: &CorsPlan, head: &RequestHead<'_>) -> Option<HeaderLines> {
    if head.method_kind() != MethodKind::Options {
        return None;
    }
    let origin = head.header(HeaderId::ORIGIN)?;
    head.values_named(b"access-control-request-method").next()?;
    let mut lines = HeaderLines::new();
    if allow(cors, origin, &mut lines) {
        for (name, value) in [
            (&b"Access-Control-Allow-Methods"[..], &cors.allow_methods),
            (b"Access-Control-Allow-Headers", &cors.allow_headers),
        ] {
            if !value.is_empty() {
                let _well_formed = lines.push(name, value.as_bytes());
            }
        }
        let _well_formed = lines.push(b"Access-Control-Max-Age", cors.max_age.to_string().as_bytes());
    }
    Some(lines)
}

/// The lines for the answer to a request of this origin.
pub(super) fn lines(cors: &CorsPlan, origin: Option<&[u8]>) -> HeaderLines {
    let mut lines = HeaderLines::new();
    let Some(origin) = origin else {
        vary(cors, &mut lines);
        return lines;
    };
    if allow(cors, origin, &mut lines) && !cors.expose_headers.is_empty() {
        let _well_formed = lines.push(b"Access-Control-Expose-Headers", cors.expose_headers.as_bytes());
    }
    lines
}

/// Gives leave to an origin that has it.
fn allow(cors: &CorsPlan, origin: &[u8], lines: &mut HeaderLines) -> bool {
    vary(cors, lines);
    if !cors.origins.contains(origin) {
        return false;
    }
    // With credentials `*` stands for nobody, so the origin is named.
    let named = if names_origin(cors) { origin } else { b"*" };
    let _checked_by_the_parser = lines.push(b"Access-Control-Allow-Origin", named);
    if cors.allow_credentials {
        let _well_formed = lines.push(b"Access-Control-Allow-Credentials", b"true");
    }
    true
}

fn vary(cors: &CorsPlan, lines: &mut HeaderLines) {
    if names_origin(cors) {
        let _well_formed = lines.push(b"Vary", b"Origin");
    }
}

/// Whether answers differ by origin.
fn names_origin(cors: &CorsPlan) -> bool {
    cors.allow_credentials || cors.origins != Origins::Any
}
