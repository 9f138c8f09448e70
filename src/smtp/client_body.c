/* The message on its way out, by DATA or in chunks, and the answers that count.
 *
 * 1. A recipient has RC_OK only after a 2xx that came behind the message's last octet.
 * 2. What breaks in the middle leaves no end: no final dot, no LAST. The peer has nothing whole, the recipients keep RC_AGAIN. */
#include "smtp/client_internal.h"

#include "base/octets.h"

struct body {
	struct sending *s;
	bool text;                     /* lines, checked; else octets as they are (BINARYMIME) */
	bool cr, in_line;              /* the last octet was CR; the current line has begun */
	uint64_t octets, heard;        /* sent so far; when it was last listened for objections */
	struct buf chunk;
	unsigned outstanding;          /* chunks without their answer */
	bool refused;                  /* everybody has an outcome: the rest need not be sent */
};

void smtp_outcome(struct sending *s, enum rc rc, const struct smtp_reply *r)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!smtp_waits(&s->rcpts[i]))
			continue;
		s->rcpts[i].rc = rc;
		s->rcpts[i].reply = *r;
	}
}

/* ---- the answers behind the end ---- */

static enum rc final_answer(struct sending *s, struct smtp_reply *reply)
{
	struct smtp_client *c = s->c;
	TRY(smtp_answer(c, "the message", c->config.dot_ms, reply, s->why, NULL, NULL));
	return smtp_class(reply) == RC_AGAIN ? smtp_out_of_order(c, "the message", reply, s->why) : RC_OK;
}

static enum rc final_answers(struct sending *s)
{
	if (!s->c->config.lmtp) {
		TRY(final_answer(s, s->reply));
		smtp_outcome(s, smtp_class(s->reply), s->reply);
		s->c->reset_due = false;
		return RC_OK;
	}
	/* RFC 2033 4.2: "the server returns one reply for each previously successful RCPT command in the mail transaction, in the order that the RCPT
	 * commands were issued" */
	for (size_t i = 0; i < s->n; i++) {
		struct smtp_client_rcpt *r = &s->rcpts[i];
		if (!smtp_waits(r))
			continue;
		TRY(final_answer(s, s->reply));
		r->rc = smtp_class(s->reply);
		r->reply = *s->reply;
		if (s->reply->code == 421) { /* it speaks of the connection: nobody else will be answered */
			s->stopped = true;
			return smtp_refused("the message", s->reply, s->why);
		}
	}
	s->c->reset_due = false;
	return RC_OK;
}

/* ---- chunks (RFC 3030) ---- */

static enum rc chunk_answer(struct body *b)
{
	struct sending *s = b->s;
	struct smtp_client *c = s->c;
	TRY(smtp_answer(c, "BDAT", c->config.dot_ms, s->reply, s->why, NULL, NULL));
	b->outstanding--;
	enum rc rc = smtp_class(s->reply);
	if (rc == RC_AGAIN)
		return smtp_out_of_order(c, "BDAT", s->reply, s->why);
	if (rc == RC_OK)
		return RC_OK;
	struct smtp_reply later;
	smtp_outcome(s, rc, s->reply);
	b->refused = true;
	c->reset_due = true;
	/* RFC 3030 2: after a failed chunk the others fail too; theirs are no outcomes. How many a LMTP server gives to LAST then, nobody has written down. */
	if (b->outstanding && c->config.lmtp && c->dead == RC_OK)
		c->dead = RC_CLOSED;
	for (; b->outstanding && c->dead == RC_OK; b->outstanding--)
		TRY(smtp_answer(c, "BDAT", c->config.dot_ms, &later, s->why, NULL, NULL));
	return RC_OK;
}

/* Sends what is gathered. One chunk is ahead of its answer where pipelining is offered: the next one is on its way meanwhile. */
static enum rc send_chunk(struct body *b, bool last)
{
	struct smtp_client *c = b->s->c;
	char line[40];
	int n = snprintf(line, sizeof line, "BDAT %zu%s", b->chunk.len, last ? " LAST" : "");
	while (b->outstanding > (b->s->pipelined ? 1 : 0)) {
		TRY(chunk_answer(b));
		if (b->refused)
			return RC_OK;
	}
	stream_timeout(c->io, c->config.block_ms);
	stream_limit(c->io, 10 * c->config.block_ms);
	smtp_say(c, str_of(line, (size_t)n), NULL);
	stream_write(c->io, buf_str(&b->chunk));
	buf_clear(&b->chunk);
	b->outstanding++;
	if (!last)
		return RC_OK;
	while (b->outstanding > 1) {
		TRY(chunk_answer(b));
		if (b->refused)
			return RC_OK;
	}
	return final_answers(b->s);
}

static enum rc sink(struct body *b, struct str in)
{
	struct smtp_client *c = b->s->c;
	b->octets += in.n;
	if (!b->s->bdat) {
		stream_write(c->io, in);
		return RC_OK;
	}
	while (in.n && !b->refused) {
		size_t n = CHUNK_MAX - b->chunk.len < in.n ? CHUNK_MAX - b->chunk.len : in.n;
		buf_add(&b->chunk, str_head(in, n));
		if (b->chunk.failed)
			return smtp_dead(c, RC_NOMEM, b->s->why, "no memory for a chunk of the message");
		in = str_skip(in, n);
		if (b->chunk.len == CHUNK_MAX && in.n)
			TRY(send_chunk(b, false));
	}
	return RC_OK;
}

