"""Our SMTP client (smtp_send) against servers that nobody here wrote, and against one that behaves as badly as it can (tests/blackbox/bad_peer.py)."""
import asyncio
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "blackbox"))
from bad_peer import BadPeer  # noqa: E402
from conftest import BUILD  # noqa: E402

MESSAGE = "From: a@client.example\nTo: joe@r.example\nSubject: hello\nMessage-ID: <1@client.example>\n\nhello\n.\n..two\nend\n"
WIRE = MESSAGE.replace("\n", "\r\n").encode()


@pytest.fixture(scope="session")
def program():
    found = [p for p in BUILD.rglob("smtp_send") if p.is_file()]
    if not found:
        pytest.skip(f"skipped: there is no smtp_send below {BUILD}")
    return found[0]


def send(program, port, *options, rcpts=("joe@r.example",), sender="a@client.example", message=MESSAGE):
    """{"hello": [words], "rcpt": [[...], ...], ...} of what smtp_send said."""
    data = message.encode() if isinstance(message, str) else message
    r = subprocess.run([program, f"127.0.0.1:{port}", *options, sender, *rcpts], input=data, capture_output=True, timeout=60)
    assert r.returncode == 0, r.stderr[-2000:]
    out = {"rcpt": []}
    for line in r.stdout.decode().splitlines():
        key, _, rest = line.partition(" ")
        if key == "rcpt":
            out["rcpt"].append(rest.split(" ", 4)[1:])
        else:
            out[key] = rest.split(" ")
    return out


def outcomes(r):
    return [f"{x[0]} {x[1]}" for x in r["rcpt"]]


# ---- aiosmtpd: SMTP and LMTP, STARTTLS, AUTH ----


class Keeper:
    def __init__(self):
        self.got = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        self.got.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content, session.ssl is not None, envelope.mail_options))
        return "550 5.7.1 spam" if b"spam" in envelope.content else "250 2.0.0 taken"


