//! An availability zone: a label of nodes.

use serde::{Deserialize, Serialize};

/// A zone of the site. A load balancer names the zones that it serves from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Zone {
    /// Its code, for example `local-1a`.
    pub code: String,
}
