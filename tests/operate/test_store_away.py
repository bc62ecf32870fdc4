"""Static stability: traffic goes on without the database, also through a restart."""

import base64
import contextlib
from pathlib import Path

import pytest

from harness import config, pki, tls
from harness.http1 import get
from harness.http_member import HttpMember
from harness.load import Load
from harness.stage import Stage
from harness.wait import eventually, holds


def database_files(process):
    """The database with its companions, found by what they are and not by name."""
    main = [file for file in Path(process.data).rglob("*") if file.is_file() and file.open("rb").read(15) == b"SQLite format 3"]
    assert main, "no SQLite database in the data directory"
    return [file for one in main for file in one.parent.glob(one.name + "*")]


def plan_files(process):
    """The last good plan; not the one that is being written beside it, which a crash throws away."""
    return [file for file in Path(process.data).rglob("last-good-plan") if file.is_file()]


@contextlib.contextmanager
def moved_away(process):
    """The database is elsewhere for a while."""
    moved = [(file, file.with_name("away-" + file.name)) for file in database_files(process)]
    for file, away in moved:
        file.rename(away)
    yield [file for file, _ in moved]
    for file, away in moved:
        if file.is_dir():
            file.rmdir()
        away.rename(file)


@pytest.fixture
def running(start):
    """A process with a served listener: (process, where, stage)."""
    process = start(config=config.quotas(loadbalancer=-1))
    stage = Stage(process)
    with HttpMember("alive") as member:
        front = stage.front([member])
        assert front.get().body == b"alive"
        # written behind the answer, soon after it
        made = front.members["alive"].encode()
        eventually(lambda: any(made in file.read_bytes() for file in plan_files(process)), within=5, what="the last good plan on disk")
        yield process, front.where, stage


def serves(where):
    """Whether traffic flows."""
    try:
        return get(where).body == b"alive"
    except OSError:
        return False


def test_traffic_goes_on_with_the_database_moved_away(running):
    process, where, _ = running
    with Load(where) as load, moved_away(process):
        holds(lambda: not load.failures, during=2, what="every request answered")
    assert load.failures == [] and load.done > 100


def test_a_restart_without_the_store_serves_the_last_good_plan(running):
    process, where, stage = running
    process.kill()
    with moved_away(process) as files:
        for file in files:
            file.mkdir()  # so that it can be neither opened nor made anew
        process.start(wait=False)
        eventually(lambda: serves(where), within=5, what="traffic from the last good plan")
        holds(lambda: serves(where), during=2, what="traffic while the store stays away")
    process.wait_ready()
    stage.api.endpoint = process.endpoint
    assert stage.api.list("loadbalancers", "loadbalancers"), "the store is back and so is the API"
    assert serves(where)


def test_a_restart_with_the_database_gone_does_not_begin_anew(running):
    """An empty database in place of a lost one would take all listeners down."""
    process, where, _ = running
    process.kill()
    with moved_away(process):
        process.start(wait=False)
        eventually(lambda: serves(where), within=5, what="traffic from the last good plan")
        holds(lambda: serves(where), during=2, what="traffic while the database is gone")
        process.stop()
        for made in database_or_none(process):
            made.unlink()
    process.start()
    assert serves(where)


def database_or_none(process):
    """Like database_files, but nothing is fine, too; what was moved away does not count."""
    with contextlib.suppress(AssertionError):
        return [file for file in database_files(process) if not file.name.startswith("away-")]
    return []


def test_a_damaged_last_good_plan_is_no_harm_while_the_store_is_there(running):
    process, where, _ = running
    process.kill()
    for file in plan_files(process):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data)
    process.start()
    assert serves(where)


def test_a_restart_serves_at_once(running):
    process, where, _ = running
    process.kill()
    process.start(wait=False)
    eventually(lambda: serves(where), within=2, what="traffic soon after the start, whatever else has to be opened")
    process.wait_ready()


def test_https_is_served_from_the_last_good_plan(start):
    """Certificates and keys are in it, sealed; resumption and policies work as before."""
    process = start()
    stage = Stage(process)
    with HttpMember("alive") as member:
        front = stage.secure([member], listener={"http2_enable": True})
        assert tls.get(front.where).body == b"alive"
        made, key = front.members["alive"].encode(), pki.pair(tls.SITE).key
        eventually(lambda: any(made in file.read_bytes() for file in plan_files(process)), within=5, what="the last good plan on disk")
        body = "".join(key.splitlines()[1:-1])
        for file in (*plan_files(process), *database_files(process)):
            data = file.read_bytes()
            assert body[:40].encode() not in data and base64.b64decode(body)[40:60] not in data, f"a private key in clear in {file}"
        process.kill()
        with moved_away(process):
            process.start(wait=False)

            def served():
                try:
                    return tls.get(front.where).body == b"alive"
                except OSError:
                    return False
            eventually(served, within=5, what="HTTPS from the last good plan")
            with tls.Secure(front.where) as client:
                assert client.certificate == pki.pair(tls.SITE).der and client.ask().body == b"alive"
            process.stop()
            for made in database_or_none(process):
                made.unlink()
