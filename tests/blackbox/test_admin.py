"""The command line: people, domains, care, and what it says when something is wrong."""
import imaplib
import json
import os
import pathlib
import shutil
import smtplib
import subprocess

import pytest

from conftest import PASSWORD, PROGRAM
from helpers import fetch_all, imap, send, strip_trace, wait_for


def program(*args, input=None):
    return subprocess.run([PROGRAM, *map(str, args)], input=input, capture_output=True, text=True, timeout=120)


def refused(server, address):
    with smtplib.SMTP("localhost", server.smtp) as s:
        s.ehlo()
        s.mail("ann@example.org")
        return s.rcpt(address)


def login(server, user, password):
    m = imaplib.IMAP4("localhost", server.imap)
    m.login(user, password)
    return m


def test_an_account_from_birth_to_death(server):
    a = "dora@demo.test"
    assert refused(server, a)[0] == 550
    out = json.loads(server.cli("account", "add", a, "--json", input="first password\n").stdout.splitlines()[-1])
    assert out["address"] == a
    assert refused(server, a)[0] == 250
    send(server, a, "Subject: hello dora\r\n\r\nx\r\n")
    assert len(fetch_all(login(server, a, "first password"))) == 1
    assert server.cli("account", "add", a, input="again\n", check=False).returncode == 1
    server.cli("account", "password", a, input="second password\n")
    with pytest.raises(imaplib.IMAP4.error):
        login(server, a, "first password")
    assert len(fetch_all(login(server, a, "second password"))) == 1, "mail sealed before a new password still opens"
    names = [json.loads(x)["address"] for x in server.cli("account", "list", "--json").stdout.splitlines()]
    assert a in names and "bob@demo.test" in names
    server.cli("account", "remove", a, "--yes")
    wait_for(lambda: refused(server, a)[0] == 550)
    with pytest.raises(imaplib.IMAP4.error):
        login(server, a, "second password")


def test_a_private_account_cannot_be_opened_by_the_administrator(server):
    a = "erin@demo.test"
    made = json.loads(server.cli("account", "add", a, "--mode", "private", "--json", input="my own\n").stdout.splitlines()[-1])
    send(server, a, "Subject: for erin alone\r\n\r\nx\r\n")
    assert server.cli("account", "password", a, input="the administrator's\n", check=False).returncode != 0
    with pytest.raises(imaplib.IMAP4.error):
        login(server, a, "the administrator's")
    recovery = next(v for k, v in made.items() if "recovery" in k)
    server.cli("account", "password", a, "--recovery", input=f"{recovery}\nnew one\n")
    assert b"for erin alone" in list(fetch_all(login(server, a, "new one")).values())[0]


def test_a_name_is_one_line(server):
    for words in (["account", "rename", "carol@demo.test", "Carol\r\nBcc: x"], ["group", "add", "oneline@demo.test", "--name", "red \x1b[31m"]):
        p = server.cli(*words, check=False)
        assert p.returncode == 1 and "a name is one line without control characters" in p.stderr, p.stderr
    assert server.cli("account", "rename", "carol@demo.test", "Carol Ästhet").returncode == 0
    assert json.loads(server.cli("account", "show", "carol@demo.test", "--json").stdout.splitlines()[0])["name"] == "Carol Ästhet"


def test_domains_come_and_go(server):
    assert refused(server, "x@new.example")[1].startswith(b"5.7.1")
    server.cli("domain", "add", "new.example")
    wait_for(lambda: refused(server, "x@new.example")[1].startswith(b"5.1.1"))
    server.cli("account", "add", "x@new.example", input="pw pw pw\n")
    assert server.cli("domain", "remove", "new.example", "--yes", check=False).returncode == 1
    server.cli("account", "remove", "x@new.example", "--yes")
    server.cli("domain", "remove", "new.example", "--yes")
    wait_for(lambda: refused(server, "x@new.example")[1].startswith(b"5.7.1"))


