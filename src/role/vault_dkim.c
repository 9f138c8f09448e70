#include "role/vault_dkim.h"

#include "base/cursor.h"
#include "base/log.h"
#include "os/file.h"
#include "role/dkim_wire.h"
#include "vault/dkim.h"

enum { LIST_MAX = 15 << 20, MOVED_MAX = 1000000, LOOK_LEN = 9, SIGNATURES_MAX = 139264 };

static enum rc change(struct vault *v, const struct msg_DKIM_KEYS *m, struct why *why)
{
	int64_t now = wall_ms();
	switch (m->op) {
	case DKIM_OP_FIRST: return vault_dkim_make(v, m->domain, true, now, why);
	case DKIM_OP_ROTATE: return vault_dkim_make(v, m->domain, false, now, why);
	case DKIM_OP_RETIRE: return vault_dkim_retire(v, m->domain, m->selector, now, why);
	case DKIM_OP_REVOKE: return vault_dkim_revoke(v, m->domain, m->selector, now, why);
	case DKIM_OP_FORGET: return vault_dkim_forget(v, m->domain, why);
	default: FAIL(why, RC_SYNTAX, "no such operation");
	}
}

void vault_on_dkim_keys(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = change(vault_of(env), msg, &why);
	ipc_answer(call, rc, &why, NULL);
}

void vault_on_dkim_list(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_DKIM_LIST *m = msg;
	struct vault *v = vault_of(env);
	struct buf out;
	(void)from;
	fd_close(&fd);
	buf_init(&out, LIST_MAX);
	for (size_t i = 0; i < vault_dkim_count(v); i++) {
		struct vault_dkim k;
		vault_dkim_get(v, i, &k);
		if (m->domain.n == 0 || str_ieq(m->domain, k.domain))
			dkim_wire_put(&out, &k);
	}
	ipc_answer(call, out.failed ? RC_NOMEM : RC_OK, NULL, &(struct msg_DKIM_LIST_answer){ .keys = buf_str(&out) });
	buf_done(&out);
}

/* What does not fit is not told, but has happened and is in the list. */
static void note_move(void *arg, const struct vault_dkim *k)
{
	struct buf *out = arg;
	log_event(LEVEL_INFO, EV_DKIM_KEY, F("dom", k->domain), F("selector", k->selector), F("state", vault_dkim_state_name(k->state)));
	if (out->len + 2048 < MOVED_MAX)
		dkim_wire_put(out, k);
}

void vault_on_dkim_turn(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_DKIM_TURN *m = msg;
	struct role_env *role = env;
	const struct config *c = role->config;
	struct vault_dkim_rules rules = { (int64_t)c->dkim_settle, (int64_t)c->dkim_rotate, (int64_t)c->dkim_revoke };
	struct arena a;
	struct buf moved;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, 1 << 20);
	buf_init(&moved, MOVED_MAX);
	size_t n = m->looks.n / LOOK_LEN;
	struct vault_dkim_look *look = arena_new(&a, (n + 1) * sizeof *look);
	struct cursor in = cursor_of(m->looks);
	enum rc rc = !look ? RC_NOMEM : m->looks.n % LOOK_LEN ? RC_SYNTAX : RC_OK;
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		look[i] = (struct vault_dkim_look){ cursor_u64(&in), cursor_u8(&in) != 0 };
	if (rc == RC_OK)
		rc = vault_dkim_turn(vault_of(env), &rules, wall_ms(), loop_now(role->loop), look, n, &(struct vault_dkim_listener){ note_move, &moved }, &why);
	ipc_answer(call, rc, &why, &(struct msg_DKIM_TURN_answer){ .moved = buf_str(&moved) });
	buf_done(&moved);
	arena_done(&a);
}

void vault_on_dkim_sign(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_DKIM_SIGN *m = msg;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	buf_init(&out, SIGNATURES_MAX);
	enum rc rc = vault_dkim_sign(vault_of(env), m->domain, m->selector, m->digests, &out, &why);
	ipc_answer(call, rc, &why, &(struct msg_DKIM_SIGN_answer){ .signatures = buf_str(&out) });
	buf_done(&out);
}
