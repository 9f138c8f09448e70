#include "store/pack.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "store/lines.h"
#include <lz4.h>
#include <pthread.h>
#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY /* literalCompressionMode */
#include <zstd.h>

enum { PACK_MIN = 64, SAMPLE = 512, LZ4_FAST = 3 };

/* Contexts, one set per thread. */
struct codecs { ZSTD_CCtx *c; ZSTD_DCtx *d; void *lz4; };
static pthread_key_t codecs_key;
static pthread_once_t codecs_once = PTHREAD_ONCE_INIT;

static void codecs_free(void *p)
{
	struct codecs *k = p;
	(void)ZSTD_freeCCtx(k->c);
	(void)ZSTD_freeDCtx(k->d);
	mem_free(k->lz4);
	mem_free(k);
}

static void codecs_setup(void) { (void)pthread_key_create(&codecs_key, codecs_free); }

/* Entropy coding without a search for matches: three quarters of base64 are left, for a third of the time. A zstd that does not know a setting goes
 * without it. */
static void tune(ZSTD_CCtx *c)
{
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_strategy, ZSTD_fast);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog, ZSTD_HASHLOG_MIN);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_minMatch, 7);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_targetLength, ZSTD_TARGETLENGTH_MAX);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
}

static struct codecs *codecs(void)
{
	(void)pthread_once(&codecs_once, codecs_setup);
	struct codecs *k = pthread_getspecific(codecs_key);
	if (k)
		return k;
	k = mem_new(sizeof *k);
	if (!k)
		return NULL;
	k->c = ZSTD_createCCtx();
	k->d = ZSTD_createDCtx();
	k->lz4 = mem_new((size_t)LZ4_sizeofState());
	if (k->c)
		tune(k->c);
	if (!k->c || !k->d || !k->lz4 || pthread_setspecific(codecs_key, k) != 0) {
		codecs_free(k);
		return NULL;
	}
	return k;
}

/* Text has a space in any five lines of it, an attachment's base64 has none: looked for in the middle. */
static bool has_words(struct str s)
{
	size_t n = s.n < SAMPLE ? s.n : SAMPLE;
	return memchr(s.p + (s.n - n) / 2, ' ', n) != NULL;
}

static size_t lz4(struct codecs *k, struct str in, char *out, size_t most)
{
	int n = LZ4_compress_fast_extState(k->lz4, in.p, out, (int)in.n, (int)most, LZ4_FAST);
	return n > 0 ? (size_t)n : 0;
}

/* ---- lines of base64: octets, text, a table of the runs, then how many octets and runs, and what of the two is LZ4 ---- */

enum { LINES_MIN = 512, RUNS_MAX = 32, RUN_LEN = 10, TRAILER = 7, OCTETS_LZ4 = 1, TEXT_LZ4 = 2 };

struct lines {
	struct line_run run[RUNS_MAX];
	size_t runs, octets, text;
};

/* Octets to `room`, what is no such line to `text`. */
static void take_apart(struct str plain, char *room, char *text, struct lines *l)
{
	size_t at = 0;
	while (l->runs < RUNS_MAX && lines_find(plain, at, &l->run[l->runs], room + l->octets)) {
		struct line_run *r = &l->run[l->runs++];
		memcpy(text + l->text, plain.p + at, r->at - at);
		l->text += r->at - at;
		l->octets += r->octets;
		at = r->at + r->n;
	}
	if (l->runs == 0)
		return;
	memcpy(text + l->text, plain.p + at, plain.n - at);
	l->text += plain.n - at;
}

/* `n` octets at `from` go to `to`, packed where that saves an eighth. Answers how many they are there; 0: more than `most`. */
static size_t put_packed(struct codecs *k, const char *from, size_t n, char *to, size_t most, bool *out_packed)
{
	size_t enough = n - n / 8, packed = n < PACK_MIN ? 0 : lz4(k, str_of(from, n), to, enough < most ? enough : most);
	*out_packed = packed > 0;
	if (packed || n > most)
		return packed;
	memcpy(to, from, n);
	return n;
}

static char *put_be(char *p, uint32_t v, unsigned n)
{
	for (unsigned i = n; i--; v >>= 8)
		p[i] = (char)v;
	return p + n;
}

static size_t put_table(const struct lines *l, uint8_t flags, size_t octets, char *to, size_t most)
{
	char *p = to;
	size_t at = 0;
	if (most < l->runs * RUN_LEN + TRAILER)
		return 0;
	for (size_t i = 0; i < l->runs; i++) {
		const struct line_run *r = &l->run[i];
		p = put_be(p, (uint32_t)(r->at - at), 4);
		p = put_be(p, r->digits, 2);
		p = put_be(p, r->octets, 4);
		at = r->at + r->n;
	}
	p = put_be(p, (uint32_t)octets, 4);
	p = put_be(p, (uint32_t)l->runs, 2);
	p = put_be(p, flags, 1);
	return (size_t)(p - to);
}

/* 0: there are no such lines, or it would not do. */
static size_t pack_lines(struct codecs *k, struct str plain, char *room, size_t most)
{
	struct lines l = { 0 };
	bool octets_lz4 = false, text_lz4 = false;
	char *text = plain.n < LINES_MIN ? NULL : mem_raw(plain.n);
	if (!text)
		return 0;
	take_apart(plain, room, text, &l);
	char *scratch = text + l.text; /* has more room than the octets need: their digits are not in the text */
	size_t octets = l.octets, n = 0;
	if (l.runs && octets < most) {
		size_t packed = lz4(k, str_of(room, octets), scratch, octets - octets / 8);
		octets_lz4 = packed > 0;
		if (packed)
			memcpy(room, scratch, octets = packed);
		size_t at = octets + put_packed(k, text, l.text, room + octets, most - octets, &text_lz4);
		if (at > octets || l.text == 0)
			n = put_table(&l, (octets_lz4 ? OCTETS_LZ4 : 0) | (text_lz4 ? TEXT_LZ4 : 0), octets, room + at, most - at);
		n = n ? at + n : 0;
	}
	mem_wipe(text, l.runs ? plain.n : 0);
	mem_free(text);
	return n;
}

