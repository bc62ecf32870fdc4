//! Who is related to whom: what several rules and answers derive from the snapshot.

use std::collections::BTreeSet;

use model::{Listener, LoadBalancer, LoadBalancerId, Pool, PoolId, Snapshot};

/// The pools that a load balancer uses: those made for it, and those of its listeners.
pub fn pools_of_load_balancer(snapshot: &Snapshot, load_balancer: &LoadBalancer) -> BTreeSet<PoolId> {
    let bound = snapshot.pools_bound_to(load_balancer.id).map(|pool| pool.id);
    let used =
        snapshot.listeners_of(load_balancer.id).flat_map(|listener| pools_of_listener(snapshot, listener));
    bound.chain(used).collect()
}

/// The pools that a listener sends to, by default and by its policies; one may come twice.
pub fn pools_of_listener<'a>(
    snapshot: &'a Snapshot,
    listener: &'a Listener,
) -> impl Iterator<Item = PoolId> + 'a {
    let by_policy = snapshot.policies_of(listener.id).flat_map(|policy| policy.action.pools());
    listener.default_pool.into_iter().chain(by_policy)
}

/// The load balancers that a pool serves: the one that it was made for and those of the listeners that send to it.
pub fn load_balancers_of_pool(snapshot: &Snapshot, pool: &Pool) -> BTreeSet<LoadBalancerId> {
    let through_listeners = snapshot.listeners_reaching(pool.id).map(|listener| listener.load_balancer);
    pool.load_balancer.into_iter().chain(through_listeners).collect()
}
