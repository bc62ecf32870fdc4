"""What is measured: the rows of the table."""


class Scenario:
    """One row of the table: what the proxy has to be, and what load it gets."""

    def __init__(self, kind, load, about, **options):
        self.kind, self.load, self.about, self.options = kind, load, about, options


SCENARIOS = {
    "h1-small": Scenario("http", "wrk", "HTTP/1.1 keep-alive, 64 connections, 16-byte body", path="/small"),
    "h1-1k": Scenario("http", "wrk", "the same, 1 KiB body", path="/1k"),
    "h1-64k": Scenario("http", "wrk", "the same, 64 KiB body", path="/64k"),
    "h1-1m": Scenario("http", "wrk", "16 connections, 1 MiB body", path="/1m", connections=16),
    "h1-chunked": Scenario("http", "wrk", "64 connections, 16 KiB chunked request body", path="/sink", lua="chunked.lua"),
    "h1-post": Scenario("http", "wrk", "64 connections, 16 KiB request body", path="/sink", lua="post.lua"),
    "h1-conn": Scenario("http", "wrk", "new client connection for each request", path="/small", close=True),
    "h1-rate": Scenario("http", "h2load", "HTTP/1.1 at a fixed 8,000 req/s, 32 connections", path="/small",
                        connections=32, streams=1, h1=True, rps=250),
    "conn-rate": Scenario("http", "h2load", "4,000 new client connections a second, a request on each", path="/small",
                          connections=4000, streams=1, h1=True, anew=True),
    "h1-log": Scenario("http-log", "wrk", "h1-small with an access log line per request", path="/small"),
    "tcp-small": Scenario("tcp", "wrk", "TCP mode, small requests on 64 kept connections", path="/small"),
    "tcp-1m": Scenario("tcp", "wrk", "TCP mode, 1 MiB responses on 16 connections", path="/1m", connections=16),
    "tcp-conn": Scenario("tcp", "wrk", "TCP mode, new connection (both sides) for each request", path="/small", close=True),
    "tcp-rate": Scenario("tcp", "h2load", "TCP mode, small requests at a fixed 8,000 req/s, 32 connections", path="/small",
                         connections=32, streams=1, h1=True, rps=250),
    "tls-small": Scenario("tls-ecdsa", "wrk", "HTTPS keep-alive, 64 connections, small body", path="/small", tls=True),
    "tls-1m": Scenario("tls-ecdsa", "wrk", "HTTPS, 1 MiB body, 16 connections", path="/1m", tls=True, connections=16),
    "tls-hs-ecdsa": Scenario("tls-ecdsa", "wrk", "full TLS 1.3 handshake per request, ECDSA P-256", path="/small", tls=True, close=True, connections=32),
    "tls-hs-rsa": Scenario("tls-rsa", "wrk", "full TLS 1.3 handshake per request, RSA 2048", path="/small", tls=True, close=True, connections=32),
    "tls-resumed": Scenario("tls-ecdsa", "s_time", "resumed TLS 1.2 handshake per connection, no request"),
    "h2-small": Scenario("h2", "h2load", "HTTP/2 over TLS, 16 connections x 32 streams, small body", path="/small", connections=16, streams=32, tls=True),
    "h2-64k": Scenario("h2", "h2load", "the same, 64 KiB body", path="/64k", connections=16, streams=8, tls=True),
    "h2-rate": Scenario("h2", "h2load", "HTTP/2 over TLS at a fixed 8,000 req/s, 16 connections", path="/small", connections=16, streams=32, tls=True,
                        rps=500),
    "h3-small": Scenario("h3", "h3", "HTTP/3, 16 connections x 32 streams, small body", path="/small", connections=16, streams=32),
    "h3-64k": Scenario("h3", "h3", "the same, 64 KiB body", path="/64k", connections=16, streams=8),
    "rules-10k": Scenario("rules", "wrk", "h1-small through 10,000 host and path-prefix rules", path="/", lua="rules.lua"),
    "udp-small": Scenario("udp", "udp", "UDP request and reply, 64 flows, 64-byte datagrams"),
    "udp-rate": Scenario("udp", "udp", "the same at a fixed 8,000 requests a second", rate=8000),
    "start-5k": Scenario("many", "start", "5,000 listeners, each with its own pool: start, memory, cost per request", path="/small"),
    "idle-http": Scenario("http", "idle", "memory with up to 10,000 idle keep-alive connections", count=10_000),
    "idle-tls": Scenario("tls-ecdsa", "idle", "the same over TLS", count=10_000, tls=True),
}
QUICK = ["h1-small", "h1-64k", "h1-conn", "tcp-small", "tcp-1m", "tls-small", "tls-hs-ecdsa", "h2-small", "rules-10k"]
