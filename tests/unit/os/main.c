#include "os_test.h"

#define RUN(name) _cmocka_run_group_tests(#name, name##_tests, name##_tests_n, NULL, NULL)

int main(void)
{
	int failed = 0;
	failed += RUN(loop);
	failed += RUN(memory);
	failed += RUN(file);
	return failed != 0;
}
