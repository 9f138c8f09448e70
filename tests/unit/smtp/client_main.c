#include "client_play.h"

int run_client_tests(void);
int run_client_lines_tests(void);
int run_client_faults_tests(void);
int run_client_server_tests(void);

int main(void)
{
	return run_client_tests() + run_client_lines_tests() + run_client_faults_tests() + run_client_server_tests();
}
