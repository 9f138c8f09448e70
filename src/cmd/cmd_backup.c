#include "cmd/ctl.h"
#include "os/file.h"
#include "role/backup.h"
#include "role/verify_all.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* backup create|verify, restore, verify. */

struct copying {
	char data_dir[4096];
	const char *to;
	enum rc rc;
	struct why why;
};

static void copy(void *arg)
{
	struct copying *j = arg;
	j->rc = backup_copy(j->data_dir, j->to, &j->why);
}

/* The store is pinned by the caller; this process is confined, the copying on a worker. The vault needs no pin: what is copied of its file
 * from the front is always a whole state. */
static enum rc pinned_copy(struct ctl *ctl, struct copying *j, struct why *why)
{
	struct msg_LEDGER_FLUSH_answer flushed;
	TRY(ctl_ask(ctl, ROLE_LEDGER, MSG_LEDGER_FLUSH, &(struct msg_LEDGER_FLUSH){ 0 }, &flushed, NULL, why));
	TRY(backup_confine(j->data_dir, j->to, str_eq(ctl_config(ctl)->server_sandbox, STR("reduced")), why));
	TRY(worker_run(copy, j));
	if (j->rc != RC_OK)
		*why = j->why;
	return j->rc;
}

static enum status create(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 }, unused;
	struct copying j = { .to = c->args[0] };
	struct msg_STORE_PIN_answer pin;
	(void)snprintf(j.data_dir, sizeof j.data_dir, "%.*s", PSTR(ctl_config(ctl)->server_data_dir));
	if (mkdir(j.to, 0700) < 0)
		return say_error(c, STATUS_FAILED, "the backup's directory could not be made", strerror(errno), "name a directory that is not there yet");
	enum rc rc = ctl_ask(ctl, ROLE_STORE, MSG_STORE_PIN, &(struct msg_STORE_PIN){ 0 }, &pin, NULL, &why);
	if (rc == RC_OK) {
		ctl_audit(ctl, "backup create", STR(""), str_z(j.to));
		rc = pinned_copy(ctl, &j, &why);
		(void)!ctl_ask(ctl, ROLE_STORE, MSG_STORE_UNPIN, &(struct msg_STORE_UNPIN){ .lease = pin.lease }, NULL, NULL, &unused);
	}
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the backup was not finished", why.text, "remove what is there of it and try again");
	if (c->json)
		say_json("{\"backup\":true}");
	else
		say("backup made in %s; check it with: letterlock backup verify %s", j.to, j.to);
	return STATUS_OK;
}
enum status run_backup_create(struct call *c) { return ctl_verb(c, create); }

/* ---- verify ---- */

/* What the looking process has told so far; shared, so that it outlives that process. */
struct looking {
	const struct call *c;
	struct verify_all report;
	uint64_t told;
	bool done;
};

static void damaged(void *arg, const char *what)
{
	struct looking *l = arg;
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	l->told++;
	if (l->c->json)
		say_json("{\"damaged\":\"%s\"}", json_text(&a, str_z(what)));
	else
		say("damaged: %s", text_z(&a, str_z(what)));
}

static void totals(const struct call *c, const struct verify_all *r)
{
	char size[24];
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	if (c->json) {
		say_json("{\"accounts\":%" PRIu64 ",\"folders\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"bodies\":%" PRIu64 ",\"segments\":%" PRIu64 ",\"bytes\":%" PRIu64
		         ",\"audit_entries\":%" PRIu64 ",\"vault_checked\":%s,\"skipped\":\"%s\",\"damaged\":%" PRIu64 "}",
		         r->store.accounts, r->store.boxes, r->store.messages, r->store.blobs, r->store.segments, r->store.bytes, r->audit_entries,
		         r->vault_checked ? "true" : "false", json_text(&a, str_z(r->skipped)), r->damaged);
		return;
	}
	say("%" PRIu64 " accounts, %" PRIu64 " folders, %" PRIu64 " messages, %" PRIu64 " bodies in %" PRIu64 " segments (%s), %" PRIu64 " audit entries",
	    r->store.accounts, r->store.boxes, r->store.messages, r->store.blobs, r->store.segments, size_text(r->store.bytes, size), r->audit_entries);
	if (!r->vault_checked && r->skipped[0])
		say("vault and ledger were not opened: %s", r->skipped);
	say("%" PRIu64 " damaged", r->damaged);
}

