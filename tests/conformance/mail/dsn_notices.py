#!/usr/bin/env python3
"""Notices as others read them: Python's email package, the ABNF of RFC 3464, 6522 and 6533, and neomutt. Argument: the tool that writes them."""
import email
import email.policy
import os
import pathlib
import pty
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time

tool = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
FAILED, DELAYED, DELIVERED, RELAYED, EXPANDED = range(5)
ORIGINAL = (b"Return-Path: <alice@ours.example>\r\nFrom: Alice <alice@ours.example>\r\nTo: Bob <bob@far.example>\r\nSubject: Lunch\r\n tomorrow?\r\n"
            b"Message-ID: <1@ours.example>\r\nDate: Mon, 23 Nov 2026 21:36:12 +0000\r\n\r\nAre you free?\r\n")
BASE = {"reporting": "mail.ours.example", "from": "MAILER-DAEMON@mail.ours.example", "to": "alice@ours.example", "message_id": "7f3k.notice@mail.ours.example", "mid": "7F3K9Q2D",
        "subject": "Lunch tomorrow?", "arrival": 1795469772000, "now": 1795469800000, "original": ORIGINAL}
NOBODY = {"action": FAILED, "final": "bob@far.example", "status": "5.1.1", "remote_mta": "mx.far.example", "diagnostic": "550 5.1.1 <bob@far.example>: user unknown", "remote": 1,
          "last": 1795469790000}


def octets(v):
    return v if isinstance(v, bytes) else str(v).encode()


def write(rcpts, may_fail=False, **kw):
    lines = [f"{k} {octets(v).hex()}" for k, v in {**BASE, **kw}.items()]
    for r in rcpts:
        lines.append("rcpt " + str(r["action"]).encode().hex())
        lines += [f"{k} {octets(v).hex()}" for k, v in r.items() if k != "action"]
    tool.stdin.write("\n".join(lines).encode() + b"\n\n")
    tool.stdin.flush()
    rc, n = tool.stdout.readline().split()
    notice = tool.stdout.read(int(n))
    if may_fail and rc != b"ok":
        return None
    assert rc == b"ok", rc
    return notice


# ---- the grammar ----

DATE = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
ATOM = r"[!#$%&'*+\-/0-9=?A-Z^_`a-z{|}~]+"
TEXT = r"[\x01-\x09\x0b\x0c\x0e-\x7f]*"
UTEXT = r"[^\x00\r\n]*"
XCHAR = r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]|\\x\{(?:[0-9A-F]{2,6})\})*"  # RFC 6533 3: QCHAR / EmbeddedUnicodeChar


def grammar(report, global_form):
    """RFC 3464 2.1: per-message fields, then 1*(CRLF per-recipient fields), each block's fields in the order of the ABNF, each at most once."""
    text = UTEXT if global_form else TEXT
    typed = rf"{ATOM} *; *{text}"
    address = rf"rfc822; {TEXT}|utf-8; {UTEXT if global_form else XCHAR}|(?!rfc822;|utf-8;){ATOM}; {XCHAR}"
    message = [("Original-Envelope-Id", text, 0), ("Reporting-MTA", rf"dns; [A-Za-z0-9.\-_\[\]:]+", 1), ("Arrival-Date", DATE, 0)]
    recipient = [("Original-Recipient", address, 0), ("Final-Recipient", address, 1), ("Action", "failed|delayed|delivered|relayed|expanded", 1),
                 ("Status", r"[245]\.\d{1,3}\.\d{1,3}", 1), ("Remote-MTA", typed, 0), ("Diagnostic-Code", typed, 0), ("Last-Attempt-Date", DATE, 0), ("Will-Retry-Until", DATE, 0)]
    assert report.endswith("\r\n")
    blocks = report[:-2].split("\r\n\r\n")
    assert len(blocks) >= 2, report
    for n, block in enumerate(blocks):
        assert not re.search(r"(?<!\r)\n|\r(?!\n)", block)
        fields = re.sub(r"\r\n(?=[ \t])", "", block).split("\r\n")
        rules = list(message if n == 0 else recipient)
        for f in fields:
            name, value = f.split(": ", 1)
            while rules and rules[0][0] != name:
                assert not rules.pop(0)[2], (name, block)
            assert rules, ("out of place", name, block)
            assert re.fullmatch(rules.pop(0)[1], value), (name, value)
        assert not any(r[2] for r in rules), block
    return blocks


