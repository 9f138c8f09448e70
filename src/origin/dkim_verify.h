#pragma once
#include "origin/dkim_key.h"
#include "origin/dkim_parse.h"

/* What dkim_verify.c and arc_verify.c share. One verifier per message. */
enum { VERIFY_MAX_KEYS = 32, VERIFY_MAX_RECORDS = 8, VERIFY_STREAMS = 4 };
struct sig_read {
	struct sig sig;
	enum rc rc;                /* of reading it */
	struct why why;
};
struct arc_set {
	const struct head_field *aar, *ams, *seal;
	struct sig_read *ams_read, *seal_read;
	uint8_t seal_digest[DKIM_HASH_MAX];
};
struct arc_chain {
	unsigned n;                /* highest instance; 0: no ARC fields at all */
	bool broken;               /* failed by its form alone: `why` says how */
	struct why why;
	struct arc_set *set;       /* [1] to [n]; fields may be NULL when broken */
};
struct dkim_verifier {
	struct arena a;
	struct dkim_options o;
	struct head head;
	size_t n, ignored;
	struct sig_read *signature;
	struct arc_chain arc;
	struct body_hash *stream[VERIFY_STREAMS]; /* by canonicalisation and hash; NULL: nobody wants it */
};

/* A key as asked for once in this message. */
struct key_answer {
	struct str name;
	enum rc rc;                /* RC_OK; RC_DENIED: there is none; RC_LATE: the DNS did not say */
	bool secure;
	struct str record[VERIFY_MAX_RECORDS];
	size_t records;
	struct why why;
};
struct judge {
	struct dkim_verifier *v;
	const struct dns *dns;
	const struct origin_trace *trace;
	struct arena scratch;
	struct key_answer key[VERIFY_MAX_KEYS];
	size_t keys;
};
/* The key for that signature, if it may be used for it. RC_LATE: temporary; RC_DENIED, RC_NOTFOUND, RC_SYNTAX: never; RC_NOMEM. Borrowed as dkim_key_get() says. */
MUST_USE enum rc judge_key(struct judge *j, const struct sig *s, const struct dkim_key **out, bool *out_secure, struct why *why);
/* RC_OK; RC_CONFLICT: it matches, but l= leaves text unsigned; RC_DAMAGED: altered; RC_DENIED: l= is longer than the body; RC_NOMEM. */
MUST_USE enum rc judge_body(const struct dkim_verifier *v, const struct sig *s, struct why *why);
/* The digest of the fields in h= and of the signature's own field (RFC 6376 3.7). */
MUST_USE enum rc judge_digest(struct head *h, const struct sig *s, uint8_t digest[DKIM_HASH_MAX]);
/* A reason as it may be shown: it can quote what a stranger wrote, so control characters and octets past ASCII become spaces. */
struct str verify_text(struct arena *a, const char *z);
/* Before the body: the stream that this signature needs. */
MUST_USE enum rc verify_want_body(struct dkim_verifier *v, const struct sig *s);

/* Collects and reads the sets; says what body hashes they need. RC_NOMEM. */
MUST_USE enum rc arc_collect(struct dkim_verifier *v);
void arc_judge(struct judge *j, struct arena *a, struct arc_result *out);
