"""The published SPF test suites (YAML of the SPF council) as a master file and a list of cases for `letterlock probe spf --zone … --batch …`."""
import gzip
import json
import pathlib

FOLDER = pathlib.Path("/usr/share/doc/python3-spf")
SUITES = ["rfc7208-tests.yml.gz", "test.yml.gz"]
OLD_RESULTS = {"unknown": "permerror", "error": "temperror"}


def load(name):
    """The scenarios of a suite, or None when it is not installed."""
    import yaml
    path = FOLDER / name
    if not path.exists():
        return None
    text = gzip.open(path).read() if name.endswith(".gz") else path.read_bytes()
    return [s for s in yaml.safe_load_all(text) if s and "tests" in s]


def owner(name):
    """Absolute, every octet that a master file could misread as \\DDD."""
    out = "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in "-_." else "\\%03d" % b for b in name.encode("utf-8"))
    return out.rstrip(".") + "."


def text(value):
    strings = [value] if isinstance(value, str) else list(value)
    out = []
    for s in strings:
        octets = s.encode("utf-8")
        # One string of YAML may be longer than a character-string holds; joined they are the same.
        pieces = [octets[i:i + 255] for i in range(0, len(octets), 255)] or [b""]
        out += ['"' + "".join(chr(b) if 0x20 <= b < 0x7f and chr(b) not in '"\\' else "\\%03d" % b for b in p) + '"' for p in pieces]
    return " ".join(out) or '""'  # TXT of no strings at all cannot be on the wire


def record(name, kind, value):
    if kind == "TXT":
        return f"{name} 60 IN TXT {text(value)}"
    if kind == "MX":
        return f"{name} 60 IN MX {value[0]} {owner(value[1]) if value[1] else '.'}"
    if kind in ("CNAME", "PTR"):
        return f"{name} 60 IN {kind} {owner(value)}"
    if kind in ("A", "AAAA"):
        return f"{name} 60 IN {kind} {value}"
    return f"; {kind} records are none of our business"


def entry(name, records):
    """Type SPF stands for TXT too, unless there is TXT (which may be NONE). TIMEOUT: questions for what is not there, or for that type, time out."""
    maps = [r for r in records if isinstance(r, dict)]
    pairs = [(t, v) for m in maps for t, v in m.items()]
    if not any(t == "TXT" for t, _ in pairs):
        pairs += [("TXT", v) for t, v in pairs if t == "SPF"]
    pairs = [(t, v) for t, v in pairs if t != "SPF" and v != "NONE"]
    lines = [record(owner(name), t, v) for t, v in pairs if v != "TIMEOUT"]
    lines += [f"; TIMEOUT {owner(name)} {t}" for t, v in pairs if v == "TIMEOUT"]
    if "TIMEOUT" in records:
        there = {t for t, _ in pairs}
        lines += [f"; TIMEOUT {owner(name)} {t}" for t in ("A", "AAAA", "MX", "PTR", "TXT") if t not in there]
    return lines


def zone(scenario):
    lines = []
    for name, records in scenario["zonedata"].items():
        lines += entry(str(name), records)
    return "\n".join(lines) + "\n"


def cases(scenario):
    return "".join(json.dumps({"id": k, "ip": str(t["host"]), "helo": str(t["helo"]), "from": str(t["mailfrom"])}) + "\n" for k, t in scenario["tests"].items())


def complaint(test, answer):
    """None when the answer is one that the suite accepts, and the explanation is the one it wants (DEFAULT: none of the domain's own)."""
    wanted = test["result"] if isinstance(test["result"], list) else [test["result"]]
    wanted = [OLD_RESULTS.get(w, w) for w in wanted]
    if answer["result"] not in wanted:
        return f"{answer['result']} instead of {'/'.join(wanted)}: {answer['why']}"
    want = test.get("explanation")
    if want is None:
        return None
    want = "" if want == "DEFAULT" else want
    return None if answer["explanation"] == want else f"explanation {answer['explanation']!r} instead of {want!r}"
