#pragma once
#include "base/buf.h"
#include "mail/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Equal, or both printed. */
#define SAME(got, want)                                                                                          \
	do {                                                                                                     \
		struct str g_ = (got), w_ = (want);                                                              \
		if (!str_eq(g_, w_))                                                                             \
			print_error("got  [%.*s]\nwant [%.*s]\n", PSTR(g_), PSTR(w_));                          \
		assert_true(str_eq(g_, w_));                                                                     \
	} while (0)
