/* Fails every allocation and every system call of the whole journey in turn: a message in by SMTP, out by IMAP and by POP3, flags, APPEND,
 * EXPUNGE, DELE. Each point has a server of its own, forked from a warm process, over a copy of one prepared data directory. After the
 * journey in which the point failed the same server must take a clean one to its end, hold exactly what was answered, stop, have
 * freed everything, and leave a directory that verifies.
 *
 *   torture [--only alloc|syscall] [--from K] [--to K] [--step N] [--turn N] [--jobs N] [--verbose]
 *
 * Which point has which number differs a little from run to run: workers and timers have their own pace. */
#include "torture.h"

#include "mail/digest.h"
#include "role/master.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum { JOBS_MAX = 16, START_MS = 10000, STOP_MS = 10000, LEAKED = 3, SHOWN_MAX = 60, LOG_TAIL = 6000, MARGIN = 40 };

struct options { bool kinds[TORTURE_KINDS]; long from, to, step; int jobs; bool verbose; };

struct tally {                          /* shared by the jobs */
	long next;
	long fired[TORTURE_KINDS], failed, spared;
	struct board boards[JOBS_MAX];
};

static char base[200];
static struct place template;
static struct truth given;
static struct tally *tally;
static struct options options = { .kinds = { true, true }, .to = 1L << 30, .step = 1 };
static const char *const kind_names[TORTURE_KINDS] = { "allocation", "system call" };

static void pause_ms(long ms) { (void)nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL); }

/* ---- a server ---- */

static void tell_leaks(void *const callers[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		Dl_info self = { 0 };
		(void)dladdr(callers[i], &self);
		(void)fprintf(stderr, "leak: a block asked for at 0x%lx\n", (unsigned long)((char *)callers[i] - (char *)self.dli_fbase - 1));
	}
}

static void *serve_here(void *arg)
{
	struct place *p = arg;
	int status = master_main(&p->config, NULL, NULL, true);
	mail_thread_done();
	return (void *)(intptr_t)status;
}

/* In a thread of its own, so that what is kept per thread ends with it; the workers end by uv_library_shutdown(). */
static void serve(struct place *p, struct board *b)
{
	pthread_t thread;
	void *status_of = NULL;
	void *callers[16];
	char log[300];
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(log, sizeof log, "%s/log", p->dir);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 2) < 0)
		_exit(1);
	torture_serve_begin(b);
	torture_forget();
	if (pthread_create(&thread, NULL, serve_here, p) != 0 || pthread_join(thread, &status_of) != 0)
		_exit(1);
	int status = (int)(intptr_t)status_of;
	config_done(&p->config);
	uv_library_shutdown();
	size_t left = torture_alive(callers, sizeof callers / sizeof *callers);
	if (left) {
		(void)fprintf(stderr, "leak: %zu blocks were not freed\n", left);
		tell_leaks(callers, left < 16 ? left : 16);
		status = LEAKED;
	}
	exit(status);
}

static bool start(struct place *p, struct board *b, pid_t *out, char said[SAID_MAX])
{
	config_done(&p->config);
	if (!place_config(p, said))
		return false;
	(void)fflush(NULL);
	*out = fork();
	if (*out == 0)
		serve(p, b);
	for (int waited = 0; *out > 0 && waited < START_MS; waited += 5) {
		if (client_greeted(p->smtp, 2000) && client_greeted(p->imap, 2000) && client_greeted(p->pop3, 2000)) {
			pause_ms(10); /* those visits end */
			return true;
		}
		pause_ms(5);
	}
	return said_set(said, "the server did not start");
}

static bool is_gone(pid_t *pid, int *status)
{
	if (*pid > 0 && waitpid(*pid, status, WNOHANG) == *pid)
		*pid = 0;
	return *pid == 0;
}

