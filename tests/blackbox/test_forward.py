"""Mail that goes on: forwarding with SRS and ARC, groups with members elsewhere, what may not go on, and where it comes back. The world is a small SMTP server of this test."""
import email
import json
import re
import smtplib
import socket
import threading

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from conftest import PASSWORD
from helpers import fetch_all, imap, tls, wait_for

ZONE = """
$TTL 60
$ORIGIN proved.example.
@ SOA ns.proved.example. root 1 3600 600 864000 60
  NS ns.proved.example.
  TXT "v=spf1 ip4:127.0.0.1 ip6:::1 -all"
; TIMEOUT arc._domainkey.proved.example. TXT
"""


class World(threading.Thread):
    """Takes everything but what is for gone..., keeps it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.got, self.refused = [], []
        self.start()

    def run(self):
        while True:
            try:
                c, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        lines = c.makefile("rb")
        c.sendall(b"220 world\r\n")
        mail = None
        for line in lines:
            verb = line[:4].upper()
            if verb == b"QUIT":
                break
            if verb == b"MAIL":
                mail = {"from": line.decode().split("<")[1].split(">")[0], "to": []}
            elif verb == b"RCPT" and b"<gone" in line:
                self.refused.append(line.decode().split("<")[1].split(">")[0])
                c.sendall(b"550 5.1.1 nobody of that name\r\n")
                continue
            elif verb == b"RCPT":
                mail["to"].append(line.decode().split("<")[1].split(">")[0])
            elif verb == b"DATA":
                c.sendall(b"354 go ahead\r\n")
                body = b""
                for part in lines:
                    if part == b".\r\n":
                        break
                    body += part[1:] if part.startswith(b".") else part
                mail["body"] = body
                self.got.append(mail)
            c.sendall(b"250-world\r\n250-8BITMIME\r\n250 SIZE\r\n" if verb == b"EHLO" else b"250 ok\r\n")
        c.close()

    def find(self, to, subject):
        return next((m for m in self.got if to in m["to"] and email.message_from_bytes(m["body"])["Subject"] == subject), None)


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.server.close()


def house_in(top, world, more=""):
    """Its keys sign. `more` closes the section `relay` and opens another."""
    import conftest
    zone = top / "extra.zone"
    zone.write_text(ZONE)
    # What stands behind the section `dns` closes it and adds another: the port that the relay may dial.
    dns = f'forwarder = "none"\nzones = "{zone}"\n}}\ndkim {{\n  check = "1 s"\n  settle = 0\n}}\nrelay {{\n  ports = "{world.port}"\n{more}'
    s = conftest.Server(top / "demo", env={"LETTERLOCK_DNS": dns})
    s.cli("route", "add", "*", "--host", f"127.0.0.1:{world.port}", "--tls", "none", "--yes")
    s.cli("account", "forward", "bob@demo.test", "--to", "bob@far.example")
    s.cli("account", "forward", "carol@demo.test", "--to", "carol@far.example", "--only")
    s.cli("group", "add", "crew@demo.test", "--write", "anyone", "--owner", "alice@demo.test")
    s.cli("group", "members", "crew@demo.test", "--add", "alice@demo.test", "--add", "out@far.example")
    s.cli("group", "add", "staff@demo.test", "--write", "members", "--owner", "alice@demo.test")
    s.cli("group", "members", "staff@demo.test", "--add", "alice@demo.test")
    s.cli("dkim", "rotate", "demo.test", "--yes")
    strings = lambda text: " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))
    zone.write_text(ZONE + "$ORIGIN demo.test.\n@ SOA ns.demo.test. root 1 3600 600 864000 60\n  NS ns.demo.test.\n" +
                    "".join(f"{selector}._domainkey TXT ( {strings(record)} )\n" for selector, record in keys(s, None).items()))
    s.cli("reload")
    wait_for(lambda: keys(s), 20)
    return s


@pytest.fixture(scope="module")
def house(world, tmp_path_factory):
    s = house_in(tmp_path_factory.mktemp("forward"), world)
    yield s
    s.stop()


def keys(s, state="signing"):
    """selector -> record; None: they are not all in this state."""
    rows = [json.loads(line) for line in s.cli("dkim", "list", "demo.test", "--json").stdout.splitlines()]
    return {k["selector"]: k["record"] for k in rows} if all(k["state"] == state or not state for k in rows) else None


def stranger(s, to, subject, sender="joe@proved.example", extra=""):
    with smtplib.SMTP("localhost", s.smtp, local_hostname="client.example") as c:
        c.ehlo()
        assert c.mail(sender)[0] == 250
        code, text = c.rcpt(to)
        if code != 250:
            return code, text
        return c.data(f"{extra}From: joe@proved.example\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())


def own(s, user, to, subject):
    with smtplib.SMTP("localhost", s.submission, local_hostname="client.example") as c:
        c.starttls(context=tls(s))
        c.login(user, PASSWORD)
        return c.sendmail(user, [to], f"From: {user}\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())


def here(s, user, subject):
    return next((m for m in fetch_all(imap(s, user)).values() if email.message_from_bytes(m)["Subject"] == subject), None)


def test_what_is_proved_goes_on_under_our_name_and_our_seal(house, world):
    assert stranger(house, "bob@demo.test", "proved")[0] == 250
    m = wait_for(lambda: world.find("bob@far.example", "proved"))
    assert re.fullmatch(r"SRS0=[^=]+=[^=]+=proved\.example=joe@demo\.test", m["from"])
    assert b"\r\nDelivered-To: bob@demo.test\r\n" in m["body"] and not m["body"].startswith(b"Return-Path")
    ask = lambda name, timeout=5: keys(house)[name.decode().split("._domainkey.")[0]].encode()
    assert dkim.ARC(m["body"]).verify(dnsfunc=ask)[0] == b"pass"
    assert b"ARC-Authentication-Results: i=1; mail.demo.test;" in m["body"] and b"spf=pass" in m["body"]
    assert wait_for(lambda: here(house, "bob@demo.test", "proved"))


def sealed(subject):
    """A set of somebody else's, whose key cannot be asked for."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    text = f"From: joe@proved.example\r\nSubject: {subject}\r\n\r\nhello\r\n".encode()
    results = b"Authentication-Results: proved.example; spf=pass smtp.mailfrom=proved.example\r\n"
    return b"".join(dkim.arc_sign(results + text, b"arc", b"proved.example", key, b"proved.example")).decode()


