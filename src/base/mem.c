#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

enum { SPARE_BLOCKS = 32, HUGE_PAGE = 2 << 20 };

long mem_fail_at = -1, mem_count;
static _Thread_local struct { void *block[SPARE_BLOCKS]; unsigned n, most; } spare; /* none but in the thread of mem_setup */

static int fail_now(void)
{
	return __builtin_expect(mem_fail_at >= 0, 0) && __atomic_fetch_add(&mem_count, 1, __ATOMIC_RELAXED) == mem_fail_at;
}

/* What one password's hash or one large message took goes back to the system at once: left alone, glibc raises the first two limits up to
 * 32 MiB and keeps an arena for each worker thread. */
void mem_setup(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
	(void)mallopt(M_ARENA_MAX, 2);
	spare.most = SANITIZED ? 0 : SPARE_BLOCKS; /* a sanitizer wants to see each of them end */
}

void *mem_new(size_t n) { return fail_now() ? NULL : calloc(1, n ? n : 1); }

void *mem_grow(void *p, size_t old_n, size_t n)
{
	if (fail_now())
		return NULL;
	char *q = realloc(p, n ? n : 1);
	if (q && n > old_n)
		memset(q + old_n, 0, n - old_n);
	return q;
}

void *mem_raw(size_t n) { return fail_now() ? NULL : malloc(n ? n : 1); }

void *mem_grow_raw(void *p, size_t n) { return fail_now() ? NULL : realloc(p, n ? n : 1); }

void mem_free(void *p) { free(p); }

void *mem_block(void)
{
	if (spare.n == 0)
		return mem_raw(MEM_BLOCK);
	return fail_now() ? NULL : spare.block[--spare.n];
}

void mem_block_free(void *p)
{
	if (p && spare.n < spare.most)
		spare.block[spare.n++] = p;
	else
		mem_free(p);
}

static size_t huge_size(size_t n) { return (n + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1); }

void *mem_huge(size_t n)
{
	if (n > SIZE_MAX / 2 || fail_now())
		return NULL;
	size_t size = huge_size(n ? n : 1), before;
	char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	before = huge_size((uintptr_t)p) - (uintptr_t)p; /* a large page begins at its own multiple */
	if (before)
		(void)munmap(p, before);
	(void)munmap(p + before + size, HUGE_PAGE - before);
	(void)madvise(p + before, size, MADV_HUGEPAGE); /* a wish */
	return p + before;
}

void mem_huge_free(void *p, size_t n)
{
	if (p)
		(void)munmap(p, huge_size(n ? n : 1));
}

void mem_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}
