"""Connections are spread evenly over the processes of a role, whatever the kernel's hash says, and each is served as if it had come there."""
import os
import random
import signal
import socket
import ssl
import threading

import pytest

from helpers import tls, wait_for


def sessions(server, role):
    return {p["pid"]: p["sessions"] for p in server.status()["processes"] if p["role"] == role}


def spread(server, role, total):
    """The sessions of each process of `role` once all `total` of them are counted."""
    found = wait_for(lambda: (s := sessions(server, role)) and sum(s.values()) == total and s)
    assert found, f"{total} connections, counted are {sessions(server, role)}"
    return list(found.values())


def even(server, role, total):
    counts = spread(server, role, total)
    return max(counts) - min(counts) <= 1


def opened(address, n, at_once, wrap=None):
    """`n` connections, the greeting of each read: one after the other, or all begun before the first greeting."""
    made = []
    for _ in range(n):
        s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        s.settimeout(20)
        s.connect(address)
        made.append(s)
        if not at_once:
            s = made[-1] = greeted(s, wrap)
    return [greeted(s, wrap) for s in made] if at_once else made


def greeted(s, wrap):
    s = wrap(s) if wrap else s
    line = s.recv(200)
    assert line[:3] in (b"+OK", b"220", b"* O"), line
    return s


@pytest.fixture
def calm(fresh):
    server = fresh("--accounts", 2)
    if len(sessions(server, "access")) < 2:
        pytest.skip("one process of each role: nothing to spread")
    return server


def wrapped(server):
    context = tls(server)
    return lambda s: context.wrap_socket(s, server_hostname="localhost")


@pytest.mark.parametrize("at_once", [False, True], ids=["in turn", "at once"])
@pytest.mark.parametrize("door", ["pop3", "imaps", "smtp", "socket"])
def test_new_connections_are_dealt_out_evenly(calm, door, at_once):
    role = "access" if door in ("pop3", "imaps") else "edge"
    address = str(calm.state / "submit.sock") if door == "socket" else ("127.0.0.1", getattr(calm, door))
    held = opened(address, 24, at_once, wrapped(calm) if door == "imaps" else None)
    assert even(calm, role, 24)
    random.Random(1).shuffle(held)
    for s in held[:12]:
        s.close()
    spread(calm, role, 12)
    held = held[12:] + opened(address, 24, at_once, wrapped(calm) if door == "imaps" else None)
    assert even(calm, role, 36), "those with fewer left did not get more of the new ones"
    for s in held:
        s.close()


def test_a_session_is_whole_wherever_it_went(calm):
    """Logins, mail and logouts over connections that were given on: none is lost, none has another's answers."""
    held = opened(("127.0.0.1", calm.pop3), 16, True)
    for i, s in enumerate(held):
        s.sendall(b"USER u%d@demo.test\r\nPASS demo-only\r\nSTAT\r\nQUIT\r\n" % (1 + i % 2))
    for s in held:
        f = s.makefile("rb")
        lines = f.read().splitlines()
        assert [line[:3] for line in lines] == [b"+OK"] * 4, lines
        s.close()
    spread(calm, "access", 0)


def test_a_process_that_died_gets_connections_again(calm):
    processes = len(sessions(calm, "access"))
    total = 10 * processes
    held = opened(("127.0.0.1", calm.pop3), total, True)
    assert even(calm, "access", total)
    victim = min(sessions(calm, "access"))
    os.kill(victim, signal.SIGKILL)
    assert wait_for(lambda: len(s := sessions(calm, "access")) == processes and victim not in s and all(p["ready"] for p in calm.status()["processes"]))
    alive = [s for s in held if still_there(s)]
    assert len(alive) == total - 10
    held = alive + opened(("127.0.0.1", calm.pop3), 10, False)
    assert even(calm, "access", total)
    for s in held:
        s.close()


def test_connections_that_come_and_go_at_once(calm):
    """A connection may be over before the process that gave it on has let go of it."""
    def visitor():
        for _ in range(60):
            with socket.create_connection(("127.0.0.1", calm.pop3), 20) as s:
                s.sendall(b"QUIT\r\n")
                while s.recv(200):
                    pass

    held = opened(("127.0.0.1", calm.pop3), 5, True)
    threads = [threading.Thread(target=visitor) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    spread(calm, "access", 5)
    assert all(still_there(s) for s in held)
    assert not calm.events("process.died")
    for s in held:
        s.close()


def still_there(s):
    s.settimeout(0.05)
    try:
        return s.recv(1) != b""
    except (TimeoutError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    finally:
        s.settimeout(20)