def test_a_chain_that_cannot_be_verified_now_is_not_sealed_as_failed(house, world):
    assert stranger(house, "bob@demo.test", "late chain", extra=sealed("late chain"))[0] == 250
    m = wait_for(lambda: world.find("bob@far.example", "late chain"))
    assert m["body"].count(b"ARC-Seal: i=") == 1 and b"cv=fail" not in m["body"]


def test_a_malformed_chain_is_no_reason_to_wait(house, world):
    assert stranger(house, "bob@demo.test", "malformed chain", extra="ARC-Seal: i=1; cv=none\r\n")[0] == 250
    assert wait_for(lambda: world.find("bob@far.example", "malformed chain"))


@pytest.fixture
def house_without_arc(world, tmp_path):
    s = house_in(tmp_path, world, "}\nauthentication {\n  arc = false\n")
    yield s
    s.stop()


def test_a_chain_that_is_not_looked_at_stays_as_it_is(house_without_arc, world):
    assert stranger(house_without_arc, "bob@demo.test", "not looked at", extra=sealed("not looked at"))[0] == 250
    m = wait_for(lambda: world.find("bob@far.example", "not looked at"))
    assert m["body"].count(b"ARC-Seal: i=") == 1 and b"cv=fail" not in m["body"]


def test_a_bounce_to_the_rewritten_sender_finds_its_way_back(house, world):
    assert stranger(house, "bob@demo.test", "will bounce")[0] == 250
    rewritten = wait_for(lambda: world.find("bob@far.example", "will bounce"))["from"]
    assert stranger(house, rewritten, "a bounce", sender="")[0] == 250
    m = wait_for(lambda: world.find("joe@proved.example", "a bounce"))
    assert m["from"] == ""
    code, text = stranger(house, rewritten, "no bounce")
    assert code == 550 and b"bounces only" in text
    code, text = stranger(house, rewritten.replace("SRS0=", "SRS0=A", 1), "forged", sender="")
    assert code == 550 and text.startswith(b"5.1.1")


