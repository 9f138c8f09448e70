"""Where mail goes: aliases, groups, forwards, grants, catch-alls and ways out, from the command line."""
import imaplib
import json
import smtplib

import pytest

from conftest import PASSWORD
from helpers import fetch_all, imap, send, wait_for


def rows(server, *args, **kw):
    return [json.loads(x) for x in server.cli(*args, "--json", **kw).stdout.splitlines()]


def row(server, *args, **kw):
    return rows(server, *args, **kw)[-1]


def fails(server, code, *args, **kw):
    """The exit code, and an error that says what is wrong and what to do."""
    r = server.cli(*args, "--json", check=False, **kw)
    assert r.returncode == code, (r.stdout, r.stderr)
    error = json.loads(r.stderr.splitlines()[-1])
    assert error["error"] and error["status"] == code
    return error


def targets(server, address):
    out = rows(server, "alias", "who", address)
    return {t["target"]: t for t in out if "target" in t}, out[-1]


def rcpt(server, address):
    with smtplib.SMTP("localhost", server.smtp) as s:
        s.ehlo()
        s.mail("ann@example.org")
        return s.rcpt(address)


def test_an_alias_comes_gets_mail_and_goes(server, user):
    alias = f"info-{user}"
    assert rcpt(server, alias)[0] == 550
    assert row(server, "alias", "add", alias, user) == {"address": alias, "account": user, "added": True}
    send(server, alias, "Subject: to the alias\r\n\r\nx\r\n")
    assert len(fetch_all(imap(server, user))) == 1
    assert {"address": alias, "account": user} in rows(server, "alias", "list")
    assert rows(server, "alias", "list", user) == [{"address": alias, "account": user}]
    assert list(targets(server, alias)[0]) == [user]
    assert "alias who" in fails(server, 1, "alias", "add", alias, user)["do"]
    fails(server, 3, "alias", "add", "x@demo.test", "nobody@demo.test")
    fails(server, 1, "alias", "add", "x@elsewhere.example", user)
    fails(server, 2, "alias", "add", "x", user)
    row(server, "alias", "remove", alias)
    fails(server, 3, "alias", "remove", alias)
    fails(server, 3, "alias", "remove", user)
    fails(server, 3, "alias", "list", user)
    fails(server, 3, "alias", "who", alias)
    wait_for(lambda: rcpt(server, alias)[0] == 550)


def test_a_group_leads_to_its_members_and_says_who_may_write(server, user):
    group, inner = f"team-{user}", f"inner-{user}"
    made = row(server, "group", "add", group, "--name", "The Team", "--owner", user)
    assert made["write"] == "organisation" and made["owner"] == user
    row(server, "group", "add", inner, "--write", "members")
    out = rows(server, "group", "members", group, "--add", user, "--add", "out@example.net", "--add", inner)
    assert [x["member"] for x in out] == [user, "out@example.net", inner]
    row(server, "group", "members", inner, "--add", "-", input="bob@demo.test\nalice+lists@demo.test\n")
    who, summary = targets(server, group)
    assert set(who) == {user, "out@example.net", "bob@demo.test", "alice@demo.test"}
    assert who["out@example.net"]["remote"] and not who[user]["remote"] and who["bob@demo.test"]["via"] == inner
    assert summary == {"address": group, "targets": 4, "write": "members", "writers": 2, "truncated": False}
    text = server.cli("alias", "who", group).stdout
    assert f"through {inner}" in text and "Only members may write to it: 2 accounts." in text
    assert row(server, "group", "set", inner, "--write", "owners", "--owner", "bob@demo.test")["write"] == "owners"
    assert targets(server, group)[1]["writers"] == 1
    listed = {g["address"]: g for g in rows(server, "group", "list")}
    assert listed[group]["members"] == 3 and listed[inner]["name"] == ""
    for noun in ("group", "account"):
        every, of_it = ([x["address"] for x in rows(server, noun, "list", *domain)] for domain in ((), ("DEMO.test",)))
        assert every == of_it and fails(server, 3, noun, "list", "mo.test")["error"] == f"there is no {noun}"
    assert {x["member"] for x in rows(server, "group", "members", group)} == {user, "out@example.net", inner}
    shown = rows(server, "group", "show", group)
    assert shown[0]["name"] == "The Team" and len(shown) == 4
    assert "is a member already" in fails(server, 1, "group", "members", group, "--add", user)["why"]
    fails(server, 1, "group", "members", group, "--add", "nobody@demo.test")
    fails(server, 1, "group", "members", group, "--remove", "carl@example.net")
    fails(server, 2, "group", "members", group, "--add", "x")
    fails(server, 3, "group", "members", user)
    fails(server, 1, "group", "add", user)
    fails(server, 2, "group", "add", f"x-{user}", "--write", "everybody")
    fails(server, 2, "group", "set", group)
    row(server, "group", "members", group, "--remove", "out@example.net")
    fails(server, 1, "group", "remove", group)  # nobody is there to answer
    row(server, "group", "remove", group, "--yes")
    row(server, "group", "remove", inner, "--yes")
    fails(server, 3, "group", "show", group)
    fails(server, 3, "alias", "who", group)
    assert rcpt(server, group)[0] == 550


