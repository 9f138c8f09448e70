#include "role/door.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/tls.h"
#include "os/file.h"
#include "role/door_load.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TICKETS_MS = 600 * 1000, PROXY_MS = 10000, HANDSHAKE_MS = 30000 };

struct doors {
	struct role_env *e;
	struct door_config c;
	struct tls_server *tls;
	struct ticker *tickets;
	struct door_load load;
};

struct accepted { struct doors *d; const struct role_listener *l; int fd; struct net_addr peer; bool by_us; };

/* ---- TLS: the private half stays in the vault ---- */

static enum rc sign(void *house, uint64_t key_id, enum tls_scheme scheme, struct str digest, struct buf *out)
{
	struct role_env *e = house;
	struct msg_TLS_SIGN q = { .key = key_id, .scheme = (uint8_t)scheme, .digest = digest };
	struct msg_TLS_SIGN_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_TLS_SIGN, &q, &a, &reply, true, NULL));
	buf_add(out, a.signature);
	ipc_reply_done(&reply);
	return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc fetch_tls(struct doors *d, struct why *why)
{
	struct msg_TLS_CHAINS_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(d->e->node, ROLE_VAULT, MSG_TLS_CHAINS, &(struct msg_TLS_CHAINS){ 0 }, &a, &reply, true, why));
	struct cursor c = cursor_of(a.chains);
	enum rc rc = RC_OK;
	tls_server_clear(d->tls);
	while (c.in.n && !c.failed && rc == RC_OK) {
		uint64_t id = cursor_u64(&c);
		struct str pem = cursor_run(&c, 1 << 20);
		if (!c.failed)
			rc = tls_server_chain(d->tls, id, pem, why);
	}
	tls_server_tickets(d->tls, a.tickets);
	ipc_reply_done(&reply);
	return rc;
}

static void tickets_fiber(void *arg)
{
	struct why why = { 0 };
	if (fetch_tls(arg, &why) != RC_OK)
		log_event(LEVEL_ERROR, EV_TLS_BAD, F("reason", why.text));
}

void doors_on_tls_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct doors *d = ((struct role_env *)env)->doors;
	(void)from, (void)call, (void)msg;
	fd_close(&fd);
	if (d)
		tickets_fiber(d);
}

static void tickets_due(void *arg)
{
	struct doors *d = arg;
	door_load_mend(&d->load);
	(void)!fiber_start(d->e->loop, tickets_fiber, d, NULL);
}

/* ---- a connection ---- */

static struct limit_key total_key(const struct doors *d)
{
	static const uint8_t everyone[16] = { 0 };
	return limit_key_of((char)(d->c.thing | 0x20), everyone);
}

/* Loopback and Unix sockets are counted in total only: they are this machine's own. */
static bool within_limits(struct doors *d, struct door_visit *v, bool local)
{
	struct limits *l = env_limits(d->e);
	const struct config *c = d->e->config;
	struct limit_key net = limit_key_of(d->c.thing, v->network);
	if (!l)
		return true;
	if (!local && d->c.rate_per_network(c) &&
	    !limits_rate(l, limit_key_of((char)(d->c.thing + 1), v->network), loop_now(d->e->loop), 60000, (uint32_t)d->c.rate_per_network(c)))
		return false;
	if (!limits_enter(l, total_key(d), d->e->slot, (uint32_t)d->c.max_total(c)))
		return false;
	if (limits_enter(l, net, d->e->slot, local ? UINT32_MAX : (uint32_t)d->c.max_per_network(c)))
		return true;
	limits_leave(l, total_key(d), d->e->slot);
	return false;
}

static void leave_limits(struct doors *d, struct door_visit *v)
{
	struct limits *l = env_limits(d->e);
	if (!l)
		return;
	limits_leave(l, limit_key_of(d->c.thing, v->network), d->e->slot);
	limits_leave(l, total_key(d), d->e->slot);
}

