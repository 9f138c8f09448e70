#include "role/relay.h"

#include "mail/address.h"
#include "os/net.h"
#include <arpa/inet.h>

/* One transaction by any of a destination's servers: hosts by preference, of each its addresses, IPv6 and IPv4 in turn, until one speaks with us. What it says about the
 * message then is final for this attempt, but for a "not now" to MAIL: that may be about this server alone, and some others are asked. */

enum { ADDRESSES_MAX = 8, PUT_OFF_MAX = 3 /* servers that say "not now" to MAIL, and then no more are asked */ };

/* ---- the message, a run at a time ---- */

struct source { struct relay_try *t; struct body_reader body; uint64_t at; bool prefix_given; struct why why; };

static enum rc more(void *house, struct str *out)
{
	struct source *s = house;
	const struct letter *l = &s->t->letter->l;
	if (!s->prefix_given) {
		s->prefix_given = true;
		*out = s->t->text.n ? s->t->text : l->prefix;
		if (out->n)
			return RC_OK;
	}
	if (s->t->text.n)
		return *out = STR(""), RC_OK;
	TRY(body_reader_read(&s->body, l->skip + s->at, BLOB_CHUNK, out, &s->why));
	s->at += out->n;
	return RC_OK;
}

static enum rc rewind_source(void *house)
{
	struct source *s = house;
	s->prefix_given = false;
	s->at = 0;
	return RC_OK;
}

/* ---- one transaction ---- */

static void all(struct relay_try *t, size_t from, size_t n, const struct relay_outcome *o)
{
	for (size_t i = from; i < n; i++)
		t->out[i] = *o;
}

/* What the peer lacks for this message is said by ourselves before anything is sent. */
static bool is_our_word(const struct smtp_client_rcpt *r)
{
	static const char *const lacks[] = { "5.3.4", "5.6.1", "5.6.3", "5.6.7", "5.7.30", "5.1.3", "5.1.7" };
	for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++)
		if (!r->asked && strcmp(r->reply.enhanced, lacks[i]) == 0)
			return true;
	return false;
}

static void of_rcpt(struct relay_try *t, size_t i, const struct smtp_client_rcpt *r, enum rc rc, const struct smtp_reply *reply, const struct why *why)
{
	struct relay_outcome *o = &t->out[i];
	if ((r->rc == RC_OK || r->rc == RC_DENIED || r->rc == RC_BUSY) && r->reply.code) {
		relay_reply(o, r->reply.code, r->reply.enhanced, r->reply.text);
		o->what = r->rc == RC_OK ? RELAY_SENT : r->rc == RC_BUSY ? RELAY_LATER : RELAY_FAILED; /* a 552 for RCPT is one for later */
		o->remote = !is_our_word(r);
	} else if ((rc == RC_DENIED || rc == RC_BUSY) && reply->code)
		relay_reply(o, reply->code, reply->enhanced, reply->text);
	else if (t->no_data && r->asked)
		relay_reply(o, r->reply.code, r->reply.enhanced, r->reply.text);
	else if (rc == RC_OK)
		relay_own(o, RELAY_LATER, "4.4.2", "%s [%s] took the message without a word about this recipient", t->conn->name, t->conn->ip);
	else
		relay_own(o, RELAY_LATER, rc == RC_LATE || rc == RC_CLOSED ? "4.4.2" : "4.5.0", "%s [%s]: %s", t->conn->name, t->conn->ip,
		          why->text[0] ? why->text : rc == RC_LATE ? "no answer in time" : "connection lost");
}

static enum rc addresses(struct relay_try *t, size_t n, struct smtp_client_mail *m, struct smtp_client_rcpt *r)
{
	struct why why = { 0 };
	const struct letter *l = &t->letter->l;
	if (l->sender.n)
		TRY(mail_address_parse(l->sender, true, t->a, &m->from, &why));
	for (size_t i = 0; i < n; i++) {
		const struct letter_rcpt *x = &t->rows[i].rcpt;
		TRY(mail_address_parse(x->address, true, t->a, &r[i].to, &why));
		r[i].notify = x->notify;
		r[i].orcpt_type = x->orcpt_type;
		r[i].orcpt = x->orcpt;
		r[i].rc = RC_AGAIN;
	}
	return RC_OK;
}

