/* Allocations that fail, and a list of what is alive: the linker's --wrap leads every mem_new(), mem_grow() and mem_free() here. */
#include "torture.h"

#include "base/mem.h"
#include <errno.h>
#include <pthread.h>

void *__real_mem_new(size_t n);
void *__real_mem_grow(void *p, size_t old_n, size_t n);
void __real_mem_free(void *p);
void *__wrap_mem_new(size_t n);
void *__wrap_mem_grow(void *p, size_t old_n, size_t n);
void __wrap_mem_free(void *p);

enum { SLOTS = 1 << 17 };
static struct { void *p, *caller; } alive[SLOTS];  /* open addressing; a block that went away leaves GONE behind */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char gone_mark;
#define GONE ((void *)&gone_mark)

static size_t home(const void *p) { return (size_t)((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 47 & (SLOTS - 1); }

static void born(void *p, void *caller)
{
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0, at = home(p); i < SLOTS; i++, at = (at + 1) & (SLOTS - 1))
		if (!alive[at].p || alive[at].p == GONE) {
			alive[at].p = p;
			alive[at].caller = caller;
			break;
		}
	(void)pthread_mutex_unlock(&lock);
}

static void died(const void *p)
{
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0, at = home(p); i < SLOTS && alive[at].p; i++, at = (at + 1) & (SLOTS - 1))
		if (alive[at].p == p) {
			alive[at].p = alive[(at + 1) & (SLOTS - 1)].p ? GONE : NULL;
			break;
		}
	(void)pthread_mutex_unlock(&lock);
}

size_t torture_alive(void *callers[], size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < SLOTS; i++)
		if (alive[i].p && alive[i].p != GONE) {
			if (n < max)
				callers[n] = alive[i].caller;
			n++;
		}
	return n;
}

void torture_forget(void) { memset(alive, 0, sizeof alive); }

static bool fails(const char *call)
{
	struct board *b = board;
	if (!b || !__atomic_load_n(&b->armed, __ATOMIC_RELAXED))
		return false;
	long n = __atomic_fetch_add(&b->count[TORTURE_ALLOC], 1, __ATOMIC_SEQ_CST);
	if (b->kind != TORTURE_ALLOC || n != b->k)
		return false;
	torture_trace(call, ENOMEM);
	return true;
}

void *__wrap_mem_new(size_t n)
{
	void *p = fails("mem_new") ? NULL : __real_mem_new(n);
	if (p)
		born(p, __builtin_return_address(0));
	return p;
}

void *__wrap_mem_grow(void *p, size_t old_n, size_t n)
{
	if (fails("mem_grow"))
		return NULL;
	if (p)
		died(p);
	void *q = __real_mem_grow(p, old_n, n);
	if (q || p)
		born(q ? q : p, __builtin_return_address(0));
	return q;
}

void __wrap_mem_free(void *p)
{
	if (p)
		died(p);
	__real_mem_free(p);
}
