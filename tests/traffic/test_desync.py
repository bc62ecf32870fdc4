"""Requests that are odd without being wrong: let through, last on their connection, or refused, and counted by class."""

import pytest

from harness.metrics import scrape, total
from harness.wait import eventually

ODD = {
    "body_without_meaning": b"GET /odd HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    "hosts_differ": b"GET http://b/odd HTTP/1.1\r\nHost: a\r\n\r\n",
    "old_version_body": b"POST /odd HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    "http2_offer": b"GET /odd HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "connection_hides_header": b"GET /odd HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nConnection: Cookie\r\n\r\n",
    "look_alike_name": b"GET /odd HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 192.0.2.1\r\n\r\n",
    "ambiguous_path": b"GET /odd/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("mode", ["monitor", "defensive", "strictest"])
def test_each_class_in_each_mode(fulcrum, member, stage, mode):
    front = stage.front([member("a")], listener={"desync_mode": mode})
    for name, request in ODD.items():
        with front.connect() as client:
            answer = client.send(request).answer()
            assert answer.status == (400 if mode == "strictest" else 200), (name, answer)
            if mode == "defensive":
                assert client.is_closed(), name
            elif mode == "monitor" and (answer.header("connection") or "").lower() != "close":
                assert client.ask("/next").status == 200, name
    listener = {"listener": front.listener["id"]}

    def counted():
        found = scrape(fulcrum)
        return {name: total(found, "fulcrum_listener_odd_requests_total", **{"class": name}, **listener) for name in ODD} == dict.fromkeys(ODD, 1)
    eventually(counted, what="one of each class counted")


@pytest.mark.parametrize("mode", ["monitor", "strictest"])
def test_what_is_wrong_is_refused_in_every_mode_and_what_is_fine_in_none(member, stage, mode):
    front = stage.front([member("a")], listener={"desync_mode": mode})
    for bad in (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"):
        with front.connect() as client:
            assert client.send(bad).answer().status == 400
    with front.connect() as client:
        for options in ({}, {"method": "POST", "body": b"x"}, {"method": "DELETE"}, {"headers": [("X-Forwarded-For", "192.0.2.1")]}):
            assert client.ask("/fine", **options).status == 200
