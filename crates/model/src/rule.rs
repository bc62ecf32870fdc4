//! A rule of a policy: one thing about a request, and the values that it may have.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use crate::{Patch, PolicyId, ProjectId, RuleId, Timestamp};

/// A rule. It holds when one of its values matches; a policy applies when all its rules hold (behaviour/forwarding.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// The owning project, that of its policy.
    pub project: ProjectId,
    /// The policy that it belongs to.
    pub policy: PolicyId,
    /// What is looked at; never changes.
    pub subject: RuleSubject,
    /// How it is compared.
    pub compare: Compare,
    /// Which header, query parameter or cookie, where no condition names it.
    pub key: Option<String>,
    /// The value, where there are no conditions.
    pub value: String,
    /// The values; empty: [`Rule::value`] alone counts. All have one key.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

impl Rule {
    /// The values that count.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let alone = self.conditions.is_empty().then_some(self.value.as_str());
        alone.into_iter().chain(self.conditions.iter().map(|condition| condition.value.as_str()))
    }

    /// The header, query parameter or cookie that is looked at; none for other subjects.
    pub fn key(&self) -> Option<&str> {
        self.conditions.first().and_then(|condition| condition.key.as_deref()).or(self.key.as_deref())
    }
}

impl Rule {
    /// Equal for rules that ask for the same, whatever the case of their letters and the order of their values; different for nearly
    /// all others. Means nothing outside this process.
    pub(crate) fn likeness(&self) -> u64 {
        let lower = |text: &str| text.to_ascii_lowercase();
        let values: BTreeSet<String> = self.values().map(lower).collect();
        let mut hasher = DefaultHasher::new();
        (self.subject, self.compare, self.key().map(lower), values).hash(&mut hasher);
        hasher.finish()
    }
}

/// One value of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// See [`Rule::key`].
    pub key: Option<String>,
    /// What the subject is compared with.
    pub value: String,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleSubject {
    /// The request's host, without port, without regard to case.
    Host,
    /// The path, without query.
    Path,
    /// The method.
    Method,
    /// A header's value.
    Header,
    /// A query parameter's value.
    Query,
    /// The address of the TCP peer, in a network.
    SourceIp,
    /// A cookie's value.
    Cookie,
}

/// How a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// Equal; in hosts, headers, query parameters and cookies `*` stands for any run of characters and `?` for one.
    Equal,
    /// The subject begins with the value.
    Prefix,
    /// The whole subject matches the regular expression.
    Regex,
}

/// What a caller says to create a rule.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// See [`Rule::subject`].
    pub subject: RuleSubject,
    /// See [`Rule::compare`].
    pub compare: Compare,
    /// See [`Rule::key`].
    pub key: Option<String>,
    /// See [`Rule::value`].
    pub value: String,
    /// See [`Rule::conditions`].
    pub conditions: Vec<Condition>,
}

/// What a caller says to change a rule.
#[derive(Clone, Debug, Default)]
pub struct RulePatch {
    /// See [`Rule::compare`].
    pub compare: Option<Compare>,
    /// See [`Rule::key`].
    pub key: Patch<String>,
    /// See [`Rule::value`].
    pub value: Option<String>,
    /// See [`Rule::conditions`].
    pub conditions: Option<Vec<Condition>>,
}
