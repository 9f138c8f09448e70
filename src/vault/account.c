#include "vault/dkim_keys.h"

#include "base/mem.h"

enum rc vault_record(struct vault *v, uint64_t id, struct buf *hold, struct account_record *out, struct why *why)
{
	if (!buf_room(hold, 4096)) /* at once, so that no copy is left behind by growing */
		return RC_NOMEM;
	TRY(vault_file_get(v->file, KIND_ACCOUNT, id, hold, why));
	if (record_parse(id, buf_str(hold), out) != RC_OK)
		FAIL(why, RC_DAMAGED, "the vault's record of this account is damaged");
	return RC_OK;
}

static enum rc store_record(struct vault *v, const struct account_record *r, struct why *why)
{
	struct buf b AUTO(buf_wipe);
	buf_init(&b, VAULT_VALUE_MAX);
	record_format(r, &b);
	if (b.failed)
		return RC_NOMEM;
	return vault_file_put(v->file, KIND_ACCOUNT, r->id, buf_str(&b), why);
}

/* Salt, cost and the private half under the password, as the bytes of a WRAP_PASSWORD. Suspends. */
static enum rc password_wrap(struct vault *v, const struct account_record *r, struct str password, const struct secret *priv,
                             struct buf *out, struct why *why)
{
	struct password_params p = { .cost = argon2_default };
	struct secret strong AUTO(secret_done) = { { 0 } };
	TRY(random_bytes(p.salt, WRAP_SALT));
	TRY(vault_stretch(v, password, &p, &strong, why));
	params_format(&p, out);
	return wrap_seal(r, WRAP_PASSWORD, secret_str(&strong), priv, out);
}

/* With a password's wrap goes its SCRAM verifier, where one is kept. `bytes` outlive the record. */
static enum rc put_verifier(struct vault *v, struct account_record *r, struct str password, struct buf *bytes)
{
	record_drop(r, WRAP_SCRAM);
	if (!scram_wanted(v, r, password))
		return RC_OK;
	if (bytes->len == 0)
		TRY(scram_make(password, bytes));
	return record_put(r, WRAP_SCRAM, buf_str(bytes));
}

static enum rc fresh_id(struct vault *v, uint64_t *out)
{
	do {
		TRY(random_bytes(out, sizeof *out));
		*out &= UINT64_MAX >> 1; /* with the highest bit: ids that edge and access make up for names that nobody has */
	} while (*out == 0 || vault_file_version(v->file, KIND_ACCOUNT, *out) != 0);
	return RC_OK;
}

enum rc vault_account_make(struct vault *v, enum vault_mode mode, struct str password, uint64_t *out_id, uint8_t out_public[PUB_LEN],
                           struct str *out_recovery, struct arena *a, struct why *why)
{
	struct account_record r = { .mode = mode, .made_ms = wall_ms() };
	struct secret priv AUTO(secret_done) = { { 0 } };
	struct buf wraps[3] = { { .max = WRAP_MAX }, { .max = WRAP_MAX }, { .max = WRAP_MAX } }; /* sealed: nothing to wipe */
	struct buf verifier AUTO(buf_wipe) = { .max = WRAP_MAX };
	uint8_t recovery[RECOVERY_BITS];
	char text[RECOVERY_TEXT];
	enum rc rc = fresh_id(v, &r.id);
	if (rc == RC_OK)
		rc = x25519_pair(&priv, r.public_key);
	if (rc == RC_OK)
		rc = password_wrap(v, &r, password, &priv, &wraps[0], why);
	if (rc == RC_OK)
		rc = record_put(&r, WRAP_PASSWORD, buf_str(&wraps[0]));
	if (rc == RC_OK)
		rc = put_verifier(v, &r, password, &verifier);
	if (rc == RC_OK)
		rc = random_bytes(recovery, sizeof recovery);
	if (rc == RC_OK)
		rc = wrap_seal(&r, WRAP_RECOVERY, str_of(recovery, sizeof recovery), &priv, &wraps[1]);
	if (rc == RC_OK)
		rc = record_put(&r, WRAP_RECOVERY, buf_str(&wraps[1]));
	if (rc == RC_OK && mode == MODE_ORGANISATION)
		rc = wrap_seal(&r, WRAP_ORGANISATION, secret_str(v->organisation), &priv, &wraps[2]);
	if (rc == RC_OK && mode == MODE_ORGANISATION)
		rc = record_put(&r, WRAP_ORGANISATION, buf_str(&wraps[2]));
	if (rc == RC_OK)
		rc = recovery_format(recovery, text);
	mem_wipe(recovery, sizeof recovery);
	struct str shown = rc == RC_OK ? arena_str(a, str_z(text)) : STR("");
	mem_wipe(text, sizeof text);
	if (rc == RC_OK && shown.n == 0)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = store_record(v, &r, why);
	for (unsigned i = 0; i < 3; i++)
		buf_done(&wraps[i]);
	TRY(rc);
	*out_id = r.id;
	*out_recovery = shown;
	memcpy(out_public, r.public_key, PUB_LEN);
	return RC_OK;
}

