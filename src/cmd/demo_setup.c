#include "cmd/demo.h"

#include "base/map.h"
#include "os/file.h"
#include "role/demo_setup.h"
#include "role/dns_demo.h"
#include "role/dns_want.h"
#include "role/wire.h"
#include <jansson.h>
#include <stdlib.h>

enum { MAKERS = 4, READY_MS = 20000 };
static const char *const domains[] = { "demo.test", "demo2.test" };
const char *const demo_people[3] = { "alice", "bob", "carol" };

/* ---- files ---- */

static void put_listeners(const struct demo *d, struct buf *b)
{
	buf_add(b, STR("listen {\n"));
	for (size_t i = 0; i < DEMO_PORTS; i++) {
		buf_addf(b, "  %s = {\"127.0.0.1:%u\"", demo_ports[i].name, d->ports[i]);
		if (d->v6[i])
			buf_addf(b, ", \"[::1]:%u\"", d->ports[i]);
		if (i == DEMO_SUBMISSION && strlen(d->state) < 80)
			buf_addf(b, ", \"unix:%s/submit.sock\"", d->state);
		buf_add(b, STR("}\n"));
	}
	/* For programs on this machine; printed by nobody, as ux asks only for ports. */
	if (strlen(d->state) < 80)
		buf_addf(b, "  lmtp = {\"unix:%s/lmtp.sock\"}\n", d->state);
	buf_add(b, STR("}\n"));
}

/* Keys that the demo's own zone shows at once may sign at once. */
static void put_dns(const struct demo *d, struct buf *b)
{
	buf_addf(b, "dns {\n  forwarder = \"none\"\n  zones = \"%.1500s/demo.zone\"\n}\ndkim {\n  check = \"1 min\"\n  settle = 0\n}\n", d->state);
}

static void put_config(const struct demo *d, struct buf *b)
{
	buf_add(b, STR("# Written by `letterlock demo` at each start.\nconfig_version = 1\n"));
	buf_addf(b, "server {\n  hostname = \"mail.demo.test\"\n  admin = \"alice@demo.test\"\n  demo = true\n");
	buf_addf(b, "  data_dir = \"%.1500s/data\"\n", d->state);
	buf_addf(b, "  # A real server keeps this key away from the data; the demo keeps it beside.\n  root_key = \"file:%.1500s/root.key\"\n", d->state);
	buf_addf(b, "  control = \"%s\"\n}\n", d->control);
	/* No question leaves the machine: what is not in these zones does not exist. LETTERLOCK_DNS (tests) names another section. */
	const char *dns = getenv("LETTERLOCK_DNS");
	if (dns)
		buf_addf(b, "dns {\n%.1500s\n}\n", dns);
	else
		put_dns(d, b);
	/* `make bench` measures with and without it. */
	const char *authentication = getenv("LETTERLOCK_AUTHENTICATION");
	if (authentication)
		buf_addf(b, "authentication {\n%.1500s\n}\n", authentication);
	/* Tests have other servers of their own. */
	const char *relay = getenv("LETTERLOCK_RELAY");
	if (relay)
		buf_addf(b, "relay {\n%.1500s\n}\n", relay);
	put_listeners(d, b);
	buf_addf(b, "tls \"demo\" {\n  cert = \"%.900s/cert.pem\"\n  key = \"%.900s/cert.key\"\n}\n", d->state, d->state);
	buf_addf(b, "login {\n  default_domain = \"demo.test\"\n}\n");
	buf_addf(b, "# All clients come from one network here.\n"
	            "inbound {\n  connections_per_network = 10000\n  rate_per_network = 10000000\n  max_mails = 1000000\n}\n"
	            "access {\n  connections_per_network = 50000\n  connections_per_account = 50000\n}\n");
	/* `make bench` ages a mailbox in no time with this: one epoch per so many messages. */
	uint64_t epochs;
	const char *asked = getenv("LETTERLOCK_EPOCH_MAX");
	if (asked && str_u64(str_z(asked), 1000, &epochs) && epochs)
		buf_addf(b, "process {\n  epoch_messages = %llu\n}\n", (unsigned long long)epochs);
}

