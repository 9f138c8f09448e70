#include "cmd/verbs.h"

#include "cmd/config_file.h"

#define PROBE_ZONE { "zone", "FILE", "answers from this master file, not the running server's resolver; may be repeated" }
#define PROBE_AT { "at", "TIME", "the clock: seconds since 1970, 2026-01-31, 2026-01-31T12:00:00Z" }
#define QUEUE_FILTERS { "from", "ADDRESS", "whose sender this is, or @DOMAIN" }, { "to", "ADDRESS", "to this recipient, or @DOMAIN" }, \
	{ "domain", "DOMAIN", "to recipients there" }, { "older", "TIME", "in the queue for longer: 30m, 4h, 2d" }, { "reason", "TEXT", "whose last words hold this" }, \
	{ "state", "STATE", "ready, deferred, held, open (these three, the default), done" }, { "limit", "N", "at most so many" }
#define QUEUE_ACT QUEUE_FILTERS, { "all", NULL, "everything" }, { "dry-run", NULL, "only show what it would be" }

#define GROUP_OPTIONS { "name", "NAME", "what people call it" }, { "write", "WHO", "who may write to it: anyone, organisation (the default), members, owners" }, \
	{ "owner", "ADDRESS", "gets what reaches no member, and the group's bounces; none: nobody" }

