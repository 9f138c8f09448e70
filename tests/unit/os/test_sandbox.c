/* The sandbox, each time in a child of its own, and children of our own binary. */
#include "os/file.h"
#include "os/loop.h"
#include "os/sandbox.h"
#include "os/spawn.h"
#include "os_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool has_landlock(void)
{
	return syscall(444, NULL, 0, 1) >= 1;
}

/* Runs `fn` in a fork; what it returns (0..100) is the answer, 100 + n for death by signal n. */
static int in_child(int (*fn)(void *arg), void *arg)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(arg));
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static struct sandbox box_of(unsigned needs, const struct sandbox_path *paths)
{
	return (struct sandbox){ .needs = needs, .paths = paths, .max_fds = 200, .reduced = !has_landlock() };
}

static bool enter(const struct sandbox *box)
{
	struct why why = { 0 };
	if (sandbox_enter(box, &why) == RC_OK)
		return true;
	fprintf(stderr, "sandbox: %s (%s)\n", why.text, strerror(why.sys));
	return false;
}

static int nothing_allowed(void *arg)
{
	struct sandbox box = box_of(0, NULL);
	struct sandbox_proof p;
	if (!enter(&box))
		return 1;
	sandbox_try("/tmp", &p);
	if (!sandbox_holds(&p))
		return 2;
	int fd[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0 || write(fd[0], "x", 1) != 1)
		return 3;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd) == 0)
		return 4;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		return 5;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0)
		return 6;
	if (kill(getppid(), 0) == 0 || fork() >= 0)
		return 7;
	if (prctl(PR_GET_DUMPABLE) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 8;
	return strstr(sandbox_text(), "seccomp") ? 0 : 9;
}

static void inside_nothing_can_be_opened_run_or_dialled(void **state)
{
	assert_int_equal(in_child(nothing_allowed, NULL), 0);
}

