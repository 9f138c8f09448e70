#include "role/probe_auth.h"

#include "dns/asker.h"
#include "mail/header.h"
#include "origin/auth_results.h"
#include "role/probe_out.h"
#include <arpa/inet.h>

enum { RESULT_MAX = 16 << 20 };

/* ---- what was given ---- */

static enum rc read_ip(struct str text, uint8_t out[16], struct str *out_ip, struct why *why)
{
	char z[64];
	if (text.n >= sizeof z)
		FAIL(why, RC_SYNTAX, "\"%.*s\" is no address", PSTR(str_head(text, 60)));
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	bool is4 = inet_pton(AF_INET, z, out) == 1;
	if (!is4 && inet_pton(AF_INET6, z, out) != 1)
		FAIL(why, RC_SYNTAX, "\"%.60s\" is no address", z);
	*out_ip = str_of(out, is4 ? 4 : 16);
	return RC_OK;
}

/* The last "@" divides: a local part may have more of them. */
static void split_sender(struct str from, struct str *out_local, struct str *out_domain)
{
	*out_local = *out_domain = STR("");
	if (from.n == 0 || str_eq(from, STR("<>")))
		return;
	if (from.n > 2 && from.p[0] == '<' && from.p[from.n - 1] == '>') /* as it stands in MAIL FROM */
		from = str_of(from.p + 1, from.n - 2);
	size_t at = from.n;
	while (at > 0 && from.p[at - 1] != '@')
		at--;
	*out_domain = str_skip(from, at);
	*out_local = str_head(from, at ? at - 1 : 0);
}

struct spf_case { uint8_t ip[16]; struct spf_query q; };

static enum rc spf_case(const struct probe_query *q, struct spf_case *out, struct why *why)
{
	*out = (struct spf_case){ .q = { .helo = q->helo, .receiver = q->receiver, .now_s = (uint64_t)q->now_s } };
	split_sender(q->from, &out->q.local, &out->q.domain);
	return read_ip(q->ip, out->ip, &out->q.ip, why);
}

/* The header with its empty line; the rest is body. */
static void split_message(struct str message, struct str *out_header, struct str *out_body)
{
	size_t i = 0;
	while (i < message.n) {
		size_t end = i + str_find(str_skip(message, i), '\n');
		bool empty = end == i || (end == i + 1 && message.p[i] == '\r');
		i = end < message.n ? end + 1 : message.n;
		if (empty)
			break;
	}
	*out_header = str_head(message, i);
	*out_body = str_skip(message, i);
}

enum rc probe_time(struct str text, int64_t *out_s, struct why *why)
{
	uint64_t n;
	int64_t ms;
	int zone;
	char z[40];
	struct tm t = { 0 };
	if (str_u64(text, INT64_MAX, &n))
		return *out_s = (int64_t)n, RC_OK;
	if (text.n < sizeof z) {
		memcpy(z, text.p, text.n);
		z[text.n] = '\0';
		const char *end = strptime(z, "%Y-%m-%dT%H:%M:%S", &t);
		if (end && *end == 'Z')
			end++;
		if (!end) {
			t = (struct tm){ 0 };
			end = strptime(z, "%Y-%m-%d", &t);
		}
		if (end && *end == '\0')
			return *out_s = (int64_t)timegm(&t), RC_OK;
	}
	if (mail_date_parse(text, &ms, &zone) == RC_OK)
		return *out_s = ms / 1000, RC_OK;
	FAIL(why, RC_SYNTAX, "\"%.*s\" is no time: give seconds since 1970, 2026-01-31 or 2026-01-31T12:00:00Z", PSTR(str_head(text, 40)));
}

enum rc probe_zones_new(struct dns_table **out, struct why *why)
{
	enum rc rc = dns_table_new(out);
	if (rc != RC_OK)
		FAIL(why, rc, "no memory for a table of zones");
	return rc;
}

enum rc probe_zones_read(struct dns_table *t, struct str text, struct why *why) { return dns_table_read(t, text, STR(""), why); }

struct dns probe_resolver(struct ipc_peer *peer) { return dns_asker_at(peer); }

/* ---- SPF ---- */

static void put_spf(struct probe_out *p, const struct spf_query *q, const struct spf_result *r)
{
	AUTO(buf_done) struct buf received = { .max = 8192 };
	spf_received(q, r, &received);
	probe_text(p, "result", str_z(auth_name(r->result)));
	probe_text(p, "why", r->why);
	probe_text(p, "identity", r->of_helo ? STR("helo") : STR("mailfrom"));
	probe_text(p, "domain", r->domain);
	probe_text(p, "mechanism", r->mechanism);
	probe_text(p, "explanation", r->explanation);
	probe_number(p, "lookups", r->lookups);
	probe_number(p, "voids", r->voids);
	probe_text(p, "received_spf", str_trim(buf_str(&received)));
}