/* The program on one screen. Options that every verb has (common_options) are not repeated. */
const struct verb verbs[] = {
	{ "serve", NULL, NULL, 0, 0, "Run the server in the foreground", { "serve", "serve --config /etc/letterlock/letterlock.conf" }, run_serve,
	  { { "one-process", NULL, "every role in this process, without sandboxes: for debugging, never for service" } }, true },
	{ "reload", NULL, NULL, 0, 0, "Have the running server read configuration, certificates and the files of dns.zones again", { "reload", "reload --json" }, run_reload },
	{ "stop", NULL, NULL, 0, 0, "Stop the running server; sessions may finish", { "stop", "stop --config /etc/letterlock/letterlock.conf" }, run_stop },
	{ "status", NULL, NULL, 0, 0, "What is running, since when, and how it is", { "status", "status --json" }, run_status },
	{ "sandbox-test", NULL, NULL, 0, 0, "Ask each running process, by pid, to try to break out of its sandbox; exit 4 if one can",
	  { "sandbox-test", "sandbox-test --json" }, run_sandbox_test },
	{ "demo", NULL, NULL, 0, 0, "A whole mail server on loopback with accounts and mail, kept in a directory",
	  { "demo", "demo --state /tmp/demo --port-base 20000 --json" }, run_demo,
	  { { "state", "DIR", "where its state lies (default run/demo)" },
	    { "port-base", "N", "ports N+25 SMTP, +143 IMAP, +993 IMAPS, +110 POP3, +995 POP3S, +946 metrics" },
	    { "accounts", "N", "also u1 ... uN@demo.test, for load tests" } }, true },
	{ "account", "add", "ADDRESS", 1, 1, "Make an account; the password comes from the terminal or stdin, the recovery key is printed once",
	  { "account add alice@example.org --quota 5GiB", "account add bob@example.org --mode private <password.txt" }, run_account_add,
	  { { "mode", "MODE", "organisation (the administrator can reset the password) or private (nobody else can read the mail)" },
	    { "quota", "SIZE", "room, such as 5GiB; 0 = no limit" }, { "name", "NAME", "the person's name" } } },
	{ "account", "list", "[DOMAIN]", 0, 1, "All accounts, or those of one domain", { "account list", "account list example.org --json" }, run_account_list },
	{ "account", "show", "ADDRESS", 1, 1, "One account and its folders", { "account show alice@example.org", "account show alice@example.org --json" }, run_account_show },
	{ "account", "password", "ADDRESS", 1, 1, "Set a new password; a private account needs its recovery key",
	  { "account password alice@example.org", "account password bob@example.org --recovery" }, run_account_password,
	  { { "recovery", NULL, "ask for the recovery key first (stdin: recovery key, then password, one line each)" } } },
	{ "account", "remove", "ADDRESS", 1, 1, "Remove an account, its keys and all its mail, for good",
	  { "account remove alice@example.org", "account remove alice@example.org --yes" }, run_account_remove },
	{ "account", "disable", "ADDRESS", 1, 1, "Nobody logs in any more, and mail to it is refused; what is there stays",
	  { "account disable alice@example.org", "account disable alice@example.org --json" }, run_account_disable },
	{ "account", "enable", "ADDRESS", 1, 1, "End account disable", { "account enable alice@example.org", "account enable alice@example.org --json" }, run_account_enable },
	{ "account", "rename", "ADDRESS NAME", 2, 2, "Another name of the person; another address is an alias",
	  { "account rename alice@example.org \"Alice Example\"", "account rename alice@example.org Alice --json" }, run_account_rename },
	{ "account", "forward", "ADDRESS", 1, 1, "Show or set where an account's mail is forwarded",
	  { "account forward alice@example.org --to alice@example.net", "account forward alice@example.org --off" }, run_account_forward,
	  { { "to", "ADDRESS", "to here, in place of what was set; may be repeated" }, { "only", NULL, "keep no copy" }, { "off", NULL, "forward nothing" } } },
	{ "account", "grant", "ADDRESS [OTHER|@DOMAIN]", 1, 2, "Show or give the right to send as another address, or as any of a domain",
	  { "account grant alice@example.org sales@example.org", "account grant alice@example.org @example.net --remove" }, run_account_grant,
	  { { "remove", NULL, "take the right back" } } },
	{ "account", "limits", "ADDRESS", 1, 1, "Show or set what an account may send a day, how much of it may wait, and how long a message waits before it leaves",
	  { "account limits alice@example.org --messages 2000 --undo 30s", "account limits alice@example.org --recipients default" }, run_account_limits,
	  { { "messages", "N", "messages a day; default: the configuration's" }, { "recipients", "N", "recipients a day" },
	    { "first", "N", "recipients a day that it has never written to" }, { "waiting", "N", "recipients that wait in the queue at a time" },
	    { "undo", "TIME", "wait so long before sending, up to 10m; 0 = none" } } },
	{ "alias", "add", "ADDRESS ACCOUNT", 2, 2, "Another address of an account", { "alias add info@example.org alice@example.org", "alias add info@example.org alice@example.org --json" },
	  run_alias_add },
	{ "alias", "list", "[ACCOUNT]", 0, 1, "All aliases, or those of one account", { "alias list", "alias list alice@example.org --json" }, run_alias_list },
	{ "alias", "remove", "ADDRESS", 1, 1, "Take an alias away, and what names it: memberships, forwards, grants",
	  { "alias remove info@example.org", "alias remove info@example.org --json" }, run_alias_remove },
	{ "alias", "who", "ADDRESS", 1, 1, "Everybody whom mail to an address reaches: through aliases, groups, forwards, catch-all", { "alias who info@example.org", "alias who staff@example.org --json" },
	  run_alias_who },
	{ "group", "add", "ADDRESS", 1, 1, "Make a group: one address, many members", { "group add staff@example.org --owner alice@example.org", "group add press@example.org --write anyone" },
	  run_group_add, { GROUP_OPTIONS } },
	{ "group", "list", "[DOMAIN]", 0, 1, "All groups, or those of one domain", { "group list", "group list example.org --json" }, run_group_list },
	{ "group", "show", "ADDRESS", 1, 1, "One group and its members", { "group show staff@example.org", "group show staff@example.org --json" }, run_group_show },
	{ "group", "set", "ADDRESS", 1, 1, "Change a group's name, owner, or who may write to it",
	  { "group set staff@example.org --write members", "group set staff@example.org --owner none" }, run_group_set, { GROUP_OPTIONS } },
	{ "group", "members", "ADDRESS", 1, 1, "Show a group's members, put some in, take some out",
	  { "group members staff@example.org --add bob@example.org --add carl@example.net", "group members staff@example.org --add - <addresses.txt" }, run_group_members,
	  { { "add", "ADDRESS", "put in, here or elsewhere, a group too; may be repeated; - reads stdin" }, { "remove", "ADDRESS", "take out; may be repeated; - reads stdin" } } },
	{ "group", "remove", "ADDRESS", 1, 1, "Remove a group; its members keep their accounts", { "group remove staff@example.org", "group remove staff@example.org --yes" }, run_group_remove },
	{ "route", "add", "KEY", 1, 1, "How mail to a domain, or of a sender, goes out: smarthost, TLS, rate. KEY: example.net, .example.net and below, *, bob@example.org, @example.org",
	  { "route add partner.example --tls verified --rate 30/min", "route add '*' --host relay.example:465 --user letterlock <password.txt" }, run_route_add,
	  { { "host", "HOST:PORT", "this smarthost, not by MX; port 465 is TLS at once; default port 25" },
	    { "tls", "HOW", "verified, encrypted, none, or default: as DANE, MTA-STS and the peer allow, verified with --user" },
	    { "user", "USER", "log in there; the password comes from the terminal or stdin, and is kept sealed" }, { "connections", "N", "at most so many at once" },
	    { "rate", "N/TIME", "so many recipients to each destination, evenly: 30/min, 2/s, 100/h; 0: no limit" } } },
	{ "route", "list", NULL, 0, 0, "All routes; what none fits goes by MX", { "route list", "route list --json" }, run_route_list },
	{ "route", "remove", "KEY", 1, 1, "Remove a route", { "route remove partner.example", "route remove '*' --json" }, run_route_remove },
	{ "domain", "catch-all", "DOMAIN [ADDRESS]", 1, 2, "Who gets the mail to addresses of a domain that nobody has",
	  { "domain catch-all example.org alice@example.org", "domain catch-all example.org --off" }, run_domain_catch_all, { { "off", NULL, "nobody: it is refused" } } },
	{ "domain", "add", "DOMAIN", 1, 1, "Receive mail for a domain", { "domain add example.org", "domain add xn--bcher-kva.example" }, run_domain_add },
	{ "domain", "list", NULL, 0, 0, "The domains that are ours", { "domain list", "domain list --json" }, run_domain_list },
	{ "domain", "remove", "DOMAIN", 1, 1, "Stop receiving for a domain; refused while it has accounts", { "domain remove example.org", "domain remove example.org --yes" }, run_domain_remove },
	{ "dkim", "list", "[DOMAIN]", 0, 1, "DKIM keys, their state, and the records to publish", { "dkim list", "dkim list example.org --json" }, run_dkim_list },
	{ "dkim", "rotate", "[DOMAIN]", 0, 1, "Make new DKIM keys; they sign once their records are in the DNS, and the old ones retire",
	  { "dkim rotate example.org", "dkim rotate --json" }, run_dkim_rotate },
	{ "dkim", "retire", "DOMAIN SELECTOR", 2, 2, "Stop signing with a key; its record stays in the DNS for mail under way",
	  { "dkim retire example.org 202611a-rsa", "dkim retire example.org 202611a-ed --json" }, run_dkim_retire },
	{ "dkim", "revoke", "DOMAIN SELECTOR", 2, 2, "Destroy a key's private half, for good",
	  { "dkim revoke example.org 202611a-rsa", "dkim revoke example.org 202611a-rsa --yes" }, run_dkim_revoke },
	{ "dns", "show", "DOMAIN", 1, 1, "The records that a domain's mail needs in the DNS",
	  { "dns show example.org", "dns show example.org --zone" }, run_dns_show,
	  { { "zone", NULL, "as lines of a zone file; what belongs into other zones is a comment" }, { "split", NULL, "texts as quoted strings of at most 255 octets" },
	    { "sts-policy", NULL, "the MTA-STS policy instead (sts.mode), for https://mta-sts.DOMAIN/.well-known/mta-sts.txt" } } },
	{ "dns", "check", "DOMAIN", 1, 1, "Ask the domain's own name servers whether its records are right; exit 4 if a needed one is not",
	  { "dns check example.org", "dns check example.org --wait" }, run_dns_check, { { "wait", NULL, "again and again until every needed record is right" } } },
	{ "dns", "ask", "TYPE NAME", 2, 2, "What the resolver answers: status, DNSSEC, records", { "dns ask MX example.org", "dns ask TXT _dmarc.example.org --json" }, run_dns_ask },
	{ "report", "dmarc", NULL, 0, 0, "What others reported about your domains: who sends in your name, what passed, is the next policy safe",
	  { "report dmarc", "report dmarc --domain example.org --since 90d" }, run_report_dmarc,
	  { { "domain", "DOMAIN", "one domain in full" }, { "since", "TIME", "30d (the default), 4w, 6m, 1y" } } },
	{ "report", "tls", NULL, 0, 0, "What others reported about TLS to your servers: what worked, what failed and why",
	  { "report tls", "report tls --domain example.org --since 4w" }, run_report_tls,
	  { { "domain", "DOMAIN", "one domain" }, { "since", "TIME", "30d (the default), 4w, 6m, 1y" } } },
	{ "report", "send", NULL, 0, 0, "Send our DMARC and TLS reports that are due now, and say what became of each",
	  { "report send", "report send --day 2026-11-23 --domain example.net" }, run_report_send,
	  { { "day", "DATE", "what was seen on that day, today's until now too; without it the days of the last week that are over" },
	    { "domain", "DOMAIN", "only about this domain" } } },
	{ "queue", "list", "[ID...]", 0, -1, "Mail to other servers that is under way: who, where to, since when, what the last attempt said",
	  { "queue list --domain example.net", "queue list --state done --older 1d --json" }, run_queue_list, { QUEUE_FILTERS, { "mailq", NULL, "as Postfix's mailq prints it, for scripts" } } },
	{ "queue", "show", "ID...", 1, -1, "All that is known of messages (7F3K9Q2D) or single recipients (12.0) in the queue, also of those that have left it",
	  { "queue show 7F3K9Q2D", "queue show 12.0 --json" }, run_queue_show },
	{ "queue", "retry", "[ID...]", 0, -1, "Try now, whatever the schedule says; shows what it will be and asks", { "queue retry 7F3K9Q2D", "queue retry --domain example.net --yes" }, run_queue_retry,
	  { QUEUE_ACT } },
	{ "queue", "hold", "[ID...]", 0, -1, "Keep from being sent until freed", { "queue hold --from bob@example.org", "queue hold 12.0 --yes" }, run_queue_hold, { QUEUE_ACT } },
	{ "queue", "free", "[ID...]", 0, -1, "Let go on what was held", { "queue free 12.0", "queue free --state held --yes" }, run_queue_free, { QUEUE_ACT } },
	{ "queue", "bounce", "[ID...]", 0, -1, "Return to the sender now, with one report for each message", { "queue bounce 7F3K9Q2D --text \"the address is no longer in use\"", "queue bounce --older 3d --domain example.net --dry-run" },
	  run_queue_bounce, { QUEUE_ACT, { "text", "TEXT", "the reason that the sender reads" } } },
	{ "queue", "drop", "[ID...]", 0, -1, "Remove without a word to anybody", { "queue drop 12.0", "queue list --reason spam --json | jq -r .id | letterlock queue drop - --yes" }, run_queue_drop,
	  { QUEUE_ACT } },
	{ "queue", "pause", "[DOMAIN]", 0, 1, "Stop delivery to a destination; without one: which are stopped", { "queue pause example.net", "queue pause --json" }, run_queue_pause },
	{ "queue", "resume", "DOMAIN", 1, 1, "Go on with delivery to a destination", { "queue resume example.net", "queue resume example.net --json" }, run_queue_resume },
	{ "queue", "suppressed", "list | release ADDRESS", 1, 2, "Addresses whose server has said for good that there is no such mailbox: mail to them is refused at once, groups and forwards leave them out",
	  { "queue suppressed list", "queue suppressed release bob@example.net" }, run_queue_suppressed },
	{ "trace", NULL, "ADDRESS | ID", 1, 1, "What became of mail from or to an address, or of one message: every hop, its encryption, the other server's words",
	  { "trace bob@example.net --since 2d", "trace 7F3K9Q2D --json" }, run_trace, { { "since", "TIME", "how far back: 30m, 4h, 2d, 1w (for an address 7d if not given)" } } },
	{ "config", "check", "[FILE]", 0, 1, "Is a configuration file right?", { "config check", "config check new.conf --json" }, run_config_check, { { 0 } }, true },
	{ "config", "show", NULL, 0, 0, "Every value in force, and the line it comes from", { "config show", "config show --json" }, run_config_show, { { 0 } }, true },
	{ "config", "explain", "[KEY]", 0, 1, "What a key means, its default and bounds", { "config explain", "config explain inbound.max_size" }, run_config_explain, { { 0 } }, true },
	{ "backup", "create", "DIR", 1, 1, "A consistent copy of everything but the root key into a new directory, while the server runs",
	  { "backup create /backup/2026-01-15", "backup create /backup/now --json" }, run_backup_create },
	{ "backup", "verify", "DIR", 1, 1, "Check a backup; exit 4 and each damaged thing named if it is not whole",
	  { "backup verify /backup/2026-01-15", "backup verify /backup/now --json" }, run_backup_verify, { { 0 } }, true },
	{ "restore", NULL, "DIR", 1, 1, "Put a backup into an empty data directory; the server must be stopped",
	  { "restore /backup/2026-01-15", "restore /backup/now --config new.conf" }, run_restore, { { 0 } }, true },
	{ "verify", NULL, NULL, 0, 0, "Check every stored thing of a stopped server; exit 4 and each damaged thing named if it is not whole",
	  { "verify", "verify --json" }, run_verify, { { 0 } }, true },
	{ "probe", "mime", "FILE...", 1, -1, "How messages are understood: headers, parts with offsets, ENVELOPE, BODYSTRUCTURE, defects",
	  { "probe mime message.eml", "probe mime corpus/*.eml --json" }, run_probe_mime, { { 0 } }, true },
	{ "probe", "spf", NULL, 0, 0, "May this client send for this sender (SPF)? Every step of the evaluation",
	  { "probe spf --ip 192.0.2.1 --helo mx.example.org --from ann@example.org", "probe spf --zone example.zone --batch cases.jsonl --json" }, run_probe_spf,
	  { { "ip", "ADDRESS", "the client" }, { "helo", "NAME", "what it said in EHLO" }, { "from", "SENDER", "MAIL FROM; left out or <>: the null sender" },
	    PROBE_ZONE, { "receiver", "NAME", "our own name, for %{r}" }, { "at", "TIME", "the clock, for %{t}" },
	    { "batch", "FILE", "many cases: a JSON object with id, ip, helo, from on each line (- is stdin)" } }, true },
	{ "probe", "dkim", "FILE...", 1, -1, "The DKIM signatures of messages: body hash, signature, reason", { "probe dkim message.eml", "probe dkim *.eml --zone keys.zone --json" },
	  run_probe_dkim, { PROBE_ZONE, PROBE_AT }, true },
	{ "probe", "arc", "FILE...", 1, -1, "The ARC chains of messages", { "probe arc message.eml", "probe arc *.eml --zone keys.zone --json" }, run_probe_arc, { PROBE_ZONE, PROBE_AT }, true },
	{ "probe", "dmarc", "FILE...", 1, -1, "DMARC of messages with SPF, DKIM, the record found, and what the policy says",
	  { "probe dmarc message.eml --ip 192.0.2.1 --helo mx.example.org --from ann@example.org", "probe dmarc *.eml --zone example.zone --json" }, run_probe_dmarc,
	  { { "ip", "ADDRESS", "the client; without it SPF is left out" }, { "helo", "NAME", "what it said in EHLO" },
	    { "from", "SENDER", "MAIL FROM; left out or <>: the null sender" }, PROBE_ZONE, PROBE_AT, { "receiver", "NAME", "our own name in Authentication-Results" } }, true },
	{ "probe", "send", "ADDRESS", 1, 1, "Send a test message and look on: where it goes, what the encryption must be and is, each line of the dialogue; exit 4 if it was not taken",
	  { "probe send bob@example.net --from alice@example.org", "probe send bob@example.net --no-data" }, run_probe_send,
	  { { "from", "ADDRESS", "its sender" }, { "no-data", NULL, "stop when the recipient is answered: nothing is sent" } } },
	{ "docs", NULL, "PAGE", 1, 1, "Print a page of documentation made from the program's own tables: cli, configuration, events, ipc, bash",
	  { "docs configuration", "docs bash >/etc/bash_completion.d/letterlock" }, run_docs, { { 0 } }, true },
	{ "version", NULL, NULL, 0, 0, "Print the version", { "version", "version --json" }, run_version, { { 0 } }, true },
	{ "help", NULL, "[NOUN [VERB]]", 0, 2, "What there is, or one verb in full", { "help", "help account add" }, run_help, { { 0 } }, true },
};
const size_t verb_n = sizeof verbs / sizeof *verbs;

