"""Reports both ways: what was evaluated goes out as an aggregate report, what others send is read, and both say the same numbers. All DNS is the test's own."""
import base64
import datetime
import email
import gzip
import io
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import subprocess
import time
import urllib.request
import zipfile

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from conftest import PASSWORD, PROGRAM, ROOT
from helpers import fetch_all, imap, wait_for
from test_auth import ALIVE, ZONE, mail, listed, offer, results, txt  # noqa: F401

XSD = ROOT.parent / "shared" / "testdata" / "dmarc" / "xsd"
HOST = "mail.demo.test"
RUA = "mailto:u1@demo.test,mailto:dmarc-reports@demo.test"


TLS_SEED = bytes(range(32))


def key_record(seed, more=""):
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; {more}p=" + base64.b64encode(public).decode()


def wants(domain):
    return txt(f"{domain}._report._dmarc.demo.test", "v=DMARC1")


REPORT_ZONE = (
    ZONE.replace("rua=mailto:dmarc@good.example", "rua=" + RUA)
    .replace('_dmarc.watch.example. 300 IN TXT "v=DMARC1; p=none"', f'_dmarc.watch.example. 300 IN TXT "v=DMARC1; p=none; rua={RUA}"')
    + "demo.test. 300 IN SOA ns.demo.test. hostmaster.demo.test. 1 3600 600 864000 1\n" + wants("good.example") + wants("watch.example")
    + txt("small.example", "v=spf1 -all") + txt("_dmarc.small.example", "v=DMARC1; p=none; rua=mailto:u2@demo.test!1k") + wants("small.example")
    + txt("_dmarc.sly.example", "v=DMARC1; p=none; rua=mailto:u3@demo.test")
    + "; TIMEOUT far.example MX\n" + txt("_dmarc.far.example", "v=DMARC1; p=none; rua=mailto:dmarc@far.example")
    + txt("tls._domainkey.good.example", key_record(TLS_SEED, "s=tlsrpt; "))
    + txt("_dmarc.none.example", "v=DMARC1; p=none; rua=mailto:nobody-here@demo.test") + wants("none.example")
    + txt("_dmarc.moved.example", "v=DMARC1; p=none; rua=mailto:u4@demo.test") + txt("moved.example._report._dmarc.demo.test", "v=DMARC1; rua=mailto:u5@demo.test")
    + "; TIMEOUT lost.example._report._dmarc.demo.test TXT\n" + txt("_dmarc.lost.example", "v=DMARC1; p=none; rua=mailto:u3@demo.test"))


def server_with(make, file, zone=REPORT_ZONE, more="", accounts=30):
    file.write_text(zone)
    dns = f'forwarder = "none"\nzones = "{file}"\n}}\nauthentication {{\ntrusted_sealers = "lists.example"\n}}\nreports {{\nalso = "good.example watch.example in-a.example in-b.example in-c.example in-d.example in-many.example in-tls.example example.com"\n{more}'
    return make("--accounts", accounts, env={"LETTERLOCK_DNS": dns})


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    from conftest import Server
    top = tmp_path_factory.mktemp("reports")
    s = server_with(lambda *a, **kw: Server(top / "demo", *a, **kw), top / "test.zone")
    yield s
    assert s.stop() == 0


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


def noted(server):
    """How many messages the ledger has noted for reports."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics}/metrics").read().decode()
    return int(re.search(r"letterlock_dmarc_noted_total (\d+)", text)[1])


def send_reports(server, *args, check=False):
    p = server.cli("report", "send", "--json", *args, check=check)
    assert p.returncode in (0, 3), p.stderr
    return [json.loads(line) for line in p.stdout.splitlines()]


def view(server, *args, what="dmarc"):
    p = server.cli("report", what, "--json", *args, check=False)
    assert p.returncode in (0, 3), p.stderr
    return [json.loads(line) for line in p.stdout.splitlines()]


def inbox(server, user):
    return list(fetch_all(imap(server, user)).values())


def attached(message):
    """The one attachment of a report's mail, unpacked."""
    m = email.message_from_bytes(message)
    part = [p for p in m.walk() if p.get_filename()][0]
    return m, part.get_filename(), gzip.decompress(part.get_payload(decode=True))


