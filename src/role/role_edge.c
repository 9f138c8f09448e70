#include "role/role.h"

#include "base/idn.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/icu.h"
#include "origin/psl.h"
#include "os/file.h"
#include "role/edge_session.h"
#include "role/edge_submit.h"

/* The role `edge`: SMTP and LMTP from strangers. It holds one message at a time per session in memory, reads no more of it than the
 * line rules ask for, seals it and lets go of it. */

/* ---- hooks ---- */

static enum rc on_mail(void *house, const struct smtp_mail *mail, struct why *why)
{
	struct edge_session *s = house;
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
	s->mail = mail;
	if (bad)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	return s->submission ? edge_out_mail(s, why) : RC_OK;
}

static void on_body_abort(void *house) { edge_drop_body(house); }

static void on_reset(void *house)
{
	struct edge_session *s = house;
	edge_drop_body(s);
	auth_check_drop(&s->auth);
	arena_done(&s->a);
	s->rcpts = NULL;
	s->rcpt_n = s->rcpt_cap = 0;
	s->mail = NULL;
	s->proved = s->disowned = false;
	s->from = s->from_local = s->from_domain = s->verified = STR("");
}

static void on_hello(void *house, struct str name, bool esmtp)
{
	struct edge_session *s = house;
	(void)snprintf(s->helo, sizeof s->helo, "%.*s", PSTR(str_head(name, 255)));
	s->esmtp = esmtp;
}

static enum rc on_connect(void *house, const struct stream_facts *facts, struct why *why)
{
	struct edge_session *s = house;
	(void)facts; /* limits were kept at the door */
	return s->v->has_uid && s->submission ? edge_login_unix(s, why) : RC_OK;
}

static void on_refused(void *house, int code, const char *text, struct str command)
{
	struct edge_session *s = house;
	count_add(s->v->e, code >= 500 ? M_SMTP_REFUSED_5 : M_SMTP_REFUSED_4, 1);
	log_event(LEVEL_INFO, EV_SMTP_REFUSED, F("sid", s->v->sid), F("ip", stream_facts(s->v->stream)->peer_ip), F("code", code), F("reason", text),
	          F("command", str_head(command, 120)));
}

static bool is_submission(enum listener_proto p) { return p == LISTEN_SUBMISSION || p == LISTEN_SUBMISSIONS; }

static struct smtp_config session_config(const struct door_visit *v)
{
	enum { BEFORE_LOGIN_MAX = 40, SENDMAIL_RECIPIENTS = 10000 /* as many as sendmail.c says in one go: it has no second transaction, for the first one cannot be taken back */ };
	const struct config *c = v->e->config;
	const struct stream_facts *f = stream_facts(v->stream);
	struct smtp_config sc = { .kind = v->proto == LISTEN_LMTP ? SMTP_LMTP : is_submission(v->proto) ? SMTP_SUBMISSION : SMTP_RELAY_IN, .hostname = c->server_hostname,
		.max_size = c->inbound_max_size, .max_recipients = (unsigned)c->inbound_max_recipients, .max_mails = (unsigned)c->inbound_max_mails,
		.max_errors = (unsigned)c->inbound_max_errors, .max_bad_rcpt = (unsigned)c->inbound_max_unknown, .tarpit_ms = (unsigned)c->inbound_tarpit,
		.command_ms = 300000, .data_ms = 180000, .utf8 = true };
	if (sc.kind != SMTP_SUBMISSION)
		return sc;
	sc.dsn = true;
	sc.logged_in = v->has_uid;
	if (v->has_uid && sc.max_recipients < SENDMAIL_RECIPIENTS)
		sc.max_recipients = SENDMAIL_RECIPIENTS;
	sc.plaintext_login = c->server_demo && f->loopback;
	sc.scram = c->login_scram;
	sc.max_before_login = BEFORE_LOGIN_MAX;
	sc.prelogin_ms = (unsigned)c->submission_prelogin;
	sc.max_hold_s = c->submission_max_hold / 1000;
	return sc;
}

