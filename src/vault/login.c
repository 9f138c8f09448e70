#include "vault/internal.h"

#include "base/mem.h"

/* Logins of one (account, password) pair that come together share one Argon2id: the first hashes, the others wait for its answer. */
struct attempt { unsigned refs; bool over; enum rc rc; struct waitlist followers; };
enum { WAITING_MAX = 1024, PATIENCE_MS = 25000 };

/* ---- Argon2id on workers ---- */

struct job { struct str password; const struct password_params *p; struct secret *out; enum rc rc; };
static void run(void *arg)
{
	struct job *j = arg;
	j->rc = argon2id(j->password, str_of(j->p->salt, WRAP_SALT), j->p->cost, j->out);
}

static enum rc take_slot(struct vault *v, struct why *why)
{
	int64_t deadline = vault_now(v) + PATIENCE_MS;
	if (v->argon_waiting >= WAITING_MAX)
		FAIL(why, RC_BUSY, "too many logins at once, please try again in a moment");
	while (v->argon_now >= v->argon_max && fiber_self()) {
		v->argon_waiting++;
		enum rc rc = wait_on(&v->argon_free, deadline);
		v->argon_waiting--;
		if (rc == RC_LATE)
			FAIL(why, RC_BUSY, "too many logins at once, please try again in a moment");
		if (rc != RC_OK) {
			wake_one(&v->argon_free); /* a turn that came with the cancelling goes on to the next */
			return rc;
		}
	}
	v->argon_now++;
	return RC_OK;
}

enum rc vault_stretch(struct vault *v, struct str password, const struct password_params *p, struct secret *out, struct why *why)
{
	struct job j = { password, p, out, RC_IO };
	if (password.n == 0 || password.n > PASSWORD_MAX_LEN)
		FAIL(why, RC_SYNTAX, "a password has 1 to %d octets", PASSWORD_MAX_LEN);
	TRY(take_slot(v, why));
	enum rc rc = worker_run(run, &j);
	v->argon_now--;
	wake_one(&v->argon_free);
	return rc == RC_OK ? j.rc : rc;
}

/* ---- one login ---- */

/* An account that does not exist costs what one costs that does: a salt of its own, the same hash, a wrap that does not open. */
static enum rc stranger(struct vault *v, const struct vault_login *in, struct why *why)
{
	struct password_params p = { .cost = argon2_default };
	struct secret k AUTO(secret_done) = { { 0 } };
	uint8_t salt[HASH_LEN];
	TRY(hmac_sha256(v->hash, str_of(&in->id, sizeof in->id), salt));
	memcpy(p.salt, salt, WRAP_SALT);
	TRY(vault_stretch(v, in->password, &p, &k, why));
	return RC_DENIED;
}

static enum rc verify_password(struct vault *v, const struct vault_login *in, struct secret *out_private, uint8_t out_public[PUB_LEN],
                               struct why *why)
{
	struct buf hold AUTO(buf_wipe);
	struct account_record r;
	struct password_params p;
	struct str wrapped;
	struct secret strong AUTO(secret_done) = { { 0 } };
	buf_init(&hold, VAULT_VALUE_MAX);
	enum rc rc = in->id ? vault_record(v, in->id, &hold, &r, why) : RC_NOTFOUND;
	const struct wrap *w = rc == RC_OK ? record_wrap(&r, WRAP_PASSWORD) : NULL;
	if (rc == RC_NOTFOUND || (rc == RC_OK && !w))
		return stranger(v, in, why);
	TRY(rc);
	TRY(params_parse(w->bytes, &p, &wrapped));
	TRY(vault_stretch(v, in->password, &p, &strong, why));
	/* While the worker ran, the password may have been changed: what counts is what is there now. */
	buf_clear(&hold);
	if (vault_record(v, in->id, &hold, &r, NULL) != RC_OK || !(w = record_wrap(&r, WRAP_PASSWORD)) ||
	    params_parse(w->bytes, &p, &wrapped) != RC_OK)
		return RC_DENIED;
	rc = wrap_open(&r, WRAP_PASSWORD, secret_str(&strong), wrapped, out_private);
	if (rc != RC_OK)
		return rc == RC_DAMAGED ? RC_DENIED : rc;
	memcpy(out_public, r.public_key, PUB_LEN);
	remember_put(v->remember, vault_now(v), in->id, in->password, out_private, r.public_key);
	return RC_OK;
}