/* ---- lines ---- */

static enum rc bad_line_end(struct body *b)
{
	return smtp_dead(b->s->c, RC_SYNTAX, b->s->why, "the message has a CR or LF that is no line end after %llu octets", (unsigned long long)b->octets);
}

/* RFC 5321 4.5.2: "When a line of mail text is sent, the SMTP client checks its first character. If it is a period, one additional period is inserted". 2.3.8:
 * "CR and LF ... MUST only be transmitted as line ends": a bare one could be taken for the end by a lenient peer (smuggling). */
static enum rc put_lines(struct body *b, struct str in)
{
	size_t from = 0, i = 0;
	while (i < in.n) {
		if (b->cr && in.p[i] != '\n')
			return bad_line_end(b);
		if (!b->in_line && in.p[i] == '.' && !b->s->bdat) {
			TRY(sink(b, (struct str){ in.p + from, i - from }));
			stream_write(b->s->c->io, STR(".")); /* no octet of the message */
			from = i;
		}
		size_t sound = b->in_line ? 0 : octets_whole_lines(str_skip(in, i), b->s->bdat ? '\n' : '.');
		if (sound) {
			i += sound;
			continue;
		}
		const char *lf = memchr(in.p + i, '\n', in.n - i);
		size_t end = lf ? (size_t)(lf - in.p) : in.n; /* of the line's octets in this run */
		const char *cr = end > i ? memchr(in.p + i, '\r', end - i) : NULL;
		bool cr_last = cr && (size_t)(cr - in.p) + 1 == end;
		if ((cr && !cr_last) || (lf && !cr_last && !(b->cr && end == i)))
			return bad_line_end(b);
		b->cr = !lf && cr_last;
		b->in_line = !lf;
		i = lf ? end + 1 : end;
	}
	return sink(b, str_skip(in, from));
}

static enum rc put(struct body *b, struct str in) { return b->text ? put_lines(b, in) : sink(b, in); }

/* Has the peer had enough before the end? Then what it says is everybody's outcome, and the connection has no use. */
static enum rc listen(struct body *b)
{
	struct sending *s = b->s;
	struct smtp_client *c = s->c;
	if (b->octets - b->heard < LISTEN_EVERY || s->bdat)
		return RC_OK;
	b->heard = b->octets;
	enum rc rc = stream_wait(c->io, 0);
	if (rc == RC_LATE || rc == RC_AGAIN)
		return RC_OK;
	if (rc == RC_OK)
		TRY(smtp_answer(c, "the message", c->config.dot_ms, s->reply, s->why, NULL, NULL));
	if (rc != RC_OK || smtp_class(s->reply) == RC_OK || smtp_class(s->reply) == RC_AGAIN)
		return smtp_dead(c, rc != RC_OK ? rc : RC_SYNTAX, s->why, "the server %s in the middle of the message", rc != RC_OK ? "went away" : "answered");
	smtp_outcome(s, smtp_class(s->reply), s->reply);
	b->refused = true;
	if (c->dead == RC_OK)
		c->dead = RC_CLOSED;
	return RC_OK;
}

static enum rc put_all(struct body *b)
{
	struct sending *s = b->s;
	struct smtp_client *c = s->c;
	for (;;) {
		struct str run = STR("");
		enum rc rc = s->m->more(s->m->house, &run);
		if (rc != RC_OK)
			return smtp_dead(c, rc, s->why, "the message cannot be read to its end");
		if (!run.n)
			break;
		stream_timeout(c->io, c->config.block_ms);
		TRY(put(b, run));
		if (!b->refused)
			TRY(listen(b));
		if (b->refused)
			return RC_OK;
		if (stream_error(c->io) != RC_OK)
			return smtp_dead(c, stream_error(c->io), s->why, "the connection broke in the middle of the message, after %llu octets", (unsigned long long)b->octets);
	}
	if (b->cr)
		return bad_line_end(b);
	return b->text && b->in_line ? sink(b, STR("\r\n")) : RC_OK;
}

enum rc smtp_send_body(struct sending *s)
{
	struct smtp_client *c = s->c;
	struct body b = { .s = s, .text = !s->m->body_binary };
	/* Each block has its patience; all of them together have so much that 1 KiB a second is enough. */
	uint64_t all = 10 * (uint64_t)c->config.block_ms + s->m->size;
	buf_init(&b.chunk, s->bdat ? CHUNK_MAX : 0);
	stream_limit(c->io, all < UINT32_MAX / 2 ? (unsigned)all : UINT32_MAX / 2);
	enum rc rc = put_all(&b);
	stream_limit(c->io, 0);
	if (c->watch) {
		char text[64];
		int n = snprintf(text, sizeof text, "(%llu octets of the message)", (unsigned long long)b.octets);
		c->watch(c->watch_arg, '>', str_of(text, (size_t)n));
	}
	if (rc == RC_OK && !b.refused) {
		if (s->bdat) {
			rc = send_chunk(&b, true);
		} else {
			smtp_say(c, STR("."), NULL);
			rc = final_answers(s);
		}
	}
	buf_done(&b.chunk);
	return rc;
}
