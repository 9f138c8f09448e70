"""The queue, DKIM keys and a wall clock that jumps by a year and back: nothing is lost, bounced, told, put off or retired because of it. The clock is set under all of the server's processes by a module that is
loaded into them (tests/relay/clock_jump.c); the queue's own waits count from the machine's start, as they do when an administrator sets the clock."""
import calendar
import json
import os
import pathlib
import signal
import smtplib
import ssl
import struct
import time

import pytest

from conftest import PROGRAM
from helpers import wait_for
from relay_world import Peer, free_port, relay_env, zone_text
from test_relay import notices, rows

YEAR = 365 * 86400
MODULE = pathlib.Path(os.environ.get("LETTERLOCK_CLOCK_MODULE", pathlib.Path(PROGRAM).resolve().parent / "tests" / "relay" / "clock_jump.so"))


class Clock:
    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, seconds):
        """In place: the processes have the file mapped."""
        with open(self.path, "r+b" if self.path.exists() else "wb") as f:
            f.write(struct.pack("=q", seconds))


def under(clock):
    assert MODULE.exists(), f"{MODULE} is not built"
    return {"LD_PRELOAD": str(MODULE), "LETTERLOCK_CLOCK_JUMP": str(clock.path), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


@pytest.fixture
def house(fresh, tmp_path):
    clock, port, answer = Clock(tmp_path / "jump"), free_port(), ["450 4.2.0 not now"]
    env = relay_env(tmp_path, port, zone_text(("clock.example", "127.0.6.1")))
    s = fresh(env={**env, **under(clock)})
    s.clock, s.answer = clock, answer
    s.peer = Peer(port, "127.0.6.1", say=lambda verb, line: answer[0] if verb == "RCPT" else None)
    yield s
    s.peer.stop()


def send_out(s, to):
    with smtplib.SMTP("localhost", s.submission, timeout=20) as c:
        c.starttls(context=ssl.create_default_context(cafile=s.ca))
        c.login("bob@demo.test", "demo-only")
        c.sendmail("bob@demo.test", [to], f"From: bob@demo.test\r\nTo: {to}\r\nSubject: {to}\r\n\r\nx\r\n")


def attempts(s, to):
    found = rows(s, "--to", to)
    return found[0]["attempts"] if found else -1


def kill_relay(s):
    """What comes after it reads the rows from the store, by the clock as it is then."""
    pid = s.pids("relay")[0]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: s.pids("relay") and s.pids("relay")[0] not in (0, pid), 20)


def goes_on(s, to):
    """It is asked for again within the schedule's time, twice, and neither ended nor told of."""
    before = wait_for(lambda: attempts(s, to) >= 1 and attempts(s, to), 20)
    wait_for(lambda: attempts(s, to) >= before + 2, 20)
    assert rows(s, "--state", "done") == [] and notices(s) == []


def ahead(s):
    """How many seconds the server's own idea of the time is ahead of the real one."""
    to = f"{time.monotonic_ns()}@clock.example"
    send_out(s, to)
    events = wait_for(lambda: [line for line in s.cli("trace", to, "--since", "1000d", "--json", check=False).stdout.splitlines() if '"kind"' in line])
    return json.loads(events[0])["at_ms"] / 1000 - time.time()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("first", [YEAR, -YEAR])
def test_a_year_and_back_changes_nothing_for_mail_that_waits(house, first, restarted):
    everybody = ["before@clock.example", "there@clock.example"]
    send_out(house, everybody[0])
    wait_for(lambda: attempts(house, everybody[0]) >= 1)
    house.clock.set(first)
    if restarted:
        kill_relay(house)
    goes_on(house, everybody[0])
    send_out(house, everybody[1])
    goes_on(house, everybody[1])
    house.clock.set(0)
    if restarted:
        kill_relay(house)
    for to in everybody:
        goes_on(house, to)
    house.answer[0] = None
    wait_for(lambda: sorted(house.peer.recipients()) == sorted(everybody), 20)
    wait_for(lambda: len(rows(house, "--state", "done")) == 2)
    assert {r["state"] for r in rows(house, "--state", "done")} == {"sent"} and notices(house) == []


def test_the_clock_really_jumps(house):
    """Else the tests above would prove nothing."""
    for jump in (0, YEAR, -YEAR):
        house.clock.set(jump)
        assert abs(ahead(house) - jump) < 60


def keys_of(s):
    return [json.loads(line) for line in s.cli("dkim", "list", "clock.example", "--json").stdout.splitlines()]


def signing_since(s):
    """{selector: Unix time} of the keys that sign, once that is the pair and there is no other key."""
    since = {k["selector"]: calendar.timegm(time.strptime(k["signing"], "%Y-%m-%dT%H:%M:%SZ")) for k in keys_of(s) if k["state"] == "signing"}
    return since if len(since) == len(keys_of(s)) == 2 else None


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_year_makes_no_dkim_key_older(fresh, tmp_path, jump):
    zone, clock = tmp_path / "zone", Clock(tmp_path / "jump")
    zone.write_text("example. 60 IN SOA ns.example. hostmaster.example. 1 3600 600 864000 1\n")
    s = fresh(env={**under(clock), "LETTERLOCK_DNS": f'forwarder = "none"\nzones = "{zone}"\n}}\ndkim {{\ncheck = "1s"\nsettle = 0\n'})
    s.cli("domain", "add", "clock.example")
    zone.write_text(zone.read_text() + "".join(
        f'{k["name"]}. 60 IN TXT {" ".join(json.dumps(k["record"][i:i + 250]) for i in range(0, len(k["record"]), 250))}\n' for k in keys_of(s)))
    s.cli("reload")
    before = wait_for(lambda: signing_since(s), 30)
    clock.set(jump)
    now = wait_for(lambda: (got := signing_since(s)) != before and got, 30)
    assert all(abs(now[k] - before[k] - jump) < 60 for k in before)
