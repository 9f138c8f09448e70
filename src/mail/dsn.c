#include "mail/dsn_internal.h"

#include "base/codec.h"
#include "mail/encoded_word.h"
#include "mail/header.h"

enum { HEADERS_MAX = 65536, LINE_MAX = 998, FOLD_AT = 76, QP_LINE = 76, TEXT_MAX = 1 << 20, STATUS_MAX = 256 << 20, DIAGNOSTIC_MAX = 800, BOUNDARY_TRIES = 64, VALUE_MAX = 900 };

/* ---- a stranger's octets ---- */

bool dsn_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7e)
			return false;
	return true;
}

/* C1 controls, marks that turn the direction of text, separators of lines: nothing that a reader should be shown as it is. */
static bool is_trick(uint32_t c)
{
	return (c >= 0x80 && c < 0xa0) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0x61c;
}

void dsn_clean(struct buf *out, struct str s, size_t max)
{
	size_t start = out->len;
	s = str_trim(s);
	while (s.n) {
		uint32_t c;
		size_t n = utf8_next(s, &c);
		if (out->len - start + (n ? n : 1) > max) {
			buf_add(out, STR("..."));
			return;
		}
		if (n && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
			if (out->len == start || out->p[out->len - 1] != ' ')
				buf_byte(out, ' ');
		} else if (n && c >= 0x20 && c != 0x7f && !is_trick(c))
			buf_add(out, str_head(s, n));
		else
			buf_byte(out, '?');
		s = str_skip(s, n ? n : 1);
	}
}

int dsn_code(struct str s)
{
	if (s.n < 3 || s.p[0] < '2' || s.p[0] > '5' || !ascii_digit(s.p[1]) || !ascii_digit(s.p[2]) || (s.n > 3 && ascii_digit(s.p[3])))
		return 0;
	return (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
}

/* RFC 3464 2.3.4: status-code = DIGIT "." 1*3DIGIT "." 1*3DIGIT */
static bool status_ok(const char *s)
{
	struct str first, second, third, rest;
	uint64_t v;
	return str_cut(str_z(s), '.', &first, &rest) && str_cut(rest, '.', &second, &third) && first.n == 1 && (s[0] == '2' || s[0] == '4' || s[0] == '5') && second.n <= 3 &&
	       third.n <= 3 && str_u64(second, 999, &v) && str_u64(third, 999, &v);
}

void dsn_status(const struct dsn_rcpt *r, char out[12])
{
	bool trouble = r->action == DSN_FAILED || r->action == DSN_DELAYED;
	bool fits = memchr(r->status, '\0', sizeof r->status) && status_ok(r->status) && (r->status[0] != '2') == trouble;
	const char *plain = r->action == DSN_FAILED ? "5.0.0" : r->action == DSN_DELAYED ? "4.0.0" : "2.0.0";
	(void)snprintf(out, 12, "%.11s", fits && !(r->action == DSN_DELAYED && r->status[0] == '5') ? r->status : plain);
}

/* ---- fields of the report ---- */

/* "Name: type; value" on lines of at most FOLD_AT where there are spaces to fold at, LINE_MAX always. */
static void field(struct buf *out, const char *name, const char *type, struct str value)
{
	size_t at = out->len, last = 0;
	buf_addf(out, "%s: %s; ", name, type);
	struct str word, rest = value;
	while (rest.n) {
		bool more = str_cut(rest, ' ', &word, &rest);
		word = str_head(word, VALUE_MAX);
		if (last && out->len - at + word.n > FOLD_AT) {
			out->len -= out->failed ? 0 : 1; /* the space goes to the next line's beginning */
			buf_add(out, STR("\r\n "));
			at = out->len - 1;
		}
		buf_add(out, word);
		if (more && rest.n)
			buf_byte(out, ' ');
		last = word.n;
	}
	buf_add(out, STR("\r\n"));
}

static void date_field(struct buf *out, const char *name, int64_t ms)
{
	buf_addf(out, "%s: ", name);
	mail_date_format(ms, 0, out);
	buf_add(out, STR("\r\n"));
}

/* RFC 6533 3: utf-8-addr-xtext, for a report that must be ASCII: QCHAR as it is, the rest as \x{HEX}. */
static void address_xtext(struct buf *out, struct str s)
{
	while (s.n && !out->failed) {
		uint32_t c;
		size_t n = utf8_next(s, &c);
		bool qchar = n == 1 && c > 0x20 && c < 0x7f && c != '+' && c != '=' && c != '\\';
		if (qchar)
			buf_byte(out, (char)c);
		else
			buf_addf(out, "\\x{%02X}", n ? c : 0xfffdu);
		s = str_skip(s, n ? n : 1);
	}
}

static void address_field(struct buf *out, const char *name, struct str type, struct str address, bool global)
{
	AUTO(buf_done) struct buf v = { .max = 8192 };
	struct str cut = str_head(address, 600);
	bool utf8 = !dsn_ascii(cut) || str_ieq(type, STR("utf-8"));
	if (utf8 && !global)
		address_xtext(&v, cut);
	else
		dsn_clean(&v, cut, 600);
	field(out, name, utf8 ? "utf-8" : "rfc822", buf_str(&v));
	out->failed |= v.failed;
}

/* An xtext-decoded ORCPT of a type that is neither of the two we know goes with its type when that is an atom. */
static void orcpt_field(struct buf *out, const struct dsn_rcpt *r, bool global)
{
	AUTO(buf_done) struct buf v = { .max = 8192 };
	char type[33];
	size_t n = 0;
	if (!r->orcpt.n)
		return;
	if (str_ieq(r->orcpt_type, STR("rfc822")) || str_ieq(r->orcpt_type, STR("utf-8"))) {
		address_field(out, "Original-Recipient", r->orcpt_type, r->orcpt, global);
		return;
	}
	for (size_t i = 0; i < r->orcpt_type.n && n < 32; i++)
		if (ascii_alnum(r->orcpt_type.p[i]) || r->orcpt_type.p[i] == '-')
			type[n++] = r->orcpt_type.p[i];
	type[n] = '\0';
	address_xtext(&v, str_head(r->orcpt, 600));
	if (n)
		field(out, "Original-Recipient", type, buf_str(&v));
}

static bool host_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && !memchr("-._[]:", s.p[i], 6))
			return false;
	return s.n > 0 && s.n <= 255;
}

