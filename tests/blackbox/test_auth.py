"""Who really sent this: the evaluation of mail that comes in, against zones of the test's own. Nothing here asks the real DNS."""
import base64
import re
import smtplib

import pytest
from conftest import PASSWORD  # noqa: F401  (helpers log in with it)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from helpers import fetch_all, imap, strip_trace, wait_for

dkim = pytest.importorskip("dkim", reason="python3-dkim is not installed")

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
P = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def txt(name, text):
    return f"{name}. 300 IN TXT " + " ".join(f'"{text[i:i + 250]}"' for i in range(0, len(text), 250)) + "\n"


SOA = "SOA ns.example. hostmaster.example. 1 3600 600 864000 1\n"
ZONE = (
    f"example. 300 IN {SOA}" + txt("good.example", "v=spf1 ip4:127.0.0.1 ip6:::1 -all") + txt("_dmarc.good.example", "v=DMARC1; p=reject; rua=mailto:dmarc@good.example")
    + txt("s1._domainkey.good.example", f"v=DKIM1; k=rsa; p={P}")
    + txt("elsewhere.example", "v=spf1 ip4:192.0.2.1 -all") + txt("_dmarc.elsewhere.example", "v=DMARC1; p=reject")
    + txt("_dmarc.watch.example", "v=DMARC1; p=none") + txt("_dmarc.quarantine.example", "v=DMARC1; p=quarantine")
    + txt("_dmarc.testing.example", "v=DMARC1; p=quarantine; t=y")
    + txt("lists.example", "v=spf1 ip4:127.0.0.1 ip6:::1 -all") + txt("arc._domainkey.lists.example", f"v=DKIM1; k=rsa; p={P}")
    + txt("evil.example", "v=spf1 ip4:127.0.0.1 ip6:::1 -all") + txt("arc._domainkey.evil.example", f"v=DKIM1; k=rsa; p={P}"))
DEAD = "; TIMEOUT late.example ANY\n; TIMEOUT _dmarc.late.example ANY\n" + txt("other.late.example", "v=spf1 ?all")
ALIVE = txt("late.example", "v=spf1 ip4:127.0.0.1 ip6:::1 -all") + txt("_dmarc.late.example", "v=DMARC1; p=reject")


def start(fresh, tmp_path, zone, more=""):
    """A demo whose DNS is `zone`; `more` is text for the section `authentication`."""
    file = tmp_path / "test.zone"
    file.write_text(zone)
    dns = f'forwarder = "none"\nzones = "{file}"\n}}\nauthentication {{\n{more}'
    return fresh("--accounts", 3, env={"LETTERLOCK_DNS": dns})


@pytest.fixture(scope="module")
def auth(tmp_path_factory):
    from conftest import Server
    top = tmp_path_factory.mktemp("auth")
    (top / "test.zone").write_text(ZONE)
    dns = f'forwarder = "none"\nzones = "{top}/test.zone"\n}}\nauthentication {{\ntrusted_sealers = "lists.example"\n'
    s = Server(top / "demo", "--accounts", 30, env={"LETTERLOCK_DNS": dns})
    yield s
    assert s.stop() == 0


_next = [0]


@pytest.fixture
def who():
    _next[0] += 1
    return f"u{_next[0]}@demo.test"


def offer(server, to, mail_from, message, helo="client.example"):
    """The answer to the final dot."""
    if isinstance(message, str):
        message = message.encode()
    with smtplib.SMTP("localhost", server.smtp, local_hostname=helo) as s:
        s.ehlo()
        for code, text in (s.mail(mail_from), s.rcpt(to)):
            assert code == 250, text
        code, text = s.data(message)
        return code, text.decode()


def mail(author, **more):
    fields = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in more.items())
    return f"From: Joe <joe@{author}>\r\nTo: you@demo.test\r\nSubject: hello\r\nMessage-ID: <1@{author}>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n{fields}\r\nHello.\r\n".encode()


def inbox(server, user, box="INBOX"):
    return list(fetch_all(imap(server, user), box).values())


def results(message):
    """Our Authentication-Results, unfolded: {method: result}, and the whole value."""
    head = re.sub(rb"\r\n[ \t]+", b" ", message.split(b"\r\n\r\n", 1)[0]).decode()
    values = [line.split(":", 1)[1].strip() for line in head.split("\r\n") if line.lower().startswith("authentication-results:")]
    ours = [v for v in values if v.split(";")[0].split()[0] == "mail.demo.test"]
    assert len(ours) == 1, head
    return dict(re.findall(r"; *([a-z]+)=([a-z]+)", ours[0])), ours[0]


