#include "role/auth_check.h"

#include "base/log.h"
#include "base/mem.h"
#include "dns/asker.h"

/* Invariants.
 * 1. A check is held by its session and, while SPF runs, by SPF's fiber; whoever lets go last frees it. So a session may end at any time.
 * 2. Only the session's fiber reads results, and only after auth_check_end() has waited for SPF. */

enum { END_MS = 60000 /* for all questions after the last octet; a client waits ten minutes (RFC 5321 4.5.3.2.6) */ };
enum { ARENA_MAX = 16 << 20, CACHE_OCTETS = 32 << 20, WAIT_MS = 60000, RULES_MAX = 256 << 10, COPY_AT_ONCE = 64 << 10,
	QUESTIONS_MAX = 250 /* of one message: SPF at its worst 111, ten signatures, fifty seals, two walks */ };

struct auth_house {
	struct role_env *e;
	struct dns behind, dns;
	struct dns_cache *cache;
	struct arena a;                /* of the rules */
	struct auth_rules rules;
};

struct auth_check {
	struct auth_house *h;
	unsigned holders;
	bool spf_ready;
	struct waitlist spf_over;
	struct dns_budget budget;      /* in front of the cache, which is free */
	struct dns dns;
	struct arena a;
	uint8_t ip[16];
	const char *ip_text;
	struct spf_query query;
	struct spf_result spf;
	struct buf header;
	struct dkim_verifier *verifier;
	struct dkim_result dkim;
	struct dmarc_result dmarc;
	enum auth iprev;
	struct str iprev_name;
	struct auth_verdict verdict;
	const struct dnsbl_listing *listing; size_t listings;
	bool have_spf, have_dkim, have_dmarc, have_iprev;
};

static uint64_t now_ms(void) { return (uint64_t)loop_now(fiber_loop()); }

/* ---- the house ---- */

void auth_house_reload(struct auth_house *h)
{
	struct arena a;
	struct auth_rules rules;
	struct why why = { 0 };
	arena_init(&a, RULES_MAX);
	if (auth_rules_read(h->e->config, &a, &rules, &why) != RC_OK) { /* master has checked it: memory */
		log_event(LEVEL_ERROR, EV_CONFIG_BAD, F("reason", why.text));
		arena_done(&a);
		return;
	}
	arena_done(&h->a);
	h->a = a;
	h->rules = rules;
}

enum rc auth_house_new(struct role_env *e, struct auth_house **out, struct why *why)
{
	struct auth_house *h AUTO(auth_house_free) = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	h->e = e;
	arena_init(&h->a, RULES_MAX);
	TRY(auth_rules_read(e->config, &h->a, &h->rules, why));
	h->behind = dns_asker(e->node);
	if (dns_cache_new(&h->behind, CACHE_OCTETS, now_ms, &h->cache) != RC_OK)
		FAIL(why, RC_NOMEM, "no memory for the DNS cache");
	h->dns = dns_cache_dns(h->cache);
	*out = h;
	h = NULL;
	return RC_OK;
}

void auth_house_free(struct auth_house **h)
{
	if (!*h)
		return;
	dns_cache_free(&(*h)->cache);
	dkim_thread_done();
	arena_done(&(*h)->a);
	mem_free(*h);
	*h = NULL;
}

struct dns auth_house_dns(const struct auth_house *h) { return h->dns; }
bool auth_house_trusts(const struct auth_house *h, const uint8_t ip[16]) { return auth_is_forwarder(&h->rules, ip); }

/* ---- one message ---- */

static void let_go(struct auth_check *c)
{
	if (--c->holders)
		return;
	dkim_verify_free(&c->verifier);
	buf_done(&c->header);
	arena_done(&c->a);
	mem_free(c);
}

static void spf_fiber(void *arg)
{
	struct auth_check *c = arg;
	spf_check(&c->dns, &c->query, NULL, &c->a, &c->spf);
	c->spf_ready = true;
	wake_all(&c->spf_over);
	let_go(c);
}

static void start_spf(struct auth_check *c)
{
	c->holders++;
	c->have_spf = true;
	if (fiber_start(c->h->e->loop, spf_fiber, c, NULL) != RC_OK)
		spf_fiber(c); /* no fiber to be had: then here and now */
}

