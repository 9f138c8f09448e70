#!/usr/bin/env python3
"""Brings up Debian's Postfix and Dovecot as private instances on loopback, to measure against.

  peer.py start DIR [--port-base 17000] [--accounts 200] [--hibernate]   prints one JSON line, comes back when both answer
  peer.py stop DIR

Packages: postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd. Needs root (Postfix changes ids). Touches nothing outside DIR: own configuration,
own queue, own mail, own certificate; nothing of /etc/postfix or /etc/dovecot is read but Postfix's list of its own files.

Set up as a good administrator would for speed without giving up safety: fsync left as it comes, Maildir, LMTP over a Unix
socket, login processes in high-performance mode, no limits that a load test meets, no DNS, no logging of each step.
"""
import argparse, json, os, resource, shutil, signal, socket, subprocess, sys, time

from postfix import services

POSTFIX, DOVECOT = "/usr/sbin/postfix", "/usr/sbin/dovecot"
MAIL_UID = MAIL_GID = 5000
PASSWORD = "demo-only"
DOMAIN = "bench.test"


def run(*args, **kw):
    return subprocess.run(args, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw).stdout


def launch(d, *args):
    """Daemons keep what they are given as output: a file, never a pipe that somebody waits on."""
    with open(f"{d}/start.log", "a+") as log:
        if subprocess.run(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode:
            log.seek(0)
            raise SystemExit(f"peer: {' '.join(args)} failed:\n{log.read()}")


def put(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def ports_of(base):
    return {"smtp": base + 25, "imap": base + 143, "imaps": base + 993, "pop3": base + 110, "pop3s": base + 995}


def certificate(d):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{d}/key.pem", "-out", f"{d}/cert.pem")
    os.chmod(f"{d}/key.pem", 0o600)


def postfix_files(d, ports, accounts, extra=""):
    c = f"{d}/postfix"
    for sub in (c, f"{d}/queue", f"{d}/lib"):
        os.makedirs(sub, exist_ok=True)
    shutil.chown(f"{d}/lib", "postfix", "postfix")
    put(f"{c}/vmailbox", "".join(f"u{i}@{DOMAIN} u{i}\n" for i in range(1, accounts + 1)))
    put(f"{c}/main.cf", f"""
compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/lib
mail_owner = postfix
setgid_group = postdrop
myhostname = peer.{DOMAIN}
mydomain = {DOMAIN}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = hash:{c}/vmailbox
virtual_transport = lmtp:unix:{d}/dovecot/lmtp
lmtp_destination_concurrency_limit = 40
initial_destination_concurrency = 20
in_flow_delay = 0
default_process_limit = 100
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_cert_file = {d}/cert.pem
smtpd_tls_key_file = {d}/key.pem
message_size_limit = 52428800
mailbox_size_limit = 0
smtputf8_enable = yes
biff = no
{extra}""")
    put(f"{c}/master.cf", f"127.0.0.1:{ports['smtp']} inet n - n - - smtpd\n" + services(lmtp=40))
    run("postmap", "-c", c, f"hash:{c}/vmailbox")


def dovecot_files(d, ports, accounts, hibernate, connections):
    c = f"{d}/dovecot"
    for sub in (c, f"{c}/run", f"{c}/state", f"{d}/mail"):
        os.makedirs(sub, exist_ok=True)
    os.chown(f"{d}/mail", MAIL_UID, MAIL_GID)
    os.chmod(f"{d}/mail", 0o755)
    # {PLAIN}: the cheapest check there is, so that rows with logins measure Dovecot and not a password hash.
    put(f"{c}/users", "".join(f"u{i}@{DOMAIN}:{{PLAIN}}{PASSWORD}::::::\n" for i in range(1, accounts + 1)), 0o640)
    shutil.chown(f"{c}/users", "root", "dovecot")
    put(f"{c}/dovecot.conf", f"""
protocols = imap pop3 lmtp
base_dir = {c}/run
state_dir = {c}/state
instance_name = bench-peer
listen = 127.0.0.1
log_path = {c}/log
info_log_path = /dev/null
login_log_format_elements =
mail_location = maildir:{d}/mail/%n
mail_uid = {MAIL_UID}
mail_gid = {MAIL_GID}
first_valid_uid = {MAIL_UID}
mail_max_userip_connections = 0
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_cache_size = 10M
auth_username_format = %Lu
passdb {{
  driver = passwd-file
  args = {c}/users
}}
userdb {{
  driver = static
  args = uid={MAIL_UID} gid={MAIL_GID} home={d}/mail/%n allow_all_users=yes
}}
ssl = yes
ssl_cert = <{d}/cert.pem
ssl_key = <{d}/key.pem
default_client_limit = {connections * 3}
default_process_limit = 200
default_vsz_limit = 1G
service anvil {{
  client_limit = {connections * 3}
}}
service auth {{
  client_limit = {connections * 3}
}}
service imap-login {{
  service_count = 0
  process_min_avail = 2
  client_limit = {connections}
  inet_listener imap {{
    port = {ports['imap']}
  }}
  inet_listener imaps {{
    port = {ports['imaps']}
    ssl = yes
  }}
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  client_limit = {connections}
  inet_listener pop3 {{
    port = {ports['pop3']}
  }}
  inet_listener pop3s {{
    port = {ports['pop3s']}
    ssl = yes
  }}
}}
service imap {{
  service_count = 100
  process_min_avail = 4
  process_limit = {connections}
}}
service pop3 {{
  service_count = 100
  process_min_avail = 4
  process_limit = {connections}
}}
service imap-hibernate {{
  client_limit = {connections}
  unix_listener imap-hibernate {{
    mode = 0666
  }}
}}
service lmtp {{
  process_min_avail = 10
  process_limit = 100
  unix_listener {c}/lmtp {{
    mode = 0666
  }}
}}
service stats {{
  client_limit = {connections * 3}
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
imap_hibernate_timeout = {'5s' if hibernate else '0'}
namespace inbox {{
  inbox = yes
}}
""")


def answers(port, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                if s.recv(1):
                    return
        except OSError:
            time.sleep(.05)
    raise SystemExit(f"peer: nothing answers on port {port}")


def pid_in(path):
    try:
        with open(path) as f:
            return int(f.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def start(d, base=17000, accounts=200, hibernate=False, connections=6000, extra=""):
    """The peer as a dict like the demo's block, with `pids`: the two masters, whose trees are the peer. `extra`: more lines for main.cf."""
    for tool in (POSTFIX, DOVECOT):
        if not os.path.exists(tool):
            raise SystemExit(f"peer: {tool} is missing; apt-get install postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd")
    if os.geteuid() != 0:
        raise SystemExit("peer: Postfix needs root")
    d = os.path.abspath(d)
    os.makedirs(d, exist_ok=True)
    os.chmod(d, 0o755)
    ports = ports_of(base)
    if not os.path.exists(f"{d}/cert.pem"):
        certificate(d)
    postfix_files(d, ports, accounts, extra)
    dovecot_files(d, ports, accounts, hibernate, connections)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    launch(d, DOVECOT, "-c", f"{d}/dovecot/dovecot.conf")
    launch(d, POSTFIX, "-c", f"{d}/postfix", "start")
    for name in ("smtp", "imap", "pop3"):
        answers(ports[name])
    pids = [pid_in(f"{d}/dovecot/run/master.pid"), pid_in(f"{d}/queue/pid/master.pid")]
    return {**ports, "dir": d, "pids": pids, "domain": DOMAIN, "password": PASSWORD}


def queued(d):
    """Messages that Postfix has taken and not yet delivered."""
    n = 0
    for q in ("maildrop", "incoming", "active", "deferred"):
        for _, _, files in os.walk(f"{d}/queue/{q}"):
            n += len(files)
    return n


def stop(d):
    d = os.path.abspath(d)
    for path, sig in ((f"{d}/queue/pid/master.pid", signal.SIGTERM), (f"{d}/dovecot/run/master.pid", signal.SIGTERM)):
        pid = pid_in(path)
        if not pid:
            continue
        try:
            os.kill(pid, sig)
            for _ in range(200):
                os.kill(pid, 0)
                time.sleep(.05)
        except ProcessLookupError:
            pass


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["start", "stop"])
    ap.add_argument("dir")
    ap.add_argument("--port-base", type=int, default=17000)
    ap.add_argument("--accounts", type=int, default=200)
    ap.add_argument("--hibernate", action="store_true")
    a = ap.parse_args()
    if a.what == "start":
        print(json.dumps(start(a.dir, a.port_base, a.accounts, a.hibernate)), flush=True)
    else:
        stop(a.dir)


if __name__ == "__main__":
    main()
