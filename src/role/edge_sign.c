#include "role/edge_sign.h"

#include "base/cursor.h"
#include "os/loop.h"
#include "role/dkim_wire.h"

enum { KEYS = 4, LIST_ROOM = 4 << 20 };

struct vault_key { struct role_env *e; struct str domain, selector; };

static enum rc sign_digest(void *house, const uint8_t digest[32], struct buf *out, struct why *why)
{
	const struct vault_key *k = house;
	struct msg_DKIM_SIGN q = { .domain = k->domain, .selector = k->selector, .digests = str_of(digest, 32) };
	struct msg_DKIM_SIGN_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(k->e->node, ROLE_VAULT, MSG_DKIM_SIGN, &q, &a, &reply, true, why));
	struct cursor c = cursor_of(a.signatures);
	buf_add(out, cursor_run(&c, 1024));
	bool ok = cursor_at_end(&c) && !out->failed;
	ipc_reply_done(&reply);
	if (!ok)
		FAIL(why, RC_SYNTAX, "the vault's answer is no signature");
	return RC_OK;
}

/* The signing keys of a domain, RSA before Ed25519. */
struct keys { struct arena a; struct ipc_reply reply; /* holds the selectors */ struct vault_key house[KEYS]; struct dkim_key_ref key[KEYS]; size_t n; };

static void take_kind(struct keys *k, struct role_env *e, struct str domain, const struct dkim_row *rows, size_t n, bool ed25519)
{
	for (size_t i = 0; i < n && k->n < KEYS; i++) {
		if (rows[i].state != VAULT_DKIM_SIGNING || (rows[i].kind == VAULT_DKIM_ED25519) != ed25519)
			continue;
		k->house[k->n] = (struct vault_key){ e, domain, rows[i].selector };
		k->key[k->n] = (struct dkim_key_ref){ .domain = domain, .selector = rows[i].selector, .kind = ed25519 ? DKIM_ED25519 : DKIM_RSA,
			.sign = sign_digest, .house = &k->house[k->n] };
		k->n++;
	}
}

static enum rc keys_of(struct role_env *e, struct str domain, struct keys *k, struct why *why)
{
	struct msg_DKIM_LIST_answer list;
	struct dkim_row *rows;
	size_t n = 0;
	*k = (struct keys){ 0 };
	arena_init(&k->a, LIST_ROOM);
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_DKIM_LIST, &(struct msg_DKIM_LIST){ .domain = domain }, &list, &k->reply, true, why));
	TRY(dkim_wire_get(list.keys, &k->a, &rows, &n));
	take_kind(k, e, domain, rows, n, false);
	take_kind(k, e, domain, rows, n, true);
	return RC_OK;
}

static void keys_done(struct keys *k)
{
	ipc_reply_done(&k->reply);
	arena_done(&k->a);
}

static const struct dkim_sign_options *options(struct dkim_sign_options *room)
{
	*room = (struct dkim_sign_options){ .header = DKIM_RELAXED, .body = DKIM_RELAXED, .identity = STR(""), .headers = STR(""), .now_s = wall_ms() / 1000 };
	return room;
}

enum rc edge_sign_dkim(struct role_env *e, struct str domain, struct str message, struct buf *out, struct why *why)
{
	struct keys k;
	struct dkim_sign_options o;
	if (!domain.n)
		return RC_OK;
	enum rc rc = keys_of(e, domain, &k, why);
	if (rc == RC_OK && k.n)
		rc = dkim_sign(message, k.key, k.n, options(&o), out, why);
	keys_done(&k);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

enum rc edge_sign_arc(struct role_env *e, struct str domain, struct str message, struct str results, enum auth chain, struct buf *out, struct why *why)
{
	struct keys k;
	struct dkim_sign_options o;
	enum rc rc = keys_of(e, domain, &k, why);
	if (rc == RC_OK)
		rc = k.n ? arc_seal(message, &k.key[0], results, chain, options(&o), out, why) : RC_NOTFOUND;
	keys_done(&k);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}