def validate(xml, schema, tmp_path):
    """True when it was checked; a note otherwise."""
    if not XSD.exists() or not shutil.which("xmllint"):
        print("skipped: xmllint or", XSD, "is not there")
        return
    file = tmp_path / "report.xml"
    file.write_bytes(xml)
    p = subprocess.run(["xmllint", "--noout", "--schema", str(XSD / schema), str(file)], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr + xml.decode()


def rows(xml):
    import xml.etree.ElementTree as tree
    root = tree.fromstring(xml)
    ns = "{urn:ietf:params:xml:ns:dmarc-2.0}"
    out = []
    for r in root.iter(f"{ns}record"):
        def get(path):
            e = r.find("/".join(ns + x for x in path.split("/")))
            return e.text if e is not None else None
        out.append({"ip": get("row/source_ip"), "count": int(get("row/count")), "disposition": get("row/policy_evaluated/disposition"), "dkim": get("row/policy_evaluated/dkim"),
                    "spf": get("row/policy_evaluated/spf"), "override": get("row/policy_evaluated/reason/type"), "from": get("identifiers/header_from")})
    return out


def test_what_was_evaluated_is_reported_and_read_back_to_the_same_numbers(house, tmp_path):
    assert house.cli("report", "dmarc", check=False).returncode == 3
    who = "u10@demo.test"
    code, text = offer(house, who, "joe@evil.example", mail("good.example"))
    assert code == 550 and re.match(r"5\.7\.1 good\.example asks receivers to refuse .* [0-9A-Z]{8}$", text), text
    assert offer(house, who, "joe@evil.example", mail("watch.example"))[0] == 250
    assert results(inbox(house, who)[0])[0]["dmarc"] == "fail"
    assert offer(house, who, "bounce@lists.example", listed(b"lists.example"))[0] == 250
    for _ in range(3):
        assert offer(house, who, "joe@good.example", mail("good.example"))[0] == 250

    wait_for(lambda: noted(house) == 6)
    sent = send_reports(house, "--day", today())
    assert {(s["domain"], s["to"], s["state"]) for s in sent} == {
        (d, to, "sent") for d in ("good.example", "watch.example") for to in ("u1@demo.test", "dmarc-reports@demo.test")}, sent
    by_domain = {}
    for m in wait_for(lambda: len(inbox(house, "u1@demo.test")) == 2 and inbox(house, "u1@demo.test")):
        head, name, xml = attached(m)
        domain = re.match(r"demo\.test!([a-z.]+)!\d+!\d+!\w+\.xml\.gz$", name)[1]
        by_domain[domain] = xml
        assert re.match(r"Report Domain: " + domain + r"\s+Submitter: demo\.test\s+Report-ID: <", head["Subject"])
        assert "dmarc-reports@demo.test" in head["From"] and head["Auto-Submitted"] == "auto-generated"
        assert b"urn:ietf:params:xml:ns:dmarc-2.0" in xml
        validate(xml, "rfc9990.xsd", tmp_path)
    assert set(by_domain) == {"good.example", "watch.example"}

    good, watch = rows(by_domain["good.example"]), rows(by_domain["watch.example"])
    assert sum(r["count"] for r in good) == 5 and sum(r["count"] for r in watch) == 1
    assert [r["count"] for r in good if r["disposition"] == "reject"] == [1]
    assert [r["count"] for r in good if r["spf"] == "pass"] == [3]
    forwarded = [r for r in good if r["override"]]
    assert len(forwarded) == 1 and forwarded[0]["count"] == 1 and forwarded[0]["disposition"] == "none" and forwarded[0]["dkim"] == "fail"
    assert (watch[0]["disposition"], watch[0]["dkim"], watch[0]["spf"]) == ("none", "fail", "fail")
    assert all(r["from"] in ("good.example", "watch.example") for r in good + watch)

    seen = {v["domain"]: v for v in view(house)}
    assert set(seen) == {"good.example", "watch.example"}
    assert (seen["good.example"]["messages"], seen["good.example"]["passed"]) == (5, 3)
    assert sum(s["rejected"] for s in seen["good.example"]["sources"]) == 1
    assert (seen["watch.example"]["messages"], seen["watch.example"]["passed"]) == (1, 0)
    assert seen["good.example"]["reporters"] == [{"domain": "demo.test", "reports": 1}]
    assert seen["good.example"]["step"]["now"] == "reject" and seen["watch.example"]["step"]["now"] == "none"
    assert seen["watch.example"]["step"]["safe"] is False
    text = house.cli("report", "dmarc", "--domain", "good.example").stdout
    assert "good.example: 5 messages in 30 days, 60.0 %" in text and "day by day" in text
    assert "watch.example: 1 message, 0.0 %" in house.cli("report", "dmarc").stdout

    # Nothing new: nothing goes out again. Something new: only that.
    assert len(send_reports(house, "--day", today())) == len(sent)
    assert len(inbox(house, "u1@demo.test")) == 2
    assert offer(house, who, "joe@evil.example", mail("watch.example"))[0] == 250
    wait_for(lambda: noted(house) == 7)
    send_reports(house, "--day", today())
    more = wait_for(lambda: len(inbox(house, "u1@demo.test")) == 3 and inbox(house, "u1@demo.test"))
    assert [r["count"] for r in rows(attached(more[-1])[2])] == [1]
    assert {v["domain"]: v["messages"] for v in view(house)} == {"good.example": 5, "watch.example": 2}


def state_of(server, domain):
    return {s["to"]: (s["state"], s["reason"]) for s in send_reports(server, "--day", today(), "--domain", domain)}


def test_a_receiver_s_limits_and_wishes_are_kept(house):
    before, authors = noted(house), ("small.example", "sly.example", "far.example", "none.example", "lost.example", "moved.example")
    for author in authors:
        assert offer(house, "u11@demo.test", "joe@evil.example", mail(author))[0] == 250
    wait_for(lambda: noted(house) == before + len(authors))
    state, why = state_of(house, "small.example")["u2@demo.test"]
    assert state == "too large" and "takes 1024" in why
    state, why = state_of(house, "sly.example")["u3@demo.test"]
    assert state == "refused" and "does not say in the DNS" in why
    state, why = state_of(house, "far.example")["dmarc@far.example"]
    assert state == "sent"
    assert state_of(house, "none.example")["nobody-here@demo.test"] == ("refused", "no such address here")
    state, why = state_of(house, "lost.example")["u3@demo.test"]
    assert state == "failed" and "DNS" in why
    assert state_of(house, "moved.example") == {"u4@demo.test": ("sent", "")}
    assert inbox(house, "u4@demo.test") == [] and len(inbox(house, "u5@demo.test")) == 1, "its receiver named another address"
    assert inbox(house, "u2@demo.test") == [] and inbox(house, "u3@demo.test") == []
    assert "dmarc@far.example: sent" in house.cli("report", "send", "--day", today(), "--domain", "far.example").stdout
    # What is for another server lies in the queue, once, signed, from our reporting address.
    (row,) = [r for r in map(json.loads, house.cli("queue", "list", "--json").stdout.splitlines()) if "dmarc@far.example" in json.dumps(r)]
    assert "dmarc-reports@demo.test" in json.dumps(row)


def test_reports_are_never_about_reports(house):
    # What comes to the reporting address, and a report that proves its sender, is not counted; a forgery that looks like one is.
    report = mail("good.example", Subject="x").replace(b"Subject: hello", b"Subject: Report Domain: demo.test Submitter: good.example Report-ID: <1>").replace(b"Subject: x\r\n", b"")
    before = {v["domain"]: v["messages"] for v in view(house)}
    assert offer(house, "u12@demo.test", "joe@good.example", report)[0] == 250
    assert offer(house, "dmarc-reports@demo.test", "joe@good.example", mail("good.example"))[0] == 250
    start = noted(house)
    assert offer(house, "u12@demo.test", "joe@evil.example", report)[0] == 550
    wait_for(lambda: noted(house) > start)
    send_reports(house, "--day", today(), "--domain", "good.example")
    after = wait_for(lambda: {v["domain"]: v["messages"] for v in view(house)})
    assert after["good.example"] - before.get("good.example", 0) == 1


# ---- coming in ----

def aggregate(domain="demo.test", report_id="r1", count=7, org="Receiver", ip="192.0.2.7", begin=None):
    begin = begin or int(time.time()) // 86400 * 86400 - 86400
    return f"""<?xml version="1.0"?><feedback><report_metadata><org_name>{org}</org_name><email>a@good.example</email><report_id>{report_id}</report_id>
<date_range><begin>{begin}</begin><end>{begin + 86399}</end></date_range></report_metadata>
<policy_published><domain>{domain}</domain><p>none</p></policy_published>
<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>{domain}</header_from></identifiers><auth_results><dkim><domain>{domain}</domain><result>pass</result></dkim>
<spf><domain>elsewhere.example</domain><result>pass</result></spf></auth_results></record></feedback>""".encode()


def report_mail(content, name="report.xml", kind="application/gzip", author="good.example"):
    m = email.message.EmailMessage()
    m["From"] = f"noreply@{author}"
    m["To"] = "dmarc-reports@demo.test"
    m["Subject"] = "Report Domain: demo.test Submitter: good.example Report-ID: <x>"
    m.set_content("a report")
    main, sub = kind.split("/")
    m.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return m.as_bytes(policy=email.policy.SMTP)


def zipped_together(**files):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            z.writestr(name.replace("_", "."), data)
    return b.getvalue()


def zipped(data, name="r.xml"):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(name, data)
    return b.getvalue()


def give(server, content, sender="joe@good.example", author="good.example", to="dmarc-reports@demo.test"):
    return offer(server, to, sender, report_mail(content, author=author))


def of(server, domain):
    v = [x for x in view(server, "--domain", domain) if x["domain"] == domain]
    return v[0] if v else None


def test_reports_come_in_any_wrapping_and_duplicates_count_once(house):
    domain = "in-a.example"
    for i, pack in enumerate([lambda x: x, gzip.compress, zipped]):
        assert give(house, pack(aggregate(domain, f"id-{i}")))[0] == 250
    assert give(house, zipped(aggregate(domain, "id-0")))[0] == 250, "the same again, in other clothes"
    v = of(house, domain)
    assert (v["messages"], v["passed"], v["reports"]) == (21, 21, 3)
    assert [e["again"] for e in house.events("report.received")][-4:] == [False, False, False, True]
    assert v["sources"][0]["network"] == "192.0.2.0/24"


def test_each_report_of_one_archive_is_kept(house):
    """About two domains, one of them not ours; what cannot be read is said and does not hide the others."""
    many = zipped_together(a_xml=aggregate("in-many.example", "m-0"), b_xml=aggregate("in-many.example", "m-1")[:200], c_xml=aggregate("in-many.example", "m-2"),
                           d_xml=aggregate("a-strangers.example", "m-3"), readme_txt=b"hello")
    bad = len(house.events("report.unreadable"))
    assert give(house, many)[0] == 250
    v = of(house, "in-many.example")
    assert (v["messages"], v["reports"]) == (14, 2)
    assert of(house, "a-strangers.example")["unverified_reports"] == 1
    said = house.events("report.unreadable")[bad:]
    assert len(said) == 1 and "line" in said[0]["reason"], said
    assert give(house, many)[0] == 250
    assert [e["again"] for e in house.events("report.received")][-6:] == [False] * 3 + [True] * 3
    v = of(house, "in-many.example")
    assert (v["messages"], v["reports"]) == (14, 2)


def test_who_proves_nothing_is_kept_but_does_not_count(house):
    domain = "in-b.example"
    assert give(house, gzip.compress(aggregate(domain, "x")), sender="a@nothing.example", author="nothing.example")[0] == 250
    v = of(house, domain)
    assert (v["messages"], v["reports"], v["unverified_reports"]) == (0, 0, 1)
    # And it does not stand in the way of the true one.
    assert give(house, gzip.compress(aggregate(domain, "x")))[0] == 250
    v = of(house, domain)
    assert (v["messages"], v["reports"], v["unverified_reports"]) == (7, 1, 1)


def test_reports_about_strangers_domains_do_not_count(house):
    assert give(house, gzip.compress(aggregate("somebody-else.example", "x")))[0] == 250
    v = of(house, "somebody-else.example")
    assert (v["messages"], v["unverified_reports"]) == (0, 1)
    assert all(x["domain"] != "somebody-else.example" for x in view(house)), "nor does the overview name them"
    assert give(house, gzip.compress(aggregate("below.demo.test", "x")))[0] == 250
    assert of(house, "below.demo.test")["messages"] == 7


def test_bombs_and_nonsense_end_as_an_event_and_never_bounce(house):
    def heard():
        return len(house.events("report.unreadable"))

    start = heard()
    bomb = gzip.compress(b"<feedback>" + b" " * (200 << 20), 9)
    dtd = b'<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "aaaaaaaaaa">]>' + aggregate()[21:]
    for content in (bomb, zipped(b"<feedback>" + b"x" * (100 << 20)), dtd, aggregate()[:200], gzip.compress(gzip.compress(aggregate()))[:-9]):
        code, text = give(house, content)
        assert code == 250, text
    assert heard() == start + 5
    assert give(house, b"\x00\x01")[0] == 250, "from a proven sender"
    code, text = give(house, b"\x00\x01", sender="a@nothing.example", author="nothing.example")
    assert code == 550 and text.startswith("5.6.0 "), text
    assert give(house, gzip.compress(aggregate("in-c.example", "alive")))[0] == 250
    assert of(house, "in-c.example")["messages"] == 7


def test_a_report_to_many_reporting_addresses_is_read_once(house):
    with smtplib.SMTP("localhost", house.smtp, local_hostname="client.example") as c:
        c.ehlo()
        assert c.mail("joe@good.example")[0] == 250
        for to in ("dmarc-reports@demo.test", "tls-reports@demo.test", "DMARC-reports@demo2.test", "dmarc-reports@demo.test", "u13@demo.test"):
            assert c.rcpt(to)[0] == 250, to
        before = len(house.events("report.received"))
        assert c.data(report_mail(gzip.compress(aggregate("in-a.example", "many"))))[0] == 250
    assert len(house.events("report.received")) == before + 1
    assert len(inbox(house, "u13@demo.test")) == 1, "who is nobody's reporting address gets it as mail"


def test_nothing_that_a_report_says_reaches_the_terminal(house):
    xml = aggregate("in-d.example", "t", org="\u009b31mX").replace(b"elsewhere.example", "else\u009b2J.example".encode())
    assert give(house, gzip.compress(xml))[0] == 250
    out = house.cli("report", "dmarc", "--domain", "in-d.example").stdout
    assert "\x1b" not in out and "\u009b" not in out


def test_tls_reports_are_added_up(house):
    domain = "in-tls.example"
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    text = json.dumps({"organization-name": "Sender", "date-range": {"start-datetime": begin.strftime("%Y-%m-%dT00:00:00Z"), "end-datetime": begin.strftime("%Y-%m-%dT23:59:59Z")},
                       "contact-info": "x@good.example", "report-id": "tls-1",
                       "policies": [{"policy": {"policy-type": "sts", "policy-string": ["version: STSv1"], "policy-domain": domain, "mx-host": ["mx.in-tls.example"]},
                                     "summary": {"total-successful-session-count": 100, "total-failure-session-count": 5},
                                     "failure-details": [{"result-type": "certificate-expired", "sending-mta-ip": "192.0.2.1", "receiving-mx-hostname": "mx.in-tls.example",
                                                          "failed-session-count": 5}]}]}).encode()
    assert house.cli("report", "tls", check=False).returncode == 3
    for _ in range(2):
        assert give(house, gzip.compress(text), to="tls-reports@demo.test")[0] == 250
    (v,) = view(house, what="tls")
    assert (v["domain"], v["success"], v["failure"]) == (domain, 100, 5)
    assert v["failures"] == [{"type": "certificate-expired", "mx": "mx.in-tls.example", "count": 5}]
    assert "certificate-expired" in house.cli("report", "tls").stdout


def test_a_key_for_tls_reports_proves_who_sent_one_and_nothing_else(house):
    def signed(message):
        return dkim.sign(message, b"tls", b"good.example", base64.b64encode(TLS_SEED), signature_algorithm=b"ed25519-sha256", include_headers=[b"from", b"subject"]) + message

    begin = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).strftime("%Y-%m-%d")
    text = json.dumps({"organization-name": "Sender", "date-range": {"start-datetime": begin + "T00:00:00Z", "end-datetime": begin + "T23:59:59Z"}, "report-id": "signed",
                       "policies": [{"policy": {"policy-type": "sts", "policy-domain": "below.in-tls.example"}, "summary": {"total-successful-session-count": 9}}]}).encode()
    report = signed(report_mail(gzip.compress(text)))
    assert offer(house, "tls-reports@demo.test", "joe@evil.example", report)[0] == 250
    assert house.events("report.received")[-1]["dom"] == "good.example"
    assert offer(house, "u14@demo.test", "joe@evil.example", report)[0] == 550, "s=tlsrpt is for no other mail"
    with smtplib.SMTP("localhost", house.smtp, local_hostname="client.example") as c:
        c.ehlo()
        assert c.mail("joe@evil.example")[0] == c.rcpt("tls-reports@demo.test")[0] == c.rcpt("u14@demo.test")[0] == 250
        assert c.data(report)[0] == 550, "nor for mail that goes on to a person"


