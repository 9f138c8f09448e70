#include "role/edge_session.h"

#include "base/log.h"
#include "mail/header.h"
#include "origin/srs.h"
#include "role/edge_sign.h"
#include "role/edge_submit.h"
#include "role/login_name.h"
#include "role/report_rules.h"

/* Mail from strangers that goes on to other servers: by somebody's forwarding, or to members of a group who are elsewhere. Only what SPF or DMARC has proved goes
 * on, or we would vouch for forgeries; and what has been here before does not. Its sender never hears of that: he may not be who he says he is. */

static struct str header_of(const struct edge_session *s) { return str_head(edge_raw(s), s->header); }

/* Why the message may not go on over `via`; NULL: it may. */
static const char *objection(const struct edge_session *s, struct str via, bool junk)
{
	if (edge_was_delivered_to(header_of(s), via))
		return "5.4.6 it has come through this address before";
	if (junk)
		return "5.7.1 its author's domain asks for it to be quarantined";
	return s->proved ? NULL : "5.7.1 nothing proves who sent it (neither SPF nor DMARC has passed)";
}

/* ---- the owner is told, once a day at most ---- */

static bool may_tell(struct edge_session *s, uint64_t account)
{
	uintptr_t today = (uintptr_t)(wall_ms() / 86400000);
	if ((uintptr_t)map_get_u64(&s->h->told, account) == today)
		return false;
	if (s->h->told.n == s->h->told.max) {
		map_done(&s->h->told);
		map_init(&s->h->told, EDGE_TOLD_MAX);
	}
	return map_put_u64(&s->h->told, account, (void *)today) == RC_OK; /* never shown twice for lack of memory: rather not at all */
}

static void tell_owner(struct edge_session *s, const struct route_target *owner, const struct route_target *lost, const char *why)
{
	struct buf text AUTO(buf_done);
	char mid[9];
	struct why inner = { 0 };
	buf_init(&text, 16384);
	if (!may_tell(s, owner->account))
		return;
	struct str host = str_head(s->v->e->config->server_hostname, 253);
	buf_addf(&text, "From: Mail delivery <postmaster@%.*s>\r\nTo: <%.*s>\r\nSubject: A message was not forwarded to %.*s\r\nDate: ", PSTR(host), PSTR(owner->address),
	         PSTR(str_head(lost->address, 200)));
	mail_date_format(wall_ms(), 0, &text);
	buf_addf(&text, "\r\nMessage-ID: <forward.%s@%.*s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", s->mid, PSTR(host));
	buf_addf(&text, "A message from <%.*s> to %.*s was not forwarded to %.*s:\r\n%s.\r\n\r\nYou find the message in your mailbox here; its id is %s. ", PSTR(str_head(s->from, 320)),
	         PSTR(str_head(lost->via, 320)), PSTR(str_head(lost->address, 320)), why + 6, s->mid);
	buf_addf(&text, "Its sender was not told, for he may not be\r\nwho he says he is. There may be more such messages today: this note comes once a day.\r\n");
	if (!text.failed)
		(void)!edge_submit_here(s->v->e, owner, buf_str(&text), mid, &inner);
}

/* ---- the review ---- */

/* A place that may not be reached: who owns the way there gets the message instead, where he is here. */
static enum rc turn_back(struct edge_session *s, struct edge_rcpt *r, size_t i, const char *why, struct route_target *notes, size_t *note_n, const char **note_why)
{
	struct route_target lost = r->places[i], home;
	log_event(LEVEL_INFO, EV_FORWARD, F("mid", s->mid), F("from", s->from), F("via", lost.via), F("to", lost.address), F("reason", why));
	r->places[i] = r->places[--r->place_n];
	r->refused = why;
	enum rc rc = edge_turn_home(s->v->e, &s->a, r, &lost, &home);
	if (rc == RC_NOTFOUND || rc == RC_DENIED)
		return RC_OK;
	TRY(rc);
	if (*note_n < EDGE_NOTES_MAX) {
		notes[2 * *note_n] = home;
		notes[2 * *note_n + 1] = lost;
		note_why[(*note_n)++] = why;
	}
	return RC_OK;
}

enum rc edge_forward_review(struct edge_session *s, bool junk)
{
	struct route_target *notes = NULL;
	const char *note_why[EDGE_NOTES_MAX];
	size_t note_n = 0;
	for (size_t k = 0; k < s->rcpt_n; k++) {
		struct edge_rcpt *r = &s->rcpts[k];
		for (size_t i = 0; i < r->place_n;) {
			const struct route_target *t = &r->places[i];
			const char *why = t->remote && !(r->bounce && !t->via.n) ? objection(s, t->via, junk) : NULL;
			if (!why) {
				i++;
				continue;
			}
			if (!notes && !(notes = arena_new(&s->a, 2 * EDGE_NOTES_MAX * sizeof *notes)))
				return RC_NOMEM;
			size_t before = r->place_n;
			TRY(turn_back(s, r, i, why, notes, &note_n, note_why));
			if (r->place_n == before) /* the home took the room of the last one */
				i += i == r->place_n - 1;
		}
	}
	for (size_t i = 0; i < note_n; i++)
		tell_owner(s, &notes[2 * i], &notes[2 * i + 1], note_why[i]);
	return RC_OK;
}

