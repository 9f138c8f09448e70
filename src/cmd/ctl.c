#include "cmd/ctl.h"

#include "cmd/config_file.h"
#include "os/file.h"
#include <errno.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { INTRODUCTION_MS = 5000, LOOK_MS = 20 };

struct ctl {
	const struct call *call;
	const struct config *config;
	struct loop *loop;
	struct ipc_node *node;
	struct ipc_peer *master;
	bool introduced[ROLE_COUNT];
	bool stranger; /* master speaks otherwise: another build of this program, after an upgrade without a restart */
	ctl_work *work;
	void *arg;
	enum status status;
};

const struct call *ctl_call(const struct ctl *c) { return c->call; }
const struct config *ctl_config(const struct ctl *c) { return c->config; }
struct loop *ctl_loop(const struct ctl *c) { return c->loop; }

static enum rc dial(const struct config *config, int *out_fd, struct why *why)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct str path = config->server_control;
	if (path.n >= sizeof at.sun_path)
		FAIL(why, RC_LIMIT, "server.control is too long for a socket");
	memcpy(at.sun_path, path.p, path.n);
	AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		FAIL_SYS(why, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&at, sizeof at) < 0)
		FAIL_SYS(why, "%s: %s", at.sun_path, strerror(errno));
	*out_fd = fd;
	fd = -1;
	return RC_OK;
}

bool ctl_server_runs(const struct config *config)
{
	AUTO(fd_close) int fd = -1;
	struct why why;
	return dial(config, &fd, &why) == RC_OK || why.sys == EACCES || why.sys == EPERM;
}

/* master's introduction: a channel to another role. */
static void on_peer(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct ctl *c = house;
	const struct msg_PEER *m = msg;
	struct why why;
	(void)from, (void)call;
	if (fd >= 0 && m->role < ROLE_COUNT && ipc_attach(c->node, fd, (enum role)m->role, m->index, NULL, &why) == RC_OK)
		c->introduced[m->role] = true;
}

static void on_gone(void *house, struct ipc_peer *p)
{
	struct ctl *c = house;
	c->introduced[ipc_peer_role(p)] = false;
	if (p == c->master)
		c->master = NULL;
}

enum rc ctl_peer(struct ctl *c, enum role r, struct ipc_peer **out, struct why *why)
{
	if (!c->master)
		FAIL(why, RC_CLOSED, "the server has hung up");
	if (r == ROLE_MASTER)
		return *out = c->master, RC_OK;
	if (!c->introduced[r]) {
		struct msg_CTL_PEER ask = { .role = (uint32_t)r };
		TRY(ipc_ask(c->master, MSG_CTL_PEER, &ask, NULL, NULL, why));
	}
	enum rc rc = ipc_find(c->node, r, INTRODUCTION_MS, out);
	if (rc != RC_OK)
		FAIL(why, rc, "%s does not answer", role_name(r));
	return RC_OK;
}

enum rc ctl_ask(struct ctl *c, enum role r, enum msg_type t, const void *question, void *out_answer, struct ipc_reply *reply, struct why *why)
{
	struct ipc_peer *peer;
	TRY(ctl_peer(c, r, &peer, why));
	return ipc_ask(peer, t, question, out_answer, reply, why);
}

void ctl_audit(struct ctl *c, const char *what, struct str before, struct str after)
{
	struct ipc_peer *peer;
	struct why why;
	char who[64];
	const struct passwd *me = getpwuid(getuid());
	struct msg_CTL_PEER ask = { .role = ROLE_LEDGER };
	(void)snprintf(who, sizeof who, "cli:%.40s", me ? me->pw_name : "?");
	struct msg_AUDIT entry = { .at_ms = (uint64_t)wall_ms(), .who = str_z(who), .from = STR("control socket"), .what = str_z(what), .before = before, .after = after };
	bool told = c->master && (c->introduced[ROLE_LEDGER] || ipc_ask(c->master, MSG_CTL_PEER, &ask, NULL, NULL, &why) == RC_OK) &&
	            ipc_find(c->node, ROLE_LEDGER, INTRODUCTION_MS, &peer) == RC_OK && ipc_tell(peer, MSG_AUDIT, &entry, -1) == RC_OK;
	/* The answer to this also says that the entry has arrived. */
	if (!told || ctl_ask(c, ROLE_LEDGER, MSG_LEDGER_FLUSH, &(struct msg_LEDGER_FLUSH){ 0 }, &(struct msg_LEDGER_FLUSH_answer){ 0 }, NULL, &why) != RC_OK)
		(void)say_error(c->call, STATUS_OK, "done, but the audit log could not be told", NULL, "letterlock status");
}

