#include "role/auth_policy.h"

#include "origin/dkim_parse.h"
#include <stdio.h>

enum { SEALERS_MAX = 256, FORWARDERS_MAX = 256, CLAIMS_MAX = 64 };

/* ---- the configuration, taken apart ---- */

static enum rc read_mode(struct str word, enum auth_mode *out, struct why *why)
{
	static const struct str words[] = { [AUTH_MODE_HONOUR] = STR_INIT("honour"), [AUTH_MODE_QUARANTINE] = STR_INIT("quarantine-instead"),
		                            [AUTH_MODE_REPORT] = STR_INIT("report-only"), [AUTH_MODE_OFF] = STR_INIT("off") };
	for (int i = 0; i <= AUTH_MODE_OFF; i++)
		if (str_eq(word, words[i]))
			return *out = i, RC_OK;
	FAIL(why, RC_SYNTAX, "authentication.dmarc must be honour, quarantine-instead, report-only or off");
}

static enum rc read_sealers(struct str list, struct arena *a, struct auth_rules *out, struct why *why)
{
	struct str word;
	out->sealers = arena_new(a, SEALERS_MAX * sizeof *out->sealers);
	while (out->sealers && str_word(&list, &word)) {
		if (out->sealer_n == SEALERS_MAX)
			FAIL(why, RC_LIMIT, "authentication.trusted_sealers names more than %d domains", SEALERS_MAX);
		if (sig_domain(word, a, &out->sealers[out->sealer_n++]) == RC_SYNTAX) /* as it will stand in a seal, or it would never be found */
			FAIL(why, RC_SYNTAX, "authentication.trusted_sealers: \"%.*s\" is no domain", PSTR(str_head(word, 60)));
	}
	return RC_OK;
}

static enum rc read_forwarders(struct str list, struct arena *a, struct auth_rules *out, struct why *why)
{
	struct str word;
	out->forwarders = arena_new(a, FORWARDERS_MAX * sizeof *out->forwarders);
	while (out->forwarders && str_word(&list, &word)) {
		struct why inner = { 0 };
		if (out->forwarder_n == FORWARDERS_MAX)
			FAIL(why, RC_LIMIT, "authentication.trusted_forwarders names more than %d networks", FORWARDERS_MAX);
		if (net_range_parse(word, &out->forwarders[out->forwarder_n], &inner) != RC_OK)
			FAIL(why, RC_SYNTAX, "authentication.trusted_forwarders: %.150s", inner.text);
		out->forwarder_n++;
	}
	return RC_OK;
}

enum rc auth_rules_read(const struct config *c, struct arena *a, struct auth_rules *out, struct why *why)
{
	*out = (struct auth_rules){ .defer = c->authentication_defer };
	TRY(read_mode(c->authentication_dmarc, &out->mode, why));
	/* What only the other of the two proves would fail, and be refused for it. */
	if (out->mode != AUTH_MODE_OFF && (!c->authentication_spf || !c->authentication_dkim))
		FAIL(why, RC_CONFLICT, "authentication.dmarc judges by SPF and DKIM together: with authentication.%s off it must be off, too", c->authentication_spf ? "dkim" : "spf");
	TRY(read_sealers(c->authentication_trusted_sealers, a, out, why));
	TRY(read_forwarders(c->authentication_trusted_forwarders, a, out, why));
	if (a->full)
		FAIL(why, RC_NOMEM, "no memory for the lists of section authentication");
	return RC_OK;
}

/* ---- whom we believe ---- */

bool auth_is_forwarder(const struct auth_rules *r, const uint8_t *ip)
{
	for (size_t i = 0; ip && i < r->forwarder_n; i++)
		if (net_range_has(&r->forwarders[i], ip))
			return true;
	return false;
}

/* The domain or one below it: a subdomain's keys are its owner's. */
static bool is_sealer(const struct auth_rules *r, struct str domain)
{
	for (size_t i = 0; i < r->sealer_n; i++) {
		struct str s = r->sealers[i];
		if (str_ieq(domain, s) || (str_iends(domain, s) && domain.n > s.n && domain.p[domain.n - s.n - 1] == '.'))
			return true;
	}
	return false;
}

