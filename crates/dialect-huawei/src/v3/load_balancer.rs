//! The load balancer in v3 words.

use std::net::IpAddr;

use axum::response::Response;
use control::{Cascade, CascadePools, View, relations::pools_of_load_balancer};
use http::StatusCode;
use identity::Verb;
use model::{
    FlavorId, LoadBalancer, LoadBalancerPatch, NetworkId, NewLoadBalancer, Patch, Snapshot, SubnetId, flavor,
    load_balancer::WafFailure,
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref, Tag},
    call::Call,
    errors::Problem,
    fields::{Fields, Harmless, Refusal},
    list::{Filter, each, either, enterprise_project, maybe, nothing, one},
    listener::layer4::{bandwidth, decode_bandwidth},
    marks,
};

const WRAPPER: &str = "loadbalancer";
const RESOURCE: &str = "loadbalancers";

// ---- wire ----

/// A load balancer as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    description: String,
    project_id: String,
    enterprise_project_id: String,
    provisioning_status: &'static str,
    operating_status: &'static str,
    admin_state_up: bool,
    provider: &'static str,
    guaranteed: bool,
    vpc_id: String,
    vip_subnet_cidr_id: Option<String>,
    vip_address: Option<String>,
    vip_port_id: Option<String>,
    ipv6_vip_virsubnet_id: Option<String>,
    ipv6_vip_address: Option<String>,
    ipv6_vip_port_id: Option<String>,
    listeners: Vec<Ref>,
    pools: Vec<Ref>,
    tags: Vec<Tag>,
    eips: [(); 0],
    publicips: [(); 0],
    global_eips: [(); 0],
    availability_zone_list: Vec<String>,
    l4_flavor_id: Option<String>,
    l4_scale_flavor_id: Option<String>,
    l7_flavor_id: Option<String>,
    /// Ours.
    bandwidth: u64,
    l7_scale_flavor_id: Option<String>,
    gw_flavor_id: Option<String>,
    loadbalancer_type: Option<String>,
    elb_virsubnet_ids: Vec<String>,
    elb_virsubnet_type: &'static str,
    ip_target_enable: bool,
    frozen_scene: Option<String>,
    deletion_protection_enable: bool,
    autoscaling: Autoscaling,
    billing_info: Option<String>,
    charge_mode: &'static str,
    public_border_group: &'static str,
    service_lb_mode: &'static str,
    instance_type: Option<String>,
    instance_id: Option<String>,
    proxy_protocol_extensions: [(); 0],
    waf_failure_action: &'static str,
    protection_status: &'static str,
    protection_reason: String,
    log_group_id: Option<String>,
    log_topic_id: Option<String>,
    custom_qos_limit: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Clone, Debug, Serialize)]
struct Autoscaling {
    enable: bool,
    min_l7_flavor_id: &'static str,
}

// ---- decode ----

