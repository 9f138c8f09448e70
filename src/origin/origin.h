#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "dns/dns.h"

/* Who really sent this: what all evaluators share. Each is straight-line code over a `struct dns`, never fails as a function (a message
 * always gets a result), is bounded in time, memory and questions, and says in words why. All memory comes from the caller's arena, so that a
 * result lives as long as the message it is about. */

/* The words of Authentication-Results (RFC 8601 2.7). */
enum auth {
	AUTH_NONE, AUTH_PASS, AUTH_FAIL, AUTH_SOFTFAIL, AUTH_NEUTRAL, AUTH_POLICY, AUTH_TEMPERROR, AUTH_PERMERROR,
};
const char *auth_name(enum auth a);

/* A trace of an evaluation for people (probe, the message's trace page): one line a step. NULL = nobody listens. */
struct origin_trace {
	void *house;
	void (*step)(void *house, const char *what, const char *text); /* what: "dns", "term", "result", ... */
};
void origin_step(const struct origin_trace *t, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A question and what came: the records themselves, five at most. */
void origin_step_dns(const struct origin_trace *t, unsigned type, struct str name, const struct dns_answer *x);

/* A tag list (RFC 6376 3.2): DKIM, DMARC, ARC, TLS-RPT and MTA-STS records. */
struct tag { struct str name, value; };      /* value without the white space around it; folding white space within left in */
enum { TAGS_MAX = 64 };
struct tags { struct tag tag[TAGS_MAX]; size_t n; };
/* RC_SYNTAX: a bad name, no "=", the same name twice, or control octets. RC_LIMIT: more than TAGS_MAX. A semicolon at the end is allowed. */
MUST_USE enum rc tags_parse(struct str in, struct tags *out, struct why *why);
/* The value, or NULL. Names are case-sensitive. */
const struct str *tags_get(const struct tags *t, const char *name);
/* base64 with folding white space inside (RFC 6376 2.10), strict otherwise. RC_SYNTAX. */
MUST_USE enum rc tags_base64(struct str in, struct buf *out);

/* "example.com" of "a.b.example.com" by the Public Suffix List (libpsl with the system's data): the registrable domain, lower case A-labels;
 * "" = the name is a public suffix itself, or not a name. U-labels and upper case are folded. */
struct str psl_registrable(struct str domain, struct arena *a);