@pytest.fixture
def aiosmtpd():
    pytest.importorskip("aiosmtpd", reason="skipped: python3-aiosmtpd is not installed (make deps)")
    from aiosmtpd.lmtp import LMTP
    from aiosmtpd.smtp import SMTP, AuthResult
    loop, servers = asyncio.new_event_loop(), []
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def start(lmtp=False, **options):
        keeper = Keeper()

        def login(server, session, envelope, mechanism, data):
            return AuthResult(success=(data.login, data.password) == (b"joe", b"pencil"), handled=False)
        if options.get("auth_required"):
            options["authenticator"] = login
        kind = LMTP if lmtp else SMTP
        made = loop.create_server(lambda: kind(keeper, hostname="mx.example", loop=loop, **options), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(made, loop).result(10)
        servers.append(server)
        return keeper, server.sockets[0].getsockname()[1]
    yield start
    for server in servers:
        loop.call_soon_threadsafe(server.close)
    time.sleep(0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_aiosmtpd_has_what_was_sent_octet_for_octet(program, aiosmtpd):
    keeper, port = aiosmtpd(enable_SMTPUTF8=True)
    r = send(program, port, "messages=3", rcpts=("joe@r.example", "nobody@r.example", "ann@r.example"))
    assert outcomes(r) == ["ok 250", "denied 550", "ok 250"] * 3 and r["end"] == ["usable"]
    assert len(keeper.got) == 3
    assert {(g[0], tuple(g[1]), g[2]) for g in keeper.got} == {("a@client.example", ("joe@r.example", "ann@r.example"), WIRE)}


def test_aiosmtpd_refuses_at_the_end_and_everybody_knows(program, aiosmtpd):
    keeper, port = aiosmtpd()
    r = send(program, port, rcpts=("joe@r.example", "ann@r.example"), message="Subject: spam\n\nspam\n")
    assert outcomes(r) == ["denied 550", "denied 550"] and r["end"] == ["usable"]


def test_aiosmtpd_takes_addresses_beyond_ascii_only_where_it_offers_them(program, aiosmtpd):
    keeper, port = aiosmtpd(enable_SMTPUTF8=True)
    assert outcomes(send(program, port, "utf8", "8bit", rcpts=("jö@r.example",))) == ["ok 250"]
    assert keeper.got[0][1] == ["jö@r.example"] and "SMTPUTF8" in keeper.got[0][4] and "BODY=8BITMIME" in keeper.got[0][4]
    keeper, port = aiosmtpd(enable_SMTPUTF8=False)
    r = send(program, port, rcpts=("jö@r.example", "joe@r.example"))
    assert outcomes(r) == ["denied 553", "ok 250"] and keeper.got[0][1] == ["joe@r.example"]


def test_aiosmtpd_as_lmtp_answers_for_each(program, aiosmtpd):
    keeper, port = aiosmtpd(lmtp=True)
    assert outcomes(send(program, port, "lmtp", rcpts=("joe@r.example",))) == ["ok 250"]
    assert keeper.got[0][2] == WIRE


def test_aiosmtpd_under_starttls_with_login(program, aiosmtpd):
    with BadPeer("starttls=good", "name=mail.example") as peer:  # for its certificates
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        place = pathlib.Path(peer.ca).parent
        context.load_cert_chain(place / "good.pem", place / "leaf.key")
        keeper, port = aiosmtpd(tls_context=context, require_starttls=True, auth_required=True, auth_require_tls=True)
        r = send(program, port, "starttls", "pkix=mail.example", f"roots={peer.ca}", "auth=joe:pencil")
        assert r["tls"][:3] == ["ok", "250", '""'] and r["auth"][0] == "ok" and outcomes(r) == ["ok 250"]
        assert keeper.got[0][3]
        r = send(program, port, "starttls", "auth=joe:wrong")
        assert r["auth"][:2] == ["denied", "535"] and not r["rcpt"]
        r = send(program, port, "starttls", "pkix=other.example", f"roots={peer.ca}")
        assert r["tls"][0] == "closed" and r["tls"][2] == '"certificate-host-mismatch"' and r["end"] == ["dead"] and not r["rcpt"]


# ---- Postfix's smtp-sink ----


@pytest.mark.parametrize("options", [[], ["-8"], ["-L"], ["-e"], ["-p"]])
def test_smtp_sink_takes_a_thousand_messages_over_one_connection(program, options, tmp_path):
    sink = shutil.which("smtp-sink") or (os.path.exists("/usr/sbin/smtp-sink") and "/usr/sbin/smtp-sink")
    if not sink:
        pytest.skip("skipped: smtp-sink is not installed (postfix)")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    p = subprocess.Popen([sink, *user, "-c", *options, f"127.0.0.1:{port}", "64"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        r = send(program, port, *(["lmtp"] if "-L" in options else []), "messages=1000", rcpts=("joe@r.example", "ann@r.example"))
        assert r["end"] == ["usable"] and outcomes(r) == ["ok 250"] * 2000
    finally:
        p.kill()
        p.wait(10)


# ---- a server that behaves badly ----

CASES = [  # options of bad_peer, of smtp_send; outcome of joe; is the connection still of use; messages taken
    (["answer=end:550 5.7.1 spam"], [], "denied 550", "usable", 0),
    (["answer=DATA:451 4.3.0 not now"], [], "busy 451", "usable", 0),
    (["greylist=1"], [], "busy 450", "usable", 0),
    (["answer=RCPT:552 5.5.3 too many"], [], "busy 552", "usable", 0),
    (["answer=MAIL:550 5.7.1 no"], [], "denied 550", "usable", 0),
    (["busy=MAIL"], [], "again 0", "dead", 0),
    (["busy=end"], [], "busy 421", "dead", 0),
    (["close=DATA"], [], "again 250", "dead", 0),
    (["close=end"], [], "again 250", "dead", 0),
    (["lose=1"], [], "again 250", "dead", 1),
    (["silent=end"], ["patience=300"], "again 250", "dead", 0),
    (["silent=RCPT"], ["patience=300"], "again 0", "dead", 0),
    (["flood=DATA"], [], "again 250", "dead", 0),
    (["flood_line=RCPT"], [], "again 0", "dead", 0),
    (["junk=RCPT"], [], "again 0", "dead", 0),
    (["disorder"], [], "again 0", "dead", 0),
    (["surplus=RCPT"], [], "again 250", "dead", 0),
    (["slow=0.001"], [], "ok 250", "usable", 1),
    (["only="], [], "ok 250", "usable", 1),
    (["slow=0.02"], ["patience=200"], None, None, 0),
    (["close_at=10"], [], None, None, 0),
    (["bare_lf"], [], None, None, 0),
    (["busy=any"], [], None, None, 0),
    (["flood=EHLO"], [], None, None, 0),
    (["busy_first=1"], [], None, None, 0),
    (["starttls=good", "name=mail.example"], ["starttls"], "ok 250", "usable", 1),
    (["starttls=expired", "name=mail.example"], ["starttls"], "ok 250", "usable", 1),
    (["starttls=refuse"], ["starttls"], "ok 250", "usable", 1),
    (["starttls=plaintext"], ["starttls"], None, "dead", 0),
    (["starttls=garbage"], ["starttls"], None, "dead", 0),
    (["starttls=close"], ["starttls"], None, "dead", 0),
    (["starttls=hang"], ["starttls", "patience=300"], None, "dead", 0),
    (["need_tls"], [], "denied 530", "usable", 0),
    (["need_tls", "starttls=good"], ["starttls"], "ok 250", "usable", 1),
]


@pytest.mark.parametrize("peer_options,options,joe,end,taken", CASES, ids=lambda v: "+".join(v) if isinstance(v, list) else "")
def test_a_bad_server_gets_nothing_that_it_did_not_take(program, peer_options, options, joe, end, taken):
    with BadPeer(*peer_options) as peer:
        begun = time.monotonic()
        r = send(program, peer.port, *options)
        assert time.monotonic() - begun < 5
        assert outcomes(r) == ([joe] if joe else []) and r.get("end", [None]) == [end]
        s = peer.wait(lambda s: s["open"] == 0)
        assert len(s["messages"]) == taken and s["connections"] == 1 and s["flooded"] < 8 << 20
        if taken:
            assert s["messages"][0]["id"] == "<1@client.example>" and s["messages"][0]["size"] == len(WIRE)
            assert bool(s["messages"][0]["tls"]) == (s["tls"] > 0)


@pytest.mark.parametrize("kind,result", [("good", '""'), ("expired", '"certificate-expired"'), ("wrongname", '"certificate-host-mismatch"'), ("selfsigned", '"certificate-not-trusted"')])
def test_a_bad_certificate_is_named_and_under_enforcement_nothing_is_sent(program, kind, result):
    with BadPeer(f"starttls={kind}", "name=mail.example") as peer:
        r = send(program, peer.port, "starttls", "pkix=mail.example", f"roots={peer.ca}")
        assert r["tls"][2] == result and (outcomes(r) == ["ok 250"]) == (kind == "good")
        assert len(peer.wait(lambda s: s["open"] == 0)["messages"]) == (kind == "good")
        r = send(program, peer.port, "starttls", f"roots={peer.ca}")  # opportunistic: noted, and sent
        assert r["tls"][0] == "ok" and r["tls"][2] == result and outcomes(r) == ["ok 250"]
        assert peer.wait(lambda s: s["open"] == 0)["messages"][-1]["sni"] == "mail.example"


def test_what_was_put_off_is_taken_at_the_next_try_and_a_lost_answer_makes_a_duplicate(program, tmp_path):
    with BadPeer("greylist=2", "lose=1", f"keep={tmp_path}") as peer:
        assert [outcomes(send(program, peer.port)) for _ in range(4)] == [["busy 450"], ["busy 450"], ["again 250"], ["ok 250"]]
        s = peer.wait(2)
        assert peer.counts() == {"<1@client.example>": 2} and [m["answered"] for m in s["messages"]] == [False, True]
        assert sorted(p.read_bytes() for p in tmp_path.iterdir()) == [WIRE, WIRE] and s["connections"] == 4


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_the_trace_of_a_login_shows_no_password(program, aiosmtpd):
    keeper, port = aiosmtpd(auth_required=True, auth_require_tls=False)
    r = subprocess.run([program, f"127.0.0.1:{port}", "auth=joe:pencil", "trace", "a@client.example", "joe@r.example"], input=WIRE, capture_output=True, timeout=60)
    lines = r.stderr.decode().splitlines()
    assert "> AUTH PLAIN ***" in lines and not any("cGVuY2ls" in x or "pencil" in x or "AGpvZQBwZW5jaWw" in x for x in lines)
    assert f"> ({len(WIRE)} octets of the message)" in lines and len(keeper.got) == 1