const PROVIDERS: &[(&str, Option<()>)] = &[("vlb", Some(()))];
const WAF_FAILURES: &[(&str, Option<WafFailure>)] = &[
    ("forward", Some(WafFailure::Forward)),
    ("discard", Some(WafFailure::Discard)),
    ("", Some(WafFailure::Forward)),
];
const MEMBER_SUBNETS_MAX: usize = 64;
const ZONES_MAX: usize = 64;

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewLoadBalancer, Refusal> {
    marks::project(&mut fields)?;
    fields.choice("provider", PROVIDERS)?;
    fields.only_true("guaranteed")?;
    decode_later(&mut fields)?;
    fields.later("billing_info", Harmless::Empty)?;
    fields.later("publicip", Harmless::NoFields)?;
    fields.later("publicip_ids", Harmless::NoItems)?;
    fields.choice("charge_mode", &[("flavor", Some(())), ("lcu", Some(()))])?;
    let zones = fields.parsed_list("availability_zone_list", ZONES_MAX, "a zone's code")?;
    let zones: Vec<String> = fields.required("availability_zone_list", zones)?;
    if zones.is_empty() {
        return Err(fields.refuse("availability_zone_list", "at least one zone is needed"));
    }
    let new = NewLoadBalancer {
        name: marks::name(&mut fields)?.unwrap_or_default(),
        description: marks::description(&mut fields)?.unwrap_or_default(),
        admin_up: fields.flag("admin_state_up")?.unwrap_or(true),
        network: fields.id::<NetworkId>("vpc_id")?,
        vip_subnet: fields.id::<SubnetId>("vip_subnet_cidr_id")?,
        vip_address: fields.parsed("vip_address", "an IPv4 address")?,
        vip_v6_subnet: fields.id::<SubnetId>("ipv6_vip_virsubnet_id")?,
        vip_v6_address: fields.parsed("ipv6_vip_address", "an IPv6 address")?,
        zones,
        l4_flavor: fields.id::<FlavorId>("l4_flavor_id")?,
        l7_flavor: fields.id::<FlavorId>("l7_flavor_id")?,
        bits_per_second_max: decode_bandwidth(&mut fields)?.unwrap_or(0),
        member_subnets: fields
            .parsed_list("elb_virsubnet_ids", MEMBER_SUBNETS_MAX, "an id (uuid)")?
            .unwrap_or_default(),
        ip_targets: fields.flag("ip_target_enable")?.unwrap_or(false),
        deletion_protection: fields.flag("deletion_protection_enable")?.unwrap_or(false),
        protection: marks::protection(&mut fields)?,
        waf_failure: fields.choice("waf_failure_action", WAF_FAILURES)?.unwrap_or_default(),
        enterprise_project: marks::enterprise_project(&mut fields)?,
        tags: marks::tags(&mut fields)?,
    };
    fields.done()?;
    Ok(new)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &[
    "provider",
    "guaranteed",
    "vpc_id",
    "project_id",
    "enterprise_project_id",
    "availability_zone_list",
    "tags",
    "publicip",
    "publicip_ids",
    "billing_info",
];

/// The body of an update.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<LoadBalancerPatch, Refusal> {
    fields.fixed(FIXED)?;
    decode_later(&mut fields)?;
    fields.choice("charge_mode", &[("flavor", Some(()))])?;
    let patch = LoadBalancerPatch {
        name: marks::name(&mut fields)?,
        description: marks::description(&mut fields)?,
        admin_up: fields.flag("admin_state_up")?,
        vip_subnet: fields.nullable_id::<SubnetId>("vip_subnet_cidr_id")?,
        vip_address: fields.parsed("vip_address", "an IPv4 address")?,
        vip_v6_subnet: fields.nullable_id::<SubnetId>("ipv6_vip_virsubnet_id")?,
        vip_v6_address: fields.parsed("ipv6_vip_address", "an IPv6 address")?,
        l4_flavor: fields.id::<FlavorId>("l4_flavor_id")?,
        l7_flavor: fields.id::<FlavorId>("l7_flavor_id")?,
        bits_per_second_max: decode_bandwidth(&mut fields)?,
        member_subnets: fields.parsed_list("elb_virsubnet_ids", MEMBER_SUBNETS_MAX, "an id (uuid)")?,
        ip_targets: fields.flag("ip_target_enable")?,
        deletion_protection: fields.flag("deletion_protection_enable")?,
        protection: marks::protection_patch(&mut fields)?,
        waf_failure: fields.choice("waf_failure_action", WAF_FAILURES)?,
    };
    fields.done()?;
    Ok(patch)
}

/// Fields of features that are not built, the same in create and update.
fn decode_later(fields: &mut Fields<'_>) -> Result<(), Refusal> {
    fields.later("ipv6_bandwidth", Harmless::NoFields)?;
    fields.later("prepaid_options", Harmless::NoFields)?;
    if let Patch::Set(mut autoscaling) = fields.nullable_object("autoscaling")? {
        autoscaling.later("enable", Harmless::Off)?;
        autoscaling.later("min_l7_flavor_id", Harmless::Empty)?;
        autoscaling.done()?;
    }
    Ok(())
}

/// The body of a delete-cascade.
pub(crate) fn decode_cascade(mut fields: Fields<'_>) -> Result<Cascade, Refusal> {
    // No elastic IPs are bound, so whether they are released changes nothing.
    fields.flag("public_ip")?;
    let pools = match fields.flag("unbounded_pool")? {
        None | Some(true) => CascadePools::Delete,
        Some(false) => CascadePools::Unbind,
    };
    fields.done()?;
    Ok(Cascade { pools })
}

// ---- encode ----

