/* Finds the report in what came: a mail or a bare file. What a part says it is counts for nothing; its octets are looked at. */
#include "origin/report_internal.h"

#include "mail/address.h"
#include "mail/header.h"
#include "mail/mime.h"

enum { PARTS_TRIED = 64, PART_MAX = 32 << 20 };

static enum rc read_plain(struct str bytes, struct arena *a, struct report *out, struct why *why)
{
	enum packing p = packing_of(bytes);
	if (p == PACKING_GZIP || p == PACKING_ZIP)
		FAIL(why, RC_LIMIT, "an archive within an archive");
	if (p == PACKING_XML) {
		out->kind = REPORT_DMARC;
		return report_read_xml(bytes, a, &out->dmarc, why);
	}
	if (p == PACKING_JSON) {
		out->kind = REPORT_TLS;
		return report_read_json(bytes, a, &out->tls, why);
	}
	FAIL(why, RC_NOTFOUND, "neither XML nor JSON");
}

/* The files of one archive, in their order: the reports, then what should be one and cannot be read. */
struct chain { struct report *good, **good_end, *bad, **bad_end; enum rc rc; struct why why; /* rc, why: the first complaint */ };
static enum rc chain_add(struct chain *c, struct str bytes, struct arena *a, struct why *why)
{
	struct report *r = arena_new(a, sizeof *r);
	struct why w = { 0 };
	if (!r)
		FAIL(why, RC_NOMEM, "no memory for a report");
	enum rc rc = read_plain(bytes, a, r, &w);
	if (rc == RC_OK) {
		*c->good_end = r;
		c->good_end = &r->next;
		return RC_OK;
	}
	if (a->full || rc == RC_NOMEM)
		return why_fail(why, rc, 0, __FILE__, "%s", w.text);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	*r = (struct report){ .kind = REPORT_UNKNOWN, .wrong = arena_str(a, str_z(w.text)) };
	if (a->full)
		FAIL(why, RC_NOMEM, "no memory for a report");
	*c->bad_end = r;
	c->bad_end = &r->next;
	if (c->rc == RC_NOTFOUND) {
		c->rc = rc;
		c->why = w;
	}
	return RC_OK;
}

static enum rc read_zip(struct str bytes, struct buf *plain, struct arena *a, struct report *out, struct why *why)
{
	struct str file[REPORT_FILES_MAX];
	size_t n;
	TRY(unzip_reports(bytes, plain, file, &n, why));
	if (n == 1)
		return read_plain(file[0], a, out, why);
	struct chain c = { .good_end = &c.good, .bad_end = &c.bad, .rc = RC_NOTFOUND };
	for (size_t i = 0; i < n; i++)
		TRY(chain_add(&c, file[i], a, why));
	if (!c.good)
		return why_fail(why, c.rc, 0, __FILE__, "%s", c.rc == RC_NOTFOUND ? "neither XML nor JSON" : c.why.text);
	*c.good_end = c.bad;
	*out = *c.good;
	return RC_OK;
}

static enum rc read_file(struct str bytes, struct arena *a, struct report *out, struct why *why)
{
	AUTO(buf_done) struct buf plain = { .max = REPORT_UNPACKED_MAX + (1 << 17) };
	enum packing p = packing_of(bytes);
	if (p == PACKING_ZIP)
		return read_zip(bytes, &plain, a, out, why);
	if (p != PACKING_GZIP)
		return read_plain(bytes, a, out, why);
	TRY(gunzip(bytes, &plain, why));
	return read_plain(buf_str(&plain), a, out, why);
}

/* The header that came with a failure report: of an embedded message, or text/rfc822-headers. */
static struct str original_header(const struct mime_tree *t)
{
	for (uint32_t i = 1; i < t->n; i++) {
		const struct mime_part *p = &t->part[i];
		if (p->parent != MIME_NONE && t->part[p->parent].kind == MAIL_MESSAGE)
			return mime_header(t, p);
		if (mime_is(p, STR("text"), STR("rfc822-headers")) || mime_is(p, STR("message"), STR("rfc822-headers")))
			return mime_body(t, p);
	}
	return STR("");
}

static enum rc try_part(const struct mime_tree *t, const struct mime_part *p, struct arena *a, struct report *out, struct why *why)
{
	AUTO(buf_done) struct buf b = { .max = PART_MAX };
	if (p->body_len <= 2 * (uint64_t)PART_MAX)
		transfer_decode(p->encoding, mime_body(t, p), &b); /* what is broken in it, the reader of the part finds */
	if (p->body_len > 2 * (uint64_t)PART_MAX || b.len >= PART_MAX / 4 * 3)
		FAIL(why, RC_LIMIT, "a part of the message is larger than %d octets", PART_MAX / 4 * 3);
	if (b.failed)
		FAIL(why, RC_NOMEM, "no memory for a part of the message");
	if (mime_is(p, STR("message"), STR("feedback-report"))) {
		out->kind = REPORT_FAILURE;
		return report_read_failure(buf_str(&b), original_header(t), a, &out->failure, why);
	}
	return read_file(buf_str(&b), a, out, why);
}