enum rc auth_check_new(struct auth_house *h, const struct auth_client *cl, struct auth_check **out)
{
	const struct config *k = h->e->config;
	*out = NULL;
	if (!k->authentication_spf && !k->authentication_dkim && !k->authentication_arc && h->rules.mode == AUTH_MODE_OFF)
		return RC_OK;
	struct auth_check *c = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	c->h = h;
	c->holders = 1;
	c->budget = (struct dns_budget){ .behind = h->dns, .left = QUESTIONS_MAX, .now_ms = now_ms };
	c->dns = dns_budget_dns(&c->budget);
	arena_init(&c->a, ARENA_MAX);
	bool has_ip = net_addr16(cl->ip, c->ip);
	c->ip_text = arena_str(&c->a, str_z(cl->ip)).p;
	c->query = (struct spf_query){ .ip = has_ip ? str_of(c->ip, 16) : STR(""), .helo = arena_str(&c->a, cl->helo), .local = arena_str(&c->a, cl->local),
		.domain = arena_str(&c->a, cl->domain), .receiver = arena_str(&c->a, k->server_hostname), .now_s = (uint64_t)wall_ms() / 1000 };
	if (c->a.full) {
		let_go(c);
		return RC_NOMEM;
	}
	if (has_ip && net_is_mapped(c->ip))
		c->query.ip = str_of(c->ip + 12, 4);
	if (k->authentication_spf && has_ip)
		start_spf(c);
	*out = c;
	return RC_OK;
}

enum rc auth_check_header(struct auth_check *c, struct str header, bool reports_only)
{
	const struct config *k = c->h->e->config;
	struct dkim_options o = { .now_s = wall_ms() / 1000, .no_dkim = !k->authentication_dkim, .no_arc = !k->authentication_arc, .tls_reports = reports_only };
	if (o.no_dkim && o.no_arc)
		return RC_OK;
	c->have_dkim = true;
	c->dkim.skipped = o.no_dkim;
	if (header.n > COPY_AT_ONCE) { /* is it worth a second copy of so much? */
		TRY(dkim_verify_new(header, &o, &c->verifier));
		bool idle = dkim_verify_idle(c->verifier);
		dkim_verify_free(&c->verifier);
		if (idle)
			return RC_OK;
	}
	buf_init(&c->header, header.n + 1);
	buf_add(&c->header, header);
	if (c->header.failed)
		return RC_NOMEM;
	TRY(dkim_verify_new(buf_str(&c->header), &o, &c->verifier));
	if (dkim_verify_idle(c->verifier)) {
		dkim_verify_free(&c->verifier);
		buf_done(&c->header);
	}
	return RC_OK;
}

void auth_check_body(struct auth_check *c, struct str run)
{
	if (c->verifier)
		dkim_verify_body(c->verifier, run);
}

/* ---- the end ---- */

static void wait_for_spf(struct auth_check *c)
{
	int64_t deadline = loop_now(c->h->e->loop) + WAIT_MS;
	while (c->have_spf && !c->spf_ready)
		if (wait_on(&c->spf_over, deadline) != RC_OK && !c->spf_ready)
			break;
}

static void count(struct auth_check *c)
{
	static const enum metric spf[] = { M_SPF_NONE, M_SPF_PASS, M_SPF_FAIL, M_SPF_SOFTFAIL, M_SPF_NEUTRAL, M_SPF_NEUTRAL, M_SPF_TEMPERROR, M_SPF_PERMERROR };
	static const enum metric dkim[] = { M_DKIM_NONE, M_DKIM_PASS, M_DKIM_FAIL, M_DKIM_FAIL, M_DKIM_NEUTRAL, M_DKIM_POLICY, M_DKIM_TEMPERROR, M_DKIM_PERMERROR };
	static const enum metric arc[] = { M_ARC_NONE, M_ARC_PASS, M_ARC_FAIL, M_ARC_FAIL, M_ARC_FAIL, M_ARC_FAIL, M_ARC_FAIL, M_ARC_FAIL };
	struct role_env *e = c->h->e;
	if (c->have_spf)
		count_add(e, spf[c->spf.result], 1);
	for (size_t i = 0; i < c->dkim.n; i++)
		count_add(e, dkim[c->dkim.signature[i].result], 1);
	if (c->have_dkim && c->dkim.n == 0 && !c->dkim.skipped)
		count_add(e, M_DKIM_NONE, 1);
	if (c->have_dkim)
		count_add(e, arc[c->dkim.arc.result], 1);
	if (!c->have_dmarc)
		return;
	const char *d = c->verdict.disposition ? c->verdict.disposition : "none";
	enum metric failed = d[0] == 'r' ? M_DMARC_FAIL_REJECT : d[0] == 'q' ? M_DMARC_FAIL_QUARANTINE : M_DMARC_FAIL_NONE;
	enum auth r = c->dmarc.result;
	count_add(e, r == AUTH_PASS ? M_DMARC_PASS : r == AUTH_FAIL ? failed : r == AUTH_TEMPERROR ? M_DMARC_TEMPERROR : r == AUTH_PERMERROR ? M_DMARC_PERMERROR : M_DMARC_NONE, 1);
}

