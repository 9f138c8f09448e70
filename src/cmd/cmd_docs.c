#include "cmd/verbs.h"
#include "ipc/ipc.h"

/* The pages of docs/ that come from tables: `make docs` writes them, `make check` compares. */

static void name_of(const struct verb *v, char out[60]) { (void)snprintf(out, 60, "%s%s%s", v->noun, v->verb ? " " : "", v->verb ? v->verb : ""); }

static void cli_options(const struct option *o, size_t n)
{
	for (size_t i = 0; i < n && o[i].name; i++)
		say("- `--%s%s%s`: %s", o[i].name, o[i].value ? " " : "", o[i].value ? o[i].value : "", o[i].help);
}

static void cli(void)
{
	say("# The command line");
	say("%s", "");
	say("Made by `make docs` from the table in src/cmd/verbs.c. Exit status: 0 ok, 1 failed, 2 usage, 3 nothing matched, 4 a check found problems, 78 (`serve`) cannot go on, and starting it");
	say("again would not help. Secrets come from the terminal or from stdin, never from arguments. Errors say what, why and what to do; `--json` gives one object per line.");
	say("%s", "");
	say("Every verb takes:");
	say("%s", "");
	cli_options(common_options, common_option_n);
	for (size_t i = 0; i < verb_n; i++) {
		const struct verb *v = &verbs[i];
		char name[60];
		name_of(v, name);
		say("%s", "");
		say("## letterlock %s%s%s", name, v->args ? " " : "", v->args ? v->args : "");
		say("%s", "");
		say("%s.%s", v->help, v->offline ? "" : " Needs the running server.");
		say("%s", "");
		if (v->options[0].name)
			cli_options(v->options, VERB_OPTIONS);
		if (v->options[0].name)
			say("%s", "");
		say("    letterlock %s", v->examples[0]);
		say("    letterlock %s", v->examples[1]);
	}
}

/* ---- configuration ---- */

static void config_line(const struct config *defaults, const struct config_row *row)
{
	AUTO(buf_done) struct buf value = { .max = 16384 };
	AUTO(buf_done) struct buf range = { .max = 400 };
	config_value(defaults, row, &value);
	if (row->kind != CONFIG_STRING && row->kind != CONFIG_FLAG) {
		config_number(row->kind, row->least, &range);
		buf_add(&range, STR(" to "));
		config_number(row->kind, row->most, &range);
	}
	say("| `%s` | `%.*s` | %.*s | %s |", row->name, PSTR(buf_str(&value)), PSTR(buf_str(&range)), row->doc);
}

/* Rows of one section need not stand together in config.def. */
static bool is_first_of_section(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(config_rows[k].section, config_rows[i].section) == 0)
			return false;
	return true;
}

static void configuration_lists(void)
{
	say("%s", "");
	say("## listen { }");
	say("%s", "");
	say("Each key is a list of addresses: `\"127.0.0.1:25\"`, `\"[::]:25\"` or `\"unix:/path\"`.");
	say("%s", "");
	for (size_t i = 0; i < LISTEN_PROTOS; i++)
		say("- `%s = {\"...\"}`, and `%s_proxy = {\"...\"}` where the PROXY protocol (v1 or v2) comes first", listener_proto_names[i], listener_proto_names[i]);
	say("- `trusted_proxies = {\"10.0.0.0/8\"}`: networks from which a PROXY header is believed");
	say("%s", "");
	say("LMTP and metrics have no login: a Unix socket or loopback only. `submission` wants STARTTLS and a login; `submissions` is TLS from the first octet on. As a Unix socket");
	say("`submission` needs neither, for the kernel says who is there: root and `server.user` may send as any address of ours, another user NAME as");
	say("NAME@`login.default_domain`, where there is such an account.");
	say("%s", "");
	say("## tls \"NAME\" { }");
	say("%s", "");
	say("`cert` and `key`: paths of a PEM chain (leaf first) and its key (ECDSA P-256 or P-384, RSA of 2048 to 4096 bits). Several sections are chosen by SNI, the first without.");
	say("`letterlock reload` or SIGHUP reads them again. One that has expired is served all the same: `tls.expired` in the log says so, and `config check` calls it a problem.");
	say("%s", "");
	say("## What a reload changes");
	say("%s", "");
	say("Everything but `listen` (its `trusted_proxies` it does change), `server.data_dir`, `control`, `user`, `sandbox`, `root_key` and `demo`, and the numbers of processes:");
	say("a file that changes one of these is refused until the server is started anew.");
}

static void configuration(void)
{
	struct config defaults;
	config_init(&defaults);
	say("# The configuration file");
	say("%s", "");
	say("Made by `make docs` from the table in src/role/config.def. One file, `/etc/letterlock/letterlock.conf`, in libconfuse's syntax; machine facts only.");
	say("`config_version = 1` stands first. Sizes and times need units (KiB MiB GiB; ms s min h d). An unknown key is an error with line, column and");
	say("nearest name; while a new version is wrong, the old one stays in force. Inside double quotes `${NAME}` is an environment variable.");
	say("One that is not set is an error; `${NAME:-VALUE}` has a value for that case. Commands read the file too, with the environment of whoever calls them.");
	for (size_t i = 0; i < config_row_n; i++) {
		if (!is_first_of_section(i))
			continue;
		say("%s", "");
		say("## %s { }", config_rows[i].section);
		say("%s", "");
		say("| key | default | bounds | what it is |");
		say("|---|---|---|---|");
		for (size_t k = i; k < config_row_n; k++)
			if (strcmp(config_rows[k].section, config_rows[i].section) == 0)
				config_line(&defaults, &config_rows[k]);
	}
	configuration_lists();
	config_done(&defaults);
}