const struct option common_options[] = {
	{ "config", "FILE", "the configuration (default " CONFIG_PATH ")" },
	{ "control", "PATH", "the running server's socket, when its configuration file is broken or elsewhere" },
	{ "json", NULL, "one JSON object per line instead of text" },
	{ "yes", NULL, "do not ask" },
	{ "help", NULL, "this" },
};
const size_t common_option_n = sizeof common_options / sizeof *common_options;

/* ---- help ---- */

static void print_name(const struct verb *v)
{
	say("letterlock %s%s%s%s%s", v->noun, v->verb ? " " : "", v->verb ? v->verb : "", v->args ? " " : "", v->args ? v->args : "");
}

static void print_option(const struct option *o)
{
	char left[40];
	(void)snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
	say("  %-20s %s", left, o->help);
}

void print_help(const struct verb *v)
{
	for (size_t i = 0; i < 2; i++)
		say("  letterlock %s", v->examples[i]);
	say("%s", "");
	print_name(v);
	say("%s.", v->help);
	say("%s", "");
	for (size_t i = 0; i < VERB_OPTIONS && v->options[i].name; i++)
		print_option(&v->options[i]);
	for (size_t i = 0; i < common_option_n; i++)
		print_option(&common_options[i]);
	if (!v->offline)
		say("Needs the running server.");
}

