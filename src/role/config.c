#include "role/config.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "base/rate.h"
#include "role/auth_policy.h"
#include "role/config_names.h"
#include "role/edge_blocklist.h"
#include "role/report_rules.h"
#include <stddef.h>

enum { CONFIG_FORMAT = 1, ARENA_MAX = 1 << 20, LISTENERS_MAX = 64, TLS_MAX = 256, PROXIES_MAX = 256, TEXT_MAX_ = 4096 };

const char *const listener_proto_names[LISTEN_PROTOS] = {
	[LISTEN_SMTP] = "smtp", [LISTEN_SMTPS] = "smtps", [LISTEN_SUBMISSION] = "submission", [LISTEN_SUBMISSIONS] = "submissions", [LISTEN_LMTP] = "lmtp", [LISTEN_IMAP] = "imap",       [LISTEN_IMAPS] = "imaps",
	[LISTEN_POP3] = "pop3", [LISTEN_POP3S] = "pop3s", [LISTEN_METRICS] = "metrics",
};

#define AT(section, name) offsetof(struct config, section##_##name)
const struct config_row config_rows[] = {
#define STRING(s, n, d, doc) { CONFIG_STRING, #s, #n, doc, AT(s, n), d, 0, 0, 0 },
#define SIZE(s, n, d, lo, hi, doc) { CONFIG_SIZE, #s, #n, doc, AT(s, n), NULL, d, lo, hi },
#define TIME(s, n, d, lo, hi, doc) { CONFIG_TIME, #s, #n, doc, AT(s, n), NULL, d, lo, hi },
#define COUNT(s, n, d, lo, hi, doc) { CONFIG_COUNT, #s, #n, doc, AT(s, n), NULL, d, lo, hi },
#define FLAG(s, n, d, doc) { CONFIG_FLAG, #s, #n, doc, AT(s, n), NULL, d, 0, 1 },
#include "role/config.def"
#undef STRING
#undef SIZE
#undef TIME
#undef COUNT
#undef FLAG
};
const size_t config_row_n = sizeof config_rows / sizeof *config_rows;

static const struct unit { struct str name; uint64_t factor; } sizes[] = {
	{ STR_INIT("GiB"), 1 << 30 }, { STR_INIT("MiB"), 1 << 20 }, { STR_INIT("KiB"), 1 << 10 },
}, times[] = {
	{ STR_INIT("d"), 86400000 }, { STR_INIT("h"), 3600000 }, { STR_INIT("min"), 60000 }, { STR_INIT("s"), 1000 }, { STR_INIT("ms"), 1 },
};
static const struct { struct str word; bool yes; } flags[] = {
	{ STR_INIT("true"), true }, { STR_INIT("false"), false }, { STR_INIT("yes"), true },
	{ STR_INIT("no"), false },  { STR_INIT("on"), true },     { STR_INIT("off"), false },
};

const struct config_row *config_row_find(struct str section, struct str name)
{
	for (size_t i = 0; i < config_row_n; i++)
		if (str_eq(section, str_z(config_rows[i].section)) && str_eq(name, str_z(config_rows[i].name)))
			return &config_rows[i];
	return NULL;
}

static void *field(const struct config *c, const struct config_row *row) { return (char *)c + row->offset; }

static void set_number(struct config *c, const struct config_row *row, uint64_t v)
{
	if (row->kind == CONFIG_FLAG)
		*(bool *)field(c, row) = v != 0;
	else
		*(uint64_t *)field(c, row) = v;
}

static uint64_t get_number(const struct config *c, const struct config_row *row)
{
	return row->kind == CONFIG_FLAG ? *(bool *)field(c, row) : *(uint64_t *)field(c, row);
}

void config_init(struct config *c)
{
	*c = (struct config){ 0 };
	arena_init(&c->a, ARENA_MAX);
	for (size_t i = 0; i < config_row_n; i++) {
		if (config_rows[i].kind == CONFIG_STRING)
			*(struct str *)field(c, &config_rows[i]) = str_z(config_rows[i].text);
		else
			set_number(c, &config_rows[i], config_rows[i].dflt);
	}
}

void config_done(struct config *c)
{
	arena_done(&c->a);
	*c = (struct config){ 0 };
}

/* ---- text to value ---- */

