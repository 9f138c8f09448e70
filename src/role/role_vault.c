#include "role/role.h"

#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "role/vault_dkim.h"
#include "vault/vault.h"

/* The role `vault`: secrets, and what is done with them. It sees typed requests only. */
struct vault_house {
	uintptr_t generation;                 /* of the certificates; each worker's peer notes which one it has fetched */
	struct vault *v;
	struct waitlist tls_loaded;
	bool have_tls;
	struct signing { int64_t at; uint64_t left; } signing[ROLE_COUNT]; /* left: thousandths of a signature */
};

enum { WORKERS_MS = 3000, WORKERS_STEP_MS = 5 };

static struct vault_house *house_of(void *env) { return ((struct role_env *)env)->state; }
struct vault *vault_of(void *env) { return house_of(env)->v; }

static size_t paths(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX])
{
	out[0] = (struct sandbox_path){ role_path(e, "vault"), true };
	return 1;
}

static enum rc open_vault(struct role_env *e, struct why *why)
{
	struct vault_house *h = mem_new(sizeof *h);
	struct vault_options o = { .dir = role_path(e, "vault"), .scram = e->config->login_scram };
	char where[4096];
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = h;
	(void)snprintf(where, sizeof where, "%.*s", PSTR(e->config->server_root_key));
	char data[4096];
	(void)snprintf(data, sizeof data, "%.*s", PSTR(e->config->server_data_dir));
	TRY(root_key_load(where, data, e->config->server_demo, e->config->server_demo, &o.root, why));
	enum rc rc = role_files_as_user(e, why);
	if (rc == RC_OK)
		rc = vault_open(e->loop, &o, &h->v, why);
	secret_done(&o.root);
	return rc;
}

static void reload(struct role_env *e)
{
	struct vault_house *h = e->state;
	if (h && h->v)
		vault_scram(h->v, e->config->login_scram);
}

static void close_vault(struct role_env *e)
{
	struct vault_house *h = e->state;
	vault_close(&h->v);
	mem_free(h);
}

static void on_login(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_LOGIN *m = msg;
	struct vault_login in = { .id = m->account, .password = m->password, .protocol = m->protocol };
	struct secret key = { 0 };
	uint8_t public_key[PUB_LEN];
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	if (m->network.n != sizeof in.client_network) {
		ipc_answer(call, RC_SYNTAX, NULL, NULL);
		return;
	}
	memcpy(in.client_network, m->network.p, sizeof in.client_network);
	enum rc rc = vault_login(house_of(env)->v, &in, &key, public_key, &why);
	struct msg_LOGIN_answer a = { .private_key = str_of(key.k, sizeof key.k), .public_key = str_of(public_key, sizeof public_key) };
	ipc_answer(call, rc, &why, &a);
	secret_done(&key);
}

/* A login without the keys: what `edge` may know is that the password was right. */
static void on_auth(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_AUTH *m = msg;
	struct vault_login in = { .id = m->account, .password = m->password, .protocol = m->protocol };
	struct secret key AUTO(secret_done) = { { 0 } };
	uint8_t public_key[PUB_LEN];
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = RC_SYNTAX;
	if (m->network.n == sizeof in.client_network) {
		memcpy(in.client_network, m->network.p, sizeof in.client_network);
		rc = vault_login(house_of(env)->v, &in, &key, public_key, &why);
	}
	ipc_answer(call, rc, &why, NULL);
}

static void on_scram_begin(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_SCRAM_BEGIN *m = msg;
	uint8_t salt[VAULT_SCRAM_SALT];
	uint32_t iterations = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = vault_scram_begin(house_of(env)->v, m->account, m->user, salt, &iterations, &why);
	ipc_answer(call, rc, &why, &(struct msg_SCRAM_BEGIN_answer){ .salt = str_of(salt, sizeof salt), .iterations = iterations });
}

static void on_scram_prove(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_SCRAM_PROVE *m = msg;
	struct vault_scram in = { .id = m->account, .auth_message = m->auth_message, .proof = m->proof };
	uint8_t signature[HASH_LEN];
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = RC_SYNTAX;
	if (m->network.n == sizeof in.client_network) {
		memcpy(in.client_network, m->network.p, sizeof in.client_network);
		rc = vault_scram_prove(house_of(env)->v, &in, signature, &why);
	}
	ipc_answer(call, rc, &why, &(struct msg_SCRAM_PROVE_answer){ .signature = str_of(signature, sizeof signature) });
}

/* A role that was taken over could have anything signed that looks like a handshake; so no more than handshakes can be. A bucket of one second's worth each. */
static bool may_sign(struct role_env *e, enum role r)
{
	struct signing *s = &((struct vault_house *)e->state)->signing[r];
	int64_t now = loop_now(e->loop);
	uint64_t most = e->config->process_tls_signatures * 1000;
	uint64_t more = s->at ? (uint64_t)(now - s->at) * e->config->process_tls_signatures : most;
	s->left = s->left + more < most ? s->left + more : most;
	s->at = now;
	if (s->left < 1000)
		return false;
	s->left -= 1000;
	return true;
}