static void print_all(void)
{
	say("  letterlock demo");
	say("  letterlock account add alice@example.org");
	say("%s", "");
	say("letterlock <noun> <verb> [arguments] [--json] [--config FILE]");
	for (size_t i = 0; i < verb_n; i++) {
		char left[60];
		(void)snprintf(left, sizeof left, "%s%s%s", verbs[i].noun, verbs[i].verb ? " " : "", verbs[i].verb ? verbs[i].verb : "");
		say("  %-18s %s", left, verbs[i].help);
	}
	say("Each verb has --help. Exit status: 0 ok, 1 failed, 2 usage, 3 nothing matched, 4 a check found problems, 78 (serve) cannot go on and need not be tried again.");
}

static bool named(const struct verb *v, const char *noun, const char *verb)
{
	return strcmp(v->noun, noun) == 0 && (!v->verb || (verb && strcmp(v->verb, verb) == 0));
}

enum status run_help(struct call *c)
{
	size_t found = 0;
	if (c->arg_n == 0) {
		print_all();
		return STATUS_OK;
	}
	for (size_t i = 0; i < verb_n; i++) {
		if (strcmp(verbs[i].noun, c->args[0]) != 0 || (c->arg_n == 2 && !named(&verbs[i], c->args[0], c->args[1])))
			continue;
		if (found++)
			say("%s", "");
		print_help(&verbs[i]);
	}
	return found ? STATUS_OK : say_error(c, STATUS_NOTHING, "there is no such verb", NULL, "letterlock help");
}

