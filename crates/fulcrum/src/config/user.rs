//! Users that the operator's configuration names.

use model::{AccessKeyId, Name, Role, Secret};

use super::{names, reader::Section};

/// A user beside the first administrator; made or brought up to date at each start.
#[derive(Clone, Debug)]
pub(crate) struct UserConfig {
    /// The login name, unique.
    pub(crate) name: Name,
    /// The password; none: no login by password.
    pub(crate) password: Option<Secret>,
    /// The project by name; one that is not there is made. None: the first project.
    pub(crate) project: Option<Name>,
    /// The role in that project.
    pub(crate) role: Role,
    /// The access key.
    pub(crate) key: Option<KeyPair>,
}

/// An access key pair.
#[derive(Clone, Debug)]
pub(crate) struct KeyPair {
    /// The public half.
    pub(crate) access_key: AccessKeyId,
    /// The secret half.
    pub(crate) secret_key: Secret,
}

/// The login name of the administrator that the first start makes.
pub(crate) const FIRST_ADMINISTRATOR: &str = "admin";

/// The users of the document; mistakes are noted, and users with one are left out.
pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<UserConfig> {
    let mut users: Vec<UserConfig> = Vec::new();
    for mut section in root.sections("users").unwrap_or_default() {
        let at = section.at;
        let user = user(&mut section);
        if let Some(user) = user {
            if users.iter().any(|other| other.name == user.name) {
                section.mistake(at, format!("users.name = {:?} is used twice", user.name.as_str()));
            }
            if user.name.as_str() == FIRST_ADMINISTRATOR {
                section
                    .mistake(at, "users.name = \"admin\" is the first administrator's; choose another name");
            }
            let key = |user: &UserConfig| user.key.as_ref().map(|pair| pair.access_key.clone());
            if key(&user).is_some() && users.iter().any(|other| key(other) == key(&user)) {
                section.mistake(at, "users.access_key is used twice");
            }
            users.push(user);
        }
        section.finish();
    }
    users
}

fn user(section: &mut Section<'_, '_>) -> Option<UserConfig> {
    let at = section.at;
    let name = section.required("name", names::name);
    let password = section.text("password", names::password).map(|password| password.value);
    let project = section.text("project", names::name).map(|project| project.value);
    let role = section.text("role", role).map_or(Role::Member, |role| role.value);
    let access_key = section.text("access_key", |text| text.parse::<AccessKeyId>().ok());
    let secret_key = section.text("secret_key", names::secret_key);
    let key = match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => {
            Some(KeyPair { access_key: access_key.value, secret_key: secret_key.value })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            section
                .mistake(at, "users.access_key and users.secret_key must be set together, and both be legal");
            None
        }
    };
    Some(UserConfig { name: name?.value, password, project, role, key })
}

fn role(text: &str) -> Option<Role> {
    [Role::Reader, Role::Member, Role::Admin]
        .into_iter()
        .find(|role| identity::access::role_name(*role) == text)
}
