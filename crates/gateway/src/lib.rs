//! The API server: the one port that people and programs talk to.
//!
//! A request comes in through [`serve()`], gets an id, is sorted by its path (`mount`), and then goes
//! - to a dialect, with the [`identity::Caller`] found by `authenticate` in its extensions, and its
//!   [`identity::Origin`] always;
//! - to the identity API (`/v3/auth/tokens`, `/v3/projects` …, also under `/identity`);
//! - to `/healthz`, `/readyz`, `/metrics`.
//!
//! It decides who is calling and in which project, never what they may do: that is `control`'s. It knows no noun of load balancing.
//! A [`Gateway`] serves health and metrics at once, and the API from [`Gateway::open`] on; before that the API answers 503.
//! [`Gateway::close`] lets requests wait, while another process gets ready to serve them (`gate`).
//!
//! A request runs in a task of its own: a client that hangs up cannot leave a command half-way, and a panic is a 500.
//!
//! Sources: huawei/auth.md, huawei/behaviours.md section 14, openstack/keystone-minimum.md.

mod authenticate;
mod body;
mod errors;
mod gate;
mod identity_api;
mod mount;
mod serve;
mod throttle;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use identity::token::TokenKey;
use model::Snapshot;
use tokio::sync::watch;

pub use body::BODY_MAX;
pub use gate::Closed;
pub use serve::{Limits, NotLoopback, plain_http_allowed, serve};

/// The API server. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    operations: Arc<Operations>,
    api: Arc<RwLock<Option<Arc<Api>>>>,
    gate: gate::Gate,
}

/// What operators ask for; answered from the start and without credentials.
pub struct Operations {
    /// Whether the server can do its work; else why not, in words (`/readyz`).
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// The text of `/metrics`, in OpenMetrics.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// What the API needs.
pub struct Parts {
    /// Users, projects and access keys, kept current.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What tokens are signed with.
    pub token_key: TokenKey,
    /// The name of the region; it stands in the catalogue of a token.
    pub region: String,
    /// The Huawei dialect: `/versions`, `/v1/{project_id}/…`, `/v2/{project_id}/…`, `/v3/{project_id}/…`.
    pub huawei: Router,
}

struct Api {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    token_key: TokenKey,
    region: String,
    huawei: Router,
    logins: throttle::Logins,
}

impl Gateway {
    /// A gateway that answers for health and metrics only.
    pub fn new(operations: Operations) -> Self {
        Self { operations: Arc::new(operations), api: Arc::default(), gate: gate::Gate::default() }
    }

    /// From now on the API is served with these parts; requests under way end with those that they began with.
    pub fn open(&self, parts: Parts) {
        let Parts { snapshots, token_key, region, huawei } = parts;
        let logins = throttle::Logins::new();
        let api = Arc::new(Api { snapshots, token_key, region, huawei, logins });
        *self.api.write().unwrap_or_else(PoisonError::into_inner) = Some(api);
    }

    fn api(&self) -> Option<Arc<Api>> {
        self.api.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Api {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }
}
