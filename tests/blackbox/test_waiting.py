"""How many recipients of an account may wait in the queue: submission.max_waiting and `account limits --waiting`, with a peer on loopback that takes nothing until it may."""
import json
import os
import pathlib
import signal
import smtplib

import pytest

from helpers import wait_for
from relay_world import Peer, free_port, relay_env, zone_text
from test_submission import connect, letter

HOST = "127.0.6.20"
ALICE, BOB = "alice@demo.test", "bob@demo.test"


@pytest.fixture
def world(fresh, tmp_path):
    """A server on which ten recipients of an account may wait, and a peer that says 450 as long as `shut` is set."""
    port = free_port()
    s = fresh(env=relay_env(tmp_path, port, zone_text(("far.example", HOST))))
    conf = pathlib.Path(s.config)
    conf.write_text(conf.read_text() + "\nsubmission {\n  max_waiting = 10\n}\n")
    s.cli("reload")
    s.shut = True
    s.peer = Peer(port, HOST, say=lambda verb, line: "450 4.2.0 not yet" if verb == "RCPT" and s.shut else None)
    yield s
    s.peer.stop()
    assert s.stop() == 0
    p = s.cli("verify", check=False)  # counts again
    assert p.returncode == 0, p.stdout + p.stderr


def submit(server, n, user=ALICE, subject="x"):
    with connect(server, user) as c:
        return c.sendmail(user, [f"{subject}{i}@far.example" for i in range(n)], letter(user, subject))


def refused(server, n, user=ALICE):
    with pytest.raises(smtplib.SMTPDataError) as e:
        submit(server, n, user, "no")
    return e.value.smtp_code, e.value.smtp_error.decode()


def waiting(server):
    return [json.loads(line) for line in server.cli("queue", "list", "--json", check=False).stdout.splitlines()]


def test_a_submission_past_the_limit_is_refused_in_words_and_taken_after_delivery(world):
    assert submit(world, 8) == {}
    code, text = refused(world, 3)
    assert code == 452 and text.startswith("4.5.3 at most 10 recipients of this account may wait to be delivered, and 8 do"), text
    assert submit(world, 2, subject="y") == {}
    assert refused(world, 1)[0] == 452
    assert submit(world, 10, BOB) == {}  # each account by itself
    with connect(world, ALICE) as c:     # people here do not wait in the queue
        assert c.sendmail(ALICE, [BOB], letter(ALICE, "inside")) == {}
    code, text = refused(world, 11)      # waiting would not help
    assert code == 552 and text.startswith("5.5.3 "), text
    world.shut = False
    wait_for(lambda: len(world.peer.recipients()) == 20)
    wait_for(lambda: not waiting(world))
    assert submit(world, 10, subject="z") == {}
    wait_for(lambda: len(world.peer.recipients()) == 30)
    assert not [r for r in world.peer.recipients() if r.startswith("no")]


def test_what_is_dropped_or_returned_by_hand_makes_room_and_an_account_may_have_its_own_limit(world):
    assert submit(world, 10) == {}
    ids = sorted(f"{r['id']}" for r in waiting(world))
    for id in ids[:3]:  # what waits may be under way at that moment, here and below
        wait_for(lambda: world.cli("queue", "hold", id, "--yes", check=False).returncode == 0)
    assert refused(world, 1)[0] == 452
    for how, id in (("drop", ids[0]), ("bounce", ids[4])):
        wait_for(lambda: world.cli("queue", how, id, "--yes", check=False).returncode == 0)
    assert submit(world, 2, subject="y") == {}
    assert refused(world, 1)[0] == 452
    world.cli("account", "limits", ALICE, "--waiting", 12)
    assert "12 recipients waiting" in world.cli("account", "limits", ALICE).stdout
    assert submit(world, 2, subject="z") == {}
    assert "12 recipients" in refused(world, 1)[1]
    world.cli("account", "limits", ALICE, "--waiting", "default")
    assert "10 recipients" in refused(world, 1)[1]


def test_the_count_is_right_whoever_is_killed_when(world):
    for round_ in range(6):
        world.shut = round_ % 2 == 0
        for i in range(3):
            try:
                submit(world, 2, subject=f"k{round_}.{i}.")
            except (smtplib.SMTPException, OSError):
                pass  # refused, or the answer was lost
            role = ("store", "relay")[(round_ + i) % 2]
            for pid in world.pids(role):
                if pid:
                    os.kill(pid, signal.SIGKILL)
        wait_for(lambda: all(world.pids("store")) and all(world.pids("relay")), 20)
    world.shut = False
    wait_for(lambda: world.cli("queue", "list", check=False).returncode == 3, 30)
    assert wait_for(lambda: submit(world, 10, subject="after") == {})


def test_forwarded_mail_and_the_servers_own_count_for_nobody(world):
    world.cli("account", "forward", ALICE, "--to", "away@far.example")
    world.cli("account", "limits", ALICE, "--waiting", 1)
    with connect(world, BOB) as c:
        for i in range(3):
            assert c.sendmail(BOB, [ALICE], letter(BOB, f"f{i}")) == {}
    wait_for(lambda: len(waiting(world)) == 3)
    assert submit(world, 1) == {}
    assert refused(world, 1)[1].startswith("4.5.3 at most 1 recipients")
