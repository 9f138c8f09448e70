"""A mailbox of many chunks, read in every order: rows are asked for several chunks ahead and by a guess of how many fill one, bodies are opened
ahead by a worker. None of it may show."""
import random
import re

import pytest

from helpers import imap, pop

N = 400


def message(i, rng):
    """From a line to 200 KiB (several chunks of a body), and a record of 40 KiB now and then (a row that fills a chunk of rows)."""
    size = rng.choice([0, 10, 500, 3000, 14000]) if i % 60 else 200 * 1024
    to = ", ".join(f'"Somebody {i} {k}" <p{k}@example.org>' for k in range(900 if i % 90 == 7 else 1))
    body = "".join(f"line {i} {k} {rng.random()}\r\n" for k in range(size // 30))
    return f"From: a{i}@example.org\r\nTo: {to.replace(', ', ',' + chr(13) + chr(10) + ' ')}\r\nSubject: number {i}\r\n\r\n{body}".encode()


@pytest.fixture(scope="module")
def box(server):
    """UIDs with gaps of all sizes -> the messages that stand there."""
    rng = random.Random(7)
    m = imap(server, "bob")
    sent = [message(i, rng) for i in range(N)]
    assert m.create("Reading")[0] == "OK"
    for raw in sent:
        assert m.append("Reading", None, None, raw)[0] == "OK"
    m.select("Reading")
    gone = set(rng.sample(range(1, N + 1), 80)) | set(range(150, 220))
    m.uid("STORE", ",".join(map(str, sorted(gone))), "+FLAGS.SILENT", "(\\Deleted)")
    m.expunge()
    yield m, {uid: sent[uid - 1] for uid in range(1, N + 1) if uid not in gone}
    m.logout()


def fetch(m, uids, items):
    got = {}
    data = m.uid("FETCH", uids, items)[1]
    for x in data:
        head = x[0] if isinstance(x, tuple) else x
        if isinstance(head, bytes) and b"UID" in head:
            got[int(re.search(rb"UID (\d+)", head).group(1))] = x[1] if isinstance(x, tuple) else head
    return got


def test_everything_once_and_in_order(box):
    m, there = box
    got = fetch(m, "1:*", "(UID BODY.PEEK[])")
    assert list(got) == sorted(there)
    assert all(got[u] == there[u] for u in there)


def test_each_way_of_looking_gives_the_same_messages(box):
    m, there = box
    for items in ("(UID FLAGS)", "(UID INTERNALDATE RFC822.SIZE)", "(UID BODYSTRUCTURE)", "(UID FLAGS BODY.PEEK[HEADER])"):
        assert list(fetch(m, "1:*", items)) == sorted(there), items
    subjects = fetch(m, "1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert all(subjects[u] == f"Subject: number {u - 1}\r\n\r\n".encode() for u in there)


def test_sets_with_holes(box):
    m, there = box
    rng = random.Random(8)
    for _ in range(25):
        wanted = set(rng.sample(range(1, N + 1), rng.choice([1, 2, 17, 120, 300])))
        if rng.random() < 0.5:
            first = rng.randrange(1, N)
            wanted |= set(range(first, min(N, first + 200)))
        got = fetch(m, ",".join(map(str, sorted(wanted))), "(UID BODY.PEEK[])")
        assert list(got) == sorted(wanted & set(there))
        assert all(got[u] == there[u] for u in got)


def test_parts_of_bodies_one_after_the_other(box):
    m, there = box
    got = fetch(m, "1:*", "(UID BODY.PEEK[]<20000.70000>)")
    assert list(got) == sorted(there)
    assert all(got[u] == there[u][20000:90000] for u in there)


def test_pop3_reads_on_jumps_and_reads_on(server, box):
    _, there = box
    m = imap(server, "bob")
    m.select("Reading")
    few = sorted(there)[:120]
    assert m.uid("COPY", ",".join(map(str, few)), "INBOX")[0] == "OK"
    m.logout()
    p = pop(server, "bob")
    total = p.stat()[0]
    first = total - len(few)
    rng = random.Random(9)
    order = list(range(len(few))) + rng.sample(range(len(few)), 30) + list(range(40, 80))
    for i in order:
        lines = p.retr(first + i + 1)[1]
        assert b"\r\n".join(lines) + b"\r\n" == there[few[i]], i
    p.quit()


def test_pieces_of_a_large_body_in_any_order(server):
    """Chunks that pack well lie together in what is read at once: going back to one that was opened gives it again."""
    m = imap(server, "carol")
    raw = b"Subject: large\r\n\r\n" + b"".join(b"line %06d of the same words again and again and again\r\n" % i for i in range(9000))
    assert m.append("INBOX", None, None, raw)[0] == "OK"
    uid = m.select()[1][0].decode()
    for places in ([0, 300000, 10, 130000, 70000, 300000, 0], [400000, 200000, 100000, 50000, 0], [65530, 131066, 65530]):
        data = m.fetch(uid, "(" + " ".join(f"BODY.PEEK[]<{at}.1000>" for at in places) + ")")[1]
        assert [x[1] for x in data if isinstance(x, tuple)] == [raw[at:at + 1000] for at in places], places
    m.logout()
