"""Submission through 587 and 465 and the Unix socket, by the programs that people use: who may send as whom, what is added and taken out, what is signed."""
import base64
import email
import json
import os
import pathlib
import pwd
import re
import shutil
import smtplib
import subprocess
import time

import dkim
import pytest
from conftest import PASSWORD, PROGRAM
from helpers import fetch_all, imap, tls, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]


def connect(server, user=None, implicit=False):
    if implicit:
        s = smtplib.SMTP_SSL("localhost", server.submissions, local_hostname="client.example", context=tls(server), timeout=20)
    else:
        s = smtplib.SMTP("localhost", server.submission, local_hostname="client.example", timeout=20)
        s.starttls(context=tls(server))
    s.ehlo()
    if user:
        s.login(user, PASSWORD)
    return s


def letter(sender, subject, extra=""):
    return f"From: {sender}\r\nTo: somebody@demo.test\r\nSubject: {subject}\r\n{extra}\r\nhello\r\n".encode()


def arrived(server, user, subject):
    """The message with that subject, once it is there."""
    c = imap(server, user)

    def look():
        for octets in fetch_all(c).values():
            if email.message_from_bytes(octets)["Subject"] == subject:
                return octets
        return None

    return wait_for(look)


def run(*args, input=None, env=None, **kw):
    return subprocess.run([str(a) for a in args], input=input, capture_output=True, timeout=60, env=dict(os.environ, **(env or {})), **kw)


def signing(server):
    """Once the demo's keys, made with it, are old enough to sign."""
    wait_for(lambda: all(json.loads(line)["state"] == "signing" for line in server.cli("dkim", "list", "demo.test", "--json").stdout.splitlines()), 30)


def queued(server, mid):
    return [e for e in server.events("smtp.received") if e.get("mid") == mid][0]["queued"]


# ---- programs ----

@pytest.mark.parametrize("how", ["-tls", "-tlsc"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_sends(server, user, how, mechanism):
    port = server.submission if how == "-tls" else server.submissions
    subject = f"swaks {how} {mechanism}"
    p = run("swaks", "--server", "localhost", "--port", port, how, "--tls-verify", "--tls-ca-path", server.ca, "--auth", mechanism, "--auth-user", user, "--auth-password", PASSWORD,
            "--from", user, "--to", user, "--header", f"Subject: {subject}")
    assert p.returncode == 0, p.stdout.decode()
    assert f"AUTH {mechanism}".encode() in p.stdout
    assert arrived(server, user, subject)


def test_swaks_is_refused_with_a_wrong_password_and_without_tls(server, user):
    base = ["swaks", "--server", "localhost", "--port", server.submission, "--auth-user", user, "--from", user, "--to", user]
    p = run(*base, "-tls", "--auth", "PLAIN", "--auth-password", "wrong")
    assert p.returncode == 28 and b"535 5.7.8 wrong address or password" in p.stdout, p.stdout
    p = run(*base, "-tls", "--auth", "CRAM-MD5", "--auth-password", PASSWORD)
    assert p.returncode == 28, p.stdout
    p = run("swaks", "--server", "localhost", "--port", server.submission, "-tls", "--from", user, "--to", user)
    assert b"530 5.7.0 log in first" in p.stdout


@pytest.mark.parametrize("implicit", [False, True])
def test_smtplib_sends(server, user, implicit):
    with connect(server, user, implicit) as s:
        assert s.sendmail(user, [user], letter(user, f"smtplib {implicit}")) == {}
    assert arrived(server, user, f"smtplib {implicit}")


@pytest.mark.parametrize("port,starttls", [("submission", "on"), ("submissions", "off")])
def test_msmtp_sends(server, user, tmp_path, port, starttls):
    rc = tmp_path / "msmtprc"
    rc.write_text(f"account default\nhost localhost\nport {server.facts[port]}\ntls on\ntls_starttls {starttls}\ntls_trust_file {server.ca}\nauth on\nuser {user}\n"
                  f"password {PASSWORD}\nfrom {user}\n")
    rc.chmod(0o600)
    p = run("msmtp", "-C", rc, user, input=letter(user, f"msmtp {port}").replace(b"\r\n", b"\n"))
    assert p.returncode == 0, p.stderr
    assert arrived(server, user, f"msmtp {port}")


@pytest.mark.parametrize("scheme,port", [("smtp", "submission"), ("smtps", "submissions")])
def test_neomutt_sends(server, user, tmp_path, scheme, port):
    (tmp_path / "muttrc").write_text(f"""
set smtp_url="{scheme}://{user}@localhost:{server.facts[port]}/"
set smtp_pass="{PASSWORD}"
set ssl_force_tls=yes ssl_starttls=yes ssl_verify_host=yes
set certificate_file={server.ca} ssl_ca_certificates_file={server.ca}
set from={user} use_from=yes copy=no record=""
""")
    p = run("neomutt", "-F", tmp_path / "muttrc", "-s", f"mutt {scheme}", "--", user, input=b"a few words\n", env={"HOME": str(tmp_path), "TERM": "xterm", "LC_ALL": "C.UTF-8"})
    assert p.returncode == 0, p.stderr + p.stdout
    assert arrived(server, user, f"mutt {scheme}")


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_nodemailer_sends(server, user, tmp_path, port):
    modules = ROOT / "build-data" / "node_modules"
    if not (modules / "nodemailer").is_dir() or not shutil.which("node"):
        pytest.skip("skipped: nodemailer is not there (tools/deps fetches it where there is a network)")
    script = tmp_path / "send.js"
    script.write_text(f"""
const t = require({json.dumps(str(modules / 'nodemailer'))}).createTransport({{host: "localhost", port: {server.facts[port]}, secure: {json.dumps(port == 'submissions')},
  auth: {{user: {json.dumps(user)}, pass: {json.dumps(PASSWORD)}}}, tls: {{ca: require("fs").readFileSync({json.dumps(server.ca)})}}}});
t.sendMail({{from: {json.dumps(user)}, to: {json.dumps(user)}, bcc: {json.dumps(user)}, subject: "node {port}", text: "hello", attachments: [{{filename: "a.txt", content: "x"}}]}})
  .then(r => console.log(r.response)).catch(e => {{ console.error(e); process.exit(1) }});
""")
    p = run("node", script)
    assert p.returncode == 0, p.stderr
    assert arrived(server, user, f"node {port}")


# ---- what is offered, and when ----

def test_what_is_offered_before_and_after_tls(server):
    with smtplib.SMTP("localhost", server.submission, local_hostname="client.example") as s:
        s.ehlo()
        assert "starttls" in s.esmtp_features and "requiretls" not in s.esmtp_features
        s.starttls(context=tls(server))
        s.ehlo()
        have = s.esmtp_features
        assert have["auth"].split() == ["PLAIN", "LOGIN"]  # SCRAM is off unless login.scram
        for name in ("dsn", "futurerelease", "deliverby", "mt-priority", "requiretls", "size", "8bitmime", "chunking", "binarymime", "smtputf8"):
            assert name in have, name
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            code, text = s.docmd("AUTH", mechanism + " " + base64.b64encode(b"n,,\x01auth=Bearer x\x01\x01").decode())
            assert code == 334 and json.loads(base64.b64decode(text))["status"] == "invalid_token"
            assert s.docmd("AQ==")[0] == 535


def test_port_25_takes_no_login(server, user):
    with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example") as s:
        s.starttls(context=tls(server))
        s.ehlo()
        assert "auth" not in s.esmtp_features
        assert s.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode())[0] == 502


def test_no_credential_reaches_the_log(server, user):
    secret = base64.b64encode(f"\0{user}\0very-secret-word".encode()).decode()
    with connect(server) as s:
        assert s.docmd("AUTH", "PLAIN " + secret)[0] == 535
        assert s.docmd("AUTH", "CRAM-MD5")[0] == 504
        assert s.docmd(secret)[0] == 500
    wait_for(lambda: any(e["code"] == 504 for e in server.events("smtp.refused")))
    assert secret not in server.log_text() and "very-secret-word" not in server.log_text()


def scram(server, user, password, plus=False):
    """RFC 5802 by hand, for neither smtplib nor swaks knows it."""
    import hashlib
    import hmac

    def mac(key, text):
        return hmac.new(key, text, hashlib.sha256).digest()

    with connect(server) as s:
        binding, gs2 = b"", "n,,"
        if plus:
            leaf = s.sock.getpeercert(True)
            binding, gs2 = hashlib.sha256(leaf).digest(), "p=tls-server-end-point,,"
        first = f"n={user},r=abcdefgh"
        code, text = s.docmd("AUTH", f"SCRAM-SHA-256{'-PLUS' if plus else ''} " + base64.b64encode((gs2 + first).encode()).decode())
        if code != 334:
            return code
        server_first = base64.b64decode(text).decode()
        fields = dict(f.split("=", 1) for f in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        without = "c=" + base64.b64encode(gs2.encode() + binding).decode() + ",r=" + fields["r"]
        message = f"{first},{server_first},{without}".encode()
        client = mac(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(client, mac(hashlib.sha256(client).digest(), message)))
        code, text = s.docmd(base64.b64encode(f"{without},p={base64.b64encode(proof).decode()}".encode()).decode())
        if code != 334:
            return code
        assert base64.b64decode(text) == b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), message))
        return s.docmd("")[0]


