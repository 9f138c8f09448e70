/* Reports as complete messages: aggregate (RFC 7489 7.2.1.1, RFC 9990 5.4), TLS (RFC 8460 5.3) and failure reports (RFC 5965, 6591, 9991). */
#include "origin/report_internal.h"

#include "base/codec.h"
#include "crypto/crypto.h"
#include "mail/header.h"

enum { LINE = 76, HASH_SHOWN = 8, HEAD_MAX = 65536 };

/* What goes into our header must be one line of ASCII: our own configuration and names from the DNS, but looked at all the same. */
static bool plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n < 900;
}
static bool token(struct str s) { return plain(s) && !memchr(s.p, ' ', s.n) && !memchr(s.p, '"', s.n) && !memchr(s.p, '/', s.n) && !memchr(s.p, '!', s.n); }

static bool sound(const struct report_mail *m)
{
	return plain(m->from) && plain(m->to) && token(m->submitter) && token(m->domain) && token(m->id) && token(m->message_id);
}

/* A boundary that the message id makes unique and that cannot stand in base64 or in a header of ours. */
static enum rc boundary_of(const struct report_mail *m, struct buf *out)
{
	uint8_t h[HASH_LEN];
	TRY(sha256(m->message_id, h));
	buf_add(out, STR("=_report_"));
	hex_add(out, str_of(h, 12));
	return RC_OK;
}

static void bracketed(struct buf *out, struct str id)
{
	bool has = id.n && id.p[0] == '<';
	buf_addf(out, "%s%.*s%s", has ? "" : "<", PSTR(id), has ? "" : ">");
}

static void head(const struct report_mail *m, struct str content_type, struct str boundary, struct buf *out)
{
	buf_addf(out, "From: %.*s\r\nTo: %.*s\r\nDate: ", PSTR(m->from), PSTR(m->to));
	mail_date_format(m->now_s * 1000, 0, out);
	buf_add(out, STR("\r\nMessage-ID: "));
	bracketed(out, m->message_id);
	buf_addf(out, "\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\nContent-Type: %.*s;\r\n boundary=\"%.*s\"\r\n", PSTR(content_type), PSTR(boundary));
}

/* RFC 7489 7.2.1.1: "Report Domain: … Submitter: … Report-ID: …", folded between its words. */
static void subject(const struct report_mail *m, struct buf *out)
{
	buf_addf(out, "Subject: Report Domain: %.*s\r\n Submitter: %.*s\r\n Report-ID: ", PSTR(m->domain), PSTR(m->submitter));
	bracketed(out, m->id);
	buf_add(out, STR("\r\n"));
}

/* filename = receiver "!" policy-domain "!" begin-timestamp "!" end-timestamp [ "!" unique-id ] "." extension */
static void file_name(const struct report_mail *m, const char *extension, struct buf *out)
{
	buf_addf(out, "%.*s!%.*s!%lld!%lld!", PSTR(m->submitter), PSTR(m->domain), (long long)m->begin_s, (long long)m->end_s);
	for (size_t i = 0; i < m->id.n; i++)
		if (ascii_alnum(m->id.p[i]))
			buf_byte(out, m->id.p[i]);
	buf_addf(out, ".%s", extension);
}

static void base64_lines(struct str in, struct buf *out)
{
	for (; in.n && !out->failed; in = str_skip(in, LINE / 4 * 3)) {
		base64_add(out, str_head(in, LINE / 4 * 3));
		buf_add(out, STR("\r\n"));
	}
}

static void open_part(struct str boundary, const char *type, struct buf *out) { buf_addf(out, "--%.*s\r\nContent-Type: %s\r\n", PSTR(boundary), type); }

static void day(int64_t s, struct buf *out)
{
	report_time_format(s, out);
}

static void words(const struct report_mail *m, const char *what, struct buf *out)
{
	buf_addf(out, "\r\nThis is %s about the domain %.*s\r\nfrom %.*s, for the time from\r\n", what, PSTR(m->domain), PSTR(m->submitter));
	day(m->begin_s, out);
	buf_add(out, STR(" to "));
	day(m->end_s, out);
	buf_add(out, STR(".\r\nIt was made by a program and is meant for one; the report is attached.\r\n"));
}

static void attachment(const struct report_mail *m, const char *type, const char *extension, struct str data, struct buf *out)
{
	buf_addf(out, "Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n filename=\"", type);
	file_name(m, extension, out);
	buf_add(out, STR("\"\r\n\r\n"));
	base64_lines(data, out);
}