/// The load balancer as answers show it.
pub(crate) fn encode(snapshot: &Snapshot, lb: &LoadBalancer) -> Wire {
    let (protection_status, protection_reason) = answer::protection(&lb.protection);
    let (l4, l7) = (lb.l4_flavor.and_then(flavor::by_id), lb.l7_flavor.and_then(flavor::by_id));
    let elastic = l4.into_iter().chain(l7).any(|flavor| flavor.elastic);
    Wire {
        id: lb.id.to_string(),
        name: lb.name.to_string(),
        description: lb.description.to_string(),
        project_id: lb.project.simple(),
        enterprise_project_id: answer::enterprise_project(lb.enterprise_project),
        provisioning_status: PROVISIONING_STATUS,
        operating_status: OPERATING_STATUS,
        admin_state_up: lb.admin_up,
        provider: "vlb",
        guaranteed: true,
        vpc_id: lb.network.to_string(),
        vip_subnet_cidr_id: lb.vip.map(|vip| vip.subnet.to_string()),
        vip_address: lb.vip.map(|vip| vip.address.to_string()),
        vip_port_id: lb.vip.map(|vip| vip.port_id.to_string()),
        ipv6_vip_virsubnet_id: lb.vip_v6.map(|vip| vip.subnet.to_string()),
        ipv6_vip_address: lb.vip_v6.map(|vip| vip.address.to_string()),
        ipv6_vip_port_id: lb.vip_v6.map(|vip| vip.port_id.to_string()),
        listeners: answer::refs(snapshot.listeners_of(lb.id).map(|listener| listener.id)),
        pools: answer::refs(pools_of_load_balancer(snapshot, lb)),
        tags: answer::tags(&lb.tags),
        eips: [],
        publicips: [],
        global_eips: [],
        availability_zone_list: lb.zones.clone(),
        l4_flavor_id: lb.l4_flavor.map(|id| id.to_string()),
        l4_scale_flavor_id: None,
        l7_flavor_id: lb.l7_flavor.map(|id| id.to_string()),
        bandwidth: bandwidth(lb.bits_per_second_max),
        l7_scale_flavor_id: None,
        gw_flavor_id: None,
        loadbalancer_type: None,
        elb_virsubnet_ids: member_subnets(snapshot, lb),
        elb_virsubnet_type: member_subnets_type(snapshot, lb),
        ip_target_enable: lb.ip_targets,
        frozen_scene: None,
        deletion_protection_enable: lb.deletion_protection,
        autoscaling: Autoscaling { enable: false, min_l7_flavor_id: "" },
        billing_info: None,
        charge_mode: if elastic { "lcu" } else { "flavor" },
        public_border_group: PUBLIC_BORDER_GROUP,
        service_lb_mode: "lb",
        instance_type: None,
        instance_id: None,
        proxy_protocol_extensions: [],
        waf_failure_action: match lb.waf_failure {
            WafFailure::Forward => "forward",
            WafFailure::Discard => "discard",
        },
        protection_status,
        protection_reason,
        log_group_id: snapshot.access_log_of(lb.id).map(|log| log.group.clone()),
        log_topic_id: snapshot.access_log_of(lb.id).map(|log| log.topic.clone()),
        custom_qos_limit: None,
        created_at: answer::time(lb.created_at),
        updated_at: answer::time(lb.updated_at),
    }
}

/// A command is answered when it is done, so nobody ever sees a load balancer that is not.
const PROVISIONING_STATUS: &str = "ACTIVE";
/// DEGRADED and DISABLED are shown in the status tree only.
const OPERATING_STATUS: &str = "ONLINE";
/// The only group of zones that a site has.
pub(crate) const PUBLIC_BORDER_GROUP: &str = "center";

/// The subnets that it reaches members from; not said: that of the IPv6 VIP, else of the VIP, else any of the network.
fn member_subnets(snapshot: &Snapshot, lb: &LoadBalancer) -> Vec<String> {
    if !lb.member_subnets.is_empty() {
        return lb.member_subnets.iter().map(ToString::to_string).collect();
    }
    let any = || snapshot.subnets().values().find(|subnet| subnet.network == lb.network && !subnet.public);
    let vip = lb.vip_v6.map(|vip| vip.subnet).or(lb.vip.map(|vip| vip.subnet));
    vip.or_else(|| any().map(|subnet| subnet.id)).iter().map(ToString::to_string).collect()
}

