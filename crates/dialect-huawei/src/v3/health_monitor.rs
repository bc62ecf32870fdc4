//! The health monitor in v3 words.

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{
    HealthMonitor, HealthMonitorPatch, MonitorType, NewHealthMonitor, Patch, PoolId, ProbeInterval,
    ProbeThreshold, ProbeTimeout,
    health_monitor::{CodeKind, ExpectedStatuses, HttpProbe, ProbeHost, ProbeMethod, ProbePath},
    target::ProbeSettings,
};
use serde::Serialize;

use crate::v3::{
    answer::{self, Ref},
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, enterprise_project, maybe, one},
    marks,
};

const WRAPPER: &str = "healthmonitor";
const RESOURCE: &str = "healthmonitors";

// ---- wire ----

/// A health monitor as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    id: String,
    name: String,
    project_id: String,
    pools: Vec<Ref>,
    admin_state_up: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    delay: u32,
    timeout: u32,
    max_retries: u8,
    max_retries_down: u8,
    monitor_port: Option<u16>,
    domain_name: Option<String>,
    url_path: String,
    http_method: String,
    expected_codes: String,
    created_at: String,
    updated_at: String,
}

// ---- decode ----

const KINDS: &[(&str, Option<MonitorType>)] = &[
    ("TCP", Some(MonitorType::Tcp)),
    ("HTTP", Some(MonitorType::Http)),
    ("UDP_CONNECT", Some(MonitorType::Udp)),
    ("HTTPS", Some(MonitorType::Https)),
    ("TLS", Some(MonitorType::Tls)),
    ("GRPC", Some(MonitorType::Grpc)),
];
const METHODS: &[(&str, Option<ProbeMethod>)] =
    &[("GET", Some(ProbeMethod::Get)), ("HEAD", Some(ProbeMethod::Head)), ("POST", Some(ProbeMethod::Post))];
const SECONDS_MAX: i64 = 50;
const FALL_DEFAULT: ProbeThreshold = ProbeThreshold::of(3);

/// The body of a create.
pub(crate) fn decode_new(mut fields: Fields<'_>) -> Result<NewHealthMonitor, Refusal> {
    marks::project(&mut fields)?;
    let pool = fields.id::<PoolId>("pool_id")?;
    let pool = fields.required("pool_id", pool)?;
    let new = decode_probe(&mut fields, pool, KINDS)?;
    fields.done()?;
    Ok(new)
}

/// The health monitor inside the body of an active/standby pool, which may have fewer kinds of probes; it names no pool yet.
pub(crate) fn decode_inner(
    mut fields: Fields<'_>,
    kinds: &[(&str, Option<MonitorType>)],
) -> Result<NewHealthMonitor, Refusal> {
    let new = decode_probe(&mut fields, PoolId::new(uuid::Uuid::nil()), kinds)?;
    fields.done()?;
    Ok(new)
}

fn decode_probe(
    fields: &mut Fields<'_>,
    pool: PoolId,
    kinds: &[(&str, Option<MonitorType>)],
) -> Result<NewHealthMonitor, Refusal> {
    let said = decode_patch_fields(fields, kinds)?;
    let kind = fields.required("type", said.kind)?;
    let codes = kind.codes().unwrap_or(CodeKind::Http);
    Ok(NewHealthMonitor {
        pool,
        name: said.name.unwrap_or_default(),
        admin_up: said.admin_up.unwrap_or(true),
        probe: ProbeSettings {
            kind,
            interval: fields.required("delay", said.interval)?,
            timeout: fields.required("timeout", said.timeout)?,
            rise: fields.required("max_retries", said.rise)?,
            fall: said.fall.unwrap_or(FALL_DEFAULT),
            port: said.port.into_option(),
            datagram: None,
            http: HttpProbe {
                method: said.method.unwrap_or_default(),
                path: said.path.unwrap_or_else(ProbePath::root),
                host: said.host.into_option(),
                expected: said.expected.unwrap_or_else(|| ExpectedStatuses::default_of(codes)),
            },
        },
    })
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["pool_id", "project_id"];

/// The body of an update.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<HealthMonitorPatch, Refusal> {
    fields.fixed(FIXED)?;
    let patch = decode_patch_fields(&mut fields, KINDS)?;
    fields.done()?;
    Ok(patch)
}

fn decode_patch_fields(
    fields: &mut Fields<'_>,
    kinds: &[(&str, Option<MonitorType>)],
) -> Result<HealthMonitorPatch, Refusal> {
    let interval = fields.integer("delay", 1..=SECONDS_MAX)?;
    let timeout = fields.integer("timeout", 1..=SECONDS_MAX)?;
    let rise = fields.integer("max_retries", 1..=10)?;
    let fall = fields.integer("max_retries_down", 1..=10)?;
    let port = fields.nullable_integer("monitor_port", 1..=65535)?;
    let host = fields.nullable_string("domain_name", 1..=100)?;
    let path = fields.string("url_path", 1..=80)?;
    let expected = fields.string("expected_codes", 1..=64)?;
    Ok(HealthMonitorPatch {
        name: marks::name(fields)?,
        admin_up: fields.flag("admin_state_up")?,
        kind: fields.choice("type", kinds)?,
        interval: interval.map(|n| fields.typed::<_, ProbeInterval>("delay", n)).transpose()?,
        timeout: timeout.map(|n| fields.typed::<_, ProbeTimeout>("timeout", n)).transpose()?,
        rise: rise.map(|n| fields.typed::<_, ProbeThreshold>("max_retries", n)).transpose()?,
        fall: fall.map(|n| fields.typed::<_, ProbeThreshold>("max_retries_down", n)).transpose()?,
        port: fields.typed_patch("monitor_port", port)?,
        method: fields.choice("http_method", METHODS)?,
        path: path.map(|text| fields.typed::<_, ProbePath>("url_path", text)).transpose()?,
        host: fields.typed_patch::<_, ProbeHost>("domain_name", host)?,
        expected: expected
            .map(|text| fields.typed::<_, ExpectedStatuses>("expected_codes", text))
            .transpose()?,
        datagram: Patch::Keep,
    })
}

