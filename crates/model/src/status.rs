//! The axes of status. Three questions, three enums, never one mixed list:
//!
//! - *admin*: does its owner want it to work? (`admin_up` of each noun)
//! - *provisioning*: is what the owner asked for in force? ([`ProvisioningStatus`])
//! - *operating*: does it work? ([`OperatingStatus`])
//!
//! | admin | provisioning | member health | shown operating status |
//! |---|---|---|---|
//! | down (it, or what it hangs below) | any | any | `Disabled` |
//! | up | `Error` | any | `Degraded` (listener, load balancer) |
//! | up | `Active` | no monitor | `NoMonitor` for a member, `Online` above it |
//! | up | `Active` | no verdict yet | `Initial` for a member, `Online` above it |
//! | up | `Active` | some down | `Offline` for a member, `Degraded` above it |
//! | up | `Active` | all up | `Online` |
//!
//! Source: huawei/behaviours.md sections 8 and 11.

use serde::{Deserialize, Serialize};

/// Whether what the owner asked for is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisioningStatus {
    /// In force on the node.
    Active,
    /// Not in force; the fault says why in words.
    Error,
}

/// Whether an object works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatingStatus {
    /// Works.
    Online,
    /// Works in part: some member below is offline, or a part is not in force.
    Degraded,
    /// Switched off, itself or what it hangs below.
    Disabled,
    /// A member that fails its probes.
    Offline,
    /// A member that is not probed.
    NoMonitor,
    /// A member whose first probe is not done.
    Initial,
    /// A member of a pool that no listener uses.
    Unknown,
}
