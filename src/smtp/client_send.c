/* One transaction: who may have it said before anything is sent, then MAIL, RCPT and DATA in groups (RFC 2920), each answer to its own recipient. */
#include "base/mem.h"
#include "smtp/client_internal.h"

/* ---- what the peer lacks ---- */

static void say_ourselves(struct smtp_reply *r, int code, const char *enhanced, const char *text)
{
	r->code = code;
	r->ours = true;
	(void)snprintf(r->enhanced, sizeof r->enhanced, "%s", enhanced);
	(void)snprintf(r->text, sizeof r->text, "%s", text);
}

static const struct lack {
	int code;
	const char *enhanced, *text;
} lacks[] = {
	{ 552, "5.3.4", "the message is larger than this server takes" },
	{ 554, "5.6.1", "the message is binary, and this server does not take BINARYMIME" },
	{ 554, "5.6.3", "the message has 8-bit text, and this server does not take 8BITMIME" },
	{ 553, "5.6.7", "an address or header field has letters beyond ASCII, and this server does not take SMTPUTF8" },
	{ 550, "5.7.30", "the sender wants TLS all the way, and this server does not promise it (REQUIRETLS)" },
	{ 553, "5.1.7", "the sender's address cannot be said in SMTP" },
};

/* NULL = nothing. */
static const struct lack *find_lack(const struct sending *s)
{
	const struct smtp_client_mail *m = s->m;
	const struct smtp_client *c = s->c;
	unsigned ext = c->extensions;
	if (ext & SMTP_EXT_SIZE && c->size && m->size > c->size) /* RFC 1870 6.1: it "SHOULD NOT" be sent */
		return &lacks[0];
	if (m->body_binary && !(ext & SMTP_EXT_BINARYMIME && s->bdat)) /* RFC 3030 3: BINARYMIME "MUST" go by BDAT */
		return &lacks[1];
	bool eight_bit = m->body_8bit || (m->utf8_wanted && !(ext & SMTP_EXT_SMTPUTF8));
	if (eight_bit && !m->body_binary && !(ext & SMTP_EXT_8BITMIME))
		return &lacks[2];
	if ((m->smtputf8 || !smtp_address_is_ascii(&m->from)) && !(ext & SMTP_EXT_SMTPUTF8))
		return &lacks[3];
	/* RFC 8689 4.2.1: the session is under TLS, and the server advertises REQUIRETLS. */
	if (m->require_tls && !(ext & SMTP_EXT_REQUIRETLS && stream_is_tls(c->io)))
		return &lacks[4];
	return smtp_address_ok(&m->from, true) ? NULL : &lacks[5];
}

/* A recipient who cannot be named to this peer is refused by ourselves; the others go on. */
static void judge_recipients(struct sending *s)
{
	bool takes_utf8 = (s->c->extensions & SMTP_EXT_SMTPUTF8) != 0;
	for (size_t i = 0; i < s->n; i++) {
		struct smtp_client_rcpt *r = &s->rcpts[i];
		if (!smtp_address_ok(&r->to, false)) {
			r->rc = RC_DENIED;
			say_ourselves(&r->reply, 553, "5.1.3", "the address cannot be said in SMTP");
		} else if (!smtp_address_is_ascii(&r->to)) {
			s->utf8 = s->utf8 || takes_utf8;
			if (takes_utf8)
				continue;
			r->rc = RC_DENIED;
			say_ourselves(&r->reply, lacks[3].code, lacks[3].enhanced, lacks[3].text);
		}
	}
}

static bool is_left(const struct smtp_client_rcpt *r) { return r->rc == RC_AGAIN && !r->asked; }

/* ---- groups of commands ---- */

struct group { bool reset, mail, data; size_t first, last; };

static bool next_group(struct sending *s, struct group *g)
{
	struct smtp_client *c = s->c;
	*g = (struct group){ .first = s->next, .last = s->next };
	if (s->stopped || s->data_said || (s->began && !s->mail_ok))
		return false;
	if (!s->began) {
		g->reset = c->reset_due;
		if (g->reset && !s->pipelined)
			return true;
		g->mail = s->began = true;
		if (!s->pipelined)
			return true;
	}
	for (size_t said = 0; g->last < s->n && said < (s->pipelined ? RCPT_GROUP : 1); g->last++)
		said += is_left(&s->rcpts[g->last]);
	s->next = g->last;
	/* Pipelined, DATA goes with the last recipients before anybody knows whether there is one (RFC 2920 3.1 allows it). */
	g->data = s->m->more && !s->bdat && s->next == s->n && (s->pipelined || (g->first == g->last && s->accepted));
	s->data_said = g->data;
	return g->first < g->last || g->data || g->mail;
}

