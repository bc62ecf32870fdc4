//! A change to one nullable field: absent, null and a value are three different wishes.

/// What a caller says about a nullable field in an update (huawei/behaviours.md section 4: absent = unchanged, null = cleared).
/// Fields that cannot be cleared are a plain `Option` in a patch: `None` = unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Nothing was said: keep what is.
    #[default]
    Keep,
    /// Null was said: clear the field.
    Clear,
    /// A value was said: set it.
    Set(T),
}

impl<T> Patch<T> {
    /// Applies the wish to a field.
    pub fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// What the field would be after the patch.
    pub fn resolve<'a>(&'a self, now: Option<&'a T>) -> Option<&'a T> {
        match self {
            Self::Keep => now,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// The value that was said, as a create wants it: there null and nothing are the same.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Keep | Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// Whether anything was said.
    pub fn is_said(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// Turns the value, keeping the wish.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(turn(value)),
        }
    }
}
