"""The outbound queue among servers, a DNS and a disk that behave badly: nothing is lost, nothing goes out in a way that it may not, and nothing is sent twice without need."""
import os
import smtplib
import subprocess
import time

import pytest

from bad_peer import BadPeer
from conftest import Server
from helpers import send, wait_for
from relay_world import Peer, drop, fill, free_port, relay_env, send_out, zone_text
from test_relay import certificate, ended, notice_about, rows, status_fields

NAMES = {"first.example": "127.0.5.1", "mixed.example": "127.0.5.2", "turn.example": "127.0.5.3", "slow.example": "127.0.5.4", "order.example": "127.0.5.5", "byte.example": "127.0.5.6",
         "nobody.example": "127.0.5.7", "broken.example": "127.0.5.8"}
MORE = """
pair.example. IN SOA ns.pair.example. root.pair.example. 1 1 1 1 1
pair.example. IN MX 10 a.pair.example.
pair.example. IN MX 20 b.pair.example.
a.pair.example. IN A 127.0.5.11
b.pair.example. IN A 127.0.5.12
quad.example. IN SOA ns.quad.example. root.quad.example. 1 1 1 1 1
quad.example. IN MX 10 a.quad.example.
quad.example. IN MX 20 b.quad.example.
quad.example. IN MX 30 c.quad.example.
a.quad.example. IN A 127.0.5.14
a.quad.example. IN A 127.0.5.15
b.quad.example. IN A 127.0.5.16
c.quad.example. IN A 127.0.5.17
circle.example. IN SOA ns.circle.example. root.circle.example. 1 1 1 1 1
circle.example. IN MX 10 a.circle.example.
a.circle.example. IN CNAME b.circle.example.
b.circle.example. IN CNAME a.circle.example.
fog.example. IN SOA ns.fog.example. root.fog.example. 1 1 1 1 1
fog.example. IN MX 10 mx.fog.example.
mx.fog.example. IN A 127.0.5.9
; TIMEOUT _%PORT%._tcp.mx.fog.example TLSA
"""


LETTERS = 300


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    top = tmp_path_factory.mktemp("bad")
    port = free_port()
    s = Server(top / "demo", env=relay_env(top, port, zone_text(*NAMES.items(), MORE), timeout='"1500 ms"'))
    s.relay_port = port
    yield s
    assert s.stop() == 0


def bad(world, domain, *options):
    return BadPeer(f"bind={NAMES[domain]}", f"port={world.relay_port}", *options)


def tried(world, domain, times=1):
    return wait_for(lambda: [r for r in rows(world, "--domain", domain) if r["attempts"] >= times], 15)[0]


# ---- servers ----

def test_a_server_that_answers_octet_by_octet_past_its_time_gets_nothing(world):
    with bad(world, "slow.example", "slow=0.2") as p:
        fill(world, to="x@slow.example")
        assert "within" in tried(world, "slow.example")["reason"] and p.stats()["messages"] == []
        drop(world, "--domain", "slow.example", none_is_fine=True)


def test_a_server_that_answers_slowly_and_in_time_is_served(world):
    with bad(world, "slow.example", "slow=0.001") as p:
        fill(world, to="y@slow.example")
        p.wait(1)
        assert ended(world, "y@slow.example")["state"] == "sent"


def test_answers_out_of_order_deliver_nothing_and_are_tried_again(world):
    with bad(world, "order.example", "disorder") as p:
        fill(world, to="x@order.example")
        assert tried(world, "order.example", 2)["state"] in ("deferred", "sending") and p.stats()["messages"] == []
    with bad(world, "order.example") as p:
        p.wait(1)
        assert ended(world, "x@order.example")["state"] == "sent" and len(p.stats()["messages"]) == 1


@pytest.mark.parametrize("at", [0, 3, 27, 60, 120, 190])
def test_a_server_that_closes_at_any_octet_gets_the_message_when_it_stays(world, at):
    to = f"at{at}@byte.example"
    with bad(world, "byte.example", f"close_at={at}"):
        send_out(world, "alice@demo.test", to)
        tried(world, "byte.example")
    with bad(world, "byte.example") as p:
        assert ended(world, to)["state"] == "sent"
        assert len(p.stats()["messages"]) == 1