static enum rc take_proxy(struct doors *d, int fd, struct proxy_source *out, bool *out_used)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof sa;
	struct net_addr from = { .len = 0 };
	char ip[46];
	uint16_t port;
	uint8_t bytes[16];
	struct why why;
	if (getpeername(fd, (struct sockaddr *)&sa, &n) < 0)
		return RC_CLOSED;
	from.sa = sa;
	from.len = n;
	net_ip_text(&from, ip, &port);
	bool trusted = false;
	for (size_t i = 0; i < d->e->config->proxy_n && net_addr16(ip, bytes); i++)
		trusted = trusted || net_range_has(&d->e->config->proxies[i], bytes);
	if (!trusted)
		return RC_DENIED;
	enum rc rc = proxy_read(fd, loop_now(d->e->loop) + PROXY_MS, out, &why);
	*out_used = rc == RC_OK;
	return rc == RC_AGAIN ? RC_OK : rc;
}

static void serve_limited(struct doors *d, struct door_visit *v)
{
	enum metric now = d->c.open_now[v->proto], all = d->c.so_far[v->proto];
	bool implicit = listener_is_tls(v->proto);
	count_add(d->e, now, 1);
	count_add(d->e, all, 1);
	d->e->sessions++;
	if (implicit) {
		stream_timeout(v->stream, HANDSHAKE_MS);
		enum rc rc = stream_starttls(v->stream);
		count_add(d->e, rc == RC_OK ? M_TLS_HANDSHAKES : M_TLS_FAILED, 1);
		if (rc == RC_OK)
			d->c.serve(v);
	} else {
		d->c.serve(v);
	}
	d->e->sessions--;
	count_add(d->e, now, -1);
}

static void note_uid(struct door_visit *v, int fd, const struct net_addr *peer)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	if (peer->sa.ss_family != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || n != sizeof cred)
		return;
	v->uid = cred.uid;
	v->has_uid = true;
	v->is_own = cred.uid == 0 || cred.uid == geteuid();
}

static void visit(struct accepted *a)
{
	struct doors *d = a->d;
	struct door_visit v = { .e = d->e, .proto = a->l->proto, .since = loop_now(d->e->loop) };
	struct proxy_source from = { 0 };
	bool proxied = false;
	uint64_t sid = 0;
	uint8_t ip[16];
	struct why why = { 0 };
	enum rc rc = a->l->proxy ? take_proxy(d, a->fd, &from, &proxied) : RC_OK;
	if (rc != RC_OK) {
		log_event(LEVEL_INFO, EV_REFUSED, F("proto", listener_proto_names[a->l->proto]), F("reason", "PROXY header missing, broken, or from a network that is not trusted"));
		fd_close(&a->fd);
		return;
	}
	note_uid(&v, a->fd, &a->peer);
	/* Without a certificate nobody is promised STARTTLS. */
	const struct tls_provider *tls = tls_server_ready(d->tls) ? tls_server_provider(d->tls) : NULL;
	/* Who gave it may not have closed it yet. */
	if (stream_of_accepted(d->e->loop, a->fd, &a->peer, a->by_us, tls, &v.stream, &why) != RC_OK)
		return;
	if (proxied)
		stream_set_peer(v.stream, from.ip, from.port);
	const struct stream_facts *f = stream_facts(v.stream);
	if (net_addr16(f->peer_ip, ip))
		net_client_network(ip, v.network);
	(void)!random_bytes(&sid, sizeof sid);
	short_id(sid, v.sid);
	if (within_limits(d, &v, (f->loopback || f->unix_socket) && !proxied)) {
		serve_limited(d, &v);
		leave_limits(d, &v);
	} else {
		log_event(LEVEL_INFO, EV_REFUSED, F("proto", listener_proto_names[v.proto]), F("ip", f->peer_ip), F("reason", "too many connections"));
		stream_write(v.stream, str_z(d->c.busy(v.proto)));
		(void)!stream_flush(v.stream);
	}
	stream_free(&v.stream);
}

static void visit_fiber(void *arg)
{
	struct accepted a = *(struct accepted *)arg;
	mem_free(arg);
	visit(&a);
	door_load_end(&a.d->load);
}

/* In a fiber of its own; the connection is counted from now on. */
static void begin(struct doors *d, const struct role_listener *l, int take_fd, const struct net_addr *peer, bool by_us)
{
	struct accepted *a = mem_new(sizeof *a);
	door_load_begin(&d->load, by_us);
	if (a)
		*a = (struct accepted){ d, l, take_fd, *peer, by_us };
	if (a && fiber_start(d->e->loop, visit_fiber, a, NULL) == RC_OK)
		return;
	mem_free(a);
	fd_close(&take_fd);
	door_load_end(&d->load);
}