static enum rc with_attachment(const struct report_mail *m, struct str multipart, const char *what, const char *type, const char *extension, struct str data,
                               struct buf *out)
{
	AUTO(buf_done) struct buf b = { .max = 100 };
	if (!sound(m))
		return RC_SYNTAX;
	TRY(boundary_of(m, &b));
	head(m, multipart, buf_str(&b), out);
	subject(m, out);
	if (str_starts(multipart, STR("multipart/report")))
		buf_addf(out, "TLS-Report-Domain: %.*s\r\nTLS-Report-Submitter: %.*s\r\n", PSTR(m->domain), PSTR(m->submitter));
	buf_add(out, STR("\r\n"));
	open_part(buf_str(&b), "text/plain; charset=us-ascii", out);
	words(m, what, out);
	buf_addf(out, "\r\n--%.*s\r\n", PSTR(buf_str(&b)));
	attachment(m, type, extension, data, out);
	buf_addf(out, "--%.*s--\r\n", PSTR(buf_str(&b)));
	return out->failed ? RC_LIMIT : RC_OK;
}

enum rc report_mail_dmarc(const struct report_mail *m, struct str gzipped_xml, struct buf *out)
{
	return with_attachment(m, STR("multipart/mixed"), "an aggregate DMARC report", "application/gzip", "xml.gz", gzipped_xml, out);
}

enum rc report_mail_tls(const struct report_mail *m, struct str gzipped_json, struct buf *out)
{
	return with_attachment(m, STR("multipart/report; report-type=\"tlsrpt\""), "an aggregate TLS report", "application/tlsrpt+gzip", "json.gz", gzipped_json, out);
}

/* ---- failure reports ---- */
/* RFC 6590: the local part is replaced by a keyed hash of the address, so that one sender can be told from another but not be found. */
static enum rc hash_of(const struct secret *key, struct str address, struct buf *out)
{
	AUTO(buf_done) struct buf lower = { .max = 2000 };
	uint8_t h[HASH_LEN];
	for (size_t i = 0; i < address.n; i++)
		buf_byte(&lower, ascii_lower(address.p[i]));
	TRY(hmac_sha256(key, buf_str(&lower), h));
	hex_add(out, str_of(h, HASH_SHOWN));
	return RC_OK;
}

static bool in_local(char c) { return (unsigned char)c > 0x20 && !strchr("<>()[]\\,;:\"@", c); }

/* Where the local part before the "@" at `at` begins: an atom, or a quoted string. */
static size_t local_begin(struct str s, size_t at, size_t floor)
{
	size_t i = at;
	if (i > floor && s.p[i - 1] == '"') {
		for (i--; i > floor && s.p[i - 1] != '"' && s.p[i - 1] != '\n'; i--)
			;
		return i > floor ? i - 1 : floor;
	}
	while (i > floor && in_local(s.p[i - 1]))
		i--;
	return i;
}

static size_t domain_end(struct str s, size_t from)
{
	while (from < s.n && in_local(s.p[from]))
		from++;
	return from;
}

/* An encoded word may hold anything: it goes as a whole. Its end, or 0. */
static size_t encoded_end(struct str s, size_t at)
{
	struct str rest = str_skip(s, at + 2);
	if (!str_starts(str_skip(s, at), STR("=?")))
		return 0;
	size_t q1 = str_find(rest, '?'), q2 = q1 < rest.n ? q1 + 1 + str_find(str_skip(rest, q1 + 1), '?') : rest.n;
	size_t end = q2 < rest.n ? q2 + 1 + str_find_str(str_skip(rest, q2 + 1), STR("?=")) : rest.n;
	return end < rest.n && end < 200 ? at + 2 + end + 2 : 0;
}

static enum rc redacted(struct str s, const struct secret *key, struct buf *out)
{
	size_t done = 0;
	for (size_t i = 0; i < s.n && !out->failed; i++) {
		size_t end = encoded_end(s, i);
		if (end) {
			buf_add(out, str_of(s.p + done, i - done));
			buf_add(out, STR("(redacted)"));
			done = end;
			i = end - 1;
		} else if (s.p[i] == '@') {
			size_t from = local_begin(s, i, done), to = domain_end(s, i + 1);
			buf_add(out, str_of(s.p + done, from - done));
			if (from < i)
				TRY(hash_of(key, str_of(s.p + from, to - from < 1000 ? to - from : 1000), out));
			done = i;
		}
	}
	buf_add(out, str_skip(s, done));
	return RC_OK;
}

