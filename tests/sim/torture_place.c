#include "torture.h"

#include "base/arena.h"
#include "os/file.h"
#include "os/loop.h"
#include "role/verify_all.h"
#include "store/view.h"
#include "vault/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const torture_who[WHO] = { "alice@torture.test", "bob@torture.test" };

bool said_set(char said[SAID_MAX], const char *format, ...)
{
	va_list v;
	va_start(v, format);
	(void)vsnprintf(said, SAID_MAX, format, v);
	va_end(v);
	return false;
}

static struct str below(struct config *c, const char *before, const char *dir, const char *name)
{
	char text[512];
	(void)snprintf(text, sizeof text, "%s%s/%s", before, dir, name);
	return arena_str(&c->a, str_z(text));
}

static enum rc listen_on(struct config *c, enum listener_proto proto, unsigned port, struct why *why)
{
	char text[32];
	(void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
	return config_listen(c, proto, false, arena_str(&c->a, str_z(text)), why);
}

bool place_config(struct place *p, char said[SAID_MAX])
{
	struct config *c = &p->config;
	struct why why = { 0 };
	config_init(c);
	c->server_hostname = STR("mail.torture.test");
	c->server_data_dir = below(c, "", p->dir, "data");
	c->server_root_key = below(c, "file:", p->dir, "root.key");
	c->server_control = below(c, "", p->dir, "ctl");
	c->server_demo = true;
	c->dns_forwarder = STR("none"); /* nothing of this asks a network */
	c->process_edge = c->process_access = c->process_scan = c->process_reader = 1;
	c->inbound_tarpit = 0;
	enum rc rc = listen_on(c, LISTEN_SMTP, p->smtp, &why);
	if (rc == RC_OK)
		rc = listen_on(c, LISTEN_IMAP, p->imap, &why);
	if (rc == RC_OK)
		rc = listen_on(c, LISTEN_POP3, p->pop3, &why);
	return rc == RC_OK && !c->a.full ? true : said_set(said, "configuration: %s", why.text);
}

/* ---- a new one ---- */

struct making { struct place *p; struct loop *loop; enum rc rc; struct why why; };

static enum rc make_account(struct making *m, struct vault *v, struct store *s, int who)
{
	struct arena a;
	struct str recovery;
	struct account acct = { .address = str_z(torture_who[who]), .name = STR(""), .created_ms = wall_ms() };
	arena_init(&a, 4096);
	enum rc rc = vault_account_make(v, MODE_ORGANISATION, STR(TORTURE_PASSWORD), &acct.id, acct.public_key, &recovery, &a, &m->why);
	if (rc == RC_OK)
		rc = account_add(s, &acct, &m->why);
	m->p->account[who] = acct.id;
	arena_done(&a);
	return rc;
}

static enum rc make_all(struct making *m)
{
	char vault_dir[300], data[300], where[300];
	struct vault_options vo = { .dir = vault_dir };
	struct vault *v = NULL;
	struct store *s = NULL;
	(void)snprintf(data, sizeof data, "%s/data", m->p->dir);
	(void)snprintf(vault_dir, sizeof vault_dir, "%s/data/vault", m->p->dir);
	(void)snprintf(where, sizeof where, "file:%s/root.key", m->p->dir);
	static const char *const subs[] = { "", "/index", "/segments", "/vault", "/ledger" };
	for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
		char path[320];
		(void)snprintf(path, sizeof path, "%s%s", data, subs[i]);
		TRY(dir_make(path, 0700, &m->why));
	}
	TRY(root_key_load(where, data, true, true, &vo.root, &m->why));
	TRY(vault_open(m->loop, &vo, &v, &m->why));
	enum rc rc = store_open(m->loop, &(struct store_options){ .dir = data }, &s, &m->why);
	if (rc == RC_OK)
		rc = domain_add(s, STR("torture.test"), &m->why);
	for (int i = 0; i < WHO && rc == RC_OK; i++)
		rc = make_account(m, v, s, i);
	store_close(&s);
	vault_close(&v);
	secret_done(&vo.root);
	return rc;
}

static void make_fiber(void *arg)
{
	struct making *m = arg;
	m->rc = make_all(m);
	loop_stop(m->loop);
}

