"""Real servers of Debian behind the load balancer: HAProxy, which understands PROXY headers, and dnsmasq, a name server."""

import shutil
import socket
import subprocess

from harness.members import ADDRESS
from harness.wait import eventually

HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend asked
    bind {address}:{port} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_authority]"
"""


def free_port(address=ADDRESS):
    """A port that nobody listens on, for TCP and UDP."""
    with socket.socket() as tcp:
        tcp.bind((address, 0))
        port = tcp.getsockname()[1]
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind((address, port))
    return port


class Daemon:
    """A program that serves until it is stopped. A subclass says how it is called (`argv`)."""

    def __init__(self, name, place, *, address=ADDRESS):
        self.name, self.place, self.address = name, place, address
        self.port = free_port(address)
        self.log = place / f"{name}.log"
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._serves, what=f"{name} serves")

    def _serves(self):
        assert self._process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def argv(self):
        """Program and arguments."""
        raise NotImplementedError

    def stop(self):
        """Ends it."""
        self._process.kill()
        self._process.wait(5)


class HaproxyMember(Daemon):
    """HAProxy that takes connections with a PROXY header alone, and answers requests with what the header said.

    The answer: the source, the destination, and the name that a TLS client asked for.
    """

    def argv(self):
        config = self.place / f"{self.name}.cfg"
        config.write_text(HAPROXY.format(address=self.address, port=self.port))
        return [program("haproxy"), "-db", "-f", config]


class DnsmasqMember(Daemon):
    """dnsmasq for a zone of its own: `site.test` is 192.0.2.7, the text of `who.test` is its name, that of `long.test` fits no datagram."""

    def argv(self):
        long = [f"--txt-record=long.test,{','.join(str(number) * 200 for number in range(10))}" for _ in range(3)]
        return [program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root", "--pid-file=",
                f"--listen-address={self.address}", f"--port={self.port}", "--except-interface=lo0", "--address=/site.test/192.0.2.7",
                f"--txt-record=who.test,{self.name}", *long, "--edns-packet-max=1232"]


def program(name):
    """Where it is; daemons are not on everybody's path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found, f"{name} is missing: scripts/need.sh test installs it"
    return found


def dig(where, *question, tcp=False):
    """dig's short answer, line by line."""
    done = subprocess.run(["dig", f"@{where[0]}", "-p", str(where[1]), "+short", "+tries=1", "+time=5", "+tcp" if tcp else "+notcp", *question],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
