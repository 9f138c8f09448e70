#include "role/store_queue.h"

#include "base/log.h"
#include "os/file.h"
#include "role/wire_queue.h"

void store_on_queue_change(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_QUEUE_CHANGE *m = msg;
	struct arena a;
	struct queue_change *list = NULL;
	size_t n = 0;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 64 << 20);
	buf_init(&out, 1 << 20);
	enum rc rc = wire_get_queue_changes(m->changes, &a, &list, &n);
	if (rc == RC_OK)
		rc = queue_change(role_store_of(env), list, n, &why);
	if (rc == RC_OK) {
		wire_put_outcomes(&out, list, n);
		rc = out.failed ? RC_NOMEM : RC_OK;
	}
	if (rc == RC_FULL)
		log_event(LEVEL_ERROR, EV_STORE_FULL, F("reason", why.text));
	ipc_answer(call, rc, &why, &(struct msg_QUEUE_CHANGE_answer){ .results = buf_str(&out) });
	buf_done(&out);
	arena_done(&a);
}

void store_on_queue_forget(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_QUEUE_FORGET *m = msg;
	struct why why = { 0 };
	bool more = false;
	(void)from;
	fd_close(&fd);
	enum rc rc = queue_forget(role_store_of(env), (int64_t)m->before_ms, m->max, &more, &why);
	ipc_answer(call, rc, &why, &(struct msg_QUEUE_FORGET_answer){ .more = more });
}

void store_on_note_put(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_NOTE_PUT *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = note_put(role_store_of(env), m->key, m->value, &why);
	ipc_answer(call, rc, &why, NULL);
}

/* ---- news ---- */
static void tell_one(void *arg, struct ipc_peer *p) { (void)!ipc_tell(p, MSG_QUEUE_NEWS, arg, -1); }

/* The commit tells of its letters one by one before any fiber runs again: this one runs when it has told of all. */
static void tell(void *arg)
{
	struct queue_news *q = arg;
	struct msg_QUEUE_NEWS m = { .letter = q->letter };
	q->telling = false;
	ipc_each(q->e->node, ROLE_RELAY, tell_one, &m);
}

void store_queue_news(void *arg, uint64_t letter)
{
	struct queue_news *q = arg;
	q->letter = letter;
	if (q->telling)
		return;
	q->telling = fiber_start(q->e->loop, tell, q, NULL) == RC_OK;
	if (!q->telling)
		tell(q);
}