def parts_of(raw):
    """Strictly: CRLF, lines of 998, three parts of a multipart/report whose type is the second part's, nothing before or after, encodings that are true."""
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw.split(b"\r\nContent-Description: Your message\r\n")[0])
    m = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8.clone(raise_on_defect=True))
    assert m.get_content_type() == "multipart/report"
    boundary = m.get_boundary().encode()
    head, body = raw.split(b"\r\n\r\n", 1)
    assert all(len(x) <= 998 for x in head.split(b"\r\n"))
    # RFC 5322 3.6: each of these once; nothing of a stranger's has become a field
    names = [x.split(b":")[0] for x in re.sub(rb"\r\n[ \t]", b" ", head).split(b"\r\n")]
    known = [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"In-Reply-To", b"References", b"Auto-Submitted", b"MIME-Version", b"Content-Type"]
    assert names == [k for k in known if k in names] and len(names) >= 8, names
    assert m["auto-submitted"] == "auto-replied" and m["mime-version"] == "1.0"
    chunks = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert len(chunks) == 5 and chunks[0] == b"" and chunks[4] == b"--\r\n", len(chunks)
    out = []
    for c in chunks[1:4]:
        part_head, content = c[2:].split(b"\r\n\r\n", 1)
        h = email.message_from_bytes(part_head + b"\r\n\r\n", policy=email.policy.SMTP)
        assert sorted(k.lower() for k in h) == ["content-description", "content-transfer-encoding", "content-type"], h.items()
        enc = h["content-transfer-encoding"]
        if enc in ("7bit", "quoted-printable"):
            content.decode("ascii")
            assert b"\0" not in content
        if enc != "binary":
            assert all(len(x) <= 998 for x in content.split(b"\r\n"))
        if enc == "quoted-printable":
            assert all(len(x) <= 76 for x in content.split(b"\r\n"))
        out.append((h.get_content_type(), enc, content, h))
    # RFC 6522 3: report-type "is the MIME subtype of the second body part"
    assert m["content-type"].params["report-type"] == out[1][0].split("/")[1]
    assert out[0][0] == "text/plain"
    global_form = out[1][0] == "message/global-delivery-status"
    blocks = grammar(out[1][2].decode("utf-8" if global_form else "ascii") + "\r\n" if not out[1][2].endswith(b"\r\n") else out[1][2].decode("utf-8" if global_form else "ascii"), global_form)
    words = m.get_payload(0).get_payload(decode=True).decode(out[0][3].get_content_charset())
    return m, words, blocks, out


def status_fields(m):
    """As Python's email reads message/delivery-status: a list of header blocks."""
    return [dict(b.items()) for b in m.get_payload(1).get_payload()]


# ---- tests: each is one behaviour ----

def a_failure_says_who_what_why_and_what_to_do_in_its_first_paragraph():
    m, words, _, _ = parts_of(write([NOBODY]))
    first = " ".join(words.split("\r\n\r\n")[0].split())
    assert first == ('Your message "Lunch tomorrow?" could not be delivered to bob@far.example: there is no mailbox with this address. The receiving server, mx.far.example, said: '
                     '"550 5.1.1 <bob@far.example>: user unknown" What to do: Check the address for a typing mistake and send the message again; if it is right, ask the recipient '
                     "for a new one by other means."), first
    assert all(len(x) <= 72 for x in words.split("\r\n"))
    assert m["subject"] == "Not delivered: Lunch tomorrow?" and m["to"].addresses[0].addr_spec == "alice@ours.example" and m["from"].addresses[0].addr_spec == "MAILER-DAEMON@mail.ours.example"
    assert m["in-reply-to"] == "<1@ours.example>" and m["message-id"] == "<7f3k.notice@mail.ours.example>"
    assert "7F3K9Q2D" in words


