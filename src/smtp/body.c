#include "smtp/internal.h"

#include "base/mem.h"
#include "os/loop.h"
#include <stdio.h>

/* DATA (RFC 5321 4.1.1.4) and BDAT (RFC 3030): a message flows from the stream to the house in pieces as large as they come. Once it is
 * refused, for whatever reason, the rest is read and dropped, so that no octet of it is ever taken for a command. */

static int64_t now_ms(void) { return fiber_self() ? loop_now(fiber_loop()) : 0; }

void smtp_abort_body(struct smtp_session *s)
{
	if (!s->open)
		return;
	s->open = false;
	s->hooks->body_abort(s->hooks->house);
}

/* The first reason counts; what follows it is thrown away. */
static void refuse(struct smtp_session *s, int code, const char *text)
{
	if (s->refusal_code)
		return;
	s->refusal_code = code;
	(void)snprintf(s->refusal, sizeof s->refusal, "%s", text);
	s->junk = 0;
	s->junk_since = now_ms();
	smtp_abort_body(s);
}

static void refuse_outcome(struct smtp_session *s, enum rc rc, const struct why *why)
{
	char text[240];
	smtp_text_of(rc, smtp_code_of(rc), why, NULL, text);
	refuse(s, smtp_code_of(rc), text);
}

static void refuse_size(struct smtp_session *s)
{
	char text[100]; /* RFC 1870 6.3 */
	(void)snprintf(text, sizeof text, "5.3.4 message larger than %llu octets", (unsigned long long)s->config->max_size);
	refuse(s, 552, text);
}

/* Opens the body in the house. False: the transaction is over or goes on without a body, and the client has its answer in `refusal`. */
static bool begin(struct smtp_session *s, bool plain)
{
	s->text = (struct smtp_text){ .plain = plain };
	s->size = s->junk = 0;
	s->refusal_code = 0;
	/* Taken now: whoever has sent everything must not hear that there is no memory for the answer. */
	s->results = mem_new(s->rcpts * sizeof *s->results);
	if (!s->results) {
		refuse(s, 452, "4.3.1 no memory for this now");
		return false;
	}
	struct why why = { 0 };
	enum rc rc = s->hooks->body_begin(s->hooks->house, &s->mail, &why);
	if (rc != RC_OK) {
		refuse_outcome(s, rc, &why);
		return false;
	}
	s->open = true;
	return true;
}

/* RFC 5321 2.3.8: "MUST NOT recognize or generate any other character or character sequence as a line terminator" */
static const char *line_offence(const struct smtp_session *s)
{
	if (s->text.bare_lf)
		return "5.6.0 bare LF in the message; lines end with CR LF";
	if (s->text.bare_cr)
		return "5.6.0 bare CR in the message; lines end with CR LF";
	return s->text.long_line ? "5.6.0 line longer than " WHY_STR(SMTP_TEXT_LINE_MAX) " octets" : NULL;
}

/* What is wrong with the lines is worse than any other reason, in whatever order the two were found: so the answer does not depend on how the
 * message was cut into packets. */
static void settle_refusal(struct smtp_session *s)
{
	const char *offence = line_offence(s);
	if (!offence)
		return;
	s->refusal_code = 0;
	refuse(s, 550, offence);
}

/* Some octets of the message, already without the stuffing. */
static void put(struct smtp_session *s, struct str run)
{
	struct why why = { 0 };
	const char *offence = line_offence(s);
	if (offence)
		refuse(s, 550, offence);
	if (s->refusal_code || !run.n)
		return;
	uint64_t room = s->config->max_size ? s->config->max_size - s->size : UINT64_MAX;
	struct str fits = run.n > room ? str_head(run, (size_t)room) : run;
	s->size += fits.n;
	enum rc rc = fits.n ? s->hooks->body_write(s->hooks->house, fits, &why) : RC_OK;
	if (rc != RC_OK)
		refuse_outcome(s, rc, &why);
	else if (run.n > room)
		refuse_size(s);
}

/* A refused message may still be long; nobody may send junk for ever. */
static bool junk_is_endless(struct smtp_session *s, size_t n)
{
	if (!s->refusal_code)
		return false;
	s->junk += n;
	if (s->junk <= SMTP_JUNK_MAX && now_ms() - s->junk_since <= SMTP_JUNK_MS)
		return false;
	smtp_hang_up(s, RC_LIMIT, 421, "4.7.0 this message was refused long ago: %s", s->refusal);
	return true;
}