/* ---- events ---- */

static void events(void)
{
	static const struct { const char *name, *doc; } list[] = {
#define EVENT(id, name, doc) { name, doc },
#include "base/events.def"
#undef EVENT
	};
	say("# Log events");
	say("%s", "");
	say("Made by `make docs` from src/base/events.def. One JSON object per line on stderr, with `ts level event role index pid` and the fields named here. Values are");
	say("escaped once, in the sink, so no client can forge a line; a value that is too long is cut and the line says `\"cut\":true`.");
	say("%s", "");
	say("| event | what it says |");
	say("|---|---|");
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		say("| `%s` | %s |", list[i].name, list[i].doc);
}

/* ---- ipc ---- */

struct message { const char *kind, *name; unsigned from, to; int patience; const char *question, *answer; };
static const struct message messages[] = {
#define ASK(name, from, to, ms, q, a) { "ask", #name, from, to, ms, #q, #a },
#define TELL(name, from, to, q) { "tell", #name, from, to, 0, #q, "" },
#include "ipc/messages.def"
#undef ASK
#undef TELL
};

static void put_roles(struct buf *b, unsigned set)
{
	if (set == R_ALL) {
		buf_add(b, STR("everyone"));
		return;
	}
	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		if (!(set & 1u << r))
			continue;
		if (b->len)
			buf_add(b, STR(", "));
		buf_add(b, str_z(role_name((enum role)r)));
	}
}

static void ipc(void)
{
	say("# What processes may say to each other");
	say("%s", "");
	say("Made by `make docs` from src/ipc/messages.def. A message that a peer may not send, a wrong length or trailing bytes end that peer. `SECRET` fields are");
	say("wiped with their frame and cannot be printed. Every answer also carries an outcome and its reason.");
	say("%s", "");
	say("| message | from | to | fields | answer |");
	say("|---|---|---|---|---|");
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		const struct message *m = &messages[i];
		AUTO(buf_done) struct buf from = { .max = 400 };
		AUTO(buf_done) struct buf to = { .max = 400 };
		put_roles(&from, m->from);
		put_roles(&to, m->to);
		say("| `%s` (%s) | %.*s | %.*s | %s | %s |", m->name, m->kind, PSTR(buf_str(&from)), PSTR(buf_str(&to)), m->question, m->answer);
	}
}

/* ---- bash completion ---- */

static void bash_options(const struct verb *v)
{
	char name[60];
	name_of(v, name);
	(void)printf("\t\"%s\") words=\"", name);
	for (size_t i = 0; i < VERB_OPTIONS && v->options[i].name; i++)
		(void)printf("--%s ", v->options[i].name);
	for (size_t i = 0; i < common_option_n; i++)
		(void)printf("--%s ", common_options[i].name);
	say("\" ;;");
}

static void bash(void)
{
	say("# Completion for letterlock, made by `make docs` from src/cmd/verbs.c.");
	say("_letterlock() {");
	say("\tlocal cur=${COMP_WORDS[COMP_CWORD]} noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]} words=");
	say("\tif [ \"$COMP_CWORD\" = 1 ]; then");
	(void)printf("\t\twords=\"");
	for (size_t i = 0; i < verb_n; i++)
		if (i == 0 || strcmp(verbs[i].noun, verbs[i - 1].noun) != 0)
			(void)printf("%s ", verbs[i].noun);
	say("\"");
	say("\telif [ \"$COMP_CWORD\" = 2 ] && [[ $cur != -* ]]; then");
	say("\t\tcase $noun in");
	for (size_t i = 0; i < verb_n; i++) {
		if (!verbs[i].verb || (i && strcmp(verbs[i].noun, verbs[i - 1].noun) == 0))
			continue;
		(void)printf("\t\t%s) words=\"", verbs[i].noun);
		for (size_t k = i; k < verb_n && strcmp(verbs[k].noun, verbs[i].noun) == 0; k++)
			(void)printf("%s ", verbs[k].verb);
		say("\" ;;");
	}
	say("\t\tesac");
	say("\tfi");
	say("\tif [[ $cur != -* ]]; then");
	say("\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))");
	say("\t\treturn");
	say("\tfi");
	say("\tcase \"$noun $verb\" in");
	for (size_t i = 0; i < verb_n; i++)
		if (verbs[i].verb)
			bash_options(&verbs[i]);
	say("\tesac");
	say("\tcase \"$noun\" in");
	for (size_t i = 0; i < verb_n; i++)
		if (!verbs[i].verb)
			bash_options(&verbs[i]);
	say("\tesac");
	say("\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))");
	say("}");
	say("complete -F _letterlock letterlock");
}

enum status run_docs(struct call *c)
{
	static const struct { const char *name; void (*print)(void); } pages[] = {
		{ "cli", cli }, { "configuration", configuration }, { "events", events }, { "ipc", ipc }, { "bash", bash },
	};
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		if (strcmp(pages[i].name, c->args[0]) == 0) {
			pages[i].print();
			return STATUS_OK;
		}
	}
	return say_usage(c, "there is no such page; there are cli, configuration, events, ipc and bash");
}