static void serve(struct door_visit *v)
{
	struct edge_session s = { .v = v, .h = v->e->state, .submission = is_submission(v->proto) };
	struct smtp_config sc = session_config(v);
	struct smtp_hooks hooks = { .house = &s, .connect = on_connect, .hello = on_hello, .mail = on_mail, .rcpt = edge_on_rcpt, .body_begin = edge_on_body_begin,
		.body_write = edge_on_body_write, .body_commit = s.submission ? edge_out_commit : edge_in_commit, .body_abort = on_body_abort, .reset = on_reset, .refused = on_refused,
		.login = edge_on_login, .scram_begin = edge_on_scram_begin, .scram_prove = edge_on_scram_prove };
	arena_init(&s.a, EDGE_ARENA);
	enum rc rc = smtp_serve(v->stream, &sc, &hooks);
	on_reset(&s);
	blocklist_drop(&s.blocklists);
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

/* Of the vault, once: what lanes and suppressed recipients are hashed under, whom letters are sealed to, what rewritten senders are stamped with. */
static enum rc fetch_keys(struct role_env *e, struct edge_house *h, struct why *why)
{
	struct msg_HASH_KEY_answer hash;
	struct msg_QUEUE_PUBLIC_answer queue;
	struct msg_SRS_KEY_answer srs;
	struct ipc_reply r1 = { 0 }, r2 = { 0 }, r3 = { 0 };
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_HASH_KEY, &(struct msg_HASH_KEY){ 0 }, &hash, &r1, true, why));
	bool ok = hash.key.n == sizeof h->hash_key;
	if (ok)
		memcpy(h->hash_key, hash.key.p, sizeof h->hash_key);
	ipc_reply_done(&r1);
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_QUEUE_PUBLIC, &(struct msg_QUEUE_PUBLIC){ 0 }, &queue, &r2, true, why));
	ok = ok && queue.public_key.n == PUB_LEN;
	if (ok)
		memcpy(h->queue_public, queue.public_key.p, PUB_LEN);
	ipc_reply_done(&r2);
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_SRS_KEY, &(struct msg_SRS_KEY){ 0 }, &srs, &r3, true, why));
	ok = ok && srs.key.n == KEY_LEN && (h->srs = secret_new());
	if (ok)
		memcpy(h->srs->k, srs.key.p, KEY_LEN);
	ipc_reply_done(&r3);
	if (!ok)
		FAIL(why, RC_SYNTAX, "the vault's answers are no keys");
	return RC_OK;
}

static enum rc open_edge(struct role_env *e, struct why *why)
{
	(void)e;
	TRY(icu_load(why));
	TRY(idn_load(why));
	return psl_setup(why);
}

static enum rc start(struct role_env *e, struct why *why)
{
	struct edge_house *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = h;
	edge_addresses_init(&h->addresses);
	edge_failures_init(&h->failures);
	map_init(&h->told, EDGE_TOLD_MAX);
	buf_init(&h->events, EDGE_EVENTS_MAX);
	buf_init(&h->facts, EDGE_EVENTS_MAX);
	TRY(random_bytes(h->name_key, sizeof h->name_key));
	TRY(fetch_keys(e, h, why));
	TRY(auth_house_new(e, &h->auth, why));
	TRY(sealer_new(e, &h->sealer));
	struct door_config c = { .thing = 'S', .max_total = max_total, .max_per_network = max_per_network, .rate_per_network = rate_per_network,
		.busy = busy, .serve = serve };
	for (int p = 0; p < LISTEN_PROTOS; p++) {
		c.open_now[p] = M_CONNECTIONS_SMTP;
		c.so_far[p] = M_CONNECTED_SMTP;
	}
	return doors_open(e, &c, why);
}

static void close_edge(struct role_env *e)
{
	struct edge_house *h = e->state;
	if (!h)
		return;
	doors_close(e);
	edge_flush_events(e);
	buf_done(&h->events);
	buf_done(&h->facts);
	edge_failures_done(&h->failures);
	auth_house_free(&h->auth);
	sealer_free(&h->sealer);
	edge_addresses_forget(&h->addresses);
	map_done(&h->addresses.m);
	map_done(&h->told);
	secret_free(&h->srs);
	mem_free(h);
}

static void reload(struct role_env *e)
{
	struct edge_house *h = e->state;
	if (h && h->auth)
		auth_house_reload(h->auth);
}

static void on_directory_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct edge_house *h = ((struct role_env *)env)->state;
	(void)from, (void)call, (void)msg;
	fd_close(&fd);
	if (h)
		edge_addresses_forget(&h->addresses);
}

/* Mail of our own: a report, a bounce. */
static void on_submit(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	char mid[9] = "";
	(void)from;
	fd_close(&fd);
	enum rc rc = edge_submit(env, msg, mid, &why);
	ipc_answer(call, rc, &why, &(struct msg_SUBMIT_answer){ .mid = str_z(mid) });
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_TLS_NEWS] = doors_on_tls_news, [MSG_CONNECTION] = doors_on_connection, [MSG_DIRECTORY_NEWS] = on_directory_news, [MSG_SUBMIT] = on_submit };

const struct role_ops role_edge = {
	.role = ROLE_EDGE,
	.talks_to = R_VAULT | R_STORE | R_READER | R_EDGE | R_SCAN | R_LEDGER,
	.needs = SANDBOX_SOCKETS | SANDBOX_MEMFD,
	.open = open_edge,
	.start = start,
	.reload = reload,
	.close = close_edge,
	.on = on,
};
