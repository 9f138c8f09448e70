/* What a server answers (RFC 5321 4.2), read with bounds: every line, every reply and the time for all of it. */
#include "smtp/client_internal.h"

#include "base/codec.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- one reply out of lines; pure ---- */

enum part { PART_MORE, PART_LAST, PART_BAD, PART_LONG };
struct reading {
	struct smtp_reply *out;
	unsigned lines;
	size_t octets, text_n;
	bool cut;
};

static void begin(struct reading *r, struct smtp_reply *out)
{
	*r = (struct reading){ .out = out };
	out->code = 0;
	out->ours = false;
	out->enhanced[0] = out->text[0] = 0;
}

static bool put(struct reading *r, const char *p, size_t n)
{
	struct smtp_reply *o = r->out;
	if (r->text_n + n > sizeof o->text - 4) {
		memcpy(o->text + r->text_n, "...", 4);
		r->cut = true;
		return false;
	}
	memcpy(o->text + r->text_n, p, n);
	r->text_n += n;
	o->text[r->text_n] = 0;
	return true;
}

/* Printable text: whatever else is there would act on the terminal or the report that shows it. */
static void add_text(struct reading *r, struct str s)
{
	s = str_trim(s);
	if (!s.n || r->cut || (r->text_n && !put(r, " ", 1)))
		return;
	while (s.n) {
		uint32_t u = 0;
		size_t n = utf8_next(s, &u);
		bool shown = n && u >= 0x20 && (u < 0x7f || u > 0x9f);
		if (!put(r, shown ? s.p : "?", shown ? n : 1))
			return;
		s = str_skip(s, n ? n : 1);
	}
}

/* One to three digits, no zero in front. */
static size_t code_part(struct str s)
{
	size_t n = 0;
	while (n < s.n && ascii_digit(s.p[n]))
		n++;
	return n == 0 || n > 3 || (n > 1 && s.p[0] == '0') ? 0 : n;
}

/* RFC 3463 2: status-code = class "." subject "." detail. Its length when `s` begins with one, else 0. */
static size_t enhanced_length(int code, struct str s)
{
	/* RFC 2034 4: "the class ... MUST agree with the first digit of the SMTP reply" */
	if (s.n < 5 || s.p[0] != '0' + code / 100 || s.p[1] != '.' || code / 100 == 3)
		return 0;
	size_t subject = code_part(str_skip(s, 2));
	if (!subject || 2 + subject >= s.n || s.p[2 + subject] != '.')
		return 0;
	size_t detail = code_part(str_skip(s, 3 + subject)), n = 3 + subject + detail;
	return detail && (n == s.n || s.p[n] == ' ') ? n : 0;
}

/* RFC 5321 4.2: Reply-code = %x32-35 %x30-35 %x30-39, then SP and text, or "-" where more lines follow; the code alone is common enough. */
static enum part take_line(struct reading *r, struct str line, struct str *out_text)
{
	struct smtp_reply *o = r->out;
	r->octets += line.n + 2;
	if (line.n > REPLY_LINE_MAX || ++r->lines > REPLY_LINES_MAX || r->octets > REPLY_MAX)
		return PART_LONG;
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !ascii_digit(line.p[1]) || !ascii_digit(line.p[2]) ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return PART_BAD;
	int code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0';
	/* RFC 5321 4.2.1: "In a multiline reply, the reply code on each of the lines MUST be the same." */
	if (o->code && o->code != code)
		return PART_BAD;
	o->code = code;
	struct str text = str_skip(line, 4);
	*out_text = text;
	size_t n = enhanced_length(code, text);
	if (n && r->lines == 1)
		(void)snprintf(o->enhanced, sizeof o->enhanced, "%.*s", (int)n, text.p);
	bool same = n && str_eq(str_head(text, n), str_z(o->enhanced));
	add_text(r, same ? str_skip(text, n) : text);
	return line.n > 3 && line.p[3] == '-' ? PART_MORE : PART_LAST;
}

/* The line that `in` begins with: its length without CRLF; -1 = not whole yet, -2 = a bare CR or LF, -3 = too long. */
static long whole_line(struct str in)
{
	const char *cr = memchr(in.p, '\r', in.n), *lf = memchr(in.p, '\n', in.n);
	if (lf && (!cr || lf < cr))
		return -2;
	if (!cr || cr + 1 == in.p + in.n)
		return in.n > REPLY_LINE_MAX + (cr ? 1 : 0) ? -3 : -1;
	if (cr[1] != '\n')
		return -2;
	return cr - in.p > REPLY_LINE_MAX ? -3 : cr - in.p;
}

long smtp_reply_parse(struct str in, struct smtp_reply *out)
{
	struct reading r;
	struct str text;
	size_t at = 0;
	begin(&r, out);
	for (;;) {
		long n = whole_line(str_skip(in, at));
		if (n < 0)
			return n == -1 ? 0 : -1;
		enum part p = take_line(&r, (struct str){ in.p + at, (size_t)n }, &text);
		at += (size_t)n + 2;
		if (p == PART_LAST)
			return (long)at;
		if (p != PART_MORE)
			return -1;
	}
}

/* ---- over a stream ---- */

enum rc smtp_dead(struct smtp_client *c, enum rc rc, struct why *why, const char *fmt, ...)
{
	char text[sizeof why->text];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (c->dead == RC_OK)
		c->dead = rc;
	return why_fail(why, rc, 0, __FILE__ ":" WHY_STR(__LINE__), "%s", text);
}

