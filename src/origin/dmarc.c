/* DMARC of one message (RFC 9989 5.3): author domain, policy, alignment, verdict. */
#include "origin/dmarc_internal.h"

#include "origin/say.h"

static enum dmarc_policy milder(enum dmarc_policy p) { return p == DMARC_REJECT ? DMARC_QUARANTINE : DMARC_NONE; }

/* RFC 9989 4.7 t: "the policy one level below is applied". RFC 7489's way to say it was pct=0 (9989 A.6). */
static enum dmarc_policy asked_for(const struct dmarc_record *r, enum dmarc_policy p)
{
	return r->testing || r->pct == 0 ? milder(p) : p;
}

/* p for the name that has the record, sp or np for names below it. np needs to know whether the author domain exists: not when RFC 8020's NXDOMAIN
 * comes. False: the DNS did not say. */
static bool which_policy(struct walk *w, struct dmarc_result *out)
{
	const struct dmarc_record *r = &out->record;
	out->exists = true;
	if (str_eq(r->at, out->from)) {
		out->published = r->p;
		return true;
	}
	out->published = r->sp;
	if (r->np == r->sp)
		return true;
	struct dns_answer answer;
	dns_ask(w->dns, DNS_A, out->from, w->arena, &answer);
	origin_step_dns(w->trace, DNS_A, out->from, &answer);
	if (answer.status == DNS_TEMPFAIL || answer.status == DNS_BOGUS)
		return false;
	out->exists = answer.status != DNS_NXDOMAIN;
	if (!out->exists)
		out->published = r->np;
	return true;
}

/* Whether SPF or DKIM stands for the author domain. */
static enum walk_answer align(struct walk *w, const struct dmarc_input *in, struct dmarc_result *out)
{
	bool unknown = in->dkim && in->dkim->lost;
	if (in->spf && in->spf->result == AUTH_PASS) {
		enum walk_answer got = walk_aligned(w, out->from, in->spf->domain, out->record.strict_spf);
		out->spf_aligned = got == WALK_YES;
		unknown |= got == WALK_UNKNOWN;
		origin_step(w->trace, "alignment", "SPF %.*s: %s", PSTR(str_head(in->spf->domain, 253)), got == WALK_YES ? "aligned" : got == WALK_NO ? "not aligned" : "unknown");
	}
	for (size_t i = 0; in->dkim && i < in->dkim->n && i < DKIM_MAX_SIGNATURES && !out->dkim_aligned; i++) {
		const struct dkim_signature *s = &in->dkim->signature[i];
		if (s->result != AUTH_PASS)
			continue;
		enum walk_answer got = walk_aligned(w, out->from, s->domain, out->record.strict_dkim);
		unknown |= got == WALK_UNKNOWN;
		origin_step(w->trace, "alignment", "DKIM %.*s: %s", PSTR(str_head(s->domain, 253)), got == WALK_YES ? "aligned" : got == WALK_NO ? "not aligned" : "unknown");
		if (got != WALK_YES)
			continue;
		out->dkim_aligned = true;
		out->dkim_domain = s->domain;
	}
	return out->spf_aligned || out->dkim_aligned ? WALK_YES : unknown ? WALK_UNKNOWN : WALK_NO;
}

static void judge(struct walk *w, const struct dmarc_input *in, struct dmarc_result *out)
{
	struct arena *a = w->arena;
	struct str why;
	out->result = walk_policy(w, out->from, false, &out->record, &out->organisational, &why);
	if (out->result != AUTH_PASS) {
		out->why = why.n ? why : STR("no DMARC record");
		return;
	}
	const struct dmarc_record *r = &out->record;
	enum walk_answer aligned = align(w, in, out);
	if (aligned == WALK_UNKNOWN || !which_policy(w, out)) {
		out->result = AUTH_TEMPERROR;
		out->why = in->dkim && in->dkim->lost ? STR("no memory for its signatures") : STR("the DNS did not answer in time");
		return;
	}
	if (aligned == WALK_YES) {
		out->why = origin_say(a, "%s%s%s speaks for %.*s", out->spf_aligned ? "SPF" : "", out->spf_aligned && out->dkim_aligned ? " and " : "",
		               out->dkim_aligned ? "DKIM" : "", PSTR(str_head(out->from, 253)));
		return;
	}
	out->result = AUTH_FAIL;
	out->policy = asked_for(r, out->published);
	out->why = origin_say(a, "neither SPF nor DKIM speaks for %.*s, whose DMARC policy at %.*s is %s%s", PSTR(str_head(out->from, 200)), PSTR(str_head(r->at, 200)),
	               dmarc_policy_name(out->published), out->policy != out->published ? " (in test mode)" : "");
}

/* RFC 9989 11.5: with several author domains, or none that all readers agree on, nothing can pass; but the strictest policy of those that stand there
 * is honoured, so that such a trick is not better than a plain forgery. */
static void judge_refused(struct walk *w, const struct from_found *found, const char *why, struct dmarc_result *out)
{
	struct dmarc_result best = *out;
	best.result = AUTH_PERMERROR;
	for (size_t i = 0; i < found->domains && i < 4; i++) {
		struct dmarc_result one = *out;
		struct str reason;
		one.from = found->domain[i];
		enum auth got = walk_policy(w, one.from, false, &one.record, &one.organisational, &reason);
		if (got == AUTH_TEMPERROR && best.result == AUTH_PERMERROR)
			best.result = AUTH_TEMPERROR;
		if (got != AUTH_PASS || !which_policy(w, &one))
			continue;
		one.policy = asked_for(&one.record, one.published);
		if (best.result != AUTH_FAIL || one.policy > best.policy) {
			best = one;
			best.result = AUTH_FAIL;
		}
	}
	*out = best;
	out->why = arena_str(w->arena, str_z(why));
}

void dmarc_check(const struct dns *dns, const struct dmarc_input *in, const struct origin_trace *t, struct arena *a, struct dmarc_result *out)
{
	struct walk w = { .dns = dns, .trace = t, .arena = a };
	struct from_found found;
	struct why why = { 0 };
	static const struct str empty = STR_INIT("");
	*out = (struct dmarc_result){ .from = empty, .organisational = empty, .dkim_domain = empty, .why = empty, .exists = true };
	out->record = (struct dmarc_record){ .at = empty, .rua = empty, .ruf = empty, .fo = empty, .rf = empty, .text = empty, .psd = 'u', .pct = 100 };
	enum rc rc = dmarc_from_all(in->header, a, &found, &out->from, &why);
	if (rc == RC_OK) {
		origin_step(t, "from", "author domain %.*s", PSTR(str_head(out->from, 253)));
		judge(&w, in, out);
	} else {
		origin_step(t, "from", "%s", why.text);
		judge_refused(&w, &found, why.text, out);
	}
	if (rc == RC_NOMEM || a->full) { /* something was lost on the way: neither a pass nor a refusal can be said */
		out->result = AUTH_TEMPERROR;
		out->policy = DMARC_NONE;
		out->why = STR("no memory");
	}
	origin_step(t, "result", "%s: %.*s", auth_name(out->result), PSTR(str_head(out->why, 500)));
}