/* What was accepted from such a listener, by what the kernel says of both. */
static bool came_by(const struct role_listener *l, int fd)
{
	static const int what[] = { SO_TYPE, SO_DOMAIN };
	for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
		int a = -1, b = -2;
		socklen_t an = sizeof a, bn = sizeof b;
		if (getsockopt(l->fd, SOL_SOCKET, what[i], &a, &an) < 0 || getsockopt(fd, SOL_SOCKET, what[i], &b, &bn) < 0 || a != b)
			return false;
	}
	return true;
}

/* One that comes when we are about to stop, or of which nobody is left, is closed. */
void doors_on_connection(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	const struct msg_CONNECTION *m = msg;
	struct net_addr peer = { .len = sizeof peer.sa };
	(void)call;
	bool ours = ipc_peer_role(from) == e->ops->role && m->listener < e->listener_n && came_by(&e->listeners[m->listener], fd) &&
	            getpeername(fd, (struct sockaddr *)&peer.sa, &peer.len) == 0;
	if (ours && e->doors && !e->stopping) {
		begin(e->doors, &e->listeners[m->listener], fd, &peer, false);
		return;
	}
	fd_close(&fd);
	if (e->doors)
		door_load_refuse(&e->doors->load);
}

struct door { struct doors *d; const struct role_listener *l; };

/* True: nobody is waiting outside. Out of descriptors or memory: waits a little instead of spinning; the kernel keeps the queue. */
static bool accept_all(struct doors *d, const struct role_listener *l)
{
	for (int i = 0; i < 64 && !d->e->stopping; i++) {
		struct net_addr peer = { .len = sizeof peer.sa };
		int fd = accept4(l->fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EAGAIN)
				return true;
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
				(void)!fiber_sleep(50);
			return false;
		}
		if (!door_load_give(&d->load, (size_t)(l - d->e->listeners), &fd))
			begin(d, l, fd, &peer, true);
	}
	fiber_yield();
	return false;
}

static void accept_fiber(void *arg)
{
	struct door door = *(struct door *)arg;
	struct io_poll *poll;
	mem_free(arg);
	while (io_poll_open(door.d->e->loop, door.l->fd, &poll) != RC_OK)
		if (fiber_sleep(50) != RC_OK)
			return;
	while (!door.d->e->stopping && !fiber_cancelled()) {
		io_poll_reading(poll);
		if (!accept_all(door.d, door.l))
			continue;
		enum rc rc = io_poll_wait_drained(poll, IO_READ, NO_DEADLINE);
		if (rc != RC_OK && (rc == RC_CLOSED || fiber_sleep(50) != RC_OK)) /* short of memory: a door is not closed for that */
			break;
	}
	io_poll_close(&poll, false);
}

enum rc doors_open(struct role_env *e, const struct door_config *c, struct why *why)
{
	struct doors *d = mem_new(sizeof *d);
	if (!d)
		FAIL(why, RC_NOMEM, "no memory");
	*d = (struct doors){ .e = e, .c = *c };
	e->doors = d;
	TRY(tls_server_new(&(struct tls_key_hook){ .house = e, .sign = sign }, &d->tls, why));
	TRY(fetch_tls(d, why));
	TRY(ticker_start(e->loop, TICKETS_MS, tickets_due, d, &d->tickets));
	for (size_t i = 0; i < e->listener_n; i++) {
		struct door *door = mem_new(sizeof *door);
		if (!door)
			FAIL(why, RC_NOMEM, "no memory");
		*door = (struct door){ d, &e->listeners[i] };
		TRY(fiber_start(e->loop, accept_fiber, door, NULL));
	}
	door_load_open(&d->load, e);
	return RC_OK;
}

void doors_close(struct role_env *e)
{
	struct doors *d = e->doors;
	e->doors = NULL;
	if (!d)
		return;
	door_load_close(&d->load);
	ticker_stop(&d->tickets);
	tls_server_free(&d->tls);
	mem_free(d);
}
