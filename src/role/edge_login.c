#include "role/edge_session.h"

#include "base/codec.h"
#include "base/log.h"

/* Who submits. The vault says whether the password or the proof was right; no key of the account comes here. */

/* The account of a login name. Where there is none, an id that belongs to that name alone and to no account: the vault spends the same time, and counts
 * each unknown name as one of its own. */
static enum rc find(struct edge_session *s, struct str user, uint64_t *out_id, char out_address[LOGIN_USER_MAX + 1], bool *out_here, struct why *why)
{
	char room[2 * LOGIN_USER_MAX];
	struct buf name = { .p = room, .cap = sizeof room, .max = sizeof room };
	struct str full = login_full_name(s->v->e->config, user, &name), address = full;
	struct arena a;
	arena_init(&a, 16384);
	*out_id = siphash(s->h->name_key, full) | 1ull << 63; /* vault_account_make() leaves that bit clear */
	enum rc rc = login_find(s->v->e, full, &a, out_id, &address, why);
	(void)snprintf(out_address, LOGIN_USER_MAX + 1, "%.*s", PSTR(str_head(address, LOGIN_USER_MAX)));
	arena_done(&a);
	*out_here = rc == RC_OK;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc settle(struct edge_session *s, enum rc rc, uint64_t id, const char *address, struct str user, const char *mechanism)
{
	struct role_env *e = s->v->e;
	if (rc == RC_OK) {
		s->account = id;
		memcpy(s->login, address, sizeof s->login);
	}
	count_add(e, rc == RC_OK ? M_AUTH_OK_SMTP : M_AUTH_BAD_SMTP, 1);
	if (rc == RC_BUSY)
		count_add(e, M_AUTH_THROTTLED, 1);
	log_event(rc == RC_OK ? LEVEL_INFO : LEVEL_WARN, rc == RC_OK ? EV_AUTH_OK : EV_AUTH_FAIL, F("sid", s->v->sid), F("proto", "submission"),
	          F("acct", str_head(user, 120)), F("ip", stream_facts(s->v->stream)->peer_ip), F("method", mechanism), F("reason", rc_name(rc)));
	return rc;
}

enum rc edge_on_login(void *house, struct str user, struct str password, const char *mechanism, struct why *why)
{
	struct edge_session *s = house;
	char address[LOGIN_USER_MAX + 1];
	uint64_t id = 0;
	bool here;
	TRY(find(s, user, &id, address, &here, why));
	struct msg_AUTH q = { .account = id, .password = password, .network = str_of(s->v->network, sizeof s->v->network), .protocol = STR("submission") };
	return settle(s, ipc_ask_role(s->v->e->node, ROLE_VAULT, MSG_AUTH, &q, NULL, NULL, true, why), id, address, user, mechanism);
}

enum rc edge_on_scram_begin(void *house, struct str user, struct buf *out_salt, uint32_t *out_iterations, struct buf *out_nonce, struct why *why)
{
	struct edge_session *s = house;
	char address[LOGIN_USER_MAX + 1];
	uint8_t nonce[18];
	uint64_t id = 0;
	bool here;
	struct msg_SCRAM_BEGIN_answer a;
	struct ipc_reply reply = { 0 };
	TRY(random_bytes(nonce, sizeof nonce));
	TRY(find(s, user, &id, address, &here, why));
	struct msg_SCRAM_BEGIN q = { .account = id, .user = str_z(address) };
	TRY(ipc_ask_role(s->v->e->node, ROLE_VAULT, MSG_SCRAM_BEGIN, &q, &a, &reply, true, why));
	buf_add(out_salt, a.salt);
	*out_iterations = a.iterations;
	base64_add(out_nonce, str_of(nonce, sizeof nonce));
	ipc_reply_done(&reply);
	return out_salt->failed || out_nonce->failed ? RC_NOMEM : RC_OK;
}

enum rc edge_on_scram_prove(void *house, struct str user, struct str auth_message, struct str proof, struct buf *out_signature, struct why *why)
{
	struct edge_session *s = house;
	char address[LOGIN_USER_MAX + 1];
	uint64_t id = 0;
	bool here;
	struct msg_SCRAM_PROVE_answer a;
	struct ipc_reply reply = { 0 };
	TRY(find(s, user, &id, address, &here, why));
	struct msg_SCRAM_PROVE q = { .account = id, .user = str_z(address), .auth_message = auth_message, .proof = proof,
		.network = str_of(s->v->network, sizeof s->v->network), .protocol = STR("submission") };
	enum rc rc = ipc_ask_role(s->v->e->node, ROLE_VAULT, MSG_SCRAM_PROVE, &q, &a, &reply, true, why);
	if (rc == RC_OK) {
		buf_add(out_signature, a.signature);
		ipc_reply_done(&reply);
		rc = out_signature->failed ? RC_NOMEM : RC_OK;
	}
	return settle(s, rc, id, address, user, "SCRAM-SHA-256");
}

/* ---- a program on this machine ---- */

enum rc edge_login_unix(struct edge_session *s, struct why *why)
{
	struct msg_UNIX_USER_answer a;
	struct ipc_reply reply = { 0 };
	char name[65];
	bool here;
	if (s->v->is_own) {
		s->is_system = true;
		return RC_OK;
	}
	enum rc rc = ipc_ask(s->v->e->master, MSG_UNIX_USER, &(struct msg_UNIX_USER){ .uid = s->v->uid }, &a, &reply, why);
	if (rc == RC_NOTFOUND)
		FAIL(why, RC_DENIED, "5.7.1 who has the uid %u here?", s->v->uid);
	TRY(rc);
	(void)snprintf(name, sizeof name, "%.*s", PSTR(str_head(a.name, 64)));
	ipc_reply_done(&reply);
	TRY(find(s, str_z(name), &s->account, s->login, &here, why));
	if (!here)
		FAIL(why, RC_DENIED, "5.7.1 there is no account %s", s->login);
	return settle(s, RC_OK, s->account, s->login, str_z(name), "unix");
}
