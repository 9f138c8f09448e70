#include "cmd/ctl.h"
#include "cmd/verbs.h"
#include "os/file.h"
#include "role/probe_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

/* probe spf|dkim|arc|dmarc: many cases in one run, against the zones of --zone FILE or the running server's resolver. */

enum { FILE_MAX = 256 << 20, REPORT_MAX = 64 << 20 };

typedef enum rc probe_message(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why);
struct work {
	struct call *call;
	enum status (*cases)(struct work *w);
	probe_message *message;   /* dkim, arc, dmarc */
	struct dns_table *zones;
	struct dns dns;
	struct probe_query query; /* what the options say */
};

static struct str option(const struct call *c, const char *name) { return str_z(call_option(c, name)); }

static enum rc read_file(const char *path, struct buf *out, struct why *why)
{
	AUTO(fd_close) int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL_SYS(why, "%s", strerror(errno));
	return fd_read_all(fd, FILE_MAX, out, why);
}

static enum status print(struct work *w, enum rc rc, const char *what, const struct buf *out, const struct why *why)
{
	if (rc != RC_OK)
		return say_error(w->call, rc == RC_SYNTAX ? STATUS_USAGE : STATUS_FAILED, what, why->text, NULL);
	(void)fwrite(out->p, 1, out->len, stdout);
	return STATUS_OK;
}

static enum status worse(enum status a, enum status b) { return a == STATUS_OK ? b : a; }

/* ---- SPF ---- */

static struct str member(json_t *o, const char *name) { return str_z(json_string_value(json_object_get(o, name))); }

/* {"id":"…","ip":"…","helo":"…","from":"…"}; what is left out comes from the options. */
static enum status batch_line(struct work *w, struct str line)
{
	AUTO(buf_done) struct buf out = { .max = REPORT_MAX };
	struct why why = { 0 };
	json_error_t error;
	json_t *o = json_loadb(line.p, line.n, 0, &error);
	if (!json_is_object(o)) {
		json_decref(o);
		return say_error(w->call, STATUS_USAGE, "a line of --batch is not a JSON object", error.text, NULL);
	}
	struct probe_query q = w->query;
	q.name = member(o, "id");
	q.ip = json_object_get(o, "ip") ? member(o, "ip") : q.ip;
	q.helo = json_object_get(o, "helo") ? member(o, "helo") : q.helo;
	q.from = json_object_get(o, "from") ? member(o, "from") : q.from;
	enum rc rc = probe_spf(&w->dns, &q, w->call->json, &out, &why);
	enum status s = print(w, rc, "this case cannot be evaluated", &out, &why);
	json_decref(o);
	return s;
}

static enum status spf_cases(struct work *w)
{
	AUTO(buf_done) struct buf out = { .max = REPORT_MAX };
	struct why why = { 0 };
	const char *batch = call_option(w->call, "batch");
	if (!batch)
		return print(w, probe_spf(&w->dns, &w->query, w->call->json, &out, &why), "this cannot be evaluated", &out, &why);
	AUTO(buf_done) struct buf lines = { .max = FILE_MAX };
	if (read_file(batch, &lines, &why) != RC_OK)
		return say_error(w->call, STATUS_FAILED, batch, why.text, NULL);
	enum status s = STATUS_OK;
	for (struct str rest = buf_str(&lines), line; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_trim(line).n)
			s = worse(s, batch_line(w, line));
	}
	return s;
}

/* ---- messages ---- */

static enum status message_case(struct work *w, const char *path)
{
	AUTO(buf_done) struct buf message = { .max = FILE_MAX };
	AUTO(buf_done) struct buf out = { .max = REPORT_MAX };
	struct why why = { 0 };
	if (read_file(path, &message, &why) != RC_OK)
		return say_error(w->call, STATUS_FAILED, path, why.text, NULL);
	struct probe_query q = w->query;
	q.name = str_z(path);
	enum rc rc = w->message(&w->dns, &q, buf_str(&message), w->call->json, &out, &why);
	return print(w, rc, path, &out, &why);
}

static enum status message_cases(struct work *w)
{
	enum status s = STATUS_OK;
	for (int i = 0; i < w->call->arg_n; i++)
		s = worse(s, message_case(w, w->call->args[i]));
	return s;
}

/* ---- whom to ask ---- */

static enum status read_zones(struct work *w)
{
	struct why why = { 0 };
	if (probe_zones_new(&w->zones, &why) != RC_OK)
		return say_error(w->call, STATUS_FAILED, "the zones cannot be read", why.text, NULL);
	const char *path;
	for (int i = 0; (path = call_option_nth(w->call, "zone", i)); i++) {
		AUTO(buf_done) struct buf text = { .max = FILE_MAX };
		if (read_file(path, &text, &why) != RC_OK || probe_zones_read(w->zones, buf_str(&text), &why) != RC_OK)
			return say_error(w->call, STATUS_FAILED, path, why.text, NULL);
	}
	w->dns = dns_table_dns(w->zones);
	return STATUS_OK;
}

static enum status with_resolver(struct ctl *ctl, void *arg)
{
	struct work *w = arg;
	struct why why = { 0 };
	struct ipc_peer *peer;
	if (ctl_peer(ctl, ROLE_RESOLVER, &peer, &why) != RC_OK)
		return say_error(w->call, STATUS_FAILED, "the server's resolver cannot be asked", why.text, "letterlock status, or give --zone FILE");
	w->dns = probe_resolver(peer);
	return w->cases(w);
}

static enum status probe_live(struct work *w)
{
	struct config config;
	if (!call_config(w->call, &config))
		return STATUS_FAILED;
	enum status s = STATUS_FAILED;
	if (ctl_server_runs(&config))
		s = ctl_run(w->call, &config, with_resolver, w);
	else
		s = say_error(w->call, STATUS_FAILED, "no server runs whose resolver could be asked", NULL, "start it (letterlock serve), or give --zone FILE");
	config_done(&config);
	return s;
}

static enum status run_cases(struct work *w)
{
	const char *at = call_option(w->call, "at");
	struct why why = { 0 };
	w->query.now_s = time(NULL);
	if (at && probe_time(str_z(at), &w->query.now_s, &why) != RC_OK)
		return say_usage(w->call, "--at: %s", why.text);
	w->query.ip = option(w->call, "ip");
	w->query.helo = option(w->call, "helo");
	w->query.from = option(w->call, "from");
	w->query.receiver = option(w->call, "receiver");
	if (!call_option(w->call, "zone"))
		return probe_live(w);
	enum status s = read_zones(w);
	if (s == STATUS_OK)
		s = w->cases(w);
	dns_table_free(&w->zones);
	return s;
}

enum status run_probe_spf(struct call *c)
{
	if (!call_option(c, "ip") && !call_option(c, "batch"))
		return say_usage(c, "probe spf needs --ip ADDRESS, or --batch FILE");
	return run_cases(&(struct work){ .call = c, .cases = spf_cases });
}

enum status run_probe_dkim(struct call *c) { return run_cases(&(struct work){ .call = c, .cases = message_cases, .message = probe_dkim }); }
enum status run_probe_arc(struct call *c) { return run_cases(&(struct work){ .call = c, .cases = message_cases, .message = probe_arc }); }
enum status run_probe_dmarc(struct call *c) { return run_cases(&(struct work){ .call = c, .cases = message_cases, .message = probe_dmarc }); }
