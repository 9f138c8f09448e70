"""The processes, and what each of them cannot do."""
import json
import os
import pathlib

ERRNO = {1: "EPERM", 13: "EACCES", 38: "ENOSYS"}


def test_roles_are_separate_processes(server):
    procs = server.status()["processes"]
    assert {"vault", "store", "reader", "edge", "access", "scan", "ledger", "resolver"} <= {p["role"] for p in procs}
    pids = [p["pid"] for p in procs]
    assert len(set(pids)) == len(pids)
    for p in procs:
        line = pathlib.Path(f"/proc/{p['pid']}/cmdline").read_bytes().split(b"\0")
        assert line[1:3] == [b"--role", p["role"].encode()]


def test_no_role_can_break_out(server):
    rows = json.loads(server.cli("sandbox-test", "--json").stdout.splitlines()[0])
    rows = rows if isinstance(rows, list) else [json.loads(x) for x in server.cli("sandbox-test", "--json").stdout.splitlines()]
    assert len(rows) == len(server.status()["processes"])
    for r in rows:
        assert r["holds"] is True, r
        for what in ("open_passwd", "exec", "connect", "foreign_read"):
            assert r[what] in ERRNO, r
        assert os.path.exists(f"/proc/{r['pid']}")


def test_the_kernel_agrees(server):
    for p in server.status()["processes"]:
        status = pathlib.Path(f"/proc/{p['pid']}/status").read_text()
        assert "Seccomp:\t2" in status, p
        assert "NoNewPrivs:\t1" in status, p


def test_no_role_has_a_right_of_root_but_to_reach_its_files(server):
    may = {"vault", "store", "reader", "access", "ledger", "relay"}
    for p in server.status()["processes"]:
        status = pathlib.Path(f"/proc/{p['pid']}/status").read_text()
        have = {k: int(v, 16) for k, v in (line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))}
        allowed = (1 << 1 | 1 << 2) if p["role"] in may else 0  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert have["CapEff"] & ~allowed == 0 and have["CapPrm"] & ~allowed == 0 and have["CapInh"] == have["CapAmb"] == 0, p
        if os.geteuid() == 0:
            assert have["CapBnd"] & ~allowed == 0, p


def test_a_library_is_only_where_it_is_used(server):
    """docs/adr/0008."""
    who = {"libicuuc": {"scan", "edge", "relay"}, "libsqlite3": {"ledger"}, "libpsl": {"edge"}, "libidn2": {"edge", "relay", "ledger"}, "libunbound": {"resolver"}}
    for p in server.status()["processes"]:
        maps = pathlib.Path(f"/proc/{p['pid']}/maps").read_text()
        for library, roles in who.items():
            if library in ("libidn2", "libpsl") and "/libcurl.so" in maps:
                continue  # which has them, too
            assert (f"/{library}.so" in maps) <= (p["role"] in roles), (p, library)
            if library != "libunbound":  # the demo's zones are all the DNS there is
                assert f"/{library}.so" in maps or p["role"] not in roles, (p, library)
