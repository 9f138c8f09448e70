#include "role/master_state.h"

#include "base/log.h"
#include "os/file.h"
#include "os/spawn.h"
#include "role/door_load.h"
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTENERS_MAX = 60 };

/* One side of a channel to each of two processes; if either is gone by then, its end simply closes. */
static void introduce(struct proc *a, struct proc *b)
{
	int ends[2];
	if (!a->peer || !b->peer)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", "socketpair"));
		return;
	}
	(void)!ipc_tell(a->peer, MSG_PEER, &(struct msg_PEER){ .role = b->ops->role, .index = b->index }, ends[0]);
	(void)!ipc_tell(b->peer, MSG_PEER, &(struct msg_PEER){ .role = a->ops->role, .index = a->index }, ends[1]);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

static bool talk(const struct proc *a, const struct proc *b)
{
	return (a->ops->talks_to >> b->ops->role & 1) || (b->ops->talks_to >> a->ops->role & 1);
}

/* Gauges count what is open now: what died holds nothing any more. */
static void forget_counts(struct proc *p)
{
	static const bool gauge[METRIC_COUNT] = {
#define counter false
#define gauge true
#define METRIC(id, kind, family, labels, help) [M_##id] = kind,
#include "role/metrics.def"
#undef METRIC
#undef counter
#undef gauge
	};
	for (int i = 0; i < METRIC_COUNT; i++)
		if (gauge[i])
			__atomic_store_n(&p->m->shared->metrics[p->slot][i], 0, __ATOMIC_RELAXED);
	door_shut(p->m->shared, p->slot);
	if (!p->m->stopping) /* it looks at the whole table; who still accepts then stops within seconds */
		limits_forget((struct limits *)(void *)p->m->shared->limits, p->slot);
}

static void restart_fiber(void *arg)
{
	struct proc *p = arg;
	if (p->backoff_ms && fiber_sleep(p->backoff_ms) != RC_OK)
		return;
	if (!p->m->stopping && p->wanted && !p->pid)
		proc_start(p);
}

static void ended(void *arg, pid_t pid, int status)
{
	struct proc *p = arg;
	struct master *m = p->m;
	(void)pid;
	p->pid = 0;
	p->ready = false;
	if (p->peer)
		ipc_detach(p->peer);
	p->peer = NULL;
	forget_counts(p);
	wake_all(&p->ended);
	if (!m->stopping && p->wanted && !p->served && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FOR_GOOD) {
		log_event(LEVEL_ERROR, EV_FATAL, F("child", role_name(p->ops->role)), F("reason", "it cannot start, and trying again would not help: its own last line says why"));
		m->failed = true;
		master_stop(m);
		return;
	}
	if (m->stopping || !p->wanted) {
		log_event(LEVEL_INFO, EV_STOP, F("child", role_name(p->ops->role)), F("number", p->index));
		return;
	}
	p->restarts++;
	__atomic_fetch_add(&m->shared->metrics[0][M_RESTARTS], 1, __ATOMIC_RELAXED);
	bool healthy = loop_now(m->loop) - p->started >= HEALTHY_MS;
	unsigned more = p->backoff_ms ? p->backoff_ms * 2 : BACKOFF_MIN_MS;
	p->backoff_ms = healthy ? 0 : more > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : more;
	log_event(LEVEL_WARN, EV_DIED, F("child", role_name(p->ops->role)), F("number", p->index), F("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
	          F("status", WIFEXITED(status) ? WEXITSTATUS(status) : 0), F("delay_ms", p->backoff_ms));
	if (fiber_start(m->loop, restart_fiber, p, NULL) != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", "no memory to restart a role"));
}

size_t proc_listeners(const struct proc *p, struct role_listener *out, size_t max)
{
	const struct master *m = p->m;
	size_t n = 0;
	for (size_t i = 0; i < m->socket_n && n < max; i++)
		if (m->sockets[i].role == p->ops->role && (m->sockets[i].everyone || m->sockets[i].worker == p->index))
			out[n++] = m->sockets[i].l;
	return n;
}

static enum rc spawn_proc(struct proc *p, int child_end, struct why *why)
{
	struct master *m = p->m;
	char index[8], slot[8], texts[LISTENERS_MAX][8];
	struct role_listener l[LISTENERS_MAX];
	const char *argv[LISTENERS_MAX + 8] = { "letterlock", "--role", role_name(p->ops->role), index, slot };
	int fds[LISTENERS_MAX + 8] = { child_end, m->shared_fd, m->config_fd };
	(void)snprintf(index, sizeof index, "%u", p->index);
	(void)snprintf(slot, sizeof slot, "%u", p->slot);
	size_t n = proc_listeners(p, l, LISTENERS_MAX);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "%u", (unsigned)l[i].proto | (l[i].proxy ? 64u : 0u));
		argv[5 + i] = texts[i];
		fds[3 + i] = l[i].fd;
	}
	fds[3 + n] = -1;
	argv[5 + n] = NULL;
	return spawn_self(m->loop, &(struct spawn){ .argv = argv, .fds = fds, .ended = ended, .arg = p }, &p->pid, why);
}

