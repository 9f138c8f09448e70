#include "role/edge_session.h"

#include "base/log.h"
#include "mail/dsn.h"
#include "role/edge_submit.h"

/* What came of a message: the answer for each recipient, and who is told of what the one answer of SMTP cannot say. */

enum { NOTICE_MAX = 16 << 20, FULL_MOST = 10 << 20, TRIES = 3, AGAIN_MS = 200 };

/* ---- answers ---- */

static void say_refused(enum rc rc, const struct edge_rcpt *r, struct smtp_result *out)
{
	struct str who = str_head(r->address, 120);
	out->rc = rc;
	if (r->place_n == 0 && r->refused)
		out->rc = why_fail(&out->why, r->refused[2] == '4' ? RC_CONFLICT : RC_DENIED, 0, __FILE__, "%s", r->refused);
	else if (rc == RC_FULL)
		out->rc = why_fail(&out->why, RC_LIMIT, 0, __FILE__, "5.2.2 the mailbox of %.*s is full", PSTR(who));
	else if (rc == RC_NOTFOUND)
		(void)why_fail(&out->why, RC_NOTFOUND, 0, __FILE__, "5.1.1 no such address here: %.*s", PSTR(who));
	else if (rc != RC_OK)
		(void)why_fail(&out->why, rc, 0, __FILE__, "4.3.0 not stored (%s), try again", rc_name(rc));
}

/* ---- notices ---- */

/* Whom a notice is for, and about whom. */
struct notice { struct str to; struct dsn_rcpt about; bool done; };
struct notices { struct edge_session *s; const struct edge_post *p; struct notice *list; size_t n, max; };

/* RFC 3461 4.1: without NOTIFY, failures are told. */
static bool wants(const struct edge_rcpt *r, unsigned bit) { return r->notify ? (r->notify & bit) != 0 : bit == NOTIFY_FAILURE; }

static struct notice *add(struct notices *x, struct str to, struct str final, const struct edge_rcpt *r)
{
	/* RFC 5321 4.5.5, 6.1: none to a null sender. To whom a domain's policy disowns, none either: it would go to somebody who sent nothing. */
	if (!to.n || !x->s->from.n || x->s->disowned || x->n == x->max)
		return NULL;
	struct notice *n = &x->list[x->n++];
	*n = (struct notice){ .to = to, .about = { .final = final, .orcpt_type = r->orcpt_type, .orcpt = r->orcpt, .last_ms = wall_ms(), .remote_mta = STR(""), .diagnostic = STR(""),
		.tls = STR("") } };
	return n;
}

static void add_failed(struct notices *x, struct str to, struct str final, const struct edge_rcpt *r, const struct smtp_result *result)
{
	/* What was not forwarded because nothing proves its sender (edge_forward.c) is not told to that sender: he may not be who he says he is. */
	bool unproved = r->place_n == 0 && r->refused && !x->s->proved && !x->s->submission;
	struct notice *n = wants(r, NOTIFY_FAILURE) && !unproved ? add(x, to, final, r) : NULL;
	struct str status, words;
	if (!n)
		return;
	n->about.action = DSN_FAILED;
	n->about.diagnostic = arena_str(&x->s->a, str_z(result->why.text));
	str_cut(n->about.diagnostic, ' ', &status, &words);
	(void)snprintf(n->about.status, sizeof n->about.status, "%.*s", PSTR(str_head(status, 11)));
}

/* Mail to a group is its owner's to look after, and a forward its forwarder's; the rest is the sender's. */
static struct str owner_of(const struct edge_session *s, const struct route_target *t)
{
	struct str owner = t->forwarder ? t->via : t->group_owner;
	return owner.n ? owner : s->from;
}

/* Some have it and some have not: nobody hears of that in the answer. */
static void add_places(struct notices *x, const struct edge_rcpt *r)
{
	for (size_t i = 0; i < r->place_n; i++) {
		const struct route_target *t = &r->places[i];
		struct smtp_result result = { .rc = t->remote ? RC_OK : x->p->results[r->slots[i]].rc };
		if (result.rc == RC_OK)
			continue;
		say_refused(result.rc, &(struct edge_rcpt){ .address = t->address, .place_n = 1 }, &result);
		add_failed(x, owner_of(x->s, t), t->address, r, &result);
	}
}

