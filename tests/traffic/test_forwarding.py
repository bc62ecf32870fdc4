"""Forwarding policies: which request meets which, and what becomes of it (behaviour/forwarding.md)."""

import collections
import time

import pytest

from harness.forwarding import Site, host, path, rule
from harness.wait import eventually

COMPARES = {"exact": "EQUAL_TO", "prefix": "STARTS_WITH", "regex": "REGEX"}


@pytest.fixture
def computed(stage):
    """A site where the order of policies is computed."""
    with Site(stage, advanced=False) as site:
        yield site


@pytest.fixture
def ordered(stage):
    """A site where policies have priorities."""
    with Site(stage) as site:
        yield site


# -- the order that is computed

# Both guides print this table for the path /elb/index.html: which value meets it by which comparison.
URL_TABLE = {"/elb/index.html": {"exact", "prefix", "regex"}, "/elb": {"prefix"}, r"/elb[^\s]*": {"regex"}, "/index.html": set()}


@pytest.mark.parametrize("advanced", [False, True])
def test_the_table_of_the_guide(stage, advanced):
    with Site(stage, advanced=advanced, pools="a") as site:
        found = {}
        for value in URL_TABLE:
            found[value] = set()
            for name, compare in COMPARES.items():
                policy = site.to("a", path(value, compare))
                if site.answers("/elb/index.html?x=1") == "a":
                    found[value].add(name)
                site.drop(policy)
        assert found == URL_TABLE


def test_a_prefix_is_a_text_and_no_directory(computed):
    computed.to("a", path("/elb", "STARTS_WITH"))
    assert [computed.answers(target) for target in ("/elb_gls/x", "/elb", "/el", "/ELB/")] == ["a", "a", "default", "default"]


def test_a_domain_wins_over_a_path_alone(computed):
    computed.to("a", path("/test"))
    computed.to("b", host("www.elb.com"))
    assert computed.answers("/test", host="www.elb.com") == "b"
    assert computed.answers("/test", host="other.com") == "a"
    assert computed.answers("/other", host="other.com") == "default"


def test_exact_before_prefix_before_regex_and_longer_before_shorter(computed):
    for pool, value, compare in (("a", "/app/[a-z]+", "REGEX"), ("b", "/app/", "STARTS_WITH"), ("c", "/app/deep", "STARTS_WITH"), ("a", "/app/deep/x", "EQUAL_TO")):
        computed.to(pool, path(value, compare))
    assert computed.answers("/app/deep/x") == "a", "exact"
    assert computed.answers("/app/deep/xy") == "c", "the longer prefix"
    assert computed.answers("/app/word") == "b", "a prefix before a regex"
    assert computed.answers("/other") == "default"


def test_policies_come_and_go_with_the_next_request(computed):
    with computed.front.connect() as client:
        for _ in range(3):
            made = computed.to("a", path("/x"))
            assert client.ask("/x").member == "a"
            computed.drop(made)
            assert client.ask("/x").member == "default"


def test_a_twin_is_faulty_and_stays_so(computed):
    first = computed.to("a", path("/twin"))
    second = computed.to("b", path("/twin"))

    def status():
        return computed.api.show(f"l7policies/{second['id']}", "l7policy")["provisioning_status"]
    assert (status(), computed.answers("/twin")) == ("ERROR", "a")
    computed.drop(first)
    assert (status(), computed.answers("/twin")) == ("ERROR", "default")


# -- the order that is given

def test_the_smaller_priority_is_asked_first(ordered):
    wide = ordered.to("a", path(r"/exa[^\s]*", "REGEX"), priority=3)
    exact = ordered.to("b", path("/exa/index.html", "REGEX"), priority=4)
    assert ordered.answers("/exa/index.html") == "a"
    reply = ordered.api.elb("POST", "l7policies/batch-update-priority", {"l7policies": [{"id": wide["id"], "priority": 4}, {"id": exact["id"], "priority": 3}]})
    assert reply.status == 202 or reply.status == 200, reply.text
    assert ordered.answers("/exa/index.html") == "b"


