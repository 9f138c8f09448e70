#include "role/demo_setup.h"

#include "crypto/tls.h"
#include "os/file.h"
#include "os/loop.h"
#include <sys/stat.h>

enum { PEM_MAX = 65536, RENEW_AFTER_DAYS = 60 };

static bool is_fresh(int dir, const char *name)
{
	struct stat st;
	return fstatat(dir, name, &st, 0) == 0 && wall_ms() / 1000 - st.st_mtim.tv_sec < RENEW_AFTER_DAYS * 86400;
}

/* The private key in `name`, made when it is missing. */
static enum rc key_of(int dir, const char *name, struct buf *out, struct why *why)
{
	enum rc rc = file_get(dir, name, PEM_MAX, out, why);
	if (rc != RC_NOTFOUND)
		return rc;
	buf_clear(out);
	rc = tls_key_make(out);
	if (rc != RC_OK)
		FAIL(why, rc, "no key could be made");
	return file_put(dir, name, buf_str(out), 0600, why);
}

static enum rc ca_of(int dir, struct str key, struct buf *out, struct why *why)
{
	enum rc rc = file_get(dir, "ca.pem", PEM_MAX, out, why);
	if (rc != RC_NOTFOUND)
		return rc;
	buf_clear(out);
	TRY(tls_ca_make(key, "Letterlock demo CA", out, why));
	return file_put(dir, "ca.pem", buf_str(out), 0644, why);
}

enum rc demo_certificates(const char *path, const char *names, struct why *why)
{
	AUTO(fd_close) int dir = -1;
	AUTO(buf_wipe) struct buf ca_key = { .max = PEM_MAX };
	AUTO(buf_wipe) struct buf key = { .max = PEM_MAX };
	AUTO(buf_done) struct buf ca = { .max = PEM_MAX };
	AUTO(buf_done) struct buf leaf = { .max = PEM_MAX };
	TRY(dir_open(path, &dir, why));
	TRY(key_of(dir, "ca.key", &ca_key, why));
	TRY(ca_of(dir, buf_str(&ca_key), &ca, why));
	TRY(key_of(dir, "cert.key", &key, why));
	if (is_fresh(dir, "cert.pem"))
		return RC_OK;
	TRY(tls_leaf_make(buf_str(&ca_key), buf_str(&ca), buf_str(&key), names, &leaf, why));
	return file_put(dir, "cert.pem", buf_str(&leaf), 0644, why);
}
