#include "cmd/demo.h"

#include "cmd/config_file.h"
#include "os/file.h"
#include "role/role.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT_MAX = 65535, PORT_TRIES = 200, ACCOUNTS_MAX = 20000, START_MS = 20000, STOP_MS = 10000, FOLLOW_S = 1 };

const struct demo_port demo_ports[DEMO_PORTS] = {
	[DEMO_SMTP] = { "smtp", 2525, 25 },    [DEMO_SUBMISSION] = { "submission", 5870, 587 }, [DEMO_SUBMISSIONS] = { "submissions", 4650, 465 },
	[DEMO_IMAP] = { "imap", 1430, 143 },   [DEMO_IMAPS] = { "imaps", 9930, 993 },
	[DEMO_POP3] = { "pop3", 1100, 110 },   [DEMO_POP3S] = { "pop3s", 9950, 995 }, [DEMO_METRICS] = { "metrics", 9465, 946 },
};

/* ---- ports ---- */

static void loopback(bool v6, unsigned port, struct sockaddr_storage *out, socklen_t *out_n)
{
	memset(out, 0, sizeof *out);
	if (v6) {
		struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons((uint16_t)port) };
		memcpy(out, &a, sizeof a);
		*out_n = sizeof a;
	} else {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
		memcpy(out, &a, sizeof a);
		*out_n = sizeof a;
	}
}

/* Nobody listens there, and we may. SO_REUSEADDR, as the server will set it: a port in TIME_WAIT is free. */
static bool is_free(bool v6, unsigned port)
{
	struct sockaddr_storage a;
	socklen_t n;
	int on = 1;
	AUTO(fd_close) int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	loopback(v6, port, &a, &n);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	return fd >= 0 && bind(fd, (const struct sockaddr *)&a, n) == 0 && listen(fd, 1) == 0;
}

static bool is_taken_already(const struct demo *d, size_t upto, unsigned port)
{
	for (size_t i = 0; i < upto; i++)
		if (d->ports[i] == port)
			return true;
	return false;
}

static enum rc plan_ports(struct demo *d, unsigned base, struct why *why)
{
	for (size_t i = 0; i < DEMO_PORTS; i++) {
		unsigned first = base ? base + demo_ports[i].offset : demo_ports[i].usual, port = first;
		while (port <= PORT_MAX && port < first + PORT_TRIES && (is_taken_already(d, i, port) || !is_free(false, port)))
			port++;
		if (port > PORT_MAX || port == first + PORT_TRIES)
			FAIL(why, RC_FULL, "no port is free for %s from %u on", demo_ports[i].name, first);
		d->ports[i] = port;
		d->v6[i] = is_free(true, port);
	}
	return RC_OK;
}

int demo_dial(unsigned port)
{
	struct sockaddr_storage a;
	socklen_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	loopback(false, port, &a, &n);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, n) < 0)
		fd_close(&fd);
	return fd;
}

/* ---- the server as our child ---- */

static void become_server(const struct demo *d)
{
	char log[DEMO_PATH + 32];
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0); /* Ctrl-C is ours to hear: it becomes an orderly stop */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)snprintf(log, sizeof log, "%s/letterlock.log", d->state);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDWR);
	if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(fd, 2) < 0)
		_exit(1);
	(void)execl(d->binary, "letterlock", "serve", "--config", d->config_path, (char *)NULL);
	_exit(1);
}

static enum rc start_server(struct demo *d, struct why *why)
{
	(void)fflush(NULL);
	d->server = fork();
	if (d->server == 0)
		become_server(d);
	if (d->server < 0)
		FAIL_SYS(why, "fork: %s", strerror(errno));
	return RC_OK;
}

static bool server_died(struct demo *d)
{
	int status;
	if (d->server <= 0 || waitpid(d->server, &status, WNOHANG) != d->server)
		return d->server <= 0;
	d->server = 0;
	d->stopped = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	d->hopeless = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FOR_GOOD;
	return true;
}

static void pause_ms(unsigned ms) { (void)nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL); }

static enum rc wait_for_control(struct demo *d, struct why *why)
{
	for (unsigned waited = 0; waited < START_MS; waited += 5) {
		if (ctl_server_runs(&d->config))
			return RC_OK;
		if (server_died(d))
			FAIL(why, RC_CLOSED, "the server ended while starting; its log: %.100s/letterlock.log", d->state);
		pause_ms(5);
	}
	FAIL(why, RC_LATE, "the server did not start within %d s; its log: %.100s/letterlock.log", START_MS / 1000, d->state);
}

