/* Aggregate reports of strangers (RFC 7489 appendix C, RFC 9990), leniently: by local names, in any order, with or without namespaces. No DTD, no
 * entities of its own, no text longer than REPORT_TEXT_MAX; rows as many as the arena's ceiling takes. */
#include "origin/report_internal.h"

#include "base/codec.h"
#include "base/mem.h"
#include "mail/charset.h"
#include <expat.h>

enum { DEPTH_MAX = 32, ROWS_MAX = 500000 };

enum element {
	E_NONE, E_FEEDBACK, E_META, E_ORG, E_EMAIL, E_EXTRA, E_ID, E_RANGE, E_BEGIN, E_END, E_POLICY, E_DOMAIN, E_ADKIM, E_ASPF, E_P, E_SP, E_NP, E_PCT,
	E_FO, E_TESTING, E_DISCOVERY, E_RECORD, E_ROW, E_IP, E_COUNT, E_EVALUATED, E_DISPOSITION, E_DKIM, E_SPF, E_REASON, E_TYPE, E_COMMENT,
	E_IDENTIFIERS, E_HEADER_FROM, E_ENVELOPE_FROM, E_ENVELOPE_TO, E_RESULTS, E_RES_DKIM, E_RES_SPF, E_RES_DKIM_DOMAIN, E_RES_DKIM_SELECTOR,
	E_RES_DKIM_RESULT, E_RES_SPF_DOMAIN, E_RES_SPF_SCOPE, E_RES_SPF_RESULT,
};
/* The whole format on one screen. */
static const struct { enum element in; const char *name; enum element is; } grammar[] = {
	{ E_NONE, "feedback", E_FEEDBACK },
	{ E_FEEDBACK, "report_metadata", E_META },
	{ E_META, "org_name", E_ORG }, { E_META, "email", E_EMAIL }, { E_META, "extra_contact_info", E_EXTRA }, { E_META, "report_id", E_ID },
	{ E_META, "date_range", E_RANGE }, { E_RANGE, "begin", E_BEGIN }, { E_RANGE, "end", E_END },
	{ E_FEEDBACK, "policy_published", E_POLICY },
	{ E_POLICY, "domain", E_DOMAIN }, { E_POLICY, "adkim", E_ADKIM }, { E_POLICY, "aspf", E_ASPF }, { E_POLICY, "p", E_P }, { E_POLICY, "sp", E_SP },
	{ E_POLICY, "np", E_NP }, { E_POLICY, "pct", E_PCT }, { E_POLICY, "fo", E_FO }, { E_POLICY, "testing", E_TESTING },
	{ E_POLICY, "discovery_method", E_DISCOVERY },
	{ E_FEEDBACK, "record", E_RECORD },
	{ E_RECORD, "row", E_ROW }, { E_ROW, "source_ip", E_IP }, { E_ROW, "count", E_COUNT }, { E_ROW, "policy_evaluated", E_EVALUATED },
	{ E_EVALUATED, "disposition", E_DISPOSITION }, { E_EVALUATED, "dkim", E_DKIM }, { E_EVALUATED, "spf", E_SPF }, { E_EVALUATED, "reason", E_REASON },
	{ E_REASON, "type", E_TYPE }, { E_REASON, "comment", E_COMMENT },
	{ E_RECORD, "identifiers", E_IDENTIFIERS }, { E_RECORD, "identities", E_IDENTIFIERS }, /* the second: an old draft, still sent */
	{ E_IDENTIFIERS, "header_from", E_HEADER_FROM }, { E_IDENTIFIERS, "envelope_from", E_ENVELOPE_FROM }, { E_IDENTIFIERS, "envelope_to", E_ENVELOPE_TO },
	{ E_RECORD, "auth_results", E_RESULTS },
	{ E_RESULTS, "dkim", E_RES_DKIM }, { E_RES_DKIM, "domain", E_RES_DKIM_DOMAIN }, { E_RES_DKIM, "selector", E_RES_DKIM_SELECTOR },
	{ E_RES_DKIM, "result", E_RES_DKIM_RESULT },
	{ E_RESULTS, "spf", E_RES_SPF }, { E_RES_SPF, "domain", E_RES_SPF_DOMAIN }, { E_RES_SPF, "scope", E_RES_SPF_SCOPE }, { E_RES_SPF, "result", E_RES_SPF_RESULT },
};

