#include "role/access.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include <unistd.h>

/* The role `access`: IMAP and POP3 for people who log in. It reads sealed bytes, and opens those of the accounts logged in here. */

enum { OWNERS_MAX = 1000000, NAMES_MAX = 4096, SWEEP_MS = 10000 };

static size_t paths(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX])
{
	out[0] = (struct sandbox_path){ role_path(e, "segments"), false };
	return 1;
}

static enum rc open_access(struct role_env *e, struct why *why)
{
	struct access_house *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = h;
	map_init(&h->owners, OWNERS_MAX);
	map_init(&h->known, OWNERS_MAX);
	map_init(&h->names, NAMES_MAX);
	TRY(random_bytes(h->name_key, sizeof h->name_key));
	return dir_open(role_path(e, "segments"), &h->files.dir, why);
}

static uint64_t max_total(const struct config *c) { return c->access_connections; }
static uint64_t max_per_network(const struct config *c) { return c->access_connections_per_network; }
static uint64_t rate(const struct config *c)
{
	(void)c;
	return 0;
}

static const char *busy(enum listener_proto p)
{
	return p == LISTEN_POP3 || p == LISTEN_POP3S ? "-ERR [SYS/TEMP] too many connections, try again later\r\n"
	                                             : "* BYE [UNAVAILABLE] too many connections, try again later\r\n";
}

static void serve(struct door_visit *v)
{
	if (v->proto == LISTEN_POP3 || v->proto == LISTEN_POP3S)
		access_serve_pop3(v);
	else
		access_serve_imap(v);
}

static struct limit_key account_key(uint64_t account)
{
	uint8_t id[16] = { 0 };
	memcpy(id, &account, sizeof account);
	return limit_key_of('L', id);
}

bool access_enter_account(struct role_env *e, uint64_t account)
{
	struct limits *l = env_limits(e);
	return !l || limits_enter(l, account_key(account), e->slot, (uint32_t)e->config->access_connections_per_account);
}

void access_leave_account(struct role_env *e, uint64_t account)
{
	struct limits *l = env_limits(e);
	if (l)
		limits_leave(l, account_key(account), e->slot);
}

static enum rc start(struct role_env *e, struct why *why)
{
	struct access_house *h = e->state;
	TRY(sealer_new(e, &h->sealer));
	TRY(ticker_start(e->loop, SWEEP_MS, watch_sweep, e, &h->sweep));
	struct door_config c = { .thing = 'A', .max_total = max_total, .max_per_network = max_per_network, .rate_per_network = rate, .busy = busy, .serve = serve };
	for (int p = 0; p < LISTEN_PROTOS; p++) {
		bool pop3 = p == LISTEN_POP3 || p == LISTEN_POP3S;
		c.open_now[p] = pop3 ? M_CONNECTIONS_POP3 : M_CONNECTIONS_IMAP;
		c.so_far[p] = pop3 ? M_CONNECTED_POP3 : M_CONNECTED_IMAP;
	}
	return doors_open(e, &c, why);
}

static void close_access(struct role_env *e)
{
	struct access_house *h = e->state;
	if (!h)
		return;
	ticker_stop(&h->sweep);
	doors_close(e);
	sealer_free(&h->sealer);
	segment_files_done(&h->files);
	watch_done(h);
	names_forget(h);
	map_done(&h->owners);
	mem_free(h);
}

static void on_changed(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_CHANGED *m = msg;
	(void)from, (void)call;
	fd_close(&fd);
	watch_changed(((struct role_env *)env)->state, m->account, m->box);
}

/* Passwords and accounts are asked for at each login; sessions under way go on. */
static void on_directory_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from, (void)call;
	fd_close(&fd);
	names_forget(((struct role_env *)env)->state);
	guests_check(env, ((const struct msg_DIRECTORY_NEWS *)msg)->account);
}

static void came(struct role_env *e, struct ipc_peer *p)
{
	if (ipc_peer_role(p) != ROLE_STORE || !e->state)
		return;
	names_forget(e->state); /* what the last one said in between was not heard */
	watch_again(e);
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_TLS_NEWS] = doors_on_tls_news, [MSG_CONNECTION] = doors_on_connection, [MSG_CHANGED] = on_changed, [MSG_DIRECTORY_NEWS] = on_directory_news };

const struct role_ops role_access = {
	.role = ROLE_ACCESS,
	.talks_to = R_VAULT | R_STORE | R_READER | R_ACCESS | R_SCAN | R_LEDGER,
	.needs = SANDBOX_SOCKETS | SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_MEMFD,
	.paths = paths,
	.open = open_access,
	.start = start,
	.close = close_access,
	.on = on,
	.came = came,
};
