#include "vault/dkim_keys.h"

#include "base/mem.h"
#include "os/file.h"
#include <time.h>
#include <unistd.h>

int64_t vault_now(struct vault *v)
{
	if (v->loop)
		return loop_now(v->loop);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The one record of this kind: 32 octets, made when it is not there. */
static enum rc singleton(struct vault *v, enum vault_kind kind, struct secret **out, struct why *why)
{
	struct buf b AUTO(buf_wipe);
	buf_init(&b, KEY_LEN);
	struct secret *s AUTO(secret_free) = secret_new();
	if (!s || !buf_room(&b, KEY_LEN))
		FAIL(why, RC_NOMEM, "no locked memory for the vault's keys");
	enum rc rc = vault_file_get(v->file, kind, 0, &b, why);
	if (rc == RC_NOTFOUND && !v->read_only) {
		TRY(random_bytes(s->k, KEY_LEN));
		TRY(vault_file_put(v->file, kind, 0, secret_str(s), why));
	} else if (rc == RC_OK && b.len != KEY_LEN) {
		FAIL(why, RC_DAMAGED, "a key of the vault has the wrong length");
	} else {
		TRY(rc);
		memcpy(s->k, b.p, KEY_LEN);
	}
	*out = s;
	s = NULL;
	return RC_OK;
}

static enum rc open_all(struct vault *v, const struct vault_options *o, struct why *why)
{
	if (!o->read_only)
		TRY(dir_make(o->dir, 0700, why));
	TRY(vault_file_open(o->dir, &o->root, o->read_only, &v->file, why));
	TRY(singleton(v, KIND_ORGANISATION, &v->organisation, why));
	TRY(singleton(v, KIND_AUDIT, &v->audit, why));
	TRY(singleton(v, KIND_HASH, &v->hash, why));
	TRY(singleton(v, KIND_LEDGER, &v->ledger, why));
	TRY(dkim_set_load(v, why));
	return remember_new(o->remember_ms ? o->remember_ms : 600000, &v->remember);
}

enum rc vault_open(struct loop *l, const struct vault_options *o, struct vault **out, struct why *why)
{
	struct vault *v AUTO(vault_close) = mem_new(sizeof *v);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (!v)
		return RC_NOMEM;
	v->loop = l;
	v->read_only = o->read_only;
	v->scram = o->scram;
	v->argon_max = o->argon2_at_once ? o->argon2_at_once : cores > 0 ? (unsigned)cores : 1;
	map_init(&v->attempts, 1 << 16);
	limiter_init(&v->limiter, &(struct limiter_options){ .pairs = o->failures ? o->failures : 10,
	                                                     .window_ms = o->failures_window_ms ? o->failures_window_ms : 600000,
	                                                     .networks_max = o->networks_max ? o->networks_max : 4096 });
	TRY(open_all(v, o, why));
	*out = v;
	v = NULL;
	return RC_OK;
}

void vault_scram(struct vault *v, bool on) { v->scram = on; }

void vault_close(struct vault **v)
{
	if (!*v)
		return;
	vault_file_close(&(*v)->file);
	secret_free(&(*v)->organisation);
	secret_free(&(*v)->audit);
	secret_free(&(*v)->hash);
	secret_free(&(*v)->ledger);
	secret_free(&(*v)->queue);
	secret_free(&(*v)->srs);
	remember_free(&(*v)->remember);
	limiter_done(&(*v)->limiter);
	map_done(&(*v)->attempts);
	dkim_set_done(&(*v)->dkim);
	tls_set_done(&(*v)->tls);
	tls_set_done(&(*v)->tls_before);
	for (unsigned i = 0; i < TICKETS; i++) {
		secret_free(&(*v)->ticket[i][0]);
		secret_free(&(*v)->ticket[i][1]);
	}
	mem_free(*v);
	*v = NULL;
}

void vault_hash_key(struct vault *v, uint8_t out[16])
{
	memcpy(out, v->hash->k, 16);
}

enum rc vault_ledger_key(struct vault *v, struct secret *out)
{
	*out = *v->ledger;
	return RC_OK;
}

enum rc vault_queue_key(struct vault *v, struct secret *out_private, uint8_t out_public[PUB_LEN], struct why *why)
{
	static const uint8_t base_point[PUB_LEN] = { 9 };
	struct secret pub AUTO(secret_done) = { { 0 } };
	if (!v->queue)
		TRY(singleton(v, KIND_QUEUE, &v->queue, why));
	enum rc rc = x25519(v->queue, base_point, &pub);
	if (rc != RC_OK)
		FAIL(why, rc, "the queue's key cannot be used");
	memcpy(out_public, pub.k, PUB_LEN);
	if (out_private)
		*out_private = *v->queue;
	return RC_OK;
}

enum rc vault_srs_key(struct vault *v, struct secret *out, struct why *why)
{
	if (!v->srs)
		TRY(singleton(v, KIND_SRS, &v->srs, why));
	*out = *v->srs;
	return RC_OK;
}

enum rc vault_audit_sign(struct vault *v, struct str checkpoint, uint8_t out[64], uint8_t out_public[32], struct why *why)
{
	enum rc rc = ed25519_public(v->audit, out_public);
	if (rc == RC_OK)
		rc = ed25519_sign(v->audit, checkpoint, out);
	if (rc != RC_OK)
		FAIL(why, rc, "the checkpoint cannot be signed");
	return RC_OK;
}

enum rc vault_verify(struct vault *v, void (*damage)(void *arg, const char *what), void *arg, struct why *why)
{
	const struct vault_check c = { damage, vault_record_check, arg, v };
	return vault_file_verify(v->file, &c, why);
}

enum rc vault_backup(struct vault *v, int dir, struct why *why) { return vault_file_backup(v->file, dir, why); }