enum rc probe_spf(const struct dns *dns, const struct probe_query *q, bool json, struct buf *out, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = RESULT_MAX };
	struct probe_out p = { .out = out, .json = json };
	struct spf_case c;
	struct spf_result r;
	TRY(spf_case(q, &c, why));
	probe_begin(&p, q->name);
	struct origin_trace t = probe_trace(&p);
	spf_check(dns, &c.q, &t, &a, &r);
	probe_text(&p, "ip", q->ip);
	probe_text(&p, "helo", q->helo);
	probe_text(&p, "from", q->from);
	put_spf(&p, &c.q, &r);
	return probe_end(&p, why);
}

/* ---- DKIM and ARC ---- */

static enum rc verify(const struct dns *dns, const struct dkim_options *o, struct str message, const struct origin_trace *t, struct arena *a,
                      struct dkim_result *out, struct why *why)
{
	AUTO(dkim_verify_free) struct dkim_verifier *v = NULL;
	struct str header, body;
	split_message(message, &header, &body);
	enum rc rc = dkim_verify_new(header, o, &v);
	if (rc != RC_OK)
		FAIL(why, rc, "no memory to verify with");
	dkim_verify_body(v, body);
	dkim_verify_end(v, dns, t, a, out);
	return RC_OK;
}

static void put_signature(struct probe_out *p, const struct dkim_signature *s)
{
	probe_item(p, "signature");
	probe_text(p, "result", str_z(auth_name(s->result)));
	probe_text(p, "why", s->why);
	probe_bool(p, "body_hash", s->body_ok);
	probe_bool(p, "signature_ok", s->signature_ok);
	probe_text(p, "domain", s->domain);
	probe_text(p, "selector", s->selector);
	probe_text(p, "identity", s->identity);
	probe_text(p, "algorithm", s->algorithm);
	probe_number(p, "key_bits", s->key_bits);
	probe_text(p, "b", s->b_head);
	probe_bool(p, "testing", s->testing);
	probe_bool(p, "over_from", s->over_from);
	probe_bool(p, "key_secure", s->secure);
	if (s->signed_at >= 0)
		probe_number(p, "signed_at", s->signed_at);
	if (s->expires_at >= 0)
		probe_number(p, "expires_at", s->expires_at);
	probe_item_end(p);
}

/* RFC 8601 2.7.1 of the whole message: pass when any signature passes, else the first one's result. */
static enum auth dkim_best(const struct dkim_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->signature[i].result == AUTH_PASS)
			return AUTH_PASS;
	return r->n ? r->signature[0].result : AUTH_NONE;
}

static void put_dkim(struct probe_out *p, const struct dkim_result *r)
{
	probe_list(p, "signatures");
	for (size_t i = 0; i < r->n; i++)
		put_signature(p, &r->signature[i]);
	probe_list_end(p);
	if (r->ignored)
		probe_number(p, "ignored", (int64_t)r->ignored);
}

static void put_arc(struct probe_out *p, const struct arc_result *r)
{
	probe_text(p, "why", r->why);
	probe_number(p, "sets", r->sets);
	probe_number(p, "oldest_pass", r->oldest_pass);
	probe_text(p, "sealer", r->sealer);
	probe_list(p, "sealers");
	for (unsigned i = 0; r->sealers && i < r->sets; i++) {
		probe_item(p, "seal");
		probe_number(p, "instance", i + 1);
		probe_text(p, "domain", r->sealers[i]);
		probe_item_end(p);
	}
	probe_list_end(p);
	probe_text(p, "newest_results", r->aar);
	probe_text(p, "first_results", r->first_aar);
}

enum rc probe_dkim(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = RESULT_MAX };
	struct probe_out p = { .out = out, .json = json };
	struct dkim_result r = { 0 };
	struct dkim_options o = { .now_s = q->now_s, .no_arc = true };
	probe_begin(&p, q->name);
	struct origin_trace t = probe_trace(&p);
	enum rc rc = verify(dns, &o, message, &t, &a, &r, why);
	probe_text(&p, "result", str_z(auth_name(dkim_best(&r))));
	if (!r.n)
		probe_text(&p, "why", STR("the message has no DKIM-Signature field"));
	put_dkim(&p, &r);
	enum rc end = probe_end(&p, why);
	return rc != RC_OK ? rc : end;
}

