#include "imap/ranges.h"

#include "base/mem.h"
#include <stdlib.h>

enum { RANGES_MAX = 16 << 20 };

void ranges_done(struct ranges *r)
{
	mem_free(r->v);
	*r = (struct ranges){ 0 };
}

/* Makes room for one more element of `size` octets. */
static bool grow(void **v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	size_t want = *cap ? *cap * 2 : 4;
	void *p = want <= RANGES_MAX ? mem_grow(*v, *cap * size, want * size) : NULL;
	if (!p)
		return false;
	*v = p;
	*cap = want;
	return true;
}

void ranges_add(struct ranges *r, uint32_t first, uint32_t last)
{
	if (r->failed)
		return;
	if (r->n && r->v[r->n - 1].last + 1 == first && first) {
		r->v[r->n - 1].last = last;
		return;
	}
	void *v = r->v;
	if (!grow(&v, r->n, &r->cap, sizeof *r->v)) {
		r->failed = true;
		return;
	}
	r->v = v;
	r->v[r->n++] = (struct imap_range){ first, last };
}

static int by_first(const void *a, const void *b)
{
	const struct imap_range *x = a, *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

void ranges_tidy(struct ranges *r)
{
	if (r->n < 2)
		return;
	bool sorted = true;
	for (size_t i = 1; i < r->n && sorted; i++)
		sorted = r->v[i - 1].first <= r->v[i].first;
	if (!sorted)
		qsort(r->v, r->n, sizeof *r->v, by_first);
	size_t k = 0;
	for (size_t i = 1; i < r->n; i++) {
		if (r->v[i].first <= r->v[k].last || r->v[i].first - 1 == r->v[k].last) {
			if (r->v[i].last > r->v[k].last)
				r->v[k].last = r->v[i].last;
		} else {
			r->v[++k] = r->v[i];
		}
	}
	r->n = k + 1;
}

bool ranges_have(const struct ranges *r, uint32_t uid)
{
	size_t lo = 0, hi = r->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (r->v[mid].last < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n && r->v[lo].first <= uid;
}

uint64_t ranges_total(const struct ranges *r)
{
	uint64_t total = 0;
	for (size_t i = 0; i < r->n; i++)
		total += (uint64_t)r->v[i].last - r->v[i].first + 1;
	return total;
}

void seqmap_done(struct seqmap *m)
{
	mem_free(m->runs);
	*m = (struct seqmap){ 0 };
}

enum rc seqmap_set(struct seqmap *m, const struct imap_range *runs, size_t n)
{
	struct seqmap fresh = { 0 };
	if (n > RANGES_MAX)
		return RC_LIMIT;
	if (n) {
		fresh.runs = mem_new(n * sizeof *fresh.runs);
		if (!fresh.runs)
			return RC_NOMEM;
		fresh.cap = n;
	}
	for (size_t i = 0; i < n; i++) {
		if (runs[i].first == 0 || runs[i].first > runs[i].last || (i && runs[i].first <= runs[i - 1].last)) {
			seqmap_done(&fresh);
			return RC_DAMAGED;
		}
		fresh.runs[fresh.n++] = (struct seqmap_run){ runs[i].first, runs[i].last, fresh.count + 1 };
		fresh.count += runs[i].last - runs[i].first + 1;
	}
	seqmap_done(m);
	*m = fresh;
	return RC_OK;
}

size_t seqmap_run_at(const struct seqmap *m, uint32_t uid)
{
	size_t lo = 0, hi = m->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (m->runs[mid].last < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t seqmap_seq(const struct seqmap *m, uint32_t uid)
{
	size_t i = seqmap_run_at(m, uid);
	if (i == m->n || m->runs[i].first > uid)
		return 0;
	return m->runs[i].seq + (uid - m->runs[i].first);
}

uint32_t seqmap_uid(const struct seqmap *m, uint32_t seq)
{
	if (seq == 0 || seq > m->count)
		return 0;
	size_t lo = 0, hi = m->n;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (m->runs[mid].seq <= seq)
			lo = mid;
		else
			hi = mid;
	}
	return m->runs[lo].first + (seq - m->runs[lo].seq);
}

uint32_t seqmap_last_uid(const struct seqmap *m) { return m->n ? m->runs[m->n - 1].last : 0; }

enum rc seqmap_add(struct seqmap *m, uint32_t first, uint32_t last)
{
	if (first == 0 || first > last || first <= seqmap_last_uid(m))
		return RC_DAMAGED;
	uint32_t more = last - first + 1;
	if (m->n && m->runs[m->n - 1].last + 1 == first) {
		m->runs[m->n - 1].last = last;
		m->count += more;
		return RC_OK;
	}
	void *v = m->runs;
	if (!grow(&v, m->n, &m->cap, sizeof *m->runs))
		return RC_NOMEM;
	m->runs = v;
	m->runs[m->n++] = (struct seqmap_run){ first, last, m->count + 1 };
	m->count += more;
	return RC_OK;
}

enum rc seqmap_remove(struct seqmap *m, const struct ranges *gone)
{
	struct ranges left = { 0 };
	size_t g = 0;
	for (size_t i = 0; i < m->n; i++) {
		uint64_t at = m->runs[i].first, end = m->runs[i].last;
		while (g < gone->n && gone->v[g].last < at)
			g++;
		for (size_t k = g; at <= end; k++) {
			if (k == gone->n || gone->v[k].first > end) {
				ranges_add(&left, (uint32_t)at, (uint32_t)end);
				break;
			}
			if (gone->v[k].first > at)
				ranges_add(&left, (uint32_t)at, gone->v[k].first - 1);
			at = (uint64_t)gone->v[k].last + 1;
			g = k;
		}
	}
	enum rc rc = left.failed ? RC_NOMEM : seqmap_set(m, left.v, left.n);
	ranges_done(&left);
	return rc;
}
