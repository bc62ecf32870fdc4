//! The little of VPC v1 that clients of load balancers ask for: which networks and subnets there are. Read only.
//!
//! One subnet id serves for what the vendor tells apart: the subnet, its Neutron subnet, its Neutron network. Pools of public
//! addresses are subnets in our model and none in the vendor's words (elastic IPs come from them), so they are not shown.

use std::sync::Arc;

use axum::{Router, response::Response};
use control::View;
use http::Method;
use identity::{Action, Verb};
use model::{Network, NetworkId, Subnet, SubnetId};
use serde::Serialize;

use crate::v3::{
    answer,
    call::{App, Call, Operation},
    errors::Problem,
    list::{self, Filter, one},
};

/// The routes.
pub(crate) fn router() -> Router<Arc<App>> {
    [
        Operation::new(Method::GET, "/v1/{project_id}/vpcs", network_list),
        Operation::new(Method::GET, "/v1/{project_id}/vpcs/{vpc_id}", network_show),
        Operation::new(Method::GET, "/v1/{project_id}/subnets", subnet_list),
        Operation::new(Method::GET, "/v1/{project_id}/subnets/{subnet_id}", subnet_show),
    ]
    .into_iter()
    .fold(Router::new(), |router, operation| router.route(operation.path, operation.route))
}

// ---- wire ----

/// A network as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Vpc {
    id: String,
    name: String,
    description: &'static str,
    cidr: String,
    status: &'static str,
    enterprise_project_id: String,
    routes: [(); 0],
    tags: [(); 0],
    created_at: String,
    updated_at: String,
}

/// A subnet as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WireSubnet {
    id: String,
    name: String,
    description: &'static str,
    cidr: String,
    gateway_ip: String,
    vpc_id: String,
    neutron_network_id: String,
    neutron_subnet_id: String,
    status: &'static str,
    availability_zone: &'static str,
    dhcp_enable: bool,
    primary_dns: &'static str,
    secondary_dns: &'static str,
    #[serde(rename = "dnsList")]
    dns_list: [(); 0],
    ipv6_enable: bool,
    cidr_v6: Option<String>,
    gateway_ip_v6: Option<String>,
    created_at: String,
    updated_at: String,
}

// ---- encode ----

/// The network as answers show it.
pub(crate) fn encode_network(network: &Network) -> Vpc {
    Vpc {
        id: network.id.to_string(),
        name: network.name.to_string(),
        description: "",
        cidr: network.cidr.to_string(),
        status: "OK",
        enterprise_project_id: answer::enterprise_project(None),
        routes: [],
        tags: [],
        created_at: answer::time(network.created_at),
        updated_at: answer::time(network.created_at),
    }
}

/// The subnet as answers show it.
pub(crate) fn encode_subnet(subnet: &Subnet) -> WireSubnet {
    let v6 = subnet.cidr.addr().is_ipv6();
    WireSubnet {
        id: subnet.id.to_string(),
        name: subnet.name.to_string(),
        description: "",
        cidr: subnet.cidr.to_string(),
        gateway_ip: subnet.gateway.to_string(),
        vpc_id: subnet.network.to_string(),
        neutron_network_id: subnet.id.to_string(),
        neutron_subnet_id: subnet.id.to_string(),
        status: "ACTIVE",
        availability_zone: "",
        dhcp_enable: false,
        primary_dns: "",
        secondary_dns: "",
        dns_list: [],
        ipv6_enable: v6,
        cidr_v6: v6.then(|| subnet.cidr.to_string()),
        gateway_ip_v6: v6.then(|| subnet.gateway.to_string()),
        created_at: answer::time(subnet.created_at),
        updated_at: answer::time(subnet.created_at),
    }
}

// ---- list ----

const NETWORK_FILTERS: &[Filter<View, Network>] = &[
    Filter::text("id", |_, network| one(network.id)),
    Filter::text("enterprise_project_id", |_, _| list::enterprise_project(None)),
];
const SUBNET_FILTERS: &[Filter<View, Subnet>] = &[Filter::text("vpc_id", |_, subnet| one(subnet.network))];

// ---- operations ----

