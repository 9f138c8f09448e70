#pragma once
#include <stddef.h>

/* The only allocator. Memory comes zeroed, or NULL comes back; every caller copes with NULL.
 * `mem_fail_at` makes the k-th call from now fail (tests, torture); < 0: never. Thread-safe. */
void *mem_new(size_t n);
void *mem_grow(void *p, size_t old_n, size_t n); /* new bytes zeroed; NULL leaves `p` as it was */
/* The same with whatever lay there before: only for bytes whose every reader looks at what was written first (a message's 14 KB are
 * not worth zeroing when they are filled in the next line). */
void *mem_raw(size_t n);
void *mem_grow_raw(void *p, size_t n);
void mem_free(void *p);                          /* NULL is fine */
/* MEM_BLOCK octets as mem_raw gives them, for what comes and goes with every message: the thread that called mem_setup keeps some of those given
 * back, since malloc splits and joins its chunks for each. Goes back by mem_block_free alone. */
enum { MEM_BLOCK = 4096 };
void *mem_block(void);
void mem_block_free(void *p);
/* Megabytes that are written whole and go back soon (a password's hash): zeroed, in large pages where the system has some, which cost a five-hundredth
 * of the page faults. They go back, to the system at once, by mem_huge_free alone, with the same `n`. */
void *mem_huge(size_t n);
void mem_huge_free(void *p, size_t n);
void mem_setup(void);                            /* a server's process, before its first thread */
void mem_wipe(void *p, size_t n);                /* zeroes bytes that the compiler may not skip */

extern long mem_fail_at;
extern long mem_count;