def test_scram_works_where_it_is_on_and_a_password_was_set(fresh):
    s = fresh()
    conf = pathlib.Path(s.config)
    conf.write_text(conf.read_text().replace("login {", "login {\n  scram = true"))
    s.cli("reload")
    assert scram(s, "alice@demo.test", PASSWORD) == 535  # set while it was off
    s.cli("account", "password", "alice@demo.test", input="another word\n")
    assert scram(s, "alice@demo.test", "another word") == 235
    assert scram(s, "alice@demo.test", "another word", plus=True) == 235
    assert scram(s, "alice", "another word") == 235
    assert scram(s, "alice@demo.test", "wrong") == 535
    assert scram(s, "nobody@demo.test", "another word") == 535


def test_scram_takes_no_downgrade_no_replay_and_tells_nobody_who_is_here(fresh):
    s = fresh()
    conf = pathlib.Path(s.config)
    conf.write_text(conf.read_text().replace("login {", "login {\n  scram = true"))
    s.cli("reload")
    s.cli("account", "password", "alice@demo.test", input="another word\n")
    b64 = lambda text: base64.b64encode(text.encode() if isinstance(text, str) else text).decode()

    def first(c, mechanism, gs2, user="alice@demo.test"):
        code, text = c.docmd("AUTH", f"{mechanism} {b64(gs2 + f'n={user},r=abcdefgh')}")
        return code, dict(f.split("=", 1) for f in base64.b64decode(text).decode().split(",")) if code == 334 else text

    with connect(s) as c:
        assert c.esmtp_features["auth"].split() == ["PLAIN", "LOGIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        assert first(c, "SCRAM-SHA-256", "y,,")[0] == 535                        # RFC 5802 6: -PLUS was taken out of the list on the way
        assert first(c, "SCRAM-SHA-256", "p=tls-exporter,,")[0] == 535           # a binding belongs to -PLUS
        assert first(c, "SCRAM-SHA-256-PLUS", "n,,")[0] == 535
    with connect(s) as c:
        assert first(c, "SCRAM-SHA-256-PLUS", "p=tls-unique,,")[0] == 535
        assert first(c, "SCRAM-SHA-256", "n,a=bob@demo.test,")[0] == 535         # only as oneself
        code, fields = first(c, "SCRAM-SHA-256", "n,,")
        assert code == 334 and fields["r"].startswith("abcdefgh") and len(fields["r"]) >= 8 + 18 and int(fields["i"]) >= 4096
        known = fields
        assert c.docmd(b64(f"c=biws,r=abcdefgh,p={b64(bytes(32))}"))[0] == 535   # not our nonce
    with connect(s) as c:
        code, again = first(c, "SCRAM-SHA-256", "n,,")
        assert again["s"] == known["s"] and again["r"] != known["r"]
        assert c.docmd(b64(f"c=biws,r={known['r']},p={b64(bytes(32))}"))[0] == 535  # the one of before
        code, fields = first(c, "SCRAM-SHA-256", "n,,")
        assert c.docmd(b64(f"c={b64('y,,')},r={fields['r']},p={b64(bytes(32))}"))[0] == 535  # not what was said at first
    strangers = []
    for _ in range(2):
        with connect(s) as c:
            code, fields = first(c, "SCRAM-SHA-256", "n,,", "nobody@demo.test")
            strangers.append(fields)
            assert code == 334 and fields["i"] == known["i"] and len(fields["s"]) == len(known["s"])
            assert c.docmd(b64(f"c=biws,r={fields['r']},p={b64(bytes(32))}"))[0] == 535
    assert strangers[0]["s"] == strangers[1]["s"] != known["s"]
    with connect(s) as c:  # a login that is broken off is none
        assert c.docmd("AUTH", "SCRAM-SHA-256")[0] == 334 and c.docmd("*")[0] == 501 and c.mail("alice@demo.test")[0] == 530


# ---- whose addresses ----

def refused(server, user, sender, message, to=None):
    with connect(server, user) as s:
        with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused)) as e:
            s.sendmail(sender, [to or user], message)
        x = e.value
        return list(x.recipients.values())[0] if hasattr(x, "recipients") else (x.smtp_code, x.smtp_error)


