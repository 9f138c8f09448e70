"""Debian's own mail clients against the real server."""
import imaplib
import mailbox
import re
import subprocess

import pytest

from conftest import PASSWORD
from helpers import fetch_all, imap, send, strip_trace, wait_for


def run(*args, timeout=60, **kw):
    return subprocess.run(list(map(str, args)), capture_output=True, timeout=timeout, **kw)


def fill(server, user, n=7):
    texts = []
    for i in range(n):
        text = f"From: ann@example.org\r\nTo: {user}\r\nSubject: letter {i}\r\nMessage-ID: <{i}.{user}>\r\nDate: Mon, 23 Nov 2026 10:00:0{i} +0000\r\n\r\nHello {i}\r\n.\r\n.x\r\n".encode()
        send(server, user, text)
        texts.append(text)
    return texts


def test_isync_mirrors_both_ways(server, user, tmp_path):
    texts = fill(server, user)
    box = tmp_path / "mail"
    box.mkdir()
    (tmp_path / "mbsyncrc").write_text(f"""
IMAPAccount a
Host localhost
Port {server.imaps}
User {user}
Pass {PASSWORD}
SSLType IMAPS
CertificateFile {server.ca}

IMAPStore far
Account a

MaildirStore near
Path {box}/
Inbox {box}/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
    p = run("mbsync", "-c", tmp_path / "mbsyncrc", "-a")
    assert p.returncode == 0, p.stderr
    near = mailbox.Maildir(box / "INBOX", create=False)
    assert len(near) == len(texts)
    # mbsync adds an X-TUID field to what it has just carried over
    got = [re.sub(rb"X-TUID: .*\n", b"", near.get_bytes(k)) for k in near.keys()]
    for text in texts:
        assert any(g.endswith(text.replace(b"\r\n", b"\n")) for g in got)
    # one made here, one read here, one removed here
    keys = sorted(near.keys())
    m = near[keys[0]]
    m.set_flags("S")
    m.set_subdir("cur")
    near[keys[0]] = m
    m = near[keys[1]]
    m.set_flags("T")
    m.set_subdir("cur")
    near[keys[1]] = m
    near.add(b"From: me\nSubject: made at home\n\nx\n")
    near.flush()
    p = run("mbsync", "-c", tmp_path / "mbsyncrc", "-a")
    assert p.returncode == 0, p.stderr
    c = imap(server, user)
    bodies = fetch_all(c)
    assert len(bodies) == len(texts)
    assert any(b"made at home" in b for b in bodies.values())
    assert c.select()[0] == "OK"
    assert len(c.search(None, "SEEN")[1][0].split()) >= 1
    p = run("mbsync", "-c", tmp_path / "mbsyncrc", "-a")
    assert p.returncode == 0, p.stderr
    assert len(fetch_all(imap(server, user))) == len(texts)


def test_fetchmail_takes_the_mail_away(server, user, tmp_path):
    texts = fill(server, user, 5)
    out = tmp_path / "out"
    rc = tmp_path / "fetchmailrc"
    rc.write_text(f"""poll localhost proto pop3 service {server.pop3s} uidl user "{user}" password "{PASSWORD}" ssl sslcertck sslcertfile {server.ca} mda "cat >> {out}"\n""")
    rc.chmod(0o600)
    p = run("fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-i", tmp_path / "ids", "--pidfile", tmp_path / "pid", env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "FETCHMAILHOME": str(tmp_path)})
    assert p.returncode == 0, p.stdout + p.stderr
    got = out.read_bytes()
    for i in range(len(texts)):
        assert f"Subject: letter {i}".encode() in got
    assert fetch_all(imap(server, user)) == {}


def test_neomutt_reads_and_saves(server, user, tmp_path):
    fill(server, user, 3)
    (tmp_path / "muttrc").write_text(f"""
set folder="imaps://{user}@localhost:{server.imaps}/"
set imap_user="{user}"
set imap_pass="{PASSWORD}"
set certificate_file={server.ca}
set ssl_ca_certificates_file={server.ca}
set ssl_verify_host=yes
set spoolfile="imaps://{user}@localhost:{server.imaps}/INBOX"
set header_cache="" message_cachedir=""
set confirmcreate=no confirmappend=no delete=yes quit=yes
""")
    keys = "push '<tag-pattern>~s letter<enter><tag-prefix><save-message>=Archive<enter><sync-mailbox><quit>'"
    run("script", "-qec", f'neomutt -F {tmp_path}/muttrc -e "{keys}"', "/dev/null",  # it wants a terminal
        env={"HOME": str(tmp_path), "TERM": "xterm", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL)
    c = imap(server, user)
    wait_for(lambda: len(fetch_all(c, "Archive")) == 3, 10)
    assert len(fetch_all(c)) == 0


def test_curl_appends_searches_and_deletes(server, user, tmp_path):
    letter = tmp_path / "letter.eml"
    letter.write_bytes(b"From: curl\r\nSubject: appended by curl\r\n\r\nWombat\r\n")
    base = f"imaps://localhost:{server.imaps}"
    auth = ["--cacert", server.ca, "-u", f"{user}:{PASSWORD}", "-s"]
    assert run("curl", *auth, "-T", letter, f"{base}/Drafts").returncode == 0
    p = run("curl", *auth, f"{base}/Drafts?BODY%20wombat")
    assert p.stdout.strip() == b"* SEARCH 1", p.stdout
    p = run("curl", *auth, f"{base}/Drafts;UID=1")
    assert p.stdout == letter.read_bytes()
    assert run("curl", *auth, f"{base}/Drafts", "-X", "STORE 1 +FLAGS (\\Deleted)").returncode == 0
    assert run("curl", *auth, f"{base}/Drafts", "-X", "EXPUNGE").returncode == 0
    assert fetch_all(imap(server, user), "Drafts") == {}


def test_idle_hears_of_new_mail(server, user):
    import socket
    import time
    s = socket.create_connection(("127.0.0.1", server.imap), timeout=10)
    f = s.makefile("rb")
    f.readline()

    def command(tag, text):
        s.sendall(f"{tag} {text}\r\n".encode())
        while not f.readline().startswith(tag.encode()):
            pass

    command("a", f"LOGIN {user} {PASSWORD}")
    command("b", "SELECT INBOX")
    s.sendall(b"c IDLE\r\n")
    assert f.readline().startswith(b"+")
    begun = time.monotonic()
    send(server, user, "Subject: wake up\r\n\r\nx\r\n")
    line = f.readline()
    assert line == b"* 1 EXISTS\r\n", line
    assert time.monotonic() - begun < 2
    s.sendall(b"DONE\r\n")
    while not f.readline().startswith(b"c OK"):
        pass


def test_a_session_learns_the_new_names_of_keywords(server, user):
    """64 keywords fill a folder; when those that nothing bears make room, a session that knows the old names is told the new ones."""
    mine, theirs = imap(server, user), imap(server, user)
    assert mine.append("INBOX", None, None, b"Subject: one\r\n\r\nx\r\n")[0] == "OK"
    for m in (mine, theirs):
        m.select("INBOX")
    for i in range(64):
        assert mine.store("1", "+FLAGS.SILENT", f"(k{i})")[0] == "OK"
    assert mine.store("1", "+FLAGS.SILENT", "(more)")[0] == "NO"
    assert theirs.noop()[0] == "OK"
    assert mine.store("1", "FLAGS", "(k63)")[0] == "OK"
    assert theirs.noop()[0] == "OK"
    theirs.response("FETCH")
    assert mine.store("1", "+FLAGS", "(more)")[1][-1] == b"1 (FLAGS (\\Recent more k63))"  # it selected the mailbox first
    assert theirs.noop()[0] == "OK"
    assert theirs.response("FETCH")[1][-1] == b"1 (FLAGS (more k63))"
    assert theirs.search(None, "KEYWORD", "more")[1] == [b"1"]
    assert theirs.search(None, "KEYWORD", "k0")[1] == [b""]
    for m in (mine, theirs):
        m.logout()


def test_a_session_whose_mailbox_is_removed_is_told_so(server, user):
    """Also where the name stays because of its children, and where a new mailbox has the name by then: nobody waits for mail in a mailbox that is gone."""
    mine, theirs = imap(server, user), imap(server, user)
    for again in ("Gone", "Gone/child"):
        assert mine.create(again)[0] == "OK"
        assert mine.append("Gone", None, None, b"Subject: one\r\n\r\nx\r\n")[0] == "OK"
        theirs.select("Gone")
        assert mine.rename("Gone", "Went")[0] == "OK" and mine.rename("Went", "Gone")[0] == "OK"
        assert theirs.fetch("1", "(UID)")[0] == "OK"  # a new name is no end
        assert mine.delete("Gone")[0] == "OK"
        if again == "Gone":
            assert mine.create("Gone")[0] == "OK"
        with pytest.raises(imaplib.IMAP4.abort, match="the selected mailbox is gone"):
            theirs.noop()
        theirs = imap(server, user)
    mine.create("Gone")
    theirs.select("Gone")
    mine.delete("Gone")
    assert theirs.close()[0] == "OK"
    for m in (mine, theirs):
        m.logout()
