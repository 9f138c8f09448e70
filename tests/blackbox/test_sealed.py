"""Mail at rest: nothing readable, nothing that opens without its key, nothing that changes unseen."""
import json
import os
import pathlib
import poplib
import random
import re
import shutil
import struct
import subprocess

import pytest

from conftest import PROGRAM
from helpers import pop, send, wait_for

SECRETS = ["Wombat-subject-8841", "Kookaburra body line 5512 of the letter", "ann.correspondent@far-away.example"]


def fill(s):
    for i in range(12):
        send(s, "bob@demo.test", f"From: {SECRETS[2]}\r\nTo: bob@demo.test\r\nSubject: {SECRETS[0]}\r\n\r\n{SECRETS[1]} {i}\r\n" + "line\r\n" * i * 50, sender=SECRETS[2])


def strings_of(directory):
    out = b""
    for f in pathlib.Path(directory).rglob("*"):
        if f.is_file():
            out += subprocess.run(["strings", "-n", "6", "-a", str(f)], capture_output=True).stdout
    return out


def test_no_line_of_a_message_is_readable_on_disk(fresh):
    s = fresh()
    fill(s)
    s.cli("stop", check=False)
    s.stop()
    found = strings_of(s.data_dir if "data_dir" in s.facts else s.state / "data")
    for secret in SECRETS:
        assert secret.encode() not in found
        assert secret.encode().lower() not in found.lower()


