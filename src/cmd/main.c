#include "cmd/verbs.h"
#include "role/role.h"

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--role") == 0)
		return role_main(argc - 1, argv + 1);
	return verbs_main(argc, argv);
}
