#include "store/verb.h"

#include "base/mem.h"

static void on_change(void *arg, uint64_t account, uint64_t box, uint64_t modseq)
{
	struct store *s = arg;
	if (account == QUEUE_NOTICE) {
		if (s->on_queue)
			s->on_queue(s->on_queue_arg, modseq);
		return;
	}
	if (s->on_change)
		s->on_change(s->on_change_arg, account, box, modseq);
}

enum rc store_open(struct loop *l_or_null, const struct store_options *o, struct store **out, struct why *why)
{
	struct store *s = mem_new(sizeof *s);
	if (!s)
		FAIL(why, RC_NOMEM, "no memory for the store");
	struct engine_options eo = { .dir = o->dir, .map_size = o->map_size, .segment_bytes = o->segment_bytes, .grace_ms = o->grace_ms,
		                     .read_only = o->read_only, .patient = o->patient };
	s->read_only = o->read_only;
	map_init(&s->recent, RECENT_MAX);
	enum rc rc = engine_local_open(l_or_null, &eo, &s->engine, why);
	if (rc != RC_OK) {
		mem_free(s);
		return rc;
	}
	engine_watch(s->engine, on_change, s);
	*out = s;
	return RC_OK;
}

void store_close(struct store **s)
{
	if (!*s)
		return;
	(void)!store_recent_settle(*s, NULL); /* what cannot be kept is recent once more */
	recent_done(*s);
	engine_close(&(*s)->engine);
	mem_free(*s);
	*s = NULL;
}

void store_on_change(struct store *s, void (*fn)(void *arg, uint64_t account, uint64_t box, uint64_t modseq), void *arg)
{
	s->on_change = fn;
	s->on_change_arg = arg;
}

void store_on_queue(struct store *s, void (*fn)(void *arg, uint64_t letter), void *arg)
{
	s->on_queue = fn;
	s->on_queue_arg = arg;
}

enum rc store_compact(struct store *s, unsigned budget_ms, bool *out_more, struct why *why)
{
	if (s->read_only)
		FAIL(why, RC_DENIED, "the store is open for reading only");
	if (!s->resumed) {
		TRY(directory_resume(s, why));
		s->resumed = true;
	}
	return engine_compact(s->engine, budget_ms, out_more, why);
}

void store_stats(struct store *s, struct store_stats *out)
{
	struct engine_stats e = { 0 };
	engine_stats(s->engine, &e);
	*out = (struct store_stats){ .commits = e.commits, .verbs = s->verbs, .bytes_written = e.bytes_written, .segments = e.segments,
		                     .live_bytes = e.live_bytes, .dead_bytes = e.dead_bytes, .disk_free = e.disk_free };
}

enum rc store_pin(struct store *s, uint64_t *out_lease, struct why *why) { return engine_pin(s->engine, out_lease, why); }
void store_unpin(struct store *s, uint64_t lease) { engine_unpin(s->engine, lease); }