static struct str name_of(struct relay_try *t, struct str name, const char *ip)
{
	char host[320];
	int k = snprintf(host, sizeof host, "%.*s [%s]", PSTR(str_head(name, 255)), ip);
	return arena_str(t->a, str_of(host, (size_t)k));
}

/* RFC 6531 3.4: SMTPUTF8 is not said for a message that has no use for it, whatever its sender said. Letters beyond ASCII in its header do need it where they were announced; where
 * they were not, everybody lets them pass as 8-bit text, and so they go there by 8BITMIME. The headers of parts may have some too: then they are in the body. */
static bool needs_utf8(const struct letter *l) { return l->smtputf8 && l->utf8_header; }
static bool wants_utf8(const struct letter *l) { return l->utf8_header || (l->smtputf8 && l->body_8bit); }

/* RC_AGAIN: an old connection was gone before anything was said on it: a fresh one may do. RC_CLOSED: it was lost before anything of the message was sent: another server may
 * do, and nobody gets it twice. RC_BUSY: "not now" to MAIL, in *o: another server may do. */
static enum rc transact(struct relay_try *t, bool reused, struct relay_outcome *o)
{
	const struct letter *l = &t->letter->l;
	struct smtp_client *c = t->conn->client;
	unsigned max = smtp_client_rcpt_max(c);
	size_t n = max && t->n > max ? max : t->n;
	struct smtp_client_rcpt *r = arena_new(t->a, n * sizeof *r);
	struct source s = { .t = t };
	struct smtp_reply reply = { 0 };
	struct why why = { 0 };
	struct smtp_client_mail m = { .size = l->size, .body_8bit = l->body_8bit, .body_binary = l->body_binary, .smtputf8 = needs_utf8(l), .utf8_wanted = wants_utf8(l),
		.require_tls = l->require_tls, .envid = l->envid, .ret = l->ret, .has_priority = l->has_priority, .mt_priority = l->mt_priority,
		.more = t->no_data ? NULL : more, .rewind = rewind_source, .house = &s };
	if (l->deliver_by_ms) {
		m.by = true;
		m.by_return = l->by_return;
		m.by_s = (l->deliver_by_ms - wall_ms()) / 1000;
	}
	t->tried = n;
	for (size_t i = 0; i < n; i++) {
		t->out[i] = (struct relay_outcome){ 0 };
		t->host[i] = STR("");
	}
	if (!r || addresses(t, n, &m, r) != RC_OK) {
		relay_own(&t->out[0], r ? RELAY_FAILED : RELAY_LATER, r ? "5.1.3" : "4.3.0", r ? "an address of this message cannot be said in SMTP" : "no memory");
		all(t, 1, n, &t->out[0]);
		return RC_OK;
	}
	body_reader_init(&s.body, t->h->e->node, &t->h->files);
	body_reader_set(&s.body, &t->letter->blob, &l->body_key, NULL);
	enum rc rc = smtp_client_send(c, &m, r, n, &reply, &why);
	body_reader_done(&s.body);
	t->conn->used++;
	bool any = false;
	for (size_t i = 0; i < n; i++)
		any = any || r[i].asked;
	if (reused && rc != RC_OK && rc != RC_DENIED && rc != RC_BUSY && !any) {
		t->tried = 0;
		return RC_AGAIN;
	}
	if (rc != RC_OK && s.why.text[0])
		why = s.why;
	for (size_t i = 0; i < n; i++) {
		of_rcpt(t, i, &r[i], rc, &reply, &why);
		t->host[i] = name_of(t, str_z(t->conn->name), t->conn->ip);
	}
	t->peer_dsn = smtp_client_extensions(c) & SMTP_EXT_DSN;
	t->reached = rc == RC_OK || rc == RC_DENIED || rc == RC_BUSY;
	t->crowded = !t->reached || reply.code == 421 || !smtp_client_usable(c);
	if (rc == RC_BUSY && !any && reply.code) {
		relay_reply(o, reply.code, reply.enhanced, reply.text);
		t->said_by = name_of(t, str_z(t->conn->name), t->conn->ip);
		return RC_BUSY;
	}
	return t->reached || s.prefix_given || s.why.text[0] ? RC_OK : RC_CLOSED;
}