struct xml_reader {
	XML_Parser parser;
	struct arena *arena;
	struct report_aggregate *out;
	struct why *why;
	enum rc rc;                   /* sticky */
	enum element stack[DEPTH_MAX];
	unsigned depth;
	bool closed;                  /* the root element has ended */
	bool begin_set, end_set, bad_period;
	struct buf text;
	struct report_row row;        /* the one under construction */
	struct report_auth auth;
	struct report_row *rows;      /* grows outside of the arena, copied once */
	size_t n, cap;
	bool counted;
};

static void stop(struct xml_reader *r, enum rc rc, const char *text)
{
	if (r->rc != RC_OK)
		return;
	r->rc = why_fail(r->why, rc, 0, __FILE__, "%s", text);
	XML_StopParser(r->parser, XML_FALSE);
}

static const char *local_name(const char *name)
{
	const char *colon = strrchr(name, ':');
	return colon ? colon + 1 : name;
}

/* Equal values of neighbouring rows lie in the arena once. */
static struct str keep(struct xml_reader *r, struct str s, struct str same_as)
{
	if (s.n == 0)
		return STR("");
	if (same_as.p && str_eq(s, same_as))
		return same_as;
	struct str k = arena_str(r->arena, s);
	if (k.n != s.n)
		stop(r, RC_LIMIT, "the report is larger than what may be kept of it");
	return k;
}

static void start_record(struct xml_reader *r)
{
	r->row = report_row_empty();
	r->counted = false;
}

static bool row_room(struct xml_reader *r)
{
	if (r->n < r->cap)
		return true;
	size_t cap = r->cap ? r->cap * 2 : 64;
	if (r->n >= ROWS_MAX || (r->n + 1) * sizeof *r->rows + r->arena->used > r->arena->max) {
		stop(r, RC_LIMIT, "the report has more rows than may be kept");
		return false;
	}
	struct report_row *p = mem_grow(r->rows, r->cap * sizeof *p, cap * sizeof *p);
	if (!p) {
		stop(r, RC_NOMEM, "no memory for the report's rows");
		return false;
	}
	r->rows = p;
	r->cap = cap;
	return true;
}

static void end_record(struct xml_reader *r)
{
	if (!r->counted)
		stop(r, RC_SYNTAX, "a row of the report has no count");
	else if (row_room(r))
		r->rows[r->n++] = r->row;
}

static void XMLCALL on_start(void *house, const char *name, const char **attr)
{
	struct xml_reader *r = house;
	enum element in = r->depth ? r->stack[r->depth - 1] : E_NONE, is = E_NONE;
	if (r->depth == DEPTH_MAX) {
		stop(r, RC_LIMIT, "the report is nested too deeply");
		return;
	}
	for (size_t i = 0; i < sizeof grammar / sizeof grammar[0]; i++)
		if (grammar[i].in == in && strcmp(grammar[i].name, local_name(name)) == 0 && (in != E_NONE || r->depth == 0))
			is = grammar[i].is;
	if (r->depth == 0 && is != E_FEEDBACK) {
		stop(r, RC_NOTFOUND, "an XML document, but no DMARC report");
		return;
	}
	if (is == E_FEEDBACK)
		for (size_t i = 0; attr[i]; i += 2)
			r->out->rfc9990 |= strncmp(attr[i], "xmlns", 5) == 0 && strcmp(attr[i + 1], "urn:ietf:params:xml:ns:dmarc-2.0") == 0;
	if (is == E_RECORD)
		start_record(r);
	if (is == E_RES_DKIM || is == E_RES_SPF)
		r->auth = (struct report_auth){ STR(""), STR(""), STR(""), STR("") };
	r->stack[r->depth++] = is;
	buf_clear(&r->text);
}