def test_a_forward_is_shown_set_and_ended(server, user):
    assert row(server, "account", "forward", user) == {"address": user, "forwards": [], "copy": True}
    set_to = row(server, "account", "forward", user, "--to", "a@example.net", "--to", "bob@demo.test")
    assert set_to == {"address": user, "forwards": ["a@example.net", "bob@demo.test"], "copy": True}
    who = targets(server, user)[0]
    assert set(who) == {user, "a@example.net", "bob@demo.test"} and who["a@example.net"]["forwarded"] and who["a@example.net"]["via"] == user
    assert not row(server, "account", "forward", user, "--only")["copy"]
    assert set(targets(server, user)[0]) == {"a@example.net", "bob@demo.test"}
    assert "forwards to a@example.net, without a copy" in server.cli("account", "forward", user).stdout
    fails(server, 1, "account", "forward", user, "--to", user)
    fails(server, 1, "account", "forward", user, "--to", "nobody@demo.test")
    fails(server, 2, "account", "forward", user, "--to", "nowhere")
    fails(server, 2, "account", "forward", user, "--off", "--only")
    assert row(server, "account", "forward", user, "--off")["forwards"] == []
    fails(server, 1, "account", "forward", user, "--only")
    assert list(targets(server, user)[0]) == [user]


def test_grants_and_limits_are_shown_and_set(server, user):
    assert row(server, "account", "grant", user)["grants"] == []
    row(server, "account", "grant", user, "Sales@demo.test")
    assert row(server, "account", "grant", user, "@example.net")["grants"] == ["sales@demo.test", "@example.net"]
    assert row(server, "account", "grant", user, "sales@demo.test", "--remove")["grants"] == ["@example.net"]
    fails(server, 3, "account", "grant", user, "sales@demo.test", "--remove")
    fails(server, 2, "account", "grant", user, "@")
    fails(server, 2, "account", "grant", user, "--remove")
    none = {"address": user, "messages": 0, "recipients": 0, "first": 0, "waiting": 0, "undo_ms": 0}
    assert row(server, "account", "limits", user) == none
    some = row(server, "account", "limits", user, "--messages", 100, "--recipients", 200, "--first", 30, "--waiting", 500, "--undo", "2m")
    assert some == {"address": user, "messages": 100, "recipients": 200, "first": 30, "waiting": 500, "undo_ms": 120000}
    assert row(server, "account", "limits", user, "--messages", "default", "--undo", "0")["recipients"] == 200
    assert row(server, "account", "grant", user)["grants"] == ["@example.net"], "each verb changes its own part"
    for wrong in (["--undo", "11m"], ["--undo", "soon"], ["--messages", "many"], ["--messages", "-1"]):
        fails(server, 2, "account", "limits", user, *wrong)


def test_a_disabled_account_neither_logs_in_nor_gets_mail(server, user):
    m = imap(server, user)
    assert row(server, "account", "disable", user) == {"address": user, "disabled": True}
    with pytest.raises(imaplib.IMAP4.error):
        imap(server, user)
    code, text = rcpt(server, user)
    assert code == 550 and text.startswith(b"5.2.1"), text
    with pytest.raises((imaplib.IMAP4.abort, imaplib.IMAP4.error, OSError)):  # whoever was in is put out
        for _ in range(3):
            m.noop()
            m.select("INBOX")
    assert targets(server, user)[0][user]["disabled"]
    row(server, "account", "enable", user)
    assert len(fetch_all(imap(server, user))) == 0
    assert rcpt(server, user)[0] == 250
    assert row(server, "account", "rename", user, "Ärger & <Söhne>")["name"] == "Ärger & <Söhne>"
    assert rows(server, "account", "show", user)[0]["name"] == "Ärger & <Söhne>"
    fails(server, 2, "account", "rename", user, "other@demo.test")