/* RFC 3461 5.2.3, 5.2.7.3: delivered here, or gone to the members of a group. What goes straight to another server is the relay's to tell of. */
static void add_success(struct notices *x, const struct edge_rcpt *r)
{
	bool direct = false, group = false;
	for (size_t i = 0; i < r->place_n; i++) {
		direct = direct || (r->places[i].remote && !r->places[i].via.n);
		group = group || (r->places[i].via.n && !r->places[i].forwarder && r->places[i].group_owner.n);
	}
	if (!x->s->submission || direct || !wants(r, NOTIFY_SUCCESS))
		return;
	struct notice *n = add(x, x->s->from, r->address, r);
	if (!n)
		return;
	n->about.action = group || r->place_n > 1 ? DSN_EXPANDED : r->account ? DSN_DELIVERED : DSN_RELAYED;
	(void)snprintf(n->about.status, sizeof n->about.status, "2.0.0");
}

/* Everything that goes to one reader and is of one kind, in one notice. */
static size_t gather(struct notices *x, size_t first, struct dsn_rcpt *out)
{
	size_t n = 0;
	bool failed = x->list[first].about.action == DSN_FAILED;
	for (size_t i = first; i < x->n; i++) {
		struct notice *one = &x->list[i];
		if (one->done || (one->about.action == DSN_FAILED) != failed || !str_eq(one->to, x->list[first].to))
			continue;
		one->done = true;
		out[n++] = one->about;
	}
	return n;
}

static enum rc make(struct notices *x, struct str to, const struct dsn_rcpt *rcpts, size_t n, size_t number, struct buf *out)
{
	struct edge_session *s = x->s;
	struct str host = str_head(s->v->e->config->server_hostname, 253), message = str_skip(s->message, s->return_path);
	struct edge_head head;
	char from[320], message_id[400];
	size_t end = edge_header_end(message, 0);
	struct str header = str_head(message, end ? end : message.n);
	bool full = s->submission && rcpts[0].action == DSN_FAILED && str_eq(s->mail->ret, STR("FULL")) && message.n <= FULL_MOST && !s->mail->body_binary;
	edge_head_read(header, &head);
	(void)snprintf(from, sizeof from, "MAILER-DAEMON@%.*s", PSTR(host));
	(void)snprintf(message_id, sizeof message_id, "dsn.%s.%zu@%.*s", s->mid, number, PSTR(host));
	struct dsn d = { .reporting_mta = host, .from = str_z(from), .to = to, .message_id = str_z(message_id), .mid = str_z(s->mid), .envid = s->mail->envid,
		.subject = edge_subject(&s->a, &head), .message_to_name = STR(""), .arrival_ms = wall_ms(), .now_ms = wall_ms(), .rcpts = rcpts, .n = n,
		.original = full ? message : header, .full = full, .utf8 = s->utf8 || edge_has_8bit(to) };
	return dsn_format(&d, out);
}

static void send_notice(struct notices *x, size_t first, struct dsn_rcpt *rcpts)
{
	struct edge_session *s = x->s;
	struct buf mail AUTO(buf_done);
	struct why why = { 0 };
	struct str to = x->list[first].to;
	char mid[9];
	size_t n = gather(x, first, rcpts);
	buf_init(&mail, NOTICE_MAX);
	enum rc rc = make(x, to, rcpts, n, first, &mail);
	/* RFC 5321 4.5.5: notifications are "sent with a null reverse-path". */
	struct msg_SUBMIT m = { .kind = LETTER_DSN, .from = STR(""), .to = to, .message = buf_str(&mail) };
	if (rc == RC_OK)
		rc = edge_submit(s->v->e, &m, mid, &why);
	for (int i = 1; rc == RC_BUSY && i < TRIES && fiber_sleep(AGAIN_MS) == RC_OK; i++)
		rc = edge_submit(s->v->e, &m, mid, &why);
	if (rc == RC_OK && rcpts[0].action == DSN_FAILED)
		count_add(s->v->e, M_REPORT_FAILED, 1);
	log_event(rc == RC_OK ? LEVEL_INFO : LEVEL_WARN, EV_QUEUE_REPORT, F("mid", s->mid), F("to", str_head(to, 320)), F("kind", rcpts[0].action == DSN_FAILED ? "failed" : "delivered"),
	          F("state", rc == RC_OK ? "sent" : "refused"), F("rcpts", n), F("reason", rc == RC_OK ? STR("") : str_z(why.text[0] ? why.text : rc_name(rc))));
}