/* Whole fields of the original's header, as many as fit, each line ended by CRLF. */
static void fields_of(struct str header, struct buf *out)
{
	struct header_field f;
	size_t pos = 0;
	bool broken = false;
	while (header_next(header, &pos, &f, &broken) == RC_OK && out->len + 2 * f.raw.n + 2 < HEAD_MAX) {
		struct str line, rest = f.raw;
		while (rest.n) {
			if (!str_cut(rest, '\n', &line, &rest))
				rest = STR("");
			if (line.n && line.p[line.n - 1] == '\r')
				line.n--;
			for (size_t i = 0; i < line.n; i++)
				buf_byte(out, line.p[i] == 0 || line.p[i] == '\r' ? ' ' : line.p[i]);
			buf_add(out, STR("\r\n"));
		}
	}
}

static void field(struct buf *out, const char *name, struct str value)
{
	if (value.n == 0)
		return;
	buf_addf(out, "%s: ", name);
	for (size_t i = 0; i < value.n && i < 900; i++)
		buf_byte(out, (unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f ? ' ' : value.p[i]);
	buf_add(out, STR("\r\n"));
}

/* RFC 6591 3 and RFC 9991: what a feedback report about authentication must and may say. */
static void feedback(const struct report_failure *f, struct str mail_from, struct buf *out)
{
	buf_add(out, STR("Feedback-Type: auth-failure\r\nUser-Agent: Letterlock/" LETTERLOCK_VERSION "\r\nVersion: 1\r\n"));
	field(out, "Auth-Failure", f->auth_failure.n ? f->auth_failure : STR("dmarc"));
	field(out, "Identity-Alignment", f->alignment.n ? f->alignment : STR("none"));
	field(out, "Reported-Domain", f->domain);
	field(out, "Original-Mail-From", mail_from);
	field(out, "Source-IP", f->source_ip);
	buf_add(out, STR("Arrival-Date: "));
	mail_date_format(f->at_s * 1000, 0, out);
	buf_add(out, STR("\r\n"));
	field(out, "Delivery-Result", f->delivery);
	field(out, "DKIM-Domain", f->dkim_domain);
	field(out, "DKIM-Selector", f->dkim_selector);
	field(out, "SPF-DNS", f->spf_dns);
	buf_addf(out, "Incidents: %llu\r\n", (unsigned long long)(f->incidents ? f->incidents : 1));
}

static enum rc key_for(const struct report_mail *m, struct secret *out)
{
	if (m->key.n)
		return hkdf(m->key, STR(""), STR("letterlock failure report redaction"), out);
	return random_bytes(out->k, sizeof out->k);
}

static enum rc write_failure(const struct report_mail *m, const struct report_failure *f, struct str boundary, struct str mail_from, struct str original, struct buf *out)
{
	head(m, STR("multipart/report; report-type=feedback-report"), boundary, out);
	buf_addf(out, "Subject: DMARC failure report for %.*s\r\n from %.*s\r\n\r\n", PSTR(m->domain), PSTR(m->submitter));
	open_part(boundary, "text/plain; charset=us-ascii", out);
	buf_addf(out, "\r\nA message that says to come from %.*s did not pass DMARC at\r\n%.*s. What is known of it follows for programs.\r\n\r\n", PSTR(m->domain),
	         PSTR(m->submitter));
	open_part(boundary, "message/feedback-report", out);
	buf_add(out, STR("\r\n"));
	feedback(f, mail_from, out);
	buf_add(out, STR("\r\n"));
	open_part(boundary, "text/rfc822-headers", out);
	buf_add(out, STR("Content-Transfer-Encoding: 8bit\r\n\r\n"));
	buf_add(out, original);
	buf_addf(out, "\r\n--%.*s--\r\n", PSTR(boundary));
	return out->failed ? RC_LIMIT : RC_OK;
}

enum rc report_mail_failure(const struct report_mail *m, const struct report_failure *f, struct str original_header, bool redact, struct buf *out)
{
	AUTO(buf_done) struct buf boundary = { .max = 100 };
	AUTO(buf_done) struct buf fields = { .max = HEAD_MAX + 1000 };
	AUTO(buf_done) struct buf shown = { .max = 4 * HEAD_MAX };
	AUTO(buf_done) struct buf from = { .max = 4096 };
	AUTO(secret_done) struct secret key;
	if (!sound(m) || f->mail_from.n > 1000)
		return RC_SYNTAX;
	TRY(boundary_of(m, &boundary));
	fields_of(original_header, &fields);
	if (redact) {
		TRY(key_for(m, &key));
		TRY(redacted(buf_str(&fields), &key, &shown));
		TRY(redacted(f->mail_from, &key, &from));
	} else {
		buf_add(&shown, buf_str(&fields));
		buf_add(&from, f->mail_from);
	}
	if (fields.failed || shown.failed || from.failed)
		return RC_LIMIT;
	return write_failure(m, f, buf_str(&boundary), buf_str(&from), buf_str(&shown), out);
}
