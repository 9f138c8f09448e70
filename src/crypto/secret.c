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

enum rc random_bytes(void *p, size_t n)
{
	/* The kernel's generator itself: nothing to seed, nothing that a forked child could share. */
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

bool ct_eq(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }
