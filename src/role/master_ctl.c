#include "role/master_state.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/tls.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEM_MAX = 256 * 1024, ZONES_MAX = 64 << 20, ZONES_LIST = 16 };

static struct proc *proc_of(struct ipc_peer *p) { return ipc_peer_note(p); }

void master_peer_gone(void *house, struct ipc_peer *p)
{
	struct master *m = house;
	for (size_t i = 0; i < m->proc_n; i++)
		if (m->procs[i].peer == p)
			m->procs[i].peer = NULL;
}

/* READY=1 to the service manager (sd_notify(3)): one datagram. */
static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct { sa_family_t family; char path[108]; } a = { .family = AF_UNIX };
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof a.path)
		return;
	memcpy(a.path, path, strlen(path));
	if (a.path[0] == '@')
		a.path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&a, (socklen_t)(sizeof a.family + strlen(path)));
	fd_close(&fd);
}

static void on_ready(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct master *m = house;
	struct proc *p = proc_of(from);
	(void)call, (void)msg;
	fd_close(&fd);
	if (!p)
		return;
	p->ready = p->served = true;
	log_event(LEVEL_INFO, EV_START, F("child", role_name(p->ops->role)), F("number", p->index), F("child_pid", p->pid));
	for (size_t i = 0; i < m->proc_n; i++)
		if (!m->procs[i].ready)
			return;
	if (!m->announced) {
		m->announced = true;
		log_event(LEVEL_INFO, EV_READY, F("start_ms", loop_now(m->loop) - m->started));
		notify_ready();
	}
}

/* ---- the command line ---- */

static void put_text(struct buf *b, const char *key, struct str v)
{
	buf_addf(b, "\"%s\":\"", key);
	json_escape(b, v);
	buf_byte(b, '"');
}

static void put_procs(struct master *m, struct buf *b)
{
	buf_addf(b, "\"processes\":[");
	for (size_t i = 0; i < m->proc_n; i++) {
		struct proc *p = &m->procs[i];
		struct msg_HEALTH_answer h = { 0 };
		bool healthy = p->peer && p->ready && ipc_ask(p->peer, MSG_HEALTH, &(struct msg_HEALTH){ 0 }, &h, NULL, NULL) == RC_OK;
		buf_addf(b, "%s{\"role\":\"%s\",\"index\":%u,\"pid\":%d,\"ready\":%s,\"restarts\":%u,\"sessions\":%llu,\"stack_high_water\":%llu}", i ? "," : "",
		         role_name(p->ops->role), p->index, (int)p->pid, healthy ? "true" : "false", p->restarts, (unsigned long long)h.sessions,
		         (unsigned long long)h.stack_high_water);
	}
	buf_byte(b, ']');
}

static void put_listeners(const struct master *m, struct buf *b)
{
	buf_addf(b, "\"listeners\":[");
	for (size_t i = 0; i < m->config->listener_n; i++) {
		const struct config_listener *l = &m->config->listeners[i];
		buf_addf(b, "%s{\"proto\":\"%s\",", i ? "," : "", listener_proto_names[l->proto]);
		put_text(b, "address", l->address);
		buf_byte(b, '}');
	}
	buf_byte(b, ']');
}

static void put_store(struct master *m, struct buf *b)
{
	struct msg_STORE_STATS_answer s;
	if (ipc_ask_role(m->node, ROLE_STORE, MSG_STORE_STATS, &(struct msg_STORE_STATS){ 0 }, &s, NULL, true, NULL) != RC_OK)
		return;
	buf_addf(b, ",\"store\":{\"commits\":%llu,\"verbs\":%llu,\"segments\":%llu,\"live_bytes\":%llu,\"dead_bytes\":%llu,\"disk_free\":%llu}",
	         (unsigned long long)s.commits, (unsigned long long)s.verbs, (unsigned long long)s.segments, (unsigned long long)s.live_bytes,
	         (unsigned long long)s.dead_bytes, (unsigned long long)s.disk_free);
}

static void put_queue(struct master *m, struct buf *b)
{
	struct msg_QUEUE_STATE_answer q;
	if (ipc_ask_role(m->node, ROLE_RELAY, MSG_QUEUE_STATE, &(struct msg_QUEUE_STATE){ 0 }, &q, NULL, true, NULL) == RC_OK)
		buf_addf(b, ",\"queue\":{\"ready\":%u,\"deferred\":%u,\"held\":%u,\"sending\":%u,\"destinations\":%u,\"connections\":%u,\"oldest_ms\":%llu}", q.ready, q.deferred, q.held,
		         q.under_way, q.lanes, q.connections, (unsigned long long)q.oldest_ms);
}

