"""Connections and streams: RFC 9113 sections 3.4 to 5.5."""

from harness.conformance import ANSWERED, CLOSED, IGNORED, PROTOCOL, SIZE, answers, case, closes, dies, ended, ignored, resets, shows
from harness.frames import (
    CANCEL, ENABLE_PUSH, FRAME_SIZE_ERROR, LEAST_FRAME, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, NO_ERROR, PING, PREFACE,
    PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED, block, continuation, data, dependency, frame, get, goaway, headers, integer, literal, ping, post, priority, pseudo,
    push_promise, reset, settings, window,
)

UNKNOWN = 0x16  # no kind of frame
GATE = get(1, "/gate")  # stays half-closed (remote): its member does not answer
TRAILERS = block(("x-sum", "1"))
LONGEST = block(*pseudo(), ("x", "y" * (LEAST_FRAME - len(block(*pseudo())) - len(b"\0\1x" + integer(LEAST_FRAME, 7)))))
assert len(LONGEST) == LEAST_FRAME


def _too_long(wire):
    return (wire.theirs.get(MAX_FRAME_SIZE) or LEAST_FRAME) + 1


def _first_is_settings(wire):
    return bool(wire.frames) and wire.frames[0].startswith("SETTINGS on 0") and wire.frames[0].endswith("flags 0x0")


PREFACES = [
    case("3.4", "the server's first frame is SETTINGS", get(), shows("SETTINGS before all else", _first_is_settings)),
    case("3.4", "requests may follow at once", lambda wire: wire.send(PREFACE, settings(), get()), *ANSWERED, greet=False),
    case("3.4", "another preface", b"INVALID CONNECTION PREFACE\r\n\r\n", dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "a preface whose end is wrong", PREFACE[:-1] + b"X" + settings(), dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "HTTP/1.1 instead", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "the preface and what is no frame", PREFACE + b"\xff" * 300, dies(PROTOCOL_ERROR, FRAME_SIZE_ERROR), closes(), greet=False),
    case("3.4", "DATA before SETTINGS", PREFACE + data(1, b"x"), dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "PING before SETTINGS", PREFACE + ping(), dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "HEADERS before SETTINGS", PREFACE + get(), dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "WINDOW_UPDATE before SETTINGS", PREFACE + window(0, 1), dies(PROTOCOL_ERROR), closes(), greet=False),
    case("3.4", "an unknown frame before SETTINGS", PREFACE + frame(UNKNOWN, 0), dies(PROTOCOL_ERROR), closes(), greet=False),
]

