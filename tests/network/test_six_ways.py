"""Mail between two Letterlock servers and a Postfix over a small internet with DNSSEC, DANE and MTA-STS (tests/network/world.py)."""
import os
import re
import shutil
import tempfile

import pytest

from world import World, missing, wait_for

if os.geteuid() != 0 or missing():
    pytest.skip("skipped: network namespaces need root and " + (", ".join(missing()) or "nothing else"), allow_module_level=True)


@pytest.fixture(scope="module")
def world():
    w = World(tempfile.mkdtemp(prefix="letterlock-world-")) # not pytest's: Postfix's own users must be able to enter it
    try:
        if why := w.why_none():
            pytest.skip(f"skipped: no network namespaces here: {why}")
        w.make_namespaces()
        w.make_certificates()
        w.make_zones()
        w.make_web()
        w.make_postfix()
        for host in "ab":
            w.make_letterlock(host, f'relay {{\n  roots = "{w.top}/ca.pem"\n}}\n')
        w.publish_keys()
        yield w
    finally:
        w.stop()
        shutil.rmtree(w.top, ignore_errors=True)


def trace(world, mid, host="a"):
    """What `letterlock trace` says of a message, once it has had an attempt."""
    def look():
        said = world.cli(host, "trace", mid, check=False)
        return said if re.search(r"^\S+ \S+ +[0-9A-Z]{8} +(sent|deferred|bounced)$", said, flags=re.M) else None
    said = wait_for(look, 30, words=lambda: f"no attempt in the trace:\n{world.cli(host, 'trace', mid, check=False)}\n{world.cli(host, 'queue', 'list', check=False)}")
    print(said)
    return said


def submit(world, to, subject, host="a"):
    said = world.submit(host, to, subject)
    found = re.search(r"250 2\.0\.0 .*?\b([0-9A-Z]{8})\b", said)
    assert found, said
    return found.group(1)


def find(messages, words, world):
    """The one message with these words, once it is there."""
    return wait_for(lambda: next((m for m in messages() if words in m), None), 20, words=lambda: f"no message with {words!r}\n" + (world.top / "p" / "maillog").read_text()[-2000:])


WAYS = [("a", "b"), ("b", "a"), ("a", "p"), ("p", "a"), ("b", "p"), ("p", "b")]


@pytest.mark.parametrize("source,target", WAYS, ids=[f"{s}-to-{t}" for s, t in WAYS])
def test_mail_flows_all_six_ways(world, source, target):
    subject, to = f"from {source} to {target}", f"bob@{target}.example"
    if source == "p":
        world.postfix_send(to, subject)
    else:
        mid = submit(world, to, subject, source)
        assert "verified" in trace(world, mid, source)
    text = find(lambda: world.postfix_mail(to) if target == "p" else world.inbox(target), subject, world)
    if source != "p":
        assert "DKIM-Signature:" in text
    if target != "p":
        assert "spf=pass" in text and "dmarc=pass" in text and ("dkim=pass" in text) == (source != "p"), text


@pytest.mark.parametrize("domain,outcome,words", [
    ("p.example", "sent", "DANE"),
    ("sts-good.example", "sent", "MTA-STS"),
    ("sts-testing.example", "sent", ""),
    ("plain.example", "sent", "none"),
], ids=["dane", "mta-sts-enforce", "mta-sts-testing", "no-tls-there"])
def test_what_may_be_delivered_is(world, domain, outcome, words):
    mid = submit(world, f"pat@{domain}", f"to {domain}")
    said = trace(world, mid)
    assert outcome in said and words in said
    find(lambda: world.postfix_mail(f"pat@{domain}"), f"about to {domain}", world)


@pytest.mark.parametrize("domain,words", [
    ("wrong-tlsa.example", "TLSA"),
    ("sts-bad.example", "MTA-STS"),
    ("sts-badcert.example", "MTA-STS"),
], ids=["dane-mismatch", "mta-sts-other-mx", "mta-sts-wrong-name"])
def test_what_must_not_be_delivered_waits_and_says_why(world, domain, words):
    mid = submit(world, f"pat@{domain}", f"to {domain}")
    said = trace(world, mid)
    assert "deferred" in said and not re.search(r"\bsent\b", said) and words in said
    assert world.postfix_mail(f"pat@{domain}") == []


def test_a_domain_that_takes_no_mail_is_told_at_once(world):
    mid = submit(world, "pat@null.example", "to nobody")
    assert "bounced" in trace(world, mid)
    text = find(lambda: world.inbox("a", "ann"), "to nobody", world)
    assert "multipart/report" in text and "5.1.10" in text


def test_a_partner_without_verified_tls_waits(world):
    world.cli("a", "route", "add", "plain.example", "--tls", "verified")
    try:
        mid = submit(world, "sam@plain.example", "for a partner")
        assert "deferred" in trace(world, mid)
        assert world.postfix_mail("sam@plain.example") == []
    finally:
        world.cli("a", "route", "remove", "plain.example", "--yes")