static void diagnostic_field(struct buf *out, const struct dsn_rcpt *r, bool global)
{
	AUTO(buf_done) struct buf v = { .max = 8192 }, plain = { .max = 8192 };
	if (!r->diagnostic.n)
		return;
	dsn_clean(&v, r->diagnostic, DIAGNOSTIC_MAX);
	for (struct str s = buf_str(&v); s.n && !global;) {
		uint32_t c;
		size_t n = utf8_next(s, &c);
		buf_byte(&plain, n == 1 ? s.p[0] : '?');
		s = str_skip(s, n ? n : 1);
	}
	field(out, "Diagnostic-Code", r->remote && dsn_code(r->diagnostic) ? "smtp" : "X-Letterlock", buf_str(global ? &v : &plain));
}

static void recipient(struct buf *out, const struct dsn_rcpt *r, bool global)
{
	static const char *const actions[] = { [DSN_FAILED] = "failed", [DSN_DELAYED] = "delayed", [DSN_DELIVERED] = "delivered", [DSN_RELAYED] = "relayed", [DSN_EXPANDED] = "expanded" };
	char status[12];
	dsn_status(r, status);
	buf_add(out, STR("\r\n"));
	orcpt_field(out, r, global);
	address_field(out, "Final-Recipient", STR("rfc822"), r->final, global);
	buf_addf(out, "Action: %s\r\nStatus: %s\r\n", actions[r->action], status);
	if (host_ok(r->remote_mta))
		field(out, "Remote-MTA", "dns", r->remote_mta);
	diagnostic_field(out, r, global);
	if (r->last_ms)
		date_field(out, "Last-Attempt-Date", r->last_ms);
	if (r->action == DSN_DELAYED && r->retry_until_ms)
		date_field(out, "Will-Retry-Until", r->retry_until_ms);
}

static void report(const struct dsn *d, bool global, struct buf *out)
{
	AUTO(buf_done) struct buf v = { .max = 1024 };
	if (d->envid.n) {
		dsn_clean(&v, d->envid, 200);
		buf_add(out, STR("Original-Envelope-Id: "));
		for (size_t i = 0; i < v.len; i++)
			buf_byte(out, (unsigned char)v.p[i] < 0x7f ? v.p[i] : '?');
		buf_add(out, STR("\r\n"));
	}
	field(out, "Reporting-MTA", "dns", d->reporting_mta);
	if (d->arrival_ms)
		date_field(out, "Arrival-Date", d->arrival_ms);
	for (size_t i = 0; i < d->n; i++)
		recipient(out, &d->rcpts[i], global);
}

