//! Who gets in, as whom, and what the others are told.

use axum::http::{Method, StatusCode};
use identity::token::{self, Claims, Scope};
use model::{ObjectKey, Timestamp, UserId};
use serde_json::json;

use crate::site::{AWAY, CLOSED, HOME, Site, TOKEN_KEY, plain, signed, signed_with, with_token};

fn lists(project: &str) -> String {
    format!("/v3/{project}/elb/loadbalancers?limit=2&name=a%20b&name=%C3%BC")
}

#[tokio::test]
async fn a_signed_request_reaches_the_dialect_as_its_user_with_its_body() {
    let site = Site::new();
    let answer = site.send(signed("AKADA", Method::POST, &lists(HOME), r#"{"a":1}"#)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let id = answer.headers["x-request-id"].to_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let expect = json!({
        "path_project": HOME, "project": HOME, "user": "ada", "role": "admin", "request_id": id, "source": "127.0.0.9",
        "version": "v3", "body": r#"{"a":1}"#,
    });
    assert_eq!(answer.body, expect);
}

#[tokio::test]
async fn the_same_key_works_in_every_project_of_its_user_with_the_role_held_there() {
    let site = Site::new();
    for (project, role) in [(HOME, "reader"), (AWAY, "member")] {
        let answer = site.send(signed("AKRITA", Method::GET, &lists(project), "")).await;
        assert_eq!((answer.status, &answer.body["role"]), (StatusCode::OK, &json!(role)), "{project}");
    }
    let answer = site.send(signed("AKRITA", Method::GET, &format!("/v1/{HOME}/vpcs"), "")).await;
    assert_eq!(answer.body["version"], "v1");
}

#[tokio::test]
async fn wrong_credentials_are_401_in_one_wording() {
    let site = Site::new();
    let token = site.token("ada", json!(null)).await;
    let expired = Claims {
        user: UserId::new(uuid::Uuid::from_u128(1)),
        scope: Scope::Project(HOME.parse().unwrap()),
        methods: vec![],
        issued: Timestamp::from_millis(0),
        expires: Timestamp::from_millis(1),
        nonce: String::new(),
    };
    let mut late = signed("AKADA", Method::GET, &lists(HOME), "");
    late.headers_mut().insert("x-sdk-date", "20240102T030405Z".parse().unwrap());
    let mut body_changed = signed("AKADA", Method::POST, &lists(HOME), "{}");
    *body_changed.body_mut() = "{ }".into();
    let mut twice = signed("AKADA", Method::GET, &lists(HOME), "");
    let header = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", header);
    let mut basic = plain(Method::GET, &lists(HOME), "");
    basic.headers_mut().insert("authorization", "Basic YTpi".parse().unwrap());
    for (why, request) in [
        ("unknown key", signed("AKNOBODY", Method::GET, &lists(HOME), "")),
        ("unknown key with an empty secret", signed_with("", "AKNOBODY", Method::GET, &lists(HOME), "")),
        ("wrong secret", signed_with("SL", "AKADA", Method::GET, &lists(HOME), "")),
        ("disabled key", signed("AKOFF", Method::GET, &lists(HOME), "")),
        ("disabled user", signed("AKOTTO", Method::GET, &lists(HOME), "")),
        ("an old date", late),
        ("another body", body_changed),
        ("two signatures", twice),
        ("another scheme", basic),
        ("a token of nonsense", with_token(Method::GET, &lists(HOME), "nonsense")),
        ("a changed token", with_token(Method::GET, &lists(HOME), &format!("{token}A"))),
        ("an expired token", with_token(Method::GET, &lists(HOME), &token::issue(&TOKEN_KEY, &expired))),
    ] {
        let answer = site.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{why}");
        let expect = json!({
            "error_code": "APIGW.0301",
            "error_msg": "Incorrect IAM authentication information: the signature or token is not valid",
            "request_id": answer.headers["x-request-id"].to_str().unwrap(),
        });
        assert_eq!(answer.body, expect, "{why}");
    }
    let answer = site.send(plain(Method::GET, &lists(HOME), "")).await;
    assert_eq!((answer.status, &answer.body["error_code"]), (StatusCode::UNAUTHORIZED, &json!("SYS.0401")));
}

