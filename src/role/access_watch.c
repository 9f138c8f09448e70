#include "role/access.h"

#include "base/mem.h"

/* `store` is told once per mailbox and process, whatever the number of sessions. A mailbox that nobody has open any more stays watched for a
 * while: a client that comes every minute costs no question. While an account is watched, a change of its folders is told as well, so the list
 * of folders may be kept that long. */

enum { LINGER_MS = 60000, LINGER_MAX = 1000, TELL_MS = 10000 };

struct watched {
	struct watched *next;
	uint64_t box;
	struct visitor *visitors;
	bool on;                              /* the store of now has said so */
	bool telling, sent;
	uint32_t given;                       /* see watch_given() */
	int64_t left;                         /* when the last visitor went */
	struct waitlist told;
};
struct known { uint64_t account; struct watched *boxes; struct buf folders; uint64_t generation; bool have_folders; };

static struct known *known_of(const struct access_house *h, uint64_t account) { return map_get_u64(&h->known, account); }

static enum rc tell_store(struct role_env *e, uint64_t account, uint64_t box, struct why *why)
{
	return ipc_ask_role(e->node, ROLE_STORE, MSG_WATCH, &(struct msg_WATCH){ .account = account, .box = box, .on = 1 }, NULL, NULL, true, why);
}

static bool start_telling(struct role_env *e, uint64_t account, uint64_t box, bool on)
{
	struct ipc_peer *store;
	struct ipc_pending *p;
	if (ipc_find(e->node, ROLE_STORE, 0, &store) != RC_OK ||
	    ipc_ask_start(store, MSG_WATCH, &(struct msg_WATCH){ .account = account, .box = box, .on = on }, &p, NULL) != RC_OK)
		return false;
	ipc_ask_abandon(&p);
	return true;
}

/* ---- what is watched ---- */

static enum rc known_get(struct access_house *h, uint64_t account, struct known **out)
{
	struct known *k = known_of(h, account);
	if (!k) {
		k = mem_new(sizeof *k);
		if (!k)
			return RC_NOMEM;
		k->account = account;
		k->generation = ++h->generation;
		buf_init(&k->folders, 8 << 20);
		enum rc rc = map_put_u64(&h->known, account, k);
		if (rc != RC_OK) {
			mem_free(k);
			return rc;
		}
	}
	*out = k;
	return RC_OK;
}

static void known_free(struct known *k)
{
	while (k->boxes) {
		struct watched *w = k->boxes;
		k->boxes = w->next;
		mem_free(w);
	}
	buf_done(&k->folders);
	mem_free(k);
}

static struct watched *watched_of(const struct known *k, uint64_t box)
{
	struct watched *w = k ? k->boxes : NULL;
	while (w && w->box != box)
		w = w->next;
	return w;
}

/* Lets go of what nobody looks at since `before`. */
static void known_sweep(struct role_env *e, struct known *k, int64_t before)
{
	struct access_house *h = e->state;
	for (struct watched **at = &k->boxes; *at;) {
		struct watched *w = *at;
		if (w->visitors || w->telling || w->left >= before) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		h->lingering--;
		if (!loop_stopping(e->loop))
			(void)start_telling(e, k->account, w->box, false);
		mem_free(w);
	}
	if (!k->boxes) {
		(void)map_drop_u64(&h->known, k->account);
		known_free(k);
	}
}

void watch_sweep(void *env)
{
	struct role_env *e = env;
	struct access_house *h = e->state;
	struct known *some[64];
	size_t at = 0, n = 0;
	int64_t before = loop_now(e->loop) - LINGER_MS;
	if (!h->lingering)
		return;
	do { /* the map stays as it is while it is walked */
		n = 0;
		for (struct known *k; n < 64 && (k = map_next(&h->known, &at));)
			for (struct watched *w = k->boxes; w; w = w->next)
				if (!w->visitors && !w->telling && w->left < before) {
					some[n++] = k;
					break;
				}
		for (size_t i = 0; i < n; i++)
			known_sweep(e, some[i], before);
		at = n ? 0 : at;
	} while (n == 64);
}

void watch_done(struct access_house *h)
{
	size_t at = 0;
	for (struct known *k; (k = map_next(&h->known, &at));)
		known_free(k);
	map_done(&h->known);
}

/* ---- visitors ---- */

static enum rc be_watched(struct owner *o, struct watched *b, struct why *why)
{
	while (b->telling)
		TRY(wait_on(&b->told, loop_now(o->e->loop) + TELL_MS));
	if (b->on)
		return RC_OK;
	b->telling = true;
	enum rc rc = tell_store(o->e, o->account, b->box, why);
	b->telling = false;
	b->on = rc == RC_OK;
	wake_all(&b->told);
	return rc;
}