static enum rc set_string(struct config *c, const struct config_row *row, struct str text, struct why *why)
{
	if (text.n > TEXT_MAX_ || str_find(text, 0) < text.n)
		FAIL(why, RC_LIMIT, "%s.%s is longer than %d octets or holds a NUL", row->section, row->name, TEXT_MAX_);
	struct str copy = arena_str(&c->a, text);
	if (c->a.full)
		FAIL(why, RC_NOMEM, "configuration larger than %d octets", ARENA_MAX);
	*(struct str *)field(c, row) = copy;
	return RC_OK;
}

static enum rc parse_flag(struct str text, uint64_t *out)
{
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (str_ieq(text, flags[i].word))
			return *out = flags[i].yes, RC_OK;
	return RC_SYNTAX;
}

/* A number, blanks, and its unit. 0 needs none: zero octets are zero MiB. */
static enum rc parse_number(const struct unit *units, size_t n, struct str text, uint64_t *out)
{
	size_t digits = 0;
	while (digits < text.n && ascii_digit(text.p[digits]))
		digits++;
	struct str unit = str_trim(str_skip(text, digits));
	uint64_t v;
	if (!str_u64(str_head(text, digits), UINT64_MAX, &v))
		return RC_SYNTAX;
	if (unit.n == 0 && (n == 0 || v == 0))
		return *out = v, RC_OK;
	for (size_t i = 0; i < n; i++) {
		if (!str_eq(unit, units[i].name))
			continue;
		if (v > UINT64_MAX / units[i].factor)
			return RC_LIMIT;
		*out = v * units[i].factor;
		return RC_OK;
	}
	return RC_SYNTAX;
}

static enum rc parse_kind(enum config_kind kind, struct str text, uint64_t *out)
{
	if (kind == CONFIG_FLAG)
		return parse_flag(text, out);
	if (kind == CONFIG_SIZE)
		return parse_number(sizes, sizeof sizes / sizeof *sizes, text, out);
	if (kind == CONFIG_TIME)
		return parse_number(times, sizeof times / sizeof *times, text, out);
	return parse_number(NULL, 0, text, out);
}

static const char *const wanted[] = {
	[CONFIG_SIZE] = "a number with KiB, MiB or GiB, such as \"64 MiB\"", [CONFIG_TIME] = "a number with ms, s, min, h or d, such as \"30 s\"",
	[CONFIG_COUNT] = "a number", [CONFIG_FLAG] = "true or false", [CONFIG_STRING] = "text",
};

enum rc config_set(struct config *c, const struct config_row *row, struct str text, struct why *why)
{
	text = str_trim(text);
	if (row->kind == CONFIG_STRING)
		return set_string(c, row, text, why);
	uint64_t v = 0;
	enum rc rc = parse_kind(row->kind, text, &v);
	if (rc == RC_SYNTAX)
		FAIL(why, RC_SYNTAX, "%s.%s wants %s, not \"%.*s\"", row->section, row->name, wanted[row->kind], PSTR(str_head(text, 40)));
	if (rc != RC_OK || v < row->least || v > row->most) {
		AUTO(buf_done) struct buf range = { .max = 200 };
		config_number(row->kind, row->least, &range);
		buf_add(&range, STR(" to "));
		config_number(row->kind, row->most, &range);
		FAIL(why, RC_LIMIT, "%s.%s must be %.*s", row->section, row->name, PSTR(buf_str(&range)));
	}
	set_number(c, row, v);
	return RC_OK;
}

/* ---- value to text: the largest unit that gives a whole number ---- */

void config_number(enum config_kind kind, uint64_t v, struct buf *out)
{
	const struct unit *u = kind == CONFIG_SIZE ? sizes : times;
	size_t n = kind == CONFIG_SIZE ? sizeof sizes / sizeof *sizes : kind == CONFIG_TIME ? sizeof times / sizeof *times : 0;
	if (kind == CONFIG_FLAG) {
		buf_add(out, v ? STR("true") : STR("false"));
		return;
	}
	for (size_t i = 0; i < n && v; i++) {
		if (v % u[i].factor)
			continue;
		buf_num(out, v / u[i].factor);
		buf_byte(out, ' ');
		buf_add(out, u[i].name);
		return;
	}
	buf_num(out, v);
}