def every_field_of_the_report_is_read_by_another_reader():
    r = {**NOBODY, "orcpt_type": "rfc822", "orcpt": "Bob+x@far.example"}
    late = {"action": DELAYED, "final": "carol@slow.example", "status": "4.4.1", "diagnostic": "connection timed out", "last": 1795469790000, "until": 1795900000000}
    m, _, _, _ = parts_of(write([r, late], envid="QQ314159"))
    top, one, two = status_fields(m)
    assert top["Original-Envelope-Id"] == "QQ314159" and top["Reporting-MTA"] == "dns; mail.ours.example"
    assert email.utils.parsedate_to_datetime(top["Arrival-Date"]).timestamp() * 1000 == BASE["arrival"]
    assert one["Original-Recipient"] == "rfc822; Bob+x@far.example" and one["Final-Recipient"] == "rfc822; bob@far.example"
    assert one["Action"] == "failed" and one["Status"] == "5.1.1" and one["Remote-MTA"] == "dns; mx.far.example"
    assert " ".join(one["Diagnostic-Code"].split()) == "smtp; 550 5.1.1 <bob@far.example>: user unknown"
    assert email.utils.parsedate_to_datetime(one["Last-Attempt-Date"]).timestamp() * 1000 == NOBODY["last"] and "Will-Retry-Until" not in one
    assert two["Action"] == "delayed" and two["Status"] == "4.4.1" and two["Diagnostic-Code"] == "X-Letterlock; connection timed out" and "Remote-MTA" not in two
    assert email.utils.parsedate_to_datetime(two["Will-Retry-Until"]).timestamp() * 1000 == late["until"]


def a_delay_says_until_when_and_that_nothing_need_be_done():
    r = {"action": DELAYED, "final": "bob@far.example", "status": "4.4.1", "diagnostic": "no answer within 30 s", "last": 1795469790000, "until": 1795900000000}
    m, words, _, _ = parts_of(write([r]))
    first = " ".join(words.split("\r\n\r\n")[0].split())
    assert "has not reached bob@far.example yet: the recipient's mail server did not answer" in first and 'This server notes: "no answer within 30 s"' in first
    assert "nothing for now. You need not send it again; this server keeps trying until Sat, 28 Nov 2026 21:06:40 +0000" in first, first
    assert m["subject"] == "Not delivered yet: Lunch tomorrow?"


def success_is_told_as_success():
    for action, words_wanted, subject in ((DELIVERED, "was delivered to bob@far.example.", "Delivered: Lunch tomorrow?"),
                                          (RELAYED, "was handed over for bob@far.example to the server mx.far.example, which does not confirm", "Passed on: Lunch tomorrow?"),
                                          (EXPANDED, "was passed on to everybody behind bob@far.example, a list", "Passed on to a list: Lunch tomorrow?")):
        m, words, blocks, _ = parts_of(write([{**NOBODY, "action": action, "status": "2.0.0", "diagnostic": "", "tls": "TLSv1.3 verified (DANE)"}]))
        assert words_wanted in " ".join(words.split()), words
        assert m["subject"] == subject and "Status: 2.0.0" in blocks[1] and "Secured:   TLSv1.3 verified (DANE)" in words


def recipients_with_the_same_reason_share_a_paragraph():
    same = [{**NOBODY, "final": f"u{i}@far.example", "diagnostic": f"550 5.1.1 <u{i}@far.example>: user unknown"} for i in range(30)]
    full = {**NOBODY, "final": "full@far.example", "status": "5.2.2", "diagnostic": "552 5.2.2 over quota"}
    ok = {**NOBODY, "action": DELIVERED, "final": "ok@far.example", "status": "2.1.5", "diagnostic": "250 ok"}
    m, words, blocks, _ = parts_of(write([ok, *same, full]))
    paragraphs = [" ".join(p.split()) for p in words.split("\r\n\r\n")]
    assert paragraphs[0].startswith('Your message "Lunch tomorrow?" could not be delivered to the 30 recipients listed below: there is no mailbox')
    assert paragraphs[1].startswith("u0@far.example u1@far.example") and paragraphs[1].endswith("u19@far.example and 10 more, all in the report below"), paragraphs[1]
    assert "could not be delivered to full@far.example: the recipient's mailbox is full" in paragraphs[2] and "was delivered to ok@far.example" in paragraphs[3]
    assert len(blocks) == 33 and len(status_fields(m)) == 33
    assert m["subject"].startswith("Not delivered:")
    many = [{**NOBODY, "final": f"u{i}@far.example", "diagnostic": f"550 reason {i}"} for i in range(25)]
    _, words, blocks, _ = parts_of(write(many))
    assert "For 15 more recipients there are other reasons" in words and len(blocks) == 26