/* ---- addresses of a host ---- */

static void add_ip(int family, struct str data, char (*ip)[46], size_t *n)
{
	if (data.n == (family == AF_INET ? 4u : 16u) && *n < ADDRESSES_MAX && inet_ntop(family, data.p, ip[*n], 46))
		++*n;
}

static size_t interleave(const struct relay_house *h, const struct dane_host *d, char (*ip)[46])
{
	size_t n = 0, v6 = d->address_v6.status == DNS_OK && h->e->config->relay_ipv6 ? d->address_v6.records : 0, v4 = d->address_v4.status == DNS_OK ? d->address_v4.records : 0;
	for (size_t i = 0; i < v6 || i < v4; i++) {
		if (i < v6)
			add_ip(AF_INET6, d->address_v6.record[i].data, ip, &n);
		if (i < v4)
			add_ip(AF_INET, d->address_v4.record[i].data, ip, &n);
	}
	return n;
}

static uint64_t fit_of(const struct relay_house *h, const struct relay_target *t)
{
	struct buf b AUTO(buf_done);
	const struct tls_policy_out *p = t->policy;
	buf_init(&b, 1 << 20);
	buf_addf(&b, "%s %u %d%d%d%d%d %zu ", t->ip, t->port, p->try_tls, p->need_tls, (int)p->verify, p->need_requiretls, t->route->implicit_tls, p->n);
	for (size_t i = 0; i < p->name_n; i++)
		buf_run(&b, p->names[i]);
	for (size_t i = 0; i < p->n; i++)
		buf_run(&b, p->tlsa[i].data);
	buf_run(&b, t->route->user);
	uint64_t v = siphash(h->hash_key, buf_str(&b));
	if (b.failed) /* half of it is no demand: this connection is like no other */
		(void)!random_bytes(&v, sizeof v);
	return v ? v : 1; /* 0 fits nothing */
}

/* An address that may not be dialled, or none: in words, for the outcome. */
static bool usable(struct relay_try *t, const struct relay_target *g, struct relay_outcome *o)
{
	const char *why = relay_address_refused(t->h->e, g->ip);
	if (!why)
		return true;
	relay_own(o, RELAY_FAILED, "5.4.6", "%.*s has the address %s: %s", PSTR(str_head(g->name, 255)), g->ip, why);
	return false;
}

static bool try_address(struct relay_try *t, struct relay_target *g, struct relay_outcome *o)
{
	g->fit = fit_of(t->h, g);
	if (!usable(t, g, o))
		return false;
	bool reused = t->conn && t->conn->fit == g->fit && smtp_client_usable(t->conn->client);
	if (t->conn && !reused)
		relay_conn_keep(t->h, &t->conn);
	for (int i = 0; i < 2; i++) {
		if (!t->conn) {
			t->conn = relay_conn_get(t->h, g, i > 0 || t->watch, t->watch, o);
			reused = t->conn && t->conn->used;
		}
		if (!t->conn) {
			t->said_by = o->remote ? name_of(t, g->name, g->ip) : t->said_by;
			return o->what == RELAY_FAILED && !o->remote && strcmp(o->status, "5.7.30") != 0; /* a loop: no other address of it will do */
		}
		enum rc rc = transact(t, reused, o);
		if (rc == RC_CLOSED) {
			*o = t->out[0];
			t->lost = true;
			t->tried = 0;
			relay_host_tell(t->h, t->conn->host, RQ_CROWDED, o->text);
			relay_conn_drop(t->h, &t->conn);
			return false;
		}
		if (rc != RC_AGAIN) {
			if (t->conn->host && t->reached)
				relay_host_tell(t->h, t->conn->host, t->crowded ? RQ_CROWDED : RQ_WELL, t->out[0].text);
			if (rc != RC_BUSY)
				return true;
			t->tried = 0;
			return ++t->put_off >= PUT_OFF_MAX;
		}
		relay_conn_drop(t->h, &t->conn);
	}
	return false;
}

