#include "role/access.h"

#include "base/log.h"
#include "base/mem.h"
#include "mail/address.h"
#include "os/net.h"
#include "role/login_name.h"
#include "role/wire.h"

/* Epoch keys of an account. An X25519 open costs 40 µs, so the first session that opens many has `store` replace them by
 * roll-ups: up to 1,000 under one key of the owner. */

enum { EPOCHS_MAX = 4000000, OPEN_AT_ONCE = 32, ROLLUP_LEAST = 16, ROLLUP_MOST = 1000, USER_MAX = LOGIN_USER_MAX, NAME_MS = 60000 };

struct epoch_have { uint64_t id; struct secret key; bool single; };

static struct access_house *house_of(struct role_env *e) { return e->state; }

static void owner_free(struct owner *o)
{
	size_t at = 0;
	for (struct epoch_have *h; (h = map_next(&o->epochs, &at));) {
		secret_done(&h->key);
		mem_free(h);
	}
	map_done(&o->epochs);
	for (size_t i = 0; i < sizeof o->ready / sizeof *o->ready; i++)
		epoch_keys_free(&o->ready[i].keys);
	secret_done(&o->private_key);
	mem_free(o);
}

void owner_unref(struct owner **op)
{
	struct owner *o = *op;
	*op = NULL;
	if (!o || --o->refs)
		return;
	(void)map_drop_u64(&house_of(o->e)->owners, o->account);
	owner_free(o);
}

static enum rc epoch_add(struct owner *o, uint64_t id, const struct secret *key, bool single)
{
	struct epoch_have *h = map_get_u64(&o->epochs, id);
	if (h) {
		h->single = h->single && single;
		return RC_OK;
	}
	h = mem_new(sizeof *h);
	if (!h)
		return RC_NOMEM;
	*h = (struct epoch_have){ .id = id, .key = *key, .single = single };
	enum rc rc = map_put_u64(&o->epochs, id, h);
	if (rc != RC_OK)
		mem_free(h);
	return rc;
}

struct rollup_sink { struct owner *o; enum rc rc; };

static void rollup_entry(void *arg, const struct epoch_entry *e)
{
	struct rollup_sink *s = arg;
	if (s->rc == RC_OK)
		s->rc = epoch_add(s->o, e->epoch, &e->key, false);
}

/* One chunk of (u64 id, u8 kind, run sealed)*. What does not open is left out: the record that needs it says so. */
static enum rc take_epochs(struct owner *o, struct unsealer *u, struct str packed)
{
	struct cursor c = cursor_of(packed);
	for (unsigned opened = 0; c.in.n && !c.failed;) {
		uint64_t id = cursor_u64(&c);
		uint8_t kind = cursor_u8(&c);
		struct str sealed = cursor_run(&c, 1 << 20);
		if (c.failed)
			return RC_SYNTAX;
		if (kind == 1) {
			struct rollup_sink s = { o, RC_OK };
			enum rc rc = rollup_open(&o->private_key, o->account, id, sealed, rollup_entry, &s);
			if (rc == RC_NOMEM)
				return rc; /* not damage: it opens when there is memory again */
			if (rc != RC_OK)
				log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "a roll-up of epoch keys"), F("acct", (int64_t)o->account));
			TRY(s.rc);
			continue;
		}
		struct secret key = { 0 };
		if (map_get_u64(&o->epochs, id))
			continue;
		enum rc rc = epoch_open_by(u, o->account, id, sealed, &key);
		if (rc == RC_OK)
			rc = epoch_add(o, id, &key, true);
		else if (rc != RC_NOMEM)
			log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "an epoch key"), F("acct", (int64_t)o->account));
		secret_done(&key);
		if (rc == RC_NOMEM)
			return rc;
		if (++opened % OPEN_AT_ONCE == 0 && fiber_self())
			fiber_yield(); /* others have work too */
	}
	return RC_OK;
}

static enum rc load_with(struct owner *o, struct unsealer *u, uint64_t from, bool all, struct why *why)
{
	for (uint64_t next = from;;) {
		struct msg_EPOCHS_answer a;
		struct ipc_reply reply = { 0 };
		TRY(ipc_ask_role(o->e->node, ROLE_READER, MSG_EPOCHS, &(struct msg_EPOCHS){ .owner = o->account, .after = next }, &a, &reply, true, why));
		enum rc rc = take_epochs(o, u, a.epochs);
		next = a.next;
		ipc_reply_done(&reply);
		TRY(rc);
		if (next == 0 || !all)
			return RC_OK;
	}
}

static enum rc load_from(struct owner *o, uint64_t from, bool all, struct why *why)
{
	struct unsealer *u;
	TRY(unsealer_new(&o->private_key, o->public_key, &u));
	enum rc rc = load_with(o, u, from, all, why);
	unsealer_free(&u);
	return rc;
}

