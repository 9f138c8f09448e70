#!/usr/bin/python3
"""Do others read the author that we evaluate? from_readers.py TOOL [CORPUS]: headers made from the pieces of spoofing tricks, and those of real mail, go to our
reader and to four of Python's: two parsers of the email package, the old rfc822-style one, and two careless ones (first address-like text; text in the last
angle brackets). Whatever we accept, every reader that finds a domain must find ours, except in a quoted or encoded display name, which is a name."""
import email
import email.header
import email.policy
import email.utils
import os
import random
import re
import subprocess
import sys

ADDRESS = re.compile(r"[^\s<>()\[\]\",;:@]+@([^\s<>()\[\]\",;:@]+)")
PIECES = ["a@evil.example", "ceo@bank.example", "<a@evil.example>", "<ceo@bank.example>", '"Bank"', '"ceo@bank.example"', '"Bank <ceo@bank.example>"', "(", ")", "(ceo@bank.example)",
          ",", ";", ":", "<", ">", "@", ".", " ", "\t", "\r\n ", "\\", '"', '\\"', "Bank", "J. Doe", "=?utf-8?Q?ceo=40bank.example?=", "=?utf-8?Q?=3Cceo=40bank.example=3E?=",
          "=?utf-8?B?PGNlb0BiYW5rLmV4YW1wbGU+?=", "\0", "\r", "\n", "\x0b", "evil.example", "bank.example", "[192.0.2.1]", "\u00e9", "\uff20", "\u202e", "\r\nFrom: ", "\r\nfrom : ",
          "\r\nSubject: x", "@bank.example:", "x:", "[", "]"]


def ask(tool, headers):
    done = subprocess.run([tool], input="".join(h.hex() + "\n" for h in headers).encode(), capture_output=True, timeout=300)
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or len(lines) != len(headers):
        sys.exit(f"wrong: the tool ended with {done.returncode} after {len(lines)} of {len(headers)}")
    return [line.split(" ", 1) for line in lines]


def modern(raw):
    field = email.message_from_bytes(raw, policy=email.policy.default)["From"]
    return [a.domain for a in field.addresses] if field is not None else []


def compat(raw):
    fields = email.message_from_bytes(raw, policy=email.policy.compat32).get_all("From") or []
    return [a.rpartition("@")[2] for _, a in email.utils.getaddresses([str(f) for f in fields]) if "@" in a]


def unquoted(raw):
    """The value without quoted display names and comments."""
    found = re.search(rb"^from[ \t]*:(.*?)(?=\r?\n(?![ \t])|\Z)", raw, re.I | re.S | re.M)
    text = found.group(1).decode("utf-8", "replace") if found else ""
    return re.sub(r'"[^"]*"(?!@)', " ", text)


def first_address(raw):
    found = ADDRESS.search(unquoted(raw))
    return [found.group(1)] if found else []


def brackets(raw):
    return [m.rpartition("@")[2].strip() for m in re.findall(r"<([^<>]*@[^<>]*)>", unquoted(raw))][-1:]


READERS = [modern, compat, first_address, brackets]


def norm(domain):
    """Lower case and A-labels; None when the reader has lost octets on the way."""
    domain = domain.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip().strip(".").lower()
    if "\ufffd" in domain:
        return None
    try:
        return domain.encode("ascii").decode()
    except UnicodeError:
        try:
            return domain.encode("idna").decode()
        except UnicodeError:
            return domain


def judge(headers, answers):
    wrong = accepted = 0
    for raw, (rc, domain) in zip(headers, answers):
        if rc != "ok":
            continue
        accepted += 1
        for reader in READERS:
            try:
                seen = {norm(d) for d in reader(raw) if d} - {None}
            except Exception:  # Python's parser gives up on some; then it shows nobody
                continue
            if seen - {domain}:
                wrong += 1
                if wrong <= 20:
                    print(f"wrong: we say {domain}, {reader.__name__} {seen}: {raw!r}")
    return accepted, wrong


def made(n):
    dice = random.Random(20261124)
    for _ in range(n):
        yield ("From: " + "".join(dice.choice(PIECES) for _ in range(dice.randint(1, 7))) + "\r\nSubject: hello\r\n\r\n").encode("utf-8", "surrogateescape")


def real(folder):
    for base, _, names in os.walk(folder):
        for name in sorted(names):
            with open(os.path.join(base, name), "rb") as f:
                raw = f.read(65536)
            head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0] + b"\r\n\r\n"
            if re.search(rb"^from[ \t]*:", head, re.I | re.M):
                yield head


def main():
    bad = 0
    headers = list(made(30000))
    accepted, wrong = judge(headers, ask(sys.argv[1], headers))
    print(f"made up: {accepted} of {len(headers)} accepted, {wrong} read differently by others")
    bad += wrong or accepted == 0
    if len(sys.argv) > 2 and os.path.isdir(sys.argv[2]):
        headers = list(real(sys.argv[2]))
        answers = ask(sys.argv[1], headers)
        accepted, wrong = judge(headers, answers)
        print(f"real mail: {accepted} of {len(headers)} accepted, {wrong} read differently by others")
        if "-v" in sys.argv:
            for raw, (rc, text) in zip(headers, answers):
                if rc != "ok":
                    print(rc, text, re.findall(rb"^from[ \t]*:.*(?:\n[ \t].*)*", raw, re.I | re.M)[:3])
        bad += wrong
    elif len(sys.argv) > 2:
        print(f"skipped: real mail ({sys.argv[2]} is not here)")
    return 1 if bad else 0


sys.exit(main())
