#pragma once
#include "house.h"

/* A dialogue as a script, one step a line:
 *   C: a line from the client        S: a line that must come next ("..." at its end: whatever follows)
 *   E: deliver BOX N | given BOX (another session was given all as \Recent) | flag BOX UID BITS | expunge BOX UID | forget | damage BOX UID | wait SECONDS | more
 * Events happen when everything before them has been read; "more" only ends a packet. Other lines are remarks. */
struct play {
	struct house house;
	struct imap_config config;
	bool can_tls, is_tls;
	size_t chunk;
	long fail_at;
	struct buf out, in;
	const char *at;
	enum rc rc;
};
void play_init(struct play *p);
void play_done(struct play *p);
void play_run(struct play *p, const char *script);             /* fills out */
void play_check(const char *script);                            /* a fresh house; asserts every S: line */
void play_expect(struct play *p, const char *script);           /* the same in this house */
extern const char play_login[];                                 /* steps up to "S: a OK ..." of LOGIN */
struct str play_message(unsigned i);                            /* the i-th sample message */
unsigned play_messages(void);