fn member_subnets_type(snapshot: &Snapshot, lb: &LoadBalancer) -> &'static str {
    let is_v6 =
        |id: SubnetId| snapshot.subnet(id).is_some_and(|subnet| matches!(subnet.cidr.addr(), IpAddr::V6(_)));
    let said = lb.member_subnets.iter().any(|id| is_v6(SubnetId::new(*id)));
    if said || lb.vip_v6.is_some() { "dualstack" } else { "ipv4" }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, LoadBalancer>] = &[
    Filter::text("id", |_, lb| one(lb.id)),
    Filter::text("name", |_, lb| one(&lb.name)),
    Filter::text("description", |_, lb| one(&lb.description)),
    Filter::flag("admin_state_up", |_, lb| one(lb.admin_up)),
    Filter::flag("include_recycle_bin", |_, _| either()),
    Filter::text("provisioning_status", |_, _| one(PROVISIONING_STATUS)),
    Filter::text("operating_status", |_, _| one(OPERATING_STATUS)),
    Filter::flag("guaranteed", |_, _| one(true)),
    Filter::text("vpc_id", |_, lb| one(lb.network)),
    Filter::text("vip_port_id", |_, lb| maybe(lb.vip.map(|vip| vip.port_id))),
    Filter::text("vip_address", |_, lb| maybe(lb.vip.map(|vip| vip.address))),
    Filter::text("vip_subnet_cidr_id", |_, lb| maybe(lb.vip.map(|vip| vip.subnet))),
    Filter::text("ipv6_vip_port_id", |_, lb| maybe(lb.vip_v6.map(|vip| vip.port_id))),
    Filter::text("ipv6_vip_address", |_, lb| maybe(lb.vip_v6.map(|vip| vip.address))),
    Filter::text("ipv6_vip_virsubnet_id", |_, lb| maybe(lb.vip_v6.map(|vip| vip.subnet))),
    Filter::pair("eips", |_, _| nothing()),
    Filter::pair("publicips", |_, _| nothing()),
    Filter::pair("global_eips", |_, _| nothing()),
    Filter::text("availability_zone_list", |_, lb| each(&lb.zones)),
    Filter::text("l4_flavor_id", |_, lb| maybe(lb.l4_flavor)),
    Filter::text("l4_scale_flavor_id", |_, _| nothing()),
    Filter::text("l7_flavor_id", |_, lb| maybe(lb.l7_flavor)),
    Filter::text("l7_scale_flavor_id", |_, _| nothing()),
    Filter::text("billing_info", |_, _| nothing()),
    Filter::text("member_device_id", |_, _| nothing()),
    Filter::text("member_address", |view, lb| {
        let pools = pools_of_load_balancer(&view.snapshot, lb).into_iter();
        each(pools.flat_map(|pool| view.snapshot.members_of(pool).map(|member| member.address)))
    }),
    Filter::text("enterprise_project_id", |_, lb| enterprise_project(lb.enterprise_project)),
    Filter::integer("ip_version", |_, lb| each(lb.vips().map(|vip| if vip.is_ipv4() { 4 } else { 6 }))),
    Filter::flag("deletion_protection_enable", |_, lb| one(lb.deletion_protection)),
    Filter::text("elb_virsubnet_type", |view, lb| one(member_subnets_type(&view.snapshot, lb))),
    Filter::pair("autoscaling", |_, _| vec!["enable=false".to_owned(), "min_l7_flavor_id=".to_owned()]),
    Filter::text("protection_status", |_, lb| one(answer::protection(&lb.protection).0)),
    Filter::text("log_topic_id", |view, load_balancer| {
        maybe(view.snapshot.access_log_of(load_balancer.id).map(|log| log.topic.clone()))
    }),
    Filter::text("log_group_id", |view, load_balancer| {
        maybe(view.snapshot.access_log_of(load_balancer.id).map(|log| log.group.clone()))
    }),
];

// ---- operations ----

/// `GET …/loadbalancers`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.load_balancers().values().map(AsRef::as_ref);
    let own = all.filter(|lb: &&LoadBalancer| lb.project == view.project).collect();
    call.page(RESOURCE, &view, FILTERS, |lb| lb.id, own, |lb| encode(&view.snapshot, lb))
}

