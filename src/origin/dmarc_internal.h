#pragma once
#include "origin/dmarc.h"

/* What the files of DMARC share. Not for others. */

/* Everything that From fields say about who wrote a message. */
enum { FROM_DOMAINS_MAX = 8 };
struct from_found {
	struct str domain[FROM_DOMAINS_MAX]; /* every domain that some reader might take for the author's; distinct */
	size_t domains;
	size_t fields, addresses;
};
/* dmarc_from(), and on refusal the domains that stand there all the same: a policy of theirs may still be honoured. */
MUST_USE enum rc dmarc_from_all(struct str header, struct arena *a, struct from_found *found, struct str *out_domain, struct why *why);
/* Lower-case A-labels without a last dot; "" = not a domain name that can be asked. */
struct str dmarc_domain_fold(struct str domain, struct arena *a);

/* ---- the walk (RFC 9989 4.10) ---- */
enum { WALK_MAX = 8, WALK_MEMO = 32 };
struct walk_found {
	struct str at;             /* the name below which the record stands */
	enum { WALK_ABSENT, WALK_RECORD, WALK_BROKEN, WALK_TEMP } kind; /* BROKEN: a DMARC record whose policy cannot be used */
	struct dmarc_record record;
	char why[120];
};
/* One evaluation: remembers what it has asked, so that two names of one organisation cost their common part once. */
struct walk {
	const struct dns *dns;
	const struct origin_trace *trace;
	struct arena *arena;
	struct walk_found *memo[WALK_MEMO];
	size_t memos;
};
/* What stands at _dmarc.`name`. NULL: no memory. */
const struct walk_found *walk_at(struct walk *w, struct str name);
/* The organisational domain of `name` (4.10.2). False: the DNS or memory failed. *out_psd: the public suffix's own record, or NULL. */
bool walk_organisational(struct walk *w, struct str name, struct str *out_org, const struct walk_found **out_psd);
enum walk_answer { WALK_NO, WALK_YES, WALK_UNKNOWN };
/* RFC 9989 4.4: strict = identical, relaxed = one organisational domain. */
enum walk_answer walk_aligned(struct walk *w, struct str author, struct str authenticated, bool strict);
/* dmarc_discover() within an evaluation; the organisational domain only when it is needed or `want_org`. */
enum auth walk_policy(struct walk *w, struct str domain, bool want_org, struct dmarc_record *out, struct str *out_org, struct str *out_why);
