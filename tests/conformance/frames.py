"""Each kind of frame: RFC 9113 section 6 and 7."""

from harness.conformance import ANSWERED, CLOSED, FLOW, IGNORED, PROTOCOL, SIZE, answers, case, dies, ended, resets, shows
from harness.frames import (
    ACK, DATA, END_HEADERS, END_STREAM, ENABLE_PUSH, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADER_TABLE_SIZE, HEADERS,
    INITIAL_WINDOW_SIZE, LEAST_FRAME, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, PADDED, PING, PRIORITY, PRIORITY_FLAG,
    PREFACE, PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, continuation, data, dependency, frame, get, goaway, headers, ping, post, priority, pseudo,
    push_promise, reset, settings, window,
)

REQUEST = block(*pseudo())
WINDOW_MAX = 0x7fff_ffff
TEN = "/bytes/10"

DATA_CASES = [
    case("6.1", "on stream 0", post() + data(0, b"x"), *PROTOCOL),
    case("6.1", "on a stream that is not open", lambda wire: wire.send(get()).answered().send(data(1, b"x")), *CLOSED),
    case("6.1", "padding is not content", post(1, "/echo") + data(1, b"ab", pad=0) + data(1, b"cd", pad=255, end=True), answers(body=b"abcd")),
    case("6.1", "nothing but padding", post() + data(1, b"", pad=100) + data(1, b"", pad=1, end=True), answers(body=b"0")),
    case("6.1", "a length is of content without padding", post(1, "/sink", ("content-length", "2")) + data(1, b"ab", pad=50, end=True), answers(body=b"2")),
    case("6.1", "as much padding as payload", post() + frame(DATA, 1, b"\x04abc", flags=PADDED | END_STREAM), *PROTOCOL),
    case("6.1", "more padding than payload", post() + frame(DATA, 1, b"\xffabc", flags=PADDED | END_STREAM), *PROTOCOL),
    case("6.1", "a flag for padding and no payload", post() + frame(DATA, 1, b"", flags=PADDED | END_STREAM), *PROTOCOL, *SIZE),
    case("6.1", "padding that is not zero", post() + frame(DATA, 1, b"\x02abxx", flags=PADDED | END_STREAM), answers(body=b"2"), *PROTOCOL),
    case("6.1", "empty", post() + data(1) + data(1) + data(1, end=True), answers(body=b"0")),
    case("6.1", "padding is flow-controlled and given back", lambda wire: [wire.send(post())] + [wire.send(data(1, b"x", pad=255)).sync() for _ in range(1500)]
         + [wire.send(data(1, end=True))], answers(body=b"1500")),
]

HEADERS_CASES = [
    case("6.2", "on stream 0", get(0), *PROTOCOL),
    case("6.2", "padding", get(pad=30), *ANSWERED),
    case("6.2", "a priority", get(priority=dependency(3, weight=255, exclusive=True)), *ANSWERED),
    case("6.2", "padding and a priority", get(pad=255, priority=dependency()), *ANSWERED),
    case("6.2", "as much padding as payload", frame(HEADERS, 1, bytes([len(REQUEST) + 1]) + REQUEST, flags=PADDED | END_HEADERS | END_STREAM), *PROTOCOL),
    case("6.2", "more padding than payload", frame(HEADERS, 1, b"\xff" + REQUEST, flags=PADDED | END_HEADERS | END_STREAM), *PROTOCOL),
    case("6.2", "a flag for padding and no payload", frame(HEADERS, 1, b"", flags=PADDED | END_HEADERS | END_STREAM), *PROTOCOL, *SIZE),
    case("6.2", "a flag for a priority and no room for it", frame(HEADERS, 1, b"abcd", flags=PRIORITY_FLAG | END_HEADERS | END_STREAM), *PROTOCOL, *SIZE),
    case("6.2", "padding that leaves no room for a priority", frame(HEADERS, 1, b"\x02abcdef", flags=PRIORITY_FLAG | PADDED | END_HEADERS | END_STREAM), *PROTOCOL, *SIZE),
    case("6.2", "no block at all", headers(1, b""), resets(PROTOCOL_ERROR)),
]

