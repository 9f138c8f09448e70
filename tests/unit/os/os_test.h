#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

extern const struct CMUnitTest loop_tests[], memory_tests[], file_tests[];
extern const size_t loop_tests_n, memory_tests_n, file_tests_n;
