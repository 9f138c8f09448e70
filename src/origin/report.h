#pragma once
#include "origin/dmarc.h"

/* DMARC aggregate reports (RFC 7489 appendix C, RFC 9990), failure reports (RFC 6591, 9991), TLS reports (RFC 8460): written, and read leniently from
 * strangers. Reading happens in `scan` only. */
struct report_auth { struct str domain, selector, result, scope; };   /* dkim: selector; spf: scope "mfrom" / "helo" */
struct report_row {
	struct str source_ip;        /* text */
	uint64_t count;
	struct str disposition;      /* none, quarantine, reject */
	struct str dkim, spf;        /* aligned: pass / fail */
	struct str override, override_comment; /* "" = none */
	struct str header_from, envelope_from, envelope_to;
	struct report_auth auth_dkim[8]; size_t auth_dkims;
	struct report_auth auth_spf; /* domain "" = none */
};
struct report_aggregate {
	struct str org, email, extra, id;
	int64_t begin_s, end_s;
	struct str domain, p, sp, np, adkim, aspf, fo; unsigned pct; bool testing; /* policy published */
	struct str discovery;        /* RFC 9990: "treewalk" / "psl"; "" = not said */
	bool rfc9990;                /* namespace urn:ietf:params:xml:ns:dmarc-2.0 */
	struct report_row *row; size_t rows;
};
struct report_tls_failure { struct str type, sending_ip, receiving_mx, receiving_ip, helo, info, reason; uint64_t count; };
struct report_tls_policy {
	struct str type, domain, mx; /* tlsa, sts, no-policy-found */
	struct str *policy_string; size_t policy_strings;
	uint64_t success, failure;
	struct report_tls_failure *failures; size_t n_failures;
};
struct report_tls {
	struct str org, contact, id; int64_t begin_s, end_s;
	struct report_tls_policy *policy; size_t policies;
};
struct report_failure { struct str domain, source_ip, mail_from, auth_failure, dkim_domain, dkim_selector, spf_dns, delivery, original_headers; int64_t at_s; uint64_t incidents;
	struct str alignment; };     /* RFC 9991 Identity-Alignment: "none", "dkim", "spf", "dkim, spf"; of original_headers at most 64 KiB are kept */
enum report_kind { REPORT_UNKNOWN, REPORT_DMARC, REPORT_FAILURE, REPORT_TLS };
enum { REPORT_FILES_MAX = 16 };  /* reports of one archive */
struct report {
	enum report_kind kind;
	struct report *next;         /* another one of the same archive: those that can be read, then, as REPORT_UNKNOWN, those that cannot. NULL: no more */
	struct str wrong;            /* of such a one: why it cannot be read */
	struct report_aggregate dmarc;
	struct report_tls tls;
	struct report_failure failure;
};
/* A mail, or a bare file (xml, json, gz, zip), as received. Finds the report in it, unpacks and reads it; an archive may hold
 * several, which hang on the first that can be read. RC_NOTFOUND: no report in it; RC_SYNTAX: malformed
 * beyond repair, numbers or dates that cannot be true included; RC_LIMIT: a bomb (more than 64 MiB unpacked, ratio, entries, an archive within an
 * archive), a DTD or entities, more rows than fit. Results in `a`, whose ceiling bounds rows. */
MUST_USE enum rc report_read(struct str bytes, struct arena *a, struct report *out, struct why *why);

/* Writing. RFC 9990's XML when `rfc9990`, else 7489's. */
MUST_USE enum rc report_aggregate_xml(const struct report_aggregate *r, struct buf *out);
MUST_USE enum rc report_tls_json(const struct report_tls *r, struct buf *out);
MUST_USE enum rc report_gzip(struct str in, struct buf *out);
struct report_mail { struct str from, to, submitter, domain, id, message_id; int64_t now_s; int64_t begin_s, end_s;
	struct str key; };           /* failure reports: of the hashes that stand for local parts; "" = a random one, so that two reports cannot be linked */
/* The complete message (RFC 9990 5.4 / RFC 7489 7.2.1.1 subject and file name; RFC 8460 5.3). */
MUST_USE enum rc report_mail_dmarc(const struct report_mail *m, struct str gzipped_xml, struct buf *out);
MUST_USE enum rc report_mail_tls(const struct report_mail *m, struct str gzipped_json, struct buf *out);
/* ARF (RFC 5965, 6591): headers of the original only, addresses' local parts redacted to a keyed hash when `redact`. */
MUST_USE enum rc report_mail_failure(const struct report_mail *m, const struct report_failure *f, struct str original_header, bool redact, struct buf *out);
/* The report packed for a channel and back. */
void report_pack(const struct report *in, struct buf *out);
MUST_USE enum rc report_unpack(struct str packed, struct arena *a, struct report *out, struct why *why);
