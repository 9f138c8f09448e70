#!/usr/bin/env python3
"""The 21 look-ups of testdata/mta-sts over a real web server, and web servers that get it wrong, fetched from inside the sandbox. Arguments: sts_tool, testdata/mta-sts."""
import http.server
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time

TOOL, DATA = sys.argv[1], pathlib.Path(sys.argv[2])
POLICY = "version: STSv1\nmode: enforce\nmx: mail.loc\nmax_age: 86400\n"
release = threading.Event()  # ends the slow ones with the test


def openssl(*args, text=None):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, input=text)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key, self.cert = folder / f"{name}.key", folder / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.cert, "-days", 30, "-subj", f"/CN={name}")

    def give(self, label, hosts, end=None):
        """A context with a certificate for these hosts."""
        key, cert, ext = (self.folder / f"{label}.{x}" for x in ("key", "crt", "ext"))
        ext.write_text("subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts) + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", f"{cert}.csr", "-subj", "/CN=x")
        openssl("x509", "-req", "-in", f"{cert}.csr", "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out", cert, "-extfile", ext, *(["-days", end] if end else ["-days", 30]))
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(cert, key)
        return c


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served = {}  # host -> function(handler)
    seen = []

    def do_GET(self):
        host = self.headers["Host"].split(":")[0]
        Web.seen.append((host, self.path, dict(self.headers)))
        Web.served[host](self)
        self.close_connection = True

    def log_message(self, *args):
        pass

    def say(self, body, kind="text/plain", code=200, **more):
        self.send_response(code)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in more.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body.encode())


def trickle(h):
    h.send_response(200)
    h.send_header("Content-Type", "text/plain")
    h.end_headers()
    while not release.wait(0.2):
        try:
            h.wfile.write(b"x")
            h.wfile.flush()
        except OSError:
            return


def chunks(h):
    h.send_response(200)
    h.send_header("Content-Type", "text/plain")
    h.send_header("Transfer-Encoding", "chunked")
    h.end_headers()
    try:
        for _ in range(100000):
            h.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    except OSError:
        pass


def cut(h):
    h.send_response(200)
    h.send_header("Content-Type", "text/plain")
    h.send_header("Content-Length", "1000")
    h.end_headers()
    h.wfile.write(POLICY.encode())


CASES = {  # domain -> (what its web server does, what we say: a regular expression)
    "charset.loc": (lambda h: h.say(POLICY, 'Text/Plain; charset="utf-8"'), r"enforce mail\.loc"),
    "unnamed.loc": (lambda h: h.say(POLICY, None), r'none\tfailed\tsts-policy-fetch-error\tthe web server calls the policy "", not text/plain'),
    "html.loc": (lambda h: h.say(POLICY, "text/html"), r'none\tfailed\tsts-policy-fetch-error\tthe web server calls the policy "text/html", not text/plain'),
    "redirect.loc": (lambda h: h.say("", code=302, Location="https://mta-sts.charset.loc/.well-known/mta-sts.txt"), r"none\tfailed\tsts-policy-fetch-error\tthe web server answered 302, a redirect"),
    "missing.loc": (lambda h: h.say(POLICY, code=404), r"none\tfailed\tsts-policy-fetch-error\tthe web server answered 404"),
    "partial.loc": (lambda h: h.say(POLICY, code=206), r"none\tfailed\tsts-policy-fetch-error\tthe web server answered 206"),
    "full.loc": (lambda h: h.say(POLICY + "x: y\n" + "\n" * (65536 - len(POLICY) - 5)), r"enforce mail\.loc"),
    "large.loc": (lambda h: h.say(POLICY + "\n" * (65537 - len(POLICY))), r"none\tfailed\tsts-policy-fetch-error\tthe policy is larger than 65536 octets"),
    "chunks.loc": (chunks, r"none\tfailed\tsts-policy-fetch-error\tthe policy is larger than 65536 octets"),
    "header.loc": (lambda h: h.say(POLICY, **{"X": "y" * 400000}), r"none\tfailed\tsts-policy-fetch-error\t.+"),
    "cut.loc": (cut, r"none\tfailed\tsts-policy-fetch-error\t.+"),
    "silent.loc": (lambda h: release.wait(), r"none\tfailed\tsts-policy-fetch-error\tno answer in time"),
    "trickle.loc": (trickle, r"none\tfailed\tsts-policy-fetch-error\tno answer in time"),
    "two.loc": (lambda h: h.say(POLICY), r"enforce mail\.loc"),
    "near.loc": (lambda h: h.say(POLICY), r"enforce mail\.loc"),
    "six.loc": (lambda h: h.say(POLICY), r"enforce mail\.loc"),
    "elsewhere.loc": (None, r"none\tfailed\tsts-policy-fetch-error\t.+"),
    "nowhere.loc": (None, r"none\tfailed\tsts-policy-fetch-error\tmta-sts\.nowhere\.loc has no address \(nxdomain\)"),
    "bogus.loc": (None, r"none\tfailed\tsts-policy-fetch-error\tmta-sts\.bogus\.loc has no address \(bogus\)"),
    "expired.loc": (lambda h: h.say(POLICY), r"none\tfailed\tsts-webpki-invalid\tthe certificate does not hold: .+"),
    "late.loc": (None, r"none\tnone\t\t_mta-sts\.late\.loc gave no answer"),
}
ADDRESS = {"two.loc": ["127.0.0.9", "127.0.0.1"], "six.loc": ["::1"], "elsewhere.loc": ["127.0.0.9"], "nowhere.loc": [], "bogus.loc": []}