static void XMLCALL on_text(void *house, const char *p, int n)
{
	struct xml_reader *r = house;
	if (r->depth == 0 || r->stack[r->depth - 1] == E_NONE)
		return; /* of elements that we do not know: extensions */
	buf_add(&r->text, str_of(p, (size_t)n));
	if (r->text.failed)
		stop(r, RC_LIMIT, "a value of the report is too long");
}

static struct str one_of(struct str s, const char *const *words, struct str fallback)
{
	for (; *words; words++)
		if (str_ieq(s, str_z(*words)))
			return str_z(*words);
	return fallback;
}
static const char *const dispositions[] = { "none", "quarantine", "reject", NULL };
static const char *const pass_or_fail[] = { "pass", "fail", NULL };

static struct str lowered(struct xml_reader *r, struct str s, struct str same_as)
{
	for (size_t i = 0; i < r->text.len; i++)
		r->text.p[i] = ascii_lower(r->text.p[i]);
	return keep(r, s, same_as);
}

static void take_count(struct xml_reader *r, struct str v)
{
	r->counted = str_u64(v, REPORT_NUMBER_MAX, &r->row.count);
	if (!r->counted)
		stop(r, RC_SYNTAX, "a count of the report is no number that can be true");
}

static void take_time(struct xml_reader *r, struct str v, int64_t *out, bool *set)
{
	uint64_t n;
	*set = str_u64(v, INT64_MAX, &n);
	if (*set)
		*out = (int64_t)n;
	else
		stop(r, RC_SYNTAX, "the report's period is no number");
}

static void take_ip(struct xml_reader *r, struct str v)
{
	char text[64];
	r->row.source_ip = keep(r, report_ip(v, false, text), r->n ? r->rows[r->n - 1].source_ip : STR(""));
}

static void take_auth(struct xml_reader *r, enum element is)
{
	struct report_row *row = &r->row;
	const struct report_row *last = r->n ? &r->rows[r->n - 1] : NULL;
	if (is == E_RES_SPF) { /* of several, that of MAIL FROM */
		if ((row->auth_spf.domain.n == 0 && row->auth_spf.result.n == 0) || str_eq(r->auth.scope, STR("mfrom")))
			row->auth_spf = r->auth;
		return;
	}
	if (row->auth_dkims == sizeof row->auth_dkim / sizeof row->auth_dkim[0])
		return;
	if (last && row->auth_dkims < last->auth_dkims) {
		const struct report_auth *l = &last->auth_dkim[row->auth_dkims];
		if (str_eq(l->domain, r->auth.domain) && str_eq(l->selector, r->auth.selector) && str_eq(l->result, r->auth.result))
			r->auth = *l;
	}
	row->auth_dkim[row->auth_dkims++] = r->auth;
}