enum rc watch_add(struct owner *o, struct visitor *w, struct why *why)
{
	struct access_house *h = o->e->state;
	struct known *k;
	TRY(known_get(h, o->account, &k));
	struct watched *b = watched_of(k, w->box);
	if (!b) {
		b = mem_new(sizeof *b);
		if (!b) {
			known_sweep(o->e, k, INT64_MIN);
			return RC_NOMEM;
		}
		*b = (struct watched){ .next = k->boxes, .box = w->box };
		k->boxes = b;
	} else if (!b->visitors) {
		h->lingering--;
	}
	w->next = b->visitors;
	b->visitors = w;
	enum rc rc = be_watched(o, b, why);
	if (rc != RC_OK)
		watch_drop(o, w);
	return rc;
}

void watch_drop(struct owner *o, struct visitor *w)
{
	struct access_house *h = o->e->state;
	struct known *k = known_of(h, o->account);
	struct watched *b = watched_of(k, w->box);
	struct visitor **at = b ? &b->visitors : NULL;
	while (at && *at && *at != w)
		at = &(*at)->next;
	if (!at || !*at)
		return;
	*at = w->next;
	w->next = NULL;
	if (b->visitors)
		return;
	b->left = loop_now(o->e->loop);
	if (++h->lingering > LINGER_MAX)
		known_sweep(o->e, k, INT64_MAX);
}

void watch_changed(struct access_house *h, uint64_t account, uint64_t box)
{
	struct known *k = known_of(h, account);
	if (k && box == 0)
		folders_forget(h, account);
	for (struct watched *b = k ? k->boxes : NULL; b; b = b->next)
		for (struct visitor *w = box == 0 || b->box == box ? b->visitors : NULL; w; w = w->next)
			stream_wake(w->stream);
}

uint32_t watch_given(const struct access_house *h, uint64_t account, uint64_t box)
{
	const struct watched *b = watched_of(known_of(h, account), box);
	return b ? b->given : 0;
}

void watch_gave(struct access_house *h, uint64_t account, uint64_t box, uint32_t first_not_given)
{
	struct watched *b = watched_of(known_of(h, account), box);
	if (b && b->given < first_not_given)
		b->given = first_not_given;
}

/* ---- a new store ---- */

/* It answers in order: after this question it knows all that was told before. Then everybody looks for what happened meanwhile. */
static void again_fiber(void *arg)
{
	struct role_env *e = arg;
	struct access_house *h = e->state;
	struct ipc_peer *store;
	size_t at = 0;
	if (ipc_find(e->node, ROLE_STORE, 0, &store) != RC_OK ||
	    ipc_ask(store, MSG_WATCH, &(struct msg_WATCH){ .on = 0 }, NULL, NULL, NULL) != RC_OK)
		return; /* gone again: the next one is told everything again */
	for (struct known *k; (k = map_next(&h->known, &at));)
		for (struct watched *b = k->boxes; b; b = b->next) {
			b->on = b->on || b->sent;
			for (struct visitor *w = b->visitors; w; w = w->next)
				stream_wake(w->stream);
		}
}

void watch_again(struct role_env *e)
{
	struct access_house *h = e->state;
	size_t at = 0;
	if (!h)
		return;
	for (struct known *k; (k = map_next(&h->known, &at));) {
		folders_forget(h, k->account);
		for (struct watched *b = k->boxes; b; b = b->next) {
			b->on = false;
			b->sent = start_telling(e, k->account, b->box, true);
		}
	}
	(void)!fiber_start(e->loop, again_fiber, e, NULL);
}

/* ---- folders ---- */

bool folders_known(struct access_house *h, uint64_t account, struct str *out)
{
	const struct known *k = known_of(h, account);
	if (!k || !k->have_folders)
		return false;
	*out = buf_str(&k->folders);
	return true;
}

uint64_t folders_mark(struct access_house *h, uint64_t account)
{
	const struct known *k = known_of(h, account);
	for (const struct watched *b = k ? k->boxes : NULL; b; b = b->next)
		if (b->on)
			return k->generation;
	return 0;
}

void folders_learn(struct access_house *h, uint64_t account, uint64_t mark, struct str packed)
{
	struct known *k = known_of(h, account);
	if (!k || !mark || mark != folders_mark(h, account))
		return;
	buf_clear(&k->folders);
	buf_add(&k->folders, packed);
	k->have_folders = !k->folders.failed;
	if (k->folders.failed)
		buf_done(&k->folders);
}

void folders_forget(struct access_house *h, uint64_t account)
{
	struct known *k = known_of(h, account);
	if (!k)
		return;
	k->generation = ++h->generation;
	k->have_folders = false;
	buf_done(&k->folders);
}
