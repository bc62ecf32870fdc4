"""A small client of the product's API for the benches: standard library only, by token, one kept connection."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
# Benches make thousands of objects, and listen wherever the harness asks.
CONFIG = """\
[dataplane]
workers = {workers}

[quotas]
loadbalancer = -1
listener = -1
pool = -1
member = -1
l7policy = -1
l7policies_per_listener = -1

[[networks]]
name = "default"
[[networks.subnets]]
name = "default"
cidr = "127.0.0.0/8"
"""


def binary():
    """The binary to measure: $FULCRUM_BIN, else the release build."""
    path = Path(os.environ.get("FULCRUM_BIN", HERE.parent / "target/release/fulcrum"))
    if not path.exists():
        raise SystemExit(f"no binary at {path}: cargo build --release first, or set FULCRUM_BIN")
    return str(path)


def write_config(directory, workers=1):
    """The configuration of a bench; answers its path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "bench.toml"
    file.write_text(CONFIG.format(workers=workers))
    return file


class Server:
    """`fulcrum up` on a directory, for the benches that start it themselves."""

    def __init__(self, directory, *, workers=1, fresh=True):
        self.directory = Path(directory)
        if fresh:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.config = write_config(self.directory, workers)
        self.data = self.directory / "data"
        self.process = None

    def start(self):
        """Starts it; answers the moment of the start (monotonic)."""
        self.log = open(self.directory / "log", "ab")
        begun = time.monotonic()
        self.process = subprocess.Popen([binary(), "up", "--data", str(self.data), "--config", str(self.config), "--listen", "127.0.0.2:0"],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        return begun

    def wait_ready(self):
        """Until its ready line; answers the API."""
        for line in self.process.stdout:
            if line.startswith("fulcrum: ready "):
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return Api(self.data / "credentials.json", line.split()[2])
        raise SystemExit(f"the server ended before it was ready; see {self.directory / 'log'}")

    def stop(self):
        """SIGTERM and its end."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Api:
    """The API as its first admin."""

    def __init__(self, credentials, endpoint=None):
        found = json.loads(Path(credentials).read_text())
        self.project, self.subnet = found["project_id"], found["subnet_id"]
        host, port = (endpoint or found["endpoint"]).removeprefix("http://").rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self._token = None
        login = {"user": {"name": found["user_name"], "password": found["password"], "domain": {"name": found["domain_name"]}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": login}, "scope": {"project": {"id": self.project}}}}
        self._send("POST", "/v3/auth/tokens?nocatalog=true", body)
        self._token = self._headers["X-Subject-Token"]
        self.zone = self.get("availability-zones")["availability_zones"][0][0]["code"]

    def _send(self, method, path, body=None):
        headers = {"Content-Type": "application/json", **({"X-Auth-Token": self._token} if self._token else {})}
        self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self._connection.getresponse()
        self._headers, text = answer.headers, answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')[:500]}")
        return json.loads(text) if text else None

    def get(self, path):
        """GET under /v3/{project}/elb/."""
        return self._send("GET", f"/v3/{self.project}/elb/{path}")

    def create(self, path, wrapper, **fields):
        """POST; answers the object."""
        return self._send("POST", f"/v3/{self.project}/elb/{path}", {wrapper: fields})[wrapper]

    def update(self, path, wrapper, **fields):
        """PUT; answers the object."""
        return self._send("PUT", f"/v3/{self.project}/elb/{path}", {wrapper: fields})[wrapper]

    def delete(self, path):
        """DELETE."""
        self._send("DELETE", f"/v3/{self.project}/elb/{path}")

    # -- the steps to a working listener

    def load_balancer(self, vip=None, **fields):
        """A load balancer, on that address if given."""
        fields.update({"vip_address": vip} if vip else {})
        return self.create("loadbalancers", "loadbalancer", availability_zone_list=[self.zone], vip_subnet_cidr_id=self.subnet, **fields)

    def forward(self, vip, port, protocol, to, *, logged=False, **listener):
        """`vip:port` goes to `to`, on a load balancer and pool of its own; the listener comes last and is complete at once.

        `logged`: with an access log; `listener`: more of its fields.
        """
        lb = self.load_balancer(vip)
        if logged:
            self.create("logtanks", "logtank", loadbalancer_id=lb["id"], log_group_id="bench", log_topic_id="bench")
        inner = "HTTP" if protocol in ("HTTPS", "QUIC") else protocol
        pool = self.create("pools", "pool", loadbalancer_id=lb["id"], protocol=inner, lb_algorithm="ROUND_ROBIN")
        self.member(pool["id"], to)
        return self.create("listeners", "listener", loadbalancer_id=lb["id"], protocol=protocol, protocol_port=port, default_pool_id=pool["id"], **listener)

    def member(self, pool, to):
        """A member at `to` (address:port)."""
        address, port = to.rsplit(":", 1)
        return self.create(f"pools/{pool}/members", "member", address=address, protocol_port=int(port), subnet_cidr_id=self.subnet)


class Member:
    """A member that answers every request with two bytes, from a thread."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                connection.sendall(self.ANSWER)


def first_byte(vip, port, deadline=10):
    """Asks until the listener answers 200; answers the moment of its first byte (monotonic)."""
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        try:
            with socket.create_connection((vip, port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                first = connection.recv(4096)
                if first.startswith(b"HTTP/1.1 200"):
                    return time.monotonic()
        except OSError:
            pass
    raise SystemExit(f"{vip}:{port} does not answer")


def percentile(values, share):
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def row(name, seconds):
    """A line of a table in milliseconds: p50, p99, largest."""
    ms = [value * 1e3 for value in seconds]
    return f"| {name} | {percentile(ms, 0.5):.2f} | {percentile(ms, 0.99):.2f} | {max(ms):.2f} |"


HEAD = "| | p50 ms | p99 ms | max ms |\n|---|--:|--:|--:|"


def machine():
    """Where this was measured."""
    kernel = os.uname()
    return f"{kernel.sysname} {kernel.release} {kernel.machine}, {os.cpu_count()} cores"
