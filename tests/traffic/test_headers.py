"""What the member sees of the client, and that a client cannot make it see something else."""

import json

import pytest


def seen(front, headers=(), **options):
    """The headers as the member got them, by lower-case name; several values joined by " | "."""
    answer = front.get("/request", headers=headers, **options)
    assert answer.status == 200, answer
    found = {}
    for name, value in json.loads(answer.body)["headers"]:
        found[name.lower()] = f"{found[name.lower()]} | {value}" if name.lower() in found else value
    return found


def test_defaults(member, stage):
    front = stage.front([member()])
    got = seen(front, source="127.0.3.7")
    assert got["x-forwarded-for"] == "127.0.3.7"
    assert got["x-real-ip"] == "127.0.3.7"
    assert got["x-forwarded-host"] == "app.example.com"
    assert got["x-forwarded-proto"] == "http"
    assert "x-forwarded-port" not in got and "x-forwarded-for-port" not in got
    assert got["host"] == "app.example.com"


def test_every_switch_on(member, stage):
    switches = ["X-Forwarded-ELB-IP", "X-Forwarded-Port", "X-Forwarded-For-Port", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "X-Forwarded-ELB-ID"]
    front = stage.front([member()], listener={"insert_headers": dict.fromkeys(switches, True)})
    with front.connect(source="127.0.3.8") as client:
        answer = client.ask("/request")
        port = client.socket.getsockname()[1]
    got = {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
    assert got["x-forwarded-port"] == str(front.where[1])
    assert got["x-forwarded-for-port"] == str(port)
    assert got["x-forwarded-elb-id"] == front.load_balancer["id"]
    assert got["x-real-ip"] == "127.0.3.8"


def test_every_switch_off_passes_the_clients_own(member, stage):
    switches = ["X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"]
    front = stage.front([member()], listener={"insert_headers": dict.fromkeys(switches, False)})
    assert not {name.lower() for name in switches} & set(seen(front))
    assert seen(front, [("X-Forwarded-Host", "mine.example.com")])["x-forwarded-host"] == "mine.example.com"


def test_forwarded_for_is_appended_to(member, stage):
    front = stage.front([member()])
    assert seen(front, [("X-Forwarded-For", "192.0.2.1")], source="127.0.3.9")["x-forwarded-for"] == "192.0.2.1, 127.0.3.9"
    twice = seen(front, [("X-Forwarded-For", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")], source="127.0.3.9")
    assert twice["x-forwarded-for"] == "192.0.2.1, 192.0.2.2, 127.0.3.9"


@pytest.mark.parametrize("mode, expected", [("append", "192.0.2.1, 127.0.3.9"), ("preserve", "192.0.2.1"), ("remove", None)])
def test_forwarded_for_modes(member, stage, mode, expected):
    front = stage.front([member()], listener={"insert_headers": {"X-Forwarded-For-Processing-Mode": mode}})
    assert seen(front, [("X-Forwarded-For", "192.0.2.1")], source="127.0.3.9").get("x-forwarded-for") == expected


SPOOFED = ["X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-For-Port", "X-Forwarded-ELB-ID"]


@pytest.mark.parametrize("name", SPOOFED)
@pytest.mark.parametrize("spelling", [str, str.lower, str.upper], ids=["as is", "lower", "upper"])
def test_what_is_inserted_cannot_be_spoofed(member, stage, name, spelling):
    front = stage.front([member()], listener={"insert_headers": {name: True}})
    got = seen(front, [(spelling(name), "spoofed"), (spelling(name), "again")])
    assert "spoofed" not in got[name.lower()] and "again" not in got[name.lower()]


@pytest.mark.parametrize("named", ["X-Real-IP", "X-Forwarded-For", "x-forwarded-host", "Host", "Content-Length"])
def test_connection_cannot_name_away_what_the_load_balancer_says(member, stage, named):
    front = stage.front([member()])
    with front.connect() as client:
        answer = client.ask("/request", headers=[("Connection", f"{named}, close")])
    if answer.status == 400:
        return
    got = {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
    assert {"x-real-ip", "x-forwarded-for", "x-forwarded-host", "host"} <= set(got)


def test_hop_by_hop_headers_end_here(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        answer = client.ask("/request", headers=[("Connection", "X-Secret, keep-alive"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"),
                                                 ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("X-Kept", "yes")])
    got = {name.lower() for name, _ in json.loads(answer.body)["headers"]}
    assert "x-kept" in got
    assert not {"x-secret", "keep-alive", "proxy-connection"} & got


def test_other_headers_pass_unchanged_in_order(member, stage):
    front = stage.front([member()])
    sent = [("X-One", "1"), ("x_under_score", "kept"), ("Cookie", "a=b; c=d"), ("X-One", "2"), ("X-Latin", "caf\xe9"), ("X-Empty", ""), ("Accept", "*/*;q=0.8")]
    with front.connect() as client:
        headers = json.loads(client.ask("/request", headers=sent).body)["headers"]
    ours = [(name.lower(), value) for name, value in headers if name.lower() in {n.lower() for n, _ in sent}]
    assert ours == [(name.lower(), value) for name, value in sent]


def test_the_answers_headers_pass_and_server_is_ours(member, stage):
    front = stage.front([member()])
    answer = front.get("/status/201")
    assert (answer.status, answer.reason, answer.member) == (201, "Asked", "member")
    assert answer.header("x-router-code") is None
