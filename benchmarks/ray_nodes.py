"""Ray nodes on one machine that share no folder: each in namespaces of its own for network and mounts.

Root on Linux gets real namespaces: an address for each node, and a `/tmp` that no other node sees. Others get a folder
for each node, which is less: nodes could see each other's files, but are told of none.

    python benchmarks/ray_nodes.py 2 -- motionbench eval --method copy --engine ray --address '{address}' --out out
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NETWORK = "10.77.{cluster}.{node}"
PORT = 6379
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def can_isolate() -> bool:
    """Whether this user may make namespaces."""
    tried = subprocess.run(["unshare", "-n", "-m", "true"], **QUIET, check=False) if shutil.which("unshare") else None
    return os.geteuid() == 0 and shutil.which("ip") is not None and tried is not None and tried.returncode == 0


class Node:
    """A Ray node in namespaces of its own, kept by a process that sleeps there."""

    def __init__(self, cluster: str, index: int, cpus: int, environment: dict[str, str]) -> None:
        self.address = cluster.format(node=index + 1)
        self.cpus = cpus
        self.environment = environment
        # The first process of its own process namespace: all others on the node end with it, as when power is cut.
        self._keeper = keep_namespaces("-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc")
        self.pid = wait_for(lambda: child_of(self._keeper.pid))

    def inside(self, *command: str) -> list[str]:
        """A command line that runs a command on this node."""
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", *command]

    def call(self, *command: str) -> None:
        """Runs a command on this node to its end."""
        subprocess.run(self.inside(*command), check=True, **QUIET)

    def start(self, head: str | None) -> None:
        """Starts Ray here, as the head or joined to one."""
        place = ["--head", f"--port={PORT}", "--include-dashboard=false"] if head is None else [f"--address={head}"]
        words = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            f"--node-ip-address={self.address}",
            *place,
        ]
        words += [f"--num-cpus={self.cpus}", "--object-store-memory=100000000"]
        words = [*words, "--disable-usage-stats"]
        subprocess.Popen(self.inside(*words), env=self.environment, start_new_session=True, **QUIET)

    def fetch(self, folder: Path, to: Path) -> None:
        """Copies a folder of this node to where all can see it."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.path(folder), to)

    def kill(self) -> None:
        """All processes of the node at once, and its files, as when a machine is lost."""
        self._keeper.kill()
        self._keeper.wait()

    def path(self, path: Path) -> Path:
        """Where a path of this node lies for all others."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def processes(self, name: str = "", but: str = "\0\0") -> list[int]:
        """The processes on this node whose command line holds a name, and does not begin with another."""
        ours = os.readlink(f"/proc/{self.pid}/ns/net")
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                there = entry.name.isdecimal() and os.readlink(entry / "ns/net") == ours
                line = (entry / "cmdline").read_bytes().decode(errors="replace") if there else ""
                if there and name in line and not line.startswith(but):
                    found.append(int(entry.name))
        return found


def keep_namespaces(*kinds: str) -> subprocess.Popen[bytes]:
    """A process in new namespaces, which sleeps there and ends with this one."""
    return subprocess.Popen(["unshare", *kinds, "sleep", "infinity"], preexec_fn=_end_with_parent, **QUIET)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def child_of(pid: int) -> int:
    """The first child of a process; 0 if it has none yet."""
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(words[0]) if words else 0


def wait_for(look: Callable[[], Any], seconds: float = 400.0) -> Any:
    """What `look` finds, once it finds something. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(0.05)
    return found


class Nodes:
    """So many nodes on a bridge in a namespace of its own; the first is the head, and where the driver belongs."""

    def __init__(self, count: int, *, cpus: int = 1) -> None:
        key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # nobody else on this machine joins
        self.environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **key}
        self._network = NETWORK.format(cluster=os.getpid() % 200 + 20, node="{node}")
        self._cpus = cpus
        self._bridge = keep_namespaces("-n")
        self.nodes = [Node(self._network, index, cpus, self.environment) for index in range(count)]

    def __enter__(self) -> Self:
        time.sleep(0.2)
        switch = ["nsenter", "-t", str(self._bridge.pid), "-n"]
        for words in ("link add br0 type bridge", "link set br0 up"):
            subprocess.run([*switch, "ip", *words.split()], check=True)
        for index in range(len(self.nodes)):
            self._set_up(index)
            if index == 0:
                wait_for(lambda: self.up() >= 1)
        wait_for(lambda: self.up() >= len(self.nodes))
        return self

    def _set_up(self, index: int) -> None:
        node = self.nodes[index]
        self._plug(["nsenter", "-t", str(self._bridge.pid), "-n"], index, node)
        for place in ("/tmp", "/dev/shm"):  # of its own: nothing below is seen by another node
            node.call("mount", "-t", "tmpfs", "-o", "size=1g", "none", place)
        node.start(None if index == 0 else self.address)

    def _plug(self, switch: list[str], index: int, node: Node) -> None:
        there = ["nsenter", "-t", str(node.pid), "-n", "ip"]
        port = f"p{index}x{node.pid}"[:15]
        lines = [
            [*switch, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(node.pid)],
            [*switch, "ip", "link", "set", port, "master", "br0", "up"],
            [*there, "addr", "add", f"{node.address}/24", "dev", "eth0"],
            [*there, "link", "set", "eth0", "up"],
            [*there, "link", "set", "lo", "up"],
        ]
        for line in lines:
            subprocess.run(line, check=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in reversed(self.nodes):
            node.kill()
        self._bridge.kill()
        self._bridge.wait()

    def replace_last(self) -> None:
        """A fresh node in place of the last one, which may be lost."""
        index = len(self.nodes) - 1
        self.nodes[index].kill()
        self.nodes[index] = Node(self._network, index, self._cpus, self.environment)
        self._set_up(index)

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.nodes[0].address}:{PORT}"

    def up(self) -> int:
        """How many nodes the head knows to be alive."""
        code = (
            "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level=40)\n"
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        words = self.nodes[0].inside(sys.executable, "-c", code, self.address)
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        return int(done.stdout.strip() or 0)


if __name__ == "__main__":
    split = sys.argv.index("--")
    with Nodes(int(sys.argv[1])) as cluster:
        words = [word.format(address=cluster.address) for word in sys.argv[split + 1 :]]
        sys.exit(subprocess.run(cluster.nodes[0].inside(*words), env=cluster.environment, check=False).returncode)
