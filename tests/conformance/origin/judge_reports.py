#!/usr/bin/python3
"""Has other programs judge what we send: judge_reports.py MAKER SCHEMAS. XML by xmllint against the RFCs' schemas, messages by Python's email package, JSON
by its json. Without the schemas, or xmllint, that part is skipped and said."""
import email
import email.policy
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

bad = []


def check(true, text):
    if not true:
        bad.append(text)
        print("wrong:", text)


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def message(folder, name):
    raw = read(folder, name)
    check(b"\n" not in raw.replace(b"\r\n", b""), f"{name}: bare line feeds")
    check(max(len(line) for line in raw.split(b"\r\n")) <= 998, f"{name}: lines too long")
    m = email.message_from_bytes(raw, policy=email.policy.default)
    for part in m.walk():
        check(not part.defects, f"{name}: {part.defects}")
    for field in ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version"):
        check(m[field] and not m[field].defects, f"{name}: {field} {m[field]!r}")
    check(m["Auto-Submitted"] == "auto-generated", f"{name}: Auto-Submitted")
    return m


def schema(folder, name, schemas):
    if not shutil.which("xmllint") or not os.path.isdir(schemas):
        print(f"skipped: {name} against its schema (no xmllint or no {schemas})")
        return
    done = subprocess.run(["xmllint", "--noout", "--schema", os.path.join(schemas, name + ".xsd"), os.path.join(folder, name + ".xml")],
                          capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, f"{name}: {done.stderr}")


def aggregate(folder, name):
    m = message(folder, name + ".eml")
    check(m.get_content_type() == "multipart/mixed", name)
    check(re.fullmatch(r"Report Domain: bank\.example Submitter: letterlock\.test Report-ID: <\S+>", m["Subject"]) is not None, m["Subject"])
    text, data = m.iter_parts()
    check(text.get_content_type() == "text/plain" and "bank.example" in text.get_content(), "the words")
    check(data.get_content_type() == "application/gzip", data.get_content_type())
    check(data.get_filename() == "letterlock.test!bank.example!1795392000!1795478399!202611247f3k9q2dletterlocktest.xml.gz", data.get_filename())
    check(gzip.decompress(data.get_content()) == read(folder, name + ".xml"), "the attachment is the report")


def tls(folder):
    m = message(folder, "tls.eml")
    check(m.get_content_type() == "multipart/report" and m.get_param("report-type") == "tlsrpt", "report-type")
    check(m["TLS-Report-Domain"] == "bank.example" and m["TLS-Report-Submitter"] == "letterlock.test", "TLS-Report fields")
    data = list(m.iter_parts())[1]
    check(data.get_content_type() == "application/tlsrpt+gzip" and data.get_filename().endswith(".json.gz"), "the attachment")
    report = json.loads(gzip.decompress(data.get_content()))
    check(report["date-range"] == {"start-datetime": "2026-11-23T00:00:00Z", "end-datetime": "2026-11-23T23:59:59Z"}, report["date-range"])
    policy = report["policies"][0]
    check(policy["summary"] == {"total-successful-session-count": 100, "total-failure-session-count": 5}, policy["summary"])
    check(policy["failure-details"][0]["failed-session-count"] == 5, "failure-details")


def failure(folder):
    m = message(folder, "failure.eml")
    check(m.get_content_type() == "multipart/report" and m.get_param("report-type") == "feedback-report", "report-type")
    words, fields, header = m.iter_parts()
    check(words.get_content_type() == "text/plain", "the words")
    check(fields.get_content_type() == "message/feedback-report", fields.get_content_type())
    inner = fields.get_payload()
    inner = inner[0] if isinstance(inner, list) else email.message_from_string(inner)
    check(inner["Feedback-Type"] == "auth-failure" and inner["Version"] == "1" and inner["Auth-Failure"] == "dmarc", inner.items())
    check(inner["Reported-Domain"] == "bank.example" and inner["Source-IP"] == "203.0.113.9" and inner["Incidents"] == "2", inner.items())
    check(header.get_content_type() == "text/rfc822-headers", header.get_content_type())
    raw = read(folder, "failure.eml").decode()
    check("jane" not in raw and "ceo@" not in raw, "local parts are redacted")
    check("@letterlock.test" in header.get_content() and "@bank.example" in header.get_content(), "domains stay")


def main():
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run([sys.argv[1], folder], timeout=60).returncode:
            print("wrong: nothing was made")
            return 1
        for name in ("rfc7489", "rfc9990"):
            schema(folder, name, sys.argv[2])
            aggregate(folder, name)
        tls(folder)
        failure(folder)
    print(f"reports judged: {len(bad)} complaints")
    return 1 if bad else 0


sys.exit(main())
