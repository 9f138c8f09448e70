"""What bad input gets: a clear answer, nothing lost, nothing grown (design section 16)."""
import imaplib
import os
import pathlib
import resource
import smtplib
import socket
import subprocess
import time

import pytest

from conftest import PASSWORD, PROGRAM, tree
from helpers import fetch_all, imap, send, strip_trace, wait_for


class Line:
    """A bare connection that speaks lines."""

    def __init__(self, port, timeout=20):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.f = self.s.makefile("rb")

    def get(self):
        return self.f.readline().rstrip(b"\r\n")

    def answer(self):
        """A whole SMTP answer; its last line."""
        while True:
            line = self.get()
            if line[3:4] != b"-":
                return line

    def put(self, data):
        self.s.sendall(data)

    def say(self, data):
        self.put(data + b"\r\n")
        return self.answer()

    def close(self):
        self.s.close()


def smtp(server, user=None):
    c = Line(server.smtp)
    assert c.answer().startswith(b"220 ")
    assert c.say(b"EHLO client.example").startswith(b"250 ")
    if user:
        assert c.say(b"MAIL FROM:<ann@example.org>").startswith(b"250 ")
        assert c.say(f"RCPT TO:<{user}>".encode()).startswith(b"250 ")
        assert c.say(b"DATA").startswith(b"354 ")
    return c


@pytest.mark.parametrize("bad", [b"a\nb\r\n", b"a\rb\r\n", b"x\n.\nMAIL FROM:<evil@example.org>\r\n", b"x\r\n.\nq\r\n", b"x\n.\r\nq\r\n", b"x\r.\rq\r\n"])
def test_a_bare_line_end_is_refused(server, user, bad):
    c = smtp(server, user)
    c.put(b"Subject: x\r\n\r\n" + bad)
    got = c.say(b".")
    assert got[:1] == b"5", got
    assert c.say(b"NOOP").startswith(b"250 ")
    assert len(fetch_all(imap(server, user))) == 0
    c.close()


def test_an_over_long_command_is_refused_with_the_limit(server):
    c = smtp(server)
    got = c.say(b"MAIL FROM:<" + b"a" * 5000 + b"@example.org>")
    assert got.startswith(b"500 ") or got.startswith(b"501 "), got
    assert c.say(b"NOOP").startswith(b"250 ")


def test_an_over_long_address_is_refused(server):
    c = smtp(server)
    got = c.say(b"MAIL FROM:<" + b"a" * 65 + b"@example.org>")
    assert got[:3] in (b"501", b"553", b"550", b"552") and b"64" in got, got


def test_too_many_recipients_are_refused_for_now(server):
    c = smtp(server)
    assert c.say(b"MAIL FROM:<ann@example.org>").startswith(b"250 ")
    last = b""
    for i in range(1001):
        last = c.say(f"RCPT TO:<u1+{i}@demo.test>".encode())
        if not last.startswith(b"250 "):
            break
    assert last.startswith(b"452 4.5.3"), last
    assert i == 1000


def test_a_message_over_the_limit_is_refused_with_the_limit_named(server):
    c = smtp(server)
    got = c.say(b"MAIL FROM:<ann@example.org> SIZE=99999999999")
    assert got.startswith(b"552 5.3.4"), got


def test_ten_thousand_nested_parts(server, user):
    n = 10000
    lines = [b"Subject: nested", b"MIME-Version: 1.0"]
    for i in range(n):
        lines += [b'Content-Type: multipart/mixed; boundary="b%d"' % i, b"", b"--b%d" % i]
    lines += [b"Content-Type: text/plain", b"", b"deep"]
    text = b"\r\n".join(lines) + b"\r\n"
    send(server, user, text)
    m = imap(server, user)
    assert strip_trace(list(fetch_all(m).values())[0]) == text
    typ, data = m.fetch("1", "(ENVELOPE BODYSTRUCTURE)")
    assert typ == "OK" and data[0]


def test_a_header_of_many_megabytes(server, user):
    text = b"Subject: big\r\n" + b"".join(b"X-Filler-%d: %s\r\n" % (i, b"y" * 900) for i in range(40000)) + b"\r\nbody\r\n"
    send(server, user, text, timeout=120)
    m = imap(server, user)
    assert strip_trace(list(fetch_all(m).values())[0]) == text
    assert m.fetch("1", "(ENVELOPE BODYSTRUCTURE)")[0] == "OK"


