/* Streams: buffers, lines and limits, the same over every transport. */
#include "os/stream_impl.h"

#include "base/mem.h"
#include "os/runtime.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { DEFAULT_PATIENCE = 300 * 1000, RESERVE_MAX = 64 * 1024 };

void stream_init(struct stream *s, const struct stream_ops *ops, struct loop *l)
{
	*s = (struct stream){ .ops = ops, .loop = l, .patience = DEFAULT_PATIENCE };
}

void stream_break(struct stream *s, enum rc rc)
{
	if (s->error == RC_OK)
		s->error = rc;
}

enum rc stream_error(const struct stream *s) { return s->error; }
void stream_timeout(struct stream *s, unsigned ms) { s->patience = ms; }
void stream_limit(struct stream *s, unsigned ms) { s->until = ms && s->loop ? loop_now(s->loop) + ms : 0; }
size_t stream_pending(const struct stream *s) { return s->end - s->pos; }
bool stream_ready(const struct stream *s) { return stream_pending(s) || s->error != RC_OK || (s->ops->ready && s->ops->ready(s)); }
bool stream_is_tls(const struct stream *s) { return s->is_tls; }
bool stream_can_tls(const struct stream *s) { return !s->is_tls && s->ops->can_tls(s); }
const struct stream_facts *stream_facts(const struct stream *s) { return &s->facts; }

/* ---- buffers ---- */

static void drop_buffer(struct stream *s, char **p, size_t *cap)
{
	if (*cap == BLOCK_SIZE)
		block_put(s->loop, *p);
	else
		mem_free(*p);
	*p = NULL;
	*cap = 0;
}

void stream_rest(struct stream *s)
{
	if (s->in && s->pos == s->end) {
		drop_buffer(s, &s->in, &s->in_cap);
		s->pos = s->end = 0;
	}
	if (s->out && s->sent == s->out_n) {
		drop_buffer(s, &s->out, &s->out_cap);
		s->sent = s->out_n = 0;
	}
}

/* A block from the loop's cache at first; larger ones come from the allocator. */
static bool grow(struct stream *s, char **p, size_t *cap, size_t used, size_t need)
{
	if (need <= *cap)
		return true;
	char *q;
	size_t n = BLOCK_SIZE;
	if (need <= BLOCK_SIZE) {
		q = block_get(s->loop);
	} else {
		while (n < need)
			n *= 2;
		q = mem_raw(n);
	}
	if (!q) {
		stream_break(s, RC_NOMEM);
		return false;
	}
	if (used)
		memcpy(q, *p, used);
	drop_buffer(s, p, cap);
	*p = q;
	*cap = n;
	return true;
}

bool stream_room(struct stream *s)
{
	if (s->pos == s->end)
		s->pos = s->end = 0;
	if (s->in && s->end < s->in_cap)
		return true;
	if (s->pos > 0) {
		memmove(s->in, s->in + s->pos, s->end - s->pos);
		s->end -= s->pos;
		s->pos = 0;
		return true;
	}
	return grow(s, &s->in, &s->in_cap, s->end, s->in_cap ? s->in_cap + 1 : BLOCK_SIZE);
}

/* One more read behind the unread octets. */
static bool more(struct stream *s)
{
	return s->error == RC_OK && s->ops->fill(s);
}

/* ---- reading ---- */

/* The end of the line that starts at `pos`: the offset of its CRLF from there, or -1. Scans on from `*scanned`; `*bare`
 * tells of a LF without CR before it. */
static long find_crlf(const struct stream *s, size_t *scanned, bool *bare)
{
	const char *base = s->in + s->pos;
	size_t n = s->end - s->pos;
	while (*scanned < n) {
		const char *lf = memchr(base + *scanned, '\n', n - *scanned);
		if (!lf)
			break;
		size_t at = (size_t)(lf - base);
		if (at > 0 && base[at - 1] == '\r')
			return (long)at - 1;
		*bare = true;
		*scanned = at + 1;
	}
	*scanned = n;
	return -1;
}

/* The rest of a line of which `total` octets are too many already. RC_LIMIT when its CRLF has been passed. */
static enum rc skip_line(struct stream *s, size_t total)
{
	for (;;) {
		/* A CR at the very end may be the CRLF's: it stays. */
		size_t n = s->end - s->pos;
		size_t scanned = 0;
		bool bare = false;
		long at = n ? find_crlf(s, &scanned, &bare) : -1;
		size_t gone = at >= 0 ? (size_t)at : n > 0 && s->in[s->end - 1] == '\r' ? n - 1 : n;
		total += gone;
		s->pos += at >= 0 ? gone + 2 : gone;
		if (total > STREAM_LINE_FLOOD)
			stream_break(s, RC_LIMIT);
		if (at >= 0 || s->error != RC_OK)
			return s->error != RC_OK ? s->error : RC_LIMIT;
		if (!more(s))
			return s->error;
	}
}

