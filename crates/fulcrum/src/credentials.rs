//! `DIR/credentials.json`: how to reach a server and log in as its first administrator (design section 11).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use model::Secret;
use serde::{Deserialize, Serialize};

use crate::data_dir::write_private;

/// The file's content; scripts and SDK examples read exactly these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Where the API is served, for example `http://127.0.0.1:8780`; changes with each start on port 0.
    pub(crate) endpoint: String,
    /// The region's name.
    pub(crate) region: String,
    /// The domain (account), as 32 hex digits.
    pub(crate) domain_id: String,
    pub(crate) domain_name: String,
    /// The first project, as 32 hex digits.
    pub(crate) project_id: String,
    pub(crate) project_name: String,
    /// The first administrator, as 32 hex digits.
    pub(crate) user_id: String,
    pub(crate) user_name: String,
    /// Empty if this machine never knew it (another one made the first start on a shared database).
    pub(crate) password: Secret,
    /// The administrator's access key.
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    /// The default network and its first subnet.
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCredentials {
    /// It cannot be read.
    #[error(
        "{path} cannot be read; start the server first (fulcrum up), or name its data directory with --data"
    )]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is not what the server writes.
    #[error("{path} is damaged; the server writes it anew at its next start if it is removed")]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl Credentials {
    /// Where the file is.
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join("credentials.json")
    }

    /// Reads the file of a data directory.
    pub(crate) fn read(data: &Path) -> Result<Self, BadCredentials> {
        let path = Self::path(data);
        let text = fs::read_to_string(&path)
            .map_err(|source| BadCredentials::Unreadable { path: path.clone(), source })?;
        serde_json::from_str(&text).map_err(|source| BadCredentials::Damaged { path, source })
    }

    /// Writes the file, for its owner only.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        text.push('\n');
        write_private(&Self::path(data), text.as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(endpoint: &str) -> Credentials {
        let text = |text: &str| text.to_owned();
        Credentials {
            endpoint: text(endpoint),
            region: text("local-1"),
            domain_id: text("d"),
            domain_name: text("dn"),
            project_id: text("0123456789abcdef0123456789abcdef"),
            project_name: text("local-1"),
            user_id: text("u"),
            user_name: text("admin"),
            password: Secret::new("p"),
            access_key: text("AKTEST"),
            secret_key: Secret::new("SKTEST"),
            vpc_id: text("v"),
            subnet_id: text("s"),
        }
    }

    #[test]
    fn the_file_has_exactly_the_documented_keys_and_comes_back() {
        let place = tempfile::tempdir().unwrap();
        sample("http://x").write(place.path()).unwrap();
        assert_eq!(Credentials::read(place.path()).unwrap(), sample("http://x"));
        let text = fs::read_to_string(place.path().join("credentials.json")).unwrap();
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let keys: Vec<_> = json.keys().map(String::as_str).collect();
        let mut expect = vec![
            "endpoint",
            "region",
            "domain_id",
            "domain_name",
            "project_id",
            "project_name",
            "user_id",
            "user_name",
            "password",
            "access_key",
            "secret_key",
            "vpc_id",
            "subnet_id",
        ];
        expect.sort_unstable();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expect);
    }

    #[test]
    fn missing_and_damaged_files_are_told_apart_and_secrets_are_not_printed() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(Credentials::read(place.path()), Err(BadCredentials::Unreadable { .. })));
        fs::write(Credentials::path(place.path()), "{}").unwrap();
        assert!(matches!(Credentials::read(place.path()), Err(BadCredentials::Damaged { .. })));
        assert!(!format!("{:?}", sample("http://x")).contains("SKTEST"));
    }
}
