//! Whether turns are in proportion to weights, and to how far slow starts are.

use crate::rules::Warming;

/// A member of a group in turns.
pub(crate) struct Share {
    pub(crate) weight: u16,
    pub(crate) warming: Warming,
    /// How many of the picks were its own.
    pub(crate) picks: u32,
}

/// A row of picks is within so many turns of its exact shares, wherever it begins.
const SLACK: f64 = 4.0;

/// Panics where a member has more than its share, or less. All members are usable.
pub(crate) fn check(shares: &[Share], duration_s: Option<u32>, now_ms: u64) {
    let part = |share: &Share| share.warming.part(duration_s, now_ms);
    let heaviest = shares.iter().map(|share| share.weight).max().unwrap_or(0).max(1);
    // Weights are whole numbers up to 256, so the share of somebody who warms is at most one such unit above the exact one.
    let warms = shares.iter().any(|share| part(share) < 1.0);
    let (scale, unit) = if warms { (f64::from(256 / heaviest), 1.0) } else { (1.0, 0.0) };
    let least = |share: &Share| f64::from(share.weight) * scale * part(share);
    let most = |share: &Share| match share.weight > 0 && part(share) < 1.0 {
        true => least(share) + unit,
        false => least(share),
    };
    let picks: u32 = shares.iter().map(|share| share.picks).sum();
    let (all_least, all_most): (f64, f64) = (shares.iter().map(least).sum(), shares.iter().map(most).sum());
    for (place, share) in shares.iter().enumerate() {
        let others_least = all_least - least(share);
        let others_most = all_most - most(share);
        let total = f64::from(picks);
        let upper = total * most(share) / (most(share) + others_least).max(f64::MIN_POSITIVE);
        let lower = total * least(share) / (least(share) + others_most).max(f64::MIN_POSITIVE);
        let got = f64::from(share.picks);
        let Share { weight, warming, .. } = share;
        assert!(
            got <= upper + SLACK && got >= lower - SLACK,
            "member {place} of weight {weight} ({warming:?}) got {got} of {picks}, and should get {lower:.1} to {upper:.1}"
        );
    }
}
