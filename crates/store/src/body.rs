//! The stored form of an object: versioned JSON, with secrets sealed.

use std::sync::Arc;

use model::{AccessKey, Certificate, Kind, Object, ObjectKey, Secret};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BadSeal, Error, MasterKey, open, seal};

/// Version of the stored form. A later version reads all earlier ones.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Body<T> {
    v: u32,
    o: T,
}

/// Writes an object.
pub(crate) fn encode(key: &MasterKey, object: &Object) -> Result<String, Error> {
    match object {
        Object::LoadBalancer(o) => write(object, o),
        Object::Listener(o) => write(object, o),
        Object::Pool(o) => write(object, o),
        Object::Member(o) => write(object, o),
        Object::HealthMonitor(o) => write(object, o),
        Object::Policy(o) => write(object, o),
        Object::Rule(o) => write(object, o),
        Object::Certificate(o) => write(object, &sealed_keys(key, o)?),
        Object::SecurityPolicy(o) => write(object, o),
        Object::IpGroup(o) => write(object, o),
        Object::AccessLog(o) => write(object, o),
        Object::Network(o) => write(object, o),
        Object::Subnet(o) => write(object, o),
        Object::Project(o) => write(object, o),
        Object::User(o) => write(object, o),
        Object::Quota(o) => write(object, o),
        Object::AccessKey(o) => {
            let sealed = seal(key, &owner(o.id.as_str()), o.secret.reveal())
                .map_err(|source| unsealed("access_key", o.id.as_str(), source))?;
            write(object, &AccessKey { secret: Secret::new(sealed), ..AccessKey::clone(o) })
        }
    }
}

/// Reads an object.
pub(crate) fn decode(key: &MasterKey, at: &ObjectKey, body: &str) -> Result<Object, Error> {
    Ok(match at.kind {
        Kind::LoadBalancer => Object::LoadBalancer(read(at, body)?),
        Kind::Listener => Object::Listener(read(at, body)?),
        Kind::Pool => Object::Pool(read(at, body)?),
        Kind::Member => Object::Member(read(at, body)?),
        Kind::HealthMonitor => Object::HealthMonitor(read(at, body)?),
        Kind::Policy => Object::Policy(read(at, body)?),
        Kind::Rule => Object::Rule(read(at, body)?),
        Kind::Certificate => Object::Certificate(Arc::new(opened_keys(key, &*read(at, body)?)?)),
        Kind::SecurityPolicy => Object::SecurityPolicy(read(at, body)?),
        Kind::IpGroup => Object::IpGroup(read(at, body)?),
        Kind::AccessLog => Object::AccessLog(read(at, body)?),
        Kind::Network => Object::Network(read(at, body)?),
        Kind::Subnet => Object::Subnet(read(at, body)?),
        Kind::Project => Object::Project(read(at, body)?),
        Kind::User => Object::User(read(at, body)?),
        Kind::Quota => Object::Quota(read(at, body)?),
        Kind::AccessKey => {
            let stored: Arc<AccessKey> = read(at, body)?;
            let clear = open(key, &owner(&at.id), stored.secret.reveal())
                .map_err(|source| unsealed("access_key", &at.id, source))?;
            Object::AccessKey(Arc::new(AccessKey { secret: Secret::new(clear), ..AccessKey::clone(&stored) }))
        }
    })
}

/// A certificate whose keys are sealed, as it may be written to a disk.
pub fn sealed_keys(key: &MasterKey, certificate: &Certificate) -> Result<Certificate, Error> {
    each_key(certificate, |clear, owner| seal(key, owner, clear))
}

/// The certificate that [`sealed_keys`] was given.
pub fn opened_keys(key: &MasterKey, certificate: &Certificate) -> Result<Certificate, Error> {
    each_key(certificate, |sealed, owner| open(key, owner, sealed))
}

/// The same certificate with every key turned.
fn each_key(
    certificate: &Certificate,
    turn: impl Fn(&str, &str) -> Result<String, BadSeal>,
) -> Result<Certificate, Error> {
    let id = certificate.id.to_string();
    let turned = |secret: &Secret, which: &str| {
        let text = turn(secret.reveal(), &format!("certificate/{id}/{which}"));
        text.map(Secret::new).map_err(|source| unsealed("certificate", &id, source))
    };
    let mut turned_one = certificate.clone();
    if let Some(secret) = &mut turned_one.private_key {
        *secret = turned(secret, "key")?;
    }
    if let Some(pair) = &mut turned_one.encryption {
        pair.private_key = turned(&pair.private_key, "encryption")?;
    }
    Ok(turned_one)
}

fn write<T: Serialize>(object: &Object, noun: &T) -> Result<String, Error> {
    serde_json::to_string(&Body { v: VERSION, o: noun }).map_err(|source| {
        let key = object.key();
        Error::Body { kind: key.kind, id: key.id, source }
    })
}

fn read<T: DeserializeOwned>(at: &ObjectKey, body: &str) -> Result<Arc<T>, Error> {
    serde_json::from_str::<Body<T>>(body).map(|body| Arc::new(body.o)).map_err(|source| Error::Body {
        kind: at.kind,
        id: at.id.clone(),
        source,
    })
}

fn owner(access_key: &str) -> String {
    format!("access_key/{access_key}")
}

fn unsealed(kind: &'static str, id: &str, source: BadSeal) -> Error {
    Error::Sealed { kind, id: id.to_owned(), source }
}