def test_yes_to_the_recipient_and_not_now_to_data_is_tried_again_and_never_is_a_failure(world):
    with bad(world, "turn.example", "answer=DATA:451 4.3.0 changed my mind"):
        fill(world, to="x@turn.example", owner="bob@demo.test", sender="bob@demo.test")
        assert "451 4.3.0 changed my mind" in tried(world, "turn.example")["reason"]
    with bad(world, "turn.example", "answer=DATA:554 5.7.1 changed my mind") as p:
        row = ended(world, "x@turn.example")
        assert row["state"] == "bounced" and p.stats()["messages"] == []
    assert status_fields(notice_about(world, "x@turn.example"))[1]["Diagnostic-Code"].endswith("554 5.7.1 changed my mind")


@pytest.mark.parametrize("how", ["refuse", "garbage", "close", "plaintext"])
def test_starttls_that_breaks_costs_nothing_where_nobody_asks_for_tls_and_stops_mail_where_somebody_does(world, how):
    to = f"{how}@broken.example"
    with bad(world, "broken.example", f"starttls={how}") as p:
        fill(world, to=to)
        assert ended(world, to, 15)["tls"] == "none" and len(p.stats()["messages"]) == 1
        world.cli("route", "add", "broken.example", "--tls", "encrypted")
        try:
            fill(world, to="2" + to)
            row = tried(world, "broken.example")
            assert "TLS" in row["reason"] and len(p.stats()["messages"]) == 1, row
        finally:
            world.cli("route", "remove", "broken.example", check=False)
            drop(world, "--domain", "broken.example", none_is_fine=True)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_the_second_server_takes_what_the_first_one_hangs_up_on(world, verb):
    with BadPeer("bind=127.0.5.11", f"port={world.relay_port}", f"close={verb}") as first, BadPeer("bind=127.0.5.12", f"port={world.relay_port}") as second:
        fill(world, to=f"{verb.lower()}@pair.example")
        second.wait(1)
        assert ended(world, f"{verb.lower()}@pair.example")["attempts"] == 1
        assert first.stats()["connections"] == 1 and first.stats()["messages"] == []


def pair(world, first, second=()):
    return BadPeer("bind=127.0.5.11", f"port={world.relay_port}", *first), BadPeer("bind=127.0.5.12", f"port={world.relay_port}", *second)


@pytest.mark.parametrize("words", ["451 4.3.2 not now", "421 4.3.2 not now"])
def test_the_second_server_takes_what_the_first_one_puts_off_at_mail(world, words):
    to = f"put{words[:3]}@pair.example"
    first, second = pair(world, [f"answer=MAIL:{words}"])
    with first, second:
        fill(world, to=to)
        second.wait(1)
        row = ended(world, to)
        assert row["attempts"] == 1 and row["host"].startswith("b.pair.example"), row
        assert first.stats()["connections"] == 1 and first.stats()["messages"] == []


@pytest.mark.parametrize("second_says, fails", [([], False), (["answer=connect:521 no mail here either"], True), (["answer=connect:421 4.3.2 not now"], False)])
def test_a_host_that_takes_no_mail_at_all_leaves_it_to_the_others(world, second_says, fails):
    to = f"never{len(second_says)}{fails}@pair.example"
    first, second = pair(world, ["answer=connect:521 5.3.2 no mail here"], second_says)
    with first, second:
        fill(world, to=to, owner="")
        wait_for(lambda: second.stats()["connections"])
        if second_says and not fails:
            wait_for(lambda: [r for r in rows(world, "--state", "deferred", "--to", to) if r["reason"].startswith("421")])
            drop(world, "--to", to)
            return
        row = ended(world, to)
        assert row["attempts"] == 1 and row["state"] == ("bounced" if fails else "sent"), row
        assert fails == row["reason"].startswith("521"), row


def test_what_the_first_server_refuses_at_mail_for_good_is_asked_of_no_other(world):
    first, second = pair(world, ["answer=MAIL:550 5.7.1 not from you"])
    with first, second:
        fill(world, to="never@pair.example")
        row = ended(world, "never@pair.example")
        assert row["state"] == "bounced" and "550 5.7.1 not from you" in row["reason"] and second.stats()["connections"] == 0, row


