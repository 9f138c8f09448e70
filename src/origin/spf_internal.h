#pragma once
#include "origin/spf.h"
#include "base/why.h"

/* The insides of SPF, shared by its parser (spf_parse.c), macros (spf_macro.c), mechanisms (spf_match.c) and check_host() (spf.c).
 * Invariants:
 *  1. A record is read through once before any of it is evaluated, so that an error anywhere in it is found (RFC 7208 4.6).
 *  2. Nesting (include, redirect) costs a look-up each, so SPF_LOOKUPS_MAX bounds the depth too.
 *  3. Questions: 1 + 10 terms, 10 addresses for each mx, and 1 + 10 for the names of the client, asked once a check whatever the number of ptr
 *     and %{p}; 1 for exp=. No more, whatever the records say.
 *  4. Answers live in an arena of the function that asked; only what the result needs is copied out. */
enum {
	SPF_RECORD_MAX = 4096,    /* octets of one record */
	SPF_LOOKUPS_MAX = 10,     /* RFC 7208 4.6.4 */
	SPF_VOIDS_MAX = 2,
	SPF_NAMES_MAX = 10,       /* per mx and of the client's PTR */
	SPF_TIME_MS = 20000,
	SPF_ANSWER_MAX = 2 << 20, /* octets of memory for one answer */
	SPF_NAME_MAX = 253,
	SPF_TEXT_MAX = 1000,      /* octets of an explanation */
};

enum spf_kind {
	SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS, /* mechanisms */
	SPF_REDIRECT, SPF_EXP, SPF_UNKNOWN,                                         /* modifiers */
};
struct spf_term {
	enum spf_kind kind;
	enum auth qualifier;      /* what a match means */
	struct str text;          /* as in the record */
	struct str domain;        /* domain-spec, not expanded; "" = the current domain */
	uint8_t ip[16];           /* ip4, ip6 */
	unsigned cidr4, cidr6;
};
/* The next term of what is left of a record. RC_NOTFOUND at the end, RC_SYNTAX. */
MUST_USE enum rc spf_term_next(struct str *rest, struct spf_term *out, struct why *why);
/* Does this TXT record begin with "v=spf1"? *out_terms is what follows. */
bool spf_is_record(struct str txt, struct str *out_terms);
/* Invariant 1; finds the modifiers on the way ("" = not there). */
MUST_USE enum rc spf_record_check(struct str terms, struct str *out_redirect, struct str *out_exp, struct why *why);

struct spf_name { struct str name; bool asked, valid; };
struct spf_run {
	const struct dns *dns;
	const struct origin_trace *trace;
	struct str ip;            /* 4 or 16 octets, never a mapped address */
	struct str local, domain, helo, receiver;
	uint64_t now_s, deadline_ms;
	unsigned lookups, voids;
	bool names_asked;
	enum dns_status names_status;
	struct arena names_arena;
	struct spf_name name[SPF_NAMES_MAX];
	size_t names;
	char why[300];
	/* where the result's strings go */
	struct arena *out_arena;
	struct str mechanism, explanation;
};
/* Why it ends so, for the result. The first reason stays when an outer record fails of an inner one. */
void spf_because(struct spf_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One question, within the time there is; traced. DNS_OK has at least one record. */
void spf_ask(struct spf_run *r, unsigned type, struct str name, struct arena *a, struct dns_answer *out);
/* check_host(): `top` is not within an include. */
enum auth spf_host(struct spf_run *r, struct str domain, bool top);

enum spf_match { SPF_NO, SPF_YES, SPF_TEMP, SPF_PERM };
enum spf_match spf_match(struct spf_run *r, const struct spf_term *t, struct str domain);
/* Takes one of the 10; SPF_PERM when there is none left. */
enum spf_match spf_count(struct spf_run *r);
/* The name of the client for %{p}: `domain` itself, one below it, any; "unknown". */
struct str spf_client_name(struct spf_run *r, struct str domain);

enum spf_macro_use { SPF_MACRO_DOMAIN, SPF_MACRO_MODIFIER, SPF_MACRO_TEXT };
/* Syntax alone (RFC 7208 7.1): a domain-spec; any macro-string; an explanation, which may have spaces and
 * is the only one for %{c}, %{r} and %{t} (7.2). */
bool spf_macro_ok(struct str s, enum spf_macro_use use);
/* Expands a sound macro-string. */
void spf_expand(struct spf_run *r, struct str s, struct str domain, enum spf_macro_use use, struct buf *out);
/* A domain-spec (or "": the current domain) as a name to ask, cut from the left to 253 octets; "" = not a name. */
struct str spf_target(struct spf_run *r, struct str spec, struct str domain, char out[SPF_NAME_MAX + 1]);