static void on_status(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct master *m = house;
	struct buf b;
	(void)from, (void)msg;
	fd_close(&fd);
	buf_init(&b, 65000);
	bool all = true;
	for (size_t i = 0; i < m->proc_n; i++)
		all = all && m->procs[i].ready;
	buf_addf(&b, "{\"version\":\"%s\",\"pid\":%d,\"ready\":%s,\"uptime_ms\":%lld,\"config_ok\":%s,", LETTERLOCK_VERSION, (int)getpid(), all ? "true" : "false",
	         (long long)(loop_now(m->loop) - m->started), m->shared->metrics[0][M_CONFIG_OK] ? "true" : "false");
	put_text(&b, "hostname", m->config->server_hostname);
	buf_byte(&b, ',');
	put_text(&b, "config", str_z(m->config_path));
	buf_byte(&b, ',');
	put_text(&b, "data_dir", m->config->server_data_dir);
	buf_byte(&b, ',');
	put_procs(m, &b);
	buf_byte(&b, ',');
	put_listeners(m, &b);
	put_store(m, &b);
	put_queue(m, &b);
	buf_byte(&b, '}');
	ipc_answer(call, b.failed ? RC_LIMIT : RC_OK, NULL, &(struct msg_CTL_STATUS_answer){ .report = buf_str(&b) });
	buf_done(&b);
}

static void on_sandbox(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct master *m = house;
	struct buf b;
	(void)from, (void)msg;
	fd_close(&fd);
	buf_init(&b, 65000);
	buf_byte(&b, '[');
	for (size_t i = 0; i < m->proc_n; i++) {
		struct proc *p = &m->procs[i];
		struct msg_SANDBOX_TEST_answer a = { 0 };
		struct ipc_reply reply = { 0 };
		struct why why = { .text = "not running" };
		enum rc rc = p->peer ? ipc_ask(p->peer, MSG_SANDBOX_TEST, &(struct msg_SANDBOX_TEST){ 0 }, &a, &reply, &why) : RC_CLOSED;
		struct sandbox_proof proof = { (int)a.open_passwd, (int)a.exec, (int)a.connect, (int)a.foreign_read };
		bool holds = rc == RC_OK && sandbox_holds(&proof) && a.pid == (uint32_t)p->pid;
		buf_addf(&b, "%s{\"role\":\"%s\",\"index\":%u,\"pid\":%d,\"open_passwd\":%u,\"exec\":%u,\"connect\":%u,\"foreign_read\":%u,\"holds\":%s,", i ? "," : "",
		         role_name(p->ops->role), p->index, (int)p->pid, a.open_passwd, a.exec, a.connect, a.foreign_read, holds ? "true" : "false");
		put_text(&b, "text", rc == RC_OK ? a.text : str_z(why.text));
		buf_byte(&b, '}');
		ipc_reply_done(&reply);
	}
	buf_byte(&b, ']');
	ipc_answer(call, b.failed ? RC_LIMIT : RC_OK, NULL, &(struct msg_CTL_SANDBOX_answer){ .report = buf_str(&b) });
	buf_done(&b);
}

static void on_ctl_reload(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = master_reload(house, &why);
	ipc_answer(call, rc, &why, &(struct msg_CTL_RELOAD_answer){ .report = STR("configuration, certificates and zones are in force") });
}

static void on_ctl_stop(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)house, (void)from, (void)msg;
	fd_close(&fd);
	ipc_answer(call, RC_OK, NULL, NULL);
	(void)kill(getpid(), SIGTERM);
}

