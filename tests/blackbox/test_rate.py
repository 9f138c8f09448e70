"""How fast mail leaves for a destination: `route add --rate` and relay.rate_per_destination, with peers on loopback that note when each message came."""
import json
import time

import pytest

from conftest import Server
from helpers import wait_for
from relay_world import Peer, fill, free_port, relay_env, zone_text

NAMES = {"slow.example": "127.0.6.1", "a.below.example": "127.0.6.2", "fast.example": "127.0.6.3", "hour.example": "127.0.6.4", "set.example": "127.0.6.5", "full.example": "127.0.6.6"}


class Watch(Peer):
    """Notes when each message was taken."""

    def __init__(self, port, host, **kw):
        self.at = []
        super().__init__(port, host, say=lambda verb, line: self.at.append(time.monotonic()) if verb == "DOT" else None, **kw)

def even(at, seconds, anew=0):
    """At most one in so many seconds, over every stretch of it. What was sent in time may be seen late, by the loops of both sides. `anew`: starts of the server between,
    which begin anew."""
    short = sorted(sorted(range(1, len(at)), key=lambda i: at[i] - at[i - 1])[:anew])
    for a, b in zip([0, *short], [*short, len(at)]):
        for i in range(a, b):
            for j in range(i + 1, b):
                assert at[j] - at[i] > (j - i) * seconds - 0.15, (i, j, at)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    top = tmp_path_factory.mktemp("rate")
    port = free_port()
    s = Server(top / "demo", env=relay_env(top, port, zone_text(*NAMES.items())))
    peers = {d: Watch(port, a) for d, a in NAMES.items()}
    s.peer = peers.get
    yield s
    for p in peers.values():
        p.stop()
    assert s.stop() == 0


def rows(server, *args):
    return [json.loads(line) for line in server.cli("queue", "list", "--json", *args, check=False).stdout.splitlines()]


def attempts(server, domain, n):
    """How often each of the `n` recipients there was tried."""
    found = []
    wait_for(lambda: len(found.clear() or found.extend(rows(server, "--state", "done", "--domain", domain)) or found) == n)
    return {r["attempts"] for r in found}


def test_a_destination_gets_so_many_in_a_time_and_the_others_all_at_once(world):
    slow, fast = world.peer("slow.example"), world.peer("fast.example")
    made = json.loads(world.cli("route", "add", "slow.example", "--rate", "4/s", "--json").stdout)
    assert made["rate"] == "4/s" and "4/s" in world.cli("route", "list").stdout
    fill(world, to="a%d.%d@slow.example", letters=4, rcpts=3)
    fill(world, to="b%d.%d@fast.example", letters=60)
    wait_for(lambda: len(fast.taken) == 60)
    assert len(slow.taken) < 12
    wait_for(lambda: len(slow.recipients()) == 12)
    even(slow.at, 0.25, anew=1)
    assert sorted(slow.recipients()) == sorted(f"a{n}.{i}@slow.example" for n in range(4) for i in range(3))
    assert attempts(world, "slow.example", 12) == {1}


def test_a_rate_for_all_below_a_domain_holds_before_anybody_knew_who_is_there(world):
    p = world.peer("a.below.example")
    world.cli("route", "add", ".below.example", "--rate", "5/s")
    fill(world, to="r%d.%d@a.below.example", letters=2, rcpts=8)  # two first jobs, sixteen recipients
    wait_for(lambda: len(p.recipients()) == 16)
    even(p.at, 0.2)
    assert attempts(world, "a.below.example", 16) == {1}


def test_who_waits_for_a_slot_is_told_when_and_goes_as_soon_as_the_rate_is_gone(world):
    p = world.peer("hour.example")
    world.cli("route", "add", "hour.example", "--rate", "1/h")
    fill(world, to="h%d@hour.example", letters=3)
    wait_for(lambda: len(p.taken) == 1)
    waiting = wait_for(lambda: len(found := rows(world, "--domain", "hour.example")) == 2 and found)
    assert all(r["state"] == "ready" and r["attempts"] == 0 and 3000 < r["due_ms"] / 1000 - time.time() <= 3601 for r in waiting)
    assert "next in" in world.cli("queue", "list", "--domain", "hour.example").stdout
    world.cli("queue", "retry", "--domain", "hour.example", "--yes")  # the rate holds for what is asked for by hand, too
    assert len(rows(world, "--domain", "hour.example")) == 2 and len(p.taken) == 1
    world.cli("route", "remove", "hour.example", "--yes")
    wait_for(lambda: len(p.taken) == 3)


def test_the_configuration_says_how_fast_where_no_route_does(fresh, tmp_path):
    port = free_port()
    s = fresh(env=relay_env(tmp_path, port, zone_text(*NAMES.items()), rate_per_destination='"5/s"'))
    slow, fast = Watch(port, NAMES["set.example"]), Watch(port, NAMES["full.example"])
    try:
        s.cli("route", "add", "full.example", "--rate", "0")
        fill(s, to="c%d@set.example", letters=6)
        fill(s, to="d%d@full.example", letters=30)
        wait_for(lambda: len(fast.taken) == 30 and len(slow.taken) == 6)
        even(slow.at, 0.2, anew=1)
        assert fast.at[-1] - fast.at[0] < 3
    finally:
        slow.stop()
        fast.stop()


def test_what_is_no_rate_is_refused_in_words(world):
    for rate in ("30", "30/m", "0/min", "-1/s", "1000001/h", ""):
        refused = world.cli("route", "add", "x.example", "--rate", rate, check=False)
        assert refused.returncode == 2 and "N/min" in refused.stderr, rate
    shared = world.cli("route", "add", "*", "--host", "relay.example", "--rate", "30/min", check=False)
    assert shared.returncode == 1 and "each destination by itself" in shared.stderr
    sender = world.cli("route", "add", "bob@demo.test", "--rate", "30/min", check=False)
    assert sender.returncode == 1 and "not of a sender" in sender.stderr
