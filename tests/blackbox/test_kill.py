"""Any process may die at any moment: service goes on, and what was answered 250 is there exactly once."""
import os
import random
import re
import signal
import smtplib
import threading
import time

import pytest

from conftest import PASSWORD, tree
from helpers import fetch_all, imap, wait_for

ROUNDS = int(os.environ.get("LETTERLOCK_KILL_ROUNDS", "12"))
ROLES = ["edge", "scan", "store", "reader", "access", "vault", "ledger", "web", "relay"]


class Load(threading.Thread):
    """Delivers numbered messages until told to stop; remembers which were answered 250."""

    def __init__(self, server, name):
        super().__init__(daemon=True)
        self.server, self.tag, self.acked, self.ended, self.refused = server, name, set(), False, 0

    def run(self):
        n = 0
        while not self.ended:
            try:
                with smtplib.SMTP("localhost", self.server.smtp, timeout=10) as s:
                    for _ in range(20):
                        if self.ended:
                            return
                        n += 1
                        mark = f"{self.tag}-{n}"
                        s.sendmail("ann@example.org", ["bob@demo.test"], f"Subject: {mark}\r\n\r\n{mark}\r\n")
                        self.acked.add(mark)
            except (smtplib.SMTPException, OSError):
                self.refused += 1
                time.sleep(0.01)


def seen_marks(server):
    m = imap(server, "bob@demo.test")
    found = {}
    for body in fetch_all(m).values():
        for mark in re.findall(rb"Subject: (load-\d-\d+)\r\n", body):
            found[mark.decode()] = found.get(mark.decode(), 0) + 1
    m.logout()
    return found


def delivers(server):
    try:
        with smtplib.SMTP("localhost", server.smtp, timeout=2) as s:
            s.sendmail("ann@example.org", ["carol@demo.test"], "Subject: alive\r\n\r\nx\r\n")
        return True
    except (smtplib.SMTPException, OSError):
        return False


def logs_in(server):
    try:
        m = imap(server, "carol@demo.test")
        ok = m.select()[0] == "OK"
        m.logout()
        return ok
    except Exception:
        return False


def check(server, loads):
    for t in loads:
        t.ended = True
    for t in loads:
        t.join(30)
    found = seen_marks(server)
    for t in loads:
        missing = [m for m in t.acked if m not in found]
        assert not missing, f"answered 250 and not there: {missing[:5]}"
        twice = [m for m in t.acked if found.get(m, 0) > 1]
        assert not twice, f"there more than once: {twice[:5]}"
    assert sum(len(t.acked) for t in loads) > 20


def test_kill_each_role_under_load(fresh):
    s = fresh()
    loads = [Load(s, f"load-{i}") for i in range(4)]
    for t in loads:
        t.start()
    rng = random.Random(1)
    slowest = 0
    for i in range(ROUNDS):
        role = ROLES[i % len(ROLES)]
        os.kill(rng.choice(s.pids(role)), signal.SIGKILL)
        begun = time.monotonic()
        wait_for(lambda: delivers(s) and logs_in(s), 10)
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.05)
    print(f"slowest return to service: {slowest:.2f} s over {ROUNDS} rounds")
    check(s, loads)
    assert slowest <= 2.0


def test_a_session_outlives_other_processes(fresh):
    s = fresh()
    m = imap(s, "bob@demo.test")
    m.select()
    for role in ["edge", "scan", "store", "reader", "vault", "ledger"]:
        os.kill(s.pids(role)[0], signal.SIGKILL)
        wait_for(lambda: delivers(s), 10)
        assert m.noop()[0] == "OK", role
        typ, data = m.fetch("1", "(BODY.PEEK[])")
        assert typ == "OK" and data[0], role
    m.logout()


def test_kill_master_and_let_its_supervisor_restart_it(fresh):
    s = fresh()
    loads = [Load(s, f"load-{i}") for i in range(2)]
    for t in loads:
        t.start()
    for _ in range(max(2, ROUNDS // 8)):
        time.sleep(0.2)
        master = s.status()["pid"]
        children = tree(master)
        os.kill(master, signal.SIGKILL)
        wait_for(lambda: all(not os.path.exists(f"/proc/{p}") or "Z" in open(f"/proc/{p}/stat").read().rsplit(")")[1][:3] for p in children), 5)
        wait_for(lambda: delivers(s) and logs_in(s), 10)
    check(s, loads)


@pytest.mark.skipif(ROUNDS < 12, reason="skipped: the short round")
def test_a_process_that_hangs_is_replaced(fresh):
    s = fresh()
    (pid,) = s.pids("reader")
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 45, every=0.2)
    wait_for(lambda: delivers(s) and logs_in(s), 10)
    assert [e for e in s.events("process.hung") if e["child_pid"] == pid]
