"""`kill -9` of relay and store while mail goes out: nothing is lost, and a second copy can only be of what was taken but not yet written down."""
import collections
import os
import random
import re
import signal
import time

from helpers import wait_for
from relay_world import Peer, fill, free_port, relay_env, zone_text
from test_relay import notices

ROUNDS = int(os.environ.get("LETTERLOCK_KILL_ROUNDS", "6"))
PER_ROUND = 60


def test_nothing_is_lost_and_nothing_that_was_committed_is_sent_again(fresh, tmp_path):
    port = free_port()
    letters = ROUNDS * PER_ROUND
    s = fresh(env=relay_env(tmp_path, port, zone_text(("sink.example", "127.0.2.1"))))
    fill(s, to="k%d@sink.example", letters=letters, wait_s=1)
    p = Peer(port, "127.0.2.1", say=lambda verb, line: (0.05, "250 2.1.0 ok") if verb == "MAIL" else None)
    dice, kills = random.Random(4), collections.Counter()
    wait_for(lambda: len(p.taken) > 5, 20)
    for _ in range(ROUNDS):
        role = dice.choice(["relay", "relay", "store"])
        before = len(p.taken)
        for pid in wait_for(lambda: [p for p in s.pids(role) if p], 30):  # one that was killed before is started again after a while
            os.kill(pid, signal.SIGKILL)
            kills[role] += 1
        if len(set(p.recipients())) >= letters:
            break
        # Until it delivers again, and then into the middle of it.
        end = time.monotonic() + 20
        while len(p.taken) < before + dice.randrange(5, PER_ROUND) and time.monotonic() < end and len(set(p.recipients())) < letters:
            time.sleep(0.002)
    wait_for(lambda: len(set(p.recipients())) == letters, 60)
    wait_for(lambda: s.cli("queue", "list", check=False).returncode == 3, 30)
    p.stop()
    got = collections.Counter(p.recipients())
    written = collections.Counter(e["mid"] for e in s.events("queue.sent"))
    twice = {to: n for to, n in got.items() if n > 1}
    print(f"kills {dict(kills)}, {letters} messages, {sum(twice.values()) - len(twice)} second copies")
    assert len(got) == letters
    assert max(written.values()) == 1  # the line stands behind the commit: a message that has two was sent after it was committed
    assert sum(twice.values()) - len(twice) <= 20 * sum(kills.values())  # what was on the way over at most 20 connections
    assert s.cli("verify", check=False).returncode in (0, 1)  # 1: the server runs


def test_a_killed_relay_goes_on_with_what_the_store_has(fresh, tmp_path):
    port = free_port()
    s = fresh(env=relay_env(tmp_path, port, zone_text(("sink.example", "127.0.2.2"))))
    answers = []
    p = Peer(port, "127.0.2.2", say=lambda verb, line: answers.append(1) or "451 4.3.0 wait" if verb == "RCPT" and len(answers) < 3 else None)
    fill(s, to="again@sink.example")
    wait_for(lambda: answers)
    os.kill(s.pids("relay")[0], signal.SIGKILL)
    wait_for(lambda: p.recipients() == ["again@sink.example"], 15)
    p.stop()


def test_each_failure_is_told_once_however_often_relay_dies(fresh, tmp_path):
    """The notice is on disk before the outcome that it reports: whoever dies in between makes the same one again, and the store knows it."""
    port, letters = free_port(), 60
    s = fresh(env=relay_env(tmp_path, port, zone_text(("mixed.example", "127.0.2.3")), connections_first=3, connections_per_destination=3))
    fill(s, to="n%d.%d@mixed.example", letters=letters, rcpts=2, owner="bob@demo.test", sender="bob@demo.test", wait_s=1)
    asked = []
    p = Peer(port, "127.0.2.3", say=lambda verb, line: asked.append(line) or ("550 5.7.1 not here" if ".1@" in line else None) if verb == "RCPT" else None)
    for round_ in range(5):
        wait_for(lambda: len(asked) > 2 * (8 + 10 * round_), 20)
        for pid in s.pids("relay"):
            if pid:
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: s.cli("queue", "list", check=False).returncode == 3, 30)
    p.stop()
    told = collections.Counter(to for n in notices(s) for to in re.findall(r"Final-Recipient: rfc822; (\S+)", n.as_string()))
    assert told == {f"n{i}.1@mixed.example": 1 for i in range(letters)}
    assert set(p.recipients()) == {f"n{i}.0@mixed.example" for i in range(letters)}
