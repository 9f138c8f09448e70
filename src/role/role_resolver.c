#include "role/role.h"

#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "dns/rdata.h"
#include "dns/ub.h"
#include "os/file.h"
#include "role/dns_direct.h"
#include <errno.h>
#include <fcntl.h>

/* The role `resolver`: the only one that reads DNS replies and the only one that may dial port 53. It has no file, key or mail. Local zones come first: what
 * lies in them is never asked elsewhere; with `dns.forwarder = "none"` they are all the DNS there is, and this process has no network. */
enum { ANSWER_MAX = 131072, ARENA_MAX = 2 << 20, FILE_MAX = 16 << 20, FILE_ROOM = FILE_MAX + (1 << 20), LIST_MAX = 16 };

struct resolver {
	struct ub_house *ub;            /* NULL: local zones only */
	struct dns_table *zones, *next; /* next: read, not in force yet (a reload takes all or nothing) */
	struct dns local;
	unsigned under_way;
};

static bool is_local(const struct config *c) { return str_eq(str_trim(c->dns_forwarder), STR("none")); }

static enum rc read_file(struct str path, struct buf *out, struct why *why)
{
	char z[4096];
	if (path.n >= sizeof z)
		FAIL(why, RC_LIMIT, "a path of %zu octets", path.n);
	(void)snprintf(z, sizeof z, "%.*s", PSTR(path));
	AUTO(fd_close) int fd = open(z, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL_SYS(why, "%.150s", z);
	return fd_read_all(fd, FILE_MAX, out, why);
}

static enum rc read_zone(struct dns_table *t, struct str path, struct str text, struct why *why)
{
	struct why inner = { 0 };
	if (dns_table_read(t, text, STR(""), &inner) != RC_OK)
		FAIL(why, RC_SYNTAX, "dns.zones: %.*s: %.80s", PSTR(str_head(path, 100)), inner.text);
	return RC_OK;
}

static void put_in_force(struct resolver *r, struct dns_table *take_t)
{
	dns_table_free(&r->zones); /* an answer holds copies only */
	r->zones = take_t;
	r->local = dns_table_dns(take_t);
}

static enum rc read_zones(struct resolver *r, const struct config *c, struct why *why)
{
	struct str path[LIST_MAX];
	struct dns_table *t;
	size_t n = str_words(c->dns_zones, path, LIST_MAX);
	TRY(dns_table_new(&t));
	put_in_force(r, t);
	for (size_t i = 0; i < n; i++) {
		AUTO(buf_done) struct buf text = { .max = FILE_ROOM };
		TRY(read_file(path[i], &text, why));
		TRY(read_zone(t, path[i], buf_str(&text), why));
	}
	return RC_OK;
}

static enum rc open_unbound(struct role_env *e, struct resolver *r, struct why *why)
{
	const struct config *c = e->config;
	struct str forwarder[LIST_MAX], insecure[LIST_MAX];
	AUTO(buf_done) struct buf anchor = { .max = FILE_ROOM };
	if (c->dns_trust_anchor.n)
		TRY(read_file(c->dns_trust_anchor, &anchor, why));
	struct ub_config u = { .forwarder = forwarder, .forwarder_n = str_words(c->dns_forwarder, forwarder, LIST_MAX), .trust_anchor = buf_str(&anchor), .insecure = insecure,
		.insecure_n = str_words(c->dns_insecure, insecure, LIST_MAX), .max_questions = (unsigned)c->dns_max_questions };
	return ub_open(e->loop, &u, &r->ub, why);
}

static void close_resolver(struct role_env *e)
{
	struct resolver *r = e->state;
	if (!r)
		return;
	ub_close(&r->ub);
	dns_table_free(&r->zones);
	dns_table_free(&r->next);
	mem_free(r);
	e->state = NULL;
}

static enum rc open_resolver(struct role_env *e, struct why *why)
{
	struct resolver *r = mem_new(sizeof *r);
	if (!r)
		FAIL(why, RC_NOMEM, "no memory");
	e->state = r;
	enum rc rc = read_zones(r, e->config, why);
	if (rc == RC_OK && !is_local(e->config))
		rc = open_unbound(e, r, why);
	if (rc != RC_OK)
		close_resolver(e);
	return rc;
}


/* The ports that may be dialled: the forwarders', or that of the world's name servers. */
static size_t ports(const struct role_env *e, uint16_t out[ROLE_PORTS_MAX])
{
	struct str forwarder[LIST_MAX];
	size_t n = 0;
	if (is_local(e->config))
		return 0;
	out[n++] = (uint16_t)e->config->dns_port;
	size_t words_n = str_words(e->config->dns_forwarder, forwarder, LIST_MAX);
	for (size_t i = 0; i < words_n && n < ROLE_PORTS_MAX; i++) {
		struct str address, port;
		uint64_t v = 53;
		if (str_cut(forwarder[i], '@', &address, &port) && !str_u64(port, 65535, &v))
			continue; /* libunbound has refused it before */
		out[n++] = (uint16_t)v;
	}
	if (!words_n && out[0] != 53)
		out[n++] = 53;
	return n;
}

/* ---- questions ---- */

static void denied(struct dns_answer *out, struct str name, struct arena *a)
{
	*out = (struct dns_answer){ .status = DNS_NXDOMAIN, .canonical = arena_str(a, name), .ttl = 60 };
}

static void ask_outside(struct role_env *e, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct resolver *r = e->state;
	if (r->ub)
		ub_ask(r->ub, type, name, (unsigned)e->config->dns_timeout, a, out);
	else
		denied(out, name, a);
}

static void ask(struct role_env *e, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct resolver *r = e->state;
	if (!dns_table_covers(r->zones, name)) {
		ask_outside(e, type, name, a, out);
		return;
	}
	dns_ask(&r->local, type, name, a, out);
	if (out->status != DNS_NXDOMAIN || str_eq(out->canonical, name) || dns_table_covers(r->zones, out->canonical))
		return;
	struct dns_answer chain = *out; /* a CNAME leads out of the local zones */
	ask_outside(e, type, chain.canonical, a, out);
	out->ttl = chain.ttl < out->ttl ? chain.ttl : out->ttl;
	out->secure = out->secure && chain.secure;
}

/* As many records as the channel carries. */
static void answer_with(struct ipc_call *call, struct dns_answer *answer)
{
	AUTO(buf_done) struct buf packed = { .max = ANSWER_MAX };
	dns_pack(answer, &packed);
	while (packed.failed && answer->records) {
		answer->records /= 2;
		answer->truncated = true;
		buf_clear(&packed);
		dns_pack(answer, &packed);
	}
	ipc_answer(call, packed.failed ? RC_NOMEM : RC_OK, NULL, &(struct msg_RESOLVE_answer){ .answer = buf_str(&packed) });
}

static bool enter(struct role_env *e, struct ipc_call *call)
{
	struct resolver *r = e->state;
	if (r->under_way >= e->config->dns_max_questions) {
		count_add(e, M_DNS_BUSY, 1);
		ipc_answer(call, RC_BUSY, NULL, NULL);
		return false;
	}
	r->under_way++;
	return true;
}

static void leave(struct role_env *e, struct ipc_call *call, struct dns_answer *answer, struct arena *a)
{
	static const enum metric counts[] = { M_DNS_OK, M_DNS_NODATA, M_DNS_NXDOMAIN, M_DNS_TEMPFAIL, M_DNS_BOGUS, M_DNS_BADNAME };
	count_add(e, counts[answer->status], 1);
	answer_with(call, answer);
	arena_done(a);
	((struct resolver *)e->state)->under_way--;
}

static void bad_name(struct dns_answer *out)
{
	*out = (struct dns_answer){ .status = DNS_BADNAME, .canonical = STR(""), .why = "not a name that can be asked" };
}

static void on_resolve(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	const struct msg_RESOLVE *m = msg;
	struct arena a;
	struct dns_answer answer;
	char name[256];
	size_t n;
	(void)from;
	fd_close(&fd);
	if (!enter(e, call))
		return;
	arena_init(&a, ARENA_MAX);
	if (dns_type_name(m->type)[0] != '?' && dns_fold(m->name, name, &n))
		ask(e, m->type, str_of(name, n), &a, &answer);
	else
		bad_name(&answer);
	leave(e, call, &answer, &a);
}

static void on_resolve_at(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct role_env *e = env;
	struct resolver *r = e->state;
	const struct msg_RESOLVE_AT *m = msg;
	struct arena a;
	struct dns_answer answer;
	char name[256];
	size_t n;
	(void)from;
	fd_close(&fd);
	if (!enter(e, call))
		return;
	arena_init(&a, ARENA_MAX);
	if (dns_type_name(m->type)[0] == '?' || (m->server.n != 4 && m->server.n != 16) || !dns_fold(m->name, name, &n))
		bad_name(&answer);
	else if (dns_table_covers(r->zones, str_of(name, n)) || !r->ub) /* we are the server of a local zone */
		ask(e, m->type, str_of(name, n), &a, &answer);
	else
		dns_direct(m->server, (uint16_t)e->config->dns_port, m->type, str_of(name, n), &a, &answer);
	leave(e, call, &answer, &a);
}

/* The files again, read by master: this process can open none. */
static enum rc load_zones(struct resolver *r, struct str packed, struct why *why)
{
	struct cursor c = cursor_of(packed);
	TRY(dns_table_new(&r->next));
	while (c.in.n) {
		struct str path = cursor_run(&c, c.in.n), text = cursor_run(&c, c.in.n);
		if (c.failed)
			FAIL(why, RC_SYNTAX, "dns.zones: cut short");
		TRY(read_zone(r->next, path, text, why));
	}
	return RC_OK;
}

static void on_zones_load(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct resolver *r = ((struct role_env *)env)->state;
	const struct msg_ZONES_LOAD *m = msg;
	struct why why = { 0 };
	enum rc rc = RC_OK;
	(void)from;
	fd_close(&fd);
	if (m->keep && r->next) {
		put_in_force(r, r->next);
		r->next = NULL;
	} else {
		dns_table_free(&r->next);
		rc = m->keep ? RC_NOTFOUND : load_zones(r, m->zones, &why);
		if (rc != RC_OK)
			dns_table_free(&r->next);
	}
	ipc_answer(call, rc, &why, NULL);
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_RESOLVE] = on_resolve, [MSG_RESOLVE_AT] = on_resolve_at, [MSG_ZONES_LOAD] = on_zones_load };

const struct role_ops role_resolver = {
	.role = ROLE_RESOLVER,
	.talks_to = R_EDGE | R_LEDGER | R_VAULT,
	.needs = SANDBOX_CONNECT,
	.max_memory = 1ul << 30,
	.ports = ports,
	.open = open_resolver,
	.close = close_resolver,
	.on = on,
};
