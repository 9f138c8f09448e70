/* The signature. A trigram of folded octets is first narrowed to 18 bits (6 an octet), so that collecting the distinct ones is one bit set in
 * 32 KiB, without hashing: of the word that its first two octets name, the bit that its third one names. What is hashed is then each such word
 * that is not empty: it goes, turned, into HASHES words of the filter. Narrowing only adds candidates, never hides one. */
#include "mail/grams.h"

#include "base/mem.h"
#include "mail/fold.h"
#include <endian.h>

enum { PAIRS = 1 << 12, NONE = 64, WORDS = NONE * 64 + NONE + 1, HASHES = 3, LOG2_LEAST = 7, LOG2_MOST = 14, LESS = 72, HEAD = 3 };
enum { VERSION_BITS = 3, PIECE = 256 }; /* the version before: each trigram hashed by itself */

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

/* What comes after a gap has NONE before it: those pairs are behind the true ones, and nobody looks at their words. */
struct grams {
	struct set {
		uint64_t seen[WORDS];  /* by pair; PAIRS of them count */
		uint32_t before, last; /* the two octets before, narrowed */
		uint16_t pairs[PAIRS]; /* grams_format(): whose words are not empty */
		size_t n;
	} set[2];                      /* body, header */
	struct buf scratch;
	bool used, failed;             /* some word is not empty; there was no memory for some text */
};
static _Thread_local struct grams *spare; /* empty again: that is quicker by the pairs than clearing new memory is */

enum rc grams_new(struct grams **out)
{
	struct grams *g = spare ? spare : mem_new(sizeof *g);
	spare = NULL;
	if (!g)
		return RC_NOMEM;
	buf_init(&g->scratch, 4 * PIECE);
	grams_gap(g);
	g->failed = false;
	*out = g;
	return RC_OK;
}

void grams_free(struct grams **gp)
{
	struct grams *g = *gp;
	*gp = NULL;
	if (!g)
		return;
	buf_done(&g->scratch);
	if (spare || g->used)
		mem_free(g);
	else
		spare = g;
}

void grams_thread_done(void)
{
	mem_free(spare);
	spare = NULL;
}

static inline void step(uint64_t *seen, uint32_t *before, uint32_t *last, char octet)
{
	uint32_t x = narrow[(unsigned char)octet];
	seen[*before * 64 + *last] |= 1ull << x;
	*before = *last;
	*last = x;
}

static void add(struct set *t, struct str s)
{
	uint32_t before = t->before, last = t->last;
	for (size_t i = 0; i < s.n; i++)
		step(t->seen, &before, &last, s.p[i]);
	t->before = before;
	t->last = last;
}

void grams_add(struct grams *g, unsigned where, struct str folded)
{
	g->used = true;
	if (where & GRAMS_BODY)
		add(&g->set[0], folded);
	if (where & GRAMS_HEADER)
		add(&g->set[1], folded);
}

/* ASCII as mail_fold() would have it, without writing it down: `narrow` knows no case, so only runs of white space are left to do. Answers how many
 * octets that was; it ends before what is not ASCII. */
static size_t add_ascii(struct set *t, struct fold *f, struct str s)
{
	uint32_t before = t->before, last = t->last;
	size_t i = 0;
	while (i < s.n && !(s.p[i] & 0x80)) {
		uint64_t w = 0;
		if (s.n - i >= 8)
			memcpy(&w, s.p + i, 8);
		if (w && fold_plain(le64toh(w), &f->space)) {
#pragma GCC unroll 8
			for (size_t j = 0; j < 8; j++)
				step(t->seen, &before, &last, s.p[i + j]);
			i += 8;
			continue;
		}
		for (size_t end = i + 8; i < end && i < s.n && !(s.p[i] & 0x80); i++) {
			bool space = fold_is_space(s.p[i]);
			if (!space || !f->space)
				step(t->seen, &before, &last, space ? ' ' : s.p[i]);
			f->space = space;
		}
	}
	t->before = before;
	t->last = last;
	return i;
}

