#pragma once
#include "origin/dkim_hash.h"
#include "origin/dkim_head.h"

/* One DKIM-Signature, ARC-Message-Signature or ARC-Seal field, read but not yet verified. */
enum sig_kind { SIG_DKIM, SIG_AMS, SIG_SEAL };
enum sig_algorithm { SIG_RSA_SHA256, SIG_ED25519_SHA256, SIG_RSA_SHA1 };
enum { SIG_MAX_NAMES = 1024, SIG_MAX_OCTETS = 2048, SIG_MAX_IDENTITY = 512 };
struct sig {
	enum sig_kind kind;
	const struct head_field *field;
	enum sig_algorithm algorithm;
	enum dkim_canon header, body;
	struct str domain, selector, identity, a_text; /* lower-case A-labels; identity with its local part */
	struct str b, bh;          /* octets */
	struct str b_head;
	struct str h;              /* as it stands there */
	bool has_length;
	uint64_t length;           /* l= */
	int64_t signed_at, expires_at; /* -1: not given */
	unsigned instance;         /* ARC */
	enum auth cv;              /* ARC-Seal: none, pass, fail */
	bool over_from;
	size_t cut_from, cut_to;   /* of field->raw: the value of b= */
};
static inline enum dkim_hash sig_hash(const struct sig *s) { return s->algorithm == SIG_RSA_SHA1 ? DKIM_SHA1 : DKIM_SHA256; }
/* Everything that can be said without the DNS and the body. RC_SYNTAX, RC_LIMIT: malformed; RC_DENIED: well-formed, but of no worth; RC_NOMEM. What
 * could be read is in *out also then. Strings live in `a` or in the header. */
MUST_USE enum rc sig_parse(enum sig_kind kind, const struct head *h, const struct head_field *f, int64_t now_s, bool weak, struct arena *a,
                           struct sig *out, struct why *why);
/* The names of h= one by one; false at the end. *rest starts as sig.h. */
bool sig_next_name(struct str *rest, struct str *out);
/* Where the value of `tag` stands in the field's raw text, with the white space around it (RFC 6376 3.7 deletes all of that). */
bool sig_tag_place(const struct head_field *f, const char *tag, size_t *out_from, size_t *out_to);
/* "i=N" of an ARC field of any kind: 1 to 50, else 0. */
unsigned sig_instance(struct str value);
/* A domain name in lower case, U-labels (RFC 8616) as A-labels. RC_SYNTAX. */
MUST_USE enum rc sig_domain(struct str in, struct arena *a, struct str *out);
