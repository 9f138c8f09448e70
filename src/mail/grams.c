/* The signature. A trigram of folded octets is first narrowed to 18 bits (6 a octet), so that collecting the distinct ones is one bit set in
 * 32 KiB, without hashing; hashing happens once per distinct trigram. Narrowing only adds candidates, never hides one. */
#include "mail/grams.h"

#include "base/mem.h"

enum { GRAM_BITS = 18, WORDS = (1 << GRAM_BITS) / 64, HASHES = 3, LOG2_LEAST = 7, LOG2_MOST = 14, LESS = 72, HEAD = 3 };

/* Letters 0-25, digits 26-35, space 36, the marks that mail is full of one each, what else is ASCII together; UTF-8 octets their low 6 bits. */
static const unsigned char narrow[256] = {
	61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61,
	36, 58, 47, 54, 59, 52, 53, 48, 49, 50, 57, 51, 44, 38, 37, 40, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 42, 55, 45, 43, 46, 56,
	39, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 60, 60, 60, 60, 41,
	60, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 60, 60, 60, 60, 61,
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
};

struct grams {
	uint64_t seen[2][WORDS];   /* body, header */
	uint32_t *list;            /* the distinct ones as they came: where << GRAM_BITS | gram */
	uint32_t distinct, cap;
	bool failed;               /* no memory for the list */
	uint32_t last[2];          /* the two octets before, narrowed */
	unsigned have[2];          /* how many of them there are */
};

enum rc grams_new(struct grams **out)
{
	struct grams *g = mem_new(sizeof *g);
	if (!g)
		return RC_NOMEM;
	*out = g;
	return RC_OK;
}

void grams_free(struct grams **g)
{
	if (*g)
		mem_free((*g)->list);
	mem_free(*g);
	*g = NULL;
}

/* Room for `more` new ones and one that is written and not counted. */
static bool room(struct grams *g, size_t more)
{
	const uint32_t all = 2u << GRAM_BITS;
	uint32_t want = (more >= all - g->distinct ? all : g->distinct + (uint32_t)more) + 1;
	if (want <= g->cap)
		return true;
	uint32_t cap = g->cap * 2 > want ? g->cap * 2 : want < 2048 ? 2048 : want;
	uint32_t *list = mem_grow_raw(g->list, cap * sizeof *list);
	if (!list)
		return !(g->failed = true);
	g->list = list;
	g->cap = cap;
	return true;
}

static void add(struct grams *g, unsigned k, struct str s)
{
	uint32_t v = g->last[k], n = g->distinct, tag = k << GRAM_BITS;
	size_t i = 0;
	if (g->failed || !room(g, s.n))
		return;
	for (; i < s.n && g->have[k] < 2; i++, g->have[k]++)
		v = v << 6 | narrow[(unsigned char)s.p[i]];
	uint64_t *seen = g->seen[k];
	uint32_t *list = g->list;
	for (; i < s.n; i++) { /* no branch on what is new: that would be mispredicted all the time */
		v = (v << 6 | narrow[(unsigned char)s.p[i]]) & ((1u << GRAM_BITS) - 1);
		uint64_t w = seen[v >> 6];
		list[n] = tag | v;
		n += (uint32_t)(~w >> (v & 63) & 1);
		seen[v >> 6] = w | 1ull << (v & 63);
	}
	g->distinct = n;
	g->last[k] = v & 0xfff;
}

void grams_add(struct grams *g, unsigned where, struct str folded)
{
	if (where & GRAMS_BODY)
		add(g, 0, folded);
	if (where & GRAMS_HEADER)
		add(g, 1, folded);
}

void grams_gap(struct grams *g) { g->have[0] = g->have[1] = 0; }

static uint32_t size_of(unsigned log2) { return (1u << log2) - LESS; }
static uint32_t place(uint32_t a, uint32_t bits) { return (uint32_t)((uint64_t)a * bits >> 32); }

/* Two independent halves for double hashing (Kirsch and Mitzenmacher): bit i is a + i * b, scaled to the filter's size. */
static uint64_t mix(uint32_t tagged)
{
	uint64_t x = tagged + 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

enum rc grams_format(struct grams *g, struct buf *out)
{
	unsigned log2 = LOG2_LEAST;
	while (log2 < LOG2_MOST && 8ull * size_of(log2) < (uint64_t)g->distinct * 5) /* 5 to 10 bits a trigram: 7 on average */
		log2++;
	size_t n = size_of(log2);
	buf_u8(out, GRAMS_VERSION);
	buf_u8(out, (uint8_t)log2);
	buf_u8(out, HASHES);
	if (g->failed || !buf_room(out, n))
		return RC_NOMEM;
	unsigned char *bits = (unsigned char *)out->p + out->len;
	memset(bits, 0, n);
	out->len += n;
	uint32_t all = (uint32_t)(n * 8);
	for (uint32_t k = 0; k < g->distinct; k++) {
		uint64_t h = mix(g->list[k]);
		uint32_t a = (uint32_t)h, b = (uint32_t)(h >> 32) | 1;
#pragma GCC unroll 3
		for (unsigned i = 0; i < HASHES; i++, a += b) {
			uint32_t at = place(a, all);
			bits[at >> 3] |= (unsigned char)(1u << (at & 7));
		}
	}
	return RC_OK;
}

static bool has(struct str bits, unsigned hashes, uint32_t tagged)
{
	uint64_t h = mix(tagged);
	uint32_t a = (uint32_t)h, b = (uint32_t)(h >> 32) | 1;
	for (unsigned i = 0; i < hashes; i++, a += b) {
		uint32_t at = place(a, (uint32_t)bits.n * 8);
		if (!((unsigned char)bits.p[at >> 3] & 1u << (at & 7)))
			return false;
	}
	return true;
}

static bool all_in(struct str bits, unsigned hashes, struct str needle, unsigned k)
{
	uint32_t v = (uint32_t)narrow[(unsigned char)needle.p[0]] << 6 | narrow[(unsigned char)needle.p[1]];
	for (size_t i = 2; i < needle.n; i++) {
		v = (v << 6 | narrow[(unsigned char)needle.p[i]]) & ((1u << GRAM_BITS) - 1);
		if (!has(bits, hashes, k << GRAM_BITS | v))
			return false;
	}
	return true;
}

bool grams_maybe(struct str signature, unsigned where, struct str needle_folded)
{
	if (needle_folded.n < 3 || signature.n < HEAD || signature.p[0] != GRAMS_VERSION)
		return true;
	unsigned log2 = (unsigned char)signature.p[1], hashes = (unsigned char)signature.p[2];
	if (log2 < LOG2_LEAST || log2 > LOG2_MOST || hashes == 0 || signature.n != HEAD + size_of(log2))
		return true;
	struct str bits = str_skip(signature, HEAD);
	/* one text holds all of the needle, so one filter must */
	return ((where & GRAMS_BODY) && all_in(bits, hashes, needle_folded, 0)) ||
	       ((where & GRAMS_HEADER) && all_in(bits, hashes, needle_folded, 1));
}
