#!/usr/bin/env python3
"""Plays the same scripts as dialog.c against a real daemon.

    dialog.py [--tls] [--lmtp PATH] [--ca FILE] [--patience S] [--packet N] HOST:PORT SCRIPT...

Claims about the house (HOUSE) are passed over; SET, TIME+ and WAKE cannot be done over a socket: a script with such a step is skipped by name,
or only those with TIME+ and WAKE when --lenient says that the daemon is set up as SET asks. Ends with "N passed, N failed, N skipped"; 1 when one failed or none was played.
"""
import argparse
import re
import socket
import ssl
import sys

CANNOT = ("TIME+", "WAKE")


class Different(Exception):
    pass


class Client:
    def __init__(self, args):
        self.args = args
        if args.lmtp:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(args.patience)
            self.sock.connect(args.lmtp)
        else:
            host, _, port = args.where.rpartition(":")
            self.sock = socket.create_connection((host.strip("[]"), int(port)), args.patience)
        self.heard = b""
        if args.tls:
            self.start_tls()

    def start_tls(self):
        context = ssl.create_default_context(cafile=self.args.ca)
        if not self.args.ca:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        host = self.args.where.rpartition(":")[0].strip("[]")
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self.heard = b""

    def say(self, octets):
        step = self.args.packet or len(octets) or 1
        try:
            for at in range(0, len(octets), step):
                self.sock.sendall(octets[at:at + step])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it hung up meanwhile: what it said before that is what counts

    def line(self):
        while b"\r\n" not in self.heard:
            try:
                more = self.sock.recv(65536)
            except socket.timeout:
                raise Different("the server said nothing more") from None
            if not more:
                raise Different("the server closed the connection")
            self.heard += more
        line, self.heard = self.heard.split(b"\r\n", 1)
        return line

    def ended(self):
        try:
            rest = self.heard + self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            return
        except socket.timeout:
            raise Different("the server goes on") from None
        if rest:
            raise Different("the server said more: %r" % rest)


def unescape(text):
    special = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}

    def one(found):
        code = found.group(1)
        return bytes([int(code[1:], 16)]) if len(code) == 3 else special.get(code, code)

    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)", one, text)


def talk(line):
    """What the client says in this step, or None when it is another kind of step."""
    if line.startswith(b"C:"):
        text = line[3:] if line.startswith(b"C:+") else line[2:]
        return text.removeprefix(b" ") + b"\r\n"
    if line.startswith(b"R: "):
        return unescape(line[3:])
    if line.startswith(b"MANY "):
        count, _, text = line[5:].partition(b" ")
        return unescape(text) * int(count)
    return None


def matches(pattern, line):
    return re.fullmatch(b".*".join(re.escape(part) for part in pattern.split(b"*")), line, re.DOTALL)


def expect(client, line):
    want = line[2:].removeprefix(b" ")
    while True:
        got = client.line()
        if matches(want, got):
            return
        if not line.startswith(b"S*"):
            raise Different("another answer: %r" % got)


def play(args, lines, house=None):
    """`house`: is handed each HOUSE step, when somebody can do it or look behind the server."""
    client = None
    saying = b""
    at = 0
    try:
        for at, line in enumerate(lines, 1):
            if house and line.startswith(b"HOUSE "):
                house(line[6:].decode())
            if not line or line.startswith((b"#", b"SET ", b"HOUSE ")):
                continue
            client = client or Client(args)
            said = talk(line)
            if said is not None:
                saying += said
                continue
            if saying:
                client.say(saying)
                saying = b""
            if line.startswith((b"S:", b"S*")):
                expect(client, line)
            elif line == b"TLS":
                pass  # begun at the step before, when the server said 220
            elif line == b"EOF":
                client.ended()
            elif line == b"CLOSE":
                client.sock.close()
                return
            else:
                raise Different("no such step")
            if starts_tls(lines, at):
                client.start_tls()
        if saying:
            client.say(saying)
    except (Different, OSError) as reason:
        raise Different("line %d: %s\n  script: %s" % (at, reason, lines[at - 1].decode("latin-1"))) from None
    finally:
        if client:
            client.sock.close()


def starts_tls(lines, at):
    """Was the step before line `at` + 1 the server's yes to STARTTLS or STLS? The word is the last the client said."""
    if not re.match(rb"S: (220|\+OK|\S+ OK)", lines[at - 1]):
        return False
    said = [line for line in lines[:at] if line.startswith(b"C:")]
    since = [line for line in lines[:at - 1] if line.startswith((b"C:", b"S"))]
    if not said or not since or not since[-1].startswith(b"C:"):
        return False
    block = []
    for line in reversed(since):
        if not line.startswith(b"C:"):
            break
        block.append(line[2:].lstrip(b"+ ").upper())
    return any(word.split()[-1:] in ([b"STARTTLS"], [b"STLS"]) for word in block)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", help="HOST:PORT (with --lmtp: anything)")
    parser.add_argument("scripts", nargs="+")
    parser.add_argument("--tls", action="store_true", help="TLS from the first octet")
    parser.add_argument("--lmtp", metavar="PATH", help="a Unix socket instead")
    parser.add_argument("--ca", help="verify the server against this CA; without it the certificate is not looked at")
    parser.add_argument("--patience", type=float, default=10.0, metavar="S")
    parser.add_argument("--packet", type=int, default=0, metavar="N", help="octets a write")
    parser.add_argument("--lenient", action="store_true", help="pass over SET steps instead of skipping the script")
    args = parser.parse_args()
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name in args.scripts:
        with open(name, "rb") as file:
            lines = file.read().split(b"\n")
        steps = CANNOT if args.lenient else CANNOT + ("SET ",)
        if any(line.startswith(tuple(s.encode() for s in steps)) for line in lines):
            print("%s: skipped, needs the in-process house" % name)
            count["skipped"] += 1
            continue
        try:
            play(args, lines)
            count["passed"] += 1
        except Different as reason:
            print("%s: %s" % (name, reason))
            count["failed"] += 1
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