void config_value(const struct config *c, const struct config_row *row, struct buf *out)
{
	if (row->kind != CONFIG_STRING) {
		config_number(row->kind, get_number(c, row), out);
		return;
	}
	struct str s = *(struct str *)field(c, row);
	buf_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_byte(out, '\\');
		buf_byte(out, s.p[i]);
	}
	buf_byte(out, '"');
}

/* ---- lists ---- */

/* Arrays grow by a copy in the arena: a configuration is small and read once. */
static void *one_more(struct arena *a, const void *list, size_t n, size_t size)
{
	char *more = arena_new(a, (n + 1) * size);
	if (more && n)
		memcpy(more, list, n * size);
	return more;
}

enum rc config_listen(struct config *c, enum listener_proto proto, bool proxy, struct str address, struct why *why)
{
	struct net_addr unused;
	if (c->listener_n >= LISTENERS_MAX)
		FAIL(why, RC_LIMIT, "more than %d listeners", LISTENERS_MAX);
	TRY(net_parse(address, &unused, why));
	struct config_listener *list = one_more(&c->a, c->listeners, c->listener_n, sizeof *list);
	struct str copy = arena_str(&c->a, address);
	if (c->a.full)
		FAIL(why, RC_NOMEM, "configuration larger than %d octets", ARENA_MAX);
	list[c->listener_n++] = (struct config_listener){ proto, copy, proxy };
	c->listeners = list;
	return RC_OK;
}

enum rc config_add_tls(struct config *c, const struct config_tls *t, struct why *why)
{
	if (c->tls_n >= TLS_MAX)
		FAIL(why, RC_LIMIT, "more than %d certificates", TLS_MAX);
	if (t->cert.n == 0 || t->key.n == 0)
		FAIL(why, RC_SYNTAX, "tls \"%.*s\" needs both cert and key", PSTR(str_head(t->name, 80)));
	struct config_tls *list = one_more(&c->a, c->tls, c->tls_n, sizeof *list);
	struct config_tls copy = { arena_str(&c->a, t->name), arena_str(&c->a, t->cert), arena_str(&c->a, t->key) };
	if (c->a.full)
		FAIL(why, RC_NOMEM, "configuration larger than %d octets", ARENA_MAX);
	list[c->tls_n++] = copy;
	c->tls = list;
	return RC_OK;
}

static enum rc add_range(struct config *c, struct net_range r, struct why *why)
{
	if (c->proxy_n >= PROXIES_MAX)
		FAIL(why, RC_LIMIT, "more than %d trusted proxies", PROXIES_MAX);
	struct net_range *list = one_more(&c->a, c->proxies, c->proxy_n, sizeof *list);
	if (!list)
		FAIL(why, RC_NOMEM, "configuration larger than %d octets", ARENA_MAX);
	list[c->proxy_n++] = r;
	c->proxies = list;
	return RC_OK;
}

enum rc config_add_proxy(struct config *c, struct str network, struct why *why)
{
	struct net_range r;
	TRY(net_range_parse(network, &r, why));
	return add_range(c, r, why);
}

bool listener_is_tls(enum listener_proto p) { return p == LISTEN_SMTPS || p == LISTEN_SUBMISSIONS || p == LISTEN_IMAPS || p == LISTEN_POP3S; }

/* ---- checks over several keys ---- */

static bool one_of(struct str s, const char *a, const char *b) { return str_eq(s, str_z(a)) || str_eq(s, str_z(b)); }

/* `path` is `dir` or lies below it. Both are absolute; ".." is refused before. */
static bool is_below(struct str path, struct str dir)
{
	while (dir.n > 1 && dir.p[dir.n - 1] == '/')
		dir.n--;
	return str_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/');
}

static enum rc check_path(const char *key, struct str path, struct why *why)
{
	if (path.n == 0 || path.p[0] != '/')
		FAIL(why, RC_SYNTAX, "%s must be an absolute path", key);
	if (str_find_str(path, STR("/../")) < path.n || str_ends(path, STR("/..")))
		FAIL(why, RC_SYNTAX, "%s may not hold \"..\"", key);
	return RC_OK;
}