/* RFC 5321 4.2.5, 6.1: a server that has answered 250 and cannot deliver to somebody after all has to say so by a message. LMTP answers for each recipient. */
static void tell_people(struct edge_session *s, const struct edge_post *p, const struct smtp_result *results)
{
	struct notices x = { .s = s, .p = p };
	bool any = false, each = s->v->proto == LISTEN_LMTP;
	for (size_t i = 0; i < s->rcpt_n; i++) {
		any = any || results[i].rc == RC_OK;
		x.max += s->rcpts[i].place_n + 1;
	}
	x.list = any ? arena_new(&s->a, x.max * sizeof *x.list) : NULL;
	for (size_t i = 0; x.list && i < s->rcpt_n; i++) {
		const struct edge_rcpt *r = &s->rcpts[i];
		if (results[i].rc != RC_OK && !each)
			add_failed(&x, s->from, r->address, r, &results[i]);
		if (results[i].rc == RC_OK && !r->report) {
			add_places(&x, r);
			add_success(&x, r);
		}
	}
	struct dsn_rcpt *rcpts = x.n ? arena_new(&s->a, x.n * sizeof *rcpts) : NULL;
	for (size_t i = 0; rcpts && i < x.n; i++)
		if (!x.list[i].done)
			send_notice(&x, i, rcpts);
}

/* ---- the whole ---- */

static void tell_left_out(struct edge_session *s, const struct edge_post *p)
{
	const struct stream_facts *f = stream_facts(s->v->stream);
	edge_tell_left_out(p, &(struct msg_EVENT){ .at_ms = (uint64_t)wall_ms(), .mid = str_z(s->mid), .sender = str_head(s->from, 320), .client = str_z(f->peer_ip),
		.helo = str_z(s->helo), .tls = str_z(f->tls_version), .size = s->message.n, .more = STR("") });
}

void edge_settle(struct edge_session *s, const struct edge_post *p, struct smtp_result *results)
{
	enum rc *fates = arena_new(&s->a, s->rcpt_n * sizeof *fates);
	for (size_t i = 0; i < s->rcpt_n; i++) {
		const struct edge_rcpt *r = &s->rcpts[i];
		enum rc rc = r->report ? results[i].rc : edge_post_outcome(p, r);
		if (fates)
			fates[i] = rc;
		if (r->report)
			continue;
		say_refused(rc, r, &results[i]);
		if (r->account || rc != RC_OK)
			count_add(s->v->e, rc == RC_OK ? M_DELIVERED : M_DELIVERY_FAILED, 1);
	}
	if (fates)
		edge_tell_rcpts(s, fates);
	tell_left_out(s, p);
	tell_people(s, p, results);
	log_event(LEVEL_INFO, EV_SMTP_RECEIVED, F("mid", s->mid), F("sid", s->v->sid), F("from", s->from), F("rcpts", s->rcpt_n), F("size", s->message.n),
	          F("defects", p->defects), F("queued", p->bucket_n), F("dur_ms", loop_now(s->v->e->loop) - s->began));
}

/* What the store says of a limit of the account's. A day's is over tomorrow: 451. Room among what waits comes back with each delivery, which is what 452 is for ("insufficient
 * system storage", RFC 5321 4.2.3), also at the end of the data (4.3.2); what waiting does not help is 552, "exceeded storage allocation". */
static enum rc limit_met(struct str text) { return str_starts(text, STR("5.")) ? RC_LIMIT : str_starts(text, STR("4.5.3 ")) ? RC_FULL : RC_BUSY; }

enum rc edge_commit_failed(struct edge_session *s, enum rc rc, const struct why *inner, struct why *why)
{
	count_add(s->v->e, M_SMTP_TEMP, 1);
	if (rc == RC_FULL)
		FAIL(why, RC_FULL, "4.3.1 no room on this server, try again later. %s", s->mid);
	if (rc == RC_DENIED) /* the store says which limit, and until when */
		FAIL(why, limit_met(str_z(inner->text)), "%s %s", inner->text, s->mid);
	log_event(LEVEL_ERROR, EV_SMTP_REFUSED, F("sid", s->v->sid), F("mid", s->mid), F("code", 451), F("reason", inner->text));
	FAIL(why, RC_IO, "4.3.0 not stored, try again. %s", s->mid);
}