def test_a_sender_whose_name_has_to_be_quoted_gets_his_bounce(house, world):
    assert stranger(house, "bob@demo.test", "quoted", sender='"joe at home"@proved.example')[0] == 250
    rewritten = wait_for(lambda: world.find("bob@far.example", "quoted"))["from"]
    assert rewritten.startswith('"SRS0=')
    assert stranger(house, rewritten, "a quoted bounce", sender="")[0] == 250
    assert wait_for(lambda: world.find('"joe at home"@proved.example', "a quoted bounce"))["from"] == ""
    code, text = stranger(house, '"no body"@demo.test', "to nobody")
    assert code == 550 and b"no such address here" in text


def test_who_is_named_beside_his_group_gets_it_from_its_sender(house, world):
    house.cli("group", "add", "beside@demo.test", "--owner", "carol@demo.test")
    house.cli("group", "members", "beside@demo.test", "--add", "eve@far.example", "--add", "alice@demo.test")
    with smtplib.SMTP("localhost", house.submission, local_hostname="client.example") as c:
        c.starttls(context=tls(house))
        c.login("bob@demo.test", PASSWORD)
        assert c.sendmail("bob@demo.test", ["beside@demo.test", "eve@far.example"], b"From: bob@demo.test\r\nSubject: twice named\r\n\r\nhello\r\n") == {}
    m = wait_for(lambda: world.find("eve@far.example", "twice named"))
    assert m["from"] == "bob@demo.test" and b"Delivered-To" not in m["body"]


def test_a_receipt_of_ours_finds_the_way_back_too(house, world):
    """A null sender to a rewritten address, from somebody who has logged in."""
    assert stranger(house, "bob@demo.test", "read me")[0] == 250
    rewritten = wait_for(lambda: world.find("bob@far.example", "read me"))["from"]
    with smtplib.SMTP("localhost", house.submission, local_hostname="client.example") as c:
        c.starttls(context=tls(house))
        c.login("bob@demo.test", PASSWORD)
        assert c.sendmail("", [rewritten], b"From: bob@demo.test\r\nSubject: it was read\r\n\r\nhello\r\n") == {}
    m = wait_for(lambda: world.find("joe@proved.example", "it was read"))
    assert m["from"] == "" and b"Authentication-Results" not in m["body"]


def test_what_nothing_proves_stays_and_its_owner_is_told_once(house, world):
    for i in range(2):
        assert stranger(house, "carol@demo.test", f"unproved {i}", sender="joe@unknown.example")[0] == 250
    # carol only forwards: what may not go on is not lost
    assert wait_for(lambda: here(house, "carol@demo.test", "unproved 1"))
    notes = [m for m in fetch_all(imap(house, "carol@demo.test")).values() if b"was not forwarded to carol@far.example" in m and b"nothing proves who sent it" in m]
    assert len(notes) == 1 or len(notes) == 2 and len(house.pids("edge")) > 1  # each process keeps its own count
    assert not world.find("carol@far.example", "unproved 0") and not any("unknown.example" in "".join(m["to"]) for m in world.got)


def test_what_has_been_here_before_does_not_go_on(house, world):
    assert stranger(house, "bob@demo.test", "looping", extra="Delivered-To: bob@demo.test\r\n")[0] == 250
    assert wait_for(lambda: here(house, "bob@demo.test", "looping"))
    assert stranger(house, "bob@demo.test", "after the loop")[0] == 250
    wait_for(lambda: world.find("bob@far.example", "after the loop"))
    assert not world.find("bob@far.example", "looping")


