#!/usr/bin/env python3
"""A small SMTP server that behaves as badly as it is told, on loopback, for tests of what speaks to it.

    bad_peer.py [OPTION...]        prints one JSON line when it listens: {"pid": .., "port": ..}, with starttls=HOW also "ca" (a file that ends with it), "name",
                                   "tlsa311" and "tlsa211" (its leaf's and its authority's TLSA data); ends on SIGTERM

In Python: `with BadPeer("greylist=2", "starttls=good") as peer: peer.port, peer.stats(), peer.wait(3)`.

VERB is connect, EHLO, STARTTLS, MAIL, RCPT, DATA, end (behind the message), RSET, QUIT or any.

  bind=IP port=N            127.0.0.1 and a free port unless said
  name=HOST                 what it calls itself, and the name in its certificates (mx.example)
  answer=VERB:TEXT          what it answers, "|" between lines: answer=DATA:550-no|550 5.7.1 never
  rcpt=LOCAL:TEXT           what it answers to RCPT of that local part
  delay=VERB:SECONDS        waits before that answer
  slow=SECONDS              sends every answer octet by octet, with that pause between
  close=VERB close_at=N     closes instead of that answer; after N octets that it has sent on a connection
  silent=VERB               says nothing more from there on
  busy=VERB                 421 there, and closes (busy=any: at once)
  busy_first=N              the first N connections get 421
  flood=VERB flood_line=VERB  an answer of a gigabyte: endless continuation lines; one endless line
  junk=VERB bare_lf surplus=VERB disorder   octets that are no SMTP; lines that end in LF; one answer more; answers of a batch the wrong way round
  greylist=N                450 for the first N RCPTs of each pair of sender and recipient
  max_rcpt=N                452 past N recipients
  lose=N                    takes N messages and closes without the answer: whoever sends again makes a duplicate
  starttls=HOW              good, expired, wrongname, selfsigned; refuse (454), plaintext (behind its 220), close, garbage, hang; not offered unless said
  need_tls                  530 to MAIL in the clear
  only=EXT,EXT              offers these extensions (PIPELINING,8BITMIME,SIZE 100000000,ENHANCEDSTATUSCODES,DSN,SMTPUTF8 unless said)
  keep=DIR                  writes each message it took to DIR/N

stats(): connections, open, max_open, commands (the last 2,000 lines), flooded (octets), tls and tls_failed (handshakes), messages: a list of {id, from, rcpts, size, sha256, tls, sni,
answered}; `BadPeer.counts()` counts them by Message-ID."""
import collections
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

GIGABYTE = 1 << 30
EXTENSIONS = "PIPELINING,8BITMIME,SIZE 100000000,ENHANCEDSTATUSCODES,DSN,SMTPUTF8"
VERBS = {"connect", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "end", "RSET", "QUIT", "any"}
FLAGS = {"bare_lf", "disorder", "need_tls"}
KEYED = {"answer", "rcpt", "delay"}
AT_VERB = {"close", "silent", "busy", "flood", "flood_line", "junk", "surplus"}
PLAIN = {"bind", "port", "name", "slow", "close_at", "busy_first", "greylist", "max_rcpt", "lose", "starttls", "only", "keep", "stats"}
LOG_MAX, COMMAND_MAX, MESSAGE_MAX = 2000, 65536, 256 << 20


class Options:
    """The words of the command line, as attributes; a word that nobody knows is an error."""

    def __init__(self, words):
        self.flags, self.keyed, self.verbs, self.plain = set(), {k: {} for k in KEYED}, {k: set() for k in AT_VERB}, {}
        for word in words:
            key, eq, value = word.partition("=")
            if not eq and key in FLAGS:
                self.flags.add(key)
            elif key in KEYED and ":" in value:
                name, _, text = value.partition(":")
                self.keyed[key][name] = text
            elif key in AT_VERB and value in VERBS:
                self.verbs[key].add(value)
            elif key in PLAIN and eq:
                self.plain[key] = value
            else:
                raise SystemExit(f"bad_peer: what is {word!r}?")
        for kind in ("answer", "delay"):
            if set(self.keyed[kind]) - VERBS:
                raise SystemExit(f"bad_peer: {kind} at {set(self.keyed[kind]) - VERBS}?")

    def at(self, kind, verb):
        return verb in self.verbs[kind] or "any" in self.verbs[kind]

    def number(self, key, default=0):
        return float(self.plain[key]) if "." in self.plain.get(key, "") else int(self.plain.get(key, default))