enum status run_version(struct call *c)
{
	if (c->json)
		say_json("{\"version\":\"%s\"}", LETTERLOCK_VERSION);
	else
		say("letterlock %s", LETTERLOCK_VERSION);
	return STATUS_OK;
}

/* ---- parsing ---- */

static const struct verb *find_verb(const char *noun, const char *verb)
{
	for (size_t i = 0; i < verb_n; i++)
		if (named(&verbs[i], noun, verb))
			return &verbs[i];
	return NULL;
}

static enum status unknown(const struct call *c, const char *noun, const char *verb)
{
	const char *words[256];
	size_t n = 0;
	bool is_noun = false;
	for (size_t i = 0; i < verb_n; i++)
		is_noun = is_noun || strcmp(verbs[i].noun, noun) == 0;
	for (size_t i = 0; i < verb_n && n < 256; i++)
		if (!is_noun || strcmp(verbs[i].noun, noun) == 0)
			words[n++] = is_noun ? verbs[i].verb : verbs[i].noun;
	const char *wrong = is_noun ? verb : noun;
	const char *near = wrong ? nearest_word(str_z(wrong), words, n) : NULL;
	if (!wrong)
		return say_usage(c, "\"%s\" needs a verb: letterlock help %s", noun, noun);
	if (near)
		return say_usage(c, "there is no \"%s\"; did you mean \"%s\"?", wrong, near);
	return say_usage(c, "there is no \"%s\": letterlock help", wrong);
}

