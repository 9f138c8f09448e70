#include "imap/internal.h"

#include "imap/utf7.h"
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 480 };

/* No peer's octet reaches the text of an answer with a line end in it. */
__attribute__((format(printf, 3, 0)))
static void answer_set(struct session *s, int kind, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];
	int n = vsnprintf(text, sizeof text, fmt, ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x7f)
			text[i] = '?';
	buf_clear(&s->answer);
	buf_add(&s->answer, str_of(text, len));
	s->answer_kind = kind;
}

#define ANSWER(name, kind)                                       \
	void name(struct session *s, const char *fmt, ...)       \
	{                                                        \
		va_list ap;                                      \
		va_start(ap, fmt);                               \
		answer_set(s, kind, fmt, ap);                    \
		va_end(ap);                                      \
	}
ANSWER(answer_ok, ANSWER_OK)
ANSWER(answer_no, ANSWER_NO)
ANSWER(answer_bad, ANSWER_BAD)

void answer_syntax(struct session *s, const struct args *a)
{
	answer_bad(s, "expected %s", a->expected ? a->expected : "something else");
}

void answer_failure(struct session *s, enum rc rc, const struct why *why, const char *what)
{
	/* RFC 5530 3 */
	static const char *const codes[] = {
		[RC_DENIED] = "NOPERM",       [RC_NOTFOUND] = "NONEXISTENT", [RC_EXISTS] = "ALREADYEXISTS", [RC_LIMIT] = "LIMIT",
		[RC_FULL] = "OVERQUOTA",      [RC_SYNTAX] = "CANNOT",        [RC_CONFLICT] = "INUSE",       [RC_DAMAGED] = "CORRUPTION",
		[RC_IO] = "UNAVAILABLE",
	};
	const char *code = (size_t)rc < sizeof codes / sizeof *codes && codes[rc] ? codes[rc] : "UNAVAILABLE";
	const char *text = why && why->text[0] ? why->text : rc == RC_NOMEM ? "out of memory, try again later" : what;
	answer_no(s, "[%s] %s", code, text);
}

void answer_send(struct session *s)
{
	static const struct str kinds[] = { STR_INIT(" OK "), STR_INIT(" NO "), STR_INIT(" BAD ") };
	stream_write(s->io, s->tag.n ? s->tag : STR("*"));
	stream_write(s->io, kinds[s->answer_kind]);
	/* RFC 5530 3: EXPUNGEISSUED: someone else has expunged; NOOP brings the news. */
	if (s->answer_kind == ANSWER_OK && s->box.held.n && s->answer.len && s->answer.p[0] != '[')
		stream_write(s->io, STR("[EXPUNGEISSUED] "));
	stream_write(s->io, s->answer.len && !s->answer.failed ? buf_str(&s->answer) : STR("done"));
	stream_write(s->io, STR("\r\n"));
}

void bye(struct session *s, const char *fmt, ...)
{
	va_list ap;
	if (s->is_over)
		return;
	va_start(ap, fmt);
	answer_set(s, ANSWER_NO, fmt, ap);
	va_end(ap);
	stream_write(s->io, STR("* BYE "));
	stream_write(s->io, buf_str(&s->answer));
	stream_write(s->io, STR("\r\n"));
	s->is_over = true;
}

bool out_room(struct out *o, size_t n)
{
	enum { PIECE = 8192 };
	out_flush(o);
	size_t want = n > PIECE ? n : PIECE;
	o->p = stream_reserve(o->io, want);
	o->cap = o->p ? want : 0;
	return o->p != NULL;
}

void out_flush(struct out *o)
{
	if (o->at)
		stream_commit(o->io, o->at);
	o->p = NULL;
	o->at = o->cap = 0;
}

void out_long(struct out *o, struct str s)
{
	out_flush(o);
	stream_write(o->io, s);
}

void out_num(struct out *o, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657"
	                            "5859606162636465666768697071727374757677787980818283848586878889909192939495969798" "99";
	char tmp[20];
	size_t i = sizeof tmp;
	while (v >= 100) {
		i -= 2;
		memcpy(tmp + i, pairs + 2 * (v % 100), 2);
		v /= 100;
	}
	if (v >= 10) {
		i -= 2;
		memcpy(tmp + i, pairs + 2 * v, 2);
	} else {
		tmp[--i] = (char)('0' + v);
	}
	out_put(o, str_of(tmp + i, sizeof tmp - i));
}

void out_string(struct out *o, struct str in)
{
	bool quotable = in.n <= 1024;
	for (size_t i = 0; i < in.n && quotable; i++)
		quotable = (unsigned char)in.p[i] >= ' ' && (unsigned char)in.p[i] < 0x7f;
	if (!quotable) {
		out_put(o, STR("{"));
		out_num(o, in.n);
		out_put(o, STR("}\r\n"));
		out_put(o, in);
		return;
	}
	out_put(o, STR("\""));
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '"' || in.p[i] == '\\')
			out_put(o, STR("\\"));
		out_put(o, str_of(in.p + i, 1));
	}
	out_put(o, STR("\""));
}

void out_mailbox(struct out *o, struct str utf8)
{
	AUTO(buf_done) struct buf name;
	buf_init(&name, 16 << 10);
	/* What cannot be encoded (a name that is not UTF-8) goes out as the literal it is rather than not at all. */
	out_string(o, utf7_encode(utf8, &name) == RC_OK ? buf_str(&name) : utf8);
}

void out_flags(struct out *o, const struct selected *box, uint32_t uid, uint32_t flags, uint64_t keywords)
{
	static const struct str names[] = { STR_INIT("\\Seen"), STR_INIT("\\Answered"), STR_INIT("\\Flagged"), STR_INIT("\\Deleted"),
	                                    STR_INIT("\\Draft") };
	bool first = true;
	out_put(o, STR("("));
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		if (!(flags & 1u << i))
			continue;
		if (!first)
			out_put(o, STR(" "));
		out_put(o, names[i]);
		first = false;
	}
	if (box->recent.n && ranges_have(&box->recent, uid)) {
		out_put(o, first ? STR("\\Recent") : STR(" \\Recent"));
		first = false;
	}
	for (uint64_t left = keywords & box->known_keywords; left; left &= left - 1) {
		if (!first)
			out_put(o, STR(" "));
		out_put(o, box->keywords[__builtin_ctzll(left)]);
		first = false;
	}
	out_put(o, STR(")"));
}

static void two(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
}

void out_date(struct out *o, int64_t ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t sec = ms / 1000 - (ms % 1000 < 0), day = sec / 86400 - (sec % 86400 < 0);
	unsigned rest = (unsigned)(sec - day * 86400);
	/* Days since 1970-01-01 to a date: count from 0000-03-01, so that a leap day ends its year. */
	int64_t z = day + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097), yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned mon = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = (int64_t)yoe + era * 400 + (mon <= 2);
	char t[] = "\"01-Jan-1970 00:00:00 +0000\"";
	if (year < 0 || year > 9999)
		year = 0; /* four digits are all that RFC 3501's date-time has */
	two(t + 1, doy - (153 * mp + 2) / 5 + 1);
	if (t[1] == '0')
		t[1] = ' '; /* RFC 3501 9: date-day-fixed = (SP DIGIT) / 2DIGIT */
	memcpy(t + 4, months + 3 * (mon - 1), 3);
	two(t + 8, (unsigned)(year / 100));
	two(t + 10, (unsigned)(year % 100));
	two(t + 13, rest / 3600);
	two(t + 16, rest / 60 % 60);
	two(t + 19, rest % 60);
	out_put(o, str_of(t, sizeof t - 1));
}
