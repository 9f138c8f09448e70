#include "dns/ub.h"

#include "base/mem.h"
#include "dns/reply.h"
#include "dns/ub_event.h"
#include <dlfcn.h>
#include <stdio.h>
#include <unbound.h>

enum { PACKET_MAX = 65535, SEC_BOGUS = 1, SEC_SECURE = 2 };

#define SYMBOLS(X) X(ub_ctx_create_ub_event) X(ub_ctx_delete) X(ub_ctx_set_option) X(ub_ctx_set_fwd) X(ub_ctx_add_ta) X(ub_ctx_debugout) \
	X(ub_resolve_event) X(ub_cancel) X(ub_strerror)

struct ub_house {
	struct ub_loop loop;
	struct ub_ctx *ctx;
	void *library;
#define X(name) __typeof__(&name) name;
	struct { SYMBOLS(X) } f;
#undef X
};

/* One question under way; lies on its fiber's stack. */
struct asking {
	struct waitlist answered;
	bool done;
	int rcode, sec;
	struct buf packet;
	char why[120];
};

static enum rc load(struct ub_house *h, struct why *why)
{
	h->library = dlopen("libunbound.so.8", RTLD_NOW | RTLD_LOCAL);
	if (!h->library)
		FAIL(why, RC_NOTFOUND, "libunbound.so.8 cannot be loaded: install the package libunbound8, or set dns.forwarder = \"none\"");
#define X(name)                                                    \
	if (!(h->f.name = (__typeof__(&name))dlsym(h->library, #name))) \
		FAIL(why, RC_NOTFOUND, "libunbound has no " #name);
	SYMBOLS(X)
#undef X
	return RC_OK;
}

static enum rc option(struct ub_house *h, const char *name, const char *value, struct why *why)
{
	int e = h->f.ub_ctx_set_option(h->ctx, name, value);
	if (e)
		FAIL(why, RC_SYNTAX, "libunbound, %s %.60s: %s", name, value, h->f.ub_strerror(e));
	return RC_OK;
}

static enum rc set_options(struct ub_house *h, const struct ub_config *c, struct why *why)
{
	static const char *const fixed[][2] = {
		{ "edns-buffer-size:", "1232" }, { "harden-glue:", "yes" }, { "harden-dnssec-stripped:", "yes" }, { "harden-below-nxdomain:", "yes" },
		{ "qname-minimisation:", "yes" }, { "aggressive-nsec:", "yes" }, { "cache-max-negative-ttl:", "3600" }, { "use-syslog:", "no" },
		{ "do-not-query-localhost:", "no" }, /* a forwarder may be here; glue that points here meets Landlock's ports only */
		{ "msg-cache-size:", "4m" }, { "rrset-cache-size:", "8m" }, { "key-cache-size:", "1m" }, { "neg-cache-size:", "1m" },
		{ "infra-cache-numhosts:", "5000" }, { "outgoing-range:", "512" },
	};
	char text[300];
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		TRY(option(h, fixed[i][0], fixed[i][1], why));
	(void)snprintf(text, sizeof text, "%u", c->max_questions);
	TRY(option(h, "num-queries-per-thread:", text, why));
	for (size_t i = 0; i < c->insecure_n; i++) {
		(void)snprintf(text, sizeof text, "%.*s", PSTR(str_head(c->insecure[i], 255)));
		TRY(option(h, "domain-insecure:", text, why));
	}
	for (size_t i = 0; i < c->forwarder_n; i++) {
		(void)snprintf(text, sizeof text, "%.*s", PSTR(str_head(c->forwarder[i], 100)));
		if (h->f.ub_ctx_set_fwd(h->ctx, text))
			FAIL(why, RC_SYNTAX, "dns.forwarder: \"%s\" is not ADDRESS or ADDRESS@PORT", text);
	}
	return RC_OK;
}

/* One record a line, as dns-root-data has them. */
static enum rc add_anchors(struct ub_house *h, struct str text, struct why *why)
{
	char line[2048];
	size_t added = 0;
	struct str one, rest = text;
	while (rest.n) {
		(void)str_cut(rest, '\n', &one, &rest);
		one = str_trim(str_head(one, str_find(one, ';')));
		if (!one.n)
			continue;
		if (one.n >= sizeof line)
			FAIL(why, RC_LIMIT, "dns.trust_anchor: a line of %zu octets", one.n);
		(void)snprintf(line, sizeof line, "%.*s", PSTR(one));
		if (h->f.ub_ctx_add_ta(h->ctx, line))
			FAIL(why, RC_SYNTAX, "dns.trust_anchor: \"%.60s...\" is no DS or DNSKEY record", line);
		added++;
	}
	if (text.n && !added)
		FAIL(why, RC_SYNTAX, "dns.trust_anchor: the file holds no record");
	return RC_OK;
}

static void on_answer(void *arg, int rcode, void *packet, int n, int sec, char *why_bogus, int limited)
{
	struct asking *q = arg;
	q->done = true;
	q->rcode = limited ? 2 : rcode;
	q->sec = sec;
	if (packet && n > 0)
		buf_add(&q->packet, str_of(packet, (size_t)n));
	(void)snprintf(q->why, sizeof q->why, "%.119s", why_bogus ? why_bogus : "");
	wake_one(&q->answered);
}

/* A name that the library answers itself: builds its caches and its worker now, while files may still be opened. */
static enum rc finish_setup(struct ub_house *h, struct why *why)
{
	struct asking q = { .packet = { .max = PACKET_MAX } };
	int e = h->f.ub_resolve_event(h->ctx, "localhost.", DNS_A, 1, &q, on_answer, NULL);
	buf_done(&q.packet);
	if (e)
		FAIL(why, RC_IO, "libunbound: %s", h->f.ub_strerror(e));
	if (!q.done)
		FAIL(why, RC_IO, "libunbound did not answer \"localhost\" itself");
	return RC_OK;
}

enum rc ub_open(struct loop *l, const struct ub_config *c, struct ub_house **out, struct why *why)
{
	struct ub_house *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	ub_loop_init(&h->loop, l);
	enum rc rc = load(h, why);
	if (rc == RC_OK && !(h->ctx = h->f.ub_ctx_create_ub_event(&h->loop.base)))
		rc = why_fail(why, RC_NOMEM, 0, __FILE__, "libunbound could not start");
	if (rc == RC_OK)
		(void)h->f.ub_ctx_debugout(h->ctx, NULL);
	if (rc == RC_OK)
		rc = set_options(h, c, why);
	if (rc == RC_OK)
		rc = add_anchors(h, c->trust_anchor, why);
	if (rc == RC_OK)
		rc = finish_setup(h, why);
	if (rc != RC_OK)
		ub_close(&h);
	else
		*out = h;
	return rc;
}

void ub_close(struct ub_house **hp)
{
	struct ub_house *h = *hp;
	if (!h)
		return;
	if (h->ctx)
		h->f.ub_ctx_delete(h->ctx);
	mem_free(h); /* the library stays loaded: threads' destructors of it may run until the end */
	*hp = NULL;
}

static void failed(struct dns_answer *out, enum dns_status status, const char *why)
{
	*out = (struct dns_answer){ .status = status, .canonical = STR("") };
	(void)snprintf(out->why, sizeof out->why, "%.119s", why);
}

static void read_answer(const struct asking *q, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct dns_reply_facts facts;
	struct why why = { 0 };
	if (q->sec == SEC_BOGUS) {
		failed(out, DNS_BOGUS, q->why[0] ? q->why : "the signatures are wrong");
		return;
	}
	if ((q->rcode != 0 && q->rcode != 3) || !q->packet.len) {
		failed(out, DNS_TEMPFAIL, q->rcode == 2 ? "no server gave an answer (SERVFAIL)" : "the question failed");
		return;
	}
	if (q->packet.failed || dns_reply_parse(buf_str(&q->packet), type, name, a, out, &facts, &why) != RC_OK) {
		failed(out, DNS_TEMPFAIL, why.text[0] ? why.text : "no memory for the answer");
		return;
	}
	out->secure = q->sec == SEC_SECURE;
}

void ub_ask(struct ub_house *h, unsigned type, struct str name, unsigned timeout_ms, struct arena *a, struct dns_answer *out)
{
	struct asking q = { .packet = { .max = PACKET_MAX } };
	char z[260];
	int id = 0;
	(void)snprintf(z, sizeof z, "%.*s.", PSTR(name));
	if (strlen(z) != name.n + 1 || memchr(z, '\\', name.n)) { /* the library reads text: an octet it takes for more than itself is not asked */
		failed(out, DNS_BADNAME, "a name with an octet that cannot be asked");
		return;
	}
	int e = h->f.ub_resolve_event(h->ctx, z, (int)type, 1, &q, on_answer, &id);
	if (e) {
		failed(out, DNS_TEMPFAIL, h->f.ub_strerror(e));
		return;
	}
	int64_t deadline = loop_now(fiber_loop()) + timeout_ms;
	enum rc rc = q.done ? RC_OK : wait_on(&q.answered, deadline);
	if (!q.done) {
		(void)h->f.ub_cancel(h->ctx, id); /* `q` dies with this call */
		failed(out, DNS_TEMPFAIL, rc == RC_LATE ? "no answer in time" : "the resolver is stopping");
	} else {
		read_answer(&q, type, name, a, out);
	}
	buf_done(&q.packet);
}