/* The new password's wrap takes the old one's place; whatever was remembered of the account is forgotten. */
static enum rc change_password(struct vault *v, const struct account_record *seen, const struct secret *priv, struct str password, struct why *why)
{
	struct buf wrap AUTO(buf_done), hold AUTO(buf_wipe), verifier AUTO(buf_wipe);
	struct account_record r = *seen;
	buf_init(&wrap, WRAP_MAX);
	buf_init(&hold, VAULT_VALUE_MAX);
	buf_init(&verifier, WRAP_MAX);
	TRY(password_wrap(v, seen, password, priv, &wrap, why));
	TRY(put_verifier(v, &r, password, &verifier)); /* made before the record is read again: it suspends */
	TRY(vault_record(v, seen->id, &hold, &r, why)); /* again: the account may be gone, or have other wraps by now */
	TRY(record_put(&r, WRAP_PASSWORD, buf_str(&wrap)));
	TRY(put_verifier(v, &r, password, &verifier));
	TRY(store_record(v, &r, why));
	remember_forget(v->remember, r.id);
	return RC_OK;
}

enum rc vault_password_set(struct vault *v, uint64_t id, struct str password, struct why *why)
{
	struct buf hold AUTO(buf_wipe);
	struct account_record r;
	struct secret priv AUTO(secret_done) = { { 0 } };
	buf_init(&hold, VAULT_VALUE_MAX);
	TRY(vault_record(v, id, &hold, &r, why));
	const struct wrap *w = record_wrap(&r, WRAP_ORGANISATION);
	if (r.mode == MODE_PRIVATE || !w)
		FAIL(why, RC_DENIED, "this account is private: only its recovery key can set a new password");
	if (wrap_open(&r, WRAP_ORGANISATION, secret_str(v->organisation), w->bytes, &priv) != RC_OK)
		FAIL(why, RC_DAMAGED, "the organisation's wrap of this account does not open");
	return change_password(v, &r, &priv, password, why);
}

enum rc vault_password_change(struct vault *v, uint64_t id, struct str old_password, struct str password, struct why *why)
{
	struct buf hold AUTO(buf_wipe);
	struct account_record r;
	struct password_params p;
	struct str wrapped;
	struct secret strong AUTO(secret_done) = { { 0 } }, priv AUTO(secret_done) = { { 0 } };
	buf_init(&hold, VAULT_VALUE_MAX);
	TRY(vault_record(v, id, &hold, &r, why));
	const struct wrap *w = record_wrap(&r, WRAP_PASSWORD);
	if (!w || params_parse(w->bytes, &p, &wrapped) != RC_OK)
		FAIL(why, RC_DENIED, "the old password is wrong");
	TRY(vault_stretch(v, old_password, &p, &strong, why));
	enum rc rc = wrap_open(&r, WRAP_PASSWORD, secret_str(&strong), wrapped, &priv);
	if (rc == RC_DAMAGED)
		FAIL(why, RC_DENIED, "the old password is wrong");
	TRY(rc);
	return change_password(v, &r, &priv, password, why);
}

enum rc vault_recover(struct vault *v, uint64_t id, struct str recovery_key, struct str password, struct why *why)
{
	struct buf hold AUTO(buf_wipe);
	struct account_record r;
	struct secret priv AUTO(secret_done) = { { 0 } };
	uint8_t key[RECOVERY_BITS];
	buf_init(&hold, VAULT_VALUE_MAX);
	if (recovery_parse(recovery_key, key) != RC_OK)
		FAIL(why, RC_SYNTAX, "the recovery key has a slip in it: 7 groups of 4 letters and digits");
	TRY(vault_record(v, id, &hold, &r, why));
	const struct wrap *w = record_wrap(&r, WRAP_RECOVERY);
	enum rc rc = w ? wrap_open(&r, WRAP_RECOVERY, str_of(key, sizeof key), w->bytes, &priv) : RC_DAMAGED;
	mem_wipe(key, sizeof key);
	if (rc == RC_DAMAGED)
		FAIL(why, RC_DENIED, "this recovery key belongs to another account");
	TRY(rc);
	return change_password(v, &r, &priv, password, why);
}

enum rc vault_account_drop(struct vault *v, uint64_t id, struct why *why)
{
	remember_forget(v->remember, id);
	return vault_file_drop(v->file, KIND_ACCOUNT, id, why);
}

const char *vault_record_check(void *arg, enum vault_kind kind, uint64_t id, struct str value)
{
	static const uint8_t base_point[PUB_LEN] = { 9 };
	struct vault *v = arg;
	struct account_record r;
	struct secret priv AUTO(secret_done) = { { 0 } }, pub AUTO(secret_done) = { { 0 } };
	if (kind == KIND_DKIM)
		return dkim_record_check(id, value);
	if (kind != KIND_ACCOUNT)
		return value.n == KEY_LEN ? NULL : "a key of the wrong length";
	if (record_parse(id, value, &r) != RC_OK)
		return "an account's record that does not parse";
	const struct wrap *w = record_wrap(&r, WRAP_ORGANISATION), *f = record_wrap(&r, WRAP_SCRAM);
	if (f && scram_check_record(f->bytes))
		return scram_check_record(f->bytes);
	if (!record_wrap(&r, WRAP_PASSWORD) || (r.mode == MODE_ORGANISATION) != (w != NULL))
		return "an account's record without the wraps its mode asks for";
	if (w && (wrap_open(&r, WRAP_ORGANISATION, secret_str(v->organisation), w->bytes, &priv) != RC_OK ||
	          x25519(&priv, base_point, &pub) != RC_OK || !ct_eq(pub.k, r.public_key, PUB_LEN)))
		return "an account's private key that does not belong to its public key";
	return NULL;
}
