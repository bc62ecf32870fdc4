"""A server behind the load balancer in a process of its own, so that it can be killed, or stopped as a debugger does."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from harness import http_member, members
from harness.wait import eventually

# Connections that may wait to be accepted: few, so that tests can fill the queue.
BACKLOG = 64
KINDS = {"http": http_member.HttpMember, "echo": members.EchoMember, "greet": members.GreetMember}


class ProcessMember:
    """`kind`: one of KINDS; `nice`: its priority. As with other members, `name`, `address` and `port` say where it is."""

    def __init__(self, name="process", *, kind="http", address=members.ADDRESS, port=0, nice=0):
        self.name, self.kind, self.address, self.port, self.nice = name, kind, address, port, nice
        self.start()

    def start(self):
        """Runs it (again, on the same port)."""
        place = Path(__file__).resolve().parents[1]
        argv = ["nice", "-n", str(self.nice), sys.executable, "-m", "harness.process_member", self.kind, self.name, self.address, str(self.port)]
        self._process = subprocess.Popen(argv, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())

    @property
    def pid(self):
        """Its process."""
        return self._process.pid

    def kill(self):
        """kill -9: its connections are reset, new ones are refused."""
        self._process.kill()
        self._process.wait(5)
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()

    def pause(self):
        """SIGSTOP: the system goes on to accept connections and bytes for it; nobody answers. Returns when every thread has stopped."""
        os.kill(self._process.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        eventually(lambda: all(_state(task) == "T" for task in tasks.iterdir()), what="it has stopped")

    def resume(self):
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def full(self):
        """Paused, with an accept queue that has no room: the system drops every further connect."""
        self.pause()
        with contextlib.ExitStack() as queue:
            try:
                while True:
                    filler = queue.enter_context(socket.socket())
                    filler.settimeout(0.5)
                    filler.connect((self.address, self.port))
            except TimeoutError:
                pass
            yield
        self.resume()

    def stop(self):
        """Ends it, in whatever state it is."""
        if self._process.poll() is None:
            self.kill()


def _state(task):
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def main():
    """The process: serves until its standard input ends, so that it never outlives the test."""
    kind, name, address, port = sys.argv[1:]
    members.TcpMember.BACKLOG = BACKLOG
    with KINDS[kind](name, address=address, port=int(port)) as member:
        print(member.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