enum rc stream_line(struct stream *s, size_t max, struct str *out_line)
{
	size_t scanned = 0;
	bool bare = false;
	if (s->error != RC_OK)
		return s->error;
	for (;;) {
		size_t n = s->end - s->pos;
		long at = n ? find_crlf(s, &scanned, &bare) : -1;
		if (at >= 0 ? (size_t)at > max : n > max + 1)
			return skip_line(s, 0);
		if (at >= 0) {
			const char *line = s->in + s->pos;
			s->pos += (size_t)at + 2;
			if (bare || (at > 0 && memchr(line, '\r', (size_t)at)))
				return RC_SYNTAX;
			*out_line = (struct str){ line, (size_t)at };
			return RC_OK;
		}
		if (!more(s))
			return s->error;
	}
}

enum rc stream_some(struct stream *s, size_t max, struct str *out)
{
	if (s->error != RC_OK)
		return s->error;
	if (s->pos == s->end && !more(s))
		return s->error;
	size_t n = s->end - s->pos;
	if (n > max)
		n = max;
	*out = (struct str){ s->in + s->pos, n };
	s->pos += n;
	return RC_OK;
}

void stream_unread(struct stream *s, size_t n)
{
	assert(n <= s->pos && "only what stream_some() lent last can be given back");
	s->pos -= n;
}

enum rc stream_wait(struct stream *s, unsigned ms)
{
	if (s->pos < s->end)
		return RC_OK;
	if (s->error != RC_OK)
		return s->error;
	enum rc rc = s->ops->wait(s, ms);
	if (rc == RC_AGAIN)
		s->woken = false;
	return rc;
}

void stream_wake(struct stream *s)
{
	s->woken = true;
	s->ops->wake(s);
}

/* ---- writing ---- */

static void compact_out(struct stream *s)
{
	if (s->sent == s->out_n)
		s->sent = s->out_n = 0;
}

/* Room for `n` octets behind the unsent ones, within the high-water mark; sends first when there is none. */
static bool out_room(struct stream *s, size_t n)
{
	compact_out(s);
	if (s->out_n + n > STREAM_HIGH_WATER) {
		if (s->ops->send(s) != RC_OK)
			return false;
		compact_out(s);
	}
	return grow(s, &s->out, &s->out_cap, s->out_n, s->out_n + n);
}

void stream_write(struct stream *s, struct str bytes)
{
	while (bytes.n && s->error == RC_OK) {
		size_t n = bytes.n < RESERVE_MAX ? bytes.n : RESERVE_MAX;
		if (!out_room(s, n))
			return;
		memcpy(s->out + s->out_n, bytes.p, n);
		s->out_n += n;
		bytes = str_skip(bytes, n);
	}
}

void stream_write_last(struct stream *s, const struct str *parts, size_t n)
{
	assert(n <= STREAM_PARTS_MAX);
	size_t gone = s->error == RC_OK && s->ops->send_lent ? s->ops->send_lent(s, parts, n) : 0;
	for (size_t i = 0; i < n; i++) {
		size_t sent = gone < parts[i].n ? gone : parts[i].n;
		stream_write(s, str_skip(parts[i], sent));
		gone -= sent;
	}
}

void stream_writef(struct stream *s, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < sizeof text && "stream_writef() is for short texts");
	stream_write(s, str_of(text, (size_t)n));
}

char *stream_reserve(struct stream *s, size_t n)
{
	assert(n <= RESERVE_MAX);
	if (s->error != RC_OK || !out_room(s, n))
		return NULL;
	return s->out + s->out_n;
}

void stream_commit(struct stream *s, size_t n)
{
	assert(s->out_n + n <= s->out_cap);
	s->out_n += n;
}

enum rc stream_flush(struct stream *s)
{
	if (s->error != RC_OK)
		return s->error;
	return s->sent < s->out_n ? s->ops->send(s) : RC_OK;
}

/* ---- TLS, ending ---- */

enum rc stream_starttls(struct stream *s)
{
	if (s->error != RC_OK)
		return s->error;
	if (!stream_can_tls(s))
		return RC_DENIED;
	TRY(stream_flush(s));
	/* What the client sent before the handshake may have been put there by somebody else: RFC 3207 section 4.2 wants
	 * it forgotten, and CVE-2011-0411 is what happens otherwise. */
	if (!s->keeps_plaintext)
		s->pos = s->end;
	stream_rest(s);
	enum rc rc = s->ops->starttls(s);
	if (rc != RC_OK) {
		stream_break(s, rc);
		return s->error;
	}
	s->is_tls = true;
	return RC_OK;
}

enum rc stream_binding(struct stream *s, enum stream_binding kind, struct buf *out)
{
	return s->is_tls ? s->ops->binding(s, kind, out) : RC_NOTFOUND;
}

void stream_free(struct stream **sp)
{
	struct stream *s = *sp;
	if (!s)
		return;
	*sp = NULL;
	s->ops->close(s);
	drop_buffer(s, &s->in, &s->in_cap);
	drop_buffer(s, &s->out, &s->out_cap);
	mem_free(s);
}