static enum rc wait_for_ports(const struct demo *d, struct why *why)
{
	for (size_t i = 0; i < DEMO_PORTS; i++) {
		AUTO(fd_close) int fd = demo_dial(d->ports[i]);
		if (fd < 0)
			FAIL(why, RC_CLOSED, "nobody answers on port %u (%s)", d->ports[i], demo_ports[i].name);
	}
	return RC_OK;
}

static void stop_server(struct demo *d)
{
	if (d->server <= 0)
		return;
	(void)kill(d->server, SIGTERM);
	for (unsigned waited = 0; waited < STOP_MS && !server_died(d); waited += 10)
		pause_ms(10);
	if (d->server > 0) {
		(void)kill(d->server, SIGKILL);
		(void)waitpid(d->server, NULL, 0);
		d->server = 0;
	}
}

/* ---- what it prints ---- */

static void print_json(const struct demo *d)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	(void)printf("{");
	for (size_t i = 0; i < DEMO_PORTS; i++)
		(void)printf("\"%s\":%u,", demo_ports[i].name, d->ports[i]);
	const char *state = json_text(&a, str_z(d->state));
	if (strlen(d->state) < 80)
		(void)printf("\"submit\":\"%s/submit.sock\",", state);
	(void)printf("\"ca\":\"%s/ca.pem\",\"state\":\"%s\",\"config\":\"%s/letterlock.conf\",\"pid\":%d,\"accounts\":[", state, state, state, (int)d->server);
	for (unsigned i = 0; i < 3; i++)
		(void)printf("%s{\"address\":\"%s@demo.test\",\"password\":\"" DEMO_PASSWORD "\"}", i ? "," : "", demo_people[i]);
	for (unsigned i = 1; i <= d->accounts; i++)
		(void)printf(",{\"address\":\"u%u@demo.test\",\"password\":\"" DEMO_PASSWORD "\"}", i);
	(void)printf("]}\n");
}

static void print_block(const struct demo *d)
{
	say("letterlock demo - loopback only, nothing leaves this machine");
	say("  SMTP      localhost:%u", d->ports[DEMO_SMTP]);
	say("  Submit    localhost:%u with STARTTLS, TLS :%u", d->ports[DEMO_SUBMISSION], d->ports[DEMO_SUBMISSIONS]);
	say("  IMAP      localhost:%u, TLS :%u      POP3 localhost:%u, TLS :%u", d->ports[DEMO_IMAP], d->ports[DEMO_IMAPS], d->ports[DEMO_POP3], d->ports[DEMO_POP3S]);
	say("  Metrics   http://localhost:%u/metrics", d->ports[DEMO_METRICS]);
	say("  TLS       signed by %s/ca.pem", d->state);
	say("  Accounts  (password \"" DEMO_PASSWORD "\" for all)");
	say("    alice@demo.test   bob@demo.test   carol@demo.test");
	if (d->accounts)
		say("    u1@demo.test ... u%u@demo.test", d->accounts);
	if (d->loaded)
		say("  Loaded    %u messages", d->loaded);
	else
		say("  Loaded    what was there before; `make run-clean` or removing the directory forgets it");
	say("  Root key  %s/root.key lies beside the data: fine for a demo only", d->state);
	say("  Try       1. swaks --to bob@demo.test --server localhost:%u", d->ports[DEMO_SMTP]);
	say("            2. swaks --to bob@demo.test --from alice@demo.test --server localhost:%u -tls --auth PLAIN --auth-user alice@demo.test --auth-password " DEMO_PASSWORD,
	    d->ports[DEMO_SUBMISSION]);
	say("            3. curl --cacert %s/ca.pem -u bob@demo.test:" DEMO_PASSWORD " 'imaps://localhost:%u/INBOX;MAILINDEX=1'", d->state, d->ports[DEMO_IMAPS]);
	say("            4. letterlock status --config %s", d->config_path);
	say("  Ctrl-C stops it. Data stays in %s", d->state);
}

/* ---- the life of a demo ---- */

static void on_signal(int signo) { (void)signo; }

static void block_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGCHLD);
	(void)signal(SIGCHLD, on_signal); /* a default-ignored signal would not be waited for */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_BLOCK, set, NULL);
}

