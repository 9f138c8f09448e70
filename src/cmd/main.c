#include "cmd/verbs.h"
#include "role/role.h"
#include <sys/stat.h>

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--role") == 0)
		return role_main(argc - 1, argv + 1);
	(void)umask(077); /* what it writes is nobody else's to read */
	return verbs_main(argc, argv);
}
