#include "role/role.h"

#include "base/codec.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "os/file.h"
#include "role/door.h"
#include "role/sealer.h"
#include "role/wire.h"
#include "smtp/received.h"
#include "smtp/session.h"
#include "store/view.h"

/* The role `edge`: SMTP and LMTP from strangers. It holds one message at a time per session in memory, reads no more of it than the
 * line rules ask for, seals it and lets go of it. */

enum { CACHE_MAX = 50000, CACHE_MS = 10000, RCPT_ARENA = 64 << 20, TRACE_MAX = 4096, GROW = 65536,
	EVENTS_MAX = 48 * 1024, EVENT_MOST = 2048, EVENTS_MS = 20, BODY_GUESS_MAX = 32 << 10 };

struct edge_house {
	struct doors *doors;
	struct sealer *sealer;
	struct map addresses;          /* of struct known; emptied by DIRECTORY_NEWS */
	uint64_t held;                 /* octets of messages in memory over all sessions */
	struct buf events;             /* for the ledger, not yet told */
	int64_t told;                  /* when some were */
};

struct known {                         /* a recipient address that we looked up a moment ago */
	int64_t until;
	uint64_t account, box, quota, used;
	uint8_t public_key[PUB_LEN];
	bool disabled;
	size_t n;
	char address[];
};

struct rcpt { uint64_t account, box; uint8_t public_key[PUB_LEN]; struct str address; unsigned target; };

struct session {                       /* one connection */
	struct door_visit *v;
	struct edge_house *h;
	struct arena a;                /* of the transaction */
	struct rcpt *rcpts; size_t rcpt_n, rcpt_cap;
	struct buf body;
	uint64_t counted;              /* of `held` */
	struct str from;
	char mid[9];
	char helo[256];
	bool esmtp;
	int64_t began;
};

/* ---- who is it for ---- */

static void forget_addresses(struct edge_house *h)
{
	size_t at = 0;
	for (struct known *k; (k = map_next(&h->addresses, &at));)
		mem_free(k);
	map_done(&h->addresses);
	map_init(&h->addresses, CACHE_MAX);
}

static enum rc remember(struct role_env *e, struct str address, const struct account *a, uint64_t box, const struct known **out)
{
	struct edge_house *h = e->state;
	struct known *k = mem_new(sizeof *k + address.n), *old;
	if (!k)
		return RC_NOMEM;
	*k = (struct known){ .until = loop_now(e->loop) + CACHE_MS, .account = a->id, .box = box, .quota = a->quota, .used = a->used,
		.disabled = a->disabled, .n = address.n };
	memcpy(k->public_key, a->public_key, sizeof k->public_key);
	memcpy(k->address, address.p, address.n);
	if ((old = map_drop(&h->addresses, address)))
		mem_free(old);
	enum rc rc = map_put(&h->addresses, str_of(k->address, k->n), k);
	if (rc == RC_FULL) {
		forget_addresses(h);
		rc = map_put(&h->addresses, str_of(k->address, k->n), k);
	}
	if (rc != RC_OK) {
		mem_free(k);
		return rc;
	}
	*out = k;
	return RC_OK;
}

static enum rc look_up(struct role_env *e, struct str address, const struct known **out, struct why *why)
{
	struct edge_house *h = e->state;
	struct known *k = map_get(&h->addresses, address);
	if (k && k->until > loop_now(e->loop)) {
		*out = k;
		return RC_OK;
	}
	struct msg_ADDRESS_answer a;
	struct ipc_reply reply = { 0 };
	struct arena arena;
	struct account acct;
	enum rc rc = ipc_ask_role(e->node, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = address }, &a, &reply, true, why);
	if (rc != RC_OK)
		return rc;
	arena_init(&arena, 16384);
	struct cursor c = cursor_of(a.account);
	rc = wire_get_account(&c, &arena, &acct);
	if (rc == RC_OK)
		rc = remember(e, address, &acct, a.box, out);
	arena_done(&arena);
	ipc_reply_done(&reply);
	return rc;
}

