#!/usr/bin/env python3
"""Mail out, ours beside Debian's Postfix: N messages wait in the queue while smtp-sink refuses them, then it accepts, and all arrive. Rate and CPU from the moment both are
told to try again until the sink has counted the last. Needs root and postfix. `--messages N`, `--size OCTETS`, `--connections N` (to the one destination, both sides alike)."""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here))
from postfix import services  # noqa: E402
from sides import cpu_seconds  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sink:
    """smtp-sink on a port; `refuse` answers 4xx to RCPT. Counts by its own counter line."""

    def __init__(self, port, refuse=False):
        args = ["/usr/sbin/smtp-sink", "-u", "nobody", "-c", *(["-r", "rcpt"] if refuse else []), f"127.0.0.1:{port}", "1000"]
        self.p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.counts, self.text = {}, b""
        threading.Thread(target=self.read, daemon=True).start()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("smtp-sink does not listen")

    def read(self):
        """"sess=1 quit=0 mesg=12\\r" over and over."""
        while True:
            some = os.read(self.p.stdout.fileno(), 65536)
            if not some:
                return
            self.text = (self.text + some)[-200:]
            for word in self.text.replace(b"\r", b" ").replace(b"\n", b" ").split(b" ")[:-1]:
                if word.startswith(b"mesg="):
                    self.counts["mesg"] = int(word[5:])

    def messages(self):
        return self.counts.get("mesg", 0)

    def stop(self):
        self.p.kill()
        self.p.wait()


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def message(size):
    line = b"The quick brown fox jumps over the lazy dog, and the dog does not mind it.\r\n"
    return b"From: ann@demo.test\r\nTo: you\r\nSubject: hello\r\nMessage-ID: <1@demo.test>\r\n\r\n" + line * max(1, size // len(line))


def measure(name, port, n, roots, again, give_up):
    """From "try again" to the last one's arrival."""
    sink = Sink(port)
    cpu, begun = cpu_seconds(roots()), time.monotonic()
    again()
    whole = wait_for(lambda: sink.messages() >= n, give_up)
    took = time.monotonic() - begun
    got = sink.messages()
    used = cpu_seconds(roots()) - cpu
    time.sleep(0.3)
    out = {"side": name, "messages": got, "whole": whole, "once": sink.messages() == n, "seconds": round(took, 2), "rate": round(got / took), "cpu_ms_per_1000": round(used / max(got, 1) * 1e6)}
    sink.stop()
    return out


def ours(a, work, port):
    binary = str(pathlib.Path(a.binary).resolve())
    fill = pathlib.Path(binary).parent / "tests" / "relay" / "queue_fill"
    zone = work / "sink.zone"
    zone.write_text("sink.example. 60 IN SOA ns.sink.example. root.sink.example. 1 1 1 1 1\nsink.example. 60 IN MX 10 mx.sink.example.\nmx.sink.example. 60 IN A 127.0.0.1\n")
    env = {**os.environ, "LETTERLOCK_DNS": f'forwarder = "none"\nzones = "{zone}"',
           "LETTERLOCK_RELAY": f'port = {port}\nloopback = true\nconnections_per_destination = {a.connections}\nconnections_first = {a.connections}\nretry_first = "1 h"\ndown_first = "1 h"\ndown_max = "1 h"'}
    command = [binary, "demo", "--json", "--state", str(work / "demo"), "--port-base", str(free_port() // 100 * 100)]

    def start():
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(work / "demo.log", "a"), env=env)
        p.stdout.readline()
        return p

    p = start()
    p.send_signal(2)
    p.wait()
    begun = time.monotonic()
    subprocess.run([fill, work / "demo/data", work / "demo/root.key", "to=user%d@sink.example", f"letters={a.messages}"], input=message(a.size), check=True, stdout=subprocess.DEVNULL)
    queued = time.monotonic() - begun
    refusing = Sink(port, refuse=True)
    p = start()

    def cli(*args):
        return subprocess.run([binary, *args, "--config", str(work / "demo/letterlock.conf")], capture_output=True, text=True)

    def tried():
        return '"deferred"' in cli("queue", "list", "--state", "deferred", "--limit", "1", "--json").stdout
    wait_for(tried, 60)
    time.sleep(a.refuse)
    refusing.stop()
    out = measure("ours", port, a.messages, lambda: [p.pid], lambda: cli("queue", "retry", "--all", "--yes"), a.give_up)
    out["queued_per_s"] = round(a.messages / queued)
    p.send_signal(2)
    p.wait()
    return out


POSTFIX = """compatibility_level = 3.6
queue_directory = {q}
data_directory = {d}
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.demo.test
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{port}
smtp_tls_security_level = none
smtp_destination_concurrency_limit = {c}
default_process_limit = 300
in_flow_delay = 0
qmgr_message_active_limit = 200000
qmgr_message_recipient_limit = 200000
minimal_backoff_time = 3600s
maximal_backoff_time = 3600s
queue_run_delay = 3600s
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [127.0.0.1]:{port}
maillog_file = {d}/log
maillog_file_prefixes = /tmp
alias_maps =
"""


def theirs(a, work, port):
    conf, q, d, smtpd = work / "postfix", work / "spool", work / "data", free_port()
    for p in (conf, q, d):
        p.mkdir()
    for p in [work, *work.parents][:2]:
        p.chmod(0o755)
    shutil.chown(d, "postfix")
    (conf / "main.cf").write_text(POSTFIX.format(q=q, d=d, port=port, c=a.connections))
    (conf / "master.cf").write_text(f"127.0.0.1:{smtpd} inet n - n - 200 smtpd\n" + services(smtp=a.connections))

    def postfix(*args):
        return subprocess.run(["postfix", "-c", str(conf), *args], capture_output=True, text=True)

    def master():
        return [int((q / "pid/master.pid").read_text())]
    started = postfix("start")
    if not wait_for(lambda: (q / "pid/master.pid").exists(), 20):
        raise SystemExit("postfix did not start: " + started.stderr)
    refusing = Sink(port, refuse=True)
    begun = time.monotonic()
    source = subprocess.Popen(["/usr/sbin/smtp-source", "-s", "20", "-m", str(a.messages), "-l", str(a.size), "-f", "ann@demo.test", "-t", "user@sink.example", "-d", f"127.0.0.1:{smtpd}"])
    source.wait()
    queued = time.monotonic() - begun

    def left(*dirs):
        return sum(len(files) for x in dirs for _, _, files in os.walk(q / x))
    wait_for(lambda: left("active", "incoming", "maildrop") == 0, a.give_up)
    refusing.stop()
    out = measure("postfix", port, a.messages, master, lambda: subprocess.run(["postqueue", "-c", str(conf), "-f"]), a.give_up)
    out["queued_per_s"] = round(a.messages / queued)
    postfix("stop")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary", default=str(here.parent / "build" / "letterlock"))
    p.add_argument("--messages", type=int, default=20000)
    p.add_argument("--size", type=int, default=4000)
    p.add_argument("--connections", type=int, default=100)
    p.add_argument("--refuse", type=float, default=2, help="seconds that ours is refused")
    p.add_argument("--give-up", type=float, default=900)
    p.add_argument("--no-peer", action="store_true")
    p.add_argument("--json")
    a = p.parse_args()
    rows = []
    for side in [ours] if a.no_peer else [ours, theirs]:
        work = pathlib.Path(tempfile.mkdtemp(prefix="letterlock-send-"))
        try:
            rows.append(side(a, work, free_port()))
            print(json.dumps(rows[-1]), flush=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if len(rows) == 2 and rows[1]["rate"]:
        print(f"rate {rows[0]['rate'] / rows[1]['rate']:.1f} times, CPU {rows[0]['cpu_ms_per_1000'] / max(rows[1]['cpu_ms_per_1000'], 1):.2f} of the peer's")
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(rows))
    sys.exit(not all(r["whole"] and r["once"] for r in rows))


if __name__ == "__main__":
    main()
