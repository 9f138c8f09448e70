#include "role/access.h"

#include "base/mem.h"

/* `store` is told once per mailbox and process, whatever the number of sessions. */

static enum rc tell_store(struct role_env *e, uint64_t account, uint64_t box, bool on, struct why *why)
{
	return ipc_ask_role(e->node, ROLE_STORE, MSG_WATCH, &(struct msg_WATCH){ .account = account, .box = box, .on = on }, NULL, NULL, true, why);
}

static bool anybody(const struct owner *o, uint64_t box)
{
	for (const struct visitor *w = o->visitors; w; w = w->next)
		if (w->box == box)
			return true;
	return false;
}

enum rc watch_add(struct owner *o, struct visitor *w, struct why *why)
{
	bool first = !anybody(o, w->box);
	w->next = o->visitors;
	o->visitors = w;
	enum rc rc = first ? tell_store(o->e, o->account, w->box, true, why) : RC_OK;
	if (rc != RC_OK)
		watch_drop(o, w);
	return rc;
}

struct forget { struct role_env *e; uint64_t account, box; };

static void forget_fiber(void *arg)
{
	struct forget f = *(struct forget *)arg;
	struct owner *o = map_get_u64(&((struct access_house *)f.e->state)->owners, f.account);
	mem_free(arg);
	if (!o || !anybody(o, f.box)) /* nobody came in the meantime */
		(void)!tell_store(f.e, f.account, f.box, false, NULL);
}

void watch_drop(struct owner *o, struct visitor *w)
{
	struct visitor **at = &o->visitors;
	while (*at && *at != w)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = w->next;
	w->next = NULL;
	if (anybody(o, w->box) || loop_stopping(o->e->loop))
		return;
	/* In a fiber of its own: a session that ends must not wait for it. */
	struct forget *f = mem_new(sizeof *f);
	if (f)
		*f = (struct forget){ o->e, o->account, w->box };
	if (!f || fiber_start(o->e->loop, forget_fiber, f, NULL) != RC_OK)
		mem_free(f);
}

void watch_changed(struct access_house *h, uint64_t account, uint64_t box)
{
	struct owner *o = map_get_u64(&h->owners, account);
	for (struct visitor *w = o ? o->visitors : NULL; w; w = w->next)
		if (box == 0 || w->box == box)
			stream_wake(w->stream);
}

void watch_again(struct role_env *e)
{
	struct access_house *h = e->state;
	struct ipc_peer *store;
	size_t at = 0;
	if (!h || ipc_find(e->node, ROLE_STORE, 0, &store) != RC_OK)
		return;
	for (struct owner *o; (o = map_next(&h->owners, &at));)
		for (struct visitor *w = o->visitors; w; w = w->next) {
			struct ipc_pending *p;
			/* Twice the same is harmless; the answer tells nothing that the next change would not. */
			if (ipc_ask_start(store, MSG_WATCH, &(struct msg_WATCH){ .account = o->account, .box = w->box, .on = 1 }, &p, NULL) == RC_OK)
				ipc_ask_abandon(&p);
			stream_wake(w->stream);
		}
}
