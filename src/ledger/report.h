#pragma once
#include "ledger/ledger.h"

/* What reports need to be remembered: what we saw and shall report, which report went where, and what others reported to us. Rows, heads and domains are
 * opaque runs here, sealed like events; in the clear are days, counts, kinds, states and keyed hashes ("tags"). A day is a number: since 1970, UTC.
 * Nothing is on the disk before ledger_flush(). Runs handed to an `each` live during the call; it answers false to stop. */
enum { LEDGER_RUN_MAX = 24 * 1024 };   /* octets of one run: RC_LIMIT past it */

/* What stands for a text in these tables; in any case of letters. 0 for "". RC_LIMIT past 1,024 octets. */
MUST_USE enum rc ledger_tag(struct ledger *l, struct str text, int64_t *out);

/* ---- seen: reports out ---- */
/* That there is something to report about `domain` on that day, and what its owner publishes: the last one counts. Once before the rows of a day. */
MUST_USE enum rc ledger_observe_day(struct ledger *l, uint32_t day, struct str domain, struct str about, struct why *why);
MUST_USE enum rc ledger_observe(struct ledger *l, uint32_t day, int64_t domain, uint64_t count, struct str row, struct why *why);
MUST_USE enum rc ledger_observed(struct ledger *l, uint32_t day, int64_t domain, uint64_t *out_rows, struct why *why); /* how many rows that day has */
struct ledger_observation { int64_t id; uint64_t count; struct str row; };
/* Rows with after < id <= upto, at most `max`, by id. */
struct ledger_span { uint32_t day; int64_t domain, after, upto; unsigned max; };
MUST_USE enum rc ledger_observations(struct ledger *l, const struct ledger_span *span, bool (*each)(void *arg, const struct ledger_observation *o), void *arg,
                                     struct why *why);

/* One domain's day. Its rows are reported in parts, one as a rule: up to `upto` they have been, up to `target` a report is under way. */
struct ledger_report_day {
	int64_t id, domain;            /* domain: its tag */
	uint32_t day;
	int64_t upto, target, last;    /* last: the newest row there is */
	int64_t since_ms;              /* when the part before this one ended; 0 = this is the first */
	bool done;                     /* the day is over and reported */
	struct str name, about;
};
/* Days first <= day < end, of one domain (its tag) or all (0), that are not done (or all), with id > after, by id, at most `max`. */
struct ledger_days { uint32_t first, end; int64_t domain, after; bool done_too; unsigned max; };
MUST_USE enum rc ledger_report_days(struct ledger *l, const struct ledger_days *q, bool (*each)(void *arg, const struct ledger_report_day *d), void *arg,
                                    struct why *why);
/* Keeps upto, target, since_ms and done of that id. */
MUST_USE enum rc ledger_report_day_set(struct ledger *l, const struct ledger_report_day *d, struct why *why);

/* ---- sent ---- */
enum ledger_sent_state { LEDGER_SENDING = 1, LEDGER_SENT, LEDGER_WAITING, LEDGER_REFUSED, LEDGER_TOO_LARGE, LEDGER_FAILED, LEDGER_UNSURE, LEDGER_SENT_STATES };
struct ledger_sent {                   /* one report to one receiver */
	uint32_t day;
	int64_t domain, part;          /* tag; the `target` of its day */
	enum ledger_sent_state state;
	int64_t at_ms;
	struct str name, receiver, id, text; /* domain, address, message id, why */
};
MUST_USE enum rc ledger_sent_put(struct ledger *l, const struct ledger_sent *s, struct why *why); /* replaces that of the same day, domain, part, receiver */
/* RC_NOTFOUND: none. */
MUST_USE enum rc ledger_sent_state(struct ledger *l, uint32_t day, int64_t domain, int64_t part, struct str receiver, enum ledger_sent_state *out_state,
                                   int64_t *out_at_ms, struct why *why);
/* Days first <= day < end, of one domain (its tag) or all (0), newest first, at most `max`. */
MUST_USE enum rc ledger_sent_list(struct ledger *l, const struct ledger_days *q, bool (*each)(void *arg, const struct ledger_sent *s), void *arg,
                                  struct why *why);

/* ---- received ---- */
struct ledger_report {
	int64_t id;
	uint32_t kind;
	bool verified;                 /* the mail that brought it proved its sender */
	int64_t at_ms, begin_s, end_s;
	struct str domain;             /* whom it is about */
	struct str unique;             /* what makes two reports the same; on reading "" */
	struct str head;
};
struct ledger_report_row {
	int64_t id, report;            /* set on reading */
	uint32_t day;
	uint64_t count;
	uint32_t facts;                /* the house's own, in the clear */
	struct str domain, row;        /* domain: on reading "" */
};
/* All or nothing. RC_EXISTS: it is there. */
MUST_USE enum rc ledger_report_add(struct ledger *l, const struct ledger_report *r, const struct ledger_report_row *rows, size_t n, struct why *why);
struct ledger_reports { uint32_t kind; int64_t domain; int64_t since_s, until_s; int64_t after; bool unverified; unsigned max; }; /* domain: tag or 0 = all */
/* By id; reports that began in since_s <= t < until_s. `unverified`: those too. */
MUST_USE enum rc ledger_reports(struct ledger *l, const struct ledger_reports *q, bool (*each)(void *arg, const struct ledger_report *r), void *arg, struct why *why);
/* Rows of a kind and domain (its tag) whose day is in the span; with id > after, by id. */
MUST_USE enum rc ledger_report_rows(struct ledger *l, const struct ledger_reports *q, bool (*each)(void *arg, const struct ledger_report_row *r), void *arg,
                                    struct why *why);

/* Forgets what is of days before that one, at most `max` rows of each table in one go; *out_more: there is more. */
MUST_USE enum rc ledger_reports_expire(struct ledger *l, uint32_t before, unsigned max, bool *out_more, struct why *why);
/* Opens every row. RC_DAMAGED names the first that does not open. Part of ledger_verify(). */
MUST_USE enum rc ledger_reports_verify(struct ledger *l, struct why *why);
