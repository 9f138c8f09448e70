"""What the row with sender authentication needs: mail signed by twenty domains, their zone served by nsd on loopback, and OpenDKIM and OpenDMARC (with its
own SPF check) as the peer's milters, all of it below one directory. Packages: opendkim opendmarc nsd python3-dkim."""
import os, re, shutil, signal, subprocess, time

ZONE, DOMAINS, SENDER = "sign.example", 20, "bounce@sign.example"
DNS_ADDRESS = "127.53.53.53"  # port 53: OpenDMARC asks where /etc/resolv.conf says, and that has no place for a port
SELECTOR = "bench"


def put(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def keys(d):
    """One RSA-2048 key for all domains: (PEM, TXT record)."""
    pem = f"{d}/sign.pem"
    if not os.path.exists(pem):
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", pem, "2048"], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(["openssl", "rsa", "-in", pem, "-pubout"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    with open(pem, "rb") as f:
        return f.read(), "v=DKIM1; k=rsa; p=" + "".join(public.splitlines()[1:-1])


def corpus(d, mails, write):
    """The synthetic mail with From in one of the domains and a DKIM signature of it; made once."""
    import dkim
    path, (pem, _) = f"{d}/signed.llc", keys(d)

    def signed():
        for i, m in enumerate(mails):
            domain = f"d{i % DOMAINS}.{ZONE}"
            m = re.sub(rb"(?m)^(From: .*<[^@>]*@)[^>]*>", rb"\g<1>" + domain.encode() + b">", m, count=1)
            yield dkim.sign(m, SELECTOR.encode(), domain.encode(), pem, canonicalize=(b"relaxed", b"relaxed")) + m
    if not os.path.exists(path):
        write(path, signed())
    return path


def zone(d):
    """nsd for the zone and all else, in the foreground; gives the process."""
    _, txt = keys(d)
    halves = f'"{txt[:200]}" "{txt[200:]}"'
    # The root, so that every other name is answered, too: there is none.
    lines = ["$ORIGIN .", "$TTL 3600", f"@ SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 300", f"@ NS ns.{ZONE}.", f"$ORIGIN {ZONE}.", f"ns A {DNS_ADDRESS}", '@ TXT "v=spf1 ip4:127.0.0.0/8 -all"',
             '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:rua@sign.example"', "@ MX 10 ns"]
    for i in range(DOMAINS):
        lines += [f"d{i} A {DNS_ADDRESS}\nd{i} MX 10 ns", f'd{i} TXT "v=spf1 ip4:127.0.0.0/8 -all"', f"{SELECTOR}._domainkey.d{i} TXT {halves}",
                  f'_dmarc.d{i} TXT "v=DMARC1; p=reject"']
    put(f"{d}/zone", "\n".join(lines) + "\n")
    put(f"{d}/nsd.conf", f"""server:
  ip-address: {DNS_ADDRESS}
  port: 53
  username: ""
  chroot: ""
  zonesdir: "{d}"
  pidfile: "{d}/nsd.pid"
  zonelistfile: "{d}/zone.list"
  xfrdfile: "{d}/xfrd.state"
  logfile: "{d}/nsd.log"
  database: ""
  hide-version: yes
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "{d}/zone"
""")
    log = open(f"{d}/nsd.out", "a")
    p = subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", f"{d}/nsd.conf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    time.sleep(.5)
    if p.poll() is not None:
        raise RuntimeError(f"nsd did not start; see {d}/nsd.log")
    return p


def milters(d):
    """OpenDKIM and OpenDMARC in the foreground; gives (processes, what Postfix must know of them)."""
    put(f"{d}/resolv.conf", f"nameserver {DNS_ADDRESS}\n")
    put(f"{d}/nobody", "192.0.2.1\n")
    put(f"{d}/opendkim.conf", f"""Mode v
Socket local:{d}/opendkim.sock
InternalHosts refile:{d}/nobody
ExternalIgnoreList refile:{d}/nobody
Nameservers {DNS_ADDRESS}
AuthservID peer.bench.test
UMask 000
Syslog no
Background no
""")
    put(f"{d}/opendmarc.conf", f"""Socket local:{d}/opendmarc.sock
AuthservID peer.bench.test
IgnoreHosts {d}/nobody
SPFSelfValidate true
SPFIgnoreResults true
RejectFailures true
UMask 000
Syslog false
Background false
HistoryFile {d}/history
""")
    log = open(f"{d}/milters.log", "a")
    run = dict(stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    shell = 'mount --bind "$1" /etc/resolv.conf && exec opendmarc -f -c "$2"'  # in a mount namespace of its own: nothing of the system changes
    out = [subprocess.Popen(["/usr/sbin/opendkim", "-f", "-x", f"{d}/opendkim.conf"], **run),
           subprocess.Popen(["unshare", "-m", "sh", "-c", shell, "sh", f"{d}/resolv.conf", f"{d}/opendmarc.conf"], **run)]
    end = time.time() + 10
    while not all(os.path.exists(f"{d}/{s}.sock") for s in ("opendkim", "opendmarc")):
        if time.time() > end or any(p.poll() is not None for p in out):
            stop(out)
            raise RuntimeError(f"a milter did not start; see {d}/milters.log")
        time.sleep(.05)
    return out, f"smtpd_milters = unix:{d}/opendkim.sock unix:{d}/opendmarc.sock\nmilter_default_action = tempfail\n"


def stop(processes):
    for p in processes:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
    for p in processes:
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def missing():
    tools = [t for t in ("/usr/sbin/nsd", "/usr/sbin/opendkim", "/usr/sbin/opendmarc") if not os.path.exists(t)]
    return tools + ([] if shutil.which("unshare") else ["unshare"])
