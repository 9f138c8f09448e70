/* A stream over memory: never waits, so a session runs as plain code in tests and fuzzers. */
#include "os/stream_impl.h"

#include "base/mem.h"

struct memory {
	struct stream s;
	struct stream_memory m;
	size_t moved;             /* octets read and written so far, for fail_at */
};

static struct memory *memory_of(struct stream *s) { return (struct memory *)(void *)s; }

/* How many of `n` octets pass before the planned failure. */
static size_t passes(const struct memory *m, size_t n)
{
	if (m->m.fail_at < 0)
		return n;
	size_t left = (size_t)m->m.fail_at > m->moved ? (size_t)m->m.fail_at - m->moved : 0;
	return n < left ? n : left;
}

static enum rc memory_send(struct stream *s)
{
	struct memory *m = memory_of(s);
	size_t n = s->out_n - s->sent;
	size_t ok = passes(m, n);
	if (m->m.out)
		buf_add(m->m.out, (struct str){ s->out + s->sent, ok });
	m->moved += ok;
	s->sent = s->out_n;
	if (ok < n)
		stream_break(s, RC_CLOSED);
	if (m->m.out && m->m.out->failed)
		stream_break(s, RC_NOMEM);
	return s->error;
}

/* RC_OK = there is input to hand out, RC_LATE = the peer is silent, RC_CLOSED = it is gone. */
static enum rc next_input(struct memory *m)
{
	if (m->m.in.n)
		return RC_OK;
	m->m.in = (struct str){ "", 0 };
	if (!m->m.more || !m->m.more(m->m.arg, &m->m.in))
		return RC_CLOSED;
	return m->m.in.n ? RC_OK : RC_LATE;
}

static bool take(struct memory *m)
{
	struct stream *s = &m->s;
	if (!stream_room(s))
		return false;
	size_t n = m->m.in.n;
	if (m->m.chunk && n > m->m.chunk)
		n = m->m.chunk;
	if (n > s->in_cap - s->end)
		n = s->in_cap - s->end;
	n = passes(m, n);
	if (!n) {
		stream_break(s, RC_CLOSED);
		return false;
	}
	memcpy(s->in + s->end, m->m.in.p, n);
	m->m.in = str_skip(m->m.in, n);
	m->moved += n;
	s->end += n;
	return true;
}

static bool memory_fill(struct stream *s)
{
	struct memory *m = memory_of(s);
	if (!m->m.in.n && s->sent < s->out_n && memory_send(s) != RC_OK)
		return false;
	enum rc rc = next_input(m);
	if (rc != RC_OK) {
		stream_break(s, rc);
		return false;
	}
	return take(m);
}

static enum rc memory_wait(struct stream *s, unsigned ms)
{
	struct memory *m = memory_of(s);
	(void)ms;
	TRY(stream_flush(s));
	stream_rest(s);
	if (s->woken && !m->m.in.n)
		return RC_AGAIN;
	enum rc rc = next_input(m);
	if (rc == RC_OK)
		return take(m) ? RC_OK : s->error;
	if (s->woken)
		return RC_AGAIN;
	if (rc != RC_LATE)
		stream_break(s, rc);
	return rc;
}

static void memory_wake(struct stream *s) { (void)s; }
static bool memory_can_tls(const struct stream *s) { return ((const struct memory *)(const void *)s)->m.can_tls; }
static enum rc memory_starttls(struct stream *s)
{
	(void)s;
	return RC_OK;
}
static enum rc memory_binding(struct stream *s, enum stream_binding kind, struct buf *out)
{
	(void)kind;
	buf_add(out, memory_of(s)->m.binding);
	return memory_of(s)->m.binding.n ? RC_OK : RC_NOTFOUND;
}
static void memory_close(struct stream *s) { (void)s; }

static const struct stream_ops memory_ops = {
	.fill = memory_fill, .send = memory_send, .wait = memory_wait, .wake = memory_wake,
	.can_tls = memory_can_tls, .starttls = memory_starttls, .binding = memory_binding, .close = memory_close,
};

struct stream *stream_of_memory(struct stream_memory given)
{
	struct memory *m = mem_new(sizeof *m);
	if (!m)
		return NULL;
	stream_init(&m->s, &memory_ops, NULL);
	m->m = given;
	m->s.is_tls = given.is_tls;
	m->s.facts = given.facts;
	m->s.keeps_plaintext = given.more == NULL;
	return &m->s;
}
