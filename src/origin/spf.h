#pragma once
#include "origin/origin.h"

/* SPF (RFC 7208). check_host() with all of its mechanisms, modifiers, macros and limits: 10 terms that ask (4.6.4), 2 void look-ups, 10 names per MX and
 * PTR, records of at most 4 KiB after joining, 20 s in all. */
struct spf_query {
	struct str ip;             /* 4 or 16 octets; ::ffff:0:0/96 is taken as IPv4 */
	struct str helo;           /* as said in EHLO; "" = unknown */
	struct str local, domain;  /* of MAIL FROM; both "" = the null sender: postmaster@HELO is evaluated (2.4) */
	struct str receiver;       /* %{r}, our own name */
	uint64_t now_s;            /* %{t} */
};
struct spf_result {
	enum auth result;          /* none pass fail softfail neutral temperror permerror */
	bool of_helo;              /* the identity evaluated is HELO */
	struct str domain;         /* the domain that was evaluated */
	struct str mechanism;      /* what matched, as in the record ("ip4:192.0.2.0/24", "-all"); "" = the default */
	struct str explanation;    /* exp= of a fail, expanded, US-ASCII only; "" = none */
	struct str why;            /* one sentence */
	unsigned lookups, voids;
};
/* MAIL FROM, or HELO when that is null. */
void spf_check(const struct dns *dns, const struct spf_query *q, const struct origin_trace *t, struct arena *a, struct spf_result *out);
/* The HELO identity by itself (2.3). */
void spf_check_helo(const struct dns *dns, const struct spf_query *q, const struct origin_trace *t, struct arena *a, struct spf_result *out);
/* "Received-SPF: pass (…) client-ip=…; envelope-from=…; helo=…;\r\n" (9.1) */
void spf_received(const struct spf_query *q, const struct spf_result *r, struct buf *out);

/* iprev (RFC 8601 3): reverse name that resolves back to the address. *out_name "" unless AUTH_PASS. */
enum auth iprev_check(const struct dns *dns, struct str ip, struct arena *a, struct str *out_name);