def test_nobody_sends_as_somebody_else(server, user):
    code, text = refused(server, user, "alice@demo.test", letter(user, "x"))
    assert code == 550 and text.startswith(b"5.7.1") and b"alice@demo.test (in MAIL FROM)" in text
    code, text = refused(server, user, user, letter("alice@demo.test", "x"))
    assert code == 550 and b"alice@demo.test (in From)" in text
    code, text = refused(server, user, user, letter(user, "x", "Sender: alice@demo.test\r\n"))
    assert code == 550 and b"alice@demo.test (in Sender)" in text
    code, text = refused(server, user, user, letter(f"{user}, alice@demo.test", "x"))
    assert code == 550 and b"alice@demo.test" in text
    code, text = refused(server, user, user, letter(user, "x", f"From: {user}\r\n"))
    assert code == 550 and b"more than one From" in text
    code, text = refused(server, user, "", letter("alice@demo.test", "x"))
    assert code == 550, text


def test_ones_own_address_with_a_tag_and_an_alias_are_ones_own(server, user):
    local = user.split("@")[0]
    with connect(server, user) as s:
        assert s.sendmail(f"{local}+shop@demo.test", [user], letter(f"{local}+shop@demo.test", "tagged")) == {}
        assert s.sendmail("", [user], letter(user, "a receipt")) == {}
    assert arrived(server, user, "tagged") and arrived(server, user, "a receipt")


def test_a_domain_has_one_spelling_in_from(server, user):
    signing(server)
    with connect(server, user) as s:
        assert s.sendmail(user, [user], letter(user.upper(), "in capitals")) == {}
    assert b"DKIM-Signature:" in arrived(server, user, "in capitals")


def test_letters_of_other_alphabets_in_a_domain_are_one_spelling_too(fresh):
    s = fresh()
    s.cli("domain", "add", "b\u00fccher.test")
    s.cli("account", "add", "eva@b\u00fccher.test", input=PASSWORD + "\n")
    with connect(s, "eva@xn--bcher-kva.test") as c:
        c.send("MAIL FROM:<eva@b\u00fccher.test> SMTPUTF8\r\nRCPT TO:<eva@B\u00dcCHER.test>\r\n".encode())
        assert c.getreply()[0] == 250 and c.getreply()[0] == 250
        code, text = c.data("From: eva@b\u00fccher.test\r\nSubject: in letters of its own\r\n\r\nhello\r\n".encode())
        assert code == 250, text
    assert b"@xn--bcher-kva.test>\r\nFrom: eva@b\xc3\xbccher.test\r\n" in arrived(s, "eva@xn--bcher-kva.test", "in letters of its own")


