#include "role/config_files.h"

#include "crypto/tls.h"
#include "crypto/tls_client.h"
#include "dns/dns.h"
#include "os/file.h"
#include "os/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { PEM_MAX = 256 * 1024, ZONE_MAX = 64 << 20, ROOTS_MAX = 4 << 20, LIST_MAX = 16, SHOWN_MAX = 100 };

/* Of a path too long for a reason, the end: there it differs from others. */
static struct str shown(struct str path) { return str_skip(path, path.n > SHOWN_MAX ? path.n - SHOWN_MAX : 0); }

static enum rc read_path(const char *key, struct str path, size_t most, struct buf *out, struct why *why)
{
	char z[4096];
	struct why one = { 0 };
	(void)snprintf(z, sizeof z, "%.*s", PSTR(str_head(path, sizeof z - 1)));
	AUTO(fd_close) int fd = open(z, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return why_fail(why, errno == EACCES || errno == EPERM ? RC_DENIED : RC_IO, errno, __FILE__, "%s: %.*s: %s", key, PSTR(shown(str_z(z))), strerror(errno));
	buf_init(out, most);
	enum rc rc = fd_read_all(fd, most, out, &one);
	if (rc != RC_OK)
		FAIL(why, rc == RC_DENIED ? RC_IO : rc, "%s: %.*s: %s", key, PSTR(shown(str_z(z))), one.sys ? strerror(one.sys) : one.text);
	return RC_OK;
}

static enum rc check_pair(const struct config_tls *t, struct why *why)
{
	AUTO(buf_done) struct buf chain = { 0 };
	AUTO(buf_wipe) struct buf key = { 0 };
	struct why one = { 0 };
	char name[90];
	(void)snprintf(name, sizeof name, "tls \"%.*s\"", PSTR(str_head(t->name, 60)));
	TRY(read_path(name, t->cert, PEM_MAX, &chain, why));
	enum rc rc = tls_chain_check(buf_str(&chain), &one);
	if (rc == RC_OK)
		rc = tls_chain_valid(buf_str(&chain), wall_ms() / 1000, &one);
	if (rc != RC_OK)
		FAIL(why, RC_SYNTAX, "%s: %.*s: %s", name, PSTR(shown(t->cert)), one.text);
	TRY(read_path(name, t->key, PEM_MAX, &key, why));
	rc = tls_key_fits(buf_str(&key), buf_str(&chain), &one);
	if (rc != RC_OK)
		FAIL(why, RC_SYNTAX, "%s: %.*s: %s", name, PSTR(shown(t->key)), one.text);
	return RC_OK;
}

static enum rc check_zones(const struct config *c, struct why *why)
{
	struct str path[LIST_MAX];
	struct dns_table *t = NULL;
	struct why one = { 0 };
	size_t n = str_words(c->dns_zones, path, LIST_MAX);
	enum rc rc = dns_table_new(&t);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		AUTO(buf_done) struct buf text = { 0 };
		rc = read_path("dns.zones", path[i], ZONE_MAX, &text, why);
		if (rc == RC_OK && dns_table_read(t, buf_str(&text), STR(""), &one) != RC_OK)
			rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "dns.zones: %.*s: %.90s", PSTR(shown(path[i])), one.text);
	}
	dns_table_free(&t);
	return rc;
}

static enum rc check_anchor(const struct config *c, struct why *why)
{
	AUTO(buf_done) struct buf text = { 0 };
	bool used = c->dns_trust_anchor.n && !str_eq(str_trim(c->dns_forwarder), STR("none"));
	return used ? read_path("dns.trust_anchor", c->dns_trust_anchor, PEM_MAX, &text, why) : RC_OK;
}

/* One that is missing is told at each start, and mail goes on without it. */
static enum rc check_roots(const struct config *c, struct why *why)
{
	AUTO(buf_done) struct buf pem = { 0 };
	struct why one = { 0 };
	enum rc rc = c->relay_roots.n ? read_path("relay.roots", c->relay_roots, ROOTS_MAX, &pem, &one) : RC_OK;
	if (rc == RC_IO && one.sys == ENOENT)
		return RC_OK;
	if (rc != RC_OK) {
		*why = one;
		return rc;
	}
	rc = tls_roots_check(buf_str(&pem), &one);
	if (rc != RC_OK)
		FAIL(why, rc, "relay.roots: %.*s: %s", PSTR(shown(c->relay_roots)), one.text);
	return RC_OK;
}

enum rc config_files_check(const struct config *c, struct why *why)
{
	struct why denied = { 0 };
	for (size_t i = 0; i < c->tls_n; i++) {
		enum rc rc = check_pair(&c->tls[i], why);
		if (rc == RC_DENIED)
			denied = *why;
		else if (rc != RC_OK)
			return rc;
	}
	TRY(check_zones(c, why));
	TRY(check_anchor(c, why));
	enum rc rc = check_roots(c, why);
	if (rc == RC_DENIED)
		denied = *why;
	else if (rc != RC_OK)
		return rc;
	if (denied.rc == RC_OK)
		return RC_OK;
	*why = denied;
	return RC_DENIED;
}
