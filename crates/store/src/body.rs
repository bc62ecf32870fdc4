//! The stored form of an object: versioned JSON, with secrets sealed.

use std::sync::Arc;

use model::{AccessKey, Kind, Object, ObjectKey, Secret};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, MasterKey, open, seal};

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
        Object::Network(o) => write(object, o),
        Object::Subnet(o) => write(object, o),
        Object::Project(o) => write(object, o),
        Object::User(o) => write(object, o),
        Object::Quota(o) => write(object, o),
        Object::AccessKey(o) => {
            let sealed = seal(key, &owner(o.id.as_str()), o.secret.reveal())
                .map_err(|source| unsealed(o.id.as_str(), source))?;
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
        Kind::Network => Object::Network(read(at, body)?),
        Kind::Subnet => Object::Subnet(read(at, body)?),
        Kind::Project => Object::Project(read(at, body)?),
        Kind::User => Object::User(read(at, body)?),
        Kind::Quota => Object::Quota(read(at, body)?),
        Kind::AccessKey => {
            let stored: Arc<AccessKey> = read(at, body)?;
            let clear = open(key, &owner(&at.id), stored.secret.reveal())
                .map_err(|source| unsealed(&at.id, source))?;
            Object::AccessKey(Arc::new(AccessKey { secret: Secret::new(clear), ..AccessKey::clone(&stored) }))
        }
    })
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

fn unsealed(id: &str, source: crate::BadSeal) -> Error {
    Error::Sealed { kind: "access_key", id: id.to_owned(), source }
}