def test_an_ip_address_is_no_domain(server):
    for text in ("1.2.3.4", "[1.2.3.4]", "2001:db8::1", "[IPv6:2001:db8::1]"):
        for words in (["domain", "add", text], ["dns", "show", text]):
            p = server.cli(*words, check=False)
            assert p.returncode == 2 and f'"{text}" is an IP address, not a domain' in p.stderr, p
        assert text not in server.cli("domain", "list").stdout
    p = server.cli("domain", "remove", "1.2.3.4", "--yes", check=False)  # one that an older version took
    assert p.returncode == 3 and "that domain is not ours" in p.stderr, p


def test_quota_is_said_at_smtp_time(server):
    a = "full@demo.test"
    server.cli("account", "add", a, "--quota", "20KiB", input="pw pw pw\n")
    text = "Subject: fill\r\n\r\n" + "x" * 70 + "\r\n"
    with pytest.raises((smtplib.SMTPException, AssertionError)) as e:
        for _ in range(30):
            send(server, a, text + ("y" * 76 + "\r\n") * 30)
    assert "5.2.2" in str(e.value)


def test_backup_and_restore_on_another_machine(fresh, tmp_path):
    s = fresh()
    texts = [f"Subject: keep {i}\r\n\r\nbody {i}\r\n".encode() * 1 for i in range(20)]
    for t in texts:
        send(s, "bob@demo.test", t)
    before = {k: v for k, v in fetch_all(imap(s, "bob@demo.test")).items()}
    s.cli("backup", "create", tmp_path / "backup")
    send(s, "bob@demo.test", "Subject: after the backup\r\n\r\nx\r\n")
    assert s.cli("backup", "verify", tmp_path / "backup").returncode == 0
    s.stop()
    data = s.state / "data"
    shutil.rmtree(data)
    p = program("restore", tmp_path / "backup", "--config", s.config)
    assert p.returncode == 0, p.stdout + p.stderr
    assert program("verify", "--config", s.config).returncode == 0
    s.start()
    after = fetch_all(imap(s, "bob@demo.test"))
    assert {k: v for k, v in after.items() if k in before} == before
    assert not any(b"after the backup" in v for v in after.values())


