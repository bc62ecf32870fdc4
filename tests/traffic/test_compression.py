"""Compressed answers: what the client asked for, and only where it is right (behaviour/features.md)."""

import gzip
import json

import brotli
import pytest
import zstandard

from harness.http_member import HttpMember

TEXT = json.dumps([{"number": number, "text": "the same words again and again"} for number in range(2000)]).encode()
DECODE = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)}


class Library(HttpMember):
    """Serves TEXT in several manners."""

    def _text(self, connection, request, *headers, body=TEXT, status="200 OK", type="application/json"):
        return self.reply(connection, request, body, status=status, headers=[("Content-Type", type), *headers])

    def on_text(self, request, connection, reader, argument):
        """With an entity tag, or as a part, of another type, coded, short, not to be changed."""
        manners = {
            "": lambda: self._text(connection, request, ("ETag", '"v1"'), ("Accept-Ranges", "bytes")),
            "weak": lambda: self._text(connection, request, ("ETag", 'W/"v1"'), ("Vary", "Accept-Language")),
            "part": lambda: self._text(connection, request, ("Content-Range", f"bytes 0-{len(TEXT) - 1}/{len(TEXT)}"), status="206 Partial Content"),
            "image": lambda: self._text(connection, request, type="image/png"),
            "coded": lambda: self._text(connection, request, ("Content-Encoding", "gzip"), body=gzip.compress(TEXT)),
            "short": lambda: self._text(connection, request, body=b"{}"),
            "fixed": lambda: self._text(connection, request, ("Cache-Control", "no-transform")),
            "missing": lambda: self._text(connection, request, status="404 Not Found"),
        }
        return manners[argument]()

    def on_pieces(self, request, connection, reader, argument):
        """Chunked, a piece for each release of `step`."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(int(argument)):
            self.step.acquire(timeout=30)
            piece = f"piece {number}\n".encode() * 200
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        return True


@pytest.fixture
def front(member, stage):
    """A listener that compresses."""
    return stage.front([member("a", kind=Library)], listener={"gzip_enable": True})


def taking(codings):
    """Accept-Encoding."""
    return [("Accept-Encoding", codings)]


@pytest.mark.parametrize("accept, coding", [
    ("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("deflate, gzip;q=0.5", "gzip"), ("gzip;q=0.1, br;q=0.9", "br"), ("br;q=0, gzip", "gzip"), ("*", None),
])
def test_the_client_chooses(front, accept, coding):
    answer = front.get("/text/", headers=taking(accept))
    chosen = answer.header("content-encoding")
    assert chosen == coding or (coding is None and chosen in DECODE), answer.headers
    assert DECODE[chosen](answer.body) == TEXT and len(answer.body) < len(TEXT) / 4
    assert "accept-encoding" in answer.header("vary").lower()
    assert answer.header("etag") == 'W/"v1"' and answer.header("accept-ranges") is None
    assert answer.header("content-length") in (None, str(len(answer.body)))


@pytest.mark.parametrize("accept", ["identity", "gzip;q=0", "deflate", None])
def test_who_takes_none_gets_the_text_as_it_is(front, accept):
    answer = front.get("/text/", headers=taking(accept) if accept else ())
    assert (answer.body, answer.header("content-encoding"), answer.header("etag"), answer.header("content-length")) == (TEXT, None, '"v1"', str(len(TEXT)))
    assert "accept-encoding" in answer.header("vary").lower(), "caches must know"


@pytest.mark.parametrize("manner, body", [("part", TEXT), ("image", TEXT), ("short", b"{}"), ("fixed", TEXT)])
def test_what_must_not_be_compressed_is_not(front, manner, body):
    answer = front.get(f"/text/{manner}", headers=taking("gzip, br, zstd"))
    assert (answer.body, answer.header("content-encoding"), answer.header("content-length")) == (body, None, str(len(body)))


def test_what_is_coded_already_stays(front):
    answer = front.get("/text/coded", headers=taking("gzip, br"))
    assert answer.header("content-encoding") == "gzip" and gzip.decompress(answer.body) == TEXT


def test_a_weak_tag_stays_and_vary_is_added_to(front):
    answer = front.get("/text/weak", headers=taking("gzip"))
    assert answer.header("etag") == 'W/"v1"'
    assert {name.strip().lower() for name in answer.header("vary").split(",")} == {"accept-language", "accept-encoding"}
    assert front.get("/text/missing", headers=taking("gzip")).header("content-encoding") == "gzip", "an error page, too"


def test_head_and_the_old_version(front):
    with front.connect() as client:
        assert client.ask("/text/", method="HEAD", headers=taking("gzip")).status == 200
        assert client.ask("/text/short").body == b"{}", "the connection is in step"
    answer = front.get("/text/", headers=taking("gzip"), version="HTTP/1.0")
    assert (gzip.decompress(answer.body) if answer.header("content-encoding") else answer.body) == TEXT


def test_a_stream_is_compressed_as_it_comes(member, stage):
    server = member("s", kind=Library)
    front = stage.front([server], listener={"gzip_enable": True})
    whole = b"".join(f"piece {number}\n".encode() * 200 for number in range(3))
    with front.connect() as client:
        client.request("/pieces/3", headers=taking("gzip"))
        server.step.release()
        assert b"content-encoding: gzip" in client.until(b"\r\n\r\n").lower()
        server.step.release()
        server.step.release()
        body = b""
        while size := int(client.until(b"\r\n"), 16):
            body += client.exactly(size)
            client.exactly(2)
        assert gzip.decompress(body) == whole


def test_off_means_off(member, stage):
    front = stage.front([member("a", kind=Library)])
    answer = front.get("/text/", headers=taking("gzip"))
    assert (answer.body, answer.header("content-encoding"), answer.header("etag")) == (TEXT, None, '"v1"')
    front.edit(gzip_enable=True)
    assert front.get("/text/", headers=taking("gzip")).header("content-encoding") == "gzip"
