"""The real multi-process server, driven by real clients. Everything stays on loopback and ends with the test run.

LETTERLOCK names the program (default: build/letterlock beside the sources)."""
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LETTERLOCK", str(ROOT / "build" / "letterlock"))
PASSWORD = "demo-only"

# What smtplib and aiosmtpd call this machine. They would ask the DNS for it, which is not ours, and which may take seconds to say nothing.
socket.getfqdn = lambda name="": "client.example"


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_base():
    """A hundred free ports in a row, likely enough: the demo takes the next free one for each anyway. Of the workers of a test run
    (pytest -n 4 at most) each has every fourth hundred: their demos, which want the same ports above their bases, never want the same one."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return min(max(s.getsockname()[1], 20000), 60000) // 400 * 400 + WORKER % 4 * 100


def tree(pid):
    """The process and everything below it."""
    children = {}
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                stat = (p / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(p.name))
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        todo += children.get(p, [])
    return found


class Server:
    def __init__(self, state, *args, env=None, keep=False):
        self.state = pathlib.Path(state)
        self.args = args
        self.env = dict(os.environ, **(env or {}))
        self.keep = keep
        self.start()

    def start(self):
        self.log = open(self.state.parent / (self.state.name + ".log"), "ab")
        begun = time.monotonic()
        self.proc = subprocess.Popen(
            [PROGRAM, "demo", "--json", "--state", str(self.state), "--port-base", str(free_base()), *map(str, self.args)],
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, env=self.env)
        line = self.proc.stdout.readline()
        if not line:
            self.proc.wait(10)
            raise RuntimeError("the demo did not start:\n" + self.log_text()[-4000:])
        self.seconds_to_start = time.monotonic() - begun
        self.facts = json.loads(line)

    def log_text(self):
        own = self.state / "letterlock.log"
        return pathlib.Path(self.log.name).read_text(errors="replace") + (own.read_text(errors="replace") if own.exists() else "")

    def events(self, name):
        out = []
        for line in self.log_text().splitlines():
            try:
                e = json.loads(line)
            except ValueError:
                continue
            if isinstance(e, dict) and e.get("event") == name:
                out.append(e)
        return out

    def __getattr__(self, name):
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def config(self):
        return str(self.state / "letterlock.conf")

    def cli(self, *args, input=None, check=True, timeout=120):
        p = subprocess.run([PROGRAM, *map(str, args), "--config", self.config], input=input, capture_output=True, text=True, timeout=timeout)
        if check and p.returncode:
            raise AssertionError(f"letterlock {' '.join(map(str, args))}: exit {p.returncode}\n{p.stdout}\n{p.stderr}")
        return p

    def status(self):
        return json.loads(self.cli("status", "--json", check=False).stdout)

    def pids(self, role):
        return [p["pid"] for p in self.status()["processes"] if p["role"] == role]

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGINT)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                for pid in tree(self.proc.pid):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.proc.wait(10)
                raise AssertionError("the demo did not stop within 20 s of SIGINT")
        self.log.close()
        return self.proc.returncode


# The files that take longest under the sanitizers. Workers take file after file (--dist loadfile): with these first, none sits alone over a long one at the end.
LONGEST_FIRST = ["relay", "relay_bad", "dialog", "sealed", "corpus", "relay_clock", "submission", "tls", "admin", "auth"]


def pytest_collection_modifyitems(items):
    place = {f"test_{name}": i for i, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def server():
    """One demo for all tests that only add mail of their own."""
    top = tempfile.mkdtemp(prefix="letterlock-test-")
    s = Server(pathlib.Path(top) / "demo", "--accounts", 40)
    yield s
    code = s.stop()
    shutil.rmtree(top, ignore_errors=True)
    assert code == 0, "the demo ended with an error"


@pytest.fixture(scope="session")
def first_states():
    """(arguments, whether its DNS is the test's): a state directory as a first start leaves it."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="letterlock-first-"))
    states = {}

    def state(args, env):
        key = (args, "LETTERLOCK_DNS" in env)
        if key not in states:
            s = Server(pathlib.Path(tempfile.mkdtemp(dir=top)) / "demo", *args, env=env)
            assert s.stop() == 0
            states[key] = s.state
        return states[key]

    yield state
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def fresh(tmp_path, first_states):
    """Makes servers of one's own: for tests that break things. Keys, accounts and mail of a first start take as long as all else of it: they are made once for all
    servers of the same arguments, and copied. A server with an environment of its own makes its own."""
    made = []
    numbers = itertools.count()  # also for one that does not start

    def make(*args, **kw):
        state, env = tmp_path / f"demo{next(numbers)}", kw.get("env") or {}
        if set(env) <= {"LETTERLOCK_DNS", "LETTERLOCK_RELAY"}:
            shutil.copytree(first_states(args, env), state, ignore=shutil.ignore_patterns("*.sock", "*.log"))
        s = Server(state, *args, **kw)
        made.append(s)
        return s

    yield make
    for s in made:
        s.stop()


_next = [0]


@pytest.fixture
def user(server):
    """An account that no other test uses."""
    _next[0] += 1
    if _next[0] > 40:  # more than the demo was started with
        server.cli("account", "add", f"u{_next[0]}@demo.test", input=PASSWORD + "\n")
    return f"u{_next[0]}@demo.test"
