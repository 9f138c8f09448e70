#include "store/pack.h"

#include "base/mem.h"
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

enum rc pack_chunk(struct str plain, char *room, enum packing *out, size_t *out_n)
{
	struct codecs *k = codecs();
	if (!k)
		return RC_NOMEM;
	*out = PACKED_NOT;
	*out_n = plain.n;
	if (plain.n < PACK_MIN)
		return RC_OK;
	size_t most = plain.n - plain.n / 5, n; /* both give up by themselves where that does not suffice */
	bool words = has_words(plain);
	if (words)
		n = (size_t)LZ4_compress_fast_extState(k->lz4, plain.p, room, (int)plain.n, (int)most, LZ4_FAST);
	else
		n = ZSTD_compress2(k->c, room, most, plain.p, plain.n);
	if (n == 0 || (!words && ZSTD_isError(n)))
		return RC_OK;
	*out = words ? PACKED_LZ4 : PACKED_ZSTD;
	*out_n = n;
	return RC_OK;
}

enum rc unpack_chunk(enum packing how, struct str packed, char *to, size_t n)
{
	struct codecs *k = codecs();
	if (!k)
		return RC_NOMEM;
	if (how == PACKED_LZ4)
		return LZ4_decompress_safe(packed.p, to, (int)packed.n, (int)n) == (int)n ? RC_OK : RC_DAMAGED;
	size_t got = ZSTD_decompressDCtx(k->d, to, n, packed.p, packed.n);
	return ZSTD_isError(got) || got != n ? RC_DAMAGED : RC_OK;
}
