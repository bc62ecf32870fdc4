#!/usr/bin/env python3
"""Runs fulcrum.service by a real systemd, in namespaces of its own over a copy-on-write view of this machine, and shows that it does
what it says: starts, is reloaded under load without a failed request, survives a binary that cannot take over, is started again when it is
killed, drains and stops.

Needs root, systemd and dbus (apt-get install systemd dbus). Nothing of the machine is changed.

Usage: .venv/bin/python packaging/try_unit.py; $FULCRUM_BIN names the binary.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from harness.fulcrum import binary  # noqa: E402
from harness.http_member import HttpMember  # noqa: E402
from harness.load import Load  # noqa: E402
from harness.stage import Stage  # noqa: E402
from harness.wait import eventually  # noqa: E402

RELOADS = 5
LIMIT_SECONDS = 120
LAST_WORD = "all of it holds"

# In namespaces of its own for mounts, processes, names and the network; $1: a directory outside, $2: the binary, $3: this program, $4: Python.
PREPARE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/view"
mkdir "$1/view/upper" "$1/view/work" "$1/view/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/view/upper,workdir=$1/view/work" "$1/view/root"
cd "$1/view/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir said
mount --bind "$1/said" said
ip link set lo up
cp "$(dirname "$3")/fulcrum.service" etc/systemd/system/
install -m 755 "$2" usr/local/bin/fulcrum
: > etc/fulcrum.toml
chroot . useradd --system fulcrum
cat > etc/systemd/system/try.service <<UNIT
[Unit]
After=fulcrum.service
Wants=fulcrum.service
[Service]
Type=oneshot
ExecStart=$4 $3 inside
StandardOutput=append:/said/all
StandardError=append:/said/all
UNIT
cat > etc/systemd/system/try.target <<UNIT
[Unit]
Requires=basic.target dbus.service
Wants=try.service
After=basic.target
UNIT
exec chroot . env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=try.target --log-target=console
"""


class Node:
    """What the unit starts, as the harness sees a process."""

    endpoint = "http://127.0.0.1:8780"

    @property
    def credentials(self):
        return json.loads(Path("/var/lib/fulcrum/credentials.json").read_text())


def shown(name):
    """A property of the unit."""
    return subprocess.run(["systemctl", "show", "fulcrum", "-p", name, "--value"], capture_output=True, text=True, check=True).stdout.strip()


def control(verb):
    """systemctl VERB fulcrum; its exit code."""
    begun = time.monotonic()
    code = subprocess.run(["systemctl", verb, "fulcrum"], capture_output=True).returncode
    lasted = time.monotonic() - begun
    print(f"systemctl {verb}: exit code {code} after {lasted:.2f} s; {shown('ActiveState')}, process {shown('MainPID')}", flush=True)
    return code


def answers(web):
    try:
        with web.connect() as client:
            return client.ask().status == 200
    except OSError:
        return False


def inside():
    """What is tried, as a service beside it."""
    stage = Stage(Node())
    with HttpMember("one") as member:
        web = stage.front([member])
        processes = [shown("MainPID")]
        with Load(web.where) as load:
            for _ in range(RELOADS):
                assert control("reload") == 0
                assert shown("MainPID") not in processes
                processes.append(shown("MainPID"))
                before = load.done
                eventually(lambda: load.done > before + 200, what="traffic goes on")
        assert not load.failures, load.failures
        print(f"{load.done} requests, none failed")

        program, good = Path("/usr/local/bin/fulcrum"), Path("/usr/local/bin/fulcrum.good")
        program.rename(good)
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
        assert control("reload") != 0, "that cannot take over"
        assert shown("MainPID") == processes[-1] and answers(web)
        good.rename(program)

        subprocess.run(["systemctl", "kill", "--signal=KILL", "--kill-who=main", "fulcrum"], check=True)
        eventually(lambda: shown("ActiveState") == "active" and shown("NRestarts") == "1" and answers(web), within=20, what="it is started again")
        print(f"killed, and started again: process {shown('MainPID')}")

        assert control("stop") == 0
        assert (shown("ActiveState"), shown("Result")) == ("inactive", "success") and not answers(web)
        assert control("start") == 0
        eventually(lambda: answers(web), what="it serves again")
    print(LAST_WORD, flush=True)


def main():
    with tempfile.TemporaryDirectory() as place:
        for name in ("view", "said"):
            (Path(place) / name).mkdir()
        said, log = Path(place) / "said/all", Path(place) / "systemd.log"
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net"]
        arguments = [place, binary(), str(Path(__file__).resolve()), sys.executable]
        with open(log, "wb") as out:
            systemd = subprocess.Popen([*namespaces, "sh", "-c", PREPARE, "sh", *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            eventually(lambda: systemd.poll() is not None or ended(said), within=LIMIT_SECONDS, what="it was tried")
        finally:
            systemd.kill()
            systemd.wait()
            print(said.read_text() if said.exists() else log.read_text(errors="replace"))
        sys.exit(LAST_WORD not in said.read_text())


def ended(said):
    """Whether the service that tries it has said its last word, or why it could not."""
    return said.exists() and any(word in said.read_text() for word in (LAST_WORD, "Traceback"))


if sys.argv[1:] == ["inside"]:
    inside()
else:
    main()
