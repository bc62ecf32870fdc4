"""Requests and answers: RFC 9113 section 8."""

from harness.conformance import ANSWERED, IGNORED, MALFORMED, answers, case, malformed, resets, shows
from harness.frames import CANCEL, PROTOCOL_ERROR, block, continuation, data, get, headers, post, pseudo, reset


def _head(*fields, end=True, **named):
    """HEADERS on stream 1 of a GET with those fields behind; named pseudo-header fields are others, None leaves one out."""
    return headers(1, block(*pseudo(**named), *fields), end=end)


def _never(*fields, path="/never", **named):
    """The same for what no member may ever see."""
    return _head(*fields, path=path, **named)


def _bare(*fields):
    """HEADERS on stream 1 of nothing but these."""
    return headers(1, block(*fields))


METHOD, SCHEME, PATH, AUTHORITY = pseudo()
LENGTH = "content-length"

FRAMING = [
    case("8.1", "GET", get(), answers(body=b"a")),
    case("8.1", "HEAD", _head(method="HEAD", path="/bytes/100"), shows("no content", lambda wire: 1 in wire.ended and wire.status() == 200 and not wire.body())),
    case("8.1", "OPTIONS", _head(method="OPTIONS"), *ANSWERED),
    case("8.1", "a method that nobody knows", _head(method="BREW"), *ANSWERED),
    case("8.1", "POST", post(1, "/echo") + data(1, b"hel") + data(1, b"lo", end=True), answers(body=b"hello")),
    case("8.1", "POST without content", post(1, "/sink", end=True), answers(body=b"0")),
    case("8.1", "trailers", post() + data(1, b"ab") + headers(1, block(("x-sum", "1"))), answers(body=b"2")),
    case("8.1", "trailers reach the member", post(1, "/request") + data(1, b"ab") + headers(1, block(("x-sum", "one"))), answers(body=b'["x-sum", "one"]')),
    case("8.1", "trailers of an answer", get(1, "/chunked/5"), shows("a second head", lambda wire: 1 in wire.ended and wire.heads[1][-1] == [("x-end", "reached")])),
    case("8.1", "an interim answer", get(1, "/hints"), shows("103 before 200", lambda wire: [dict(head)[":status"] for head in wire.heads.get(1, ())] == ["103", "200"])),
    case("8.1", "204 and 304 have no content", _head(path="/status/204") + get(3, "/status/304"), answers(204), answers(304, stream=3)),
    case("8.1", "answers need not wait for each other", get(1, "/gate") + get(3), answers(stream=3)),
    case("8.1", "a second HEADERS that does not end the stream", post() + headers(1, block(("x", "y")), end=False), resets(PROTOCOL_ERROR)),
    case("8.1", "a second HEADERS of a request that does not end the stream", post() + post(), resets(PROTOCOL_ERROR)),
    case("8.1", "a stream that the client gave up does not disturb others", get(1, "/gate") + reset(1, CANCEL) + get(3), answers(stream=3)),
    case("8.1", "fields of an answer are in lower case", get(), shows("lower case", lambda wire: 1 in wire.ended and all(name == name.lower() for name, _ in wire.heads[1][0]))),
]