static void on_tls_sign(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_TLS_SIGN *m = msg;
	struct why why = { 0 };
	struct buf out;
	fd_close(&fd);
	if (!may_sign(env, ipc_peer_role(from))) {
		count_add(env, M_TLS_THROTTLED, 1);
		(void)why_fail(&why, RC_BUSY, 0, __FILE__, "more handshakes within a second than process.tls_signatures");
		ipc_answer(call, RC_BUSY, &why, NULL);
		return;
	}
	buf_init(&out, TLS_SIGNATURE_MAX);
	enum rc rc = vault_tls_sign(house_of(env)->v, m->key, m->scheme, m->digest, &out, &why);
	ipc_answer(call, rc, &why, &(struct msg_TLS_SIGN_answer){ .signature = buf_str(&out) });
	buf_done(&out);
}

static void tell_news(void *arg, struct ipc_peer *p)
{
	(void)arg;
	(void)!ipc_tell(p, MSG_TLS_NEWS, &(struct msg_TLS_NEWS){ 0 }, -1);
}

static enum rc check_pairs(const struct msg_TLS_LOAD *m, struct why *why)
{
	struct cursor c = cursor_of(m->pairs);
	for (uint32_t i = 0; i < m->count; i++) {
		struct why one = { 0 };
		struct str name = cursor_run(&c, 4096), chain = cursor_run(&c, 1 << 20), key = cursor_run(&c, 1 << 20);
		if (c.failed)
			FAIL(why, RC_SYNTAX, "broken pair");
		enum rc rc = vault_tls_check(chain, key, &one);
		if (rc != RC_OK)
			FAIL(why, rc, "tls \"%.*s\": %.120s", PSTR(str_head(name, 60)), one.text);
	}
	return RC_OK;
}

static enum rc load_pairs(struct vault *v, const struct msg_TLS_LOAD *m, struct why *why)
{
	/* Looked at as a whole first: a bad pair must not leave us without the good ones. */
	TRY(check_pairs(m, why));
	struct cursor c = cursor_of(m->pairs);
	vault_tls_clear(v);
	for (uint32_t i = 0; i < m->count; i++) {
		uint64_t id;
		(void)cursor_run(&c, 4096);
		struct str chain = cursor_run(&c, 1 << 20), key = cursor_run(&c, 1 << 20);
		TRY(vault_tls_add(v, chain, key, &id, why));
	}
	return RC_OK;
}

struct behind { uintptr_t generation; bool any; };

static void look_behind(void *arg, struct ipc_peer *p)
{
	struct behind *b = arg;
	b->any = b->any || (uintptr_t)ipc_peer_note(p) != b->generation;
}

/* Who is told that the new certificates are in force may rely on it: the workers have them, or are being restarted. */
static void wait_for_workers(struct role_env *e, struct vault_house *h)
{
	for (int waited = 0; waited < WORKERS_MS; waited += WORKERS_STEP_MS) {
		struct behind b = { .generation = h->generation };
		ipc_each(e->node, ROLE_EDGE, look_behind, &b);
		ipc_each(e->node, ROLE_ACCESS, look_behind, &b);
		if (fiber_sleep(WORKERS_STEP_MS) != RC_OK || !b.any)
			return;
	}
}

static void on_tls_load(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	struct vault_house *h = e->state;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = load_pairs(h->v, msg, &why);
	h->generation++;
	h->have_tls = true;
	wake_all(&h->tls_loaded);
	if (rc == RC_OK) {
		ipc_each(e->node, ROLE_EDGE, tell_news, NULL);
		ipc_each(e->node, ROLE_ACCESS, tell_news, NULL);
		wait_for_workers(e, h);
	}
	ipc_answer(call, rc, &why, NULL);
}

static void on_tls_chains(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	struct vault_house *h = e->state;
	(void)msg;
	fd_close(&fd);
	if (!h->have_tls && e->config->tls_n)
		(void)!wait_on(&h->tls_loaded, loop_now(e->loop) + 4000); /* master is reading the files */
	struct buf chains, tickets;
	buf_init(&chains, 1 << 20);
	buf_init(&tickets, 256);
	for (size_t i = 0; i < vault_tls_count(h->v); i++) {
		uint64_t id;
		struct str pem;
		vault_tls_get(h->v, i, &id, &pem);
		buf_u64(&chains, id);
		buf_run(&chains, pem);
	}
	vault_tickets(h->v, &tickets);
	bool ok = !chains.failed && !tickets.failed;
	ipc_peer_set_note(from, (void *)h->generation);
	ipc_answer(call, ok ? RC_OK : RC_NOMEM, NULL, &(struct msg_TLS_CHAINS_answer){ .chains = buf_str(&chains), .tickets = buf_str(&tickets) });
	buf_done(&chains);
	buf_wipe(&tickets);
}

static void on_hash_key(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	uint8_t key[16];
	(void)from, (void)msg;
	fd_close(&fd);
	vault_hash_key(house_of(env)->v, key);
	ipc_answer(call, RC_OK, NULL, &(struct msg_HASH_KEY_answer){ .key = str_of(key, sizeof key) });
	mem_wipe(key, sizeof key);
}

