#include "vault/dkim_keys.h"

#include "base/mem.h"

/* The only use of a DKIM key: signatures over digests. There is no raw RSA operation and no other padding. */

struct signing {
	enum vault_dkim_kind kind;
	struct tls_key *rsa;           /* our own share */
	struct secret seed;
	struct str digests;
	struct buf *out;
	enum rc rc;
};

static void sign_all(void *arg)
{
	struct signing *s = arg;
	s->rc = RC_OK;
	for (struct str left = s->digests; left.n && s->rc == RC_OK; left = str_skip(left, DKIM_DIGEST)) {
		struct str digest = str_head(left, DKIM_DIGEST);
		uint8_t ed[64];
		char room[TLS_SIGNATURE_MAX];
		struct buf one = { .p = room, .cap = sizeof room, .max = sizeof room };
		if (s->kind == VAULT_DKIM_ED25519) {
			s->rc = ed25519_sign(&s->seed, digest, ed);
			buf_add(&one, str_of(ed, sizeof ed));
		} else {
			s->rc = tls_key_sign_with(s->rsa, TLS_RSA_PKCS1_SHA256, digest, &one);
		}
		if (s->rc == RC_OK)
			buf_run(s->out, buf_str(&one));
	}
	if (s->out->failed)
		s->rc = RC_NOMEM;
}

static void make_room(struct dkim_set *set)
{
	struct dkim_entry *least = NULL;
	for (size_t i = 0; i < set->n; i++)
		if (set->entry[i]->ready && (!least || set->entry[i]->used < least->used))
			least = set->entry[i];
	if (set->ready >= DKIM_READY && least)
		dkim_unready(set, least);
}

/* The private half: RSA into e->ready, Ed25519 into `seed`. */
static enum rc load(struct vault *v, struct dkim_entry *e, struct secret *seed, struct why *why)
{
	struct vault_dkim k;
	struct str priv;
	struct buf b AUTO(buf_wipe);
	buf_init(&b, VAULT_VALUE_MAX);
	if (!buf_room(&b, 8192))
		return RC_NOMEM;
	TRY(vault_file_get(v->file, KIND_DKIM, e->k.id, &b, why));
	if (dkim_record_parse(e->k.id, buf_str(&b), &k, &priv) != RC_OK || priv.n == 0)
		FAIL(why, RC_DAMAGED, "the vault's record of this DKIM key is damaged");
	if (k.kind == VAULT_DKIM_ED25519) {
		memcpy(seed->k, priv.p, KEY_LEN);
		return RC_OK;
	}
	make_room(&v->dkim);
	TRY(tls_key_load(priv, &e->ready, why));
	v->dkim.ready++;
	return RC_OK;
}

enum rc vault_dkim_sign(struct vault *v, struct str domain, struct str selector, struct str digests, struct buf *out, struct why *why)
{
	const struct vault_dkim *k = vault_dkim_find(v, domain, selector);
	struct signing s = { .digests = digests, .out = out };
	if (!k)
		FAIL(why, RC_NOTFOUND, "no such DKIM key");
	if (k->state != VAULT_DKIM_SIGNING)
		FAIL(why, RC_DENIED, "this DKIM key is %s, it does not sign", vault_dkim_state_name(k->state));
	if (digests.n == 0 || digests.n % DKIM_DIGEST || digests.n / DKIM_DIGEST > DKIM_DIGESTS_MAX)
		FAIL(why, RC_SYNTAX, "%zu octets are no digests", digests.n);
	struct dkim_entry *e = (struct dkim_entry *)(uintptr_t)k; /* k is its first member, and it is ours */
	e->used = ++v->dkim.uses;
	s.kind = k->kind;
	if (k->kind == VAULT_DKIM_ED25519 || !e->ready)
		TRY(load(v, e, &s.seed, why));
	if (k->kind == VAULT_DKIM_ED25519) {
		sign_all(&s);
		secret_done(&s.seed);
		return s.rc;
	}
	s.rsa = tls_key_share(e->ready); /* a revocation may forget the key meanwhile */
	if (!s.rsa)
		return RC_NOMEM;
	enum rc rc = RC_OK;
	if (fiber_self())
		rc = worker_run(sign_all, &s);
	else
		sign_all(&s);
	tls_key_free(&s.rsa);
	return rc == RC_OK ? s.rc : rc;
}
