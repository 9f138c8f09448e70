#pragma once
#include <stdbool.h>

/* Loops over whole bodies in 256-bit registers where the machine has them: a function marked WIDE may only be called when wide_ok() says so, and
 * one that gives the same answer in plain C stands beside it. */
#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))
static inline bool wide_ok(void)
{
	static signed char known; /* the same answer from every thread */
	signed char k = __atomic_load_n(&known, __ATOMIC_RELAXED);
	if (k == 0) {
		__builtin_cpu_init();
		k = __builtin_cpu_supports("avx2") ? 1 : -1;
		__atomic_store_n(&known, k, __ATOMIC_RELAXED);
	}
	return k > 0;
}
#else
#define WIDE
static inline bool wide_ok(void) { return false; }
#endif
