#include "store/batch.h"

#include "base/mem.h"
#include <string.h>

enum { OPS_FIRST = 32, OPS_MAX = 1 << 24 };
#define BATCH_MEMORY_MAX ((size_t)2 << 30)

void batch_init(struct batch *b)
{
	*b = (struct batch){ 0 };
	arena_init(&b->mem, BATCH_MEMORY_MAX);
}

void batch_done(struct batch *b)
{
	arena_done(&b->mem);
	mem_free(b->ops);
	batch_init(b);
}

static struct op *add(struct batch *b, enum op_kind kind, enum table t, struct str key)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : OPS_FIRST;
		struct op *ops = b->failed || cap > OPS_MAX ? NULL : mem_grow(b->ops, b->cap * sizeof *ops, cap * sizeof *ops);
		if (!ops)
			return b->failed = true, NULL;
		b->ops = ops;
		b->cap = cap;
	}
	struct op *o = &b->ops[b->n++];
	*o = (struct op){ .kind = kind, .table = t, .key = arena_str(&b->mem, key), .value = STR(""), .to = STR("") };
	b->failed |= b->mem.full;
	return o;
}

static struct str keep(struct batch *b, struct str s)
{
	if (s.n == 0)
		return STR("");
	struct str k = arena_str(&b->mem, s);
	b->failed |= b->mem.full;
	return k;
}

void batch_expect(struct batch *b, enum table t, struct str key, struct str value)
{
	struct op *o = add(b, OP_EXPECT, t, key);
	if (o)
		o->value = keep(b, value);
}

void batch_put(struct batch *b, enum table t, struct str key, struct str value)
{
	struct op *o = add(b, OP_PUT, t, key);
	if (o)
		o->value = keep(b, value);
}

void batch_lend(struct batch *b, enum table t, struct str key, struct str value)
{
	struct op *o = add(b, OP_PUT, t, key);
	if (o) {
		o->value = value;
		o->lent = true;
	}
}

void batch_append(struct batch *b, enum table t, struct str key, struct str value)
{
	struct op *o = add(b, OP_PUT, t, key);
	if (o) {
		o->value = value;
		o->append = true;
	}
}

void batch_delete(struct batch *b, enum table t, struct str key) { (void)add(b, OP_DELETE, t, key); }

void batch_copy(struct batch *b, enum table t, struct str from, struct str to, size_t at, struct str patch, bool optional)
{
	struct op *o = add(b, OP_COPY, t, from);
	if (!o)
		return;
	o->to = keep(b, to);
	o->value = keep(b, patch);
	o->at = at;
	o->optional = optional;
}

void batch_blob(struct batch *b, const struct blob_id *id, int32_t delta)
{
	struct op *o = add(b, OP_BLOB, TABLE_BLOB, str_of(id->b, sizeof id->b));
	if (o)
		o->delta = delta;
}

void batch_notice(struct batch *b, uint64_t account, uint64_t box, uint64_t modseq)
{
	struct op *o = add(b, OP_NOTICE, TABLE_COUNT, STR(""));
	if (o)
		o->notice = (struct notice){ account, box, modseq };
}
