#pragma once
#include <stddef.h>

/* The only allocator. Memory comes zeroed, or NULL comes back; every caller copes with NULL.
 * `mem_fail_at` makes the k-th call from now fail (tests, torture); < 0: never. Thread-safe. */
void *mem_new(size_t n);
void *mem_grow(void *p, size_t old_n, size_t n); /* new bytes zeroed; NULL leaves `p` as it was */
void mem_free(void *p);                          /* NULL is fine */
void mem_setup(void);                            /* a server's process, before its first thread */
void mem_wipe(void *p, size_t n);                /* zeroes bytes that the compiler may not skip */

extern long mem_fail_at;
extern long mem_count;