static enum rc zone_text(const struct demo *d, const struct dkim_row *keys, size_t n, struct buf *out, struct why *why)
{
	char cert[DEMO_PATH + 32];
	AUTO(arena_done) struct arena a = { .max = 1 << 12 };
	struct dns_demo demo = { .imaps = d->ports[DEMO_IMAPS], .pop3s = d->ports[DEMO_POP3S], .tlsa = STR(""), .keys = keys, .key_n = n };
	(void)snprintf(cert, sizeof cert, "%s/cert.pem", d->state);
	(void)dns_tlsa_of(cert, STR("mail.demo.test"), &a, &demo.tlsa); /* without it the zone has one record less */
	dns_demo_zone(&demo, out);
	if (out->failed)
		FAIL(why, RC_LIMIT, "the demo's zone is larger than 64 KiB: too many DKIM keys");
	return RC_OK;
}

static enum rc put_zone(struct demo *d, int dir, struct str zone, struct why *why)
{
	TRY(file_put(dir, "demo.zone", zone, 0600, why));
	buf_clear(&d->zone);
	buf_add(&d->zone, zone);
	return d->zone.failed ? RC_NOMEM : RC_OK;
}

/* `zone` has the lines of `bare` in their order, and DKIM keys beside. */
static bool has_keys_beside(struct str zone, struct str bare)
{
	while (zone.n) {
		struct str line, rest, want, want_rest;
		str_cut(zone, '\n', &line, &rest);
		str_cut(bare, '\n', &want, &want_rest);
		if (str_eq(line, want))
			bare = want_rest;
		else if (str_find_str(line, STR("._domainkey TXT ")) == line.n)
			return false;
		zone = rest;
	}
	return bare.n == 0;
}

/* Before the server runs nobody can ask it for its keys. A zone of the last time has them, and need not be read twice then. */
static enum rc first_zone(struct demo *d, int dir, struct why *why)
{
	AUTO(buf_done) struct buf bare = { .max = 1 << 16 }, old = { .max = 1 << 16 };
	struct why none = { 0 };
	TRY(zone_text(d, NULL, 0, &bare, why));
	if (file_get(dir, "demo.zone", 1 << 16, &old, &none) != RC_OK || !has_keys_beside(buf_str(&old), buf_str(&bare)) || !dns_demo_reads(buf_str(&old)))
		return put_zone(d, dir, buf_str(&bare), why);
	buf_clear(&d->zone);
	buf_add(&d->zone, buf_str(&old));
	return d->zone.failed ? RC_NOMEM : RC_OK;
}

enum rc demo_write_files(struct demo *d, struct why *why)
{
	AUTO(fd_close) int dir = -1;
	AUTO(buf_done) struct buf text = { .max = 1 << 16 };
	TRY(demo_certificates(d->state, "localhost,mail.demo.test,127.0.0.1,::1", why));
	put_config(d, &text);
	if (text.failed)
		FAIL(why, RC_LIMIT, "the state directory's path is too long");
	TRY(dir_open(d->state, &dir, why));
	TRY(first_zone(d, dir, why));
	return file_put(dir, "letterlock.conf", buf_str(&text), 0600, why);
}

/* ---- accounts ---- */

struct making {
	struct demo *demo;
	struct ctl *ctl;
	struct map there;              /* addresses that exist */
	struct arena names;
	unsigned next, running;        /* next number to be taken by a maker */
	struct waitlist done;
	enum rc rc;
	struct why why;
};

static void address_of(unsigned i, char out[64])
{
	if (i < 3)
		(void)snprintf(out, 64, "%s@demo.test", demo_people[i]);
	else
		(void)snprintf(out, 64, "u%u@demo.test", i - 2);
}

static enum rc make_one(struct making *m, const char *address, struct why *why)
{
	struct msg_ACCOUNT_KEYS ask = { .mode = 0, .password = STR(DEMO_PASSWORD) };
	struct msg_ACCOUNT_KEYS_answer keys;
	struct ipc_reply reply = { 0 };
	AUTO(buf_done) struct buf packed = { .max = 4096 };
	struct account a = { .address = str_z(address), .name = STR(""), .created_ms = wall_ms() };
	TRY(ctl_ask(m->ctl, ROLE_VAULT, MSG_ACCOUNT_KEYS, &ask, &keys, &reply, why));
	a.id = keys.account;
	if (keys.public_key.n == PUB_LEN)
		memcpy(a.public_key, keys.public_key.p, PUB_LEN);
	ipc_reply_done(&reply);
	wire_put_account(&packed, &a);
	return ctl_ask(m->ctl, ROLE_STORE, MSG_ACCOUNT_ADD, &(struct msg_ACCOUNT_ADD){ .account = buf_str(&packed) }, NULL, NULL, why);
}

