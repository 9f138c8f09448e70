#include "os_test.h"

#include <string.h>

int main(int argc, char **argv)
{
	int failed = 0;
	if (argc > 1 && strcmp(argv[1], "child") == 0)
		return spawned_child(argc, argv);
#define X(name) failed += _cmocka_run_group_tests(#name, name##_tests, name##_tests_n, NULL, NULL);
	GROUPS(X)
#undef X
	return failed != 0;
}