static enum rc read_data(struct smtp_session *s)
{
	while (s->text.at != TEXT_END) {
		struct str in;
		TRY(stream_some(s->io, SMTP_PIECE_MAX, &in));
		size_t got = in.n;
		while (in.n && s->text.at != TEXT_END) {
			struct str run = smtp_text_run(&s->text, &in);
			put(s, run);
		}
		stream_unread(s->io, in.n);
		if (junk_is_endless(s, got - in.n))
			return RC_LIMIT;
	}
	return RC_OK;
}

/* ---- the answer ---- */

/* LMTP, RFC 2033 4.2: "the server MUST return one reply for each previously successful RCPT command". */
static void answer_all(struct smtp_session *s, int code, const char *text)
{
	unsigned n = s->config->kind == SMTP_LMTP ? s->rcpts : 1;
	for (unsigned i = 0; i < n; i++)
		smtp_reply(s, code, "%s", text);
}

/* SMTP has one answer: yes if anybody took it; else the first temporary refusal, for a later try may succeed; else the first. */
static void answer_one(struct smtp_session *s, const char *id)
{
	size_t worst = 0;
	bool temporary = false;
	for (size_t i = 0; i < s->rcpts; i++) {
		if (s->results[i].rc == RC_OK) {
			smtp_reply(s, 250, "2.0.0 Ok %s", id);
			return;
		}
		if (!temporary && smtp_code_of(s->results[i].rc) < 500) {
			temporary = true;
			worst = i;
		}
	}
	char text[240];
	int code = smtp_code_of(s->results[worst].rc);
	smtp_text_of(s->results[worst].rc, code, &s->results[worst].why, NULL, text);
	smtp_reply(s, code, "%s", text);
}

static void answer_each(struct smtp_session *s, const char *id)
{
	for (size_t i = 0; i < s->rcpts; i++) {
		char text[240];
		int code = smtp_code_of(s->results[i].rc);
		smtp_text_of(s->results[i].rc, code, &s->results[i].why, NULL, text);
		if (code == 250)
			smtp_reply(s, 250, "2.0.0 Ok %s", id);
		else
			smtp_reply(s, code, "%s", text);
	}
}

/* Everything is here: commit it, or say why not. */
static void finish(struct smtp_session *s)
{
	char id[16] = "";
	struct why why = { 0 };
	settle_refusal(s);
	if (s->refusal_code) {
		answer_all(s, s->refusal_code, s->refusal);
		return;
	}
	for (size_t i = 0; i < s->rcpts; i++) { /* silence is not consent */
		s->results[i].rc = RC_IO;
		(void)snprintf(s->results[i].why.text, sizeof s->results[i].why.text, "4.3.0 nothing known of this recipient's copy");
	}
	s->open = false;
	enum rc rc = s->hooks->body_commit(s->hooks->house, s->results, s->rcpts, id, &why);
	id[15] = 0;
	if (rc != RC_OK) {
		char text[240];
		smtp_text_of(rc, smtp_code_of(rc), &why, NULL, text);
		answer_all(s, smtp_code_of(rc), text);
	} else if (s->config->kind == SMTP_LMTP) {
		answer_each(s, id);
	} else {
		answer_one(s, id);
	}
}

/* ---- DATA ---- */

void smtp_do_data(struct smtp_session *s, struct str arg)
{
	(void)arg;
	if (s->state != SMTP_RCPT) {
		if (s->config->kind != SMTP_LMTP && s->rcpts_tried)
			smtp_error(s, 554, "5.5.1 no valid recipients"); /* RFC 5321 3.3 */
		else
			smtp_error(s, 503, "5.5.1 RCPT first");
		return;
	}
	if (s->mail.body_binary) { /* RFC 3030 3 */
		smtp_error(s, 503, "5.5.1 BINARYMIME goes with BDAT");
		return;
	}
	if (!begin(s, false)) {
		smtp_reply(s, s->refusal_code, "%s", s->refusal);
		smtp_end_transaction(s);
		return;
	}
	smtp_reply(s, 354, "go ahead; end with CR LF . CR LF");
	stream_timeout(s->io, s->config->data_ms);
	enum rc rc = read_data(s);
	stream_timeout(s->io, s->config->command_ms);
	s->command = STR("DATA");
	if (rc == RC_OK)
		finish(s);
	else if (s->state != SMTP_GONE) {
		s->state = SMTP_GONE; /* lost in the middle: nothing is committed */
		s->end = rc;
	}
	smtp_end_transaction(s);
}

