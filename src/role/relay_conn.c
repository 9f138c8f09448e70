#include "role/relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/net.h"
#include "role/way_seal.h"
#include <stdarg.h>

/* One connection to one address: dialled, greeted, encrypted as asked, logged in where that is due. */

enum { STEP_CLEAR = 1 /* TLS broke and nothing demands it: once more without */ };

struct dial {
	struct relay_house *h;
	const struct relay_target *t;
	const struct relay_watch *watch;
	struct relay_conn *c;
	struct relay_outcome *out;
	bool clear;                    /* do not try TLS */
	enum rq_news news;             /* for the host, when it fails */
};

/* ---- which addresses are fit to be dialled ---- */

const char *relay_address_refused(const struct role_env *e, const char *ip)
{
	uint8_t a[16];
	if (!net_addr16(ip, a))
		return "not an address";
	bool v4 = net_is_mapped(a);
	static const uint8_t zero[16] = { 0 };
	bool loopback = v4 ? a[12] == 127 : memcmp(a, zero, 15) == 0 && a[15] == 1;
	if (loopback)
		return e->config->relay_loopback || e->config->server_demo ? NULL : "it is this machine's own loopback";
	if (v4 ? a[12] == 0 || a[12] >= 224 : memcmp(a, zero, sizeof a) == 0 || a[0] == 0xff)
		return "no host can have it";
	if (v4 ? a[12] == 169 && a[13] == 254 : a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
		return "it is good on one link only";
	return NULL;
}

/* The other end is one of our own listeners: the address is the same at both ends, and the port is where we take mail. */
static bool is_ourselves(const struct role_env *e, const struct stream_facts *f)
{
	if (strcmp(f->peer_ip, f->local_ip) != 0)
		return false;
	for (size_t i = 0; i < e->config->listener_n; i++) {
		const struct config_listener *l = &e->config->listeners[i];
		struct str port = l->address;
		uint64_t v = 0;
		while (port.n && str_find(port, ':') < port.n)
			port = str_skip(port, str_find(port, ':') + 1);
		if (l->proto <= LISTEN_LMTP && str_u64(port, 65535, &v) && v == f->peer_port)
			return true;
	}
	return false;
}

/* ---- steps ---- */

static void note(const struct dial *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(const struct dial *d, const char *format, ...)
{
	char text[600];
	va_list ap;
	if (!d->watch || !d->watch->note)
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	d->watch->note(d->watch->arg, text);
}

static enum rc later(struct dial *d, enum rq_news news, const char *status, const char *what, const char *why)
{
	d->news = news;
	relay_own(d->out, RELAY_LATER, status, "%s [%s]: %s%s%s", d->c->name, d->c->ip, what, why && *why ? ": " : "", why ? why : "");
	return RC_BUSY;
}

static enum rc refused(struct dial *d, const struct smtp_reply *r)
{
	relay_reply(d->out, r->code, r->enhanced, r->text);
	d->news = RQ_CROWDED;
	if (r->code == 521) /* a host that takes no mail, ever (RFC 7504 4): another of the domain's may */
		return RC_BUSY;
	d->out->what = RELAY_LATER; /* it speaks of the connection, not of the message: another server, or another day */
	if (d->out->status[0] == '5')
		d->out->status[0] = '4';
	return RC_BUSY;
}

/* What the peer said, or that it said nothing. */
static enum rc failed(struct dial *d, enum rc rc, const struct smtp_reply *r, const char *when, const struct why *why)
{
	if ((rc == RC_DENIED || rc == RC_BUSY) && r->code)
		return refused(d, r);
	char what[100];
	(void)snprintf(what, sizeof what, "%s %.60s", rc == RC_LATE ? "no answer" : rc == RC_CLOSED ? "connection lost" : "no sound answer", when);
	return later(d, RQ_DOWN, rc == RC_LATE || rc == RC_CLOSED ? "4.4.2" : "4.5.0", what, why->text);
}

static enum rc parse_addr(const char *ip, uint16_t port, struct net_addr *out, struct why *why)
{
	char text[64];
	int n = snprintf(text, sizeof text, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
	return net_parse(str_of(text, (size_t)n), out, why);
}

static enum rc connect_to(struct dial *d, int *out_fd)
{
	const struct config *c = d->h->e->config;
	struct net_addr to, from;
	struct why why = { 0 };
	bool v6 = strchr(d->t->ip, ':') != NULL;
	struct str source = v6 ? c->relay_source_v6 : c->relay_source_v4;
	char source_z[46];
	(void)snprintf(source_z, sizeof source_z, "%.*s", PSTR(str_head(source, 45)));
	enum rc rc = parse_addr(d->t->ip, d->t->port, &to, &why);
	if (rc == RC_OK && source.n)
		rc = parse_addr(source_z, 0, &from, &why);
	note(d, "connecting to %s [%s] port %u%s%s", d->c->name, d->c->ip, d->t->port, source.n ? " from " : "", source_z);
	if (rc == RC_OK)
		rc = net_connect(d->h->e->loop, &to, source.n ? &from : NULL, loop_now(d->h->e->loop) + (int64_t)c->relay_connect_timeout, out_fd, &why);
	return rc == RC_OK ? RC_OK : later(d, RQ_DOWN, "4.4.1", "no connection", why.text);
}

static enum rc make_peer(struct dial *d)
{
	const struct tls_policy_out *p = d->t->policy;
	struct tls_tlsa tlsa[32];
	size_t n = 0;
	struct why why = { 0 };
	for (size_t i = 0; i < p->n && n < sizeof tlsa / sizeof *tlsa; i++)
		tlsa[n++] = (struct tls_tlsa){ p->tlsa[i].usage, p->tlsa[i].selector, p->tlsa[i].matching, p->tlsa[i].data };
	struct tls_peer_config c = { .want = p->verify == TLS_VERIFY_DANE ? TLS_WANT_DANE : p->verify == TLS_VERIFY_PKIX ? TLS_WANT_PKIX : TLS_WANT_ANY,
		.sni = p->sni, .names = p->names, .name_n = p->name_n, .tlsa = tlsa, .tlsa_n = n };
	enum rc rc = tls_peer_new(d->h->tls, &c, &d->c->peer, &why);
	return rc == RC_OK ? RC_OK : later(d, RQ_CROWDED, "4.7.5", "TLS cannot be asked for", why.text);
}

static enum rc open_stream(struct dial *d)
{
	int fd = -1;
	struct why why = { 0 };
	TRY(connect_to(d, &fd));
	enum rc rc = d->clear ? RC_OK : make_peer(d);
	if (rc != RC_OK) {
		fd_close(&fd);
		return rc;
	}
	if (stream_of_fd(d->h->e->loop, fd, d->c->peer ? tls_peer_provider(d->c->peer) : NULL, &d->c->stream, &why) != RC_OK)
		return later(d, RQ_CROWDED, "4.3.0", "no memory", why.text);
	stream_timeout(d->c->stream, (unsigned)d->h->e->config->relay_timeout);
	if (is_ourselves(d->h->e, stream_facts(d->c->stream))) {
		relay_own(d->out, RELAY_FAILED, "5.4.6", "mail loops back: %s [%s] is this server itself", d->c->name, d->c->ip);
		d->news = RQ_WELL;
		return RC_DENIED;
	}
	return RC_OK;
}

/* ---- TLS ---- */

static void tell_tls(struct dial *d, bool tls, bool ok, const char *result, const char *reason)
{
	relay_tell_tls(d->h, d->t, d->c->stream ? stream_facts(d->c->stream)->local_ip : "", tls, ok, result, reason);
}

/* In force or only noted: is what the domain publishes met? */
static const char *noted(const struct tls_policy_out *p, const struct tls_peer_facts *f)
{
	if (!p->note)
		return "";
	if (p->type == TLS_POLICY_TLSA)
		return f->dane_ok ? "" : "tlsa-invalid";
	return p->type == TLS_POLICY_STS && !(f->pkix_ok && f->name_ok) ? f->result_type : "";
}

/* Who wants TLS here, for the trace; "" = nobody. */
static const char *demand(const struct tls_policy_out *p)
{
	if (!p->need_tls || p->note)
		return "";
	return p->type == TLS_POLICY_TLSA ? "DANE" : p->type == TLS_POLICY_STS ? "MTA-STS" : "your directory";
}

static void tls_stands(struct dial *d)
{
	struct tls_peer_facts f;
	tls_peer_facts(d->c->peer, &f);
	const char *result = noted(d->t->policy, &f);
	bool by_sts = d->t->policy->type == TLS_POLICY_STS && demand(d->t->policy)[0];
	(void)snprintf(d->c->tls, sizeof d->c->tls, "%.145s%s", f.words, by_sts ? " (MTA-STS)" : "");
	d->c->secure = true;
	note(d, "TLS: %s%s%s", f.words, f.subject[0] ? "; certificate of " : "", f.subject);
	tell_tls(d, true, true, result, result[0] ? f.words : "");
}

/* RC_AGAIN: nothing demands TLS, so once more without. */
static enum rc tls_broke(struct dial *d, enum rc rc, const struct why *why)
{
	struct tls_peer_facts f = { .result_type = "validation-failure" };
	if (d->c->peer)
		tls_peer_facts(d->c->peer, &f);
	const char *words = f.words[0] ? f.words : why->text[0] ? why->text : rc_name(rc);
	note(d, "TLS failed: %s", words);
	tell_tls(d, true, false, f.result_type && f.result_type[0] ? f.result_type : "validation-failure", words);
	if (!d->t->policy->need_tls && !d->t->route->implicit_tls)
		return RC_AGAIN;
	char text[80];
	const char *who = demand(d->t->policy);
	(void)snprintf(text, sizeof text, "TLS failed, and %s forbids to go on without", *who ? who : "what was asked for");
	return later(d, RQ_CROWDED, "4.7.5", text, words);
}

static enum rc without_tls(struct dial *d, const char *what)
{
	bool need = d->t->policy->need_tls;
	if (d->t->policy->try_tls)
		tell_tls(d, false, !need, need || d->t->policy->note ? "starttls-not-supported" : "", what);
	else
		count_add(d->h->e, M_OUT_TLS_CLEAR, 1);
	if (need)
		return later(d, RQ_CROWDED, "4.7.5", what, "and mail must not go there without TLS");
	note(d, "no TLS: %s", what);
	return RC_OK;
}

static enum rc start_tls(struct dial *d)
{
	struct smtp_reply reply = { 0 };
	struct why why = { 0 };
	if (d->c->secure)
		return RC_OK;
	if (d->clear)
		return without_tls(d, "a connection without, after TLS had failed");
	if (!d->t->policy->try_tls)
		return without_tls(d, "the directory says that TLS is not tried there");
	if (!(smtp_client_extensions(d->c->client) & SMTP_EXT_STARTTLS))
		return without_tls(d, "it does not offer STARTTLS");
	enum rc rc = smtp_client_starttls(d->c->client, &reply, &why);
	if (rc == RC_OK)
		tls_stands(d);
	else if (rc == RC_DENIED || rc == RC_BUSY)
		return without_tls(d, "it offers STARTTLS and refuses it");
	else
		return tls_broke(d, rc, &why);
	return RC_OK;
}

static enum rc implicit_tls(struct dial *d)
{
	struct why why = { 0 };
	enum rc rc = stream_starttls(d->c->stream);
	if (rc != RC_OK)
		return tls_broke(d, rc, &why);
	tls_stands(d);
	return RC_OK;
}

/* ---- hello and login ---- */

static void show_line(void *arg, char direction, struct str text)
{
	const struct relay_watch *w = arg;
	w->line(w->arg, direction, text);
}

static enum rc say_hello(struct dial *d)
{
	const struct config *c = d->h->e->config;
	unsigned ms = (unsigned)c->relay_timeout;
	struct smtp_client_config s = { .helo = relay_name(d->h->e), .greeting_ms = ms, .hello_ms = ms, .mail_ms = ms, .rcpt_ms = ms, .data_ms = ms, .block_ms = ms, .dot_ms = 2 * ms };
	struct smtp_reply reply = { 0 };
	struct why why = { 0 };
	if (smtp_client_new(d->c->stream, &s, &d->c->client) != RC_OK)
		return later(d, RQ_CROWDED, "4.3.0", "no memory", NULL);
	if (d->watch && d->watch->line)
		smtp_client_watch(d->c->client, show_line, (void *)(uintptr_t)d->watch);
	enum rc rc = smtp_client_hello(d->c->client, &reply, &why);
	if (rc != RC_OK)
		return failed(d, rc, &reply, "to the greeting", &why);
	if (!d->t->route->smarthost && str_ieq(smtp_client_name(d->c->client), s.helo)) {
		relay_own(d->out, RELAY_FAILED, "5.4.6", "mail loops back: %s [%s] calls itself by our own name, %.*s", d->c->name, d->c->ip, PSTR(str_head(s.helo, 253)));
		d->news = RQ_WELL;
		return RC_DENIED;
	}
	return RC_OK;
}

static enum rc log_in(struct dial *d)
{
	struct buf password AUTO(buf_wipe);
	struct smtp_reply reply = { 0 };
	struct why why = { 0 };
	buf_init(&password, WAY_SECRET_MAX + 64);
	if (!d->t->route->user.n)
		return RC_OK;
	if (!d->c->secure)
		return later(d, RQ_CROWDED, "4.7.0", "the password for it is not said without TLS", NULL);
	if (way_open(d->h->unsealer, d->t->route->password_sealed, &password) != RC_OK)
		return later(d, RQ_CROWDED, "4.7.0", "the password for it cannot be opened: set it again", NULL);
	enum rc rc = smtp_client_auth(d->c->client, d->t->route->user, buf_str(&password), &reply, &why);
	return rc == RC_OK ? RC_OK : failed(d, rc, &reply, "to the login", &why);
}

/* RFC 8689 4.2.1: without it the message "MUST NOT be relayed" there. */
static enum rc check_requiretls(struct dial *d)
{
	if (!d->t->policy->need_requiretls || (smtp_client_extensions(d->c->client) & SMTP_EXT_REQUIRETLS))
		return RC_OK;
	d->news = RQ_WELL;
	relay_own(d->out, RELAY_FAILED, "5.7.30", "%s [%s] does not offer REQUIRETLS, which the sender asks for", d->c->name, d->c->ip);
	return RC_NOTFOUND;
}

static enum rc dial(struct dial *d)
{
	TRY(open_stream(d));
	if (d->t->route->implicit_tls)
		TRY(implicit_tls(d));
	TRY(say_hello(d));
	TRY(start_tls(d));
	TRY(log_in(d));
	return check_requiretls(d);
}

/* ---- their life ---- */

static void hang_up(struct relay_conn *c)
{
	smtp_client_free(&c->client);
	stream_free(&c->stream);
	tls_peer_free(&c->peer);
	c->secure = false;
	c->tls[0] = 0;
}

void relay_conn_drop(struct relay_house *h, struct relay_conn **cp)
{
	struct relay_conn *c = *cp;
	*cp = NULL;
	if (!c)
		return;
	hang_up(c);
	relay_host_leave(h, c->host);
	mem_free(c);
}

struct ending { struct relay_house *h; struct relay_conn *c; };
static void end_fiber(void *arg)
{
	struct ending x = *(struct ending *)arg;
	mem_free(arg);
	smtp_client_quit(x.c->client);
	relay_conn_drop(x.h, &x.c);
}

void relay_conn_end(struct relay_house *h, struct relay_conn **cp)
{
	struct ending *x = *cp && (*cp)->client && smtp_client_usable((*cp)->client) ? mem_new(sizeof *x) : NULL;
	if (x) {
		*x = (struct ending){ h, *cp };
		smtp_client_watch(x->c->client, NULL, NULL); /* this may outlive whoever looked on */
		if (fiber_start(h->e->loop, end_fiber, x, NULL) == RC_OK) {
			*cp = NULL;
			return;
		}
		mem_free(x);
	}
	relay_conn_drop(h, cp);
}

void relay_conn_keep(struct relay_house *h, struct relay_conn **cp)
{
	struct relay_conn *c = *cp;
	if (!c)
		return;
	const struct config *g = h->e->config;
	if (h->e->stopping || !g->relay_idle || !smtp_client_usable(c->client) || c->used >= g->relay_messages_per_connection ||
	    (smtp_client_mail_max(c->client) && c->used >= smtp_client_mail_max(c->client))) {
		relay_conn_end(h, cp);
		return;
	}
	*cp = NULL;
	smtp_client_watch(c->client, NULL, NULL);
	c->idle_since = loop_now(h->e->loop);
	c->next = c->host->idle;
	c->host->idle = c;
	wake_one(&c->host->room);
}

static struct relay_conn *dial_new(struct relay_house *h, const struct relay_target *t, struct relay_host *host, const struct relay_watch *watch, struct relay_outcome *out)
{
	struct relay_conn *c = mem_new(sizeof *c);
	if (!c) {
		relay_host_leave(h, host);
		relay_own(out, RELAY_LATER, "4.3.0", "no memory for a connection");
		return NULL;
	}
	c->host = host;
	c->fit = t->fit;
	(void)snprintf(c->name, sizeof c->name, "%.*s", PSTR(str_head(t->name, 255)));
	(void)snprintf(c->ip, sizeof c->ip, "%s", t->ip);
	struct dial d = { .h = h, .t = t, .watch = watch, .c = c, .out = out };
	enum rc rc = dial(&d);
	if (rc == RC_AGAIN) {
		hang_up(c);
		d.clear = true;
		rc = dial(&d);
	}
	if (rc == RC_OK) {
		if (!c->secure)
			(void)snprintf(c->tls, sizeof c->tls, "none");
		return c;
	}
	note(&d, "%s", out->text);
	relay_host_tell(h, host, fiber_cancelled() ? RQ_CROWDED : d.news, out->text);
	relay_conn_drop(h, &c);
	return NULL;
}

struct relay_conn *relay_conn_get(struct relay_house *h, const struct relay_target *t, bool fresh, const struct relay_watch *watch, struct relay_outcome *out)
{
	struct relay_host *host = relay_host_get(h, t->ip, t->port);
	struct relay_conn *idle = NULL;
	if (!host) {
		relay_own(out, RELAY_LATER, "4.3.0", "no memory for a connection");
		return NULL;
	}
	if (watch) /* somebody looks on: it is tried whatever happened before */
		host->until = 0;
	enum rc rc = relay_host_enter(h, host, fresh ? 0 : t->fit, t->route->max_connections, &idle);
	if (rc == RC_OK && idle)
		return idle;
	if (rc == RC_OK)
		return dial_new(h, t, host, watch, out);
	if (rc == RC_LATE)
		relay_own(out, RELAY_LATER, "4.4.1", "%.*s [%s] is left alone for a while: %s", PSTR(str_head(t->name, 255)), t->ip, host->reason);
	else
		relay_own(out, RELAY_LATER, "4.4.5", "%.*s [%s]: all connections that it may have are taken", PSTR(str_head(t->name, 255)), t->ip);
	return NULL;
}
