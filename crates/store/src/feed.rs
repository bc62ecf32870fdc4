//! The feed: what changed after a revision.

use model::{Object, ObjectKey, Revision};

/// What a follower gets.
#[derive(Clone, Debug)]
pub enum Feed {
    /// The changes, oldest first; after all of them the follower is at `upto`. Empty: nothing new.
    Changes {
        /// What changed. An object that changed several times stands in its last state.
        changes: Vec<Change>,
        /// The revision that the changes lead to.
        upto: Revision,
    },
    /// The changes are not kept for so long: take a new snapshot.
    TooOld,
}

/// One changed object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that changed it.
    pub revision: Revision,
    /// Which object.
    pub key: ObjectKey,
    /// The object as it is now; none: it was deleted.
    pub object: Option<Object>,
}
