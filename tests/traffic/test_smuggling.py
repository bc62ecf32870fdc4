"""Requests that two parsers could read differently: refused, closed, and no byte of them reaches a member."""

import pytest

from harness.members import ScriptMember
from harness.wait import eventually, holds

HOST = b"Host: a\r\n"


def request(*headers, method=b"POST", target=b"/", version=b"HTTP/1.1", body=b"", host=HOST):
    """A request of raw parts."""
    return method + b" " + target + b" " + version + b"\r\n" + host + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


INNER = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

# (what it shows, bytes, status)
TABLE = [
    ("length and chunked", request(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\n" + INNER), 400),
    ("chunked and length", request(CHUNKED, b"Content-Length: 4", body=b"0\r\n\r\n" + INNER), 400),
    ("two different lengths", request(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), 400),
    ("two equal lengths", request(b"Content-Length: 4", b"Content-Length: 4", body=b"abcd"), 400),
    ("a list of lengths", request(b"Content-Length: 4, 4", body=b"abcd"), 400),
    ("a signed length", request(b"Content-Length: +4", body=b"abcd"), 400),
    ("a negative length", request(b"Content-Length: -1"), 400),
    ("a hexadecimal length", request(b"Content-Length: 0x4", body=b"abcd"), 400),
    ("an empty length", request(b"Content-Length:"), 400),
    ("a length beyond 64 bits", request(b"Content-Length: 99999999999999999999999"), 400),
    ("a length with a space inside", request(b"Content-Length: 1 0"), 400),
    ("a length with an underscore", request(b"Content-Length: 1_0"), 400),
    ("gzip, chunked", request(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    ("gzip alone", request(b"Transfer-Encoding: gzip"), 501),
    ("identity", request(b"Transfer-Encoding: identity"), {400, 501}),
    ("chunked twice in one line", request(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), {400, 501}),
    ("chunked twice in two lines", request(CHUNKED, CHUNKED, body=b"0\r\n\r\n"), {400, 501}),
    ("chunked, then something", request(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), {400, 501}),
    ("xchunked", request(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), {400, 501}),
    ("a vertical tab before chunked", request(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), {400, 501}),
    ("quoted chunked", request(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), {400, 501}),
    ("an empty coding", request(b"Transfer-Encoding:", body=b"0\r\n\r\n"), {400, 501}),
    ("chunked from an HTTP/1.0 client", request(CHUNKED, version=b"HTTP/1.0", body=b"0\r\n\r\n" + INNER), 400),
    ("a space before the colon", request(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    ("a tab before the colon", request(b"Content-Length\t: 4", body=b"abcd"), 400),
    ("a space before the name", request(b" Content-Length: 4", body=b"abcd"), 400),
    ("a folded header", request(b"X: a\r\n b"), 400),
    ("a folded header by tab", request(b"X: a\r\n\tb"), 400),
    ("a folded first header", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400),
    ("a header without a colon", request(b"Nonsense"), 400),
    ("a header without a name", request(b": x"), 400),
    ("a name with a bracket", request(b"X[y]: 1"), 400),
    ("a name with a slash", request(b"X/y: 1"), 400),
    ("a name that is not ASCII", request(b"X\xe9: 1"), 400),
    ("NUL in a name", request(b"X\x00y: 1"), 400),
    ("NUL in a value", request(b"X: a\x00b"), 400),
    ("bare CR in a value", request(b"X: a\rContent-Length: 4"), 400),
    ("bare CR ends a line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    ("bare LF ends the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("bare LF ends a header", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    ("bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("DEL in a value", request(b"X: a\x7fb"), 400),
    ("a control character in a value", request(b"X: a\x01b"), 400),
    ("no Host", request(host=b"", method=b"GET"), 400),
    ("two Hosts", request(b"Host: b", method=b"GET"), 400),
    ("two equal Hosts", request(b"Host: a", method=b"GET"), 400),
    ("a Host with a space", request(host=b"Host: a b\r\n", method=b"GET"), 400),
    ("a Host with a path", request(host=b"Host: a/b\r\n", method=b"GET"), 400),
    ("a Host with a user", request(host=b"Host: user@a\r\n", method=b"GET"), 400),
    ("a Host with a bad port", request(host=b"Host: a:b\r\n", method=b"GET"), 400),
    ("a list of Hosts", request(host=b"Host: a, b\r\n", method=b"GET"), 400),
    ("a space in the target", request(target=b"/a b", method=b"GET"), 400),
    ("two spaces after the method", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab after the method", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no version", b"GET /\r\nHost: a\r\n\r\n", 400),
    ("HTTP/0.9", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", {400, 505}),
    ("HTTP/2.0 by name", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", {400, 505}),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", {400, 505}),
    ("http/1.1 in small letters", b"GET / http/1.1\r\nHost: a\r\n\r\n", {400, 505}),
    ("a method with a bracket", request(method=b"GE[T"), 400),
    ("an empty method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("NUL in the target", request(target=b"/a\x00b", method=b"GET"), 400),
    ("a target that is not ASCII", request(target=b"/caf\xe9", method=b"GET"), 400),
    ("a fragment in the target", request(target=b"/a#b", method=b"GET"), 400),
    ("a target that is no path", request(target=b"a", method=b"GET"), 400),
    ("TLS on a plain port", bytes.fromhex("16030100c8010000c40303") + bytes(200), 400),
    ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
]

# A chunked body that goes wrong after a good head: the member may have seen the head, but never a complete request.
BROKEN_CHUNKS = [
    ("a size that is no number", b"x\r\na\r\n0\r\n\r\n"),
    ("a size with 0x", b"0x1\r\na\r\n0\r\n\r\n"),
    ("a signed size", b"+1\r\na\r\n0\r\n\r\n"),
    ("a negative size", b"-1\r\na\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", b"fffffffffffffffff\r\na\r\n0\r\n\r\n"),
    ("a size with a space before", b" 1\r\na\r\n0\r\n\r\n"),
    ("a size with a space after", b"1 \r\na\r\n0\r\n\r\n"),
    ("an empty size", b"\r\na\r\n0\r\n\r\n"),
    ("a size ended by bare LF", b"1\na\r\n0\r\n\r\n"),
    ("a size ended by bare CR", b"1\ra\r\n0\r\n\r\n"),
    ("data longer than said", b"1\r\nab\r\n0\r\n\r\n"),
    ("data ended by bare LF", b"1\r\na\n0\r\n\r\n"),
    ("bare LF in an extension", b"1;a\nb\r\na\r\n0\r\n\r\n"),
    ("bare CR in an extension", b"1;a\rb\r\na\r\n0\r\n\r\n"),
    ("NUL in an extension", b"1;a\x00\r\na\r\n0\r\n\r\n"),
    ("a very long extension", b"1;" + b"x" * 70000 + b"\r\na\r\n0\r\n\r\n"),
    ("a trailer with a space before the colon", b"1\r\na\r\n0\r\nX : y\r\n\r\n"),
    ("a trailer without a colon", b"1\r\na\r\n0\r\nnonsense\r\n\r\n"),
    ("a folded trailer", b"1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n"),
]


@pytest.fixture(scope="module")
def front(fulcrum):
    """One listener for the whole table, whose member records every byte that reaches it."""
    from harness.stage import Stage
    stage = Stage(fulcrum)

    def script(connection, server):
        while piece := connection.recv(65536):
            server.received.append(piece)
            if b"\r\n\r\n" in piece:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    server = ScriptMember(script)
    built = stage.front([server])
    built.server = server
    yield built
    stage.close()
    server.stop()


@pytest.mark.parametrize("why, raw, status", TABLE, ids=[row[0] for row in TABLE])
def test_an_ambiguous_request_is_refused_and_reaches_nobody(front, why, raw, status):
    before = len(front.server.received)
    with front.connect(deadline=5) as client:
        answer = client.send(raw).answer()
        assert answer.status in (status if isinstance(status, set) else {status}), why
        assert answer.header("server") == "elb"
        assert (answer.header("connection") or "").lower() == "close"
        assert client.is_closed(), "nothing after it may be read as a request"
    assert front.get().status == 200, "others are served"
    assert [piece for piece in front.server.received[before:] if b"GET / HTTP/1.1\r\n" not in piece[:16]] == [], "it reached the member"


@pytest.mark.parametrize("why, body", BROKEN_CHUNKS, ids=[row[0] for row in BROKEN_CHUNKS])
def test_a_broken_chunked_body_is_never_completed(member, stage, why, body):
    server = member()
    front = stage.front([server])
    with front.connect(deadline=5) as client:
        answer = client.send(request(CHUNKED, target=b"/sink") + body).answer()
        assert answer.status == 400, why
        assert client.is_closed()
    eventually(lambda: server.open == 0, what="the upstream connection of the broken request is closed")
    assert server.requests == [], "the member never saw a complete request"


def test_extensions_of_chunks_do_not_reach_the_member(front):
    before = len(front.server.received)
    with front.connect() as client:
        answer = client.send(request(CHUNKED) + b"1;name=value\r\na\r\n0\r\n\r\n").answer()
    sent = b"".join(front.server.received[before:])
    assert answer.status == 400 or (answer.status == 200 and b"name=value" not in sent)


def test_what_goes_upstream_is_our_own_writing(front):
    """The same request in two spellings is the same upstream."""
    before = len(front.server.received)
    with front.connect() as client:
        client.send(b"POST /x HTTP/1.1\r\nhost:a\r\ncontent-length:0003\r\nX-A:   padded  \t\r\n\r\nabc")
        status = client.answer().status
    if status == 400:  # leading zeros may be refused
        return
    eventually(lambda: b"abc" in b"".join(front.server.received[before:]), what="the body at the member")
    sent = b"".join(front.server.received[before:]).lower()
    assert b"content-length: 3\r\n" in sent and b"x-a: padded\r\n" in sent and sent.count(b"content-length") == 1


def test_bytes_after_an_upgrade_request_are_not_tunnelled_without_a_101(member, stage):
    """A tunnel begins only with the member's 101: until then what follows is the next request."""
    server = member("no-upgrade")
    front = stage.front([server])
    with front.connect() as client:
        client.send(b"GET /status/200 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().status == 200
        second = client.answer()
        assert second.status == 200
        request = next(r for r in server.requests if r.target == "/second")
        assert request.header("x-forwarded-for") == [client.socket.getsockname()[0]], "it went through us as a request of its own"


def test_a_refused_request_after_good_ones_does_not_spoil_their_answers(front):
    with front.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + request(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\n" + INNER))
        assert client.answer().status == 200
        assert client.answer().status == 400
        assert client.is_closed()


def test_nothing_smuggled_ever_arrived(front):
    """Runs last in this module: over all that was sent before."""
    holds(lambda: not any(b"smuggled" in piece for piece in front.server.received), during=0.2)
