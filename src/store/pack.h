#pragma once
#include "base/str.h"
#include "base/why.h"

/* How a chunk of a body is made smaller before it is sealed. LZ4 for text: real mail packs as well by it as by zstd at the speed that a delivery
 * can afford, and unpacks three times as fast. Lines of base64 are stored as what they stand for, beside their text by LZ4. zstd's entropy coding alone for what has no words in it and is nothing of the kind. */
enum packing { PACKED_NOT, PACKED_ZSTD, PACKED_LZ4, PACKED_LINES, PACKINGS }; /* as stored: a new one goes to the end and needs a format version */

/* Packs `plain` (at most BLOB_CHUNK) into `room`, which has as many octets; PACKED_NOT: it would not save enough, and `room` may be written to. */
MUST_USE enum rc pack_chunk(struct str plain, char *room, enum packing *out, size_t *out_n);
/* Unpacks to exactly `n` octets at `to`. RC_DAMAGED: that is not what comes of it. */
MUST_USE enum rc unpack_chunk(enum packing how, struct str packed, char *to, size_t n);