class Certificates:
    """A small authority and four leaves, made by openssl for the occasion."""

    def __init__(self, place, name):
        self.place, self.name = pathlib.Path(place), name
        (self.place / "index").write_text("")
        (self.place / "serial").write_text("01\n")
        (self.place / "cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={place}/index\nserial={place}/serial\nnew_certs_dir={place}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
            "[p]\ncommonName=supplied\n[req]\ndistinguished_name=n\n[n]\n[v3]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n"
            f"[good]\nsubjectAltName=DNS:{name}\n[wrong]\nsubjectAltName=DNS:somebody.else.example\n")
        for key in ("ca", "leaf"):
            self.run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.at(key + ".key"))
        self.run("req", "-x509", "-new", "-key", self.at("ca.key"), "-subj", "/CN=Bad Peer CA", "-days", "30", "-config", self.at("cnf"), "-extensions", "v3", "-out", self.at("ca.pem"))
        self.run("req", "-new", "-key", self.at("leaf.key"), "-subj", f"/CN={name}", "-config", self.at("cnf"), "-out", self.at("leaf.csr"))
        now = time.time()
        for kind, section, start, end in (("good", "good", -86400, 20 * 86400), ("expired", "good", -40 * 86400, -10 * 86400), ("wrongname", "wrong", -86400, 20 * 86400)):
            dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(now + d)) for d in (start, end)]
            self.run("ca", "-batch", "-notext", "-config", self.at("cnf"), "-cert", self.at("ca.pem"), "-keyfile", self.at("ca.key"), "-in", self.at("leaf.csr"),
                     "-extensions", section, "-startdate", dates[0], "-enddate", dates[1], "-out", self.at(kind + ".pem"))
            with open(self.at(kind + ".pem"), "a", encoding="ascii") as f:
                f.write((self.place / "ca.pem").read_text())
        self.run("req", "-x509", "-new", "-key", self.at("leaf.key"), "-subj", f"/CN={name}", "-days", "20", "-config", self.at("cnf"), "-extensions", "good",
                 "-out", self.at("selfsigned.pem"))

    def at(self, name):
        return str(self.place / name)

    def run(self, *args):
        r = subprocess.run(["openssl", *args], capture_output=True)
        if r.returncode:
            raise SystemExit("bad_peer: openssl " + " ".join(args) + ": " + r.stderr.decode(errors="replace")[-500:])
        return r.stdout

    def public_digest(self, key):
        return hashlib.sha256(self.run("pkey", "-in", self.at(key + ".key"), "-pubout", "-outform", "DER")).hexdigest()

    def facts(self):
        return {"ca": self.at("ca.pem"), "name": self.name, "tlsa311": self.public_digest("leaf"), "tlsa211": self.public_digest("ca")}

    def context(self, kind):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(self.at(kind + ".pem"), self.at("leaf.key"))
        return c