static void look_up(struct relay_try *t, const struct relay_route *r, struct str host, struct dane_host *out)
{
	char z[64];
	uint8_t a[16];
	(void)snprintf(z, sizeof z, "%.*s", PSTR(str_head(host, 60)));
	if (!net_addr16(z, a)) {
		dane_look_up(&t->h->dns, r->next_hop, host, r->port, r->mx_secure, t->a, out);
		return;
	}
	*out = (struct dane_host){ .state = DANE_NONE, .base = host };
	struct dns_answer *ans = net_is_mapped(a) ? &out->address_v4 : &out->address_v6;
	struct dns_record *rec = arena_new(t->a, sizeof *rec);
	if (!rec)
		return;
	rec->data = arena_str(t->a, net_is_mapped(a) ? str_of(a + 12, 4) : str_of(a, 16));
	*ans = (struct dns_answer){ .status = DNS_OK, .record = rec, .records = 1 };
	((struct dns_answer *)(ans == &out->address_v4 ? &out->address_v6 : &out->address_v4))->status = DNS_NODATA;
}

static bool is_certain(enum dns_status s) { return s == DNS_NODATA || s == DNS_NXDOMAIN; }

static void no_address(const struct relay_route *r, const struct dane_host *d, struct str host, struct relay_outcome *o)
{
	/* RFC 5321 5.1: a domain without MX records whose own address is none: "this situation MUST be reported as an error". Behind an MX record it may be a host that is moving. */
	if (r->implicit && is_certain(d->address_v4.status) && is_certain(d->address_v6.status)) {
		relay_own(o, RELAY_FAILED, "5.1.2", "%.*s takes no mail: the DNS knows neither an MX record nor an address of it", PSTR(str_head(host, 255)));
		return;
	}
	const struct dns_answer *f = d->address_v4.status == DNS_TEMPFAIL || d->address_v4.status == DNS_BOGUS ? &d->address_v4 : &d->address_v6;
	if (f->status == DNS_TEMPFAIL || f->status == DNS_BOGUS)
		relay_own(o, RELAY_LATER, f->status == DNS_BOGUS ? "4.7.5" : "4.4.3", "the DNS gives no address of %.*s: %s", PSTR(str_head(host, 255)), f->why);
	else
		relay_own(o, RELAY_LATER, "4.4.4", "%.*s has no address", PSTR(str_head(host, 255)));
}

static void watch_note(const struct relay_try *t, const char *text)
{
	if (t->watch && t->watch->note)
		t->watch->note(t->watch->arg, text);
}

/* Of several servers: for good only if all say so; and the last one's answer says more than that another does not answer. */
static void merge(struct relay_outcome *o, const struct relay_outcome *next, bool *have)
{
	if (!*have || o->what != RELAY_LATER || (next->what == RELAY_LATER && (next->remote || !o->remote)))
		*o = *next;
	*have = true;
}

/* True: the attempt is over. */
static bool try_host(struct relay_try *t, const struct relay_route *r, struct str host, struct relay_outcome *o)
{
	struct dane_host d = { 0 };
	struct tls_policy_out policy = { 0 };
	char ip[ADDRESSES_MAX][46], text[600];
	look_up(t, r, host, &d);
	struct tls_policy_in in = { .next_hop = r->next_hop, .mx_host = host, .mx_secure = r->mx_secure, .given = r->smarthost || (r->next_hop.n && r->next_hop.p[0] == '['),
		.dane = &d, .sts = t->sts, .sts_later = t->sts_later, .login = r->user.n > 0, .directory = r->directory, .require_tls = t->letter->l.require_tls, .tls_optional = t->letter->l.tls_optional };
	tls_policy(&in, t->a, &policy);
	(void)snprintf(text, sizeof text, "%.*s: %.*s", PSTR(str_head(host, 255)), PSTR(str_head(policy.words, 300)));
	watch_note(t, text);
	struct relay_target g = { .route = r, .policy = &policy, .name = host, .port = r->port };
	if (!policy.allowed) {
		t->withheld += policy.later && t->letter->l.require_tls && d.state != DANE_LATER;
		relay_own(o, policy.later || !t->letter->l.require_tls ? RELAY_LATER : RELAY_FAILED, policy.later ? "4.7.5" : t->letter->l.require_tls ? "5.7.10" : "4.7.5", "%s", text);
		if (policy.result && policy.result[0])
			relay_tell_tls(t->h, &g, "", true, false, policy.result, text);
		return false;
	}
	size_t n = interleave(t->h, &d, ip);
	if (!n)
		no_address(r, &d, host, o);
	bool over = false, have = false;
	for (size_t i = 0; i < n && !over && !fiber_cancelled(); i++) {
		struct relay_outcome one = { 0 };
		memcpy(g.ip, ip[i], sizeof g.ip);
		over = try_address(t, &g, &one);
		if (over)
			*o = one;
		else
			merge(o, &one, &have);
	}
	return over;
}

