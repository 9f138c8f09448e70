#include "cmd/address.h"
#include "cmd/ctl.h"
#include "role/report_rules.h"
#include "role/report_show.h"
#include <stdio.h>

/* report dmarc|tls|send. The text is written by the role that has the rows. */

enum { DAYS_MAX = 3650, DAYS = 30 };

static enum status domain_option(struct call *c, char out[256])
{
	struct why why = { 0 };
	const char *given = call_option(c, "domain");
	out[0] = 0;
	if (given && domain_clean(given, out, 256, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	return STATUS_OK;
}

/* "30d", "4w", "2m", "1y", "30". 0: none of these. */
static uint32_t days_of(struct str text)
{
	static const struct { char unit; unsigned days; } units[] = { { 'd', 1 }, { 'w', 7 }, { 'm', 30 }, { 'y', 365 } };
	unsigned each = 1;
	uint64_t n;
	for (size_t i = 0; text.n > 1 && i < sizeof units / sizeof *units; i++)
		if (text.p[text.n - 1] == units[i].unit) {
			each = units[i].days;
			text.n--;
			break;
		}
	return str_u64(text, DAYS_MAX, &n) && n * each <= DAYS_MAX ? (uint32_t)(n * each) : 0;
}

static void put(struct str text)
{
	(void)fwrite(text.p, 1, text.n, stdout);
}

/* Nothing yet: what will appear here and how. */
static enum status nothing(struct call *c, unsigned kind)
{
	if (c->json)
		return STATUS_NOTHING;
	if (kind == REPORT_SHOW_DMARC) {
		say("No DMARC reports yet. They come from other mail servers, once a day, after you have published where to send them:");
		say("  _dmarc.DOMAIN. IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc-reports@DOMAIN\"");
		say("The first ones usually arrive within two days. letterlock dns show DOMAIN prints the record.");
	} else {
		say("No TLS reports yet. They come from other mail servers, once a day, after you have published where to send them:");
		say("  _smtp._tls.DOMAIN. IN TXT \"v=TLSRPTv1; rua=mailto:tls-reports@DOMAIN\"");
		say("The first ones usually arrive within two days. letterlock dns show DOMAIN prints the record.");
	}
	return STATUS_NOTHING;
}

static enum status show(struct ctl *ctl, struct call *c, unsigned kind)
{
	struct msg_REPORT_SHOW_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	char domain[256];
	const char *since = call_option(c, "since");
	uint32_t days = since ? days_of(str_z(since)) : DAYS;
	if (domain_option(c, domain) != STATUS_OK)
		return STATUS_USAGE;
	if (!days)
		return say_usage(c, "--since takes a number of days, weeks, months or years up to 10 years: 30d, 4w, 6m, 1y");
	struct msg_REPORT_SHOW q = { .kind = (uint8_t)kind, .domain = str_z(domain), .days = days, .json = c->json };
	if (ctl_ask(ctl, ROLE_LEDGER, MSG_REPORT_SHOW, &q, &a, &reply, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the reports cannot be shown", why.text, "letterlock status");
	put(a.text);
	uint32_t found = a.found;
	ipc_reply_done(&reply);
	return found ? STATUS_OK : nothing(c, kind);
}

static enum status dmarc(struct ctl *ctl, void *arg) { return show(ctl, arg, REPORT_SHOW_DMARC); }
static enum status tls(struct ctl *ctl, void *arg) { return show(ctl, arg, REPORT_SHOW_TLS); }
enum status run_report_dmarc(struct call *c) { return ctl_verb(c, dmarc); }
enum status run_report_tls(struct call *c) { return ctl_verb(c, tls); }

static enum status send_now(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct msg_REPORT_SEND_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	char domain[256];
	const char *given = call_option(c, "day");
	uint32_t day = given ? report_day_read(str_z(given)) : 0;
	if (domain_option(c, domain) != STATUS_OK)
		return STATUS_USAGE;
	if (given && !day)
		return say_usage(c, "--day takes a date: 2026-11-24");
	struct msg_REPORT_SEND q = { .day = day, .domain = str_z(domain), .json = c->json };
	enum rc rc = ctl_ask(ctl, ROLE_LEDGER, MSG_REPORT_SEND, &q, &a, &reply, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the reports were not all sent", why.text, rc == RC_BUSY ? "try again in a minute" : "letterlock status");
	put(a.text);
	uint32_t found = a.found;
	ipc_reply_done(&reply);
	if (!found && !c->json)
		say("Nothing to report: no mail came from domains that ask for reports.");
	return found ? STATUS_OK : STATUS_NOTHING;
}
enum status run_report_send(struct call *c) { return ctl_verb(c, send_now); }
