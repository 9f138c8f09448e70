#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dialog/smtp/house.h"

/* One session over memory from a fixed input; what it answered is in `out`, what it did in `house`. */
struct smtp_run {
	struct smtp_house house;
	struct buf out;
	enum rc rc;
};
void smtp_run_init(struct smtp_run *r);
void smtp_run_done(struct smtp_run *r);
void smtp_run(struct smtp_run *r, struct str in, size_t chunk, long fail_at);
size_t count_of(struct str s, struct str needle);
#define assert_str(got, want) assert_str_((got), (want), __FILE__, __LINE__)
void assert_str_(struct str got, struct str want, const char *file, int line);

int run_text_tests(void);
int run_params_tests(void);
int run_received_tests(void);
int run_session_tests(void);
int run_smuggling_tests(void);
