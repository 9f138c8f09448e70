#include "role/role.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "role/store_queue.h"
#include "role/store_route.h"
#include "role/wire_queue.h"

/* The role `store`: the only writer. It never sees plain text; every verb runs in its own fiber and shares the group's commit. */
struct watch { struct watch *next; uint64_t account, box; };
enum { PINS_MAX = 16 };

struct store_house {
	struct store *s;
	struct { struct ipc_peer *of; uint64_t lease; } pins[PINS_MAX]; /* backups under way; lease 0: none */
	struct ticker *care;
	struct queue_news news;
};

static struct store *store_of(void *env) { return ((struct store_house *)((struct role_env *)env)->state)->s; }
struct store *role_store_of(void *env) { return store_of(env); }

static size_t paths(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX])
{
	out[0] = (struct sandbox_path){ role_path(e, "index"), true };
	out[1] = (struct sandbox_path){ role_path(e, "segments"), true };
	return 2;
}

/* ---- watch: one dirty set per peer is its own socket queue: a notice is 24 octets, and `store` never waits for a reader ---- */

struct notice { struct msg_CHANGED m; };

static void tell_changed(void *arg, struct ipc_peer *p)
{
	const struct notice *n = arg;
	for (const struct watch *w = ipc_peer_note(p); w; w = w->next)
		if (w->account == n->m.account && (w->box == n->m.box || n->m.box == 0)) {
			(void)!ipc_tell(p, MSG_CHANGED, &n->m, -1);
			return;
		}
}

static void changed(void *arg, uint64_t account, uint64_t box, uint64_t modseq)
{
	struct role_env *e = arg;
	struct notice n = { { .account = account, .box = box, .modseq = modseq } };
	ipc_each(e->node, ROLE_ACCESS, tell_changed, &n);
}

static void drop_watches(struct role_env *e, struct ipc_peer *p)
{
	(void)e;
	for (struct watch *w = ipc_peer_note(p), *next; w; w = next) {
		next = w->next;
		mem_free(w);
	}
	ipc_peer_set_note(p, NULL);
}

static void drop_each(void *env, struct ipc_peer *p) { drop_watches(env, p); }

static void on_watch(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_WATCH *m = msg;
	struct watch *first = ipc_peer_note(from), **at = &first;
	(void)env;
	fd_close(&fd);
	while (*at && !((*at)->account == m->account && (*at)->box == m->box))
		at = &(*at)->next;
	enum rc rc = RC_OK;
	if (m->on && !*at) {
		struct watch *w = mem_new(sizeof *w);
		if (w) {
			*w = (struct watch){ first, m->account, m->box };
			first = w;
		} else {
			rc = RC_NOMEM;
		}
	} else if (!m->on && *at) {
		struct watch *w = *at;
		*at = w->next;
		mem_free(w);
	}
	ipc_peer_set_note(from, first);
	ipc_answer(call, rc, NULL, NULL);
}

/* ---- care: compaction in small steps while nobody notices ---- */

static void care_fiber(void *arg)
{
	struct role_env *e = arg;
	struct why why = { 0 };
	bool more = false;
	struct store_stats s;
	(void)!store_recent_settle(store_of(e), &why);
	(void)!store_compact(store_of(e), 20, &more, &why);
	store_stats(store_of(e), &s);
	count_set(e, M_COMMITS, (int64_t)s.commits);
	count_set(e, M_STORE_LIVE, (int64_t)s.live_bytes);
	count_set(e, M_STORE_DEAD, (int64_t)s.dead_bytes);
	count_set(e, M_DISK_FREE, (int64_t)s.disk_free);
}

static void care(void *arg)
{
	struct role_env *e = arg;
	(void)!fiber_start(e->loop, care_fiber, e, NULL);
}

static enum rc open_store(struct role_env *e, struct why *why)
{
	struct store_house *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = h;
	char dir[4096];
	(void)snprintf(dir, sizeof dir, "%.*s", PSTR(e->config->server_data_dir));
	TRY(store_open(e->loop, &(struct store_options){ .dir = dir, .patient = !e->embedded }, &h->s, why));
	store_on_change(h->s, changed, e);
	h->news.e = e;
	store_on_queue(h->s, store_queue_news, &h->news);
	return RC_OK;
}

static enum rc start(struct role_env *e, struct why *why)
{
	(void)why;
	return ticker_start(e->loop, 5000, care, e, &((struct store_house *)e->state)->care);
}

static void close_store(struct role_env *e)
{
	struct store_house *h = e->state;
	ipc_each(e->node, ROLE_ACCESS, drop_each, e);
	ticker_stop(&h->care);
	store_close(&h->s);
	mem_free(h);
}

/* ---- verbs ---- */

