#include "role/role.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/spawn.h"
#include "role/door_load.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

size_t shared_size(void) { return sizeof(struct shared) + limits_size(); }

const struct role_ops *role_ops_of(enum role r)
{
	static const struct role_ops *const all[] = { &role_vault, &role_store, &role_reader, &role_edge, &role_access, &role_scan, &role_ledger, &role_web, &role_resolver, &role_relay };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i]->role == r)
			return all[i];
	return NULL;
}

const char *role_path(const struct role_env *e, const char *sub)
{
	struct buf b;
	buf_init(&b, 4096);
	buf_add(&b, e->config->server_data_dir);
	buf_byte(&b, '/');
	buf_add(&b, str_z(sub));
	struct str s = arena_str(&e->config->a, buf_str(&b));
	buf_done(&b);
	return s.p;
}

/* ---- what every role answers ---- */

static void on_peer(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = house;
	const struct msg_PEER *m = msg;
	struct why why = { 0 };
	(void)from, (void)call;
	if (fd < 0 || m->role >= ROLE_COUNT) {
		fd_close(&fd);
		return;
	}
	/* One that died in the meantime is introduced again when it is back. */
	if (ipc_attach(e->node, fd, (enum role)m->role, m->index, NULL, &why) == RC_NOMEM)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text));
}

static void on_reload(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = house;
	const struct msg_RELOAD *m = msg;
	struct why why = { 0 };
	(void)from, (void)call;
	fd_close(&fd);
	struct config *c = mem_new(sizeof *c);
	if (!c || config_unpack(m->config, c, &why) != RC_OK) {
		mem_free(c);
		log_event(LEVEL_ERROR, EV_CONFIG_BAD, F("reason", why.text));
		return;
	}
	/* Sessions under way borrow from the old one: it stays until the process ends. A reload is rare and a configuration small. */
	e->config = c;
	if (e->ops->reload)
		e->ops->reload(e);
}

/* The sessions end by themselves or when the grace is over, then everything left is cancelled. */
static void on_stop(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = house;
	const struct msg_STOP *m = msg;
	(void)from, (void)call;
	fd_close(&fd);
	e->stopping = true;
	if (e->shared)
		door_shut(e->shared, e->slot); /* nobody gives us a connection any more */
	for (unsigned waited = 0; e->sessions && waited < m->grace_ms; waited += 20)
		if (fiber_sleep(20) != RC_OK)
			break;
	if (!e->embedded)
		loop_stop(e->loop);
}

static void on_sandbox_test(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = house;
	struct sandbox_proof p;
	(void)from, (void)msg;
	fd_close(&fd);
	sandbox_try(role_path(e, e->ops->role == ROLE_VAULT ? "index" : "vault"), &p);
	struct msg_SANDBOX_TEST_answer a = { .pid = (uint32_t)getpid(), .open_passwd = (uint32_t)p.open_passwd, .exec = (uint32_t)p.exec,
		.connect = (uint32_t)p.connect, .foreign_read = (uint32_t)p.foreign_read, .text = str_z(sandbox_text()) };
	ipc_answer(call, RC_OK, NULL, &a);
}

static void on_health(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = house;
	(void)from, (void)msg;
	fd_close(&fd);
	ipc_answer(call, RC_OK, NULL, &(struct msg_HEALTH_answer){ .sessions = e->sessions, .fibers = fiber_count(e->loop), .stack_high_water = fiber_stack_high_water() });
}

static void on_gone(void *house, struct ipc_peer *p)
{
	struct role_env *e = house;
	if (p == e->master) {
		e->master = NULL;
		if (!e->embedded)
			loop_stop(e->loop); /* when master dies, the children end */
	} else if (e->ops->gone) {
		e->ops->gone(e, p);
	}
}

static void on_came(void *house, struct ipc_peer *p)
{
	struct role_env *e = house;
	if (e->ops->came)
		e->ops->came(e, p);
}

static void on_violation(void *house, struct ipc_peer *p, const char *what)
{
	(void)house;
	log_event(LEVEL_ERROR, EV_IPC_VIOLATION, F("peer", role_name(ipc_peer_role(p))), F("reason", what));
}