static bool ended_well(int status, char said[SAID_MAX])
{
	if (WIFSIGNALED(status))
		return said_set(said, "the server crashed: signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == LEAKED || WEXITSTATUS(status) == 23)
		return said_set(said, "the server leaked memory");
	return WEXITSTATUS(status) == 0 ? true : said_set(said, "the server ended with status %d", WEXITSTATUS(status));
}

static bool stop(pid_t *pid, char said[SAID_MAX])
{
	int status = 0;
	if (*pid > 0)
		(void)kill(*pid, SIGTERM);
	for (int waited = 0; waited < STOP_MS; waited += 2) {
		if (is_gone(pid, &status))
			return ended_well(status, said);
		pause_ms(2);
	}
	(void)kill(*pid, SIGKILL);
	(void)waitpid(*pid, NULL, 0);
	*pid = 0;
	return said_set(said, "the server did not stop within %d ms", STOP_MS);
}

/* ---- one point ---- */

static bool unhurt(pid_t *pid, char said[SAID_MAX])
{
	int status = 0;
	char end[SAID_MAX];
	if (!is_gone(pid, &status))
		return true;
	if (ended_well(status, end))
		(void)said_set(end, "the server ended by itself");
	*pid = -1;
	return said_set(said, "%s", end);
}

static bool live(struct place *p, struct board *b, enum torture_kind kind, long k, pid_t *pid, char said[SAID_MAX])
{
	struct truth t = given;
	uint32_t exists[WHO] = { 0 };
	*b = (struct board){ .k = -1 };
	if (!start(p, b, pid, said))
		return false;
	b->kind = kind;
	b->k = k;
	__atomic_store_n(&b->armed, 1, __ATOMIC_SEQ_CST);
	bool ok = client_journey(p, &t, "hit", k < 0, said);
	__atomic_store_n(&b->armed, 0, __ATOMIC_SEQ_CST);
	if (!unhurt(pid, said) || !ok)
		return false;
	if (b->header && !(stop(pid, said) && start(p, b, pid, said)))
		return false;
	ok = client_journey(p, &t, "after", true, said) && client_audit(p, &t, exists, said);
	if (!unhurt(pid, said) || !ok)
		return false;
	return stop(pid, said) && place_check(p, exists, said);
}

/* The frames' places in the source, by addr2line straight to our output. */
static void show_trace(const struct board *b)
{
	enum { FRAMES = 12 };
	Dl_info self = { 0 };
	char places[FRAMES][24], exe[32];
	const char *argv[FRAMES + 8] = { "addr2line", "-e", exe, "-f", "-s", "-p" };
	int n = 6;
	(void)snprintf(exe, sizeof exe, "/proc/%d/exe", (int)getpid());
	(void)dladdr((void *)(uintptr_t)serve, &self);
	for (int i = 2; i < b->trace_n && n < 6 + FRAMES; i++) {
		Dl_info at = { 0 };
		(void)dladdr(b->trace[i], &at);
		if (at.dli_fbase != self.dli_fbase)
			continue;
		(void)snprintf(places[n - 6], sizeof places[0], "0x%lx", (unsigned long)((char *)b->trace[i] - (char *)self.dli_fbase - 1));
		argv[n] = places[n - 6];
		n++;
	}
	pid_t pid = n > 6 ? fork() : -1;
	if (pid == 0) {
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

static void show_log(const struct place *p, FILE *to)
{
	char path[300], room[LOG_TAIL + 1];
	(void)snprintf(path, sizeof path, "%s/log", p->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, room, LOG_TAIL, end > LOG_TAIL ? end - LOG_TAIL : 0);
	(void)close(fd);
	if (n > 0) {
		room[n] = 0;
		(void)fprintf(to, "%s\n", room);
	}
}

static void report(const struct place *p, const struct board *b, enum torture_kind kind, long k, const char *said)
{
	char *text = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&text, &n);
	if (!to)
		return;
	(void)fprintf(to, "FAILED %s %ld: %s (%s: %s)\n", kind_names[kind], k, said, b->fired ? b->call : "not reached",
	              !b->fired ? "-" : b->error < 0 ? "short" : strerrorname_np(b->error));
	if (options.verbose)
		show_log(p, to);
	(void)fclose(to);
	(void)!write(1, text, n);
	free(text);
	if (b->fired)
		show_trace(b);
}

/* Ports by the job's number, below those that the kernel gives out. */
static void take_ports(struct place *p, int job)
{
	unsigned first = 20000 + (unsigned)(getppid() % 900) * 12 + (unsigned)job * 3;
	p->smtp = first;
	p->imap = first + 1;
	p->pop3 = first + 2;
}

static bool one(int job, enum torture_kind kind, long k)
{
	struct board *b = &tally->boards[job];
	struct place p = template;
	p.config = (struct config){ 0 };
	char said[SAID_MAX] = "";
	pid_t pid = -1;
	(void)snprintf(p.dir, sizeof p.dir, "%s/%d", base, job);
	take_ports(&p, job);
	place_remove(p.dir);
	bool ok = place_copy(&template, p.dir, said) && live(&p, b, kind, k, &pid, said);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	if (!ok && __atomic_add_fetch(&tally->failed, 1, __ATOMIC_SEQ_CST) <= SHOWN_MAX)
		report(&p, b, kind, k, said);
	if (ok && options.verbose && b->fired)
		(void)printf("%s %ld: %s survived\n", kind_names[kind], k, b->call), (void)fflush(stdout);
	if (b->fired)
		__atomic_fetch_add(&tally->fired[kind], 1, __ATOMIC_SEQ_CST);
	config_done(&p.config);
	return ok;
}

/* ---- all of them ---- */

static void job(int number, enum torture_kind kind, long end)
{
	for (;;) {
		long k = __atomic_fetch_add(&tally->next, options.step, __ATOMIC_SEQ_CST);
		if (k >= end || __atomic_load_n(&tally->failed, __ATOMIC_RELAXED) >= SHOWN_MAX)
			_exit(0);
		(void)one(number, kind, k);
	}
}

static void run_kind(enum torture_kind kind, long count)
{
	long end = options.to < count + MARGIN ? options.to : count + MARGIN;
	pid_t jobs[JOBS_MAX];
	tally->next = options.from;
	(void)fflush(NULL);
	for (int i = 0; i < options.jobs; i++) {
		jobs[i] = fork();
		if (jobs[i] == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			job(i, kind, end);
		}
	}
	for (int i = 0; i < options.jobs; i++) {
		int status;
		if (jobs[i] > 0 && waitpid(jobs[i], &status, 0) == jobs[i] && status) {
			(void)printf("a job of the torture itself ended with status 0x%x\n", (unsigned)status);
			tally->failed++;
		}
	}
}

/* What is there before: for each of the two journeys of a server something to flag, to expunge and to take away. */
static bool fill(struct place *p, char said[SAID_MAX])
{
	static const struct { const char *tag; size_t size; unsigned whom; } mails[] = {
		{ "keep", 100 * 1024, 3 }, { "hit-expunge", 3000, 1 }, { "after-expunge", 3000, 1 }, { "hit-dele", 3000, 2 }, { "after-dele", 9000, 2 },
	};
	pid_t pid = -1;
	bool ok = start(p, &tally->boards[0], &pid, said);
	for (size_t i = 0; ok && i < sizeof mails / sizeof *mails; i++)
		ok = client_deliver(p, &given, mails[i].tag, mails[i].size, mails[i].whom, true, said);
	return stop(&pid, said) && ok;
}

static bool prepare(char said[SAID_MAX])
{
	(void)snprintf(base, sizeof base, "/dev/shm/letterlock-torture-%d", (int)getpid());
	if (mkdir(base, 0700) < 0)
		return said_set(said, "%s: %s", base, strerror(errno));
	(void)snprintf(template.dir, sizeof template.dir, "%s/template", base);
	take_ports(&template, 0);
	/* In a process of its own: what it leaves behind (threads of workers) must not be in the one that forks. */
	pid_t maker = fork();
	int status = 0;
	if (maker == 0) {
		if (!place_make(&template, said))
			(void)fprintf(stderr, "torture: %s\n", said);
		_exit(said[0] != 0);
	}
	if (waitpid(maker, &status, 0) != maker || status)
		return said_set(said, "the data directory could not be made");
	/* ICU's tables, once for all. */
	struct mail_digest d = { 0 };
	struct why why = { 0 };
	(void)!mail_digest(STR("Subject: =?iso-8859-15?q?=A4?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n\xc1\r\n"), &mail_limits_default, &d, &why);
	mail_digest_done(&d);
	return fill(&template, said);
}

static long number(const char *name, const char *text)
{
	char *end;
	long v = text ? strtol(text, &end, 10) : -1;
	if (v >= 0 && *end == 0)
		return v;
	(void)fprintf(stderr, "torture: %s needs a number\n", name);
	exit(2);
}

static void take_options(int argc, char **argv)
{
	options.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN);
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(a, "--verbose") == 0) {
			options.verbose = true;
			continue;
		}
		i++;
		if (strcmp(a, "--only") == 0 && v && (strcmp(v, "alloc") == 0 || strcmp(v, "syscall") == 0))
			options.kinds[strcmp(v, "alloc") == 0 ? TORTURE_SYSCALL : TORTURE_ALLOC] = false;
		else if (strcmp(a, "--from") == 0)
			options.from = number(a, v);
		else if (strcmp(a, "--to") == 0)
			options.to = number(a, v) + 1;
		else if (strcmp(a, "--step") == 0)
			options.step = number(a, v);
		else if (strcmp(a, "--turn") == 0)
			torture_turn = (unsigned)number(a, v);
		else if (strcmp(a, "--jobs") == 0)
			options.jobs = (int)number(a, v);
		else {
			(void)fprintf(stderr, "usage: torture [--only alloc|syscall] [--from K] [--to K] [--step N] [--turn N] [--jobs N] [--verbose]\n");
			exit(2);
		}
	}
	options.jobs = options.jobs < 1 ? 1 : options.jobs > JOBS_MAX ? JOBS_MAX : options.jobs;
	options.step = options.step < 1 ? 1 : options.step;
}

int main(int argc, char **argv)
{
	char said[SAID_MAX] = "";
	take_options(argc, argv);
	tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN);
	bool ok = prepare(said) && one(0, TORTURE_ALLOC, -1); /* nothing fails: so many points there are */
	long count[TORTURE_KINDS];
	memcpy(count, tally->boards[0].count, sizeof count);
	if (ok) {
		(void)printf("torture: %ld allocations and %ld system calls lie along the journey (%ld calls spared)\n", count[TORTURE_ALLOC], count[TORTURE_SYSCALL],
		             tally->boards[0].spared);
		for (int kind = 0; kind < TORTURE_KINDS; kind++)
			if (options.kinds[kind])
				run_kind((enum torture_kind)kind, count[kind]);
	} else {
		(void)printf("torture: the journey fails without any failing call: %s\n", said);
		show_log(&template, stdout);
		tally->failed++;
	}
	place_remove(base);
	(void)printf("torture: %ld allocation points, %ld system call points, ", tally->fired[TORTURE_ALLOC], tally->fired[TORTURE_SYSCALL]);
	if (tally->failed)
		(void)printf("%ld failed\n", tally->failed);
	else
		(void)puts("all survived");
	return tally->failed || (tally->fired[0] + tally->fired[1] == 0);
}