void auth_check_evidence(const struct auth_check *c, struct auth_evidence *out)
{
	*out = (struct auth_evidence){ .ip = c->query.ip.n ? c->ip : NULL, .spf = c->have_spf ? &c->spf : NULL, .dkim = c->have_dkim ? &c->dkim : NULL,
		.dmarc = c->have_dmarc ? &c->dmarc : NULL };
}

void auth_check_end(struct auth_check *c, struct str header, const struct auth_verdict **out)
{
	const struct dns *dns = &c->dns;
	struct auth_evidence e;
	*out = &c->verdict;
	c->budget.until_ms = now_ms() + END_MS;
	wait_for_spf(c);
	if (c->have_spf && !c->spf_ready) { /* we are being stopped; its fiber may still write into c->spf */
		c->have_spf = false;
		c->verdict = (struct auth_verdict){ .action = AUTH_DEFER, .override = "", .answer = "4.3.2 shutting down, try again." };
		return;
	}
	if (c->verifier)
		dkim_verify_end(c->verifier, dns, NULL, &c->a, &c->dkim);
	if (c->h->e->config->authentication_iprev && c->query.ip.n) {
		c->iprev = iprev_check(dns, c->query.ip, &c->a, &c->iprev_name);
		c->have_iprev = true;
	}
	if (c->h->rules.mode != AUTH_MODE_OFF) {
		auth_check_evidence(c, &e);
		struct dmarc_input in = { .header = header, .spf = e.spf, .dkim = e.dkim };
		dmarc_check(dns, &in, NULL, &c->a, &c->dmarc);
		c->have_dmarc = true;
	}
	auth_check_evidence(c, &e);
	auth_decide(&c->h->rules, &e, &c->a, &c->verdict);
	count(c);
}

void auth_check_listings(struct auth_check *c, const struct dnsbl_listing *listing, size_t n)
{
	c->listing = listing;
	c->listings = n;
}

static void results(const struct auth_check *c, void (*make)(const struct auth_facts *f, struct buf *out), struct buf *out)
{
	struct auth_evidence e;
	auth_check_evidence(c, &e);
	char from[1100];
	struct buf mail_from = { .p = from, .cap = sizeof from, .max = sizeof from };
	if (c->query.domain.n) {
		buf_add(&mail_from, c->query.local);
		buf_byte(&mail_from, '@');
		buf_add(&mail_from, c->query.domain);
	}
	struct auth_facts f = { .authserv = c->query.receiver, .client_ip = str_z(c->ip_text), .mail_from = mail_from.failed ? STR("") : buf_str(&mail_from),
		.helo = c->query.helo, .spf = e.spf, .dkim = e.dkim, .dmarc = e.dmarc, .disposition = c->verdict.disposition, .iprev = c->iprev,
		.iprev_name = c->iprev_name, .iprev_done = c->have_iprev, .override = str_z(c->verdict.override), .auth_user = STR(""),
		.listing = c->listing, .listings = c->listings };
	make(&f, out);
}

void auth_check_results(const struct auth_check *c, struct buf *out) { results(c, auth_results_value, out); }

void auth_check_fields(const struct auth_check *c, struct buf *out)
{
	results(c, auth_results_make, out);
	if (c->have_spf && c->h->e->config->authentication_received_spf)
		spf_received(&c->query, &c->spf, out);
}

void auth_check_drop(struct auth_check **c)
{
	if (*c)
		let_go(*c);
	*c = NULL;
}
