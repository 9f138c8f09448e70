#include "role/relay.h"

#include "base/codec.h"
#include "base/log.h"
#include "mail/dsn.h"

/* Reports to a sender, handed to `edge` as mail of our own. */

enum { HEADER_MOST = 65536, FULL_MOST = 10 << 20, MAIL_MOST = 16 << 20, ROOM = 4 << 20, TRIES = 3, AGAIN_MS = 500 };

/* The same report always has the same number: a crash between it and the commit of what it reports makes no second one. All its recipients count: after such a crash others
 * may have failed along with the first one, and theirs is another report, not that one again. Never 0. */
static uint64_t report_id(const struct relay_house *h, const struct relay_letter *l, const struct relay_told *list, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++) {
		const uint64_t one[4] = { v, l->number, list[i].row->row.n, list[i].report };
		v = siphash(h->hash_key, str_of(one, sizeof one));
	}
	/* The store orders deliveries by the upper bits, which are a time of creation: those of letters near each other shall be. */
	return ((uint64_t)(l->l.created_ms % 3600000) << 42 | v >> 22) | 1;
}

static enum rc read_original(struct relay_house *h, struct relay_letter *l, bool full, struct buf *out, struct why *why)
{
	struct body_reader b;
	struct str run;
	enum rc rc = RC_OK;
	size_t most = full ? FULL_MOST : HEADER_MOST;
	buf_add(out, l->l.prefix);
	body_reader_init(&b, h->e->node, &h->files);
	body_reader_set(&b, &l->blob, &l->l.body_key, NULL);
	for (uint64_t at = l->l.skip; rc == RC_OK && out->len < most; at += run.n) {
		rc = body_reader_read(&b, at, BLOB_CHUNK, &run, why);
		if (rc != RC_OK || !run.n)
			break;
		buf_add(out, str_head(run, most - out->len));
	}
	body_reader_done(&b);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

static size_t header_length(struct str message)
{
	size_t end = str_find_str(message, STR("\r\n\r\n"));
	return end == message.n ? message.n : end + 2;
}

static struct str host_name(struct str host) { return str_head(host, str_find(host, ' ')); }

static void of_rcpt(struct relay_house *h, const struct relay_told *t, struct dsn_rcpt *out)
{
	static const enum dsn_action actions[] = { [RELAY_REPORT_FAILED] = DSN_FAILED, [RELAY_REPORT_DELAYED] = DSN_DELAYED, [RELAY_REPORT_RELAYED] = DSN_RELAYED };
	*out = (struct dsn_rcpt){ .action = actions[t->report], .final = t->row->rcpt.address, .orcpt_type = t->row->rcpt.orcpt_type, .orcpt = t->row->rcpt.orcpt,
		.remote_mta = t->outcome->remote ? host_name(t->host) : STR(""), .diagnostic = str_z(t->outcome->text), .remote = t->outcome->remote, .last_ms = wall_ms(),
		.retry_until_ms = t->row->row.expires_ms, .tls = t->row->rcpt.tls };
	(void)h;
	memcpy(out->status, t->outcome->status, sizeof out->status);
}

static enum rc hand_over(struct relay_house *h, uint64_t id, struct str from, struct str to, struct str message, struct why *why)
{
	struct msg_SUBMIT q = { .delivery = id, .kind = LETTER_DSN, .from = from, .to = to, .message = message };
	enum rc rc = RC_CLOSED;
	for (int i = 0; i < TRIES && !fiber_cancelled(); i++) {
		struct msg_SUBMIT_answer a;
		struct ipc_reply reply = { 0 };
		rc = ipc_ask_role(h->e->node, ROLE_EDGE, MSG_SUBMIT, &q, &a, &reply, true, why);
		ipc_reply_done(&reply);
		if (rc == RC_OK || rc == RC_DENIED || rc == RC_NOTFOUND || rc == RC_SYNTAX || rc == RC_LIMIT || fiber_sleep(AGAIN_MS) != RC_OK)
			break;
	}
	return rc;
}

static enum rc make(struct relay_house *h, struct relay_letter *l, const struct relay_told *list, size_t n, uint64_t id, struct arena *a, struct buf *out, struct why *why)
{
	struct buf original AUTO(buf_done) = { 0 };
	char message_id[400], from[320];
	struct str name = h->e->config->server_hostname;
	/* Octets that are no lines of text are not what a notice may carry: it goes wherever its reader has his mail sent. */
	bool full = l->l.ret == LETTER_RET_FULL && list[0].report == RELAY_REPORT_FAILED && l->l.size <= FULL_MOST && !l->l.body_binary;
	struct dsn_rcpt *rcpts = arena_new(a, n * sizeof *rcpts);
	if (!rcpts)
		FAIL(why, RC_NOMEM, "no memory for a report");
	buf_init(&original, FULL_MOST + HEADER_MOST + BLOB_CHUNK);
	enum rc rc = read_original(h, l, full, &original, why);
	if (rc == RC_NOMEM || rc == RC_CLOSED)
		return rc;
	if (rc != RC_OK) { /* a body that cannot be read any more: its sender hears of it all the more */
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("mid", l->l.mid), F("reason", why->text[0] ? why->text : rc_name(rc)));
		full = false;
	}
	bool utf8 = l->l.smtputf8;
	for (size_t i = 0; i < n; i++)
		of_rcpt(h, &list[i], &rcpts[i]);
	(void)snprintf(from, sizeof from, "MAILER-DAEMON@%.*s", PSTR(str_head(name, 253)));
	(void)snprintf(message_id, sizeof message_id, "dsn.%llx@%.*s", (unsigned long long)id, PSTR(str_head(name, 253)));
	struct dsn d = { .reporting_mta = name, .from = str_z(from), .to = l->l.owner, .message_id = str_z(message_id), .mid = l->l.mid, .envid = l->l.envid,
		.subject = l->l.subject, .message_to_name = STR(""), .arrival_ms = l->l.created_ms, .now_ms = wall_ms(), .rcpts = rcpts, .n = n,
		.original = full ? buf_str(&original) : str_head(buf_str(&original), header_length(buf_str(&original))), .full = full, .utf8 = utf8 };
	return dsn_format(&d, out);
}