static const struct option *find_option(const struct verb *v, struct str name, size_t *out_place)
{
	for (size_t i = 0; i < VERB_OPTIONS && v->options[i].name; i++)
		if (str_eq(name, str_z(v->options[i].name)))
			return *out_place = i, &v->options[i];
	for (size_t i = 0; i < common_option_n; i++)
		if (str_eq(name, str_z(common_options[i].name)))
			return *out_place = VERB_OPTIONS + i, &common_options[i];
	return NULL;
}

static void take_option(struct call *c, size_t place, const char *value, bool *help)
{
	if (place < VERB_OPTIONS) {
		c->values[place] = value ? value : "";
		c->given[c->given_n].place = place;
		c->given[c->given_n++].value = c->values[place];
	} else if (place == VERB_OPTIONS)
		c->config_path = value;
	else if (place == VERB_OPTIONS + 1)
		c->control = value;
	else if (place == VERB_OPTIONS + 2)
		c->json = true;
	else if (place == VERB_OPTIONS + 3)
		c->yes = true;
	else
		*help = true;
}

/* "--name VALUE" or "--name=VALUE"; "--" ends options. The rest are arguments, moved to the front of argv. */
static enum status parse(struct call *c, int argc, char **argv, bool *help)
{
	bool only_args = false;
	c->args = argv;
	for (int i = 0; i < argc; i++) {
		struct str word = str_z(argv[i]), name, value;
		size_t place;
		if (only_args || word.n < 2 || word.p[0] != '-') {
			argv[c->arg_n++] = argv[i];
			continue;
		}
		if (str_eq(word, STR("--"))) {
			only_args = true;
			continue;
		}
		if (str_eq(word, STR("-h"))) {
			*help = true;
			continue;
		}
		bool has_value = str_cut(str_skip(word, 2), '=', &name, &value);
		const struct option *o = str_starts(word, STR("--")) ? find_option(c->verb, name, &place) : NULL;
		if (!o)
			return say_usage(c, "there is no option \"%.60s\" here: letterlock help %s %s", argv[i], c->verb->noun, c->verb->verb ? c->verb->verb : "");
		if (!o->value && has_value)
			return say_usage(c, "--%s takes no value", o->name);
		if (o->value && !has_value && i + 1 >= argc)
			return say_usage(c, "--%s needs %s", o->name, o->value);
		if (c->given_n == GIVEN_MAX)
			return say_usage(c, "more than %d options", GIVEN_MAX);
		take_option(c, place, !o->value ? NULL : has_value ? value.p : argv[++i], help);
	}
	return STATUS_OK;
}

