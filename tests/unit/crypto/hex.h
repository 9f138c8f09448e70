#pragma once
#include "base/codec.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

/* Hex text to octets, for tests; the result lives until the next eight calls. */
static inline struct str hex(const char *text)
{
	static struct buf ring[8];
	static unsigned at;
	struct buf *b = &ring[at++ % 8];
	buf_done(b);
	buf_init(b, 4096);
	assert_int_equal(hex_decode(str_z(text), b), RC_OK);
	return buf_str(b);
}
static inline void assert_hex(const void *got, size_t n, const char *want)
{
	struct str w = hex(want);
	assert_int_equal(n, w.n);
	assert_memory_equal(got, w.p, n);
}