/* RFC 8601 2.2 lets a domain stand there in U-labels; authors and signers are known by A-labels. */
static bool is_author(const struct dmarc_result *d, struct str domain, struct arena *a)
{
	struct str folded;
	return d->from.n && (str_ieq(domain, d->from) || (sig_domain(domain, a, &folded) == RC_OK && str_eq(folded, d->from)));
}

/* Does a claim speak for the author's domain? By the strict or relaxed alignment that its record asks for. */
static bool speaks_for(const struct dmarc_result *d, struct str domain, bool strict, struct arena *a)
{
	size_t at = str_find(domain, '@');
	if (at < domain.n)
		domain = str_skip(domain, at + 1);
	if (d->from.n == 0 || domain.n == 0)
		return false;
	if (is_author(d, domain, a))
		return true;
	struct str ours = psl_registrable(d->from, a), theirs = psl_registrable(domain, a);
	return !strict && ours.n && str_ieq(ours, theirs);
}

/* Did that sealer see the author proven before it changed the message? */
static bool saw_proof(struct str results, const struct dmarc_result *d, struct arena *a)
{
	struct auth_claim *claim = arena_new(a, CLAIMS_MAX * sizeof *claim);
	struct str id;
	size_t n = claim ? auth_results_read(results, a, &id, claim, CLAIMS_MAX) : 0;
	for (size_t i = 0; i < n; i++) {
		const struct auth_claim *c = &claim[i];
		if (!str_ieq(c->result, STR("pass")))
			continue;
		if (str_ieq(c->method, STR("dmarc")) && str_ieq(c->ptype_property, STR("header.from")) && is_author(d, c->value, a))
			return true;
		if (str_ieq(c->method, STR("dkim")) && str_ieq(c->ptype_property, STR("header.d")) && speaks_for(d, c->value, d->record.strict_dkim, a))
			return true;
		if (str_ieq(c->method, STR("spf")) && str_ieq(c->ptype_property, STR("smtp.mailfrom")) && speaks_for(d, c->value, d->record.strict_spf, a))
			return true;
	}
	return false;
}

/* RFC 8617 7.2: a chain that holds carries what its sealers saw; that is worth as much as we trust them. The newest sealer must be trusted; what an
 * older one saw counts only when nobody untrusted came after it. This is what it says if it holds. */
static bool chain_says(const struct auth_rules *r, const struct auth_evidence *e, struct arena *a)
{
	const struct arc_result *arc = &e->dkim->arc;
	if (arc->sets == 0 || !arc->sealers || !is_sealer(r, arc->sealer))
		return false;
	if (saw_proof(arc->aar, e->dmarc, a))
		return true;
	for (unsigned i = 0; i < arc->sets; i++)
		if (!is_sealer(r, arc->sealers[i]))
			return false;
	return saw_proof(arc->first_aar, e->dmarc, a);
}

static bool chain_speaks(const struct auth_rules *r, const struct auth_evidence *e, struct arena *a)
{
	return e->dkim && e->dkim->arc.result == AUTH_PASS && chain_says(r, e, a);
}

/* Its sealer's key cannot be asked for now; if it could, this chain might let the message in. */
static bool chain_is_late(const struct auth_rules *r, const struct auth_evidence *e, struct arena *a)
{
	return e->dkim && e->dkim->arc.late && chain_says(r, e, a);
}

/* ---- the decision ---- */

static bool spf_is(const struct auth_evidence *e, enum auth result) { return e->spf && e->spf->result == result; }

static const struct dkim_signature *dkim_with(const struct auth_evidence *e, enum auth result)
{
	for (size_t i = 0; e->dkim && i < e->dkim->n; i++)
		if (e->dkim->signature[i].result == result)
			return &e->dkim->signature[i];
	return NULL;
}

static void overridden(struct auth_verdict *out, const char *type, const char *comment)
{
	out->disposition = "none";
	out->override = type;
	(void)snprintf(out->comment, sizeof out->comment, "%s", comment);
}

