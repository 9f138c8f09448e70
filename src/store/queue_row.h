#pragma once
#include "store/layout.h"
#include "store/queue.h"

/* Keys and values of the tables of outbound mail, in one place, as layout.h has those of the others (docs/storage.md says the same in
 * prose). A letter's first half never changes while it waits; how many of its rows are left has a small row of its own behind it, written
 * once some of them are done: a letter to thousands is not rewritten for each. */
enum { QUEUE_HEAD_LEN = 1 + 4 + 4 + 4 + 8 + 3 * 8, LETTER_HEAD_LEN = 1 + BLOB_ID_LEN + 4 + 8, LEFT_LEN = 1 + 4, QUEUE_KEY_LEN = 16, LETTER_KEY_LEN = 13,
	COUNTER_LEN = 1 + 3 * 4, KNOWN_LEN = 1 + 4, WAITING_LEN = 1 + 4, COUNTER_KEY_LEN = 17, KNOWN_KEY_LEN = 21, WAITING_KEY_LEN = 13, NOTE_KEY_MAX = 200, NOTE_MAX = 256 << 10 };
enum { KNOWN_COUNTER = 0, KNOWN_ADDRESS = 1 };

struct key key_queue(uint64_t letter, uint32_t n);      /* queue, queue_done */
struct key key_letter(uint64_t letter);
struct key key_letter_left(uint64_t letter);
struct key key_counter(uint64_t account, uint32_t day); /* known: what the account has sent on that day */
struct key key_waiting(uint64_t account);                /* known: how many recipients wait; just before the days' counters, to lie on their page */
struct key key_known(uint64_t account, uint64_t hash);  /* known: an address it has written to */
struct key key_known_first(uint64_t account);
struct key key_known_end(uint64_t account);
struct key key_note(struct str key);
struct key key_org(void);                                /* before every key */
struct key key_org_end(void);
struct key key_last_letter(void);                        /* meta: the number given last */

struct str queue_value_head(const struct queue_row *r, char out[QUEUE_HEAD_LEN]); /* `sealed` follows it */
MUST_USE enum rc queue_value_parse(struct str key, struct str v, struct queue_row *out); /* `sealed` points into v */

struct letter_row { struct blob_id blob; uint32_t rows; uint64_t account; /* whose waiting recipients these are; 0: nobody's */ struct str sealed; };
struct str letter_value_head(const struct letter_row *r, char out[LETTER_HEAD_LEN]);
MUST_USE enum rc letter_value_parse(struct str v, struct letter_row *out);
struct str left_format(uint32_t left, char out[LEFT_LEN]);
MUST_USE enum rc left_parse(struct str v, uint32_t *out);

struct counter_row { uint32_t messages, recipients, first; };
struct str counter_format(const struct counter_row *r, char out[COUNTER_LEN]);
struct str waiting_format(uint32_t n, char out[WAITING_LEN]);
MUST_USE enum rc waiting_parse(struct str v, uint32_t *out);
MUST_USE enum rc counter_parse(struct str v, struct counter_row *out);
struct str known_format(uint32_t day, char out[KNOWN_LEN]); /* the day, since 1970, of the last letter there */
MUST_USE enum rc known_parse(struct str v, uint32_t *out_day);
struct str number_format(uint64_t v, char out[8]);
MUST_USE enum rc number_parse(struct str v, uint64_t *out);
/* A note's value stands behind one octet of format version. */
MUST_USE enum rc note_parse(struct str v, struct str *out);

/* Not a state, end or priority that there is: nothing of the kind is stored or sent. */
bool queue_row_possible(const struct queue_row *r);
