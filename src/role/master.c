#include "role/master_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "role/door_load.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRACE_MS = 3000 };

static void came(void *house, struct ipc_peer *p);

static enum rc share_tables(struct master *m, struct why *why)
{
	m->shared_fd = memfd_create("shared", MFD_CLOEXEC);
	if (m->shared_fd < 0 || ftruncate(m->shared_fd, (off_t)shared_size()) < 0)
		FAIL_SYS(why, "shared table");
	void *map = mmap(NULL, shared_size(), PROT_READ | PROT_WRITE, MAP_SHARED, m->shared_fd, 0);
	if (map == MAP_FAILED)
		FAIL_SYS(why, "map the shared table");
	m->shared = map;
	/* It is all zero, which is a table of limits without an entry: not one of its 900 pages is touched before somebody needs it. */
	for (unsigned slot = 0; slot < SHARED_SLOTS; slot++)
		door_shut(m->shared, slot);
	m->shared->metrics[0][M_STARTED] = wall_ms() / 1000;
	m->shared->metrics[0][M_CONFIG_OK] = 1;
	return RC_OK;
}

static void tls_fiber(void *arg)
{
	struct why why = { 0 };
	struct master *m = arg;
	(void)!master_load_tls(m, m->config, &why); /* said in the log; everything without TLS works meanwhile */
}

/* The vault keeps no TLS key over its own restart: each new one is handed the files again. */
static void came(void *house, struct ipc_peer *p)
{
	struct master *m = house;
	if (ipc_peer_role(p) == ROLE_VAULT && fiber_start(m->loop, tls_fiber, m, NULL) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", "no memory"));
}

static void violation(void *house, struct ipc_peer *p, const char *what)
{
	(void)house;
	log_event(LEVEL_ERROR, EV_IPC_VIOLATION, F("peer", role_name(ipc_peer_role(p))), F("reason", what));
}

static void reload_fiber(void *arg)
{
	struct why why = { 0 };
	(void)!master_reload(arg, &why);
}

/* Those who talk to the network first, then those who serve them; nothing that was answered 250 is left behind. */
static void stop_fiber(void *arg)
{
	struct master *m = arg;
	if (m->one_process) {
		loop_stop(m->loop);
		return;
	}
	proc_stop_wait(m, R_EDGE | R_RELAY, GRACE_MS);
	proc_stop_wait(m, R_ACCESS | R_WEB, 0);
	proc_stop_wait(m, R_SCAN | R_READER, 0);
	proc_stop_wait(m, R_STORE, 0);
	proc_stop_wait(m, R_LEDGER, 0);
	proc_stop_wait(m, R_ALL, 0);
	loop_stop(m->loop);
}

void master_stop(struct master *m)
{
	if (m->stopping)
		return;
	m->stopping = true;
	if (fiber_start(m->loop, stop_fiber, m, NULL) != RC_OK)
		loop_stop(m->loop);
}

static void on_signal(void *arg, int signo)
{
	struct master *m = arg;
	if (signo == SIGHUP) {
		if (!m->stopping)
			(void)!fiber_start(m->loop, reload_fiber, m, NULL);
		return;
	}
	master_stop(m);
}

/* Started as root: the directories, and what a restore by root has put there, belong to the user that the roles become. */
static enum rc give_away(const char *path, unsigned uid, unsigned gid, struct why *why)
{
	DIR *d = opendir(path);
	enum rc rc = RC_OK;
	if (!d || fchown(dirfd(d), uid, gid) < 0)
		rc = why_fail(why, RC_IO, errno, __FILE__, "give %s to user %u", path, uid);
	for (const struct dirent *f; rc == RC_OK && (f = readdir(d));)
		if (f->d_type == DT_REG && fchownat(dirfd(d), f->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			rc = why_fail(why, RC_IO, errno, __FILE__, "give %s/%s to user %u", path, f->d_name, uid);
	if (d)
		(void)closedir(d);
	return rc;
}

static enum rc make_dirs(const struct config *c, struct why *why)
{
	static const char *const subs[] = { "", "/index", "/segments", "/vault", "/ledger" };
	char path[4096];
	unsigned uid, gid;
	TRY(role_user(c, &uid, &gid, why));
	for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
		if (snprintf(path, sizeof path, "%.*s%s", PSTR(c->server_data_dir), subs[i]) >= (int)sizeof path)
			FAIL(why, RC_LIMIT, "server.data_dir is too long");
		TRY(dir_make(path, 0700, why));
		if (uid)
			TRY(give_away(path, uid, gid, why));
	}
	return RC_OK;
}

static void start_fiber(void *arg)
{
	struct master *m = arg;
	for (size_t i = 0; i < m->proc_n; i++)
		proc_start(&m->procs[i]);
}

static void watch(void *arg) { proc_watch_all(arg); }

static enum rc run(struct master *m, struct why *why)
{
	TRY(make_dirs(m->config, why));
	TRY(loop_open(&m->loop, why));
	m->started = loop_now(m->loop);
	TRY(share_tables(m, why));
	struct ipc_config c = { .role = ROLE_MASTER, .house = m, .gone = master_peer_gone, .came = came, .violation = violation };
	memcpy(c.on, master_on, sizeof c.on);
	TRY(ipc_node_new(m->loop, &c, &m->node));
	TRY(master_plan(m, why));
	TRY(master_control(m, why));
	TRY(master_listen(m, why));
	TRY(master_publish_config(m, why));
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		TRY(loop_on_signal(m->loop, signals[i], on_signal, m, why));
	TRY(ticker_start(m->loop, WATCH_MS, watch, m, &m->watchdog));
	TRY(fiber_start(m->loop, start_fiber, m, NULL));
	loop_run(m->loop);
	ticker_stop(&m->watchdog);
	return RC_OK;
}

int master_main(const struct config *c, const char *config_path, config_loader *load, bool one_process)
{
	struct why why = { 0 };
	struct master *m = mem_new(sizeof *m);
	if (!m)
		return 1;
	m->config = (struct config *)(uintptr_t)c; /* replaced, never changed */
	m->config_path = config_path;
	m->load = load;
	m->one_process = one_process;
	m->shared_fd = m->config_fd = m->control_fd = -1;
	(void)signal(SIGPIPE, SIG_IGN);
	log_setup("master", 0, LEVEL_INFO, 2);
	enum rc rc = run(m, &why);
	if (rc != RC_OK) {
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text), F("errno", why.sys), F("at", why.at ? why.at : ""));
		(void)fprintf(stderr, "letterlock: %s%s%s\n", why.text, why.sys ? ": " : "", why.sys ? strerror(why.sys) : "");
	}
	m->stopping = true; /* a start that failed half-way has fibers that never ran: closing the loop runs them */
	proc_disembed_all(m);
	ipc_node_free(&m->node);
	if (m->loop)
		loop_close(&m->loop);
	if (m->config != c) {
		config_done(m->config);
		mem_free(m->config);
	}
	for (size_t i = 0; i < m->socket_n; i++)
		fd_close(&m->sockets[i].l.fd);
	fd_close(&m->control_fd);
	bool failed = m->failed;
	mem_free(m);
	return failed ? EXIT_FOR_GOOD : rc == RC_OK ? 0 : 1;
}
