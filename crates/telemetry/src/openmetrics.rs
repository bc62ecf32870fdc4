//! The text that `/metrics` answers: OpenMetrics 1.0.
//!
//! Series per listener and member are bounded: no label takes a client's words. Names of objects are not labels, as they
//! change; ids are.

use std::{fmt::Write, sync::Arc};

use model::{Facts, ListenerId, MemberId, Snapshot, TargetId, TlsVersion, Verdict};

use crate::{
    AccessLogs, ListenerCounters, MemberCounters, ODDITIES, OwnAnswer, Registry, TlsCounters, TlsFailure,
    process::Process,
};

/// All metrics as text. `snapshot` says to whom a listener belongs; `facts` say what is up. A listener that the snapshot does
/// not have (deleted a moment ago) is left out.
pub fn render_openmetrics(
    registry: &Registry,
    access_logs: &AccessLogs,
    snapshot: &Snapshot,
    facts: &Facts,
) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    listeners(&mut page, registry, snapshot);
    members(&mut page, registry, snapshot);
    health(&mut page, snapshot, facts);
    certificates(&mut page, registry, snapshot);
    node(&mut page, facts);
    let name = page.family(
        "fulcrum_access_log_",
        "dropped_records",
        "counter",
        "Records of requests that were dropped, because the disk was too slow or refused.",
    );
    page.sample(&name, "_total", "", "", access_logs.dropped());
    process(&mut page);
    page.0.push_str("# EOF\n");
    page.0
}

type Of<T> = fn(&T) -> u64;

fn listeners(page: &mut Page, registry: &Registry, snapshot: &Snapshot) {
    let rows: Vec<_> = registry
        .listeners()
        .into_iter()
        .filter_map(|(id, blocks)| Some((listener_labels(snapshot, id)?, blocks)))
        .collect();
    let counters: [(&str, &str, Of<ListenerCounters>); 14] = [
        ("connections", "Connections accepted; of UDP, flows begun.", |c| c.connections.value()),
        ("denied_connections", "Connections, or datagrams, refused by the access control.", |c| {
            c.denied.value()
        }),
        (
            "proxy_header_failures",
            "Connections closed because their PROXY header did not come or was none.",
            |c| c.not_introduced.value(),
        ),
        (
            "over_limit_connections",
            "Connections, or datagrams of new flows, refused as the limits of listener, flavor or load balancer allow no more.",
            |c| c.over_limit.value(),
        ),
        ("received_bytes", "Bytes read from clients.", |c| c.bytes_in.value()),
        ("sent_bytes", "Bytes written to clients.", |c| c.bytes_out.value()),
        ("requests", "Requests that ended, by any outcome.", |c| c.requests()),
        ("policy_responses", "Answers made by policies: redirects, fixed responses, preflights.", |c| {
            c.policy_answers()
        }),
        ("limited_requests", "Requests over the limit of a policy or a flavor.", |c| c.limited.value()),
        ("mirrors_left_out", "Copies of requests that were due and could not be sent.", |c| {
            c.mirrors_left_out.value()
        }),
        ("retries", "Further attempts on a member after a failed one.", |c| c.retries.value()),
        (
            "unserved",
            "Layer 4 connections closed, and datagrams dropped, because no member could take them.",
            |c| c.unserved.value(),
        ),
        ("client_resets", "Connections ended by a reset of the client.", |c| c.client_resets.value()),
        ("member_resets", "Connections ended by a reset of a member.", |c| c.member_resets.value()),
    ];
    for (name, help, of) in counters {
        let name = page.family("fulcrum_listener_", name, "counter", help);
        for (labels, blocks) in &rows {
            page.sample(&name, "_total", labels, "", sum(blocks, of));
        }
    }
    let name = page.family("fulcrum_listener_", "active_connections", "gauge", "Connections open now.");
    for (labels, blocks) in &rows {
        page.sample(&name, "", labels, "", sum(blocks, |c| c.active.value()));
    }
    let name =
        page.family("fulcrum_listener_", "responses", "counter", "Answers to clients, by class of status.");
    for (labels, blocks) in &rows {
        for (digit, class) in CLASSES {
            let total: u64 = blocks.iter().map(|c| c.class(digit)).sum();
            page.sample(&name, "_total", labels, &format!(",class=\"{class}\""), total);
        }
        let gone = sum(blocks, ListenerCounters::client_gone);
        page.sample(&name, "_total", labels, ",class=\"client_gone\"", gone);
    }
    let name = page.family(
        "fulcrum_listener_",
        "own_responses",
        "counter",
        "Answers that the load balancer made by itself, by status; statuses that never occurred are left out.",
    );
    for (labels, blocks) in &rows {
        for answer in OwnAnswer::ALL {
            let total: u64 = blocks.iter().map(|c| c.own(answer)).sum();
            if total > 0 {
                page.sample(&name, "_total", labels, &format!(",status=\"{}\"", answer.status()), total);
            }
        }
    }
    oddities(page, &rows);
    handshakes(page, &rows);
    datagrams(page, &rows);
}