static void unref(struct attempt *a)
{
	if (--a->refs == 0)
		mem_free(a);
}

static enum rc lead(struct vault *v, const struct vault_login *in, uint64_t pair, struct secret *out_private, uint8_t out_public[PUB_LEN],
                    struct why *why)
{
	struct attempt *a = mem_new(sizeof *a);
	if (!a)
		return RC_NOMEM;
	a->refs = 1;
	enum rc rc = map_put_u64(&v->attempts, pair, a);
	if (rc == RC_OK) {
		rc = verify_password(v, in, out_private, out_public, why);
		(void)map_drop_u64(&v->attempts, pair);
		a->over = true;
		a->rc = rc;
		wake_all(&a->followers);
	}
	unref(a);
	return rc;
}

static enum rc follow(struct vault *v, struct attempt *a)
{
	a->refs++;
	enum rc rc = a->over ? RC_OK : wait_on(&a->followers, vault_now(v) + PATIENCE_MS);
	if (rc == RC_OK)
		rc = a->rc;
	unref(a);
	return rc;
}

static enum rc slow_login(struct vault *v, const struct vault_login *in, uint64_t pair, struct secret *out_private,
                          uint8_t out_public[PUB_LEN], struct why *why)
{
	struct attempt *a = fiber_self() ? map_get_u64(&v->attempts, pair) : NULL;
	if (a) {
		TRY(follow(v, a));
		if (remember_get(v->remember, vault_now(v), in->id, in->password, out_private, out_public) == RC_OK)
			return RC_OK;
		a = map_get_u64(&v->attempts, pair);
	}
	if (a) /* forgotten again already, and the next one is at it: rare enough to be asked to come back */
		FAIL(why, RC_BUSY, "too many logins at once, please try again in a moment");
	return lead(v, in, pair, out_private, out_public, why);
}

enum rc vault_may_try(struct vault *v, const uint8_t network[16], uint64_t pair, struct why *why)
{
	int64_t deadline = vault_now(v) + PATIENCE_MS;
	for (;;) {
		int64_t wait = limiter_try(&v->limiter, vault_now(v), network, pair);
		if (wait == 0)
			return RC_OK;
		if (wait > 0)
			FAIL(why, RC_BUSY, "too many failed logins from your network, please wait %lld seconds", (long long)((wait + 999) / 1000));
		if (!fiber_self() || wait_on(&v->decided, deadline) != RC_OK)
			FAIL(why, RC_BUSY, "too many logins at once, please try again in a moment");
	}
}

void vault_tried(struct vault *v, const uint8_t network[16], uint64_t pair, enum rc rc)
{
	if (rc == RC_DENIED)
		limiter_failed(&v->limiter, network, pair);
	else
		limiter_passed(&v->limiter, network, pair); /* right, or never checked */
	wake_all(&v->decided);
}

enum rc vault_login(struct vault *v, const struct vault_login *in, struct secret *out_private, uint8_t out_public[PUB_LEN], struct why *why)
{
	uint64_t pair;
	if (in->password.n == 0 || in->password.n > PASSWORD_MAX_LEN)
		FAIL(why, RC_DENIED, "wrong address or password");
	if (in->id && remember_get(v->remember, vault_now(v), in->id, in->password, out_private, out_public) == RC_OK)
		return RC_OK;
	TRY(remember_pair(v->remember, in->id, in->password, &pair));
	TRY(vault_may_try(v, in->client_network, pair, why));
	enum rc rc = slow_login(v, in, pair, out_private, out_public, why);
	vault_tried(v, in->client_network, pair, rc);
	if (rc == RC_DENIED)
		FAIL(why, rc, "wrong address or password");
	return rc;
}
