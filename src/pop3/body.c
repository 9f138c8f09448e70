#include "pop3/body.h"

void pop3_body_begin(struct pop3_body *b, struct stream *io)
{
	*b = (struct pop3_body){ .io = io, .line_start = true, .empty = true };
}

typedef unsigned char octets __attribute__((vector_size(16)));

/* The next dot that begins a line, for lines that begin after an LF at or behind `p`; NULL: none. */
static const char *stuffed(const char *p, const char *end)
{
	static const octets lf = { 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10 };
	static const octets dot = { 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46 };
	for (octets a, b; end - p > (ptrdiff_t)sizeof a; p += sizeof a) { /* sixteen places at once: nearly all of them have none */
		uint64_t hit[2];
		memcpy(&a, p, sizeof a);
		memcpy(&b, p + 1, sizeof b);
		octets both = (octets)((a == lf) & (b == dot));
		memcpy(hit, &both, sizeof hit);
		if (hit[0] | hit[1])
			break;
	}
	for (; end - p > 1; p++)
		if (p[0] == '\n' && p[1] == '.')
			return p + 1;
	return NULL;
}

/* RFC 1939 section 3: "If any line of a multi-line response begins with the termination octet, the line is
 * 'byte-stuffed' by pre-pending the termination octet". Whole chunks go out in one piece where no line does. A line begins after every LF, also a bare one: clients that end a line there would
 * otherwise take "\n.\r\n" inside a message for its end. */
void pop3_body_write(struct pop3_body *b, struct str chunk)
{
	const char *p = chunk.p, *end = chunk.p + chunk.n, *run = p;
	if (chunk.n == 0)
		return;
	if (b->line_start && *p == '.')
		stream_write(b->io, STR("."));
	while ((p = stuffed(p, end)) != NULL) {
		stream_write(b->io, str_of(run, (size_t)(p - run)));
		stream_write(b->io, STR("."));
		run = p;
	}
	stream_write(b->io, str_of(run, (size_t)(end - run)));
	b->tail[0] = chunk.n > 1 ? end[-2] : b->tail[1];
	b->tail[1] = end[-1];
	b->line_start = end[-1] == '\n';
	b->empty = false;
}

void pop3_body_end(struct pop3_body *b)
{
	if (!b->empty && !(b->tail[0] == '\r' && b->tail[1] == '\n'))
		stream_write(b->io, STR("\r\n"));
	stream_write(b->io, STR(".\r\n"));
}

void pop3_top_begin(struct pop3_top *t, uint64_t lines)
{
	*t = (struct pop3_top){ .lines = lines, .line_empty = true };
}

/* The current line has ended: was it the blank one after the header, or the last one wanted? */
static void top_line(struct pop3_top *t)
{
	if (t->in_body)
		t->lines--;
	else
		t->in_body = t->line_empty;
	t->done = t->in_body && t->lines == 0;
	t->line_empty = true;
	t->line_cr = false;
}

/* Looks at the octets of an unfinished line; only the first two of it can matter. */
static void top_look(struct pop3_top *t, const char *p, size_t n)
{
	if (n == 0 || !t->line_empty)
		return;
	t->line_empty = n == 1 && *p == '\r' && !t->line_cr;
	t->line_cr = t->line_empty;
}

size_t pop3_top_take(struct pop3_top *t, struct str chunk)
{
	const char *p = chunk.p, *end = chunk.p + chunk.n;
	while (p < end && !t->done) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		top_look(t, p, (size_t)((lf ? lf : end) - p));
		if (!lf)
			return chunk.n;
		top_line(t);
		p = lf + 1;
	}
	return (size_t)(p - chunk.p);
}