fn handshakes(page: &mut Page, rows: &[(String, Vec<Arc<ListenerCounters>>)]) {
    let total = |blocks: &[Arc<ListenerCounters>], of: &dyn Fn(&TlsCounters) -> u64| -> u64 {
        blocks.iter().filter_map(|block| block.tls_if_any()).map(of).sum()
    };
    let name = page.family(
        "fulcrum_listener_",
        "tls_handshakes",
        "counter",
        "TLS handshakes that made a session, by version and whether one was resumed; kinds that never occurred are left out.",
    );
    for (labels, blocks) in rows {
        for (version, resumed) in
            TlsVersion::ALL.into_iter().flat_map(|version| [(version, false), (version, true)])
        {
            let total = total(blocks, &|tls| tls.standing(version, resumed));
            if total > 0 {
                let kind = format!(",version=\"{}\",resumed=\"{resumed}\"", version.as_str());
                page.sample(&name, "_total", labels, &kind, total);
            }
        }
    }
    let name = page.family(
        "fulcrum_listener_",
        "tls_handshakes_failed",
        "counter",
        "TLS handshakes that failed, by reason; reasons that never occurred are left out.",
    );
    for (labels, blocks) in rows {
        for why in TlsFailure::ALL {
            let total = total(blocks, &|tls| tls.failures(why));
            if total > 0 {
                page.sample(&name, "_total", labels, &format!(",reason=\"{}\"", why.as_str()), total);
            }
        }
    }
}

fn datagrams(page: &mut Page, rows: &[(String, Vec<Arc<ListenerCounters>>)]) {
    let counters: [(&str, &str, Of<ListenerCounters>); 5] = [
        ("received_datagrams", "Datagrams of clients that were passed on; left out where none were.", |c| {
            c.datagrams_in.value()
        }),
        ("sent_datagrams", "Datagrams of members that were passed on; left out where none were.", |c| {
            c.datagrams_out.value()
        }),
        (
            "displaced_flows",
            "Flows of UDP that ended early, so that new ones have room; left out where none were.",
            |c| c.flows_displaced.value(),
        ),
        (
            "over_limit_datagrams",
            "Datagrams, of clients and of members, dropped over a limit of bandwidth; left out where none were.",
            |c| c.datagrams_over_limit.value(),
        ),
        (
            "bandwidth_waits",
            "How often a connection or a request waited for bandwidth, some 10 ms each time; left out where none did.",
            |c| c.bandwidth_waits.value(),
        ),
    ];
    rare(page, "fulcrum_listener_", rows, &counters);
}

/// Counters that only some objects have; those that never counted are left out.
fn rare<T>(page: &mut Page, prefix: &str, rows: &[(String, Vec<Arc<T>>)], counters: &[(&str, &str, Of<T>)]) {
    for (name, help, of) in counters {
        let name = page.family(prefix, name, "counter", help);
        for (labels, blocks) in rows {
            let total = sum(blocks, *of);
            if total > 0 {
                page.sample(&name, "_total", labels, "", total);
            }
        }
    }
}