CONDITIONS = [
    ("domain", host("a.example.com"), [{"host": "a.example.com"}, {"host": "A.Example.COM:8080"}], [{"host": "b.example.com"}, {"host": "x.a.example.com"}]),
    ("domain *", host("*.example.com"), [{"host": "a.example.com"}, {"host": "a.b.example.com"}], [{"host": "example.com"}, {"host": "a.example.org"}]),
    ("domain ?", host("a?.example.com"), [{"host": "a1.example.com"}], [{"host": "a.example.com"}, {"host": "a12.example.com"}]),
    ("domain regex", host(r"(www|api)\.example\.com", "REGEX"), [{"host": "www.example.com"}], [{"host": "xwww.example.com"}, {"host": "wwwxexample.com"}]),
    ("path", path("/a/b"), [{"target": "/a/b"}, {"target": "/a/b?c=d"}], [{"target": "/a/b/"}, {"target": "/A/b"}]),
    ("path prefix", path("/a", "STARTS_WITH"), [{"target": "/a"}, {"target": "/ab"}], [{"target": "/b/a"}]),
    ("path regex", path(r"/v[0-9]+/.*", "REGEX"), [{"target": "/v12/x"}], [{"target": "/v/x"}, {"target": "/x/v1/x"}]),
    ("method", rule("METHOD", "POST", "PUT"), [{"method": "POST"}, {"method": "PUT"}], [{}, {"method": "PATCH"}]),
    ("header", rule("HEADER", "beta*", key="X-Kind"), [{"headers": [("x-kind", "beta-2")]}], [{}, {"headers": [("x-kind", "alpha")]}]),
    ("query", rule("QUERY_STRING", "1?", key="page"), [{"target": "/?a=b&page=12"}], [{"target": "/?page=1"}, {"target": "/?Page=12"}, {}]),
    ("source", rule("SOURCE_IP", "127.0.5.0/24", "127.0.6.1/32"), [{"source": "127.0.5.9"}, {"source": "127.0.6.1"}], [{"source": "127.0.6.2"}]),
    ("cookie", rule("COOKIE", "beta", key="group"), [{"headers": [("Cookie", "a=b; group=beta")]}], [{"headers": [("Cookie", "group=alpha; xgroup=beta")]}, {}]),
]


def test_every_condition(ordered):
    for why, condition, matching, others in CONDITIONS:
        policy = ordered.to("a", condition)
        for requests, expected in ((matching, "a"), (others, "default")):
            for options in requests:
                options = dict(options)
                answer = ordered.front.get(options.pop("target", "/"), **options)
                assert answer.member == expected, (why, options)
        ordered.drop(policy)


def test_rules_are_and_and_their_values_or(ordered):
    ordered.to("a", path("/x", "STARTS_WITH"), rule("HEADER", "1", "2", key="v"), rule("METHOD", "GET"))
    assert [ordered.answers("/x1", headers=[("v", v)]) for v in "123"] == ["a", "a", "default"]
    assert ordered.answers("/y", headers=[("v", "1")]) == "default"
    assert ordered.answers("/x", headers=[("v", "1")], method="DELETE") == "default"


def test_rules_are_edited_live(ordered):
    policy = ordered.to("a", path("/x"))
    found = ordered.api.list(f"l7policies/{policy['id']}/rules", "rules")[0]
    ordered.api.update(f"l7policies/{policy['id']}/rules/{found['id']}", "rule", value="/y")
    assert [ordered.answers(target) for target in ("/x", "/y")] == ["default", "a"]


# -- actions

def test_weighted_pools_share_and_a_sticky_client_stays(ordered):
    weights = [{"pool_id": ordered.pools["a"], "weight": 75}, {"pool_id": ordered.pools["b"], "weight": 25}, {"pool_id": ordered.pools["c"], "weight": 0}]
    policy = ordered.policy(path("/", "STARTS_WITH"), action="REDIRECT_TO_POOL", redirect_pools_config=weights)
    with ordered.front.connect() as client:
        counts = collections.Counter(client.ask().member for _ in range(400))
    assert counts["c"] == 0 and 60 <= counts["b"] <= 140, counts
    ordered.api.update(f"l7policies/{policy['id']}", "l7policy", redirect_pools_sticky_session_config={"enable": True, "timeout": 5})
    for _ in range(8):
        first = ordered.front.get()
        cookie = first.header("set-cookie").split(";")[0]
        assert {ordered.front.get(headers=[("Cookie", cookie)]).member for _ in range(6)} == {first.member}


