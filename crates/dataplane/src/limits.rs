//! The limit of open files of this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit to what the system allows; what it is then. No limit reads as a million.
pub(crate) fn raise_descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    getrlimit(Resource::Nofile).current.map_or(1_000_000, |files| files as usize)
}