/* ---- the letters ---- */

/* SPF at the next server is about us: the sender is rewritten so that a bounce finds its way back, or is the group's owner. The null sender stays. */
static enum rc sender_of(struct edge_session *s, const struct edge_bucket *b, struct str *out)
{
	char room[400];
	struct buf rewritten = { .p = room, .cap = sizeof room, .max = sizeof room };
	*out = STR("");
	if (!s->from.n)
		return RC_OK;
	if (b->group_owner.n && !b->forwarder) {
		*out = b->group_owner;
		return RC_OK;
	}
	enum rc rc = srs_forward(s->h->srs, s->from, report_domain_of(b->via), wall_ms() / 1000, &rewritten);
	if (rc == RC_NOMEM)
		return rc;
	*out = rc == RC_OK ? arena_str(&s->a, buf_str(&rewritten)) : b->via; /* too long: the forwarder's own address */
	return s->a.full ? RC_NOMEM : RC_OK;
}

/* RFC 8617: what we found goes on under our seal, so that the next server need not see a forgery where only the way was longer. Without a key there is none. */
static enum rc seal_of(struct edge_session *s, struct str domain, struct buf *out, struct why *why)
{
	struct buf results AUTO(buf_done) = { 0 };
	struct auth_evidence e;
	if (!s->auth)
		return RC_OK;
	auth_check_evidence(s->auth, &e);
	if (e.dkim && e.dkim->arc.late) /* our seal would say for ever what is so just now; the next server may know more */
		return RC_OK;
	buf_init(&results, 16384);
	auth_check_results(s->auth, &results);
	enum auth chain = e.dkim ? e.dkim->arc.result : AUTH_NONE;
	enum rc rc = results.failed ? RC_NOMEM : edge_sign_arc(s->v->e, domain, edge_now(s), buf_str(&results), chain, out, why);
	/* RFC 8617 5.1.2: a chain that has failed gets no further set; one of fifty is full; of one that was not looked at (authentication.arc) nothing can be said. */
	return rc == RC_NOTFOUND || rc == RC_DENIED || rc == RC_LIMIT || rc == RC_CONFLICT ? RC_OK : rc;
}

static enum rc fill_letter(struct edge_session *s, const struct edge_bucket *b, const struct edge_head *head, struct seal_letter *l, struct why *why)
{
	struct buf prefix AUTO(buf_done);
	buf_init(&prefix, EDGE_TRACE_MAX);
	struct letter *x = &l->letter;
	*x = (struct letter){ .mid = str_z(s->mid), .owner = b->forwarder ? b->via : b->group_owner, .account = b->forwarder, .kind = LETTER_FORWARDED,
		.skip = (uint32_t)s->return_path, .envid = STR(""), .body_8bit = s->mail->body_8bit || head->foreign || edge_has_8bit(str_skip(edge_raw(s), s->header)),
		.body_binary = s->mail->body_binary, .smtputf8 = s->mail->smtputf8, .utf8_header = head->utf8, .tls_optional = head->tls_optional, .created_ms = wall_ms(),
		.subject = edge_subject(&s->a, head), .from = str_head(str_trim(head->from_value), 320) };
	if (!s->from.n)
		x->owner = STR(""); /* a bounce makes no bounce */
	TRY(sender_of(s, b, &x->sender));
	if (b->via.n) {
		TRY(seal_of(s, report_domain_of(b->via), &prefix, why));
		buf_addf(&prefix, "Delivered-To: %.*s\r\n", PSTR(str_head(b->via, 320)));
	}
	x->prefix = arena_str(&s->a, buf_str(&prefix));
	edge_letter_times(s->v->e, l, 0);
	return prefix.failed || s->a.full ? RC_NOMEM : RC_OK;
}

enum rc edge_forward_letters(struct edge_session *s, struct edge_post *p, struct why *why)
{
	struct edge_head head;
	if (p->bucket_n == 0)
		return RC_OK;
	edge_head_read(header_of(s), &head);
	for (size_t i = 0; i < p->bucket_n; i++)
		if (fill_letter(s, &p->buckets[i], &head, &p->letters[i], why) != RC_OK)
			FAIL(why, RC_BUSY, "4.3.0 not forwarded now, try again");
	return RC_OK;
}