static bool parse_lines(struct str packed, size_t n, struct lines *l, struct str *out_octets, struct str *out_text, uint8_t *out_flags)
{
	if (packed.n < TRAILER)
		return false;
	struct cursor c = cursor_of(str_skip(packed, packed.n - TRAILER));
	uint32_t octets = cursor_u32(&c);
	l->runs = cursor_u16(&c);
	*out_flags = cursor_u8(&c);
	size_t table = l->runs * RUN_LEN + TRAILER, at = 0;
	if (l->runs == 0 || l->runs > RUNS_MAX || packed.n < table || octets > packed.n - table || *out_flags > (OCTETS_LZ4 | TEXT_LZ4))
		return false;
	*out_octets = str_head(packed, octets);
	*out_text = str_of(packed.p + octets, packed.n - table - octets);
	c = cursor_of(str_skip(packed, packed.n - table));
	for (size_t i = 0; i < l->runs; i++) {
		struct line_run *r = &l->run[i];
		size_t before = cursor_u32(&c);
		r->digits = cursor_u16(&c);
		r->octets = cursor_u32(&c);
		r->n = lines_length(r->octets, r->digits);
		if (r->n == 0 || before > n - at || r->n > n - at - before)
			return false;
		r->at = at + before;
		at = r->at + r->n;
		l->text += before;
		l->octets += r->octets;
	}
	l->text += n - at;
	return true;
}

/* Text is unpacked to the end of the room and moves forward as the runs are written between it: what is written never comes up to what is unread. */
static void put_together(const struct lines *l, const char *octets, char *to, size_t n)
{
	size_t at = 0, from = n - l->text, used = 0;
	for (size_t i = 0; i < l->runs; i++) {
		const struct line_run *r = &l->run[i];
		memmove(to + at, to + from, r->at - at);
		from += r->at - at;
		lines_write(octets + used, r, l->octets - used, to + r->at, from - r->at);
		used += r->octets;
		at = r->at + r->n;
	}
}

static enum rc unpack_lines(struct str packed, char *to, size_t n)
{
	struct lines l = { 0 };
	struct str octets, text;
	uint8_t flags;
	if (!parse_lines(packed, n, &l, &octets, &text, &flags))
		return RC_DAMAGED;
	char *tail = to + n - l.text;
	if (flags & TEXT_LZ4 ? LZ4_decompress_safe(text.p, tail, (int)text.n, (int)l.text) != (int)l.text : text.n != l.text)
		return RC_DAMAGED;
	if (!(flags & TEXT_LZ4))
		memcpy(tail, text.p, text.n);
	if (!(flags & OCTETS_LZ4)) {
		if (octets.n != l.octets)
			return RC_DAMAGED;
		put_together(&l, octets.p, to, n);
		return RC_OK;
	}
	char *whole = mem_raw(l.octets);
	if (!whole)
		return RC_NOMEM;
	bool ok = LZ4_decompress_safe(octets.p, whole, (int)octets.n, (int)l.octets) == (int)l.octets;
	if (ok)
		put_together(&l, whole, to, n);
	mem_wipe(whole, l.octets);
	mem_free(whole);
	return ok ? RC_OK : RC_DAMAGED;
}

/* By one of the two that know nothing of lines. 0: more than `most`. */
static size_t pack_whole(struct codecs *k, struct str plain, char *room, size_t most, enum packing *out)
{
	bool words = has_words(plain);
	size_t n = words ? lz4(k, plain, room, most) : ZSTD_compress2(k->c, room, most, plain.p, plain.n);
	*out = words ? PACKED_LZ4 : PACKED_ZSTD;
	return !words && ZSTD_isError(n) ? 0 : n;
}

enum rc pack_chunk(struct str plain, char *room, enum packing *out, size_t *out_n)
{
	struct codecs *k = codecs();
	if (!k)
		return RC_NOMEM;
	*out = PACKED_NOT;
	*out_n = plain.n;
	if (plain.n < PACK_MIN)
		return RC_OK;
	size_t most = plain.n - plain.n / 5, few = plain.n - plain.n / 16; /* each gives up by itself where that does not suffice */
	size_t n = pack_lines(k, plain, room, few);
	*out = PACKED_LINES;
	if (n == 0 || n > most) { /* lines are undone in no time and worth it for less, but not where another finds more */
		bool lines = n > 0;
		n = pack_whole(k, plain, room, most, out);
		if (n == 0 && lines) {
			n = pack_lines(k, plain, room, few);
			*out = PACKED_LINES;
		}
	}
	if (n == 0)
		*out = PACKED_NOT;
	else
		*out_n = n;
	return RC_OK;
}

enum rc unpack_chunk(enum packing how, struct str packed, char *to, size_t n)
{
	if (how == PACKED_LINES)
		return unpack_lines(packed, to, n);
	struct codecs *k = codecs();
	if (!k)
		return RC_NOMEM;
	if (how == PACKED_LZ4)
		return LZ4_decompress_safe(packed.p, to, (int)packed.n, (int)n) == (int)n ? RC_OK : RC_DAMAGED;
	size_t got = ZSTD_decompressDCtx(k->d, to, n, packed.p, packed.n);
	return ZSTD_isError(got) || got != n ? RC_DAMAGED : RC_OK;
}
