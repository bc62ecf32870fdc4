"""gRPC with a client and a server of PyPI, through an HTTPS listener and a gRPC pool; over HTTP/3 with messages framed by hand."""

import contextlib
import threading
from concurrent import futures

import grpc
import pytest

from harness import pki, tls
from harness.http2 import Http2
from harness.http3 import Http3

SERVICE = "test.Echo"
SERVING, NOT_SERVING = 1, 2  # grpc.health.v1.HealthCheckResponse.ServingStatus


class GrpcMember:
    """A gRPC server; messages are bytes."""

    def __init__(self, name, address="127.88.250.1"):
        self.name, self.address, self.contexts, self.cancelled = name, address, [], threading.Event()
        self.health, self.checks = SERVING, 0
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        handlers = {"Unary": grpc.unary_unary_rpc_method_handler(self.unary), "Count": grpc.unary_stream_rpc_method_handler(self.count),
                    "Sum": grpc.stream_unary_rpc_method_handler(self.sum), "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
                    "Fail": grpc.unary_unary_rpc_method_handler(self.fail), "Wait": grpc.unary_unary_rpc_method_handler(self.wait)}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health = {"Check": grpc.unary_unary_rpc_method_handler(self.check)}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),))
        self.port = self.server.add_insecure_port(f"{address}:0")
        self.server.start()

    def unary(self, request, context):
        """Name and message; keeps the metadata."""
        self.contexts.append(dict(context.invocation_metadata()))
        context.set_trailing_metadata((("x-trailer", "end"),))
        return self.name.encode() + b":" + request

    def count(self, request, context):
        """That many messages."""
        for number in range(int(request)):
            yield str(number).encode() * 100

    def sum(self, requests, context):
        """How many bytes came in how many messages."""
        sizes = [len(one) for one in requests]
        return f"{len(sizes)} {sum(sizes)}".encode()

    def chat(self, requests, context):
        """Each back as it comes."""
        for request in requests:
            yield request.upper()

    def fail(self, request, context):
        """An error with details."""
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: ünï")

    def wait(self, request, context):
        """Until the caller gives up."""
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(20)
        return b"late"

    def check(self, request, context):
        """What health checks ask; `health` is the answer."""
        self.checks += 1
        return b"\x08" + bytes([self.health])

    def stop(self):
        """At once."""
        self.cancelled.set()
        self.server.stop(None)


@pytest.fixture
def members():
    """Two servers."""
    made = [GrpcMember(name) for name in ("g1", "g2")]
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def front(stage, members):
    """A listener with a gRPC pool."""
    return stage.secure(members, listener={"http2_enable": True}, pool={"protocol": "GRPC"})


@contextlib.contextmanager
def channel(front):
    """A channel to it."""
    credentials = grpc.ssl_channel_credentials(pki.authority().pem.encode())
    with grpc.secure_channel(front.url, credentials, [("grpc.ssl_target_name_override", tls.SITE), ("grpc.enable_http_proxy", 0)]) as made:
        yield made


def test_unary_calls_with_metadata_over_both_members(front, members):
    with channel(front) as made:
        call = made.unary_unary(f"/{SERVICE}/Unary")
        answers = []
        for number in range(10):
            answer, facts = call.with_call(str(number).encode(), timeout=10, metadata=[("x-meta", "m"), ("x-bin", b"\x00\xff")] if number == 0 else None)
            answers.append(answer.decode())
            assert dict(facts.trailing_metadata())["x-trailer"] == "end" and facts.code() is grpc.StatusCode.OK
    assert [answer.split(":")[1] for answer in answers] == [str(number) for number in range(10)]
    assert {answer.split(":")[0] for answer in answers} == {"g1", "g2"}, "calls of one connection go to all members"
    seen = [one for member in members for one in member.contexts if "x-meta" in one]
    assert len(seen) == 1 and seen[0]["x-meta"] == "m" and seen[0].get("x-bin", b"\x00\xff") == b"\x00\xff" and seen[0]["x-forwarded-for"]


def test_streams_in_every_direction(front):
    with channel(front) as made:
        counted = list(made.unary_stream(f"/{SERVICE}/Count")(b"200", timeout=20))
        assert counted == [str(number).encode() * 100 for number in range(200)]
        assert made.stream_unary(f"/{SERVICE}/Sum")((b"x" * 10_000 for _ in range(100)), timeout=20) == b"100 1000000"


def test_a_conversation_is_not_held_back(front):
    """Each message is answered before the next one is sent."""
    turn = threading.Semaphore(1)

    def questions():
        for number in range(20):
            assert turn.acquire(timeout=10)
            yield f"q{number}".encode()
    with channel(front) as made:
        for number, answer in enumerate(made.stream_stream(f"/{SERVICE}/Chat")(questions(), timeout=30)):
            assert answer == f"Q{number}".encode()
            turn.release()


def test_errors_keep_their_code_and_words(front):
    with channel(front) as made:
        with pytest.raises(grpc.RpcError) as failed:
            made.unary_unary(f"/{SERVICE}/Fail")(b"", timeout=10)
        assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not today: ünï")
        with pytest.raises(grpc.RpcError) as failed:
            made.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=10)
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_the_call_at_the_member(front, members):
    with channel(front) as made:
        with pytest.raises(grpc.RpcError) as failed:
            made.unary_unary(f"/{SERVICE}/Wait")(b"", timeout=0.5)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert any(member.cancelled.wait(5) for member in members), "the member was told"


