"""HTTP/1.1 as RFC 9112 wants it, seen from both ends."""

import json

import pytest

from harness.http_member import BLOCK
from harness.members import ScriptMember, answers
from harness.wait import eventually


def test_keep_alive_and_connection_close(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        for _ in range(5):
            answer = client.ask()
            assert answer.status == 200 and (answer.header("connection") or "keep-alive").lower() != "close"
        assert client.ask(headers=[("Connection", "close")]).header("connection").lower() == "close"
        assert client.is_closed()


def test_pipelined_requests_are_answered_in_order(member, stage):
    front = stage.front([member("a"), member("b")])
    with front.connect() as client:
        for number in range(20):
            client.request(f"/echo/{number}", method="POST", body=f"body {number}".encode())
        assert [client.answer().body for _ in range(20)] == [f"body {number}".encode() for number in range(20)]


def test_pipelining_in_one_write_byte_by_byte_and_odd_pieces(member, stage):
    front = stage.front([member()])
    whole = b"".join(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab%d\r\n0\r\n\r\n" % n for n in range(5))
    for size in (1, 3, 7, len(whole)):
        with front.connect() as client:
            for at in range(0, len(whole), size):
                client.send(whole[at:at + size])
            assert [client.answer().body for _ in range(5)] == [b"ab%d" % n for n in range(5)], size


def test_chunked_request_with_trailers(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        client.send(b"POST /request HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                    b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n")
        got = json.loads(client.answer().body)
    assert (got["length"], [(name.lower(), value) for name, value in got["trailers"]]) == (11, [("x-sum", "42")])
    assert server.requests[0].body == b"hello world"


def test_chunked_answer_with_trailers(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        answer = client.ask("/chunked/300000")
        assert (answer.length, [(name.lower(), value) for name, value in answer.trailers]) == (300000, [("x-end", "reached")])
        assert client.ask().status == 200


def test_head_has_the_length_and_no_body(member, stage):
    front = stage.front([member("abc")])
    with front.connect() as client:
        answer = client.ask(method="HEAD")
        assert (answer.status, answer.header("content-length"), answer.length) == (200, "3", 0)
        assert client.ask().body == b"abc"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(member, stage, status):
    front = stage.front([member()])
    with front.connect() as client:
        assert client.ask(f"/status/{status}").status == status
        assert client.ask().status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-OWN"])
def test_any_method_passes(member, stage, method):
    server = member()
    assert stage.front([server]).get("/m", method=method).status == 200
    assert server.requests[0].method == method


def test_connect_is_not_for_a_reverse_proxy(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        answer = client.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n").answer()
    assert answer.status in (400, 405, 501) and server.requests == []


@pytest.mark.parametrize("target", ["/", "/a/b?c=d&e", "/%7Euser/%2F/", "//double//", "/a;b=c", "/?", "/" + "x" * 8000, "/.././x", "*"])
def test_targets_pass_as_they_are(member, stage, target):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        assert client.ask(target, method="OPTIONS" if target == "*" else "GET").status == 200
    assert server.requests[0].target == target


def test_absolute_form_becomes_origin_form_and_names_the_host(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        assert client.ask("http://real.example.com/path?q", host="other.example.com").status == 200
    with front.connect() as client:
        assert client.ask("http://bare.example.com", host="bare.example.com").status == 200
    first, second = server.requests
    assert (first.target, first.header("host")) == ("/path?q", ["real.example.com"])
    assert (second.target, second.header("host")) == ("/", ["bare.example.com"])


def test_expect_100_continue_is_answered_before_the_body(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client._head().status == 100
        assert client.send(b"hello").answer().body == b"hello"
        assert client.ask().status == 200


def test_expect_100_continue_may_be_refused(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        client.send(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
        answer = client.answer()
    assert (answer.status, answer.interim) == (417, [])
    assert server.requests[0].length == 0


def test_interim_answers_pass(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        answer = client.ask("/hints")
        assert [interim.status for interim in answer.interim] == [103] and answer.interim[0].header("link")
        assert answer.status == 200


def test_interim_answers_are_kept_from_http10_clients(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        answer = client.ask("/hints", version="HTTP/1.0")
        assert (answer.status, answer.interim) == (200, [])


def test_http10_clients(member, stage):
    server = member("ten")
    front = stage.front([server])
    with front.connect() as client:
        answer = client.ask(version="HTTP/1.0")
        assert (answer.status, answer.body) == (200, b"ten") and client.is_closed()
    with front.connect() as client:
        for _ in range(3):
            answer = client.ask(version="HTTP/1.0", headers=[("Connection", "keep-alive")])
            assert (answer.header("connection") or "").lower() == "keep-alive"
    with front.connect() as client:
        answer = client.ask("/chunked/1000", version="HTTP/1.0")
        assert (answer.length, answer.header("transfer-encoding")) == (1000, None), "no chunks for HTTP/1.0"
        assert client.is_closed()
    assert all(request.version == "HTTP/1.1" for request in server.requests), "each side speaks its own version"


def test_http10_without_host_is_served(member, stage):
    front = stage.front([member("ten")])
    with front.connect() as client:
        assert client.ask(version="HTTP/1.0", host=None).status == 200


def test_http10_members(member, stage):
    server = member("old", version="HTTP/1.0")
    front = stage.front([server])
    with front.connect() as client:
        for _ in range(3):
            answer = client.ask()
            assert (answer.status, answer.version, answer.body) == (200, "HTTP/1.1", b"old")
        assert client.ask("/until-close").body == b"all of it"


def test_an_answer_that_ends_by_closing_arrives_whole(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        assert client.ask("/until-close").body == b"all of it"


def test_a_member_that_says_close_is_obeyed(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        for _ in range(3):
            answer = client.ask("/last")
            assert answer.status == 200
            assert (answer.header("connection") or "").lower() != "close", "the client's connection is our own matter"
    eventually(lambda: server.open == 0, what="nothing kept open to a member that closes")


def test_bodies_of_every_size_arrive_whole(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        for size in (0, 1, 100, 4095, 4096, 65535, 65536, 262143, 262144, 262145, 1_000_000):
            body = (BLOCK * (size // len(BLOCK) + 1))[:size]
            assert client.ask("/echo", method="POST", body=body).body == body, size


def test_an_answer_streams_while_it_is_made(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        client.request("/trickle/3")
        client._head()
        for number in range(3):
            server.step.release()
            assert client.until(b"\r\n") == b"7"
            assert client.exactly(9) == f"line {number}\n\r\n".encode()
        assert client.exactly(5) == b"0\r\n\r\n"


def test_a_request_streams_while_it_is_sent(member, stage):
    arrived = []

    def script(connection, server):
        arrived.append(server.read_head(connection).partition(b"\r\n\r\n")[2])
        while sum(map(len, arrived)) < 10:
            arrived.append(connection.recv(100))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    front = stage.front([member("script", kind=ScriptMember, script=script)])
    with front.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        eventually(lambda: b"".join(arrived) == b"12345", what="the first half at the member while the second is not sent")
        client.send(b"67890")
        assert client.answer().status == 200


def test_an_early_answer_reaches_a_client_that_still_sends(member, stage):
    def script(connection, server):
        server.read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        server.gate.wait(20)
    server = member("early", kind=ScriptMember, script=script)
    front = stage.front([server])
    with front.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        answer = client.answer()
    assert (answer.status, answer.body) == (413, b"big")


def test_empty_lines_before_a_request_are_skipped(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        assert client.send(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").answer().status == 200


def test_a_large_head_up_to_64_kib_passes_and_more_is_refused(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        assert client.ask(headers=[(f"X-{n}", "x" * 1000) for n in range(55)]).status == 200
    with front.connect() as client:
        assert client.ask(headers=[(f"X-{n}", "x" * 1000) for n in range(70)]).status == 400
    with front.connect() as client:
        assert client.ask("/" + "x" * 33_000).status == 414


def test_the_reason_and_version_of_an_answer(member, stage):
    server = member("r", kind=ScriptMember, script=answers(b"HTTP/1.1 299 All Fine Here\r\nContent-Length: 0\r\n\r\n", then="again"))
    answer = stage.front([server]).get()
    assert (answer.version, answer.status, answer.reason) == ("HTTP/1.1", 299, "All Fine Here")
    server = member("e", kind=ScriptMember, script=answers(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", then="again"))
    assert stage.front([server]).get().status == 200