enum rc probe_arc(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = RESULT_MAX };
	struct probe_out p = { .out = out, .json = json };
	struct dkim_result r = { 0 };
	struct dkim_options o = { .now_s = q->now_s, .no_dkim = true };
	probe_begin(&p, q->name);
	struct origin_trace t = probe_trace(&p);
	enum rc rc = verify(dns, &o, message, &t, &a, &r, why);
	probe_text(&p, "result", str_z(auth_name(r.arc.result)));
	if (r.arc.result == AUTH_NONE)
		r.arc.why = STR("the message has no ARC fields");
	put_arc(&p, &r.arc);
	enum rc end = probe_end(&p, why);
	return rc != RC_OK ? rc : end;
}

/* ---- DMARC ---- */

static void put_record(struct probe_out *p, const struct dmarc_record *r)
{
	probe_bool(p, "record_found", r->found);
	if (!r->found)
		return;
	probe_text(p, "record_at", r->at);
	probe_text(p, "record", r->text);
	probe_text(p, "p", str_z(dmarc_policy_name(r->p)));
	probe_text(p, "sp", str_z(dmarc_policy_name(r->sp)));
	probe_text(p, "np", str_z(dmarc_policy_name(r->np)));
	probe_text(p, "adkim", r->strict_dkim ? STR("s") : STR("r"));
	probe_text(p, "aspf", r->strict_spf ? STR("s") : STR("r"));
	probe_bool(p, "testing", r->testing);
}

static void put_dmarc(struct probe_out *p, const struct dmarc_result *r)
{
	probe_text(p, "result", str_z(auth_name(r->result)));
	probe_text(p, "why", r->why);
	probe_text(p, "policy", str_z(dmarc_policy_name(r->policy)));
	probe_text(p, "from", r->from);
	probe_text(p, "organisational", r->organisational);
	probe_bool(p, "exists", r->exists);
	probe_bool(p, "spf_aligned", r->spf_aligned);
	probe_bool(p, "dkim_aligned", r->dkim_aligned);
	probe_text(p, "dkim_domain", r->dkim_domain);
	put_record(p, &r->record);
}

static void put_field(struct probe_out *p, const struct probe_query *q, const struct spf_result *spf, const struct dkim_result *dkim, const struct dmarc_result *dmarc)
{
	AUTO(buf_done) struct buf field = { .max = 1 << 20 };
	struct auth_facts f = { .authserv = q->receiver.n ? q->receiver : STR("localhost"), .client_ip = q->ip, .mail_from = q->from, .helo = q->helo,
		.spf = spf, .dkim = dkim, .dmarc = dmarc };
	if (str_eq(f.mail_from, STR("<>")))
		f.mail_from = STR("");
	auth_results_make(&f, &field);
	probe_text(p, "field", str_trim(buf_str(&field)));
}

enum rc probe_dmarc(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = RESULT_MAX };
	struct probe_out p = { .out = out, .json = json };
	struct dkim_result dkim = { 0 };
	struct dmarc_result dmarc;
	struct dkim_options o = { .now_s = q->now_s };
	struct spf_result spf;
	struct spf_case c;
	struct str body;
	bool has_spf = q->ip.n > 0;
	if (has_spf)
		TRY(spf_case(q, &c, why));
	probe_begin(&p, q->name);
	struct origin_trace t = probe_trace(&p);
	if (has_spf)
		spf_check(dns, &c.q, &t, &a, &spf);
	enum rc rc = verify(dns, &o, message, &t, &a, &dkim, why);
	struct dmarc_input in = { .spf = has_spf ? &spf : NULL, .dkim = &dkim };
	split_message(message, &in.header, &body);
	dmarc_check(dns, &in, &t, &a, &dmarc);
	put_dmarc(&p, &dmarc);
	if (has_spf) {
		probe_text(&p, "spf", str_z(auth_name(spf.result)));
		probe_text(&p, "spf_domain", spf.domain);
		probe_text(&p, "spf_why", spf.why);
	}
	probe_text(&p, "dkim", str_z(auth_name(dkim_best(&dkim))));
	put_dkim(&p, &dkim);
	probe_text(&p, "arc", str_z(auth_name(dkim.arc.result)));
	put_field(&p, q, in.spf, &dkim, &dmarc);
	enum rc end = probe_end(&p, why);
	return rc != RC_OK ? rc : end;
}