/* What stands between a leaf's tags. */
static void take_value(struct xml_reader *r, enum element is, struct str v)
{
	struct report_aggregate *o = r->out;
	struct report_row *w = &r->row;
	const struct report_row empty = report_row_empty(), *last = r->n ? &r->rows[r->n - 1] : &empty;
	uint64_t n;
	switch (is) {
	case E_ORG: o->org = keep(r, v, STR("")); break;
	case E_EMAIL: o->email = keep(r, v, STR("")); break;
	case E_EXTRA: o->extra = keep(r, v, STR("")); break;
	case E_ID: o->id = keep(r, v, STR("")); break;
	case E_BEGIN: take_time(r, v, &o->begin_s, &r->begin_set); break;
	case E_END: take_time(r, v, &o->end_s, &r->end_set); break;
	case E_DOMAIN: o->domain = lowered(r, v, STR("")); break;
	case E_ADKIM: o->adkim = lowered(r, v, STR("")); break;
	case E_ASPF: o->aspf = lowered(r, v, STR("")); break;
	case E_P: o->p = one_of(v, dispositions, STR("")); break;
	case E_SP: o->sp = one_of(v, dispositions, STR("")); break;
	case E_NP: o->np = one_of(v, dispositions, STR("")); break;
	case E_PCT: o->pct = str_u64(v, 100, &n) ? (unsigned)n : 100; break;
	case E_FO: o->fo = keep(r, v, STR("")); break;
	case E_TESTING: o->testing = str_ieq(v, STR("y")); break;
	case E_DISCOVERY: o->discovery = lowered(r, v, STR("")); break;
	case E_IP: take_ip(r, v); break;
	case E_COUNT: take_count(r, v); break;
	case E_DISPOSITION: w->disposition = one_of(v, dispositions, STR("none")); break; /* RFC 9990's "pass" is none, too */
	case E_DKIM: w->dkim = one_of(v, pass_or_fail, STR("fail")); break;
	case E_SPF: w->spf = one_of(v, pass_or_fail, STR("fail")); break;
	case E_TYPE: w->override = w->override.n ? w->override : lowered(r, v, last->override); break;
	case E_COMMENT: w->override_comment = w->override_comment.n ? w->override_comment : keep(r, v, last->override_comment); break;
	case E_HEADER_FROM: w->header_from = lowered(r, v, last->header_from); break;
	case E_ENVELOPE_FROM: w->envelope_from = lowered(r, v, last->envelope_from); break;
	case E_ENVELOPE_TO: w->envelope_to = lowered(r, v, last->envelope_to); break;
	case E_RES_DKIM_DOMAIN: case E_RES_SPF_DOMAIN: r->auth.domain = lowered(r, v, STR("")); break;
	case E_RES_DKIM_SELECTOR: r->auth.selector = keep(r, v, STR("")); break;
	case E_RES_DKIM_RESULT: case E_RES_SPF_RESULT: r->auth.result = lowered(r, v, STR("")); break;
	case E_RES_SPF_SCOPE: r->auth.scope = lowered(r, v, STR("")); break;
	default: break;
	}
}

static void XMLCALL on_end(void *house, const char *name)
{
	struct xml_reader *r = house;
	if (r->depth == 0)
		return;
	enum element is = r->stack[--r->depth];
	if (is == E_RECORD)
		end_record(r);
	else if (is == E_RES_DKIM || is == E_RES_SPF)
		take_auth(r, is);
	else
		take_value(r, is, str_trim(buf_str(&r->text)));
	r->closed |= r->depth == 0;
	buf_clear(&r->text);
}

static void XMLCALL on_doctype(void *house, const char *name, const char *system_id, const char *public_id, int internal)
{
	stop(house, RC_LIMIT, "the report has a document type declaration");
}
static void XMLCALL on_entity(void *house, const char *name, int is_parameter, const char *value, int n, const char *base, const char *system_id,
                              const char *public_id, const char *notation)
{
	stop(house, RC_LIMIT, "the report declares entities");
}

static enum rc feed(struct xml_reader *r, struct str xml)
{
	while (r->rc == RC_OK) {
		size_t n = xml.n < (1 << 20) ? xml.n : 1 << 20;
		bool last = n == xml.n;
		if (XML_Parse(r->parser, xml.p, (int)n, last) != XML_STATUS_OK && r->rc == RC_OK) {
			if (r->closed && XML_GetErrorCode(r->parser) == XML_ERROR_JUNK_AFTER_DOC_ELEMENT)
				return RC_OK;
			r->rc = why_fail(r->why, RC_SYNTAX, 0, __FILE__, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(r->parser),
			                 XML_ErrorString(XML_GetErrorCode(r->parser)));
		}
		if (last)
			break;
		xml = str_skip(xml, n);
	}
	return r->rc;
}