/* Until somebody ends it. A server that dies is started again, as a service manager would. */
static enum status keep(struct demo *d, const sigset_t *set)
{
	for (unsigned deaths = 0;;) {
		int got = sigtimedwait(set, NULL, &(struct timespec){ .tv_sec = FOLLOW_S });
		if (got == SIGINT || got == SIGTERM)
			break;
		if (got < 0)
			demo_follow_keys(d);
		if (!server_died(d))
			continue;
		if (d->stopped)
			return STATUS_OK; /* `letterlock stop` */
		if (d->hopeless)
			return say_error(d->call, STATUS_FAILED, "the server cannot go on, and starting it again would not help", "the end of its log says why", d->state);
		struct why why = { 0 };
		(void)fprintf(stderr, "letterlock demo: the server ended unexpectedly and is started again (log: %s/letterlock.log)\n", d->state);
		pause_ms(deaths++ < 100 ? 50 : 2000);
		if (start_server(d, &why) != RC_OK)
			return say_error(d->call, STATUS_FAILED, "the server cannot be started again", why.text, NULL);
	}
	stop_server(d);
	return STATUS_OK;
}

static enum rc start(struct demo *d, struct why *why)
{
	TRY(demo_write_files(d, why));
	TRY(config_file_load(d->config_path, &d->config, NULL, why));
	if (ctl_server_runs(&d->config))
		FAIL(why, RC_EXISTS, "a demo already runs with the state in %.100s", d->state);
	TRY(start_server(d, why));
	TRY(wait_for_control(d, why));
	TRY(demo_make_accounts(d, why));
	TRY(wait_for_ports(d, why));
	return demo_load_mail(d, why);
}

/* A socket's path is short; where the state's is long, the socket lies in a directory of its own below /tmp. */
static enum rc place_control(struct demo *d, struct why *why)
{
	if (strlen(d->state) < 90) {
		(void)snprintf(d->control, sizeof d->control, "%.90s/ctl.sock", d->state);
		return RC_OK;
	}
	char dir[] = "/tmp/letterlock-demo-XXXXXX";
	if (!mkdtemp(dir))
		FAIL_SYS(why, "%s: %s", dir, strerror(errno));
	(void)snprintf(d->control, sizeof d->control, "%s/ctl.sock", dir);
	return RC_OK;
}

static void forget_control(const struct demo *d)
{
	char dir[sizeof d->control];
	if (strncmp(d->control, "/tmp/letterlock-demo-", 21) != 0)
		return;
	(void)unlink(d->control);
	(void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(d->control, '/') - d->control), d->control);
	(void)rmdir(dir);
}

static enum rc place(struct demo *d, const char *state, struct why *why)
{
	TRY(dir_make(state, 0700, why));
	_Static_assert(DEMO_PATH >= PATH_MAX, "realpath() fills the caller's room");
	if (!realpath(state, d->state) || strlen(d->state) > 800)
		FAIL(why, RC_LIMIT, "%.100s: not a usable directory", state);
	(void)snprintf(d->config_path, sizeof d->config_path, "%s/letterlock.conf", d->state);
	ssize_t k = readlink("/proc/self/exe", d->binary, sizeof d->binary - 1);
	if (k <= 0)
		FAIL_SYS(why, "/proc/self/exe: %s", strerror(errno));
	d->binary[k] = 0;
	return place_control(d, why);
}

static bool number(const char *text, uint64_t most, unsigned *out)
{
	uint64_t v = 0;
	bool ok = !text || str_u64(str_z(text), most, &v);
	*out = (unsigned)v;
	return ok;
}

enum status run_demo(struct call *c)
{
	struct demo d = { .call = c, .zone = { .max = 1 << 16 } };
	struct why why = { 0 };
	unsigned base;
	sigset_t set;
	const char *state = call_option(c, "state");
	if (!number(call_option(c, "port-base"), PORT_MAX - 1000, &base) || !number(call_option(c, "accounts"), ACCOUNTS_MAX, &d.accounts))
		return say_usage(c, "--port-base is at most %d, --accounts at most %d", PORT_MAX - 1000, ACCOUNTS_MAX);
	block_signals(&set);
	config_init(&d.config);
	enum rc rc = place(&d, state ? state : "run/demo", &why);
	if (rc == RC_OK)
		rc = plan_ports(&d, base, &why);
	if (rc == RC_OK)
		rc = start(&d, &why);
	enum status s = STATUS_OK;
	if (rc == RC_OK) {
		if (c->json)
			print_json(&d);
		else
			print_block(&d);
		(void)fflush(stdout);
		s = keep(&d, &set);
	} else {
		stop_server(&d);
		s = say_error(c, STATUS_FAILED, "the demo did not start", why.text, rc == RC_EXISTS ? "stop it, or give --state another directory"
			                           : "look for process.fatal in letterlock.log there; only `make run-clean` gives the old mail up");
	}
	forget_control(&d);
	buf_done(&d.zone);
	config_done(&d.config);
	return s;
}