def the_original_comes_whole_or_as_its_header():
    _, words, _, parts = parts_of(write([NOBODY]))
    assert parts[2][0] == "text/rfc822-headers" and parts[2][1] == "7bit" and parts[2][2] == ORIGINAL.split(b"\r\n\r\n")[0] + b"\r\n"
    assert "the header of your message" in words
    m, words, _, parts = parts_of(write([NOBODY], full=1))
    assert parts[2][0] == "message/rfc822" and parts[2][2] == ORIGINAL and "programs and your message." in words
    assert m.get_payload(2).get_payload(0)["subject"] == "Lunch tomorrow?"
    eight = ORIGINAL.replace(b"free?", "frei über Mittag?".encode())
    assert parts_of(write([NOBODY], full=1, original=eight))[3][2][1] == "8bit"
    assert parts_of(write([NOBODY], full=1, original=ORIGINAL + b"x" * 2000 + b"\r\n"))[3][2][1] == "binary"


def a_long_header_is_cut_between_fields():
    big = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 900) for i in range(200)) + b"\r\nbody\r\n"
    _, _, _, parts = parts_of(write([NOBODY], original=big))
    assert 50000 < len(parts[2][2]) <= 65536 and parts[2][2].endswith(b"y\r\n") and b"body" not in parts[2][2]


def an_original_that_holds_our_boundary_stays_one_part():
    b = parts_of(write([NOBODY]))[0].get_boundary()
    evil = ORIGINAL + f"\r\n--{b}\r\nContent-Type: text/plain\r\n\r\nhello\r\n--{b}--\r\n".encode()
    m, _, _, parts = parts_of(write([NOBODY], full=1, original=evil))
    assert m.get_boundary() != b and parts[2][2] == evil
    m, _, _, _ = parts_of(write([{**NOBODY, "diagnostic": f"550 --{b}"}], subject=f"x --{b}--"))
    assert m.get_boundary() != b


def addresses_beyond_ascii_take_the_forms_of_rfc_6533():
    r = {**NOBODY, "final": "jörg@bücher.example", "orcpt_type": "utf-8", "orcpt": "jörg@bücher.example", "diagnostic": "550 5.1.1 jörg ist weg"}
    raw = write([r], utf8=1, to="älice@ours.example", original="Subject: Grüße\r\n\r\nHallo\r\n")
    m, words, blocks, parts = parts_of(raw)
    assert parts[1][0] == "message/global-delivery-status" and parts[1][1] == "8bit" and parts[2][0] == "message/global-headers"
    assert "Final-Recipient: utf-8; jörg@bücher.example" in blocks[1] and "Original-Recipient: utf-8; jörg@bücher.example" in blocks[1]
    assert "Diagnostic-Code: smtp; 550 5.1.1 jörg ist weg" in blocks[1] and "\r\nTo: <älice@ours.example>\r\n".encode() in raw and "jörg ist weg" in words
    assert parts_of(write([r], utf8=1, full=1, original="Subject: Grüße\r\n\r\nHallo\r\n"))[3][2][0] == "message/global"
    # to somebody who cannot read that: ASCII throughout, the address as utf-8-addr-xtext
    m, words, blocks, parts = parts_of(write([r]))
    assert parts[1][0] == "message/delivery-status" and parts[2][0] == "text/rfc822-headers"
    assert r"Final-Recipient: utf-8; j\x{F6}rg@b\x{FC}cher.example" in blocks[1] and "Diagnostic-Code: smtp; 550 5.1.1 j?rg ist weg" in blocks[1]
    assert parts[0][1] == "quoted-printable" and "jörg@bücher.example" in words
    # allowed, but nothing needs it
    assert parts_of(write([NOBODY], utf8=1))[3][1][0] == "message/delivery-status"
    assert write([NOBODY], may_fail=True, to="älice@ours.example") is None