@pytest.mark.parametrize("advanced", [False, True])
def test_a_redirect_to_a_listener_wins(stage, advanced):
    with Site(stage, advanced=advanced) as site:
        to = stage.secure([], load_balancer=site.front.load_balancer)
        site.to("a", path("/x"))
        policy = site.policy(action="REDIRECT_TO_LISTENER", redirect_listener_id=to.listener["id"])
        answer = site.front.get("/x?a=b%20c", host="www.example.com:81", method="POST", body=b"x")
        assert (answer.status, answer.header("location")) == (301, f"https://www.example.com:{to.where[1]}/x?a=b%20c")
        site.drop(policy)
        assert site.answers("/x") == "a"


REDIRECTS = [
    ({"host": "new.example.com"}, "/a/b?c=d", "http://new.example.com:{port}/a/b?c=d"),
    ({"protocol": "HTTPS", "port": "443"}, "/a?c", "https://www.example.com/a?c"),
    ({"path": "/new${path}", "query": "${query}&from=elb"}, "/a?c=d", "http://www.example.com:{port}/new/a?c=d&from=elb"),
    ({"host": "m.${host}", "path": "/", "query": ""}, "/a?c=d", "http://m.www.example.com:{port}/"),
]


@pytest.mark.parametrize("status", ["301", "308"])
def test_redirects_to_a_url(ordered, status):
    port = ordered.front.where[1]
    for config, target, location in REDIRECTS:
        policy = ordered.policy(path("/a", "STARTS_WITH"), action="REDIRECT_TO_URL", redirect_url_config={**config, "status_code": status})
        answer = ordered.front.get(target, host=f"www.example.com:{port}")
        assert (answer.status, answer.header("location")) == (int(status), location.format(port=port)), config
        ordered.drop(policy)


def test_a_redirect_with_captures(ordered):
    ordered.policy(path("/users/([0-9]+)/(.*)", "REGEX"), action="REDIRECT_TO_URL", redirect_url_config={"path": "/u/$1/$2", "status_code": "302"})
    answer = ordered.front.get("/users/42/name?x=y", host="h.example.com")
    assert answer.status == 302 and answer.header("location").endswith("/u/42/name?x=y"), answer


def test_a_fixed_response(ordered):
    config = {"status_code": "418", "content_type": "application/json", "message_body": '{"tea": "pot"}'}
    ordered.policy(path("/tea"), action="FIXED_RESPONSE", fixed_response_config=config)
    for method, body in (("GET", b'{"tea": "pot"}'), ("HEAD", b""), ("POST", b'{"tea": "pot"}')):
        answer = ordered.front.get("/tea", method=method, body=b"x" if method == "POST" else None)
        assert (answer.status, answer.body, answer.header("content-type")) == (418, body, "application/json"), method
    with ordered.front.connect() as client:
        assert client.ask("/tea").status == 418
        assert client.ask("/").member == "default", "the connection lives"