def test_what_a_server_said_at_mail_is_kept_where_the_next_one_does_not_answer(world):
    with BadPeer("bind=127.0.5.11", f"port={world.relay_port}", "answer=MAIL:451 4.3.2 said by the first"):
        fill(world, to="alone@pair.example")
        row = tried(world, "pair.example")
        assert row["reason"] == "451 4.3.2 said by the first" and row["host"] == "a.pair.example [127.0.5.11]", row
        assert not [e for e in world.events("queue.down") if e.get("dom") == "pair.example" and "said by the first" in e["reason"]], "it does answer"
        drop(world, "--domain", "pair.example", none_is_fine=True)


def test_three_servers_are_asked_at_mail_and_no_fourth_and_the_last_answer_counts(world):
    """Both addresses of the first host, then the second host; the third one would have taken it."""
    peers = [BadPeer(f"bind=127.0.5.{n}", f"port={world.relay_port}", *([f"answer=MAIL:451 4.3.2 said by {n}"] if n < 17 else [])) for n in range(14, 18)]
    with peers[0] as a, peers[1] as b, peers[2] as c, peers[3] as d:
        fill(world, to="x@quad.example")
        row = tried(world, "quad.example")
        assert row["reason"] == "451 4.3.2 said by 16" and row["host"] == "b.quad.example [127.0.5.16]", row
        assert min(p.stats()["connections"] for p in (a, b, c)) >= 1 and d.stats()["connections"] == 0
        drop(world, "--domain", "quad.example", none_is_fine=True)


def test_a_connection_in_the_clear_is_not_used_again_for_mail_that_must_be_encrypted(world):
    """The first message goes over a connection that then waits, idle; the second may not follow it."""
    p = Peer(world.relay_port, NAMES["first.example"])
    try:
        world.cli("route", "add", "bob@demo.test", "--tls", "encrypted")
        fill(world, to="open%d@first.example", letters=3)
        wait_for(lambda: len(p.recipients()) == 3)
        send_out(world, "bob@demo.test", "closed@first.example")
        row = tried(world, "first.example")
        assert "without TLS" in row["reason"] and "closed@first.example" not in p.recipients(), row
        send_out(world, "alice@demo.test", "again@first.example")
        wait_for(lambda: "again@first.example" in p.recipients())
    finally:
        world.cli("route", "remove", "bob@demo.test", check=False)
        drop(world, "--domain", "first.example", none_is_fine=True)
        p.stop()


def test_requiretls_does_not_go_to_a_host_that_nothing_proves(world, certificate):
    """RFC 8689 4.2.1: the MX record is not signed, and no MTA-STS policy names the host."""
    p = Peer(world.relay_port, NAMES["first.example"], tls=certificate, extensions=("PIPELINING", "8BITMIME", "REQUIRETLS"))
    send_out(world, "bob@demo.test", "whole@first.example", ["REQUIRETLS"])
    row = ended(world, "whole@first.example")
    p.stop()
    assert row["state"] == "bounced" and "nothing proves" in row["reason"] and p.connections == 0, row
    assert status_fields(notice_about(world, "whole@first.example"))[1]["Status"] == "5.7.10"


def test_what_was_to_be_delivered_in_time_or_returned_does_not_arrive_late(world):
    """RFC 2852: BY=1;R, and the destination is paused for longer."""
    p = Peer(world.relay_port, NAMES["first.example"])
    world.cli("queue", "pause", "first.example")
    send_out(world, "bob@demo.test", "soon@first.example", ["BY=1;R"])
    over = time.monotonic() + 1.2
    wait_for(lambda: time.monotonic() > over)
    world.cli("queue", "resume", "first.example")
    row = ended(world, "soon@first.example")
    p.stop()
    assert row["state"] in ("bounced", "expired") and p.taken == [], row
    assert status_fields(notice_about(world, "soon@first.example"))[1]["Action"] == "failed"


