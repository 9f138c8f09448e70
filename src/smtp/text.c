#include "smtp/text.h"

#include "base/octets.h"

/* One piece of a line, up to and with its LF when that is there. Gives the octets used. */
static size_t piece(struct smtp_text *t, const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	size_t len = lf ? (size_t)(lf - p) : n;
	if (len) {
		if (t->cr || memchr(p, '\r', len - 1))
			t->bare_cr = true;
		t->cr = p[len - 1] == '\r';
		t->at = TEXT_LINE;
		t->line += len;
	}
	if (t->line > SMTP_TEXT_LINE_MAX + (size_t)t->cr) /* its CRLF does not count */
		t->long_line = true;
	if (!lf)
		return len;
	if (t->cr) {
		t->at = TEXT_START;
		t->line = 0;
	} else {
		t->bare_lf = true;
		t->at = TEXT_LINE;
		t->line++;
	}
	t->cr = false;
	return len + 1;
}

/* Where a line starts: how many octets are whole lines with nothing to note, before one that begins with a dot. In a window so large no
 * line is too long. */
static size_t sound_lines(const struct smtp_text *t, struct str in)
{
	return octets_whole_lines(str_head(in, SMTP_TEXT_LINE_MAX), t->plain ? '\n' : '.');
}

struct str smtp_text_run(struct smtp_text *t, struct str *in)
{
	if (t->at == TEXT_DOT_CR) {
		if (in->p[0] == '\n') {
			*in = str_skip(*in, 1);
			t->at = TEXT_END;
			return STR("");
		}
		/* Dot, CR, something: no end. The dot is gone, its CR is part of the text. */
		t->at = TEXT_LINE;
		t->line = 1;
		t->cr = true;
		return STR("\r");
	}
	if (t->at == TEXT_DOT) {
		if (in->p[0] == '\r') {
			*in = str_skip(*in, 1);
			t->at = TEXT_DOT_CR;
			return STR("");
		}
		t->at = TEXT_LINE; /* RFC 5321 4.5.2: "If the first character is a period and there are other characters on the line, the first character is deleted." */
	}
	size_t used = 0;
	while (used < in->n) {
		if (t->at == TEXT_START && !t->plain && in->p[used] == '.') {
			t->at = TEXT_DOT;
			break;
		}
		size_t sound = t->at == TEXT_START ? sound_lines(t, str_skip(*in, used)) : 0;
		used += sound ? sound : piece(t, in->p + used, in->n - used);
	}
	struct str run = str_head(*in, used);
	*in = str_skip(*in, used + (t->at == TEXT_DOT)); /* the dot itself is never handed out */
	return run;
}

void smtp_text_finish(struct smtp_text *t)
{
	if (t->cr)
		t->bare_cr = true;
}
