//! What the list of listeners can be filtered by.

use control::View;
use model::Listener;

use crate::v3::{
    answer,
    list::{Filter, each, either, enterprise_project, maybe, nothing, one},
    listener::{CONNECTION_LIMIT, layer4, member_retry, protocol, tls},
};

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Listener>] = &[
    Filter::text("id", |_, listener| one(listener.id)),
    Filter::text("name", |_, listener| one(&listener.name)),
    Filter::text("description", |_, listener| one(&listener.description)),
    Filter::text("protocol", |_, listener| one(protocol(listener.protocol()))),
    Filter::text("protocol_port", |_, listener| one(layer4::port(listener))),
    Filter::text("default_tls_container_ref", |_, listener| maybe(tls::certificate(listener))),
    Filter::text("client_ca_tls_container_ref", |_, listener| maybe(tls::client_ca(listener))),
    Filter::flag("admin_state_up", |_, listener| one(listener.admin_up)),
    Filter::flag("include_recycle_bin", |_, _| either()),
    Filter::integer("connection_limit", |_, _| one(CONNECTION_LIMIT)),
    Filter::text("default_pool_id", |_, listener| maybe(listener.default_pool)),
    Filter::flag("http2_enable", |_, listener| one(listener.http().is_some_and(|http| http.http2))),
    Filter::text("loadbalancer_id", |_, listener| one(listener.load_balancer)),
    Filter::text("tls_ciphers_policy", |_, listener| maybe(tls::system_policy_name(listener))),
    Filter::text("member_address", |view, listener| {
        let members = listener.default_pool.map(|pool| view.snapshot.members_of(pool));
        each(members.into_iter().flatten().map(|member| member.address))
    }),
    Filter::text("member_device_id", |_, _| nothing()),
    Filter::text("member_instance_id", |_, _| nothing()),
    Filter::text("enterprise_project_id", |_, listener| enterprise_project(listener.enterprise_project)),
    Filter::flag("enable_member_retry", |_, listener| one(member_retry(listener))),
    Filter::integer("client_timeout", |_, listener| maybe(listener.http().map(|http| http.request_timeout))),
    Filter::integer("member_timeout", |_, listener| maybe(listener.http().map(|http| http.response_timeout))),
    Filter::integer("keepalive_timeout", |_, listener| one(listener.idle_timeout)),
    Filter::flag("transparent_client_ip_enable", |_, listener| one(listener.transparent_client_ip)),
    Filter::flag("proxy_protocol_enable", |_, listener| one(layer4::proxy_sent(listener))),
    Filter::flag("enhance_l7policy_enable", |_, listener| {
        one(listener.http().is_some_and(|http| http.enhanced_policies))
    }),
    Filter::text("protection_status", |_, listener| one(answer::protection(&listener.protection).0)),
    Filter::flag("ssl_early_data_enable", |_, listener| one(tls::early_data(listener))),
    Filter::flag("nat64_enable", |_, _| one(false)),
];