static enum rc make_node(struct role_env *e, int take_fd, struct why *why)
{
	struct ipc_config c = { .role = e->ops->role, .index = e->index, .house = e, .gone = on_gone, .came = on_came, .violation = on_violation };
	for (size_t i = 0; i < MSG_COUNT; i++)
		c.on[i] = e->ops->on ? e->ops->on[i] : NULL;
	c.on[MSG_PEER] = on_peer;
	c.on[MSG_RELOAD] = on_reload;
	c.on[MSG_STOP] = on_stop;
	c.on[MSG_SANDBOX_TEST] = on_sandbox_test;
	c.on[MSG_HEALTH] = on_health;
	if (ipc_node_new(e->loop, &c, &e->node) != RC_OK) {
		fd_close(&take_fd);
		FAIL(why, RC_NOMEM, "no memory for the channels");
	}
	return ipc_attach(e->node, take_fd, ROLE_MASTER, 0, &e->master, why);
}

static void fatal(struct role_env *e, const struct why *why)
{
	log_event(LEVEL_ERROR, EV_FATAL, F("reason", why->text), F("errno", why->sys), F("at", why->at ? why->at : ""));
	loop_stop(e->loop);
}

static void start_fiber(void *arg)
{
	struct role_env *e = arg;
	struct why why = { 0 };
	enum rc rc = e->ops->start ? e->ops->start(e, &why) : RC_OK;
	if (rc == RC_OK && e->master)
		rc = ipc_tell(e->master, MSG_READY, &(struct msg_READY){ .role = e->ops->role }, -1);
	if (rc == RC_OK || rc == RC_CLOSED)
		return;
	e->ended = rc;
	fatal(e, &why);
}

enum rc role_embed(struct role_env *e, int take_fd, struct why *why)
{
	AUTO(fd_close) int fd = take_fd;
	if (e->ops->open)
		TRY(e->ops->open(e, why));
	int mine = fd;
	fd = -1;
	TRY(make_node(e, mine, why));
	return fiber_start(e->loop, start_fiber, e, NULL);
}

/* ---- the child process ---- */

enum rc role_user(const struct config *c, unsigned *out_uid, unsigned *out_gid, struct why *why)
{
	char name[64];
	*out_uid = *out_gid = 0;
	if (geteuid() != 0 || c->server_demo)
		return RC_OK;
	(void)snprintf(name, sizeof name, "%.*s", PSTR(c->server_user));
	const struct passwd *pw = getpwnam(name);
	if (!pw || pw->pw_uid == 0)
		FAIL(why, RC_NOTFOUND, "server.user: there is no ordinary user %s; make it with: adduser --system --group %s", name, name);
	*out_uid = pw->pw_uid;
	*out_gid = pw->pw_gid;
	return RC_OK;
}

enum rc role_files_as_user(const struct role_env *e, struct why *why)
{
	if (!e->uid)
		return RC_OK;
	(void)setfsgid(e->gid);
	(void)setfsuid(e->uid);
	if ((unsigned)setfsuid((uid_t)-1) != e->uid) /* the call's own way to ask who it is now */
		FAIL(why, RC_DENIED, "cannot open files as user %u", e->uid);
	return RC_OK;
}

static enum rc enter_sandbox(struct role_env *e, struct why *why)
{
	struct sandbox_path paths[ROLE_PATHS_MAX + 1] = { 0 };
	if (e->ops->paths)
		(void)e->ops->paths(e, paths);
	struct sandbox box = { .needs = e->ops->needs, .paths = paths[0].path ? paths : NULL, .max_fds = 65536,
		.max_memory = e->ops->max_memory,
		.reduced = str_eq(e->config->server_sandbox, STR("reduced")) };
	uint16_t ports[ROLE_PORTS_MAX];
	if (e->ops->ports) {
		box.ports = ports;
		box.port_n = e->ops->ports(e, ports);
		if (!box.port_n)
			box.needs &= ~(unsigned)SANDBOX_CONNECT;
	}
	box.uid = e->uid;
	box.gid = e->gid;
	TRY(sandbox_enter(&box, why));
	log_event(LEVEL_DEBUG, EV_SANDBOX, F("text", sandbox_text()));
	return RC_OK;
}

