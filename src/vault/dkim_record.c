#include "vault/dkim_keys.h"

#include "base/cursor.h"
#include "base/mem.h"

enum { RECORD_VERSION = 1 };

void dkim_record_format(const struct vault_dkim *k, struct str private_key, struct buf *out)
{
	buf_u8(out, RECORD_VERSION);
	buf_u8(out, (uint8_t)k->kind);
	buf_u8(out, (uint8_t)k->state);
	buf_run(out, k->domain);
	buf_run(out, k->selector);
	for (unsigned i = 1; i < VAULT_DKIM_STATES; i++)
		buf_u64(out, (uint64_t)k->at_ms[i]);
	buf_run(out, k->public_key);
	buf_run(out, private_key);
}

enum rc dkim_record_parse(uint64_t id, struct str value, struct vault_dkim *out, struct str *out_private)
{
	struct cursor c = cursor_of(value);
	struct vault_dkim k = { .id = id };
	if (cursor_u8(&c) != RECORD_VERSION)
		return RC_DAMAGED;
	uint8_t kind = cursor_u8(&c), state = cursor_u8(&c);
	k.domain = cursor_run(&c, 255);
	k.selector = cursor_run(&c, DKIM_SELECTOR_MAX);
	for (unsigned i = 1; i < VAULT_DKIM_STATES; i++)
		k.at_ms[i] = (int64_t)cursor_u64(&c);
	k.public_key = cursor_run(&c, DKIM_PUBLIC_MAX);
	*out_private = cursor_run(&c, DKIM_PRIVATE_MAX);
	if (!cursor_at_end(&c) || kind > VAULT_DKIM_ED25519 || state == 0 || state >= VAULT_DKIM_STATES || k.domain.n == 0 || k.selector.n == 0)
		return RC_DAMAGED;
	k.kind = kind;
	k.state = state;
	if (out_private->n == 0 && state != VAULT_DKIM_REVOKED)
		return RC_DAMAGED;
	if (kind == VAULT_DKIM_ED25519 && (k.public_key.n != PUB_LEN || (out_private->n != 0 && out_private->n != KEY_LEN)))
		return RC_DAMAGED;
	*out = k;
	return RC_OK;
}

const char *dkim_record_check(uint64_t id, struct str value)
{
	struct vault_dkim k;
	struct str priv;
	struct secret seed AUTO(secret_done) = { { 0 } };
	uint8_t pub[PUB_LEN];
	if (dkim_record_parse(id, value, &k, &priv) != RC_OK)
		return "a DKIM key's record that does not parse";
	if (k.kind == VAULT_DKIM_ED25519 && priv.n) {
		memcpy(seed.k, priv.p, KEY_LEN);
		if (ed25519_public(&seed, pub) != RC_OK || !ct_eq(pub, k.public_key.p, PUB_LEN))
			return "a DKIM key whose halves do not fit";
	}
	return NULL;
}

void dkim_unready(struct dkim_set *s, struct dkim_entry *e)
{
	if (e->ready)
		s->ready--;
	tls_key_free(&e->ready);
}

void dkim_set_done(struct dkim_set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		dkim_unready(s, s->entry[i]);
		mem_free(s->entry[i]);
	}
	mem_free(s->entry);
	map_done(&s->by_name);
	*s = (struct dkim_set){ 0 };
}
