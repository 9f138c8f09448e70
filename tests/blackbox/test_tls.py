"""TLS, reloads and the PROXY protocol of the real server, looked at with openssl s_client and Python's ssl."""
import datetime
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess

import pytest

from conftest import PASSWORD, PROGRAM
from helpers import fetch_all, imap, send, tls, wait_for

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="skipped: openssl is not installed")
DOORS = [("smtp", "smtp"), ("imap", "imap"), ("pop3", "pop3"), ("imaps", None), ("pop3s", None)]


def s_client(server, door, starttls, *args):
    """What s_client says of a handshake, and whether it was made and verified."""
    cmd = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{getattr(server, door)}", "-CAfile", server.ca, "-verify_return_error",
           "-verify_hostname", "localhost", *args]
    if starttls:
        cmd += ["-starttls", starttls]
    p = subprocess.run(cmd, input="", capture_output=True, text=True, timeout=30)
    return p.returncode == 0, p.stdout + p.stderr


@needs_openssl
@pytest.mark.parametrize("door,starttls", DOORS)
@pytest.mark.parametrize("version,name", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_the_chain_verifies_under_tls_12_and_13(server, door, starttls, version, name):
    ok, text = s_client(server, door, starttls, version)
    assert ok, text
    assert re.search(rf"(New|Reused), {re.escape(name)}|Protocol\s*: {re.escape(name)}", text), text
    assert "Verify return code: 0 (ok)" in text


@needs_openssl
@pytest.mark.parametrize("door,starttls", DOORS)
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused_by_the_server(server, door, starttls, version):
    ok, text = s_client(server, door, starttls, version, "-cipher", "ALL:@SECLEVEL=0")
    assert not ok
    assert "alert protocol version" in text, text


@needs_openssl
@pytest.mark.parametrize("args", [("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"),
                                  ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256")])
def test_no_suite_without_forward_secrecy_or_aead(server, args):
    ok, text = s_client(server, "imaps", None, *args)
    assert not ok and "alert handshake failure" in text, text


@needs_openssl
def test_no_renegotiation_and_no_compression(server):
    ok, text = s_client(server, "imaps", None, "-tls1_2")
    assert ok and "Compression: NONE" in text and "Secure Renegotiation IS supported" in text
    p = subprocess.run([OPENSSL, "s_client", "-connect", f"127.0.0.1:{server.imaps}", "-tls1_2"], input="R\n", capture_output=True, text=True, timeout=30)
    assert "no renegotiation" in p.stdout + p.stderr, p.stdout + p.stderr


# ---- tickets ----


def sessions(server, role):
    return {p["pid"]: p["sessions"] for p in server.status()["processes"] if p["role"] == role}


def open_tls(server, port, context, session=None):
    """Connection to an implicit-TLS port with the greeting read, so that the ticket has come."""
    s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost", session=session)
    assert s.recv(4096)
    return s


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_resumes_in_the_other_worker_too(fresh, version):
    server = fresh("--accounts", 1)
    if len(server.pids("access")) < 2:
        pytest.skip("skipped: one access process on this machine")
    context = tls(server)
    context.minimum_version = context.maximum_version = version
    seen, session = {}, None
    for _ in range(40):
        s = open_tls(server, server.imaps, context, session)
        pid = wait_for(lambda: [p for p, n in sessions(server, "access").items() if n])[0]
        seen[pid] = seen.get(pid, True) and (session is None or s.session_reused)
        reused = session is None or s.session_reused
        session = s.session if version == ssl.TLSVersion.TLSv1_3 else session or s.session
        s.close()
        assert reused, f"process {pid} did not take the ticket"
        wait_for(lambda: not any(sessions(server, "access").values()))
        if len(seen) == 2:
            break
    assert len(seen) == 2 and all(seen.values()), seen


# ---- certificates that change ----


def self_signed(where, kind, cn="localhost"):
    """cert.pem and cert.key of this kind, beside the old ones, then moved over them as an ACME client does."""
    kinds = {"rsa": ["-newkey", "rsa:2048"], "rsa3072": ["-newkey", "rsa:3072"], "p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
             "p384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "p521": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
             "rsa1024": ["-newkey", "rsa:1024"]}
    subprocess.run([OPENSSL, "req", "-x509", "-nodes", *kinds[kind], "-keyout", str(where / "new.key"), "-out", str(where / "new.pem"), "-days", "3",
                    "-subj", f"/CN={cn}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    os.replace(where / "new.key", where / "cert.key")
    os.replace(where / "new.pem", where / "cert.pem")


def peer_certificate(server, port=None):
    return ssl.get_server_certificate(("127.0.0.1", port or server.imaps))


def file_certificate(server):
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert((server.state / "cert.pem").read_text()))


@needs_openssl
def test_a_reload_serves_the_new_certificate_and_keeps_open_sessions(fresh):
    server = fresh("--accounts", 1)
    before = peer_certificate(server)
    held = open_tls(server, server.imaps, tls(server))
    for kind in ["rsa", "p384", "rsa3072", "p256"]:
        self_signed(server.state, kind)
        server.cli("reload")
        want = file_certificate(server)
        assert want != before
        for port in [server.imaps, server.pop3s]:
            # Every worker, and both versions: each must know the new chain and its key.
            for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3] * 4:
                context = ssl.create_default_context(cafile=str(server.state / "cert.pem"))
                context.minimum_version = context.maximum_version = version
                s = open_tls(server, port, context)
                assert ssl.DER_cert_to_PEM_cert(s.getpeercert(True)) == want
                s.close()
        held.sendall(b"x NOOP\r\n")
        assert held.recv(4096).startswith(b"x OK")
        before = want
    # SIGHUP is the same order without an answer.
    self_signed(server.state, "rsa")
    os.kill(server.pid, signal.SIGHUP)
    want = file_certificate(server)
    wait_for(lambda: peer_certificate(server) == want)
    with open_tls(server, server.imaps, ssl.create_default_context(cafile=str(server.state / "cert.pem"))):
        pass
    held.sendall(b"y NOOP\r\n")
    assert held.recv(4096).startswith(b"y OK")
    held.close()


@needs_openssl
def test_an_expired_certificate_is_served_and_said_by_a_reload_and_by_config_check(fresh):
    server = fresh("--accounts", 1)
    cert = server.state / "cert.pem"
    server.cli("reload")
    assert server.events("tls.loaded") and server.events("tls.expired") == []
    for days, expired in (("-1", True), ("1", False)):
        subprocess.run([OPENSSL, "x509", "-in", cert, "-signkey", server.state / "cert.key", "-days", days, "-out", cert], check=True, capture_output=True)
        loaded, said = len(server.events("config.loaded")), len(server.events("tls.expired"))
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: len(server.events("config.loaded")) > loaded)
        assert peer_certificate(server) == file_certificate(server)
        checked = server.cli("config", "check", check=False)
        new = server.events("tls.expired")[said:]
        if not expired:
            assert new == [] and checked.returncode == 0, (new, checked)
            continue
        until = subprocess.run([OPENSSL, "x509", "-in", cert, "-noout", "-enddate"], check=True, capture_output=True, text=True).stdout
        day = datetime.datetime.strptime(until.strip(), "notAfter=%b %d %H:%M:%S %Y GMT").strftime("%Y-%m-%d")
        (event,) = new
        assert (event["level"], event["name"], event["cert"], event["reason"]) == ("warn", "demo", str(cert), f"the certificate expired on {day}"), event
        assert checked.returncode == 4 and event["reason"] in checked.stderr and "cert.pem" in checked.stderr, checked


@needs_openssl
def test_a_broken_certificate_is_refused_with_the_reason_and_the_old_one_stays(fresh):
    server = fresh("--accounts", 1)
    good = peer_certificate(server)
    cert, key = (server.state / "cert.pem").read_text(), (server.state / "cert.key").read_text()

    def refused(because):
        p = server.cli("reload", check=False)
        assert p.returncode != 0, p.stdout
        assert re.search(because, p.stdout + p.stderr), p.stdout + p.stderr
        assert peer_certificate(server) == good
        with open_tls(server, server.pop3s, tls(server)):
            pass
        (server.state / "cert.pem").write_text(cert)
        (server.state / "cert.key").write_text(key)

    (server.state / "cert.pem").write_text(cert.replace("MII", "AAA", 1))
    refused("certificate 1 of the chain does not parse")
    (server.state / "cert.pem").write_text("")
    refused("no certificate in PEM form")
    (server.state / "cert.pem").unlink()
    refused("cert.pem.*No such file")
    (server.state / "cert.key").write_text("nonsense")
    refused("no private key in PEM form")
    self_signed(server.state, "rsa")
    (server.state / "cert.key").write_text(key)
    refused("does not belong to the first certificate")
    self_signed(server.state, "p521")
    refused("ECDSA P-256 or P-384, or RSA of 2048 to 4096 bits")
    self_signed(server.state, "rsa1024")
    refused("ECDSA P-256 or P-384, or RSA of 2048 to 4096 bits")
    server.cli("reload")
    assert peer_certificate(server) == good


@pytest.mark.parametrize("spoil,where,because", [
    (lambda t: t.replace("default_domain", "defualt_domain"), "defualt_domain", "did you mean"),
    (lambda t: t.replace("connections_per_network = 10000\n", "connections_per_network = many\n"), "connections_per_network", "many|number"),
    (lambda t: t.rstrip().removesuffix("}"), None, "missing"),
])
def test_a_broken_configuration_is_refused_with_line_and_column(fresh, spoil, where, because):
    server = fresh("--accounts", 1)
    good = (server.state / "letterlock.conf").read_text()
    bad = spoil(good)
    assert bad != good
    conf = server.state / "letterlock.conf"
    conf.write_text(bad)
    # The tool must find the control socket in a file that does not parse, or is told where it is.
    p = server.cli("reload", check=False)
    text = p.stdout + p.stderr
    assert p.returncode != 0
    found = re.search(r"letterlock\.conf:(\d+):(\d+): ", text)
    assert found and re.search(because, text), text
    if where:
        line = bad.splitlines()[int(found[1]) - 1]
        assert where in line[int(found[2]) - 1:] and line.find(where) + 1 == int(found[2]), (found[0], line)
    # By signal there is nobody to tell but the log; nothing changes either.
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: "config.refused" in all_logs(server))
    with open_tls(server, server.imaps, tls(server)) as s:
        s.sendall(f"a LOGIN u1@demo.test {PASSWORD}\r\n".encode())
        assert s.recv(4096).startswith(b"a OK")
    conf.write_text(good)
    server.cli("reload")


@pytest.mark.parametrize("was,now,named", [
    (r'smtp = \{"127', 'smtp = {"127.0.0.1:1", "127', "listen"),
    (r'root_key = "file:', 'root_key = "file:/elsewhere', "server.root_key"),
    (r"login \{", "process {\n  edge = 3\n}\nlogin {", "number of processes"),
])
def test_a_reload_refuses_what_only_a_restart_changes(fresh, was, now, named):
    server = fresh("--accounts", 1)
    conf = server.state / "letterlock.conf"
    good = conf.read_text()
    bad = re.sub(was, now, good, count=1)
    assert bad != good
    conf.write_text(bad)
    p = server.cli("reload", check=False)
    assert p.returncode == 1 and named in p.stderr and "restart" in p.stderr, p.stdout + p.stderr
    assert server.status()["config_ok"] is False
    conf.write_text(good)
    server.cli("reload")
    assert server.status()["config_ok"] is True


def all_logs(server):
    return server.log_text() + (server.state / "letterlock.log").read_text(errors="replace")


# ---- STARTTLS ----


def read_line(s):
    line = b""
    while not line.endswith(b"\n"):
        octet = s.recv(1)
        assert octet, f"closed after {line!r}"
        line += octet
    return line


@pytest.mark.parametrize("door,hello,start,injected,after,want", [
    ("smtp", b"EHLO x\r\n", b"STARTTLS\r\n", b"EHLO evil\r\nMAIL FROM:<evil@example.org>\r\n", b"RCPT TO:<u1@demo.test>\r\n", b"503 "),
    ("imap", b"a NOOP\r\n", b"b STARTTLS\r\n", b"c LOGOUT\r\n", b"d NOOP\r\n", b"d OK"),
    ("pop3", b"NOOP\r\n", b"STLS\r\n", b"QUIT\r\n", b"USER u1@demo.test\r\n", b"+OK"),
])
def test_what_was_injected_behind_starttls_is_never_obeyed(server, door, hello, start, injected, after, want):
    s = socket.create_connection(("127.0.0.1", getattr(server, door)), 20)
    read_line(s)
    s.sendall(hello)
    while read_line(s)[3:4] == b"-":
        pass
    s.sendall(start + injected)
    assert read_line(s)[:3] in (b"220", b"b O", b"+OK")
    s = tls(server).wrap_socket(s, server_hostname="localhost")
    s.sendall(after)
    assert read_line(s).startswith(want)
    s.settimeout(0.3)
    with pytest.raises(TimeoutError):
        assert s.recv(100) == b"nothing more"
    s.close()


@pytest.mark.parametrize("door,start", [("smtp", b"STARTTLS\r\n"), ("imap", b"b STARTTLS\r\n"), ("pop3", b"STLS\r\n")])
def test_commands_in_the_clear_instead_of_a_handshake_end_the_connection(server, door, start):
    s = socket.create_connection(("127.0.0.1", getattr(server, door)), 20)
    read_line(s)
    if door == "smtp":
        s.sendall(b"EHLO x\r\n")
        while read_line(s)[3:4] == b"-":
            pass
    s.sendall(start)
    read_line(s)
    s.sendall(b"MAIL FROM:<evil@example.org>\r\na NOOP\r\nNOOP\r\n")
    heard = b""
    try:
        while more := s.recv(4096):
            heard += more
    except ConnectionResetError:
        pass
    assert not re.search(rb"250|OK", heard), heard
    s.close()


# ---- the PROXY protocol ----


def free_ports(n):
    """Held all at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Proxied:
    """`letterlock serve` over a demo's data, with PROXY listeners beside the plain ones."""

    def __init__(self, server, trusted):
        server.stop()
        self.conf = server.state / "proxied.conf"
        text = (server.state / "letterlock.conf").read_text()
        self.smtp, self.imap, self.imaps = free_ports(3)
        self.text = text.replace("listen {\n", "listen {\n" + "".join(
            f'  {p}_proxy = {{"127.0.0.1:{port}"}}\n' for p, port in [("smtp", self.smtp), ("imap", self.imap), ("imaps", self.imaps)]) +
            "  trusted_proxies = {TRUSTED}\n")
        self.write(trusted)
        self.log = open(server.state / "proxied.log", "wb")
        self.proc = subprocess.Popen([PROGRAM, "serve", "--config", str(self.conf)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for(lambda: self.proc.poll() is not None or self.cli("status").returncode == 0, 20)
        assert self.proc.poll() is None, (server.state / "proxied.log").read_text()

    def write(self, trusted):
        self.conf.write_text(self.text.replace("TRUSTED", ", ".join(f'"{t}"' for t in trusted)))

    def cli(self, *args):
        return subprocess.run([PROGRAM, *args, "--config", str(self.conf)], capture_output=True, text=True, timeout=60)

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        assert self.proc.wait(20) == 0
        self.log.close()


@pytest.fixture
def proxied(fresh):
    made = []

    def make(trusted):
        server = fresh("--accounts", 1)
        made.append(Proxied(server, trusted))
        made[-1].plain = server
        return made[-1]

    yield make
    for p in made:
        p.stop()


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2_tcp4(ip):
    return V2 + struct.pack("!BBH", 0x21, 0x11, 12) + socket.inet_aton(ip) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 4321, 25)


def v2_tcp6(ip, tlv=b""):
    return V2 + struct.pack("!BBH", 0x21, 0x21, 36 + len(tlv)) + socket.inet_pton(socket.AF_INET6, ip) + bytes(15) + b"\1" + struct.pack("!HH", 4321, 25) + tlv


HEADERS = [
    (b"PROXY TCP4 203.0.113.7 127.0.0.1 4321 25\r\n", "203.0.113.7"),
    (b"PROXY TCP6 2001:db8::7 ::1 4321 25\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (v2_tcp4("198.51.100.9"), "198.51.100.9"),
    (v2_tcp6("2001:db8::9", b"\x04\x00\x03abc"), "2001:db8::9"),
    (V2 + b"\x20\x00\x00\x00", "127.0.0.1"),  # LOCAL: the proxy's own
]


def through(port, header, at_once=True):
    """A connection through the proxy; with the header octet by octet when not at once."""
    s = socket.create_connection(("127.0.0.1", port), 20)
    for part in [header] if at_once else [header[i:i + 1] for i in range(len(header))]:
        s.sendall(part)
    return s


def deliver(s, mark):
    f = s.makefile("rb")

    def say(line, want):
        if line is not None:
            s.sendall(line + b"\r\n")
        while (got := f.readline())[3:4] == b"-":
            pass
        assert got.startswith(want), got

    say(None, b"220 ")
    for line, want in [(b"EHLO client.example", b"250 "), (b"MAIL FROM:<ann@example.org>", b"250 "), (b"RCPT TO:<u1@demo.test>", b"250 "), (b"DATA", b"354 "),
                       (b"Subject: " + mark + b"\r\n\r\nx\r\n.", b"250 "), (b"QUIT", b"221 ")]:
        say(line, want)
    s.close()


def closed_unheard(port, header):
    s = socket.create_connection(("127.0.0.1", port), 20)
    try:
        s.sendall(header)
        return s.recv(100) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True
    finally:
        s.close()


def test_the_proxy_headers_client_stands_in_received(proxied):
    p = proxied(["127.0.0.0/8"])
    waiting = [through(p.smtp, header, at_once=n % 2 == 0) for n, (header, _) in enumerate(HEADERS)]  # some are given on from one process to another
    for n, s in enumerate(waiting):
        deliver(s, b"proxied-%d" % n)
    m = imap(p.plain, "u1@demo.test")
    received = {}
    for body in fetch_all(m).values():
        if found := re.search(rb"Subject: proxied-(\d)\r\n", body):
            received[int(found[1])] = re.search(rb"\r\nReceived: ([^\r]*)", re.sub(rb"\r\n[ \t]+", b" ", body))[1]
    m.logout()
    for n, (_, ip) in enumerate(HEADERS):
        want = f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
        assert want.encode() in received[n], received[n]


def test_the_header_comes_before_tls_and_serves_imap_too(proxied):
    p = proxied(["127.0.0.0/8"])
    s = tls(p.plain).wrap_socket(through(p.imaps, HEADERS[3][0]), server_hostname="localhost")
    assert read_line(s).startswith(b"* OK")
    s.close()
    s = through(p.imap, HEADERS[0][0] + b"a NOOP\r\n")  # what follows in the same packet belongs to the session
    assert read_line(s).startswith(b"* OK") and read_line(s).startswith(b"a OK")
    s.close()


@pytest.mark.parametrize("header", [b"EHLO x\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 300.2.3.4 127.0.0.1 1 2\r\n", b"PROXY " + b"A" * 200 + b"\r\n",
                                    V2 + b"\x31\x11\x00\x0c" + bytes(12), V2 + b"\x21\x11\x00\x04" + bytes(4), V2 + b"\x2f\x11\x00\x0c" + bytes(12)])
def test_a_missing_or_broken_header_ends_the_connection(proxied_once, header):
    assert closed_unheard(proxied_once.smtp, header)


@pytest.fixture(scope="module")
def proxied_once(tmp_path_factory):
    from conftest import Server
    server = Server(tmp_path_factory.mktemp("proxy") / "demo", "--accounts", 1)
    p = Proxied(server, ["127.0.0.0/8"])
    yield p
    p.stop()


def test_a_header_from_a_network_that_is_not_trusted_is_refused(proxied):
    p = proxied(["192.0.2.0/24", "2001:db8::/32"])
    for header, _ in HEADERS:
        assert closed_unheard(p.smtp, header)
    send(p.plain, "u1@demo.test", "Subject: plain\r\n\r\nx\r\n")  # the plain listener takes no header and needs no trust
    p.write(["127.0.0.1"])
    assert p.cli("reload").returncode == 0
    deliver(through(p.smtp, HEADERS[0][0]), b"trusted now")


def test_a_plain_listener_takes_no_proxy_header(server):
    s = socket.create_connection(("127.0.0.1", server.smtp), 20)
    assert read_line(s).startswith(b"220 ")
    s.sendall(HEADERS[0][0])
    assert read_line(s).startswith(b"500 ")
    s.close()
