"""Small steps that several tests take."""
import imaplib
import poplib
import smtplib
import ssl
import time

from conftest import PASSWORD


def tls(server):
    return ssl.create_default_context(cafile=server.ca)


def send(server, to, message, sender="ann@example.org", **kw):
    """Delivers with smtplib; returns the answer to DATA."""
    if isinstance(message, str):
        message = message.encode()
    with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example", **kw) as s:
        s.ehlo()
        code, text = s.mail(sender)
        assert code == 250, text
        for one in [to] if isinstance(to, str) else to:
            code, text = s.rcpt(one)
            assert code == 250, text
        code, text = s.data(message)
        assert code == 250, text
        return text.decode()


def imap(server, user, secure=False):
    m = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=tls(server)) if secure else imaplib.IMAP4("localhost", server.imap)
    m.login(user, PASSWORD)
    return m


def pop(server, user, secure=False):
    m = poplib.POP3_SSL("localhost", server.pop3s, context=tls(server)) if secure else poplib.POP3("localhost", server.pop3)
    m.user(user)
    m.pass_(PASSWORD)
    return m


def fetch_all(m, box="INBOX", item="BODY.PEEK[]"):
    """{uid: octets} of a mailbox."""
    typ, data = m.select(box, readonly=True)
    assert typ == "OK", data
    if data[0] == b"0":
        return {}
    typ, data = m.uid("FETCH", "1:*", f"(UID {item})")
    assert typ == "OK", data
    out = {}
    for part in data:
        if isinstance(part, tuple):
            words = part[0].replace(b"(", b" ").split()
            out[int(words[words.index(b"UID") + 1])] = part[1]
    return out


def strip_trace(message):
    """Without the fields that the server puts in front: Return-Path, Authentication-Results and Received-SPF where the sender was evaluated, Received."""
    assert message.startswith(b"Return-Path: <"), message[:80]
    rest = message
    for name in (b"Return-Path: ", b"Authentication-Results: mail.demo.test;", b"Received-SPF: ", b"Received: "):
        if not rest.startswith(name):
            assert name[:2] != b"Re" or name == b"Received-SPF: ", rest[:80]
            continue
        rest = rest.split(b"\r\n", 1)[1]
        while rest[:1] in (b" ", b"\t"):
            rest = rest.split(b"\r\n", 1)[1]
    return rest


def wait_for(what, seconds=10, every=0.02):
    """A look that costs much, such as a command, leaves half as much time to what is waited for."""
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        value = what()
        if value:
            return value
        time.sleep(max(every, (time.monotonic() - begun) / 2))
    raise AssertionError(f"waited {seconds} s in vain")
