//! Leaving members out for a while that fail the work that they are given, whatever probes say.
//!
//! An addition of ours: the documents know probes alone. What it does in detail: `balance::outliers`.

use serde::{Deserialize, Serialize};

use crate::range::{EjectedPercent, EjectionTime, FailureRow};

/// When a pool's members are left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// Whether it is on.
    pub enabled: bool,
    /// Connections in a row that could not be made; 0: they do not count.
    pub connect_failures: FailureRow,
    /// Answers in a row with a status of the 500s, or that broke off or did not come in time; 0: they do not count. Of pools of
    /// layer 4, which know no answers, without effect.
    pub server_errors: FailureRow,
    /// Time of a first ejection; each one that follows soon takes as much longer.
    pub ejection_time: EjectionTime,
    /// Longest time of one; not below [`OutlierDetection::ejection_time`].
    pub ejection_time_max: EjectionTime,
    /// How many of the members may be left out at a time; one may always be.
    pub ejected_percent_max: EjectedPercent,
}

impl Default for OutlierDetection {
    /// Switched on, with what Envoy has where nothing is said.
    fn default() -> Self {
        Self {
            enabled: true,
            connect_failures: FailureRow::of(5),
            server_errors: FailureRow::of(5),
            ejection_time: EjectionTime::of(30),
            ejection_time_max: EjectionTime::of(300),
            ejected_percent_max: EjectedPercent::of(10),
        }
    }
}
