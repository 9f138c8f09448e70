"""Mail to other servers: what is delivered, put off, returned, and how the queue is shown and steered. The other servers are on loopback."""
import email
import json
import os
import re
import signal
import smtplib
import ssl
import subprocess
import threading

import pytest

from conftest import Server
from helpers import fetch_all, imap, send, wait_for
from relay_world import Peer, fill, free_port, relay_env, send_out, zone_text

NAMES = {  # domain: the address of its server
    "fine.example": "127.0.1.1", "busy.example": "127.0.1.2", "strict.example": "127.0.1.3", "late.example": "127.0.1.4", "gone.example": "127.0.1.5",
    "tls.example": "127.0.1.6", "broken.example": "127.0.1.7", "never.example": "127.0.1.8", "us.example": "127.0.1.9", "slow.example": "127.0.1.10",
    "huge.example": "127.0.1.11", "turn.example": "127.0.1.12", "many.example": "127.0.1.13", "pause.example": "127.0.1.14",
}
MORE = """
null.example. IN SOA ns.null.example. root.null.example. 1 1 1 1 1
null.example. IN MX 0 .
loop.example. IN SOA ns.loop.example. root.loop.example. 1 1 1 1 1
loop.example. IN MX 10 mail.demo.test.
dead.example. IN SOA ns.dead.example. root.dead.example. 1 1 1 1 1
; TIMEOUT dead.example MX
lie.example. IN SOA ns.lie.example. root.lie.example. 1 1 1 1 1
; BOGUS lie.example MX
none.example. IN SOA ns.none.example. root.none.example. 1 1 1 1 1
none.example. IN MX 10 mx.none.example.
nothing.example. IN SOA ns.nothing.example. root.nothing.example. 1 1 1 1 1
nothing.example. IN TXT "v=spf1 -all"
plain.example. IN SOA ns.plain.example. root.plain.example. 1 1 1 1 1
plain.example. IN A 127.0.1.1
two.example. IN SOA ns.two.example. root.two.example. 1 1 1 1 1
two.example. IN MX 10 a.two.example.
two.example. IN MX 20 b.two.example.
a.two.example. IN A 127.0.1.200
b.two.example. IN A 127.0.1.1
demo.test. IN SOA ns.demo.test. root.demo.test. 1 1 1 1 1
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    top = tmp_path_factory.mktemp("relay")
    port = free_port()
    s = Server(top / "demo", env=relay_env(top, port, zone_text(*NAMES.items(), MORE), timeout='"1500 ms"'))
    s.relay_port = port
    peers = {}

    def peer(domain, **kw):
        if domain in peers:
            peers[domain].stop()
        peers[domain] = Peer(port, NAMES[domain], **kw)
        return peers[domain]

    s.peer = peer
    yield s
    for p in peers.values():
        p.stop()
    assert s.stop() == 0


def rows(server, *args):
    out = server.cli("queue", "list", "--json", *args, check=False).stdout
    return [json.loads(line) for line in out.splitlines()]


def ended(server, to, seconds=10):
    """How that recipient left the queue."""
    return wait_for(lambda: rows(server, "--state", "done", "--to", to), seconds)[0]


def notices(server, user="bob@demo.test"):
    m = imap(server, user)
    found = [email.message_from_bytes(b) for b in fetch_all(m).values()]
    m.logout()
    return [n for n in found if n.get_content_type() == "multipart/report"]


def notice_about(server, address, seconds=10):
    def look():
        return [n for n in notices(server) if address in n.as_string()]
    return wait_for(look, seconds)[0]


def status_fields(notice):
    part = [p for p in notice.walk() if p.get_content_type() == "message/delivery-status"][0]
    return [dict(block.items()) for block in part.get_payload()]


# ---- delivery ----

def test_all_recipients_of_a_message_at_one_place_go_in_one_transaction(world):
    p = world.peer("fine.example")
    first = fill(world, to="a%d.%d@fine.example", rcpts=5, letters=2, mid="ON")
    wait_for(lambda: len(p.recipients()) == 10)
    assert sorted(len(to) for _, to, _ in p.taken) == [5, 5]
    assert all(m.endswith(b"First line\r\n.dot\r\nlast\r\n") for _, _, m in p.taken)
    done = [r for r in rows(world, "--state", "done") if r["mid"].startswith("ON")]
    assert len(done) == 10 and {r["state"] for r in done} == {"sent"} and done[0]["reason"] == "250 2.0.0 taken"
    assert done[0]["id"] == f"{first}.0" and done[0]["host"] == "mx.fine.example [127.0.1.1]"


def test_a_domain_without_mx_takes_mail_at_its_own_address(world):
    p = world.peer("fine.example")
    fill(world, to="implicit@plain.example")
    wait_for(lambda: p.recipients() == ["implicit@plain.example"])


def test_the_second_server_takes_it_when_the_first_does_not_answer(world):
    p = world.peer("fine.example")
    fill(world, to="second@two.example")
    wait_for(lambda: p.recipients() == ["second@two.example"])


def test_what_is_refused_for_now_is_tried_again(world):
    seen = []

    def say(verb, line):
        if verb == "RCPT":
            seen.append(line)
            return "451 4.7.1 greylisted" if len(seen) < 3 else None
    p = world.peer("busy.example", say=say)
    fill(world, to="grey@busy.example")
    wait_for(lambda: p.recipients() == ["grey@busy.example"])
    assert ended(world, "grey@busy.example")["attempts"] == 3


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
def test_a_server_that_hangs_up_gets_the_message_once_when_it_stays(world, step):
    times = []

    def say(verb, line):
        if verb == step:
            times.append(verb)
            return "close" if len(times) <= 2 else None
    p = world.peer("turn.example", say=say, extensions=("8BITMIME",))
    send_out(world, "alice@demo.test", f"hang-{step.lower()}@turn.example")
    assert ended(world, f"hang-{step.lower()}@turn.example")["state"] == "sent"
    assert len(p.taken) == 1


def test_a_silent_server_costs_its_time_out_and_no_more(world):
    world.peer("slow.example", say=lambda verb, line: (60, "250 ok") if verb == "MAIL" else None)
    fill(world, to="slow@slow.example")
    row = wait_for(lambda: [r for r in rows(world, "--domain", "slow.example") if r["attempts"]], 10)[0]
    assert row["state"] in ("deferred", "sending") and "answer" in row["reason"] or "time" in row["reason"], row
    world.cli("queue", "drop", "--domain", "slow.example", "--yes", check=False)


def test_a_reply_without_end_is_cut_off(world):
    """A gigabyte, if anybody would read it."""
    import socket
    listener = socket.create_server((NAMES["huge.example"], world.relay_port))
    sent = [0]

    def flood():
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            with c:
                c.settimeout(5)
                try:
                    line = b"220-" + b"x" * 500 + b"\r\n"
                    while sent[0] < 1 << 30:
                        c.sendall(line * 100)
                        sent[0] += len(line) * 100
                except OSError:
                    pass
    t = threading.Thread(target=flood, daemon=True)
    t.start()
    fill(world, to="huge@huge.example")
    row = wait_for(lambda: [r for r in rows(world, "--domain", "huge.example") if r["attempts"]], 10)[0]
    assert row["reason"]
    assert sent[0] < 64 << 20
    world.cli("queue", "drop", "--domain", "huge.example", "--yes", check=False)
    listener.close()


# ---- TLS ----

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    d = tmp_path_factory.mktemp("cert")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=other.example",
                    "-keyout", d / "k.pem", "-out", d / "c.pem"], check=True, capture_output=True)
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(d / "c.pem", d / "k.pem")
    return c


def test_tls_is_used_where_it_is_offered_whatever_the_certificate(world, certificate):
    p = world.peer("tls.example", tls=certificate)
    fill(world, to="secret@tls.example")
    assert ended(world, "secret@tls.example")["tls"].startswith("TLSv1.3")
    assert p.lines.count("STARTTLS") == 1 and p.recipients() == ["secret@tls.example"]


def test_broken_tls_falls_back_to_clear_text_in_a_fresh_connection_when_nothing_demands_it(world):
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # no certificate: every handshake fails
    p = world.peer("broken.example", tls=empty)
    fill(world, to="anyway@broken.example")
    assert ended(world, "anyway@broken.example")["tls"] == "none"
    assert p.connections == 2 and p.recipients() == ["anyway@broken.example"]


# ---- the DNS ----

@pytest.mark.parametrize("domain,status,words", [("null.example", "bounced", "takes no mail"), ("missing.example", "bounced", "no domain missing.example"),
                                                 ("loop.example", "bounced", "come back to this server"), ("nothing.example", "bounced", "neither an MX record nor an address")])
def test_what_the_dns_says_for_good_goes_back_at_once(world, domain, status, words):
    fill(world, to=f"x@{domain}", owner="bob@demo.test", sender="bob@demo.test")
    row = ended(world, f"x@{domain}")
    assert row["state"] == status and words in row["reason"] and row["attempts"] == 1
    assert words in notice_about(world, f"x@{domain}").as_string().replace("\n", " ")


@pytest.mark.parametrize("domain,words", [("dead.example", "does not answer"), ("lie.example", "DNSSEC"), ("none.example", "no address")])
def test_what_the_dns_does_not_say_is_waited_for(world, domain, words):
    fill(world, to=f"x@{domain}")
    row = wait_for(lambda: [r for r in rows(world, "--domain", domain) if r["attempts"]], 15)[0]
    assert words in row["reason"], row
    world.cli("queue", "drop", "--domain", domain, "--yes", check=False)


def test_a_server_that_calls_itself_by_our_name_is_a_loop(world):
    p = world.peer("us.example", name="mail.demo.test")
    fill(world, to="me@us.example")
    row = ended(world, "me@us.example")
    assert row["state"] == "bounced" and "loops back" in row["reason"] and p.taken == []


# ---- notices ----

def test_a_refusal_is_told_in_one_notice_and_the_address_is_remembered(world):
    world.peer("strict.example", say=lambda verb, line: "550 5.1.1 no such user here" if verb == "RCPT" and "nobody" in line else None)
    fill(world, to="nobody%d.%d@strict.example", rcpts=3, owner="bob@demo.test", sender="bob@demo.test", mid="NB")
    n = notice_about(world, "nobody0.0@strict.example")
    fields = status_fields(n)
    assert [f["Final-Recipient"].split(";")[1].strip() for f in fields[1:]] == [f"nobody0.{i}@strict.example" for i in range(3)]
    assert {f["Action"] for f in fields[1:]} == {"failed"} and {f["Status"] for f in fields[1:]} == {"5.1.1"}
    assert "550 5.1.1 no such user here" in fields[1]["Diagnostic-Code"] and "mx.strict.example" in fields[1]["Remote-MTA"]
    assert len([x for x in notices(world) if "nobody0.0@strict.example" in x.as_string()]) == 1
    listed = [json.loads(line)["address"] for line in world.cli("queue", "suppressed", "list", "--json").stdout.splitlines()]
    assert {f"nobody0.{i}@strict.example" for i in range(3)} <= set(listed)
    world.cli("queue", "suppressed", "release", "nobody0.0@strict.example")
    assert world.cli("queue", "suppressed", "release", "nobody0.0@strict.example", check=False).returncode == 3


def test_yes_to_the_recipient_and_no_to_the_message_is_a_failure_of_everybody(world):
    world.peer("strict.example", say=lambda verb, line: "554 5.7.1 not this" if verb == "DOT" else None)
    fill(world, to="later%d.%d@strict.example", rcpts=2, owner="bob@demo.test", sender="bob@demo.test")
    assert ended(world, "later0.1@strict.example")["reason"] == "554 5.7.1 not this"
    fields = status_fields(notice_about(world, "later0.0@strict.example"))
    assert len(fields) == 3 and {f["Status"] for f in fields[1:]} == {"5.7.1"}


@pytest.mark.parametrize("notify,told", [(1, False), (2, False), (4, True), (0, True)])
def test_notify_decides_whether_a_failure_is_told(world, notify, told):
    world.peer("strict.example", say=lambda verb, line: "550 5.7.1 no" if verb == "RCPT" else None)
    to = f"notify{notify}@strict.example"
    fill(world, to=to, owner="bob@demo.test", sender="bob@demo.test", notify=notify)
    assert ended(world, to)["state"] == "bounced"
    assert (to in "".join(n.as_string() for n in notices(world))) == told


def test_who_wrote_letters_that_a_server_cannot_take_is_told_how_to_send_them(world):
    world.peer("strict.example", extensions=("PIPELINING",))
    with smtplib.SMTP("localhost", world.submission, local_hostname="client.example") as c:
        c.starttls(context=ssl.create_default_context(cafile=world.ca))
        c.login("bob@demo.test", "demo-only")
        c.sendmail("bob@demo.test", ["seven@strict.example"], "From: bob@demo.test\r\nSubject: letters\r\n\r\nGr\u00fc\u00dfe\r\n".encode(), mail_options=["BODY=8BITMIME"])
    notice = notice_about(world, "seven@strict.example")
    assert status_fields(notice)[1]["Status"] == "5.6.3" and "quoted-printable" in notice.get_payload(0).get_payload()


def test_a_binary_message_comes_back_by_its_header_alone(world):
    world.peer("strict.example")
    message = b"From: bob@demo.test\r\nSubject: octets\r\n\r\na\0b\nc\rd"
    with smtplib.SMTP("localhost", world.submission, local_hostname="client.example") as c:
        c.starttls(context=ssl.create_default_context(cafile=world.ca))
        c.ehlo()
        c.login("bob@demo.test", "demo-only")
        assert c.docmd("MAIL", "FROM:<bob@demo.test> BODY=BINARYMIME RET=FULL")[0] == 250 and c.docmd("RCPT", "TO:<octets@strict.example>")[0] == 250
        c.send(b"BDAT %d LAST\r\n" % len(message) + message)
        assert c.getreply()[0] == 250
    notice = notice_about(world, "octets@strict.example")
    assert [p.get_content_type() for p in notice.get_payload()] == ["text/plain", "message/delivery-status", "text/rfc822-headers"] and b"\0" not in notice.as_bytes()


SEVEN = ("PIPELINING", "SIZE 10000000")


@pytest.mark.parametrize("extensions,said,header,body,told", [
    (SEVEN, "SMTPUTF8 BODY=8BITMIME", "Subject: plain", "plain", ""),                                        # asked for, and no use for it
    (SEVEN + ("SMTPUTF8", "8BITMIME"), "SMTPUTF8", "Subject: plain", "plain", ""),
    (SEVEN + ("8BITMIME",), "SMTPUTF8 BODY=8BITMIME", "Subject: plain", "caf\u00e9", "BODY=8BITMIME"),
    (SEVEN + ("SMTPUTF8", "8BITMIME"), "BODY=8BITMIME", "Subject: caf\u00e9", "plain", "SMTPUTF8"),             # not said: right where it is offered,
    (SEVEN + ("8BITMIME",), "BODY=8BITMIME", "Subject: caf\u00e9", "plain", "BODY=8BITMIME"),                  # and no reason to refuse where it is not
    (SEVEN + ("SMTPUTF8", "8BITMIME"), "BODY=8BITMIME", b"Subject: caf\xe9", "plain", "BODY=8BITMIME"),        # no UTF-8, so no SMTPUTF8
    (SEVEN + ("8BITMIME",), "SMTPUTF8", "Subject: caf\u00e9", "plain", None),                                  # said, and needed
    (SEVEN, "BODY=8BITMIME", "Subject: caf\u00e9", "plain", None)])
def test_smtputf8_is_asked_of_a_server_only_where_the_message_needs_it(world, extensions, said, header, body, told):
    p = world.peer("strict.example", extensions=extensions)
    with smtplib.SMTP("localhost", world.submission, local_hostname="client.example") as c:
        c.starttls(context=ssl.create_default_context(cafile=world.ca))
        c.ehlo()
        c.login("bob@demo.test", "demo-only")
        assert c.docmd("MAIL", f"FROM:<bob@demo.test> {said}")[0] == 250 and c.docmd("RCPT", "TO:<u8@strict.example>")[0] == 250
        octets = header if isinstance(header, bytes) else header.encode()
        code, words = c.data(b"From: bob@demo.test\r\n" + octets + b"\r\n\r\n" + body.encode() + b"\r\n")
        assert code == 250
    mid = words.decode().split()[-1]
    row = wait_for(lambda: [r for r in rows(world, "--state", "done", "--to", "u8@strict.example") if r["mid"] == mid], 10)[0]
    assert row["state"] == ("bounced" if told is None else "sent"), row
    if told is not None:
        parameters = " ".join(w for w in p.taken[0][0].split()[2:] if not w.startswith("SIZE="))
        assert parameters == told and octets in p.taken[0][2]


def test_the_null_sender_is_never_answered(world):
    world.peer("strict.example", say=lambda verb, line: "550 5.7.1 no" if verb == "RCPT" else None)
    fill(world, to="null@strict.example", owner="", sender="")
    assert ended(world, "null@strict.example")["state"] == "bounced"
    assert "null@strict.example" not in "".join(n.as_string() for n in notices(world))


def test_success_is_told_as_relayed_where_the_next_server_knows_no_dsn(world):
    world.peer("fine.example")
    fill(world, to="tellme@fine.example", owner="bob@demo.test", sender="bob@demo.test", notify=2)
    fields = status_fields(notice_about(world, "tellme@fine.example"))
    assert fields[1]["Action"] == "relayed" and fields[1]["Status"].startswith("2.")


def test_success_is_left_to_the_next_server_where_it_knows_dsn(world):
    p = world.peer("fine.example", extensions=("PIPELINING", "8BITMIME", "DSN"))
    fill(world, to="theytell@fine.example", owner="bob@demo.test", sender="bob@demo.test", notify=2)
    assert ended(world, "theytell@fine.example")["state"] == "sent"
    assert any(line.startswith("RCPT TO:<theytell@fine.example>") and "NOTIFY=SUCCESS" in line for line in p.lines)
    assert "theytell@fine.example" not in "".join(n.as_string() for n in notices(world))


def test_a_delay_is_told_once_and_the_end_of_patience_is_a_failure(fresh, tmp_path):
    port = free_port()
    s = fresh(env=relay_env(tmp_path, port, zone_text(("late.example", "127.0.1.4")), delay_notice='"1 s"'))
    p = Peer(port, "127.0.1.4", say=lambda verb, line: "450 4.2.0 not now" if verb == "RCPT" else None)
    fill(s, to="patience@late.example", owner="bob@demo.test", sender="bob@demo.test", life_s=5)
    row = ended(s, "patience@late.example", 15)
    p.stop()
    assert row["state"] == "expired" and row["attempts"] > 3
    found = wait_for(lambda: [n for n in notices(s) if "patience@late.example" in n.as_string()][1:] and notices(s))
    actions = [status_fields(n)[1]["Action"] for n in found if "patience@late.example" in n.as_string()]
    assert sorted(actions) == ["delayed", "failed"]
    last = [status_fields(n)[1] for n in found if status_fields(n)[1]["Action"] == "failed"][0]
    assert last["Status"] == "4.4.7" and "450 4.2.0 not now" in last["Diagnostic-Code"]


# ---- connections ----

def test_connections_grow_with_success_up_to_the_limit_and_are_used_again(world):
    p = world.peer("many.example", say=lambda verb, line: (0.02, "250 2.0.0 ok") if verb == "MAIL" else None)
    fill(world, to="m%d@many.example", letters=300)
    wait_for(lambda: len(p.recipients()) == 300, 20)
    assert 5 < p.most_open <= 20
    assert p.connections <= 25


def test_a_destination_that_does_not_answer_is_not_asked_for_each_message(world):
    fill(world, to="r%d@never.example", letters=200)
    wait_for(lambda: [r for r in rows(world, "--domain", "never.example") if r["attempts"]], 10)
    downs = [e for e in world.events("queue.down") if e.get("dom") == "never.example"]
    assert 0 < len(downs) < 30
    p = world.peer("never.example")
    world.cli("queue", "retry", "--domain", "never.example", "--yes")
    wait_for(lambda: len(set(p.recipients())) == 200, 20)
    assert len(p.recipients()) == 200


def test_a_connection_that_was_gone_when_it_was_used_again_is_no_delivery(world):
    """One message is taken; then the server drops that connection and every other one."""
    opened = []

    def say(verb, line):
        if verb == "CONNECT":
            opened.append(1)
            return None if len(opened) == 1 else "close"
        if verb == "MAIL" and p.taken:
            return "close"
    p = world.peer("gone.example", say=say)
    fill(world, to="g%d@gone.example", letters=30)
    wait_for(lambda: len(p.taken) == 1)
    wait_for(lambda: len([r for r in rows(world, "--domain", "gone.example") if r["attempts"]]) > 3, 15)
    assert len(rows(world, "--state", "done", "--domain", "gone.example")) == 1
    assert len(rows(world, "--domain", "gone.example")) == 29
    world.cli("queue", "drop", "--domain", "gone.example", "--yes", check=False)


def test_a_retry_by_hand_asks_a_destination_that_is_left_alone_for_an_hour(fresh, tmp_path):
    port = free_port()
    s = fresh(env=relay_env(tmp_path, port, zone_text(("late.example", "127.0.1.40")), down_first='"1 h"', down_max='"1 h"', retry_first='"1 h"', retry_max='"1 h"'))
    fill(s, to="x%d@late.example", letters=3)
    wait_for(lambda: [r for r in rows(s) if r["attempts"]])
    p = Peer(port, "127.0.1.40")
    assert p.recipients() == []
    s.cli("queue", "retry", "--all", "--yes")
    wait_for(lambda: len(p.recipients()) == 3)
    p.stop()


# ---- steering ----

def test_the_queue_is_shown_and_steered_by_ids_and_filters(world):
    p = world.peer("late.example")
    fill(world, to="h%d.%d@late.example", letters=3, rcpts=2, held=1, mid="HL", sender="bob@demo.test", owner="bob@demo.test")
    mine = rows(world, "--domain", "late.example")
    assert len(mine) == 6 and {r["state"] for r in mine} == {"held"} and p.taken == []
    assert len(rows(world, "--to", "h1.1@late.example")) == 1
    assert len(rows(world, "--from", "@demo.test", "--domain", "late.example", "--limit", "4")) == 4
    assert world.cli("queue", "list", "--domain", "nowhere.example", check=False).returncode == 3
    assert world.cli("queue", "free", check=False).returncode == 2
    dry = world.cli("queue", "free", "--domain", "late.example", "--dry-run").stdout
    assert "6 recipients." in dry and p.taken == []
    assert world.cli("queue", "free", mine[0]["id"], check=False).returncode == 1  # nobody is there to say yes
    shown = json.loads(world.cli("queue", "show", mine[0]["id"], "--json").stdout)
    assert shown["to"] == "h0.0@late.example" and shown["subject"] == "a test"
    world.cli("queue", "free", mine[0]["id"], "--yes")
    wait_for(lambda: p.recipients() == ["h0.0@late.example"])
    gone = json.loads(world.cli("queue", "drop", "-", "--yes", "--json", input=mine[1]["id"] + "\n" + mine[1]["mid"] + "\n" + mine[1]["id"] + "\n").stdout.splitlines()[-1])
    assert gone["matched"] == gone["done"] == 1
    assert json.loads(world.cli("queue", "show", mine[1]["id"], "--json").stdout)["state"] == "dropped"
    world.cli("queue", "bounce", mine[2]["mid"], "--text", "no longer needed", "--yes")
    assert "no longer needed" in notice_about(world, mine[2]["to"]).as_string().replace("\n", " ")
    assert len(rows(world, "--domain", "late.example")) == 2
    world.cli("queue", "drop", "--domain", "late.example", "--yes")


def test_an_id_that_matches_nothing_is_named_and_the_others_are_done(world):
    """Also on stdin and with --json; a filter that passes an id over is not a mistake in that id."""
    fill(world, to="m%d@late.example", letters=4, held=1, mid="MS")
    a, b, c, d = sorted(rows(world, "--domain", "late.example"), key=lambda r: r["to"])
    p = world.cli("queue", "drop", a["id"], "NOSUCHID", b["mid"], "999999.0", "--yes", check=False)
    assert p.returncode == 1 and "2 removed" in p.stdout, p
    assert 'nothing in the queue matches "NOSUCHID"' in p.stderr and 'nothing in the queue matches "999999.0"' in p.stderr and p.stderr.count("nothing in") == 2, p.stderr
    assert {r["id"] for r in rows(world, "--domain", "late.example")} == {c["id"], d["id"]}
    p = world.cli("queue", "hold", "-", "--yes", "--json", input=f"{a['id']}\n{c['id']}\n", check=False)
    assert p.returncode == 1 and json.loads(p.stdout.splitlines()[-1])["matched"] == 1
    assert json.loads(p.stderr) == {"status": 3, "error": f'nothing in the queue matches "{a["id"]}"', "do": "letterlock queue show ID tells of what has left it, too"}
    p = world.cli("queue", "free", c["id"], "NOSUCHID", "--dry-run", check=False)
    assert p.returncode == 1 and "1 recipient." in p.stdout and "NOSUCHID" in p.stderr
    for more in (["--to", c["to"]], ["--limit", "1"]):
        p = world.cli("queue", "hold", c["id"], d["id"], *more, "--yes")
        assert "1 were so already" in p.stdout and p.stderr == "", p
    p = world.cli("queue", "hold", c["id"], d["id"], "NOSUCHID", "--to", c["to"], "--yes", check=False)
    assert p.returncode == 1 and p.stderr.count("nothing in") == 1 and "NOSUCHID" in p.stderr
    for verb in ("retry", "hold", "free", "bounce", "drop"):
        p = world.cli("queue", verb, "NOSUCHID", "--yes", check=False)
        assert p.returncode == 3 and "NOSUCHID" in p.stderr, (verb, p)
    for verb in ("show", "list"):
        p = world.cli("queue", verb, c["id"], "NOSUCHID", check=False)
        assert p.returncode == 1 and c["to"] in p.stdout and "NOSUCHID" in p.stderr, (verb, p)
    p = world.cli("queue", "drop", c["id"], "12x", "--yes", check=False)
    assert p.returncode == 2 and len(rows(world, "--domain", "late.example")) == 2  # what is no id is a mistake of the whole line: nothing is done
    world.cli("queue", "drop", "--domain", "late.example", "--yes")


def told_of(server, text):
    """The recipients in each notice about what was returned with these words."""
    return sorted(sorted(f["Final-Recipient"].split("; ")[1] for f in status_fields(n)[1:]) for n in notices(server) if text in n.as_string().replace("\n ", " "))


def test_what_is_returned_by_hand_is_told_in_one_notice_for_each_message(world):
    """Whatever the places and the order of the ids."""
    fill(world, to="b%d@part%d.example", letters=2, rcpts=3, held=1, mid="HB", sender="bob@demo.test", owner="bob@demo.test")
    mine = rows(world, "--to", "@part0.example") + rows(world, "--to", "@part1.example") + rows(world, "--to", "@part2.example")
    assert len(mine) == 6
    done = json.loads(world.cli("queue", "bounce", *[r["id"] for r in mine], "--text", "wrong list", "--yes", "--json").stdout.splitlines()[-1])
    assert done["done"] == 6
    wait_for(lambda: len(told_of(world, "wrong list")) == 2)
    assert all("the administrator of this mail server returned it" in " ".join(n.get_payload(0).get_payload().split()) for n in notices(world) if "wrong list" in n.as_string())
    assert told_of(world, "wrong list") == [[f"b{n}@part{k}.example" for k in range(3)] for n in range(2)]
    assert {r["state"] for r in rows(world, "--state", "done", "--from", "bob@demo.test") if "@part" in r["to"]} == {"bounced"}
    steps = [json.loads(line) for line in world.cli("trace", "b1@part2.example", "--json").stdout.splitlines()]
    assert [e["reason"] for e in steps if e.get("kind") == "bounced"] == ["returned by the administrator: wrong list"], steps


def test_a_notice_of_what_is_returned_by_hand_leaves_out_who_asked_for_none(world):
    for domain in ("part0.example", "part1.example"):
        world.cli("queue", "pause", domain)
    with smtplib.SMTP("localhost", world.submission, timeout=20) as c:
        c.starttls(context=ssl.create_default_context(cafile=world.ca))
        c.login("bob@demo.test", "demo-only")
        assert c.mail("bob@demo.test")[0] == 250
        for to in ("<quiet@part0.example> NOTIFY=NEVER", "<one@part0.example> NOTIFY=FAILURE", "<two@part1.example>"):
            assert c.docmd("RCPT", "TO:" + to)[0] == 250
        code, text = c.data("From: bob@demo.test\r\nSubject: x\r\n\r\nx\r\n")
        assert code == 250, text
    world.cli("queue", "bounce", text.split()[-1].decode(), "--text", "not wanted", "--yes")
    for domain in ("part0.example", "part1.example"):
        world.cli("queue", "resume", domain)
    wait_for(lambda: told_of(world, "not wanted"))
    assert told_of(world, "not wanted") == [["one@part0.example", "two@part1.example"]]
    assert [r["state"] for r in rows(world, "--state", "done", "--to", "quiet@part0.example")] == ["bounced"]


def test_a_thousand_rows_returned_at_once_do_not_part_a_messages_recipients(world):
    fill(world, to="c%d.%d@part3.example", letters=3, rcpts=400, held=1, mid="HC", sender="bob@demo.test", owner="bob@demo.test")
    world.cli("queue", "bounce", "--domain", "part3.example", "--text", "many of them", "--yes")
    wait_for(lambda: len(told_of(world, "many of them")) >= 3)
    assert [len(x) for x in told_of(world, "many of them")] == [400, 400, 400]
    assert rows(world, "--domain", "part3.example") == []


def test_what_is_returned_by_hand_stays_where_its_sender_cannot_be_told(world):
    world.cli("account", "add", "packed@demo.test", "--quota", "4KiB", input="pw pw pw\n")
    send(world, "packed@demo.test", "Subject: fills it\r\n\r\n" + "x" * 3000 + "\r\n")
    fill(world, to="p%d.%d@part4.example", rcpts=2, held=1, mid="HP", sender="packed@demo.test", owner="packed@demo.test")
    result = json.loads(world.cli("queue", "bounce", "--domain", "part4.example", "--yes", "--json", check=False).stdout.splitlines()[-1])
    assert result["done"] == 0 and [r["state"] for r in rows(world, "--domain", "part4.example")] == ["held", "held"], result
    world.cli("queue", "drop", "--domain", "part4.example", "--yes")


def test_a_paused_destination_waits_until_it_is_resumed_also_over_a_restart(world):
    p = world.peer("pause.example")
    world.cli("queue", "pause", "pause.example")
    assert world.cli("queue", "pause", "pause.example", check=False).returncode == 3
    fill(world, to="wait@pause.example")
    row = wait_for(lambda: rows(world, "--domain", "pause.example"))[0]
    assert row["state"] == "paused" and row["attempts"] == 0 and p.taken == []
    assert "pause.example" in world.cli("queue", "pause").stdout
    world.cli("queue", "resume", "pause.example")
    wait_for(lambda: p.recipients() == ["wait@pause.example"])
    assert world.cli("queue", "resume", "pause.example", check=False).returncode == 3


def test_people_look_for_a_domain_as_they_write_it(world):
    fill(world, to="someone@xn--bcher-kva.example")
    ended(world, "someone@xn--bcher-kva.example")
    assert rows(world, "--state", "done", "--to", "someone@b\u00fccher.example") and rows(world, "--state", "done", "--to", "@B\u00fccher.example")
    wait_for(lambda: world.cli("trace", "someone@b\u00fccher.example", check=False).returncode == 0)
    assert "there is no domain xn--bcher-kva.example" in world.cli("probe", "send", "someone@b\u00fccher.example", "--no-data", check=False).stdout


def test_trace_tells_each_step_with_the_servers_words(world):
    seen = []

    def say(verb, line):
        if verb == "RCPT":
            seen.append(1)
            return "450 4.7.1 come back" if len(seen) == 1 else None
    world.peer("busy.example", say=say)
    fill(world, to="story@busy.example", mid="ST")
    ended(world, "story@busy.example")

    def look():
        steps = [json.loads(line) for line in world.cli("trace", "story@busy.example", "--json", check=False).stdout.splitlines()]
        return steps if len(steps) >= 2 else None
    steps = wait_for(look)
    assert [s["kind"] for s in steps] == ["deferred", "sent"]
    assert steps[0]["reason"] == "450 4.7.1 come back" and steps[1]["reason"] == "250 2.0.0 taken" and steps[1]["name"] == "mx.busy.example"
    text = world.cli("trace", "ST000000").stdout
    assert "450 4.7.1 come back" in text and "[127.0.1.2]" in text
    assert world.cli("trace", "st000000").stdout == text
    assert world.cli("trace", "nobody@nowhere.example", check=False).returncode == 3


def test_probe_send_shows_the_dialogue_and_stops_before_the_message_when_asked(world):
    p = world.peer("fine.example")
    out = world.cli("probe", "send", "test@fine.example", "--no-data").stdout
    assert "> EHLO mail.demo.test" in out and "< 250 2.1.5 ok" in out and "> DATA" not in out and p.taken == []
    out = world.cli("probe", "send", "test@fine.example", "--from", "bob@demo.test").stdout
    assert "> MAIL FROM:<bob@demo.test>" in out and "taken: 250 2.0.0 taken" in out and len(p.taken) == 1
    p = world.peer("strict.example", say=lambda verb, line: "550 5.7.1 no" if verb == "RCPT" else None)
    own = world.cli("probe", "send", "bob@demo.test", "--no-data", check=False)
    assert own.returncode == 1 and "in a domain of yours" in own.stderr
    refused = world.cli("probe", "send", "test@strict.example", "--no-data", check=False)
    assert refused.returncode == 4 and "refused: 550 5.7.1 no" in refused.stdout


def test_a_probe_ends_before_its_connection_and_may_come_before_relay_is_ready(world):
    p = world.peer("fine.example", say=lambda verb, line: (0.3, "221 2.0.0 bye") if verb == "QUIT" else None)
    before = world.pids("relay")
    for _ in range(2):
        assert "250 2.1.5 ok" in world.cli("probe", "send", "test@fine.example", "--no-data").stdout
    wait_for(lambda: p.lines.count("QUIT") >= 2 and p.open == 0)
    assert world.pids("relay") == before
    def restarts():
        return [x["restarts"] for x in world.status()["processes"] if x["role"] == "relay"][0]

    started = restarts()
    for _ in range(4):
        os.kill(world.pids("relay")[0], signal.SIGKILL)
        wait_for(lambda: world.cli("probe", "send", "test@fine.example", "--no-data", check=False).returncode == 0)
    assert restarts() == started + 4


def test_the_metrics_count_the_queue(world):
    import urllib.request
    world.peer("fine.example")
    fill(world, to="counted@fine.example")  # counts begin anew with each start
    ended(world, "counted@fine.example")
    page = urllib.request.urlopen(f"http://127.0.0.1:{world.metrics}/metrics").read().decode()
    found = dict(re.findall(r"^(letterlock_\S+) (\d+)$", page, re.M))
    assert int(found['letterlock_delivery_total{result="ok",class="remote"}']) > 0
    assert 'letterlock_queue_messages{state="held"}' in found and "letterlock_queue_oldest_seconds" in found


def test_status_says_how_much_waits(world):
    fill(world, to="s%d@late.example", letters=3, held=1)
    wait_for(lambda: world.status().get("queue", {}).get("held") == 3)
    assert "3 held for other servers" in world.cli("status").stdout
    world.cli("queue", "drop", "--domain", "late.example", "--yes")
