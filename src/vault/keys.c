#include "vault/internal.h"

#include "base/mem.h"

/* ---- TLS ---- */

void tls_set_done(struct tls_set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		tls_key_free(&s->entry[i].key);
		buf_done(&s->entry[i].chain);
	}
	mem_free(s->entry);
	*s = (struct tls_set){ 0 };
}

static void key_free(struct tls_key **k) { tls_key_free(k); }

enum rc vault_tls_check(struct str chain_pem, struct str key_pem, struct why *why)
{
	struct tls_key *k AUTO(key_free) = NULL;
	TRY(tls_chain_check(chain_pem, why));
	TRY(tls_key_fits(key_pem, chain_pem, why));
	return tls_key_load(key_pem, &k, why);
}

enum rc vault_tls_add(struct vault *v, struct str chain_pem, struct str key_pem, uint64_t *out_key_id, struct why *why)
{
	struct tls_entry e = { .chain = { .max = 256 * 1024 } };
	if (v->tls.n >= TLS_MAX)
		FAIL(why, RC_LIMIT, "more than %d certificates", TLS_MAX);
	TRY(tls_key_fits(key_pem, chain_pem, why));
	TRY(tls_key_load(key_pem, &e.key, why));
	enum rc rc = tls_key_id(e.key, &e.id);
	buf_add(&e.chain, chain_pem);
	struct tls_entry *grown = rc == RC_OK && !e.chain.failed
		? mem_grow(v->tls.entry, v->tls.n * sizeof e, (v->tls.n + 1) * sizeof e) : NULL;
	if (!grown) {
		tls_key_free(&e.key);
		buf_done(&e.chain);
		return RC_NOMEM;
	}
	v->tls.entry = grown;
	v->tls.entry[v->tls.n++] = e;
	*out_key_id = e.id;
	return RC_OK;
}

size_t vault_tls_count(const struct vault *v) { return v->tls.n; }

void vault_tls_get(const struct vault *v, size_t i, uint64_t *out_key_id, struct str *out_chain_pem)
{
	*out_key_id = v->tls.entry[i].id;
	*out_chain_pem = buf_str(&v->tls.entry[i].chain);
}

static struct tls_key *key_of(const struct tls_set *s, uint64_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entry[i].id == id)
			return s->entry[i].key;
	return NULL;
}

/* RSA takes a millisecond, P-384 several: on a worker, so that logins and P-256 need not wait. The job has a share in
 * the key, since a reload may forget it meanwhile. */
struct signing { struct tls_key *key; enum tls_scheme scheme; struct str digest; struct buf *out; enum rc rc; };
static void sign_job(void *arg)
{
	struct signing *s = arg;
	s->rc = tls_key_sign_with(s->key, s->scheme, s->digest, s->out);
}

static enum rc sign_aside(struct tls_key *k, enum tls_scheme scheme, struct str digest, struct buf *out)
{
	struct signing s = { tls_key_share(k), scheme, digest, out, RC_NOMEM };
	enum rc rc = s.key ? worker_run(sign_job, &s) : RC_NOMEM;
	tls_key_free(&s.key);
	return rc == RC_OK ? s.rc : rc;
}

enum rc vault_tls_sign(struct vault *v, uint64_t key_id, enum tls_scheme scheme, struct str digest, struct buf *out, struct why *why)
{
	struct tls_key *k = key_of(&v->tls, key_id);
	if (!k)
		k = key_of(&v->tls_before, key_id);
	if (!k)
		FAIL(why, RC_NOTFOUND, "no TLS key with this id");
	enum rc rc = tls_key_is_slow(k) ? sign_aside(k, scheme, digest, out) : tls_key_sign_with(k, scheme, digest, out);
	if (rc == RC_SYNTAX)
		FAIL(why, rc, "scheme %d over %zu octets is nothing that this key signs", (int)scheme, digest.n);
	return rc;
}

void vault_tls_clear(struct vault *v)
{
	tls_set_done(&v->tls_before);
	v->tls_before = v->tls;
	v->tls = (struct tls_set){ 0 };
}

/* ---- tickets ---- */

enum { HOUR_MS = 3600 * 1000, HALF = TICKET_LEN / 2 };

static bool fresh_ticket(struct vault *v)
{
	struct secret *a = secret_new(), *b = secret_new();
	if (!a || !b || random_bytes(a->k, HALF) != RC_OK || random_bytes(b->k, HALF) != RC_OK) {
		secret_free(&a);
		secret_free(&b);
		return false;
	}
	secret_free(&v->ticket[TICKETS - 1][0]);
	secret_free(&v->ticket[TICKETS - 1][1]);
	memmove(&v->ticket[1], &v->ticket[0], sizeof v->ticket[0] * (TICKETS - 1));
	v->ticket[0][0] = a;
	v->ticket[0][1] = b;
	return true;
}

void vault_tickets(struct vault *v, struct buf *out)
{
	int64_t now = vault_now(v);
	if (!v->ticket[0][0] || now - v->ticket_at >= HOUR_MS)
		if (fresh_ticket(v))
			v->ticket_at = now;
	if (!buf_room(out, TICKETS * TICKET_LEN))
		return;
	for (unsigned i = 0; i < TICKETS && v->ticket[i][0]; i++) {
		buf_add(out, str_of(v->ticket[i][0]->k, HALF));
		buf_add(out, str_of(v->ticket[i][1]->k, HALF));
	}
}