static void on_deliver(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	const struct msg_DELIVER *m = msg;
	struct arena a;
	struct store_copy *copies = NULL;
	struct store_epoch *epochs = NULL;
	struct queue_put *puts = NULL;
	struct sent_note sent;
	size_t n = 0, epoch_n = 0, put_n = 0;
	struct why why = { 0 };
	struct buf out, letters;
	fd_close(&fd);
	arena_init(&a, 64 << 20);
	buf_init(&out, 1 << 20);
	buf_init(&letters, 65536);
	struct blob_id id = { { 0 } };
	enum rc rc = m->blob.n == sizeof id.b ? wire_get_copies(m->copies, &a, &copies, &n) : RC_SYNTAX;
	if (rc == RC_OK)
		rc = wire_get_epochs(m->epochs, &a, &epochs, &epoch_n);
	if (rc == RC_OK && (m->puts.n || m->sent.n) && ipc_peer_role(from) != ROLE_EDGE)
		rc = why_fail(&why, RC_DENIED, 0, __FILE__, "mail goes out through edge alone"); /* a session that was taken over sends nothing */
	if (rc == RC_OK && m->puts.n)
		rc = wire_get_puts(m->puts, &a, &puts, &put_n);
	if (rc == RC_OK && m->sent.n)
		rc = wire_get_sent(m->sent, &a, &sent);
	struct store_copy_result *results = rc == RC_OK ? arena_new(&a, n * sizeof *results) : NULL;
	uint64_t *numbers = rc == RC_OK ? arena_new(&a, put_n * sizeof *numbers) : NULL;
	if (rc == RC_OK && a.full)
		rc = RC_NOMEM;
	if (rc == RC_OK) {
		memcpy(id.b, m->blob.p, sizeof id.b);
		rc = store_deliver_out(store_of(e), m->delivery, &id, m->body, epochs, epoch_n, copies, n, puts, put_n, m->sent.n ? &sent : NULL, results,
		                       numbers, &why);
	}
	if (rc == RC_OK) {
		wire_put_results(&out, results, n);
		wire_put_ids(&letters, numbers, put_n);
		rc = out.failed || letters.failed ? RC_NOMEM : RC_OK;
	}
	if (rc == RC_FULL)
		log_event(LEVEL_ERROR, EV_STORE_FULL, F("reason", why.text));
	ipc_answer(call, rc, &why, &(struct msg_DELIVER_answer){ .results = buf_str(&out), .letters = buf_str(&letters) });
	buf_done(&out);
	buf_done(&letters);
	arena_done(&a);
}

static void on_flags(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_FLAGS *m = msg;
	struct arena a;
	struct uid_range *r = NULL;
	struct str *words = NULL;
	size_t n = 0, word_n = 0;
	uint64_t modseq = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, 32 << 20);
	enum rc rc = wire_get_ranges(m->ranges, &a, &r, &n);
	if (rc == RC_OK)
		rc = wire_get_strs(m->keywords, &a, &words, &word_n);
	if (rc == RC_OK)
		rc = m->mode > FLAG_REMOVE ? RC_SYNTAX : store_flags(store_of(env), m->account, m->box, r, n, (enum flag_mode)m->mode, m->flags, words, word_n, &modseq, &why);
	ipc_answer(call, rc, &why, &(struct msg_FLAGS_answer){ .modseq = modseq });
	arena_done(&a);
}

static void on_expunge(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_EXPUNGE *m = msg;
	struct arena a;
	struct uid_range *r = NULL;
	size_t n = 0;
	uint64_t modseq = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, 32 << 20);
	enum rc rc = wire_get_ranges(m->ranges, &a, &r, &n);
	if (rc == RC_OK)
		rc = store_expunge(store_of(env), m->account, m->box, r, n, m->only_deleted, &modseq, &why);
	ipc_answer(call, rc, &why, &(struct msg_EXPUNGE_answer){ .modseq = modseq });
	arena_done(&a);
}

static void on_copy(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_COPY *m = msg;
	struct arena a;
	struct uid_range *r = NULL, *src = NULL, *dst = NULL;
	size_t n = 0, pairs = 0;
	uint32_t uidvalidity = 0;
	struct why why = { 0 };
	struct buf s, d;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 64 << 20);
	buf_init(&s, 8 << 20);
	buf_init(&d, 8 << 20);
	enum rc rc = wire_get_ranges(m->ranges, &a, &r, &n);
	if (rc == RC_OK)
		rc = store_copy_to(store_of(env), m->account, m->box, r, n, m->to, m->move, &a, &src, &dst, &pairs, &uidvalidity, &why);
	if (rc == RC_OK) {
		wire_put_ranges(&s, src, pairs);
		wire_put_ranges(&d, dst, pairs);
		rc = s.failed || d.failed ? RC_NOMEM : RC_OK;
	}
	ipc_answer(call, rc, &why, &(struct msg_COPY_answer){ .src = buf_str(&s), .dst = buf_str(&d), .uidvalidity = uidvalidity });
	buf_done(&s);
	buf_done(&d);
	arena_done(&a);
}

