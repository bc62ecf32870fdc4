//! Applying a change to a policy's action. The kind of action never changes, and what belongs to another kind is refused.

use model::{
    Action, Patch, PolicyPatch,
    policy::{
        Extras, ExtrasPatch, FixedResponse, FixedResponsePatch, Forward, InsertedHeader, UrlRedirect,
        UrlRedirectPatch,
    },
};

use crate::Error;

/// Takes the action's parts out of the patch.
pub(super) fn action(action: &mut Action, patch: &mut PolicyPatch) -> Result<(), Error> {
    check_kind(action, patch)?;
    match action {
        Action::Forward(forward) => self::forward(forward, patch),
        Action::ToListener(listener) => *listener = patch.to_listener.take().unwrap_or(*listener),
        Action::ToUrl(redirect) => {
            if let Some(said) = patch.to_url.take() {
                to_url(redirect, said);
            }
        }
        Action::Fixed(response) => {
            if let Some(said) = patch.fixed.take() {
                fixed(response, said);
            }
        }
    }
    Ok(())
}

/// Null for a field of another action is no wish.
fn check_kind(action: &Action, patch: &PolicyPatch) -> Result<(), Error> {
    let set = |field, said: bool| (field, said);
    let forward = [
        set("redirect_pool_id", patch.pool.resolve(None).is_some()),
        set("redirect_pools_config", patch.pools.resolve(None).is_some_and(|pools| !pools.is_empty())),
        set("redirect_pools_sticky_session_config", patch.stickiness.resolve(None).is_some()),
        set("redirect_pools_extend_config", patch.extras.resolve(None).is_some()),
    ];
    let to_listener = set("redirect_listener_id", patch.to_listener.is_some());
    let to_url = set("redirect_url_config", patch.to_url.is_some());
    let fixed = set("fixed_response_config", patch.fixed.is_some());
    let foreign: Vec<_> = match action {
        Action::Forward(_) => vec![to_listener, to_url, fixed],
        Action::ToListener(_) => forward.into_iter().chain([to_url, fixed]).collect(),
        Action::ToUrl(_) => forward.into_iter().chain([to_listener, fixed]).collect(),
        Action::Fixed(_) => forward.into_iter().chain([to_listener, to_url]).collect(),
    };
    match foreign.into_iter().find(|(_, said)| *said) {
        Some((field, _)) => Err(Error::invalid(field, "belongs to another action than the policy's")),
        None => Ok(()),
    }
}

fn forward(forward: &mut Forward, patch: &mut PolicyPatch) {
    std::mem::take(&mut patch.pool).apply(&mut forward.pool);
    match std::mem::take(&mut patch.pools) {
        Patch::Keep => {}
        Patch::Clear => forward.pools = Vec::new(),
        Patch::Set(pools) => forward.pools = pools,
    }
    std::mem::take(&mut patch.stickiness).apply(&mut forward.stickiness);
    match std::mem::take(&mut patch.extras) {
        Patch::Keep => {}
        Patch::Clear => forward.extras = Extras::default(),
        Patch::Set(said) => extras(&mut forward.extras, said),
    }
}

fn extras(extras: &mut Extras, said: ExtrasPatch) {
    said.rewrite.apply(&mut extras.rewrite);
    extras.rewrite_enabled = said.rewrite_enabled.unwrap_or(extras.rewrite_enabled);
    headers(&mut extras.headers.insert, said.insert_headers);
    names(&mut extras.headers.remove, said.remove_headers);
    said.limit.apply(&mut extras.limit);
    said.cors.apply(&mut extras.cors);
    said.mirror.apply(&mut extras.mirror);
}

fn to_url(redirect: &mut UrlRedirect, said: UrlRedirectPatch) {
    let texts = [
        (&mut redirect.protocol, said.protocol),
        (&mut redirect.host, said.host),
        (&mut redirect.port, said.port),
        (&mut redirect.path, said.path),
        (&mut redirect.query, said.query),
    ];
    for (field, said) in texts {
        if let Some(said) = said {
            *field = said;
        }
    }
    redirect.status = said.status.unwrap_or(redirect.status);
    headers(&mut redirect.headers.insert, said.insert_headers);
    names(&mut redirect.headers.remove, said.remove_headers);
}

fn fixed(response: &mut FixedResponse, said: FixedResponsePatch) {
    response.status = said.status.unwrap_or(response.status);
    if let Some(content_type) = said.content_type {
        response.content_type = content_type;
    }
    if let Some(body) = said.body {
        response.body = body;
    }
    headers(&mut response.headers.insert, said.insert_headers);
    names(&mut response.headers.remove, said.remove_headers);
    said.limit.apply(&mut response.limit);
}

fn headers(headers: &mut Vec<InsertedHeader>, said: Patch<Vec<InsertedHeader>>) {
    match said {
        Patch::Keep => {}
        Patch::Clear => headers.clear(),
        Patch::Set(said) => *headers = said,
    }
}

fn names(names: &mut Vec<String>, said: Patch<Vec<String>>) {
    match said {
        Patch::Keep => {}
        Patch::Clear => names.clear(),
        Patch::Set(said) => *names = said,
    }
}