/* The one we are connected to goes first among its equals. */
static void prefer(struct relay_route *r, const struct relay_conn *c)
{
	for (size_t i = 1; c && i < r->n && r->mx[i].preference == r->mx[0].preference; i++)
		if (str_ieq(r->mx[i].host, str_z(c->name))) {
			struct relay_mx swap = r->mx[0];
			r->mx[0] = r->mx[i];
			r->mx[i] = swap;
			return;
		}
}

/* The domain's own policy. Where there is a record and no policy could be had, that is a failure to report, and mail goes on without one (RFC 8461 5.1). */
static void look_up_sts(struct relay_try *t, const struct relay_route *r, struct mta_sts_policy *room)
{
	struct sts_status status = { 0 };
	struct why why = { 0 };
	char text[600];
	if (r->smarthost || !r->n || !r->next_hop.n || r->next_hop.p[0] == '[')
		return;
	enum rc rc = sts_policy_for(t->h->sts, r->next_hop, t->a, room, &status, &why);
	if (rc == RC_OK)
		t->sts = room;
	t->sts_later = status.later || (rc != RC_OK && rc != RC_NOTFOUND);
	if (rc == RC_OK)
		(void)snprintf(text, sizeof text, "MTA-STS: %s, %zu patterns of host names%s", mta_sts_mode_name(room->mode), room->mx_n, status.state == STS_KEPT_STALE ? ", as kept: it cannot be had anew" : "");
	else
		(void)snprintf(text, sizeof text, "MTA-STS: %s", why.text[0] ? why.text : "none");
	watch_note(t, text);
	if (status.result && status.result[0]) {
		struct tls_policy_out nothing = { .type = TLS_POLICY_STS };
		struct relay_target g = { .route = r, .policy = &nothing, .name = r->mx[0].host, .port = r->port };
		relay_tell_tls(t->h, &g, "", true, false, status.result, why.text);
	}
}

/* One outcome for all of them. */
static void all_are(struct relay_try *t, const struct relay_outcome *o)
{
	t->tried = t->n;
	t->reached = o->what == RELAY_FAILED || t->put_off;
	for (size_t i = 0; i < t->n; i++) {
		t->out[i] = *o;
		t->host[i] = o->remote ? t->said_by : STR("");
	}
}

void relay_try(struct relay_try *t)
{
	const struct letter *l = &t->letter->l;
	struct mta_sts_policy sts = { 0 };
	struct relay_route route;
	struct relay_outcome o;
	t->tried = 0;
	t->reached = t->crowded = t->lost = t->peer_dsn = false;
	t->put_off = 0;
	t->withheld = 0;
	t->said_by = STR("");
	/* RFC 2852 2: with "R", a message that is not delivered within its time goes back: it does not arrive late after all. */
	if (l->deliver_by_ms && l->by_return && l->deliver_by_ms <= wall_ms()) {
		relay_own(&o, RELAY_FAILED, "5.4.7", "its sender wanted it back where it could not be delivered in time, and the time is over");
		all_are(t, &o);
		return;
	}
	relay_route_find(t->h, t->letter->l.sender, t->domain, t->a, &route);
	o = route.none;
	t->sts = NULL;
	t->sts_later = false;
	look_up_sts(t, &route, &sts);
	prefer(&route, t->conn);
	bool over = false, have = false;
	for (size_t i = 0; i < route.n && !over; i++) {
		struct relay_outcome one = route.none;
		over = try_host(t, &route, route.mx[i].host, &one);
		if (over)
			o = one;
		else
			merge(&o, &one, &have);
	}
	if (t->withheld < route.n)
		t->withheld = 0;
	if (t->tried)
		return;
	/* Nobody took it. "Not now" of a server counts as an answer. For good only where that is certain: no such domain, no mail there, our own server. */
	all_are(t, &o);
}