static enum rc check_root_key(const struct config *c, struct why *why)
{
	struct str k = c->server_root_key;
	if (str_starts(k, STR("credential:")) && k.n > sizeof "credential:" - 1)
		return RC_OK;
	if (!str_starts(k, STR("file:")))
		FAIL(why, RC_SYNTAX, "server.root_key must be credential:NAME or file:/path");
	struct str path = str_skip(k, sizeof "file:" - 1);
	TRY(check_path("server.root_key", path, why));
	if (is_below(path, c->server_data_dir) && !c->server_demo)
		FAIL(why, RC_DENIED, "server.root_key lies inside server.data_dir: whoever takes the data would have the key");
	return RC_OK;
}

static enum rc check_listeners(const struct config *c, struct why *why)
{
	if (c->listener_n == 0)
		FAIL(why, RC_SYNTAX, "nobody listens: add a listen { smtp = {\"[::]:25\"} ... } section");
	for (size_t i = 0; i < c->listener_n; i++) {
		const struct config_listener *l = &c->listeners[i];
		struct net_addr at;
		TRY(net_parse(l->address, &at, why));
		bool local = net_is_loopback(&at) || str_starts(l->address, STR("unix:"));
		const char *proto = listener_proto_names[l->proto];
		if (c->server_demo && !local)
			FAIL(why, RC_DENIED, "listen.%s: a demo listens on loopback only, not on %.*s", proto, PSTR(str_head(l->address, 60)));
		if (l->proto == LISTEN_METRICS && !local)
			FAIL(why, RC_DENIED, "listen.metrics: metrics have no login: loopback only, not %.*s", PSTR(str_head(l->address, 60)));
		if (l->proto == LISTEN_LMTP && !local)
			FAIL(why, RC_DENIED, "listen.lmtp: LMTP has no login: a unix: socket or loopback only, not %.*s", PSTR(str_head(l->address, 60)));
		if (l->proxy && c->proxy_n == 0)
			FAIL(why, RC_SYNTAX, "listen.%s_proxy needs listen.trusted_proxies", proto);
		bool unix_socket = str_starts(l->address, STR("unix:"));
		if ((listener_is_tls(l->proto) || (l->proto == LISTEN_SUBMISSION && !unix_socket && !c->server_demo)) && c->tls_n == 0)
			FAIL(why, RC_SYNTAX, "listen.%s needs a tls \"name\" { cert key } section", proto);
		if (l->proto == LISTEN_SUBMISSIONS && unix_socket)
			FAIL(why, RC_SYNTAX, "listen.submissions: a unix: socket belongs into listen.submission: who is at its other end is known without TLS");
		if (l->proto == LISTEN_SUBMISSION && unix_socket && l->proxy)
			FAIL(why, RC_SYNTAX, "listen.submission_proxy cannot be a unix: socket: whoever it lets in is taken at his word");
	}
	return RC_OK;
}

static enum rc check_authentication(const struct config *c, struct why *why)
{
	struct arena a;
	struct auth_rules unused;
	arena_init(&a, 1 << 20);
	enum rc rc = auth_rules_read(c, &a, &unused, why);
	arena_done(&a);
	return rc;
}

enum rc config_check(const struct config *c, struct why *why)
{
	if (c->server_hostname.n == 0)
		FAIL(why, RC_SYNTAX, "server.hostname must be set");
	if (c->server_hostname.n > 253)
		FAIL(why, RC_LIMIT, "server.hostname is longer than 253 octets");
	TRY(config_names_check(c, why));
	TRY(check_path("server.data_dir", c->server_data_dir, why));
	TRY(check_path("server.control", c->server_control, why));
	if (c->server_control.n > 100) /* sun_path holds 108 */
		FAIL(why, RC_LIMIT, "server.control is longer than 100 octets");
	if (!one_of(c->server_sandbox, "full", "reduced"))
		FAIL(why, RC_SYNTAX, "server.sandbox must be full or reduced");
	if (!one_of(c->account_mode, "organisation", "private"))
		FAIL(why, RC_SYNTAX, "account.mode must be organisation or private");
	if (!one_of(c->sts_mode, "none", "testing") && !str_eq(c->sts_mode, STR("enforce")))
		FAIL(why, RC_SYNTAX, "sts.mode must be none, testing or enforce");
	struct rate unused;
	if (!rate_parse(c->relay_rate_per_destination, &unused))
		FAIL(why, RC_SYNTAX, "relay.rate_per_destination must be N/s, N/min or N/h, or 0");
	TRY(check_authentication(c, why));
	TRY(blocklist_rules_check(c, why));
	TRY(report_rules_check(c, why));
	TRY(check_root_key(c, why));
	return check_listeners(c, why);
}