static enum status check_args(const struct call *c)
{
	const struct verb *v = c->verb;
	if (c->arg_n < v->least)
		return say_usage(c, "%s%s%s needs %s", v->noun, v->verb ? " " : "", v->verb ? v->verb : "", v->args);
	if (v->most >= 0 && c->arg_n > v->most)
		return say_usage(c, "\"%.60s\" is one argument too many; secrets are never arguments", c->args[v->most]);
	return STATUS_OK;
}

const char *call_option(const struct call *c, const char *name)
{
	for (size_t i = 0; i < VERB_OPTIONS && c->verb->options[i].name; i++)
		if (strcmp(c->verb->options[i].name, name) == 0)
			return c->values[i];
	return NULL;
}

const char *call_option_nth(const struct call *c, const char *name, int n)
{
	for (int i = 0; i < c->given_n; i++)
		if (strcmp(c->verb->options[c->given[i].place].name, name) == 0 && n-- == 0)
			return c->given[i].value;
	return NULL;
}

/* "letterlock --json --config F dns check x" is understood as if the options stood behind the verb. */
static void options_last(int argc, char **argv)
{
	int n = 1;
	while (n < argc && strncmp(argv[n], "--", 2) == 0 && argv[n][2]) {
		struct str name = str_z(argv[n] + 2), value;
		size_t i = 0;
		bool whole = !str_cut(name, '=', &name, &value);
		while (i < common_option_n && !str_eq(name, str_z(common_options[i].name)))
			i++;
		if (i == common_option_n)
			return; /* said to be unknown where it stands */
		n += common_options[i].value && whole ? 2 : 1;
	}
	if (n == 1 || n >= argc)
		return;
	/* Rotated by reversing three times, in place. */
	const int ends[3][2] = { { 1, n - 1 }, { n, argc - 1 }, { 1, argc - 1 } };
	for (size_t i = 0; i < 3; i++)
		for (int a = ends[i][0], b = ends[i][1]; a < b; a++, b--) {
			char *kept = argv[a];
			argv[a] = argv[b];
			argv[b] = kept;
		}
}

int verbs_main(int argc, char **argv)
{
	static const struct verb none = { .noun = "" };
	struct call c = { .verb = &none, .config_path = CONFIG_PATH, .program = argv[0] };
	if (argc < 2) {
		print_all();
		return STATUS_USAGE;
	}
	options_last(argc, argv);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_all();
		return STATUS_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		return (int)run_version(&c);
	c.verb = find_verb(argv[1], argc > 2 ? argv[2] : NULL);
	if (!c.verb) {
		bool wants_help = argc > 2 && strcmp(argv[2], "--help") == 0;
		c.verb = &none;
		c.args = argv + 1;
		c.arg_n = 1;
		return (int)(wants_help ? run_help(&c) : unknown(&c, argv[1], argc > 2 ? argv[2] : NULL));
	}
	bool help = false;
	int skip = c.verb->verb ? 3 : 2;
	enum status s = parse(&c, argc - skip, argv + skip, &help);
	if (s == STATUS_OK && help) {
		print_help(c.verb);
		return STATUS_OK;
	}
	if (s == STATUS_OK)
		s = check_args(&c);
	return (int)(s == STATUS_OK ? c.verb->run(&c) : s);
}