@pytest.mark.parametrize("user", ["bob", "carol"])
def test_two_servers_that_forward_to_each_other_end_after_one_round(house, world, user):
    """What came back is kept here, also by whoever keeps no copies: nothing is lost, nothing goes round."""
    subject = f"round of {user}"
    assert stranger(house, f"{user}@demo.test", subject)[0] == 250
    m = wait_for(lambda: world.find(f"{user}@far.example", subject))
    before = len(world.got)
    with smtplib.SMTP("localhost", house.smtp, local_hostname="client.example") as c:
        c.sendmail("joe@proved.example", [f"{user}@demo.test"], b"Received: from demo.test by far.example; Mon, 30 Nov 2026 10:00:00 +0000\r\nDelivered-To: " +
                   f"{user}@far.example\r\n".encode() + m["body"])
    copies = lambda: [b for b in fetch_all(imap(house, f"{user}@demo.test")).values() if email.message_from_bytes(b)["Subject"] == subject]
    assert wait_for(lambda: [b for b in copies() if f"Delivered-To: {user}@far.example".encode() in b])
    assert stranger(house, f"{user}@demo.test", "after " + subject)[0] == 250
    wait_for(lambda: world.find(f"{user}@far.example", "after " + subject))
    assert not [x for x in world.got[before:] if email.message_from_bytes(x["body"])["Subject"] == subject]


def test_a_message_that_was_passed_on_too_often_is_refused(house):
    code, text = stranger(house, "alice@demo.test", "circles", extra="".join(f"Received: from a{i} by b{i}; Mon, 30 Nov 2026 10:00:00 +0000\r\n" for i in range(51)))
    assert code == 554 and b"5.4.6" in text, (code, text)
    assert stranger(house, "alice@demo.test", "not yet", extra="".join(f"Received: from a{i} by b{i}; Mon, 30 Nov 2026 10:00:00 +0000\r\n" for i in range(40)))[0] == 250


def test_a_group_reaches_its_members_here_and_elsewhere(house, world):
    assert stranger(house, "crew@demo.test", "to the crew")[0] == 250
    m = wait_for(lambda: world.find("out@far.example", "to the crew"))
    assert m["from"] == "alice@demo.test" and b"Delivered-To: crew@demo.test\r\n" in m["body"]
    assert wait_for(lambda: here(house, "alice@demo.test", "to the crew"))
    own(house, "bob@demo.test", "crew@demo.test", "from within")
    m = wait_for(lambda: world.find("out@far.example", "from within"))
    ask = lambda name, timeout=5: keys(house)[name.decode().split("._domainkey.")[0]].encode()
    assert m["from"] == "alice@demo.test" and dkim.verify(m["body"], dnsfunc=ask)


def test_who_may_not_write_to_a_group_is_refused(house):
    code, text = stranger(house, "staff@demo.test", "x")
    assert code == 550 and b"5.7.1 only its members may write to staff@demo.test" in text
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        own(house, "bob@demo.test", "staff@demo.test", "x")
    assert own(house, "alice@demo.test", "staff@demo.test", "from a member") == {}
    assert wait_for(lambda: here(house, "alice@demo.test", "from a member"))


def test_a_submission_leaves_as_it_was_made(house, world):
    own(house, "alice@demo.test", "someone@far.example", "outwards")
    m = wait_for(lambda: world.find("someone@far.example", "outwards"))
    ask = lambda name, timeout=5: keys(house)[name.decode().split("._domainkey.")[0]].encode()
    assert m["from"] == "alice@demo.test" and dkim.verify(m["body"], dnsfunc=ask)
    assert b"Return-Path" not in m["body"] and b"127.0.0.1" not in m["body"]


def reports(s, user, address):
    """The notices in a mailbox that say of this address that it failed."""
    found = [email.message_from_bytes(m) for m in fetch_all(imap(s, user)).values() if b"multipart/report" in m and f"Final-Recipient: rfc822; {address}".encode() in m]
    assert all(m["Return-Path"] == "<>" for m in found)
    return found


