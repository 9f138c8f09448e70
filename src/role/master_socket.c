#include "role/master_state.h"

#include "base/log.h"
#include "os/file.h"
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum role role_of(enum listener_proto p)
{
	return p == LISTEN_SMTP || p == LISTEN_SMTPS || p == LISTEN_SUBMISSION || p == LISTEN_SUBMISSIONS || p == LISTEN_LMTP ? ROLE_EDGE : p == LISTEN_METRICS ? ROLE_WEB : ROLE_ACCESS;
}

static unsigned workers_of(const struct master *m, enum role r)
{
	unsigned n = 0;
	for (size_t i = 0; i < m->proc_n; i++)
		n += m->procs[i].ops->role == r;
	return n;
}

/* One SO_REUSEPORT socket per worker, so that none is woken for another's connection; where they fall unevenly, workers give them on
 * (door_load.h). They stay open here over restarts, so no queued connection is lost. */
static enum rc listen_one(struct master *m, const struct config_listener *l, struct why *why)
{
	struct net_addr a;
	TRY(net_parse(l->address, &a, why));
	if (m->config->server_demo && a.sa.ss_family != AF_UNIX && !net_is_loopback(&a))
		FAIL(why, RC_DENIED, "the demo listens on loopback only, not on %.*s", PSTR(l->address));
	enum role r = role_of(l->proto);
	unsigned workers = workers_of(m, r);
	bool spread = a.sa.ss_family != AF_UNIX && workers > 1;
	for (unsigned w = 0; w < (spread ? workers : 1); w++) {
		int fd;
		if (m->socket_n == SOCKETS_MAX)
			FAIL(why, RC_LIMIT, "too many listeners");
		TRY(net_listen(&a, spread, 4096, &fd, why));
		/* Anybody on this machine may come: the kernel says who it is. */
		if (l->proto == LISTEN_SUBMISSION && a.sa.ss_family == AF_UNIX && chmod(((const struct sockaddr_un *)(const void *)&a.sa)->sun_path, 0666) < 0)
			FAIL_SYS(why, "cannot open %.*s to the programs of this machine", PSTR(str_head(l->address, 100)));
		m->sockets[m->socket_n].l = (struct role_listener){ .proto = l->proto, .fd = fd, .proxy = l->proxy };
		m->sockets[m->socket_n].role = r;
		m->sockets[m->socket_n].worker = w;
		m->sockets[m->socket_n++].everyone = !spread;
	}
	return RC_OK;
}

enum rc master_listen(struct master *m, struct why *why)
{
	for (size_t i = 0; i < m->config->listener_n; i++)
		TRY(listen_one(m, &m->config->listeners[i], why));
	return RC_OK;
}

enum rc master_publish_config(struct master *m, struct why *why)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	config_pack(m->config, &b);
	int fd = memfd_create("config", MFD_CLOEXEC);
	enum rc rc = fd < 0 || b.failed ? why_fail(why, RC_NOMEM, errno, __FILE__, "no memory for the configuration") : fd_write_all(fd, buf_str(&b), why);
	if (rc == RC_OK) {
		fd_close(&m->config_fd);
		m->config_fd = fd;
		struct msg_RELOAD msg = { .config = buf_str(&b) };
		for (size_t i = 0; i < m->proc_n; i++)
			if (m->procs[i].peer)
				(void)!ipc_tell(m->procs[i].peer, MSG_RELOAD, &msg, -1);
	} else {
		fd_close(&fd);
	}
	buf_done(&b);
	return rc;
}

/* Only root and our own user may command the server. */
static bool may_command(int fd)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && (cred.uid == 0 || cred.uid == geteuid());
}

static void control_fiber(void *arg)
{
	struct master *m = arg;
	struct io_poll *poll;
	if (m->stopping || io_poll_open(m->loop, m->control_fd, &poll) != RC_OK)
		return;
	while (!m->stopping && io_poll_wait(poll, IO_READ, NO_DEADLINE) == RC_OK) {
		int fd = accept4(m->control_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct why why = { 0 };
		if (fd < 0)
			continue;
		if (!may_command(fd))
			fd_close(&fd);
		else if (ipc_attach(m->node, fd, ROLE_CTL, m->ctl_n++, NULL, &why) == RC_NOMEM) /* who hung up at once was only looking */
			log_event(LEVEL_WARN, EV_FATAL, F("reason", why.text));
	}
	io_poll_close(&poll, false);
}

enum rc master_control(struct master *m, struct why *why)
{
	struct sockaddr_un_path { sa_family_t family; char path[108]; } a = { .family = AF_UNIX };
	struct str path = m->config->server_control;
	if (path.n >= sizeof a.path)
		FAIL(why, RC_LIMIT, "server.control: the path is longer than %zu octets", sizeof a.path - 1);
	memcpy(a.path, path.p, path.n);
	m->control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->control_fd < 0)
		FAIL_SYS(why, "control socket");
	/* A living server answers: then this one must not take its place. */
	if (connect(m->control_fd, (struct sockaddr *)&a, sizeof a) == 0)
		FAIL(why, RC_EXISTS, "a server already runs with the control socket %s", a.path);
	(void)unlink(a.path);
	mode_t old = umask(0177);
	int bad = bind(m->control_fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(m->control_fd, 64) < 0;
	(void)umask(old);
	if (bad)
		FAIL_SYS(why, "control socket %s", a.path);
	return fiber_start(m->loop, control_fiber, m, NULL);
}
