#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/why.h"

/* Mail addresses: SMTP paths (RFC 5321 4.1.2, 6531) strictly, header lists (RFC 5322 3.4) with the obsolete forms. Borrowed: results
 * point into the input or the arena. */
struct mail_address {
	struct str local;   /* unquoted */
	struct str domain;  /* lower case where it is a name; "[192.0.2.1]" literal kept as it is */
};
/* What stands between "<" and ">" of MAIL FROM or RCPT TO, brackets included, source route ignored: "<a@b>". "<>" gives an empty
 * address (allowed only when `may_be_null`). Limits: local 64, domain 255, path 256 octets (RC_LIMIT). UTF-8 beyond ASCII only when `utf8`.
 * *out_rest is what follows ">". U-labels become A-labels, so that one domain has one spelling. Unless `may_be_null`, "<Postmaster>"
 * without a domain is taken too (RFC 5321 4.1.1.3): its domain is "". */
MUST_USE enum rc mail_path_parse(struct str in, bool may_be_null, bool utf8, struct arena *a, struct mail_address *out,
                                 struct str *out_rest, struct why *why);
/* One bare addr-spec as in configuration and logins: "a@b". */
MUST_USE enum rc mail_address_parse(struct str in, bool utf8, struct arena *a, struct mail_address *out, struct why *why);
/* "local@domain", the local part quoted where it must be. */
void mail_address_format(const struct mail_address *a, struct buf *out);
/* Is this a sound addr-spec of a header, RFC 5322 3.4.1 with CFWS and the obsolete forms (4.4), US-ASCII only? For judging, not reading:
 * mail_list_parse reads far more than this. */
bool mail_addr_spec_ok(struct str in);
/* Is this a syntactically sound domain name (LDH labels or U-labels when utf8)? */
bool mail_domain_ok(struct str domain, bool utf8);

/* ---- header lists ---- */
struct mail_mailbox {            /* one list entry; a group start has `group` and no address, a group end has neither */
	struct str name;         /* display name as raw phrase or comment, still RFC 2047 encoded; "" = none */
	struct str route;        /* obsolete source route, "" = none */
	struct str local, domain;
	enum { MAILBOX_ADDRESS, MAILBOX_GROUP_START, MAILBOX_GROUP_END } kind;
	struct mail_mailbox *next;
};
/* Lenient: what cannot be understood is skipped and *out_sound set false. At most 10,000 entries. */
MUST_USE enum rc mail_list_parse(struct str value, struct arena *a, struct mail_mailbox **out_first, bool *out_sound);
