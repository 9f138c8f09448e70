"""What a connection to another server has to prove: MTA-STS in force, with a web server and an authority of the test's own; and what is reported about it."""
import datetime
import email
import gzip
import http.server
import json
import re
import smtplib
import ssl
import subprocess
import threading
import urllib.request

import pytest

from conftest import PASSWORD, Server
from helpers import wait_for
from relay_world import Peer, drop, fill, free_port, relay_env, zone_text

SITES = {"good.example": "127.0.4.1", "wrong.example": "127.0.4.2", "plain.example": "127.0.4.3", "other.example": "127.0.4.4", "seen.example": "127.0.4.5", "broken.example": "127.0.4.6"}
WEB = "127.0.4.100"
NO_WEB = "127.0.4.101"  # nobody listens there


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
    wishes = "".join(f"_smtp._tls.{d}. IN TXT \"v=TLSRPTv1; rua=mailto:tls@{d}\"\n" for d in ("seen.example", "broken.example"))
    dark = f"_mta-sts.dark.example. IN TXT \"v=STSv1; id=1\"\nmta-sts.dark.example. IN A {NO_WEB}\n"
    zone = zone_text(*SITES.items(), ("dark.example", "127.0.4.7"), policies, wishes, dark)
    web = http.server.ThreadingHTTPServer((WEB, web_port), Policies)
    web.socket = ca.context(*[f"mta-sts.{d}" for d in SITES]).wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    env = relay_env(top, port, zone, roots=f'"{top}/ca/ca.pem"')
    env["LETTERLOCK_RELAY"] += f"\n}}\nsts {{\nport = {web_port}\n"
    peers = {"good.example": Peer(port, SITES["good.example"], tls=ca.context("mx.good.example")), "wrong.example": Peer(port, SITES["wrong.example"], tls=ca.context("mx.elsewhere.example")),
             "plain.example": Peer(port, SITES["plain.example"]), "other.example": Peer(port, SITES["other.example"], tls=ca.context("mx.other.example")),
             "dark.example": Peer(port, "127.0.4.7", tls=ca.context("mx.dark.example"), extensions=("8BITMIME", "REQUIRETLS")), "seen.example": Peer(port, SITES["seen.example"], tls=ca.context("mx.seen.example")), "broken.example": Peer(port, SITES["broken.example"], tls=ca.context("mx.elsewhere.example"))}
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


@pytest.mark.parametrize("domain", ["wrong.example", "plain.example", "other.example", "broken.example"])
def test_enforce_keeps_mail_back_from_a_wrong_certificate_broken_tls_clear_text_and_a_host_it_does_not_name(world, domain):
    fill(world, to=f"x@{domain}")
    row = wait_for(lambda: [r for r in rows(world, "--domain", domain) if r["attempts"]], 20)[0]
    assert row["state"] in ("deferred", "sending") and world.peers[domain].taken == [], row
    refused = world.cli("probe", "send", f"x@{domain}", "--no-data", check=False)
    assert refused.returncode == 4 and "MTA-STS: enforce" in refused.stdout
    drop(world, "--domain", domain)


def submit(world, sender, to, *options):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL("localhost", world.submissions, context=context) as s:
        s.login(sender, PASSWORD)
        s.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: hello\r\n\r\nhello\r\n", mail_options=options)


def test_requiretls_waits_while_the_policy_cannot_be_had_and_holds_up_nobody_else(world):
    """RFC 8689 wants the host proved by MTA-STS; the domain has a record, and its web server does not answer. With BY=..R the end of its life comes soon."""
    peer = world.peers["dark.example"]
    submit(world, "bob@demo.test", "whole@dark.example", "REQUIRETLS")
    row = wait_for(lambda: [r for r in rows(world, "--to", "whole@dark.example") if r["attempts"] >= 2], 20)[0]
    assert row["state"] in ("deferred", "sending") and "MTA-STS" in row["reason"] and "cannot be had" in row["reason"], row
    submit(world, "bob@demo.test", "plain@dark.example")
    done = wait_for(lambda: rows(world, "--state", "done", "--to", "plain@dark.example"), 20)[0]
    assert done["state"] == "sent" and done["attempts"] == 1, done
    assert not [e for e in world.events("queue.down") if e.get("dom") == "dark.example"]
    assert [to for _, to, _ in peer.taken] == [["plain@dark.example"]]
    drop(world, "--to", "whole@dark.example")
    submit(world, "bob@demo.test", "late@dark.example", "REQUIRETLS", "BY=3;R")
    done = wait_for(lambda: rows(world, "--state", "done", "--to", "late@dark.example"), 20)[0]
    assert done["state"] in ("bounced", "expired") and done["attempts"] > 1 and len(peer.taken) == 1, done