def test_a_catch_all_gets_what_nobody_has(server, user):
    domain = f"catch-{user.split('@')[0]}.example"
    server.cli("domain", "add", domain)
    fails(server, 3, "alias", "who", f"any@{domain}")
    assert row(server, "domain", "catch-all", domain, user)["catch_all"] == user
    assert {"domain": domain, "catch_all": user} in rows(server, "domain", "list")
    assert list(targets(server, f"any@{domain}")[0]) == [user]
    send(server, f"any@{domain}", "Subject: caught\r\n\r\nx\r\n")
    assert len(fetch_all(imap(server, user))) == 1
    fails(server, 2, "domain", "catch-all", domain)
    fails(server, 2, "domain", "catch-all", domain, user, "--off")
    fails(server, 1, "domain", "catch-all", domain, "nobody@demo.test")
    fails(server, 1, "domain", "catch-all", "elsewhere.example", user)
    row(server, "domain", "catch-all", domain, "--off")
    fails(server, 3, "alias", "who", f"any@{domain}")
    server.cli("domain", "remove", domain, "--yes")


def test_routes_are_kept_and_their_passwords_are_nowhere_to_be_seen(server, user):
    secret = f"pass-{user}-word"
    key = f"{user.split('@')[0]}.example"
    made = row(server, "route", "add", key, "--host", "Relay.Example:465", "--user", "letterlock", "--connections", 5, input=f"{secret}\n")
    assert made == {"key": key, "host": "Relay.Example", "port": 465, "tls": "default", "user": "letterlock", "connections": 5, "rate": ""}
    row(server, "route", "add", f".{key}", "--host", "[2001:db8::1]:587", "--tls", "none")
    row(server, "route", "add", user, "--tls", "verified")
    row(server, "route", "add", f"@{key}", "--host", "relay.example")
    listed = {r["key"]: r for r in rows(server, "route", "list")}
    assert listed[key]["host"] == "relay.example" and listed[f".{key}"]["host"] == "2001:db8::1" and listed[f"@{key}"]["port"] == 0
    assert listed[user] == {"key": user, "host": "", "port": 0, "tls": "verified", "user": "", "connections": 0, "rate": ""}
    text = server.cli("route", "list").stdout
    assert "[2001:db8::1]:587" in text and "by MX" in text and secret not in text
    indexes = list(server.state.rglob("data.mdb"))
    assert indexes and all(secret.encode() not in i.read_bytes() and b"relay.example" in i.read_bytes() for i in indexes)
    for wrong in ([key], [key, "--host", "h:0"], [key, "--host", "h:"], [key, "--host", "[::1"], [key, "--tls", "some"], [key, "--connections", "0"], [key, "--user", "u"],
                  [key, "--host", "h", "--user", "u", "--tls", "none"], ["*.example", "--tls", "none"], ["a b", "--tls", "none"]):
        fails(server, 2, "route", "add", *wrong)
    fails(server, 1, "route", "add", key, "--host", "h", "--user", "u", input="\n")
    for k in (key, f".{key}", user, f"@{key}"):
        row(server, "route", "remove", k)
    fails(server, 3, "route", "remove", key)


def test_what_changes_is_in_the_audit_log_and_goes_with_its_account(fresh):
    server = fresh()
    server.cli("account", "add", "zoe@demo.test", input=PASSWORD + "\n")
    server.cli("group", "add", "g@demo.test", "--owner", "zoe@demo.test")
    server.cli("group", "members", "g@demo.test", "--add", "zoe@demo.test", "--add", "bob@demo.test")
    server.cli("account", "forward", "bob@demo.test", "--to", "zoe@demo.test", "--only")
    server.cli("account", "remove", "zoe@demo.test", "--yes")
    assert rows(server, "group", "show", "g@demo.test")[0] == {"address": "g@demo.test", "name": "", "write": "organisation", "owner": "", "members": 1}
    assert row(server, "account", "forward", "bob@demo.test") == {"address": "bob@demo.test", "forwards": [], "copy": True}
    backup = server.state.parent / "backup"
    server.cli("backup", "create", backup)
    assert server.cli("backup", "verify", backup, check=False).returncode == 0
    server.stop()
    assert server.cli("verify").returncode == 0