PRIORITY_CASES = [
    case("6.3", "on stream 0", priority(0), *PROTOCOL),
    *[case("6.3", f"{length} bytes, on an open stream", post() + frame(PRIORITY, 1, bytes(length)), resets(FRAME_SIZE_ERROR), *SIZE) for length in (0, 4, 6)],
    case("6.3", "4 bytes, on an idle stream", frame(PRIORITY, 1, bytes(4)), resets(FRAME_SIZE_ERROR), *SIZE),
    case("6.3", "on an idle stream does not open it", priority(3) + get(1), *ANSWERED),
]

RESET_CASES = [
    case("6.4", "on stream 0", reset(0), *PROTOCOL),
    case("6.4", "on an idle stream", reset(1), *PROTOCOL),
    *[case("6.4", f"{length} bytes", post() + frame(RST_STREAM, 1, bytes(length)), *SIZE) for length in (0, 3, 5)],
    case("6.4", "ends the work", post() + reset(1) + get(3), answers(stream=3)),
    case("6.4", "no frame follows", lambda wire: wire.send(get(1, "/bytes/1000000")).until(lambda: 1 in wire.heads, "a head").send(reset(1)).sync().send(window(0, 65_535)),
         shows("no more than was on its way", lambda wire: len(wire.body()) <= 65_535 and 1 not in wire.ended)),
]


def _frames_of(length):
    """Whether no frame of the answer was longer, and one was there."""
    return lambda wire: 1 in wire.ended and len(wire.body()) == 50_000 and all(size <= length for size in wire.sizes)


SETTINGS_CASES = [
    case("6.5", "is acknowledged", settings((MAX_CONCURRENT_STREAMS, 10)), shows("its ACK", lambda wire: wire.acknowledged == 2)),
    case("6.5", "each one is acknowledged", settings() * 10, shows("ten more ACKs", lambda wire: wire.acknowledged == 11)),
    case("6.5", "an ACK with a payload", frame(SETTINGS, 0, bytes(6), flags=ACK), *SIZE),
    case("6.5", "on a stream", frame(SETTINGS, 1, bytes(6)), *PROTOCOL),
    case("6.5", "on an open stream", post() + frame(SETTINGS, 1), *PROTOCOL),
    *[case("6.5", f"{length} bytes", frame(SETTINGS, 0, bytes(length)), *SIZE) for length in (1, 3, 5, 7)],
    case("6.5.2", "ENABLE_PUSH of 2", settings((ENABLE_PUSH, 2)), *PROTOCOL),
    case("6.5.2", "ENABLE_PUSH of 2 in the first SETTINGS", lambda wire: wire.send(PREFACE, settings((ENABLE_PUSH, 2))), *PROTOCOL, greet=False),
    case("6.5.2", "ENABLE_PUSH of 0", settings((ENABLE_PUSH, 0)) + get(), *ANSWERED),
    case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", settings((INITIAL_WINDOW_SIZE, WINDOW_MAX + 1)), *FLOW),
    case("6.5.2", "INITIAL_WINDOW_SIZE of 2^32-1", settings((INITIAL_WINDOW_SIZE, 0xffff_ffff)), *FLOW),
    case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31-1", settings((INITIAL_WINDOW_SIZE, WINDOW_MAX)) + get(), *ANSWERED),
    case("6.5.2", "MAX_FRAME_SIZE of 16383", settings((MAX_FRAME_SIZE, LEAST_FRAME - 1)), *PROTOCOL),
    case("6.5.2", "MAX_FRAME_SIZE of 0", settings((MAX_FRAME_SIZE, 0)), *PROTOCOL),
    case("6.5.2", "MAX_FRAME_SIZE of 2^24", settings((MAX_FRAME_SIZE, 1 << 24)), *PROTOCOL),
    case("6.5.2", "MAX_FRAME_SIZE of 2^24-1", settings((MAX_FRAME_SIZE, (1 << 24) - 1)) + get(), *ANSWERED),
    case("6.5.2", "MAX_FRAME_SIZE holds for answers", get(1, "/bytes/50000"), shows("frames of 16384 bytes at most", _frames_of(LEAST_FRAME)), ours=((MAX_FRAME_SIZE, LEAST_FRAME),)),
    case("6.5.2", "a wrong value behind right ones", settings((MAX_CONCURRENT_STREAMS, 1), (MAX_FRAME_SIZE, 1), (ENABLE_PUSH, 1)), *PROTOCOL),
    case("6.5.2", "MAX_CONCURRENT_STREAMS of 0", settings((MAX_CONCURRENT_STREAMS, 0)) + get(), *ANSWERED),
    case("6.5.2", "MAX_HEADER_LIST_SIZE of 2^32-1", settings((MAX_HEADER_LIST_SIZE, 0xffff_ffff)) + get(), *ANSWERED),
    case("6.5.2", "HEADER_TABLE_SIZE of 2^32-1", settings((HEADER_TABLE_SIZE, 0xffff_ffff)) + get(), *ANSWERED),
    case("6.5.2", "HEADER_TABLE_SIZE of 0", lambda wire: _without_table(wire), answers(stream=5)),
    case("6.5.3", "the last value of several counts", settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)) + get(1, TEN),
         shows("one byte", lambda wire: wire.body() == b"0")),
    case("6.5.3", "values hold from the ACK on", lambda wire: wire.send(settings((INITIAL_WINDOW_SIZE, 3)), get(1, TEN)),
         shows("three bytes", lambda wire: wire.body() == b"012")),
]