def test_a_pool_without_members_is_its_own_answer(ordered, stage):
    empty = stage.api.create("pools", "pool", loadbalancer_id=ordered.front.load_balancer["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    ordered.policy(path("/x"), action="REDIRECT_TO_POOL", redirect_pool_id=empty["id"])
    answer = ordered.front.get("/x")
    assert (answer.status, answer.header("x-router-code")) == (404, "40001")
    assert ordered.answers("/") == "default"


# -- extras

def test_rewriting_changes_only_what_the_member_sees(ordered):
    ordered.extended("a", path("/old/(.*)", "REGEX"), rewrite_url_enable=True,
                     rewrite_url_config={"host": "inner.example.com", "path": "/new/$1", "query": "${query}&x=1"})
    got = ordered.seen("a", "/old/page?q=2", host="outer.example.com")
    assert (got.target, got.header("host")) == ("/new/page?q=2&x=1", ["inner.example.com"])
    assert got.header("x-forwarded-host") == ["outer.example.com"]


def test_headers_are_written_and_removed(ordered):
    written = [{"key": "X-Fixed", "value_type": "USER_DEFINED", "value": "one two"}, {"key": "X-Agent", "value_type": "REFERENCE_HEADER", "value": "User-Agent"},
               *({"key": f"X-S-{name}", "value_type": "SYSTEM_DEFINED", "value": name} for name in ("CLIENT-IP", "CLIENT-PORT", "ELB-PROTOCOL", "ELB-ID", "ELB-PORT", "ELB-VIP"))]
    ordered.extended("a", path("/request"), insert_headers_config={"configs": written}, remove_headers_config={"configs": [{"key": "X-Secret"}]})
    got = ordered.seen("a", "/request", source="127.0.3.4", headers=[("User-Agent", "ua/1"), ("x-secret", "s"), ("x-fixed", "spoofed"), ("X-Kept", "k")])
    front = ordered.front
    assert got.header("x-fixed") == ["one two"] and got.header("x-agent") == ["ua/1"]
    assert got.header("x-secret") == [] and got.header("x-kept") == ["k"]
    assert [got.header(f"x-s-{name}") for name in ("client-ip", "elb-id", "elb-port", "elb-vip")] == [
        ["127.0.3.4"], [front.load_balancer["id"]], [str(front.where[1])], [front.where[0]]]
    assert got.header("x-s-elb-protocol")[0].upper() == "HTTP" and got.header("x-s-client-port")[0].isdigit()


def ask_for(front, seconds, target, **options):
    """Asks as fast as it goes on one connection; answers the statuses with their counts, and the time it took."""
    counts, started = collections.Counter(), time.monotonic()
    with front.connect(**options) as client:
        while time.monotonic() - started < seconds:
            counts[client.ask(target).status] += 1
    return counts, time.monotonic() - started


def test_limits_answer_503_and_let_through_what_they_say(ordered):
    ordered.extended("a", path("/limited"), traffic_limit_config={"qps": 20})
    counts, took = ask_for(ordered.front, 1.5, "/limited")
    assert set(counts) == {200, 503} and 20 <= counts[200] <= 20 * (took + 1) + 1, (counts, took)
    assert ordered.front.get("/").status == 200
    eventually(lambda: ordered.front.get("/limited").status == 200, within=3, what="the limit fills up again")


def test_a_limit_per_source_is_one_for_each(ordered):
    ordered.extended("a", path("/limited"), traffic_limit_config={"per_source_ip_qps": 1, "burst": 2})
    for source in ("127.0.7.1", "127.0.7.2"):
        counts, took = ask_for(ordered.front, 0.5, "/limited", source=source)
        assert set(counts) == {200, 503} and 3 <= counts[200] <= 4 + took, (source, counts)


def test_cross_origin_requests(ordered):
    ordered.extended("a", path("/api", "STARTS_WITH"), cors_config={
        "allow_origin": ["https://*.example.com"], "allow_methods": ["GET", "PUT"], "allow_headers": ["x-a"], "expose_headers": ["x-b"], "allow_credentials": True, "max_age": 60})
    ask = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "PUT")]
    answer = ordered.front.get("/api", method="OPTIONS", headers=ask)
    assert 200 <= answer.status < 300 and answer.member is None
    assert [answer.header(f"access-control-{name}") for name in ("allow-origin", "allow-credentials", "max-age")] == ["https://app.example.com", "true", "60"]
    assert "PUT" in answer.header("access-control-allow-methods") and "x-a" in answer.header("access-control-allow-headers")
    answer = ordered.front.get("/api", headers=[("Origin", "https://app.example.com")])
    assert (answer.member, answer.header("access-control-allow-origin"), answer.header("access-control-expose-headers")) == ("a", "https://app.example.com", "x-b")
    assert ordered.front.get("/api", headers=[("Origin", "https://evil.org")]).header("access-control-allow-origin") is None
    assert ordered.front.get("/api", method="OPTIONS").member == "a", "no preflight"


@pytest.mark.parametrize("bodies", [True, False])
def test_a_mirror_gets_a_copy_and_nobody_waits_for_it(ordered, bodies):
    ordered.members["b"].gate.set()
    ordered.extended("a", path("/", "STARTS_WITH"), traffic_mirror_config={"target_ids": [ordered.pools["b"]], "mirror_request_body_enable": bodies})
    assert ordered.front.get("/echo?x=1", method="POST", body=b"hello").body == b"hello"
    mirror = ordered.members["b"]
    copy = eventually(lambda: mirror.requests and mirror.requests[-1], what="the copy")
    assert (copy.target, copy.method, copy.body) == ("/echo?x=1", "POST", b"hello" if bodies else b"")
    mirror.refuse()
    mirror.cut()
    assert ordered.front.get("/echo", method="POST", body=b"again").body == b"again"
    assert mirror.malformed == []


def test_each_new_policy_is_in_force_when_its_call_answers(ordered):
    """Forty policies, each asked for on a kept connection as soon as it is made."""
    with ordered.front.connect() as client:
        for number in range(40):
            ordered.to("abc"[number % 3], path(f"/n{number}"))
            assert client.ask(f"/n{number}").member == "abc"[number % 3]
