#pragma once
#include "vault/file.h"

/* The bytes of vault/keys, without any I/O.
 *
 *   head    0   magic and version 8, file id 16, salt 16, vault key wrapped under the root key 48; zeros up to 512
 *   slots   512 and 1024: version 8, committed length 8, keyed check 8; zeros up to 512 each
 *   frames  1536: marker 4, sealed length 4, version 8, kind 1, zeros 3, id 8, keyed check 8, salt 16, sealed value */
enum { SLOT_AT = 512, SLOT_STEP = 512, SLOT_LEN = 24, FRAMES_AT = 1536, FRAME_HEAD = 52, FRAME_MAX = FRAME_HEAD + VAULT_VALUE_MAX + TAG_LEN };

struct format_keys {           /* in locked memory */
	struct secret *vault;      /* the vault key */
	uint8_t check[16];         /* for the keyed checks, derived from it */
	uint8_t file_id[16];
};
struct frame { uint64_t version, id; enum vault_kind kind; struct str salt, sealed; size_t length; };
struct slot { uint64_t version, committed; };

MUST_USE enum rc format_head_make(const struct secret *root, struct format_keys *out, struct buf *file);
MUST_USE enum rc format_head_open(const struct secret *root, struct str file, struct format_keys *out); /* RC_DENIED */
void format_keys_done(struct format_keys *k);
void format_slot_put(const struct format_keys *k, const struct slot *s, uint8_t out[SLOT_LEN]);
bool format_slot_get(const struct format_keys *k, struct str file, unsigned which, struct slot *out);
MUST_USE enum rc format_frame_put(const struct format_keys *k, enum vault_kind kind, uint64_t id, uint64_t version, struct str value, struct buf *out);
/* The frame at the start of `in`; false: there is none. Its seal is not looked at yet. */
bool format_frame_get(const struct format_keys *k, struct str in, struct frame *out);
MUST_USE enum rc format_frame_open(const struct format_keys *k, const struct frame *f, struct buf *out); /* RC_DAMAGED */
/* Zeros where the format says zeros. */
bool format_padding_ok(struct str file);
