#include "cmd/config_file.h"
#include "cmd/ctl.h"
#include "role/master.h"
#include "role/role.h"

#include <errno.h>
#include <jansson.h>

/* serve, reload, stop, status, sandbox-test. */

static enum rc load(const char *path, struct config *out, struct why *why) { return config_file_load(path, out, NULL, why); }

enum status run_serve(struct call *c)
{
	struct config config;
	if (!call_config(c, &config))
		return STATUS_FAILED;
	int status = master_main(&config, c->config_path, load, call_option(c, "one-process") != NULL);
	config_done(&config);
	return status == 0 ? STATUS_OK : status == EXIT_FOR_GOOD ? STATUS_FOR_GOOD : STATUS_FAILED;
}

static enum status reload(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct msg_CTL_RELOAD_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	if (ctl_ask(ctl, ROLE_MASTER, MSG_CTL_RELOAD, &(struct msg_CTL_RELOAD){ 0 }, &a, &reply, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the new configuration was refused; the old one stays in force", why.text, "letterlock config check");
	ipc_reply_done(&reply);
	ctl_audit(ctl, "server reload", STR(""), str_z(c->config_path));
	if (c->json)
		say_json("{\"reloaded\":true}");
	else
		say("configuration, certificates and zones are in force");
	return STATUS_OK;
}
enum status run_reload(struct call *c) { return ctl_verb(c, reload); }

static enum status stop(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	ctl_audit(ctl, "server stop", STR(""), STR(""));
	if (ctl_ask(ctl, ROLE_MASTER, MSG_CTL_STOP, &(struct msg_CTL_STOP){ 0 }, NULL, NULL, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the server did not take the order to stop", why.text, "letterlock status");
	if (c->json)
		say_json("{\"stopping\":true}");
	else
		say("stopping; sessions may finish");
	return STATUS_OK;
}
enum status run_stop(struct call *c) { return ctl_verb(c, stop); }

/* ---- reports: JSON from master, shown as a table ---- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}
static long long number_of(const json_t *o, const char *key) { return (long long)json_integer_value(json_object_get(o, key)); }

static void show_store(const json_t *store)
{
	char live[24], dead[24], room[24];
	if (!store)
		return;
	say("  store      %s of mail in %lld segments, %s to reclaim, %s free on the disk, %lld commits",
	    size_text((uint64_t)number_of(store, "live_bytes"), live), number_of(store, "segments"), size_text((uint64_t)number_of(store, "dead_bytes"), dead),
	    size_text((uint64_t)number_of(store, "disk_free"), room), number_of(store, "commits"));
}

static void show_queue(const json_t *q)
{
	if (q)
		say("  queue      %lld ready, %lld deferred, %lld held for other servers; %lld connections", number_of(q, "ready"), number_of(q, "deferred"), number_of(q, "held"), number_of(q, "connections"));
}

static void show_status(const json_t *r)
{
	size_t i;
	json_t *o;
	long long s = number_of(r, "uptime_ms") / 1000;
	say("letterlock %s on %s: %s, up %lld:%02lld:%02lld, pid %lld", text_of(r, "version"), text_of(r, "hostname"),
	    json_is_true(json_object_get(r, "ready")) ? "ready" : "NOT ready", s / 3600, s / 60 % 60, s % 60, number_of(r, "pid"));
	say("  config     %s%s", text_of(r, "config"), json_is_true(json_object_get(r, "config_ok")) ? "" : "  (the newest version was refused: letterlock config check)");
	say("  data       %s", text_of(r, "data_dir"));
	json_array_foreach(json_object_get(r, "listeners"), i, o)
		say("  listens    %-8s %s", text_of(o, "proto"), text_of(o, "address"));
	show_store(json_object_get(r, "store"));
	show_queue(json_object_get(r, "queue"));
	say("  %-9s %5s %8s %6s %9s %9s", "role", "index", "pid", "state", "sessions", "restarts");
	json_array_foreach(json_object_get(r, "processes"), i, o)
		say("  %-9s %5lld %8lld %6s %9lld %9lld", text_of(o, "role"), number_of(o, "index"), number_of(o, "pid"),
		    json_is_true(json_object_get(o, "ready")) ? "ready" : "DOWN", number_of(o, "sessions"), number_of(o, "restarts"));
}

static enum status problems(const json_t *r)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(r, "processes"), i, o)
		if (!json_is_true(json_object_get(o, "ready")))
			return STATUS_PROBLEMS;
	return json_is_true(json_object_get(r, "config_ok")) ? STATUS_OK : STATUS_PROBLEMS;
}

static enum status status(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct msg_CTL_STATUS_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	if (ctl_ask(ctl, ROLE_MASTER, MSG_CTL_STATUS, &(struct msg_CTL_STATUS){ 0 }, &a, &reply, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the server did not say how it is", why.text, "look into its log");
	json_t *r = json_loadb(a.report.p, a.report.n, JSON_REJECT_DUPLICATES, NULL);
	enum status s = r ? problems(r) : say_error(c, STATUS_FAILED, "the server's report is not JSON", NULL, NULL);
	if (r && c->json)
		say_json("%.*s", PSTR(a.report));
	else if (r)
		show_status(r);
	json_decref(r);
	ipc_reply_done(&reply);
	return s;
}
enum status run_status(struct call *c) { return ctl_verb(c, status); }

/* ---- sandbox-test ---- */

static const char *errno_text(long long e)
{
	const char *name = e > 0 && e < 4096 ? strerrorname_np((int)e) : NULL;
	return e == 0 ? "WORKED" : name ? name : "?";
}

static enum status show_proofs(const struct call *c, const json_t *list)
{
	size_t i, broken = 0;
	json_t *o;
	if (!c->json)
		say("%-8s %5s %8s  %-12s %-8s %-15s %-12s %s", "role", "index", "pid", "/etc/passwd", "exec", "foreign connect", "foreign dir", "in force");
	json_array_foreach(list, i, o) {
		bool holds = json_is_true(json_object_get(o, "holds"));
		broken += !holds;
		if (c->json) {
			(void)json_dumpf(o, stdout, JSON_COMPACT);
			say("%s", "");
			continue;
		}
		say("%-8s %5lld %8lld  %-12s %-8s %-15s %-12s %s%s", text_of(o, "role"), number_of(o, "index"), number_of(o, "pid"), errno_text(number_of(o, "open_passwd")),
		    errno_text(number_of(o, "exec")), errno_text(number_of(o, "connect")), errno_text(number_of(o, "foreign_read")), text_of(o, "text"),
		    holds ? "" : "  <- DOES NOT HOLD");
	}
	if (i == 0)
		return say_error(c, STATUS_PROBLEMS, "no process was asked", NULL, "letterlock status");
	return broken ? say_error(c, STATUS_PROBLEMS, "a process can do what it must not", NULL, "check the kernel (letterlock status) and server.sandbox") : STATUS_OK;
}

static enum status sandbox_test(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct msg_CTL_SANDBOX_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	if (ctl_ask(ctl, ROLE_MASTER, MSG_CTL_SANDBOX, &(struct msg_CTL_SANDBOX){ 0 }, &a, &reply, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the processes could not be asked", why.text, "letterlock status");
	json_t *list = json_loadb(a.report.p, a.report.n, 0, NULL);
	enum status s = json_is_array(list) ? show_proofs(c, list) : say_error(c, STATUS_FAILED, "the server's report is not JSON", NULL, NULL);
	json_decref(list);
	ipc_reply_done(&reply);
	return s;
}
enum status run_sandbox_test(struct call *c) { return ctl_verb(c, sandbox_test); }