def noted(server):
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics}/metrics").read().decode()
    return int(re.search(r"letterlock_tls_noted_total (\d+)", text)[1])


def tls_report(message):
    m = email.message_from_bytes(message)
    assert m.get_content_type() == "multipart/report" and m.get_param("report-type") == "tlsrpt", m
    part = [p for p in m.walk() if p.get_content_type() == "application/tlsrpt+gzip"][0]
    assert part.get_filename().endswith(".json.gz")
    return m, json.loads(gzip.decompress(part.get_payload(decode=True)))


def test_sessions_are_reported_to_whom_smtp_tls_names_even_where_tls_is_broken(world):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = noted(world)
    with smtplib.SMTP_SSL("localhost", world.submissions, context=context) as s:
        s.login("alice@demo.test", PASSWORD)
        for d in ("seen.example", "broken.example"):
            s.sendmail("alice@demo.test", [f"x@{d}"], f"From: alice@demo.test\r\nTo: x@{d}\r\nSubject: hello\r\n\r\nhello\r\n")
    wait_for(lambda: noted(world) >= before + 2 and world.peers["seen.example"].taken, 20)
    assert world.peers["broken.example"].taken == []
    drop(world, "--to", "x@broken.example")
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    for d in ("seen.example", "broken.example"):
        sent = [json.loads(line) for line in world.cli("report", "send", "--day", day, "--domain", d, "--json").stdout.splitlines()]
        assert [(s["domain"], s["to"], s["state"]) for s in sent] == [(d, f"tls@{d}", "sent")], sent
    # RFC 8460 3: "sending MTAs MUST deliver reports despite any TLS-related failures".
    wait_for(lambda: len(world.peers["seen.example"].taken) == 2 and world.peers["broken.example"].taken, 20)
    for d, type_of_failure in (("seen.example", None), ("broken.example", "certificate-host-mismatch")):
        sender, to, message = world.peers[d].taken[-1]
        head, report = tls_report(message)
        assert to == [f"tls@{d}"] and head["TLS-Report-Domain"] == d and head["TLS-Report-Submitter"] == "demo.test"
        assert re.match(rf"Report Domain: {d}\s+Submitter: demo\.test\s+Report-ID: <", head["Subject"])
        assert report["date-range"]["start-datetime"].startswith(day) and report["contact-info"]
        (policy,) = report["policies"]
        assert policy["policy"]["policy-type"] == "sts" and policy["policy"]["policy-domain"] == d
        assert policy["policy"]["policy-string"] == ["version: STSv1", "mode: enforce", f"mx: mx.{d}", "max_age: 86400"]
        details = policy.get("failure-details", [])
        if type_of_failure is None:
            assert policy["summary"] == {"total-successful-session-count": 1, "total-failure-session-count": 0} and not details
            continue
        failed = policy["summary"]["total-failure-session-count"]
        assert failed >= 1 and policy["summary"]["total-successful-session-count"] == 0
        assert {f["result-type"] for f in details} == {type_of_failure} and sum(f["failed-session-count"] for f in details) == failed
        assert details[0]["receiving-mx-hostname"] == f"mx.{d}" and details[0]["receiving-ip"] == SITES[d]


def test_trusted_certificates_that_do_not_parse_are_told_and_mail_that_needs_none_goes_on(fresh, tmp_path):
    """As with a file that is missing: nobody is verified by an authority, and what wants that waits."""
    (tmp_path / "roots.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    port = free_port()
    peer = Peer(port, "127.0.4.8")
    s = fresh(env=relay_env(tmp_path, port, zone_text(("spoilt.example", "127.0.4.8")), roots=f'"{tmp_path}/roots.pem"'))
    fill(s, to="x@spoilt.example")
    row = wait_for(lambda: rows(s, "--state", "done", "--to", "x@spoilt.example"), 20)[0]
    assert row["state"] == "sent" and len(peer.taken) == 1, row
    told = s.events("queue.trouble")
    assert told and all(e["level"] == "error" and "trusted certificate 1 does not parse" in e["reason"] for e in told), told
    peer.stop()
