#include "role/relay.h"

#include "base/mem.h"
#include "mail/address.h"
#include "role/wire_route.h"

/* Where a message goes next: a way of the directory, or the MX records of its domain. */

enum { WAYS_ROOM = 16 << 20, MX_MAX = 32, HOSTS_TRIED = 8, RATES_AT_ONCE = 64 };

/* ---- ways ---- */

enum rc relay_ways_get(struct relay_house *h, struct why *why)
{
	struct msg_WAYS_answer a;
	struct ipc_reply reply = { 0 };
	struct arena fresh;
	struct way *list;
	size_t n;
	unsigned news = h->ways_news;
	if (h->ways_known)
		return RC_OK;
	TRY(ipc_ask_role(h->e->node, ROLE_READER, MSG_WAYS, &(struct msg_WAYS){ 0 }, &a, &reply, true, why));
	arena_init(&fresh, WAYS_ROOM);
	enum rc rc = wire_get_ways(a.ways, &fresh, &list, &n);
	ipc_reply_done(&reply);
	if (rc != RC_OK) {
		arena_done(&fresh);
		FAIL(why, rc, "the ways out cannot be read");
	}
	arena_done(&h->ways_memory);
	h->ways_memory = fresh;
	h->ways = list;
	h->way_n = n;
	h->ways_known = news == h->ways_news;
	return RC_OK;
}

static const struct way *named(const struct way *ways, size_t n, struct str key)
{
	for (size_t i = 0; i < n; i++)
		if (str_ieq(ways[i].key, key))
			return &ways[i];
	return NULL;
}

/* The nearest wins: the sender, the sender's domain, the destination, the domains above it, "*". */
const struct way *relay_way_for(const struct way *ways, size_t n, struct str sender, struct str domain)
{
	const struct way *w = n && sender.n ? named(ways, n, sender) : NULL;
	size_t at = sender.n;
	if (!n)
		return NULL;
	while (at && sender.p[at - 1] != '@')
		at--;
	if (!w && at)
		w = named(ways, n, str_skip(sender, at - 1));
	if (!w)
		w = named(ways, n, domain);
	for (struct str d = domain; !w && d.n;) {
		size_t dot = str_find(d, '.');
		if (dot == d.n)
			break;
		d = str_skip(d, dot); /* ".example.org" */
		w = named(ways, n, d);
		d = str_skip(d, 1);
	}
	return w ? w : named(ways, n, STR("*"));
}

/* ---- rates ---- */

bool relay_rate_of(struct relay_house *h, struct str domain, struct rate *out)
{
	if (relay_ways_get(h, NULL) != RC_OK)
		return false;
	const struct way *w = relay_way_for(h->ways, h->way_n, STR(""), domain);
	if (w && rate_said(&w->rate))
		return *out = w->rate, true;
	return rate_parse(h->e->config->relay_rate_per_destination, out);
}

/* Those without one learn of it with their next job. */
static void rates_fiber(void *house)
{
	struct relay_house *h = house;
	struct rate r;
	while (h->rates_news && !fiber_cancelled()) {
		uint64_t lane;
		h->rates_news = false;
		for (uint32_t at = 0; rq_rated(h->q, &at, &lane) && !fiber_cancelled();) {
			const struct relay_lane *l = relay_lane_of(h, lane, STR(""));
			if (l && relay_rate_of(h, str_z(l->domain), &r))
				rq_rate(h->q, loop_now(h->e->loop), lane, &r);
			if (at % RATES_AT_ONCE == 0)
				fiber_yield();
		}
		relay_kick(h);
	}
	h->rating = false;
}

void relay_rates_new(struct relay_house *h)
{
	h->rates_news = true;
	if (!h->rating)
		h->rating = fiber_start(h->e->loop, rates_fiber, h, NULL) == RC_OK;
}

/* ---- MX records ---- */

static bool ours(const struct relay_house *h, struct str host)
{
	return str_ieq(host, h->e->config->server_hostname) || str_ieq(host, relay_name(h->e));
}

/* By preference; those of the same one in an order that changes: "the sender-SMTP MUST randomize them to spread the load" (RFC 5321 5.1). */
static void sort(struct relay_mx *mx, size_t n)
{
	uint32_t r = 0;
	(void)!random_bytes(&r, sizeof r);
	for (size_t i = 1; i < n; i++) {
		size_t k = (r = r * 1103515245u + 12345u) >> 16;
		struct relay_mx swap = mx[i];
		mx[i] = mx[k % (i + 1)];
		mx[k % (i + 1)] = swap;
	}
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k && mx[k - 1].preference > mx[k].preference; k--) {
			struct relay_mx swap = mx[k];
			mx[k] = mx[k - 1];
			mx[k - 1] = swap;
		}
}

/* RFC 5321 5.1: "If it is listed, ... all MX records with that preference and higher numbers MUST be discarded". */
static size_t before_us(const struct relay_house *h, const struct relay_mx *mx, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ours(h, mx[i].host)) {
			size_t first = i;
			while (first && mx[first - 1].preference == mx[i].preference)
				first--;
			return first;
		}
	return n;
}