#[tokio::test]
async fn other_projects_are_403_whether_they_exist_or_not() {
    let site = Site::new();
    let token = site.token("rita", json!({ "project": { "id": HOME } })).await;
    let domain_token = site.token("rita", json!({ "domain": { "name": "acme" } })).await;
    let unscoped = site.token("rita", json!("unscoped")).await;
    let nowhere = "f".repeat(32);
    for (why, request) in [
        ("no role there", signed("AKADA", Method::GET, &lists(AWAY), "")),
        ("no such project", signed("AKADA", Method::GET, &lists(&nowhere), "")),
        ("no project id at all", signed("AKADA", Method::GET, &lists("x"), "")),
        ("a disabled project", signed("AKADA", Method::GET, &lists(CLOSED), "")),
        ("a user without roles", signed("AKNORA", Method::GET, &lists(HOME), "")),
        ("a token for another project, with a role there", with_token(Method::GET, &lists(AWAY), &token)),
        ("a token for the domain", with_token(Method::GET, &lists(HOME), &domain_token)),
        ("a token for nothing", with_token(Method::GET, &lists(HOME), &unscoped)),
    ] {
        let answer = site.send(request).await;
        assert_eq!(
            (answer.status, &answer.body["error_code"]),
            (StatusCode::FORBIDDEN, &json!("ELB.8903")),
            "{why}"
        );
    }
}

#[tokio::test]
async fn the_project_header_opens_nothing() {
    let site = Site::new();
    let mut request = signed("AKADA", Method::GET, &lists(AWAY), "");
    request.headers_mut().insert("x-project-id", HOME.parse().unwrap());
    assert_eq!(site.send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn with_both_a_valid_signature_wins_and_an_invalid_one_leaves_the_token() {
    let site = Site::new();
    let token = site.token("rita", json!({ "project": { "id": HOME } })).await;
    for (why, mut request, user) in [
        ("valid signature", signed("AKADA", Method::GET, &lists(HOME), ""), "ada"),
        ("invalid signature", signed_with("SL", "AKADA", Method::GET, &lists(HOME), ""), "rita"),
    ] {
        request.headers_mut().insert("x-auth-token", token.parse().unwrap());
        assert_eq!(site.send(request).await.body["user"], user, "{why}");
    }
    let mut request = signed("AKADA", Method::GET, &lists(HOME), "");
    request.headers_mut().insert("x-auth-token", "nonsense".parse().unwrap());
    assert_eq!(site.send(request).await.body["user"], "ada", "an invalid token beside a valid signature");
}

#[tokio::test]
async fn a_user_who_is_removed_or_disabled_is_out_at_once() {
    let site = Site::new();
    let token = site.token("rita", json!({ "project": { "id": HOME } })).await;
    let by_token = || with_token(Method::GET, &lists(HOME), &token);
    assert_eq!(site.send(by_token()).await.status, StatusCode::OK);
    site.change(|snapshot| {
        let rita = snapshot.users().values().find(|user| user.name.as_str() == "rita").unwrap().clone();
        let mut roleless = model::User::clone(&rita);
        roleless.roles.clear();
        snapshot.put(roleless.into());
    });
    assert_eq!(site.send(by_token()).await.status, StatusCode::FORBIDDEN, "the role is gone");
    site.change(|snapshot| {
        let rita = snapshot.users().values().find(|user| user.name.as_str() == "rita").unwrap().clone();
        let key: ObjectKey = model::Object::User(rita).key();
        snapshot.remove(&key);
    });
    assert_eq!(site.send(by_token()).await.status, StatusCode::UNAUTHORIZED, "the user is gone");
}