def _without_table(wire):
    """After the ACK no block may use a table: our decoder has none."""
    wire.send(get(1)).answered(1).send(settings((HEADER_TABLE_SIZE, 0)))
    wire.until(lambda: wire.acknowledged == 2, "the ACK")
    wire.decoder.max_allowed_table_size = 0
    wire.send(get(3)).answered(3).send(get(5))


PUSH_CASES = [
    case("6.6", "on stream 0", push_promise(0, 2, REQUEST), *PROTOCOL),
    case("6.6", "on an open stream", post() + push_promise(1, 2, REQUEST), *PROTOCOL),
    case("8.4", "a client does not push", lambda wire: wire.send(get(1, "/gate")).sync().send(push_promise(1, 4, REQUEST)), *PROTOCOL),
]

PING_CASES = [
    case("6.7", "is answered with the same", ping(b"\0\x01same\xff\xfe"), shows("its answer", lambda wire: b"\0\x01same\xff\xfe" in wire.pongs)),
    case("6.7", "each one is answered", ping(b"first   ") + ping(b"second  "), shows("both answers", lambda wire: {b"first   ", b"second  "} <= set(wire.pongs))),
    case("6.7", "an answer that nobody asked for", ping(b"surprise", flags=ACK), shows("no answer to it", lambda wire: b"surprise" not in wire.pongs)),
    case("6.7", "on a stream", frame(PING, 1, bytes(8)), *PROTOCOL),
    case("6.7", "an answer on a stream", frame(PING, 1, bytes(8), flags=ACK), *PROTOCOL),
    *[case("6.7", f"{length} bytes", frame(PING, 0, bytes(length)), *SIZE) for length in (0, 6, 7, 9)],
]

GOAWAY_CASES = [
    case("6.8", "on a stream", frame(GOAWAY, 1, bytes(8)), *PROTOCOL),
    *[case("6.8", f"{length} bytes", frame(GOAWAY, 0, bytes(length)), *SIZE) for length in (0, 4, 7)],
    case("6.8", "what was begun is ended", post() + goaway(0, 0, b"good bye") + data(1, b"ab", end=True), ended(body=b"2")),
    case("6.8", "an error of the client's", post() + goaway(0, 2) + data(1, b"ab", end=True), ended(body=b"2"), dies(0, 2)),
]


