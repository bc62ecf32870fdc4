"""Compression of fields: RFC 7541, and what RFC 9113 section 4.3 says of it."""

from harness.conformance import ANSWERED, COMPRESSION, MALFORMED, answers, case, dies
from harness.frames import PROTOCOL_ERROR, REFUSED_STREAM, block, continuation, data, get, headers, integer, literal, post, pseudo, reset, string

GET = block(*pseudo())
INDEXED = 0x40
TABLE_BYTES = 4096
ENTRY_BYTES = 32  # that an entry counts beside its name and value
KEPT = literal("x-kept", "by the table", INDEXED)
FIRST = b"\xbe"  # index 62, the newest of the table
SEEN = b'["x-kept", "by the table"]'


def _request(fields, stream=1, path="/request"):
    return headers(stream, block(*pseudo(path)) + fields)


def _then(first):
    """A request whose block puts a field into the table, then one that uses it."""
    def say(wire):
        first(wire)
        wire.send(_request(FIRST, 3))
    return say


def _size(bytes_):
    return integer(bytes_, 5, 0x20)


LEFT_ALONE = (answers(stream=3, body=SEEN),)

TABLE = [
    case("RFC 7541 2.3.2", "an entry serves later requests", _then(lambda wire: wire.send(_request(KEPT)).answered()), *LEFT_ALONE),
    case("RFC 7541 2.3.2", "an entry serves the same request", _request(KEPT + FIRST), answers(body=SEEN)),
    case("RFC 7541 2.3.2", "the newest entry comes first", _request(KEPT + literal("x-new", "1", INDEXED) + b"\xbf" * 2), answers(body=SEEN)),
    case("RFC 7541 2.3.2", "a name of the table", _request(KEPT + b"\x7e" + string("else")), answers(body=b'["x-kept", "else"]')),
    case("4.3", "a malformed request fills the table too", _then(lambda wire: wire.send(_request(literal("X-BAD", "y") + KEPT)).was_reset()), *LEFT_ALONE),
    case("4.3", "a request that cannot be said fills the table too", _then(lambda wire: wire.send(_request(literal("upgrade", "x") + KEPT)).was_reset()), *LEFT_ALONE),
    case("4.3", "trailers fill the table too", _then(lambda wire: wire.send(post(), data(1, b"x"), headers(1, KEPT)).answered()), *LEFT_ALONE),
    case("4.3", "trailers of a stream that was reset fill the table too",
         _then(lambda wire: wire.send(post(1, "/sink", ("upgrade", "x"))).was_reset().send(headers(1, KEPT)).sync()), *LEFT_ALONE),
    case("4.3", "HEADERS of a stream that is half-closed fill the table too",
         _then(lambda wire: wire.send(get(1, "/gate"), headers(1, KEPT)).reaches(lambda: wire.resets or wire.closed)), *LEFT_ALONE, dies(5)),
    case("4.3", "a refused stream fills the table too", lambda wire: _refused(wire), answers(stream=5003, body=SEEN)),
    case("4.3", "fields in CONTINUATION fill the table too",
         _then(lambda wire: wire.send(headers(1, block(*pseudo()), whole=False), continuation(1, KEPT)).answered()), *LEFT_ALONE),
    case("4.3", "more fields than allowed fill the table too", _then(lambda wire: _too_many(wire)), *LEFT_ALONE),
    case("RFC 7541 4.4", "an entry makes old ones leave", _request(KEPT + literal("x-big", "y" * (TABLE_BYTES - 2 * ENTRY_BYTES - 10), INDEXED) + b"\xbf"), *COMPRESSION),
    case("RFC 7541 4.4", "an entry of just the table's size", _request(literal("x-big", "y" * (TABLE_BYTES - ENTRY_BYTES - 5), INDEXED) + FIRST, path="/"), *ANSWERED),
    case("RFC 7541 4.4", "an entry larger than the table empties it", _request(KEPT + literal("x-big", "y" * (TABLE_BYTES - ENTRY_BYTES - 4), INDEXED), path="/"), *ANSWERED),
    case("RFC 7541 4.4", "and then there is none", _request(KEPT + literal("x-big", "y" * TABLE_BYTES, INDEXED) + FIRST), *COMPRESSION),
    case("RFC 7541 2.3.3", "an index behind the static table, and the other is empty", _request(FIRST), *COMPRESSION),
    case("RFC 7541 2.3.3", "an index behind the table", _request(KEPT + b"\xbf"), *COMPRESSION),
    case("RFC 7541 2.3.3", "an index far behind the table", _request(integer(100_000, 7, 0x80)), *COMPRESSION),
    case("RFC 7541 2.3.3", "a name's index behind the table, to be indexed", _request(integer(62, 6, 0x40) + string("x")), *COMPRESSION),
    case("RFC 7541 2.3.3", "a name's index behind the table, not to be indexed", _request(integer(62, 4) + string("x")), *COMPRESSION),
    case("RFC 7541 2.3.3", "a name's index behind the table, never to be indexed", _request(integer(62, 4, 0x10) + string("x")), *COMPRESSION),
    case("RFC 7541 2.3.3", "the last of the static table", _request(b"\xbd"), *ANSWERED),
]


