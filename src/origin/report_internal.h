#pragma once
#include "origin/report.h"

/* What the files of reports share. Not for others. */
enum {
	REPORT_UNPACKED_MAX = 64 << 20,  /* of one archive or gzip file, all files together */
	REPORT_RATIO_MAX = 300,          /* unpacked to packed, past the first MiB */
	REPORT_JSON_MAX = 8 << 20,
	REPORT_TEXT_MAX = 4096,          /* one value of a report */
	REPORT_HEADERS_MAX = 65536,      /* the original's header in a failure report */
	REPORT_NUMBER_MAX = 1000000000,  /* one count: what is above is a mistake or a lie */
};
/* ---- unpacking: `out` has a ceiling of its own ---- */
enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZIP, PACKING_XML, PACKING_JSON };
enum packing packing_of(struct str bytes);
/* RFC 1952; what follows the last member is passed over, for some senders add a line end. RC_SYNTAX, RC_LIMIT, RC_NOMEM. */
MUST_USE enum rc gunzip(struct str in, struct buf *out, struct why *why);
/* The reports of a zip archive: each file that is named as one, or the only file, whatever its name. Stored or deflated, not encrypted, no zip64, no octet in two of
 * them, their CRCs right: all or nothing, into the empty `out`, where out_file[0 .. *out_n - 1] lie. */
MUST_USE enum rc unzip_reports(struct str in, struct buf *out, struct str out_file[REPORT_FILES_MAX], size_t *out_n, struct why *why);
/* Raw deflate or gzip (`gzip`); answers in *out_used how much of `in` it took. */
MUST_USE enum rc inflate_bounded(struct str in, bool gzip, struct buf *out, size_t *out_used, struct why *why);

/* ---- readers: RC_NOTFOUND = sound, but no report ---- */
MUST_USE enum rc report_read_xml(struct str xml, struct arena *a, struct report_aggregate *out, struct why *why);
MUST_USE enum rc report_read_json(struct str json, struct arena *a, struct report_tls *out, struct why *why);
/* `fields`: the body of message/feedback-report; `original`: the header that came with it, "" = none. */
MUST_USE enum rc report_read_failure(struct str fields, struct str original, struct arena *a, struct report_failure *out, struct why *why);

/* A period that can be true: after DMARC was thought of, before 2100, at most 400 days, not backwards. */
bool report_period_ok(int64_t begin_s, int64_t end_s);
/* The address in its canonical text, IPv4 also where it came as ::ffff:0:0/96, or "" when it is none. `full_ipv6`: all eight groups, for RFC 7489's schema. */
struct str report_ip(struct str text, bool full_ipv6, char out[64]);
struct report_row report_row_empty(void);
/* The day's text of RFC 3339, "2026-11-24T00:00:00Z", and back. */
void report_time_format(int64_t s, struct buf *out);
MUST_USE enum rc report_time_parse(struct str in, int64_t *out_s);
