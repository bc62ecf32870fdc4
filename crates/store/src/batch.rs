//! A batch: all that one command changes.

use model::{Object, ObjectKey, Revision, Trace};

/// All that one command changes; it lands whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The revision that the command was decided on.
    pub based_on: Revision,
    /// Objects to add or replace.
    pub puts: Vec<Object>,
    /// Objects to remove.
    pub deletes: Vec<ObjectKey>,
    /// Claims to give up; done before new ones are taken.
    pub releases: Vec<String>,
    /// Claims to take.
    pub claims: Vec<Claim>,
    /// The audit records.
    pub traces: Vec<Trace>,
}

/// Something of which there is only one, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed, for example `vip/<subnet>/<address>` or `port/<load balancer>/tcp/443`.
    pub key: String,
    /// The id of the object that holds it. Claiming again for the same holder is no conflict.
    pub holder: String,
}