/* RFC 5321 4.5.1: "postmaster" is somebody at every domain that is ours: the admin, where no account has the address. */
static enum rc look_up_admin(struct role_env *e, const struct known **out)
{
	struct str admin = e->config->server_admin;
	char room[320];
	struct why why = { 0 };
	if (!admin.n || admin.n > sizeof room)
		return RC_NOTFOUND;
	for (size_t i = 0; i < admin.n; i++)
		room[i] = ascii_lower(admin.p[i]);
	return look_up(e, str_of(room, admin.n), out, &why);
}

/* ---- hooks ---- */

static enum rc on_mail(void *house, const struct smtp_mail *mail, struct why *why)
{
	struct session *s = house;
	struct buf from;
	s->began = loop_now(s->v->e->loop);
	buf_init(&from, 1024);
	if (mail->from.domain.n || mail->from.local.n)
		mail_address_format(&mail->from, &from);
	s->from = arena_str(&s->a, buf_str(&from));
	bool bad = from.failed || s->a.full;
	buf_done(&from);
	if (bad)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	return RC_OK;
}

static struct rcpt *rcpt_new(struct session *s)
{
	if (s->rcpt_n == s->rcpt_cap) {
		size_t cap = s->rcpt_cap ? s->rcpt_cap * 2 : 4;
		struct rcpt *r = arena_new(&s->a, cap * sizeof *r);
		if (!r)
			return NULL;
		if (s->rcpt_n)
			memcpy(r, s->rcpts, s->rcpt_n * sizeof *r);
		s->rcpts = r;
		s->rcpt_cap = cap;
	}
	return &s->rcpts[s->rcpt_n];
}

