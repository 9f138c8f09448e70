"""The configuration and the files that it names, and finding the server while the configuration is broken."""
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import urllib.request

import pytest

from conftest import PROGRAM
from helpers import wait_for


def check(path):
    return subprocess.run([PROGRAM, "config", "check", str(path)], capture_output=True, text=True)


@pytest.fixture
def copy(server, tmp_path):
    """A copy of the demo's configuration that names copies of its files."""
    for f in ("cert.pem", "cert.key", "demo.zone", "ca.pem"):
        shutil.copy(server.state / f, tmp_path / f)
    text = open(server.config).read()
    for f in ("cert.pem", "cert.key", "demo.zone"):
        text = text.replace(f"{server.state}/{f}", f"{tmp_path}/{f}")
    shutil.copy(server.state / "ca.pem", tmp_path / "roots.pem")
    conf = tmp_path / "l.conf"
    conf.write_text(f'{text}relay {{\n  roots = "{tmp_path}/roots.pem"\n}}\n')
    assert check(conf).returncode == 0
    return tmp_path


@pytest.mark.parametrize("spoil,words", [
    (lambda d: (d / "cert.pem").unlink(), 'tls "demo": {d}/cert.pem: No such file'),
    (lambda d: (d / "cert.key").unlink(), 'tls "demo": {d}/cert.key: No such file'),
    (lambda d: (d / "cert.pem").write_text("no certificate"), 'tls "demo": {d}/cert.pem: '),
    (lambda d: shutil.copy(d / "ca.pem", d / "cert.pem"), 'tls "demo": {d}/cert.key: '),
    (lambda d: subprocess.run(["openssl", "x509", "-in", d / "cert.pem", "-signkey", d / "cert.key", "-days", "-1", "-out", d / "cert.pem"], check=True, capture_output=True),
     'tls "demo": {d}/cert.pem: the certificate expired on 20'),
    (lambda d: (d / "demo.zone").unlink(), "dns.zones: {d}/demo.zone: No such file"),
    (lambda d: (d / "demo.zone").write_text("x A nonsense\n"), "dns.zones: {d}/demo.zone: line 1"),
    (lambda d: (d / "roots.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "relay.roots: {d}/roots.pem: trusted certificate 1 does not parse"),
    (lambda d: [(d / "roots.pem").unlink(), (d / "roots.pem").mkdir()], "relay.roots: {d}/roots.pem: Is a directory"),
])
def test_check_looks_at_the_files_too(copy, spoil, words):
    spoil(copy)
    p = check(copy / "l.conf")
    before, after = words.split("{d}")
    name, _, reason = after.partition(":")
    shown = f"{copy}{name}"[-100:]  # of a longer path the end
    assert p.returncode == 4 and f"{before}{shown}:{reason}" in p.stderr and "do:" in p.stderr, p.stderr


def test_a_variable_that_is_not_set_is_named_by_check_and_at_the_start(copy, monkeypatch):
    conf = copy / "l.conf"
    text = conf.read_text().replace('hostname = "mail.demo.test"', 'hostname = "${LETTERLOCK_TEST_NAME}"')
    line = 1 + [i for i, one in enumerate(text.splitlines()) if "LETTERLOCK_TEST_NAME" in one][0]
    conf.write_text(text)
    monkeypatch.delenv("LETTERLOCK_TEST_NAME", raising=False)
    words = f'{conf}:{line}:'[-60:], 'the environment variable "LETTERLOCK_TEST_NAME" is not set'
    p = check(conf)
    assert p.returncode == 4 and all(w in p.stderr for w in words), p.stderr
    p = subprocess.run([PROGRAM, "serve", "--config", str(conf)], capture_output=True, text=True, timeout=30)
    assert p.returncode and all(w in p.stderr for w in words), p.stderr
    monkeypatch.setenv("LETTERLOCK_TEST_NAME", "mail.other.test")
    assert check(conf).returncode == 0
    assert "mail.other.test" in subprocess.run([PROGRAM, "config", "show", "--config", str(conf)], capture_output=True, text=True, check=True).stdout
    monkeypatch.delenv("LETTERLOCK_TEST_NAME")
    conf.write_text(text.replace("${LETTERLOCK_TEST_NAME}", "${LETTERLOCK_TEST_NAME:-mail.demo.test}"))
    assert check(conf).returncode == 0


def test_a_reload_names_the_section_whose_certificate_is_wrong(fresh):
    s = fresh()
    (s.state / "cert.key").write_text("no key")
    p = s.cli("reload", check=False)
    assert p.returncode == 1 and 'tls "demo": ' in p.stderr, p.stderr
    (s.state / "cert.key").unlink()
    p = s.cli("reload", check=False)
    assert p.returncode == 1 and f'tls "demo": {s.state}/cert.key cannot be read' in p.stderr, p.stderr


def test_the_server_is_found_while_its_configuration_is_broken(fresh):
    s = fresh()
    control = [line.split('"')[1] for line in open(s.config) if "control =" in line][0]
    good = open(s.config).read()
    (s.state / "letterlock.conf").write_text(good + "nonsense = 1\n")
    p = s.cli("status", "--json", check=False)
    assert p.returncode == 1 and "--control" in p.stderr and "nonsense" in p.stderr, p.stderr
    p = s.cli("status", "--json", "--control", control)
    assert json.loads(p.stdout)["ready"] and "the server that runs is asked all the same" in p.stderr
    p = s.cli("dns", "check", "demo.test", "--control", control, check=False)
    assert p.returncode == 1 and "needs the configuration" in p.stderr
    p = s.cli("status", "--control", "/nowhere/ctl.sock", check=False)
    assert p.returncode == 1 and "no server answers" in p.stderr
    (s.state / "letterlock.conf").write_text(good)
    assert s.cli("status", "--control", control).stderr == ""


def test_a_server_of_another_build_is_named_as_such(fresh, tmp_path):
    """After an upgrade without a restart, no command can talk to it: each says why and what to do."""
    s = fresh()
    raw = pathlib.Path(PROGRAM).read_bytes()
    notes = subprocess.run(["readelf", "-n", PROGRAM], capture_output=True, text=True, check=True).stdout
    build = bytes.fromhex(notes.split("Build ID: ")[1].split()[0])
    assert raw.count(build) == 1
    other = tmp_path / "letterlock"
    other.write_bytes(raw.replace(build, bytes(len(build))))
    other.chmod(0o755)
    for verb in (["status"], ["account", "list"], ["trace", "ann@example.org"], ["stop"], ["backup", "create", str(tmp_path / "b")]):
        p = subprocess.run([other, *verb, "--config", s.config], capture_output=True, text=True, timeout=20)
        assert p.returncode == 1 and "another build of this program" in p.stderr and "restart the server" in p.stderr, (verb, p.stderr)
    assert not (tmp_path / "b").exists()
    assert json.loads(s.cli("status", "--json").stdout)["ready"]


def test_an_address_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        conf = tmp_path / "l.conf"
        conf.write_text(f'config_version = 1\nserver {{\n  hostname = "mx.example.org"\n  data_dir = "{tmp_path}/data"\n  control = "{tmp_path}/ctl"\n  root_key = "file:{tmp_path}/key"\n'
                        f'  demo = true\n}}\ndns {{ forwarder = "none" }}\nlisten {{ smtp = {{"127.0.0.1:{port}"}} }}\n')
        p = subprocess.run([PROGRAM, "serve", "--config", str(conf)], capture_output=True, text=True, timeout=30)
    assert p.returncode and f"cannot listen on 127.0.0.1 port {port}: Address already in use" in p.stderr + p.stdout, p


def test_the_vault_signs_no_more_handshakes_than_a_role_may_have(fresh):
    s = fresh(env={"LETTERLOCK_DNS": 'forwarder = "none"\n}\nprocess {\n  tls_signatures = 10'})
    context = ssl.create_default_context(cafile=s.ca)
    made = refused = 0
    for _ in range(40):
        try:
            with socket.create_connection(("localhost", s.imaps)) as raw, context.wrap_socket(raw, server_hostname="localhost"):
                made += 1
        except (ssl.SSLError, OSError):
            refused += 1
    assert made >= 10 and refused > 0, (made, refused)
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{s.metrics}/metrics").read().decode()
    assert int(float(metrics.split("\nletterlock_tls_throttled_total ")[1].split()[0])) == refused

    def again():
        with socket.create_connection(("localhost", s.imaps)) as raw:
            try:
                context.wrap_socket(raw, server_hostname="localhost").close()
            except (ssl.SSLError, OSError):
                return False
            return True
    wait_for(again)