static void take_mx(struct relay_house *h, const struct dns_answer *ans, struct arena *a, struct relay_route *out)
{
	/* RFC 7505 3: "a single RR consisting of preference number 0 and a zero-length label": no mail is accepted; 5.1.10. */
	if (ans->records == 1 && ans->record[0].name.n == 0) {
		relay_own(&out->none, RELAY_FAILED, "5.1.10", "%.*s says in the DNS that it takes no mail", PSTR(str_head(out->next_hop, 255)));
		return;
	}
	struct relay_mx *mx = arena_new(a, MX_MAX * sizeof *mx);
	size_t n = 0;
	for (size_t i = 0; mx && i < ans->records && n < MX_MAX; i++)
		if (ans->record[i].name.n)
			mx[n++] = (struct relay_mx){ ans->record[i].name, ans->record[i].preference };
	sort(mx, n);
	size_t keep = before_us(h, mx, n);
	if (n && !keep)
		relay_own(&out->none, RELAY_FAILED, "5.4.6", "mail for %.*s would come back to this server: its MX record names us, and the domain is not one of ours", PSTR(str_head(out->next_hop, 255)));
	else if (!n)
		relay_own(&out->none, RELAY_LATER, "4.4.4", "the MX records of %.*s name no host", PSTR(str_head(out->next_hop, 255)));
	out->mx = mx;
	out->n = keep > HOSTS_TRIED ? HOSTS_TRIED : keep;
}

static void by_mx(struct relay_house *h, struct arena *a, struct relay_route *out)
{
	struct dns_answer ans;
	dns_ask(&h->dns, DNS_MX, out->next_hop, a, &ans);
	out->mx_secure = ans.secure;
	switch (ans.status) {
	case DNS_OK:
		take_mx(h, &ans, a, out);
		return;
	case DNS_NODATA: /* RFC 5321 5.1: "as if it was associated with an implicit MX RR, with a preference of 0" */
		out->mx = arena_new(a, sizeof *out->mx);
		if (out->mx)
			*out->mx = (struct relay_mx){ ans.canonical.n ? ans.canonical : out->next_hop, 0 };
		out->n = out->mx != NULL;
		out->implicit = true;
		if (out->n && ours(h, out->mx->host)) {
			out->n = 0;
			relay_own(&out->none, RELAY_FAILED, "5.4.6", "mail for %.*s would come back to this server", PSTR(str_head(out->next_hop, 255)));
		}
		return;
	case DNS_NXDOMAIN:
		relay_own(&out->none, RELAY_FAILED, "5.1.2", "there is no domain %.*s", PSTR(str_head(out->next_hop, 255)));
		return;
	case DNS_BADNAME:
		relay_own(&out->none, RELAY_FAILED, "5.1.2", "%.*s is not a name that the DNS could know", PSTR(str_head(out->next_hop, 255)));
		return;
	case DNS_BOGUS:
		relay_own(&out->none, RELAY_LATER, "4.7.5", "the DNS answer about %.*s fails its signature check (DNSSEC): %s", PSTR(str_head(out->next_hop, 255)), ans.why);
		break;
	case DNS_TEMPFAIL:
		relay_own(&out->none, RELAY_LATER, "4.4.3", "the DNS does not answer about %.*s: %s", PSTR(str_head(out->next_hop, 255)), ans.why);
		break;
	}
	out->later = true;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool literal(struct str domain, struct str *out)
{
	if (domain.n < 3 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']')
		return false;
	struct str in = str_head(str_skip(domain, 1), domain.n - 2);
	*out = str_istarts(in, STR("IPv6:")) ? str_skip(in, 5) : in;
	return true;
}

static void one_host(struct str host, struct arena *a, struct relay_route *out)
{
	out->mx = arena_new(a, sizeof *out->mx);
	if (out->mx)
		*out->mx = (struct relay_mx){ arena_str(a, host), 0 };
	out->n = out->mx != NULL;
}

void relay_route_find(struct relay_house *h, struct str sender, struct str domain, struct arena *a, struct relay_route *out)
{
	struct why why = { 0 };
	struct str host;
	*out = (struct relay_route){ .next_hop = domain, .port = (uint16_t)h->e->config->relay_port };
	relay_own(&out->none, RELAY_LATER, "4.3.0", "no memory for the way to %.*s", PSTR(str_head(domain, 255)));
	if (relay_ways_get(h, &why) != RC_OK) {
		relay_own(&out->none, RELAY_LATER, "4.3.0", "%s", why.text[0] ? why.text : "the directory does not answer");
		out->later = true;
		return;
	}
	const struct way *w = relay_way_for(h->ways, h->way_n, sender, domain);
	if (w) { /* copied: the directory may change while we wait */
		out->directory = (enum tls_directory)w->tls;
		out->max_connections = w->max_connections;
		out->user = arena_str(a, w->user);
		out->password_sealed = arena_str(a, w->password_sealed);
	}
	if (w && w->host.n) {
		out->smarthost = true;
		out->next_hop = arena_str(a, w->host);
		out->port = w->port ? w->port : 25;
		out->implicit_tls = out->port == 465;
		one_host(literal(w->host, &host) ? host : w->host, a, out);
	} else if (literal(domain, &host)) {
		one_host(host, a, out);
	} else {
		by_mx(h, a, out);
	}
}