def _shrink(wire):
    """A window below zero: three bytes came, two are allowed in all, so two more make one."""
    wire.send(get(1, TEN)).until(lambda: wire.body() == b"012", "three bytes")
    wire.send(settings((INITIAL_WINDOW_SIZE, 2))).sync()
    wire.send(window(1, 2))


def _opens(wire):
    wire.send(get(1, TEN)).until(lambda: 1 in wire.heads, "a head").sync()
    assert wire.body() == b"", "nothing before there is a window"
    wire.send(settings((INITIAL_WINDOW_SIZE, 1)))


def _opens_connection(wire):
    """A setting does not open the connection's window, an update does."""
    wire.send(get(1, "/bytes/65535")).answered(1)
    wire.send(get(3, TEN)).until(lambda: 3 in wire.heads, "a head").send(settings((INITIAL_WINDOW_SIZE, 1 << 20))).sync()
    assert wire.body(3) == b"", "nothing without a window of the connection"
    wire.send(window(0, 4 * LEAST_FRAME))


def _flood(streams, *, heed):
    """Data beyond what may be sent, to members that do not read. `heed`: the windows of the streams, not the connection's."""
    def say(wire):
        first = wire.theirs.get(INITIAL_WINDOW_SIZE, 65_535)
        numbers = range(1, 2 * streams, 2)
        wire.send(*[post(stream, "/stuck") for stream in numbers])
        sent = 0
        # More than the sockets on the way to the members can hold, which may be some MiB each.
        while sent < 1 << 30 and not wire.closed and not wire.resets:
            before = sent
            for stream in numbers:
                room = first + wire.windows.get(stream, 0) - wire.sent.get(stream, 0)
                while not heed or room >= LEAST_FRAME:
                    wire.send(data(stream, bytes(LEAST_FRAME)))
                    wire.sent[stream] = wire.sent.get(stream, 0) + LEAST_FRAME
                    room, sent = room - LEAST_FRAME, sent + LEAST_FRAME
                    if not heed:
                        break
            wire.reaches(lambda: wire.resets, 0.001 if sent > before else 0.2)
    return say


