"""Blocklists in the DNS (RFC 5782): off unless configured; a listing refuses or is only noted; whoever does not answer lists nobody. The lists are zones of the
server's own; 127.0.0.2, their test entry, is the one address of this machine that they are asked about."""
import smtplib

import pytest
from helpers import fetch_all, imap, wait_for

from conftest import PROGRAM, Server  # noqa: F401
from test_auth import mail, results

LISTED = ("127.0.0.2", 0)
ZONE = """$TTL 300
bl.example. SOA ns.example. host.example. 1 3600 600 864000 1
2.0.0.127.bl.example. A 127.0.0.4
2.0.0.127.bl.example. TXT "open relay, see https://bl.example/?ip=127.0.0.2"
note.example. SOA ns.example. host.example. 1 3600 600 864000 1
2.0.0.127.note.example. A 127.0.0.10
refuses.example. SOA ns.example. host.example. 1 3600 600 864000 1
2.0.0.127.refuses.example. A 127.255.255.254
parked.example. SOA ns.example. host.example. 1 3600 600 864000 1
2.0.0.127.parked.example. A 192.0.2.99
clean.example. SOA ns.example. host.example. 1 3600 600 864000 1
everybody.example. SOA ns.example. host.example. 1 3600 600 864000 1
1.0.0.127.everybody.example. A 127.0.0.2
2.0.0.127.everybody.example. A 127.0.0.2
; TIMEOUT 2.0.0.127.dead.example. A
dead.example. SOA ns.example. host.example. 1 3600 600 864000 1
"""


def server_with(top, refuse, note, more=""):
    (top / "bl.zone").write_text(ZONE)
    dns = f'forwarder = "none"\nzones = "{top}/bl.zone"\n}}\nblocklists {{\nrefuse = "{refuse}"\nnote = "{note}"\n}}\nauthentication {{\n{more}'
    return Server(top / "demo", env={"LETTERLOCK_DNS": dns})


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    s = server_with(tmp_path_factory.mktemp("lists"), "clean.example refuses.example parked.example everybody.example dead.example bl.example", "note.example")
    yield s
    assert s.stop() == 0


def client(server, source):
    return smtplib.SMTP("127.0.0.1", server.smtp, local_hostname="client.example", source_address=source)


def test_a_listed_client_is_refused_with_the_list_and_its_reason(lists):
    with client(lists, LISTED) as s:
        s.ehlo()
        assert s.mail("joe@good.example")[0] == 250
        code, text = s.rcpt("alice@demo.test")
        assert (code, text) == (550, b"5.7.1 127.0.0.2 is listed by bl.example: open relay, see https://bl.example/?ip=127.0.0.2")
        assert s.rcpt("nobody@demo.test")[0] == 550
        assert s.rcpt("dmarc-reports@demo.test")[1].startswith(b"5.7.1 127.0.0.2 is listed")
    rows = wait_for(lambda: lists.events("smtp.blocklist"))
    assert {(r["zone"], r["code"], r["action"]) for r in rows} == {("bl.example", "127.0.0.4", "refused"), ("note.example", "127.0.0.10", "noted")}


def test_who_is_listed_by_mistake_can_write_to_postmaster_and_every_listing_is_noted(lists):
    with client(lists, LISTED) as s:
        s.ehlo()
        s.mail("joe@good.example")
        assert s.rcpt("bob@demo.test")[0] == 550
        assert s.rcpt("postmaster@demo.test")[0] == 250
        assert s.data(mail("good.example"))[0] == 250
    got = [m for m in fetch_all(imap(lists, "alice@demo.test")).values() if b"x-dnsbl" in m]
    (m,) = got
    _, value = results(m)
    assert "x-dnsbl=fail dns.zone=bl.example policy.ip=127.0.0.4 policy.txt=\"open relay" in value
    assert "x-dnsbl=fail dns.zone=note.example policy.ip=127.0.0.10" in value


def test_others_are_not_asked_about_or_not_listed(lists):
    for source in (("127.0.0.1", 0), ("127.0.0.3", 0)):
        with client(lists, source) as s:
            s.ehlo()
            s.mail("joe@good.example")
            assert s.rcpt("carol@demo.test")[0] == 250
            assert s.data(mail("good.example"))[0] == 250
    assert not any(b"x-dnsbl" in m for m in fetch_all(imap(lists, "carol@demo.test")).values())


def test_refused_answers_parked_zones_and_silence_are_no_listing(tmp_path):
    s = server_with(tmp_path, "refuses.example parked.example dead.example clean.example", "note.example")
    try:
        with client(s, LISTED) as c:
            c.ehlo()
            c.mail("joe@good.example")
            assert c.rcpt("alice@demo.test")[0] == 250
            assert c.data(mail("good.example"))[0] == 250
        (m,) = [m for m in fetch_all(imap(s, "alice@demo.test")).values() if b"x-dnsbl" in m]
        assert results(m)[1].count("x-dnsbl=") == 1
        import urllib.request
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{s.metrics}/metrics").read().decode()
        counts = {k: int(float(v)) for k, v in (line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("letterlock_blocklist_total"))}
        assert counts['letterlock_blocklist_total{result="no answer"}'] == 3
        assert counts['letterlock_blocklist_total{result="clean"}'] == 1
        assert counts['letterlock_blocklist_total{result="noted"}'] == 1
    finally:
        assert s.stop() == 0


def test_a_trusted_forwarder_is_not_asked_about(tmp_path):
    s = server_with(tmp_path, "bl.example", "", 'trusted_forwarders = "127.0.0.2"\n')
    try:
        with client(s, LISTED) as c:
            c.ehlo()
            c.mail("joe@good.example")
            assert c.rcpt("alice@demo.test")[0] == 250
    finally:
        assert s.stop() == 0


def test_a_server_without_blocklists_asks_none(server):
    with client(server, LISTED) as c:
        c.ehlo()
        c.mail("joe@good.example")
        assert c.rcpt("alice@demo.test")[0] == 250


@pytest.mark.parametrize("line,why", [
    ('refuse = "bl"', 'blocklists.refuse: "bl" is no zone of a blocklist, such as bl.example.org'),
    ('note = "a..b.example"', 'blocklists.note: "a..b.example" is no zone of a blocklist'),
    ('note = "' + " ".join(f"l{i}.example" for i in range(9)) + '"', "blocklists.note names more than 8 lists"),
])
def test_a_wrong_list_is_refused_by_its_name(server, tmp_path, line, why):
    text = open(server.config).read() + f"\nblocklists {{\n{line}\n}}\n"
    (tmp_path / "c.conf").write_text(text)
    p = server.cli("config", "check", tmp_path / "c.conf", check=False)
    assert p.returncode == 4 and why in p.stderr, p.stderr