static enum rc say_line(struct sending *s)
{
	if (s->line.failed)
		return smtp_dead(s->c, RC_NOMEM, s->why, "no memory for a command");
	smtp_say(s->c, buf_str(&s->line), NULL);
	return RC_OK;
}

static enum rc say_group(struct sending *s, const struct group *g)
{
	if (g->reset)
		smtp_say(s->c, STR("RSET"), NULL);
	if (g->mail) {
		buf_clear(&s->line);
		smtp_mail_line(s->c, s->m, s->utf8, &s->line);
		TRY(say_line(s));
	}
	for (size_t i = g->first; i < g->last; i++) {
		if (!is_left(&s->rcpts[i]))
			continue;
		buf_clear(&s->line);
		smtp_rcpt_line(s->c, &s->rcpts[i], s->utf8, &s->line);
		TRY(say_line(s));
	}
	if (g->data)
		smtp_say(s->c, STR("DATA"), NULL);
	return RC_OK;
}

/* ---- their answers ---- */

/* RC_OK; RC_BUSY and RC_DENIED as its class; RC_CLOSED where it was 421 (what follows is never answered); or the connection's end. */
static enum rc hear(struct sending *s, const char *what, unsigned ms)
{
	TRY(smtp_answer(s->c, what, ms, s->reply, s->why, NULL, NULL));
	if (s->reply->code == 421) {
		s->stopped = true;
		return smtp_refused(what, s->reply, s->why);
	}
	enum rc rc = smtp_class(s->reply);
	return rc == RC_AGAIN ? smtp_out_of_order(s->c, what, s->reply, s->why) : rc;
}

static bool is_answer(enum rc rc) { return rc == RC_OK || rc == RC_BUSY || rc == RC_DENIED; }

/* `counts`: MAIL was taken; otherwise the answer is read and means nothing. */
static enum rc hear_rcpt(struct sending *s, struct smtp_client_rcpt *r, bool counts)
{
	enum rc rc = hear(s, "RCPT", s->c->config.rcpt_ms);
	if (!is_answer(rc))
		return rc;
	if (counts) {
		/* RFC 5321 4.5.3.1.10: "a client SHOULD treat a 552 reply ... as a temporary, rather than permanent, failure": too many recipients */
		r->asked = true;
		r->reply = *s->reply;
		r->rc = rc == RC_OK ? RC_AGAIN : s->reply->code == 552 ? RC_BUSY : rc;
		s->accepted += rc == RC_OK;
	}
	return s->stopped ? RC_BUSY : RC_OK;
}

static enum rc hear_mail(struct sending *s)
{
	enum rc rc = hear(s, "MAIL", s->c->config.mail_ms);
	if (!is_answer(rc) || s->stopped)
		return rc;
	s->heard = true;
	s->mail_ok = s->c->reset_due = rc == RC_OK;
	s->mail_rc = rc;
	s->mail_reply = *s->reply;
	return RC_OK;
}

/* "go on" to DATA although nobody was accepted. RFC 2920 3.1: "the client SMTP should send a single dot"; whatever is then answered delivers nothing. */
static enum rc end_empty_data(struct sending *s)
{
	struct smtp_client *c = s->c;
	struct smtp_reply reply;
	/* RFC 2033 4.2 has one answer for each accepted recipient, so here none: such a server is out of step. */
	if (c->config.lmtp)
		return smtp_out_of_order(c, "DATA without recipients", s->reply, s->why);
	smtp_say(c, STR("."), NULL);
	TRY(smtp_answer(c, "the end of nothing", c->config.dot_ms, &reply, s->why, NULL, NULL));
	c->reset_due = true;
	return RC_OK;
}

/* RC_AGAIN = the message is wanted. */
static enum rc hear_data(struct sending *s)
{
	struct smtp_client *c = s->c;
	TRY(smtp_answer(c, "DATA", c->config.data_ms, s->reply, s->why, NULL, NULL));
	enum rc rc = smtp_class(s->reply);
	if (rc == RC_OK)
		return smtp_out_of_order(c, "DATA", s->reply, s->why);
	if (rc == RC_AGAIN)
		return s->accepted ? RC_AGAIN : end_empty_data(s);
	smtp_outcome(s, rc, s->reply);
	s->stopped = s->reply->code == 421;
	return RC_OK;
}

