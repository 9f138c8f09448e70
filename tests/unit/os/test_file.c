#include "os/file.h"
#include "os_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[] = "/tmp/ll-os-XXXXXX";
static int dir = -1;

static int make_base(void **state)
{
	struct why why = { 0 };
	memcpy(base + sizeof base - 7, "XXXXXX", 6);
	return mkdtemp(base) && dir_open(base, &dir, &why) == RC_OK ? 0 : -1;
}

static int drop_base(void **state)
{
	unlinkat(dir, "f", 0);
	unlinkat(dir, "a/b/c", AT_REMOVEDIR);
	unlinkat(dir, "a/b", AT_REMOVEDIR);
	unlinkat(dir, "a", AT_REMOVEDIR);
	fd_close(&dir);
	return rmdir(base);
}

static void a_file_is_replaced_whole(void **state)
{
	struct why why = { 0 };
	struct buf got;
	struct stat st;
	buf_init(&got, 100);
	assert_int_equal(file_put(dir, "f", STR("a longer first text"), 0600, &why), RC_OK);
	assert_int_equal(file_put(dir, "f", STR("second"), 0640, &why), RC_OK);
	assert_int_equal(file_get(dir, "f", 100, &got, &why), RC_OK);
	assert_true(str_eq(buf_str(&got), STR("second")));
	assert_int_equal(fstatat(dir, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(faccessat(dir, "f.tmp", F_OK, 0), -1);
	buf_done(&got);
}

static void reading_has_a_ceiling(void **state)
{
	struct why why = { 0 };
	struct buf got;
	buf_init(&got, 1 << 20);
	assert_int_equal(file_put(dir, "f", STR("123456"), 0600, &why), RC_OK);
	assert_int_equal(file_get(dir, "f", 6, &got, &why), RC_OK);
	buf_clear(&got);
	assert_int_equal(file_get(dir, "f", 5, &got, &why), RC_LIMIT);
	assert_string_equal(why.text, "larger than 5 octets");
	buf_done(&got);
}

static void an_absent_file_is_not_found(void **state)
{
	struct why why = { 0 };
	struct buf got;
	int fd;
	buf_init(&got, 100);
	assert_int_equal(file_get(dir, "none", 6, &got, &why), RC_NOTFOUND);
	assert_int_equal(dir_open("/nonexistent-ll", &fd, &why), RC_NOTFOUND);
	buf_done(&got);
}

static void a_directory_comes_with_its_parents(void **state)
{
	struct why why = { 0 };
	char path[100];
	struct stat st;
	snprintf(path, sizeof path, "%s/a/b/c", base);
	assert_int_equal(dir_make(path, 0700, &why), RC_OK);
	assert_int_equal(dir_make(path, 0700, &why), RC_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(file_put(dir, "f", STR("x"), 0600, &why), RC_OK);
	snprintf(path, sizeof path, "%s/f/x", base);
	assert_int_not_equal(dir_make(path, 0700, &why), RC_OK);
}

static void a_full_disk_is_full(void **state)
{
	struct why why = { 0 };
	AUTO(fd_close) int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, STR("x"), &why), RC_FULL);
	assert_int_equal(why.sys, ENOSPC);
}

static void writing_at_an_offset(void **state)
{
	struct why why = { 0 };
	struct buf got;
	buf_init(&got, 100);
	AUTO(fd_close) int fd = openat(dir, "f", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_all(fd, STR("abcdef"), &why), RC_OK);
	assert_int_equal(fd_pwrite_all(fd, STR("XY"), 2, &why), RC_OK);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(fd, 100, &got, &why), RC_OK);
	assert_true(str_eq(buf_str(&got), STR("abXYef")));
	buf_done(&got);
	fd_close(&fd);
	assert_int_equal(fd, -1);
	fd_close(&fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_base, drop_base)
const struct CMUnitTest file_tests[] = {
	T(a_file_is_replaced_whole), T(reading_has_a_ceiling), T(an_absent_file_is_not_found),
	T(a_directory_comes_with_its_parents), T(a_full_disk_is_full), T(writing_at_an_offset),
};
const size_t file_tests_n = sizeof file_tests / sizeof *file_tests;
