#include "role/relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "role/wire_queue.h"

/* Outcomes go to the store together: while one batch is on its way to the disk, the next gathers. Nobody says another word to a peer before its own is there. */

enum { BATCH_ROWS = 2000, BATCH_OCTETS = 8 << 20, AGAIN_MS = 200, AGAIN_MOST_MS = 5000, ABREAST = 2 };

static size_t octets_of(const struct relay_pending *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->n; i++)
		n += 128 + p->list[i].row.sealed.n + p->list[i].done.n;
	return n;
}

/* Asks until it is answered: what was lost on the way is asked again, and a change that is there already is as good as made now. */
static enum rc ask_store(struct relay_house *h, struct queue_change *all, size_t n)
{
	struct buf packed AUTO(buf_done);
	buf_init(&packed, 16 << 20);
	wire_put_queue_changes(&packed, all, n);
	for (unsigned wait = AGAIN_MS;; wait = wait * 2 < AGAIN_MOST_MS ? wait * 2 : AGAIN_MOST_MS) {
		struct msg_QUEUE_CHANGE_answer a;
		struct ipc_reply reply = { 0 };
		struct why why = { 0 };
		enum rc rc = packed.failed ? RC_NOMEM : ipc_ask_role(h->e->node, ROLE_STORE, MSG_QUEUE_CHANGE, &(struct msg_QUEUE_CHANGE){ .changes = buf_str(&packed) }, &a, &reply, true, &why);
		if (rc == RC_OK)
			rc = wire_get_outcomes(a.results, all, n);
		ipc_reply_done(&reply);
		if (rc == RC_OK || rc == RC_SYNTAX || rc == RC_NOMEM)
			return rc;
		log_event(LEVEL_WARN, EV_QUEUE_TROUBLE, F("reason", why.text[0] ? why.text : rc_name(rc)));
		if (fiber_cancelled() || fiber_sleep(wait) != RC_OK)
			return RC_CLOSED;
	}
}

static void commit_batch(struct relay_house *h, struct relay_pending *first, size_t rows)
{
	struct queue_change *all;
	size_t at = 0;
	enum rc rc = RC_OK;
	while (!(all = mem_new(rows * sizeof *all)) && rc == RC_OK)
		rc = fiber_sleep(AGAIN_MS) == RC_OK ? RC_OK : RC_NOMEM;
	for (struct relay_pending *p = first; all && p; p = p->next) {
		memcpy(all + at, p->list, p->n * sizeof *all);
		at += p->n;
	}
	if (rc == RC_OK)
		rc = ask_store(h, all, rows);
	at = 0;
	for (struct relay_pending *p = first, *next; p; p = next) {
		next = p->next;
		for (size_t i = 0; i < p->n && rc == RC_OK; i++)
			p->list[i].rc = all[at++].rc;
		p->rc = rc;
		p->done = true;
		wake_all(&p->waiter);
	}
	mem_free(all);
}

static void commit_fiber(void *house)
{
	struct relay_house *h = house;
	fiber_yield(); /* those that are ready in this turn come along */
	while (h->first) {
		struct relay_pending *first = h->first, *last = NULL;
		size_t rows = 0, octets = 0;
		for (struct relay_pending *p = first; p && rows + p->n <= BATCH_ROWS + (last ? 0 : p->n) && octets <= BATCH_OCTETS; p = p->next) {
			rows += p->n;
			octets += octets_of(p);
			last = p;
		}
		h->first = last->next;
		if (!h->first)
			h->last = NULL;
		last->next = NULL;
		commit_batch(h, first, rows);
	}
	h->commits--;
}

enum rc relay_commit(struct relay_house *h, struct relay_pending *p, struct queue_change *list, size_t n)
{
	*p = (struct relay_pending){ .list = list, .n = n };
	if (!n)
		return RC_OK;
	if (h->last)
		h->last->next = p;
	else
		h->first = p;
	h->last = p;
	if (h->commits < ABREAST) {
		h->commits++;
		if (fiber_start(h->e->loop, commit_fiber, h, NULL) != RC_OK)
			commit_fiber(h); /* no memory for another: this one does it */
	}
	while (!p->done) /* nobody leaves before it was taken, and whoever took it always comes back */
		if (wait_on(&p->waiter, NO_DEADLINE) == RC_CLOSED)
			fiber_yield();
	return p->rc;
}

/* ---- what stays ---- */

enum { SALT = 16 };

static enum rc done_key(const struct relay_house *h, const uint8_t salt[SALT], struct secret *out)
{
	return hmac_sha256(&h->history_key, str_of(salt, SALT), out->k);
}

enum rc relay_done_seal(const struct relay_house *h, const struct relay_done *d, struct buf *out)
{
	uint8_t salt[SALT];
	struct secret key AUTO(secret_done) = { { 0 } };
	struct buf b AUTO(buf_wipe) = { 0 };
	buf_init(&b, 8192);
	buf_u8(&b, 1);
	buf_run(&b, d->mid);
	buf_run(&b, str_head(d->sender, 320));
	buf_run(&b, str_head(d->from, 320));
	buf_run(&b, d->rcpt.address);
	buf_u64(&b, (uint64_t)d->rcpt.last_ms);
	buf_run(&b, str_head(d->rcpt.reply, 500));
	buf_run(&b, str_head(d->rcpt.host, 320));
	buf_run(&b, str_head(d->rcpt.tls, 160));
	buf_u8(&b, d->rcpt.remote);
	TRY(random_bytes(salt, sizeof salt));
	TRY(done_key(h, salt, &key));
	if (b.failed)
		return RC_NOMEM;
	buf_add(out, str_of(salt, sizeof salt));
	return aead_seal(&key, 0, STR("queue done"), buf_str(&b), out);
}

static struct str copy(struct cursor *c, size_t max, struct arena *a) { return arena_str(a, cursor_run(c, max)); }

enum rc relay_done_open(const struct relay_house *h, struct str sealed, struct arena *a, struct relay_done *out)
{
	struct secret key AUTO(secret_done) = { { 0 } };
	struct buf b AUTO(buf_wipe) = { 0 };
	if (sealed.n < SALT + TAG_LEN)
		return RC_DAMAGED;
	buf_init(&b, 16384);
	TRY(done_key(h, (const uint8_t *)sealed.p, &key));
	TRY(aead_open(&key, 0, STR("queue done"), str_skip(sealed, SALT), &b));
	struct cursor c = cursor_of(buf_str(&b));
	if (cursor_u8(&c) != 1)
		return RC_DAMAGED;
	*out = (struct relay_done){ .mid = copy(&c, 64, a) };
	out->sender = copy(&c, 320, a);
	out->from = copy(&c, 320, a);
	out->rcpt.address = copy(&c, 1024, a);
	out->rcpt.last_ms = (int64_t)cursor_u64(&c);
	out->rcpt.reply = copy(&c, 500, a);
	out->rcpt.host = copy(&c, 320, a);
	out->rcpt.tls = copy(&c, 160, a);
	out->rcpt.remote = cursor_u8(&c);
	return a->full ? RC_NOMEM : cursor_at_end(&c) ? RC_OK : RC_DAMAGED;
}