static int aborts(void *arg)
{
	struct sandbox box = box_of(0, NULL);
	if (!enter(&box))
		return 1;
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void abort_still_ends_the_process(void **state) { assert_int_equal(in_child(aborts, NULL), 100 + SIGABRT); }

struct dirs { char own[64], other[64]; };
static int uses_own_directory(void *arg)
{
	struct dirs *d = arg;
	struct sandbox_path paths[] = { { d->own, true }, { NULL, false } };
	struct sandbox box = box_of(SANDBOX_FILES, paths);
	struct sandbox_proof p;
	struct why why = { 0 };
	int dir;
	if (!enter(&box))
		return 1;
	if (dir_open(d->own, &dir, &why) != RC_OK || file_put(dir, "f", STR("text"), 0600, &why) != RC_OK)
		return 2;
	if (unlinkat(dir, "f", 0) < 0)
		return 3;
	sandbox_try(d->other, &p);
	return sandbox_holds(&p) ? 0 : 4;
}

static int reads_only(void *arg)
{
	struct dirs *d = arg;
	struct sandbox_path paths[] = { { d->own, false }, { NULL, false } };
	struct sandbox box = box_of(SANDBOX_FILES, paths);
	struct why why = { 0 };
	int dir;
	if (!enter(&box))
		return 1;
	if (dir_open(d->own, &dir, &why) != RC_OK)
		return 2;
	return file_put(dir, "f", STR("text"), 0600, &why) == RC_OK ? 3 : 0;
}

static void files_are_reached_below_the_named_paths_only(void **state)
{
	if (!has_landlock()) {
		print_message("skipped: this kernel has no Landlock\n");
		skip();
	}
	struct dirs d = { "/tmp/ll-own-XXXXXX", "/tmp/ll-other-XXXXXX" };
	assert_non_null(mkdtemp(d.own));
	assert_non_null(mkdtemp(d.other));
	int own = in_child(uses_own_directory, &d), readonly = in_child(reads_only, &d);
	rmdir(d.own);
	rmdir(d.other);
	assert_int_equal(own, 0);
	assert_int_equal(readonly, 0);
}

static void *thread(void *arg) { *(int *)arg = 7; return NULL; }
static int starts_thread(void *arg)
{
	unsigned needs = *(unsigned *)arg;
	struct sandbox box = box_of(needs, NULL);
	pthread_t t;
	int ran = 0;
	if (!enter(&box))
		return 1;
	if (pthread_create(&t, NULL, thread, &ran) != 0)
		return 2;
	pthread_join(t, NULL);
	return ran == 7 ? 0 : 3;
}

static void threads_start_only_where_needed(void **state)
{
	assert_int_equal(in_child(starts_thread, &(unsigned){ SANDBOX_THREADS }), 0);
	assert_int_equal(in_child(starts_thread, &(unsigned){ 0 }), 2);
}

static void works(void *arg) { *(int *)arg = 5; }
static void uses_loop(void *arg)
{
	if (fiber_sleep(2) != RC_OK || worker_run(works, arg) != RC_OK)
		*(int *)arg = 0;
	loop_stop(fiber_loop());
}
static int runs_loop(void *arg)
{
	struct sandbox box = box_of(SANDBOX_THREADS, NULL);
	struct loop *l;
	struct why why = { 0 };
	int done = 0;
	if (loop_open(&l, &why) != RC_OK || !enter(&box))
		return 1;
	for (int i = 0; i < 100; i++)
		if (fiber_start(l, uses_loop, &done, NULL) != RC_OK)
			return 2;
	loop_run(l);
	(void)fiber_stack_high_water();
	loop_close(&l);
	return done == 5 ? 0 : 3;
}

static void loop_fibers_and_workers_run_inside(void **state) { assert_int_equal(in_child(runs_loop, NULL), 0); }

static int makes_memfd(void *arg)
{
	struct sandbox box = box_of(*(unsigned *)arg, NULL);
	if (!enter(&box))
		return 1;
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return 2;
	struct stat st;
	return ftruncate(fd, 4096) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 && fstat(fd, &st) == 0 && st.st_size == 4096 ? 0 : 3;
}

static void a_memfd_is_made_only_where_needed(void **state)
{
	assert_int_equal(in_child(makes_memfd, &(unsigned){ SANDBOX_MEMFD }), 0);
	assert_int_equal(in_child(makes_memfd, &(unsigned){ 0 }), 2);
}

static int drops_root(void *arg)
{
	struct sandbox box = box_of(0, NULL);
	box.uid = box.gid = 65534;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!enter(&box))
		return 1;
	return geteuid() == 65534 && getegid() == 65534 && setuid(0) < 0 ? 0 : 2;
}

static void root_is_given_up_for_good(void **state)
{
	if (geteuid() != 0) {
		print_message("skipped: not started as root\n");
		skip();
	}
	assert_int_equal(in_child(drops_root, NULL), 0);
}

static void outside_the_attempts_succeed_harmlessly(void **state)
{
	struct sandbox_proof p;
	sandbox_try("/tmp", &p);
	assert_int_equal(p.open_passwd, 0);
	assert_int_equal(p.foreign_read, 0);
	assert_false(p.exec == EPERM || p.exec == EACCES);
	assert_false(sandbox_holds(&p));
}

static void one_hole_is_a_failure(void **state)
{
	struct sandbox_proof p = { EACCES, EPERM, EPERM, SANDBOX_NOT_TRIED };
	assert_true(sandbox_holds(&p));
	p.foreign_read = EACCES;
	assert_true(sandbox_holds(&p));
	p.foreign_read = 0;
	assert_false(sandbox_holds(&p));
	p = (struct sandbox_proof){ EACCES, ENOENT, EPERM, EACCES };
	assert_false(sandbox_holds(&p));
	p = (struct sandbox_proof){ EACCES, EPERM, ECONNREFUSED, EACCES };
	assert_false(sandbox_holds(&p));
	p = (struct sandbox_proof){ 0, EPERM, EPERM, EACCES };
	assert_false(sandbox_holds(&p));
}

/* ---- children ---- */

