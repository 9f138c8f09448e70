"""Speaks with dkim_tool (see dkim_tool.c): one process, any number of messages."""
import struct
import subprocess


def octets(x):
    return x.encode() if isinstance(x, str) else x


class Tool:
    def __init__(self, program):
        self.p = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, letter, *fields):
        self.p.stdin.write(letter.encode() + b"".join(struct.pack(">I", len(octets(f))) + octets(f) for f in fields))

    def ask(self, letter, *fields):
        self.send(letter, *fields)
        self.p.stdin.flush()
        (n,) = struct.unpack(">I", self.p.stdout.read(4))
        return self.p.stdout.read(n)

    def verify(self, message):
        """[(result, line)] of the signatures, and (result, line) of the chain."""
        lines = self.ask("V", message).decode(errors="replace").splitlines()
        return [(x.split()[1], x) for x in lines if x.startswith("sig ")], next((x.split()[1], x) for x in lines if x.startswith("arc "))

    def close(self):
        self.p.stdin.close()
        return self.p.wait()
