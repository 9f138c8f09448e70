#include "vault/internal.h"

#include "base/mem.h"
#include "crypto/scram.h"

/* SCRAM-SHA-256 verifiers: salt, iterations, StoredKey, ServerKey, in the account's record beside its wraps. Whoever reads one can try passwords at PBKDF2's price
 * instead of Argon2id's, so there is none unless the configuration asks for it, and never in mode private. */

enum { SCRAM_SALT = VAULT_SCRAM_SALT, SCRAM_ITERATIONS = 16384 };

/* RFC 5802 2.2 normalizes by SASLprep, which leaves printable ASCII as it is. For other passwords there is no verifier: such an account logs in by PLAIN. */
static bool prepared(struct str password)
{
	for (size_t i = 0; i < password.n; i++)
		if (password.p[i] < ' ' || password.p[i] > '~')
			return false;
	return true;
}

bool scram_wanted(const struct vault *v, const struct account_record *r, struct str password)
{
	return v->scram && r->mode == MODE_ORGANISATION && prepared(password);
}

struct job { struct str password, salt; struct secret *out; enum rc rc; };
static void run(void *arg)
{
	struct job *j = arg;
	j->rc = scram_salted(j->password, j->salt, SCRAM_ITERATIONS, j->out);
}

enum rc scram_make(struct str password, struct buf *out)
{
	struct secret salted AUTO(secret_done) = { { 0 } };
	struct scram_keys keys AUTO(scram_keys_done) = { 0 };
	uint8_t salt[SCRAM_SALT];
	TRY(random_bytes(salt, sizeof salt));
	struct job j = { password, str_of(salt, sizeof salt), &salted, RC_IO };
	TRY(worker_run(run, &j));
	TRY(j.rc);
	TRY(scram_keys_of(&salted, &keys));
	buf_add(out, str_of(salt, sizeof salt));
	buf_u32(out, SCRAM_ITERATIONS);
	buf_add(out, str_of(keys.stored, HASH_LEN));
	buf_add(out, secret_str(&keys.server));
	return out->failed ? RC_NOMEM : RC_OK;
}

struct verifier { uint8_t salt[SCRAM_SALT], stored[HASH_LEN]; uint32_t iterations; struct secret server; };
static void verifier_done(struct verifier *f) { mem_wipe(f, sizeof *f); }

static enum rc parse(struct str bytes, struct verifier *out)
{
	struct cursor c = cursor_of(bytes);
	struct str salt = cursor_take(&c, SCRAM_SALT);
	uint32_t iterations = cursor_u32(&c);
	struct str stored = cursor_take(&c, HASH_LEN), server = cursor_take(&c, HASH_LEN);
	if (!cursor_at_end(&c) || iterations < SCRAM_ITERATIONS_MIN || iterations > SCRAM_ITERATIONS_MAX)
		return RC_DAMAGED;
	memcpy(out->salt, salt.p, SCRAM_SALT);
	memcpy(out->stored, stored.p, HASH_LEN);
	memcpy(out->server.k, server.p, HASH_LEN);
	out->iterations = iterations;
	return RC_OK;
}

const char *scram_check_record(struct str bytes)
{
	struct verifier f AUTO(verifier_done) = { { 0 } };
	return parse(bytes, &f) == RC_OK ? NULL : "a SCRAM verifier that does not parse";
}

static enum rc verifier_of(struct vault *v, uint64_t id, struct verifier *out, struct why *why)
{
	struct buf hold AUTO(buf_wipe);
	struct account_record r;
	buf_init(&hold, VAULT_VALUE_MAX);
	if (!id || !v->scram)
		return RC_NOTFOUND;
	TRY(vault_record(v, id, &hold, &r, why));
	const struct wrap *w = record_wrap(&r, WRAP_SCRAM);
	return w && r.mode == MODE_ORGANISATION ? parse(w->bytes, out) : RC_NOTFOUND;
}

/* RFC 5802 9 and 5.1: who asks for somebody that is not here, or has no verifier, hears the same salt each time, and one that looks like any other. */
static enum rc invent(const struct vault *v, struct str user, uint8_t out_salt[SCRAM_SALT])
{
	uint8_t hash[HASH_LEN];
	struct buf text AUTO(buf_done);
	buf_init(&text, 1024);
	buf_add(&text, STR("letterlock scram salt "));
	buf_add(&text, user);
	if (text.failed)
		return RC_LIMIT;
	TRY(hmac_sha256(v->hash, buf_str(&text), hash));
	memcpy(out_salt, hash, SCRAM_SALT);
	return RC_OK;
}

enum rc vault_scram_begin(struct vault *v, uint64_t id, struct str user, uint8_t out_salt[VAULT_SCRAM_SALT], uint32_t *out_iterations, struct why *why)
{
	struct verifier f AUTO(verifier_done) = { { 0 } };
	enum rc rc = verifier_of(v, id, &f, why);
	if (rc == RC_NOTFOUND) {
		*out_iterations = SCRAM_ITERATIONS;
		return invent(v, user, out_salt);
	}
	TRY(rc);
	memcpy(out_salt, f.salt, SCRAM_SALT);
	*out_iterations = f.iterations;
	return RC_OK;
}

/* An unknown account costs what a known one costs: the same two hashes over a key that nobody has. */
static enum rc prove(struct vault *v, const struct vault_scram *in, uint8_t out_signature[HASH_LEN], struct why *why)
{
	struct verifier f AUTO(verifier_done) = { { 0 } };
	struct secret client AUTO(secret_done) = { { 0 } };
	enum rc rc = verifier_of(v, in->id, &f, why);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	bool known = rc == RC_OK;
	rc = scram_check(f.stored, in->auth_message, (const uint8_t *)in->proof.p, &client);
	if (rc == RC_OK || rc == RC_DENIED)
		rc = known ? rc : RC_DENIED;
	return rc == RC_OK ? scram_signature(&f.server, in->auth_message, out_signature) : rc;
}

enum rc vault_scram_prove(struct vault *v, const struct vault_scram *in, uint8_t out_signature[HASH_LEN], struct why *why)
{
	uint8_t digest[HASH_LEN];
	uint64_t pair;
	if (in->proof.n != HASH_LEN)
		FAIL(why, RC_DENIED, "wrong address or password");
	/* A proof is another one each time: each one that fails counts, also the same device's. */
	TRY(sha256(in->auth_message, digest));
	TRY(remember_pair(v->remember, in->id, str_of(digest, sizeof digest), &pair));
	TRY(vault_may_try(v, in->client_network, pair, why));
	enum rc rc = prove(v, in, out_signature, why);
	vault_tried(v, in->client_network, pair, rc);
	if (rc == RC_DENIED)
		FAIL(why, rc, "wrong address or password");
	return rc;
}
