#pragma once
#include "origin/report.h"

/* What reports mean to the owner of a domain: pure functions over rows read from many reports, for `letterlock report dmarc`. The caller gives the rows of
 * one domain in a period; everything found lives in the arena given, and borrows texts from the rows.
 *
 * Sources. Rows are put together by network (/24, /48: big senders use many addresses). A network is
 *   yours            when some of its mail passed SPF for a domain aligned with yours: your own SPF record names it; or when it is in `own`; or when its mail
 *                    carries an aligned signature under a selector that no network of yours uses: a service that signs for you with a key of its own;
 *   known forwarder  when it passes mail on that was yours: an aligned signature, under a selector that your own networks use, but no aligned SPF; or when a
 *                    receiver said so (override forwarded, trusted_forwarder, mailing_list); or when it is in `forwarders`;
 *   threat           when nothing at all speaks for its mail: no signature passed, SPF passed for nobody, and no network of yours is near (same /16 or /32);
 *   unknown          all else: authenticated as somebody else (a service that you have not told about yourself, or somebody with a domain of his own), or nothing
 *                    passed but it stands near your own networks (a forgotten machine).
 *
 * Steps. The next policy (none → quarantine → reject) is safe when the period has at least REPORT_VIEW_DAYS_MIN days and REPORT_VIEW_MESSAGES_MIN messages, and mail that
 * is or may be yours (yours, forwarders, unknown) and passes neither way is at most REPORT_VIEW_BROKEN_PPM of what is or may be yours. Who would break are the
 * networks that send that mail, most first; threats are what the policy is for and count on neither side. */
enum { REPORT_VIEW_DAYS_MIN = 14, REPORT_VIEW_MESSAGES_MIN = 100, REPORT_VIEW_BROKEN_PPM = 5000, REPORT_VIEW_ROWS_MAX = 2000000, REPORT_VIEW_SOURCES_MAX = 100000 };

struct report_view_row {
	int64_t day_s;               /* any time within its day, UTC; of a report: its begin */
	const struct report_row *row;
};
struct report_view_options {
	const struct str *own; size_t owns;             /* networks or addresses in text ("192.0.2.0/24", "2001:db8::1") that are the owner's */
	const struct str *forwarders; size_t n_forwarders; /* the same, and domains ("lists.example") whose SPF or signature passed */
};
enum report_view_group { REPORT_VIEW_YOURS, REPORT_VIEW_FORWARDER, REPORT_VIEW_UNKNOWN, REPORT_VIEW_THREAT, REPORT_VIEW_GROUPS };
const char *report_view_group_name(enum report_view_group g); /* "yours", "known forwarder", "unknown", "threat" */

struct report_view_source {
	struct str network;          /* "192.0.2.0/24" */
	enum report_view_group group;
	struct str because;          /* one sentence */
	uint64_t messages, passed;   /* aligned by SPF or DKIM */
	uint64_t spf_aligned, dkim_aligned;
	uint64_t quarantined, rejected;
	struct str example_ip;
	struct str authenticated_as; /* another domain that SPF or DKIM passed for, "" = none */
	int64_t first_s, last_s;     /* days seen */
};
struct report_view_day { int64_t day_s; uint64_t messages, passed; };
struct report_view {
	struct report_view_day *day; size_t days;           /* days with mail, in order */
	struct report_view_source *source; size_t sources;  /* most messages first */
	uint64_t messages, passed;                   /* compliance = passed / messages */
	uint64_t group_messages[REPORT_VIEW_GROUPS], group_passed[REPORT_VIEW_GROUPS];
	uint64_t unread;                             /* messages from an address that was none */
};
/* RC_LIMIT: more rows or networks than the bounds above, or the arena is full. */
MUST_USE enum rc report_view_make(const struct report_view_row *rows, size_t n, const struct report_view_options *o, struct arena *a, struct report_view *out, struct why *why);

/* What changed from one period to the next: one entry a network, most important first. */
struct report_view_change {
	enum { REPORT_VIEW_NEW, REPORT_VIEW_GONE, REPORT_VIEW_WORSE, REPORT_VIEW_BETTER, REPORT_VIEW_MORE, REPORT_VIEW_LESS, REPORT_VIEW_REGROUPED } what;
	const struct report_view_source *before, *after;    /* NULL: not there */
	struct str text;                             /* one sentence */
};
/* A pass rate that moved by 5 points or more is worse or better; a volume that is three times as large or small, and by 20 messages, is more or less. */
MUST_USE enum rc report_view_changes(const struct report_view *before, const struct report_view *after, struct arena *a, struct report_view_change **out, size_t *out_n);

struct report_view_step {
	struct str now, next;        /* "none", "quarantine", "reject"; next "" = there is no further step */
	bool safe;
	struct str reason;           /* one sentence: why, or why not */
	uint64_t may_be_yours, would_break;
	const struct report_view_source **breaking; size_t breakings; /* at most 100 */
};
MUST_USE enum rc report_view_next_step(const struct report_view *v, struct str policy, struct arena *a, struct report_view_step *out);
