#include "origin/dkim_hash.h"

#include "base/mem.h"
#include "origin/dkim_thread.h"

const EVP_MD *dkim_md(enum dkim_hash h)
{
	struct dkim_thread *t = dkim_thread();
	if (!t)
		return NULL;
	if (h == DKIM_SHA1 && !t->sha1)
		t->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	return h == DKIM_SHA256 ? t->sha256 : t->sha1;
}

EVP_MD_CTX *dkim_ctx_get(enum dkim_hash h)
{
	const EVP_MD *md = dkim_md(h);
	struct dkim_thread *t = dkim_thread();
	if (!md || !t)
		return NULL;
	EVP_MD_CTX *c = t->spares ? t->spare[--t->spares] : EVP_MD_CTX_new();
	if (c && EVP_DigestInit_ex2(c, md, NULL) != 1) {
		EVP_MD_CTX_free(c);
		return NULL;
	}
	return c;
}

void dkim_ctx_put(EVP_MD_CTX *c)
{
	struct dkim_thread *t = c ? dkim_thread() : NULL;
	if (t && t->spares < DKIM_SPARES)
		t->spare[t->spares++] = c;
	else
		EVP_MD_CTX_free(c);
}

/* ---- a stream as a whole ---- */

static void flush_hash(struct canon_out *o, struct str run)
{
	struct hash_out *h = (struct hash_out *)(void *)o;
	h->failed |= !h->ctx || EVP_DigestUpdate(h->ctx, run.p, run.n) != 1;
}

enum rc hash_out_init(struct hash_out *h, enum dkim_hash kind)
{
	h->out.flush = flush_hash;
	h->out.total = 0;
	h->out.n = 0;
	h->ctx = dkim_ctx_get(kind);
	h->failed = !h->ctx;
	return h->ctx ? RC_OK : RC_NOMEM;
}

enum rc hash_out_done(struct hash_out *h, uint8_t digest[DKIM_HASH_MAX])
{
	canon_flush(&h->out);
	bool ok = h->ctx && !h->failed && EVP_DigestFinal_ex(h->ctx, digest, NULL) == 1;
	dkim_ctx_put(h->ctx);
	h->ctx = NULL;
	return ok ? RC_OK : RC_NOMEM;
}

/* ---- the body ---- */

static void cut_here(struct body_hash *b, struct body_cut *cut)
{
	EVP_MD_CTX *copy = dkim_ctx_get(b->kind);
	cut->done = copy && b->ctx && EVP_MD_CTX_copy_ex(copy, b->ctx) == 1 && EVP_DigestFinal_ex(copy, cut->digest, NULL) == 1;
	b->failed |= !cut->done;
	dkim_ctx_put(copy);
}

static void flush_body(struct canon_out *o, struct str run)
{
	struct body_hash *b = (struct body_hash *)(void *)o;
	while (b->next < b->cuts && b->cut[b->next].at != BODY_WHOLE && b->cut[b->next].at - b->hashed <= run.n) {
		size_t k = (size_t)(b->cut[b->next].at - b->hashed);
		b->failed |= !b->ctx || EVP_DigestUpdate(b->ctx, run.p, k) != 1;
		b->hashed += k;
		run = str_skip(run, k);
		cut_here(b, &b->cut[b->next++]);
	}
	if (b->next == b->cuts)
		return; /* nobody wants what follows; only its length counts, which `total` holds */
	b->failed |= !b->ctx || EVP_DigestUpdate(b->ctx, run.p, run.n) != 1;
	b->hashed += run.n;
}

void body_hash_init(struct body_hash *b, enum dkim_canon c, enum dkim_hash kind)
{
	b->out.flush = flush_body;
	b->canon.c = c;
	b->kind = kind;
	b->ctx = dkim_ctx_get(kind);
	b->failed = !b->ctx;
}

bool body_hash_want(struct body_hash *b, uint64_t at)
{
	size_t i = 0;
	while (i < b->cuts && b->cut[i].at < at)
		i++;
	if (i < b->cuts && b->cut[i].at == at)
		return true;
	if (b->cuts == BODY_MAX_CUTS)
		return false;
	memmove(&b->cut[i + 1], &b->cut[i], (b->cuts - i) * sizeof b->cut[0]);
	b->cut[i] = (struct body_cut){ .at = at };
	b->cuts++;
	return true;
}

const struct body_cut *body_hash_at(const struct body_hash *b, uint64_t at)
{
	for (size_t i = 0; i < b->cuts; i++)
		if (b->cut[i].at == at)
			return &b->cut[i];
	return NULL;
}

void body_hash_add(struct body_hash *b, struct str run) { canon_body_add(&b->canon, &b->out, run); }

void body_hash_end(struct body_hash *b)
{
	canon_body_end(&b->canon, &b->out);
	flush_body(&b->out, STR("")); /* cuts at the very end, or of an empty body */
	if (b->next < b->cuts && b->cut[b->cuts - 1].at == BODY_WHOLE)
		cut_here(b, &b->cut[b->cuts - 1]);
}

void body_hash_done(struct body_hash *b)
{
	dkim_ctx_put(b->ctx);
	b->ctx = NULL;
}
