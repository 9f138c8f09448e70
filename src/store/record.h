#pragma once
#include "base/buf.h"
#include "crypto/crypto.h"
#include "store/blob.h"

/* What one copy of a message holds besides its state: clear facts, and a part sealed under the owner's epoch key. The process
 * that made the epoch key seals (edge, access for APPEND); the session of the owner opens. AEAD context: email id and part
 * name, never box or uid, so COPY and MOVE move sealed bytes unchanged. */
struct record_clear {
	int64_t internal_ms, save_ms;
	struct blob_id blob;
	uint64_t email_id;              /* random, immutable: OBJECTID, JMAP */
	uint64_t owner, epoch;          /* key owner and epoch id: which epoch key opens it */
	uint64_t nonce;                 /* counter under that epoch key; the record uses 2n, the grams 2n+1 */
};
struct record_secret {                  /* the sealed part, borrowed runs */
	struct str envelope, structure, parts, preview, fields;
	struct secret body_key;
};
/* record value = clear part || AEAD(head: body key, envelope) || AEAD(the rest of the secret part). The epoch key given is the epoch's own; sub-keys are derived inside epoch_keys. */
struct epoch_keys;                      /* derived AEAD contexts for records and for grams of one epoch */
MUST_USE enum rc epoch_keys_new(const struct secret *epoch_key, struct epoch_keys **out);
MUST_USE enum rc epoch_keys_change(struct epoch_keys *k, const struct secret *epoch_key); /* another epoch; on failure only to be freed */
void epoch_keys_free(struct epoch_keys **k);
MUST_USE enum rc record_seal(struct epoch_keys *k, const struct record_clear *clear, const struct record_secret *secret, struct buf *out);
/* The same for many copies of one message: what is sealed is written out once. */
struct record_plain { struct buf text; size_t head; };
MUST_USE enum rc record_plain_make(const struct record_secret *secret, struct record_plain *out);
void record_plain_done(struct record_plain *p); /* wipes */
MUST_USE enum rc record_seal_plain(struct epoch_keys *k, const struct record_clear *clear, const struct record_plain *plain, struct buf *out);
MUST_USE enum rc record_clear_parse(struct str value, struct record_clear *out, struct str *out_sealed);
/* The value without the rest: record_clear_parse() and record_open_head() are content with it. "" = broken. */
struct str record_head(struct str value);
/* Opens into `scratch` (cleared first, reused from row to row); runs point into it. */
MUST_USE enum rc record_open(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, struct buf *scratch,
                             struct record_secret *out);
/* Body key and envelope alone; the other runs are empty. */
MUST_USE enum rc record_open_head(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, struct buf *scratch,
                                  struct record_secret *out);
MUST_USE enum rc grams_seal(struct epoch_keys *k, const struct record_clear *clear, struct str grams, struct buf *out);
MUST_USE enum rc grams_open(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, struct buf *scratch, struct str *out);
/* Epoch row: the epoch key sealed to the owner's public half (context: owner and epoch id). */
MUST_USE enum rc epoch_seal(const struct secret *epoch_key, uint64_t owner, uint64_t epoch, const uint8_t owner_public[PUB_LEN], struct buf *out);
MUST_USE enum rc epoch_open(const struct secret *owner_private, const uint8_t owner_public[PUB_LEN], uint64_t owner, uint64_t epoch,
                            struct str sealed, struct secret *out_epoch_key);
MUST_USE enum rc epoch_open_by(struct unsealer *u, uint64_t owner, uint64_t epoch, struct str sealed, struct secret *out_epoch_key); /* of many */
/* Roll-up: up to 1,000 (epoch id, key) under one AES-GCM key derived from the owner's private half; replaces those epoch rows. */
struct epoch_entry { uint64_t epoch; struct secret key; };
MUST_USE enum rc rollup_seal(const struct secret *owner_private, uint64_t owner, uint64_t rollup_id, const struct epoch_entry *e, size_t n, struct buf *out);
MUST_USE enum rc rollup_open(const struct secret *owner_private, uint64_t owner, uint64_t rollup_id, struct str sealed,
                             void (*each)(void *arg, const struct epoch_entry *e), void *arg);