/// `GET /v1/{project_id}/vpcs`.
async fn network_list(call: Call) -> Result<Response, Problem> {
    let view = call.view_as(Action::vpc("vpcs", Verb::List))?;
    let all = view.snapshot.networks().values().map(AsRef::as_ref);
    let all = all.filter(|network: &&Network| is_private(&view, network.id)).collect();
    let page = list::page(&call.query, &view, NETWORK_FILTERS, |network| network.id, all)?;
    let wire: Vec<_> = page.items.into_iter().map(encode_network).collect();
    Ok(answer::bare("vpcs", wire, call.request_id()))
}

/// `GET /v1/{project_id}/vpcs/{vpc_id}`.
async fn network_show(call: Call) -> Result<Response, Problem> {
    let view = call.view_as(Action::vpc("vpcs", Verb::Get))?;
    let id = call.id::<NetworkId>("vpc_id")?;
    let network = view.snapshot.network(id).filter(|network| is_private(&view, network.id));
    let network = network.ok_or_else(|| Problem::not_found("vpc", id))?;
    Ok(answer::bare("vpc", encode_network(network), call.request_id()))
}

/// `GET /v1/{project_id}/subnets`.
async fn subnet_list(call: Call) -> Result<Response, Problem> {
    let view = call.view_as(Action::vpc("subnets", Verb::List))?;
    let all = view.snapshot.subnets().values().map(AsRef::as_ref);
    let all = all.filter(|subnet: &&Subnet| !subnet.public).collect();
    let page = list::page(&call.query, &view, SUBNET_FILTERS, |subnet| subnet.id, all)?;
    let wire: Vec<_> = page.items.into_iter().map(encode_subnet).collect();
    Ok(answer::bare("subnets", wire, call.request_id()))
}

/// `GET /v1/{project_id}/subnets/{subnet_id}`.
async fn subnet_show(call: Call) -> Result<Response, Problem> {
    let view = call.view_as(Action::vpc("subnets", Verb::Get))?;
    let id = call.id::<SubnetId>("subnet_id")?;
    let subnet = view.snapshot.subnet(id).filter(|subnet| !subnet.public);
    let subnet = subnet.ok_or_else(|| Problem::not_found("subnet", id))?;
    Ok(answer::bare("subnet", encode_subnet(subnet), call.request_id()))
}

/// Whether a network is more than a pool of public addresses.
fn is_private(view: &View, network: NetworkId) -> bool {
    let mut subnets = view.snapshot.subnets().values().filter(|subnet| subnet.network == network).peekable();
    subnets.peek().is_none() || subnets.any(|subnet| !subnet.public)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Snapshot, Timestamp};
    use serde_json::json;

    use super::*;

    fn subnet(id: u128, network: u128, public: bool) -> Subnet {
        Subnet {
            id: SubnetId::new(uuid::Uuid::from_u128(id)),
            network: NetworkId::new(uuid::Uuid::from_u128(network)),
            name: "default".try_into().unwrap(),
            cidr: "127.88.0.0/16".parse().unwrap(),
            gateway: [127, 88, 0, 1].into(),
            public,
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn a_pool_of_public_addresses_is_no_network() {
        let mut snapshot = Snapshot::default();
        for (id, network, public) in [(1, 10, false), (2, 10, true), (3, 20, true)] {
            snapshot.put(subnet(id, network, public).into());
        }
        let project = model::ProjectId::new(uuid::Uuid::nil());
        let view = View {
            snapshot: Arc::new(snapshot),
            facts: Default::default(),
            project,
            site: Default::default(),
        };
        for (why, network, shown) in
            [("mixed", 10, true), ("public only", 20, false), ("without subnets", 30, true)]
        {
            assert_eq!(is_private(&view, NetworkId::new(uuid::Uuid::from_u128(network))), shown, "{why}");
        }
    }

    #[test]
    fn a_subnet_has_one_id_for_all_that_the_vendor_tells_apart() {
        let shown = serde_json::to_value(encode_subnet(&subnet(1, 10, false))).unwrap();
        let id = json!("00000000-0000-0000-0000-000000000001");
        for key in ["id", "neutron_subnet_id", "neutron_network_id"] {
            assert_eq!(shown[key], id, "{key}");
        }
        assert_eq!(
            (&shown["cidr"], &shown["gateway_ip"], &shown["status"], &shown["ipv6_enable"]),
            (&json!("127.88.0.0/16"), &json!("127.88.0.1"), &json!("ACTIVE"), &json!(false))
        );
    }
}