static enum rc finish(struct xml_reader *r)
{
	struct report_aggregate *o = r->out;
	if (!r->begin_set || !r->end_set || !report_period_ok(o->begin_s, o->end_s))
		FAIL(r->why, RC_SYNTAX, "the report's period cannot be true");
	if (o->domain.n == 0)
		FAIL(r->why, RC_SYNTAX, "the report is about no domain");
	if (r->n == 0)
		return RC_OK;
	o->row = arena_new(r->arena, r->n * sizeof *o->row);
	if (!o->row)
		FAIL(r->why, RC_LIMIT, "the report has more rows than may be kept");
	memcpy(o->row, r->rows, r->n * sizeof *o->row);
	o->rows = r->n;
	return RC_OK;
}

/* Its declaration says UTF-16, its octets do not: who writes into a text of .NET and saves that as UTF-8 sends this. */
static bool misdeclared(struct str xml)
{
	struct str declaration = str_head(xml, str_find_str(xml, STR("?>")));
	return str_starts(xml, STR("<?xml")) && str_ifind_str(declaration, STR("utf-16")) < declaration.n;
}

/* The character that an octet is by itself in that charset; -1: none. */
static int character_of(const char *charset, int octet)
{
	AUTO(buf_done) struct buf text = { .max = 256 };
	char c = (char)octet;
	uint32_t u = 0;
	if (octet < 0x80)
		return octet;
	bool ok = charset_to_utf8(str_z(charset), str_of(&c, 1), &text) && text.len && utf8_next(buf_str(&text), &u) == text.len;
	return ok && u >= 0x80 && u < 0x10000 ? (int)u : -1;
}

/* An encoding that expat does not know, as windows-1252: taken where US-ASCII is itself in it, and beyond that as far as an octet is a character. */
static int XMLCALL on_encoding(void *unused, const char *name, XML_Encoding *out)
{
	static const struct str ascii = STR_INIT(" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~");
	AUTO(buf_done) struct buf same = { .max = 1024 };
	(void)unused;
	if (!charset_to_utf8(str_z(name), ascii, &same) || !str_eq(buf_str(&same), ascii))
		return XML_STATUS_ERROR;
	*out = (XML_Encoding){ .data = NULL };
	for (int i = 0; i < 256; i++)
		out->map[i] = character_of(name, i);
	return XML_STATUS_OK;
}

enum rc report_read_xml(struct str xml, struct arena *a, struct report_aggregate *out, struct why *why)
{
	static const struct str none = STR_INIT("");
	*out = (struct report_aggregate){ .org = none, .email = none, .extra = none, .id = none, .domain = none, .p = none, .sp = none, .np = none,
		.adkim = none, .aspf = none, .fo = none, .discovery = none, .pct = 100 };
	struct xml_reader r = { .arena = a, .out = out, .why = why, .text = { .max = REPORT_TEXT_MAX } };
	bool utf16 = xml.n > 2 && (memcmp(xml.p, "\xff\xfe", 2) == 0 || memcmp(xml.p, "\xfe\xff", 2) == 0);
	unsigned long salt = 0;
	if (xml.n >= 3 && memcmp(xml.p, "\xef\xbb\xbf", 3) == 0)
		xml = str_skip(xml, 3);
	if (!utf16)
		xml = str_trim(xml); /* "XML declaration not at start of document" */
	r.parser = XML_ParserCreate(utf16 ? "UTF-16" : misdeclared(xml) ? "UTF-8" : NULL);
	if (!r.parser || random_bytes(&salt, sizeof salt) != RC_OK) {
		XML_ParserFree(r.parser);
		FAIL(why, RC_NOMEM, "no memory to read the report");
	}
	XML_SetHashSalt(r.parser, salt | 1);
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetUnknownEncodingHandler(r.parser, on_encoding, NULL);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	XML_SetEntityDeclHandler(r.parser, on_entity);
	enum rc rc = feed(&r, xml);
	if (rc == RC_OK)
		rc = finish(&r);
	XML_ParserFree(r.parser);
	buf_done(&r.text);
	mem_free(r.rows);
	return rc;
}
