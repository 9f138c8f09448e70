"""A small internet in network namespaces that the test makes: a name server with a signed root, a validating resolver, two Letterlock
servers, a Postfix, and a web server with MTA-STS policies. Nothing in it reaches the machine's own network, and all of it ends with stop().

Debian's packages: iproute2, nsd, unbound, ldnsutils, postfix, openssl, swaks, curl. Needs root."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
from postfix import services  # noqa: E402

PROGRAM = os.environ.get("LETTERLOCK", str(ROOT / "build" / "letterlock"))
PASSWORD = "correct horse battery"
NET = "198.51.100."
HOSTS = {"dns": 53, "a": 1, "b": 2, "p": 3}          # a namespace each; "dns" also has .54 (nsd) and .4 (web), "p" also .6 (no TLS)
NEEDED = {"ip": "iproute2", "nsd": "nsd", "unbound": "unbound", "ldns-signzone": "ldnsutils", "postfix": "postfix", "openssl": "openssl", "swaks": "swaks", "curl": "curl"}
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def missing():
    return sorted({package for tool, package in NEEDED.items() if not shutil.which(tool, path=PATH)})


def run(*args, check=True, **kw):
    r = subprocess.run([str(a) for a in args], stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                       env={**os.environ, "PATH": PATH, **kw.pop("env", {})}, **kw)
    if check and r.returncode:
        raise AssertionError(f"{' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}")
    return r.stdout


def wait_for(what, seconds=15, every=0.05, words="nothing came"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s: {words() if callable(words) else words}")


class World:
    def __init__(self, top):
        self.top = pathlib.Path(top)
        self.top.chmod(0o755)
        self.tag = f"ll{os.getpid()}"
        self.procs, self.logs, self.postfix_up = [], [], False

    # ---- namespaces ----
    def ns(self, host):
        return f"{self.tag}{host}"

    def inside(self, host, *args, **kw):
        return run("ip", "netns", "exec", self.ns(host), *args, **kw)

    def launch(self, host, name, *args, env=None, cwd=None):
        log = open(self.top / f"{name}.log", "ab")
        self.logs.append(log)
        p = subprocess.Popen(["ip", "netns", "exec", self.ns(host), *map(str, args)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             env={**os.environ, "PATH": PATH, **(env or {})}, cwd=cwd)
        self.procs.append(p)
        return p

    def why_none(self):
        """Words why namespaces cannot be made here (no right to, or a root that is no mount point), or ""."""
        probe = self.ns("probe")
        run("ip", "netns", "add", probe, check=False)
        r = subprocess.run(["ip", "netns", "exec", probe, "true"], capture_output=True, text=True, env={**os.environ, "PATH": PATH})
        run("ip", "netns", "del", probe, check=False)
        return r.stderr.strip() or f"ip netns exec: status {r.returncode}" if r.returncode else ""

    def make_namespaces(self):
        for host in HOSTS:
            run("ip", "netns", "add", self.ns(host))
            # What the host's resolver library asks: our own.
            etc = pathlib.Path("/etc/netns") / self.ns(host)
            etc.mkdir(parents=True, exist_ok=True)
            (etc / "resolv.conf").write_text(f"nameserver {NET}53\noptions edns0 trust-ad timeout:2\n")
            run("ip", "-n", self.ns(host), "link", "set", "lo", "up")
        hub = self.ns("dns")
        run("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", hub, "link", "set", "br0", "up")
        for extra in (53, 54, 4):
            run("ip", "-n", hub, "addr", "add", f"{NET}{extra}/24", "dev", "br0")
        for host in ("a", "b", "p"):
            run("ip", "-n", hub, "link", "add", f"to{host}", "type", "veth", "peer", "name", "eth0", "netns", self.ns(host))
            run("ip", "-n", hub, "link", "set", f"to{host}", "master", "br0", "up")
            run("ip", "-n", self.ns(host), "link", "set", "eth0", "up")
            run("ip", "-n", self.ns(host), "addr", "add", f"{NET}{HOSTS[host]}/24", "dev", "eth0")
            run("ip", "-n", self.ns(host), "addr", "add", f"2001:db8:51::{HOSTS[host]}/64", "dev", "eth0", "nodad")
        run("ip", "-n", self.ns("p"), "addr", "add", f"{NET}6/24", "dev", "eth0")

    # ---- certificates ----
    def make_certificates(self):
        t = self.top
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=Test Root",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign", "-keyout", t / "ca.key", "-out", t / "ca.pem")
        sts = ["sts-good", "sts-bad", "sts-badcert", "sts-testing"]
        for name, names in {"a": ["mx.a.example"], "b": ["mx.b.example"], "p": ["mx.p.example", "mx2.p.example"], "web": [f"mta-sts.{s}.example" for s in sts]}.items():
            (t / f"{name}.ext").write_text("subjectAltName=" + ",".join("DNS:" + n for n in names) + "\nextendedKeyUsage=serverAuth\n")
            run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={names[0]}", "-keyout", t / f"{name}.key", "-out", t / f"{name}.csr")
            run("openssl", "x509", "-req", "-in", t / f"{name}.csr", "-CA", t / "ca.pem", "-CAkey", t / "ca.key", "-CAcreateserial", "-days", "20", "-extfile", t / f"{name}.ext", "-out", t / f"{name}.pem")
        os.chmod(t / "p.key", 0o600)

    def tlsa(self, name):
        """SHA-256 of the public key: TLSA 3 1 1."""
        der = subprocess.run(f"openssl x509 -in {self.top}/{name}.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r", shell=True, check=True,
                             capture_output=True, text=True).stdout
        return der.split()[0]

    # ---- names ----
    def sign(self, zone, file):
        t = self.top
        key = next(t.glob(f"K{'' if zone == '.' else zone}.+*.key"), None)
        name = key.name[:-4] if key else run("ldns-keygen", "-k", "-a", "ECDSAP256SHA256", zone, cwd=t).split()[-1]
        run("ldns-signzone", "-n", "-f", t / f"{file}.signed", t / f"{file}.zone", t / name, cwd=t)
        return (t / f"{name}.ds").read_text().strip()

    def write_zone(self, keys=()):
        """The zone "example", signed; `keys`: servers whose DKIM records it has by now."""
        t = self.top
        good = {h: self.tlsa(h) for h in "abp"}
        lines = ["$ORIGIN example.", "$TTL 60", f"@ SOA ns host {int(time.time())} 3600 600 864000 1", "@ NS ns", f"ns A {NET}54"]
        for h in "abp":
            n = HOSTS[h]
            lines += [f"{h} MX 10 mx.{h}", f"mx.{h} A {NET}{n}", f"mx.{h} AAAA 2001:db8:51::{n}", f'{h} TXT "v=spf1 ip4:{NET}{n} ip6:2001:db8:51::{n} -all"',
                      f'mx.{h} TXT "v=spf1 a -all"', f'_dmarc.{h} TXT "v=DMARC1; p=none"', f"_25._tcp.mx.{h} TLSA 3 1 1 {good[h]}"]
        lines += [f"wrong-tlsa MX 10 badtlsa.p", f"badtlsa.p A {NET}3", f"_25._tcp.badtlsa.p TLSA 3 1 1 {'ab' * 32}",
                  f"plain MX 10 plain.p", f"plain.p A {NET}6", "null MX 0 .", "nomx.host TXT nothing",
                  f"mx2.p A {NET}3", f"self.p A {NET}3"]
        for h in keys: # what each server says is to be published
            lines += [line for line in self.cli(h, "dns", "show", f"{h}.example", "--zone", "--split").splitlines() if "_domainkey" in line and not line.startswith(";")]
        for s, mx in {"sts-good": "mx2.p", "sts-bad": "mx2.p", "sts-badcert": "self.p", "sts-testing": "self.p"}.items():
            lines += [f"{s} MX 10 {mx}", f'_mta-sts.{s} TXT "v=STSv1; id=20260101"', f"mta-sts.{s} A {NET}4"]
        (t / "example.zone").write_text("\n".join(lines) + "\n")
        return self.sign("example", "example")

    def make_zones(self):
        t = self.top
        ds = self.write_zone()
        (t / "root.zone").write_text(f"$ORIGIN .\n$TTL 60\n. SOA a.root. host. 1 3600 600 864000 60\n. NS a.root.\na.root. A {NET}54\nexample. NS ns.example.\nns.example. A {NET}54\n{ds}\n")
        (t / "anchor").write_text(self.sign(".", "root") + "\n")
        (t / "nsd.conf").write_text(f'server:\n ip-address: {NET}54\n username: ""\n database: ""\n zonesdir: "{t}"\n pidfile: "{t}/nsd.pid"\n xfrdfile: "{t}/xfrd"\n zonelistfile: "{t}/zl"\n'
                                    f' logfile: "{t}/nsd.log"\nremote-control:\n control-enable: no\nzone:\n name: "."\n zonefile: "root.signed"\nzone:\n name: "example"\n zonefile: "example.signed"\n')
        (t / "unbound.conf").write_text(f'server:\n interface: {NET}53\n access-control: 0.0.0.0/0 allow\n username: ""\n chroot: ""\n directory: "{t}"\n pidfile: ""\n use-syslog: no\n'
                                        f' do-ip6: no\n trust-anchor-file: "{t}/anchor"\n module-config: "validator iterator"\n val-log-level: 2\n local-zone: "100.51.198.in-addr.arpa." nodefault\n'
                                        f'remote-control:\n control-enable: no\nstub-zone:\n name: "."\n stub-addr: {NET}54\n')
        self.nsd = self.launch("dns", "nsd", "nsd", "-d", "-c", t / "nsd.conf")
        self.launch("dns", "unbound", "unbound", "-d", "-p", "-c", t / "unbound.conf")
        wait_for(lambda: "ad" in self.inside("a", "drill", "-D", "MX", "b.example", f"@{NET}53", check=False).split(";; flags:")[-1].split(";")[0].split() or None,
                 words="the resolver does not validate")

    def publish_keys(self):
        """The DKIM records of both servers into the DNS, as an administrator would; the servers see them and begin to sign."""
        self.write_zone("ab")
        self.nsd.send_signal(signal.SIGHUP)
        for host in "ab":
            wait_for(lambda: self.cli(host, "dkim", "list").count("signing") >= 2, 20, words=lambda: self.cli(host, "dkim", "list"))

    # ---- MTA-STS policies over HTTPS ----
    def make_web(self):
        policies = {"sts-good": ("enforce", "mx2.p.example"), "sts-bad": ("enforce", "elsewhere.p.example"), "sts-badcert": ("enforce", "*.p.example"), "sts-testing": ("testing", "*.p.example")}
        (self.top / "policies.json").write_text(json.dumps({f"mta-sts.{s}.example": f"version: STSv1\r\nmode: {m}\r\nmx: {mx}\r\nmax_age: 604800\r\n" for s, (m, mx) in policies.items()}))
        self.launch("dns", "web", sys.executable, ROOT / "tests" / "network" / "sts_web.py", f"{NET}4", self.top / "web.pem", self.top / "web.key", self.top / "policies.json")
        wait_for(lambda: "STSv1" in self.inside("a", "curl", "-s", "--cacert", self.top / "ca.pem", "https://mta-sts.sts-good.example/.well-known/mta-sts.txt", check=False),
                 words="the web server does not answer")

    # ---- Letterlock ----
    def make_letterlock(self, host, extra=""):
        d = self.top / host
        d.mkdir()
        ip = f"{NET}{HOSTS[host]}"
        (d / "root.key").write_text(os.urandom(32).hex() + "\n")
        (d / "root.key").chmod(0o600)
        for name in ("data", "run"):
            (d / name).mkdir()
            shutil.chown(d / name, "nobody")
        (d / "letterlock.conf").write_text(f"""config_version = 1
