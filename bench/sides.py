"""The two sides of a measurement: our demo server and the peer, with what the driver asks of either: start, stop, fill an account, wait until
everything taken is in its mailbox, CPU seconds and memory of the whole process tree."""
import json, os, signal, subprocess, sys, time

import auth
import peer as peer_files

TICK = os.sysconf("SC_CLK_TCK")


def tree(roots):
    """The pids of these processes and everything below them."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(int(name))
            if stat:
                children.setdefault(int(stat[1]), []).append(int(name))
    out, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        out.append(pid)
        todo += children.get(pid, [])
    return out


def stat_of(pid):
    """The fields of /proc/PID/stat after the name: state, ppid, ..."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None


def cpu_seconds(roots):
    """User and system time of the tree, reaped children included."""
    ticks = 0
    for pid in tree(roots):
        s = stat_of(pid)
        if s:
            ticks += sum(int(x) for x in s[11:15])  # utime stime cutime cstime
    return ticks / TICK


def pss_kib(roots):
    total = 0
    for pid in tree(roots):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        except OSError:
            pass
    return total


class Ours:
    name = "ours"

    def __init__(self, binary, state, accounts, base, env=None):
        self.binary, self.state, self.accounts, self.base = binary, state, accounts, base
        self.env = {**os.environ, **(env or {})}
        self.proc = None

    def start(self):
        """Starts it and gives the seconds until it said that everything answers."""
        command = [self.binary, "demo", "--json", "--state", self.state, "--accounts", str(self.accounts), "--port-base", str(self.base)]
        print("$ " + " ".join(command), file=sys.stderr)
        self.log = open(self.state + ".log", "a")
        begin = time.monotonic()
        self.proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, env=self.env, text=True)
        line = self.proc.stdout.readline()
        took = time.monotonic() - begin
        if not line.startswith("{"):
            raise SystemExit(f"{self.binary} demo said no JSON line; see {self.log.name}")
        self.facts = json.loads(line)
        self.roots = [self.proc.pid]
        load = [a for a in self.facts["accounts"] if a["address"].startswith("u1@")]
        if not load:
            raise SystemExit("the demo has no account u1: --accounts is not served")
        self.domain = load[0]["address"].partition("@")[2]
        self.password = load[0]["password"]
        return took

    def stop(self):
        if self.proc:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(30)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                raise SystemExit("the server did not stop within 30 s of SIGTERM")
            self.log.close()
        self.proc = None

    def port(self, what):
        return str(self.facts[what])

    def wait_delivered(self):
        """250 says it is in the mailbox: nothing to wait for."""

    def fill(self, bench, account, messages, corpus):
        bench.load("load_smtp", self, port="smtp", corpus=corpus, messages=messages, connections=40, accounts=1, first=account, pipelining=True)

    def forget(self, account):
        """Before a first-time FETCH. What a first reading leaves behind here (rolled-up epochs) cannot be taken back: false = use a fresh account."""
        return False


class Peer:
    name = "peer"
    milters, extra = [], ""

    def __init__(self, directory, accounts, base, hibernate=False, connections=6000):
        self.dir, self.accounts, self.base, self.hibernate, self.connections = directory, accounts, base, hibernate, connections
        self.running = False

    def start(self):
        print(f"$ bench/peer.py start {self.dir} --port-base {self.base} --accounts {self.accounts}" + (" --hibernate" if self.hibernate else ""), file=sys.stderr)
        begin = time.monotonic()
        self.facts = peer_files.start(self.dir, self.base, self.accounts, self.hibernate, self.connections, self.extra)
        self.running = True
        self.roots, self.domain, self.password = self.facts["pids"] + [p.pid for p in self.milters], self.facts["domain"], self.facts["password"]
        return time.monotonic() - begin

    def stop(self):
        if self.running:
            peer_files.stop(self.dir)
        self.running = False

    def port(self, what):
        return str(self.facts[what])

    def wait_delivered(self):
        """Postfix answers 250 when the message is in its queue; the mailbox comes later."""
        while peer_files.queued(self.dir):
            time.sleep(.02)

    def fill(self, bench, account, messages, corpus):
        """Straight into the Maildir, under the names that Dovecot's LMTP gives (sizes in them): it is quicker, and what Dovecot then reads is the
        same. A SELECT, before any clock runs, gives them their UIDs."""
        box = f"{self.dir}/mail/u{account}"
        for sub in ("cur", "new", "tmp"):
            os.makedirs(f"{box}/{sub}", exist_ok=True)
        mails = [m.replace(b"\r\n", b"\n") for m in bench.mails(corpus)]
        sizes = [(len(m), len(m) + m.count(b"\n")) for m in mails]
        now = int(time.time())
        for i in range(messages):
            k = i % len(mails)
            with open(f"{box}/new/{now}.M{i:06}P1.bench,S={sizes[k][0]},W={sizes[k][1]}", "wb") as f:
                f.write(mails[k])
        subprocess.run(["chown", "-R", f"{peer_files.MAIL_UID}:{peer_files.MAIL_GID}", box], check=True)
        bench.load("load_imap", self, port="imap", action="fetch", items="(UID)", connections=1, first=account)

    def forget(self, account):
        """Dovecot's cache of what FETCH has read once."""
        for name in ("dovecot.index.cache",):
            path = f"{self.dir}/mail/u{account}/{name}"
            if os.path.exists(path):
                os.unlink(path)
        return True


class AuthPeer(Peer):
    """With OpenDKIM and OpenDMARC, whose CPU counts."""

    def start(self):
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.milters, self.extra = auth.milters(self.dir)
        return super().start()

    def stop(self):
        super().stop()
        auth.stop(self.milters)
        self.milters = []