def _refused(wire):
    """One stream more than allowed, whose block fills the table; then all others leave."""
    most = wire.theirs[3]
    wire.send(*[post(1 + 2 * number) for number in range(most)], _request(KEPT, 5001)).was_reset(5001)
    assert wire.resets[5001] in (REFUSED_STREAM, PROTOCOL_ERROR)
    wire.send(*[reset(1 + 2 * number) for number in range(most)], _request(FIRST, 5003))


def _too_many(wire):
    """More than 64 KiB of fields: an answer that says so, or a reset."""
    filler = literal("x-filler", "y" * 15_000)
    wire.send(headers(1, block(*pseudo()) + filler, whole=False), *[continuation(1, filler, whole=False)] * 4, continuation(1, KEPT))
    wire.reaches(lambda: 1 in wire.resets or 1 in wire.ended or wire.closed)


SIZES = [
    case("RFC 7541 4.2", "a size of 0 at the beginning", headers(1, _size(0) + GET), *ANSWERED),
    case("RFC 7541 4.2", "the largest size at the beginning", headers(1, _size(TABLE_BYTES) + GET), *ANSWERED),
    case("RFC 7541 4.2", "two sizes at the beginning", headers(1, _size(0) + _size(TABLE_BYTES) + GET), *ANSWERED),
    case("RFC 7541 4.2", "a size of 0 empties the table", lambda wire: wire.send(_request(KEPT)).answered().send(headers(3, _size(0) + _size(TABLE_BYTES) + GET + FIRST)), *COMPRESSION),
    case("RFC 7541 4.2", "a smaller size makes old entries leave", lambda wire: wire.send(_request(KEPT + literal("x-new", "1", INDEXED))).answered().send(headers(3, _size(50) + GET + b"\xbf")),
         *COMPRESSION),
    case("RFC 7541 4.2", "a smaller size keeps what has room", lambda wire: wire.send(_request(KEPT)).answered().send(headers(3, _size(100) + block(*pseudo("/request")) + FIRST)), *LEFT_ALONE),
    case("RFC 7541 4.2", "a size behind a field", headers(1, b"\x82" + _size(0) + GET[GET.index(b":scheme") - 2:]), *COMPRESSION),
    case("RFC 7541 4.2", "a size at the end", headers(1, GET + _size(0)), *COMPRESSION),
    case("RFC 7541 4.2", "a size at the end of CONTINUATION", headers(1, GET, whole=False) + continuation(1, _size(0)), *COMPRESSION),
    case("RFC 7541 6.3", "a size above the limit", headers(1, _size(TABLE_BYTES + 1) + GET), *COMPRESSION),
    case("RFC 7541 6.3", "a size far above the limit", headers(1, _size(1 << 30) + GET), *COMPRESSION),
]

