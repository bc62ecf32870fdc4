//! Access keys: what SDKs sign their requests with.

use serde::{Deserialize, Serialize};

use crate::{AccessKeyId, ProjectId, Secret, Timestamp, UserId};

/// An access key pair of a user. The store keeps the secret half sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The public half (AK), sent with each request.
    pub id: AccessKeyId,
    /// Whose key it is.
    pub user: UserId,
    /// The project that the key works in when the request names none.
    pub project: ProjectId,
    /// The secret half (SK), needed in clear to check a signature.
    pub secret: Secret,
    /// A disabled key signs nothing.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}
