#include "role/verify_all.h"

#include "ledger/ledger.h"
#include "os/loop.h"
#include "vault/vault.h"
#include <errno.h>
#include <sys/stat.h>

struct finder {
	void (*damage)(void *arg, const char *what);
	void *arg;
	uint64_t found;
};

static void found(void *arg, const char *what)
{
	struct finder *f = arg;
	f->found++;
	f->damage(f->arg, what);
}

static void found_in(struct finder *f, const char *where, const struct why *why)
{
	char text[300];
	(void)snprintf(text, sizeof text, "%s: %s", where, why->text);
	found(f, text);
}

/* Opening would make a new one in its place, and the audit log would be gone without a word. */
static bool ledger_lies(const char *dir)
{
	char path[4200];
	struct stat sb;
	(void)snprintf(path, sizeof path, "%s/ledger.db", dir);
	return stat(path, &sb) != 0 ? errno != ENOENT : sb.st_size > 0;
}

static void check_ledger(struct vault *v, const char *dir, struct finder *f, struct verify_all *out)
{
	if (!ledger_lies(dir)) {
		found(f, "ledger: history and audit log are not there");
		return;
	}
	AUTO(secret_done) struct secret key = { 0 };
	struct ledger *l;
	struct why why = { 0 };
	enum rc rc = vault_ledger_key(v, &key);
	if (rc == RC_OK)
		rc = ledger_open_with(dir, &key, &l, &why);
	if (rc != RC_OK) {
		found_in(f, "ledger", &why);
		return;
	}
	out->ledger_checked = true;
	if (ledger_verify(l, &out->audit_entries, &why) != RC_OK)
		found_in(f, "ledger", &why);
	ledger_close(&l);
}

static enum rc check_vault(struct loop *l, const struct vault_options *o, const char *ledger_dir, struct finder *f, struct verify_all *out, struct why *why)
{
	struct vault *v;
	enum rc rc = vault_open(l, o, &v, why);
	if (rc == RC_DAMAGED || rc == RC_DENIED || rc == RC_NOTFOUND) {
		found_in(f, "vault", why);
		return RC_OK;
	}
	TRY(rc);
	out->vault_checked = true;
	rc = vault_verify(v, found, f, why);
	if (rc == RC_DAMAGED) {
		rc = RC_OK;
		if (f->found == 0)
			found_in(f, "vault", why);
	}
	if (rc == RC_OK)
		check_ledger(v, ledger_dir, f, out);
	vault_close(&v);
	return rc;
}

static enum rc check_secrets(const struct config *c, const char *dir, struct finder *f, struct verify_all *out, struct why *why)
{
	char vault_dir[4096], ledger_dir[4096], where[4200], data[4200];
	struct vault_options o = { .dir = vault_dir, .read_only = true };
	struct why no_key = { 0 };
	(void)snprintf(vault_dir, sizeof vault_dir, "%s/vault", dir);
	(void)snprintf(ledger_dir, sizeof ledger_dir, "%s/ledger", dir);
	(void)snprintf(where, sizeof where, "%.*s", PSTR(c->server_root_key));
	(void)snprintf(data, sizeof data, "%.*s", PSTR(c->server_data_dir));
	if (root_key_load(where, data, false, c->server_demo, &o.root, &no_key) != RC_OK) {
		/* A credential is the service manager's to show; a file that is gone is a loss: nothing opens without it. */
		if (str_starts(c->server_root_key, STR("file:")))
			found_in(f, "root key", &no_key);
		else
			(void)snprintf(out->skipped, sizeof out->skipped, "%s", no_key.text);
		return RC_OK;
	}
	struct loop *l;
	enum rc rc = loop_open(&l, why);
	if (rc == RC_OK) {
		rc = check_vault(l, &o, ledger_dir, f, out, why);
		loop_close(&l);
	}
	secret_done(&o.root);
	return rc;
}

enum rc verify_all(const struct config *c, const char *dir, void (*damage)(void *arg, const char *what), void *arg, struct verify_all *out,
                   struct why *why)
{
	struct finder f = { damage, arg, 0 };
	*out = (struct verify_all){ 0 };
	TRY(check_secrets(c, dir, &f, out, why)); /* first: damaged pages of the index can end the process */
	enum rc rc = store_verify(dir, found, &f, &out->store, why);
	/* Without an errno it is not the machine that refuses but the index that is no index. */
	if (rc != RC_OK && rc != RC_DAMAGED && (rc == RC_NOMEM || why->sys))
		return rc;
	if (rc != RC_OK)
		found_in(&f, "store", why);
	out->damaged = f.found;
	return RC_OK;
}
