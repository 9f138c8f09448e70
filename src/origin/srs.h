#pragma once
#include "base/buf.h"
#include "crypto/crypto.h"

/* Sender rewriting (SRS, the public description of SRS0 and SRS1) for mail that is forwarded outside, so that SPF at the next hop is about us and a bounce finds its way back. The
 * hash is HMAC-SHA-256 cut to 8 base32 characters under the vault's key; stamps are days, good for 21. */
/* `sender` ("a@b", not null) -> SRS0=hash=stamp=domain=local@ours; an SRS0 or SRS1 of somebody else's -> SRS1; one of ours that still holds stays as it is. Local part
 * <= 64 octets or RC_LIMIT (then the forwarder's own address is used). RC_SYNTAX: not an address at a domain. The answer is as on the wire, quoted where it must be. */
MUST_USE enum rc srs_forward(const struct secret *key, struct str sender, struct str our_domain, int64_t now_s, struct buf *out);
/* Back: RC_OK with the address that it stands for; RC_NOTFOUND: not SRS; RC_DENIED: wrong hash; RC_LATE: too old. `local` is unquoted, as in struct mail_address; a relay on the
 * way may have changed its case. SRS1 has no stamp: it only ever leads to the SRS0 of the first forwarder, which has one. */
MUST_USE enum rc srs_reverse(const struct secret *key, struct str local, int64_t now_s, struct buf *out);