@pytest.mark.parametrize("fields,part", [
    ("From: {user} <alice@demo.test>", b"cannot be read"), ("From: all: alice@demo.test;", b"(in From)"), ("From: nobody:;", b"no address in From"),
    ("From : alice@demo.test", b"(in From)"), ("From: <@x.example:alice@demo.test>", b"(in From)"), ("From: {user}\r\nFrom\t: alice@demo.test", b"more than one From"),
    ("From: {user}\r\nSender: x: alice@demo.test;", b"(in Sender)"), ("From: {user}\r\nResent-From: alice@demo.test", b"(in Resent-From)"),
    ("From: {user}\r\nResent-Sender: alice@demo.test\r\nResent-From: {user}", b"(in Resent-Sender)"), ("x\r\nFrom: alice@demo.test", b"(in From)"),
    ("From: u1@[127.0.0.1]", b"(in From)"), ("\t, alice@demo.test\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x.example>", b"begins with white space"),
    (" From: alice@demo.test\r\nFrom: {user}", b"begins with white space"), ("\ufeffFrom: alice@demo.test", b"read as From"), ("From\v: alice@demo.test", b"read as From"),
    ("From: {user}\r\nFrom\u00a0: alice@demo.test", b"read as From"), ("From: {user}\r\nX: a\x1cFrom: alice@demo.test", b"read as From"),
])
def test_no_trick_in_the_header_makes_one_somebody_else(server, fields, part):
    user = "u1@demo.test"
    code, text = refused(server, user, user, (fields.format(user=user) + "\r\nSubject: a trick\r\n\r\nhello\r\n").encode())
    assert code == 550 and part in text, text


def test_a_resent_message_keeps_its_history(server, user):
    """Only the newest block of Resent fields is the sender's own."""
    with connect(server, user) as s:
        assert s.sendmail(user, [user], letter(user, "sent again", f"Resent-From: {user}\r\nResent-To: {user}\r\nResent-From: joe@far.example\r\n")) == {}
    assert arrived(server, user, "sent again")


@pytest.mark.parametrize("header", [b"X: a\rFrom: alice@demo.test\r\nFrom: USER\r\n\r\n", b"From: USER\r\nX: a\n\nFrom: alice@demo.test\r\n\r\n"])
def test_binarymime_frees_the_lines_of_the_body_and_not_those_of_the_header(server, header):
    user = "u1@demo.test"
    for port, sender in ((server.submission, user), (server.smtp, "joe@far.example")):
        with smtplib.SMTP("localhost", port, local_hostname="client.example", timeout=20) as s:
            s.starttls(context=tls(server))
            s.ehlo()
            if port == server.submission:
                s.login(user, PASSWORD)
            for head, want in ((header.replace(b"USER", sender.encode()), 550), (f"From: {sender}\r\n\r\n".encode(), 250)):
                message = head + b"body\rwith\nlines\0"
                assert s.docmd("MAIL", f"FROM:<{sender}> BODY=BINARYMIME")[0] == 250 and s.rcpt(user)[0] == 250
                s.send(b"BDAT %d LAST\r\n" % len(message) + message)
                code, text = s.getreply()
                assert code == want, text


def test_starttls_forgets_a_login_in_the_clear(server, user):
    """RFC 3207 4.2. Only the demo takes one at all, on loopback."""
    with smtplib.SMTP("localhost", server.submission, local_hostname="client.example", timeout=20) as s:
        s.login(user, PASSWORD)
        s.starttls(context=tls(server))
        s.ehlo()
        assert "auth" in s.esmtp_features and s.mail(user)[0] == 530
        s.login(user, PASSWORD)
        assert s.mail(user)[0] == 250


def test_one_login_per_connection_and_only_outside_of_a_transaction(server, user):
    plain = "PLAIN " + base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
    with connect(server) as s:
        s.send(f"AUTH {plain}\r\nMAIL FROM:<{user}>\r\nRSET\r\n")  # in one packet
        assert [s.getreply()[0] for _ in range(3)] == [235, 250, 250]
        assert s.docmd("AUTH", plain)[0] == 503
        assert s.ehlo()[0] == 250 and "auth" not in s.esmtp_features and s.mail(user)[0] == 250  # still logged in
    with connect(server) as s:  # RFC 4616 2: only as oneself
        assert s.docmd("AUTH", "PLAIN " + base64.b64encode(f"alice@demo.test\0{user}\0{PASSWORD}".encode()).decode())[0] == 535
        assert s.mail(user)[0] == 530


def test_unknown_people_here_are_refused_and_people_elsewhere_are_queued(server, user):
    code, text = refused(server, user, user, letter(user, "x"), to="nobody@demo.test")
    assert code == 550 and text.startswith(b"5.1.1")
    with connect(server, user) as s:
        assert s.mail(user)[0] == 250
        assert s.rcpt(user)[0] == 250 and s.rcpt("joe@elsewhere.example")[0] == 250
        code, text = s.data(letter(user, "to both"))
        assert code == 250, text
    assert arrived(server, user, "to both")
    assert wait_for(lambda: queued(server, text.split()[-1].decode())) == 1
    with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example") as s:
        s.ehlo()
        s.mail("a@example.org")
        assert s.rcpt("joe@elsewhere.example")[0] == 550  # strangers are not relayed for


# ---- what becomes of the message ----

def test_what_is_missing_is_added_and_what_is_private_goes(server, user):
    with connect(server, user) as s:
        s.sendmail(user, [user], letter(user, "made whole", "Bcc: secret@elsewhere.example,\r\n other@elsewhere.example\r\nResent-Bcc: third@elsewhere.example\r\n"))
    got = email.message_from_bytes(arrived(server, user, "made whole"))
    assert got["Bcc"] is None and got["Resent-Bcc"] is None and b"elsewhere.example" not in got.as_bytes()
    assert email.utils.parsedate_to_datetime(got["Date"]) is not None
    assert re.fullmatch(r"<[^@>]+@demo\.test>", got["Message-ID"])
    received = got.get_all("Received")
    assert len(received) == 1 and "127.0.0.1" not in received[0] and "client.example" not in received[0] and "with ESMTPSA" in received[0]
    with connect(server, user) as s:
        s.sendmail(user, [user], letter(user, "whole already", "Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nMessage-ID: <mine@demo.test>\r\n"))
    got = email.message_from_bytes(arrived(server, user, "whole already"))
    assert got.get_all("Date") == ["Mon, 2 Nov 2026 10:00:00 +0100"] and got.get_all("Message-ID") == ["<mine@demo.test>"]