/* As many octets from the front as a piece may have, whole characters only. */
static struct str piece_of(struct str s)
{
	size_t n = s.n < PIECE ? s.n : PIECE, back = 0;
	while (n < s.n && back < 3 && (s.p[n - back] & 0xc0) == 0x80)
		back++;
	return str_head(s, n < s.n && (s.p[n - back] & 0xc0) == 0xc0 ? n - back : n);
}

void grams_add_text(struct grams *g, unsigned where, struct str utf8)
{
	g->used = true;
	for (unsigned k = 0; k < 2; k++) {
		struct fold f;
		struct str rest = utf8;
		fold_begin(&f);
		while (where & 1u << k && rest.n) {
			rest = str_skip(rest, add_ascii(&g->set[k], &f, rest));
			struct str piece = piece_of(rest);
			buf_clear(&g->scratch);
			fold_add(&f, piece, &g->scratch);
			g->failed |= g->scratch.failed;
			add(&g->set[k], buf_str(&g->scratch));
			rest = str_skip(rest, piece.n);
		}
	}
}

void grams_gap(struct grams *g)
{
	for (unsigned k = 0; k < 2; k++)
		g->set[k].before = g->set[k].last = NONE;
}

static void or_le64(char *p, uint64_t w)
{
	uint64_t was;
	memcpy(&was, p, sizeof was);
	was |= htole64(w);
	memcpy(p, &was, sizeof was);
}

static uint32_t size_of(unsigned log2) { return (1u << log2) - LESS; }

/* Where in the filter a word goes, and how far it is turned there: places a + i * b, scaled to the filter's size (Kirsch and Mitzenmacher). */
struct hash { uint32_t a, b; };

static struct hash hash_of(unsigned k, uint32_t pair)
{
	uint64_t x = (k * PAIRS + pair + 1) * 0x9e3779b97f4a7c15u;
	return (struct hash){ (uint32_t)(x >> 32), (uint32_t)x | 1 };
}

static uint32_t scaled(uint32_t a, uint32_t n) { return (uint32_t)((uint64_t)a * n >> 32); }
static uint64_t turned(uint64_t w, uint32_t by) { return w << (by & 63) | w >> (-by & 63); }

static void find_pairs(struct set *t)
{
	size_t n = 0;
	for (uint16_t i = 0; i < PAIRS; i += 8) {
		const uint64_t *w = t->seen + i;
		if (!(w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]))
			continue;
		for (uint16_t j = 0; j < 8; j++) {
			t->pairs[n] = i + j;
			n += w[j] != 0;
		}
	}
	t->n = n;
}

/* How many bits the words of its pairs have set: octets of counts are added up as long as an octet holds them. */
static uint32_t trigrams_of(const struct set *t)
{
	enum { MOST = 31 }; /* times 8 is less than 256 */
	const uint64_t twos = UINT64_MAX / 3, fours = UINT64_MAX / 5, eights = UINT64_MAX / 17, halves = UINT64_MAX / 257;
	uint64_t total = 0;
	for (size_t i = 0; i < t->n;) {
		uint64_t sum = 0;
		for (size_t end = i + MOST < t->n ? i + MOST : t->n; i < end; i++) {
			uint64_t x = t->seen[t->pairs[i]];
			x -= x >> 1 & twos;
			x = (x & fours) + (x >> 2 & fours);
			sum += (x + (x >> 4)) & eights;
		}
		sum = (sum & halves) + (sum >> 8 & halves);
		total += sum * (UINT64_MAX / 65535) >> 48;
	}
	return (uint32_t)total;
}

