#include "role/relay.h"

#include "base/idn.h"
#include "base/log.h"
#include "base/mem.h"
#include "dns/asker.h"
#include "mail/icu.h"
#include "os/file.h"
#include "role/sts_notes.h"
#include <errno.h>
#include <fcntl.h>

/* The role `relay`: delivers to other servers. It alone can read the queue; it can read segments and dial other servers' mail ports, and write nothing. */

enum { TICK_MS = 500, SWEEP_MS = 30000, REFRESH_MS = 3600000, CACHE_OCTETS = 8 << 20, ROOTS_MOST = 4 << 20, FORGET_AT_ONCE = 5000, LANES_AT_ONCE = 500 };

struct relay_times relay_times_of(const struct role_env *e)
{
	const struct config *c = e->config;
	return (struct relay_times){ (int64_t)c->relay_retry_first, (int64_t)c->relay_retry_max, (int64_t)c->relay_expire, (int64_t)c->relay_delay_notice };
}

struct str relay_name(const struct role_env *e) { return e->config->relay_hostname.n ? e->config->relay_hostname : e->config->server_hostname; }

static struct rq_limits limits_of(const struct config *c)
{
	return (struct rq_limits){ .total = (unsigned)c->relay_connections, .lane_first = (unsigned)c->relay_connections_first,
		.lane_most = (unsigned)c->relay_connections_per_destination, .down_first_ms = (int64_t)c->relay_down_first, .down_most_ms = (int64_t)c->relay_down_max,
		.stale_ms = (int64_t)c->relay_down_max };
}

static size_t paths(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX])
{
	out[0] = (struct sandbox_path){ role_path(e, "segments"), false };
	return 1;
}

/* Mail ports, HTTPS for MTA-STS, and what the configuration names. */
static size_t ports(const struct role_env *e, uint16_t out[ROLE_PORTS_MAX])
{
	static const uint16_t usual[] = { 25, 465, 587, 443 };
	size_t n = 0;
	for (; n < sizeof usual / sizeof *usual; n++)
		out[n] = usual[n];
	if (e->config->relay_port != 25)
		out[n++] = (uint16_t)e->config->relay_port;
	if (e->config->sts_port != 443)
		out[n++] = (uint16_t)e->config->sts_port;
	struct str rest = e->config->relay_ports, word;
	while (rest.n && n < ROLE_PORTS_MAX) {
		uint64_t v;
		str_cut(str_trim(rest), ' ', &word, &rest);
		if (str_u64(word, 65535, &v) && v)
			out[n++] = (uint16_t)v;
	}
	return n;
}

/* ---- before the sandbox ---- */

static enum rc read_roots(struct relay_house *h, struct why *why)
{
	char path[4096];
	struct str name = h->e->config->relay_roots;
	struct buf pem AUTO(buf_done);
	buf_init(&pem, ROOTS_MOST);
	(void)snprintf(path, sizeof path, "%.*s", PSTR(str_head(name, sizeof path - 1)));
	AUTO(fd_close) int fd = name.n ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0)
		TRY(fd_read_all(fd, ROOTS_MOST, &pem, why));
	else if (name.n)
		log_event(LEVEL_WARN, EV_QUEUE_TROUBLE, F("reason", "relay.roots cannot be read: no certificate of another server will count as verified by an authority"), F("errno", errno));
	struct why wrong = { 0 };
	if (tls_client_new(buf_str(&pem), &h->tls, &wrong) != RC_OK) {
		char reason[sizeof wrong.text + 120];
		(void)snprintf(reason, sizeof reason, "relay.roots: %s: no certificate of another server will count as verified by an authority", wrong.text[0] ? wrong.text : "no memory");
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("reason", reason));
		TRY(tls_client_new(STR(""), &h->tls, why));
	}
	const struct config *c = h->e->config;
	struct why unfit = { 0 };
	if (c->sts_fetch && sts_fetcher_open(buf_str(&pem), (uint16_t)c->sts_port, (unsigned)c->sts_timeout, &h->fetcher, &unfit) != RC_OK)
		log_event(LEVEL_WARN, EV_QUEUE_TROUBLE, F("reason", unfit.text));
	return RC_OK;
}

