"""curl as the judge: a client that we did not write sees what it should."""

import json
import subprocess


def curl(*arguments):
    """Its output; a failure of curl fails the test."""
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*", *arguments], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_get_head_and_post(member, stage):
    front = stage.front([member("a")])
    assert curl(f"http://{front.url}/") == b"a"
    assert b"HTTP/1.1 200 OK" in curl("--head", f"http://{front.url}/")
    assert curl("--data", "hello", f"http://{front.url}/echo") == b"hello"


def test_chunked_upload_with_expect(tmp_path, member, stage):
    front = stage.front([member("a")])
    body = tmp_path / "body"
    body.write_bytes(b"0123456789" * 500_000)
    got = json.loads(curl("-T", str(body), "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", f"http://{front.url}/request"))
    assert (got["method"], got["length"]) == ("PUT", 5_000_000)
    assert curl("--data-binary", f"@{body}", f"http://{front.url}/sink") == b"5000000"


def test_one_connection_for_many_urls(member, stage):
    front = stage.front([member("a"), member("b")])
    out = curl("-w", "%{num_connects}", *[f"http://{front.url}/{n}" for n in range(6)]).decode()
    assert sorted(out.replace("0", "").replace("1", "")) == list("aaabbb") and out.count("1") == 1


def test_http10_and_download(tmp_path, member, stage):
    front = stage.front([member("a")])
    assert curl("--http1.0", f"http://{front.url}/") == b"a"
    file = tmp_path / "big"
    curl("-o", str(file), f"http://{front.url}/chunked/10000000")
    assert file.stat().st_size == 10_000_000
