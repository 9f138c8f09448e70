#pragma once
#include <stdbool.h>

/* `sendmail`, `mailq` and `newaliases` as other programs call them: links to this program, or `letterlock sendmail ...`. */
bool is_sendmail(const char *program); /* by the name it was called by */
int sendmail_main(int argc, char **argv); /* argv[0]: one of those names; answers a code of sysexits.h */
