#!/usr/bin/python3
"""Turns the cases of testdata/dmarc/cases.yml into lines and runs them: dmarc_cases.py CASES.yml PROGRAM. Exit 77: the cases are not here."""
import subprocess
import sys

import yaml


def hexed(text):
    return text.encode().hex() or "-"


def records(name, types):
    if types == "TIMEOUT":
        yield f"fail {name}"
        return
    for kind, values in types.items():
        for value in values:
            if value == "TIMEOUT":
                yield f"fail {name}"
            elif kind == "TXT":
                yield f"txt {name} {hexed(value if isinstance(value, str) else ''.join(value))}"
            else:
                yield f"rr {name} {kind} {hexed(str(value))}"


def lines(case):
    yield f"case {case['id']} {int(bool(case.get('disputed')))}"
    for name, types in case["zone"].items():
        yield from (f"fail {name}",) if types == "TIMEOUT" else records(name, types)
    senders = case["from"] if isinstance(case["from"], list) else [case["from"]]
    yield f"from {hexed(', '.join(senders))}"
    if "spf" in case:
        yield f"spf {hexed(case['spf'])}"
    for domain in case.get("dkim", []):
        yield f"dkim {hexed(domain)}"
    for key, value in case["expect"].items():
        if isinstance(value, list):
            value = ",".join(value)
        yield f"expect {key} {hexed(str(value))}"
    yield "run"


def main():
    try:
        with open(sys.argv[1], encoding="utf-8") as f:
            cases = yaml.load(f, Loader=yaml.BaseLoader)["cases"]
    except FileNotFoundError:
        print(f"skipped: {sys.argv[1]} is not here")
        return 77
    for case in cases:
        case["disputed"] = case.get("disputed") == "true"
    text = "\n".join(line for case in cases for line in lines(case)) + "\n"
    return subprocess.run([sys.argv[2]], input=text.encode(), timeout=60).returncode


sys.exit(main())
