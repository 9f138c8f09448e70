#include "cmd/sendmail.h"
#include "cmd/verbs.h"
#include "role/role.h"
#include <sys/stat.h>

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--role") == 0)
		return role_main(argc - 1, argv + 1);
	if (is_sendmail(argv[0]))
		return sendmail_main(argc, argv);
	if (argc > 1 && is_sendmail(argv[1])) /* `letterlock sendmail ...` */
		return sendmail_main(argc - 1, argv + 1);
	(void)umask(077); /* what it writes is nobody else's to read */
	return verbs_main(argc, argv);
}