@pytest.mark.parametrize("offered", [True, False])
def test_a_priority_is_passed_on_as_it_was_said_to_a_server_that_knows_it(world, offered):
    """RFC 6710. -8 and -9 are one step in our own order, and two to the next server."""
    p = Peer(world.relay_port, NAMES["first.example"], extensions=("PIPELINING", "8BITMIME") + ("MT-PRIORITY MIXER",) * offered)
    for priority in (-8, 0, 9):
        send_out(world, "bob@demo.test", f"p{priority}@first.example", [f"MT-PRIORITY={priority}"])
    send_out(world, "bob@demo.test", "none@first.example")
    wait_for(lambda: len(p.taken) == 4)
    p.stop()
    said = {to[0]: [w for w in mail.split() if w.startswith("MT-PRIORITY")] for mail, to, _ in p.taken}
    assert said == {**{f"p{n}@first.example": [f"MT-PRIORITY={n}"] * offered for n in (-8, 0, 9)}, "none@first.example": []}


def test_a_password_is_not_said_to_a_server_whose_certificate_proves_nothing_unless_the_route_says_so(world, certificate):
    p = Peer(world.relay_port, "127.0.5.13", tls=certificate, extensions=("8BITMIME", "AUTH PLAIN"), say=lambda verb, line: "235 2.7.0 ok" if verb == "AUTH" else None)
    way = ("route", "add", "smart.example", "--host", f"127.0.5.13:{world.relay_port}", "--user", "us", "--yes")
    try:
        world.cli(*way, input="open sesame\n")
        fill(world, to="x@smart.example")
        assert "TLS" in tried(world, "smart.example")["reason"]
        assert not [x for x in p.lines if x.startswith("AUTH")] and p.taken == []
        world.cli("queue", "pause", "smart.example")  # without a way, its next attempt would find no such domain
        world.cli("route", "remove", "smart.example", "--yes")
        world.cli(*way, "--tls", "encrypted", input="open sesame\n")
        world.cli("queue", "resume", "smart.example")
        wait_for(lambda: world.cli("queue", "retry", "--domain", "smart.example", "--yes", check=False).returncode in (0, 3))  # 3: gone, so taken
        wait_for(lambda: p.taken)
        assert [x for x in p.lines if x.startswith("AUTH PLAIN")]
    finally:
        p.stop()
        world.cli("route", "remove", "smart.example", "--yes", check=False)
        drop(world, "--domain", "smart.example", none_is_fine=True)


def test_what_a_server_says_does_not_act_on_a_terminal(world):
    """Escapes and changes of direction."""
    words = "450 4.2.0 \x1b[2J\x07 \u009b31m \u202egnorw\u2066"
    p = Peer(world.relay_port, NAMES["turn.example"], say=lambda verb, line: words if verb == "RCPT" else None)
    fill(world, to="esc@turn.example", owner="bob@demo.test", sender="bob@demo.test")
    tried(world, "turn.example")
    shown = [world.cli(*args, check=False).stdout for args in (("queue", "list"), ("queue", "show", rows(world, "--domain", "turn.example")[0]["id"]), ("trace", "esc@turn.example"),
                                                             ("probe", "send", "esc@turn.example", "--no-data"))]
    p.stop()
    for text in shown:
        assert "gnorw" in text and not set(text) & set("\x1b\x07\u009b\u202e\u2066"), repr(text)
    drop(world, "--domain", "turn.example", none_is_fine=True)


def test_a_slow_host_of_many_domains_does_not_have_all_the_places(fresh, tmp_path):
    port = free_port()
    zone = zone_text(*[(f"c{i}.example", "127.0.5.20") for i in range(9)], ("c9.example", "127.0.5.21"))
    s = fresh(env=relay_env(tmp_path, port, zone, connections=4, connections_first=1, connections_per_destination=1))
    slow, quick = Peer(port, "127.0.5.20", say=lambda verb, line: (0.2, "250 2.1.0 ok") if verb == "MAIL" else None), Peer(port, "127.0.5.21")
    fill(s, to="x@c%d.example", letters=10)
    wait_for(lambda: quick.taken)
    assert len(slow.taken) < 4
    wait_for(lambda: len(slow.taken) == 9, 20)
    assert {r["attempts"] for r in wait_for(lambda: len(rows(s, "--state", "done")) == 10 and rows(s, "--state", "done"))} == {1}
    slow.stop()
    quick.stop()


# ---- the DNS ----

def test_a_dns_that_goes_in_circles_is_waited_for(world):
    fill(world, to="x@circle.example")
    row = tried(world, "circle.example")
    assert "a.circle.example" in row["reason"], row
    drop(world, "--domain", "circle.example", none_is_fine=True)


