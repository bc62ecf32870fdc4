"""Clients that stay with their member: by a cookie of ours, by the application's, by their address (behaviour/features.md section 6)."""

import base64
import re
import uuid
from email.utils import parsedate_to_datetime

import pytest

from harness import config
from harness.http_member import HttpMember
from harness.stage import Stage
from harness.wait import eventually

BY_COOKIE = {"session_persistence": {"type": "HTTP_COOKIE", "persistence_timeout": 5}}
BY_SESSION = {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}}
BY_SOURCE = {"session_persistence": {"type": "SOURCE_IP", "persistence_timeout": 5}}


class Application(HttpMember):
    """Gives each new client a session."""

    def on_login(self, request, connection, reader, argument):
        """A session of its own."""
        return self.reply(connection, request, self.name.encode(), headers=[("Set-Cookie", f"JSESSIONID=s-{self.name}; Path=/; HttpOnly"), ("Set-Cookie", "other=1")])


def cookie(answer, name="name"):
    """NAME=VALUE of the cookie of that name that it sets."""
    return next(value.split(";")[0] for key, value in answer.headers if key.lower() == "set-cookie" and value.startswith(name + "="))


def test_our_cookie_keeps_a_client_with_its_member(member, stage):
    front = stage.front([member(name) for name in "abc"], pool=BY_COOKIE)
    firsts = [front.get() for _ in range(6)]
    assert {first.member for first in firsts} == set("abc")
    for first in firsts:
        name, _, value = cookie(first).partition("=")
        assert name == "name" and uuid.UUID(value)
        assert re.search(r"; path=/; Expires=", first.header("set-cookie"))
        again = [front.get(headers=[("Cookie", f"a=b; {cookie(first)}; c=d")]) for _ in range(5)]
        assert {one.member for one in again} == {first.member}
    assert len({cookie(first) for first in firsts}) == 3, "one value for each member"
    date = parsedate_to_datetime(firsts[0].header("date")) if firsts[0].header("date") else None
    expires = parsedate_to_datetime(re.search(r"Expires=([^;]+)", firsts[0].header("set-cookie")).group(1))
    assert date is None or 290 <= (expires - date).total_seconds() <= 310


def test_nothing_of_the_network_is_in_a_cookie(member, stage):
    server = member("a")
    front = stage.front([server], pool=BY_COOKIE)
    value = cookie(front.get()).partition("=")[2]
    raw = uuid.UUID(value).bytes
    address = bytes(int(part) for part in server.address.split("."))
    port = server.port.to_bytes(2, "big")
    for secret in (address, address[::-1], port, port[::-1], uuid.UUID(front.members["a"]).bytes, server.address.encode(), b"127"):
        assert secret not in raw + value.encode() + base64.b64encode(raw), secret


def test_a_value_that_we_never_issued_is_hashed_always_alike(member, stage):
    front = stage.front([member(name) for name in "abcd"], pool=BY_COOKIE)
    homes = {}
    for number in range(24):
        answers = [front.get(headers=[("Cookie", f"name=made-up-{number}")]).member for _ in range(3)]
        assert len(set(answers)) == 1
        homes[number] = answers[0]
    assert len(set(homes.values())) >= 3, homes


def test_a_client_moves_when_its_member_is_gone_and_only_then(member, stage):
    a, b = member("a"), member("b")
    front = stage.front([a, b], pool=BY_COOKIE)
    first = front.get()
    mine = [("Cookie", cookie(first))]
    gone = a if first.member == "a" else b
    front.weigh(gone, 0)
    moved = front.get(headers=mine)
    assert moved.member != first.member and cookie(moved) != cookie(first), "a new home, and a cookie that says so"
    front.weigh(gone, 1)
    assert front.get(headers=[("Cookie", cookie(moved))]).member == moved.member


def test_cookies_outlive_a_crash_and_fit_every_worker(start, member):
    process = start(config=config.workers(2))
    stage = Stage(process)
    front = stage.front([member(name, kind=Application) for name in "abc"], pool=BY_COOKIE)
    firsts = [front.get() for _ in range(3)]
    process.kill()
    process.start()

    def answers():
        with_deadline = front.get()
        return with_deadline.status == 200
    eventually(answers, what="it serves again")
    for first in firsts:
        assert {front.get(headers=[("Cookie", cookie(first))]).member for _ in range(12)} == {first.member}


def test_the_applications_cookie_keeps_a_client_and_stays_its_own(member, stage):
    servers = {name: member(name, kind=Application) for name in "abc"}
    front = stage.front(list(servers.values()), pool=BY_SESSION)
    for _ in range(4):
        first = front.get("/login")
        assert "other=1" in first.header("set-cookie") and "HttpOnly" in first.header("set-cookie")
        given = cookie(first, "JSESSIONID")
        assert given.startswith(f"JSESSIONID=s-{first.member}") and servers[first.member].address not in given
        for _ in range(4):
            assert front.get("/x", headers=[("Cookie", f"q=1; {given}")]).member == first.member
        assert servers[first.member].requests[-1].header("cookie") == [f"q=1; JSESSIONID=s-{first.member}"], "the member sees what it set"


def test_clients_stay_by_their_address(member, stage):
    servers = [member(name, kind=HttpMember) for name in "abc"]
    front = stage.front(servers, protocol="TCP", pool=BY_SOURCE)
    homes = {source: {front.get(source=source).member for _ in range(4)} for source in (f"127.0.9.{n}" for n in range(1, 49))}
    assert all(len(home) == 1 for home in homes.values()), homes
    assert len({next(iter(home)) for home in homes.values()}) == 3, homes


@pytest.mark.parametrize("pool", [BY_COOKIE, BY_SESSION], ids=["HTTP_COOKIE", "APP_COOKIE"])
def test_stickiness_can_be_switched_off_and_on(member, stage, pool):
    front = stage.front([member(name, kind=Application) for name in "ab"], pool=pool)
    first = front.get("/login")
    mine = [("Cookie", cookie(first, "name" if pool is BY_COOKIE else "JSESSIONID"))]
    assert len({front.get(headers=mine).member for _ in range(6)}) == 1
    front.edit_pool(session_persistence=None)
    assert {front.get(headers=mine).member for _ in range(6)} == {"a", "b"}
    front.edit_pool(**pool)
    assert len({front.get(headers=mine).member for _ in range(6)}) == 1
