//! Traces of commands that were refused.
//!
//! They wait in memory for one task, which writes all that wait in one transaction, until none does. How to drive it:
//! [`Refusals::take`] says when that task has to be begun; it calls [`Refusals::waiting`] until nothing waits.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::{Action, Caller, Verb};
use model::{Kind, ProjectId, Timestamp, Trace};
use serde::Serialize;
use tokio::sync::Notify;

use super::trace;
use crate::{Control, Error, command::now};

/// Notes that a command was refused, or failed. `met`: the first object of each kind that it looked for. When the store itself fails
/// nothing is noted: there is no place for it.
pub(crate) fn refused(
    control: &Control,
    caller: &Caller,
    action: Action,
    met: &BTreeMap<Kind, String>,
    error: &Error,
) {
    if matches!(error, Error::Store(_)) {
        return;
    }
    if let Some(trace) = trace_of(caller, action, met, error, now())
        && control.inner().refusals.take(trace)
    {
        tokio::spawn(write_out(control.clone()));
    }
}

/// What happened in audit words; none: nothing that would have been traced.
fn trace_of(
    caller: &Caller,
    action: Action,
    met: &BTreeMap<Kind, String>,
    error: &Error,
    at: Timestamp,
) -> Option<Trace> {
    let (_, noun, resource_type, kind) =
        NOUNS.iter().copied().find(|(resource, ..)| *resource == action.resource)?;
    let (verb, id) = match action.verb {
        Verb::Create => ("create", None),
        Verb::Put => ("update", met.get(&kind)),
        Verb::Delete => ("delete", met.get(&kind)),
        Verb::Get | Verb::List => return None,
    };
    let name = match (verb, noun) {
        // The one odd name of behaviour/audit.md.
        ("create", "L7rule") => "createl7rule".to_owned(),
        _ => format!("{verb}{noun}"),
    };
    let response = Refused { code: error.code(), message: error.to_string() };
    Some(Trace {
        response: serde_json::to_string(&response).unwrap_or_default(),
        ..trace(caller, name, resource_type, id.cloned().unwrap_or_default(), at)
    })
}

/// What a trace shows of an error.
#[derive(Serialize)]
struct Refused {
    code: &'static str,
    message: String,
}

/// The resource of a permission, its noun in names of traces, its type there, and what it is here.
const NOUNS: [(&str, &str, &str, Kind); 12] = [
    ("loadbalancers", "Loadbalancer", "loadbalancer", Kind::LoadBalancer),
    ("listeners", "Listener", "listener", Kind::Listener),
    ("pools", "Pool", "pool", Kind::Pool),
    ("members", "Member", "member", Kind::Member),
    ("healthmonitors", "HealthMonitor", "healthmonitor", Kind::HealthMonitor),
    ("l7policies", "L7policy", "l7policy", Kind::Policy),
    ("l7rules", "L7rule", "l7rule", Kind::Rule),
    ("certificates", "Certificate", "certificate", Kind::Certificate),
    ("security-policies", "SecurityPolicy", "security_policy", Kind::SecurityPolicy),
    ("ipgroups", "Ipgroup", "ipgroup", Kind::IpGroup),
    ("logtanks", "Logtank", "logtank", Kind::AccessLog),
    ("quotas", "Quota", "quota", Kind::Quota),
];

async fn write_out(control: Control) {
    let parts = control.inner();
    while let Some(traces) = parts.refusals.waiting() {
        if let Err(error) = parts.store.note(&traces).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, lost = traces.len(), "refused commands are not in the audit");
        }
    }
}

/// Traces that wait to be written.
#[derive(Default)]
pub(crate) struct Refusals {
    waiting: Mutex<Waiting>,
    written: Notify,
}

#[derive(Default)]
struct Waiting {
    traces: Vec<Trace>,
    /// Somebody writes them out.
    writing: bool,
    /// The minute that is counted, and what came in it.
    minute: i64,
    taken: BTreeMap<ProjectId, u32>,
    passed_over: u64,
}

/// Traces that may wait.
pub(super) const PENDING_MAX: usize = 256;
/// Refusals of a project that are traced in a minute.
pub(super) const PER_MINUTE_MAX: u32 = 600;