enum rc grams_format(struct grams *g, struct buf *out)
{
	unsigned log2 = LOG2_LEAST;
	uint32_t distinct = 0;
	for (unsigned k = 0; k < 2; k++) {
		find_pairs(&g->set[k]);
		distinct += trigrams_of(&g->set[k]);
	}
	while (log2 < LOG2_MOST && 8ull * size_of(log2) < (uint64_t)distinct * 5) /* 5 to 10 bits a trigram: 7 on average */
		log2++;
	uint32_t size = size_of(log2), words = size / 8;
	buf_u8(out, GRAMS_VERSION);
	buf_u8(out, (uint8_t)log2);
	buf_u8(out, HASHES);
	if (g->failed || !buf_room(out, size))
		return RC_NOMEM;
	char *bits = out->p + out->len;
	memset(bits, 0, size);
	out->len += size;
	for (unsigned k = 0; k < 2; k++) {
		struct set *t = &g->set[k];
		for (size_t i = 0; i < t->n; i++) {
			struct hash h = hash_of(k, t->pairs[i]);
			uint64_t w = t->seen[t->pairs[i]];
			t->seen[t->pairs[i]] = 0;
			for (unsigned j = 0; j < HASHES; j++, h.a += h.b)
				or_le64(bits + 8 * scaled(h.a, words), turned(w, h.a));
		}
		memset(t->seen + PAIRS, 0, sizeof t->seen - PAIRS * sizeof *t->seen);
		memset(t->pairs, 0, t->n * sizeof *t->pairs);
	}
	grams_gap(g);
	g->used = false;
	return RC_OK;
}

static bool bit_at(struct str bits, uint32_t at) { return (unsigned char)bits.p[at >> 3] & 1u << (at & 7); }

static bool has(struct str bits, unsigned hashes, unsigned k, uint32_t trigram)
{
	struct hash h = hash_of(k, trigram >> 6);
	for (unsigned j = 0; j < hashes; j++, h.a += h.b)
		if (!bit_at(bits, 64 * scaled(h.a, (uint32_t)bits.n / 8) + ((trigram + h.a) & 63)))
			return false;
	return true;
}

/* As the version before had it: each trigram by itself. */
static bool has_bit(struct str bits, unsigned hashes, unsigned k, uint32_t trigram)
{
	uint64_t x = (k << 18 | trigram) + 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	for (unsigned i = 0; i < hashes; i++)
		if (!bit_at(bits, scaled((uint32_t)x + i * ((uint32_t)(x >> 32) | 1), (uint32_t)bits.n * 8)))
			return false;
	return true;
}

struct filter {
	struct str bits;
	unsigned hashes;
	bool (*has)(struct str bits, unsigned hashes, unsigned k, uint32_t trigram);
};

static bool all_in(const struct filter *f, struct str needle, unsigned k)
{
	uint32_t v = (uint32_t)narrow[(unsigned char)needle.p[0]] << 6 | narrow[(unsigned char)needle.p[1]];
	for (size_t i = 2; i < needle.n; i++) {
		v = (v << 6 | narrow[(unsigned char)needle.p[i]]) & (PAIRS * 64 - 1);
		if (!f->has(f->bits, f->hashes, k, v))
			return false;
	}
	return true;
}

bool grams_maybe(struct str signature, unsigned where, struct str needle_folded)
{
	if (needle_folded.n < 3 || signature.n < HEAD || (signature.p[0] != GRAMS_VERSION && signature.p[0] != VERSION_BITS))
		return true;
	unsigned log2 = (unsigned char)signature.p[1];
	struct filter f = { str_skip(signature, HEAD), (unsigned char)signature.p[2], signature.p[0] == VERSION_BITS ? has_bit : has };
	if (log2 < LOG2_LEAST || log2 > LOG2_MOST || f.hashes == 0 || f.bits.n != size_of(log2))
		return true;
	/* one text holds all of the needle, so one filter must */
	return ((where & GRAMS_BODY) && all_in(&f, needle_folded, 0)) || ((where & GRAMS_HEADER) && all_in(&f, needle_folded, 1));
}
