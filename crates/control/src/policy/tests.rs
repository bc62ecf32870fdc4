//! The rules of policies, row by row.

mod actions;
mod extras;
mod life;
mod order;

use model::{LoadBalancerId, PolicyPatch, Pool};

use super::*;
use crate::testing::{World, enhanced, http};

/// A load balancer with an HTTP listener and a pool.
struct Scene {
    world: World,
    lb: LoadBalancerId,
    listener: Arc<Listener>,
    pool: Arc<Pool>,
}

impl Scene {
    /// Without advanced forwarding.
    fn plain() -> Self {
        Self::of(http())
    }

    fn enhanced() -> Self {
        Self::of(enhanced())
    }

    fn of(service: model::listener::Service) -> Self {
        let mut world = World::new();
        let lb = world.load_balancer().id;
        let listener = world.listener_of(lb, 80, service);
        let pool = world.pool_of(lb, model::PoolProtocol::Http);
        Self { world, lb, listener, pool }
    }

    /// What is said to a policy with that action; `ok` for nothing.
    fn blame(&mut self, action: Action) -> &'static str {
        let new = crate::testing::new_policy(self.listener.id, action, &[]);
        self.world.blame(|draft| create(draft, new))
    }
}

fn patch() -> PolicyPatch {
    PolicyPatch::default()
}