/* ---- roll-up ---- */

static size_t collect(struct owner *o, struct epoch_entry *list, uint64_t *ids, size_t max)
{
	size_t at = 0, n = 0;
	for (struct epoch_have *h; n < max && (h = map_next(&o->epochs, &at));)
		if (h->single) {
			ids[n] = h->id;
			list[n++] = (struct epoch_entry){ h->id, h->key };
		}
	return n;
}

static enum rc roll_up_once(struct owner *o, struct epoch_entry *list, uint64_t *ids, size_t n)
{
	uint64_t id = 0;
	struct buf sealed, packed;
	buf_init(&sealed, 1 << 20);
	buf_init(&packed, 65536);
	enum rc rc = random_bytes(&id, sizeof id);
	if (rc == RC_OK)
		rc = rollup_seal(&o->private_key, o->account, id, list, n, &sealed);
	wire_put_ids(&packed, ids, n);
	struct msg_ROLLUP q = { .owner = o->account, .rollup = id, .sealed = buf_str(&sealed), .epochs = buf_str(&packed) };
	if (rc == RC_OK && !packed.failed && !sealed.failed)
		rc = ipc_ask_role(o->e->node, ROLE_STORE, MSG_ROLLUP, &q, NULL, NULL, false, NULL);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		struct epoch_have *h = map_get_u64(&o->epochs, ids[i]);
		if (h)
			h->single = false;
	}
	buf_done(&sealed);
	buf_done(&packed);
	return rc;
}

static void roll_up_fiber(void *arg)
{
	struct owner *o = arg;
	struct epoch_entry *list = mem_new(ROLLUP_MOST * sizeof *list);
	uint64_t *ids = mem_new(ROLLUP_MOST * sizeof *ids);
	for (size_t n; list && ids && (n = collect(o, list, ids, ROLLUP_MOST)) >= ROLLUP_LEAST;)
		if (roll_up_once(o, list, ids, n) != RC_OK)
			break;
	if (list)
		mem_wipe(list, ROLLUP_MOST * sizeof *list);
	mem_free(list);
	mem_free(ids);
	owner_unref(&o);
}

static void roll_up_if_many(struct owner *o)
{
	size_t at = 0, n = 0;
	for (struct epoch_have *h; (h = map_next(&o->epochs, &at));)
		n += h->single;
	if (n < ROLLUP_LEAST)
		return;
	o->refs++;
	if (fiber_start(o->e->loop, roll_up_fiber, o, NULL) != RC_OK)
		o->refs--;
}

static enum rc load_all(struct owner *o, struct why *why)
{
	while (o->loading)
		TRY(wait_on(&o->done_loading, loop_now(o->e->loop) + 60000));
	if (o->loaded)
		return RC_OK;
	o->loading = true;
	enum rc rc = load_from(o, 0, true, why);
	o->loading = false;
	o->loaded = rc == RC_OK;
	wake_all(&o->done_loading);
	if (rc == RC_OK)
		roll_up_if_many(o);
	return rc;
}

enum rc owner_epoch(struct owner *o, uint64_t epoch, struct epoch_keys **out, struct why *why)
{
	size_t at = epoch % (sizeof o->ready / sizeof *o->ready);
	if (o->ready[at].keys && o->ready[at].id == epoch) {
		*out = o->ready[at].keys;
		return RC_OK;
	}
	struct epoch_have *h = map_get_u64(&o->epochs, epoch);
	if (!h && !o->loaded) {
		TRY(load_all(o, why));
		h = map_get_u64(&o->epochs, epoch);
	}
	if (!h) { /* made since then */
		TRY(load_from(o, epoch, false, why));
		h = map_get_u64(&o->epochs, epoch);
	}
	if (!h) { /* or rolled up by another process since then */
		TRY(load_from(o, 0, true, why));
		h = map_get_u64(&o->epochs, epoch);
	}
	if (!h)
		FAIL(why, RC_DAMAGED, "the epoch key of this message is missing or broken");
	struct epoch_keys **k = &o->ready[at].keys;
	enum rc rc = *k ? epoch_keys_change(*k, &h->key) : epoch_keys_new(&h->key, k);
	if (rc != RC_OK)
		epoch_keys_free(k);
	o->ready[at].id = epoch;
	*out = *k;
	return rc;
}

/* ---- login ---- */

/* ---- names that were looked up a moment ago ---- */
struct name { uint64_t account; int64_t until; size_t n; char text[]; };

void names_forget(struct access_house *h)
{
	size_t at = 0, max = h->names.max;
	for (struct name *x; (x = map_next(&h->names, &at));)
		mem_free(x);
	map_done(&h->names);
	map_init(&h->names, max);
	h->names_generation++;
}

