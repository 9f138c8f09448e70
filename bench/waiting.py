#!/usr/bin/env python3
"""A queue that is full: does it slow down who comes next? Two servers, one with `--few` recipients waiting and one with `--many`, take turns: recipients taken per second by
submission (messages of 100 recipients, held), and from the queuing of one message to its arrival at the next hop (median, p90). Needs root."""
import argparse
import asyncio
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here))
from send import free_port, message  # noqa: E402


class Arrivals:
    """The next hop: an SMTP server that notes when a message with this sender's number came."""

    def __init__(self):
        self.came, self.port, ready = {}, free_port(), threading.Event()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.run, args=(ready,), daemon=True).start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.talk, "127.0.0.1", self.port))
        ready.set()
        self.loop.run_forever()

    async def talk(self, r, w):
        w.write(b"220 sink\r\n")
        to, data = [], False
        while line := await r.readline():
            if data:
                if line == b".\r\n":
                    self.came.update((t, time.monotonic()) for t in to)
                    w.write(b"250 ok\r\n")
                    to, data = [], False
                continue
            verb = line[:4].upper()
            if verb == b"RCPT":
                to.append(line.split(b"<")[1].split(b">")[0].decode())
            data = verb == b"DATA"
            w.write({b"EHLO": b"250-sink\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
        w.close()


class Client:
    """Submission over one connection, everything pipelined."""

    def __init__(self, side):
        self.s = socket.create_connection(("127.0.0.1", side.submission), 60)
        self.f, self.user = self.s.makefile("rb"), side.user
        self.reply()
        self.say("EHLO bench.example")
        self.say("AUTH PLAIN " + base64.b64encode(f"\0{side.user}\0{side.password}".encode()).decode())

    def reply(self):
        while (line := self.f.readline())[3:4] == b"-":
            pass
        if line[:1] not in (b"2", b"3"):
            raise SystemExit("submission: " + line.decode(errors="replace").strip())

    def say(self, line):
        self.s.sendall(line.encode() + b"\r\n")
        self.reply()

    def send(self, recipients, body, hold=0):
        lines = [f"MAIL FROM:<{self.user}>" + (f" HOLDFOR={hold}" if hold else "")] + [f"RCPT TO:<{r}>" for r in recipients] + ["DATA"]
        self.s.sendall("".join(line + "\r\n" for line in lines).encode())
        for _ in lines:
            self.reply()
        self.s.sendall(body + b".\r\n")
        self.reply()


class Side:
    def __init__(self, a, name, waiting, arrivals):
        self.name, self.waiting, self.a = name, waiting, a
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="letterlock-waiting-"))
        self.binary = str(pathlib.Path(a.binary).resolve())
        zone = self.work / "sink.zone"
        zone.write_text("sink.example. 60 IN SOA ns.sink.example. root.sink.example. 1 1 1 1 1\nsink.example. 60 IN MX 10 mx.sink.example.\nmx.sink.example. 60 IN A 127.0.0.1\n")
        self.env = {**os.environ, "LETTERLOCK_DNS": f'forwarder = "none"\nzones = "{zone}"', "LETTERLOCK_RELAY": f"port = {arrivals.port}\nloopback = true"}
        self.base = str(free_port() // 100 * 100)
        self.start()
        self.stop()
        fill = pathlib.Path(self.binary).parent / "tests" / "relay" / "queue_fill"
        begun = time.monotonic()
        subprocess.run([fill, self.work / "demo/data", self.work / "demo/root.key", "to=user%d.%d@later.example", f"letters={waiting // 100}", "rcpts=100", "wait_s=86400", "attempts=3"],
                       input=message(a.size), check=True, stdout=subprocess.DEVNULL)
        self.filled = time.monotonic() - begun
        self.start()
        for what in ("--messages", "--recipients", "--first", "--waiting"):
            subprocess.run([self.binary, "account", "limits", self.user, what, "100000000", "--config", self.work / "demo/letterlock.conf"], check=True, stdout=subprocess.DEVNULL)
        self.number = 0
        end = time.monotonic() + 300
        while self.waits() < waiting:
            if time.monotonic() > end:
                raise SystemExit(f"relay knows of {self.waits()} of {waiting} recipients after five minutes")
            time.sleep(0.2)

    def waits(self):
        text = urllib.request.urlopen(f"http://127.0.0.1:{int(self.base) + 946}/metrics", timeout=10).read().decode()
        return int(float(re.search(r"^letterlock_queue_messages\{state=\"deferred\"\} (\S+)$", text, re.M)[1]))

    def start(self):
        command = [self.binary, "demo", "--json", "--state", str(self.work / "demo"), "--port-base", self.base]
        self.p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(self.work / "demo.log", "a"), env=self.env, text=True)
        facts = json.loads(self.p.stdout.readline())
        self.submission, self.user, self.password = int(facts["submission"]), facts["accounts"][0]["address"], facts["accounts"][0]["password"]

    def stop(self):
        self.p.send_signal(2)
        self.p.wait()

    def body(self):
        return message(self.a.size).replace(b"ann@demo.test", self.user.encode())

    def addresses(self, n):
        self.number += n
        return [f"{self.name}{i}@sink.example" for i in range(self.number - n, self.number)]

    def take(self, messages, connections=4):
        """Recipients per second."""
        clients, body = [Client(self) for _ in range(connections)], self.body()
        lots = [[self.addresses(100) for _ in range(messages // connections)] for _ in clients]
        threads = [threading.Thread(target=lambda c, lot: [c.send(r, body, 86400) for r in lot], args=x) for x in zip(clients, lots)]
        begun = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return messages // connections * connections * 100 / (time.monotonic() - begun)

    def arrive(self, arrivals, n):
        """Milliseconds from a message's 250 to its arrival, one after the other."""
        c, body, out = Client(self), self.body(), []
        for _ in range(n):
            [to] = self.addresses(1)
            begun = time.monotonic()
            c.send([to], body)
            while to not in arrivals.came and time.monotonic() < begun + 60:
                time.sleep(0.0005)
            if to not in arrivals.came:
                raise SystemExit(f"{to} got nothing within a minute")
            out.append(1000 * (arrivals.came[to] - begun))
        return out


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary", default=str(here.parent / "build" / "letterlock"))
    p.add_argument("--few", type=int, default=10000)
    p.add_argument("--many", type=int, default=1000000)
    p.add_argument("--size", type=int, default=4000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=40, help="of 100 recipients each, a round")
    p.add_argument("--arrivals", type=int, default=100, help="single messages a round")
    a = p.parse_args()
    arrivals, sides = Arrivals(), []
    try:
        for name, n in (("few", a.few), ("many", a.many)):
            sides.append(Side(a, name, n, arrivals))
        rate, ms = {s.name: [] for s in sides}, {s.name: [] for s in sides}
        for r in range(a.rounds + 1):
            for s in sides[::1 if r % 2 else -1]:
                v, t = s.take(a.messages), s.arrive(arrivals, a.arrivals)
                if r: # the first is for the caches
                    rate[s.name].append(v)
                    ms[s.name] += t
        for s in sides:
            t = sorted(ms[s.name])
            print(json.dumps({"waiting": s.waiting, "waiting_at_the_end": s.waits(), "taken_per_s": round(statistics.median(rate[s.name])), "arrival_ms": round(statistics.median(t), 1), "arrival_p90_ms": round(t[len(t) * 9 // 10], 1)}), flush=True)
        few, many = (statistics.median(rate[s.name]) for s in sides), (statistics.median(ms[s.name]) for s in sides)
        (f, m), (g, n) = few, many
        print(f"with {a.many:,} waiting: {m / f:.2f} times the rate of taking, {n / g:.2f} times the time to arrive")
        return 0 if m >= 0.8 * f and n <= 1.2 * g else 1
    finally:
        for s in sides:
            s.stop()
            shutil.rmtree(s.work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