class World:
    """What all connections share."""

    def __init__(self, options, certificates):
        self.o, self.certificates = options, certificates
        self.lock = threading.Lock()
        self.facts = {"connections": 0, "open": 0, "max_open": 0, "flooded": 0, "tls": 0, "tls_failed": 0, "messages": [], "commands": collections.deque(maxlen=LOG_MAX)}
        self.seen = collections.Counter()
        self.lost = 0
        self.dirty = False
        threading.Thread(target=self.write_now_and_then, daemon=True).start()

    def note(self, change):
        with self.lock:
            change(self.facts)
            self.dirty = True
            if len(self.facts["messages"]) <= 200:
                self.write()

    def write(self):
        path = self.o.plain.get("stats")
        if path and self.dirty:
            self.dirty = False
            pathlib.Path(path + ".new").write_text(json.dumps({**self.facts, "commands": list(self.facts["commands"])}))
            os.replace(path + ".new", path)

    def write_now_and_then(self):
        """Where there is much to write, not after every change."""
        while True:
            time.sleep(0.2)
            with self.lock:
                self.write()


class Gone(Exception):
    pass


class Session:
    def __init__(self, world, sock):
        self.w, self.o, self.sock = world, world.o, sock
        self.pending, self.held, self.sent = b"", [], 0
        self.tls, self.sni, self.sender, self.rcpts = "", "", None, []
        self.first_verb = True

    # ---- octets ----

    def put(self, data):
        pause = self.o.number("slow")
        limit = self.o.number("close_at", -1)
        try:
            if limit >= 0:
                data, over = data[:max(limit - self.sent, 0)], self.sent + len(data) >= limit
            if pause:
                for i in range(len(data)):
                    self.sock.sendall(data[i:i + 1])
                    time.sleep(pause)
            else:
                self.sock.sendall(data)
        except OSError as e:
            raise Gone() from e
        self.sent += len(data)
        if limit >= 0 and over:
            raise Gone()

    def more(self):
        try:
            got = self.sock.recv(65536)
        except OSError as e:
            raise Gone() from e
        if not got:
            raise Gone()
        self.pending += got

    def line(self):
        if b"\n" not in self.pending:
            self.flush()
        while b"\n" not in self.pending:
            if len(self.pending) > COMMAND_MAX:
                raise Gone()
            self.more()
        line, _, self.pending = self.pending.partition(b"\n")
        text = line.rstrip(b"\r").decode(errors="replace")
        self.w.note(lambda f: f["commands"].append(text))
        return text

    def message(self):
        self.flush()
        data = b"\r\n" + self.pending
        while b"\r\n.\r\n" not in data[-70000:]:
            if len(data) > MESSAGE_MAX:
                raise Gone()
            self.pending = b""
            self.more()
            data += self.pending
        end = data.index(b"\r\n.\r\n")
        self.pending = data[end + 5:]
        return data[2:end + 2].replace(b"\r\n..", b"\r\n.")

    # ---- answers ----

    def flush(self):
        held, self.held = self.held, []
        for one in reversed(held) if "disorder" in self.o.flags else held:
            self.put(one)

    def flood(self, one_line):
        part = b"250-" + b"a" * 996 + b"\r\n" if not one_line else b"a" * 1002
        self.flush()
        for sent in range(0, GIGABYTE, len(part) * 64):
            try:
                self.put(part * 64)
            finally:
                self.w.note(lambda f: f.update(flooded=max(f["flooded"], sent)))

    def answer(self, verb, text):
        """What is said to `verb`: `text`, unless an option wants something else. False = it was not 2xx or 3xx."""
        o = self.o
        text = o.keyed["answer"].get(verb, text)
        time.sleep(float(o.keyed["delay"].get(verb, 0)))
        if o.at("close", verb):
            self.flush()
            raise Gone()
        if o.at("silent", verb):
            self.flush()
            while True:
                self.pending = b""
                self.more()
        if o.at("busy", verb):
            text = "421 4.3.2 " + o.plain.get("name", "mx.example") + " is busy"
        if o.at("flood", verb) or o.at("flood_line", verb):
            self.flood(o.at("flood_line", verb))
            raise Gone()
        end = "\n" if "bare_lf" in o.flags else "\r\n"
        said = "".join(line + end for line in text.split("|")).encode()
        if o.at("junk", verb):
            said = bytes(range(256)) + b"\r\n"
        if o.at("surplus", verb):
            said += ("250 2.0.0 and one more" + end).encode()
        self.held.append(said)
        if text.startswith("421"):
            self.flush()
            raise Gone()
        return text[:1] in "23"

    # ---- verbs ----

    def extensions(self):
        out = self.o.plain.get("only", EXTENSIONS).split(",")
        if "starttls" in self.o.plain and not self.tls:
            out.append("STARTTLS")
        return [x for x in out if x]

    def do_ehlo(self, arg):
        lines = [self.o.plain.get("name", "mx.example"), *self.extensions()]
        self.answer("EHLO", "|".join(f"250{' ' if i == len(lines) - 1 else '-'}{x}" for i, x in enumerate(lines)))

    def do_mail(self, arg):
        if "need_tls" in self.o.flags and not self.tls:
            self.held.append(b"530 5.7.0 say STARTTLS first\r\n")
            return
        self.rcpts = []
        self.sender = re.sub(r"^FROM:\s*<([^>]*)>.*", r"\1", arg, flags=re.I) if self.answer("MAIL", "250 2.1.0 Ok") else None

    def do_rcpt(self, arg):
        rcpt = re.sub(r"^TO:\s*<([^>]*)>.*", r"\1", arg, flags=re.I)
        pair = (self.sender, rcpt)
        text = self.o.keyed["rcpt"].get(rcpt.rpartition("@")[0], "250 2.1.5 Ok")
        with self.w.lock:
            self.w.seen[pair] += 1
            if self.w.seen[pair] <= self.o.number("greylist"):
                text = "450 4.7.1 greylisted, try again"
        if self.sender is None:
            text = "503 5.5.1 MAIL first"
        elif len(self.rcpts) >= self.o.number("max_rcpt", 10**9):
            text = "452 4.5.3 too many recipients"
        if self.answer("RCPT", text):
            self.rcpts.append(rcpt)

    def do_data(self, arg):
        if not self.answer("DATA", "354 go on" if self.rcpts else "554 5.5.1 no valid recipients"):
            return
        data = self.message()
        head = data.partition(b"\r\n\r\n")[0].decode(errors="replace")
        found = re.search(r"^message-id:\s*(\S+)", head, flags=re.I | re.M)
        one = {"id": found[1] if found else "", "from": self.sender, "rcpts": self.rcpts, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(),
               "tls": self.tls, "sni": self.sni, "answered": False, "time": time.time()}
        with self.w.lock:
            lose = self.rcpts and self.w.lost < self.o.number("lose")
            self.w.lost += bool(lose)
        taken = bool(self.rcpts) and (lose or self.o.keyed["answer"].get("end", "250")[:1] == "2" and not any(self.o.at(k, "end") for k in ("busy", "close", "silent")))
        if taken:
            self.keep(data)
            self.w.note(lambda f: f["messages"].append(one))
        self.sender, self.rcpts = None, []
        if lose:
            raise Gone()
        self.answer("end", "250 2.0.0 taken")
        self.flush()
        if taken:
            self.w.note(lambda f: one.update(answered=True))

    def keep(self, data):
        if "keep" in self.o.plain:
            with self.w.lock:
                (pathlib.Path(self.o.plain["keep"]) / str(len(self.w.facts["messages"]))).write_bytes(data)

    def do_starttls(self, arg):
        how = self.o.plain.get("starttls")
        if how is None or self.tls:
            self.held.append(b"502 5.5.1 not offered\r\n")
            return
        if how == "refuse":
            self.answer("STARTTLS", "454 4.7.0 TLS is not available now")
            return
        if how == "close":
            raise Gone()
        self.answer("STARTTLS", "220 2.0.0 go|250 2.0.0 said in the clear" if how == "plaintext" else "220 2.0.0 go")
        self.flush()
        if how in ("garbage", "hang"):
            if how == "garbage":
                self.put(b"\x15\x03\x01\x02\x00this is no handshake" + bytes(600))
            while True:
                self.pending = b""
                self.more()
        self.handshake(how if how != "plaintext" else "good")

    def handshake(self, kind):
        context = self.w.certificates.context(kind)

        def sni(_, name, __):
            self.sni = name or ""
        context.sni_callback = sni
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except (OSError, ValueError) as e:
            self.w.note(lambda f: f.update(tls_failed=f["tls_failed"] + 1))
            raise Gone() from e
        self.tls, self.pending, self.sender, self.rcpts = self.sock.version(), b"", None, []
        self.w.note(lambda f: f.update(tls=f["tls"] + 1))

    def run(self, number):
        verbs = {"EHLO": self.do_ehlo, "HELO": self.do_ehlo, "MAIL": self.do_mail, "RCPT": self.do_rcpt, "DATA": self.do_data, "STARTTLS": self.do_starttls}
        if number <= self.o.number("busy_first"):
            self.put(b"421 4.3.2 come back later\r\n")
            return
        self.answer("connect", "220 " + self.o.plain.get("name", "mx.example") + " ESMTP")
        while True:
            verb, _, arg = self.line().partition(" ")
            verb = verb.upper()
            if verb in verbs:
                verbs[verb](arg)
            elif verb == "QUIT":
                self.answer("QUIT", "221 2.0.0 bye")
                self.flush()
                return
            elif verb in ("RSET", "NOOP"):
                self.sender, self.rcpts = None, []
                self.answer(verb if verb == "RSET" else "any", "250 2.0.0 Ok")
            else:
                self.held.append(b"500 5.5.2 what?\r\n")