fn oddities(page: &mut Page, rows: &[(String, Vec<Arc<ListenerCounters>>)]) {
    let name = page.family(
        "fulcrum_listener_",
        "odd_requests",
        "counter",
        "Requests that were odd without being wrong, by class; classes that never occurred are left out.",
    );
    for (labels, blocks) in rows {
        for (place, class) in ODDITIES.iter().enumerate() {
            let total: u64 = blocks.iter().map(|c| c.oddities[place].value()).sum();
            if total > 0 {
                page.sample(&name, "_total", labels, &format!(",class=\"{class}\""), total);
            }
        }
    }
}

fn members(page: &mut Page, registry: &Registry, snapshot: &Snapshot) {
    let rows: Vec<_> = registry
        .members()
        .into_iter()
        .filter_map(|((target, member), blocks)| Some((member_labels(snapshot, target, member)?, blocks)))
        .collect();
    let counters: [(&str, &str, Of<MemberCounters>); 10] = [
        ("connections", "Connections made to the member.", |c| c.connections.value()),
        ("requests", "Attempts on the member that ended, by any outcome.", |c| c.requests()),
        ("sent_bytes", "Bytes sent to the member.", |c| c.bytes_out.value()),
        ("received_bytes", "Bytes received from the member.", |c| c.bytes_in.value()),
        ("connect_failures", "Connections that could not be made.", |c| c.connect_failures()),
        (
            "connects_not_begun",
            "Connections that this node could not begin, for want of descriptors, memory, ports or permission.",
            |c| c.not_made(),
        ),
        ("unverified", "Connections not made because the member's certificate does not verify.", |c| {
            c.unverified.value()
        }),
        ("ejections", "Times that outlier detection left the member out.", |c| c.ejections.value()),
        ("response_timeouts", "Answers that did not come in time.", |c| c.response_timeouts()),
        (
            "broken_responses",
            "Connections that broke before an answer ended, and answers that were no HTTP.",
            |c| c.broken(),
        ),
    ];
    for (name, help, of) in counters {
        let name = page.family("fulcrum_member_", name, "counter", help);
        for (labels, blocks) in &rows {
            page.sample(&name, "_total", labels, "", sum(blocks, of));
        }
    }
    let name = page.family("fulcrum_member_", "active", "gauge", "Requests or connections in work now.");
    for (labels, blocks) in &rows {
        page.sample(&name, "", labels, "", sum(blocks, |c| c.active.value()));
    }
    let name =
        page.family("fulcrum_member_", "responses", "counter", "Answers of the member, by class of status.");
    for (labels, blocks) in &rows {
        for (digit, class) in CLASSES {
            let total: u64 = blocks.iter().map(|c| c.class(digit)).sum();
            page.sample(&name, "_total", labels, &format!(",class=\"{class}\""), total);
        }
    }
    let counters: [(&str, &str, Of<MemberCounters>); 2] = [
        ("sent_datagrams", "Datagrams sent to the member; left out where none were.", |c| {
            c.datagrams_out.value()
        }),
        ("received_datagrams", "Datagrams received from the member; left out where none were.", |c| {
            c.datagrams_in.value()
        }),
    ];
    rare(page, "fulcrum_member_", &rows, &counters);
}

fn health(page: &mut Page, snapshot: &Snapshot, facts: &Facts) {
    let name = page.family(
        "fulcrum_member_",
        "up",
        "gauge",
        "1: the last verdict of the probes is healthy, 0: it is not, or outlier detection leaves the member out. Members that are not \
         probed and not left out have none.",
    );
    for ((target, member), health) in &facts.health {
        if let Some(labels) = member_labels(snapshot, *target, *member) {
            page.sample(&name, "", &labels, "", u64::from(health.verdict == Verdict::Up));
        }
    }
}

