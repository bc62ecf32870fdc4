//! Logging in, checking tokens, and finding one's projects.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::site::{AWAY, HOME, PASSWORD, Site, login, plain, signed, with_token};

fn home() -> Value {
    json!({ "project": { "name": "local-1", "domain": { "name": "acme" } } })
}

#[tokio::test]
async fn a_login_answers_the_documented_token() {
    let site = Site::new();
    let answer = site.send(login("ada", PASSWORD, home())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.headers["vary"], "X-Auth-Token");
    assert_eq!(answer.headers["x-iam-trace-id"], answer.headers["x-request-id"]);
    let token = &answer.body["token"];
    let domain = json!({ "id": format!("{:032x}", 77), "name": "acme" });
    assert_eq!(token["methods"], json!(["password"]));
    assert_eq!(token["project"], json!({ "id": HOME, "name": "local-1", "domain": domain }));
    assert_eq!(token["user"]["domain"], domain);
    assert_eq!(
        (&token["user"]["name"], &token["user"]["id"]),
        (&json!("ada"), &json!(format!("{:032x}", 1)))
    );
    let roles: Vec<_> =
        token["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(roles, ["admin", "member", "reader"], "implied roles are listed");
    for key in ["issued_at", "expires_at"] {
        let at = token[key].as_str().unwrap();
        assert!(at.len() == 27 && at.ends_with("000Z") && at.as_bytes()[19] == b'.', "{key} {at}");
    }
    let (from, to) = (token["issued_at"].as_str().unwrap(), token["expires_at"].as_str().unwrap());
    assert_eq!(from[11..], to[11..], "a day later");
    let urls: Vec<_> = token["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| (service["type"].as_str().unwrap(), service["endpoints"][0]["url"].as_str().unwrap()))
        .collect();
    let elb = format!("http://127.0.0.1:8780/v3/{HOME}");
    let vpc = format!("http://127.0.0.1:8780/v1/{HOME}");
    assert_eq!(
        urls,
        [("identity", "http://127.0.0.1:8780/v3"), ("elb", &elb), ("elbv3", &elb), ("vpc", &vpc)]
    );
    assert_eq!(token["catalog"][0]["endpoints"][0]["region"], "local-1");
}

#[tokio::test]
async fn every_documented_way_to_name_user_and_scope_works() {
    let site = Site::new();
    let by = |user: Value, scope: Value| {
        let mut body =
            json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": user } } } });
        if !scope.is_null() {
            body["auth"]["scope"] = scope;
        }
        plain(Method::POST, "/v3/auth/tokens?nocatalog=true", &body.to_string())
    };
    let (ada, domain) = (format!("{:032x}", 1), format!("{:032x}", 77));
    for (why, user, scope, project) in [
        ("user by id", json!({ "id": ada, "password": PASSWORD }), home(), json!(HOME)),
        (
            "domain by id",
            json!({ "name": "ada", "domain": { "id": domain }, "password": PASSWORD }),
            home(),
            json!(HOME),
        ),
        ("a unique name without domain", json!({ "name": "ada", "password": PASSWORD }), home(), json!(HOME)),
        (
            "project by id",
            json!({ "id": ada, "password": PASSWORD }),
            json!({ "project": { "id": HOME } }),
            json!(HOME),
        ),
        (
            "project of the own domain",
            json!({ "id": ada, "password": PASSWORD }),
            json!({ "project": { "name": "local-1" } }),
            json!(HOME),
        ),
        ("no scope: the first project", json!({ "id": ada, "password": PASSWORD }), json!(null), json!(HOME)),
        (
            "domain",
            json!({ "id": ada, "password": PASSWORD }),
            json!({ "domain": { "id": domain } }),
            json!(null),
        ),
        ("unscoped", json!({ "id": ada, "password": PASSWORD }), json!("unscoped"), json!(null)),
    ] {
        let answer = site.send(by(user, scope)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{why}: {}", answer.text);
        let token = &answer.body["token"];
        assert_eq!(token["project"]["id"], project, "{why}");
        assert_eq!(token["domain"].is_object(), why == "domain", "{why}");
        assert!(token.get("catalog").is_none(), "{why}: nocatalog");
    }
}

#[tokio::test]
async fn every_failed_login_gets_the_same_answer() {
    let site = Site::new();
    let unauthorized = json!({ "error": {
        "code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication.",
    } });
    for (why, request) in [
        ("wrong password", login("ada", "wrong", home())),
        ("empty password", login("ada", "", home())),
        ("unknown user", login("eve", PASSWORD, home())),
        ("disabled user", login("otto", PASSWORD, home())),
        ("a project without a role", login("ada", PASSWORD, json!({ "project": { "id": AWAY } }))),
        ("an unknown project", login("ada", PASSWORD, json!({ "project": { "name": "nope" } }))),
        ("a disabled project", login("ada", PASSWORD, json!({ "project": { "name": "closed" } }))),
        ("another domain", login("ada", PASSWORD, json!({ "domain": { "name": "other" } }))),
    ] {
        let answer = site.send(request).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::UNAUTHORIZED, &unauthorized), "{why}");
        assert!(!answer.headers.contains_key("x-subject-token"), "{why}");
    }
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_known_one_costs() {
    let site = Site::new();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (at, user) in ["ada", "eve"].into_iter().enumerate() {
            let begin = Instant::now();
            site.send(login(user, "wrong", home())).await;
            times[at].push(begin.elapsed());
        }
    }
    // The quickest of five is little disturbed by other work; without the hash the unknown user would take microseconds.
    let [known, unknown] = times.map(|times| times.into_iter().min().unwrap_or(Duration::ZERO));
    assert!(unknown * 4 > known && known * 4 > unknown, "known {known:?}, unknown {unknown:?}");
}

#[tokio::test]
async fn a_login_that_is_none_is_400_and_says_why() {
    let site = Site::new();
    let method = |methods: Value| json!({ "auth": { "identity": { "methods": methods, "password": { "user": { "name": "ada", "password": "p" } } } } });
    for (why, body, word) in [
        ("no JSON", "{".to_owned(), "EOF"),
        ("nothing", String::new(), "EOF"),
        ("no auth", "{}".to_owned(), "auth"),
        ("another method", method(json!(["totp"])).to_string(), "password, token, hw_ak_sk"),
        ("a method without its part", method(json!(["token"])).to_string(), "auth.identity.token"),
        ("two methods", method(json!(["password", "totp"])).to_string(), "password"),
        ("no user", json!({ "auth": { "identity": { "methods": ["password"] } } }).to_string(), "auth.identity.password"),
        (
            "no password",
            json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": { "name": "a" } } } } }).to_string(),
            "auth.identity.password.user.password",
        ),
    ] {
        let answer = site.send(plain(Method::POST, "/v3/auth/tokens", &body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
        assert!(answer.body["error"]["message"].as_str().unwrap().contains(word), "{why}: {}", answer.text);
    }
    let system = login("ada", PASSWORD, json!({ "system": { "all": true } }));
    assert_eq!(site.send(system).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_and_an_access_key_pair_are_proofs_too() {
    let site = Site::new();
    let by = |identity: Value, scope: Value| {
        let body = json!({ "auth": { "identity": identity, "scope": scope } });
        plain(Method::POST, "/v3/auth/tokens", &body.to_string())
    };
    let pair = |access: &str, secret: &str| json!({ "methods": ["hw_ak_sk"], "hw_ak_sk": { "access": { "key": access }, "secret": { "key": secret } } });
    let of_token = |id: &str| json!({ "methods": ["token"], "token": { "id": id } });
    let old = site.send(login("rita", PASSWORD, home())).await;
    let old_id = old.headers["x-subject-token"].to_str().unwrap();
    let away = json!({ "project": { "id": AWAY } });
    let answer = site.send(by(of_token(old_id), away.clone())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let token = &answer.body["token"];
    assert_eq!((&token["project"]["id"], &token["methods"]), (&json!(AWAY), &json!(["token", "password"])));
    assert_eq!(
        token["expires_at"], old.body["token"]["expires_at"],
        "it does not outlive the one that was shown"
    );
    let answer = site.send(by(pair("AKRITA", "SK"), away.clone())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.body["token"]["methods"], json!(["hw_ak_sk"]));
    for (why, identity, scope) in [
        ("a wrong secret", pair("AKRITA", "SL"), home()),
        ("an unknown key", pair("AKNONE", "SK"), home()),
        ("no key at all", pair("a b", ""), home()),
        ("a disabled key", pair("AKOFF", "SK"), home()),
        ("a disabled user", pair("AKOTTO", "SK"), home()),
        ("a token of nonsense", of_token("nonsense"), home()),
        ("a project without a role", pair("AKADA", "SK"), away),
    ] {
        assert_eq!(site.send(by(identity, scope)).await.status, StatusCode::UNAUTHORIZED, "{why}");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_does_not_reach_the_password() {
    let site = Site::new();
    for _ in 0..10 {
        assert_eq!(site.send(login("ada", "wrong", home())).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = site.send(login("ada", PASSWORD, home())).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(
        site.send(login("rita", PASSWORD, home())).await.status,
        StatusCode::CREATED,
        "others are not hit"
    );
    let signed = signed("AKADA", Method::GET, "/v3/projects", "");
    assert_eq!(site.send(signed).await.status, StatusCode::OK, "nor are keys");
}

#[tokio::test]
async fn a_token_can_be_checked_by_its_owner_and_by_an_administrator_of_its_project() {
    let site = Site::new();
    let (ada, rita) = (site.token("ada", home()).await, site.token("rita", home()).await);
    let rita_away = site.token("rita", json!({ "project": { "id": AWAY } })).await;
    for (why, caller, subject, status) in [
        ("own", &rita, &rita, StatusCode::OK),
        ("an administrator", &ada, &rita, StatusCode::OK),
        ("an administrator of another project", &ada, &rita_away, StatusCode::NOT_FOUND),
        ("a reader", &rita, &ada, StatusCode::NOT_FOUND),
        ("nonsense", &ada, &"nonsense".to_owned(), StatusCode::NOT_FOUND),
    ] {
        let mut request = with_token(Method::GET, "/v3/auth/tokens", caller);
        request.headers_mut().insert("x-subject-token", subject.parse().unwrap());
        let answer = site.send(request).await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text);
        if status == StatusCode::OK {
            assert_eq!(answer.body["token"]["user"]["name"], "rita", "{why}");
            assert_eq!(answer.body["token"]["project"]["id"], HOME, "{why}");
            assert_eq!(answer.headers["x-subject-token"], subject.as_str(), "{why}");
        }
    }
    let answer = site.send(with_token(Method::GET, "/v3/auth/tokens", "nonsense")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = site.send(with_token(Method::GET, "/v3/auth/tokens", &ada)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "no subject");
}

#[tokio::test]
async fn projects_are_those_of_the_caller_and_can_be_filtered() {
    let site = Site::new();
    let token = site.token("rita", home()).await;
    let names = |body: &Value| -> Vec<String> {
        let projects = body["projects"].as_array().unwrap();
        projects.iter().map(|project| project["name"].as_str().unwrap().to_owned()).collect()
    };
    let domain = format!("{:032x}", 77);
    for (why, request, expect) in [
        (
            "as the SDK looks up its region",
            signed("AKADA", Method::GET, "/v3/projects?name=local-1", ""),
            vec!["local-1"],
        ),
        ("by token", with_token(Method::GET, "/v3/projects", &token), vec!["local-1", "away"]),
        ("no role there", signed("AKADA", Method::GET, "/v3/projects?name=away", ""), vec![]),
        (
            "disabled ones are listed",
            signed("AKADA", Method::GET, "/v3/projects", ""),
            vec!["closed", "local-1"],
        ),
        (
            "unless asked otherwise",
            signed("AKADA", Method::GET, "/v3/projects?enabled=True", ""),
            vec!["local-1"],
        ),
        (
            "by domain",
            signed("AKRITA", Method::GET, &format!("/v3/projects?domain_id={domain}&name=away"), ""),
            vec!["away"],
        ),
        ("by another domain", signed("AKRITA", Method::GET, "/v3/projects?domain_id=x", ""), vec![]),
        ("those to get a token for", signed("AKADA", Method::GET, "/v3/auth/projects", ""), vec!["local-1"]),
        (
            "under the prefix",
            signed("AKADA", Method::GET, "/identity/v3/projects?name=local-1", ""),
            vec!["local-1"],
        ),
        ("a user without roles", signed("AKNORA", Method::GET, "/v3/projects", ""), vec![]),
    ] {
        let answer = site.send(request).await;
        assert_eq!(
            (answer.status, names(&answer.body)),
            (StatusCode::OK, expect.iter().map(|s| s.to_string()).collect()),
            "{why}"
        );
    }
    let answer = site.send(signed("AKADA", Method::GET, "/v3/projects?name=local-1", "")).await;
    let expect = json!({
        "id": HOME, "name": "local-1", "domain_id": domain, "parent_id": domain, "is_domain": false, "enabled": true,
        "description": "", "links": { "self": format!("http://127.0.0.1:8780/v3/projects/{HOME}") },
    });
    assert_eq!(answer.body["projects"][0], expect);
    assert_eq!(answer.body["links"]["next"], Value::Null);
    let answer = site.send(signed("AKADA", Method::GET, "/v3/projects?enabled=maybe", "")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let answer = site.send(plain(Method::GET, "/v3/projects", "")).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!(401)));
}

#[tokio::test]
async fn the_domain_is_the_callers() {
    let site = Site::new();
    let answer = site.send(signed("AKADA", Method::GET, "/v3/auth/domains", "")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let domain = &answer.body["domains"][0];
    assert_eq!(
        (&domain["id"], &domain["name"], &domain["enabled"]),
        (&json!(format!("{:032x}", 77)), &json!("acme"), &json!(true))
    );
}

#[tokio::test]
async fn versions_are_told_to_everybody_under_the_name_that_the_client_used() {
    let site = Site::new();
    for (path, status, href) in [
        ("/v3", StatusCode::OK, "http://127.0.0.1:8780/v3/"),
        ("/v3/", StatusCode::OK, "http://127.0.0.1:8780/v3/"),
        ("/identity/v3", StatusCode::OK, "http://127.0.0.1:8780/identity/v3/"),
        ("/identity", StatusCode::MULTIPLE_CHOICES, "http://127.0.0.1:8780/identity/v3/"),
    ] {
        let answer = site.send(plain(Method::GET, path, "")).await;
        assert_eq!(answer.status, status, "{path}");
        let version =
            if path == "/identity" { &answer.body["versions"]["values"][0] } else { &answer.body["version"] };
        assert_eq!((&version["id"], &version["links"][0]["href"]), (&json!("v3.14"), &json!(href)), "{path}");
    }
    let mut odd = plain(Method::GET, "/v3", "");
    odd.headers_mut().insert("host", "evil\"><script>".parse().unwrap());
    let answer = site.send(odd).await;
    assert_eq!(
        answer.body["version"]["links"][0]["href"], "http://127.0.0.1/v3/",
        "odd hosts are not echoed"
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_have_the_identity_errors_shape() {
    let site = Site::new();
    let answer = site.send(plain(Method::GET, "/v3/auth/nothing", "")).await;
    assert_eq!((answer.status, &answer.body["error"]["title"]), (StatusCode::NOT_FOUND, &json!("Not Found")));
    let answer = site.send(plain(Method::DELETE, "/v3/auth/tokens", "")).await;
    assert_eq!(
        (answer.status, &answer.headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD, POST".parse().unwrap())
    );
}
