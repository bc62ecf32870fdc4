"""HTTP/2 frame by frame: what RFC 9113 and RFC 7541 ask of a server. The cases are in `conformance`, by chapter."""

import pytest

from conformance import compression, connection, frames, messages
from harness.conformance import StuckMember, run
from harness.stage import Stage

CASES = [*connection.CASES, *frames.CASES, *messages.CASES, *compression.CASES]
# What exceeds a window has to come faster than the sockets' buffers on the way to the member take it, which pieces do not.
RUNS = [(case, pieces) for case in CASES for pieces in (False, True) if not (pieces and "beyond" in str(case))]


@pytest.fixture(scope="module")
def front(fulcrum):
    """A listener with HTTP/2, for all cases."""
    stage, member = Stage(fulcrum), StuckMember("a")
    yield stage.secure([member], listener={"http2_enable": True})
    stage.close()
    member.stop()
    assert set(member.malformed) <= {"ended inside a chunked body"}, "what reached the member was HTTP/1.1, and some of it was given up"
    assert not member.count("/never"), "what was refused never reached it"


def test_the_suite_is_whole():
    assert len(CASES) >= 146 and len({str(one) for one in CASES}) == len(CASES), "every case has a name of its own"


@pytest.mark.parametrize("case, pieces", RUNS, ids=[f"{case}-{'in pieces' if pieces else 'whole'}" for case, pieces in RUNS])
def test_conforms(front, case, pieces):
    run(front.where, case, pieces=pieces)
