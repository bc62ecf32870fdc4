"""QUIC listeners, made through the API and asked by aioquic, and the HTTPS listeners that tell of them."""

import signal

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from harness import tls
from harness.forwarding import path
from harness.http3 import Http3, Refused
from harness.stage import Stage
from harness.wait import eventually

H3_NO_ERROR, H3_MESSAGE_ERROR = 0x100, 0x10e


def quic(stage, members, *, certificate=None, listener=None, **options):
    """A QUIC listener before an HTTP pool."""
    fields = {"default_tls_container_ref": (certificate or stage.certificate(kind="RSA"))["id"], **(listener or {})}
    return stage.front(members, protocol="QUIC", listener=fields, pool={"protocol": "HTTP"}, **options)


def test_requests_are_served_as_everywhere(member, stage):
    server = member("a")
    front = quic(stage, [server], listener={"insert_headers": {"X-Forwarded-ELB-ID": True, "X-Forwarded-Tls-Alpn-Protocol-enable": True}})
    with Http3(front.where) as client:
        answer = client.ask("/request?x=1")
        assert (answer.status, answer.header("server")) == (200, "elb")
        seen = {name.lower(): value for name, value in server.requests[-1].headers}
        assert server.requests[-1].target == "/request?x=1"
        assert (seen["host"], seen["x-forwarded-proto"], seen["x-forwarded-for"]) == (tls.SITE, "https", "127.0.0.1")
        assert (seen["x-forwarded-elb-id"], seen["x-forwarded-tls-alpn-protocol"]) == (front.load_balancer["id"], "h3")
        body = bytes(range(256)) * 4000
        posted = client.ask("/echo", method="POST", pieces=[body[:100], body[100:]])
        assert (posted.status, posted.body) == (200, body)


def test_many_requests_at_once_are_shared_out(member, stage):
    servers = [member(name) for name in "ab"]
    front = quic(stage, servers)
    with Http3(front.where) as client:
        begun = [client.start(f"/{number}") for number in range(60)]
        assert {client.finish(one).status for one in begun} == {200}
    assert [len(server.requests) for server in servers] == [30, 30]


def test_a_client_that_moves_keeps_its_connection(member, stage):
    server = member("a")
    front = quic(stage, [server])
    for _ in range(4):
        with Http3(front.where) as client:
            for _ in range(4):
                assert client.ask("/").status == 200
                client.move()
            assert client.ask("/").status == 200


def test_policies_hold(member, stage):
    servers = [member(name) for name in "ab"]
    front = quic(stage, servers[:1])
    other = stage.api.create("pools", "pool", protocol="HTTP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=front.load_balancer["id"])
    stage.api.create(f"pools/{other['id']}/members", "member", address=servers[1].address, protocol_port=servers[1].port, subnet_cidr_id=stage.subnet)
    policy = stage.api.create("l7policies", "l7policy", listener_id=front.listener["id"], action="REDIRECT_TO_POOL", redirect_pool_id=other["id"])
    stage.api.create(f"l7policies/{policy['id']}/rules", "rule", **path("/b", compare="STARTS_WITH"))
    with Http3(front.where) as client:
        client.ask("/a")
        client.ask("/b/c")
    assert [[request.target for request in server.requests] for server in servers] == [["/a"], ["/b/c"]]


def test_another_certificate_holds_for_the_next_client_and_this_one_goes_on(member, stage):
    front = quic(stage, [member("a")])
    new = stage.certificate(tls.SITE, "other.example.com", kind="RSA")
    with Http3(front.where) as client:
        assert client.ask("/").status == 200
        front.edit(default_tls_container_ref=new["id"])
        assert client.ask("/").status == 200
        with Http3(front.where) as another:
            assert another.ask("/").status == 200
            assert another.certificate.public_bytes(Encoding.DER) != client.certificate.public_bytes(Encoding.DER)


def test_names_pick_certificates(member, stage):
    other = stage.certificate("other.example.com", kind="RSA", domain="other.example.com")
    front = quic(stage, [member("a")], listener={"sni_container_refs": [other["id"]]})
    for name in (tls.SITE, "other.example.com"):
        with Http3(front.where, name=name) as client:
            assert client.ask("/").status == 200


def test_who_is_not_on_the_white_list_gets_no_answer(member, stage):
    front = quic(stage, [member("a")])
    with Http3(front.where) as client:
        assert client.ask("/").status == 200
    group = stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "192.0.2.1"}])
    front.edit(ipgroup={"ipgroup_id": group["id"], "type": "white", "enable_ipgroup": True})
    with pytest.raises((TimeoutError, ConnectionError)), Http3(front.where):
        pass


def test_what_is_malformed_ends_its_stream_alone(member, stage):
    front = quic(stage, [member("a")])
    with Http3(front.where) as client:
        with pytest.raises(Refused) as refused:
            client.ask("/", headers=[("transfer-encoding", "chunked")])
        assert refused.value.code == H3_MESSAGE_ERROR
        assert client.ask("/").status == 200


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_https_tells_of_it_while_that_is_on(member, stage, version):
    server = member("a")
    front = quic(stage, [server])
    told = {"quic_listener_id": front.listener["id"], "enable_quic_upgrade": True}
    https = stage.secure([server], load_balancer=front.load_balancer, listener={"quic_config": told, "http2_enable": version == "HTTP/2"})
    expected = f'h3=":{front.where[1]}"; ma=86400'
    answers = [tls.get(https.where, target) for target in ("/", "/missing")]
    assert [dict(answer.headers).get("Alt-Svc") for answer in answers] == [expected] * 2
    https.edit(quic_config={**told, "enable_quic_upgrade": False})
    assert "Alt-Svc" not in dict(tls.get(https.where, "/").headers)


def test_a_deleted_listener_lets_its_clients_go(member, stage):
    front = quic(stage, [member("a")])
    with Http3(front.where) as client:
        assert client.ask("/").status == 200
        stage.api.delete(f"listeners/{front.listener['id']}/force")
        eventually(lambda: client.ended is not None, what="the connection ends")
        assert client.ended == H3_NO_ERROR


def test_sigterm_answers_what_was_asked(start, member):
    process = start()
    server = member("a")
    front = quic(Stage(process), [server])
    with Http3(front.where) as client:
        assert client.ask("/").status == 200
        begun = client.start("/gate")
        eventually(lambda: len(server.requests) == 2, what="the member is asked")
        with Http3(front.where) as other:
            process.process.send_signal(signal.SIGTERM)
            eventually(lambda: other.ended == H3_NO_ERROR, what="who asked nothing is let go")
        server.gate.set()
        assert client.finish(begun).status == 200
        eventually(lambda: client.ended is not None, what="the connection ends")
        assert client.ended == H3_NO_ERROR