def rows(name):
    return [line.split("\t") for line in (DATA / name).read_text().splitlines()] if DATA.is_dir() else []


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    trusted, other = Authority(folder, "trusted"), Authority(folder, "other")
    contexts, zone = {}, []
    domains = {}
    for domain, txt, text, certificate, meaning in rows("domains.tsv")[1:]:
        domains[domain] = (txt, text.replace("\\n", "\n"), certificate, meaning)
    good = [f"mta-sts.{d}" for d, v in domains.items() if v[2] == "trusted, name fits"] + [f"mta-sts.{d}" for d in CASES if d != "expired.loc"]
    fits = trusted.give("fits", good + [f"mta-sts.silent{i}.loc" for i in range(50)])
    contexts["mta-sts.bad-cert1.loc"] = other.give("untrusted", ["mta-sts.bad-cert1.loc"])
    contexts["mta-sts.bad-cert2.loc"] = trusted.give("misnamed", ["bad-cert2.loc"])
    contexts["mta-sts.expired.loc"] = trusted.give("expired", ["mta-sts.expired.loc"], end=-1)
    for d, (txt, text, certificate, meaning) in domains.items():
        kind = "text/html" if "served as text/html" in meaning else "text/plain"
        Web.served[f"mta-sts.{d}"] = lambda h, text=text, kind=kind: h.say(text, kind)
        if txt:
            zone.append(f'_mta-sts.{d}. 60 TXT "{txt}"')
        zone.append(f"mta-sts.{d}. 60 A 127.0.0.1")
    for d, (act, _) in CASES.items():
        Web.served[f"mta-sts.{d}"] = act
        zone.append(f'_mta-sts.{d}. 60 TXT "v=STSv1; id=1"')
        zone += [f"mta-sts.{d}. 60 {'AAAA' if ':' in a else 'A'} {a}" for a in ADDRESS.get(d, ["127.0.0.1"])]
    zone += ["; TIMEOUT _mta-sts.late.loc TXT", "; BOGUS mta-sts.bogus.loc ANY"]
    for i in range(50):
        zone += [f'_mta-sts.silent{i}.loc. 60 TXT "v=STSv1; id=1"', f"mta-sts.silent{i}.loc. 60 A 127.0.0.1"]

    fits.sni_callback = lambda s, name, c: setattr(s, "context", contexts[name]) if name in contexts else None

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 200

        def finish_request(self, request, address):  # the handshake in the connection's own thread
            try:
                super().finish_request(fits.wrap_socket(request, server_side=True), address)
            except OSError:
                pass

    class Server6(Server):
        address_family = 10

        def server_bind(self):
            self.socket.setsockopt(41, 26, 1)
            super().server_bind()

    v4 = Server(("127.0.0.1", 0), Web)
    port = v4.server_address[1]
    serve(v4)
    serve(Server6(("::1", port), Web))
    (folder / "zone").write_text("\n".join(zone) + "\n")

    def look_up(names, timeout=5000, roots=trusted.cert):
        p = subprocess.run([TOOL, folder / "zone", roots, str(port), str(timeout)], input="\n".join(names) + "\n", capture_output=True, text=True, timeout=60)
        assert p.returncode == 0, (p.returncode, p.stderr)
        lines = p.stdout.splitlines()
        assert re.fullmatch(r"sandbox (landlock\d+|no-filters|no-landlock).*", lines[0]), lines[0]
        print("  in the sandbox:", lines[0])
        out = sorted(((int(n), d, int(ms), said) for n, d, ms, said in (x.split("\t", 3) for x in lines[1:])))
        assert [x[1] for x in out] == names
        return out

    # 1. the look-ups of the set
    if not domains:
        print(f"skipped: the look-ups of the set ({DATA} is not here)")
    queries = [re.match(r"\S+ (\S+)\t(.*)", "\t".join(row)).groups() for row in rows("refdata.tsv")]
    names = [re.sub(r":\d+$", "", q) if q.startswith("[") or q.count(":") == 1 else q for q, _ in queries]
    names = [re.sub(r"^\[(.*)\]$", r"\1", n) for n in names]
    passed = 0
    for (query, want), (_, _, _, said) in zip(queries, look_up(names) if names else []):
        got = "OK secure match=" + said.split(" ", 1)[1] + " servername=hostname" if said.startswith("enforce ") else "NOTFOUND "
        assert got.strip() == want.strip(), (query, want, said)
        passed += 1
    print(f"ok {passed} of {len(queries)} look-ups")
    assert passed == (21 if domains else 0)

    # 2. web servers that get it wrong
    Web.seen.clear()
    for _, domain, ms, said in look_up(list(CASES)):
        assert re.match(CASES[domain][1], said), (domain, said)
        assert ms < 8000
    asked = [x for x in Web.seen if x[0] == "mta-sts.charset.loc"]
    assert len(asked) == 1 and asked[0][1] == "/.well-known/mta-sts.txt" and asked[0][2]["User-Agent"].startswith("Letterlock/") and "Cookie" not in asked[0][2], asked
    print(f"ok {len(CASES)} web servers")

    # 3. slow ones do not hold up others
    for i in range(50):
        Web.served[f"mta-sts.silent{i}.loc"] = lambda h: release.wait()
    out = look_up([f"silent{i}.loc" for i in range(50)] + ["near.loc"], timeout=8000)  # that long, since a busy machine makes fifty handshakes slowly
    assert out[-1][3].startswith("enforce") and out[-1][2] < 6500, out[-1]
    assert all("no answer in time" in x[3] and x[2] >= 7900 for x in out[:50]), out
    print(f"ok near.loc after {out[-1][2]} ms beside 50 that are silent")

    # 4. only the roots given count
    assert look_up(["near.loc"], roots=other.cert)[0][3].startswith("none\tfailed\tsts-webpki-invalid")
    began = time.time()
    release.set()
    print(f"ok other roots; ended {time.time() - began:.1f} s after")


main()