/* Several of these run at once: the vault's Argon2 is what takes the time, on every core. */
static void maker(void *arg)
{
	struct making *m = arg;
	while (m->rc == RC_OK && m->next < m->demo->accounts + 3) {
		char address[64];
		struct why why = { 0 };
		address_of(m->next++, address);
		if (map_get(&m->there, str_z(address)))
			continue;
		enum rc rc = make_one(m, address, &why);
		if (rc != RC_OK && rc != RC_EXISTS) {
			m->rc = rc;
			m->why = why;
		}
	}
	m->running--;
	wake_all(&m->done);
}

static enum rc list_accounts(struct making *m, struct why *why)
{
	struct str after = STR("");
	for (size_t n = 1; n;) {
		struct msg_ACCOUNTS_answer answer;
		struct ipc_reply reply = { 0 };
		struct account *some;
		TRY(ctl_ask(m->ctl, ROLE_READER, MSG_ACCOUNTS, &(struct msg_ACCOUNTS){ .after = after }, &answer, &reply, why));
		enum rc rc = wire_get_accounts(answer.accounts, &m->names, &some, &n);
		ipc_reply_done(&reply);
		TRY(rc);
		for (size_t i = 0; i < n; i++)
			TRY(map_put(&m->there, some[i].address, &some[i]));
		if (n)
			after = some[n - 1].address;
	}
	return RC_OK;
}

static enum rc wait_until_ready(struct ctl *c, struct why *why)
{
	for (int64_t end = loop_now(ctl_loop(c)) + READY_MS; loop_now(ctl_loop(c)) < end;) {
		struct msg_CTL_STATUS_answer a;
		struct ipc_reply reply = { 0 };
		TRY(ctl_ask(c, ROLE_MASTER, MSG_CTL_STATUS, &(struct msg_CTL_STATUS){ 0 }, &a, &reply, why));
		json_t *r = json_loadb(a.report.p, a.report.n, 0, NULL);
		bool ready = json_is_true(json_object_get(r, "ready"));
		json_decref(r);
		ipc_reply_done(&reply);
		if (ready)
			return RC_OK;
		TRY(fiber_sleep(2));
	}
	FAIL(why, RC_LATE, "not every process is ready after %d s; letterlock.log in the state directory says why", READY_MS / 1000);
}

/* Keys of both domains; made beside the accounts, for they take their time. */
static void key_maker(void *arg)
{
	struct making *m = arg;
	for (size_t i = 0; m->rc == RC_OK && i < sizeof domains / sizeof *domains; i++) {
		struct msg_DKIM_KEYS q = { .op = DKIM_OP_FIRST, .domain = str_z(domains[i]), .selector = STR("") };
		struct why why = { 0 };
		enum rc rc = ctl_ask(m->ctl, ROLE_VAULT, MSG_DKIM_KEYS, &q, NULL, NULL, &why);
		if (rc != RC_OK && rc != RC_EXISTS) {
			m->rc = rc;
			m->why = why;
		}
	}
	m->running--;
	wake_all(&m->done);
}

static int by_selector(const void *a, const void *b)
{
	const struct dkim_row *x = a, *y = b;
	int d = str_cmp(x->domain, y->domain);
	return d ? d : str_cmp(x->selector, y->selector);
}

/* The keys' records into the zone, which the server reads again when it is another. */
static enum rc publish_keys(struct demo *d, struct ctl *ctl, struct why *why)
{
	AUTO(fd_close) int dir = -1;
	AUTO(arena_done) struct arena a = { .max = 64 << 20 };
	struct msg_DKIM_LIST_answer answer;
	struct msg_CTL_RELOAD_answer reloaded;
	struct ipc_reply reply = { 0 };
	AUTO(buf_done) struct buf zone = { .max = 1 << 16 };
	struct dkim_row *keys;
	size_t n = 0;
	TRY(dir_open(d->state, &dir, why));
	TRY(ctl_ask(ctl, ROLE_VAULT, MSG_DKIM_LIST, &(struct msg_DKIM_LIST){ .domain = STR("") }, &answer, &reply, why));
	enum rc rc = dkim_wire_get(answer.keys, &a, &keys, &n);
	if (rc == RC_OK) {
		if (n)
			qsort(keys, n, sizeof *keys, by_selector); /* the vault gives them as they were made; the zone is to be the same each time */
		rc = zone_text(d, keys, n, &zone, why);
	}
	ipc_reply_done(&reply);
	TRY(rc);
	if (str_eq(buf_str(&zone), buf_str(&d->zone)))
		return RC_OK;
	TRY(put_zone(d, dir, buf_str(&zone), why));
	rc = ctl_ask(ctl, ROLE_MASTER, MSG_CTL_RELOAD, &(struct msg_CTL_RELOAD){ 0 }, &reloaded, &reply, why);
	ipc_reply_done(&reply);
	return rc;
}