LENGTHS = [
    case("8.1.1", "a length that holds", post(1, "/sink", (LENGTH, "5")) + data(1, b"abc") + data(1, b"de", end=True), answers(body=b"5")),
    case("8.1.1", "a length of 0 without content", post(1, "/sink", (LENGTH, "0"), end=True), answers(body=b"0")),
    case("8.1.1", "a length of 0 and empty DATA", post(1, "/sink", (LENGTH, "0")) + data(1, end=True), answers(body=b"0")),
    case("8.1.1", "less than the length, in one frame", post(1, "/sink", (LENGTH, "5")) + data(1, b"abc", end=True), *MALFORMED),
    case("8.1.1", "more than the length, in one frame", post(1, "/sink", (LENGTH, "1")) + data(1, b"abc", end=True), *MALFORMED),
    case("8.1.1", "less than the length, in several frames", post(1, "/sink", (LENGTH, "5")) + data(1, b"a") + data(1, b"b") + data(1, b"c", end=True), *MALFORMED),
    case("8.1.1", "more than the length, in several frames", post(1, "/sink", (LENGTH, "2")) + data(1, b"a") + data(1, b"b") + data(1, b"c", end=True), *MALFORMED),
    case("8.1.1", "more than the length, without an end", post(1, "/sink", (LENGTH, "2")) + data(1, b"abc"), *MALFORMED),
    case("8.1.1", "a length without content", post(1, "/sink", (LENGTH, "5"), end=True), *MALFORMED),
    case("8.1.1", "a length and trailers that come before it", post(1, "/sink", (LENGTH, "5")) + data(1, b"abc") + headers(1, block(("x", "y"))), *MALFORMED),
    case("8.1.1", "lengths that differ", post(1, "/sink", (LENGTH, "1"), (LENGTH, "2")) + data(1, b"a", end=True), *MALFORMED),
    *[case("8.1.1", f"a length of {value!r}", post(1, "/sink", (LENGTH, value)) + data(1, b"a", end=True), *MALFORMED)
      for value in ("-1", "+1", "1 1", "1,2", "0x1", "one", "", "1.0", "99999999999999999999999")],
    case("8.1.1", "what is malformed does not touch other streams", get(1, "/gate") + headers(3, block(*pseudo(), ("X", "y"))) + get(5),
         answers(stream=5)),
]

NAMES = [
    case("8.2.1", f"a name with {what}", _never((name, "1")), *MALFORMED) for what, name in {
        "a capital letter": "X-Upper", "a capital letter at its end": "uppeR", "a blank": "x y", "a blank before it": " x", "a blank behind it": "x ", "a tab": "x\ty",
        "a zero": "x\0y", "an end of line": "x\r\ny", "a line feed": "x\ny", "a delete": "x\x7f", "a byte above 127": b"x\xe9", "a colon inside": "x:y", "a colon at its end": "x:",
        "no letter at all": "", "brackets": "x(y)", "a quote": 'x"y', "a comma": "x,y", "a slash": "x/y",
    }.items()
]

VALUES = [
    *[case("8.2.1", f"a value with {what}", _never(("x", value)), *MALFORMED) for what, value in {
        "a zero": "a\0b", "a line feed": "a\nb", "a carriage return": "a\rb", "an end of line and a field": "a\r\ny: b", "a blank before it": " a", "a blank behind it": "a ",
        "a tab before it": "\ta", "a tab behind it": "a\t",
    }.items()],
    case("8.2.1", "an empty value", _head(("x", "")), *ANSWERED),
    case("8.2.1", "a value with blanks inside", _head(("x", "a b\tc")), *ANSWERED),
    case("8.2.1", "a value with bytes above 127", _head(("x", b"a\xe9\xff")), *ANSWERED),
    *[case("8.2.2", name, _never((name, value)), *MALFORMED) for name, value in {
        "connection": "x-a", "proxy-connection": "keep-alive", "keep-alive": "timeout=5", "transfer-encoding": "chunked", "upgrade": "h2c",
    }.items()],
    case("8.2.2", "connection: close", _never(("connection", "close")), *MALFORMED),
    case("8.2.2", "TE of trailers", _head(("te", "trailers")), *ANSWERED),
    *[case("8.2.2", f"TE of {value}", _never(("te", value)), *MALFORMED) for value in ("gzip", "trailers, deflate", "trailers;q=0.5")],
    case("8.2.2", "transfer-encoding with DATA", post(1, "/sink", ("transfer-encoding", "chunked")) + data(1, b"0\r\n\r\n", end=True), *MALFORMED),
    case("8.2.2", "connection in trailers", post() + data(1, b"a") + headers(1, block(("connection", "close"))), *MALFORMED),
    case("8.2.3", "crumbs of a cookie", get(1, "/request", ("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")), answers(body=b"a=b; c=d; e=f")),
]

