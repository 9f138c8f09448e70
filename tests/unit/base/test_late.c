#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/late.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#define GOOD(X) X(crc32) X(zlibVersion)
static struct { GOOD(LATE_SLOT) } good;
static struct late_library zlib = LATE_LIBRARY("libz.so.1", "zlib1g", GOOD);

static void a_library_is_loaded_once_and_its_functions_work(void **state)
{
	(void)state;
	struct why why = { 0 };
	assert_int_equal(late_load(&zlib, &good, &why), RC_OK);
	assert_int_equal(late_load(&zlib, &good, &why), RC_OK);
	assert_true(late_ready(&zlib, &good));
	assert_int_equal(good.zlibVersion()[0], '1');
	assert_int_equal(good.crc32(0, (const unsigned char *)"123456789", 9), 0xcbf43926);
}

static void what_is_missing_is_named_with_its_package(void **state)
{
	(void)state;
	static const char *const names[] = { "crc32", "no_such_function" };
	struct late_library none = { .soname = "libnone.so.7", .package = "libnone7", .names = names, .n = 1 };
	struct late_library other = { .soname = "libz.so.1", .package = "zlib1g", .names = names, .n = 2 };
	void *slots[2] = { 0 };
	struct why why = { 0 };
	assert_int_equal(late_load(&none, slots, &why), RC_NOTFOUND);
	assert_non_null(strstr(why.text, "libnone.so.7 cannot be loaded: install the package libnone7 ("));
	assert_false(late_ready(&none, slots));
	assert_int_equal(late_load(&other, slots, &why), RC_NOTFOUND);
	assert_string_equal(why.text, "libz.so.1 has no no_such_function: install the package zlib1g of this release");
	assert_false(late_ready(&other, slots));
}

static int closed(void)
{
	static const char *const names[] = { "crc32" };
	struct late_library other = { .soname = "libz.so.1", .package = "zlib1g", .names = names, .n = 1 };
	void *slot = NULL;
	struct why why = { 0 };
	late_close();
	bool right = late_load(&other, &slot, &why) == RC_DENIED && !slot && strcmp(why.text, "libz.so.1 was not loaded before the sandbox") == 0 && !late_ready(&other, &slot);
	return right && late_load(&zlib, &good, &why) == RC_OK && late_ready(&zlib, &good);
}

static void once_closed_nothing_new_is_loaded_and_what_was_is_there(void **state)
{
	(void)state;
	int status = -1;
	assert_int_equal(late_load(&zlib, &good, NULL), RC_OK);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(closed() ? 7 : 8);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_library_is_loaded_once_and_its_functions_work),
		cmocka_unit_test(what_is_missing_is_named_with_its_package),
		cmocka_unit_test(once_closed_nothing_new_is_loaded_and_what_was_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
