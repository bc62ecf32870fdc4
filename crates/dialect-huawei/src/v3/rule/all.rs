//! The rules of all policies in one list.

use axum::response::Response;
use control::View;
use identity::Verb;
use model::Rule;

use crate::v3::{
    call::Call,
    errors::Problem,
    list::{Filter, one},
    rule::{FILTERS as OF_A_POLICY, LIST, RESOURCE, encode},
};

/// What the list of all rules can be filtered by: as a policy's, and by the policy.
pub(crate) const FILTERS: &[Filter<View, Rule>] = &{
    let mut all =
        [Filter::text("l7policy_id", |_: &View, rule: &Rule| one(rule.policy)); OF_A_POLICY.len() + 1];
    let mut n = 0;
    while n < OF_A_POLICY.len() {
        all[n] = OF_A_POLICY[n];
        n += 1;
    }
    all
};

/// `GET …/l7policies/rules`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.rules().values().map(AsRef::as_ref);
    let own = all.filter(|rule: &&Rule| rule.project == view.project).collect();
    call.page(LIST, &view, FILTERS, |rule| rule.id, own, |rule| encode(&view.snapshot, rule))
}