static void defer(const struct auth_evidence *e, struct auth_verdict *out)
{
	out->action = AUTH_DEFER;
	const struct dkim_signature *s = dkim_with(e, AUTH_TEMPERROR);
	if (spf_is(e, AUTH_TEMPERROR)) /* RFC 7372 3.3: X.7.24, with 451 */
		(void)snprintf(out->answer, sizeof out->answer, "4.7.24 the SPF record of %.*s cannot be read now, try again.", PSTR(str_head(e->spf->domain, 100)));
	else if (s) /* RFC 6376 6.3: "451 4.7.5 Unable to verify signature - key server unavailable" */
		(void)snprintf(out->answer, sizeof out->answer, "4.7.5 the DKIM key of %.*s cannot be read now, try again.", PSTR(str_head(s->domain, 100)));
	else if (e->dmarc && e->dmarc->result == AUTH_FAIL)
		(void)snprintf(out->answer, sizeof out->answer, "4.7.5 the ARC chain of %.*s cannot be verified now, try again.", PSTR(str_head(e->dkim->arc.sealer, 100)));
	else
		(void)snprintf(out->answer, sizeof out->answer, "4.7.1 the DMARC record of %.*s cannot be read now, try again.",
		               PSTR(e->dmarc ? str_head(e->dmarc->from, 100) : STR("the sender")));
}

/* The policy asks for something. Who lets the message in all the same? */
static bool let_in(const struct auth_rules *r, const struct auth_evidence *e, struct arena *a, struct auth_verdict *out)
{
	if (auth_is_forwarder(r, e->ip))
		overridden(out, "trusted_forwarder", "its network is in authentication.trusted_forwarders");
	else if (chain_speaks(r, e, a))
		overridden(out, "mailing_list", "a trusted ARC sealer saw the author proven");
	else if (r->mode == AUTH_MODE_REPORT)
		overridden(out, "local_policy", "authentication.dmarc is report-only");
	else
		return false;
	return true;
}

static void follow(const struct auth_rules *r, const struct dmarc_result *d, struct auth_verdict *out)
{
	bool refuse = d->policy == DMARC_REJECT && r->mode == AUTH_MODE_HONOUR;
	out->action = refuse ? AUTH_REFUSE : AUTH_JUNK;
	out->disposition = refuse ? "reject" : "quarantine";
	if (refuse) {
		(void)snprintf(out->answer, sizeof out->answer, "5.7.1 %.*s asks receivers to refuse mail that fails its checks (DMARC).", PSTR(str_head(d->from, 110)));
	} else if (d->policy == DMARC_REJECT) {
		out->override = "local_policy";
		(void)snprintf(out->comment, sizeof out->comment, "authentication.dmarc is quarantine-instead");
	}
}

/* Nothing proves the sender, and something could not be asked: the next try may know more. */
static bool in_doubt(const struct auth_rules *r, const struct auth_evidence *e)
{
	if (!r->defer || r->mode == AUTH_MODE_REPORT || auth_is_forwarder(r, e->ip))
		return false;
	if (r->mode != AUTH_MODE_OFF && e->dmarc && e->dmarc->result == AUTH_TEMPERROR)
		return true;
	bool unasked = spf_is(e, AUTH_TEMPERROR) || dkim_with(e, AUTH_TEMPERROR);
	return unasked && !spf_is(e, AUTH_PASS) && !dkim_with(e, AUTH_PASS);
}

void auth_decide(const struct auth_rules *r, const struct auth_evidence *e, struct arena *scratch, struct auth_verdict *out)
{
	const struct dmarc_result *d = e->dmarc;
	*out = (struct auth_verdict){ .action = AUTH_ACCEPT, .override = "" };
	bool asked = d && r->mode != AUTH_MODE_OFF && d->record.found;
	if (asked) {
		out->disposition = "none";
		if (d->result == AUTH_FAIL && d->policy != d->published) /* RFC 9989 4.7, t=y */
			overridden(out, "policy_test_mode", "its record says that the policy is being tested");
	}
	bool fails = asked && d->result == AUTH_FAIL && d->policy != DMARC_NONE;
	if (fails && let_in(r, e, scratch, out))
		return;
	/* What SPF, DKIM or a trusted sealer would have said could have been a pass for this author. */
	bool could_pass = fails && r->defer && (spf_is(e, AUTH_TEMPERROR) || dkim_with(e, AUTH_TEMPERROR) || chain_is_late(r, e, scratch));
	if (in_doubt(r, e) || could_pass) {
		out->disposition = NULL; /* not settled: the next try is reported */
		defer(e, out);
	} else if (fails) {
		follow(r, d, out);
	}
}