server {{
  hostname = "mx.{host}.example"
  admin = "it@{host}.example"
  data_dir = "{d}/data"
  control = "{d}/run/ctl.sock"
  root_key = "file:{d}/root.key"
  user = "nobody"
}}
listen {{
  smtp = {{"{ip}:25", "[2001:db8:51::{HOSTS[host]}]:25"}}
  submission = {{"{ip}:587"}}
  submissions = {{"{ip}:465"}}
  imaps = {{"{ip}:993"}}
}}
tls "mx.{host}.example" {{
  cert = "{self.top}/{host}.pem"
  key = "{self.top}/{host}.key"
}}
dns {{
  forwarder = "{NET}53"
  trust_anchor = "{self.top}/anchor"
}}
dkim {{
  check = 1s
  settle = 0s
}}
{extra}""")
        self.launch(host, f"letterlock-{host}", PROGRAM, "serve", "--config", d / "letterlock.conf")
        wait_for(lambda: self.is_ready(host), 20, words=lambda: (self.top / f"letterlock-{host}.log").read_text(errors="replace")[-3000:])
        self.cli(host, "domain", "add", f"{host}.example")
        for user in ("it", "ann", "bob"):
            self.cli(host, "account", "add", f"{user}@{host}.example", input=PASSWORD + "\n")

    def is_ready(self, host):
        said = self.cli(host, "status", "--json", check=False)
        return said.startswith("{") and json.loads(said)["ready"]

    def cli(self, host, *args, check=True, input=None):
        r = subprocess.run(["ip", "netns", "exec", self.ns(host), PROGRAM, *map(str, args), "--config", str(self.top / host / "letterlock.conf")], input=input, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": PATH})
        if check and r.returncode:
            raise AssertionError(f"letterlock {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}\n{r.stderr}")
        return r.stdout

    def submit(self, host, to, subject, sender="ann", port=465):
        """As a person's mail client does, by swaks."""
        me = f"{sender}@{host}.example"
        return self.inside(host, "swaks", "--to", to, "--from", me, "--server", f"mx.{host}.example", "--port", port, "--tls-on-connect" if port == 465 else "--tls", "--auth", "PLAIN", "--auth-user", me,
                           "--auth-password", PASSWORD, "--header", f"Subject: {subject}", "--body", f"about {subject}")

    def inbox(self, host, user="bob"):
        """Every message of an INBOX."""
        url = f"imaps://mx.{host}.example/INBOX"
        n = self.inside(host, "curl", "-s", "--cacert", self.top / "ca.pem", "-u", f"{user}@{host}.example:{PASSWORD}", url, "-X", "STATUS INBOX (MESSAGES)", check=False)
        count = int(n.split("MESSAGES ")[1].split(")")[0]) if "MESSAGES " in n else 0
        return [self.inside(host, "curl", "-s", "--cacert", self.top / "ca.pem", "-u", f"{user}@{host}.example:{PASSWORD}", f"{url};MAILINDEX={i}") for i in range(1, count + 1)]

    # ---- Postfix ----
    def make_postfix(self):
        d, t = self.top / "p", self.top
        for sub in ("postfix", "queue", "lib", "mail"):
            (d / sub).mkdir(parents=True)
        shutil.chown(d / "lib", "postfix", "postfix")
        os.chown(d / "mail", 5000, 5000)
        domains = "p.example wrong-tlsa.example plain.example sts-good.example sts-bad.example sts-badcert.example sts-testing.example"
        (d / "postfix" / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/lib
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.p.example
mydomain = p.example
mydestination =
inet_interfaces = {NET}3, {NET}6, [2001:db8:51::3]
smtp_bind_address = {NET}3
mynetworks = {NET}3/32
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = texthash:{d}/postfix/boxes
virtual_mailbox_base = {d}/mail
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_cert_file = {t}/p.pem
smtpd_tls_key_file = {t}/p.key
smtpd_tls_received_header = yes
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_tls_loglevel = 1
smtp_tls_CAfile = {t}/ca.pem
maillog_file = {d}/maillog
maillog_file_prefixes = {d}
biff = no
""")
        (d / "postfix" / "boxes").write_text("".join(f"{user}@{domain} {domain}/{user}/\n" for domain in domains.split() for user in ("bob", "pat", "sam")))
        (d / "postfix" / "master.cf").write_text(f"{NET}3:25 inet n - n - - smtpd\n[2001:db8:51::3]:25 inet n - n - - smtpd\n{NET}6:25 inet n - n - - smtpd -o smtpd_tls_security_level=none\n" + services())
        self.inside("p", "postfix", "-c", d / "postfix", "start")
        self.postfix_up = True

    def postfix_mail(self, address):
        user, domain = address.split("@")
        box = self.top / "p" / "mail" / domain / user / "new"
        return [f.read_text(errors="replace") for f in box.iterdir()] if box.is_dir() else []

    def postfix_send(self, to, subject):
        self.inside("p", "swaks", "--to", to, "--from", "pat@p.example", "--server", f"{NET}3", "--port", "25", "--header", f"Subject: {subject}", "--body", f"about {subject}")

    # ---- the end ----
    def stop(self):
        if self.postfix_up:
            self.inside("p", "postfix", "-c", self.top / "p" / "postfix", "stop", check=False)
        for p in reversed(self.procs):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.procs:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for log in self.logs:
            log.close()
        for host in HOSTS:
            run("ip", "netns", "del", self.ns(host), check=False)
            shutil.rmtree(pathlib.Path("/etc/netns") / self.ns(host), ignore_errors=True)
