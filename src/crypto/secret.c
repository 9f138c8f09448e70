#include "crypto/crypto.h"

#include "base/mem.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/random.h>

/* OpenSSL's secure heap is the slab: locked, guarded at both ends, MADV_DONTDUMP; private numbers of EC keys live there too. */
enum { HEAP_BYTES = 256 * 1024, HEAP_LEAST = 32 };
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void make_heap(void) { (void)CRYPTO_secure_malloc_init(HEAP_BYTES, HEAP_LEAST); }

struct secret *secret_new(void)
{
	pthread_once(&once, make_heap);
	return OPENSSL_secure_zalloc(sizeof(struct secret));
}

void secret_free(struct secret **s)
{
	OPENSSL_secure_clear_free(*s, sizeof **s);
	*s = NULL;
}

void secret_done(struct secret *s) { mem_wipe(s, sizeof *s); }

/* The kernel's generator itself: nothing to seed. A message needs five small numbers and keys, so small ones are fetched together. An octet
 * is handed out once and wiped here as it goes; a forked child begins with none of its parent's. */
enum { POOL = 256, POOL_MOST = 32 };
static __thread struct { size_t left; unsigned forks; uint8_t b[POOL]; } pool;
static unsigned forks;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static bool fork_seen;
static void in_child(void) { forks++; }
static void watch_forks(void) { fork_seen = pthread_atfork(NULL, NULL, in_child) == 0; }

static enum rc from_kernel(void *p, size_t n)
{
	for (char *at = p; n > 0;) {
		ssize_t k = getrandom(at, n < 256 ? n : 256, 0);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return RC_IO;
		at += k;
		n -= (size_t)k;
	}
	return RC_OK;
}

enum rc random_bytes(void *p, size_t n)
{
	(void)pthread_once(&fork_once, watch_forks);
	if (n > POOL_MOST || !fork_seen)
		return from_kernel(p, n);
	if (pool.left < n || pool.forks != forks) {
		pool.left = 0;
		TRY(from_kernel(pool.b, POOL));
		pool.left = POOL;
		pool.forks = forks;
	}
	pool.left -= n;
	memcpy(p, pool.b + pool.left, n);
	mem_wipe(pool.b + pool.left, n);
	return RC_OK;
}

bool ct_eq(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }
