//! Which part of the server a path belongs to (design section 10).
//!
//! Decided on the path alone, before anything is known about the caller. What a part does with a path that it does not know is its
//! own affair; a path of no part is 404.

/// A part of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mount<'a> {
    /// `/healthz`: the process lives.
    Health,
    /// `/readyz`: it can do its work.
    Ready,
    /// `/metrics`.
    Metrics,
    /// The identity API; the path behind its prefix, without a slash at the end: empty (the root), `v3`, `v3/auth/tokens` …
    Identity(&'a str),
    /// The Huawei dialect's list of API versions, which needs no credentials.
    HuaweiVersions,
    /// The Huawei dialect, in a project.
    Huawei {
        /// The first segment, which is the API's version.
        version: &'static str,
        /// The project as the path names it; maybe no id at all.
        project: &'a str,
    },
    /// Nobody's.
    Unknown,
}

/// The part that a path belongs to.
pub(crate) fn mount(path: &str) -> Mount<'_> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let version = match first {
        "healthz" if rest.is_empty() => return Mount::Health,
        "readyz" if rest.is_empty() => return Mount::Ready,
        "metrics" if rest.is_empty() => return Mount::Metrics,
        "versions" if rest.is_empty() => return Mount::HuaweiVersions,
        "identity" => return Mount::Identity(rest.trim_end_matches('/')),
        "v1" => "v1",
        "v2" => "v2",
        "v3" => "v3",
        _ => return Mount::Unknown,
    };
    let (second, below) = rest.split_once('/').unwrap_or((rest, ""));
    if version == "v3" && (rest.is_empty() || IDENTITY_SEGMENTS.contains(&second)) {
        return Mount::Identity(path.trim_end_matches('/'));
    }
    if second.is_empty() || below.is_empty() {
        return Mount::Unknown;
    }
    Mount::Huawei { version, project: second }
}

/// Second segments below `/v3/` that are the identity API's; no project has such an id.
const IDENTITY_SEGMENTS: &[&str] = &["auth", "projects", "domains", "users", "roles", "role_assignments"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_sorted_by_the_table_of_the_design() {
        let huawei = |version, project| Mount::Huawei { version, project };
        for (path, expect) in [
            ("/healthz", Mount::Health),
            ("/healthz/x", Mount::Unknown),
            ("/readyz", Mount::Ready),
            ("/metrics", Mount::Metrics),
            ("/versions", Mount::HuaweiVersions),
            ("/v3", Mount::Identity("v3")),
            ("/v3/", Mount::Identity("v3")),
            ("/v3/auth/tokens", Mount::Identity("v3/auth/tokens")),
            ("/v3/projects", Mount::Identity("v3/projects")),
            ("/v3/projects/", Mount::Identity("v3/projects")),
            ("/v3/auth", Mount::Identity("v3/auth")),
            ("/identity", Mount::Identity("")),
            ("/identity/", Mount::Identity("")),
            ("/identity/v3/auth/tokens", Mount::Identity("v3/auth/tokens")),
            ("/v3/0123/elb/loadbalancers", huawei("v3", "0123")),
            ("/v3/no-id/elb/loadbalancers", huawei("v3", "no-id")),
            ("/v1/0123/vpcs", huawei("v1", "0123")),
            ("/v2/0123/elb/pools", huawei("v2", "0123")),
            ("/v3/0123", Mount::Unknown),
            ("/v3/0123/", Mount::Unknown),
            ("/v3//elb/pools", Mount::Unknown),
            ("/v4/0123/elb", Mount::Unknown),
            ("/", Mount::Unknown),
            ("", Mount::Unknown),
            ("//v3/0123/elb", Mount::Unknown),
            ("/favicon.ico", Mount::Unknown),
        ] {
            assert_eq!(mount(path), expect, "{path}");
        }
    }
}
