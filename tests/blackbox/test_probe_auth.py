"""`letterlock probe spf|dkim|arc|dmarc` from master files: published vectors through the program, many in one run."""
import csv
import email
import json
import pathlib
import subprocess
import sys

import pytest

from conftest import PROGRAM, ROOT

sys.path.insert(0, str(ROOT / "tests" / "conformance" / "origin"))
import spf_zone  # noqa: E402

TESTDATA = ROOT / ".." / "shared" / "testdata"


def probe(*args, stdin=None):
    return subprocess.run([PROGRAM, "probe", *map(str, args)], input=stdin, capture_output=True, text=True, timeout=120)


def answers(*args, **kw):
    r = probe(*args, "--json", **kw)
    assert r.returncode == 0, r.stderr
    return [json.loads(line) for line in r.stdout.splitlines()]


def spf_suite(name, tmp_path, counts=lambda test: True):
    scenarios = spf_zone.load(name)
    if scenarios is None:
        pytest.skip(f"{name} of Debian's python3-spf is not there")
    right, wrong = 0, []
    for scenario in scenarios:
        zone = tmp_path / "zone"
        zone.write_text(spf_zone.zone(scenario))
        got = {a["name"]: a for a in answers("spf", "--zone", zone, "--batch", "-", stdin=spf_zone.cases(scenario))}
        for key, test in scenario["tests"].items():
            if not counts(test):
                continue
            complaint = spf_zone.complaint(test, got[key])
            right += complaint is None
            wrong += [f"{key}: {complaint}"] if complaint else []
    assert not wrong, "\n".join(wrong)
    return right


def test_all_203_cases_of_the_rfc_7208_suite_are_right(tmp_path):
    assert spf_suite("rfc7208-tests.yml.gz", tmp_path) == 203


def test_the_cases_of_pyspf_itself_are_right(tmp_path):
    # "strict" asks for modes that RFC 7208 does not have.
    assert spf_suite("test.yml.gz", tmp_path, lambda test: "strict" not in test) == 14


def test_spf_tells_every_step_in_words_and_as_data(tmp_path):
    zone = tmp_path / "z"
    zone.write_text('example.org. 60 IN TXT "v=spf1 a include:b.example -all exp=why.example"\nexample.org. 60 IN A 192.0.2.9\n'
                    'b.example. 60 IN TXT "v=spf1 ip4:198.51.100.0/24"\nwhy.example. 60 IN TXT "no: %{i}"\n')
    args = ["spf", "--zone", zone, "--ip", "192.0.2.1", "--helo", "h.example", "--from", "ann@example.org"]
    r = probe(*args)
    assert r.returncode == 0 and r.stderr == ""
    for words in ("result         fail", "A example.org: ok: 192.0.2.9", "include:b.example of example.org: no match", "-all of example.org: match", "no: 192.0.2.1"):
        assert words in r.stdout, r.stdout
    [a] = answers(*args)
    assert (a["result"], a["mechanism"], a["explanation"], a["lookups"], a["voids"]) == ("fail", "-all", "no: 192.0.2.1", 2, 0)
    assert [s["what"] for s in a["steps"]][0] == "identity" and a["steps"][-1]["what"] == "result"
    assert a["received_spf"].startswith("Received-SPF: fail (")