def test_who_is_gone_is_not_written_to_again_until_released(house):
    own(house, "alice@demo.test", "gone.away@far.example", "first")
    notice = wait_for(lambda: reports(house, "alice@demo.test", "gone.away@far.example"))[0]
    words = notice.get_payload(0).get_payload()
    assert "550 5.1.1 nobody of that name" in words and "there is no mailbox with this address" in " ".join(words.split())
    with pytest.raises(smtplib.SMTPRecipientsRefused) as e:
        own(house, "bob@demo.test", "Gone.Away@FAR.example", "second")
    (code, text), = e.value.recipients.values()
    assert code == 550 and text.startswith(b"5.1.1") and b"queue suppressed release" in text
    house.cli("queue", "suppressed", "release", "gone.away@far.example")
    assert own(house, "bob@demo.test", "gone.away@far.example", "third") == {}
    assert wait_for(lambda: reports(house, "bob@demo.test", "gone.away@far.example"))


def suppressed(s):
    return [json.loads(line)["address"] for line in s.cli("queue", "suppressed", "list", "--json", check=False).stdout.splitlines()]


def traced(s, what):
    """(to, kind, reason) of each event."""
    return [(e["to"], e["kind"], e["reason"]) for e in map(json.loads, s.cli("trace", what, "--json", check=False).stdout.splitlines()) if "kind" in e]


@pytest.mark.parametrize("members", [2, 30])  # looked for one by one, and in the whole list
def test_a_member_of_a_group_who_is_gone_is_left_out_and_the_history_says_so(house, world, members):
    group, gone = f"gang{members}@demo.test", f"gone.member{members}@far.example"
    others = [f"gang{members}.{i}@far.example" for i in range(members - 1)]
    house.cli("group", "add", group, "--write", "anyone", "--owner", "alice@demo.test")
    house.cli("group", "members", group, *[x for m in ["alice@demo.test", gone, *others] for x in ("--add", m)])
    assert stranger(house, group, f"to {group}")[0] == 250
    wait_for(lambda: gone in suppressed(house), 20)
    assert world.refused.count(gone) == 1 and not [t for t in traced(house, gone) if t[1] == "suppressed"]
    for send, subject in ((lambda x: stranger(house, group, x), f"again to {group}"), (lambda x: own(house, "bob@demo.test", group, x), f"from here to {group}")):
        send(subject)
        for one in others:
            wait_for(lambda: world.find(one, subject))
        assert wait_for(lambda: here(house, "alice@demo.test", subject))
    told = wait_for(lambda: [t for t in traced(house, gone) if t[1] == "suppressed"][1:] and [t for t in traced(house, gone) if t[1] == "suppressed"])
    assert len(told) == 2 and all(to == gone and f"by way of {group}" in reason for to, _, reason in told), told
    assert world.refused.count(gone) == 1
    house.cli("queue", "suppressed", "release", gone)
    assert stranger(house, group, f"once more to {group}")[0] == 250
    wait_for(lambda: world.refused.count(gone) == 2)


def test_who_forwards_to_somebody_who_is_gone_has_the_message_here(house, world):
    """Not lost: there is no other copy, and the sender has had his 250."""
    house.cli("account", "add", "fred@demo.test", input=PASSWORD + "\n")
    house.cli("account", "forward", "fred@demo.test", "--to", "gone.fred@far.example", "--only")
    assert stranger(house, "fred@demo.test", "to where nobody is")[0] == 250
    wait_for(lambda: "gone.fred@far.example" in suppressed(house), 20)
    asked = world.refused.count("gone.fred@far.example")
    assert here(house, "fred@demo.test", "to where nobody is") is None
    code, text = stranger(house, "fred@demo.test", "second to where nobody is")
    assert code == 250 and here(house, "fred@demo.test", "second to where nobody is")
    events = wait_for(lambda: [t for t in traced(house, text.split()[-1].decode()) if t[1] == "suppressed"] and traced(house, text.split()[-1].decode()))
    assert {(to, kind) for to, kind, _ in events} == {("fred@demo.test", "delivered"), ("gone.fred@far.example", "suppressed")}, events
    assert world.refused.count("gone.fred@far.example") == asked