fn certificates(page: &mut Page, registry: &Registry, snapshot: &Snapshot) {
    let rows: Vec<_> = registry
        .certificates()
        .into_iter()
        .filter_map(|(id, counters)| {
            let project = snapshot.certificate(id)?.project.simple();
            Some((format!("project=\"{project}\",certificate=\"{}\"", id.simple()), counters))
        })
        .collect();
    let name = page.family(
        "fulcrum_certificate_",
        "ocsp_staple_valid_until_seconds",
        "gauge",
        "Until when the stapled OCSP answer holds, Unix time; 0: none is stapled. Certificates that name no responder are left out.",
    );
    for (labels, counters) in &rows {
        page.sample(&name, "", labels, "", counters.ocsp_valid_until.value());
    }
    let name = page.family(
        "fulcrum_certificate_",
        "ocsp_failures",
        "counter",
        "Times that no OCSP answer came that could be stapled.",
    );
    for (labels, counters) in &rows {
        page.sample(&name, "_total", labels, "", counters.ocsp_failures.value());
    }
}

fn node(page: &mut Page, facts: &Facts) {
    let name =
        page.family("fulcrum_node_", "applied_revision", "gauge", "The revision that traffic runs on.");
    page.sample(&name, "", "", "", facts.applied.0);
    let name = page.family("fulcrum_node_", "listener_faults", "gauge", "Listeners that are not in force.");
    page.sample(&name, "", "", "", facts.faults.len() as u64);
}

fn process(page: &mut Page) {
    let read = Process::read();
    let figures = [
        ("resident_memory_bytes", "gauge", "Resident memory.", read.resident_bytes.map(|n| n.to_string())),
        ("virtual_memory_bytes", "gauge", "Virtual memory.", read.virtual_bytes.map(|n| n.to_string())),
        ("open_fds", "gauge", "Open file descriptors.", read.open_fds.map(|n| n.to_string())),
        ("max_fds", "gauge", "Most file descriptors that may be open.", read.max_fds.map(|n| n.to_string())),
        (
            "start_time_seconds",
            "gauge",
            "Start of the process, Unix time.",
            read.start_seconds.map(|s| format!("{s:.2}")),
        ),
        ("cpu_seconds", "counter", "User and system time used.", read.cpu_seconds.map(|s| format!("{s:.2}"))),
    ];
    for (name, kind, help, value) in figures {
        let Some(value) = value else { continue };
        let name = page.family("process_", name, kind, help);
        page.sample(&name, if kind == "counter" { "_total" } else { "" }, "", "", value);
    }
}

fn listener_labels(snapshot: &Snapshot, id: ListenerId) -> Option<String> {
    let listener: &Arc<model::Listener> = snapshot.listener(id)?;
    Some(format!(
        "project=\"{}\",load_balancer=\"{}\",listener=\"{id}\"",
        listener.project.simple(),
        listener.load_balancer
    ))
}

fn member_labels(snapshot: &Snapshot, target: TargetId, member: MemberId) -> Option<String> {
    let listener = listener_labels(snapshot, target.listener)?;
    Some(format!("{listener},pool=\"{}\",member=\"{member}\"", target.pool))
}

fn sum<T>(blocks: &[Arc<T>], of: Of<T>) -> u64 {
    blocks.iter().map(|block| of(block)).sum()
}

struct Page(String);

impl Page {
    /// Begins a family and gives its name.
    fn family(&mut self, prefix: &str, name: &str, kind: &str, help: &str) -> String {
        let name = format!("{prefix}{name}");
        // Writing into a String cannot fail.
        let _ = write!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}\n");
        name
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, more: &str, value: impl std::fmt::Display) {
        let _ = match (labels, more) {
            ("", "") => writeln!(self.0, "{name}{suffix} {value}"),
            _ => writeln!(self.0, "{name}{suffix}{{{labels}{more}}} {value}"),
        };
    }
}

