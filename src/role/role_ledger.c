#include "role/role.h"

#include "base/cursor.h"
#include "base/idn.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "ledger/ledger.h"
#include "ledger/sqlite.h"
#include "ipc/codec.h"
#include "os/file.h"
#include "role/auth_fact.h"
#include "role/dkim_clock.h"
#include "role/report_note.h"
#include "role/report_rules.h"
#include "role/report_send.h"
#include "role/report_show.h"
#include "role/report_take.h"
#include "role/report_tls.h"

/* The role `ledger`: history and audit. Never in the path of a 250: what comes is written within a second. */
struct ledger_house {
	struct ledger *l;
	struct ticker *flush, *checkpoint;
	struct dkim_clock *dkim;
	struct report_note *note;
	struct tls_note *tls_note;
	struct report_send *send;
	uint32_t unproven_day, unproven; /* reports of today that proved nothing */
	uint32_t expired;              /* the day on which old reports were forgotten last */
	uint64_t signed_count;
};

static size_t paths(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX])
{
	out[0] = (struct sandbox_path){ role_path(e, "ledger"), true };
	return 1;
}

static enum rc open_ledger(struct role_env *e, struct why *why)
{
	e->state = mem_new(sizeof(struct ledger_house));
	if (!e->state)
		FAIL(why, RC_NOMEM, "no memory");
	TRY(idn_load(why));
	return sqlite_load(why);
}