static void on_violation(void *house, struct ipc_peer *p, const char *what)
{
	struct ctl *c = house;
	(void)what;
	c->stranger |= p == c->master;
}

/* Nothing is asked before both sides know that they are of one build: whoever is not is hung up on, and no question would hear why. */
static bool greeted(struct ctl *c)
{
	struct ipc_peer *master;
	int64_t until = loop_now(c->loop) + INTRODUCTION_MS;
	while (c->master && loop_now(c->loop) < until)
		if (ipc_find(c->node, ROLE_MASTER, LOOK_MS, &master) == RC_OK)
			return true;
	return false;
}

static void run(void *arg)
{
	struct ctl *c = arg;
	if (greeted(c))
		c->status = c->work(c, c->arg);
	else if (c->stranger)
		c->status = say_error(c->call, STATUS_FAILED, "the server cannot be asked", "it is another build of this program, from before an upgrade",
		                      "restart the server (systemctl restart letterlock); SIGTERM to its first process stops it");
	else
		c->status = say_error(c->call, STATUS_FAILED, "the server cannot be asked", "it does not answer", "look into its log");
	loop_stop(c->loop);
}

static enum rc connect_and_run(struct ctl *c, int take_fd, struct why *why)
{
	struct ipc_config ipc = { .role = ROLE_CTL, .house = c, .gone = on_gone, .violation = on_violation, .on = { [MSG_PEER] = on_peer } };
	AUTO(fd_close) int fd = take_fd;
	TRY(ipc_node_new(c->loop, &ipc, &c->node));
	enum rc rc = ipc_attach(c->node, fd, ROLE_MASTER, 0, &c->master, why);
	fd = -1;
	if (rc == RC_OK)
		rc = fiber_start(c->loop, run, c, NULL);
	if (rc == RC_OK)
		loop_run(c->loop);
	ipc_node_free(&c->node);
	return rc;
}

static enum status not_running(const struct call *call, const char *why)
{
	char act[400] = "start it (letterlock serve); these work without it:";
	size_t n = strlen(act);
	for (size_t i = 0; i < verb_n; i++) {
		const struct verb *v = &verbs[i];
		if (!v->offline || v->run == run_serve)
			continue;
		int more = snprintf(act + n, sizeof act - n, " %s%s%s,", v->noun, v->verb ? " " : "", v->verb ? v->verb : "");
		if (more < 0 || (size_t)more >= sizeof act - n)
			break;
		n += (size_t)more;
	}
	act[n - 1] = 0;
	return say_error(call, STATUS_FAILED, "server is not running", why, act);
}

enum status ctl_run(const struct call *call, const struct config *config, ctl_work *work, void *arg)
{
	struct ctl c = { .call = call, .config = config, .work = work, .arg = arg, .status = STATUS_FAILED };
	struct why why = { 0 };
	int fd;
	if (dial(config, &fd, &why) != RC_OK) {
		if (why.sys == EACCES || why.sys == EPERM)
			return say_error(call, STATUS_FAILED, "the server may not be asked", why.text, "run this as root or as the server's user");
		return not_running(call, why.text);
	}
	enum rc rc = loop_open(&c.loop, &why);
	if (rc == RC_OK)
		rc = connect_and_run(&c, fd, &why);
	loop_close(&c.loop);
	return rc == RC_OK ? c.status : say_error(call, STATUS_FAILED, "the server cannot be asked", why.text, "letterlock status");
}

static bool use_socket(struct config *out, const char *path)
{
	config_init(out);
	if (path)
		out->server_control = str_z(path);
	out->server_hostname = STR("");
	return ctl_server_runs(out);
}

bool call_control(const struct call *c, struct config *out)
{
	struct why why = { 0 };
	enum rc rc = config_file_load(c->config_path, out, NULL, &why);
	if (rc == RC_OK) {
		if (c->control)
			out->server_control = str_z(c->control);
		return true;
	}
	if (use_socket(out, c->control)) {
		(void)say_error(c, STATUS_OK, "the configuration cannot be read; the server that runs is asked all the same", why.text, "letterlock config check");
		return true;
	}
	config_done(out);
	char act[300];
	(void)snprintf(act, sizeof act, "%s; a running server is found with --control PATH", rc == RC_NOTFOUND ? "give --config FILE, or write " CONFIG_PATH : "letterlock config check");
	(void)say_error(c, STATUS_FAILED, c->control ? "no server answers on the socket of --control, and the configuration cannot be used" : "the configuration cannot be used", why.text, act);
	return false;
}

enum status ctl_verb(struct call *c, ctl_work *work)
{
	struct config config;
	if (!call_control(c, &config))
		return STATUS_FAILED;
	enum status s = ctl_run(c, &config, work, c);
	config_done(&config);
	return s;
}