/* A channel between the command line and a role; from then on they talk alone, under the permissions of messages.def. */
static void on_ctl_peer(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct master *m = house;
	enum role r = ((const struct msg_CTL_PEER *)msg)->role;
	struct why why = { 0 };
	struct ipc_peer *to;
	int ends[2];
	fd_close(&fd);
	enum rc rc = r == ROLE_CTL || r >= ROLE_COUNT ? RC_DENIED : ipc_find(m->node, r, 3000, &to);
	if (rc == RC_OK && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		rc = RC_IO;
	if (rc != RC_OK) {
		rc = why_fail(&why, rc, errno, __FILE__, "%s is not there", role_name(r));
		ipc_answer(call, rc, &why, NULL);
		return;
	}
	rc = ipc_tell(to, MSG_PEER, &(struct msg_PEER){ .role = ROLE_CTL, .index = ipc_peer_index(from) }, ends[0]);
	if (rc == RC_OK)
		rc = ipc_tell(from, MSG_PEER, &(struct msg_PEER){ .role = r, .index = ipc_peer_index(to) }, ends[1]);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	ipc_answer(call, rc, &why, NULL);
}

/* ---- who is at the other end of a Unix socket: the children cannot look ---- */

struct looking { unsigned uid; char name[64]; };
static void look(void *arg)
{
	struct looking *l = arg;
	char room[4096];
	struct passwd pw, *found = NULL;
	if (getpwuid_r(l->uid, &pw, room, sizeof room, &found) == 0 && found && strlen(found->pw_name) < sizeof l->name)
		memcpy(l->name, found->pw_name, strlen(found->pw_name) + 1);
}

static void on_unix_user(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct looking l = { .uid = ((const struct msg_UNIX_USER *)msg)->uid };
	(void)house, (void)from;
	fd_close(&fd);
	enum rc rc = worker_run(look, &l); /* it may ask a directory service */
	if (rc == RC_OK && !l.name[0])
		rc = RC_NOTFOUND;
	ipc_answer(call, rc, NULL, &(struct msg_UNIX_USER_answer){ .name = str_z(l.name) });
}

ipc_handler *const master_on[MSG_COUNT] = {
	[MSG_UNIX_USER] = on_unix_user,
	[MSG_READY] = on_ready,
	[MSG_CTL_STATUS] = on_status,
	[MSG_CTL_SANDBOX] = on_sandbox,
	[MSG_CTL_RELOAD] = on_ctl_reload,
	[MSG_CTL_STOP] = on_ctl_stop,
	[MSG_CTL_PEER] = on_ctl_peer,
};

/* ---- certificates and configuration ---- */

static enum rc read_path(struct str path, size_t most, struct buf *out, struct why *why)
{
	char z[4096];
	if (path.n >= sizeof z)
		FAIL(why, RC_LIMIT, "a path is too long");
	memcpy(z, path.p, path.n);
	z[path.n] = '\0';
	AUTO(fd_close) int fd = open(z, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL_SYS(why, "%s cannot be read: %s", z, strerror(errno));
	return fd_read_all(fd, most, out, why);
}

static enum rc put_pair(const struct config_tls *t, struct buf *out, struct why *why)
{
	struct buf chain, key;
	struct why one = { 0 };
	buf_init(&chain, PEM_MAX);
	buf_init(&key, PEM_MAX);
	enum rc rc = read_path(t->cert, PEM_MAX, &chain, &one);
	if (rc == RC_OK)
		rc = read_path(t->key, PEM_MAX, &key, &one);
	if (rc != RC_OK)
		rc = why_fail(why, rc, one.sys, one.at, "tls \"%.*s\": %.120s", PSTR(str_head(t->name, 60)), one.text);
	if (rc == RC_OK) {
		buf_run(out, t->name);
		buf_run(out, buf_str(&chain));
		buf_run(out, buf_str(&key));
	}
	buf_done(&chain);
	buf_wipe(&key);
	return rc;
}

/* `pairs`: what put_pair() made of each. Most others would rather have such a certificate than no TLS: it is served, and not without a word. */
static void say_expired(const struct config *c, struct str pairs)
{
	struct cursor in = cursor_of(pairs);
	for (size_t i = 0; i < c->tls_n && !in.failed; i++) {
		struct why why = { 0 };
		struct str name = cursor_run(&in, in.in.n), chain = cursor_run(&in, in.in.n);
		(void)cursor_run(&in, in.in.n); /* the key */
		if (!in.failed && tls_chain_valid(chain, wall_ms() / 1000, &why) == RC_LATE)
			log_event(LEVEL_WARN, EV_TLS_DATE, F("name", name), F("cert", c->tls[i].cert), F("reason", why.text));
	}
}

enum rc master_load_tls(struct master *m, const struct config *c, struct why *why)
{
	struct buf pairs;
	buf_init(&pairs, 1 << 20);
	enum rc rc = RC_OK;
	for (size_t i = 0; i < c->tls_n && rc == RC_OK; i++)
		rc = put_pair(&c->tls[i], &pairs, why);
	if (rc == RC_OK && pairs.failed)
		rc = why_fail(why, RC_LIMIT, 0, __FILE__, "the certificates are larger than 1 MiB together");
	struct msg_TLS_LOAD q = { .pairs = buf_str(&pairs), .count = (uint32_t)c->tls_n };
	if (rc == RC_OK)
		rc = ipc_ask_role(m->node, ROLE_VAULT, MSG_TLS_LOAD, &q, NULL, NULL, true, why);
	if (rc == RC_OK) {
		log_event(LEVEL_INFO, EV_TLS_LOADED, F("count", c->tls_n));
		say_expired(c, q.pairs);
	} else {
		log_event(LEVEL_ERROR, EV_TLS_BAD, F("reason", why->text), F("errno", why->sys));
	}
	buf_wipe(&pairs);
	return rc;
}

/* The files of dns.zones for the resolver, which can open none any more. Read now, in force with keep_zones(). */
static enum rc load_zones(struct master *m, const struct config *c, struct why *why)
{
	struct buf packed AUTO(buf_done);
	struct str path[ZONES_LIST];
	size_t n = str_words(c->dns_zones, path, ZONES_LIST);
	buf_init(&packed, ZONES_MAX);
	for (size_t i = 0; i < n; i++) {
		struct buf text AUTO(buf_done);
		buf_init(&text, ZONES_MAX);
		TRY(read_path(path[i], ZONES_MAX - 65536, &text, why));
		buf_run(&packed, path[i]);
		buf_run(&packed, buf_str(&text));
	}
	if (packed.failed)
		FAIL(why, RC_LIMIT, "the files of dns.zones are larger than %d MiB together", ZONES_MAX >> 20);
	return n ? ipc_ask_role(m->node, ROLE_RESOLVER, MSG_ZONES_LOAD, &(struct msg_ZONES_LOAD){ .zones = buf_str(&packed) }, NULL, NULL, true, why) : RC_OK;
}

/* A resolver that was started again meanwhile has read the new files itself. */
static enum rc keep_zones(struct master *m, const struct config *c, struct why *why)
{
	if (!c->dns_zones.n)
		return RC_OK;
	enum rc rc = ipc_ask_role(m->node, ROLE_RESOLVER, MSG_ZONES_LOAD, &(struct msg_ZONES_LOAD){ .keep = 1, .zones = STR("") }, NULL, NULL, true, why);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* What the running processes were started with: a reload that left it as it is would be answered with an untruth, and a process that is
 * started again later would meet a half-changed server. */
static const char *needs_restart(const struct config *a, const struct config *b)
{
	if (!str_eq(a->server_data_dir, b->server_data_dir))
		return "server.data_dir";
	if (!str_eq(a->server_control, b->server_control))
		return "server.control";
	if (!str_eq(a->server_user, b->server_user))
		return "server.user";
	if (!str_eq(a->server_sandbox, b->server_sandbox))
		return "server.sandbox";
	if (!str_eq(a->server_root_key, b->server_root_key))
		return "server.root_key";
	if (a->server_demo != b->server_demo)
		return "server.demo";
	if (a->process_edge != b->process_edge || a->process_access != b->process_access || a->process_scan != b->process_scan ||
	    a->process_reader != b->process_reader)
		return "the number of processes";
	if (!str_eq(a->dns_forwarder, b->dns_forwarder) || !str_eq(a->dns_zones, b->dns_zones) || !str_eq(a->dns_trust_anchor, b->dns_trust_anchor) ||
	    !str_eq(a->dns_insecure, b->dns_insecure) || a->dns_port != b->dns_port)
		return "dns";
	bool same = a->listener_n == b->listener_n;
	for (size_t i = 0; same && i < a->listener_n; i++)
		same = a->listeners[i].proto == b->listeners[i].proto && a->listeners[i].proxy == b->listeners[i].proxy &&
		       str_eq(a->listeners[i].address, b->listeners[i].address);
	return same ? NULL : "listen";
}

/* A new configuration, its certificates and zones are checked first; while one of them is wrong, the old ones stay in force. */
enum rc master_reload(struct master *m, struct why *why)
{
	struct config *fresh = mem_new(sizeof *fresh);
	if (!fresh)
		FAIL(why, RC_NOMEM, "no memory");
	enum rc rc = m->load(m->config_path, fresh, why);
	const char *fixed = rc == RC_OK ? needs_restart(m->config, fresh) : NULL;
	if (fixed)
		rc = why_fail(why, RC_DENIED, 0, __FILE__, "%s changes only with a restart", fixed);
	if (rc == RC_OK)
		rc = load_zones(m, fresh, why);
	if (rc == RC_OK)
		rc = master_load_tls(m, fresh, why);
	if (rc == RC_OK)
		rc = keep_zones(m, fresh, why);
	if (rc != RC_OK) {
		config_done(fresh);
		mem_free(fresh);
		m->shared->metrics[0][M_CONFIG_OK] = 0;
		log_event(LEVEL_ERROR, EV_CONFIG_BAD, F("reason", why->text));
		return rc;
	}
	m->config = fresh; /* the one before it stays for whoever still borrows from it; reloads are rare */
	m->shared->metrics[0][M_CONFIG_OK] = 1;
	TRY(master_publish_config(m, why));
	log_event(LEVEL_INFO, EV_CONFIG, F("path", m->config_path));
	return RC_OK;
}
