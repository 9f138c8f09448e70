"""The dialogues of tests/dialog against the real server: in the clear, under TLS, and in small packets.

One server is set up as the scripts' house is (names, limits, accounts); what only the house in memory can do (a failing disk, a fake clock,
mailboxes that answer as their names say) is skipped, with the reason."""
import argparse
import imaplib
import json
import os
import pathlib
import re
import signal
import sys

import pytest

from conftest import ROOT, Server
from helpers import wait_for

sys.path.insert(0, str(ROOT / "tests" / "dialog"))
import dialog  # noqa: E402

SCRIPTS = ROOT / "tests" / "dialog"
# A script's SET as a key of the configuration file.
KEYS = {"max_errors": "max_errors", "max_mails": "max_mails", "max_recipients": "max_recipients", "max_bad_rcpt": "max_unknown"}
HOUSE = {"max_size": "98KiB", "max_recipients": 5, "max_mails": 10, "max_errors": 20, "max_unknown": 10}
ONLY_IN_MEMORY = re.compile(
    rb"^(SET (begin fails|commit fails|write_fails_after|lmtp|stranger denied|too many connections|tls_required|removing fails|login is busy|refuses|no plaintext"
    rb"|no utf8|no dsn|submission|three errors|max_append|max_size|max_\w+=0)|TIME\+|WAKE|HOUSE forget)", re.M)
HOUSE_ADDRESS = re.compile(rb"<(later|never|odd|full|busy|slow|bad)@", re.I)
MODES = ["clear", "packets of 1", "starttls", "starttls in packets of 3"]


def scripts(protocol):
    """Those that need TLS side by side, and below the modes one after the other: whether there is a certificate changes only with a restart."""
    found = sorted((SCRIPTS / protocol / "scripts").glob("*.txt"), key=lambda f: (b"SET tls" in f.read_bytes(), f))
    assert found
    return [pytest.param(f, id=f.stem) for f in found]


class House:
    def __init__(self, top):
        self.server = Server(top / "demo", "--accounts", 1)
        self.conf = self.server.state / "letterlock.conf"
        text = self.conf.read_text().replace('hostname = "mail.demo.test"', 'hostname = "HOSTNAME"').replace('default_domain = "demo.test"', 'default_domain = "corp.example"')
        self.text = re.sub(r"  max_mails = \d+\n", "INBOUND", text)
        self.now, self.tls = None, True
        self.be()
        for domain in ["example.org", "corp.example"]:
            self.server.cli("domain", "add", domain)
        for name in ["joe", "ann", "one", "two", "three", "Jones", "Brown", "admin", "postmaster", "ä", "ö"]:
            self.account(name + "@example.org", "tanstaaf")

    def be(self, hostname="mail.example.org", tls=True, **limits):
        """Reloads, unless the server is like that already."""
        inbound = "".join(f"  {k} = {v}\n" for k, v in {**HOUSE, **limits}.items()) + "  tarpit = 0ms\n"
        text = self.text.replace("INBOUND", inbound).replace("HOSTNAME", hostname)
        if not tls:
            text = re.sub(r'tls "demo" \{[^}]*\}\n', "", re.sub(r"  (imaps|pop3s|submissions?) = .*\n", "", text))
        if text == self.now:
            return
        self.conf.write_text(text)
        if tls == self.tls:
            self.server.cli("reload")
        else:  # without a certificate there are fewer listeners, and these change only with a restart
            self.restart()
        self.now, self.tls = text, tls

    def restart(self):
        """The demo starts a server that died again, with the configuration as it is then."""
        old = self.server.status()["pid"]
        os.kill(old, signal.SIGKILL)

        def is_back():
            p = self.server.cli("status", "--json", check=False)
            now = json.loads(p.stdout) if p.returncode == 0 else {}
            return now.get("ready") and now["pid"] != old

        wait_for(is_back, 20)

    def account(self, address, password):
        self.server.cli("account", "add", address, input=password + "\n")

    def empty(self, address, password):
        """The account with nothing in it, as if it were new."""
        self.server.cli("account", "remove", address, "--yes", check=False)
        self.account(address, password)

    def imap(self, user, password):
        m = imaplib.IMAP4("127.0.0.1", self.server.imap)
        m.login(user, password)
        return m


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    h = House(tmp_path_factory.mktemp("dialog"))
    yield h
    assert h.server.stop() == 0