PSEUDO = [
    case("8.3", "one that nobody knows", _never((":test", "ok")), *MALFORMED),
    case("8.3", "one that nobody knows, before the others", _bare((":test", "ok"), *pseudo()), *MALFORMED),
    case("8.3", "one of answers", _never((":status", "200")), *MALFORMED),
    case("8.3", "a colon and nothing else", _never((":", "x")), *MALFORMED),
    case("8.3", "in capital letters", _bare((":METHOD", "GET"), SCHEME, PATH, AUTHORITY), *MALFORMED),
    case("8.3", "in trailers", post() + data(1, b"a") + headers(1, block((":method", "POST"))), *MALFORMED),
    case("8.3", "of answers, in trailers", post() + data(1, b"a") + headers(1, block((":status", "200"))), *MALFORMED),
    case("8.3", "that nobody knows, in trailers", post() + data(1, b"a") + headers(1, block((":test", "x"), ("x", "y"))), *MALFORMED),
    *[case("8.3", f"{one[0]} behind other fields", _bare(*[field for field in pseudo() if field != one], ("x", "y"), one), *MALFORMED) for one in pseudo()],
    case("8.3", "behind other fields, in CONTINUATION", headers(1, block(METHOD, SCHEME, PATH, ("x", "y")), whole=False) + continuation(1, block(AUTHORITY)), *MALFORMED),
    *[case("8.3", f"{one[0]} twice", _bare(*pseudo(), one), *MALFORMED) for one in pseudo()],
    case("8.3", ":path twice, and different", _bare(*pseudo(), (":path", "/other")), *MALFORMED),
    case("8.3", "in any order", _bare(AUTHORITY, PATH, SCHEME, METHOD), *ANSWERED),
    *[case("8.3.1", f"no {name}", _never(**{name: None}), *MALFORMED) for name in ("method", "scheme", "path")],
    *[case("8.3.1", f"an empty {name}", _never(**{name: ""}), *MALFORMED) for name in ("method", "scheme", "path", "authority")],
    case("8.3.1", "nothing but fields", _bare(("x", "y")), *MALFORMED),
    case("8.3.1", "a host for the authority", _head(("host", "app.example.com"), authority=None), *ANSWERED),
    case("8.3.1", "the same host and authority", _head(("host", "app.example.com")), *ANSWERED),
    case("8.3.1", "another host than the authority", _never(("host", "other.example.com")), *MALFORMED),
    case("8.3.1", "two hosts", _never(("host", "app.example.com"), ("host", "app.example.com"), authority=None), *MALFORMED),
    case("8.3.1", "neither host nor authority", _never(authority=None), *MALFORMED),
    case("8.3.1", "an authority with user information", _never(authority="me@app.example.com"), *MALFORMED),
    case("8.3.1", "a path that does not begin with a slash", _never(path="index.html"), *MALFORMED),
    case("8.3.1", "a path with a blank", _never(path="/a b"), *MALFORMED),
    case("8.3.1", "a path with an end of line", _never(path="/a\r\nX: y"), *MALFORMED),
    case("8.3.1", "a method with a blank", _never(method="GET /"), *MALFORMED),
    case("8.3.1", "the asterisk of OPTIONS", _head(method="OPTIONS", path="*"), *ANSWERED),
    case("8.3.1", "an asterisk of GET", _never(path="*"), *MALFORMED),
    case("8.5", "CONNECT with a scheme and a path", _never(method="CONNECT"), *MALFORMED),
    case("8.5", "CONNECT without an authority", _bare((":method", "CONNECT")), *MALFORMED),
    case("8.5", "CONNECT is not served", _bare((":method", "CONNECT"), (":authority", "a.example.com:443")), answers(501), answers(405), malformed()),
    case("RFC 8441", ":protocol without CONNECT", _never((":protocol", "websocket")), *MALFORMED),
    case("8.7", "a refused request was not looked at by a member", _never(("upgrade", "h2c")) + get(3), answers(stream=3)),
    case("8.1", "no content is answered with nothing", post() + data(1, b"x") + reset(1), *IGNORED),
]

CASES = [*FRAMING, *LENGTHS, *NAMES, *VALUES, *PSEUDO]
