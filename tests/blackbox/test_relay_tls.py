"""What a connection to another server has to prove: MTA-STS in force, with a web server and an authority of the test's own."""
import http.server
import json
import ssl
import subprocess
import threading

import pytest

from conftest import Server
from helpers import wait_for
from relay_world import Peer, fill, free_port, relay_env, zone_text

SITES = {"good.example": "127.0.4.1", "wrong.example": "127.0.4.2", "plain.example": "127.0.4.3", "other.example": "127.0.4.4"}
WEB = "127.0.4.100"


class Authority:
    def __init__(self, d):
        self.d = d
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem")

    def run(self, *args):
        subprocess.run(["openssl", *args], cwd=self.d, check=True, capture_output=True)

    def context(self, *names):
        n = names[0]
        (self.d / "ext").write_text("subjectAltName=" + ",".join("DNS:" + x for x in names))
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + n, "-keyout", n + ".key", "-out", n + ".csr")
        self.run("x509", "-req", "-in", n + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", n + ".pem")
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(self.d / (n + ".pem"), self.d / (n + ".key"))
        return c


class Policies(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        domain = self.headers["Host"].split(":")[0].removeprefix("mta-sts.")
        body = f"version: STSv1\r\nmode: enforce\r\nmx: {'mail.elsewhere.example' if domain == 'other.example' else 'mx.' + domain}\r\nmax_age: 86400\r\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    top = tmp_path_factory.mktemp("sts")
    (top / "ca").mkdir()
    ca = Authority(top / "ca")
    port, web_port = free_port(), free_port()
    policies = "".join(f"_mta-sts.{d}. IN TXT \"v=STSv1; id=1\"\nmta-sts.{d}. IN A {WEB}\n" for d in SITES)
    zone = zone_text(*SITES.items(), policies)
    web = http.server.ThreadingHTTPServer((WEB, web_port), Policies)
    web.socket = ca.context(*[f"mta-sts.{d}" for d in SITES]).wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    env = relay_env(top, port, zone, roots=f'"{top}/ca/ca.pem"')
    env["LETTERLOCK_RELAY"] += f"\n}}\nsts {{\nport = {web_port}\n"
    peers = {"good.example": Peer(port, SITES["good.example"], tls=ca.context("mx.good.example")), "wrong.example": Peer(port, SITES["wrong.example"], tls=ca.context("mx.elsewhere.example")),
             "plain.example": Peer(port, SITES["plain.example"]), "other.example": Peer(port, SITES["other.example"], tls=ca.context("mx.other.example"))}
    s = Server(top / "demo", env=env)
    s.peers = peers
    yield s
    for p in peers.values():
        p.stop()
    web.shutdown()
    assert s.stop() == 0


def rows(server, *args):
    return [json.loads(line) for line in server.cli("queue", "list", "--json", *args, check=False).stdout.splitlines()]


def test_enforce_lets_mail_through_where_everything_is_right(world):
    fill(world, to="x@good.example")
    row = wait_for(lambda: rows(world, "--state", "done", "--to", "x@good.example"), 20)[0]
    assert row["state"] == "sent" and "TLSv1.3" in row["tls"], row
    trace = world.cli("probe", "send", "x@good.example", "--no-data").stdout
    assert "MTA-STS: enforce" in trace and "would be taken" in trace, trace


@pytest.mark.parametrize("domain", ["wrong.example", "plain.example", "other.example"])
def test_enforce_keeps_mail_back_from_a_wrong_certificate_from_clear_text_and_from_a_host_it_does_not_name(world, domain):
    fill(world, to=f"x@{domain}")
    row = wait_for(lambda: [r for r in rows(world, "--domain", domain) if r["attempts"]], 20)[0]
    assert row["state"] in ("deferred", "sending") and world.peers[domain].taken == [], row
    refused = world.cli("probe", "send", f"x@{domain}", "--no-data", check=False)
    assert refused.returncode == 4 and "MTA-STS: enforce" in refused.stdout
    world.cli("queue", "drop", "--domain", domain, "--yes")