/// `POST …/loadbalancers`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::load_balancer_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now().snapshot, &made)))
}

/// `GET …/loadbalancers/{loadbalancer_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.load_balancer(call.id("loadbalancer_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view.snapshot, found)))
}

/// `PUT …/loadbalancers/{loadbalancer_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("loadbalancer_id")?;
    call.now().load_balancer(id)?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::load_balancer_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now().snapshot, &changed)))
}

/// `DELETE …/loadbalancers/{loadbalancer_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::load_balancer_delete(call.control(), &call.caller, call.id("loadbalancer_id")?).await?;
    Ok(call.gone())
}

/// `DELETE …/loadbalancers/{loadbalancer_id}/force-elb`.
pub(crate) async fn delete_force(call: Call) -> Result<Response, Problem> {
    let all = Cascade { pools: CascadePools::Delete };
    control::load_balancer_delete_cascade(call.control(), &call.caller, call.id("loadbalancer_id")?, all)
        .await?;
    Ok(call.gone())
}

/// `POST …/loadbalancers/{loadbalancer_id}/delete-cascade`.
pub(crate) async fn delete_cascade(call: Call) -> Result<Response, Problem> {
    let id = call.id("loadbalancer_id")?;
    call.now().load_balancer(id)?;
    let cascade = decode_cascade(call.fields(WRAPPER)?)?;
    control::load_balancer_delete_cascade(call.control(), &call.caller, id, cascade).await?;
    Ok(call.gone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v3::fields::tests::read;

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    #[test]
    fn a_create_has_the_documented_defaults() {
        let new =
            read(json!({"availability_zone_list": ["a"], "vip_subnet_cidr_id": ID}), decode_new).unwrap();
        assert!(new.admin_up && !new.ip_targets && !new.deletion_protection);
        assert_eq!((new.name.as_str(), new.description.as_str()), ("", ""));
        assert_eq!(
            (new.network, new.vip_address, new.l4_flavor, new.enterprise_project),
            (None, None, None, None)
        );
        assert_eq!(new.waf_failure, WafFailure::Forward);
        assert_eq!(new.protection, model::load_balancer::Protection::None);
        assert_eq!(new.vip_subnet, Some(ID.parse().unwrap()));
    }

    #[test]
    fn an_update_tells_absent_null_and_a_value_apart() {
        let patch = |content| read(content, decode_patch).unwrap();
        assert_eq!(patch(json!({})).vip_subnet, Patch::Keep);
        assert_eq!(patch(json!({"vip_subnet_cidr_id": null})).vip_subnet, Patch::Clear);
        assert_eq!(patch(json!({"vip_subnet_cidr_id": ID})).vip_subnet, Patch::Set(ID.parse().unwrap()));
        assert_eq!(patch(json!({"name": ""})).name, Some(model::Name::default()));
    }

    #[test]
    fn what_is_not_built_is_refused_unless_it_is_off() {
        let with = |field: &str, value| {
            let mut content = json!({"availability_zone_list": ["a"], "vpc_id": ID});
            content[field] = value;
            read(content, decode_new).map(drop)
        };
        for (field, off, on) in [
            ("publicip_ids", json!([]), json!([ID])),
            ("publicip", json!(null), json!({"network_type": "5_bgp"})),
            ("ipv6_bandwidth", json!(null), json!({"id": ID})),
            ("prepaid_options", json!({}), json!({"period_type": "month"})),
            ("guaranteed", json!(true), json!(false)),
            ("provider", json!("vlb"), json!("other")),
        ] {
            assert_eq!(with(field, off), Ok(()), "{field}");
            assert_eq!(with(field, on), Err(field.to_owned()));
        }
        assert_eq!(with("autoscaling", json!({"enable": false, "min_l7_flavor_id": ""})), Ok(()));
        assert_eq!(with("autoscaling", json!({"enable": true})), Err("autoscaling.enable".to_owned()));
    }

    #[test]
    fn a_cascade_deletes_pools_unless_asked_to_unbind_them() {
        let unbinds = |content| matches!(read(content, decode_cascade).unwrap().pools, CascadePools::Unbind);
        assert!(!unbinds(json!({})));
        assert!(!unbinds(json!({"unbounded_pool": true, "public_ip": true})));
        assert!(unbinds(json!({"unbounded_pool": false})));
    }
}
