//! The rules of what policies do (behaviour/forwarding.md, Actions).

use std::collections::BTreeSet;

use model::{
    Action, Listener, ListenerId, ListenerProtocol, QuotaKey, Weight,
    policy::{Extras, FixedResponse, Forward},
};

use super::{extras, url};
use crate::{
    Error,
    command::Draft,
    listener::reach::{self, User},
};

/// Whether a listener's policy may do that.
pub(super) fn check(draft: &Draft<'_>, listener: &Listener, action: &Action) -> Result<(), Error> {
    let enhanced = listener.http().is_some_and(|http| http.enhanced_policies);
    let needs = |field| if enhanced { Ok(()) } else { Err(needs_enhanced(field)) };
    match action {
        Action::Forward(forward) => {
            if !forward.pools.is_empty() {
                needs("redirect_pools_config")?;
            }
            if forward.stickiness.is_some() {
                needs("redirect_pools_sticky_session_config")?;
            }
            if forward.extras != Extras::default() {
                needs("redirect_pools_extend_config")?;
            }
            check_forward(draft, listener, forward)
        }
        Action::ToListener(target) => check_to_listener(draft, listener, *target),
        Action::ToUrl(redirect) => {
            needs("redirect_url_config")?;
            url::check_redirect(listener, redirect)
        }
        Action::Fixed(response) => {
            needs("fixed_response_config")?;
            check_fixed(listener, response)
        }
    }
}

pub(crate) fn needs_enhanced(field: &'static str) -> Error {
    Error::invalid(field, "needs enhance_l7policy_enable on the listener")
}

fn check_forward(draft: &Draft<'_>, listener: &Listener, forward: &Forward) -> Result<(), Error> {
    let field = "redirect_pools_config";
    if forward.pools.len() > POOLS_MAX {
        return Err(Error::invalid(field, format!("at most {POOLS_MAX} pools are allowed")));
    }
    draft.quota(QuotaKey::PoolsPerL7policy, forward.pools.len())?;
    let mut seen = BTreeSet::new();
    for weighted in &forward.pools {
        if !seen.insert(weighted.pool) {
            return Err(Error::invalid(field, format!("pool {} stands twice", weighted.pool)));
        }
        if weighted.weight > WEIGHT_MAX {
            let reason = format!("weight is {}; it must be from 0 to {WEIGHT_MAX}", weighted.weight);
            return Err(Error::invalid(field, reason));
        }
    }
    let lb = draft.load_balancer(listener.load_balancer)?;
    let user = User { load_balancer: &lb, service: &listener.service, listener: Some(listener.id) };
    if let Some(pool) = forward.pool {
        reach::check_pool(draft, &user, pool, "redirect_pool_id")?;
    }
    for weighted in &forward.pools {
        reach::check_pool(draft, &user, weighted.pool, field)?;
    }
    extras::check(&forward.extras, listener)?;
    for pool in forward.extras.mirror.iter().flat_map(|mirror| &mirror.pools) {
        reach::check_pool(draft, &user, *pool, extras::FIELD)?;
    }
    Ok(())
}

fn check_to_listener(draft: &Draft<'_>, listener: &Listener, target: ListenerId) -> Result<(), Error> {
    let field = "redirect_listener_id";
    if listener.protocol() != ListenerProtocol::Http {
        return Err(Error::invalid(
            "action",
            format!(
                "only HTTP listeners redirect to a listener; {} is {:?}",
                listener.id,
                listener.protocol()
            ),
        ));
    }
    let target = draft.listener(target)?;
    if target.load_balancer != listener.load_balancer {
        return Err(Error::invalid(field, "the listener belongs to another load balancer"));
    }
    if target.protocol() != ListenerProtocol::Https {
        let reason = format!("listener {} is {:?}; it must be HTTPS", target.id, target.protocol());
        return Err(Error::invalid(field, reason));
    }
    Ok(())
}

fn check_fixed(listener: &Listener, response: &FixedResponse) -> Result<(), Error> {
    let field = "fixed_response_config";
    if !matches!(response.status, 200..=299 | 400..=499 | 500..=599) {
        return Err(Error::invalid(
            field,
            format!("status_code is {}; it must be from 200 to 299 or from 400 to 599", response.status),
        ));
    }
    if !CONTENT_TYPES.contains(&response.content_type.as_str()) {
        let reason = format!("content_type must be one of {}", CONTENT_TYPES.join(", "));
        return Err(Error::invalid(field, reason));
    }
    if response.body.len() > BODY_MAX {
        let length = response.body.len();
        return Err(Error::invalid(
            field,
            format!("message_body has {length} bytes; at most {BODY_MAX} are allowed"),
        ));
    }
    if response.body.contains('\r') {
        return Err(Error::invalid(field, "message_body must not hold a carriage return"));
    }
    extras::check_headers(&response.headers, listener, field)?;
    extras::check_limit(response.limit.as_ref(), field)
}

/// Pools of one policy, whatever the quota says.
const POOLS_MAX: usize = 5;
/// The largest share of a pool.
const WEIGHT_MAX: Weight = Weight::of(100);
/// What a fixed response may be.
const CONTENT_TYPES: [&str; 5] =
    ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];
/// Bytes of a fixed response's body.
const BODY_MAX: usize = 1024;
