#include "client_play.h"
#include <uv.h>

int run_client_tests(void);
int run_client_lines_tests(void);
int run_client_faults_tests(void);
int run_client_server_tests(void);

int main(void)
{
	int failed = run_client_tests() + run_client_lines_tests() + run_client_faults_tests() + run_client_server_tests();
	uv_library_shutdown(); /* the workers end, and with them what OpenSSL keeps for each */
	return failed;
}