static void on_queue_key(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct secret key = { 0 };
	uint8_t public_key[PUB_LEN];
	struct why why = { 0 };
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = vault_queue_key(house_of(env)->v, &key, public_key, &why);
	struct msg_QUEUE_KEY_answer a = { .private_key = str_of(key.k, sizeof key.k), .public_key = str_of(public_key, sizeof public_key) };
	ipc_answer(call, rc, &why, &a);
	secret_done(&key);
}

static void on_queue_public(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	uint8_t public_key[PUB_LEN];
	struct why why = { 0 };
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = vault_queue_key(house_of(env)->v, NULL, public_key, &why);
	ipc_answer(call, rc, &why, &(struct msg_QUEUE_PUBLIC_answer){ .public_key = str_of(public_key, sizeof public_key) });
}

static void on_srs_key(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct secret key = { 0 };
	struct why why = { 0 };
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = vault_srs_key(house_of(env)->v, &key, &why);
	ipc_answer(call, rc, &why, &(struct msg_SRS_KEY_answer){ .key = str_of(key.k, sizeof key.k) });
	secret_done(&key);
}

static void on_ledger_key(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct secret key = { 0 };
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = vault_ledger_key(house_of(env)->v, &key);
	ipc_answer(call, rc, NULL, &(struct msg_LEDGER_KEY_answer){ .key = str_of(key.k, sizeof key.k) });
	secret_done(&key);
}

static void on_audit_sign(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_AUDIT_SIGN *m = msg;
	uint8_t signature[64], public_key[32];
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = vault_audit_sign(house_of(env)->v, m->checkpoint, signature, public_key, &why);
	ipc_answer(call, rc, &why, &(struct msg_AUDIT_SIGN_answer){ .signature = str_of(signature, 64), .public_key = str_of(public_key, 32) });
}

static void on_account_keys(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ACCOUNT_KEYS *m = msg;
	struct arena a;
	struct str recovery = STR("");
	uint64_t id = 0;
	uint8_t public_key[PUB_LEN];
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, 4096);
	enum rc rc = vault_account_make(house_of(env)->v, m->mode ? MODE_PRIVATE : MODE_ORGANISATION, m->password, &id, public_key, &recovery, &a, &why);
	ipc_answer(call, rc, &why, &(struct msg_ACCOUNT_KEYS_answer){ .account = id, .public_key = str_of(public_key, PUB_LEN), .recovery = recovery });
	if (recovery.n)
		mem_wipe((void *)(uintptr_t)recovery.p, recovery.n);
	arena_done(&a);
}

static void on_password_set(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_PASSWORD_SET *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = vault_password_set(house_of(env)->v, m->account, m->password, &why);
	ipc_answer(call, rc, &why, NULL);
}

static void on_password_recover(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_PASSWORD_RECOVER *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = vault_recover(house_of(env)->v, m->account, m->recovery, m->password, &why);
	ipc_answer(call, rc, &why, NULL);
}

static void on_keys_drop(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_KEYS_DROP *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = vault_account_drop(house_of(env)->v, m->account, &why);
	ipc_answer(call, rc, &why, NULL);
}

static ipc_handler *const on[MSG_COUNT] = {
	[MSG_LOGIN] = on_login,
	[MSG_AUTH] = on_auth,
	[MSG_SCRAM_BEGIN] = on_scram_begin,
	[MSG_SCRAM_PROVE] = on_scram_prove,
	[MSG_TLS_SIGN] = on_tls_sign,
	[MSG_TLS_LOAD] = on_tls_load,
	[MSG_TLS_CHAINS] = on_tls_chains,
	[MSG_HASH_KEY] = on_hash_key,
	[MSG_QUEUE_KEY] = on_queue_key,
	[MSG_QUEUE_PUBLIC] = on_queue_public,
	[MSG_SRS_KEY] = on_srs_key,
	[MSG_LEDGER_KEY] = on_ledger_key,
	[MSG_AUDIT_SIGN] = on_audit_sign,
	[MSG_ACCOUNT_KEYS] = on_account_keys,
	[MSG_PASSWORD_SET] = on_password_set,
	[MSG_PASSWORD_RECOVER] = on_password_recover,
	[MSG_KEYS_DROP] = on_keys_drop,
	[MSG_DKIM_KEYS] = vault_on_dkim_keys,
	[MSG_DKIM_LIST] = vault_on_dkim_list,
	[MSG_DKIM_TURN] = vault_on_dkim_turn,
	[MSG_DKIM_SIGN] = vault_on_dkim_sign,
};

const struct role_ops role_vault = {
	.role = ROLE_VAULT,
	.talks_to = R_EDGE | R_ACCESS | R_LEDGER | R_RELAY,
	.needs = SANDBOX_FILES | SANDBOX_LMDB | SANDBOX_THREADS | SANDBOX_MEMFD,
	.paths = paths,
	.open = open_vault,
	.reload = reload,
	.close = close_vault,
	.on = on,
};
