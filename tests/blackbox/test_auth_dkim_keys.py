"""DKIM keys by the verbs: made with their domain, listed with the records to publish, retired, revoked, forgotten with the domain."""
import base64
import json
import re

from cryptography.hazmat.primitives.serialization import load_der_public_key

import conftest
from helpers import wait_for


def keys(server, domain):
    p = server.cli("dkim", "list", domain, "--json", check=False)
    return [json.loads(line) for line in p.stdout.splitlines()]


def test_a_new_domain_has_a_pair_of_keys_waiting_to_be_published(server):
    server.cli("domain", "add", "dkim-a.example")
    both = {k["kind"]: k for k in keys(server, "dkim-a.example")}
    assert set(both) == {"rsa", "ed25519"}
    for kind, k in both.items():
        assert k["state"] == "made" and k["dns"] in ("unknown", "absent")
        assert re.fullmatch(r"20\d{4}a-(rsa|ed)", k["selector"])
        assert k["name"] == f"{k['selector']}._domainkey.dkim-a.example"
        v, kk, p = k["record"].split("; ")
        assert (v, kk) == ("v=DKIM1", f"k={kind}")
        octets = base64.b64decode(p.removeprefix("p="), validate=True)
        if kind == "rsa":
            assert load_der_public_key(octets).key_size == 2048
        else:
            assert len(octets) == 32


def test_the_text_form_is_a_line_for_a_zone_file(server):
    server.cli("domain", "add", "dkim-b.example")
    out = server.cli("dkim", "list", "dkim-b.example").stdout
    line = next(x for x in out.splitlines() if "-rsa._domainkey.dkim-b.example. IN TXT (" in x)
    strings = re.findall(r'"([^"]*)"', line)
    assert len(strings) == 2 and all(len(s) <= 255 for s in strings)
    rsa = next(k for k in keys(server, "dkim-b.example") if k["kind"] == "rsa")
    assert "".join(strings) == rsa["record"]


def test_a_second_rotation_waits_for_the_first(server):
    server.cli("domain", "add", "dkim-c.example")
    p = server.cli("dkim", "rotate", "dkim-c.example", check=False)
    assert p.returncode == 1 and "publish its record" in p.stderr
    assert len(keys(server, "dkim-c.example")) == 2


def test_a_stranger_s_domain_gets_no_keys(server):
    p = server.cli("dkim", "rotate", "stranger.example", check=False)
    assert p.returncode == 3 and "not ours" in p.stderr


def test_a_key_is_retired_and_revoked_by_hand(server):
    server.cli("domain", "add", "dkim-d.example")
    ed, rsa = (next(k for k in keys(server, "dkim-d.example") if k["kind"] == kind) for kind in ("ed25519", "rsa"))
    server.cli("dkim", "retire", "dkim-d.example", rsa["selector"])
    assert server.cli("dkim", "retire", "dkim-d.example", rsa["selector"], check=False).returncode == 1
    assert server.cli("dkim", "revoke", "dkim-d.example", ed["selector"], check=False).returncode == 1, "nobody said yes"
    server.cli("dkim", "revoke", "dkim-d.example", ed["selector"], "--yes")
    now = {k["kind"]: k for k in keys(server, "dkim-d.example")}
    assert now["rsa"]["state"] == "retired" and now["ed25519"]["state"] == "revoked"
    assert now["ed25519"]["record"].endswith("p="), "RFC 6376 3.6.1: an empty p= says that the key is revoked"
    assert server.cli("dkim", "revoke", "dkim-d.example", "nothing", "--yes", check=False).returncode == 3
    server.cli("dkim", "rotate", "dkim-d.example")
    assert sorted(k["state"] for k in keys(server, "dkim-d.example")) == ["made", "made", "retired", "revoked"]


def test_a_domain_that_goes_takes_its_keys_along(server):
    server.cli("domain", "add", "dkim-e.example")
    assert keys(server, "dkim-e.example")
    server.cli("domain", "remove", "dkim-e.example", "--yes")
    assert server.cli("dkim", "list", "dkim-e.example", check=False).returncode == 3


def test_the_demo_s_zone_follows_a_rotation_and_a_revocation(fresh):
    s = fresh()
    old = {k["selector"] for k in keys(s, "demo.test")}
    for selector in old:  # as long as they are still to be published there is no rotation
        s.cli("dkim", "retire", "demo.test", selector, "--yes")
    s.cli("dkim", "rotate", "demo.test")
    made = wait_for(lambda: [k for k in keys(s, "demo.test") if k["selector"] not in old and k["dns"] == "seen" and k["state"] in ("published", "signing")], 20)
    assert {k["kind"] for k in made} == {"rsa", "ed25519"}
    name = made[0]["name"].removesuffix(".demo.test")
    assert name in (s.state / "demo.zone").read_text()
    s.cli("dkim", "revoke", "demo.test", made[0]["selector"], "--yes")
    wait_for(lambda: name not in (s.state / "demo.zone").read_text(), 20)
    assert made[1]["name"].removesuffix(".demo.test") in (s.state / "demo.zone").read_text()


def test_the_last_key_that_signs_is_not_retired_unasked(fresh):
    s = fresh()
    pair = wait_for(lambda: (k := keys(s, "demo.test")) and [x["state"] for x in k] == ["signing"] * 2 and k, 20)
    s.cli("dkim", "retire", "demo.test", pair[0]["selector"])
    assert "unsigned" not in s.cli("dns", "show", "demo.test").stderr
    for verb in ("retire", "revoke"):
        p = s.cli("dkim", verb, "demo.test", pair[1]["selector"], check=False)
        assert p.returncode == 1 and "go out unsigned" in p.stderr and "give --yes" in p.stderr
    s.cli("dkim", "retire", "demo.test", pair[1]["selector"], "--yes")
    assert {k["state"] for k in keys(s, "demo.test")} == {"retired"}
    assert "its mail goes out unsigned" in s.cli("dns", "show", "demo.test").stderr
    s.cli("dkim", "rotate", "demo.test")
    assert "unsigned" not in s.cli("dns", "show", "demo.test").stderr


def test_the_demo_s_zone_is_written_again_only_when_it_is_another(fresh, monkeypatch):
    s = fresh()
    monkeypatch.setattr(conftest, "free_base", lambda: s.smtp - 25)
    zone = s.state / "demo.zone"
    text, written = zone.read_text(), zone.stat().st_mtime_ns
    assert text.count("v=DKIM1") == 4
    s.stop()
    s.start()
    assert zone.stat().st_mtime_ns == written and zone.read_text() == text
    for spoilt in (text + "x A nonsense\n", text.replace('" )\n', " )\n"), text.replace("v=spf1", "v=spf2"), ""):
        s.stop()
        zone.write_text(spoilt)
        s.start()
        assert zone.read_text() == text