def test_a_forged_author_who_asks_for_refusal_is_refused_with_reason_and_id(auth, who):
    code, text = offer(auth, who, "joe@evil.example", mail("good.example"))
    assert code == 550, text
    assert re.fullmatch(r"5\.7\.1 good\.example asks receivers to refuse mail that fails its checks \(DMARC\)\. [0-9A-Z]{8}", text)
    assert inbox(auth, who) == []
    mid = text.split()[-1]
    e = wait_for(lambda: [x for x in auth.events("smtp.sender") if x["mid"] == mid])[0]
    assert (e["action"], e["dmarc"], e["dom"]) == ("refused", "fail", "good.example")


def test_an_aligned_sender_gets_in_and_it_is_said(auth, who):
    code, text = offer(auth, who, "joe@good.example", mail("good.example"))
    assert code == 250, text
    (m,) = inbox(auth, who)
    got, value = results(m)
    assert (got["spf"], got["dkim"], got["dmarc"]) == ("pass", "none", "pass"), value
    assert "smtp.mailfrom=" in value and "header.from=good.example" in value
    assert m.index(b"Authentication-Results:") < m.index(b"Received:"), "RFC 8601 4: above the Received of the same hop"


def test_a_signature_alone_proves_the_author(auth, who):
    text = mail("good.example")
    signed = dkim.sign(text, b"s1", b"good.example", PEM, include_headers=[b"from", b"to", b"subject", b"date"]) + text
    assert offer(auth, who, "bounce@evil.example", signed)[0] == 250
    got, value = results(inbox(auth, who)[0])
    assert (got["dkim"], got["dmarc"]) == ("pass", "pass"), value
    assert "header.d=good.example" in value and "header.s=s1" in value


def test_a_changed_body_breaks_the_signature(auth, who):
    text = mail("good.example")
    signed = dkim.sign(text, b"s1", b"good.example", PEM) + text.replace(b"Hello.", b"Hallo.")
    assert offer(auth, who, "bounce@evil.example", signed)[0] == 550


def test_a_large_signed_message_in_many_pieces(auth, who):
    text = mail("good.example").replace(b"Hello.\r\n", b"".join(b"line %d of many\r\n" % i for i in range(60000)))
    signed = dkim.sign(text, b"s1", b"good.example", PEM) + text
    assert offer(auth, who, "bounce@evil.example", signed)[0] == 250
    (m,) = inbox(auth, who)
    assert results(m)[0]["dkim"] == "pass"
    assert strip_trace(m) == signed


def test_who_only_watches_gets_the_mail_delivered_with_the_result(auth, who):
    assert offer(auth, who, "joe@evil.example", mail("watch.example"))[0] == 250
    got, value = results(inbox(auth, who)[0])
    assert got["dmarc"] == "fail", value


def test_quarantine_goes_to_junk_and_not_to_the_inbox(auth, who):
    assert offer(auth, who, "joe@evil.example", mail("quarantine.example"))[0] == 250
    assert inbox(auth, who) == []
    (m,) = inbox(auth, who, "Junk")
    assert results(m)[0]["dmarc"] == "fail"


def test_a_policy_that_is_being_tested_harms_nobody(auth, who):
    assert offer(auth, who, "joe@evil.example", mail("testing.example"))[0] == 250
    assert len(inbox(auth, who)) == 1


def listed(sealer):
    """A signed message that a mailing list has changed and sealed: the signature is broken, the chain says that it was right before."""
    text = mail("good.example")
    signed = dkim.sign(text, b"s1", b"good.example", PEM, include_headers=[b"from", b"to", b"subject", b"date"]) + text
    there = b"Authentication-Results: lists.example; dkim=pass header.d=good.example; dmarc=pass header.from=good.example\r\n" + signed
    there = there.replace(b"Subject: hello", b"Subject: [list] hello") + b"-- \r\nThe list\r\n"
    sets = dkim.arc_sign(there, b"arc", sealer, PEM, b"lists.example")
    assert len(sets) == 3
    return b"".join(sets) + there


def test_a_list_s_change_passes_by_the_chain_of_a_trusted_sealer(auth, who):
    code, text = offer(auth, who, "bounce@lists.example", listed(b"lists.example"))
    assert code == 250, text
    got, value = results(inbox(auth, who)[0])
    assert (got["dkim"], got["dmarc"], got["arc"]) == ("fail", "fail", "pass"), value


