//! Modification protection: a mark with a reason (huawei/behaviours.md section 5).

use model::{
    Description,
    load_balancer::{Protection, ProtectionPatch},
};

use crate::Error;

/// Refuses a reason that could be markup.
pub(crate) fn check(protection: &Protection) -> Result<(), Error> {
    match protection {
        Protection::None => Ok(()),
        Protection::Console { reason } => check_reason(reason),
    }
}

/// The mark after a change. A reason needs protection; unprotecting clears it.
pub(crate) fn patched(now: &Protection, patch: ProtectionPatch) -> Result<Protection, Error> {
    let ProtectionPatch { console, reason } = patch;
    let protect = console.unwrap_or(matches!(now, Protection::Console { .. }));
    match (protect, reason) {
        (false, Some(reason)) if !reason.is_empty() => Err(Error::invalid(
            "protection_reason",
            "a reason needs the protection itself; set consoleProtection too",
        )),
        (false, _) => Ok(Protection::None),
        (true, Some(reason)) => {
            check_reason(&reason)?;
            Ok(Protection::Console { reason })
        }
        (true, None) => Ok(match now {
            Protection::Console { reason } => Protection::Console { reason: reason.clone() },
            Protection::None => Protection::Console { reason: Description::default() },
        }),
    }
}

fn check_reason(reason: &Description) -> Result<(), Error> {
    if reason.as_str().contains(['<', '>']) {
        return Err(Error::invalid("protection_reason", "must not hold '<' or '>'"));
    }
    Ok(())
}