def test_without_its_root_key_a_data_directory_opens_nothing(fresh, tmp_path):
    s = fresh()
    fill(s)
    s.stop()
    keys = [p for p in s.state.rglob("*") if p.is_file() and "root" in p.name.lower() and "key" in p.name.lower()]
    assert keys, "the demo keeps its root key beside the state"
    for k in keys:
        k.rename(tmp_path / ("hidden-" + k.name))
    p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
    assert p.returncode != 0
    assert "root key" in (p.stdout + p.stderr).lower()
    # Nor is a new one made in its place: that would open nothing, and hide what was lost. Trying again cannot help: it ends, and says why.
    serve = subprocess.run([PROGRAM, "serve", "--config", s.config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20)
    assert serve.returncode == 78 and "there is no root key" in serve.stderr
    assert not any(k.exists() for k in keys)
    for k in keys:
        k.write_bytes(b"Z" * 32)
        k.chmod(0o600)
    serve = subprocess.run([PROGRAM, "serve", "--config", s.config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20)
    assert serve.returncode == 78 and "the root key does not open this vault" in serve.stderr
    for k in keys:
        (tmp_path / ("hidden-" + k.name)).rename(k)
    p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stdout + p.stderr


def test_one_flipped_bit_is_reported(fresh, tmp_path):
    """In a segment, wherever it falls inside a stored body; verify names it."""
    s = fresh()
    fill(s)
    s.stop()
    data = s.state / "data"
    segments = sorted(p for p in (data / "segments").iterdir() if p.stat().st_size)
    assert segments
    rng = random.Random(7)
    for _ in range(6):
        f = rng.choice(segments)
        raw = bytearray(f.read_bytes())
        used = len(raw.rstrip(b"\0"))
        at = rng.randrange(used)
        raw[at] ^= 1 << rng.randrange(8)
        keep = f.read_bytes()
        f.write_bytes(raw)
        p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
        f.write_bytes(keep)
        assert p.returncode == 4, (f.name, at, p.stdout, p.stderr)
    p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stdout + p.stderr


def bodies_on_disk(data):
    """(file, offset) of every stored body, in the order in which they were stored."""
    found = []
    for f in sorted(p for p in (data / "segments").iterdir() if p.stat().st_size):
        raw = f.read_bytes()
        found += [(f, m.start()) for m in re.finditer(rb"LLB1", raw)]
    return found


def test_a_damaged_body_is_refused_over_pop3_and_its_neighbours_are_not(fresh):
    """Bodies that lie side by side are read together: each is judged by itself, at every reading."""
    s = fresh("--accounts", 1)
    before = len(bodies_on_disk(s.state / "data"))
    for i in range(40):
        send(s, "u1@demo.test", f"Subject: number {i}\r\n\r\n" + f"line {i}\r\n" * (1 + 400 * (i % 5)) + ".\r\n" * (i % 3))
    s.stop()
    bodies = bodies_on_disk(s.state / "data")[before:]
    assert len(bodies) == 40
    broken = {3, 4, 17, 39}
    for k in broken:
        f, at = bodies[k]
        raw = bytearray(f.read_bytes())
        raw[at + 90] ^= 4  # behind the header, before the end of the smallest one
        f.write_bytes(raw)
    s.start()
    rng = random.Random(13)
    for order in (range(40), reversed(range(40)), [*range(40), *range(40)], [2, 1, 0, 1, 2], [20, 3, 4, 5, 6, 7, 2, 3, 16, 17, 18, 19], [rng.randrange(40) for _ in range(200)]):
        p = pop(s, "u1@demo.test")  # what is read first matters
        for k in order:
            try:
                lines = p.retr(k + 1)[1]
                assert k not in broken and b"Subject: number %d" % k in lines and lines.count(b"line %d" % k) == 1 + 400 * (k % 5) and lines.count(b".") == k % 3, k
            except poplib.error_proto as e:
                assert k in broken and b"[SYS/PERM]" in e.args[0], (k, e)
        p.quit()
    assert {e["what"] for e in s.events("store.damage")} == {"body"}
    assert not s.events("process.died")


def live_of_index(raw):
    """Offsets in an LMDB file of every row that its newest tree holds: where it lies, its length, key and value; not of free pages and gaps. Then of the rows alone, and
    of those that name a table."""
    page, live, rows, named = 4096, [], [], []

    def tree(number):
        at = number * page
        flags, lower = struct.unpack_from("<HH", raw, at + 10)
        for i in range((lower - 16) // 2):
            node = at + struct.unpack_from("<H", raw, at + 16 + 2 * i)[0]
            low, high, kind, key = struct.unpack_from("<HHHH", raw, node)
            if flags & 1:
                tree(low | high << 16 | kind << 32)
                continue
            size = low | high << 16
            live.append(at + 16 + 2 * i)
            rows.append(node)
            live.extend(range(node, node + 4))
            live.extend(range(node + 6, node + 8 + key))
            if kind & 1:
                first = struct.unpack_from("<Q", raw, node + 8 + key)[0] * page
                live.extend(range(first + 16, first + 16 + size))
            elif kind & 2:
                named.append(node)
                if struct.unpack_from("<Q", raw, node + 8 + key + 40)[0] != 2**64 - 1:
                    tree(struct.unpack_from("<Q", raw, node + 8 + key + 40)[0])
            else:
                live.extend(range(node + 8 + key, node + 8 + key + size))

    metas = [(struct.unpack_from("<Q", raw, m + 16 + 128)[0], m) for m in (0, page)]
    tree(struct.unpack_from("<Q", raw, max(metas)[1] + 16 + 24 + 48 + 40)[0])
    return live, rows, named


def test_a_flipped_bit_in_the_index_is_reported_even_where_reading_it_would_crash(fresh):
    s = fresh()
    fill(s)
    s.stop()
    f = s.state / "data" / "index" / "data.mdb"
    good = f.read_bytes()
    live, rows, named = live_of_index(good)
    assert len(live) > 20000 and len(named) > 10
    rng = random.Random(11)
    for at in rng.sample(live, 150):
        raw = bytearray(good)
        raw[at] ^= 1 << rng.randrange(8)
        f.write_bytes(raw)
        p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
        assert p.returncode == 4, (at, good[at], raw[at], p.returncode, p.stdout, p.stderr)
        assert "damaged: " in p.stdout
    # The upper half of a row's length: LMDB itself would read past its mapping, or, in the rows that name its tables, not look.
    for row in rng.sample(rows, 10) + named[::7]:
        raw = bytearray(good)
        raw[row + 3] ^= 1 << 6
        f.write_bytes(raw)
        p = subprocess.run([PROGRAM, "verify", "--config", s.config, "--json"], capture_output=True, text=True, timeout=60)
        assert p.returncode == 4, (row, p.returncode, p.stdout, p.stderr)
        assert json.loads(p.stdout.splitlines()[-1])["damaged"] > 0
    f.write_bytes(good)
    p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stdout + p.stderr


def test_what_is_missing_is_damage_and_no_start_makes_it_worse(fresh):
    """Verify names a lost index, vault or ledger; a server whose index was lost does not begin anew beside the mail."""
    s = fresh()
    fill(s)
    s.stop()
    data = s.state / "data"

    def verify():
        p = subprocess.run([PROGRAM, "verify", "--config", s.config], capture_output=True, text=True, timeout=60)
        return p.returncode, p.stdout + p.stderr

    segments = {p.name: p.read_bytes() for p in (data / "segments").iterdir()}
    assert segments
    for name, words in (("index/data.mdb", "index"), ("ledger/ledger.db", "audit log"), ("vault/keys", "vault")):
        f = data / name
        good = f.read_bytes()
        for left in (None, b""):
            f.unlink()
            if left is not None:
                f.write_bytes(left)
            code, text = verify()
            assert code == 4 and "damaged: " in text and words in text, (name, left, text)
            assert f.exists() == (left is not None), "verify makes nothing"
            if name.startswith("index"):
                serve = subprocess.run([PROGRAM, "serve", "--config", s.config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20)
                assert serve.returncode == 78 and "there are segments with mail" in serve.stderr
                assert {p.name: p.read_bytes() for p in (data / "segments").iterdir()} == segments
            f.write_bytes(good)
    assert verify()[0] == 0
