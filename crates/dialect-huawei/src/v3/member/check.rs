//! Checks of a member on demand: `…/members/{member_id}/health-check` and the jobs behind it.

use axum::response::Response;
use http::StatusCode;
use model::{
    ListenerId, MemberCheck,
    member_check::{CheckState, CheckSubject, Finding, Severity},
};
use serde::Serialize;

use crate::v3::{
    answer,
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
};

const WRAPPER: &str = "member_check";

// ---- wire ----

/// The job, as the answer to its creation shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Begun {
    job_id: String,
}

/// The job as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    job_id: String,
    status: &'static str,
    result: Outcome,
    check_item_total_num: usize,
    check_item_finished_num: usize,
    listener_id: String,
    member_id: String,
    created_at: String,
    updated_at: String,
}

/// What was found, by what was looked at; none: it was not asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    config: Option<Group>,
    acl: Option<Group>,
    security_group: Option<Group>,
}

/// What one part of a check found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Group {
    /// Whether nothing is wrong.
    check_result: bool,
    check_items: Vec<Item>,
    check_status: &'static str,
}

/// Something that keeps traffic from the member.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Item {
    name: &'static str,
    reason: String,
    severity: &'static str,
    subject: &'static str,
    job_id: String,
    reason_template: String,
    reason_params: [String; 0],
}

// ---- decode ----

const SUBJECTS: &[(&str, Option<CheckSubject>)] = &[
    ("all", Some(CheckSubject::All)),
    ("config", Some(CheckSubject::Config)),
    ("networkAcl", Some(CheckSubject::NetworkAcl)),
    ("securityGroup", Some(CheckSubject::SecurityGroup)),
];

/// The body of a create.
pub(crate) fn decode(mut fields: Fields<'_>) -> Result<(ListenerId, CheckSubject), Refusal> {
    let listener = fields.id("listener_id")?;
    let listener = fields.required("listener_id", listener)?;
    let subject = fields.choice("subject", SUBJECTS)?;
    let subject = fields.required("subject", subject)?;
    fields.done()?;
    Ok((listener, subject))
}

// ---- encode ----

/// The check as answers show it.
pub(crate) fn encode(check: &MemberCheck) -> Wire {
    let asked = |subject| check.subject == CheckSubject::All || check.subject == subject;
    let status = status(check.state);
    // Lists and firewalls are not ours, so there is nothing to find about them.
    let nothing = || Group { check_result: true, check_items: Vec::new(), check_status: "processed" };
    let config = || Group {
        check_result: check.findings.is_empty() && check.state == CheckState::Done,
        check_items: check.findings.iter().map(|finding| item(check, finding)).collect(),
        check_status: status,
    };
    Wire {
        job_id: check.id.to_string(),
        status,
        result: Outcome {
            config: asked(CheckSubject::Config).then(config),
            acl: asked(CheckSubject::NetworkAcl).then(nothing),
            security_group: asked(CheckSubject::SecurityGroup).then(nothing),
        },
        check_item_total_num: check.items_total,
        check_item_finished_num: check.items_done,
        listener_id: check.listener.to_string(),
        member_id: check.member.to_string(),
        created_at: answer::time(check.created_at),
        updated_at: answer::time(check.updated_at),
    }
}

fn item(check: &MemberCheck, finding: &Finding) -> Item {
    Item {
        name: finding.name,
        reason: finding.reason.clone(),
        severity: match finding.severity {
            Severity::Major => "Major",
            Severity::Minor => "Minor",
        },
        subject: "config",
        job_id: check.id.to_string(),
        reason_template: finding.reason.clone(),
        reason_params: [],
    }
}

fn status(state: CheckState) -> &'static str {
    match state {
        CheckState::Running => "processing",
        CheckState::Done => "processed",
        CheckState::Failed => "failed",
    }
}

// ---- operations ----

/// `POST …/members/{member_id}/health-check`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let member = call.id("member_id")?;
    let (listener, subject) = decode(call.fields(WRAPPER)?)?;
    let begun = control::member_check_create(call.control(), &call.caller, listener, member, subject).await?;
    Ok(call.one(StatusCode::ACCEPTED, WRAPPER, Begun { job_id: begun.id.to_string() }))
}

/// `GET …/members/check/jobs/{job_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let check = control::member_check(call.control(), &call.caller, call.id("job_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&check)))
}

#[cfg(test)]
pub(crate) mod tests {
    use model::{MemberCheckId, MemberId, ProjectId};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::v3::fields::tests::read;

    /// A check that found out that nobody answers.
    pub(crate) fn check(subject: CheckSubject) -> MemberCheck {
        MemberCheck {
            id: MemberCheckId::new(Uuid::from_u128(1)),
            project: ProjectId::new(Uuid::from_u128(2)),
            listener: ListenerId::new(Uuid::from_u128(3)),
            member: MemberId::new(Uuid::from_u128(4)),
            subject,
            state: CheckState::Done,
            findings: vec![Finding {
                name: "probe",
                severity: Severity::Major,
                reason: "connection refused by 127.88.9.1:8080".to_owned(),
            }],
            items_total: 6,
            items_done: 6,
            created_at: model::Timestamp::from_millis(1_627_267_591_000),
            updated_at: model::Timestamp::from_millis(1_627_267_591_000),
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_shown() {
        let shown = |subject| serde_json::to_value(encode(&check(subject))).unwrap()["result"].clone();
        let all = shown(CheckSubject::All);
        assert_eq!(all["config"]["check_result"], json!(false));
        assert_eq!(all["config"]["check_items"][0]["reason"], json!("connection refused by 127.88.9.1:8080"));
        assert_eq!(all["acl"]["check_result"], json!(true));
        let config = shown(CheckSubject::Config);
        assert!(
            config["config"].is_object() && config["acl"].is_null() && config["security_group"].is_null()
        );
        assert!(shown(CheckSubject::SecurityGroup)["config"].is_null());
        let running = MemberCheck { state: CheckState::Running, ..check(CheckSubject::All) };
        assert_eq!(serde_json::to_value(encode(&running)).unwrap()["status"], json!("processing"));
    }

    #[test]
    fn a_check_names_a_listener_and_a_subject() {
        const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";
        for (content, expect) in [
            (json!({"listener_id": ID, "subject": "all"}), Ok(CheckSubject::All)),
            (json!({"listener_id": ID, "subject": "networkAcl"}), Ok(CheckSubject::NetworkAcl)),
            (json!({"listener_id": ID}), Err("subject")),
            (json!({"subject": "all"}), Err("listener_id")),
            (json!({"listener_id": ID, "subject": "moon"}), Err("subject")),
        ] {
            let read = read(content.clone(), decode).map(|(_, subject)| subject);
            assert_eq!(read, expect.map_err(str::to_owned), "{content}");
        }
    }
}
