#pragma once
#include "base/buf.h"
#include "crypto/crypto.h"

/* Sender rewriting (SRS, the public description of SRS0 and SRS1) for mail that is forwarded outside, so that SPF at the next hop is about us and a bounce finds its way back. The
 * hash is HMAC-SHA-256 cut to 8 base32 characters under the vault's key; stamps are days, good for 21. */
/* `sender` -> SRS0=hash=stamp=domain=local@ours; an SRS0 of somebody else's -> SRS1. Local part <= 64 octets or RC_LIMIT (then the forwarder's own address is used). */
MUST_USE enum rc srs_forward(const struct secret *key, struct str sender, struct str our_domain, int64_t now_s, struct buf *out);
/* Back: RC_OK with the address that it stands for; RC_NOTFOUND: not SRS; RC_DENIED: wrong hash; RC_LATE: too old. */
MUST_USE enum rc srs_reverse(const struct secret *key, struct str local, int64_t now_s, struct buf *out);
