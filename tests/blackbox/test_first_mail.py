"""A message goes in by SMTP and comes out by IMAP and POP3, with the clients that people have."""
import subprocess
import urllib.request

from conftest import PASSWORD
from helpers import fetch_all, imap, pop, send, strip_trace, tls


def run(*args, timeout=60, **kw):
    return subprocess.run(list(map(str, args)), capture_output=True, timeout=timeout, **kw)


def test_swaks_is_answered_250(server, user):
    p = run("swaks", "--to", user, "--from", "ann@example.org", "--server", f"localhost:{server.smtp}", "--header", "Subject: by swaks")
    assert p.returncode == 0, p.stdout
    assert b"<-  250 2.0.0 Ok " in p.stdout
    p = run("curl", "-s", "--cacert", server.ca, f"imaps://localhost:{server.imaps}/INBOX;UID=1", "-u", f"{user}:{PASSWORD}")
    assert p.returncode == 0 and b"Subject: by swaks" in p.stdout
    p = run("curl", "-s", "--cacert", server.ca, f"pop3s://localhost:{server.pop3s}/1", "-u", f"{user}:{PASSWORD}")
    assert p.returncode == 0 and b"Subject: by swaks" in p.stdout


def test_swaks_uses_starttls(server, user):
    p = run("swaks", "--to", user, "--from", "ann@example.org", "--server", f"localhost:{server.smtp}", "--tls", "--tls-ca-path", server.ca)
    assert p.returncode == 0, p.stdout
    assert b"TLS started with cipher TLSv1.3" in p.stdout
    body = list(fetch_all(imap(server, user)).values())[0]
    assert b"with ESMTPS" in body.split(b"\r\n\r\n")[0]


def test_what_is_fetched_is_what_was_sent(server, user):
    text = "From: Ann <ann@example.org>\r\nTo: you\r\nSubject: h\u00e9\r\n\r\n.dot\r\n..two\r\n\r\nend\r\n".encode()
    answer = send(server, user, text)
    mid = answer.split()[-1]
    got = fetch_all(imap(server, user, secure=True))
    assert len(got) == 1
    whole = list(got.values())[0]
    assert strip_trace(whole) == text
    assert f"id {mid}".encode() in whole
    p = pop(server, user, secure=True)
    assert p.stat()[0] == 1
    assert b"\r\n".join(p.retr(1)[1]) + b"\r\n" == whole
    p.quit()


def test_starttls_on_imap_and_pop3(server, user):
    import imaplib
    import poplib
    m = imaplib.IMAP4("localhost", server.imap)
    m.starttls(tls(server))
    m.login(user, PASSWORD)
    assert m.select()[0] == "OK"
    m.logout()
    p = poplib.POP3("localhost", server.pop3)
    p.stls(tls(server))
    p.user(user)
    p.pass_(PASSWORD)
    p.quit()


def test_no_relay(server):
    import smtplib
    with smtplib.SMTP("localhost", server.smtp) as s:
        s.ehlo()
        s.mail("ann@example.org")
        code, text = s.rcpt("someone@elsewhere.example")
        assert (code, text[:5]) == (550, b"5.7.1"), text
        code, text = s.rcpt("nobody@demo.test")
        assert (code, text[:5]) == (550, b"5.1.1"), text


def test_postmaster_is_somebody_at_every_domain_of_ours(server):
    import smtplib
    with smtplib.SMTP("localhost", server.smtp) as s:
        s.ehlo()
        s.mail("ann@example.org")
        for address in ("<postmaster>", "<postmaster@demo.test>", "<PostMaster@Demo.Test>"):
            code, text = s.docmd("RCPT", f"TO:{address}")
            assert code == 250, (address, text)
        assert s.docmd("RCPT", "TO:<postmaster@elsewhere.example>")[0] == 550


def test_a_wrong_password_opens_nothing(server, user):
    import imaplib
    import pytest
    with pytest.raises(imaplib.IMAP4.error):
        imaplib.IMAP4("localhost", server.imap).login(user, "wrong")
    with pytest.raises(imaplib.IMAP4.error):
        imaplib.IMAP4("localhost", server.imap).login("nobody@demo.test", PASSWORD)