/* ---- BDAT ---- */

static bool parse_bdat(struct str arg, uint64_t *out_size, bool *out_last)
{
	struct str number, last;
	bool more = str_cut(arg, ' ', &number, &last);
	*out_last = more && str_ieq(last, STR("LAST"));
	return (!more || *out_last) && str_u64(number, UINT64_MAX, out_size);
}

/* RFC 3030 2: "The chunk-data ... MUST" be read whole, whatever is wrong: it is never a command. */
static enum rc read_chunk(struct smtp_session *s, uint64_t left, bool keep)
{
	while (left) {
		struct str in;
		TRY(stream_some(s->io, left < SMTP_PIECE_MAX ? (size_t)left : SMTP_PIECE_MAX, &in));
		left -= in.n;
		if (keep && junk_is_endless(s, in.n))
			return RC_LIMIT;
		while (keep && in.n) {
			struct str run = s->mail.body_binary ? in : smtp_text_run(&s->text, &in);
			if (s->mail.body_binary)
				in = STR("");
			put(s, run);
		}
	}
	return RC_OK;
}

static void lost(struct smtp_session *s, enum rc rc)
{
	if (s->state == SMTP_GONE)
		return;
	s->state = SMTP_GONE;
	s->end = rc;
}

/* Out of sequence: the octets are dropped, within reason. */
static void drop_chunk(struct smtp_session *s, uint64_t size)
{
	if (size > SMTP_JUNK_MAX) {
		smtp_hang_up(s, RC_LIMIT, 421, "4.7.0 a chunk of %llu octets that nobody asked for", (unsigned long long)size);
		return;
	}
	stream_timeout(s->io, s->config->data_ms);
	enum rc rc = read_chunk(s, size, false);
	stream_timeout(s->io, s->config->command_ms);
	s->command = STR("BDAT");
	if (rc != RC_OK)
		lost(s, rc);
	else if (s->config->kind != SMTP_LMTP && s->state == SMTP_MAIL && s->rcpts_tried)
		smtp_error(s, 554, "5.5.1 no valid recipients");
	else
		smtp_error(s, 503, "5.5.1 MAIL and RCPT first");
}

static void chunk_done(struct smtp_session *s, uint64_t size, bool last)
{
	if (!last) {
		settle_refusal(s);
		if (s->refusal_code)
			smtp_reply(s, s->refusal_code, "%s", s->refusal);
		else
			smtp_reply(s, 250, "2.0.0 %llu octets received", (unsigned long long)size);
		return;
	}
	if (!s->mail.body_binary)
		smtp_text_finish(&s->text);
	finish(s);
	smtp_end_transaction(s);
}

void smtp_do_bdat(struct smtp_session *s, struct str arg)
{
	uint64_t size;
	bool last;
	if (!parse_bdat(arg, &size, &last)) {
		/* How many octets follow? Nobody knows, so none of them may be read as a command. */
		smtp_hang_up(s, RC_SYNTAX, 501, "5.5.4 syntax: BDAT size [LAST]; closing, for the size of the chunk is not known");
		return;
	}
	if (s->state != SMTP_RCPT && s->state != SMTP_BDAT) {
		drop_chunk(s, size);
		return;
	}
	if (s->state == SMTP_RCPT) {
		s->state = SMTP_BDAT;
		(void)begin(s, true); /* a refusal is told at the end of the chunk */
	}
	if (s->config->max_size && size > s->config->max_size - (s->size < s->config->max_size ? s->size : s->config->max_size))
		refuse_size(s);
	if (s->refusal_code && size > SMTP_JUNK_MAX) {
		smtp_hang_up(s, RC_LIMIT, 421, "%s", s->refusal);
		return;
	}
	stream_timeout(s->io, s->config->data_ms);
	enum rc rc = read_chunk(s, size, true);
	stream_timeout(s->io, s->config->command_ms);
	s->command = STR("BDAT");
	if (rc != RC_OK)
		lost(s, rc);
	else
		chunk_done(s, size, last);
}
