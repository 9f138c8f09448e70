#pragma once
#include "dns/dns.h"

/* The data of one record, from a master file's words and from the wire. Internal to src/dns. */
struct zone_word { struct str text; bool quoted; }; /* escapes not yet undone */

/* A name of a master file (escapes, "@", relative to `origin`, which has no last dot) as lower-case text without its last dot, "" = root. A dot inside a
 * label cannot be said in `struct dns`'s form and is refused. */
MUST_USE enum rc rdata_name(struct str text, struct str origin, struct arena *a, struct str *out, struct why *why);
/* RC_NOTFOUND: a type that `struct dns` does not carry; the record only makes its name exist. */
MUST_USE enum rc rdata_parse(unsigned type, const struct zone_word *word, size_t n, struct str origin, struct arena *a, struct dns_record *out, struct why *why);
/* `packet` from its first octet (names may point back into it), the data at `at`, `n` octets of it. Copies into `a`. */
MUST_USE enum rc rdata_from_wire(unsigned type, struct str packet, size_t at, size_t n, struct arena *a, struct dns_record *out, struct why *why);
/* A name of the wire (RFC 1035 4.1.4: compression) at *at, which is moved past it. `out` must have 256 octets of room; not terminated. */
MUST_USE enum rc wire_name(struct str packet, size_t *at, char out[256], size_t *out_n, struct why *why);
/* "TYPE123" and the types that exist but that we never ask for; 0 = not a type. */
unsigned rdata_type(struct str word);
/* One lower-case name without last dot, as keys are. False when it cannot be asked. */
bool dns_fold(struct str name, char out[256], size_t *out_n);