def test_a_hundred_megabyte_header_is_refused_and_costs_little(server, user):
    c = smtp(server, user)
    block = (b"X-Filler: " + b"z" * 980 + b"\r\n") * 1000
    sent = 0
    while sent < 100 << 20:
        c.put(block)
        sent += len(block)
    c.put(b"\r\n")
    got = c.say(b".")
    assert got.startswith(b"552 5.3.4"), got
    assert c.say(b"NOOP").startswith(b"250 ")


def test_a_literal_of_four_gigabytes_is_refused_at_once(server, user):
    c = Line(server.imap)
    c.get()
    c.put(f"a LOGIN {user} {PASSWORD}\r\n".encode())
    while not c.get().startswith(b"a OK"):
        pass
    c.put(b"b APPEND INBOX {4294967296}\r\n")
    got = c.get()
    assert got.startswith(b"b NO") or got.startswith(b"b BAD"), got
    c.put(b"c NOOP\r\n")
    assert c.get().startswith(b"c OK")
    c.close()
    c = Line(server.imap)
    c.get()
    c.put(b"a LOGIN {4294967296}\r\n")
    got = c.get()
    assert got.startswith(b"a BAD") or got.startswith(b"a NO") or got.startswith(b"* BYE"), got


def test_silent_connections_hurt_nobody(server, user):
    """Thousands that say nothing; somebody who speaks is served meanwhile."""
    want = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    want = min(want, hard - 500)
    held = []
    try:
        for i in range(want):
            s = socket.socket()
            s.settimeout(5)
            s.bind((f"127.0.{1 + i % 200}.1", 0))
            s.connect(("127.0.0.1", server.imap if i % 2 else server.smtp))
            held.append(s)
        begun = time.monotonic()
        m = imap(server, user)
        assert m.select()[0] == "OK"
        m.logout()
        assert time.monotonic() - begun < 5
    finally:
        for s in held:
            s.close()
    print(f"{len(held)} silent connections held")
    send(server, user, "Subject: after\r\n\r\nx\r\n")


def test_broken_mime_is_stored_as_it_came(server, user):
    text = (b"Subject: =?utf-8?q?broken\r\nContent-Type: multipart/mixed; boundary=\r\nContent-Type: text/plain\r\nFrom: <<>>,,,;\r\nDate: yesterday\r\n"
            b"no colon here\r\n\r\n--\r\n\x00\x01\xff\xfe\r\n")
    send(server, user, text)
    m = imap(server, user)
    assert strip_trace(list(fetch_all(m).values())[0]) == text
    assert m.fetch("1", "(ENVELOPE BODYSTRUCTURE BODY)")[0] == "OK"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a small tmpfs")
def test_a_full_disk_is_452_and_passes(fresh, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(small)], check=True)
    try:
        from conftest import Server
        s = Server(small / "demo")
        try:
            acked, full = [], None
            for i in range(400):
                body = f"Subject: fill {i}\r\n\r\n" + "".join(os.urandom(54).hex() + "\r\n" for _ in range(3000))
                try:
                    send(s, "bob@demo.test", body)
                    acked.append(i)
                except (AssertionError, smtplib.SMTPException) as e:
                    full = str(e)
                    break
            assert full and "4.3.1" in full, (full, len(acked))
            filler = small / "demo" / "filler"
            subjects = b"".join(fetch_all(imap(s, "bob@demo.test"), item="BODY.PEEK[HEADER.FIELDS (SUBJECT)]").values())
            for i in acked:
                assert f"Subject: fill {i}\r\n".encode() in subjects
            subprocess.run(["mount", "-o", "remount,size=256m", str(small)], check=True)
            wait_for(lambda: _delivers(s), 10)
        finally:
            s.stop()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


def _delivers(s):
    try:
        send(s, "bob@demo.test", "Subject: room again\r\n\r\nx\r\n")
        return True
    except (AssertionError, smtplib.SMTPException, OSError):
        return False


