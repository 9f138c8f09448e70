#pragma once
#include "os/stream.h"

/* A message on its way into a multi-line response (RFC 1939 section 3): dot-stuffing, the closing CRLF "." CRLF, and TOP's
 * cut. Works on chunks of any size; keeps no octets of the message but its last two. */

struct pop3_body {
	struct stream *io;
	bool line_start;  /* the next octet begins a line */
	bool empty;       /* nothing was written yet */
	char tail[2];     /* the last two octets written */
};
/* A whole message at once, with its end, from where it lies, so that it is not copied. false: a small one, or one with many lines to stuff, which
 * has to be written as below. */
bool pop3_body_whole(struct stream *io, struct str message);

void pop3_body_begin(struct pop3_body *b, struct stream *io);
void pop3_body_write(struct pop3_body *b, struct str chunk);
/* Ends the line if the message did not, then the response. */
void pop3_body_end(struct pop3_body *b);

/* TOP: the header, the blank line, and `lines` lines of what follows. */
struct pop3_top {
	uint64_t lines;   /* body lines still to send */
	bool in_body, done;
	bool line_empty;  /* nothing but one CR in the current line so far */
	bool line_cr;
};
void pop3_top_begin(struct pop3_top *t, uint64_t lines);
/* How much of `chunk` belongs to the answer; sets `done` when the answer ends in it. */
size_t pop3_top_take(struct pop3_top *t, struct str chunk);