bool place_make(struct place *p, char said[SAID_MAX])
{
	struct making m = { .p = p };
	if (mkdir(p->dir, 0700) < 0 && errno != EEXIST)
		return said_set(said, "%s: %s", p->dir, strerror(errno));
	m.rc = loop_open(&m.loop, &m.why);
	if (m.rc == RC_OK)
		m.rc = fiber_start(m.loop, make_fiber, &m, NULL);
	if (m.rc == RC_OK)
		loop_run(m.loop);
	loop_close(&m.loop);
	return m.rc == RC_OK ? true : said_set(said, "making the data directory: %s", m.why.text);
}

/* ---- copies ---- */

static bool copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char room[65536];
	AUTO(fd_close) int in = openat(from_dir, name, O_RDONLY | O_CLOEXEC), out = openat(to_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		return false;
	for (off_t at = 0; at < st->st_size;) { /* holes stay holes: an LMDB map is mostly one */
		off_t data = lseek(in, at, SEEK_DATA);
		if (data < 0)
			break;
		ssize_t n = pread(in, room, sizeof room, data);
		if (n <= 0 || pwrite(out, room, (size_t)n, data) != n)
			return false;
		at = data + n;
	}
	return ftruncate(out, st->st_size) == 0;
}

static bool copy_tree(int from, int to, int depth)
{
	DIR *d = fdopendir(dup(from));
	bool ok = d != NULL;
	for (struct dirent *e; ok && (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.')
			continue;
		ok = fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (ok && S_ISREG(st.st_mode))
			ok = copy_file(from, to, e->d_name, &st);
		if (ok && S_ISDIR(st.st_mode) && depth < 4) {
			(void)mkdirat(to, e->d_name, 0700);
			AUTO(fd_close) int a = openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b = openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			ok = a >= 0 && b >= 0 && copy_tree(a, b, depth + 1);
		}
	}
	if (d)
		(void)closedir(d);
	return ok;
}

bool place_copy(const struct place *from, const char *to, char said[SAID_MAX])
{
	if (mkdir(to, 0700) < 0)
		return said_set(said, "%s: %s", to, strerror(errno));
	AUTO(fd_close) int a = open(from->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return a >= 0 && b >= 0 && copy_tree(a, b, 0) ? true : said_set(said, "copy to %s: %s", to, strerror(errno));
}

static void remove_tree(int parent, const char *name, int depth)
{
	AUTO(fd_close) int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dir >= 0 && depth < 6 ? fdopendir(dup(dir)) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dir, e->d_name, 0) < 0)
			remove_tree(dir, e->d_name, depth + 1);
	}
	if (d)
		(void)closedir(d);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

void place_remove(const char *dir) { remove_tree(AT_FDCWD, dir, 0); }

/* ---- judged from outside ---- */

static void damage(void *arg, const char *what)
{
	char *said = arg;
	if (!said[0])
		(void)said_set(said, "verify: %s", what);
}

static bool check_counts(struct place *p, struct view *v, const uint32_t exists[WHO], char said[SAID_MAX])
{
	for (int i = 0; i < WHO; i++) {
		struct arena a;
		struct box_info info = { 0 };
		struct account acct;
		struct str tag;
		struct why why = { 0 };
		arena_init(&a, 1 << 20);
		enum rc rc = view_address(v, str_z(torture_who[i]), &a, &acct, &tag, &why);
		if (rc == RC_OK)
			rc = view_box_named(v, acct.id, STR("INBOX"), &a, &info, &why);
		arena_done(&a);
		if (rc != RC_OK)
			return said_set(said, "a fresh view of %s: %s", torture_who[i], why.text);
		if (info.exists != exists[i])
			return said_set(said, "%s: %u messages while it ran, %u opened anew", torture_who[i], exists[i], info.exists);
	}
	return true;
}

bool place_check(struct place *p, const uint32_t exists[WHO], char said[SAID_MAX])
{
	struct verify_all report;
	struct view *v;
	struct why why = { 0 };
	char data[300];
	(void)snprintf(data, sizeof data, "%s/data", p->dir);
	said[0] = 0;
	if (verify_all(&p->config, data, damage, said, &report, &why) != RC_OK)
		return said_set(said, "verify: %s", why.text);
	if (report.damaged)
		return false;
	if (!report.vault_checked || !report.ledger_checked)
		return said_set(said, "verify left out the %s: %s", report.vault_checked ? "ledger" : "vault", report.skipped);
	if (view_open(data, 0, &v, &why) != RC_OK)
		return said_set(said, "a fresh view: %s", why.text);
	bool ok = check_counts(p, v, exists, said);
	view_close(&v);
	return ok;
}
