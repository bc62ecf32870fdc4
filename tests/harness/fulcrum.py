"""The product's process: found, started on port 0 with its own data directory, stopped, killed, started again."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from harness import config as configuration
from harness.wait import eventually

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"^fulcrum: ready (http://(\S+):(\d+))$")
START_SECONDS = 20
DRAIN_SECONDS = 40


def binary():
    """The binary under test: $FULCRUM_BIN, else the release build. Builds nothing."""
    path = Path(os.environ.get("FULCRUM_BIN", ROOT / "target/release/fulcrum"))
    assert path.exists(), f"no binary at {path}: `cargo build --release` first, or set FULCRUM_BIN"
    return str(path)


def run(*arguments, env=None, seconds=30):
    """One subcommand to its end."""
    return subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=seconds,
                          env={**os.environ, **(env or {})})


class Fulcrum:
    """`fulcrum up` in a directory of its own."""

    def __init__(self, directory, *, config=None, env=None, arguments=(), program=None):
        """`config`: a dict (see harness.config) written to a file; `arguments`: more of the command line; `program`: another binary."""
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.config = config or {}
        self.env = env or {}
        self.arguments = list(arguments)
        self.program = program
        self.process = None
        self.former = []
        self.lines = []
        self.endpoint = None
        self.starts = 0

    # -- life

    def start(self, *, wait=True):
        """Starts it and waits for the ready line."""
        assert self.process is None, "it runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = [str(self.program or binary()), "up", "--data", str(self.data), "--listen", "127.0.0.1:0", *self.arguments]
        if self.config:
            file = self.directory / "fulcrum.toml"
            file.write_text(configuration.to_toml(self.config))
            argv += ["--config", str(file)]
        self.starts += 1
        self.lines = []
        self.endpoint = None
        self.log = self.directory / f"stderr-{self.starts}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                                            text=True, env={**os.environ, **self.env}, start_new_session=True)
        threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True).start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Until the ready line was printed; the process must stay alive meanwhile."""
        def ready():
            for line in list(self.lines):
                found = READY.match(line)
                if found:
                    return found.group(1)
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode} before it was ready\n{self.tail()}")
            return None
        self.endpoint = eventually(ready, within=START_SECONDS, what="the line 'fulcrum: ready http://…' on stdout")

    def terminate(self, how=signal.SIGTERM, within=DRAIN_SECONDS):
        """Asks it to end; answers the exit code."""
        self.process.send_signal(how)
        return self._ended(within)

    def kill(self):
        """kill -9."""
        self.process.kill()
        return self._ended(5)

    def stop(self):
        """Ends it in whatever state it is, at the end of a test; with it all that it started."""
        if self.process is None and not self.former:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg((self.former or [self.process])[0].pid, signal.SIGKILL)
        for former in self.former:
            former.wait(5)
        if self.process:
            self._ended(5)

    def upgrade(self, program=None):
        """`fulcrum upgrade`; then `process` is the new one, and the old one is the last of `former`. Answers what it printed."""
        done = run("upgrade", "--data", self.data, *(["--binary", program] if program else []), seconds=60)
        assert done.returncode == 0, f"{done.stderr}\n{self.tail()}"
        self.succeeded_by(int(re.search(r"process (\d+)$", done.stdout.strip()).group(1)))
        return done.stdout

    def succeeded_by(self, pid):
        """Another process has taken over."""
        self.former.append(self.process)
        self.process = Heir(pid, self.process.stdout)

    def _ended(self, within):
        code = self.process.wait(within)
        self.process.stdout.close()
        self.process = None
        return code

    @staticmethod
    def _read(stream, lines):
        try:
            for line in stream:
                lines.append(line.rstrip("\n"))
        except ValueError:
            pass  # closed after the end

    # -- looking at it

    @property
    def pid(self):
        """Its process id."""
        return self.process.pid

    @property
    def credentials(self):
        """DIR/credentials.json."""
        return json.loads((self.data / "credentials.json").read_text())

    def rss_kib(self):
        """Resident memory, KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1))

    def tail(self, lines=40):
        """The end of its log, for failures."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Heir:
    """A process that took over from another, which is its parent: looked at by its id. As far as the tests need it, a Popen."""

    def __init__(self, pid, stdout):
        self.pid, self.stdout = pid, stdout
        self.returncode = None

    def poll(self):
        """None while it runs; how it ended is its parent's to know, so 0."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            state = "X"
        self.returncode = 0 if state in "XZ" else None
        return self.returncode

    def wait(self, timeout):
        """Until it has ended."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, how):
        """As os.kill."""
        os.kill(self.pid, how)

    def kill(self):
        """kill -9."""
        self.send_signal(signal.SIGKILL)