impl Refusals {
    /// Takes a trace, or passes over it when there are too many. True: a writer is to be begun.
    fn take(&self, trace: Trace) -> bool {
        let mut waiting = self.lock();
        let minute = trace.at.millis().div_euclid(60_000);
        if waiting.minute != minute {
            if waiting.passed_over > 0 {
                tracing::warn!(number = waiting.passed_over, "refused commands were too many for the audit");
            }
            (waiting.minute, waiting.passed_over) = (minute, 0);
            waiting.taken.clear();
        }
        let full = waiting.traces.len() >= PENDING_MAX;
        let taken = waiting.taken.entry(trace.project).or_default();
        if full || *taken >= PER_MINUTE_MAX {
            waiting.passed_over += 1;
            return false;
        }
        *taken += 1;
        waiting.traces.push(trace);
        !std::mem::replace(&mut waiting.writing, true)
    }

    /// All that waits; none: the writer is done.
    fn waiting(&self) -> Option<Vec<Trace>> {
        let mut waiting = self.lock();
        waiting.writing = !waiting.traces.is_empty();
        if !waiting.writing {
            self.written.notify_waiters();
        }
        waiting.writing.then(|| std::mem::take(&mut waiting.traces))
    }

    /// Waits until nobody writes.
    pub(crate) async fn written(&self) {
        loop {
            let written = self.written.notified();
            if !self.lock().writing {
                return;
            }
            written.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Each change leaves it whole, so a panic elsewhere spoils nothing.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::Role;

    use super::*;
    use crate::testing::caller;

    fn refusal(project: u128, second: i64) -> Trace {
        let caller = caller(project, Role::Member);
        let error = Error::Busy;
        let at = Timestamp::from_millis(second * 1000);
        trace_of(&caller, Action::elb("pools", Verb::Create), &BTreeMap::new(), &error, at).unwrap()
    }

    #[test]
    fn one_writer_writes_until_nothing_waits() {
        let refusals = Refusals::default();
        assert!(refusals.take(refusal(1, 0)), "the first begins a writer");
        assert!(!refusals.take(refusal(1, 0)), "which the second finds");
        assert_eq!(refusals.waiting().map(|traces| traces.len()), Some(2));
        assert!(!refusals.take(refusal(1, 0)), "while it writes");
        assert_eq!(refusals.waiting().map(|traces| traces.len()), Some(1));
        assert!(refusals.waiting().is_none());
        assert!(refusals.take(refusal(1, 0)), "it was done");
    }

    #[tokio::test]
    async fn the_end_of_the_writer_is_waited_for() {
        let refusals = std::sync::Arc::new(Refusals::default());
        refusals.written().await;
        assert!(refusals.take(refusal(1, 0)));
        let waits = tokio::spawn({
            let refusals = refusals.clone();
            async move { refusals.written().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(refusals.waiting().map(|traces| traces.len()), Some(1));
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "it may still write");
        assert!(refusals.waiting().is_none());
        waits.await.unwrap();
    }

    #[test]
    fn a_flood_is_cut_off() {
        let refusals = Refusals::default();
        let flood = |project, second, number: usize| {
            for _ in 0..number {
                let _begins_a_writer = refusals.take(refusal(project, second));
            }
            refusals.waiting().map_or(0, |traces| traces.len())
        };
        assert_eq!(flood(1, 0, PENDING_MAX + 5), PENDING_MAX, "no more may wait");
        assert_eq!(flood(1, 1, PENDING_MAX), PENDING_MAX);
        let rest = PER_MINUTE_MAX as usize - 2 * PENDING_MAX;
        assert_eq!(flood(1, 59, PENDING_MAX), rest, "no more come in a minute");
        assert_eq!(flood(2, 59, 3), 3, "from a project");
        assert_eq!(flood(1, 60, 3), 3, "the next minute");
    }

    #[test]
    fn every_refusal_has_the_name_of_the_deed() {
        let met = BTreeMap::from([(Kind::Pool, "p".to_owned()), (Kind::Rule, "r".to_owned())]);
        for (resource, verb, name, id) in [
            ("pools", Verb::Create, "createPool", ""),
            ("pools", Verb::Put, "updatePool", "p"),
            ("pools", Verb::Delete, "deletePool", "p"),
            ("l7rules", Verb::Create, "createl7rule", ""),
            ("l7rules", Verb::Delete, "deleteL7rule", "r"),
            ("listeners", Verb::Put, "updateListener", ""),
            ("security-policies", Verb::Create, "createSecurityPolicy", ""),
        ] {
            let action = Action::elb(resource, verb);
            let caller = caller(1, Role::Member);
            let trace = trace_of(&caller, action, &met, &Error::Busy, Timestamp::default()).unwrap();
            assert_eq!((trace.name.as_str(), trace.resource_id.as_str()), (name, id));
            assert!(trace.response.contains("\"busy\""), "{}", trace.response);
        }
    }
}