def test_a_dns_that_does_not_tell_whether_there_are_tlsa_records_holds_the_mail_back(fresh, tmp_path):
    """RFC 7672 2.1.2: what cannot be asked may be a demand."""
    port = free_port()
    zone = zone_text(MORE.replace("%PORT%", str(port)) + "; SECURE fog.example\n")
    s = fresh(env=relay_env(tmp_path, port, zone))
    p = Peer(port, "127.0.5.9")
    fill(s, to="x@fog.example")
    row = wait_for(lambda: [r for r in rows(s, "--domain", "fog.example") if r["attempts"]], 10)[0]
    p.stop()
    assert "TLSA" in row["reason"] and p.taken == [] and p.connections == 0, row


# ---- senders who cannot be told ----

def test_what_was_delivered_is_not_sent_again_although_the_sender_has_no_room_for_the_notice(world):
    """One recipient is taken, one refused, and the report finds no place: only the refused one waits."""
    world.cli("account", "add", "full@demo.test", "--quota", "4KiB", input="pw pw pw\n")
    send(world, "full@demo.test", "Subject: fills it\r\n\r\n" + "x" * 3000 + "\r\n")
    p = Peer(world.relay_port, NAMES["mixed.example"], say=lambda verb, line: "550 5.7.1 not that one" if verb == "RCPT" and ".1@" in line else None)
    fill(world, to="r%d.%d@mixed.example", rcpts=2, owner="full@demo.test", sender="full@demo.test")
    done = wait_for(lambda: rows(world, "--state", "done", "--domain", "mixed.example"), 20)
    assert [r["state"] for r in done] == ["sent"], done
    waits = wait_for(lambda: [r for r in rows(world, "--domain", "mixed.example") if r["attempts"] >= 2], 20)
    assert len(waits) == 1 and "not that one" in waits[0]["reason"] and len(p.taken) == 1
    p.stop()
    drop(world, "--domain", "mixed.example", none_is_fine=True)


# ---- rows that cannot be read ----

def test_a_letter_that_does_not_open_is_shown_and_can_be_removed(world):
    letter = fill(world, to="lost@nobody.example", sealed_to_nobody=1)
    row = wait_for(lambda: [r for r in rows(world) if r["id"] == f"{letter}.0"])[0]
    assert row["state"] == "unreadable"
    wait_for(lambda: world.cli("queue", "drop", f"{letter}.0", "--yes", check=False).returncode == 0)
    assert world.cli("queue", "show", f"{letter}.0", check=False).returncode in (0, 3)
    assert not [r for r in rows(world) if r["id"] == f"{letter}.0"]


# ---- the disk ----

@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a small tmpfs")
def test_a_full_disk_neither_loses_nor_repeats_what_goes_out(tmp_path):
    """Full from the first message's last octet on. An outcome that finds no room waits for it."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(small)], check=True)
    s = p = None
    try:
        port = free_port()
        filler, filled = small / "filler", []

        def say(verb, line):
            if verb == "DOT" and not filled:
                filled.append(True)
                with open(filler, "wb", buffering=0) as f:
                    try:
                        while f.write(bytes(1 << 16)):
                            pass
                    except OSError:
                        pass
        p = Peer(port, "127.0.5.10", say=say)
        s = Server(small / "demo", env=relay_env(tmp_path, port, zone_text(("disk.example", "127.0.5.10"))))
        fill(s, to="x%d@disk.example", letters=LETTERS)
        wait_for(lambda: p.taken, 20)
        with pytest.raises((AssertionError, smtplib.SMTPException)):
            send(s, "bob@demo.test", "Subject: no room\r\n\r\n" + (os.urandom(30).hex() + "\r\n") * 40000)
        assert len(p.taken) <= 20, "one message a connection: nothing is said there before the outcome is on disk"
        filler.unlink()
        wait_for(lambda: len(rows(s, "--state", "done")) == LETTERS, 20)
        assert sorted(p.recipients()) == sorted(f"x{i}@disk.example" for i in range(LETTERS))
    finally:
        if s:
            s.stop()
        if p:
            p.stop()
        subprocess.run(["umount", "-l", str(small)], check=False)
