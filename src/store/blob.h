#pragma once
#include "base/buf.h"
#include "crypto/crypto.h"

/* A message body at rest, as it stands in a segment: a header in the clear (magic, format version, blob id, key owner, plain length),
 * then AEAD chunks of 64 KiB plain text, each packed before sealing where that is worth it (pack.h). A range is
 * read by opening only the chunks it needs. Pure functions on memory; docs/storage.md describes the bytes. */
enum { BLOB_ID_LEN = 16, BLOB_CHUNK = 64 * 1024 };
struct blob_id { uint8_t b[BLOB_ID_LEN]; };
MUST_USE enum rc blob_id_new(struct blob_id *out);

/* Seals `plain` under the body key (which seals nothing else: nonces are chunk numbers). Linear; output <= plain + 1 % + 256. */
MUST_USE enum rc blob_seal(const struct secret *body_key, const struct blob_id *id, uint64_t owner, struct str plain, struct buf *out);

/* Reading. The reader is given the blob's stored bytes piecewise: ask where a plain offset lies, read that stored range, open it. */
struct blob_header { uint16_t version; struct blob_id id; uint64_t owner, plain_len; uint32_t chunks; size_t header_len; };
/* From the first octets (BLOB_HEAD_MAX suffices for small blobs; RC_AGAIN: give at least *out_need octets). */
enum { BLOB_HEAD_MAX = 4096 };
MUST_USE enum rc blob_header_parse(struct str first, struct blob_header *out, size_t *out_need, struct why *why);
/* Stored range of plain chunk `i` (relative to the blob's start), from the chunk table in the header. */
MUST_USE enum rc blob_chunk_at(struct str header_bytes, const struct blob_header *h, uint32_t i, uint64_t *out_off, uint32_t *out_len);
/* How many octets the whole blob has as stored: header, chunks, checksum. RC_DAMAGED when its table is impossible. */
MUST_USE enum rc blob_stored_len(struct str header_bytes, const struct blob_header *h, uint64_t *out);
/* Opens chunk `i`; appends its plain bytes. RC_DAMAGED when the seal does not hold. */
MUST_USE enum rc blob_chunk_open(const struct secret *body_key, const struct blob_header *h, uint32_t i, struct str stored, struct buf *out);
/* The same under the body's key as an `aead`, for who opens one body after the other; the `n` stored octets are spent: plain text lies there afterwards. */
MUST_USE enum rc blob_chunk_open_over(struct aead *body, const struct blob_header *h, uint32_t i, char *stored, size_t n, struct buf *out);
/* Structure only, without a key: what `verify` can check of every blob (lengths add up, magic, id) plus a CRC32C over the stored bytes. */
MUST_USE enum rc blob_check(struct str stored, const struct blob_id *id, struct why *why);