NUMBERS = [
    case("RFC 7541 5.1", "an integer in more bytes than it needs", _request(b"\x00" + string("x") + b"\x7f\x80\x00" + b"y" * 127), *ANSWERED),
    case("RFC 7541 5.1", "an integer that is too large", _request(b"\xff" * 11 + b"\x7f"), *COMPRESSION),
    case("RFC 7541 5.1", "a length that is too large", _request(b"\x00\x7f" + b"\xff" * 10 + b"\x7f"), *COMPRESSION),
    case("RFC 7541 5.1", "a size that is too large", headers(1, b"\x3f" + b"\xff" * 10 + b"\x7f" + GET), *COMPRESSION),
    case("RFC 7541 5.1", "an integer that does not end", _request(b"\xff\xff"), *COMPRESSION),
    case("RFC 7541 5.1", "an index that ends with its prefix", _request(b"\xff"), *COMPRESSION),
    case("RFC 7541 5.2", "a name longer than the block", _request(b"\x00\x10x"), *COMPRESSION),
    case("RFC 7541 5.2", "a value longer than the block", _request(b"\x00" + string("x") + b"\x10y"), *COMPRESSION),
    case("RFC 7541 5.2", "no value", _request(b"\x00" + string("x")), *COMPRESSION),
    case("RFC 7541 5.2", "no name", _request(b"\x00"), *COMPRESSION),
    case("RFC 7541 5.2", "a value longer than the block, in CONTINUATION", headers(1, GET, whole=False) + continuation(1, b"\x00" + string("x") + b"\x10y"), *COMPRESSION),
    case("RFC 7541 5.2", "a value longer than the block, on a stream that is malformed", _request(literal("X-BAD", "y") + b"\x00" + string("x") + b"\x10y"), *COMPRESSION),
]


def _huffman(coded):
    """A field whose value is in Huffman code."""
    return _request(b"\x00" + string("x-coded") + integer(len(coded), 7, 0x80) + coded)


HUFFMAN = [
    case("RFC 7541 5.2", "Huffman", _huffman(b"\x07"), answers(body=b'["x-coded", "0"]')),
    case("RFC 7541 5.2", "Huffman without padding", _huffman(bytes.fromhex("0000000000")), answers(body=b'["x-coded", "00000000"]')),
    case("RFC 7541 5.2", "Huffman of every kind of code", _huffman(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff")), answers(body=b'["x-coded", "www.example.com"]')),
    case("RFC 7541 5.2", "Huffman of nothing", _huffman(b""), answers(body=b'["x-coded", ""]')),
    case("RFC 7541 5.2", "Huffman of a name", _request(b"\x00\x88" + bytes.fromhex("25a849e95ba97d7f") + string("y")), answers(body=b'["custom-key", "y"]')),
    case("RFC 7541 5.2", "Huffman of a capital letter in a name", _request(b"\x00\x81\x87" + string("y")), *MALFORMED),
    case("RFC 7541 5.2", "padding of more than 7 bits", _huffman(b"\x07\xff"), *COMPRESSION),
    case("RFC 7541 5.2", "padding of 8 bits", _huffman(bytes.fromhex("0000000000ff")), *COMPRESSION),
    case("RFC 7541 5.2", "padding that is not of EOS", _huffman(b"\x00"), *COMPRESSION),
    case("RFC 7541 5.2", "padding that is of EOS in part", _huffman(b"\x06"), *COMPRESSION),
    case("RFC 7541 5.2", "EOS", _huffman(b"\xff\xff\xff\xff"), *COMPRESSION),
    case("RFC 7541 5.2", "EOS between letters", _huffman(bytes.fromhex("07ffffffe0")), *COMPRESSION),
]

FIELDS = [
    case("RFC 7541 6.1", "indexed fields", headers(1, b"\x82\x87\x84" + integer(1, 4) + string("app.example.com")), *ANSWERED),
    case("RFC 7541 6.1", "an index of 0", _request(b"\x80"), *COMPRESSION),
    case("RFC 7541 6.2.1", "a literal that is indexed", _request(literal("x-kept", "by the table", 0x40)), answers(body=SEEN)),
    case("RFC 7541 6.2.2", "a literal that is not indexed", _request(literal("x-kept", "by the table", 0x00)), answers(body=SEEN)),
    case("RFC 7541 6.2.2", "a literal that is not indexed is not in the table", _request(literal("x-kept", "by the table", 0x00) + FIRST), *COMPRESSION),
    case("RFC 7541 6.2.3", "a literal that is never indexed", _request(literal("x-kept", "by the table", 0x10)), answers(body=SEEN)),
    case("RFC 7541 6.2.3", "a literal that is never indexed is not in the table", _request(literal("x-kept", "by the table", 0x10) + FIRST), *COMPRESSION),
    case("RFC 7541 6.2.1", "a name of the static table", _request(integer(58, 6, 0x40) + string("me")), answers(body=b'["user-agent", "me"]')),
    case("RFC 7541 6.2.2", "a name of the static table, not indexed", _request(integer(58, 4) + string("me")), answers(body=b'["user-agent", "me"]')),
]

CASES = [*TABLE, *SIZES, *NUMBERS, *HUFFMAN, *FIELDS]
