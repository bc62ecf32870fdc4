//! Who a caller is and what they may do.
//!
//! - [`caller`]: the authenticated caller of a request; every command and every read is done for one.
//! - [`access`]: actions and the rule that grants them to roles.
//! - [`signature`]: requests signed with an access key (`SDK-HMAC-SHA256`).
//! - [`token`]: signed tokens that need no storage.
//! - [`password`]: password hashes.
//!
//! Pure: time, salts and keys are arguments. It looks nothing up: the gateway finds users and keys in its snapshot and asks here
//! whether what the client sent fits them.
//!
//! Sources: huawei/auth.md, behaviour/iam.md, openstack/keystone-minimum.md.

pub mod access;
pub mod caller;
pub mod password;
pub mod signature;
pub mod token;

pub use access::{Action, Denied, Verb, authorize};
pub use caller::{Caller, Origin};