def test_our_own_errors_are_grpc_errors(front, members):
    for member in members:
        front.remove(member)
    with channel(front) as made:
        with pytest.raises(grpc.RpcError) as failed:
            made.unary_unary(f"/{SERVICE}/Unary")(b"", timeout=10)
        assert failed.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)
    with Http2(front.where) as client:
        answer = client.ask(f"/{SERVICE}/Unary", method="POST", body=b"", headers=[("content-type", "application/grpc"), ("te", "trailers")])
        assert (answer.status, answer.header("content-type")) == (200, "application/grpc") and answer.header("grpc-status")


def test_a_member_that_dies_is_left(front, members):
    with channel(front) as made:
        call = made.unary_unary(f"/{SERVICE}/Unary")
        call(b"x", timeout=10)
        members[0].server.stop(None).wait(5)
        answers = []
        for _ in range(10):
            with contextlib.suppress(grpc.RpcError):
                answers.append(call(b"x", timeout=10))
        assert answers and set(answers[2:]) == {b"g2:x"}


def test_health_checks_ask_the_service_of_grpc(stage, members):
    front = stage.secure(members, listener={"http2_enable": True}, pool={"protocol": "GRPC"}, monitor={"type": "GRPC", "expected_codes": "0"})
    for one in members:
        front.wait_status(one, "ONLINE")
    members[0].health = NOT_SERVING
    shown = front.wait_status(members[0], "OFFLINE")
    assert shown["reason"]["reason_code"] == "RESPONSE_MISMATCH", shown["reason"]
    with channel(front) as made:
        assert {made.unary_unary(f"/{SERVICE}/Unary")(b"x", timeout=10) for _ in range(10)} == {b"g2:x"}
    members[0].health = SERVING
    front.wait_status(members[0], "ONLINE")
    assert all(one.checks > 0 for one in members)


def test_a_health_check_may_call_a_method_of_the_members_own(stage, members):
    code = grpc.StatusCode.FAILED_PRECONDITION.value[0]
    front = stage.secure(members[:1], listener={"http2_enable": True}, pool={"protocol": "GRPC"},
                         monitor={"type": "GRPC", "url_path": f"/{SERVICE}/Fail", "expected_codes": str(code)})
    front.wait_status(members[0], "ONLINE")
    stage.api.update(f"healthmonitors/{front.monitor['id']}", "healthmonitor", expected_codes="0")
    shown = front.wait_status(members[0], "OFFLINE")
    assert (shown["reason"]["expected_response"], shown["reason"]["healthcheck_response"]) == ("0", str(code))


# -- over HTTP/3, which no client of PyPI speaks

@pytest.fixture
def over_http3(stage, members):
    """A connection to a QUIC listener with a gRPC pool."""
    front = stage.front(members, protocol="QUIC", listener={"default_tls_container_ref": stage.certificate(kind="RSA")["id"]}, pool={"protocol": "GRPC"})
    with Http3(front.where) as client:
        client.front = front
        yield client


def message(data):
    """A message as it is framed: not compressed, its length, the bytes."""
    return b"\0" + len(data).to_bytes(4, "big") + data


def messages(body):
    """The messages of a body."""
    found = []
    while body:
        assert body[0] == 0
        end = 5 + int.from_bytes(body[1:5], "big")
        found.append(body[5:end])
        assert len(body) >= end, "a message is cut"
        body = body[end:]
    return found


def call(client, method, *said):
    """A call; its messages, and the status that came with the trailers, or with the head where nothing else came."""
    answer = client.ask(f"/{SERVICE}/{method}", method="POST", pieces=[message(one) for one in said] or [b""],
                        headers=[("content-type", "application/grpc"), ("te", "trailers")])
    assert (answer.status, answer.header("content-type")) == (200, "application/grpc")
    ended = dict(answer.trailers or answer.headers)
    return messages(answer.body), int(ended[b"grpc-status"]), ended


def test_over_http3_calls_streams_and_trailers_pass(over_http3):
    found = [call(over_http3, "Unary", str(number).encode()) for number in range(10)]
    assert {status for _, status, _ in found} == {0} and {ended[b"x-trailer"] for _, _, ended in found} == {b"end"}
    assert [said[0].split(b":")[1] for said, _, _ in found] == [str(number).encode() for number in range(10)]
    assert {said[0].split(b":")[0] for said, _, _ in found} == {b"g1", b"g2"}, "calls of one connection go to all members"
    assert call(over_http3, "Count", b"200")[:2] == ([str(number).encode() * 100 for number in range(200)], 0)
    assert call(over_http3, "Sum", *[b"x" * 10_000] * 20)[:2] == ([b"20 200000"], 0)
    assert call(over_http3, "Chat", b"one", b"two")[:2] == ([b"ONE", b"TWO"], 0)


def test_over_http3_errors_keep_their_code_and_ours_are_grpc_errors(over_http3, members):
    said, status, ended = call(over_http3, "Fail", b"")
    assert (said, status) == ([], grpc.StatusCode.FAILED_PRECONDITION.value[0]) and ended[b"grpc-message"].startswith(b"not today")
    for one in members:
        over_http3.front.remove(one)
    said, status, _ = call(over_http3, "Unary", b"x")
    assert said == [] and status in (grpc.StatusCode.UNAVAILABLE.value[0], grpc.StatusCode.UNIMPLEMENTED.value[0])