static void on_box_create(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_CREATE *m = msg;
	struct why why = { 0 };
	uint64_t id = 0;
	(void)from;
	fd_close(&fd);
	enum rc rc = box_create(store_of(env), m->account, m->name, m->special_use, &id, &why);
	ipc_answer(call, rc, &why, &(struct msg_BOX_CREATE_answer){ .box = id });
}

static void on_box_remove(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_REMOVE *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = box_remove(store_of(env), m->account, m->name, &why);
	ipc_answer(call, rc, &why, NULL);
}

static void on_box_rename(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_RENAME *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = box_rename(store_of(env), m->account, m->from, m->to, &why);
	ipc_answer(call, rc, &why, NULL);
}

static void on_box_subscribe(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_SUBSCRIBE *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = box_subscribe(store_of(env), m->account, m->name, m->on, &why);
	ipc_answer(call, rc, &why, NULL);
}

static void on_recent(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_RECENT *m = msg;
	struct why why = { 0 };
	uint32_t first = 0;
	(void)from;
	fd_close(&fd);
	enum rc rc = store_recent(store_of(env), m->account, m->box, m->before, &first, &why);
	ipc_answer(call, rc, &why, &(struct msg_RECENT_answer){ .first = first });
}

static void on_rollup(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ROLLUP *m = msg;
	struct arena a;
	uint64_t *ids = NULL;
	size_t n = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, 1 << 20);
	enum rc rc = wire_get_ids(m->epochs, &a, &ids, &n);
	if (rc == RC_OK)
		rc = epoch_rollup(store_of(env), m->owner, m->rollup, m->sealed, ids, n, &why);
	ipc_answer(call, rc, &why, NULL);
	arena_done(&a);
}

/* ---- directory ---- */

static void tell_news(void *arg, struct ipc_peer *p) { (void)!ipc_tell(p, MSG_DIRECTORY_NEWS, arg, -1); }

/* Whoever caches addresses hears of it before the command line is answered. */
void role_store_answer_directory(void *env, struct ipc_call *call, enum rc rc, const struct why *why, uint64_t account)
{
	struct role_env *e = env;
	struct msg_DIRECTORY_NEWS m = { .account = account };
	if (rc == RC_OK) {
		ipc_each(e->node, ROLE_EDGE, tell_news, &m);
		ipc_each(e->node, ROLE_ACCESS, tell_news, &m);
		ipc_each(e->node, ROLE_RELAY, tell_news, &m);
	}
	ipc_answer(call, rc, why, NULL);
}

