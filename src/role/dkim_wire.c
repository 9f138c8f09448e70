#include "role/dkim_wire.h"

#include "base/cursor.h"
#include "origin/dkim.h"

enum { ROW_LEAST = 8 + 3 + 12 + 8 * (VAULT_DKIM_STATES - 1), RECORD_MAX = 1024 };

void dkim_wire_put(struct buf *out, const struct vault_dkim *k)
{
	char room[RECORD_MAX];
	struct buf record = { .p = room, .cap = sizeof room, .max = sizeof room };
	int kind = k->kind == VAULT_DKIM_ED25519 ? DKIM_ED25519 : DKIM_RSA;
	dkim_key_record(kind, k->state == VAULT_DKIM_REVOKED ? STR("") : k->public_key, false, &record);
	buf_u64(out, k->id);
	buf_u8(out, (uint8_t)k->kind);
	buf_u8(out, (uint8_t)k->state);
	buf_u8(out, (uint8_t)k->dns);
	buf_run(out, k->domain);
	buf_run(out, k->selector);
	for (unsigned i = 1; i < VAULT_DKIM_STATES; i++)
		buf_u64(out, (uint64_t)k->at_ms[i]);
	buf_run(out, buf_str(&record));
}

static bool get_one(struct cursor *c, struct dkim_row *r)
{
	r->id = cursor_u64(c);
	r->kind = cursor_u8(c);
	r->state = cursor_u8(c);
	r->dns = cursor_u8(c);
	r->domain = cursor_run(c, 255);
	r->selector = cursor_run(c, DKIM_SELECTOR_MAX);
	for (unsigned i = 1; i < VAULT_DKIM_STATES; i++)
		r->at_ms[i] = (int64_t)cursor_u64(c);
	r->record = cursor_run(c, RECORD_MAX);
	return !c->failed && r->kind <= VAULT_DKIM_ED25519 && r->state > 0 && r->state < VAULT_DKIM_STATES && r->dns <= DKIM_ABSENT;
}

enum rc dkim_wire_get(struct str in, struct arena *a, struct dkim_row **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct dkim_row *rows = arena_new(a, (in.n / ROW_LEAST + 1) * sizeof *rows);
	size_t n = 0;
	if (!rows)
		return RC_NOMEM;
	while (c.in.n)
		if (n > in.n / ROW_LEAST || !get_one(&c, &rows[n++]))
			return RC_SYNTAX;
	*out = rows;
	*out_n = n;
	return RC_OK;
}