WINDOW_CASES = [
    case("6.9", "an increment of 0 on the connection", window(0, 0), *PROTOCOL),
    case("6.9", "an increment of 0 on a stream", post() + window(1, 0), resets(PROTOCOL_ERROR), *PROTOCOL),
    case("6.9", "an increment of 0 but for the reserved bit", window(0, 0x8000_0000), *PROTOCOL),
    case("6.9", "the reserved bit counts for nothing", lambda wire: wire.send(get(1, TEN)).send(window(1, 0x8000_0002)), shows("two bytes", lambda wire: wire.body() == b"01"),
         ours=((INITIAL_WINDOW_SIZE, 0),)),
    *[case("6.9", f"{length} bytes", frame(WINDOW_UPDATE, 0, bytes([0, 0, 1, 1, 1][:length])), *SIZE) for length in (0, 3, 5)],
    case("6.9", "3 bytes, on a stream", post() + frame(WINDOW_UPDATE, 1, b"\0\0\1"), *SIZE),
    case("6.9", "on an idle stream", window(1, 1), *PROTOCOL),
    case("6.9.1", "no more is sent than there is a window for", get(1, TEN), shows("one byte", lambda wire: wire.body() == b"0"), ours=((INITIAL_WINDOW_SIZE, 1),)),
    case("6.9.1", "the connection's window holds too", get(1, "/bytes/100000"), shows("65535 bytes", lambda wire: len(wire.body()) == 65_535),
         ours=((INITIAL_WINDOW_SIZE, 1 << 20),)),
    case("6.9.1", "an answer without a body needs no window", get(1, "/bytes/0"), answers(), ours=((INITIAL_WINDOW_SIZE, 0),)),
    case("6.9.1", "more than 2^31-1 on the connection", window(0, WINDOW_MAX), *FLOW),
    case("6.9.1", "more than 2^31-1 on the connection, in steps", window(0, 1 << 30) * 2, *FLOW),
    case("6.9.1", "just 2^31-1 on the connection", window(0, WINDOW_MAX - 65_535), *IGNORED),
    case("6.9.1", "more than 2^31-1 on a stream", post() + window(1, WINDOW_MAX), resets(FLOW_CONTROL_ERROR), *FLOW),
    case("6.9.1", "just 2^31-1 on a stream", post() + window(1, WINDOW_MAX - 65_535) + data(1, b"", end=True), answers(body=b"0")),
    case("6.9.1", "DATA beyond a stream's window", _flood(1, heed=False), resets(FLOW_CONTROL_ERROR), *FLOW),
    case("6.9.1", "DATA beyond the connection's window", _flood(16, heed=True), *FLOW),
    case("6.9.2", "a larger INITIAL_WINDOW_SIZE opens streams", _opens, shows("one byte", lambda wire: wire.body() == b"0"), ours=((INITIAL_WINDOW_SIZE, 0),)),
    case("6.9.2", "a smaller one makes windows negative", _shrink, shows("four bytes", lambda wire: wire.body() == b"0123"), ours=((INITIAL_WINDOW_SIZE, 3),)),
    case("6.9.2", "it does not change the connection's window", _opens_connection, answers(stream=3)),
    case("6.9.2", "a larger one that makes a stream's window too large", post() + window(1, WINDOW_MAX - 65_535) + settings((INITIAL_WINDOW_SIZE, 65_536)), *FLOW),
]

CONTINUATION_CASES = [
    case("6.10", "several", headers(1, REQUEST, whole=False) + continuation(1, block(("x-a", "b")), whole=False) + continuation(1, block(("x-c", "d"))), *ANSWERED),
    case("6.10", "empty", headers(1, REQUEST, whole=False) + continuation(1), *ANSWERED),
    case("6.10", "behind HEADERS without a block", headers(1, b"", whole=False) + continuation(1, REQUEST), *ANSWERED),
    case("6.10", "behind HEADERS that end the stream", headers(1, REQUEST, whole=False, end=True) + continuation(1), *ANSWERED),
    case("6.10", "behind padded HEADERS with a priority", headers(1, REQUEST, whole=False, pad=9, priority=dependency()) + continuation(1), *ANSWERED),
    case("6.10", "of trailers", post() + data(1, b"ab") + headers(1, block(("x-a", "b")), whole=False) + continuation(1, block(("x-c", "d"))), answers(body=b"2")),
    case("6.10", "on stream 0", headers(1, REQUEST, whole=False) + continuation(0), *PROTOCOL),
    case("6.10", "on stream 0, behind nothing", continuation(0, REQUEST), *PROTOCOL),
    case("6.10", "behind HEADERS that were whole", get(1, "/gate") + continuation(1), *PROTOCOL),
    case("6.10", "behind CONTINUATION that was whole", headers(1, block(*pseudo("/gate")), whole=False) + continuation(1) + continuation(1), *PROTOCOL),
    case("6.10", "behind DATA", post() + data(1, b"x") + continuation(1), *PROTOCOL),
    case("6.10", "behind whole trailers", post(1, "/gate") + headers(1, block(("x-a", "b"))) + continuation(1), *PROTOCOL),
    case("6.10", "of another stream that is open", post(1) + headers(3, REQUEST, whole=False) + continuation(1), *PROTOCOL),
]

CASES = [*DATA_CASES, *HEADERS_CASES, *PRIORITY_CASES, *RESET_CASES, *SETTINGS_CASES, *PUSH_CASES, *PING_CASES, *GOAWAY_CASES, *WINDOW_CASES, *CONTINUATION_CASES]
