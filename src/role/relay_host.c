#include "role/relay.h"

#include "base/mem.h"

/* Addresses of other servers: how many connections each bears, which does not answer, and connections that wait for the next message. */

enum { ONE = 16, FIRST = 5 * ONE, HOSTS_MAX = 200000, WAIT_MS = 60000, DOWN_MAX_MS = 900000, FORGET_MS = 3600000 };

static void key_of(const char *ip, uint16_t port, char out[64]) { (void)snprintf(out, 64, "%.45s %u", ip, port); }

struct relay_host *relay_host_get(struct relay_house *h, const char *ip, uint16_t port)
{
	char key[64];
	key_of(ip, port, key);
	struct relay_host *x = map_get(&h->hosts, str_z(key));
	if (!x && (x = mem_new(sizeof *x))) {
		memcpy(x->key, key, sizeof key);
		x->limit16 = FIRST;
		if (map_put(&h->hosts, str_z(x->key), x) != RC_OK) {
			mem_free(x);
			return NULL;
		}
	}
	if (x)
		x->seen = loop_now(h->e->loop);
	return x;
}

static struct relay_conn *idle_take(struct relay_host *x, uint64_t fit)
{
	for (struct relay_conn **p = &x->idle; *p; p = &(*p)->next)
		if ((*p)->fit == fit) {
			struct relay_conn *c = *p;
			*p = c->next;
			c->next = NULL;
			return c;
		}
	return NULL;
}

enum rc relay_host_enter(struct relay_house *h, struct relay_host *x, uint64_t fit, unsigned most, struct relay_conn **out_idle)
{
	int64_t until = loop_now(h->e->loop) + WAIT_MS;
	unsigned limit = most ? most : (unsigned)h->e->config->relay_connections_per_destination;
	*out_idle = NULL;
	for (;;) {
		if ((*out_idle = idle_take(x, fit)))
			return RC_OK;
		if (x->until > loop_now(h->e->loop))
			return RC_LATE;
		if (x->open < limit && (x->open + 1) * ONE <= x->limit16) {
			x->open++;
			h->connections++;
			return RC_OK;
		}
		if (x->idle) { /* one that fits nobody here makes room */
			struct relay_conn *c = x->idle;
			x->idle = c->next;
			relay_conn_end(h, &c);
			continue;
		}
		/* Who waits here has a place among all jobs: a host with many domains may not have all of these. */
		if (x->waiting >= limit)
			return RC_BUSY;
		x->waiting++;
		enum rc rc = wait_on(&x->room, until);
		x->waiting--;
		if (rc != RC_OK)
			return RC_BUSY;
	}
}

void relay_host_leave(struct relay_house *h, struct relay_host *x)
{
	x->open--;
	h->connections--;
	x->seen = loop_now(h->e->loop);
	wake_one(&x->room);
}

void relay_host_tell(struct relay_house *h, struct relay_host *x, enum rq_news news, const char *reason)
{
	int64_t now = loop_now(h->e->loop), ms = (int64_t)h->e->config->relay_down_first, most = (int64_t)h->e->config->relay_down_max;
	if (news == RQ_WELL) {
		x->failures = 0;
		x->until = 0;
		if (x->limit16 < h->e->config->relay_connections_per_destination * ONE)
			x->limit16 += x->limit16 >= ONE ? ONE * ONE / x->limit16 + 1 : 1;
		wake_one(&x->room);
		return;
	}
	(void)snprintf(x->reason, sizeof x->reason, "%.199s", reason);
	x->limit16 = x->limit16 / 2 < ONE ? ONE : x->limit16 / 2;
	if (news != RQ_DOWN || x->until > now)
		return;
	for (unsigned i = 0; i < x->failures && ms < most; i++)
		ms *= 2;
	x->failures++;
	x->until = now + (ms < most ? ms : most);
	wake_all(&x->room);
}

void relay_hosts_forgive(struct relay_house *h)
{
	size_t at = 0;
	for (struct relay_host *x; (x = map_next(&h->hosts, &at));) {
		x->until = 0;
		wake_all(&x->room);
	}
}

static bool waited(const struct relay_house *h, const struct relay_conn *c)
{
	return loop_now(h->e->loop) - c->idle_since >= (int64_t)h->e->config->relay_idle;
}

static void close_idle(struct relay_house *h, struct relay_host *x, bool all)
{
	for (struct relay_conn **p = &x->idle; *p;) {
		struct relay_conn *c = *p;
		if (!all && !waited(h, c)) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		c->next = NULL;
		if (all)
			relay_conn_drop(h, &c);
		else
			relay_conn_end(h, &c);
	}
}

/* Nothing in here waits: a connection is ended by a fiber of its own. */
void relay_hosts_sweep(struct relay_house *h, bool all)
{
	size_t at = 0, n = 0;
	struct relay_host *gone[64];
	for (struct relay_host *x; (x = map_next(&h->hosts, &at));) {
		close_idle(h, x, all);
		bool needed = x->open || x->room.first || (!all && (x->until > loop_now(h->e->loop) || loop_now(h->e->loop) - x->seen < FORGET_MS));
		if (!needed && n < sizeof gone / sizeof *gone)
			gone[n++] = x;
	}
	for (size_t i = 0; i < n; i++) {
		(void)map_drop(&h->hosts, str_z(gone[i]->key));
		mem_free(gone[i]);
	}
}