def options(house, port, packet=0, tls=False):
    return argparse.Namespace(where=f"127.0.0.1:{port}", lmtp=None, patience=20.0, tls=tls, ca=house.server.ca, packet=packet)


def packet_of(mode):
    return int(mode.rsplit(" ", 1)[1]) if "packets" in mode else 0


def skip_if_only_in_memory(text):
    if found := ONLY_IN_MEMORY.search(text):
        pytest.skip(f"skipped: only the house in memory can do \"{found[0].decode()}\"")
    if found := HOUSE_ADDRESS.search(text):
        pytest.skip(f"skipped: only in the test house does \"{found[1].decode()}@\" mean something")


def play(house, port, lines, mode, tls=False, step=None):
    try:
        dialog.play(options(house, port, packet_of(mode), tls), lines, step)
    except dialog.Different as reason:
        pytest.fail(str(reason), pytrace=False)


# ---- SMTP ----


def through_starttls(lines, greeting, hello, yes):
    """The script's own conversation, begun anew inside TLS: greeting and STARTTLS are said first. The session speaks no second greeting."""
    at = next(i for i, line in enumerate(lines) if line.startswith((b"S: 220", b"S: * OK", b"S: +OK")))
    return lines[:at] + [greeting, *hello, yes, b"TLS"] + lines[at + 1:]


def set_limits(text):
    return {KEYS[k.decode()]: int(v) for k, v in re.findall(rb"^SET (\w+)=(\d+)", text, re.M)}


@pytest.mark.parametrize("script", scripts("smtp"))
@pytest.mark.parametrize("mode", MODES)
def test_smtp(house, script, mode):
    text = script.read_bytes()
    offers_tls = b"SET tls" in text
    skip_if_only_in_memory(text)
    if b"tls_on" in text:
        pytest.skip("skipped: the demo has no smtps listener")
    if mode.startswith("starttls") and re.search(rb"STARTTLS|HTTP", text):
        pytest.skip("skipped: it is about the clear connection itself")
    if packet_of(mode) and b"HTTP" in text:
        pytest.skip("skipped: the server hangs up while the client still talks, so its answer may be lost on the way")
    if re.search(rb"RET=|ENVID=|NOTIFY=", text):
        pytest.skip("skipped: DSN is offered to those who have logged in")
    # What the server knows better than the house: its own ids, and its words for addresses.
    text = re.sub(rb"Ok 0000000\d", b"Ok *", text).replace(b"SIZE 100000", b"SIZE 100352")
    text = text.replace(b"S: 250-DSN\n", b"")  # strangers are promised no notice: what cannot be delivered is refused in the session
    text = re.sub(rb"(no such address|we do not relay)$", b"*", text, flags=re.M)
    house.be(tls=offers_tls or mode.startswith("starttls"), **set_limits(text))
    lines = text.split(b"\n")
    if mode.startswith("starttls"):
        lines = through_starttls(lines, b"S: 220 *", [b"C: EHLO c.example", b"S* 250 *", b"C: STARTTLS"], b"S: 220 2.0.0 *")
    play(house, house.server.smtp, lines, mode)


# ---- IMAP ----


def house_step(house, user, password, epoch=760000000):
    """HOUSE steps done by a second client."""
    def step(claim):
        verb, number, box = claim.split()[:3]
        m = house.imap(user, password)
        try:
            if verb == "messages":
                assert m.status(box, "(MESSAGES)")[1][0].split()[-1] == b"%s)" % number.encode()
                return
            if verb == "deliver":
                # Nothing is selected here: what comes is told to the session in the play first, and is \Recent there.
                for _ in range(int(number)):
                    uid = int(re.search(rb"UIDNEXT (\d+)", m.status(box, "(UIDNEXT)")[1][0])[1])
                    body = f"From: Bob <bob@corp.example>\r\nTo: alice@corp.example\r\nSubject: number {uid}\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nbody {uid}\r\n"
                    assert m.append(box, None, '"31-Jan-1994 07:06:40 +0000"', body.encode())[0] == "OK"
                return
            assert int(m.select(box)[1][0]) == int(number) or verb != "given"
            if verb == "given":
                pass  # selecting was it
            elif verb == "seen":
                m.uid("STORE", number, "+FLAGS.SILENT", "(\\Seen)")
            elif verb == "expunge":
                m.uid("STORE", number, "+FLAGS.SILENT", "(\\Deleted)")
                m.uid("EXPUNGE", number)
            else:
                raise AssertionError(claim)
        finally:
            m.logout()
    return step