/* ---- MTA-STS ---- */

static enum rc fetch_policy(void *house, struct str domain, struct buf *out, const char **out_result, struct why *why)
{
	struct relay_house *h = house;
	*out_result = "sts-policy-fetch-error";
	if (!h->fetcher)
		FAIL(why, RC_NOTFOUND, "policies are not fetched here (sts.fetch)");
	return sts_fetch(h->fetcher, &h->dns, domain, out, out_result, why);
}

static enum rc kept_get(void *house, struct str key, struct buf *out, struct why *why) { return sts_note_get(((struct relay_house *)house)->e->node, key, out, why); }
static enum rc kept_put(void *house, struct str key, struct str value, struct why *why) { return sts_note_put(((struct relay_house *)house)->e->node, key, value, why); }
static enum rc kept_list(void *house, struct str prefix, struct str after, struct buf *out, bool *out_more, struct why *why)
{
	return sts_note_list(((struct relay_house *)house)->e->node, prefix, after, out, out_more, why);
}

static enum rc open_policies(struct relay_house *h)
{
	struct sts_hooks hooks = { .dns = h->dns, .house = h, .fetch = fetch_policy, .note_get = kept_get, .note_put = kept_put, .note_list = kept_list, .now_ms = wall_ms };
	return sts_cache_new(&hooks, h->hash_key, &h->sts);
}

static enum rc open_relay(struct role_env *e, struct why *why)
{
	struct relay_house *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = h;
	h->e = e;
	h->files.dir = -1;
	map_init(&h->hosts, 200000);
	map_init(&h->lanes, 1 << 20);
	map_init(&h->rows, 1 << 20);
	buf_init(&h->events, 64 * 1024);
	arena_init(&h->ways_memory, 1);
	struct rq_limits l = limits_of(e->config);
	TRY(rq_new(&l, &h->q));
	TRY(dir_open(role_path(e, "segments"), &h->files.dir, why));
	TRY(icu_load(why)); /* a password for another server goes through SASLprep */
	TRY(idn_load(why));
	return read_roots(h, why);
}

/* ---- start ---- */

static enum rc get_queue_key(struct relay_house *h, struct why *why)
{
	struct msg_QUEUE_KEY_answer a;
	struct ipc_reply reply = { 0 };
	if (!(h->queue_key = secret_new()))
		FAIL(why, RC_NOMEM, "no memory for the queue's key");
	TRY(ipc_ask_role(h->e->node, ROLE_VAULT, MSG_QUEUE_KEY, &(struct msg_QUEUE_KEY){ 0 }, &a, &reply, true, why));
	enum rc rc = a.private_key.n == KEY_LEN && a.public_key.n == PUB_LEN ? RC_OK : why_fail(why, RC_SYNTAX, 0, __FILE__, "the vault's answer is no key");
	if (rc == RC_OK) {
		memcpy(h->queue_key->k, a.private_key.p, KEY_LEN);
		memcpy(h->queue_public, a.public_key.p, PUB_LEN);
		rc = unsealer_new(h->queue_key, h->queue_public, &h->unsealer);
	}
	if (rc == RC_OK)
		rc = hkdf(secret_str(h->queue_key), STR(""), STR("letterlock queue history"), &h->history_key);
	ipc_reply_done(&reply);
	return rc;
}

static enum rc get_hash_key(struct relay_house *h, struct why *why)
{
	struct msg_HASH_KEY_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(h->e->node, ROLE_VAULT, MSG_HASH_KEY, &(struct msg_HASH_KEY){ 0 }, &a, &reply, true, why));
	enum rc rc = a.key.n == sizeof h->hash_key ? RC_OK : why_fail(why, RC_SYNTAX, 0, __FILE__, "the vault's answer is no key");
	if (rc == RC_OK)
		memcpy(h->hash_key, a.key.p, sizeof h->hash_key);
	ipc_reply_done(&reply);
	return rc;
}

