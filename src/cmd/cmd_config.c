#include "cmd/config_file.h"
#include "cmd/verbs.h"
#include "role/config_files.h"

#include <inttypes.h>

/* config check|show|explain. */

enum status run_config_check(struct call *c)
{
	struct config config;
	struct why why = { 0 };
	const char *path = c->arg_n ? c->args[0] : c->config_path;
	enum rc rc = config_file_load(path, &config, NULL, &why);
	if (rc == RC_NOTFOUND)
		return say_error(c, STATUS_FAILED, "there is nothing to check", why.text, "letterlock config check FILE");
	if (rc != RC_OK)
		return say_error(c, STATUS_PROBLEMS, "the configuration would be refused", why.text, "letterlock config explain");
	rc = config_files_check(&config, &why);
	size_t listeners = config.listener_n, certificates = config.tls_n;
	config_done(&config);
	if (rc != RC_OK && rc != RC_DENIED)
		return say_error(c, STATUS_PROBLEMS, "the configuration is right, but a file that it names is not", why.text, "mend or replace that file; then: letterlock config check");
	if (rc == RC_DENIED)
		(void)say_error(c, STATUS_OK, "not every file that it names could be looked at", why.text, "run this as root or as the server's user");
	if (c->json)
		say_json("{\"ok\":true,\"listeners\":%zu,\"certificates\":%zu,\"files_checked\":%s}", listeners, certificates, rc == RC_OK ? "true" : "false");
	else
		say("%s is right: %zu listeners, %zu certificates", path, listeners, certificates);
	return STATUS_OK;
}

/* ---- show ---- */

static void show_value(const struct call *c, const char *key, struct str value, unsigned line)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	if (c->json)
		say_json("{\"key\":\"%s\",\"value\":\"%s\",\"line\":%u}", key, json_text(&a, value), line);
	else if (line)
		say("%-36s = %-40s # line %u", key, text_z(&a, value), line);
	else
		say("%-36s = %-40s # default", key, text_z(&a, value));
}

static void show_lists(const struct call *c, const struct config *config, const struct config_lines *lines)
{
	char key[80];
	for (size_t i = 0; i < config->listener_n; i++) {
		const struct config_listener *l = &config->listeners[i];
		(void)snprintf(key, sizeof key, "listen.%s%s", listener_proto_names[l->proto], l->proxy ? "_proxy" : "");
		show_value(c, key, l->address, lines->listen[l->proxy][l->proto]);
	}
	for (size_t i = 0; i < config->tls_n; i++) {
		show_value(c, "tls.cert", config->tls[i].cert, lines->tls);
		show_value(c, "tls.key", config->tls[i].key, lines->tls);
	}
}

enum status run_config_show(struct call *c)
{
	struct config config;
	struct config_lines lines;
	struct why why = { 0 };
	enum rc rc = config_file_load(c->config_path, &config, &lines, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the configuration cannot be shown", why.text, "letterlock config check");
	for (size_t i = 0; i < config_row_n; i++) {
		AUTO(buf_done) struct buf value = { .max = 16384 };
		char key[80];
		(void)snprintf(key, sizeof key, "%s.%s", config_rows[i].section, config_rows[i].name);
		config_value(&config, &config_rows[i], &value);
		show_value(c, key, buf_str(&value), lines.row[i]);
	}
	show_lists(c, &config, &lines);
	config_done(&config);
	return STATUS_OK;
}

/* ---- explain ---- */

static const char *const kinds[] = {
	[CONFIG_STRING] = "text", [CONFIG_SIZE] = "size", [CONFIG_TIME] = "time", [CONFIG_COUNT] = "number", [CONFIG_FLAG] = "true or false",
};

static void bounds(const struct config_row *row, struct buf *out)
{
	if (row->kind == CONFIG_STRING || row->kind == CONFIG_FLAG)
		return;
	buf_add(out, STR(", "));
	config_number(row->kind, row->least, out);
	buf_add(out, STR(" to "));
	config_number(row->kind, row->most, out);
}

static void explain(const struct call *c, const struct config *defaults, const struct config_row *row)
{
	AUTO(buf_done) struct buf value = { .max = 16384 };
	AUTO(buf_done) struct buf range = { .max = 200 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	config_value(defaults, row, &value);
	bounds(row, &range);
	if (c->json) {
		say_json("{\"key\":\"%s.%s\",\"kind\":\"%s\",\"default\":\"%s\",\"what\":\"%s\"}", row->section, row->name, kinds[row->kind],
		         json_text(&a, buf_str(&value)), json_text(&a, str_z(row->doc)));
		return;
	}
	say("%s.%s", row->section, row->name);
	say("    %s", row->doc);
	say("    %s%.*s; default %.*s", kinds[row->kind], PSTR(buf_str(&range)), PSTR(buf_str(&value)));
}

/* "inbound.max_size", "max_size", or a section's name. */
static bool wanted(const struct config_row *row, struct str key)
{
	struct str section, name;
	if (str_cut(key, '.', &section, &name))
		return str_eq(section, str_z(row->section)) && str_eq(name, str_z(row->name));
	return str_eq(key, str_z(row->section)) || str_eq(key, str_z(row->name));
}

static void explain_lists(const struct call *c)
{
	if (c->json)
		return;
	say("listen { smtp smtps submission submissions lmtp imap imaps pop3 pop3s metrics = {\"ADDRESS:PORT\", ...} }");
	say("    Who listens where: \"127.0.0.1:25\", \"[::]:25\", \"unix:/path\"; NAME_proxy = {...} expects the PROXY protocol first");
	say("listen.trusted_proxies = {\"10.0.0.0/8\", ...}");
	say("    Networks from which a PROXY header is believed");
	say("tls \"NAME\" { cert = \"PATH\" key = \"PATH\" }");
	say("    A certificate chain and its key, PEM; read by master, kept by the vault; more than one are chosen by SNI");
	say("config_version = 1");
	say("    Must stand first");
}

enum status run_config_explain(struct call *c)
{
	struct config defaults;
	const char *words[CONFIG_ROWS_MAX];
	size_t shown = 0;
	config_init(&defaults);
	for (size_t i = 0; i < config_row_n; i++) {
		words[i] = config_rows[i].name;
		if (c->arg_n && !wanted(&config_rows[i], str_z(c->args[0])))
			continue;
		explain(c, &defaults, &config_rows[i]);
		shown++;
	}
	config_done(&defaults);
	if (!c->arg_n || strcmp(c->args[0], "listen") == 0 || strcmp(c->args[0], "tls") == 0) {
		explain_lists(c);
		return STATUS_OK;
	}
	if (shown)
		return STATUS_OK;
	const char *near = nearest_word(str_z(c->args[0]), words, config_row_n);
	char act[120] = "letterlock config explain";
	if (near)
		(void)snprintf(act, sizeof act, "did you mean %s?", near);
	return say_error(c, STATUS_NOTHING, "there is no such key", c->args[0], act);
}