static enum rc take_descriptors(struct role_env *e, size_t listeners, char **argv, struct why *why)
{
	/* Mapped, not read: every child has the same open file, so its offset is everybody's. */
	struct stat st;
	if (fstat(5, &st) < 0 || st.st_size <= 0)
		FAIL_SYS(why, "the configuration handed over");
	void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, 5, 0);
	if (text == MAP_FAILED)
		FAIL_SYS(why, "map the configuration");
	enum rc rc = config_unpack(str_of(text, (size_t)st.st_size), e->config, why);
	(void)munmap(text, (size_t)st.st_size);
	TRY(rc);
	(void)close(5);
	void *map = mmap(NULL, shared_size(), PROT_READ | PROT_WRITE, MAP_SHARED, 4, 0);
	if (map == MAP_FAILED)
		FAIL_SYS(why, "map the shared table");
	e->shared = map;
	(void)close(4);
	e->listeners = mem_new(sizeof *e->listeners * (listeners + 1));
	if (!e->listeners)
		FAIL(why, RC_NOMEM, "no memory");
	for (size_t i = 0; i < listeners; i++) {
		uint64_t v = 0;
		if (!str_u64(str_z(argv[i]), 255, &v))
			FAIL(why, RC_SYNTAX, "bad listener");
		e->listeners[e->listener_n++] = (struct role_listener){ .proto = (enum listener_proto)(v & 63), .fd = 6 + (int)i, .proxy = v & 64 };
	}
	return RC_OK;
}

static enum rc run_child(struct role_env *e, size_t listeners, char **argv, struct why *why)
{
	TRY(take_descriptors(e, listeners, argv, why));
	TRY(role_user(e->config, &e->uid, &e->gid, why));
	if (e->ops->role != ROLE_VAULT)
		TRY(role_files_as_user(e, why));
	TRY(loop_open(&e->loop, why));
	if (e->ops->open)
		TRY(e->ops->open(e, why));
	TRY(enter_sandbox(e, why));
	TRY(make_node(e, 3, why));
	TRY(fiber_start(e->loop, start_fiber, e, NULL));
	loop_run(e->loop);
	if (e->ops->close)
		e->ops->close(e);
	ipc_node_free(&e->node);
	loop_close(&e->loop);
	return RC_OK;
}

/* Whose files and keys do not change by waiting: a secret, a record or the history. */
static int exit_status(const struct role_env *e, enum rc rc)
{
	if (rc == RC_OK)
		rc = e->ended;
	bool keeper = e->ops->role == ROLE_VAULT || e->ops->role == ROLE_STORE || e->ops->role == ROLE_LEDGER;
	bool lasting = rc == RC_DENIED || rc == RC_DAMAGED || (e->ops->role == ROLE_VAULT && (rc == RC_NOTFOUND || rc == RC_SYNTAX));
	return keeper && lasting ? EXIT_FOR_GOOD : rc != RC_OK;
}

int role_main(int argc, char **argv)
{
	struct role_env e = { 0 };
	struct config config;
	struct why why = { 0 };
	uint64_t index = 0, slot = 0;
	config_init(&config);
	e.config = &config;
	for (enum role r = 0; argc >= 4 && r < ROLE_COUNT; r++)
		if (role_ops_of(r) && str_eq(str_z(argv[1]), str_z(role_name(r))))
			e.ops = role_ops_of(r);
	if (!e.ops || !str_u64(str_z(argv[2]), 255, &index) || !str_u64(str_z(argv[3]), SHARED_SLOTS - 1, &slot)) {
		(void)fprintf(stderr, "letterlock --role is for the server's own use\n");
		return 2;
	}
	e.index = (unsigned)index;
	e.slot = (unsigned)slot;
	spawn_child_setup();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN); /* master decides when we end */
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)umask(077);
	log_setup(role_name(e.ops->role), e.index, LEVEL_INFO, 2);
	enum rc rc = run_child(&e, (size_t)argc - 4, argv + 4, &why);
	if (rc != RC_OK)
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", why.text), F("errno", why.sys), F("at", why.at ? why.at : ""));
	mem_free(e.listeners);
	if (e.config != &config) {
		config_done(e.config);
		mem_free(e.config);
	}
	config_done(&config);
	return exit_status(&e, rc);
}
