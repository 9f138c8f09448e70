#pragma once
#include "base/buf.h"
#include "crypto/crypto.h"

/* The password of a smarthost, sealed to the queue's public key (context "way"): who sets it cannot read it again, the store cannot, `relay` can. */
enum { WAY_SECRET_MAX = 1024 };
MUST_USE enum rc way_seal(const uint8_t queue_public[PUB_LEN], struct str password, struct buf *out); /* RC_LIMIT */
MUST_USE enum rc way_open(struct unsealer *queue, struct str sealed, struct buf *out);                /* RC_DAMAGED; wipe `out` */