/* ---- packed, for the children ---- */

void config_pack(const struct config *c, struct buf *out)
{
	buf_u32(out, CONFIG_FORMAT);
	for (size_t i = 0; i < config_row_n; i++) {
		if (config_rows[i].kind == CONFIG_STRING)
			buf_run(out, *(struct str *)field(c, &config_rows[i]));
		else
			buf_u64(out, get_number(c, &config_rows[i]));
	}
	buf_u32(out, (uint32_t)c->listener_n);
	for (size_t i = 0; i < c->listener_n; i++) {
		buf_u8(out, (uint8_t)c->listeners[i].proto);
		buf_u8(out, c->listeners[i].proxy);
		buf_run(out, c->listeners[i].address);
	}
	buf_u32(out, (uint32_t)c->tls_n);
	for (size_t i = 0; i < c->tls_n; i++) {
		buf_run(out, c->tls[i].name);
		buf_run(out, c->tls[i].cert);
		buf_run(out, c->tls[i].key);
	}
	buf_u32(out, (uint32_t)c->proxy_n);
	for (size_t i = 0; i < c->proxy_n; i++) {
		buf_add(out, str_of(c->proxies[i].addr, sizeof c->proxies[i].addr));
		buf_u32(out, c->proxies[i].bits);
	}
}

static enum rc unpack_rows(struct cursor *in, struct config *c, struct why *why)
{
	for (size_t i = 0; i < config_row_n && !in->failed; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->kind == CONFIG_STRING) {
			TRY(set_string(c, row, cursor_run(in, TEXT_MAX_), why));
			continue;
		}
		uint64_t v = cursor_u64(in);
		if (!in->failed && (v < row->least || v > row->most))
			FAIL(why, RC_LIMIT, "%s.%s is out of range", row->section, row->name);
		set_number(c, row, v);
	}
	return RC_OK;
}

static enum rc unpack_lists(struct cursor *in, struct config *c, struct why *why)
{
	uint32_t listeners = cursor_u32(in);
	for (uint32_t i = 0; i < listeners && !in->failed; i++) {
		uint8_t proto = cursor_u8(in), proxy = cursor_u8(in);
		struct str address = cursor_run(in, TEXT_MAX_);
		if (proto >= LISTEN_PROTOS || proxy > 1)
			in->failed = true;
		if (!in->failed)
			TRY(config_listen(c, proto, proxy, address, why));
	}
	uint32_t tls = cursor_u32(in);
	for (uint32_t i = 0; i < tls && !in->failed; i++) {
		struct config_tls t = { cursor_run(in, TEXT_MAX_), { "", 0 }, { "", 0 } };
		t.cert = cursor_run(in, TEXT_MAX_);
		t.key = cursor_run(in, TEXT_MAX_);
		if (!in->failed)
			TRY(config_add_tls(c, &t, why));
	}
	uint32_t proxies = cursor_u32(in);
	for (uint32_t i = 0; i < proxies && !in->failed; i++) {
		struct str addr = cursor_take(in, 16);
		struct net_range r = { .bits = cursor_u32(in) };
		memcpy(r.addr, addr.p, addr.n);
		if (r.bits > 128)
			in->failed = true;
		if (!in->failed)
			TRY(add_range(c, r, why));
	}
	return RC_OK;
}

enum rc config_unpack(struct str packed, struct config *out, struct why *why)
{
	struct cursor in = cursor_of(packed);
	struct config c;
	config_init(&c);
	enum rc rc = RC_OK;
	if (cursor_u32(&in) != CONFIG_FORMAT)
		in.failed = true;
	if (!in.failed)
		rc = unpack_rows(&in, &c, why);
	if (rc == RC_OK && !in.failed)
		rc = unpack_lists(&in, &c, why);
	if (rc == RC_OK && !cursor_at_end(&in))
		rc = why_fail(why, RC_SYNTAX, 0, "role/config.c", "packed configuration is malformed");
	if (rc != RC_OK) {
		config_done(&c);
		return rc;
	}
	*out = c;
	return RC_OK;
}
