//! Huawei Cloud words to our words and back: Elastic Load Balance v3, and the little of VPC v1 that its clients ask for.
//!
//! A dialect holds no rule: it reads a request into a command of `control` and writes the answer. The caller of a request is
//! found by the gateway, which puts an [`identity::Caller`] (and always an [`identity::Origin`]) into the request's extensions.
//!
//! ```text
//! /versions                          v3::versions
//! /v3/{project_id}/elb/…             v3
//! /v1/{project_id}/vpcs, /subnets    vpc
//! ```

pub(crate) mod v3;
pub(crate) mod vpc;

use std::sync::Arc;

use axum::Router;
use control::Control;

/// How the dialect behaves where its contract leaves it to the operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Refuse fields that are not known (400) instead of ignoring them. Default: ignore, and tell once in the log, because
    /// newer clients send fields that this version does not know.
    pub strict_fields: bool,
}

/// The routes of the dialect. Errors have the vendor's body, unknown paths too; an unknown method is a bare 405.
pub fn router(control: Control, options: Options) -> Router {
    let app = v3::call::App { control, unknown: v3::fields::UnknownFields::new(options.strict_fields) };
    v3::router().merge(vpc::router()).fallback(v3::unknown_uri).with_state(Arc::new(app))
}
