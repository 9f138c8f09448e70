#include "unit/store/kit.h"

#include "store/joint.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

/* Disks that fail when it counts: fdatasync() and LMDB's header write are this program's own, and fail when told to. */
static int failing_syncs, failing_headers, syncs_until_failure;

int fdatasync(int fd)
{
	if (syncs_until_failure > 0 && --syncs_until_failure == 0)
		return errno = EIO, -1;
	if (failing_syncs > 0 && failing_syncs--)
		return errno = EIO, -1;
	return joint_fdatasync(fd);
}

ssize_t lmdb_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite");
ssize_t lmdb_pwrite(int fd, const void *p, size_t n, off_t at)
{
	int flags = fcntl(fd, F_GETFL);
	if (failing_headers > 0 && flags >= 0 && flags & O_DSYNC && failing_headers--)
		return errno = EIO, -1;
	return syscall(SYS_pwrite64, fd, p, n, at);
}

static struct kit kit, *k = &kit;

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, 11, "anna@example.org", 0);
	return 0;
}

static int tear_down(void **state)
{
	kit_done(k);
	return 0;
}

static enum rc deliver(void)
{
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	return kit_deliver(k, 0, STR("text"), &c, 1, &r);
}

static void expect_messages(unsigned n)
{
	struct verify_report r;
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	assert_int_equal(r.messages, n);
}

static void a_failed_sync_is_told_and_leaves_nothing(void **state)
{
	assert_int_equal(deliver(), RC_OK);
	for (unsigned i = 1; i < 4; i++) {
		failing_syncs = 1;
		assert_int_equal(deliver(), RC_IO);
		failing_syncs = 0;
		expect_messages(i);
		assert_int_equal(deliver(), RC_OK);
		expect_messages(i + 1);
	}
	kit_reopen(k);
	expect_messages(4);
}

static void a_failed_header_write_is_told_and_the_index_is_opened_anew(void **state)
{
	assert_int_equal(deliver(), RC_OK);
	failing_headers = 1;
	assert_int_equal(deliver(), RC_IO);
	failing_headers = 0;
	expect_messages(1);
	assert_int_equal(deliver(), RC_OK);
	expect_messages(2);
	kit_reopen(k);
	expect_messages(2);
}

static void a_removal_that_was_cut_short_is_finished_later(void **state)
{
	struct verify_report r;
	bool more;
	assert_int_equal(deliver(), RC_OK);
	for (int later = 1; later < 4; later++) { /* the mark is down, a later step fails */
		syncs_until_failure = later;
		if (account_remove(k->s, 11, &k->why) == RC_IO && later > 1)
			break;
	}
	syncs_until_failure = 0;
	kit_reopen(k);
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	assert_int_equal(r.accounts, 1);
	assert_int_equal(store_compact(k->s, 100, &more, &k->why), RC_OK);
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	assert_true(r.accounts == 0 && r.messages == 0);
}

static void two_syncs_side_by_side_are_both_waited_for(void **state)
{
	char name[] = "/tmp/llsync.XXXXXX";
	int fd = mkstemp(name), other = dup(fd);
	struct joint *j = joint_new();
	assert_non_null(j);
	assert_true(fd >= 0 && other >= 0);
	assert_false(joint_start(j, other)); /* nobody knows yet whether it would be heard */
	joint_probe(j, true);
	assert_int_equal(fdatasync(fd), 0);
	joint_probe(j, false);
	assert_true(joint_works(j));
	assert_true(joint_start(j, other));
	assert_int_equal(joint_beside(), other);
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(joint_end(j), 0);
	(void)close(other);
	assert_true(joint_start(j, other)); /* this one fails, and so does the one beside it */
	assert_int_equal(fdatasync(fd), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(joint_end(j), EBADF);
	assert_int_equal(fdatasync(fd), 0);
	joint_free(&j);
	(void)close(fd);
	(void)unlink(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_failed_sync_is_told_and_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failed_header_write_is_told_and_the_index_is_opened_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_removal_that_was_cut_short_is_finished_later, set_up, tear_down),
		cmocka_unit_test(two_syncs_side_by_side_are_both_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
