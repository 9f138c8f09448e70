#pragma once
#include "origin/dkim.h"
#include "origin/spf.h"

/* DMARC (RFC 9989, which replaces 7489; records of both are read). Policy discovery by the DNS tree walk (RFC 9989 4.10), at most 8 questions. */
enum dmarc_policy { DMARC_NONE, DMARC_QUARANTINE, DMARC_REJECT };
const char *dmarc_policy_name(enum dmarc_policy p);

struct dmarc_record {
	bool found;
	struct str at;              /* domain whose _dmarc record it is */
	enum dmarc_policy p, sp, np;/* sp and np already defaulted */
	bool strict_dkim, strict_spf;/* adkim=s aspf=s */
	bool testing;               /* t=y: the policy is taken one step milder */
	char psd;                   /* 'y' 'n' 'u' */
	unsigned pct;               /* RFC 7489's, 100 when left out; reports say it, RFC 9989 ignores it except as t= (pct=0) */
	struct str rua, ruf, fo, rf;/* as in the record */
	uint32_t ri;
	struct str text;            /* the record itself */
};
struct dmarc_input {
	struct str header;          /* raw header of the message: From is found in it by dmarc_from() */
	const struct spf_result *spf;      /* MAIL FROM identity (or HELO for the null sender); NULL = not evaluated */
	const struct dkim_result *dkim;    /* NULL = not evaluated */
};
struct dmarc_result {
	enum auth result;           /* none, pass, fail, temperror, permerror */
	struct str from;            /* author domain, lower-case A-labels; "" = none usable */
	struct str organisational;  /* its organisational domain (9989 4.10.2); "" when the record is the author domain's own: no walk was needed for it */
	bool exists;                /* author domain exists in the DNS; asked only when np= differs from sp=, else true */
	bool spf_aligned, dkim_aligned;
	struct str dkim_domain;     /* that aligned and passed */
	struct dmarc_record record;
	enum dmarc_policy published;/* the policy that the record has for this author domain (p, sp or np), before t= and whatever the result */
	enum dmarc_policy policy;   /* that applies to this message: p, sp or np, t= considered; DMARC_NONE on pass */
	struct str why;             /* one sentence */
};
/* The one author domain that DMARC speaks of. RC_NOTFOUND: no From, or none with an address; RC_CONFLICT: several From fields or several
 * domains (RFC 9989 5.3.1... : never an aligned pass); RC_SYNTAX: what no two readers would read alike (encoded words around an address, group
 * tricks, NUL and so on). `header` is all of the message up to its empty line, lines that are no fields included. On all of these the caller must not treat the message as authenticated. */
MUST_USE enum rc dmarc_from(struct str header, struct arena *a, struct str *out_domain, struct why *why);
/* How many fields of the header some reader takes for From: with white space or controls in or around the name, behind a line end that not all see, or after
 * white space at the very start. */
size_t dmarc_from_fields(struct str header);
/* When dmarc_from() refuses, the result is never pass: permerror, or fail with the strictest policy of the domains that stand in From all the same
 * (RFC 9989 11.5), so that a trick is not better than a plain forgery. `from` is then that domain. A record that cannot be used is permerror. */
void dmarc_check(const struct dns *dns, const struct dmarc_input *in, const struct origin_trace *t, struct arena *a, struct dmarc_result *out);
/* The record that covers `domain`, and its organisational domain (either may come without the other). AUTH_PASS: found; AUTH_NONE,
 * AUTH_TEMPERROR; AUTH_PERMERROR: there is one, but its policy cannot be used. */
enum auth dmarc_discover(const struct dns *dns, struct str domain, const struct origin_trace *t, struct arena *a, struct dmarc_record *out, struct str *out_org, struct str *out_why);
MUST_USE enum rc dmarc_record_parse(struct str txt, struct arena *a, struct dmarc_record *out, struct why *why);
bool dmarc_aligned(const struct dns *dns, struct str author, struct str authenticated, bool strict, struct arena *a);

/* rua= / ruf=: "mailto:a@b!10m,mailto:c@d". Units k m g t; 0 = no limit said. Other schemes and what is no address are skipped. */
struct dmarc_uri { struct str address; uint64_t max_size; };
size_t dmarc_uris(struct str value, struct arena *a, struct dmarc_uri *out, size_t max);
/* May reports about `about` go to `receiver_domain`? Same organisational domain, or "about._report._dmarc.receiver" says v=DMARC1 (RFC 9990 4; 7489 7.1). */
bool dmarc_report_allowed(const struct dns *dns, struct str about, struct str receiver_domain, struct arena *a, struct str *out_override_rua);