static enum rc on_rcpt(void *house, const struct smtp_mail *mail, const struct smtp_rcpt *to, struct why *why)
{
	struct session *s = house;
	char room[1024];
	struct buf address = { .p = room, .cap = sizeof room, .max = sizeof room };
	const struct known *k;
	struct why inner = { 0 };
	mail_address_format(&to->to, &address);
	if (to->to.domain.n == 0) { /* RFC 5321 4.1.1.3: "RCPT TO:<Postmaster>", no domain, is always somebody's */
		buf_clear(&address);
		buf_add(&address, s->v->e->config->server_admin.n ? s->v->e->config->server_admin : STR("postmaster@"));
		if (!s->v->e->config->server_admin.n)
			buf_add(&address, s->v->e->config->server_hostname);
	}
	if (address.failed)
		FAIL(why, RC_LIMIT, "5.1.3 address too long");
	for (size_t i = 0; i < address.len; i++)
		room[i] = ascii_lower(room[i]);
	struct str text = buf_str(&address);
	enum rc rc = look_up(s->v->e, text, &k, &inner);
	if (rc == RC_NOTFOUND && str_ieq(to->to.local, STR("postmaster")) && look_up_admin(s->v->e, &k) == RC_OK)
		rc = RC_OK;
	if (rc == RC_DENIED)
		FAIL(why, rc, "5.7.1 we do not relay for %.*s", PSTR(str_head(to->to.domain, 100)));
	if (rc == RC_NOTFOUND || (rc == RC_OK && k->disabled))
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address here: %.*s", PSTR(str_head(text, 120)));
	if (rc != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	if (k->quota && k->used + mail->size >= k->quota)
		FAIL(why, RC_LIMIT, "5.2.2 the mailbox of %.*s is full", PSTR(str_head(text, 120)));
	struct rcpt *r = rcpt_new(s);
	if (!r)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	*r = (struct rcpt){ .account = k->account, .box = k->box, .address = arena_str(&s->a, text) };
	memcpy(r->public_key, k->public_key, sizeof r->public_key);
	s->rcpt_n++;
	return RC_OK;
}

/* 80 % of the process's byte budget is the end of new messages; what is under way may finish. */
static bool over_budget(struct session *s, uint64_t more)
{
	return s->h->held + more > s->v->e->config->process_memory / 10 * 8;
}

static void hold(struct session *s)
{
	s->h->held += s->body.cap - s->counted;
	s->counted = s->body.cap;
}

static enum rc on_body_begin(void *house, const struct smtp_mail *mail, struct why *why)
{
	struct session *s = house;
	const struct stream_facts *f = stream_facts(s->v->stream);
	uint64_t id = 0;
	if (over_budget(s, mail->size))
		FAIL(why, RC_FULL, "4.3.1 too many messages under way, try again");
	TRY(random_bytes(&id, sizeof id));
	short_id(id, s->mid);
	buf_init(&s->body, s->v->e->config->inbound_max_size + TRACE_MAX + GROW);
	/* RFC 5321 4.4: "the delivery SMTP system inserts a return-path line at the beginning of the mail data" */
	buf_addf(&s->body, "Return-Path: <");
	buf_add(&s->body, s->from);
	buf_addf(&s->body, ">\r\n");
	struct smtp_received r = { .helo = mail->helo, .peer_ip = str_z(f->peer_ip), .by = s->v->e->config->server_hostname, .id = str_z(s->mid),
		.only_rcpt = s->rcpt_n == 1 ? s->rcpts[0].address : STR(""), .tls_version = str_z(f->tls_version), .tls_cipher = str_z(f->tls_cipher),
		.lmtp = s->v->proto == LISTEN_LMTP, .esmtp = mail->esmtp, .utf8 = mail->smtputf8, .wall_ms = wall_ms() };
	smtp_received_format(&r, &s->body);
	if (s->body.failed)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	/* RFC 1870: what was announced is asked for at once, within reason: nobody holds much by announcing. */
	(void)buf_room(&s->body, mail->size < BODY_GUESS_MAX ? (size_t)mail->size + 16 : BODY_GUESS_MAX);
	s->body.failed = false;
	hold(s);
	return RC_OK;
}

static enum rc on_body_write(void *house, struct str bytes, struct why *why)
{
	struct session *s = house;
	if (s->body.len + bytes.n > s->body.cap && over_budget(s, s->body.cap))
		FAIL(why, RC_FULL, "4.3.1 too many messages under way, try again");
	buf_add(&s->body, bytes);
	hold(s);
	if (s->body.failed)
		FAIL(why, RC_FULL, "4.3.1 no memory for the message, try again");
	return RC_OK;
}

/* Two addresses of one mailbox get one copy. */
static size_t targets_of(struct session *s, struct seal_target *t)
{
	size_t n = 0;
	for (size_t i = 0; i < s->rcpt_n; i++) {
		struct rcpt *r = &s->rcpts[i];
		size_t k = 0;
		while (k < n && !(t[k].account == r->account && t[k].box == r->box))
			k++;
		r->target = (unsigned)k;
		if (k < n)
			continue;
		t[n] = (struct seal_target){ .account = r->account, .box = r->box };
		memcpy(t[n++].public_key, r->public_key, PUB_LEN);
	}
	return n;
}

static void flush_events(struct role_env *e)
{
	struct edge_house *h = e->state;
	struct ipc_peer *ledger;
	if (h->events.len && ipc_find(e->node, ROLE_LEDGER, 0, &ledger) == RC_OK)
		(void)!ipc_tell(ledger, MSG_EVENTS, &(struct msg_EVENTS){ .list = buf_str(&h->events) }, -1);
	buf_clear(&h->events);
	h->told = loop_now(e->loop);
}

static void flush_soon(void *arg)
{
	(void)!fiber_sleep(EVENTS_MS);
	flush_events(arg);
}

/* A single message's history goes at once. In a crowd it waits for company, 20 ms at most: a datagram and a wake-up for each recipient of
 * each message cost more than writing its row. */
static void add_event(struct role_env *e, const struct msg_EVENT *m)
{
	struct edge_house *h = e->state;
	struct buf *b = &h->events;
	size_t start = b->len;
	buf_u32(b, 0);
	if (msg_encode(MSG_EVENT, false, m, b) != RC_OK || b->failed) {
		b->failed = false;
		b->len = start;
		return;
	}
	size_t n = b->len - start - 4;
	for (unsigned i = 0; i < 4; i++)
		b->p[start + i] = (char)(n >> (24 - 8 * i));
	if (b->len > EVENTS_MAX - EVENT_MOST)
		flush_events(e);
	else if (start == 0 && (loop_now(e->loop) - h->told > EVENTS_MS || fiber_start(e->loop, flush_soon, e, NULL) != RC_OK))
		flush_events(e);
}

static void tell_ledger(struct session *s, const struct rcpt *r, const struct store_copy_result *c)
{
	struct role_env *e = s->v->e;
	const struct stream_facts *f = stream_facts(s->v->stream);
	struct msg_EVENT m = { .at_ms = (uint64_t)wall_ms(), .mid = str_z(s->mid), .kind = c->rc == RC_OK ? STR("delivered") : STR("failed"),
		.sender = str_head(s->from, 320), .recipient = r->address, .client = str_z(f->peer_ip), .helo = str_z(s->helo), .tls = str_z(f->tls_version),
		.reason = c->rc == RC_OK ? STR("") : str_z(rc_name(c->rc)), .size = s->body.len, .account = r->account };
	add_event(e, &m);
}

static void settle(struct session *s, const struct rcpt *r, const struct store_copy_result *c, struct smtp_result *out)
{
	out->rc = c->rc;
	count_add(s->v->e, c->rc == RC_OK ? M_DELIVERED : M_DELIVERY_FAILED, 1);
	if (c->rc == RC_FULL) {
		out->rc = RC_LIMIT;
		(void)why_fail(&out->why, RC_LIMIT, 0, __FILE__, "5.2.2 the mailbox of %.*s is full", PSTR(str_head(r->address, 120)));
	} else if (c->rc == RC_NOTFOUND) {
		(void)why_fail(&out->why, RC_NOTFOUND, 0, __FILE__, "5.1.1 no such address here: %.*s", PSTR(str_head(r->address, 120)));
	} else if (c->rc != RC_OK) {
		(void)why_fail(&out->why, c->rc, 0, __FILE__, "4.3.0 not stored (%s), try again", rc_name(c->rc));
	}
	tell_ledger(s, r, c);
}

static enum rc on_body_commit(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why)
{
	struct session *s = house;
	struct role_env *e = s->v->e;
	uint32_t defects = 0;
	struct why inner = { 0 };
	struct seal_target *t = arena_new(&s->a, s->rcpt_n * sizeof *t);
	struct store_copy_result *got = arena_new(&s->a, s->rcpt_n * sizeof *got);
	if (!t || !got || n != s->rcpt_n)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	memcpy(out_id, s->mid, sizeof s->mid);
	size_t targets = targets_of(s, t);
	enum rc rc = sealer_deliver(s->h->sealer, buf_str(&s->body), wall_ms(), t, targets, got, &defects, &inner);
	count_add(e, rc == RC_OK ? M_SMTP_OK : M_SMTP_TEMP, 1);
	if (rc == RC_FULL)
		FAIL(why, RC_FULL, "4.3.1 no room on this server, try again later. %s", s->mid);
	if (rc != RC_OK) {
		log_event(LEVEL_ERROR, EV_SMTP_REFUSED, F("sid", s->v->sid), F("mid", s->mid), F("code", 451), F("reason", inner.text));
		FAIL(why, RC_IO, "4.3.0 not stored, try again. %s", s->mid);
	}
	for (size_t i = 0; i < n; i++)
		settle(s, &s->rcpts[i], &got[s->rcpts[i].target], &results[i]);
	log_event(LEVEL_INFO, EV_SMTP_RECEIVED, F("mid", s->mid), F("sid", s->v->sid), F("from", s->from), F("rcpts", n), F("size", s->body.len),
	          F("defects", defects), F("dur_ms", loop_now(e->loop) - s->began));
	return RC_OK;
}

static void drop_body(struct session *s)
{
	s->h->held -= s->counted;
	s->counted = 0;
	buf_done(&s->body);
}

static void on_body_abort(void *house) { drop_body(house); }

static void on_reset(void *house)
{
	struct session *s = house;
	drop_body(s);
	arena_done(&s->a);
	s->rcpts = NULL;
	s->rcpt_n = s->rcpt_cap = 0;
	s->from = STR("");
}

static void on_hello(void *house, struct str name, bool esmtp)
{
	struct session *s = house;
	(void)snprintf(s->helo, sizeof s->helo, "%.*s", PSTR(str_head(name, 255)));
	s->esmtp = esmtp;
}

static enum rc on_connect(void *house, const struct stream_facts *facts, struct why *why)
{
	(void)house, (void)facts, (void)why;
	return RC_OK; /* limits were kept at the door */
}

static void on_refused(void *house, int code, const char *text, struct str command)
{
	struct session *s = house;
	count_add(s->v->e, code >= 500 ? M_SMTP_REFUSED_5 : M_SMTP_REFUSED_4, 1);
	log_event(LEVEL_INFO, EV_SMTP_REFUSED, F("sid", s->v->sid), F("ip", stream_facts(s->v->stream)->peer_ip), F("code", code), F("reason", text),
	          F("command", str_head(command, 120)));
}

static void serve(struct door_visit *v)
{
	const struct config *c = v->e->config;
	struct session s = { .v = v, .h = v->e->state };
	struct smtp_config sc = { .kind = v->proto == LISTEN_LMTP ? SMTP_LMTP : SMTP_RELAY_IN, .hostname = c->server_hostname,
		.max_size = c->inbound_max_size, .max_recipients = (unsigned)c->inbound_max_recipients, .max_mails = (unsigned)c->inbound_max_mails,
		.max_errors = (unsigned)c->inbound_max_errors, .max_bad_rcpt = (unsigned)c->inbound_max_unknown, .tarpit_ms = (unsigned)c->inbound_tarpit,
		.command_ms = 300000, .data_ms = 180000, .utf8 = true };
	struct smtp_hooks hooks = { .house = &s, .connect = on_connect, .hello = on_hello, .mail = on_mail, .rcpt = on_rcpt, .body_begin = on_body_begin,
		.body_write = on_body_write, .body_commit = on_body_commit, .body_abort = on_body_abort, .reset = on_reset, .refused = on_refused };
	arena_init(&s.a, RCPT_ARENA);
	enum rc rc = smtp_serve(v->stream, &sc, &hooks);
	on_reset(&s);
	log_event(LEVEL_DEBUG, EV_CLOSE, F("sid", v->sid), F("proto", listener_proto_names[v->proto]), F("ip", stream_facts(v->stream)->peer_ip),
	          F("reason", rc_name(rc)), F("dur_ms", loop_now(v->e->loop) - v->since));
}

/* ---- the role ---- */

static uint64_t max_total(const struct config *c) { return c->inbound_connections; }
static uint64_t max_per_network(const struct config *c) { return c->inbound_connections_per_network; }
static uint64_t rate_per_network(const struct config *c) { return c->inbound_rate_per_network; }
static const char *busy(enum listener_proto p)
{
	(void)p;
	return "421 4.7.0 too many connections from your network, try again later\r\n";
}

static enum rc start(struct role_env *e, struct why *why)
{
	struct edge_house *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = h;
	map_init(&h->addresses, CACHE_MAX);
	buf_init(&h->events, EVENTS_MAX);
	TRY(sealer_new(e, &h->sealer));
	struct door_config c = { .thing = 'S', .max_total = max_total, .max_per_network = max_per_network, .rate_per_network = rate_per_network,
		.busy = busy, .serve = serve };
	for (int p = 0; p < LISTEN_PROTOS; p++) {
		c.open_now[p] = M_CONNECTIONS_SMTP;
		c.so_far[p] = M_CONNECTED_SMTP;
	}
	return doors_open(e, &c, &h->doors, why);
}

static void close_edge(struct role_env *e)
{
	struct edge_house *h = e->state;
	if (!h)
		return;
	doors_close(&h->doors);
	flush_events(e);
	buf_done(&h->events);
	sealer_free(&h->sealer);
	forget_addresses(h);
	map_done(&h->addresses);
	mem_free(h);
}

static void on_tls_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct edge_house *h = ((struct role_env *)env)->state;
	(void)from, (void)call, (void)msg;
	fd_close(&fd);
	if (h)
		doors_tls_news(h->doors);
}

static void on_directory_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct edge_house *h = ((struct role_env *)env)->state;
	(void)from, (void)call, (void)msg;
	fd_close(&fd);
	if (h)
		forget_addresses(h);
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_TLS_NEWS] = on_tls_news, [MSG_DIRECTORY_NEWS] = on_directory_news };

const struct role_ops role_edge = {
	.role = ROLE_EDGE,
	.talks_to = R_VAULT | R_STORE | R_READER | R_SCAN | R_LEDGER,
	.needs = SANDBOX_SOCKETS | SANDBOX_MEMFD,
	.start = start,
	.close = close_edge,
	.on = on,
};
