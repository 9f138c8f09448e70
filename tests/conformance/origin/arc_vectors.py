#!/usr/bin/python3
"""The ValiMail ARC suite: arc_vectors.py FOLDER PROGRAM. Exit 77: the vectors are not here."""
import pathlib
import re
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from dkim_tool import Tool


def message_of(test):
    return test["message"].encode().replace(b"\n", b"\r\n")


def keys(tool, scenario):
    for name, text in (scenario.get("txt-records") or {}).items():
        tool.send("K", name, text.replace("\n", ""))


def validate(program, path):
    """An empty cv: the newest seal says cv=fail already; "fail" is what RFC 8617 answers."""
    for scenario in yaml.safe_load_all(path.read_text()):
        tool = Tool(program)
        tool.send("O", "now=1700000000")
        keys(tool, scenario)
        for name, test in scenario["tests"].items():
            (result, line) = tool.verify(message_of(test))[1]
            yield name, result == (test["cv"] or "fail").lower(), f"wanted {test['cv'] or 'fail'}: {line}"
        assert tool.close() == 0


def unfolded(value):
    return re.sub(r"\s*\r?\n\s*", " ", value).strip()


def results(message, authserv):
    """What the sealer has to say: all Authentication-Results of that server, in one."""
    head = message.decode().split("\r\n\r\n")[0]
    parts = []
    for field in re.split(r"\r\n(?![ \t])", head):
        name, _, value = field.partition(":")
        server, _, rest = unfolded(value).partition(";")
        if name.lower() == "authentication-results" and server.strip() == authserv:
            parts += [x.strip() for x in rest.split(";") if x.strip()]
    return f"{authserv}; " + "; ".join(parts), next((p[4:] for p in parts if p.startswith("arc=")), "none")


def squeezed(text):
    return re.sub(r"\s", "", text)


def fields(out):
    """The values of what was made, by name."""
    found = re.findall(r"^(ARC-[\w-]+):((?:.|\r\n[ \t])*?)\r\n(?![ \t])", out, flags=re.M)
    return {name: squeezed(value) for name, value in found}


def seal(program, path):
    for scenario in yaml.safe_load_all(path.read_text()):
        tool = Tool(program)
        tool.send("P", scenario["domain"], scenario["sel"], scenario["privatekey"])
        for name, test in scenario["tests"].items():
            message = message_of(test)
            value, chain = results(message, test["srv-id"])
            tool.send("O", f"plain now={test['t']} headers={test['sig-headers']} chain={chain} results={value}")
            out = tool.ask("A", message).decode()
            if not test["AS"]:
                yield name, out.startswith("denied:"), out
                continue
            made = fields(out)
            wanted = {"ARC-Seal": test["AS"], "ARC-Message-Signature": test["AMS"], "ARC-Authentication-Results": test["AAR"]}
            yield name, made == {k: squeezed(v) for k, v in wanted.items()}, f"made {made}\nout {out}"
        assert tool.close() == 0


def run(what, cases):
    cases = list(cases)
    bad = [(name, why) for name, ok, why in cases if not ok]
    for name, why in bad:
        print(f"{what} {name}: FAILED: {why}")
    print(f"{what}: {len(cases) - len(bad)} of {len(cases)}")
    return not bad and cases


def main():
    folder, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    if not (folder / "validation.yml").exists():
        print(f"skipped: no ARC vectors in {folder}")
        sys.exit(77)
    ok = run("validation", validate(program, folder / "validation.yml"))
    sys.exit(not (run("signing", seal(program, folder / "signing.yml")) and ok))


main()