const CLASSES: [(usize, &str); 6] =
    [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx"), (0, "other")];

#[cfg(test)]
mod tests {
    use model::{ConnectTimeout, IdleTimeout, Listener, LoadBalancerId, Port, ProjectId, listener::Service};
    use uuid::Uuid;

    use super::*;

    fn listener(id: u128) -> Listener {
        Listener {
            access: None,
            id: ListenerId::new(Uuid::from_u128(id)),
            project: ProjectId::new(Uuid::from_u128(1)),
            load_balancer: LoadBalancerId::new(Uuid::from_u128(2)),
            name: Default::default(),
            description: Default::default(),
            admin_up: true,
            ports: Port::of(80).into(),
            service: Service::Tcp,
            default_pool: None,
            target: Default::default(),
            idle_timeout: IdleTimeout::of(300),
            connect_timeout: ConnectTimeout::of(5),
            transparent_client_ip: false,
            connections_max: 0,
            connections_per_second_max: 0,
            bits_per_second_max: 0,
            proxy_accept: None,
            protection: Default::default(),
            enterprise_project: None,
            tags: vec![],
            created_at: Default::default(),
            updated_at: Default::default(),
        }
    }

    #[test]
    fn an_empty_node_still_gives_a_whole_page() {
        let page = render_openmetrics(
            &Registry::default(),
            &AccessLogs::nowhere(),
            &Snapshot::default(),
            &Facts::default(),
        );
        assert!(page.contains("fulcrum_node_applied_revision 0\n"), "{page}");
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_the_family_above_it() {
        let page = render_openmetrics(
            &Registry::default(),
            &AccessLogs::nowhere(),
            &Snapshot::default(),
            &Facts::default(),
        );
        let mut family = "";
        for line in page.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else {
                assert!(line.trim_start_matches("# HELP ").starts_with(family), "{line}");
            }
        }
    }

    #[test]
    fn handshakes_are_told_by_kind_where_there_were_some() {
        let registry = Registry::default();
        let mut snapshot = Snapshot::default();
        for number in [7, 8] {
            snapshot.put(model::Object::Listener(Arc::new(listener(number))));
            registry.listener(listener(number).id, 0).connections.inc();
        }
        let id = listener(7).id;
        for worker in [0, 1] {
            registry.listener(id, worker).tls().stands(TlsVersion::V13, worker == 1);
            registry.listener(id, worker).tls().failed(TlsFailure::NoClientCertificate);
        }
        let page = render_openmetrics(&registry, &AccessLogs::nowhere(), &snapshot, &Facts::default());
        let found: Vec<_> =
            page.lines().filter_map(|line| line.strip_prefix("fulcrum_listener_tls_handshakes")).collect();
        let labels = listener_labels(&snapshot, id).unwrap();
        assert_eq!(
            found,
            [
                format!("_total{{{labels},version=\"TLSv1.3\",resumed=\"false\"}} 1"),
                format!("_total{{{labels},version=\"TLSv1.3\",resumed=\"true\"}} 1"),
                format!("_failed_total{{{labels},reason=\"no_client_certificate\"}} 2"),
            ]
        );
    }

    #[test]
    fn workers_are_summed_and_deleted_listeners_left_out() {
        let registry = Registry::default();
        let mut snapshot = Snapshot::default();
        let listener = listener(7);
        let id = listener.id;
        snapshot.put(model::Object::Listener(Arc::new(listener)));
        registry.listener(id, 0).connections.add(2);
        registry.listener(id, 1).connections.add(3);
        registry.listener(ListenerId::new(Uuid::from_u128(8)), 0).connections.add(9);
        let page = render_openmetrics(&registry, &AccessLogs::nowhere(), &snapshot, &Facts::default());
        let found: Vec<_> =
            page.lines().filter(|l| l.starts_with("fulcrum_listener_connections_total")).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("listener=\"{id}\"}} 5")), "{found:?}");
    }
}