@pytest.mark.parametrize("script", scripts("imap"))
@pytest.mark.parametrize("mode", MODES + ["tls"])
def test_imap(house, script, mode):
    text = script.read_bytes()
    skip_if_only_in_memory(text)
    if mode not in MODES[:2] and re.search(rb"STARTTLS", text, re.I):
        pytest.skip("skipped: it is about the clear connection itself")
    house.be(hostname="mail.corp.example", tls=mode in ("tls", "starttls", "starttls in packets of 3"))
    house.empty("alice@corp.example", "secret")
    prepare(house, "alice@corp.example", "secret")
    text = re.sub(rb"(UIDVALIDITY|APPENDUID|COPYUID) 100\d", rb"\1 *", text).replace(b"100000 octets", b"100352 octets")
    lines = text.split(b"\n")
    if mode.startswith("starttls"):
        lines = through_starttls(lines, b"S: * OK *", [b"C: tls0 STARTTLS"], b"S: tls0 OK *")
    play(house, house.server.imaps if mode == "tls" else house.server.imap, lines, mode, tls=mode == "tls", step=house_step(house, "alice@corp.example", "secret"))


def prepare(house, user, password):
    """The folders that the scripts' house has, whatever a new account begins with."""
    m = house.imap(user, password)
    m.create("Archive/2025")
    have = {line.split(b'"')[-2].decode() for line in m.list()[1]}
    for box in have - {"INBOX", "Archive", "Archive/2025", "Drafts", "Sent"}:
        assert m.delete(box)[0] == "OK" and m.unsubscribe(box)[0] == "OK"
    m.logout()


# ---- POP3 ----


def pop3_script(text):
    """The POP3 folder's own steps in terms of dialog.py: what lies in the mailbox, what is gone afterwards, and the conversation."""
    mails, removed, lines, rest = [], None, [], iter(text.decode().split("\n"))
    for line in rest:
        word, _, arg = line.partition(" ")
        if word == "MAIL" and arg:
            head = "Subject: sized\r\n\r\n"
            fill = "".join("\r" if i % 60 == 58 else "\n" if i % 60 == 59 else "x" for i in range(len(head), int(arg) - 2))
            mails.append((head + fill + "\r\n").encode())
        elif word == "MAIL":
            body = []
            while (more := next(rest)) != "END":
                body.append(more + "\r\n")
            mails.append("".join(body).encode())
        elif word == "REMOVED":
            removed = set() if arg == "nothing" else set(map(int, arg.split()))
        elif word == "LOST":
            lines.append(b"CLOSE")
        elif word != "SET":
            lines.append(line.encode())
    return mails, removed, lines


@pytest.mark.parametrize("script", scripts("pop3"))
@pytest.mark.parametrize("mode", ["as it says", "packets of 1", "tls", "starttls"])
def test_pop3(house, script, mode):
    text = script.read_bytes()
    skip_if_only_in_memory(text)
    in_tls = b"SET in tls" in text or mode == "tls"
    about_tls = re.search(rb"STLS", text)
    if (mode in ("tls", "starttls") and about_tls) or (mode == "starttls" and b"SET in tls" in text):
        pytest.skip("skipped: it is about the clear connection itself, or in TLS anyway")
    if re.search(rb"^S: -ERR.*(TLS|STLS)", text, re.M):
        pytest.skip("skipped: the demo allows a login in the clear on loopback")
    host = re.search(rb"^S: \+OK (\S+) POP3 ready", text, re.M)
    house.be(hostname=host[1].decode() if host else "mail.corp.example")
    house.empty("mrose@corp.example", "tanstaaf")
    mails, removed, lines = pop3_script(re.sub(rb"1700000000-\d", b"*", text))
    m = house.imap("mrose@corp.example", "tanstaaf")
    for body in mails:
        assert m.append("INBOX", None, None, body)[0] == "OK"
    if mode == "starttls":
        lines = through_starttls(lines, b"S: +OK *", [b"C: STLS"], b"S: +OK *")
    play(house, house.server.pop3s if in_tls else house.server.pop3, lines, mode, tls=in_tls)
    if removed is not None:
        left = sorted(set(range(1, len(mails) + 1)) - removed)

        def uids():
            m.select("INBOX", readonly=True)
            return [int(u) for u in m.uid("SEARCH", None, "ALL")[1][0].split()] == left
        wait_for(uids, 5)
    m.logout()