void proc_start(struct proc *p)
{
	struct master *m = p->m;
	struct why why = { 0 };
	int ends[2];
	p->started = loop_now(m->loop);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", "socketpair"));
		return;
	}
	enum rc rc;
	if (m->one_process) {
		rc = proc_embed(p, ends[1], &why);
	} else {
		rc = spawn_proc(p, ends[1], &why);
		fd_close(&ends[1]);
	}
	if (rc == RC_OK)
		rc = ipc_attach(m->node, ends[0], p->ops->role, p->index, &p->peer, &why);
	else
		fd_close(&ends[0]);
	if (rc != RC_OK) {
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text), F("errno", why.sys));
		return;
	}
	ipc_peer_set_note(p->peer, p);
	for (size_t i = 0; i < m->proc_n; i++)
		if (&m->procs[i] != p && talk(p, &m->procs[i]))
			introduce(p, &m->procs[i]);
}

static enum rc plan(struct master *m, const struct role_ops *ops, unsigned n, struct why *why)
{
	for (unsigned i = 0; i < n; i++) {
		if (m->proc_n == PROCS_MAX)
			FAIL(why, RC_LIMIT, "more than %d processes", PROCS_MAX);
		m->procs[m->proc_n] = (struct proc){ .m = m, .ops = ops, .index = i, .slot = (unsigned)m->proc_n + 1, .wanted = true };
		m->proc_n++;
	}
	return RC_OK;
}

static unsigned number(uint64_t asked)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return asked ? (unsigned)asked : cores > 64 ? 64 : cores < 1 ? 1 : (unsigned)cores;
}

enum rc master_plan(struct master *m, struct why *why)
{
	const struct config *c = m->config;
	TRY(plan(m, &role_vault, 1, why));
	TRY(plan(m, &role_resolver, 1, why));
	TRY(plan(m, &role_store, 1, why));
	TRY(plan(m, &role_reader, (unsigned)c->process_reader, why));
	TRY(plan(m, &role_ledger, 1, why));
	TRY(plan(m, &role_scan, number(c->process_scan), why));
	TRY(plan(m, &role_edge, number(c->process_edge), why));
	TRY(plan(m, &role_access, number(c->process_access), why));
	TRY(plan(m, &role_relay, 1, why));
	return plan(m, &role_web, 1, why);
}

/* A process that neither works nor dies is worse than a dead one. HEALTH's own patience is 5 s. */
static void watch_fiber(void *arg)
{
	struct proc *p = arg;
	struct ipc_peer *asked = p->peer;
	enum rc rc = asked ? ipc_ask(asked, MSG_HEALTH, &(struct msg_HEALTH){ 0 }, NULL, NULL, NULL) : RC_CLOSED;
	if (p->peer != asked || rc != RC_LATE) {
		p->silent = 0;
		return;
	}
	if (++p->silent < WATCH_SILENT || !p->pid)
		return;
	log_event(LEVEL_ERROR, EV_HUNG, F("child", role_name(p->ops->role)), F("number", p->index), F("child_pid", p->pid));
	p->silent = 0;
	(void)kill(p->pid, SIGKILL);
}

void proc_watch_all(struct master *m)
{
	for (size_t i = 0; i < m->proc_n && !m->stopping && !m->one_process; i++)
		if (m->procs[i].ready && m->procs[i].peer)
			(void)!fiber_start(m->loop, watch_fiber, &m->procs[i], NULL);
}

static bool any_left(const struct master *m, unsigned roles)
{
	for (size_t i = 0; i < m->proc_n; i++)
		if ((roles >> m->procs[i].ops->role & 1) && m->procs[i].pid)
			return true;
	return false;
}

void proc_stop_wait(struct master *m, unsigned roles, unsigned grace_ms)
{
	for (size_t i = 0; i < m->proc_n; i++) {
		struct proc *p = &m->procs[i];
		if (!(roles >> p->ops->role & 1))
			continue;
		p->wanted = false;
		if (p->peer)
			(void)!ipc_tell(p->peer, MSG_STOP, &(struct msg_STOP){ .grace_ms = grace_ms }, -1);
		else if (p->pid)
			(void)kill(p->pid, SIGKILL);
	}
	int64_t until = loop_now(m->loop) + grace_ms + 3000;
	while (any_left(m, roles) && loop_now(m->loop) < until)
		if (fiber_sleep(5) != RC_OK)
			break;
	for (size_t i = 0; i < m->proc_n; i++)
		if ((roles >> m->procs[i].ops->role & 1) && m->procs[i].pid)
			(void)kill(m->procs[i].pid, SIGKILL);
}