def test_zones_may_be_several_and_a_timeout_is_one(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text('example.org. 60 IN TXT "v=spf1 include:b.example -all"\n')
    two.write_text('; TIMEOUT b.example. TXT\nc.example. 60 IN A 192.0.2.1\n')
    [a] = answers("spf", "--zone", one, f"--zone={two}", "--ip", "2001:db8::1", "--from", "x@example.org")
    assert a["result"] == "temperror" and "b.example" in a["why"]
    [a] = answers("spf", "--zone", one, "--ip", "2001:db8::1", "--from", "x@example.org")
    assert a["result"] == "permerror"


def test_what_is_wrong_with_the_question_is_said(tmp_path):
    zone = tmp_path / "z"
    zone.write_text("example.org. 60 IN A 192.0.2.1\n")
    for args, words in ((["spf"], "needs --ip"), (["spf", "--zone", zone, "--ip", "1.2.3"], "no address"), (["dkim"], "needs FILE"),
                        (["dkim", "--zone", zone, "--at", "noon", "x"], "--at"), (["spf", "--zone", zone, "--batch", "-"], "not a JSON object")):
        r = probe(*args, stdin="[]\n")
        assert r.returncode == 2 and words in r.stderr, (args, r)
    for path, words in ((tmp_path / "nobody", "No such file"), (tmp_path, "Is a directory")):
        r = probe("dkim", "--zone", zone, path)
        assert r.returncode == 1 and f"{path} cannot be read" in r.stderr and words in r.stderr and "do:" in r.stderr
    r = probe("spf", "--zone", zone, "--batch", "-", stdin='{"ip":"192.0.2.1"}\n\n{"ip":"x"}\n')
    assert r.returncode == 2 and "line 3 of --batch" in r.stderr and r.stdout.count("result") == 2, r
    r = answers("spf", "--zone", zone, "--batch", "-", stdin='{"id":7,"ip":"192.0.2.1"}\n{"id":"b","ip":"192.0.2.1"}\n')
    assert [x["name"] for x in r] == ["7", "b"]
    zone.write_text("example.org. 60 IN A nonsense\n")
    r = probe("spf", "--zone", zone, "--ip", "192.0.2.1")
    assert r.returncode == 1 and f"{zone} is no zone file" in r.stderr and "line 1" in r.stderr


def test_options_may_stand_anywhere_and_a_sender_in_brackets(tmp_path):
    zone = tmp_path / "z"
    zone.write_text('example.org. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"\n')
    r = subprocess.run([PROGRAM, "--json", "--config", "/nonexistent", "probe", "spf", f"--zone={zone}", "--from=<ann@example.org>", "--ip=192.0.2.1"], capture_output=True, text=True)
    assert r.returncode == 0 and json.loads(r.stdout)["result"] == "pass", r
    r = subprocess.run([PROGRAM, "--jsn", "probe", "spf"], capture_output=True, text=True)
    assert r.returncode == 2 and "--jsn" in r.stderr


def test_dkim_and_arc_tell_every_step(tmp_path):
    if not TESTDATA.exists():
        pytest.skip("../shared/testdata is not there")
    zone = tmp_path / "z"
    with open(TESTDATA / "dkim" / "rfc" / "keys.tsv") as f:
        zone.write_text("".join(f'{r["name"]}. TXT ' + " ".join(f'"{r["txt"][i:i + 250]}"' for i in range(0, len(r["txt"]), 250)) + "\n" for r in csv.DictReader(f, delimiter="\t")))
    [a] = answers("dkim", "--zone", zone, TESTDATA / "dkim" / "rfc" / "rfc8463-a3.eml")
    assert [s["what"] for s in a["steps"]] == ["signature", "body", "dns", "key", "header", "dkim"] * 2
    assert "header relaxed, body relaxed, signs from:to:subject" in a["steps"][0]["text"] and a["steps"][9]["text"] == "rsa, 1024 bits"
    altered = tmp_path / "m"
    altered.write_bytes((TESTDATA / "dkim" / "rfc" / "rfc8463-a3.eml").read_bytes() + b"more\r\n")
    [a] = answers("dkim", "--zone", zone, altered)
    assert a["steps"][1]["text"].startswith("the body was altered") and a["result"] == "fail"
    assert all((s["body_hash"], s["signature_ok"], s["result"]) == (False, True, "fail") for s in a["signatures"]), "its header is as it was"
    [a] = answers("dkim", "--zone", zone, TESTDATA / "dkim" / "rfc" / "unsigned.eml")
    assert (a["result"], a["why"]) == ("none", "the message has no DKIM-Signature field")
    [a] = answers("arc", "--zone", zone, altered)
    assert (a["result"], a["why"]) == ("none", "the message has no ARC fields")


def test_without_a_server_and_without_a_zone_it_says_what_to_do(tmp_path):
    config = tmp_path / "l.conf"
    config.write_text(f'config_version = 1\nserver {{\n  hostname = "mx.example.org"\n  data_dir = "{tmp_path}/data"\n  control = "{tmp_path}/ctl"\n}}\nlisten {{ smtp = {{"127.0.0.1:2525"}} }}\n')
    r = probe("spf", "--ip", "192.0.2.1", "--from", "a@example.org", "--config", config)
    assert r.returncode == 1 and "no server runs" in r.stderr and "--zone" in r.stderr, r.stderr


def test_the_running_servers_resolver_is_asked_when_there_is_no_zone(server):
    [a] = answers("spf", "--ip", "127.0.0.1", "--helo", "h.example", "--from", "ann@demo.test", "--config", server.facts["config"])
    assert a["result"] == "pass" and a["domain"] == "demo.test" and any("TXT demo.test: ok" in s["text"] for s in a["steps"])
    [a] = answers("spf", "--ip", "192.0.2.77", "--helo", "h.example", "--from", "ann@demo.test", "--config", server.facts["config"])
    assert a["result"] == "fail"


def test_ten_thousand_includes_and_a_long_record_are_bounded(tmp_path):
    zone = tmp_path / "z"
    zone.write_text("".join(f'i{i}.example. 60 IN TXT "v=spf1 include:i{i + 1}.example include:i{i + 2}.example"\n' for i in range(10000)) +
                    "big.example. 60 IN TXT \"v=spf1\" " + " ".join('" ip4:198.51.100.%d"' % (i % 250) for i in range(3000)) + "\n")
    [a] = answers("spf", "--zone", zone, "--ip", "192.0.2.1", "--from", "x@i0.example")
    assert a["result"] == "permerror" and a["lookups"] == 10 and sum(s["what"] == "dns" for s in a["steps"]) == 11
    [a] = answers("spf", "--zone", zone, "--ip", "192.0.2.1", "--from", "x@big.example")
    assert a["result"] == "permerror" and "4096" in a["why"]
    huge = '"v=spf1 +all" ' + ('"' + "x" * 255 + '" ') * 4200  # a mebibyte, more than any server could answer
    zone.write_text(f"huge.example. 60 IN TXT {huge}\nk._domainkey.huge.example. 60 IN TXT {huge}\n_dmarc.huge.example. 60 IN TXT {huge}\n"
                    "ok.example. 60 IN TXT \"v=spf1 include:huge.example ~all\"\n")
    for name in ("huge.example", "ok.example"):
        [a] = answers("spf", "--zone", zone, "--ip", "192.0.2.1", "--from", f"x@{name}")
        assert a["result"] == "permerror" and "4096" in a["why"]
    message = tmp_path / "m"
    message.write_bytes(b"DKIM-Signature: v=1; a=rsa-sha256; d=huge.example; s=k; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\nFrom: a@huge.example\r\n\r\n")
    [a] = answers("dkim", "--zone", zone, message)
    assert a["result"] == "permerror" and "the key record is longer than" in a["signatures"][0]["why"]
    [a] = answers("dmarc", "--zone", zone, message)
    assert a["result"] in ("none", "permerror")


def keys_zone(path, tmp_path):
    """A keys.tsv (name, TXT content) as a master file."""
    zone = tmp_path / "keys.zone"
    rows = [r for r in csv.reader(path.open(), delimiter="\t", quoting=csv.QUOTE_NONE) if len(r) >= 2 and r[0] != "name"]
    zone.write_text("".join(f"{r[0]}. 60 IN TXT {spf_zone.text(r[1])}\n" for r in rows))
    return zone


def test_the_signed_examples_of_the_rfcs_pass(tmp_path):
    folder = TESTDATA / "dkim" / "rfc"
    if not folder.exists():
        pytest.skip("../shared/testdata/dkim is not there")
    files = sorted(folder.glob("*.eml"))
    got = answers("dkim", "--zone", keys_zone(folder / "keys.tsv", tmp_path), "--at", "2026-01-01", *files)
    assert [a["name"] for a in got] == [str(f) for f in files]
    signatures = [s for a in got for s in a["signatures"]]
    assert len(signatures) == 4 and all(s["body_hash"] and s["result"] == "pass" for s in signatures), signatures
    assert sorted(a["result"] for a in got).count("none") == 1


def test_arc_chains_pass_and_fail_as_published(tmp_path):
    path = TESTDATA / "arc" / "validation.yml"
    if not path.exists():
        pytest.skip("../shared/testdata/arc is not there")
    import yaml
    tried, wrong = 0, []
    for scenario in yaml.safe_load_all(path.read_text()):
        zone = tmp_path / "arc.zone"
        zone.write_text("".join(f"{n}. 60 IN TXT {spf_zone.text(t)}\n" for n, t in (scenario.get("txt-records") or {}).items()))
        wanted, files = {}, []
        for key, test in scenario["tests"].items():
            file = tmp_path / f"{key}.eml"
            file.write_bytes(test["message"].replace("\n", "\r\n").encode())
            wanted[str(file)] = str(test["cv"] or "").lower()
            files.append(file)
        for a in answers("arc", "--zone", zone, *files):
            want = wanted[a["name"]]
            tried += 1
            if a["result"] not in ({"fail", "none"} if want == "" else {want}):
                wrong.append(f"{a['name']}: {a['result']} instead of {want}: {a['why']}")
    assert tried == 120 and not wrong, wrong


MESSAGE = "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nhello\r\n"
DMARC_ZONE = ('_dmarc.example.org. 60 IN TXT "v=DMARC1; p=reject"\nexample.org. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"\nexample.org. 60 IN A 192.0.2.1\n'
              'other.example. 60 IN TXT "v=spf1 ip4:192.0.2.2 -all"\n')


def test_dmarc_says_who_proved_the_author(tmp_path):
    zone, message = tmp_path / "z", tmp_path / "m.eml"
    zone.write_text(DMARC_ZONE)
    message.write_bytes(MESSAGE.encode())
    [good] = answers("dmarc", message, "--zone", zone, "--ip", "192.0.2.1", "--helo", "h.example", "--from", "ann@example.org")
    assert (good["result"], good["spf"], good["spf_aligned"], good["policy"], good["record_at"]) == ("pass", "pass", True, "none", "example.org")
    [bad] = answers("dmarc", message, "--zone", zone, "--ip", "192.0.2.2", "--helo", "h.example", "--from", "eve@other.example")
    assert (bad["result"], bad["spf"], bad["spf_aligned"], bad["policy"]) == ("fail", "pass", False, "reject")
    [alone] = answers("dmarc", message, "--zone", zone)
    assert alone["result"] == "fail" and "spf" not in alone
    text = probe("dmarc", message, "--zone", zone)
    assert text.returncode == 0 and "policy         reject" in text.stdout


def test_authentication_results_are_read_alike_by_another_reader(tmp_path):
    authres = pytest.importorskip("authres", reason="Debian's python3-authres is not there")
    zone, message = tmp_path / "z", tmp_path / "m.eml"
    zone.write_text(DMARC_ZONE)
    message.write_bytes(MESSAGE.encode())
    for ip, sender, spf, dmarc in (("192.0.2.1", "ann@example.org", "pass", "pass"), ("2001:db8::7", "<>", "none", "fail"), ("192.0.2.2", "we\"ird (x)@other.example", "pass", "fail")):
        [a] = answers("dmarc", message, "--zone", zone, "--ip", ip, "--helo", "h.example", "--from", sender, "--receiver", "mx.example.net")
        field = email.message_from_string(a["field"] + "\n\n")["Authentication-Results"]
        read = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + " ".join(field.split()))
        assert read.authserv_id == "mx.example.net"
        found = {r.method: r for r in read.results}
        assert found["spf"].result == spf and found["dkim"].result == "none" and found["dmarc"].result == dmarc
        assert [(p.type, p.name, p.value) for p in found["dmarc"].properties][0] == ("header", "from", "example.org")
