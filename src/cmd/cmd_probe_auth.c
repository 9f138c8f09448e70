#include "cmd/config_file.h"
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
	enum rc rc = fd_read_all(fd, FILE_MAX, out, why);
	if (rc == RC_IO && why->sys)
		FAIL(why, rc, "%s", strerror(why->sys));
	return rc;
}

static enum status about_file(const struct call *c, enum status s, const char *path, const char *what, const struct why *why, const char *act)
{
	char text[400];
	(void)snprintf(text, sizeof text, "%.300s %s", path, what);
	return say_error(c, s, text, why->text, act);
}

static enum status cannot_read(const struct call *c, const char *path, const struct why *why)
{
	return about_file(c, STATUS_FAILED, path, "cannot be read", why, "look at the name and whether you may read it; - is stdin");
}

static enum status print(struct work *w, enum rc rc, const char *what, const struct buf *out, const struct why *why)
{
	if (rc != RC_OK)
		return say_error(w->call, rc == RC_SYNTAX ? STATUS_USAGE : STATUS_FAILED, what, why->text, rc == RC_SYNTAX ? "--ip takes one IPv4 or IPv6 address" : NULL);
	(void)fwrite(out->p, 1, out->len, stdout);
	return STATUS_OK;
}

static enum status worse(enum status a, enum status b) { return a == STATUS_OK ? b : a; }

/* ---- SPF ---- */

static struct str member(json_t *o, const char *name) { return str_z(json_string_value(json_object_get(o, name))); }

/* The id as it is to be said again: a text, or a number's. */
static struct str id_of(json_t *o, char room[32])
{
	const json_t *id = json_object_get(o, "id");
	if (!json_is_integer(id))
		return member(o, "id");
	(void)snprintf(room, 32, "%lld", (long long)json_integer_value(id));
	return str_z(room);
}

/* {"id":"…","ip":"…","helo":"…","from":"…"}; what is left out comes from the options. */
static enum status batch_line(struct work *w, struct str line, unsigned number)
{
	char what[80], id[32];
	AUTO(buf_done) struct buf out = { .max = REPORT_MAX };
	struct why why = { 0 };
	json_error_t error;
	json_t *o = json_loadb(line.p, line.n, 0, &error);
	if (!json_is_object(o)) {
		json_decref(o);
		(void)snprintf(what, sizeof what, "line %u of --batch is not a JSON object", number);
		return say_error(w->call, STATUS_USAGE, what, error.text, "one object on each line: {\"id\":\"1\",\"ip\":\"192.0.2.1\",\"helo\":\"h.example\",\"from\":\"a@b.example\"}");
	}
	struct probe_query q = w->query;
	q.name = id_of(o, id);
	q.ip = json_object_get(o, "ip") ? member(o, "ip") : q.ip;
	q.helo = json_object_get(o, "helo") ? member(o, "helo") : q.helo;
	q.from = json_object_get(o, "from") ? member(o, "from") : q.from;
	enum rc rc = probe_spf(&w->dns, &q, w->call->json, &out, &why);
	(void)snprintf(what, sizeof what, "line %u of --batch cannot be evaluated", number);
	enum status s = print(w, rc, what, &out, &why);
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
		return cannot_read(w->call, batch, &why);
	enum status s = STATUS_OK;
	unsigned number = 0;
	for (struct str rest = buf_str(&lines), line; rest.n;) {
		number++;
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_trim(line).n)
			s = worse(s, batch_line(w, line, number));
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
		return cannot_read(w->call, path, &why);
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
		if (read_file(path, &text, &why) != RC_OK)
			return cannot_read(w->call, path, &why);
		if (probe_zones_read(w->zones, buf_str(&text), &why) != RC_OK)
			return about_file(w->call, STATUS_FAILED, path, "is no zone file", &why, "--zone takes an RFC 1035 master file, with names in full or below $ORIGIN");
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
	struct why why = { 0 };
	/* Not call_config(): a machine without a server has no configuration, and needs none for this. */
	if (config_file_load(w->call->config_path, &config, NULL, &why) != RC_OK)
		return say_error(w->call, STATUS_FAILED, "there is nobody to ask the DNS: no --zone FILE, and no configuration that names a running server", why.text,
		                 "give --zone FILE, or --config FILE of a running server");
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