def test_a_message_without_from_gets_its_senders(server, user):
    with connect(server, user) as s:
        s.sendmail(user, [user], b"Subject: no author\r\n\r\nhello\r\n")
    assert email.message_from_bytes(arrived(server, user, "no author"))["From"] == f"<{user}>"


def test_everything_is_signed_for_the_authors_domain(server, user):
    signing(server)
    keys = {}
    for line in server.cli("dkim", "list", "demo.test", "--json").stdout.splitlines():
        k = json.loads(line)
        keys[k["selector"]] = k["record"]
    with connect(server, user) as s:
        s.sendmail(user, [user], letter(user, "signed", "Bcc: x@elsewhere.example\r\n"))
    got = arrived(server, user, "signed")
    assert got.count(b"DKIM-Signature:") == 2
    ask = lambda name, timeout=5: keys[name.decode().split("._domainkey.")[0]].encode()
    for i in range(2):
        assert dkim.DKIM(got).verify(idx=i, dnsfunc=ask), i


def test_a_loop_is_ended_after_fifty_hops(server, user):
    hops = "".join(f"Received: from a{i} by b{i}; Mon, 30 Nov 2026 10:00:00 +0000\r\n" for i in range(51))
    code, text = refused(server, user, user, letter(user, "loop", hops))
    assert code == 554 and text.startswith(b"5.4.6")
    with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example") as s:
        s.ehlo()
        s.mail("a@example.org")
        s.rcpt(user)
        assert s.data(letter("a@example.org", "loop", hops))[0] == 554


def test_messages_to_people_here_are_not_held(server, user):
    with connect(server, user) as s:
        assert s.docmd("MAIL", f"FROM:<{user}> HOLDFOR=3600")[0] == 250
        code, text = s.rcpt(user)
        assert code == 550 and b"not held" in text
        assert s.rcpt("joe@elsewhere.example")[0] == 250
        code, text = s.data(letter(user, "held"))
        assert code == 250
        assert s.docmd("MAIL", f"FROM:<{user}> HOLDFOR=99999999")[0] == 501


def test_a_day_has_a_limit_that_says_until_when(fresh):
    s = fresh()
    conf = pathlib.Path(s.config)
    conf.write_text(conf.read_text() + "\nsubmission {\n  max_first_recipients = 2\n}\n")
    s.cli("reload")
    with connect(s, "alice@demo.test") as c:
        assert c.sendmail("alice@demo.test", ["a@elsewhere.example", "b@elsewhere.example"], letter("alice@demo.test", "1")) == {}
        assert c.sendmail("alice@demo.test", ["a@elsewhere.example"], letter("alice@demo.test", "2")) == {}  # known by now
        with pytest.raises(smtplib.SMTPDataError) as e:
            c.sendmail("alice@demo.test", ["c@elsewhere.example"], letter("alice@demo.test", "3"))
        assert e.value.smtp_code == 451 and e.value.smtp_error.startswith(b"4.7.1"), e.value
        assert c.sendmail("alice@demo.test", ["bob@demo.test"], letter("alice@demo.test", "4")) == {}        # people here do not count


def shown(server, mid):
    return [json.loads(line) for line in server.cli("queue", "show", mid, "--json").stdout.splitlines()]


def envelope(server, user, mail, rcpts, extra=""):
    """Submits with these parameters, and gives the rows of it that are in the queue."""
    with connect(server, user) as s:
        code, text = s.docmd("MAIL", f"FROM:<{user}> {mail}")
        assert code == 250, text
        for one in rcpts:
            code, text = s.docmd("RCPT", one)
            assert code == 250, text
        code, text = s.data(letter(user, mail[:40] or "plain", extra))
        assert code == 250, text
    return shown(server, text.split()[-1].decode())


def test_what_is_asked_for_is_in_the_queue(server, user):
    now = time.time() * 1000
    a, b = envelope(server, user, "HOLDFOR=3600 BY=7200;R MT-PRIORITY=9 REQUIRETLS RET=HDRS ENVID=QQ+2B314",
                    ["TO:<a@far.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first+2B@far.example", "TO:<b@far.example> NOTIFY=NEVER"], "TLS-Required: No\r\n")
    assert [a["to"], b["to"]] == ["a@far.example", "b@far.example"]
    assert (a["notify"], a["orcpt"], b["notify"], b["orcpt"]) == ("SUCCESS,DELAY", "first+@far.example", "NEVER", "")
    for row in (a, b):
        assert row["state"] == "ready" and row["attempts"] == 0 and row["priority"] == 9 and row["ret"] == "HDRS" and row["envid"] == "QQ+314"
        # RFC 8689 4.1: REQUIRETLS goes before the header field
        assert row["require_tls"] is True and row["tls_optional"] is False
        assert 3590e3 < row["due_ms"] - now < 3660e3 and 7190e3 < row["deliver_by_ms"] - now < 7260e3 and row["by_return"] is True
        assert row["expires_ms"] == row["deliver_by_ms"]
    row, = envelope(server, user, "HOLDFOR=600 BY=7200;N MT-PRIORITY=-9", ["TO:<c@far.example>"], "TLS-Required: No\r\n")
    assert row["tls_optional"] is True and row["require_tls"] is False and row["priority"] == 0 and row["by_return"] is False and row["notify"] == row["ret"] == row["envid"] == ""
    assert row["expires_ms"] > row["deliver_by_ms"]
    row, = envelope(server, user, "HOLDUNTIL=" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900)), ["TO:<d@far.example>"])
    assert 890e3 < row["due_ms"] - now < 960e3


