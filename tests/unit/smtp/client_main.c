#include "client_play.h"

int run_client_tests(void);

int main(void)
{
	return run_client_tests();
}
