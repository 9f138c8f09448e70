#include "smtp/internal.h"

#include "os/loop.h"
#include <stdarg.h>
#include <stdio.h>

/* One line of printable ASCII, whatever a hook or a stranger put into it. */
static void clean(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void send(struct smtp_session *s, int code, const char *text)
{
	stream_writef(s->io, "%d %s\r\n", code, text);
	if (code >= 400 && s->hooks->refused)
		s->hooks->refused(s->hooks->house, code, text, s->command);
}

__attribute__((format(printf, 2, 0))) static void format(char out[400], const char *fmt, va_list ap)
{
	(void)vsnprintf(out, 400, fmt, ap); /* RFC 5321 4.5.3.1.5: a reply line is 512 octets at most; people can do with a cut text */
	clean(out);
}

void smtp_reply(struct smtp_session *s, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	send(s, code, text);
}

void smtp_hang_up(struct smtp_session *s, enum rc end, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	if (s->state == SMTP_GONE)
		return;
	s->state = SMTP_GONE;
	s->end = end;
	send(s, code, text);
}

/* Who makes many mistakes may wait for the answers. Only a fiber can: the others' sessions run on. */
void smtp_tarpit(struct smtp_session *s)
{
	if (!s->config->tarpit_ms || s->errors + s->bad_rcpts <= SMTP_TARPIT_FREE || !fiber_self())
		return;
	if (fiber_sleep(s->config->tarpit_ms) != RC_OK && s->state != SMTP_GONE) {
		s->state = SMTP_GONE;
		s->end = RC_CLOSED;
	}
}

void smtp_error(struct smtp_session *s, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	s->errors++;
	smtp_tarpit(s);
	if (s->config->max_errors && s->errors >= s->config->max_errors)
		smtp_hang_up(s, RC_DENIED, 421, "4.7.0 too many errors");
	else if (s->state != SMTP_GONE)
		send(s, code, text);
}

static const struct { enum rc rc; int code; const char *enhanced, *text; } outcomes[] = {
	{ RC_NOTFOUND, 550, "5.1.1", "not known here" },
	{ RC_DENIED, 550, "5.7.1", "not allowed" },
	{ RC_SYNTAX, 550, "5.6.0", "malformed" },
	{ RC_EXISTS, 550, "5.5.0", "is there already" },
	{ RC_CONFLICT, 554, "5.4.6", "goes round in circles" },
	{ RC_LIMIT, 552, "5.3.4", "too large" },
	{ RC_FULL, 452, "4.3.1", "no room now, try again later" },
	{ RC_BUSY, 451, "4.3.2", "busy, try again later" },
};
enum { OUTCOMES = sizeof outcomes / sizeof *outcomes };

static size_t outcome_of(enum rc rc)
{
	size_t i = 0;
	while (i < OUTCOMES && outcomes[i].rc != rc)
		i++;
	return i;
}

int smtp_code_of(enum rc rc)
{
	size_t i = outcome_of(rc);
	return rc == RC_OK ? 250 : i < OUTCOMES ? outcomes[i].code : 451;
}

/* Does it begin with class.subject.detail (RFC 3463 2)? */
static bool has_enhanced(const char *t)
{
	if ((t[0] != '2' && t[0] != '4' && t[0] != '5') || t[1] != '.')
		return false;
	size_t subject = strspn(t + 2, "0123456789");
	if (subject < 1 || subject > 3 || t[2 + subject] != '.')
		return false;
	size_t detail = strspn(t + 3 + subject, "0123456789");
	return detail >= 1 && detail <= 3 && (t[3 + subject + detail] == ' ' || !t[3 + subject + detail]);
}

void smtp_text_of(enum rc rc, int code, const struct why *why, const char *fallback, char out[240])
{
	size_t i = outcome_of(rc);
	const char *text = why->text[0] ? why->text : i < OUTCOMES ? outcomes[i].text : "try again later";
	char class = (char)('0' + code / 100);
	if (has_enhanced(text)) /* RFC 2034 4: "the class ... MUST match the first digit of the reply code" */
		(void)snprintf(out, 240, "%c%s", class, text + 1);
	else
		(void)snprintf(out, 240, "%c%s %s", class, (fallback ? fallback : i < OUTCOMES ? outcomes[i].enhanced : "4.3.0") + 1, text);
}