static enum rc broken(struct smtp_client *c, enum rc rc, const char *what, unsigned ms, struct why *why)
{
	if (rc == RC_LATE)
		return smtp_dead(c, rc, why, "no answer to %s within %u seconds", what, (ms + 999) / 1000);
	if (rc == RC_CLOSED)
		return smtp_dead(c, rc, why, "the server closed the connection before it answered %s", what);
	return smtp_dead(c, rc, why, "no answer to %s: %s", what, rc_name(rc));
}

/* One line into c->line, without CRLF. A LF without CR before it ends the talk at once: waiting for the right end would be waiting for the time-out. */
static enum rc next_line(struct smtp_client *c)
{
	buf_clear(&c->line);
	for (;;) {
		struct str got;
		TRY(stream_some(c->io, REPLY_LINE_MAX + 2 - c->line.len, &got));
		const char *lf = memchr(got.p, '\n', got.n);
		size_t take = lf ? (size_t)(lf - got.p) + 1 : got.n;
		buf_add(&c->line, str_head(got, take));
		stream_unread(c->io, got.n - take);
		if (c->line.failed)
			return RC_NOMEM;
		long n = whole_line(buf_str(&c->line));
		if (n >= 0) {
			c->line.len = (size_t)n;
			return RC_OK;
		}
		if (n != -1)
			return n == -3 ? RC_LIMIT : RC_SYNTAX;
	}
}

static enum rc read_reply(struct smtp_client *c, const char *what, unsigned ms, struct reading *r, struct why *why,
                          void (*each)(void *arg, unsigned line, struct str text), void *arg)
{
	for (;;) {
		struct str text;
		enum rc rc = next_line(c);
		enum part p = PART_BAD;
		if (rc == RC_OK) {
			if (c->watch)
				c->watch(c->watch_arg, '<', buf_str(&c->line));
			p = take_line(r, buf_str(&c->line), &text);
		} else if (stream_error(c->io) != RC_OK || rc == RC_NOMEM) {
			return broken(c, rc, what, ms, why);
		}
		if (p == PART_LONG || rc == RC_LIMIT)
			return smtp_dead(c, RC_LIMIT, why, "the answer to %s is longer than %d octets a line, %d lines or %d octets", what, REPLY_LINE_MAX, REPLY_LINES_MAX, REPLY_MAX);
		if (p == PART_BAD)
			return smtp_dead(c, RC_SYNTAX, why, "the answer to %s is not SMTP", what);
		if (each)
			each(arg, r->lines - 1, text);
		if (p == PART_LAST)
			return RC_OK;
	}
}

enum rc smtp_answer(struct smtp_client *c, const char *what, unsigned ms, struct smtp_reply *out, struct why *why,
                    void (*each)(void *arg, unsigned line, struct str text), void *arg)
{
	struct reading r;
	begin(&r, out);
	stream_timeout(c->io, ms);
	stream_limit(c->io, ms); /* all of the reply: an octet now and then gains nothing */
	enum rc rc = stream_flush(c->io);
	rc = rc != RC_OK ? broken(c, rc, what, ms, why) : read_reply(c, what, ms, &r, why, each, arg);
	stream_limit(c->io, 0);
	if (rc != RC_OK)
		begin(&r, out); /* half a reply says nothing */
	else if (out->code == 421)
		c->dead = RC_CLOSED;
	return rc;
}

enum rc smtp_class(const struct smtp_reply *r)
{
	static const enum rc of[] = { [2] = RC_OK, [3] = RC_AGAIN, [4] = RC_BUSY, [5] = RC_DENIED };
	return of[r->code / 100];
}

enum rc smtp_refused(const char *what, const struct smtp_reply *r, struct why *why)
{
	FAIL(why, smtp_class(r), "%s was answered: %d %s%s%.120s", what, r->code, r->enhanced, r->enhanced[0] ? " " : "", r->text);
}

enum rc smtp_out_of_order(struct smtp_client *c, const char *what, const struct smtp_reply *r, struct why *why)
{
	return smtp_dead(c, RC_SYNTAX, why, "%d is no answer to %s: the server is out of step", r->code, what);
}

enum rc smtp_may_say(struct smtp_client *c, struct smtp_reply *reply, struct why *why)
{
	if (c->dead != RC_OK)
		FAIL(why, RC_CLOSED, "the connection is of no use any more");
	if (stream_error(c->io) != RC_OK)
		return broken(c, stream_error(c->io), "anything", 0, why);
	if (!stream_pending(c->io))
		return RC_OK;
	/* Nothing is outstanding, so this answers nothing; taking it for the next answer would shift all that follow. */
	TRY(smtp_answer(c, "nothing", c->config.quit_ms, reply, why, NULL, NULL));
	if (reply->code == 421)
		return smtp_refused("The waiting connection", reply, why);
	return smtp_dead(c, RC_SYNTAX, why, "the server said %d without being asked", reply->code);
}

void smtp_say(struct smtp_client *c, struct str line, const char *shown)
{
	if (c->watch)
		c->watch(c->watch_arg, '>', shown ? str_z(shown) : line);
	stream_write(c->io, line);
	stream_write(c->io, STR("\r\n"));
}