def test_a_port_that_is_taken_is_said_and_nothing_else_happens(fresh, tmp_path):
    server = fresh("--accounts", 1)
    text = (server.state / "letterlock.conf").read_text()
    server.stop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        conf = tmp_path / "taken.conf"
        conf.write_text(text.replace(f"127.0.0.1:{server.smtp}", "127.0.0.1:%d" % other.getsockname()[1]))
        p = subprocess.run([PROGRAM, "serve", "--config", str(conf)], capture_output=True, text=True, timeout=60)
    assert p.returncode == 1
    assert "Address already in use" in p.stderr and "Sanitizer" not in p.stderr, p.stderr


def test_who_trickles_octets_before_login_is_let_go(fresh):
    """Each octet comes in time, the login never: the patience is for all of it together."""
    server = fresh()
    conf = server.state / "letterlock.conf"
    conf.write_text(conf.read_text().replace("access {", "access {\n  prelogin = 2s"))
    server.cli("reload")
    said = {"line": b"x" * 99, "command": b"a NOOP\r\n" * 9, "literal": b"a LOGIN {90+}\r\n" + b"x" * 90, "capa": b"CAPA\r\n" * 9}
    plays = [(server.imap, "line"), (server.imap, "command"), (server.imap, "literal"), (server.pop3, "line"), (server.pop3, "capa")]
    socks = [socket.create_connection(("localhost", port)) for port, _ in plays]
    logged_in = imap(server, "bob@demo.test")
    begun, open_ones = time.monotonic(), dict(enumerate(socks))
    for step in range(60):
        for i, s in list(open_ones.items()):
            try:
                s.sendall(said[plays[i][1]][step:step + 1])
                s.setblocking(False)
                while s.recv(4096):
                    pass
                del open_ones[i]
            except BlockingIOError:
                s.setblocking(True)
            except OSError:
                del open_ones[i]
        if not open_ones:
            break
        time.sleep(0.1)
    assert not open_ones, [plays[i] for i in open_ones]
    assert 1.5 < time.monotonic() - begun < 5
    assert logged_in.noop()[0] == "OK"  # who is in stays in
    logged_in.logout()
    for s in socks:
        s.close()


def test_past_its_byte_budget_a_process_answers_452_and_goes_on(tmp_path):
    """process.memory at its least: a message of 40 MB is over 80 % of it, though under inbound.max_size."""
    import signal

    from conftest import PROGRAM, free_base
    port = free_base() + 55
    conf = tmp_path / "l.conf"
    conf.write_text(f'config_version = 1\ndns {{ forwarder = "none" }}\nserver {{\n  hostname = "mail.small.example"\n  data_dir = "{tmp_path}/data"\n  control = "{tmp_path}/ctl.sock"\n'
                    f'  root_key = "file:{tmp_path}/data/root.key"\n  demo = true\n}}\nlisten {{\n  smtp = {{"127.0.0.1:{port}"}}\n}}\nprocess {{\n  memory = 32MiB\n}}\n')

    def cli(*args, input=None):
        return subprocess.run([PROGRAM, *args, "--config", str(conf)], input=input, capture_output=True, text=True, timeout=60)

    with open(tmp_path / "log", "wb") as log:
        p = subprocess.Popen([PROGRAM, "serve", "--config", str(conf)], stdout=log, stderr=log)
    try:
        wait_for(lambda: cli("status").returncode == 0, 20, every=0.1)
        assert cli("domain", "add", "small.example").returncode == 0
        assert cli("account", "add", "a@small.example", input="pw pw pw\n").returncode == 0
        c = Line(port)
        assert c.answer().startswith(b"220 ")
        c.say(b"EHLO client.example")
        for size, want in ((40 << 20, b"452 4.3.1"), (1000, b"250 2.0.0")):
            assert c.say(b"MAIL FROM:<ann@example.org>").startswith(b"250 ")
            assert c.say(b"RCPT TO:<a@small.example>").startswith(b"250 ")
            assert c.say(b"DATA").startswith(b"354 ")
            c.put(b"Subject: x\r\n\r\n" + (b"y" * 78 + b"\r\n") * (size // 80))
            assert c.say(b".").startswith(want)
        c.close()
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(20)