enum rc relay_bounce(struct relay_house *h, struct relay_letter *l, const struct relay_told *list, size_t n, struct why *why)
{
	static const char *const names[] = { "", "failed", "delayed", "relayed" };
	struct arena a;
	struct buf mail AUTO(buf_done);
	uint64_t id = report_id(h, l, list, n);
	arena_init(&a, ROOM);
	buf_init(&mail, MAIL_MOST);
	enum rc rc = make(h, l, list, n, id, &a, &mail, why);
	/* RFC 5321 4.5.5: notifications are "sent with a null reverse-path". */
	if (rc == RC_OK)
		rc = hand_over(h, id, STR(""), l->l.owner, buf_str(&mail), why);
	arena_done(&a);
	if (rc == RC_DENIED || rc == RC_NOTFOUND || rc == RC_SYNTAX || rc == RC_LIMIT) {
		/* Nobody is there to be told. The queue goes on. */
		log_event(LEVEL_WARN, EV_QUEUE_REPORT, F("mid", l->l.mid), F("to", l->l.owner), F("kind", names[list[0].report]), F("state", "refused"), F("reason", why->text));
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	count_add(h->e, list[0].report == RELAY_REPORT_FAILED ? M_REPORT_FAILED : list[0].report == RELAY_REPORT_DELAYED ? M_REPORT_DELAYED : M_REPORT_RELAYED, 1);
	log_event(LEVEL_INFO, EV_QUEUE_REPORT, F("mid", l->l.mid), F("to", l->l.owner), F("kind", names[list[0].report]), F("state", "sent"), F("rcpts", (int64_t)n));
	return RC_OK;
}
