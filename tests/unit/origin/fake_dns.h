#pragma once
#include "base/mem.h"
#include "dns/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* A zone as a DNS, for tests. */
static inline struct dns_table *zone_of(const char *text)
{
	struct dns_table *t = NULL;
	struct why why = { 0 };
	assert_int_equal(dns_table_new(&t), RC_OK);
	if (dns_table_read(t, str_z(text), STR(""), &why) != RC_OK)
		fail_msg("zone: %s", why.text);
	return t;
}

#ifndef SAME
#define SAME(got, want)                                                                                          \
	do {                                                                                                     \
		struct str g_ = (got), w_ = (want);                                                              \
		if (!str_eq(g_, w_))                                                                             \
			print_error("got  [%.*s]\nwant [%.*s]\n", PSTR(g_), PSTR(w_));                          \
		assert_true(str_eq(g_, w_));                                                                     \
	} while (0)
#endif
