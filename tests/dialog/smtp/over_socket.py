#!/usr/bin/env python3
"""Starts a server that prints its port, plays the scripts against it with dialog.py, in one piece and in small packets.

    over_socket.py SERVER DIALOG.PY SCRIPT...

Plays in which the server hangs up are not cut into packets: when the client still talks then, TCP may drop the server's last words.
"""
import subprocess
import sys


def hangs_up(script):
    with open(script, "rb") as file:
        return b"\nEOF" in file.read()


def main():
    server, player, *scripts = sys.argv[1:]
    rounds = {"0": scripts, "13": [name for name in scripts if not hangs_up(name)]}
    with subprocess.Popen([server], stdout=subprocess.PIPE) as process:
        try:
            where = "127.0.0.1:" + process.stdout.readline().decode().strip()
            codes = [
                subprocess.run([sys.executable, player, "--packet", packet, where, *names], check=False).returncode
                for packet, names in rounds.items()
            ]
        finally:
            process.terminate()
        return 1 if any(codes) or process.wait(20) else 0


if __name__ == "__main__":
    sys.exit(main())
