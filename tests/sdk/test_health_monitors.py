"""Health monitors through the vendor's client."""

import pytest

from harness.sdk import refused_with

BASE = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3}


@pytest.mark.covers("CreateHealthMonitor", "ShowHealthMonitor", "ListHealthMonitors")
def test_a_new_monitor_has_the_documented_defaults(elb, stage):
    pool = stage.front().pool["id"]
    made = elb.create("HealthMonitor", pool_id=pool, **BASE)
    shown = elb.show("HealthMonitor", made.id)
    assert shown.to_dict() == made.to_dict()
    expected = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3, "max_retries_down": 3, "url_path": "/", "expected_codes": "200",
                "http_method": "GET", "domain_name": None, "monitor_port": None, "name": "", "admin_state_up": True}
    assert {key: getattr(shown, key) for key in expected} == expected
    assert [ref.id for ref in shown.pools] == [pool]
    assert elb.show("Pool", pool).healthmonitor_id == made.id
    assert made.id in [item.id for item in elb.list("ListHealthMonitors").healthmonitors]


@pytest.mark.covers("UpdateHealthMonitor")
def test_an_update_changes_what_it_names_and_null_clears(elb, api, stage):
    made = elb.create("HealthMonitor", pool_id=stage.front().pool["id"], monitor_port=8080, domain_name="a.example.com", **BASE)
    changed = elb.update("HealthMonitor", made.id, delay=7, url_path="/up", expected_codes="200,202,300-302")
    assert (changed.delay, changed.url_path, changed.expected_codes, changed.timeout) == (7, "/up", "200,202,300-302", 3)
    assert (changed.monitor_port, changed.domain_name) == (8080, "a.example.com")
    cleared = api.update(f"healthmonitors/{made.id}", "healthmonitor", monitor_port=None, domain_name=None)
    assert (cleared["monitor_port"], cleared["domain_name"]) == (None, None)


@pytest.mark.covers("DeleteHealthMonitor")
def test_a_pool_has_one_monitor_at_a_time(elb, stage):
    pool = stage.front().pool["id"]
    first = elb.create("HealthMonitor", pool_id=pool, **BASE)
    reply = stage.api.elb("POST", "healthmonitors", {"healthmonitor": {"pool_id": pool, **BASE}})
    assert reply.status in (400, 409), reply.text
    elb.delete("HealthMonitor", first.id)
    refused_with(404, "ELB.8904", elb.show, "HealthMonitor", first.id)
    assert elb.show("Pool", pool).healthmonitor_id is None
    elb.create("HealthMonitor", pool_id=pool, **BASE)


BAD = [
    ("delay", 0), ("delay", 51), ("timeout", 0), ("timeout", 51), ("max_retries", 0), ("max_retries", 11), ("max_retries_down", 0),
    ("max_retries_down", 11), ("monitor_port", 0), ("monitor_port", 65536), ("type", "UDP_CONNECT"), ("type", "PING"), ("http_method", "PUT"),
    ("url_path", "no-slash"), ("url_path", "/" + "x" * 80), ("url_path", "/a b"), ("expected_codes", "199"), ("expected_codes", "600"),
    ("expected_codes", "300-200"), ("expected_codes", "200,,201"), ("expected_codes", "200,201,202,203,204,205"), ("domain_name", ""),
    ("domain_name", "-a.example"), ("domain_name", "x" * 101),
]


@pytest.mark.parametrize("field, value", BAD)
def test_values_out_of_range_are_named(api, stage, field, value):
    body = {"pool_id": stage.front().pool["id"], **BASE, field: value}
    reply = api.elb("POST", "healthmonitors", {"healthmonitor": body})
    assert (reply.status, reply.code) == (400, "ELB.8902") and field in reply.message, reply.text


@pytest.mark.parametrize("protocol, fits", [("TCP", {"TCP", "HTTP", "HTTPS"}), ("HTTP", {"TCP", "HTTP", "HTTPS", "TLS", "GRPC"}), ("UDP", {"UDP_CONNECT"})])
def test_a_pools_protocol_decides_how_it_can_be_probed(api, stage, protocol, fits):
    taken = set()
    for kind in ("TCP", "HTTP", "HTTPS", "TLS", "GRPC", "UDP_CONNECT"):
        reply = api.elb("POST", "healthmonitors", {"healthmonitor": {"pool_id": stage.front(protocol=protocol).pool["id"], **BASE, "type": kind}})
        if reply.status == 201:
            taken.add(kind)
        else:
            assert (reply.status, reply.code) == (400, "ELB.8902") and "type" in reply.message
    assert taken == fits


@pytest.mark.parametrize("codes", ["200", "200,201", "200-299", "200,202,300-302", "599"])
def test_expected_codes_are_kept_as_written(api, stage, codes):
    made = api.create("healthmonitors", "healthmonitor", pool_id=stage.front().pool["id"], **{**BASE, "expected_codes": codes})
    assert made["expected_codes"] == codes