def test_plus_address_goes_to_its_folder(server, user):
    local, domain = user.split("@")
    send(server, f"{local}+junk@{domain}", "Subject: to junk\r\n\r\nx\r\n")
    send(server, f"{local}+whatever@{domain}", "Subject: to inbox\r\n\r\nx\r\n")
    m = imap(server, user)
    assert b"to junk" in list(fetch_all(m, "Junk").values())[0]
    assert b"to inbox" in list(fetch_all(m).values())[0]


def test_a_subscription_is_to_a_name(server, user):
    m = imap(server, user)
    other = imap(server, user)
    other.select()

    def listed(kind, name, client=m):
        assert client.noop()[0] == "OK"
        typ, data = client.lsub('""', name) if kind == "lsub" else client.list('""', name)
        assert typ == "OK"
        return [line for line in data if line]
    assert len(listed("lsub", "*")) == 6  # the standard folders
    assert m.create("sub1")[0] == "OK" and m.subscribe("sub1")[0] == "OK"
    assert listed("lsub", "sub1") == [b'(\\HasNoChildren) "/" "sub1"']
    assert m.delete("sub1")[0] == "OK"
    gone = [b'(\\HasNoChildren \\Noselect) "/" "sub1"']
    assert listed("lsub", "sub1") == gone and listed("list", "sub1") == []
    assert m.select("sub1")[0] == "NO"
    assert m.create("sub1")[0] == "OK" and listed("lsub", "sub1") == [b'(\\HasNoChildren) "/" "sub1"']
    assert m.rename("sub1", "sub2")[0] == "OK"
    assert listed("lsub", "sub*") == gone and listed("list", "sub*") == [b'(\\HasNoChildren) "/" "sub2"']
    assert listed("lsub", "sub*", other) == gone
    assert m.unsubscribe("sub1")[0] == "OK"
    assert listed("lsub", "sub*") == [] and m.unsubscribe("sub1")[0] == "NO"
    assert m.subscribe("never/there")[0] == "OK"
    assert listed("lsub", "%") != [] and b'(\\HasChildren \\Noselect) "/" "never"' in listed("lsub", "%")
    for client in m, other:
        client.logout()


def test_several_recipients_get_one_copy_each(server, user):
    local, domain = user.split("@")
    send(server, [user, "bob@demo.test", f"{local}+again@{domain}"], "Subject: several 4711\r\n\r\nx\r\n")
    assert len([b for b in fetch_all(imap(server, user)).values() if b"several 4711" in b]) == 1
    assert len([b for b in fetch_all(imap(server, "bob@demo.test")).values() if b"several 4711" in b]) == 1


def test_metrics_count(server, user):
    def value(series):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics}/metrics", timeout=10) as r:
            assert r.headers["Content-Type"].startswith("text/plain")
            for line in r.read().decode().splitlines():
                if line.startswith(series + " "):
                    return float(line.split()[-1])
        raise AssertionError(series)
    before = value('letterlock_smtp_received_total{result="ok"}')
    send(server, user, "Subject: counted\r\n\r\nx\r\n")
    assert value('letterlock_smtp_received_total{result="ok"}') == before + 1


def test_lmtp_answers_for_each_recipient(server, user):
    import smtplib

    import pytest
    path = server.state / "lmtp.sock"
    if not path.exists():
        pytest.skip("skipped: the state directory's path is too long for a Unix socket")
    with smtplib.LMTP(str(path)) as s:
        s.ehlo("client.example")
        assert s.mail("ann@example.org")[0] == 250
        assert s.rcpt(user)[0] == 250
        assert s.rcpt("nobody@demo.test")[0] == 550
        assert s.rcpt("carol@demo.test")[0] == 250
        code, text = s.docmd("DATA")
        assert code == 354
        s.send("Subject: by lmtp\r\n\r\nx\r\n.\r\n")
        assert [s.getreply()[0] for _ in range(2)] == [250, 250]
    whole = list(fetch_all(imap(server, user)).values())[0]
    assert b"with LMTP" in whole and b"by lmtp" in whole
