/* What a process makes of the shared table's lines, which any other may have written: two processes of one role over a real channel, in this one. */
#include "os/file.h"
#include "role/door_load.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOT = 7, GIVEN_FIRST = 64 };
static struct loop *loop;
static struct shared *shared;
static struct role_env us, other;
static struct door_load load;
static unsigned arrived;
static bool done;

static void on_connection(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from, (void)call;
	assert_ptr_equal(house, &other);
	assert_int_equal(((const struct msg_CONNECTION *)msg)->listener, 3);
	assert_true(fd >= 0);
	fd_close(&fd);
	arrived++;
}

static void open_env(struct role_env *e, unsigned index)
{
	struct ipc_config c = { .role = ROLE_EDGE, .index = index, .house = e, .on = { [MSG_CONNECTION] = on_connection } };
	*e = (struct role_env){ .ops = &role_edge, .index = index, .slot = SLOT + index, .loop = loop, .shared = shared };
	assert_int_equal(ipc_node_new(loop, &c, &e->node), RC_OK);
}

static int set_up(void **state)
{
	int ends[2];
	struct why why;
	(void)state;
	void *room = NULL;
	assert_int_equal(posix_memalign(&room, 64, shared_size()), 0);
	shared = memset(room, 0, shared_size());
	for (unsigned i = 0; i < SHARED_SLOTS; i++)
		door_shut(shared, i);
	assert_int_equal(loop_open(&loop, &why), RC_OK);
	open_env(&us, 0);
	open_env(&other, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(ipc_attach(us.node, ends[0], ROLE_EDGE, 1, NULL, &why), RC_OK);
	assert_int_equal(ipc_attach(other.node, ends[1], ROLE_EDGE, 0, NULL, &why), RC_OK);
	load = (struct door_load){ 0 };
	arrived = 0;
	done = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ipc_node_free(&us.node);
	ipc_node_free(&other.node);
	loop_close(&loop);
	free(shared);
	return 0;
}

static void run(void (*fn)(void *))
{
	assert_int_equal(fiber_start(loop, fn, NULL, NULL), RC_OK);
	loop_run(loop);
	assert_true(done);
}

/* What was given arrives, and no more than that. */
static void end(unsigned given)
{
	for (int i = 0; i < 1000 && arrived < given; i++)
		assert_int_equal(fiber_sleep(10), RC_OK);
	assert_int_equal(fiber_sleep(20), RC_OK);
	done = true;
	loop_stop(loop);
}

/* One that was accepted: is it another's now? */
static bool given(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	bool gone = door_load_give(&load, 3, &fd);
	assert_int_equal(fd < 0, gone);
	if (!gone)
		door_load_begin(&load, true);
	fd_close(&fd);
	return gone;
}

static void deal(void *arg)
{
	(void)arg;
	assert_int_equal(fiber_sleep(20), RC_OK); /* both have said HELLO */
	door_load_open(&load, &us);
	assert_false(given());                    /* the first one, and the other is shut */
	assert_false(given());
	shared->load[SLOT + 1] = 0;
	for (unsigned i = 0; i < 2; i++)
		assert_true(given());
	assert_false(given());                    /* two each */
	assert_int_equal(shared->load[SLOT], 3);
	assert_int_equal(shared->load[SLOT + 1], 2);
	door_load_end(&load);
	assert_int_equal(shared->load[SLOT], 2);
	door_load_close(&load);
	assert_true(shared->load[SLOT] < DOOR_SHUT / 2);
	end(2);
	assert_int_equal(arrived, 2);
}

static void connections_are_dealt_out_by_the_lines(void **state)
{
	(void)state;
	run(deal);
}

static void deal_to_a_liar(void *arg)
{
	unsigned gone = 0, all = 2000;
	(void)arg;
	assert_int_equal(fiber_sleep(20), RC_OK);
	door_load_open(&load, &us);
	for (unsigned i = 0; i < all; i++) {
		shared->load[SLOT + 1] = 0;
		gone += given();
	}
	end(gone);
	assert_int_equal(arrived, gone);
	assert_in_range(gone, all / 2, all / 2 + GIVEN_FIRST / 2);
}

static void who_lies_gets_half_and_a_little(void **state)
{
	(void)state;
	run(deal_to_a_liar);
}

static void mend(void *arg)
{
	(void)arg;
	door_load_open(&load, &us);
	door_load_begin(&load, true);
	shared->load[SLOT] += 5;                  /* given by processes that died, or on their way */
	door_load_mend(&load);
	assert_int_equal(shared->load[SLOT], 6);
	door_load_begin(&load, false);            /* one of them was on its way */
	door_load_mend(&load);
	assert_int_equal(shared->load[SLOT], 6);
	door_load_mend(&load);                    /* the other four still are not here */
	assert_int_equal(shared->load[SLOT], 2);
	door_load_refuse(&load);
	assert_int_equal(shared->load[SLOT], 1);
	door_shut(shared, SLOT);
	door_load_mend(&load);
	door_load_mend(&load);
	assert_true(shared->load[SLOT] < DOOR_SHUT / 2);
	end(0);
}

static void a_line_is_mended_but_not_for_what_is_on_its_way(void **state)
{
	(void)state;
	run(mend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(connections_are_dealt_out_by_the_lines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_lies_gets_half_and_a_little, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_line_is_mended_but_not_for_what_is_on_its_way, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
