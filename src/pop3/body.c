#include "pop3/body.h"

#include "base/wide.h"

enum { WHOLE_MIN = 1024 }; /* less is copied in no time */

void pop3_body_begin(struct pop3_body *b, struct stream *io)
{
	*b = (struct pop3_body){ .io = io, .line_start = true, .empty = true };
}

#if defined(__x86_64__)
typedef unsigned char octets __attribute__((vector_size(32)));
typedef uint64_t words __attribute__((vector_size(32)));

/* An LF with a dot behind it: where, among thirty-two octets. */
WIDE static inline octets places(const char *p)
{
	const octets zero = { 0 };
	octets a, b;
	memcpy(&a, p, sizeof a);
	memcpy(&b, p + 1, sizeof b);
	return (octets)((a == zero + '\n') & (b == zero + '.'));
}

/* How far there is certainly no such place: by four registers at once, for nearly all of them have none. */
WIDE static const char *skip_wide(const char *p, const char *end)
{
	enum { REGISTERS = 4 * sizeof(octets) };
	for (; end - p > REGISTERS; p += REGISTERS) {
		words hit = (words)(places(p) | places(p + sizeof(octets)) | places(p + 2 * sizeof(octets)) | places(p + 3 * sizeof(octets)));
		if (hit[0] | hit[1] | hit[2] | hit[3])
			break;
	}
	return p;
}
#else
static const char *skip_wide(const char *p, const char *end) { return p; }
#endif

/* The next dot that begins a line, for lines that begin after an LF at or behind `p`; NULL: none. */
static const char *stuffed(const char *p, const char *end)
{
	if (wide_ok())
		p = skip_wide(p, end);
	while (end - p > 1) {
		const char *lf = memchr(p, '\n', (size_t)(end - p) - 1);
		if (!lf)
			return NULL;
		if (lf[1] == '.')
			return lf + 1;
		p = lf + 1;
	}
	return NULL;
}

/* RFC 1939 section 3: "If any line of a multi-line response begins with the termination octet, the line is
 * 'byte-stuffed' by pre-pending the termination octet". Cuts `*rest` there, into at most `most` parts as they are to be sent: a dot that begins a
 * line ends one part and begins the next. A line begins after every LF, also a bare one: clients that end a line there would otherwise take
 * "\n.\r\n" inside a message for its end. `first`: one begins here. What found no room stays in `*rest`, and no line begins there. */
static size_t cut(struct str *rest, bool first, struct str *parts, size_t most)
{
	const char *p = rest->p, *end = p + rest->n;
	size_t n = 0;
	for (const char *dot = first && *p == '.' ? p : stuffed(p, end); dot; dot = stuffed(dot, end)) {
		if (n == most) {
			*rest = str_of(p, (size_t)(end - p));
			return n;
		}
		parts[n++] = str_of(p, (size_t)(dot - p) + 1);
		p = dot;
	}
	*rest = str_of(p, (size_t)(end - p));
	if (n < most) {
		parts[n++] = *rest;
		*rest = STR("");
	}
	return n;
}

void pop3_body_write(struct pop3_body *b, struct str chunk)
{
	struct str parts[STREAM_PARTS_MAX], rest = chunk;
	for (bool first = b->line_start; rest.n; first = false) {
		size_t n = cut(&rest, first, parts, STREAM_PARTS_MAX);
		for (size_t i = 0; i < n; i++)
			stream_write(b->io, parts[i]);
	}
	if (chunk.n == 0)
		return;
	b->tail[0] = chunk.n > 1 ? chunk.p[chunk.n - 2] : b->tail[1];
	b->tail[1] = chunk.p[chunk.n - 1];
	b->line_start = b->tail[1] == '\n';
	b->empty = false;
}

bool pop3_body_whole(struct stream *io, struct str message)
{
	struct str parts[STREAM_PARTS_MAX], rest = message;
	if (message.n < WHOLE_MIN)
		return false;
	size_t n = cut(&rest, true, parts, STREAM_PARTS_MAX - 1);
	if (rest.n)
		return false;
	parts[n++] = message.p[message.n - 2] == '\r' && message.p[message.n - 1] == '\n' ? STR(".\r\n") : STR("\r\n.\r\n");
	stream_write_last(io, parts, n);
	return true;
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