def test_what_is_not_offered_to_strangers_is_not_taken_from_them(server, user):
    with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example") as s:
        s.starttls(context=tls(server))
        s.ehlo()
        for parameter in ("HOLDFOR=60", "BY=60;R", "MT-PRIORITY=3", "REQUIRETLS", "AUTH=<>"):
            assert s.docmd("MAIL", f"FROM:<joe@far.example> {parameter}")[0] == 555, parameter


def test_undo_keeps_a_message_from_leaving_for_a_while(server, user):
    server.cli("account", "limits", user, "--undo", "60s")
    now = time.time() * 1000
    row, = envelope(server, user, "", ["TO:<a@far.example>"])
    assert row["state"] == "ready" and row["attempts"] == 0 and 50e3 < row["due_ms"] - now < 65e3
    server.cli("queue", "drop", row["mid"], "--yes")
    assert shown(server, row["mid"])[0]["state"] == "dropped"


def test_each_limit_of_a_day_says_which_one_and_until_when(server, user):
    server.cli("account", "limits", user, "--messages", "2", "--recipients", "3", "--first", "2")

    def attempt(*to):
        with connect(server, user) as c:
            try:
                return c.sendmail(user, to, letter(user, "limited")) or None
            except smtplib.SMTPDataError as e:
                return e.smtp_code, e.smtp_error.decode()

    until = time.strftime("until %Y-%m-%d 00:00 UTC", time.gmtime(time.time() + 86400))
    assert attempt("a@far.example", "b@far.example") is None
    code, text = attempt("c@far.example")
    assert code == 451 and text.startswith("4.7.1") and "2 recipients it has never written to" in text and until in text
    code, text = attempt("a@far.example", "b@far.example")
    assert code == 451 and "3 recipients a day" in text and until in text
    assert attempt("a@far.example") is None
    code, text = attempt("a@far.example")
    assert code == 451 and "2 messages a day" in text and until in text
    assert attempt(user) is None


# ---- programs of this machine ----

def sendmail(server, *args, input=b"", **kw):
    return run(PROGRAM, "sendmail", "-C", server.config, *args, input=input, **kw)


def test_sendmail_takes_recipients_from_the_header(server, user):
    p = sendmail(server, "-t", "-i", "-f", user, input=f"From: {user}\nTo: {user}\nBcc: bob@demo.test\nSubject: by sendmail\n\nline\n.\nafter the dot\n".encode())
    assert p.returncode == 0, p.stderr
    got = arrived(server, user, "by sendmail")
    assert b"\r\n.\r\nafter the dot\r\n" in got and b"Bcc" not in got
    assert arrived(server, "bob@demo.test", "by sendmail")


def test_sendmail_ends_at_a_dot_unless_told_otherwise(server, user):
    p = sendmail(server, "-oem", "-F", "The Cron", "-f", user, "--", user, input=b"Subject: dotted\n\nbefore\n.\nafter\n")
    assert p.returncode == 0, p.stderr
    got = arrived(server, user, "dotted")
    assert b"before\r\n" in got and b"after" not in got and f'From: "The Cron" <{user}>'.encode() in got