def test_backups_that_are_killed_hold_nothing_up(server, tmp_path):
    """Each pins what it copies; when its process dies that ends, or after sixteen there would be no further backup, and no room would come back."""
    for i in range(20):
        p = subprocess.Popen([PROGRAM, "backup", "create", tmp_path / f"k{i}", "--config", server.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: (tmp_path / f"k{i}" / "index").exists() or p.poll() is not None, every=0.0002)
        p.kill()
        p.wait()
    assert not all((tmp_path / f"k{i}" / "backup.json").exists() for i in range(20)), "none was killed in the middle"
    server.cli("backup", "create", tmp_path / "whole")
    assert server.cli("backup", "verify", tmp_path / "whole").returncode == 0


def test_what_is_no_whole_backup_is_not_restored(fresh, tmp_path):
    s = fresh()
    send(s, "bob@demo.test", "Subject: x\r\n\r\nx\r\n")
    good = tmp_path / "good"
    s.cli("backup", "create", good)
    s.stop()
    data = s.state / "data"
    data.rename(tmp_path / "old")
    for spoil, words in (
        (lambda d: (d / "vault" / "keys").unlink(), "vault/keys: No such file"),
        (lambda d: shutil.rmtree(d / "index"), "index/data.mdb: No such file"),
        (lambda d: (d / "backup.json").write_text('{"format":2,"version":"9"}'), 'does not say {"format":1: it is damaged, or of a newer version'),
        (lambda d: (d / "backup.json").write_text(""), 'does not say {"format":1'),
        (lambda d: (d / "backup.json").unlink(), "it is no backup"),
    ):
        bad = tmp_path / "bad"
        shutil.copytree(good, bad)
        spoil(bad)
        p = program("restore", bad, "--config", s.config)
        assert p.returncode == 1 and words in p.stderr, p.stderr
        assert not data.exists()
        assert program("backup", "verify", bad, "--config", s.config).returncode == 4
        shutil.rmtree(bad)
    # Half of a restore: no server begins on it.
    assert program("restore", good, "--config", s.config).returncode == 0
    shutil.rmtree(data / "index")
    p = program("serve", "--config", s.config)
    assert p.returncode == 78 and "there are segments with mail" in p.stderr


def test_backup_while_mail_comes_in(fresh, tmp_path):
    import threading
    s = fresh()
    acked, stop = [], []

    def load():
        i = 0
        while not stop:
            i += 1
            send(s, "bob@demo.test", f"Subject: n {i}\r\n\r\n" + "z" * 2000 + "\r\n")
            acked.append(i)

    t = threading.Thread(target=load)
    t.start()
    try:
        wait_for(lambda: len(acked) > 10)
        sure = len(acked)
        s.cli("backup", "create", tmp_path / "backup")
    finally:
        stop.append(1)
        t.join()
    assert s.cli("backup", "verify", tmp_path / "backup").returncode == 0
    s.stop()
    shutil.rmtree(s.state / "data")
    p = program("restore", tmp_path / "backup", "--config", s.config)
    assert p.returncode == 0, p.stdout + p.stderr
    s.start()
    subjects = b"".join(fetch_all(imap(s, "bob@demo.test")).values())
    for i in range(1, sure + 1):
        assert f"Subject: n {i}\r\n".encode() in subjects, i


def test_a_wrong_configuration_is_named_by_line_and_column(tmp_path):
    f = tmp_path / "bad.conf"
    f.write_text('config_version = 1\nserver {\n  hostname = "a.example"\n  data_dirr = "/x"\n}\n')
    p = program("config", "check", "--config", f)
    assert p.returncode != 0
    text = p.stdout + p.stderr
    assert f"{f}:4:3" in text and "data_dir" in text, text


def test_commands_without_a_server_say_so(tmp_path):
    f = tmp_path / "ok.conf"
    f.write_text(f'config_version = 1\nserver {{\n  hostname = "a.example"\n  data_dir = "{tmp_path}/data"\n  control = "{tmp_path}/ctl.sock"\n  root_key = "file:{tmp_path}/key"\n}}\nlisten {{\n  smtp = {{"127.0.0.1:2525"}}\n}}\n')
    p = program("account", "list", "--config", f)
    assert p.returncode == 1
    assert "not running" in p.stdout + p.stderr


def test_usage_errors_exit_2(tmp_path):
    assert program("acount", "list").returncode == 2
    assert program("account", "add").returncode == 2
    assert program("config", "check", "--nonsense").returncode == 2


def test_probe_mime_reads_many_files(tmp_path):
    (tmp_path / "a.eml").write_bytes(b"From: Ann <ann@example.org>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\n"
                                     b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=x.pdf\r\n\r\nMZ\r\n--b--\r\n")
    (tmp_path / "b.eml").write_bytes(b"no header at all\r\n")
    p = program("probe", "mime", tmp_path / "a.eml", tmp_path / "b.eml", "--json")
    assert p.returncode == 0, p.stderr
    rows = [json.loads(x) for x in p.stdout.splitlines()]
    assert len(rows) == 2
    assert '"Ann" NIL "ann" "example.org"' in rows[0]["envelope"]
    assert "multipart" in json.dumps(rows[0]).lower() and rows[1]["defects"]


@pytest.mark.skipif(os.geteuid() != 0, reason="skipped: only root can become somebody else")
def test_started_as_root_the_roles_become_the_configured_user():
    import pwd
    import signal
    import tempfile

    from conftest import free_base, tree
    nobody = pwd.getpwnam("nobody").pw_uid
    top = pathlib.Path(tempfile.mkdtemp(prefix="letterlock-root-"))
    top.chmod(0o711)
    (top / "root.key").write_bytes(os.urandom(32))
    (top / "root.key").chmod(0o600)
    port = free_base() + 77
    conf = top / "l.conf"
    conf.write_text(f'config_version = 1\ndns {{ forwarder = "none" }}\nserver {{\n  hostname = "mail.root.example"\n  data_dir = "{top}/data"\n  control = "{top}/ctl.sock"\n'
                    f'  root_key = "file:{top}/root.key"\n  user = "nobody"\n}}\nlisten {{\n  smtp = {{"127.0.0.1:{port}"}}\n}}\n')
    for _ in range(2):  # the second start finds what the first one made
        with open(top / "log", "ab") as log:
            p = subprocess.Popen([PROGRAM, "serve", "--config", str(conf)], stdout=log, stderr=log)
        try:
            wait_for(lambda: program("status", "--config", conf).returncode == 0, 20, every=0.1)
            made = program("domain", "add", "root.example", "--config", conf)
            if made.returncode == 0:
                assert program("account", "add", "a@root.example", "--config", conf, input="pw pw pw\n").returncode == 0
            for child in tree(p.pid)[1:]:
                status = pathlib.Path(f"/proc/{child}/status").read_text()
                assert f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}" in status, status
                assert "CapEff:\t0000000000000000" in status
            with smtplib.SMTP("127.0.0.1", port) as s:
                s.sendmail("x@y.example", ["a@root.example"], "Subject: as nobody\r\n\r\nx\r\n")
            assert program("sandbox-test", "--config", conf).returncode == 0
        finally:
            p.send_signal(signal.SIGTERM)
            p.wait(20)
    checked = program("verify", "--config", conf)
    assert checked.returncode == 0 and "2 messages" in checked.stdout, checked.stdout + checked.stderr
    shutil.rmtree(top)


def test_the_history_of_a_busy_address_is_shown(server):
    """More of it than fits into one datagram between the processes."""
    long = "l" * 60 + "@" + ".".join(["d" * 60] * 3) + ".example"
    with smtplib.SMTP("localhost", server.smtp, local_hostname="h" * 200 + ".example") as c:
        for i in range(400):
            c.sendmail(long, "bob@demo.test", f"Subject: {i}\r\n\r\nx\r\n")
    wait_for(lambda: len(server.cli("trace", long, "--json", check=False).stdout.splitlines()) == 400)
    assert "delivered" in server.cli("trace", long).stdout


def test_of_a_long_history_the_newest_is_shown_and_the_rest_is_said_to_be_left_out(fresh):
    server = fresh("--accounts", 40)
    sender = "prolific@busy.example"

    def post(first, count, to):
        with smtplib.SMTP("localhost", server.smtp, local_hostname="client.example") as c:
            for i in range(first, first + count):
                c.sendmail(sender, to, f"Subject: {i}\r\n\r\nx\r\n")

    def lines():
        p = server.cli("trace", sender, "--json", check=False)
        return [json.loads(line) for line in p.stdout.splitlines()], p.stderr

    def all_in():
        found, said = lines()
        return len(found) == 2000 and (found, said)

    post(0, 50, [f"u{i}@demo.test" for i in range(1, 41)])
    before, said = wait_for(all_in)
    assert said == "" and "older" not in server.cli("trace", sender).stdout
    post(50, 1, ["bob@demo.test"])
    after, said = wait_for(lambda: (lambda f: f[0][-1]["to"] == "bob@demo.test" and f)(lines()))
    assert after[:-1] == before[1:]
    note = json.loads(said)
    assert note["status"] == 0 and "newest 2,000" in note["error"] and "older ones were left out" in note["error"] and "--since" in note["do"]
    text = server.cli("trace", sender).stdout
    assert "only the newest 2,000 events are shown, older ones were left out; a shorter --since" in text and "bob@demo.test" in text