FRAMES = [
    case("4.1", "an unknown kind of frame", frame(UNKNOWN, 0, b"12345678"), *IGNORED),
    case("4.1", "an unknown kind of frame with all flags", frame(UNKNOWN, 0, b"12345678", flags=0xff), *IGNORED),
    case("4.1", "an empty frame of an unknown kind", frame(0xff, 0), *IGNORED),
    case("4.1", "an unknown kind of frame on an open stream", post() + frame(UNKNOWN, 1, b"1") + data(1, b"ab", end=True), answers(body=b"2")),
    case("4.1", "an unknown kind of frame on a closed stream", lambda wire: wire.send(get()).answered().send(frame(UNKNOWN, 1, b"1")), *IGNORED),
    case("4.1", "flags without a meaning on PING", ping(b"flagged!", flags=0xfe), shows("its answer", lambda wire: b"flagged!" in wire.pongs)),
    case("4.1", "flags without a meaning on SETTINGS", settings(flags=0xfe), shows("its ACK", lambda wire: wire.acknowledged == 2)),
    case("4.1", "flags without a meaning on HEADERS", get(flags=0xd2), *ANSWERED),
    case("4.1", "flags without a meaning on DATA", post() + data(1, b"abc", end=True, flags=0xf6), answers(body=b"3")),
    case("4.1", "flags without a meaning on RST_STREAM and WINDOW_UPDATE", post() + frame(8, 1, (5).to_bytes(4, "big"), flags=0xff) + frame(3, 1, bytes(4), flags=0xff), *IGNORED),
    case("4.1", "the reserved bit of PING's stream", frame(PING, 0x8000_0000, b"reserved"), shows("its answer", lambda wire: b"reserved" in wire.pongs)),
    case("4.1", "the reserved bit of HEADERS' stream", headers(0x8000_0001, block(*pseudo())), *ANSWERED),
    case("4.2", "DATA of the longest allowed size", post() + data(1, bytes(LEAST_FRAME), end=True), answers(body=b"16384")),
    case("4.2", "HEADERS of the longest allowed size", headers(1, LONGEST), *ANSWERED),
    case("4.2", "DATA that is too long", lambda wire: wire.send(post(), data(1, bytes(_too_long(wire)), end=True)), resets(FRAME_SIZE_ERROR), dies(FRAME_SIZE_ERROR)),
    case("4.2", "HEADERS that are too long", lambda wire: wire.send(headers(1, block(*pseudo(), ("x", bytes(_too_long(wire)))))), *SIZE),
    case("4.2", "CONTINUATION that is too long", lambda wire: wire.send(headers(1, block(*pseudo()), whole=False), continuation(1, bytes(_too_long(wire)))), *SIZE),
    case("4.2", "SETTINGS that are too long", lambda wire: wire.send(frame(4, 0, bytes(6 * (_too_long(wire) // 6 + 1)))), *SIZE),
    case("4.2", "GOAWAY that is too long", lambda wire: wire.send(goaway(debug=bytes(_too_long(wire)))), *SIZE),
    case("4.2", "an unknown frame on the connection that is too long", lambda wire: wire.send(frame(UNKNOWN, 0, bytes(_too_long(wire)))), *SIZE),
]


def _block_in_two(between):
    return headers(1, block(*pseudo()), whole=False) + between


BLOCKS = [
    case("4.3", "a block in two frames", _block_in_two(continuation(1, block(("x", "y")))), *ANSWERED),
    case("4.3", "a block cut anywhere", lambda wire: [
        wire.send(headers(number * 2 + 1, whole[:at], whole=False), continuation(number * 2 + 1, whole[at:])).answered(number * 2 + 1)
        for whole in [block(*pseudo(), literal("x-long", "y" * 200))] for number, at in enumerate([*range(30), *range(90, 110)])], answers(stream=99)),
    *[case("4.3", f"{what} inside a block", _block_in_two(between), *PROTOCOL) for what, between in {
        "DATA": data(1, b"x"), "HEADERS of the same stream": get(1), "HEADERS of another stream": get(3), "PRIORITY": priority(1), "RST_STREAM": reset(1),
        "SETTINGS": settings(), "PING": ping(), "GOAWAY": goaway(), "WINDOW_UPDATE": window(0, 1), "PUSH_PROMISE": push_promise(1, 2, block(*pseudo())),
        "CONTINUATION of another stream": continuation(3), "CONTINUATION of stream 0": continuation(0),
    }.items()],
    case("5.5", "an unknown frame inside a block", _block_in_two(frame(UNKNOWN, 1, b"x")), *PROTOCOL),
]


def _closed_by_both(wire):
    return wire.send(get()).answered()


def _closed_by_us(wire):
    return wire.send(GATE, reset(1)).sync()


def _closed_by_them(wire):
    """A malformed request whose body may still be on its way."""
    return wire.send(post(1, "/sink", ("connection", "close"))).was_reset()


HEAD_AGAIN = (resets(STREAM_CLOSED), dies(STREAM_CLOSED), dies(PROTOCOL_ERROR))

STATES = [
    *[case("5.1", f"idle: {what}", said, *PROTOCOL) for what, said in {
        "DATA": data(1, b"x", end=True), "RST_STREAM": reset(1), "WINDOW_UPDATE": window(1, 100), "CONTINUATION": continuation(1, block(*pseudo())),
        "PUSH_PROMISE": push_promise(1, 2, block(*pseudo())),
    }.items()],
    case("5.1", "idle: PRIORITY", priority(1) + get(), *ANSWERED),
    case("5.1", "idle: HEADERS", get(), *ANSWERED),
    case("5.1", "open: DATA", post() + data(1, b"a") + data(1, b"b") + data(1, b"", end=True), answers(body=b"2")),
    case("5.1", "open: WINDOW_UPDATE and PRIORITY", post() + window(1, 1) + priority(1) + data(1, b"ab", end=True), answers(body=b"2")),
    case("5.1", "open: RST_STREAM", post() + reset(1), *IGNORED),
    case("5.1", "open: HEADERS that end it", post() + headers(1, TRAILERS), answers(body=b"0")),
    case("5.1", "open: HEADERS that do not end it", post() + headers(1, TRAILERS, end=False), resets(PROTOCOL_ERROR)),
    case("5.1", "open: CONTINUATION", post() + continuation(1, TRAILERS), *PROTOCOL),
    case("5.1", "open: PUSH_PROMISE", post() + push_promise(1, 2, block(*pseudo())), *PROTOCOL),
    case("5.1", "half-closed (remote): DATA", GATE + data(1, b"x", end=True), *CLOSED),
    case("5.1", "half-closed (remote): empty DATA", GATE + data(1, b""), *CLOSED),
    case("5.1", "half-closed (remote): HEADERS", GATE + headers(1, TRAILERS), *CLOSED),
    case("5.1", "half-closed (remote): HEADERS of a request", GATE + get(1), *CLOSED),
    case("5.1", "half-closed (remote): CONTINUATION", GATE + continuation(1, TRAILERS), *PROTOCOL, dies(STREAM_CLOSED)),
    case("5.1", "half-closed (remote): WINDOW_UPDATE", GATE + window(1, 100), *IGNORED),
    case("5.1", "half-closed (remote): PRIORITY", GATE + priority(1), *IGNORED),
    case("5.1", "half-closed (remote): RST_STREAM", GATE + reset(1), *IGNORED),
    case("5.1", "half-closed (remote) after a body: DATA", post(1, "/gate") + data(1, b"x", end=True) + data(1, b"x"), *CLOSED),
    case("5.1", "half-closed (remote) after trailers: HEADERS", post(1, "/gate") + headers(1, TRAILERS) + headers(1, TRAILERS), *CLOSED),
    case("5.1", "closed: DATA", lambda wire: _closed_by_both(wire).send(data(1, b"x", end=True)), *CLOSED),
    case("5.1", "closed: HEADERS", lambda wire: _closed_by_both(wire).send(get(1)), *HEAD_AGAIN),
    case("5.1", "closed: CONTINUATION", lambda wire: _closed_by_both(wire).send(continuation(1, TRAILERS)), *PROTOCOL, dies(STREAM_CLOSED)),
    case("5.1", "closed: PUSH_PROMISE", lambda wire: _closed_by_both(wire).send(push_promise(1, 2, block(*pseudo()))), *PROTOCOL),
    case("5.1", "closed: PRIORITY", lambda wire: _closed_by_both(wire).send(priority(1)), *IGNORED),
    case("5.1", "closed: WINDOW_UPDATE", lambda wire: _closed_by_both(wire).send(window(1, 100)), *IGNORED),
    case("5.1", "closed: RST_STREAM", lambda wire: _closed_by_both(wire).send(reset(1)), *IGNORED),
    case("5.1", "closed by RST_STREAM: DATA", lambda wire: _closed_by_us(wire).send(data(1, b"x", end=True)), *CLOSED),
    case("5.1", "closed by RST_STREAM: HEADERS", lambda wire: _closed_by_us(wire).send(get(1)), *HEAD_AGAIN),
    case("5.1", "closed by RST_STREAM: CONTINUATION", lambda wire: _closed_by_us(wire).send(continuation(1, TRAILERS)), *PROTOCOL, dies(STREAM_CLOSED)),
    case("5.1", "closed by RST_STREAM: PRIORITY", lambda wire: _closed_by_us(wire).send(priority(1)), *IGNORED),
    case("5.1", "closed by RST_STREAM: RST_STREAM and WINDOW_UPDATE", lambda wire: _closed_by_us(wire).send(reset(1), window(1, 1)), *IGNORED),
    case("5.1", "reset by the server: what was on its way", lambda wire: _closed_by_them(wire).send(data(1, b"x"), window(1, 9), priority(1), data(1, b"", end=True)),
         resets(PROTOCOL_ERROR)),
    case("5.1", "reset by the server: trailers", lambda wire: _closed_by_them(wire).send(headers(1, TRAILERS)), resets(PROTOCOL_ERROR)),
    case("5.1", "reset by the server: RST_STREAM", lambda wire: _closed_by_them(wire).send(reset(1)), resets(PROTOCOL_ERROR)),
]


def _past(limit):
    """One more stream than may be open; then there is room for one again."""
    def say(wire):
        most = wire.theirs.get(MAX_CONCURRENT_STREAMS)
        assert most and most <= limit, f"a limit on streams: {most}"
        wire.send(*[post(1 + 2 * number) for number in range(most)], get(PAST))
        wire.reaches(lambda: PAST in wire.resets or wire.closed)
        wire.send(reset(1))
    return say


PAST = 0x8001

IDENTIFIERS = [
    case("5.1.1", "an even stream", get(2), *PROTOCOL),
    case("5.1.1", "stream 0", get(0), *PROTOCOL),
    case("5.1.1", "a lower stream than before", get(5) + get(3), dies(PROTOCOL_ERROR, STREAM_CLOSED)),
    case("5.1.1", "a lower stream than before, which was answered", lambda wire: wire.send(get(5)).answered(5).send(get(3)), dies(PROTOCOL_ERROR, STREAM_CLOSED)),
    case("5.1.1", "DATA on a stream that was passed over", get(5) + data(3, b"x"), resets(STREAM_CLOSED, stream=3), dies(STREAM_CLOSED), dies(PROTOCOL_ERROR)),
    case("5.1.1", "streams that are passed over", get(11) + get(101), answers(stream=101)),
    case("5.1.1", "the last stream of all", lambda wire: wire.send(get(0x7fff_ffff)).answered(0x7fff_ffff).send(get(1)), dies(PROTOCOL_ERROR, STREAM_CLOSED)),
    case("5.1.2", "more streams than allowed", _past(4096), resets(REFUSED_STREAM, PROTOCOL_ERROR, stream=PAST)),
    case("5.1.2", "streams that ended do not count", lambda wire: [wire.send(get(stream)).answered(stream) for stream in range(1, 601, 2)], answers(stream=599)),
    case("5.1.2", "streams that were reset do not count", lambda wire: [wire.send(post(stream), reset(stream)).sync() for stream in range(1, 401, 2)], *IGNORED),
    case("5.3", "PRIORITY that depends on itself", priority(1, 1), ignored(), resets(PROTOCOL_ERROR), *PROTOCOL),
    case("5.3", "HEADERS that depend on themselves", get(priority=dependency(1)), answers(), resets(PROTOCOL_ERROR), *PROTOCOL),
    case("5.3", "PRIORITY that depends on an idle stream", priority(1, 99, exclusive=True) + get(), *ANSWERED),
]

ERRORS = [
    case("5.4.1", "GOAWAY names the last stream that was looked at", lambda wire: wire.send(get(1)).answered(1).send(get(7)).answered(7).send(frame(PING, 1, bytes(8))),
         dies(PROTOCOL_ERROR, last=7)),
    case("5.4.1", "the connection ends although the other side goes on", lambda wire: wire.send(frame(PING, 0, b"short"), *[ping()] * 100), *SIZE),
    case("5.4.2", "no reset answers a reset", lambda wire: wire.send(post(), reset(1, CANCEL)).sync(), *IGNORED),
    case("5.4.2", "no reset answers a reset of a closed stream", lambda wire: _closed_by_both(wire).send(reset(1, NO_ERROR)), *IGNORED),
    case("5.5", "an unknown setting", settings((0xff, 1), (0xaaaa, 0xffff_ffff)), shows("its ACK", lambda wire: wire.acknowledged == 2)),
    case("5.5", "an unknown error code in RST_STREAM", post() + reset(1, 0xff), *IGNORED),
    case("5.5", "an unknown error code in GOAWAY", post() + goaway(0, 0xff) + data(1, b"ab", end=True), ended(body=b"2")),
    case("5.5", "push is off", lambda wire: wire.send(settings((ENABLE_PUSH, 1)), get()), *ANSWERED),
]

CASES = [*PREFACES, *FRAMES, *BLOCKS, *STATES, *IDENTIFIERS, *ERRORS]