/* The child's side, reached from main() when argv[1] is "child": says over descriptor 3 what it finds. */
int spawned_child(int argc, char **argv)
{
	char text[100];
	int death = 0;
	spawn_child_setup();
	(void)prctl(PR_GET_PDEATHSIG, &death);
	int n = snprintf(text, sizeof text, "%s %d %d %d", argc > 2 ? argv[2] : "-", death, fcntl(3, F_GETFD) & FD_CLOEXEC,
	                 fcntl(5, F_GETFD));
	if (write(3, text, (size_t)n) != n)
		return 1;
	char c;
	return read(4, &c, 1) == 0 ? 42 : 2; /* until the other end goes */
}

struct birth { struct loop *l; pid_t pid, ended; int status; };
static void child_ended(void *arg, pid_t pid, int status)
{
	struct birth *b = arg;
	b->ended = pid;
	b->status = status;
	loop_stop(b->l);
}

static void a_child_is_our_own_binary_with_the_given_descriptors(void **state)
{
	struct birth b = { 0 };
	struct why why = { 0 };
	int say[2], hold[2];
	char text[100] = "";
	assert_int_equal(loop_open(&b.l, &why), RC_OK);
	assert_int_equal(pipe2(say, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	const char *argv[] = { "letterlock", "child", "hello", NULL };
	/* Crossed over on purpose where the numbers allow: placing one must not lose another. */
	int fds[] = { say[1], hold[0], -1 };
	struct spawn what = { .argv = argv, .fds = fds, .ended = child_ended, .arg = &b };
	assert_int_equal(spawn_self(b.l, &what, &b.pid, &why), RC_OK);
	close(say[1]);
	close(hold[0]);
	assert_true(read(say[0], text, sizeof text - 1) > 0);
	char want[40];
	snprintf(want, sizeof want, "hello %d 1 -1", SIGKILL);
	assert_string_equal(text, want);
	close(hold[1]);
	loop_run(b.l);
	assert_int_equal(b.ended, b.pid);
	assert_true(WIFEXITED(b.status));
	assert_int_equal(WEXITSTATUS(b.status), 42);
	close(say[0]);
	loop_close(&b.l);
}

static void a_killed_child_is_told_with_its_signal(void **state)
{
	struct birth b = { 0 };
	struct why why = { 0 };
	int say[2], hold[2];
	assert_int_equal(loop_open(&b.l, &why), RC_OK);
	assert_int_equal(pipe2(say, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	const char *argv[] = { "letterlock", "child", NULL };
	struct spawn what = { .argv = argv, .fds = (int[]){ say[1], hold[0], -1 }, .ended = child_ended, .arg = &b };
	assert_int_equal(spawn_self(b.l, &what, &b.pid, &why), RC_OK);
	assert_int_equal(kill(b.pid, SIGKILL), 0);
	loop_run(b.l);
	assert_int_equal(b.ended, b.pid);
	assert_true(WIFSIGNALED(b.status));
	loop_close(&b.l);
	close(say[0]);
	close(say[1]);
	close(hold[0]);
	close(hold[1]);
}

const struct CMUnitTest sandbox_tests[] = {
	cmocka_unit_test(inside_nothing_can_be_opened_run_or_dialled),
	cmocka_unit_test(abort_still_ends_the_process),
	cmocka_unit_test(files_are_reached_below_the_named_paths_only),
	cmocka_unit_test(threads_start_only_where_needed),
	cmocka_unit_test(loop_fibers_and_workers_run_inside),
	cmocka_unit_test(a_memfd_is_made_only_where_needed),
	cmocka_unit_test(root_is_given_up_for_good),
	cmocka_unit_test(outside_the_attempts_succeed_harmlessly),
	cmocka_unit_test(one_hole_is_a_failure),
	cmocka_unit_test(a_child_is_our_own_binary_with_the_given_descriptors),
	cmocka_unit_test(a_killed_child_is_told_with_its_signal),
};
const size_t sandbox_tests_n = sizeof sandbox_tests / sizeof *sandbox_tests;