def test_cron_and_its_like_name_people_without_a_domain(server):
    server.cli("alias", "add", "root@demo.test", "carol@demo.test")
    for subject, author in (("Cron one", "root (Cron Daemon)"), ("Cron two", '"root (Cron Daemon)" <root>')):
        p = sendmail(server, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", input=f"From: {author}\nTo: root\nSubject: {subject}\n\nhello\n".encode())
        assert p.returncode == 0, p.stderr
        got = email.message_from_bytes(arrived(server, "carol@demo.test", subject))
        assert email.utils.parseaddr(got["From"])[1] == got["To"] == "root@demo.test" and "Cron Daemon" in got["From"]


def test_recipients_of_sendmail_stand_in_the_arguments_as_people_write_them(server, user):
    p = sendmail(server, "-f", user, f"Somebody <{user}>, bob@demo.test", "<alice@demo.test>", input=b"Subject: three of them\n\nhello\n")
    assert p.returncode == 0, p.stderr.decode()
    assert all(arrived(server, who, "three of them") for who in (user, "bob@demo.test", "alice@demo.test"))
    assert sendmail(server, "-f", user, f"{user} bob@demo.test", input=b"x\n").returncode == 65  # EX_DATAERR
    assert sendmail(server, "-f", user, "-V", "batch 7=a+b", user, input=b"Subject: an id of one's own\n\nhello\n").returncode == 0


def test_sendmail_has_more_recipients_than_a_stranger_may_name(server, user):
    p = sendmail(server, "-f", user, *[f"{user.replace('@', '+%d@' % i)}" for i in range(1200)], input=b"Subject: to many\n\nhello\n")
    assert p.returncode == 0, p.stderr.decode()
    assert arrived(server, user, "to many")


def test_flags_may_stand_together(server, user):
    p = sendmail(server, "-tif", user, input=f"From: {user}\nTo: {user}\nSubject: flags\n\nbefore\n.\nafter\n".encode())
    assert p.returncode == 0, p.stderr
    assert b"\r\nafter\r\n" in arrived(server, user, "flags")
    assert sendmail(server, "-tZ", input=b"x\n").returncode == 64


def test_sendmail_speaks_the_codes_of_sysexits(server, user):
    assert sendmail(server, "-f", user, "nobody@demo.test", input=b"x\n").returncode == 67     # EX_NOUSER
    assert sendmail(server, "-f", "x@notours.example", user, input=b"x\n").returncode == 77    # EX_NOPERM
    assert sendmail(server, "-f", user, input=b"x\n").returncode == 64                         # EX_USAGE: nobody
    assert sendmail(server, "-Z", user, input=b"x\n").returncode == 64
    assert sendmail(server, "-q30m").returncode == 0 and sendmail(server, "-bi").returncode == 0
    p = run(PROGRAM, "sendmail", "-C", "/nonexistent", user, input=b"x\n")
    assert p.returncode == (75 if not os.path.exists("/run/letterlock/submit.sock") else p.returncode), p.stderr


def test_sendmail_by_its_name_and_as_a_session(server, user, tmp_path):
    link = tmp_path / "sendmail"
    link.symlink_to(PROGRAM)
    p = run(link, "-C", server.config, "-bs", input=f"EHLO x\r\nMAIL FROM:<{user}>\r\nRCPT TO:<{user}>\r\nDATA\r\nFrom: {user}\r\nSubject: by -bs\r\n\r\nhi\r\n.\r\nQUIT\r\n".encode())
    assert p.returncode == 0 and b"221 2.0.0" in p.stdout, (p.stdout, p.stderr)
    assert arrived(server, user, "by -bs")


@pytest.mark.skipif(os.geteuid() != 0, reason="skipped: only root can become another user")
def test_another_user_of_this_machine_is_the_account_of_that_name(fresh):
    s = fresh()
    daemon = pwd.getpwnam("daemon")
    for path in [s.state, *s.state.parents]:  # pytest's directories are the tester's own
        if path == pathlib.Path("/tmp"):
            break
        path.chmod(path.stat().st_mode | 0o011)
    as_daemon = {"user": daemon.pw_uid, "group": daemon.pw_gid, "extra_groups": []}

    def say(*lines):
        with subprocess.Popen(["/usr/bin/python3", "-c", "import socket, sys\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                               "try: s.sendall(sys.argv[2].encode()); s.shutdown(socket.SHUT_WR)\n"
                               "except OSError: pass  # it has said no and gone before it was asked anything\nwhile True:\n    b = s.recv(9999)\n    if not b: break\n    sys.stdout.write(b.decode())", str(s.submit), "".join(l + "\r\n" for l in lines)],
                              stdout=subprocess.PIPE, **as_daemon) as p:
            return p.communicate(timeout=20)[0].decode()

    assert "554 5.7.1 there is no account daemon@demo.test" in say("QUIT")
    s.cli("account", "add", "daemon@demo.test", input=PASSWORD + "\n")
    answers = say("EHLO x", "MAIL FROM:<alice@demo.test>", "MAIL FROM:<daemon@demo.test>", "RCPT TO:<bob@demo.test>", "DATA", "Subject: from a daemon", "", "hi", ".", "QUIT")
    assert "550 5.7.1 daemon@demo.test may not send as alice@demo.test" in answers and "250 2.0.0 Ok" in answers, answers
    assert email.message_from_bytes(arrived(s, "bob@demo.test", "from a daemon"))["From"] == "<daemon@demo.test>"


def test_mailq_prints_what_scripts_for_postfix_read(fresh, tmp_path):
    s = fresh()
    link = tmp_path / "mailq"
    link.symlink_to(PROGRAM)
    p = run(link, "-C", s.config)
    assert p.returncode == 0 and p.stdout == b"Mail queue is empty\n"
    user = "alice@demo.test"
    rows = envelope(s, user, "HOLDFOR=3600", ["TO:<a@far.example>", "TO:<b@far.example>"], "X: " + "x" * 900 + "\r\n")
    held, = envelope(s, user, "HOLDFOR=3600", ["TO:<c@far.example>"], "X: " + "x" * 900 + "\r\n")
    s.cli("queue", "hold", held["mid"], "--yes")
    lines = run(link, "-C", s.config).stdout.decode().splitlines()
    assert lines == run(PROGRAM, "sendmail", "-C", s.config, "-bp").stdout.decode().splitlines()
    assert lines[0].split() == ["-Queue", "ID-", "--Size--", "----Arrival", "Time----", "-Sender/Recipient-------"]
    at = 41  # Postfix's own heading stands one to the right of it
    first, second = lines[1:lines.index("")], lines[lines.index("") + 1:-2]
    for block, want, mark in ((first, rows, ""), (second, [held], "!")):
        m = re.fullmatch(r"(\S+)\s+(\d+) ((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)\s+(\S+)", block[0])
        assert m and m[1] == want[0]["mid"] + mark and int(m[2]) == want[0]["size"] and m[4] == user and m.start(4) == at, block
        assert block[1:] == [" " * at + row["to"] for row in want]
    kbytes = (rows[0]["size"] + held["size"]) // 1024
    assert kbytes > 0 and lines[-2:] == ["", f"-- {kbytes} Kbytes in 2 Requests."]


# ---- what the one answer of SMTP cannot say ----

def notices(server, user, about):
    """The reports in a mailbox about a message with this subject, by their action."""
    out = []
    for octets in fetch_all(imap(server, user)).values():
        m = email.message_from_bytes(octets)
        if m.get_content_type() == "multipart/report" and about.encode() in octets:
            out.append(m)
    return out


def fields_of(report):
    return [dict(part.items()) for part in report.get_payload(1).get_payload()[1:]]


@pytest.fixture(scope="module")
def small(server):
    server.cli("account", "add", "small@demo.test", "--quota", "4KiB", input=PASSWORD + "\n")
    return "small@demo.test"


def send_all(server, user, to, message, how=()):
    """Says no SIZE: that a mailbox is too small for the message comes out at the end."""
    with connect(server, user) as s:
        assert s.docmd("MAIL", f"FROM:<{user}>")[0] == 250
        for one in to:
            code, text = s.docmd("RCPT", " ".join([f"TO:<{one}>", *how]))
            assert code == 250, text
        return s.data(message)


def test_a_copy_that_finds_no_room_is_returned_while_the_others_arrive(server, user, small):
    big = letter(user, "too big for one") + b"".join(b"%065d\r\n" % i for i in range(100))
    code, text = send_all(server, user, [user, small], big)
    assert code == 250, text
    assert arrived(server, user, "too big for one")
    report = wait_for(lambda: notices(server, user, "too big for one"))[0]
    rcpt, = fields_of(report)
    assert rcpt["Action"] == "failed" and rcpt["Status"] == "5.2.2" and rcpt["Final-Recipient"] == f"rfc822; {small}"
    assert report["Return-Path"] == "<>" and report["Auto-Submitted"] == "auto-replied" and f"{small}" in report.get_payload(0).get_payload()
    # alone it is said in the answer
    code, text = send_all(server, user, [small], big)
    assert code == 552 and text.startswith(b"5.2.2")


def test_notify_never_keeps_a_failure_to_itself(server, user, small):
    big = letter(user, "never told") + b"".join(b"%065d\r\n" % i for i in range(100))
    assert send_all(server, user, [user, small], big, ["NOTIFY=NEVER"])[0] == 250
    assert send_all(server, user, [user], letter(user, "after never"))[0] == 250
    assert arrived(server, user, "after never") and not notices(server, user, "never told")


def test_who_asks_for_it_hears_that_a_message_has_been_delivered(server, user):
    with connect(server, user) as s:
        assert s.docmd("MAIL", f"FROM:<{user}> ENVID=QQ314 RET=HDRS")[0] == 250
        assert s.docmd("RCPT", f"TO:<{user}> NOTIFY=SUCCESS ORCPT=rfc822;first+40demo.test")[0] == 250
        assert s.data(letter(user, "receipt please"))[0] == 250
    report = wait_for(lambda: notices(server, user, "receipt please"))[0]
    rcpt, = fields_of(report)
    assert rcpt["Action"] == "delivered" and rcpt["Status"].startswith("2.") and rcpt["Original-Recipient"] == "rfc822; first@demo.test"
    assert report.get_payload(1).get_payload()[0]["Original-Envelope-Id"] == "QQ314"


def test_a_stranger_hears_too_and_the_null_sender_does_not(server, user, small):
    big = letter("joe@far.example", "from outside") + b"".join(b"%065d\r\n" % i for i in range(100))
    for sender in ("joe@far.example", ""):
        with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example") as s:
            s.ehlo()
            s.docmd("MAIL", f"FROM:<{sender}>")
            assert s.rcpt(user)[0] == 250 and s.rcpt(small)[0] == 250
            code, text = s.data(big)
            assert code == 250, text
        mid = text.split()[-1].decode()
        told = [e for e in server.events("queue.report") if e["mid"] == mid]
        assert [e["to"] for e in told] == ([sender] if sender else [])
    left = lambda state: [json.loads(line) for line in server.cli("queue", "list", "--state", state, "--to", "joe@far.example", "--json", check=False).stdout.splitlines()]
    row, = wait_for(lambda: left("open") + left("done"))
    assert row["from"] == ""


def test_the_owner_of_a_group_hears_of_a_member_whom_nothing_reaches(server, user, small):
    server.cli("group", "add", "team@demo.test", "--write", "anyone", "--owner", "carol@demo.test")
    server.cli("group", "members", "team@demo.test", "--add", user, "--add", small)
    big = letter(user, "for the team") + b"".join(b"%065d\r\n" % i for i in range(100))
    assert send_all(server, user, ["team@demo.test"], big)[0] == 250
    assert arrived(server, user, "for the team")
    rcpt, = fields_of(wait_for(lambda: notices(server, "carol@demo.test", "for the team"))[0])
    assert rcpt["Final-Recipient"] == f"rfc822; {small}" and rcpt["Status"] == "5.2.2"
    assert not notices(server, user, "for the team")


def test_a_time_to_deliver_by_is_kept(fresh):
    s = fresh()
    user = "alice@demo.test"
    conf = pathlib.Path(s.config)
    text = conf.read_text()
    wanted = '  retry_first = "200 ms"\n  down_first = "1 s"\n  down_max = "1 s"\n'
    conf.write_text(text.replace("\nrelay {\n", "\nrelay {\n" + wanted) if "\nrelay {" in text else text + "\nrelay {\n" + wanted + "}\n")
    s.cli("reload")
    s.cli("route", "add", "far.example", "--host", "127.0.0.1:9", "--tls", "none", "--yes")  # nobody listens there
    late, = envelope(s, user, "BY=1;N", ["TO:<a@far.example>"])
    back, = envelope(s, user, "BY=1;R", ["TO:<b@far.example>"])
    about = lambda action: [f for m in fetch_all(imap(s, user)).values() if b"multipart/report" in m for f in fields_of(email.message_from_bytes(m)) if f["Action"] == action]
    wait_for(lambda: shown(s, back["mid"])[0]["state"] in ("expired", "bounced"), 20)  # whether it was the hour or an attempt after it that ended it
    rcpt, = wait_for(lambda: about("failed"))
    assert rcpt["Final-Recipient"] == "rfc822; b@far.example" and rcpt["Status"][1:] == ".4.7"
    rcpt, = wait_for(lambda: about("delayed"), 20)
    assert rcpt["Final-Recipient"] == "rfc822; a@far.example" and shown(s, late["mid"])[0]["state"] == "deferred"
