#include "role/relay_wire.h"

enum { TEXT_MAX = 1024, STATES = RELAY_STATE_READY | RELAY_STATE_DEFERRED | RELAY_STATE_HELD | RELAY_STATE_DONE };

static bool flag(struct cursor *c)
{
	uint8_t v = cursor_u8(c);
	c->failed = c->failed || v > 1;
	return v == 1;
}

void relay_put_filter(struct buf *out, const struct relay_filter *f)
{
	buf_run(out, f->from);
	buf_run(out, f->to);
	buf_run(out, f->domain);
	buf_run(out, f->reason);
	buf_run(out, f->mid);
	buf_u64(out, f->letter);
	buf_u8(out, f->one);
	buf_u32(out, f->n);
	buf_u64(out, f->older_ms);
	buf_u8(out, f->states);
	buf_u8(out, f->heads);
}

enum rc relay_get_filter(struct str in, struct arena *a, struct relay_filter *out)
{
	struct cursor c = cursor_of(in);
	struct str from = cursor_run(&c, TEXT_MAX), to = cursor_run(&c, TEXT_MAX), domain = cursor_run(&c, TEXT_MAX), reason = cursor_run(&c, TEXT_MAX), mid = cursor_run(&c, TEXT_MAX);
	struct relay_filter f = { .letter = cursor_u64(&c) };
	f.one = flag(&c);
	f.n = cursor_u32(&c);
	f.older_ms = cursor_u64(&c);
	f.states = cursor_u8(&c);
	f.heads = flag(&c);
	if (!cursor_at_end(&c) || (f.states & ~STATES) || ((f.states & RELAY_STATE_DONE) && f.states != RELAY_STATE_DONE) || f.older_ms > INT64_MAX)
		return RC_SYNTAX;
	f.from = arena_str(a, from);
	f.to = arena_str(a, to);
	f.domain = arena_str(a, domain);
	f.reason = arena_str(a, reason);
	f.mid = arena_str(a, mid);
	*out = f;
	return a->full ? RC_NOMEM : RC_OK;
}

void relay_put_entry(struct buf *out, const struct relay_entry *e)
{
	buf_u64(out, e->letter);
	buf_u32(out, e->n);
	buf_u8(out, e->state);
	buf_u8(out, e->end);
	buf_u8(out, e->priority);
	buf_u8(out, e->under_way);
	buf_u8(out, e->paused);
	buf_u8(out, e->unreadable);
	buf_u32(out, e->attempts);
	buf_u64(out, e->created_ms);
	buf_u64(out, e->due_ms);
	buf_u64(out, e->expires_ms);
	buf_u64(out, e->last_ms);
	buf_u64(out, e->size);
	buf_u8(out, e->notify);
	buf_u8(out, e->ret);
	buf_u8(out, e->require_tls);
	buf_u8(out, e->tls_optional);
	buf_u8(out, e->by_return);
	buf_u64(out, e->deliver_by_ms);
	const struct str texts[] = { e->mid, e->from, e->to, e->reason, e->host, e->tls, e->subject, e->envid, e->orcpt };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		buf_run(out, str_head(texts[i], TEXT_MAX));
}

enum rc relay_next_entry(struct cursor *c, struct relay_entry *out)
{
	if (!c->in.n && !c->failed)
		return RC_NOTFOUND;
	struct relay_entry e = { .letter = cursor_u64(c) };
	e.n = cursor_u32(c);
	e.state = cursor_u8(c);
	e.end = cursor_u8(c);
	e.priority = cursor_u8(c);
	e.under_way = flag(c);
	e.paused = flag(c);
	e.unreadable = flag(c);
	e.attempts = cursor_u32(c);
	e.created_ms = cursor_u64(c);
	e.due_ms = cursor_u64(c);
	e.expires_ms = cursor_u64(c);
	e.last_ms = cursor_u64(c);
	e.size = cursor_u64(c);
	e.notify = cursor_u8(c);
	e.ret = cursor_u8(c);
	e.require_tls = flag(c);
	e.tls_optional = flag(c);
	e.by_return = flag(c);
	e.deliver_by_ms = cursor_u64(c);
	struct str *const texts[] = { &e.mid, &e.from, &e.to, &e.reason, &e.host, &e.tls, &e.subject, &e.envid, &e.orcpt };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		*texts[i] = cursor_run(c, TEXT_MAX);
	if (c->failed)
		return RC_SYNTAX;
	*out = e;
	return RC_OK;
}

void relay_put_noted(struct buf *out, const struct relay_noted *p)
{
	buf_u64(out, p->at_ms);
	buf_run(out, str_head(p->name, TEXT_MAX));
	buf_run(out, str_head(p->reason, TEXT_MAX));
}

enum rc relay_next_noted(struct cursor *c, struct relay_noted *out)
{
	if (!c->in.n && !c->failed)
		return RC_NOTFOUND;
	struct relay_noted p = { .at_ms = cursor_u64(c) };
	p.name = cursor_run(c, TEXT_MAX);
	p.reason = cursor_run(c, TEXT_MAX);
	if (c->failed)
		return RC_SYNTAX;
	*out = p;
	return RC_OK;
}
