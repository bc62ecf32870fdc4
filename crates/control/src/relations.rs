//! Who is related to whom: what several rules and answers derive from the snapshot.

use std::collections::BTreeSet;

use model::{LoadBalancer, LoadBalancerId, Pool, PoolId, Snapshot};

/// The pools that a load balancer uses: those made for it and the default pools of its listeners.
pub fn pools_of_load_balancer(snapshot: &Snapshot, load_balancer: &LoadBalancer) -> BTreeSet<PoolId> {
    let bound = snapshot.pools_bound_to(load_balancer.id).map(|pool| pool.id);
    bound
        .chain(snapshot.listeners_of(load_balancer.id).filter_map(|listener| listener.default_pool))
        .collect()
}

/// The load balancers that a pool serves: the one that it was made for and those of the listeners that use it.
pub fn load_balancers_of_pool(snapshot: &Snapshot, pool: &Pool) -> BTreeSet<LoadBalancerId> {
    let through_listeners = snapshot.listeners_using(pool.id).map(|listener| listener.load_balancer);
    pool.load_balancer.into_iter().chain(through_listeners).collect()
}