def test_a_trusted_sealer_whose_key_cannot_be_read_is_waited_for(fresh, tmp_path):
    zone = "; TIMEOUT arc._domainkey.lists.example TXT\n" + "".join(line for line in ZONE.splitlines(True) if not line.startswith("arc._domainkey.lists"))
    server = start(fresh, tmp_path, zone, 'trusted_sealers = "lists.example"\n')
    code, text = offer(server, "u1@demo.test", "bounce@lists.example", listed(b"lists.example"))
    assert (code, text[:-8]) == (451, "4.7.5 the ARC chain of lists.example cannot be verified now, try again. ")
    assert offer(server, "u1@demo.test", "bounce@evil.example", listed(b"evil.example"))[0] == 550


def test_a_chain_of_a_sealer_nobody_trusts_is_worth_nothing(auth, who):
    assert offer(auth, who, "bounce@evil.example", listed(b"evil.example"))[0] == 550


def test_results_that_claim_to_be_ours_do_not_get_in(auth, who):
    text = (b"Authentication-Results: mail.demo.test;\r\n\tdmarc=pass header.from=bank.example\r\n"
            b"Authentication-Results: mx.theirs.example; spf=pass\r\n" + mail("nothing.example"))
    assert offer(auth, who, "a@nothing.example", text)[0] == 250
    (m,) = inbox(auth, who)
    got, value = results(m)
    assert (got["spf"], got["dmarc"]) == ("none", "none") and b"bank.example" not in m
    assert b"Authentication-Results: mx.theirs.example; spf=pass\r\n" in m


@pytest.mark.parametrize("field", [
    b"From: Joe <joe@good.example>, Eve <eve@evil.example>", b"From: Eve <eve@evil.example>\r\nFrom: Joe <joe@good.example>",
    b"From: \"joe@good.example\" <eve@evil.example>, joe@good.example", b"From: =?utf-8?q?joe=40good.example?= <joe@good.example>",
    b"FROM : joe@good.example"])
def test_no_trick_with_from_gets_a_pass(auth, who, field):
    text = field + b"\r\nSubject: trick\r\n\r\nHello.\r\n"
    code, answer = offer(auth, who, "eve@evil.example", text)
    if code == 250:
        for box in ("INBOX", "Junk"):
            for m in inbox(auth, who, box):
                assert results(m)[0]["dmarc"] != "pass"
    else:
        assert code == 550, answer


def test_the_null_sender_is_known_by_its_helo(auth, who):
    assert offer(auth, who, "", mail("watch.example"), helo="good.example")[0] == 250
    got, value = results(inbox(auth, who)[0])
    assert got["spf"] == "pass" and "smtp.helo=good.example" in value


def test_what_was_found_is_counted(auth, who):
    import urllib.request
    assert offer(auth, who, "joe@evil.example", mail("good.example"))[0] == 550
    text = urllib.request.urlopen(f"http://127.0.0.1:{auth.metrics}/metrics").read().decode()
    assert int(re.search(r'letterlock_dmarc_total\{result="fail",disposition="reject"\} (\d+)', text)[1]) >= 1
    assert int(re.search(r'letterlock_spf_total\{result="pass"\} (\d+)', text)[1]) >= 1
    noted = wait_for(lambda: int(re.search(r"letterlock_dmarc_noted_total (\d+)", urllib.request.urlopen(
        f"http://127.0.0.1:{auth.metrics}/metrics").read().decode())[1]))
    assert noted >= 1, "the ledger hears of each, for the reports"