/* The first part that is a report; else the first complaint about one that would be. */
static enum rc read_mail(const struct mime_tree *t, struct arena *a, struct report *out, struct why *why)
{
	enum rc first = RC_NOTFOUND;
	struct why found = { 0 };
	unsigned tried = 0;
	for (uint32_t i = 0; i < t->n && tried < PARTS_TRIED; i++) {
		struct why w = { 0 };
		if (t->part[i].kind != MAIL_LEAF || t->part[i].body_len == 0)
			continue;
		tried++;
		enum rc rc = try_part(t, &t->part[i], a, out, &w);
		if (rc == RC_OK || rc == RC_NOMEM)
			return rc;
		if (first == RC_NOTFOUND && rc != RC_NOTFOUND) {
			first = rc;
			found = w;
		}
	}
	if (first == RC_NOTFOUND)
		FAIL(why, RC_NOTFOUND, "no report in this message");
	if (why)
		*why = found;
	return first;
}

enum rc report_read(struct str bytes, struct arena *a, struct report *out, struct why *why)
{
	enum rc rc;
	*out = (struct report){ .kind = REPORT_UNKNOWN };
	if (packing_of(bytes) != PACKING_NONE) {
		rc = read_file(bytes, a, out, why);
	} else {
		struct mime_tree tree;
		rc = mime_parse(bytes, &mail_limits_default, &tree, why);
		if (rc == RC_OK)
			rc = read_mail(&tree, a, out, why);
		mime_done(&tree);
	}
	if (rc != RC_OK)
		out->kind = REPORT_UNKNOWN;
	return rc;
}

/* ---- failure reports: the fields of RFC 5965 3, 6591 3 and 9991 ---- */
static enum rc put(struct str value, struct arena *a, struct str *out, struct why *why)
{
	AUTO(buf_done) struct buf flat = { .max = REPORT_TEXT_MAX };
	header_unfold(value, &flat);
	struct str v = str_trim(buf_str(&flat));
	*out = arena_str(a, v);
	if (flat.failed || out->n != v.n)
		FAIL(why, RC_LIMIT, "a field of the report is too long");
	return RC_OK;
}

static enum rc take_field(const struct header_field *f, struct arena *a, struct report_failure *out, bool *out_ours, struct why *why)
{
	struct { const char *name; struct str *to; } fields[] = {
		{ "Reported-Domain", &out->domain }, { "Source-IP", &out->source_ip }, { "Original-Mail-From", &out->mail_from }, { "Auth-Failure", &out->auth_failure },
		{ "DKIM-Domain", &out->dkim_domain }, { "DKIM-Selector", &out->dkim_selector }, { "SPF-DNS", &out->spf_dns }, { "Delivery-Result", &out->delivery },
		{ "Identity-Alignment", &out->alignment },
	};
	struct str v = str_trim(f->value);
	int64_t ms;
	int zone;
	if (str_ieq(f->name, STR("Feedback-Type")))
		*out_ours = str_ieq(v, STR("auth-failure")) || str_ieq(v, STR("dmarc"));
	if (str_ieq(f->name, STR("Arrival-Date")) && mail_date_parse(v, &ms, &zone) == RC_OK && report_period_ok(ms / 1000, ms / 1000))
		out->at_s = ms / 1000;
	if (str_ieq(f->name, STR("Incidents")) && !str_u64(v, REPORT_NUMBER_MAX, &out->incidents))
		FAIL(why, RC_SYNTAX, "the number of incidents cannot be true");
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (str_ieq(f->name, str_z(fields[i].name)) && fields[i].to->n == 0)
			return put(f->value, a, fields[i].to, why);
	return RC_OK;
}

enum rc report_read_failure(struct str fields, struct str original, struct arena *a, struct report_failure *out, struct why *why)
{
	static const struct str none = STR_INIT("");
	struct header_field f;
	size_t pos = 0;
	bool broken = false, ours = false;
	char ip[64];
	*out = (struct report_failure){ none, none, none, none, none, none, none, none, none, .alignment = none, .incidents = 1 };
	while (header_next(fields, &pos, &f, &broken) == RC_OK)
		TRY(take_field(&f, a, out, &ours, why));
	if (!ours)
		FAIL(why, RC_NOTFOUND, "a feedback report, but not about authentication");
	out->source_ip = arena_str(a, report_ip(out->source_ip, false, ip));
	struct str head = str_head(original, REPORT_HEADERS_MAX);
	out->original_headers = arena_str(a, head);
	if (out->original_headers.n != head.n)
		FAIL(why, RC_LIMIT, "the report is larger than what may be kept of it");
	return RC_OK;
}
