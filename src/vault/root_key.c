#include "vault/vault.h"

#include "base/codec.h"
#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 4096 };

/* 64 hex digits with white space around them, or 32 octets. */
static enum rc parse_key(struct str text, const char *path, struct secret *out, struct why *why)
{
	struct str hex = str_trim(text);
	struct buf b AUTO(buf_wipe);
	buf_init(&b, KEY_LEN);
	if (text.n == KEY_LEN)
		memcpy(out->k, text.p, KEY_LEN);
	else if (hex.n == 2 * KEY_LEN && hex_decode(hex, &b) == RC_OK && b.len == KEY_LEN)
		memcpy(out->k, b.p, KEY_LEN);
	else
		FAIL(why, RC_SYNTAX, "the root key in %.120s is neither 64 hex digits nor 32 octets", path);
	return RC_OK;
}

/* Directory and last part of `path`; the directory's own real name in `real`. */
static enum rc split(const char *path, char dir[PATH_MAX], char real[PATH_MAX], const char **out_name, struct why *why)
{
	const char *slash = strrchr(path, '/');
	if (!slash || !slash[1] || (size_t)(slash - path) >= PATH_MAX - 1)
		FAIL(why, RC_SYNTAX, "the root key's path must be absolute: %.120s", path);
	(void)snprintf(dir, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	*out_name = slash + 1;
	if (!realpath(dir, real))
		(void)snprintf(real, PATH_MAX, "%s", dir); /* not there yet */
	return RC_OK;
}

static bool lies_in(const char *real, const char *data_dir)
{
	char data[PATH_MAX];
	if (!data_dir)
		return false;
	/* What is not there yet has no real name: then it is compared as written. */
	if (!realpath(data_dir, data) && snprintf(data, sizeof data, "%s", data_dir) >= (int)sizeof data)
		return false;
	size_t n = strlen(data);
	while (n > 1 && data[n - 1] == '/')
		data[--n] = 0;
	return strncmp(real, data, n) == 0 && (real[n] == 0 || real[n] == '/' || data[n - 1] == '/');
}

static enum rc read_key(const char *path, bool strict, struct secret *out, struct why *why)
{
	struct stat st;
	struct buf b AUTO(buf_wipe);
	buf_init(&b, KEY_FILE_MAX);
	int fd AUTO(fd_close) = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		FAIL(why, RC_NOTFOUND, "there is no root key at %.120s", path);
	if (fd < 0)
		FAIL_SYS(why, "cannot open the root key %.120s", path);
	if (fstat(fd, &st) < 0)
		FAIL_SYS(why, "cannot look at the root key %.120s", path);
	if (!S_ISREG(st.st_mode))
		FAIL(why, RC_DENIED, "the root key %.120s is not a regular file", path);
	if (strict && st.st_mode & 077)
		FAIL(why, RC_DENIED, "others than its owner may read the root key %.100s (mode %04o): chmod 600", path, (unsigned)st.st_mode & 07777);
	if (strict && st.st_uid != geteuid() && st.st_uid != 0)
		FAIL(why, RC_DENIED, "the root key %.120s belongs to another user", path);
	if (!buf_room(&b, KEY_FILE_MAX))
		return RC_NOMEM;
	TRY(fd_read_all(fd, KEY_FILE_MAX, &b, why));
	return parse_key(buf_str(&b), path, out, why);
}

static enum rc make_key(const char *dir, const char *name, struct secret *out, struct why *why)
{
	struct secret k AUTO(secret_done) = { { 0 } };
	struct buf text AUTO(buf_wipe);
	int fd AUTO(fd_close) = -1;
	buf_init(&text, 2 * KEY_LEN + 1);
	if (!buf_room(&text, 2 * KEY_LEN + 1))
		return RC_NOMEM;
	TRY(random_bytes(k.k, KEY_LEN));
	hex_add(&text, secret_str(&k));
	buf_byte(&text, '\n');
	TRY(dir_make(dir, 0700, why));
	TRY(dir_open(dir, &fd, why));
	TRY(file_put(fd, name, buf_str(&text), 0600, why));
	*out = k;
	return RC_OK;
}

/* A vault whose root key is lost must say so: a new key would open nothing and hide the loss. */
static bool has_vault(const char *data_dir)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/vault/keys", data_dir);
	return n < 0 || (size_t)n >= sizeof path || access(path, F_OK) == 0;
}

static enum rc load_file(const char *path, const char *data_dir, bool make, bool demo, struct secret *out, struct why *why)
{
	char dir[PATH_MAX], real[PATH_MAX];
	const char *name = "";
	TRY(split(path, dir, real, &name, why));
	if (!demo && lies_in(real, data_dir))
		FAIL(why, RC_DENIED, "the root key %.100s lies in the data directory it protects: keep it elsewhere", path);
	enum rc rc = read_key(path, true, out, why);
	if (rc != RC_NOTFOUND || !make || has_vault(data_dir))
		return rc;
	return make_key(dir, name, out, why);
}

static enum rc load_credential(struct str name, struct secret *out, struct why *why)
{
	char path[PATH_MAX];
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	if (name.n == 0 || name.n > 255 || str_find(name, '/') != name.n)
		FAIL(why, RC_SYNTAX, "a credential's name is needed after \"credential:\"");
	if (!dir)
		FAIL(why, RC_NOTFOUND, "CREDENTIALS_DIRECTORY is not set: the service manager has handed in no credentials");
	int n = snprintf(path, sizeof path, "%s/%.*s", dir, PSTR(name));
	if (n < 0 || (size_t)n >= sizeof path)
		FAIL(why, RC_LIMIT, "the credential's path is too long");
	return read_key(path, false, out, why); /* its mode is the service manager's: an ACL shows as group bits */
}

enum rc root_key_load(const char *where, const char *data_dir, bool make, bool demo, struct secret *out, struct why *why)
{
	struct str w = str_z(where);
	if (str_starts(w, STR("file:")))
		return load_file(where + 5, data_dir, make, demo, out, why);
	if (str_starts(w, STR("credential:")))
		return load_credential(str_skip(w, 11), out, why);
	FAIL(why, RC_SYNTAX, "a root key is \"file:/path\" or \"credential:NAME\", not \"%.60s\"", where);
}