static enum status look(struct looking *l, const struct config *config, const char *dir)
{
	struct why why = { 0 };
	if (verify_all(config, dir, damaged, l, &l->report, &why) != RC_OK)
		return say_error(l->c, STATUS_FAILED, "not everything could be looked at", why.text, "see that this user may read the directory");
	totals(l->c, &l->report);
	return l->report.damaged ? STATUS_PROBLEMS : STATUS_OK;
}

/* LMDB trusts its pages: a flipped bit in one can end the process that reads it. So another process looks, and its end is a finding. */
static enum status look_apart(struct looking *l, const struct config *config, const char *dir)
{
	int status = 0;
	(void)fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		return say_error(l->c, STATUS_FAILED, "there is no second process to look with", strerror(errno), "try again when the machine has room");
	if (child == 0) {
		(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		enum status s = look(l, config, dir);
		l->done = fflush(stdout) == 0;
		_exit(s);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (l->done && WIFEXITED(status))
		return (enum status)WEXITSTATUS(status);
	damaged(l, "store: the index's pages are so damaged that reading them ends the process; restore a backup");
	l->report.damaged = l->told;
	totals(l->c, &l->report);
	return STATUS_PROBLEMS;
}

static enum status verify_dir(const struct call *c, const struct config *config, const char *dir)
{
	struct looking *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l == MAP_FAILED)
		return say_error(c, STATUS_FAILED, "there is no memory to look with", strerror(errno), "try again when the machine has room");
	l->c = c;
	enum status s = look_apart(l, config, dir);
	(void)munmap(l, sizeof *l);
	return s;
}

enum status run_backup_verify(struct call *c)
{
	struct config config;
	struct why why = { 0 };
	if (!call_config(c, &config))
		return STATUS_FAILED;
	enum status s = backup_is_one(c->args[0], &why) == RC_OK ? verify_dir(c, &config, c->args[0])
	                                                        : say_error(c, STATUS_PROBLEMS, "that is not a whole backup", why.text, "letterlock backup create DIR");
	config_done(&config);
	return s;
}

enum status run_verify(struct call *c)
{
	struct config config;
	char dir[4096];
	if (!call_config(c, &config))
		return STATUS_FAILED;
	(void)snprintf(dir, sizeof dir, "%.*s", PSTR(config.server_data_dir));
	enum status s = ctl_server_runs(&config) ? say_error(c, STATUS_FAILED, "the server is running", "what it writes meanwhile would look damaged",
	                                                     "letterlock stop first, or: letterlock backup create DIR, then backup verify DIR")
	                                         : verify_dir(c, &config, dir);
	config_done(&config);
	return s;
}

enum status run_restore(struct call *c)
{
	struct config config;
	struct why why = { 0 };
	char dir[4096];
	if (!call_config(c, &config))
		return STATUS_FAILED;
	(void)snprintf(dir, sizeof dir, "%.*s", PSTR(config.server_data_dir));
	bool runs = ctl_server_runs(&config);
	enum rc rc = runs ? RC_BUSY : backup_restore(c->args[0], dir, &why);
	config_done(&config);
	if (runs)
		return say_error(c, STATUS_FAILED, "nothing was restored", "the server is running", "letterlock stop");
	if (rc == RC_EXISTS)
		return say_error(c, STATUS_FAILED, "nothing was restored", why.text, "move the old data directory away first");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the backup was not restored", why.text, "letterlock backup verify DIR");
	if (c->json)
		say_json("{\"restored\":true}");
	else
		say("restored into %s; next: letterlock verify, then letterlock serve", dir);
	return STATUS_OK;
}
