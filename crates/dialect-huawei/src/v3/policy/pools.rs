//! Several pools with shares, and staying with one of them.

use model::{
    PoolId, StickyMinutes, Weight,
    policy::{PoolStickiness, WeightedPool},
};
use serde::Serialize;

use crate::v3::fields::{Fields, Refusal};

// ---- wire ----

/// A pool and its share.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    pool_id: String,
    weight: u16,
}

/// Staying with one of several pools.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WireStickiness {
    enable: bool,
    timeout: u32,
}

// ---- decode ----

/// Most pools of a policy.
const POOLS_MAX: usize = 5;
const STICKY_DEFAULT: StickyMinutes = StickyMinutes::of(1440);

/// `redirect_pools_config`.
pub(super) fn decode(policy: &mut Fields<'_>) -> Result<Option<Vec<WeightedPool>>, Refusal> {
    let Some(items) = policy.objects("redirect_pools_config", POOLS_MAX)? else { return Ok(None) };
    items.into_iter().map(decode_one).collect::<Result<_, _>>().map(Some)
}

/// One of them. The vendor's SDK writes the weight as a string.
pub(crate) fn decode_one(mut fields: Fields<'_>) -> Result<WeightedPool, Refusal> {
    let pool = fields.id::<PoolId>("pool_id")?;
    let weight = fields.integer_or_digits("weight", 0..=100)?.unwrap_or(1);
    let weighted = WeightedPool {
        pool: fields.required("pool_id", pool)?,
        weight: fields.typed::<_, Weight>("weight", weight)?,
    };
    fields.done()?;
    Ok(weighted)
}

/// `redirect_pools_sticky_session_config` of a policy that has `now` so far.
pub(super) fn decode_stickiness(
    policy: &mut Fields<'_>,
    now: Option<PoolStickiness>,
) -> Result<Option<PoolStickiness>, Refusal> {
    let Some(mut fields) = policy.object("redirect_pools_sticky_session_config")? else { return Ok(None) };
    let minutes = fields.integer("timeout", 1..=1440)?;
    let minutes = minutes.map(|minutes| fields.typed("timeout", minutes)).transpose()?;
    let stickiness = PoolStickiness {
        enabled: fields.flag("enable")?.or(now.map(|now| now.enabled)).unwrap_or(false),
        minutes: minutes.or(now.map(|now| now.minutes)).unwrap_or(STICKY_DEFAULT),
    };
    fields.done()?;
    Ok(Some(stickiness))
}

// ---- encode ----

/// The pools as answers show them.
pub(super) fn encode(pools: &[WeightedPool]) -> Vec<Wire> {
    let shown = |weighted: &WeightedPool| Wire {
        pool_id: weighted.pool.to_string(),
        weight: weighted.weight.value(),
    };
    pools.iter().map(shown).collect()
}

/// Staying as answers show it.
pub(super) fn encode_stickiness(stickiness: PoolStickiness) -> WireStickiness {
    WireStickiness { enable: stickiness.enabled, timeout: stickiness.minutes.value() }
}