def subjects_of_any_kind_are_one_field():
    for s in ("Grüße aus Köln", "日本語" * 30, "=?utf-8?q?x?=", "a\r\nBcc: evil@x.example", "x" * 300, "\u202egnp.exe", "a\0b\x1b[31m", "\x7f", ""):
        m, words, _, _ = parts_of(write([NOBODY], subject=s))
        shown = m["subject"]
        assert shown.startswith("Not delivered") and "\n" not in shown and "\u202e" not in words and "\x1b" not in words and "\0" not in words
        if s == "Grüße aus Köln":
            assert shown == "Not delivered: Grüße aus Köln" and '"Grüße aus Köln"' in words
        if s == "=?utf-8?q?x?=":
            assert shown == "Not delivered: =?utf-8?q?x?=", shown


def what_is_not_sound_is_refused():
    for kw in ({"to": ""}, {"to": "a"}, {"to": "a@b\r\nX: y"}, {"to": "a@b>, <c@d"}, {"from": "x@y\nz"}, {"reporting": "a b"}, {"reporting": ""}, {"message_id": "a@b>\r\nX:"},
               {"message_id": "a b@c"}):
        assert write([NOBODY], may_fail=True, **kw) is None, kw
    assert write([], may_fail=True) is None
    assert write([{**NOBODY, "final": ""}], may_fail=True) is None


def a_status_that_is_none_is_replaced():
    for action, given, want in ((FAILED, "", "5.0.0"), (FAILED, "junk", "5.0.0"), (FAILED, "5.1.1234", "5.0.0"), (FAILED, "2.0.0", "5.0.0"), (FAILED, "4.4.7", "4.4.7"), (FAILED, "5.\r\n.1", "5.0.0"),
                                (DELAYED, "5.1.1", "4.0.0"), (DELIVERED, "5.1.1", "2.0.0"), (FAILED, "5.1.1.1.1.1.1", "5.0.0"), (FAILED, "3.1.1", "5.0.0")):
        _, _, blocks, _ = parts_of(write([{**NOBODY, "action": action, "status": given}]))
        assert f"\r\nStatus: {want}\r\n" in blocks[1], (given, blocks[1])


def a_status_or_a_bare_code_is_explained():
    for status, diagnostic, want in (("5.1.10", "556 no", "takes no mail at all"), ("5.1.99", "550 no", "does not accept this address"), ("5.2.2", "552 no", "mailbox is full"),
                                     ("5.7.30", "550 no", "may only travel encrypted"), ("5.7.26", "550 no", "really from you"), ("4.4.7", "", "in the time that it had"),
                                     ("5.0.0", "554 no", "refuses this message"), ("5.0.0", "550 no", "this address or this message"), ("", "521 no", "takes no mail at all"),
                                     ("5.0.0", "", "refuses it"), ("4.0.0", "", "could not be handed over"), ("5.9.9", "599 no", "refuses it"), ("5.7.100", "550 x", "rules do not let")):
        _, words, _, _ = parts_of(write([{**NOBODY, "status": status, "diagnostic": diagnostic}]))
        assert want in " ".join(words.split()), (status, diagnostic, words)