def serve(options):
    place = tempfile.mkdtemp(prefix="bad-peer-")
    try:
        certificates = Certificates(place, options.plain.get("name", "mx.example")) if "starttls" in options.plain else None
        world = World(options, certificates)
        family = socket.AF_INET6 if ":" in options.plain.get("bind", "") else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((options.plain.get("bind", "127.0.0.1"), options.number("port")))
            listener.listen(512)
            world.note(lambda f: None)
            print(json.dumps({"pid": os.getpid(), "port": listener.getsockname()[1], **(certificates.facts() if certificates else {})}), flush=True)
            while True:
                threading.Thread(target=one_connection, args=(world, listener.accept()[0]), daemon=True).start()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def one_connection(world, sock):
    def begin(f):
        f["connections"] += 1
        f["open"] += 1
        f["max_open"] = max(f["max_open"], f["open"])
        begin.number = f["connections"]
    world.note(begin)
    session = Session(world, sock)
    sock.settimeout(120)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        session.run(begin.number)
    except Gone:
        pass
    finally:
        try:
            session.sock.close()
        except OSError:
            pass
        world.note(lambda f: f.update(open=f["open"] - 1))


class BadPeer:
    """The server in a process of its own; ends with the `with` block."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.place = tempfile.mkdtemp(prefix="bad-peer-stats-")
        self.file = pathlib.Path(self.place) / "stats"
        self.process = subprocess.Popen([sys.executable, __file__, *self.options, f"stats={self.file}"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("bad_peer does not start: " + " ".join(self.options))
        self.facts = json.loads(line)
        self.port, self.pid, self.ca = self.facts["port"], self.facts["pid"], self.facts.get("ca")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def stats(self):
        return json.loads(self.file.read_text())

    def counts(self):
        """{Message-ID: how often it was taken}"""
        return collections.Counter(m["id"] for m in self.stats()["messages"])

    def wait(self, done, seconds=20):
        """Until `done` messages were taken, or done(stats) holds; gives the stats."""
        claim = done if callable(done) else lambda s: len(s["messages"]) >= done
        until = time.monotonic() + seconds
        while True:
            s = self.stats()
            if claim(s):
                return s
            if time.monotonic() > until:
                raise AssertionError(f"bad_peer: it did not happen within {seconds} s: {json.dumps(s)[-2000:]}")
            time.sleep(0.02)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(Options(sys.argv[1:]))


if __name__ == "__main__":
    main()