/* ---- now and then ---- */

/* The oldest row is the first one. */
static void look_at_oldest(struct relay_house *h)
{
	struct msg_QUEUE_SCAN q = { .letter = 1, .max_bytes = 1 };
	struct msg_QUEUE_SCAN_answer a;
	struct ipc_reply reply = { 0 };
	struct queue_row r;
	if (ipc_ask_role(h->e->node, ROLE_READER, MSG_QUEUE_SCAN, &q, &a, &reply, true, NULL) != RC_OK)
		return;
	struct cursor c = cursor_of(a.rows);
	h->oldest_ms = a.rows.n && queue_row_get(&c, &r) == RC_OK ? r.created_ms : 0;
	ipc_reply_done(&reply);
}

static void forget_history(struct relay_house *h)
{
	bool more = true;
	int64_t before = wall_ms() - (int64_t)h->e->config->retention_queue;
	while (more && !fiber_cancelled()) {
		struct msg_QUEUE_FORGET q = { .before_ms = (uint64_t)(before > 0 ? before : 0), .max = FORGET_AT_ONCE };
		struct msg_QUEUE_FORGET_answer a = { 0 };
		if (ipc_ask_role(h->e->node, ROLE_STORE, MSG_QUEUE_FORGET, &q, &a, NULL, true, NULL) != RC_OK)
			return;
		more = a.more;
	}
}

/* What is known of destinations that nothing goes to any more; the rest of many with the next sweep. */
static void forget_lanes(struct relay_house *h)
{
	struct relay_lane *gone[LANES_AT_ONCE];
	struct rq_lane_fact fact;
	size_t at = 0, n = 0;
	for (struct relay_lane *l; n < LANES_AT_ONCE && (l = map_next(&h->lanes, &at));)
		if (!rq_lane(h->q, l->lane, &fact))
			gone[n++] = l;
	for (size_t i = 0; i < n; i++) {
		(void)map_drop_u64(&h->lanes, gone[i]->lane);
		mem_free(gone[i]);
	}
}

static void sweep_fiber(void *house)
{
	struct relay_house *h = house;
	rq_sweep(h->q, loop_now(h->e->loop));
	forget_lanes(h);
	if (h->left_out) {
		h->look_again = true;
		relay_load_kick(h);
	}
	look_at_oldest(h);
	forget_history(h);
	if (loop_now(h->e->loop) - h->refreshed < REFRESH_MS)
		return;
	h->refreshed = loop_now(h->e->loop);
	(void)sts_refresh(h->sts);
}

static void tick(void *house)
{
	struct relay_house *h = house;
	relay_hosts_sweep(h, false);
	relay_gauges(h);
	if (loop_now(h->e->loop) < h->looked + SWEEP_MS && h->looked)
		return;
	h->looked = loop_now(h->e->loop);
	(void)!fiber_start(h->e->loop, sweep_fiber, h, NULL);
}

static uint64_t now_ms(void) { return (uint64_t)loop_now(fiber_loop()); } /* the DNS is asked in fibers only */

static enum rc start(struct role_env *e, struct why *why)
{
	struct relay_house *h = e->state;
	TRY(get_queue_key(h, why));
	TRY(get_hash_key(h, why));
	h->behind = dns_asker(e->node);
	TRY(dns_cache_new(&h->behind, CACHE_OCTETS, now_ms, &h->cache));
	h->dns = dns_cache_dns(h->cache);
	TRY(open_policies(h));
	h->refreshed = loop_now(e->loop);
	TRY(relay_pauses_load(h, why));
	TRY(fiber_start(e->loop, relay_load_fiber, h, NULL));
	TRY(fiber_start(e->loop, relay_give_fiber, h, NULL));
	h->started = true;
	return ticker_start(e->loop, TICK_MS, tick, h, &h->tick);
}

