#pragma once
/* A store in a directory of its own, and messages for it: what every test of src/store begins with. */
#include "base/arena.h"
#include "base/buf.h"
#include "store/queue.h"
#include "store/rows.h"
#include "store/store.h"

struct kit {
	char dir[64];
	struct store *s;
	struct store_options o;
	struct secret owner_private;
	uint8_t owner_public[PUB_LEN];
	struct secret epoch_key;
	struct epoch_keys *keys;
	uint64_t epoch, nonce;
	struct why why;
};
void kit_open(struct kit *k);                     /* a fresh directory, domain example.org */
void kit_open_in(struct kit *k, const char *parent);
void kit_reopen(struct kit *k);
void kit_done(struct kit *k);                     /* closes, removes */
void kit_account(struct kit *k, uint64_t id, const char *address, uint64_t quota);

struct kit_copy { uint64_t account, box; uint32_t flags; struct str keyword; };
/* Seals `plain` and delivers it; `out` has one result per copy. delivery 0: none. */
enum rc kit_deliver(struct kit *k, uint64_t delivery, struct str plain, const struct kit_copy *c, size_t n, struct store_copy_result *out);
/* The same with letters for the queue; n may be 0. */
enum rc kit_deliver_out(struct kit *k, uint64_t delivery, struct str plain, const struct kit_copy *c, size_t n, const struct queue_put *puts, size_t put_n,
                        const struct sent_note *sent, struct store_copy_result *out, uint64_t *letters);
/* One letter with that many rows to nobody in particular, in a delivery of its own: its number. */
uint64_t kit_letter(struct kit *k, size_t rows);
/* "letter.n:version:state ..." of the rows that wait, or of those that are done. */
void kit_queue(struct kit *k, bool done, struct buf *out);
/* The plain text of one message, opened with the kit's keys. */
enum rc kit_read(struct kit *k, uint64_t account, uint64_t box, uint32_t uid, struct buf *out);
uint64_t kit_box(struct kit *k, uint64_t account, const char *name);
/* Runs store_verify; the number of damaged things (texts go to `list`, if given, one a line). */
void kit_end_sound(struct kit *k); /* as each test ends: `verify` finds nothing wrong */
uint64_t kit_verify(const char *dir, struct buf *list, struct verify_report *out);
void kit_remove_tree(const char *path);
/* "uid:flags uid:flags ..." of a folder. */
void kit_list(struct kit *k, uint64_t account, uint64_t box, struct buf *out);
