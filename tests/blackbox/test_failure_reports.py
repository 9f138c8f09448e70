"""Failure reports out (RFC 6591, 9991): off by default; on, the owner of a forged domain hears of it at once, without what he has no right to know."""
import email
import smtplib

import pytest
from helpers import fetch_all, imap, wait_for

from conftest import PASSWORD, Server  # noqa: F401
from test_auth import SOA, mail, offer, txt

ZONE = (f"example. 300 IN {SOA}demo.test. 300 IN {SOA}" + txt("evil.example", "v=spf1 ip4:127.0.0.1 ip6:::1 -all") + txt("sly.example", "v=spf1 -all")
        + "".join(txt(f"_dmarc.{d}.example", f"v=DMARC1; p={p}; {more}ruf=mailto:{to}@demo.test") + txt(f"{d}.example._report._dmarc.demo.test", "v=DMARC1")
                  for d, p, more, to in (("forged", "reject", "", "alice"), ("often", "none", "", "bob"), ("read", "none", "", "dmarc-reports"), ("tame", "none", "fo=s; ", "carol")))
        + txt("_dmarc.silent.example", "v=DMARC1; p=none; ruf=mailto:carol@demo.test"))


def house(top, more):
    (top / "f.zone").write_text(ZONE)
    return Server(top / "demo", env={"LETTERLOCK_DNS": f'forwarder = "none"\nzones = "{top}/f.zone"\n}}\nreports {{\n{more}'})


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    s = house(tmp_path_factory.mktemp("failures"), "send_failures = true\nfailures_per_domain = 3\n")
    yield s
    assert s.stop() == 0


def sent(server, domain):
    return [e for e in server.events("report.sent") if e["kind"] == "failure" and e["dom"] == domain]


def reports(server, user, about):
    return [m for m in fetch_all(imap(server, user + "@demo.test")).values() if f"failure report for {about}".encode() in m]


def test_the_owner_of_a_forged_domain_hears_of_it_redacted(telling):
    code, text = offer(telling, "bob@demo.test", "joe@evil.example", mail("forged.example", X_Secret="the plan", Reply_To="<me@private.example>"))
    assert code == 550, text
    wait_for(lambda: sent(telling, "forged.example"))
    (raw,) = reports(telling, "alice", "forged.example")
    m = email.message_from_bytes(raw)
    assert m.get_content_type() == "multipart/report" and m.get_param("report-type") == "feedback-report"
    assert m["From"] == "dmarc-reports@demo.test" and m["To"] == "alice@demo.test"
    parts = {p.get_content_type(): p for p in m.walk()}
    facts = email.message_from_string(parts["message/feedback-report"].get_payload(0).as_string() if parts["message/feedback-report"].is_multipart()
                                      else parts["message/feedback-report"].get_payload())
    assert facts["Feedback-Type"] == "auth-failure" and facts["Auth-Failure"] == "dmarc" and facts["Identity-Alignment"] == "none"
    assert facts["Reported-Domain"] == "forged.example" and facts["Source-IP"] in ("127.0.0.1", "::1") and facts["Delivery-Result"] == "reject"
    assert facts["Original-Mail-From"].endswith("@evil.example") and "joe" not in facts["Original-Mail-From"]
    head = parts["text/rfc822-headers"].get_payload()
    assert "@forged.example" in head and "joe@" not in head and "Message-ID:" in head
    for hidden in ("Subject:", "hello", "X-Secret", "plan", "private", "you@demo.test", "bob@demo.test"):
        assert hidden not in head, head


def test_no_more_than_so_many_an_hour_and_delivered_mail_is_told_too(telling):
    with smtplib.SMTP("localhost", telling.smtp, local_hostname="client.example") as s:  # one process counts for itself
        for i in range(5):
            s.sendmail("joe@evil.example", ["carol@demo.test"], mail("often.example", X_Number=i))
    wait_for(lambda: len(sent(telling, "often.example")) == 3)
    assert offer(telling, "carol@demo.test", "joe@evil.example", mail("read.example"))[0] == 250
    wait_for(lambda: sent(telling, "read.example"))  # what came later is done, so what came before is too
    assert len(sent(telling, "often.example")) == 3
    got = reports(telling, "bob", "often.example")
    assert len(got) == 3 and all(b"Delivery-Result: delivered" in m for m in got)


def test_our_own_reader_takes_it(telling):
    wait_for(lambda: [e for e in telling.events("report.received") if e["kind"] == "failure"] or offer(telling, "carol@demo.test", "joe@evil.example", mail("read.example")) and None)


def test_who_did_not_agree_gets_none_nor_is_a_report_reported(telling):
    offer(telling, "bob@demo.test", "joe@evil.example", mail("silent.example"))
    assert wait_for(lambda: sent(telling, "silent.example"))[0]["state"] == "refused"
    before = len(sent(telling, "forged.example"))
    dressed = mail("forged.example").replace(b"Subject: hello", b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\nSubject: x")
    assert offer(telling, "bob@demo.test", "joe@evil.example", dressed)[0] == 550
    offer(telling, "bob@demo.test", "joe@sly.example", mail("tame.example"))  # fo=s: SPF fails, whatever else
    wait_for(lambda: sent(telling, "tame.example"))
    assert len(sent(telling, "forged.example")) == before
    (raw,) = reports(telling, "carol", "tame.example")
    assert b"Auth-Failure: spf\r\n" in raw


def test_off_by_default(tmp_path):
    s = house(tmp_path, "")
    try:
        assert offer(s, "bob@demo.test", "joe@evil.example", mail("forged.example"))[0] == 550
        assert offer(s, "bob@demo.test", "joe@evil.example", mail("evil.example"))[0] == 250  # all of the one before is over
        assert not s.events("report.sent") and not reports(s, "alice", "forged.example")
    finally:
        assert s.stop() == 0