static void on_domain_add(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = domain_add(store_of(env), ((const struct msg_DOMAIN_ADD *)msg)->domain, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

static void on_domain_remove(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = domain_remove(store_of(env), ((const struct msg_DOMAIN_REMOVE *)msg)->domain, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

static void on_domain_catch_all(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_DOMAIN_CATCH_ALL *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = domain_catch_all(store_of(env), m->domain, m->address, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

static void account_verb(void *env, struct ipc_call *call, struct str packed, enum rc (*verb)(struct store *, const struct account *, struct why *))
{
	struct arena a;
	struct account acct;
	struct why why = { 0 };
	struct cursor c = cursor_of(packed);
	arena_init(&a, 16384);
	enum rc rc = wire_get_account(&c, &a, &acct);
	if (rc == RC_OK && !cursor_at_end(&c))
		rc = RC_SYNTAX;
	uint64_t id = rc == RC_OK ? acct.id : 0;
	if (rc == RC_OK)
		rc = verb(store_of(env), &acct, &why);
	role_store_answer_directory(env, call, rc, &why, id);
	arena_done(&a);
}

static void on_account_add(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from;
	fd_close(&fd);
	account_verb(env, call, ((const struct msg_ACCOUNT_ADD *)msg)->account, account_add);
}

static void on_account_set(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from;
	fd_close(&fd);
	account_verb(env, call, ((const struct msg_ACCOUNT_SET *)msg)->account, account_set);
}

static void on_account_remove(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ACCOUNT_REMOVE *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = account_remove(store_of(env), m->account, &why);
	role_store_answer_directory(env, call, rc, &why, m->account);
}

static void on_account_alias(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ACCOUNT_ALIAS *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = account_alias(store_of(env), m->account, m->address, m->add, &why);
	role_store_answer_directory(env, call, rc, &why, m->account);
}

/* ---- care, asked for ---- */

/* One lease, or with 0 all of a peer's. A backup that was killed unpins nothing, and while a lease lasts no segment's room comes back. */
static void drop_pins(struct store_house *h, const struct ipc_peer *of, uint64_t lease)
{
	for (size_t i = 0; i < PINS_MAX; i++) {
		if (!h->pins[i].lease || h->pins[i].of != of || (lease && h->pins[i].lease != lease))
			continue;
		store_unpin(h->s, h->pins[i].lease);
		h->pins[i].lease = 0;
	}
}

static void peer_gone(struct role_env *e, struct ipc_peer *p)
{
	drop_watches(e, p);
	if (e->state)
		drop_pins(e->state, p, 0);
}

static void on_pin(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	uint64_t lease = 0;
	struct store_house *h = ((struct role_env *)env)->state;
	size_t i = 0;
	(void)msg;
	fd_close(&fd);
	while (i < PINS_MAX && h->pins[i].lease)
		i++;
	enum rc rc = i < PINS_MAX ? store_pin(h->s, &lease, &why) : why_fail(&why, RC_BUSY, 0, __FILE__, "%d backups at once are enough", PINS_MAX);
	if (rc == RC_OK) {
		h->pins[i].of = from;
		h->pins[i].lease = lease;
	}
	ipc_answer(call, rc, &why, &(struct msg_STORE_PIN_answer){ .lease = lease });
}

static void on_unpin(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	fd_close(&fd);
	drop_pins(((struct role_env *)env)->state, from, ((const struct msg_STORE_UNPIN *)msg)->lease);
	ipc_answer(call, RC_OK, NULL, NULL);
}

static void on_stats(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct store_stats s;
	(void)from, (void)msg;
	fd_close(&fd);
	store_stats(store_of(env), &s);
	ipc_answer(call, RC_OK, NULL, &(struct msg_STORE_STATS_answer){ .commits = s.commits, .verbs = s.verbs, .segments = s.segments,
		.live_bytes = s.live_bytes, .dead_bytes = s.dead_bytes, .disk_free = s.disk_free });
}

static void on_compact(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	bool more = false;
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = store_compact(store_of(env), 1000, &more, &why);
	ipc_answer(call, rc, &why, &(struct msg_STORE_COMPACT_answer){ .more = more });
}

static ipc_handler *const on[MSG_COUNT] = {
	[MSG_DELIVER] = on_deliver,           [MSG_FLAGS] = on_flags,                 [MSG_EXPUNGE] = on_expunge,
	[MSG_COPY] = on_copy,                 [MSG_BOX_CREATE] = on_box_create,       [MSG_BOX_REMOVE] = on_box_remove,
	[MSG_BOX_RENAME] = on_box_rename,     [MSG_BOX_SUBSCRIBE] = on_box_subscribe, [MSG_ROLLUP] = on_rollup,
	[MSG_WATCH] = on_watch,               [MSG_DOMAIN_ADD] = on_domain_add,       [MSG_DOMAIN_REMOVE] = on_domain_remove,
	[MSG_DOMAIN_CATCH_ALL] = on_domain_catch_all, [MSG_ACCOUNT_ADD] = on_account_add, [MSG_ACCOUNT_SET] = on_account_set,
	[MSG_ACCOUNT_REMOVE] = on_account_remove, [MSG_ACCOUNT_ALIAS] = on_account_alias, [MSG_STORE_PIN] = on_pin,
	[MSG_STORE_UNPIN] = on_unpin,         [MSG_STORE_STATS] = on_stats,           [MSG_STORE_COMPACT] = on_compact,
	[MSG_QUEUE_CHANGE] = store_on_queue_change, [MSG_QUEUE_FORGET] = store_on_queue_forget, [MSG_NOTE_PUT] = store_on_note_put,
	[MSG_GROUP_ADD] = store_on_group_add, [MSG_GROUP_SET] = store_on_group_set,   [MSG_GROUP_REMOVE] = store_on_group_remove,
	[MSG_RECENT] = on_recent,
	[MSG_GROUP_MEMBER] = store_on_group_member, [MSG_RULES_SET] = store_on_rules_set, [MSG_WAY_SET] = store_on_way_set, [MSG_WAY_REMOVE] = store_on_way_remove,
};

const struct role_ops role_store = {
	.role = ROLE_STORE,
	.talks_to = R_EDGE | R_ACCESS | R_RELAY,
	.needs = SANDBOX_FILES | SANDBOX_LMDB | SANDBOX_THREADS | SANDBOX_MEMFD,
	.paths = paths,
	.open = open_store,
	.start = start,
	.close = close_store,
	.on = on,
	.gone = peer_gone,
};
