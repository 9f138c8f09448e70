"""Signed by us, verified by others; signed by others, verified by us: dkimpy, Mail::DKIM, OpenDKIM. RSA and Ed25519 (Mail::DKIM of Debian 12 knows
only RSA), both canonicalisations of header and body, 1,000 real messages each way."""
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import CANONS, DOMAIN, MESSAGES

HERE = pathlib.Path(__file__).parent
dkim = pytest.importorskip("dkim", reason="skipped: python3-dkim is not installed (make deps)")


def count(results):
    out = {}
    for r in results:
        out[r] = out.get(r, 0) + 1
    return out


# ---- ours, verified by them ----


def test_dkimpy_verifies_what_we_sign(signed, keys):
    results = []
    for i in range(MESSAGES):
        d = dkim.DKIM((signed / str(i)).read_bytes())
        results += [d.verify(idx=n, dnsfunc=keys.txt) for n in (0, 1)]
    assert count(results) == {True: 2 * MESSAGES}


def perl(keys, files, *args):
    if subprocess.run(["perl", "-MMail::DKIM", "-e", "1"], capture_output=True).returncode:
        pytest.skip("skipped: libmail-dkim-perl is not installed (make deps)")
    r = subprocess.run(["perl", HERE / "mail_dkim.pl", keys.file, *args], input="".join(f"{f}\n" for f in files), capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-2000:]
    return r.stdout.splitlines()


def test_mail_dkim_verifies_what_we_sign(signed, keys):
    assert count(perl(keys, [signed / str(i) for i in range(MESSAGES)], "verify")) == {"pass": MESSAGES}


def opendkim(place, config, files):
    if not shutil.which("opendkim"):
        pytest.skip("skipped: opendkim is not installed (make deps)")
    (place / "opendkim.conf").write_text("Syslog no\nRequireSafeKeys no\n" + config)
    r = subprocess.run(["opendkim", "-x", str(place / "opendkim.conf"), "-t", ",".join(map(str, files)), "-v", "-v"], cwd=place, text=True,
                       errors="surrogateescape", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return re.findall(r"^### INSHEADER: idx=0 hname='([\w-]+)' hvalue='(.*?)'$", r.stdout, flags=re.M | re.S)


def test_opendkim_verifies_what_we_sign(signed, keys):
    found = opendkim(signed, f"Mode v\nTestPublicKeys {keys.file}\n", range(MESSAGES))
    assert len(found) == MESSAGES
    results = [re.findall(r"dkim=(\w+).*?header\.a=([\w-]+)", value) for name, value in found]
    assert count(map(str, results)) == {str([("pass", "rsa-sha256"), ("pass", "ed25519-sha256")]): MESSAGES}


# ---- theirs, verified by us ----


def assert_all_pass(tool, signed_messages, each=1):
    tool.send("O", "now=2000000000")
    bad, n = [], 0
    for m in signed_messages:
        found = tool.verify(m)[0]
        n += len(found)
        if [r for r, _ in found] != ["pass"] * each:
            bad.append((found, m[:1500]))
    assert not bad, (len(bad), bad[0])
    assert n == each * len(signed_messages)


def test_we_verify_what_dkimpy_signs(tool, messages, keys):
    rsa, seed = keys.files["rsa"].read_bytes(), __import__("base64").b64encode(keys.seed)
    out = []
    for i, m in enumerate(messages):
        how = {"canonicalize": tuple(x.encode() for x in CANONS[i % 4])}
        if i // 4 % 2:
            out.append(dkim.sign(m, b"ed", DOMAIN.encode(), seed, signature_algorithm=b"ed25519-sha256", **how) + m)
        else:
            out.append(dkim.sign(m, b"rsa", DOMAIN.encode(), rsa, **how) + m)
    assert_all_pass(tool, out)


def test_we_verify_what_opendkim_signs(tool, messages, keys, tmp_path):
    for i, m in enumerate(messages):
        (tmp_path / str(i)).write_bytes(m)
    (tmp_path / "signers").write_text("* key\n")
    # OpenDKIM 2.11 cannot verify its own Ed25519 signatures over simple header fields (it folds b= as if it were RSA's), so nobody can
    ways = [("rsa", *c) for c in CANONS] + [("ed", *c) for c in CANONS if c[0] == "relaxed"]
    out = []
    for n, (kind, header, body) in enumerate(ways):
        (tmp_path / "table").write_text(f"key {DOMAIN}:{kind}:{keys.files[kind]}\n")
        files = range(n, MESSAGES, len(ways))
        config = (f"Mode s\nKeyTable file:{tmp_path}/table\nSigningTable refile:{tmp_path}/signers\nCanonicalization {header}/{body}\n"
                  f"SignatureAlgorithm {dict(rsa='rsa-sha256', ed='ed25519-sha256')[kind]}\nOversignHeaders From\n")
        found = opendkim(tmp_path, config, files)
        assert len(found) == len(files) and all(name == "DKIM-Signature" for name, _ in found)
        out += [f"DKIM-Signature: {value}\r\n".replace("\r\n", "\n").replace("\n", "\r\n").encode() + messages[i] for i, (_, value) in zip(files, found)]
    assert_all_pass(tool, out)


def test_we_verify_what_mail_dkim_signs(tool, messages, keys, tmp_path):
    out = []
    for n, (header, body) in enumerate(CANONS):
        files = [tmp_path / str(i) for i in range(n, MESSAGES, 4)]
        for i, f in zip(range(n, MESSAGES, 4), files):
            f.write_bytes(messages[i])
        perl(keys, files, "sign", str(keys.files["rsa"]), f"{header}/{body}")
        out += [pathlib.Path(f"{f}.signed").read_bytes() for f in files]
    assert_all_pass(tool, out)


# ---- ARC ----


def test_dkimpy_validates_our_chains_and_we_its(tool, messages, keys):
    rsa = keys.files["rsa"].read_bytes()
    for i, m in enumerate(messages[:100]):
        for instance in (1, 2):
            if (i + instance) % 2:
                chain = "none" if instance == 1 else "pass"
                # dkimpy knows no Ed25519 in ARC: the last key that was given seals
                tool.send("X")
                tool.send("P", DOMAIN, "rsa", rsa)
                tool.send("O", f"now=1700000000 chain={chain} results=mx.example.net; arc={chain}")
                m = tool.ask("A", m) + m
            else:
                results = b"Authentication-Results: mx.example.net; arc=" + (b"none" if instance == 1 else b"pass") + b"\r\n"
                sets = dkim.arc_sign(results + m, b"rsa", DOMAIN.encode(), rsa, b"mx.example.net")
                assert sets
                m = b"".join(sets) + m
            assert dkim.arc_verify(m, dnsfunc=keys.txt)[0] == dkim.CV_Pass, m[:3000]
            assert tool.verify(m)[1][0] == "pass", tool.verify(m)