def test_failure_reports_are_counted_once_each(house):
    def arf(ip):
        return (b"From: x@good.example\r\nTo: dmarc-reports@demo.test\r\nSubject: FW: failure\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report;"
                b" report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nA failure.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
                b"Feedback-Type: auth-failure\r\nUser-Agent: T/1\r\nVersion: 1\r\nAuth-Failure: dmarc\r\nReported-Domain: in-a.example\r\nSource-IP: " + ip + b"\r\n\r\n"
                b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: a@in-a.example\r\nSubject: s\r\n\r\n--b--\r\n")

    start = (of(house, "in-a.example") or {"failure_reports": 0})["failure_reports"]
    for ip in (b"192.0.2.1", b"192.0.2.1", b"192.0.2.2"):
        assert offer(house, "dmarc-reports@demo.test", "joe@good.example", arf(ip))[0] == 250
    assert give(house, gzip.compress(aggregate("in-a.example", "beside")))[0] == 250
    assert of(house, "in-a.example")["failure_reports"] == start + 2


def test_published_samples_are_read_as_they_come(house):
    samples = ROOT.parent / "shared" / "testdata" / "dmarc" / "reports"
    if not samples.exists():
        pytest.skip(f"{samples} is not there")
    taken = 0
    for file in sorted(samples.iterdir()):
        if file.suffix in (".xml", ".gz", ".zip"):
            assert give(house, file.read_bytes())[0] == 250, file.name
            taken += 1
    assert taken >= 8
    assert of(house, "example.com") is None or of(house, "example.com")["messages"] == 0, "they are years old"
    assert any(v["domain"] == "example.com" and v["messages"] > 0 for v in view(house, "--domain", "example.com", "--since", "10y"))


def test_what_a_stranger_writes_to_the_reporting_address_is_refused_with_the_reason(house):
    code, text = offer(house, "dmarc-reports@demo.test", "a@nothing.example", mail("nothing.example"))
    assert code == 550 and "no report is in this message" in text
    with pytest.raises(AssertionError):
        offer(house, "dmarc-reports@not-ours.example", "a@nothing.example", mail("nothing.example"))


# ---- crashes ----

def test_a_crash_while_sending_loses_nothing_and_sends_nothing_twice(fresh, tmp_path):
    domains = [f"d{i}.example" for i in range(60)]
    zone = REPORT_ZONE + "".join(txt(f"_dmarc.{d}", "v=DMARC1; p=none; rua=mailto:u1@demo.test,mailto:u2@demo.test") + wants(d) for d in domains)
    server = server_with(fresh, tmp_path / "crash.zone", zone, accounts=3)
    for d in domains:
        assert offer(server, "u3@demo.test", "joe@evil.example", mail(d))[0] == 250
    time.sleep(1.5)  # what was evaluated is on the disk within a second
    box = imap(server, "u1@demo.test")

    def count():
        return int(box.select("INBOX", readonly=True)[1][0])

    for least in (3, 13, 23):
        (pid,) = server.pids("ledger")
        assert pid > 1
        job = subprocess.Popen([PROGRAM, "report", "send", "--day", today(), "--config", server.config], stdout=subprocess.DEVNULL)
        wait_for(lambda: count() >= least, every=0.001)
        os.kill(pid, signal.SIGKILL)
        job.wait(60)
        assert count() < len(domains), "the crash came in the middle"
        wait_for(lambda: server.pids("ledger") not in ([], [pid], [0]))
    wait_for(lambda: server.cli("report", "send", "--day", today(), check=False).returncode == 0)
    states = send_reports(server, "--day", today())
    assert len(states) == 120 and {s["state"] for s in states} <= {"sent", "unsure"}, states
    for user in ("u1@demo.test", "u2@demo.test"):
        names = [attached(m)[1].split("!")[1] for m in inbox(server, user)]
        assert len(names) == len(set(names)), "nobody gets one twice"
        certain = {s["domain"] for s in states if s["to"] == user and s["state"] == "sent"}
        assert certain <= set(names)
    assert sum(s["state"] == "unsure" for s in states) <= 3, "at most one was under way at each of three crashes"
    assert server.stop() == 0
    assert server.cli("verify").returncode == 0


def test_the_older_form_of_reports_by_choice_and_none_where_none_are_wanted(fresh, tmp_path):
    server = server_with(fresh, tmp_path / "old.zone", more='rfc7489 = true\norg_name = "The <Org> & Co"\nfrom = "reports@demo.test"\n', accounts=3)
    for author in ("good.example", "elsewhere.example"):
        offer(server, "u3@demo.test", "joe@evil.example", mail(author))
    wait_for(lambda: noted(server) == 1)
    assert {s["domain"] for s in send_reports(server, "--day", today())} == {"good.example"}, "elsewhere.example asks for no reports"
    (m,) = inbox(server, "u1@demo.test")
    head, name, xml = attached(m)
    assert b"The &lt;Org&gt; &amp; Co" in xml and b"dmarc-2.0" not in xml and "reports@demo.test" in head["From"]
    validate(xml, "rfc7489.xsd", tmp_path)


def test_a_report_is_signed_once_the_domain_s_keys_sign(fresh, tmp_path):
    dkim = pytest.importorskip("dkim", reason="python3-dkim is not installed")
    file = tmp_path / "sign.zone"
    server = server_with(fresh, file, more='}\ndkim {\ncheck = "1 s"\nsettle = "0 ms"\n', accounts=3)

    def keys():
        p = server.cli("dkim", "list", "demo.test", "--json", check=False)
        return [json.loads(line) for line in p.stdout.splitlines()]

    if not keys():
        server.cli("dkim", "rotate", "demo.test")
    known = {k["name"]: k["record"] for k in keys()}
    server.stop()
    file.write_text(REPORT_ZONE + "".join(txt(n, r) for n, r in known.items()))
    server.start()
    wait_for(lambda: {k["state"] for k in keys()} == {"signing"}, 20)
    assert offer(server, "u3@demo.test", "joe@evil.example", mail("watch.example"))[0] == 250
    wait_for(lambda: send_reports(server, "--day", today()))
    (m,) = wait_for(lambda: inbox(server, "u1@demo.test"))
    signed = m[m.index(b"DKIM-Signature:"):]
    assert signed.count(b"DKIM-Signature:") == 2

    def lookup(name, timeout=5):
        return known[name.decode().rstrip(".")].encode()

    algorithms = set()
    for i in range(2):
        assert dkim.DKIM(signed).verify(idx=i, dnsfunc=lookup), f"signature {i}"
        algorithms.add(re.findall(rb"a=([a-z0-9-]+)", signed)[i])
    assert algorithms == {b"rsa-sha256", b"ed25519-sha256"}
