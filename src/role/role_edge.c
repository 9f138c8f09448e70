#include "role/role.h"

#include "base/codec.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "os/file.h"
#include "role/auth_check.h"
#include "role/auth_fact.h"
#include "role/door.h"
#include "role/edge_address.h"
#include "role/edge_trace.h"
#include "role/report_edge.h"
#include "role/report_rules.h"
#include "role/sealer.h"
#include "smtp/received.h"
#include "smtp/session.h"

/* The role `edge`: SMTP and LMTP from strangers. It holds one message at a time per session in memory, reads no more of it than the
 * line rules ask for, seals it and lets go of it. */

enum { RCPT_ARENA = 64 << 20, TRACE_GAP = 4096, TRACE_MAX = 65536, USE_JUNK = 4, GROW = 65536,
	EVENTS_MAX = 48 * 1024, EVENT_MOST = 2048, FACT_MOST = 8192, EVENTS_MS = 20, BODY_GUESS_MAX = 32 << 10 };

struct edge_house {
	struct doors *doors;
	struct sealer *sealer;
	struct auth_house *auth;
	struct map addresses;          /* of struct edge_known; emptied by DIRECTORY_NEWS */
	uint64_t held;                 /* octets of messages in memory over all sessions */
	struct buf events;             /* for the ledger, not yet told */
	struct buf facts;              /* the same: DMARC_RESULT */
	int64_t told;                  /* when some were */
};

struct rcpt { uint64_t account, box; uint8_t public_key[PUB_LEN]; struct str address; unsigned target; bool report; };

struct session {                       /* one connection */
	struct door_visit *v;
	struct edge_house *h;
	struct arena a;                /* of the transaction */
	struct rcpt *rcpts; size_t rcpt_n, rcpt_cap;
	struct buf body;               /* TRACE_GAP octets for what we put in front, then the message as it comes */
	size_t header;                 /* octets of its header with the empty line; 0 = not whole yet */
	struct str message;            /* what is delivered: our fields and the message, within `body` */
	struct auth_check *auth;       /* NULL: the sender is not evaluated */
	struct str from_local, from_domain;
	struct str verified;           /* the author's domain, when DMARC has passed */
	uint64_t counted;              /* of `held` */
	struct str from;
	char mid[9];
	char helo[256];
	bool esmtp, utf8;
	int64_t began;
};

/* ---- who is it for ---- */

