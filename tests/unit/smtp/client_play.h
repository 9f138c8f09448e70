#pragma once
#include "smtp/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A play for the client: the script says what must come from it and what the server answers, line by line.
 *
 *   C: text    exactly this line, CR LF, comes next       S: text    the server says this line, CR LF
 *   R: text    the server says these octets (\r \n \0 \\ \xNN)    SILENT  it says nothing and stays     CLOSE or the end: it goes
 *
 * All S and R in a row come in one piece (or in packets of `chunk`), and only after everything above was said. */
struct play {
	const char *at;                /* the rest of the script */
	struct buf out, in;
	size_t checked;                /* octets of `out` that were compared */
	bool lenient;                  /* the stream fails on the way: what does not come is no mistake */
	const char *mistake;
};
struct talk {
	struct play play;
	struct stream *io;
	struct smtp_client *c;
	struct smtp_reply reply;
	struct why why;
	struct str message;            /* what `more` hands out, in runs of `run` octets (0: all) */
	size_t run, given;
	enum rc more_rc;               /* what `more` says at the end */
	unsigned rewinds;
};
struct talk_options {
	struct smtp_client_config config;
	size_t chunk;
	long fail_at;                  /* 0: never; n: after n - 1 octets */
	bool is_tls, can_tls, public_path;
};
/* False: no memory (fault tests). */
bool talk_open(struct talk *t, const char *script, const struct talk_options *o);
void talk_close(struct talk *t);
void talk_free(struct talk *t);  /* without asking whether the script was played to its end */
void talk_message(struct talk *t, struct smtp_client_mail *m, const char *text);
struct smtp_client_rcpt to(const char *local);
#define FROM { STR_INIT("a"), STR_INIT("b.example") }