/* Keys and the DNS come with the start, and a command may come first: a process that was started again is known to it at once. */
bool relay_is_early(struct role_env *e, struct ipc_call *call, int *fd)
{
	const struct relay_house *h = e->state;
	struct why why = { 0 };
	if (h->started)
		return false;
	fd_close(fd);
	(void)why_fail(&why, RC_BUSY, 0, __FILE__, "the process that sends mail is just starting: try again");
	ipc_answer(call, RC_BUSY, &why, NULL);
	return true;
}

static void free_lanes(struct relay_house *h)
{
	size_t at = 0;
	for (struct relay_lane *l; (l = map_next(&h->lanes, &at));)
		mem_free(l);
	map_done(&h->lanes);
}

static void close_relay(struct role_env *e)
{
	struct relay_house *h = e->state;
	if (!h)
		return;
	ticker_stop(&h->tick);
	while (h->hosts.n)
		relay_hosts_sweep(h, true);
	map_done(&h->hosts);
	relay_letters_done(h);
	relay_hot_forget(h);
	map_done(&h->rows);
	free_lanes(h);
	rq_free(&h->q);
	sts_cache_free(&h->sts);
	sts_fetcher_close(&h->fetcher);
	dns_cache_free(&h->cache);
	unsealer_free(&h->unsealer);
	secret_free(&h->queue_key);
	secret_done(&h->history_key);
	tls_client_free(&h->tls);
	segment_files_done(&h->files);
	arena_done(&h->ways_memory);
	buf_done(&h->events);
	mem_free(h);
	e->state = NULL;
}

/* ---- what it is told ---- */

static void on_queue_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from, (void)call, (void)msg;
	fd_close(&fd);
	relay_load_kick(((struct role_env *)env)->state);
}

static void ways_changed(struct relay_house *h)
{
	h->ways_known = false;
	h->ways_news++;
	relay_rates_new(h);
}

static void on_directory_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from, (void)call, (void)msg;
	fd_close(&fd);
	ways_changed(((struct role_env *)env)->state);
}

/* A new store or reader may know what an old one had no time to tell. */
static void came(struct role_env *e, struct ipc_peer *p)
{
	struct relay_house *h = e->state;
	if (ipc_peer_role(p) == ROLE_STORE || ipc_peer_role(p) == ROLE_READER)
		relay_load_kick(h);
	if (ipc_peer_role(p) == ROLE_READER)
		ways_changed(h);
}

static void reload(struct role_env *e)
{
	struct relay_house *h = e->state;
	struct rq_limits l = limits_of(e->config);
	rq_set_limits(h->q, &l);
	relay_rates_new(h);
	relay_kick(h);
}

static ipc_handler *const on[MSG_COUNT] = {
	[MSG_QUEUE_NEWS] = on_queue_news,         [MSG_DIRECTORY_NEWS] = on_directory_news, [MSG_QUEUE_STATE] = relay_on_queue_state,
	[MSG_QUEUE_FIND] = relay_on_queue_find,   [MSG_QUEUE_ACT] = relay_on_queue_act,     [MSG_QUEUE_PAUSE] = relay_on_queue_pause,
	[MSG_SUPPRESSED] = relay_on_suppressed,   [MSG_PROBE_SEND] = relay_on_probe_send,
};

const struct role_ops role_relay = {
	.role = ROLE_RELAY,
	.talks_to = R_VAULT | R_STORE | R_READER | R_EDGE | R_LEDGER | R_RESOLVER,
	.needs = SANDBOX_SOCKETS | SANDBOX_CONNECT | SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_MEMFD,
	.paths = paths,
	.ports = ports,
	.open = open_relay,
	.start = start,
	.reload = reload,
	.close = close_relay,
	.on = on,
	.came = came,
};