/* RFC 5321 4.5.1: "postmaster" is somebody at every domain that is ours: the admin, where no account has the address. */
static enum rc look_up_admin(struct role_env *e, const struct edge_known **out)
{
	struct str admin = e->config->server_admin;
	char room[320];
	struct why why = { 0 };
	if (!admin.n || admin.n > sizeof room)
		return RC_NOTFOUND;
	for (size_t i = 0; i < admin.n; i++)
		room[i] = ascii_lower(admin.p[i]);
	return edge_address_find(e, &((struct edge_house *)e->state)->addresses, str_of(room, admin.n), out, &why);
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
	s->from_local = arena_str(&s->a, mail->from.local);
	s->from_domain = arena_str(&s->a, mail->from.domain);
	s->utf8 = mail->smtputf8;
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

/* From the first recipient that we take: a stranger who finds nobody here costs no question. */
static enum rc begin_auth(struct session *s, struct why *why)
{
	struct auth_client c = { .ip = stream_facts(s->v->stream)->peer_ip, .helo = str_z(s->helo), .local = s->from_local, .domain = s->from_domain };
	if (s->auth || (s->v->proto == LISTEN_LMTP && !s->v->e->config->authentication_lmtp))
		return RC_OK;
	if (auth_check_new(s->h->auth, &c, &s->auth) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	return RC_OK;
}

/* `k` NULL: a reporting address. */
static enum rc add_rcpt(struct session *s, struct str address, const struct edge_known *k, struct why *why)
{
	struct rcpt *r = rcpt_new(s);
	if (!r)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	*r = (struct rcpt){ .account = k ? k->account : 0, .box = k ? k->box : 0, .address = arena_str(&s->a, address), .report = !k };
	if (k)
		memcpy(r->public_key, k->public_key, sizeof r->public_key);
	s->rcpt_n++;
	return begin_auth(s, why);
}

static enum rc on_rcpt(void *house, const struct smtp_mail *mail, const struct smtp_rcpt *to, struct why *why)
{
	struct session *s = house;
	char room[1024];
	struct buf address = { .p = room, .cap = sizeof room, .max = sizeof room };
	const struct edge_known *k;
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
	enum rc rc = edge_address_find(s->v->e, &s->h->addresses, text, &k, &inner);
	if (rc == RC_NOTFOUND && str_ieq(to->to.local, STR("postmaster")) && look_up_admin(s->v->e, &k) == RC_OK)
		rc = RC_OK;
	/* What comes to a reporting address is read, whoever else would get it; the domain is ours in both cases. */
	bool report = (rc == RC_OK || rc == RC_NOTFOUND) && report_address_is(s->v->e->config, to->to.local, to->to.domain);
	if (report)
		return add_rcpt(s, text, NULL, why);
	if (rc == RC_DENIED)
		FAIL(why, rc, "5.7.1 we do not relay for %.*s", PSTR(str_head(to->to.domain, 100)));
	if (rc == RC_NOTFOUND || (rc == RC_OK && k->disabled))
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address here: %.*s", PSTR(str_head(text, 120)));
	if (rc != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	if (k->quota && k->used + mail->size >= k->quota)
		FAIL(why, RC_LIMIT, "5.2.2 the mailbox of %.*s is full", PSTR(str_head(text, 120)));
	return add_rcpt(s, text, k, why);
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
	uint64_t id = 0;
	if (over_budget(s, mail->size))
		FAIL(why, RC_FULL, "4.3.1 too many messages under way, try again");
	TRY(random_bytes(&id, sizeof id));
	short_id(id, s->mid);
	s->header = 0;
	buf_init(&s->body, s->v->e->config->inbound_max_size + TRACE_MAX + GROW);
	/* RFC 1870: what was announced is asked for at once, within reason: nobody holds much by announcing. */
	if (!buf_room(&s->body, TRACE_GAP + (mail->size < BODY_GUESS_MAX ? (size_t)mail->size + 16 : BODY_GUESS_MAX)))
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	s->body.len = TRACE_GAP;
	hold(s);
	return RC_OK;
}

static struct str raw_of(const struct session *s) { return str_skip(buf_str(&s->body), TRACE_GAP); }

/* Some more of the message has come: the header to those who wait for it, the body to those who hash it. */
static enum rc feed_auth(struct session *s, struct str bytes, bool last)
{
	struct str raw = raw_of(s);
	if (s->header) {
		if (s->auth)
			auth_check_body(s->auth, bytes);
		return RC_OK;
	}
	s->header = edge_header_end(raw, raw.n - bytes.n);
	if (!s->header && !last)
		return RC_OK;
	if (!s->header)
		s->header = raw.n; /* a message without a body */
	if (!s->auth)
		return RC_OK;
	TRY(auth_check_header(s->auth, str_head(raw, s->header)));
	auth_check_body(s->auth, str_skip(raw, s->header));
	return RC_OK;
}

static enum rc on_body_write(void *house, struct str bytes, struct why *why)
{
	struct session *s = house;
	if (s->body.len + bytes.n > s->body.cap && over_budget(s, s->body.cap))
		FAIL(why, RC_FULL, "4.3.1 too many messages under way, try again");
	buf_add(&s->body, bytes);
	hold(s);
	if (s->body.failed || feed_auth(s, bytes, false) != RC_OK)
		FAIL(why, RC_FULL, "4.3.1 no memory for the message, try again");
	return RC_OK;
}

/* What we put in front: Return-Path, Authentication-Results, Received. */
static void trace_of(struct session *s, struct buf *out)
{
	const struct stream_facts *f = stream_facts(s->v->stream);
	/* RFC 5321 4.4: "the delivery SMTP system inserts a return-path line at the beginning of the mail data" */
	buf_add(out, STR("Return-Path: <"));
	buf_add(out, s->from);
	buf_add(out, STR(">\r\n"));
	if (s->auth)
		auth_check_fields(s->auth, out);
	struct smtp_received r = { .helo = str_z(s->helo), .peer_ip = str_z(f->peer_ip), .by = s->v->e->config->server_hostname, .id = str_z(s->mid),
		.only_rcpt = s->rcpt_n == 1 ? s->rcpts[0].address : STR(""), .tls_version = str_z(f->tls_version), .tls_cipher = str_z(f->tls_cipher),
		.lmtp = s->v->proto == LISTEN_LMTP, .esmtp = s->esmtp, .utf8 = s->utf8, .wall_ms = wall_ms() };
	smtp_received_format(&r, out);
}

/* Our fields go into the gap before the message. Where they are longer than it, the message moves. */
static enum rc put_trace(struct session *s, struct why *why)
{
	struct buf trace;
	buf_init(&trace, TRACE_MAX);
	trace_of(s, &trace);
	size_t gap = TRACE_GAP + edge_strip_results(s->body.p + TRACE_GAP, s->header, s->v->e->config->server_hostname);
	size_t more = trace.len > gap ? trace.len - gap : 0;
	bool ok = !trace.failed && buf_room(&s->body, more);
	if (ok) {
		if (more)
			memmove(s->body.p + gap + more, s->body.p + gap, s->body.len - gap);
		s->body.len += more;
		size_t start = gap + more - trace.len;
		memcpy(s->body.p + start, trace.p, trace.len);
		s->message = str_skip(buf_str(&s->body), start);
	}
	buf_done(&trace);
	if (!ok)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	return RC_OK;
}

/* Two addresses of one mailbox get one copy. */
static size_t targets_of(struct session *s, struct seal_target *t)
{
	size_t n = 0;
	for (size_t i = 0; i < s->rcpt_n; i++) {
		struct rcpt *r = &s->rcpts[i];
		size_t k = 0;
		if (r->report)
			continue;
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
	bool there = (h->events.len || h->facts.len) && ipc_find(e->node, ROLE_LEDGER, 0, &ledger) == RC_OK;
	if (there && h->events.len)
		(void)!ipc_tell(ledger, MSG_EVENTS, &(struct msg_EVENTS){ .list = buf_str(&h->events) }, -1);
	if (there && h->facts.len)
		(void)!ipc_tell(ledger, MSG_DMARC_RESULTS, &(struct msg_DMARC_RESULTS){ .list = buf_str(&h->facts) }, -1);
	buf_clear(&h->events);
	buf_clear(&h->facts);
	h->told = loop_now(e->loop);
}

static void flush_soon(void *arg)
{
	(void)!fiber_sleep(EVENTS_MS);
	flush_events(arg);
}

/* A single message's history goes at once. In a crowd it waits for company, 20 ms at most: a datagram and a wake-up for each recipient of
 * each message cost more than writing its row. `b` is one of the two lists. */
static void add_tell(struct role_env *e, struct buf *b, enum msg_type type, const void *m, size_t most)
{
	struct edge_house *h = e->state;
	bool first = h->events.len == 0 && h->facts.len == 0;
	size_t start = b->len;
	buf_u32(b, 0);
	if (msg_encode(type, false, m, b) != RC_OK || b->failed) {
		b->failed = false;
		b->len = start;
		return;
	}
	size_t n = b->len - start - 4;
	for (unsigned i = 0; i < 4; i++)
		b->p[start + i] = (char)(n >> (24 - 8 * i));
	if (b->len > EVENTS_MAX - most)
		flush_events(e);
	else if (first && (loop_now(e->loop) - h->told > EVENTS_MS || fiber_start(e->loop, flush_soon, e, NULL) != RC_OK))
		flush_events(e);
}

static void tell_ledger(struct session *s, const struct rcpt *r, enum rc rc)
{
	struct role_env *e = s->v->e;
	const struct stream_facts *f = stream_facts(s->v->stream);
	struct msg_EVENT m = { .at_ms = (uint64_t)wall_ms(), .mid = str_z(s->mid), .kind = rc != RC_OK ? STR("failed") : r->report ? STR("report") : STR("delivered"),
		.sender = str_head(s->from, 320), .recipient = r->address, .client = str_z(f->peer_ip), .helo = str_z(s->helo), .tls = str_z(f->tls_version),
		.reason = rc == RC_OK ? STR("") : str_z(rc_name(rc)), .size = s->message.n, .account = r->account };
	add_tell(e, &s->h->events, MSG_EVENT, &m, EVENT_MOST);
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
	tell_ledger(s, r, c->rc);
}

/* Read once, however many of the reporting addresses it came to. */
static void settle_reports(struct session *s, struct smtp_result *results)
{
	const struct smtp_result *first = NULL;
	for (size_t i = 0; i < s->rcpt_n; i++) {
		struct smtp_result *out = &results[i];
		if (!s->rcpts[i].report)
			continue;
		if (first) {
			*out = *first;
			continue;
		}
		struct report_came came = { .message = s->message, .mid = str_z(s->mid), .sender = s->from, .verified = s->verified };
		out->rc = report_edge_read(s->v->e, &s->h->addresses, &came, &out->why);
		tell_ledger(s, &s->rcpts[i], out->rc);
		first = out;
	}
}

/* For the aggregate reports, which go out once a day. */
static void note_dmarc(struct session *s, const struct auth_evidence *e, const struct auth_verdict *v)
{
	char room[2400];
	struct buf scratch = { .p = room, .cap = sizeof room, .max = sizeof room };
	struct msg_DMARC_RESULT m;
	/* Never about reports: two servers would go on reporting about each other's for ever. A forgery in a report's clothes is counted. */
	bool to_us = false;
	for (size_t i = 0; i < s->rcpt_n; i++)
		to_us = to_us || s->rcpts[i].report;
	if (to_us || (e->dmarc && e->dmarc->result == AUTH_PASS && report_is_one(s->v->e->config, str_head(raw_of(s), s->header))))
		return;
	struct auth_fact_in in = { .mid = str_z(s->mid), .source = str_z(stream_facts(s->v->stream)->peer_ip), .envelope_from = s->from_domain,
		.envelope_to = report_domain_of(s->rcpts[0].address), .at_ms = wall_ms() };
	if (auth_fact_make(e, v, &in, &scratch, &m))
		add_tell(s->v->e, &s->h->facts, MSG_DMARC_RESULT, &m, FACT_MOST);
}

static void log_sender(struct session *s, const struct auth_evidence *e, const struct auth_verdict *v)
{
	static const char *const actions[] = { [AUTH_ACCEPT] = "accepted", [AUTH_JUNK] = "junk", [AUTH_REFUSE] = "refused", [AUTH_DEFER] = "deferred" };
	if (v->action == AUTH_ACCEPT && !v->override[0])
		return;
	log_event(LEVEL_INFO, EV_SMTP_SENDER, F("mid", s->mid), F("sid", s->v->sid), F("ip", stream_facts(s->v->stream)->peer_ip),
	          F("dom", e->dmarc ? e->dmarc->from : STR("")), F("spf", e->spf ? auth_name(e->spf->result) : "-"),
	          F("dkim", e->dkim && e->dkim->n ? auth_name(e->dkim->signature[0].result) : "none"),
	          F("dmarc", e->dmarc ? auth_name(e->dmarc->result) : "-"), F("action", actions[v->action]),
	          F("reason", v->override[0] ? str_z(v->comment) : e->dmarc ? e->dmarc->why : STR("")));
}

/* Who really sent it, and may it come in? *out_junk: only into the folder for such mail. */
static enum rc judge_sender(struct session *s, bool *out_junk, struct why *why)
{
	const struct auth_verdict *v;
	struct auth_evidence e;
	if (!s->header && feed_auth(s, STR(""), true) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	if (!s->auth)
		return RC_OK;
	auth_check_end(s->auth, str_head(raw_of(s), s->header), &v);
	auth_check_evidence(s->auth, &e);
	log_sender(s, &e, v);
	note_dmarc(s, &e, v);
	if (e.dmarc && e.dmarc->result == AUTH_PASS)
		s->verified = arena_str(&s->a, e.dmarc->from);
	if (v->action == AUTH_REFUSE)
		FAIL(why, RC_DENIED, "%s %s", v->answer, s->mid);
	if (v->action == AUTH_DEFER)
		FAIL(why, RC_BUSY, "%s %s", v->answer, s->mid);
	*out_junk = v->action == AUTH_JUNK;
	return RC_OK;
}

/* Quarantined by its author's own wish: into each recipient's Junk; where there is no such folder, the keyword says it (RFC 9051 2.3.2). */
static void aim_at_junk(struct session *s, struct seal_target *t, size_t n)
{
	static const struct str keyword = STR_INIT("$Junk");
	for (size_t i = 0; i < n; i++) {
		struct msg_BOX_SPECIAL_answer a;
		struct why why = { 0 };
		enum rc rc = ipc_ask_role(s->v->e->node, ROLE_READER, MSG_BOX_SPECIAL,
		                          &(struct msg_BOX_SPECIAL){ .account = t[i].account, .special_use = USE_JUNK }, &a, NULL, true, &why);
		t[i].keywords = &keyword;
		t[i].keyword_n = 1;
		if (rc == RC_OK)
			t[i].box = a.box;
	}
}

static enum rc on_body_commit(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why)
{
	struct session *s = house;
	struct role_env *e = s->v->e;
	uint32_t defects = 0;
	bool junk = false;
	struct why inner = { 0 };
	struct seal_target *t = arena_new(&s->a, s->rcpt_n * sizeof *t);
	struct store_copy_result *got = arena_new(&s->a, s->rcpt_n * sizeof *got);
	if (!t || !got || n != s->rcpt_n)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	memcpy(out_id, s->mid, sizeof s->mid);
	enum rc rc = judge_sender(s, &junk, why);
	if (rc != RC_OK) {
		count_add(e, rc == RC_DENIED ? M_SMTP_PERM : M_SMTP_TEMP, 1);
		return rc;
	}
	TRY(put_trace(s, why));
	size_t targets = targets_of(s, t);
	if (junk)
		aim_at_junk(s, t, targets);
	rc = targets ? sealer_deliver(s->h->sealer, s->message, wall_ms(), t, targets, got, &defects, &inner) : RC_OK;
	count_add(e, rc == RC_OK ? M_SMTP_OK : M_SMTP_TEMP, 1);
	if (rc == RC_FULL)
		FAIL(why, RC_FULL, "4.3.1 no room on this server, try again later. %s", s->mid);
	if (rc != RC_OK) {
		log_event(LEVEL_ERROR, EV_SMTP_REFUSED, F("sid", s->v->sid), F("mid", s->mid), F("code", 451), F("reason", inner.text));
		FAIL(why, RC_IO, "4.3.0 not stored, try again. %s", s->mid);
	}
	settle_reports(s, results);
	for (size_t i = 0; i < n; i++)
		if (!s->rcpts[i].report)
			settle(s, &s->rcpts[i], &got[s->rcpts[i].target], &results[i]);
	log_event(LEVEL_INFO, EV_SMTP_RECEIVED, F("mid", s->mid), F("sid", s->v->sid), F("from", s->from), F("rcpts", n), F("size", s->message.n),
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
	auth_check_drop(&s->auth);
	arena_done(&s->a);
	s->rcpts = NULL;
	s->rcpt_n = s->rcpt_cap = 0;
	s->from = s->from_local = s->from_domain = s->verified = STR("");
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
	edge_addresses_init(&h->addresses);
	buf_init(&h->events, EVENTS_MAX);
	buf_init(&h->facts, EVENTS_MAX);
	TRY(auth_house_new(e, &h->auth, why));
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
	buf_done(&h->facts);
	auth_house_free(&h->auth);
	sealer_free(&h->sealer);
	edge_addresses_forget(&h->addresses);
	map_done(&h->addresses);
	mem_free(h);
}

static void reload(struct role_env *e)
{
	struct edge_house *h = e->state;
	if (h && h->auth)
		auth_house_reload(h->auth);
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
		edge_addresses_forget(&h->addresses);
}

/* A report of our own. */
static void on_submit(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	struct edge_house *h = e->state;
	const struct msg_SUBMIT *m = msg;
	struct why why = { 0 };
	char mid[9] = "";
	(void)from;
	fd_close(&fd);
	enum rc rc = h && h->sealer ? report_edge_submit(e, &h->addresses, h->sealer, m, mid, &why) : RC_BUSY;
	if (rc == RC_OK) {
		struct msg_EVENT ev = { .at_ms = (uint64_t)wall_ms(), .mid = str_z(mid), .kind = STR("delivered"), .sender = m->from, .recipient = m->to,
			.client = STR(""), .helo = STR(""), .tls = STR(""), .reason = STR("a report of ours"), .size = m->message.n };
		add_tell(e, &h->events, MSG_EVENT, &ev, EVENT_MOST);
	}
	ipc_answer(call, rc, &why, &(struct msg_SUBMIT_answer){ .mid = str_z(mid) });
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_TLS_NEWS] = on_tls_news, [MSG_DIRECTORY_NEWS] = on_directory_news, [MSG_SUBMIT] = on_submit };

const struct role_ops role_edge = {
	.role = ROLE_EDGE,
	.talks_to = R_VAULT | R_STORE | R_READER | R_SCAN | R_LEDGER,
	.needs = SANDBOX_SOCKETS | SANDBOX_MEMFD,
	.start = start,
	.reload = reload,
	.close = close_edge,
	.on = on,
};