/* ---- the original ---- */

static void crlf_lines(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n')
			buf_add(out, STR("\r\n"));
		else if (s.p[i] != '\r' && s.p[i] != '\0')
			buf_byte(out, s.p[i]);
		else if (s.p[i] == '\0' || i + 1 == s.n || s.p[i + 1] != '\n')
			buf_byte(out, ' ');
	}
}

/* Whole fields only, as many as fit. */
static void header_of(struct str original, struct buf *out)
{
	struct header_field f;
	size_t pos = 0;
	bool broken;
	while (header_next(original, &pos, &f, &broken) == RC_OK && out->len + 2 * f.raw.n < HEADERS_MAX) {
		crlf_lines(f.raw, out);
		if (out->len && out->p[out->len - 1] != '\n')
			buf_add(out, STR("\r\n"));
	}
}

static const char *encoding_of(struct str s)
{
	const char *is = "7bit";
	size_t line = 0;
	for (size_t i = 0; i < s.n; i++) {
		line = s.p[i] == '\n' ? 0 : line + 1;
		if (s.p[i] == '\0' || line > LINE_MAX + 1)
			return "binary";
		if ((unsigned char)s.p[i] > 0x7f)
			is = "8bit";
	}
	return is;
}

/* ---- the message ---- */

struct parts { struct buf text, report, header; bool global, global_original; };

static void parts_done(struct parts *p)
{
	buf_done(&p->text);
	buf_done(&p->report);
	buf_done(&p->header);
}

static bool header_is_ascii(struct str original)
{
	struct header_field f;
	size_t pos = 0;
	bool broken;
	while (header_next(original, &pos, &f, &broken) == RC_OK)
		if (!dsn_ascii(f.raw))
			return false;
	return true;
}

/* RFC 6533 4: the forms of message/global only where there is something that the others cannot say. */
static bool needs_global(const struct dsn *d)
{
	bool ascii = dsn_ascii(d->to);
	for (size_t i = 0; i < d->n && ascii; i++)
		ascii = dsn_ascii(d->rcpts[i].final) && dsn_ascii(d->rcpts[i].orcpt) && dsn_ascii(d->rcpts[i].diagnostic);
	return d->utf8 && !ascii;
}

/* One line of our own header: nothing in it can end the line. */
static bool plain(struct str s, bool utf8)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= VALUE_MAX && utf8_ok(s) && (utf8 || dsn_ascii(s));
}

static bool address_plain(struct str s, bool utf8) { return plain(s, utf8) && str_find(s, '@') < s.n && str_find(s, '<') == s.n && str_find(s, '>') == s.n; }

static bool sound(const struct dsn *d)
{
	bool ok = address_plain(d->from, d->utf8) && address_plain(d->to, d->utf8) && host_ok(d->reporting_mta) && plain(d->message_id, false) &&
	          str_find(d->message_id, ' ') == d->message_id.n && str_find(d->message_id, '<') == d->message_id.n && str_find(d->message_id, '>') == d->message_id.n && d->n > 0;
	for (size_t i = 0; i < d->n; i++)
		ok = ok && d->rcpts[i].final.n > 0;
	return ok;
}

static bool within(const struct parts *p, struct str original, struct str boundary)
{
	return str_find_str(buf_str(&p->text), boundary) < p->text.len || str_find_str(buf_str(&p->report), boundary) < p->report.len ||
	       str_find_str(buf_str(&p->header), boundary) < p->header.len || str_find_str(original, boundary) < original.n;
}

/* A boundary that stands in none of the parts. Its number comes from the message id, which nobody outside can know beforehand. */
static enum rc boundary_of(const struct dsn *d, const struct parts *p, char out[64])
{
	uint64_t h = 14695981039346656037ull;
	for (size_t i = 0; i < d->message_id.n; i++)
		h = (h ^ (unsigned char)d->message_id.p[i]) * 1099511628211ull;
	for (unsigned i = 0; i < BOUNDARY_TRIES; i++) {
		(void)snprintf(out, 64, "=_notice_%016llx_%u", (unsigned long long)h, i);
		if (!within(p, d->full ? d->original : STR(""), str_z(out)))
			return RC_OK;
	}
	return RC_SYNTAX;
}

