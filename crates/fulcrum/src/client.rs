//! A small client of the API, for the commands that look at a running server. Blocking; signs each request with the access key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use identity::signature;
use model::{AccessKeyId, Timestamp};
use serde_json::Value;

use crate::credentials::Credentials;

/// How long a request may take in all.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer that is read, bytes: a page of 2000 objects has about 4 MB.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// A client of one server.
pub(crate) struct Client {
    credentials: Credentials,
    access_key: AccessKeyId,
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new(credentials: Credentials) -> anyhow::Result<Self> {
        let access_key =
            credentials.access_key.parse().context("the access key in credentials.json is not one")?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            // A proxy of the environment is for the way out; the server is on this machine.
            .proxy(None)
            .build();
        Ok(Self { credentials, access_key, agent: config.into() })
    }

    /// The project that the credentials are for.
    pub(crate) fn project(&self) -> &str {
        &self.credentials.project_id
    }

    /// The answer to a GET; `target` is the path with its query, encoded. An error answer is an error in the server's words.
    pub(crate) fn get(&self, target: &str) -> anyhow::Result<Value> {
        let endpoint = &self.credentials.endpoint;
        let host = endpoint
            .strip_prefix("http://")
            .ok_or_else(|| anyhow!("the endpoint {endpoint} is not http://"))?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let date = signature::date(now());
        let headers: [(&str, &[u8]); 2] = [("host", host.as_bytes()), ("x-sdk-date", date.as_bytes())];
        let request = signature::Request { method: "GET", path, query, headers: &headers, body: b"" };
        let authorization = signature::sign(&self.access_key, &self.credentials.secret_key, &request)?;
        let answer = self
            .agent
            .get(format!("{endpoint}{target}"))
            .header("host", host)
            .header("x-sdk-date", &date)
            .header("authorization", &authorization)
            .call();
        let mut answer =
            answer.with_context(|| format!("no answer from {endpoint}; is the server running?"))?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string()?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        match (body["error_code"].as_str(), body["error_msg"].as_str()) {
            (Some(code), Some(words)) => bail!("the server answered {status}: {words} ({code})"),
            _ => bail!("the server answered {status}: {}", text.chars().take(200).collect::<String>()),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    use model::Secret;

    use super::*;
    use crate::credentials::tests::sample;

    /// Answers one request, if it is signed as the real server wants it; else 401.
    fn server(status: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let first = lines.next().unwrap();
            let target = first.split(' ').nth(1).unwrap().to_owned();
            let headers: Vec<_> = lines
                .take_while(|line| !line.is_empty())
                .map(|line| {
                    line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
                })
                .collect();
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let request = signature::Request { method: "GET", path, query, headers: &headers, body: b"" };
            let header =
                headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).unwrap().1;
            let authorization =
                signature::Authorization::parse(std::str::from_utf8(header).unwrap()).unwrap();
            let signed = signature::verify(&authorization, &Secret::new("SKTEST"), &request, now()).is_ok();
            let (status, body) = if signed { (status, body) } else { ("401 Unauthorized", "bad signature") };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        });
        endpoint
    }

    #[test]
    fn answers_are_json_and_refusals_are_errors_in_the_servers_words() {
        for (why, status, body, expect) in [
            ("an answer", "200 OK", r#"{"a":1}"#, Ok(1)),
            (
                "a refusal",
                "404 Not Found",
                r#"{"error_code":"ELB.8904","error_msg":"no such pool"}"#,
                Err("no such pool (ELB.8904)"),
            ),
            ("something else", "502 Bad Gateway", "<html>", Err("<html>")),
        ] {
            let client = Client::new(sample(&server(status, body))).unwrap();
            let got = client.get("/v3/p/elb/pools?name=a%20b");
            match expect {
                Ok(number) => assert_eq!(got.unwrap()["a"], number, "{why}"),
                Err(words) => {
                    let told = got.unwrap_err().to_string();
                    assert!(told.contains(words), "{why}: {told}");
                }
            }
        }
    }

    #[test]
    fn a_server_that_is_away_is_told_in_words() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let told = Client::new(sample(&format!("http://{free}"))).unwrap().get("/").unwrap_err().to_string();
        assert!(told.contains("is the server running"), "{told}");
    }
}