@pytest.mark.parametrize("field,method,result", [
    ("DKIM-Signature: v=1; a=rsa-sha256; d=good.example; s=s1; h=from; x=1; b=AAAA; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "dkim", "permerror"),
    ("DKIM-Signature: v=1; a=rsa-sha256", "dkim", "neutral"), ("ARC-Seal: i=1; cv=none", "arc", "fail")])
def test_what_is_signed_badly_is_not_called_unsigned(auth, who, field, method, result):
    """Also where nothing in the whole message is worth a look at its body; and a long header is no difference."""
    for padding in ("", "".join(f"X-{i}: {'x' * 900}\r\n" for i in range(100))):
        assert offer(auth, who, "joe@evil.example", f"{field}\r\n{padding}".encode() + mail("watch.example"))[0] == 250
    for m in inbox(auth, who):
        got, value = results(m)
        assert got[method] == result and "reason=" in value, value


def test_a_dead_dns_defers_and_later_the_same_mail_is_accepted(fresh, tmp_path):
    server = start(fresh, tmp_path, ZONE + DEAD)
    for sender, author in (("joe@late.example", "late.example"), ("joe@evil.example", "late.example"), ("joe@late.example", "nothing.example")):
        code, text = offer(server, "u1@demo.test", sender, mail(author))
        assert code == 451 and re.match(r"4\.7\.\d+ ", text), (sender, author, text)
    assert inbox(server, "u1@demo.test") == []
    server.stop()
    (tmp_path / "test.zone").write_text(ZONE + ALIVE)
    server.start()
    assert offer(server, "u1@demo.test", "joe@late.example", mail("late.example"))[0] == 250
    assert offer(server, "u1@demo.test", "joe@evil.example", mail("late.example"))[0] == 550
    assert len(inbox(server, "u1@demo.test")) == 1


@pytest.mark.parametrize("mode, author, code, box", [
    ("quarantine-instead", "good.example", 250, "Junk"), ("report-only", "good.example", 250, "INBOX"), ("off", "good.example", 250, "INBOX")])
def test_the_organisation_may_choose_a_milder_way(fresh, tmp_path, mode, author, code, box):
    server = start(fresh, tmp_path, ZONE, f'dmarc = "{mode}"')
    assert offer(server, "u1@demo.test", "joe@evil.example", mail(author))[0] == code
    assert len(inbox(server, "u1@demo.test", box)) == 1


def test_a_trusted_forwarder_and_received_spf(fresh, tmp_path):
    server = start(fresh, tmp_path, ZONE, 'trusted_forwarders = "127.0.0.0/8 ::1"\nreceived_spf = true\niprev = true')
    assert offer(server, "u1@demo.test", "joe@elsewhere.example", mail("elsewhere.example"))[0] == 250
    (m,) = inbox(server, "u1@demo.test")
    got, value = results(m)
    assert (got["spf"], got["dmarc"]) == ("fail", "fail") and "iprev=" in value
    assert re.search(rb"\r\nReceived-SPF: fail ", m)


def test_a_wrong_word_in_the_configuration_is_refused(fresh, tmp_path):
    for one, other in (("spf", "dkim"), ("dkim", "spf")):
        with pytest.raises(RuntimeError, match=f"with authentication.{one} off it must be off, too"):
            start(fresh, tmp_path, ZONE, f"{one} = false\n")
        server = start(fresh, tmp_path, ZONE, f'{one} = false\ndmarc = "off"\n')
        assert offer(server, "u1@demo.test", "joe@good.example", mail("good.example"))[0] == 250
        got, value = results(inbox(server, "u1@demo.test")[0])
        assert other in got and one not in got and "dmarc" not in got, value
    with pytest.raises(RuntimeError, match="authentication.dmarc must be honour"):
        start(fresh, tmp_path, ZONE, 'dmarc = "perhaps"')


def test_keys_live_from_made_to_revoked_by_the_server_s_own_clock(fresh, tmp_path):
    """The whole life: made with the domain, published in the zone, seen, signing; the next pair retires it, and time revokes it."""
    import json
    file = tmp_path / "test.zone"
    life = '}\ndkim {\ncheck = "1 s"\nsettle = "0 ms"\nrevoke = "%s"\n'
    server = start(fresh, tmp_path, ZONE, life % "1 d")

    def keys():
        return [json.loads(x) for x in server.cli("dkim", "list", "life.example", "--json").stdout.splitlines()]

    def states():
        return {k["selector"]: k["state"] for k in keys()}

    server.cli("domain", "add", "life.example")
    first = {k["selector"] for k in keys()}
    wait_for(lambda: all(k["dns"] == "absent" for k in keys()), 20)
    assert set(states().values()) == {"made"}

    def publish():
        server.stop()
        file.write_text(ZONE + "".join(txt(k["name"], k["record"]) for k in known))
        server.start()

    known = keys()
    publish()
    wait_for(lambda: set(states().values()) == {"signing"}, 20)
    server.cli("dkim", "rotate", "life.example")
    known = keys()
    assert len(known) == 4
    publish()
    wait_for(lambda: sorted(states().values()) == ["retired", "retired", "signing", "signing"], 20)
    assert {s for s, state in states().items() if state == "retired"} == first
    server.stop()
    server.env["LETTERLOCK_DNS"] = server.env["LETTERLOCK_DNS"].replace('"1 d"', '"0 ms"')
    server.start()
    wait_for(lambda: {s for s, state in states().items() if state == "revoked"} == first, 20)
    assert len([e for e in server.events("dkim.key") if e["state"] == "signing"]) == 4
