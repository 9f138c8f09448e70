/* Allocations that fail, and a count of what is alive: the linker's --wrap leads every mem_new(), mem_grow() and mem_free() here. */
#include "torture.h"

#include "base/mem.h"

void *__real_mem_new(size_t n);
void *__real_mem_grow(void *p, size_t old_n, size_t n);
void __real_mem_free(void *p);
void *__wrap_mem_new(size_t n);
void *__wrap_mem_grow(void *p, size_t old_n, size_t n);
void __wrap_mem_free(void *p);

long torture_live;

static bool fails(const char *call)
{
	struct board *b = board;
	if (!b || !__atomic_load_n(&b->armed, __ATOMIC_RELAXED))
		return false;
	long n = __atomic_fetch_add(&b->count[TORTURE_ALLOC], 1, __ATOMIC_SEQ_CST);
	if (b->kind != TORTURE_ALLOC || n != b->k)
		return false;
	torture_trace(call, 12);
	return true;
}

void *__wrap_mem_new(size_t n)
{
	void *p = fails("mem_new") ? NULL : __real_mem_new(n);
	if (p)
		__atomic_fetch_add(&torture_live, 1, __ATOMIC_RELAXED);
	return p;
}

void *__wrap_mem_grow(void *p, size_t old_n, size_t n)
{
	void *q = fails("mem_grow") ? NULL : __real_mem_grow(p, old_n, n);
	if (q && !p)
		__atomic_fetch_add(&torture_live, 1, __ATOMIC_RELAXED);
	return q;
}

void __wrap_mem_free(void *p)
{
	if (p)
		__atomic_fetch_sub(&torture_live, 1, __ATOMIC_RELAXED);
	__real_mem_free(p);
}
