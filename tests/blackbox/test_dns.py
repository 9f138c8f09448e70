"""The resolver: local zones, a signed zone at a real name server, lies, silence, and the records that people are told to publish."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import PROGRAM, Server, tree

NSD = shutil.which("nsd", path="/usr/sbin:/usr/bin")
SIGN, KEYGEN = shutil.which("ldns-signzone"), shutil.which("ldns-keygen")

ZONE = """$ORIGIN {zone}.
$TTL 300
@ SOA ns1 host 1 3600 600 864000 77
  NS ns1
  MX 10 mail
  TXT "v=spf1 mx -all"
ns1 A 127.0.0.1
mail A 127.0.0.1
alias CNAME mail
*.wild TXT "any"
many TXT {many}
"""

TWO = """$ORIGIN two.zone.
$TTL 300
@ SOA ns1 host 1 3600 600 864000 77
  NS ns1
  NS ns2
  NS ns3
  MX 10 {mx}
  TXT "v=spf1 include:spf.plain.zone ip4:192.0.2.1 -all"
_dmarc TXT "v=DMARC1; p=reject; rua=mailto:x@two.zone"
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:x@two.zone,mailto:tls-reports@two.zone"
ns1 A 127.0.0.1
ns2 A 127.0.0.2
ns3 A 127.0.0.3
"""


def ask(server, kind, name):
    out = [json.loads(x) for x in server.cli("dns", "ask", kind, name, "--json", check=False).stdout.splitlines()]
    return out[0], [x["value"] for x in out[1:]]


def sandbox_row(server):
    rows = [json.loads(x) for x in server.cli("sandbox-test", "--json").stdout.splitlines()]
    rows = rows[0] if isinstance(rows[0], list) else rows
    return [r for r in rows if r["role"] == "resolver"][0]


@pytest.mark.parametrize("kind,name,status,values", [
    ("MX", "demo.test", "ok", ["10 mail.demo.test."]),
    ("MX", "DEMO2.test.", "ok", ["10 mail.demo.test."]),
    ("PTR", "1.0.0.127.in-addr.arpa", "ok", ["mail.demo.test."]),
    ("TXT", "nobody.demo.test", "nxdomain", []),
    ("TXT", "mta-sts.demo.test", "ok", ["v=spf1 a -all"]),
    ("MX", "mail.demo.test", "nodata", []),
    ("A", "example.com", "nxdomain", []),
    ("A", "a..b", "badname", []),
])
def test_the_demo_answers_from_its_own_zones_and_knows_nothing_else(server, kind, name, status, values):
    head, got = ask(server, kind, name)
    assert (head["status"], got) == (status, values)


def test_the_demos_resolver_has_no_network(server):
    row = sandbox_row(server)
    assert row["holds"] and row["connect"] == 1
    assert "libunbound" not in pathlib.Path(f"/proc/{row['pid']}/maps").read_text()


def test_no_role_but_the_resolver_carries_libunbound(resolving):
    s = resolving["server"]
    for p in s.status()["processes"]:
        assert ("libunbound" in pathlib.Path(f"/proc/{p['pid']}/maps").read_text()) == (p["role"] == "resolver"), p


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sign(top, zone, spoil=False):
    text = ZONE.format(zone=zone, many=" ".join('"' + "x" * 250 + '"' for _ in range(20)))
    (top / zone).write_text(text)
    key = subprocess.run([KEYGEN, "-k", "-a", "ECDSAP256SHA256", zone], cwd=top, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([SIGN, "-n", zone, key], cwd=top, check=True, capture_output=True)
    signed = top / (zone + ".signed")
    if spoil:
        signed.write_text(signed.read_text().replace("v=spf1 mx -all", "v=spf1 mx +all"))
    return (top / (key + ".ds")).read_text().strip()


def wait_for_nsd(port, nsd, address="127.0.0.1", zone=b"\5plain\4zone\0"):
    question = bytes.fromhex("000100000001000000000000") + zone + b"\0\6\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        for _ in range(50):
            assert nsd.poll() is None, "nsd ended"
            s.sendto(question, (address, port))
            try:
                if s.recv(512):
                    return
            except OSError:
                time.sleep(0.05)
    raise AssertionError("nsd does not answer")


def run_nsd(top, address, port, zones):
    conf = f'server:\n ip-address: {address}@{port}\n username: ""\n database: ""\n zonesdir: "{top}"\n pidfile: "{top}/{address}.pid"\n' \
           f' xfrdfile: "{top}/{address}.xfrd"\n zonelistfile: "{top}/{address}.zl"\n logfile: "{top}/{address}.log"\nremote-control:\n control-enable: no\n'
    conf += "".join(f'zone:\n name: "{z}"\n zonefile: "{f}"\n' for z, f in zones.items())
    (top / f"{address}.conf").write_text(conf)
    return subprocess.Popen([NSD, "-d", "-c", str(top / f"{address}.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def resolving(tmp_path_factory):
    """A server whose resolver asks an nsd on loopback with a signed, a spoiled and an unsigned zone."""
    if not (NSD and SIGN and KEYGEN):
        pytest.skip("nsd or ldnsutils is not installed: skipped")
    top = tmp_path_factory.mktemp("nsd")
    port = free_port()
    anchors = [sign(top, "signed.zone"), sign(top, "spoiled.zone", spoil=True)]
    (top / "plain.zone").write_text(ZONE.format(zone="plain.zone", many='"x"'))
    (top / "anchor").write_text("\n".join(anchors) + "\n")
    (top / "two.zone").write_text(TWO.format(mx="mail.demo.test."))
    (top / "two.zone.old").write_text(TWO.format(mx="old.two.zone."))
    zones = {"signed.zone": "signed.zone.signed", "spoiled.zone": "spoiled.zone.signed", "plain.zone": "plain.zone", "two.zone": "two.zone"}
    nsd = run_nsd(top, "127.0.0.1", port, zones)
    wait_for_nsd(port, nsd)
    local = top / "local.zone"
    local.write_text("$TTL 60\nexample. SOA n h 1 2 3 4 5\nlocal.zone. SOA n h 1 2 3 4 5\nout.local.zone. CNAME mail.plain.zone.\n"
                     "; TIMEOUT slow.local.zone. TXT\n; BOGUS lie.local.zone. TXT\n")
    dns = f'forwarder = "127.0.0.1@{port}"\ntrust_anchor = "{top}/anchor"\nzones = "{local} {top}/demo/demo.zone"\ntimeout = 3s\nport = {port}'
    s = Server(top / "demo", env={"LETTERLOCK_DNS": dns})
    yield {"server": s, "top": top, "port": port, "nsd": nsd}
    code = s.stop()
    if nsd.poll() is None:
        nsd.terminate()
    nsd.wait(10)
    assert code == 0


@pytest.mark.parametrize("kind,name,status,secure,values", [
    ("TXT", "signed.zone", "ok", True, ["v=spf1 mx -all"]),
    ("A", "alias.signed.zone", "ok", True, ["127.0.0.1"]),
    ("TXT", "a.wild.signed.zone", "ok", True, ["any"]),
    ("TXT", "many.signed.zone", "ok", True, ["x" * 5000]),
    ("TXT", "nobody.signed.zone", "nxdomain", True, []),
    ("AAAA", "mail.signed.zone", "nodata", True, []),
    ("TXT", "plain.zone", "ok", False, ["v=spf1 mx -all"]),
    ("A", "nobody.plain.zone", "nxdomain", False, []),
    ("TXT", "spoiled.zone", "bogus", False, []),
    ("A", "mail.spoiled.zone", "ok", True, ["127.0.0.1"]),
    ("TXT", "elsewhere.zone", "tempfail", False, []),
    ("A", "out.local.zone", "ok", False, ["127.0.0.1"]),
    ("TXT", "slow.local.zone", "tempfail", False, []),
    ("TXT", "lie.local.zone", "bogus", False, []),
])
def test_what_the_resolver_answers_and_whether_it_is_secure(resolving, kind, name, status, secure, values):
    head, got = ask(resolving["server"], kind, name)
    assert (head["status"], head["secure"], got) == (status, secure, values), head
    if status == "nxdomain":
        assert 0 < head["ttl"] <= 77
    if status in ("bogus", "tempfail"):
        assert head["why"]


def test_a_resolver_with_network_dials_its_ports_only(resolving):
    row = sandbox_row(resolving["server"])
    assert row["holds"] and row["connect"] in (1, 13), row


def test_a_dead_server_is_a_temporary_failure_within_the_deadline(resolving):
    s = resolving["server"]
    try:
        for p in tree(resolving["nsd"].pid):
            os.kill(p, signal.SIGSTOP)  # alive, silent
        begun = time.monotonic()
        head, _ = ask(s, "A", f"fresh{time.time_ns()}.plain.zone")
        assert head["status"] == "tempfail"
        assert time.monotonic() - begun < 6
        assert ask(s, "TXT", "plain.zone")[0]["status"] == "ok"  # what is known needs no server
    finally:
        for p in tree(resolving["nsd"].pid):
            os.kill(p, signal.SIGCONT)


def test_a_killed_resolver_is_back_and_answers(resolving):
    s = resolving["server"]
    os.kill(s.pids("resolver")[0], 9)
    deadline = time.monotonic() + 10
    while ask(s, "TXT", "signed.zone")[0]["status"] != "ok":
        assert time.monotonic() < deadline


def checks(server, domain, expect):
    p = server.cli("dns", "check", domain, "--json", check=False)
    assert p.returncode == expect, p.stdout + p.stderr
    return {(r["name"], r["type"]): r for r in map(json.loads, p.stdout.splitlines())}


def test_check_asks_the_zones_own_servers_and_says_is_and_should_be(resolving):
    rows = checks(resolving["server"], "plain.zone", 4)
    mx = rows["plain.zone", "MX"]
    assert mx["result"] == "different" and mx["is"] == "10 mail.plain.zone." and mx["should_be"] == "10 mail.demo.test."
    spf = rows["plain.zone", "TXT"]  # its mx has no IPv6 address, this machine has one
    assert spf["result"] == "different" and spf["is"].startswith("v=spf1 mx -all (for ::1 it says fail: "), spf
    assert rows["_dmarc.plain.zone", "TXT"]["result"] == "missing"


def test_check_asks_every_server_names_the_one_that_lags_and_keeps_what_is_the_owners(resolving):
    """ns1 is right, ns2 has an old zone, nobody is at ns3."""
    old = run_nsd(resolving["top"], "127.0.0.2", resolving["port"], {"two.zone": "two.zone.old"})
    try:
        wait_for_nsd(resolving["port"], old, "127.0.0.2", b"\3two\4zone\0")
        rows = checks(resolving["server"], "two.zone", 4)
    finally:
        old.terminate()
        old.wait(10)
    mx = rows["two.zone", "MX"]
    assert (mx["result"], mx["is"], mx["should_be"]) == ("different", "10 old.two.zone.", "10 mail.demo.test.")
    assert (mx["servers"], mx["answered"], mx["at"]) == (3, 2, "ns2.two.zone (127.0.0.2)")
    spf = rows["two.zone", "TXT"]
    assert spf["result"] == "different" and spf["at"] == "" and "for 127.0.0.1 it says permerror" in spf["is"], spf
    assert spf["should_be"] == "v=spf1 mx include:spf.plain.zone ip4:192.0.2.1 -all"
    assert rows["_dmarc.two.zone", "TXT"]["should_be"] == "v=DMARC1; p=reject; rua=mailto:x@two.zone,mailto:dmarc-reports@two.zone"
    assert rows["_smtp._tls.two.zone", "TXT"]["result"] == "ok"


def test_check_says_what_it_could_not_check(resolving):
    rows = checks(resolving["server"], "elsewhere.zone", 4)
    assert {r["result"] for (n, t), r in rows.items() if n.endswith("elsewhere.zone")} == {"could not check"}


def test_everything_that_the_demo_needs_is_in_its_own_zone(server):
    rows = checks(server, "demo.test", 0)
    assert {r["result"] for r in rows.values()} == {"ok", "not used"}, rows
    assert {t for (_, t), r in rows.items() if r["result"] == "ok"} == {"MX", "TXT", "A", "PTR", "TLSA", "SRV", "CNAME"}
    assert sum("._domainkey." in n for n, _ in rows) == 2
    unused = [r for r in rows.values() if r["result"] == "not used"]
    assert unused and all(r["because"] and not r["needed"] for r in unused)
    assert server.cli("dns", "check", "demo.test").stdout.splitlines()[-1] == "8 of 8 needed records are right"


def test_the_demos_keys_sign_soon(server):
    deadline = time.monotonic() + 20
    while any(json.loads(x)["state"] != "signing" for x in server.cli("dkim", "list", "demo.test", "--json").stdout.splitlines()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_domain_that_is_not_ours_is_said_to_be_none(server):
    p = server.cli("dns", "show", "stranger.test")
    assert "stranger.test is not a domain of this server yet" in p.stderr and "letterlock domain add" in p.stderr
    assert " stranger.test " in p.stdout


LATE = """$TTL 60
late.test. SOA n h 1 2 3 4 5
late.test. NS mail.demo.test.
late.test. MX 10 mail.demo.test.
{spf}
_dmarc.late.test. TXT "v=DMARC1; p=none; rua=mailto:dmarc-reports@late.test"
demo.test. SOA n h 1 2 3 4 5
mail.demo.test. A 127.0.0.1
mail.demo.test. NS mail.demo.test.
127.in-addr.arpa. SOA n h 1 2 3 4 5
127.in-addr.arpa. NS mail.demo.test.
1.0.0.127.in-addr.arpa. PTR mail.demo.test.
"""


def test_a_reload_reads_zones_again_all_or_nothing_and_wait_ends_when_all_is_right(fresh, tmp_path):
    file = tmp_path / "late.zone"
    file.write_text(LATE.format(spf=""))
    s = fresh(env={"LETTERLOCK_DNS": f'forwarder = "none"\nzones = "{file}"'})
    waiting = subprocess.Popen([PROGRAM, "dns", "check", "late.test", "--wait", "--config", s.config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in waiting.stdout:
        if line.startswith("waiting"):
            break
    assert line == "waiting: 1 needed record is not right yet\n"
    file.write_text(LATE.format(spf="late.test. TXT broken\" \\"))
    p = s.cli("reload", check=False)
    assert p.returncode == 1 and f"dns.zones: {file}: line 5" in p.stderr, p.stderr
    assert ask(s, "MX", "late.test")[1] == ["10 mail.demo.test."], "the old zones stay"
    file.write_text(LATE.format(spf='late.test. TXT "v=spf1 mx -all"'))
    s.cli("reload")
    out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0 and "5 of 5 needed records are right" in out, out


def test_the_demos_records_are_right_and_the_wrong_one_is_found(server):
    p = server.cli("dns", "check", "demo2.test", "--json", check=False)
    rows = {(r["name"], r["type"]): r for r in map(json.loads, p.stdout.splitlines())}
    assert rows["demo2.test", "MX"]["result"] == "ok" and rows["demo2.test", "TXT"]["result"] == "ok"
    sts = rows["_mta-sts.demo2.test", "TXT"]
    assert (sts["result"], sts["is"]) == ("different", "v=STS1; id=1")
    assert rows["1.0.0.127.in-addr.arpa", "PTR"]["result"] == "ok"


def test_the_mta_sts_policy_is_printed_for_a_web_server(server):
    text = server.cli("dns", "show", "demo.test", "--sts-policy").stdout
    assert text == "version: STSv1\nmode: none\nmx: mail.demo.test\nmax_age: 604800\n", text
    assert json.loads(server.cli("dns", "show", "demo.test", "--sts-policy", "--json").stdout)["policy"] == text.replace("\n", "\r\n")


def test_show_is_a_zone_file_that_a_name_server_takes(server, tmp_path):
    if not shutil.which("nsd-checkzone", path="/usr/sbin:/usr/bin"):
        pytest.skip("nsd-checkzone is not installed: skipped")
    zone = server.cli("dns", "show", "demo.test", "--zone").stdout
    (tmp_path / "z").write_text("demo.test. 60 IN SOA n h 1 2 3 4 5\ndemo.test. 60 IN NS mail.demo.test.\nmail.demo.test. 60 IN A 127.0.0.1\n" + zone)
    p = subprocess.run([shutil.which("nsd-checkzone", path="/usr/sbin:/usr/bin"), "demo.test", str(tmp_path / "z")], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr
    assert len([x for x in zone.splitlines() if not x.startswith(";")]) >= 8
    assert "; in another zone than that of demo.test\n; 1.0.0.127.in-addr.arpa. 3600 IN PTR mail.demo.test.\n" in zone