def test_a_group_of_nobody_but_who_is_gone_goes_to_its_owner_or_is_refused(house):
    for name, owner in (("owned", ["--owner", "alice@demo.test"]), ("ownerless", [])):
        house.cli("group", "add", f"{name}@demo.test", "--write", "anyone", *owner)
        house.cli("group", "members", f"{name}@demo.test", "--add", f"gone.{name}@far.example")
        assert stranger(house, f"{name}@demo.test", f"first to {name}")[0] == 250
        wait_for(lambda: f"gone.{name}@far.example" in suppressed(house), 20)
    assert stranger(house, "owned@demo.test", "second to owned")[0] == 250
    assert here(house, "alice@demo.test", "second to owned") and here(house, "alice@demo.test", "first to owned") is None
    code, text = stranger(house, "ownerless@demo.test", "second to ownerless")
    assert code == 550 and text.startswith(b"5.1.1") and b"refused for good" in text, text


def test_a_forward_that_is_refused_is_told_to_its_owner_and_not_to_the_sender(house, world):
    house.cli("account", "add", "dora@demo.test", input=PASSWORD + "\n")
    house.cli("account", "forward", "dora@demo.test", "--to", "gone.dora@far.example")
    assert stranger(house, "dora@demo.test", "goes nowhere")[0] == 250
    assert wait_for(lambda: here(house, "dora@demo.test", "goes nowhere"))  # her copy
    assert len(wait_for(lambda: reports(house, "dora@demo.test", "gone.dora@far.example"))) == 1
    assert not any(m["to"] == ["joe@proved.example"] and b"goes nowhere" in m["body"] for m in world.got)


def test_groups_and_forwards_in_circles_end(house, world):
    """A group in itself by way of another, two people who forward to each other: everybody once."""
    for name, member in (("ring1", "ring2"), ("ring2", "ring1")):
        house.cli("group", "add", f"{name}@demo.test", "--write", "anyone", "--owner", "alice@demo.test")
    house.cli("group", "members", "ring1@demo.test", "--add", "ring2@demo.test", "--add", "out1@far.example")
    house.cli("group", "members", "ring2@demo.test", "--add", "ring1@demo.test", "--add", "out1@far.example", "--add", "alice@demo.test")
    for one, other in (("tom", "tim"), ("tim", "tom")):
        house.cli("account", "add", f"{one}@demo.test", input=PASSWORD + "\n")
    house.cli("account", "forward", "tom@demo.test", "--to", "tim@demo.test")
    house.cli("account", "forward", "tim@demo.test", "--to", "tom@demo.test")
    assert stranger(house, "ring1@demo.test", "round")[0] == 250
    assert stranger(house, "tom@demo.test", "round")[0] == 250
    count = lambda user: sum(email.message_from_bytes(m)["Subject"] == "round" for m in fetch_all(imap(house, user)).values())
    wait_for(lambda: world.find("out1@far.example", "round"))
    assert [count(f"{u}@demo.test") for u in ("alice", "tom", "tim")] == [1, 1, 1]
    assert sum("out1@far.example" in m["to"] for m in world.got) == 1


def test_what_is_not_forwarded_is_told_to_a_proved_sender_alone(house, world):
    """A group whose members are all elsewhere and that nobody here owns, beside somebody who takes the message."""
    house.cli("group", "add", "away@demo.test", "--write", "anyone")
    house.cli("group", "members", "away@demo.test", "--add", "out2@far.example")

    def both(sender, subject):
        with smtplib.SMTP("localhost", house.smtp, local_hostname="client.example") as c:
            c.ehlo()
            assert c.mail(sender)[0] == 250 and c.rcpt("alice@demo.test")[0] == 250 and c.rcpt("away@demo.test")[0] == 250
            code, text = c.data(f"Delivered-To: away@demo.test\r\nFrom: joe@proved.example\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())
            assert code == 250, text
            return text.split()[-1].decode()

    unproved, proved = both("joe@unknown.example", "of an unproved sender"), both("joe@proved.example", "of a proved sender")
    m = wait_for(lambda: next((m for m in world.got if m["to"] == ["joe@proved.example"] and b"of a proved sender" in m["body"]), None))
    report = email.message_from_bytes(m["body"])
    assert m["from"] == "" and report.get_content_type() == "multipart/report" and b"Final-Recipient: rfc822; away@demo.test" in m["body"] and b"Status: 5.4.6" in m["body"]
    assert [e["to"] for e in house.events("queue.report") if e["mid"] in (unproved, proved)] == ["joe@proved.example"]