// ---- encode ----

/// The health monitor as answers show it.
pub(crate) fn encode(monitor: &HealthMonitor) -> Wire {
    let probe = &monitor.probe;
    Wire {
        id: monitor.id.to_string(),
        name: monitor.name.to_string(),
        project_id: monitor.project.simple(),
        pools: answer::refs([monitor.pool]),
        admin_state_up: monitor.admin_up,
        kind: kind(probe.kind),
        delay: probe.interval.value(),
        timeout: probe.timeout.value(),
        max_retries: probe.rise.value(),
        max_retries_down: probe.fall.value(),
        monitor_port: probe.port.map(model::Port::value),
        domain_name: probe.http.host.as_ref().map(|host| host.as_str().to_owned()),
        url_path: probe.http.path.as_str().to_owned(),
        http_method: probe.http.method.to_string(),
        expected_codes: probe.http.expected.as_str().to_owned(),
        created_at: answer::time(monitor.created_at),
        updated_at: answer::time(monitor.updated_at),
    }
}

/// What a probe speaks, in the vendor's words.
pub(crate) fn kind(kind: MonitorType) -> &'static str {
    match kind {
        MonitorType::Tcp => "TCP",
        MonitorType::Http => "HTTP",
        MonitorType::Https => "HTTPS",
        MonitorType::Tls => "TLS",
        MonitorType::Grpc => "GRPC",
        MonitorType::Udp => "UDP_CONNECT",
    }
}

// ---- list ----

/// What its list can be filtered by.
pub(crate) const FILTERS: &[Filter<View, HealthMonitor>] = &[
    Filter::text("id", |_, monitor| one(monitor.id)),
    Filter::text("name", |_, monitor| one(&monitor.name)),
    Filter::integer("monitor_port", |_, monitor| maybe(monitor.probe.port)),
    Filter::text("domain_name", |_, monitor| maybe(monitor.probe.http.host.as_ref().map(ProbeHost::as_str))),
    Filter::integer("delay", |_, monitor| one(monitor.probe.interval)),
    Filter::integer("max_retries", |_, monitor| one(monitor.probe.rise)),
    Filter::integer("max_retries_down", |_, monitor| one(monitor.probe.fall)),
    Filter::integer("timeout", |_, monitor| one(monitor.probe.timeout)),
    Filter::flag("admin_state_up", |_, monitor| one(monitor.admin_up)),
    Filter::text("type", |_, monitor| one(kind(monitor.probe.kind))),
    Filter::text("expected_codes", |_, monitor| one(monitor.probe.http.expected.as_str())),
    Filter::text("url_path", |_, monitor| one(monitor.probe.http.path.as_str())),
    Filter::text("http_method", |_, monitor| one(monitor.probe.http.method)),
    Filter::text("enterprise_project_id", |view, monitor| {
        enterprise_project(view.snapshot.pool(monitor.pool).and_then(|pool| pool.enterprise_project))
    }),
];

// ---- operations ----

/// `GET …/healthmonitors`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let all = view.snapshot.health_monitors().values().map(AsRef::as_ref);
    let own = all.filter(|monitor: &&HealthMonitor| monitor.project == view.project).collect();
    call.page(RESOURCE, &view, FILTERS, |monitor| monitor.id, own, encode)
}

/// `POST …/healthmonitors`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let new = decode_new(call.fields(WRAPPER)?)?;
    let made = control::health_monitor_create(call.control(), &call.caller, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&made)))
}

/// `GET …/healthmonitors/{healthmonitor_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(view.health_monitor(call.id("healthmonitor_id")?)?)))
}

/// `PUT …/healthmonitors/{healthmonitor_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id("healthmonitor_id")?;
    call.now().health_monitor(id)?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::health_monitor_update(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&changed)))
}

/// `DELETE …/healthmonitors/{healthmonitor_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::health_monitor_delete(call.control(), &call.caller, call.id("healthmonitor_id")?).await?;
    Ok(call.gone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v3::fields::tests::read;

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    #[test]
    fn every_kind_of_probe_has_its_word_and_its_codes() {
        for (word, expect, codes) in [
            ("TCP", MonitorType::Tcp, "200"),
            ("HTTP", MonitorType::Http, "200"),
            ("HTTPS", MonitorType::Https, "200"),
            ("TLS", MonitorType::Tls, "200"),
            ("GRPC", MonitorType::Grpc, "0"),
            ("UDP_CONNECT", MonitorType::Udp, "200"),
        ] {
            let content = json!({"pool_id": ID, "type": word, "delay": 5, "timeout": 3, "max_retries": 3});
            let probe = read(content, decode_new).unwrap().probe;
            assert_eq!((probe.kind, probe.http.expected.as_str()), (expect, codes), "{word}");
            assert_eq!(kind(probe.kind), word);
        }
    }
}
