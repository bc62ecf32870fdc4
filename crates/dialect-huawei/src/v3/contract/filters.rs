//! Every documented filter is known.

use std::collections::BTreeMap;

use crate::v3::{
    access_log, certificate, contract::tables, flavor, health_monitor, ip_group, list::Filter, listener,
    load_balancer, master_slave_pool, member, policy, pool, quota, rule, security_policy, zone,
};

/// Parameters that say which page, not what is on it.
const PAGING: &[&str] = &["limit", "marker", "page_reverse"];

fn names<C: ?Sized, T: ?Sized>(filters: &[Filter<C, T>]) -> BTreeMap<&'static str, &'static str> {
    let names: BTreeMap<_, _> = filters.iter().map(|filter| (filter.name, filter.kind_name())).collect();
    assert_eq!(names.len(), filters.len(), "a filter is in its table once");
    names
}

#[test]
fn every_documented_filter_is_known_and_reads_its_type() {
    let mut ours = BTreeMap::from([
        ("ListLoadBalancers", names(load_balancer::FILTERS)),
        ("ListListeners", names(listener::FILTERS)),
        ("ListPools", names(pool::FILTERS)),
        ("ListMembers", names(member::FILTERS)),
        ("ListAllMembers", names(member::all::FILTERS)),
        ("ListHealthMonitors", names(health_monitor::FILTERS)),
        ("ListFlavors", names(flavor::FILTERS)),
        ("ListQuotaDetails", names(quota::FILTERS)),
        ("ListAvailabilityZones", names(zone::FILTERS)),
        ("ListCertificates", names(certificate::FILTERS)),
        ("ListSecurityPolicies", names(security_policy::FILTERS)),
        ("ListIpGroups", names(ip_group::FILTERS)),
        ("ListL7Policies", names(policy::FILTERS)),
        ("ListL7Rules", names(rule::FILTERS)),
        ("ListAllL7Rules", names(rule::all::FILTERS)),
        ("ListLogtanks", names(access_log::FILTERS)),
        ("ListMasterSlavePools", names(master_slave_pool::FILTERS)),
    ]);
    // It names a load balancer rather than a zone's field, so its handler reads it.
    ours.entry("ListAvailabilityZones").or_default().insert("loadbalancer_id", "string");
    for (operation, parameters) in tables(include_str!("../../../tests/data/v3_filters.json")) {
        let parameters = parameters.as_array().unwrap();
        let documented: BTreeMap<_, _> = parameters
            .iter()
            .map(|row| (row["name"].as_str().unwrap(), row["type"].as_str().unwrap()))
            .filter(|(name, _)| !PAGING.contains(name))
            .collect();
        assert_eq!(ours[operation.as_str()], documented, "{operation}");
    }
}
