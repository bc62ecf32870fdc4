//! `member_tls`: whether and how the members of an HTTPS or TLS pool are verified. A field of our own; the documents have none.

use model::{MemberTls as Model, Patch, ServerName};
use serde::Serialize;

use crate::v3::fields::{Fields, Refusal};

// ---- wire ----

/// How members prove who they are.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MemberTls {
    ca_certificate_id: String,
    server_name: Option<String>,
}

// ---- decode ----

/// What a request says of a pool that has `now` so far; what it leaves open stays so.
pub(crate) fn decode(pool: &mut Fields<'_>, now: Option<&Model>) -> Result<Patch<Model>, Refusal> {
    let mut fields = match pool.nullable_object("member_tls")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    let authority = fields.id("ca_certificate_id")?.or(now.map(|now| now.authority));
    let authority = fields.required("ca_certificate_id", authority)?;
    let mut server_name = now.and_then(|now| now.server_name.clone());
    let said = fields.nullable_string("server_name", 1..=ServerName::MAX)?;
    fields.typed_patch("server_name", said)?.apply(&mut server_name);
    fields.done()?;
    Ok(Patch::Set(Model { authority, server_name }))
}

// ---- encode ----

/// The setting as answers show it.
pub(crate) fn encode(member_tls: &Model) -> MemberTls {
    MemberTls {
        ca_certificate_id: member_tls.authority.simple(),
        server_name: member_tls.server_name.as_ref().map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    #[test]
    fn it_names_an_authority_and_perhaps_a_host() {
        let name = |name: &str| ServerName::try_from(name).ok();
        let now = Model { authority: ID.parse().unwrap(), server_name: name("old.example.com") };
        let set = |server_name| Ok(Patch::Set(Model { server_name, ..now.clone() }));
        for (why, before, content, expect) in [
            ("an authority", None, json!({ "ca_certificate_id": ID }), set(None)),
            ("and a name", None, json!({"ca_certificate_id": ID, "server_name": "A.b"}), set(name("a.b"))),
            (
                "without an authority",
                None,
                json!({"server_name": "a.b"}),
                Err("member_tls.ca_certificate_id"),
            ),
            ("no id", None, json!({"ca_certificate_id": "x"}), Err("member_tls.ca_certificate_id")),
            ("an address", Some(&now), json!({"server_name": "127.0.0.1"}), Err("member_tls.server_name")),
            ("an empty name", Some(&now), json!({"server_name": ""}), Err("member_tls.server_name")),
            ("nothing", Some(&now), json!({}), set(name("old.example.com"))),
            ("another name", Some(&now), json!({"server_name": "new"}), set(name("new"))),
            ("no name", Some(&now), json!({"server_name": null}), set(None)),
            ("a text", Some(&now), json!("x"), Err("member_tls")),
            ("null", Some(&now), Value::Null, Ok(Patch::Clear)),
        ] {
            let found = read(json!({ "member_tls": content }), |mut pool| decode(&mut pool, before));
            assert_eq!(found, expect.map_err(str::to_owned), "{why}");
        }
        assert_eq!(read(json!({}), |mut pool| decode(&mut pool, Some(&now))), Ok(Patch::Keep));
    }
}
