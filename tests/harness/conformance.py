"""Cases of a conformance suite of HTTP/2: what is said, and what may come back.

A case names the section that asks for it. Where the RFC leaves the choice, several outcomes are given, and one of them has to be seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.frames import CODES, COMPRESSION_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, STREAM_CLOSED, Wire, block, headers, ping, pseudo
from harness.http_member import HttpMember

PROBE = 0x0010_0001  # a stream that no case uses: on it is asked whether the connection lives, by HEAD, as windows may be shut


@dataclass(frozen=True)
class Case:
    """`say`: bytes that are sent, or what is done with the wire; `greet`: after the preface and SETTINGS of both sides."""
    section: str
    why: str
    say: bytes | Callable[[Wire], object]
    outcomes: tuple
    greet: bool = True
    ours: tuple = ()

    def __str__(self):
        return f"{self.section} {self.why}".replace(" ", "_")


def case(section, why, say, *outcomes, **terms):
    """A case, shorter."""
    return Case(section, why, say, outcomes, **terms)


def run(where, one, *, pieces=False):
    """Plays a case against a listener; an AssertionError tells what came instead."""
    with Wire(where, ours=one.ours, greet=one.greet, pieces=pieces) as wire:
        wire.send(one.say) if isinstance(one.say, bytes) else one.say(wire)
        living = [outcome for outcome in one.outcomes if outcome.lives]
        if living and not wire.closed:
            wire.send(ping(b"liveness"), headers(PROBE, block(*pseudo(method="HEAD"))))

        def seen():
            probed = PROBE in wire.ended and b"liveness" in wire.pongs
            return any(outcome.seen(wire) and (probed or not outcome.lives) for outcome in one.outcomes)
        wire.reaches(seen)
        wanted = " or ".join(outcome.words for outcome in one.outcomes)
        assert seen(), f"{one.section}, {one.why}: wanted {wanted}; {wire.story()}"


# -- outcomes

@dataclass(frozen=True)
class Outcome:
    """`lives`: and the connection goes on to answer."""
    words: str
    lives: bool
    seen: Callable[[Wire], bool]


def _names(codes):
    return "/".join(CODES[code] for code in codes)


def dies(*codes, last=None):
    """A connection error (section 5.4.1): GOAWAY with that code, and the end. `last`: the last stream that it names."""
    def seen(wire):
        return bool(wire.closed) and wire.goaway is not None and wire.goaway[0] in codes and last in (None, wire.goaway[1])
    return Outcome(f"a connection error {_names(codes)}" + (f" that names stream {last}" if last else ""), False, seen)


def closes():
    """The end, with or without a word."""
    return Outcome("the end of the connection", False, lambda wire: bool(wire.closed))


def resets(*codes, stream=1):
    """A stream error (section 5.4.2), on that stream alone."""
    return Outcome(f"a stream error {_names(codes)} on {stream}", True, lambda wire: wire.resets.get(stream) in codes and len(wire.resets) == 1)


def answers(status=200, *, stream=1, body=None):
    """A whole answer. `body`: is part of the answer's."""
    def seen(wire):
        return stream in wire.ended and wire.status(stream) == status and (body is None or body in wire.body(stream))
    return Outcome(f"{status} on {stream}" + (f" with {body!r}" if body else ""), True, seen)


def ended(status=200, *, stream=1, body=None):
    """A whole answer, whatever becomes of the connection."""
    return replace(answers(status, stream=stream, body=body), lives=False)


def ignored():
    """Nothing at all, and the connection goes on."""
    return Outcome("nothing", True, lambda wire: not wire.resets and wire.goaway is None)


def shows(words, seen):
    """What a function of the wire says, and the connection goes on."""
    return Outcome(words, True, seen)


def malformed(stream=1):
    """A malformed request (section 8.1.1): a stream error; an answer that says so may come before it."""
    def seen(wire):
        if set(wire.resets) - {stream}:
            return False
        refused = wire.status(stream) in (400, 431) and stream in wire.ended
        return refused or wire.resets.get(stream) == PROTOCOL_ERROR and wire.status(stream) in (None, 400)
    return Outcome(f"a stream error PROTOCOL_ERROR or 400 on {stream}", True, seen)


# The errors that most cases ask for.
PROTOCOL = (dies(PROTOCOL_ERROR),)
SIZE = (dies(FRAME_SIZE_ERROR),)
FLOW = (dies(FLOW_CONTROL_ERROR),)
COMPRESSION = (dies(COMPRESSION_ERROR),)
MALFORMED = (malformed(),)
CLOSED = (resets(STREAM_CLOSED), dies(STREAM_CLOSED))
IGNORED = (ignored(),)
ANSWERED = (answers(),)


# -- behind

class StuckMember(HttpMember):
    """An HTTP member that, asked for /stuck, does not read what is sent to it until `gate` is set.

    The system takes little for it meanwhile, so that windows fill up soon.
    """

    receive_buffer = 65_536

    def _read_body(self, request, reader, chunked, length):
        if request.target == "/stuck":
            self.gate.wait(60)
        super()._read_body(request, reader, chunked, length)
