"""A server whose mail to others goes to peers on loopback that the tests write, and letters in its queue."""
import asyncio
import os
import pathlib
import smtplib
import socket
import ssl
import subprocess
import threading

from conftest import PROGRAM
from helpers import wait_for

QUEUE_FILL = os.environ.get("LETTERLOCK_QUEUE_FILL", str(pathlib.Path(PROGRAM).resolve().parent / "tests" / "relay" / "queue_fill"))
MESSAGE = b"From: ann@demo.test\r\nTo: you\r\nSubject: hello\r\nMessage-ID: <1@demo.test>\r\n\r\nFirst line\r\n.dot\r\nlast\r\n"


def free_port(host="127.0.0.1"):
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class Peer:
    """An SMTP server of a few lines: `say` is asked for the answer to each command; what is taken is kept in `taken` as (from, [to], message)."""

    def __init__(self, port, host="127.0.0.1", say=None, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000"), tls=None, name="peer.example", greeting=None):
        self.port, self.host, self.say, self.extensions, self.tls, self.name = port, host, say or (lambda verb, line: None), list(extensions), tls, name
        self.greeting = greeting or f"220 {name} ESMTP"
        self.taken, self.connections, self.open, self.most_open, self.lines = [], 0, 0, 0, []
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, self.host, self.port, limit=1 << 26, backlog=512))
        self.ready.set()
        self.loop.run_forever()

    def stop(self):
        async def end():
            self.server.close()
            others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for t in others:
                t.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.loop.stop()
        self.loop.call_soon_threadsafe(lambda: asyncio.ensure_future(end()))
        self.thread.join(10)

    async def serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            await self.session(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def answer(self, writer, verb, line, usual):
        said = self.say(verb, line)
        if said is None:
            said = usual
        if said == "close":
            raise ConnectionResetError
        if isinstance(said, tuple):
            await asyncio.sleep(said[0])
            said = said[1]
        writer.write((said + "\r\n").encode())
        await writer.drain()
        return said

    async def session(self, reader, writer):
        sender, to = None, []
        await self.answer(writer, "CONNECT", "", self.greeting)
        secure = False
        while True:
            line = (await reader.readuntil(b"\n")).decode("utf-8", "surrogateescape").rstrip("\r\n")
            self.lines.append(line)
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                ext = [self.name] + self.extensions + (["STARTTLS"] if self.tls and not secure else [])
                await self.answer(writer, verb, line, "\r\n".join(f"250{'-' if i + 1 < len(ext) else ' '}{e}" for i, e in enumerate(ext)))
            elif verb == "STARTTLS":
                if (await self.answer(writer, verb, line, "220 go")).startswith("220"):
                    await writer.start_tls(self.tls)
                    secure = True
            elif verb == "MAIL":
                if (await self.answer(writer, verb, line, "250 2.1.0 ok"))[0] == "2":
                    sender, to = line, []
            elif verb == "RCPT":
                if (await self.answer(writer, verb, line, "250 2.1.5 ok"))[0] == "2":
                    to.append(line[line.index("<") + 1:line.index(">")])
            elif verb == "DATA":
                if (await self.answer(writer, verb, line, "354 go" if to else "554 5.5.1 nobody"))[0] != "3":
                    continue
                body = b""
                while not body.endswith(b"\r\n.\r\n"):
                    body += await reader.readuntil(b"\n")
                    if body == b".\r\n":
                        break
                body = body[:-3]
                if body.startswith(b"."):
                    body = body[1:]
                message = body.replace(b"\r\n..", b"\r\n.")
                said = self.say("DOT", line)
                if said is None or (said if isinstance(said, str) else said[1])[0] == "2":
                    self.taken.append((sender, list(to), message))
                await self.answer(writer, "DOTTED", line, said if isinstance(said, str) else "250 2.0.0 taken") if said != "close" else None
                if said == "close":
                    return
                sender, to = None, []
            elif verb == "RSET":
                await self.answer(writer, verb, line, "250 ok")
                sender, to = None, []
            elif verb == "QUIT":
                await self.answer(writer, verb, line, "221 bye")
                return
            else:
                await self.answer(writer, verb, line, "502 5.5.2 what?")

    def recipients(self):
        return [t for _, to, _ in self.taken for t in to]


def zone_text(*hosts):
    """hosts: (domain, address or list): the domain's MX is mx.DOMAIN there. Other lines as they are."""
    out = ["$TTL 60"]
    for h in hosts:
        if isinstance(h, str):
            out.append(h)
            continue
        domain, addresses = h
        out += [f"{domain}. IN SOA ns.{domain}. root.{domain}. 1 1 1 1 1", f"{domain}. IN MX 10 mx.{domain}."]
        for a in [addresses] if isinstance(addresses, str) else addresses:
            out.append(f"mx.{domain}. IN {'AAAA' if ':' in a else 'A'} {a}")
    return "\n".join(out) + "\n"


FAST = {"retry_first": '"300 ms"', "retry_max": '"1 s"', "down_first": '"200 ms"', "down_max": '"1 s"', "idle": '"200 ms"', "timeout": '"5 s"', "connect_timeout": '"3 s"'}
ONE_PROCESS_EACH = "\n}\nprocess {\nedge = 1\naccess = 1\nscan = 1\n"  # a section of its own: the demo closes the last one


def relay_env(tmp_path, port, zone, **keys):
    """The environment of a demo that delivers to `port` on loopback, with this zone. One process of each role is enough to look at relay, and quick to start anew."""
    file = tmp_path / "world.zone"
    file.write_text(zone)
    k = dict(FAST, port=port, loopback="true", **keys)
    return {"LETTERLOCK_DNS": f'forwarder = "none"\nzones = "{file}"', "LETTERLOCK_RELAY": "\n".join(f"{a} = {b}" for a, b in k.items()) + ONE_PROCESS_EACH}


def fill(server, message=MESSAGE, **keys):
    """Puts letters into the queue; the server is stopped meanwhile. Answers the first letter's number."""
    server.stop()
    p = subprocess.run([QUEUE_FILL, str(server.state / "data"), str(server.state / "root.key"), *[f"{k}={v}" for k, v in keys.items()]],
                       input=message, capture_output=True, timeout=600)
    assert p.returncode == 0, p.stderr.decode()
    server.start()
    return int(p.stdout.split()[0])


def send_out(world, sender, to, options=()):
    """As its author would: the server goes on, so it is quicker than fill() where a letter like any other will do."""
    with smtplib.SMTP("localhost", world.submission, timeout=20) as c:
        c.starttls(context=ssl.create_default_context(cafile=world.ca))
        c.login(sender, "demo-only")
        c.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: x\r\n\r\nx\r\n", mail_options=list(options))


def drop(server, *which, none_is_fine=False):
    """Takes letters out of the queue. One that is being sent at that moment is left alone: it is asked for again."""
    wait_for(lambda: server.cli("queue", "drop", *which, "--yes", check=False).returncode in ((0, 3) if none_is_fine else (0,)))