/* The notice belongs to the message that it is about. */
static void thread_fields(const struct dsn *d, struct buf *out)
{
	struct header_field f;
	if (header_find(d->original, STR("Message-ID"), &f) != RC_OK)
		return;
	struct str id = str_trim(f.value);
	if (!plain(id, false) || id.n > 250 || id.n < 5 || id.p[0] != '<' || id.p[id.n - 1] != '>' || str_find(id, ' ') < id.n || str_find(str_skip(id, 1), '<') < id.n - 1 ||
	    str_find(id, '>') < id.n - 1)
		return;
	buf_addf(out, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", PSTR(id), PSTR(id));
}

static void head(const struct dsn *d, const char *boundary, bool global, struct buf *out)
{
	AUTO(buf_done) struct buf subject = { .max = 2048 };
	dsn_subject(d, &subject);
	buf_addf(out, "From: Mail delivery <%.*s>\r\n", PSTR(d->from));
	buf_addf(out, "To: <%.*s>\r\nSubject: ", PSTR(d->to));
	if (dsn_ascii(buf_str(&subject)) && str_find_str(buf_str(&subject), STR("=?")) == subject.len)
		buf_add(out, buf_str(&subject));
	else
		encoded_words_add(out, buf_str(&subject));
	out->failed |= subject.failed;
	buf_add(out, STR("\r\n"));
	date_field(out, "Date", d->now_ms);
	buf_addf(out, "Message-ID: <%.*s>\r\n", PSTR(d->message_id));
	thread_fields(d, out);
	buf_addf(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=%s;\r\n boundary=\"%s\"\r\n",
	         global ? "global-delivery-status" : "delivery-status", boundary);
}

/* RFC 2045 6.7, for text whose lines end in CRLF. */
static void quoted_printable(struct str s, struct buf *out)
{
	size_t at = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			buf_add(out, STR("\r\n"));
			at = 0;
			i++;
			continue;
		}
		bool end = i + 1 == s.n || s.p[i + 1] == '\r';
		bool bare = c > 0x20 && c < 0x7f ? c != '=' : c == ' ' && !end;
		if (at + (bare ? 1 : 3) >= QP_LINE) {
			buf_add(out, STR("=\r\n"));
			at = 0;
		}
		if (bare)
			buf_byte(out, (char)c);
		else
			buf_addf(out, "=%02X", c);
		at += bare ? 1 : 3;
	}
}

static void open_part(struct buf *out, const char *boundary, const char *type, const char *encoding, const char *description)
{
	buf_addf(out, "\r\n--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\nContent-Description: %s\r\n\r\n", boundary, type, encoding, description);
}

static void put_parts(const struct dsn *d, const struct parts *p, const char *boundary, struct buf *out)
{
	struct str text = buf_str(&p->text), original = d->full ? d->original : buf_str(&p->header);
	bool ascii = dsn_ascii(text);
	open_part(out, boundary, ascii ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8", ascii ? "7bit" : "quoted-printable", "Notice");
	if (ascii)
		buf_add(out, text);
	else
		quoted_printable(text, out);
	open_part(out, boundary, p->global ? "message/global-delivery-status" : "message/delivery-status", p->global ? "8bit" : "7bit", "Report for programs");
	buf_add(out, buf_str(&p->report));
	const char *type = d->full ? (p->global_original ? "message/global" : "message/rfc822") : p->global_original ? "message/global-headers" : "text/rfc822-headers";
	open_part(out, boundary, type, encoding_of(original), d->full ? "Your message" : "Header of your message");
	buf_add(out, original);
	buf_addf(out, "\r\n--%s--\r\n", boundary);
}

enum rc dsn_format(const struct dsn *d, struct buf *out)
{
	AUTO(parts_done) struct parts p = { .text = { .max = TEXT_MAX }, .report = { .max = STATUS_MAX }, .header = { .max = 2 * HEADERS_MAX } };
	char boundary[64];
	if (!sound(d))
		return RC_SYNTAX;
	p.global = needs_global(d);
	p.global_original = d->utf8 && !header_is_ascii(d->original);
	dsn_text(d, &p.text);
	report(d, p.global, &p.report);
	if (!d->full)
		header_of(d->original, &p.header);
	if (p.text.failed || p.report.failed || p.header.failed)
		return RC_NOMEM;
	TRY(boundary_of(d, &p, boundary));
	head(d, boundary, p.global, out);
	put_parts(d, &p, boundary, out);
	return out->failed ? RC_LIMIT : RC_OK;
}
