#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"
#include "role/config.h"

/* The command line as one table (verbs.c): dispatch, --help, docs/cli.md and shell completion come from it. */
enum status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_NOTHING = 3, STATUS_PROBLEMS = 4, STATUS_FOR_GOOD = 78 };
enum { VERB_OPTIONS = 12, ARGS_MAX = 65536, GIVEN_MAX = 32 };

struct option {
	const char *name;      /* without the dashes */
	const char *value;     /* "SIZE"; NULL: a flag */
	const char *help;
};
struct call;
struct verb {
	const char *noun, *verb; /* verb NULL: the noun alone */
	const char *args;        /* "ADDRESS", "FILE...", NULL */
	int least, most;         /* arguments; most -1: any number */
	const char *help;
	const char *examples[2]; /* without the program's name */
	enum status (*run)(struct call *c);
	struct option options[VERB_OPTIONS];
	bool offline;            /* works without a running server */
};
extern const struct verb verbs[];
extern const size_t verb_n;
extern const struct option common_options[];
extern const size_t common_option_n;

/* One command being run. */
struct call {
	const struct verb *verb;
	char **args; int arg_n;
	const char *values[VERB_OPTIONS]; /* by place in verb->options; a flag given is "" */
	struct { size_t place; const char *value; } given[GIVEN_MAX]; /* each option of the verb in the order given, for those that may be repeated */
	int given_n;
	const char *config_path;
	const char *control;              /* the running server's socket; NULL: as the configuration says */
	bool json, yes;
	const char *program;              /* argv[0] */
};
const char *call_option(const struct call *c, const char *name); /* NULL: not given; the last one when it was repeated */
const char *call_option_nth(const struct call *c, const char *name, int n); /* the n-th of a repeated one, from 0; NULL: no more */

/* The whole program but for `--role`: parses, runs, answers the exit status. */
int verbs_main(int argc, char **argv);

/* ---- what verbs say ---- */
/* "letterlock: WHAT\n  why: ...\n  do:  ...\n" on stderr; why and act may be NULL. With --json one object on stderr instead. */
enum status say_error(const struct call *c, enum status s, const char *what, const char *why, const char *act);
enum status say_usage(const struct call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));  /* one line on stdout */
void say_json(const char *format, ...) __attribute__((format(printf, 1, 2))); /* the same; arguments escaped with json_text() */
const char *json_text(struct arena *a, struct str s);        /* escaped, NUL-terminated, in the arena */
const char *text_z(struct arena *a, struct str s);           /* NUL-terminated; controls and marks of direction shown as ?, for people */
const char *size_text(uint64_t octets, char out[24]);        /* "1.4 MiB" */

/* A secret from the terminal without echo (twice when `again`), or the first line of stdin when that is no terminal. */
MUST_USE enum rc ask_secret(const char *prompt, bool again, struct buf *out, struct why *why);
bool ask_yes(const struct call *c, const char *question);    /* true with --yes; false when nobody can answer */

/* The same for a verb that talks to the running server: when the file is broken or not there, --control or the usual socket finds the server all the same, and
 * *out has that and defaults otherwise (server.hostname ""). */
bool call_control(const struct call *c, struct config *out);
/* The configuration of --config (or the default path), or what is wrong with it, said. */
bool call_config(const struct call *c, struct config *out);

enum status run_serve(struct call *c), run_reload(struct call *c), run_stop(struct call *c), run_status(struct call *c), run_sandbox_test(struct call *c);
enum status run_account_add(struct call *c), run_account_list(struct call *c), run_account_show(struct call *c), run_account_password(struct call *c),
	run_account_remove(struct call *c);
enum status run_account_disable(struct call *c), run_account_enable(struct call *c), run_account_rename(struct call *c), run_account_forward(struct call *c),
	run_account_grant(struct call *c), run_account_limits(struct call *c);
enum status run_alias_add(struct call *c), run_alias_list(struct call *c), run_alias_remove(struct call *c), run_alias_who(struct call *c);
enum status run_group_add(struct call *c), run_group_list(struct call *c), run_group_show(struct call *c), run_group_set(struct call *c), run_group_remove(struct call *c),
	run_group_members(struct call *c);
enum status run_route_add(struct call *c), run_route_list(struct call *c), run_route_remove(struct call *c), run_domain_catch_all(struct call *c);
enum status run_domain_add(struct call *c), run_domain_list(struct call *c), run_domain_remove(struct call *c);
enum status run_dns_show(struct call *c), run_dns_check(struct call *c), run_dns_ask(struct call *c);
enum status run_dkim_list(struct call *c), run_dkim_rotate(struct call *c), run_dkim_retire(struct call *c), run_dkim_revoke(struct call *c);
enum status run_report_dmarc(struct call *c), run_report_tls(struct call *c), run_report_send(struct call *c);
enum status run_queue_list(struct call *c), run_queue_show(struct call *c), run_queue_retry(struct call *c), run_queue_hold(struct call *c), run_queue_free(struct call *c),
	run_queue_bounce(struct call *c), run_queue_drop(struct call *c), run_queue_pause(struct call *c), run_queue_resume(struct call *c), run_queue_suppressed(struct call *c);
enum status run_trace(struct call *c), run_probe_send(struct call *c);
enum status run_config_check(struct call *c), run_config_show(struct call *c), run_config_explain(struct call *c);
enum status run_backup_create(struct call *c), run_backup_verify(struct call *c), run_restore(struct call *c), run_verify(struct call *c);
enum status run_probe_spf(struct call *c), run_probe_dkim(struct call *c), run_probe_arc(struct call *c), run_probe_dmarc(struct call *c);
enum status run_probe_mime(struct call *c), run_demo(struct call *c), run_docs(struct call *c), run_help(struct call *c), run_version(struct call *c);
void print_help(const struct verb *v);
