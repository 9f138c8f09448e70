#pragma once
#include "crypto/crypto.h"
#include "ipc/ipc.h"
#include "store/rows.h"

/* Reading bodies from the segments a chunk at a time, for the roles that hold a body's key: `access` and `relay`. */

/* Open segments, the one used longest ago is closed first. */
struct segment_files {
	int dir;
	struct { uint32_t segment; int fd; uint64_t used; } file[64];
	uint64_t clock;
};
/* The descriptor stays the files' own: it may be closed at the next wait. */
MUST_USE enum rc segment_files_get(struct segment_files *f, uint32_t segment, int *out, struct why *why);
void segment_files_done(struct segment_files *f); /* the directory too */

/* Stored octets, read ahead for readers that take bodies in turn: those that came one after the other lie one behind the other. */
struct stretch {
	struct buf b;
	uint32_t segment;
	uint64_t from, fresh;                   /* where `b` begins; from where on no octet is spent, not before `from` */
	uint64_t behind;                        /* the last body's end: one that begins here is worth reading on */
};
void stretch_init(struct stretch *s);
void stretch_done(struct stretch *s);           /* wipes: bodies were opened in it */

struct body_reader {
	struct ipc_node *node;                  /* where to ask PLACE */
	struct segment_files *files;
	struct stretch *stretch;                /* NULL: none */
	struct secret key;
	struct aead *aead;                      /* under `key` while `keyed`; made at the first body */
	bool keyed;
	struct blob_id id;
	struct blob_place place;                /* length 0: not known */
	bool open;
	struct blob_header head;
	struct buf first;                       /* the blob's first stored octets */
	uint32_t spent;                         /* chunks before this one are no longer sealed there */
	struct buf more;                        /* a later chunk as stored */
	struct buf plain;                       /* chunk `chunk`, opened */
	uint32_t chunk;
	bool have_chunk;
};
void body_reader_init(struct body_reader *b, struct ipc_node *node, struct segment_files *files);
void body_reader_done(struct body_reader *b);   /* wipes key and plain text */
void body_reader_set(struct body_reader *b, const struct blob_id *id, const struct secret *key, const struct blob_place *place_or_null);
/* Octets from `offset` on: at most `max`, at most the rest of one chunk; borrowed until the next call; "" = past the end. RC_DAMAGED, RC_NOTFOUND (no such body). */
MUST_USE enum rc body_reader_read(struct body_reader *b, uint64_t offset, uint64_t max, struct str *out, struct why *why);
