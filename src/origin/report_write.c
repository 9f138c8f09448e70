/* Reports as documents: aggregate XML (RFC 7489 appendix C, RFC 9990) and TLS-RPT JSON (RFC 8460 4.4). What we were told by strangers, names in records
 * and reasons, is made fit for the format here: octets that XML cannot carry become U+FFFD, words that the schema does not know become one that it does. */
#include "origin/report_internal.h"

#include "base/codec.h"
#include <zlib.h>

static void xml_text(struct buf *out, struct str s)
{
	while (s.n) {
		uint32_t c;
		size_t n = utf8_next(s, &c);
		if (n == 0 || (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f || c == 0xfffe || c == 0xffff)
			buf_add(out, STR("\xef\xbf\xbd"));
		else if (c == '&')
			buf_add(out, STR("&amp;"));
		else if (c == '<')
			buf_add(out, STR("&lt;"));
		else if (c == '>')
			buf_add(out, STR("&gt;"));
		else
			buf_add(out, str_head(s, n));
		s = str_skip(s, n ? n : 1);
	}
}

static void leaf(struct buf *out, const char *indent, const char *name, struct str value)
{
	buf_addf(out, "%s<%s>", indent, name);
	xml_text(out, value);
	buf_addf(out, "</%s>\n", name);
}
static void leaf_if(struct buf *out, const char *indent, const char *name, struct str value)
{
	if (value.n)
		leaf(out, indent, name, value);
}

static struct str among(struct str s, const char *const *words, const char *otherwise)
{
	for (; *words; words++)
		if (str_ieq(s, str_z(*words)))
			return str_z(*words);
	return str_z(otherwise);
}
static const char *const policies[] = { "none", "quarantine", "reject", NULL };
static const char *const modes[] = { "r", "s", NULL };
static const char *const dkim_results[] = { "none", "pass", "fail", "policy", "neutral", "temperror", "permerror", NULL };
static const char *const spf_results[] = { "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", NULL };
static const char *const overrides_7489[] = { "forwarded", "sampled_out", "trusted_forwarder", "mailing_list", "local_policy", "other", NULL };
static const char *const overrides_9990[] = { "local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder", NULL };

static void metadata(const struct report_aggregate *r, struct buf *out)
{
	buf_add(out, STR(" <report_metadata>\n"));
	leaf(out, "  ", "org_name", r->org);
	leaf(out, "  ", "email", r->email);
	leaf_if(out, "  ", "extra_contact_info", r->extra);
	leaf(out, "  ", "report_id", r->id);
	buf_addf(out, "  <date_range>\n   <begin>%lld</begin>\n   <end>%lld</end>\n  </date_range>\n", (long long)r->begin_s, (long long)r->end_s);
	if (r->rfc9990)
		buf_add(out, STR("  <generator>Letterlock " LETTERLOCK_VERSION "</generator>\n"));
	buf_add(out, STR(" </report_metadata>\n"));
}

static void published(const struct report_aggregate *r, struct buf *out)
{
	static const char *const ways[] = { "psl", "treewalk", NULL };
	buf_add(out, STR(" <policy_published>\n"));
	leaf(out, "  ", "domain", r->domain);
	leaf(out, "  ", "adkim", among(r->adkim, modes, "r"));
	leaf(out, "  ", "aspf", among(r->aspf, modes, "r"));
	leaf(out, "  ", "p", among(r->p, policies, "none"));
	leaf_if(out, "  ", "sp", among(r->sp, policies, ""));
	if (r->rfc9990) {
		leaf_if(out, "  ", "np", among(r->np, policies, ""));
		leaf_if(out, "  ", "discovery_method", among(r->discovery, ways, ""));
		leaf(out, "  ", "testing", r->testing ? STR("y") : STR("n"));
	} else {
		buf_addf(out, "  <pct>%u</pct>\n", r->pct > 100 ? 100 : r->pct);
	}
	leaf_if(out, "  ", "fo", r->fo);
	buf_add(out, STR(" </policy_published>\n"));
}

static bool is_pass(struct str s) { return str_eq(s, STR("pass")); }

static void evaluated(const struct report_aggregate *r, const struct report_row *w, struct buf *out)
{
	struct str disposition = among(w->disposition, policies, "none");
	/* RFC 9990: "pass" is no action because the message passed under an enforcing policy. */
	bool passed = (is_pass(w->dkim) || is_pass(w->spf)) && !str_eq(among(r->p, policies, "none"), STR("none"));
	if (r->rfc9990 && passed && str_eq(disposition, STR("none")))
		disposition = STR("pass");
	buf_add(out, STR("   <policy_evaluated>\n"));
	leaf(out, "    ", "disposition", disposition);
	leaf(out, "    ", "dkim", is_pass(w->dkim) ? STR("pass") : STR("fail"));
	leaf(out, "    ", "spf", is_pass(w->spf) ? STR("pass") : STR("fail"));
	if (w->override.n) {
		buf_add(out, STR("    <reason>\n"));
		leaf(out, "     ", "type", among(w->override, r->rfc9990 ? overrides_9990 : overrides_7489, "other"));
		leaf_if(out, "     ", "comment", w->override_comment);
		buf_add(out, STR("    </reason>\n"));
	}
	buf_add(out, STR("   </policy_evaluated>\n"));
}

/* RFC 7489 wants one SPF result at least, with its scope; RFC 9990 at most one, and knows the scope "mfrom" only. */
static void spf_result(const struct report_aggregate *r, const struct report_row *w, struct buf *out)
{
	const struct report_auth *s = &w->auth_spf;
	bool none = s->domain.n == 0 && s->result.n == 0;
	if (none && r->rfc9990)
		return;
	buf_add(out, STR("   <spf>\n"));
	leaf(out, "    ", "domain", s->domain.n ? s->domain : w->envelope_from.n ? w->envelope_from : w->header_from);
	bool helo = str_eq(s->scope, STR("helo"));
	if (!r->rfc9990 || !helo)
		leaf(out, "    ", "scope", helo ? STR("helo") : STR("mfrom"));
	leaf(out, "    ", "result", among(s->result, spf_results, "none"));
	buf_add(out, STR("   </spf>\n"));
}

static void auth_results(const struct report_aggregate *r, const struct report_row *w, struct buf *out)
{
	buf_add(out, STR("  <auth_results>\n"));
	for (size_t i = 0; i < w->auth_dkims; i++) {
		const struct report_auth *d = &w->auth_dkim[i];
		buf_add(out, STR("   <dkim>\n"));
		leaf(out, "    ", "domain", d->domain);
		if (r->rfc9990 || d->selector.n)
			leaf(out, "    ", "selector", d->selector);
		leaf(out, "    ", "result", among(d->result, dkim_results, "none"));
		buf_add(out, STR("   </dkim>\n"));
	}
	spf_result(r, w, out);
	buf_add(out, STR("  </auth_results>\n"));
}

static void record(const struct report_aggregate *r, const struct report_row *w, struct buf *out)
{
	char ip[64];
	buf_add(out, STR(" <record>\n  <row>\n"));
	leaf(out, "   ", "source_ip", report_ip(w->source_ip, !r->rfc9990, ip));
	buf_addf(out, "   <count>%llu</count>\n", (unsigned long long)w->count);
	evaluated(r, w, out);
	buf_add(out, STR("  </row>\n  <identifiers>\n"));
	leaf_if(out, "   ", "envelope_to", w->envelope_to);
	if (!r->rfc9990 || w->envelope_from.n)
		leaf(out, "   ", "envelope_from", w->envelope_from);
	leaf(out, "   ", "header_from", w->header_from);
	buf_add(out, STR("  </identifiers>\n"));
	auth_results(r, w, out);
	buf_add(out, STR(" </record>\n"));
}

enum rc report_aggregate_xml(const struct report_aggregate *r, struct buf *out)
{
	buf_add(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
	buf_add(out, r->rfc9990 ? STR("<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n") : STR("<feedback>\n"));
	buf_add(out, STR(" <version>1.0</version>\n"));
	metadata(r, out);
	published(r, out);
	for (size_t i = 0; i < r->rows && !out->failed; i++)
		record(r, &r->row[i], out);
	buf_add(out, STR("</feedback>\n"));
	return out->failed ? RC_LIMIT : RC_OK;
}

/* ---- JSON ---- */
static void member(struct buf *out, const char *name, struct str value, bool *first)
{
	if (value.n == 0)
		return;
	buf_addf(out, "%s\"%s\":\"", *first ? "" : ",", name);
	json_escape(out, value);
	buf_byte(out, '"');
	*first = false;
}

static void tls_failure(const struct report_tls_failure *f, struct buf *out)
{
	bool first = true;
	buf_byte(out, '{');
	member(out, "result-type", f->type, &first);
	member(out, "sending-mta-ip", f->sending_ip, &first);
	member(out, "receiving-mx-hostname", f->receiving_mx, &first);
	member(out, "receiving-mx-helo", f->helo, &first);
	member(out, "receiving-ip", f->receiving_ip, &first);
	buf_addf(out, "%s\"failed-session-count\":%llu", first ? "" : ",", (unsigned long long)f->count);
	first = false;
	member(out, "additional-information", f->info, &first);
	member(out, "failure-reason-code", f->reason, &first);
	buf_byte(out, '}');
}

static void tls_policy(const struct report_tls_policy *p, struct buf *out)
{
	bool first = true;
	buf_add(out, STR("{\"policy\":{"));
	member(out, "policy-type", p->type, &first);
	if (p->policy_strings) {
		buf_addf(out, "%s\"policy-string\":[", first ? "" : ",");
		first = false;
		for (size_t i = 0; i < p->policy_strings; i++) {
			buf_add(out, i ? STR(",\"") : STR("\""));
			json_escape(out, p->policy_string[i]);
			buf_byte(out, '"');
		}
		buf_byte(out, ']');
	}
	member(out, "policy-domain", p->domain, &first);
	if (p->mx.n) {
		buf_addf(out, "%s\"mx-host\":[\"", first ? "" : ",");
		json_escape(out, p->mx);
		buf_add(out, STR("\"]"));
	}
	buf_addf(out, "},\"summary\":{\"total-successful-session-count\":%llu,\"total-failure-session-count\":%llu}", (unsigned long long)p->success,
	         (unsigned long long)p->failure);
	for (size_t i = 0; i < p->n_failures; i++) {
		buf_add(out, i ? STR(",") : STR(",\"failure-details\":["));
		tls_failure(&p->failures[i], out);
	}
	buf_add(out, p->n_failures ? STR("]}") : STR("}"));
}

enum rc report_tls_json(const struct report_tls *r, struct buf *out)
{
	bool first = true;
	buf_byte(out, '{');
	member(out, "organization-name", r->org, &first);
	buf_addf(out, "%s\"date-range\":{\"start-datetime\":\"", first ? "" : ",");
	first = false;
	report_time_format(r->begin_s, out);
	buf_add(out, STR("\",\"end-datetime\":\""));
	report_time_format(r->end_s, out);
	buf_add(out, STR("\"}"));
	member(out, "contact-info", r->contact, &first);
	member(out, "report-id", r->id, &first);
	buf_add(out, STR(",\"policies\":["));
	for (size_t i = 0; i < r->policies && !out->failed; i++) {
		buf_add(out, i ? STR(",") : STR(""));
		tls_policy(&r->policy[i], out);
	}
	buf_add(out, STR("]}\n"));
	return out->failed ? RC_LIMIT : RC_OK;
}

enum rc report_gzip(struct str in, struct buf *out)
{
	z_stream z = { .next_in = (unsigned char *)in.p, .avail_in = (unsigned)in.n };
	if (in.n > REPORT_UNPACKED_MAX)
		return RC_LIMIT;
	if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return RC_NOMEM;
	size_t need = deflateBound(&z, in.n);
	enum rc rc = buf_room(out, need) ? RC_OK : RC_LIMIT;
	if (rc == RC_OK) {
		z.next_out = (unsigned char *)out->p + out->len;
		z.avail_out = (unsigned)need;
		rc = deflate(&z, Z_FINISH) == Z_STREAM_END ? RC_OK : RC_NOMEM;
		out->len += need - z.avail_out;
	}
	deflateEnd(&z);
	return rc;
}