struct following { struct demo *demo; struct why why; };
static enum status follow(struct ctl *ctl, void *arg)
{
	struct following *f = arg;
	return publish_keys(f->demo, ctl, &f->why) == RC_OK ? STATUS_OK : STATUS_FAILED;
}

void demo_follow_keys(struct demo *d)
{
	char path[DEMO_PATH + 32];
	struct stat s;
	struct following f = { .demo = d };
	(void)snprintf(path, sizeof path, "%s/data/vault/keys", d->state);
	if (getenv("LETTERLOCK_DNS") || stat(path, &s) < 0)
		return;
	if (s.st_ino == d->vault.st_ino && s.st_size == d->vault.st_size && s.st_mtim.tv_sec == d->vault.st_mtim.tv_sec && s.st_mtim.tv_nsec == d->vault.st_mtim.tv_nsec)
		return;
	/* A server that does not answer, starting again perhaps, is asked at the next look. */
	if (ctl_server_runs(&d->config) && ctl_run(d->call, &d->config, follow, &f) == STATUS_OK)
		d->vault = s;
	else if (f.why.text[0])
		(void)fprintf(stderr, "letterlock demo: the zone does not have the newest DKIM keys: %s\n", f.why.text);
}

static enum rc make_all(struct making *m, struct why *why)
{
	TRY(wait_until_ready(m->ctl, why));
	for (size_t i = 0; i < sizeof domains / sizeof *domains; i++) {
		enum rc rc = ctl_ask(m->ctl, ROLE_STORE, MSG_DOMAIN_ADD, &(struct msg_DOMAIN_ADD){ .domain = str_z(domains[i]) }, NULL, NULL, why);
		if (rc != RC_OK && rc != RC_EXISTS)
			return rc;
	}
	TRY(list_accounts(m, why));
	/* Introduced before the makers start: they share the channel. */
	struct msg_STORE_STATS_answer stats;
	TRY(ctl_ask(m->ctl, ROLE_STORE, MSG_STORE_STATS, &(struct msg_STORE_STATS){ 0 }, &stats, NULL, why));
	char address[64];
	address_of(m->next, address);
	if (!map_get(&m->there, str_z(address)))
		TRY(make_one(m, address, why));
	m->next++;
	bool own_dns = !getenv("LETTERLOCK_DNS");
	if (own_dns && fiber_start(ctl_loop(m->ctl), key_maker, m, NULL) == RC_OK)
		m->running++;
	for (unsigned i = 0; i < MAKERS; i++) {
		if (fiber_start(ctl_loop(m->ctl), maker, m, NULL) == RC_OK)
			m->running++;
	}
	while (m->running)
		TRY(wait_on(&m->done, NO_DEADLINE));
	if (m->rc != RC_OK) {
		*why = m->why;
		return m->rc;
	}
	return own_dns ? publish_keys(m->demo, m->ctl, why) : RC_OK;
}

static enum status make(struct ctl *ctl, void *arg)
{
	struct making *m = arg;
	struct why why = { 0 };
	m->ctl = ctl;
	enum rc rc = make_all(m, &why);
	m->rc = rc;
	m->why = why;
	return rc == RC_OK ? STATUS_OK : STATUS_FAILED;
}

enum rc demo_make_accounts(struct demo *d, struct why *why)
{
	struct making m = { .demo = d };
	map_init(&m.there, 1 << 20);
	arena_init(&m.names, 256 << 20);
	enum status s = ctl_run(d->call, &d->config, make, &m);
	map_done(&m.there);
	arena_done(&m.names);
	if (s != STATUS_OK)
		FAIL(why, m.rc == RC_OK ? RC_CLOSED : m.rc, "%s", m.why.text[0] ? m.why.text : "the server did not answer");
	return RC_OK;
}