static enum rc hear_group(struct sending *s, const struct group *g)
{
	struct smtp_client *c = s->c;
	if (g->reset) {
		enum rc rc = hear(s, "RSET", c->config.mail_ms);
		if (is_answer(rc) && rc != RC_OK && !s->stopped)
			return smtp_out_of_order(c, "RSET", s->reply, s->why);
		TRY(rc);
		c->reset_due = false;
	}
	if (g->mail)
		TRY(hear_mail(s));
	for (size_t i = g->first; i < g->last; i++)
		if (is_left(&s->rcpts[i]))
			TRY(hear_rcpt(s, &s->rcpts[i], s->mail_ok));
	return g->data ? hear_data(s) : RC_OK;
}

/* RC_AGAIN = the message is wanted. */
static enum rc envelope(struct sending *s)
{
	struct group g;
	while (next_group(s, &g)) {
		TRY(say_group(s, &g));
		TRY(hear_group(s, &g));
	}
	return s->m->more && s->bdat && s->accepted && !s->stopped ? RC_AGAIN : RC_OK;
}

/* What was refused at MAIL was refused for everybody; that alone matters, not how the server then put off what came behind it. */
static enum rc refused_at_mail(struct sending *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!is_left(&s->rcpts[i]))
			continue;
		s->rcpts[i].rc = s->mail_rc;
		s->rcpts[i].reply = s->mail_reply;
	}
	*s->reply = s->mail_reply;
	return smtp_refused("MAIL", s->reply, s->why);
}

static enum rc lacking(struct sending *s, const struct lack *l)
{
	say_ourselves(s->reply, l->code, l->enhanced, l->text);
	for (size_t i = 0; i < s->n; i++) {
		s->rcpts[i].rc = RC_DENIED;
		s->rcpts[i].reply = *s->reply;
	}
	FAIL(s->why, RC_DENIED, "%s", l->text);
}

/* A connection that has waited may have ended meanwhile, with 421 or without a word. That says nothing of the message: RC_CLOSED, and a fresh one will do. */
static enum rc still_there(struct sending *s)
{
	struct smtp_client *c = s->c;
	if (s->reused && c->dead == RC_OK && stream_error(c->io) == RC_OK && !stream_pending(c->io) && stream_wait(c->io, 0) == RC_CLOSED)
		return smtp_dead(c, RC_CLOSED, s->why, "the server had closed the waiting connection");
	enum rc rc = smtp_may_say(c, s->reply, s->why);
	return rc == RC_BUSY && s->reused ? RC_CLOSED : rc;
}

static enum rc transact(struct sending *s)
{
	const struct smtp_client_mail *m = s->m;
	enum rc rc = envelope(s);
	if (s->reused && s->stopped && !s->heard)
		return RC_CLOSED; /* it had ended when we began to speak */
	if (s->mail_rc != RC_OK) {
		enum rc refused = refused_at_mail(s);
		return rc == RC_OK || s->stopped ? refused : rc;
	}
	if (rc != RC_AGAIN)
		return rc;
	TRY(smtp_may_say(s->c, s->reply, s->why)); /* an answer that is here already is none to the message */
	if (m->rewind && (rc = m->rewind(m->house)) != RC_OK)
		return smtp_dead(s->c, rc, s->why, "the message cannot be read");
	return smtp_send_body(s);
}

enum rc smtp_client_send(struct smtp_client *c, const struct smtp_client_mail *m, struct smtp_client_rcpt *rcpts, size_t n, struct smtp_reply *reply, struct why *why)
{
	struct sending s = { .c = c, .m = m, .rcpts = rcpts, .n = n, .reply = reply, .why = why, .utf8 = m->smtputf8 || !smtp_address_is_ascii(&m->from) };
	size_t left = 0;
	*reply = (struct smtp_reply){ 0 };
	for (size_t i = 0; i < n; i++) {
		rcpts[i].rc = RC_AGAIN;
		rcpts[i].asked = false;
		rcpts[i].reply = (struct smtp_reply){ 0 };
	}
	s.reused = c->mails > 0;
	TRY(still_there(&s));
	if (!c->ready)
		FAIL(why, RC_CLOSED, "the server was not greeted");
	s.pipelined = c->extensions & SMTP_EXT_PIPELINING && !c->config.no_pipelining;
	s.utf8 = s.utf8 || (m->utf8_wanted && c->extensions & SMTP_EXT_SMTPUTF8);
	s.bdat = c->extensions & SMTP_EXT_CHUNKING && !c->config.no_chunking;
	const struct lack *l = find_lack(&s);
	if (l)
		return lacking(&s, l);
	judge_recipients(&s);
	for (size_t i = 0; i < n; i++)
		left += is_left(&rcpts[i]);
	if (!left)
		return RC_OK;
	buf_init(&s.line, 4096);
	c->mails++;
	enum rc rc = transact(&s);
	buf_done(&s.line);
	return rc;
}
