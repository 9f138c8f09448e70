/* Canonicalisation (RFC 6376 3.4). Most of a body is plain text, which is copied in runs of sixteen octets at a time. */
#include "origin/dkim_canon.h"

void canon_put(struct canon_out *o, struct str s)
{
	while (s.n) {
		if (o->n == sizeof o->hold)
			canon_flush(o);
		size_t room = sizeof o->hold - o->n, k = s.n < room ? s.n : room;
		memcpy(o->hold + o->n, s.p, k);
		o->n += k;
		o->total += k;
		s = str_skip(s, k);
	}
}

static bool is_wsp(char c) { return c == ' ' || c == '\t'; }

/* ---- header fields ---- */

/* The octets of `raw` one after the other, without the part that is cut out. */
struct walk {
	struct str raw;
	size_t at, cut_from, cut_to;
};

static bool walk_next(struct walk *w, char *out)
{
	if (w->at == w->cut_from && w->cut_to > w->at)
		w->at = w->cut_to;
	if (w->at >= w->raw.n)
		return false;
	*out = w->raw.p[w->at++];
	return true;
}

/* RFC 6376 3.4.2: lower-case name; unfold; runs of WSP to one SP; none at the end of the value and on either side of the colon. */
static void relaxed_field(struct canon_out *o, struct walk *w)
{
	bool space = false, named = false, begun = false;
	char c;
	while (walk_next(w, &c)) {
		if (c == '\r' && w->at < w->raw.n && w->raw.p[w->at] == '\n')
			continue;
		if (c == '\n')
			continue;
		if (is_wsp(c)) {
			space = true;
			continue;
		}
		if (!named && c == ':') {
			canon_byte(o, ':');
			named = true;
			space = false;
			continue;
		}
		if (space && (begun || !named))
			canon_byte(o, ' ');
		space = false;
		begun = named;
		canon_byte(o, named ? c : ascii_lower(c));
	}
}

/* RFC 6376 3.4.1: "does not change header fields in any way"; a bare line feed is read as a line end. */
static void simple_field(struct canon_out *o, struct walk *w)
{
	char c, before = 0;
	while (walk_next(w, &c)) {
		if (c == '\n' && before != '\r')
			canon_byte(o, '\r');
		canon_byte(o, c);
		before = c;
	}
}

void canon_field(struct canon_out *o, enum dkim_canon c, struct str raw, size_t cut_from, size_t cut_to, bool crlf)
{
	if (raw.n && raw.p[raw.n - 1] == '\n')
		raw.n--;
	if (raw.n && raw.p[raw.n - 1] == '\r')
		raw.n--;
	struct walk w = { raw, 0, cut_from < raw.n ? cut_from : raw.n, cut_to < raw.n ? cut_to : raw.n };
	if (c == DKIM_RELAXED)
		relaxed_field(o, &w);
	else
		simple_field(o, &w);
	if (crlf)
		canon_put(o, STR("\r\n"));
}

/* ---- the body ---- */

typedef uint8_t octets16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

static inline octets16 load16(const char *p)
{
	octets16 v;
	memcpy(&v, p, sizeof v);
	return v;
}

static bool is_plain(char c, char next) { return c != '\t' && c != '\r' && c != '\n' && (c != ' ' || (next != ' ' && next != '\t' && next != '\r' && next != '\n')); }

/* How many octets from the start stay as they are under "relaxed": text, and single spaces between text. The last octet of the run never
 * counts, for what follows it is not known. */
static size_t plain_relaxed(const char *p, size_t n)
{
	size_t i = 0;
	for (; i + 17 <= n; i += 16) {
		octets16 a = load16(p + i), b = load16(p + i + 1);
		/* an octet up to 0x20 after a space is looked at by the slow way, whatever it is */
		octets16 bad = (octets16)((a == '\t') | (a == '\r') | (a == '\n') | ((a == ' ') & (b <= ' ')));
		words2 w = (words2)bad;
		if (w[0] | w[1])
			break;
	}
	while (i + 1 < n && is_plain(p[i], p[i + 1]))
		i++;
	return i;
}

static size_t plain_simple(const char *p, size_t n)
{
	size_t i = 0;
	for (; i + 16 <= n; i += 16) {
		octets16 a = load16(p + i);
		words2 w = (words2)((a == '\r') | (a == '\n'));
		if (w[0] | w[1])
			break;
	}
	while (i < n && p[i] != '\r' && p[i] != '\n')
		i++;
	return i;
}

/* What was held back is put: more text follows. */
static void catch_up(struct canon_body *b, struct canon_out *o)
{
	for (; b->lines; b->lines--)
		canon_put(o, STR("\r\n"));
	if (b->space)
		canon_byte(o, ' ');
	b->space = false;
	b->text = true;
}

static void body_octet(struct canon_body *b, struct canon_out *o, char c)
{
	if (c == '\n') { /* with or without the carriage return before it */
		b->cr = b->space = false;
		b->lines++;
		b->text = false;
		return;
	}
	if (b->cr) { /* a carriage return by itself is text */
		catch_up(b, o);
		canon_byte(o, '\r');
		b->cr = false;
	}
	if (c == '\r') {
		b->cr = true;
	} else if (b->c == DKIM_RELAXED && is_wsp(c)) {
		b->space = true;
	} else {
		catch_up(b, o);
		canon_byte(o, c);
	}
}

void canon_body_add(struct canon_body *b, struct canon_out *o, struct str run)
{
	while (run.n) {
		size_t k = b->cr || b->space ? 0 : b->c == DKIM_RELAXED ? plain_relaxed(run.p, run.n) : plain_simple(run.p, run.n);
		if (k) {
			catch_up(b, o);
			canon_put(o, str_head(run, k));
			run = str_skip(run, k);
		} else {
			body_octet(b, o, run.p[0]);
			run = str_skip(run, 1);
		}
	}
}

void canon_body_end(struct canon_body *b, struct canon_out *o)
{
	if (b->cr) {
		catch_up(b, o);
		canon_byte(o, '\r');
	}
	b->cr = b->space = false;
	/* RFC 6376 3.4.3: "If there is no body or no trailing CRLF on the message body, a CRLF is added"; 3.4.4 adds none to an empty body. */
	if (b->c == DKIM_SIMPLE || o->total)
		canon_put(o, STR("\r\n"));
	b->lines = 0;
	canon_flush(o);
}

/* ---- into a buffer, for tests and the probe ---- */

struct canon_buf {
	struct canon_out out;
	struct buf *to;
};

static void flush_to_buf(struct canon_out *o, struct str run) { buf_add(((struct canon_buf *)(void *)o)->to, run); }

void dkim_canon_header(struct str field, enum dkim_canon c, struct buf *out)
{
	struct canon_buf b = { .out.flush = flush_to_buf, .to = out };
	canon_field(&b.out, c, field, 0, 0, true);
	canon_flush(&b.out);
}

void dkim_canon_body(struct str body, enum dkim_canon c, struct buf *out)
{
	struct canon_buf b = { .out.flush = flush_to_buf, .to = out };
	struct canon_body state = { .c = c };
	canon_body_add(&state, &b.out, body);
	canon_body_end(&state, &b.out);
}
