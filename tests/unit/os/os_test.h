#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define GROUPS(X) X(loop) X(memory) X(fd) X(file) X(net) X(connect) X(sandbox)
#define X(name) extern const struct CMUnitTest name##_tests[]; extern const size_t name##_tests_n;
GROUPS(X)
#undef X
int spawned_child(int argc, char **argv); /* what this binary is when a test has spawned it */