static bool name_known(struct access_house *h, struct str text, int64_t now, uint64_t *out)
{
	const struct name *x = map_get(&h->names, text);
	if (!x || x->until <= now)
		return false;
	*out = x->account;
	return true;
}

/* Without memory for it, it is asked for again. */
static void name_learn(struct access_house *h, struct str text, uint64_t account, int64_t now)
{
	struct name *x = mem_new(sizeof *x + text.n), *old;
	if (!x)
		return;
	*x = (struct name){ .account = account, .until = now + NAME_MS, .n = text.n };
	memcpy(x->text, text.p, text.n);
	if ((old = map_drop(&h->names, text)))
		mem_free(old);
	if (h->names.n == h->names.max)
		names_forget(h);
	if (map_put(&h->names, str_of(x->text, x->n), x) != RC_OK)
		mem_free(x);
}

/* The account of a login name. Where there is none, an id that belongs to that name alone and to no account: the vault spends the same
 * time, and counts each unknown name as one of its own. */
static enum rc find_account(struct role_env *e, struct str user, uint64_t *out_id, struct why *why)
{
	struct arena arena;
	char room[USER_MAX * 2];
	struct buf name = { .p = room, .cap = sizeof room, .max = sizeof room };
	struct str full = login_full_name(e->config, user, &name), unused;
	*out_id = siphash(house_of(e)->name_key, full) | 1ull << 63; /* vault_account_make() leaves that bit clear */
	if (full.n == 0 || full.n > USER_MAX || name_known(house_of(e), full, loop_now(e->loop), out_id))
		return RC_OK;
	uint64_t generation = house_of(e)->names_generation;
	arena_init(&arena, 16384);
	enum rc rc = login_find(e, full, &arena, out_id, &unused, why);
	if (rc == RC_OK && generation == house_of(e)->names_generation)
		name_learn(house_of(e), full, *out_id, loop_now(e->loop));
	arena_done(&arena);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc owner_get(struct role_env *e, uint64_t account, const struct msg_LOGIN_answer *a, struct owner **out)
{
	struct access_house *h = house_of(e);
	struct owner *o = map_get_u64(&h->owners, account);
	if (!o) {
		o = mem_new(sizeof *o);
		if (!o)
			return RC_NOMEM;
		o->e = e;
		o->account = account;
		map_init(&o->epochs, EPOCHS_MAX);
		memcpy(o->private_key.k, a->private_key.p, KEY_LEN);
		memcpy(o->public_key, a->public_key.p, PUB_LEN);
		enum rc rc = map_put_u64(&h->owners, account, o);
		if (rc != RC_OK) {
			owner_free(o);
			return rc;
		}
	}
	o->refs++;
	*out = o;
	return RC_OK;
}

enum rc owner_login(struct door_visit *v, struct str user, struct str password, const char *protocol, struct owner **out, struct why *why)
{
	struct role_env *e = v->e;
	struct msg_LOGIN_answer a;
	struct ipc_reply reply = { 0 };
	uint64_t id, generation = house_of(e)->names_generation;
	TRY(find_account(e, user, &id, why));
	struct msg_LOGIN q = { .account = id, .password = str_head(password, 1024), .network = str_of(v->network, sizeof v->network), .protocol = str_z(protocol) };
	enum rc rc = ipc_ask_role(e->node, ROLE_VAULT, MSG_LOGIN, &q, &a, &reply, true, why);
	if (rc == RC_OK && (a.private_key.n != KEY_LEN || a.public_key.n != PUB_LEN))
		rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "the vault's answer is no key pair");
	if (rc == RC_OK && !access_enter_account(e, id))
		rc = why_fail(why, RC_BUSY, 0, __FILE__, "too many connections of this account at a time");
	if (rc == RC_OK) {
		rc = owner_get(e, id, &a, out);
		if (rc == RC_OK && (rc = guests_enter(*out)) != RC_OK)
			owner_unref(out);
		if (rc != RC_OK)
			access_leave_account(e, id);
		else if (generation != house_of(e)->names_generation) /* the directory changed while the vault looked at the password */
			guests_check(e, id);
	}
	ipc_reply_done(&reply);
	bool imap = protocol[0] == 'i';
	if (rc == RC_BUSY)
		count_add(e, M_AUTH_THROTTLED, 1);
	count_add(e, rc == RC_OK ? (imap ? M_AUTH_OK_IMAP : M_AUTH_OK_POP3) : imap ? M_AUTH_BAD_IMAP : M_AUTH_BAD_POP3, 1);
	log_event(rc == RC_OK ? LEVEL_INFO : LEVEL_WARN, rc == RC_OK ? EV_AUTH_OK : EV_AUTH_FAIL, F("sid", v->sid), F("proto", protocol),
	          F("acct", str_head(user, 120)), F("ip", stream_facts(v->stream)->peer_ip), F("reason", rc_name(rc)));
	return rc;
}