def nothing_that_a_stranger_says_becomes_more_than_text():
    rng = random.Random(3464)
    bits = ["\r\n", "\n", "\r", "\r\n\r\n", ": ", "\0", "--", "--=_notice_", "=?utf-8?q?=0D=0ABcc:_x?=", "Bcc: x@y", "\r\n ", "\t", "<", ">", "\"", "ü", "日", "\u2028", "\x1b[2J", "x" * 120, "y" * 1200,
            " ", "550 5.7.1", "Status: 2.0.0", "\r\nAction: delivered", ";", "(", ")", "\\", "\x80".encode("latin-1"), b"\xff\xfe", b"\xc3"]

    def evil(most=8):
        return b"".join(octets(rng.choice(bits)) for _ in range(rng.randint(0, most)))

    for n in range(250):
        rcpts = [{"action": rng.randrange(5), "final": evil() or b"a", "status": evil(2)[:12], "remote_mta": evil(3), "diagnostic": rng.choice([b"", b"550 "]) + evil(), "remote": rng.randrange(2),
                  "orcpt_type": rng.choice([b"", b"rfc822", b"utf-8", evil(2)]), "orcpt": evil(), "tls": evil(), "last": rng.randrange(2), "until": rng.randrange(2)}
                 for _ in range(rng.randint(1, 4))]
        raw = write(rcpts, utf8=rng.randrange(2), subject=evil(), name=evil(), envid=evil(), mid=evil(2), original=evil() + b"Subject: " + evil() + b"\r\n\r\n" + evil())
        _, _, blocks, _ = parts_of(raw)
        assert len(blocks) == len(rcpts) + 1


def ten_thousand_recipients_take_no_second():
    began = time.time()
    raw = write([{**NOBODY, "final": f"u{i}@far.example", "diagnostic": f"550 no {i % 50}"} for i in range(10000)])
    assert time.time() - began < 5 and raw.count(b"\r\nFinal-Recipient: ") == 10000


def screen_of_neomutt(raw, folder):
    """What neomutt's pager is given of the message, as a person would see it."""
    box, seen, rc = folder / "box", folder / "seen", folder / "rc"
    (box / "cur").mkdir(parents=True)
    (box / "new").mkdir()
    (box / "tmp").mkdir()
    (box / "cur" / "1:2,").write_bytes(raw.replace(b"\r\n", b"\n"))
    take = folder / "take"
    take.write_text(f'#!/bin/sh\ncp "$1" {seen}\n')
    take.chmod(0o755)
    rc.write_text(f'set pager="{take}"\nset prompt_after=no\nset wait_key=no\nset weed=yes\nignore *\nunignore from date to subject\nset header_cache=""\nset folder="{folder}"\nset quit=yes\n')
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="vt100", HOME=str(folder), LANG="C.UTF-8", LC_ALL="C.UTF-8", COLUMNS="80", LINES="24")
        os.execvp("neomutt", ["neomutt", "-n", "-F", str(rc), "-f", str(box), "-e", "push <display-message><quit>"])
    deadline = time.time() + 20
    while time.time() < deadline:
        ready, _, _ = select.select([fd], [], [], deadline - time.time())
        try:
            if not ready or not os.read(fd, 65536):
                break
        except OSError:
            break
    os.close(fd)
    os.waitpid(pid, 0)
    return seen.read_text().splitlines()[:23]


def the_first_screen_in_neomutt_tells_what_to_do():
    if not shutil.which("neomutt"):
        print("  (neomutt is not installed: not looked at)")
        return
    with tempfile.TemporaryDirectory() as d:
        lines = screen_of_neomutt(write([NOBODY], name="Bob Grün"), pathlib.Path(d))
    print(textwrap.indent("\n".join(lines), "  | "))
    shown = " ".join(" ".join(lines).split())
    for wanted in ("Subject: Not delivered: Lunch tomorrow?", "Bob Grün <bob@far.example>", "there is no mailbox with this address", "user unknown", "What to do: Check the address"):
        assert wanted in shown, (wanted, shown)


TESTS = [v for k, v in list(globals().items()) if callable(v) and getattr(v, "__module__", "") == "__main__" and "_" in k and v.__code__.co_argcount == 0]
for t in TESTS:
    t()
    print("ok", t.__name__.replace("_", " "))
tool.stdin.close()
assert tool.wait(60) == 0  # a sanitizer tells here what leaked
print(f"{len(TESTS)} passed")
