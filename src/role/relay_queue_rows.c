#include "role/relay_queue_inside.h"

#include "base/mem.h"

/* Finding rows: linear hashing, one bucket more with each row, so that no row waits for all others to move. */

static uint32_t mix(uint64_t letter, uint32_t n)
{
	uint64_t v = (letter ^ (uint64_t)n << 40) * 0x9e3779b97f4a7c15u;
	v ^= v >> 32;
	v *= 0xd6e8feb86659fd93u;
	return (uint32_t)(v >> 32);
}

static uint32_t bucket_of(const struct rq *q, uint64_t letter, uint32_t n)
{
	uint32_t mask = 1, h = mix(letter, n);
	while (mask < q->bucket_n)
		mask <<= 1;
	uint32_t b = h & (mask - 1);
	return b < q->bucket_n ? b : h & (mask / 2 - 1);
}

bool rq_index_grow(struct rq *q)
{
	if (q->index_n < q->bucket_n)
		return true;
	if (q->bucket_n == q->bucket_cap) {
		uint32_t cap = q->bucket_cap ? q->bucket_cap * 2 : 64;
		uint32_t *v = mem_grow_raw(q->bucket, cap * sizeof *v);
		if (!v)
			return false;
		q->bucket = v;
		q->bucket_cap = cap;
	}
	uint32_t half = 1;
	while (half * 2 <= q->bucket_n)
		half *= 2;
	uint32_t old = q->bucket_n ? q->bucket_n - half : 0;
	q->bucket[q->bucket_n++] = RQ_NONE;
	if (q->bucket_n == 1)
		return true;
	uint32_t r = q->bucket[old];
	q->bucket[old] = RQ_NONE;
	while (r != RQ_NONE) { /* the old bucket's rows now go to one of two */
		uint32_t next = q->rows[r].chain, *to = &q->bucket[bucket_of(q, q->rows[r].letter, q->rows[r].n)];
		q->rows[r].chain = *to;
		*to = r;
		r = next;
	}
	return true;
}

uint32_t rq_row_find(const struct rq *q, uint64_t letter, uint32_t n)
{
	uint32_t r = q->bucket_n ? q->bucket[bucket_of(q, letter, n)] : RQ_NONE;
	while (r != RQ_NONE && (q->rows[r].letter != letter || q->rows[r].n != n))
		r = q->rows[r].chain;
	return r;
}

void rq_row_link(struct rq *q, uint32_t r)
{
	uint32_t *b = &q->bucket[bucket_of(q, q->rows[r].letter, q->rows[r].n)];
	q->rows[r].chain = *b;
	*b = r;
	q->index_n++;
}

void rq_row_free(struct rq *q, uint32_t r)
{
	uint32_t *p = &q->bucket[bucket_of(q, q->rows[r].letter, q->rows[r].n)];
	while (*p != r)
		p = &q->rows[*p].chain;
	*p = q->rows[r].chain;
	q->index_n--;
	q->rows[r].chain = q->row_free;
	q->row_free = r;
}

enum rc rq_row_new(struct rq *q, uint32_t *out)
{
	if (q->row_free != RQ_NONE) {
		*out = q->row_free;
		q->row_free = q->rows[*out].chain;
		return RC_OK;
	}
	if (q->row_n == q->row_cap) {
		uint32_t cap = q->row_cap ? q->row_cap * 2 : 64;
		if (q->row_cap >= RQ_ROWS_MAX)
			return RC_FULL;
		struct row *v = mem_grow_raw(q->rows, cap * sizeof *v);
		if (!v)
			return RC_NOMEM;
		q->rows = v;
		q->row_cap = cap;
	}
	*out = q->row_n++;
	return RC_OK;
}