static void flush(void *arg)
{
	struct role_env *e = arg;
	struct ledger_house *h = e->state;
	struct why why = { 0 };
	if (h->note && report_note_flush(h->note, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
	if (h->tls_note && tls_note_flush(h->tls_note, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
	if (h->l && ledger_flush(h->l, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
}

/* Once a day, a little at a time. */
static void forget_old(struct role_env *e)
{
	enum { AT_ONCE = 2000 };
	struct ledger_house *h = e->state;
	struct why why = { 0 };
	uint32_t today = day_of_ms(wall_ms()), kept = (uint32_t)(e->config->retention_reports / DAY_MS);
	bool more = false;
	if (!h->l || h->expired == today)
		return;
	if (ledger_reports_expire(h->l, today > kept ? today - kept : 0, AT_ONCE, &more, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
	else if (!more)
		h->expired = today;
}

static void tick(void *arg)
{
	struct role_env *e = arg;
	flush(e);
	forget_old(e);
	report_send_tick(((struct ledger_house *)e->state)->send);
	dkim_clock_tick(((struct ledger_house *)e->state)->dkim);
}

static void dkim_moved(struct role_env *e, struct str name, const char *state)
{
	struct ledger_house *h = e->state;
	struct why why = { 0 };
	if (h->l && ledger_audit(h->l, wall_ms(), STR("server"), STR(""), STR("dkim key"), name, str_z(state), &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
}

/* The head of the audit chain, signed by the vault: who rewrites history must also have the vault. */
static void checkpoint_fiber(void *arg)
{
	struct role_env *e = arg;
	struct ledger_house *h = e->state;
	struct why why = { 0 };
	uint64_t count = 0;
	uint8_t hash[32];
	char room[40];
	struct buf text = { .p = room, .cap = sizeof room, .max = sizeof room };
	if (ledger_head(h->l, &count, hash, &why) != RC_OK || count == h->signed_count)
		return;
	buf_u64(&text, count);
	buf_add(&text, str_of(hash, sizeof hash));
	struct msg_AUDIT_SIGN q = { .checkpoint = buf_str(&text) };
	struct msg_AUDIT_SIGN_answer a;
	struct ipc_reply reply = { 0 };
	enum rc rc = ipc_ask_role(e->node, ROLE_VAULT, MSG_AUDIT_SIGN, &q, &a, &reply, true, &why);
	if (rc == RC_OK && a.signature.n == 64 && a.public_key.n == 32)
		rc = ledger_checkpoint(h->l, count, hash, (const uint8_t *)a.signature.p, (const uint8_t *)a.public_key.p, &why);
	if (rc == RC_OK)
		h->signed_count = count;
	ipc_reply_done(&reply);
}

static void checkpoint(void *arg)
{
	struct role_env *e = arg;
	(void)!fiber_start(e->loop, checkpoint_fiber, e, NULL);
}

static enum rc start(struct role_env *e, struct why *why)
{
	struct ledger_house *h = e->state;
	struct msg_LEDGER_KEY_answer a;
	struct ipc_reply reply = { 0 };
	struct secret key = { 0 };
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_LEDGER_KEY, &(struct msg_LEDGER_KEY){ 0 }, &a, &reply, true, why));
	enum rc rc = a.key.n == sizeof key.k ? RC_OK : why_fail(why, RC_SYNTAX, 0, __FILE__, "the vault's answer is no key");
	if (rc == RC_OK) {
		memcpy(key.k, a.key.p, sizeof key.k);
		rc = ledger_open_with(role_path(e, "ledger"), &key, &h->l, why);
	}
	secret_done(&key);
	ipc_reply_done(&reply);
	TRY(rc);
	TRY(dkim_clock_new(e, dkim_moved, &h->dkim));
	TRY(report_note_new(h->l, &h->note));
	TRY(tls_note_new(h->l, &h->tls_note));
	TRY(report_send_new(e, h->l, &h->send));
	TRY(ticker_start(e->loop, 1000, tick, e, &h->flush));
	return ticker_start(e->loop, 60000, checkpoint, e, &h->checkpoint);
}

static void close_ledger(struct role_env *e)
{
	struct ledger_house *h = e->state;
	ticker_stop(&h->flush);
	ticker_stop(&h->checkpoint);
	flush(e);
	report_note_free(&h->note);
	tls_note_free(&h->tls_note);
	report_send_free(&h->send);
	ledger_close(&h->l);
	dkim_clock_free(&h->dkim);
	mem_free(h);
}

static void write_event(struct ledger_house *h, const struct msg_EVENT *m)
{
	struct why why = { 0 };
	struct ledger_event ev = { .at_ms = (int64_t)m->at_ms, .mid = m->mid, .kind = m->kind, .sender = m->sender, .recipient = m->recipient,
		.client_ip = m->client, .helo = m->helo, .tls = m->tls, .reason = m->reason, .size = m->size, .account = m->account, .more = m->more };
	if (h->l && ledger_event(h->l, &ev, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
}

static void on_event(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from, (void)call;
	fd_close(&fd);
	write_event(((struct role_env *)env)->state, msg);
}

/* The codec checks each one as if it had come alone. */
static void on_events(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct cursor c = cursor_of(((const struct msg_EVENTS *)msg)->list);
	struct why why = { 0 };
	(void)call;
	fd_close(&fd);
	while (c.in.n && !c.failed) {
		struct msg_EVENT m;
		struct str one = cursor_run(&c, c.in.n);
		if (c.failed || msg_decode(MSG_EVENT, false, one, &m, &why) != RC_OK) {
			log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text[0] ? why.text : "EVENTS: a run is cut short"));
			ipc_detach(from);
			return;
		}
		write_event(((struct role_env *)env)->state, &m);
	}
}

/* One evaluated message whose author's domain wants reports. */
static enum rc ledger_take_dmarc(struct role_env *e, const struct msg_DMARC_RESULT *m, struct why *why)
{
	struct arena a;
	struct report_aggregate about;
	struct report_row row;
	struct str rua;
	arena_init(&a, 1 << 16);
	enum rc rc = auth_fact_row(m, &a, &about, &row, &rua, why);
	struct ledger_house *h = e->state;
	bool wanted = rc == RC_OK && h->note && rua.n;
	if (wanted)
		rc = report_note_take(h->note, (int64_t)m->at_ms, &about, rua, &row, why);
	if (wanted && rc == RC_OK)
		count_add(e, M_DMARC_NOTED, 1);
	arena_done(&a);
	return rc;
}

/* Rows of aggregate reports, checked one by one. */
static void on_dmarc_results(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	struct cursor c = cursor_of(((const struct msg_DMARC_RESULTS *)msg)->list);
	(void)call;
	fd_close(&fd);
	while (c.in.n && !c.failed) {
		struct msg_DMARC_RESULT m;
		struct why why = { 0 };
		struct str one = cursor_run(&c, c.in.n);
		if (c.failed || msg_decode(MSG_DMARC_RESULT, false, one, &m, &why) != RC_OK) {
			log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text[0] ? why.text : "DMARC_RESULTS: a run is cut short"));
			ipc_detach(from);
			return;
		}
		if (ledger_take_dmarc(e, &m, &why) != RC_OK)
			log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
	}
}

/* One session of the relay's, for TLS reports. */
static void on_tls_result(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	struct ledger_house *h = e->state;
	struct why why = { 0 };
	(void)from, (void)call;
	fd_close(&fd);
	enum rc rc = h->tls_note ? tls_note_take(h->tls_note, msg, &why) : RC_OK;
	if (rc == RC_OK)
		count_add(e, M_TLS_NOTED, 1);
	else
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text[0] ? why.text : rc_name(rc)));
}

static void on_audit(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct ledger_house *h = ((struct role_env *)env)->state;
	const struct msg_AUDIT *m = msg;
	struct why why = { 0 };
	(void)from, (void)call;
	fd_close(&fd);
	log_event(LEVEL_INFO, EV_AUDIT, F("who", m->who), F("what", m->what));
	if (h->l && ledger_audit(h->l, (int64_t)m->at_ms, m->who, m->from, m->what, m->before, m->after, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
}

static void on_flush(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct ledger_house *h = ((struct role_env *)env)->state;
	struct why why = { 0 };
	uint64_t count = 0;
	uint8_t hash[32];
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = h->l ? ledger_flush(h->l, &why) : RC_BUSY;
	if (rc == RC_OK)
		rc = ledger_head(h->l, &count, hash, &why);
	ipc_answer(call, rc, &why, &(struct msg_LEDGER_FLUSH_answer){ .entries = count });
}

/* ---- looking back ---- */

struct tracing { struct buf out; };
static bool trace_one(void *arg, const struct ledger_event *e)
{
	struct tracing *t = arg;
	struct buf one AUTO(buf_done);
	struct msg_EVENT m = { .at_ms = (uint64_t)e->at_ms, .mid = str_head(e->mid, 16), .kind = str_head(e->kind, 32), .sender = str_head(e->sender, 320),
		.recipient = str_head(e->recipient, 320), .client = str_head(e->client_ip, 46), .helo = str_head(e->helo, 256), .tls = str_head(e->tls, 64),
		.reason = str_head(e->reason, 256), .size = e->size, .account = e->account, .more = STR("") };
	buf_init(&one, 8192);
	if (msg_encode(MSG_EVENT, false, &m, &one) != RC_OK || t->out.len + one.len + 4 > t->out.max)
		return false;
	buf_run(&t->out, buf_str(&one));
	return true;
}

static void on_trace(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	enum { MOST = 2500 }; /* as many as find room in an answer, each as long as may be */
	struct ledger_house *h = ((struct role_env *)env)->state;
	const struct msg_TRACE *m = msg;
	struct why why = { 0 };
	struct tracing t;
	(void)from;
	fd_close(&fd);
	buf_init(&t.out, 4 << 20);
	struct ledger_filter f = { .address = m->address, .mid = m->mid, .since_ms = (int64_t)(m->since_ms < INT64_MAX ? m->since_ms : INT64_MAX), .max = m->max < MOST ? m->max : MOST };
	enum rc rc = h->l ? ledger_events(h->l, &f, trace_one, &t, &why) : RC_BUSY;
	ipc_answer(call, rc, &why, &(struct msg_TRACE_answer){ .events = buf_str(&t.out) });
	buf_done(&t.out);
}

/* ---- reports ---- */

static void on_report_in(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct ledger_house *h = ((struct role_env *)env)->state;
	const struct msg_REPORT_IN *m = msg;
	struct why why = { 0 };
	uint32_t rows = 0;
	(void)from;
	fd_close(&fd);
	struct report_take how = { .at_ms = (int64_t)m->at_ms, .mid = m->mid, .sender = m->sender, .verified = m->verified };
	uint32_t today = day_of_ms(wall_ms());
	if (h->unproven_day != today)
		h->unproven = 0;
	h->unproven_day = today;
	enum rc rc = h->l ? RC_OK : RC_BUSY;
	if (rc == RC_OK && !m->verified.n && h->unproven++ >= REPORTS_UNPROVEN)
		rc = why_fail(&why, RC_LIMIT, 0, __FILE__, "too many reports today that prove nothing");
	if (rc == RC_OK)
		rc = report_take(h->l, m->report, &how, &rows, &why);
	if (rc == RC_OK) /* its sender is told 250 on the strength of this */
		rc = ledger_flush(h->l, &why);
	ipc_answer(call, rc, &why, &(struct msg_REPORT_IN_answer){ .rows = rows });
}

static void on_report_send(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct ledger_house *h = ((struct role_env *)env)->state;
	const struct msg_REPORT_SEND *m = msg;
	struct why why = { 0 };
	struct buf text;
	uint32_t found = 0;
	(void)from;
	fd_close(&fd);
	buf_init(&text, 4 << 20);
	flush(env);
	enum rc rc = h->send ? report_send_now(h->send, m->day, m->domain, &why) : RC_BUSY;
	if (rc == RC_OK)
		rc = report_show_sent(h->l, m->day, m->domain, m->json, &text, &found, &why);
	ipc_answer(call, rc, &why, &(struct msg_REPORT_SEND_answer){ .text = buf_str(&text), .found = found });
	buf_done(&text);
}

static void on_report_show(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct ledger_house *h = ((struct role_env *)env)->state;
	const struct msg_REPORT_SHOW *m = msg;
	struct why why = { 0 };
	struct buf text;
	uint32_t found = 0;
	(void)from;
	fd_close(&fd);
	buf_init(&text, 4 << 20);
	struct report_show q = { .kind = m->kind, .json = m->json, .domain = m->domain, .days = m->days ? m->days : 30 };
	enum rc rc = h->l ? report_show(env, h->l, &q, &text, &found, &why) : RC_BUSY;
	ipc_answer(call, rc, &why, &(struct msg_REPORT_SHOW_answer){ .text = buf_str(&text), .found = found });
	buf_done(&text);
}

static void reload(struct role_env *e)
{
	struct ledger_house *h = e->state;
	if (h && h->dkim)
		dkim_clock_hurry(h->dkim);
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_TRACE] = on_trace, [MSG_REPORT_IN] = on_report_in, [MSG_REPORT_SEND] = on_report_send, [MSG_REPORT_SHOW] = on_report_show, [MSG_EVENT] = on_event, [MSG_EVENTS] = on_events, [MSG_DMARC_RESULTS] = on_dmarc_results, [MSG_TLS_RESULT] = on_tls_result, [MSG_AUDIT] = on_audit, [MSG_LEDGER_FLUSH] = on_flush };

const struct role_ops role_ledger = {
	.role = ROLE_LEDGER,
	.talks_to = R_EDGE | R_ACCESS | R_VAULT,
	.needs = SANDBOX_FILES | SANDBOX_LMDB | SANDBOX_MEMFD, /* SQLite maps its shared-memory file and locks by fcntl, as LMDB does */
	.paths = paths,
	.open = open_ledger,
	.start = start,
	.reload = reload,
	.close = close_ledger,
	.on = on,
};
