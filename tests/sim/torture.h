#pragma once
#include "base/str.h"
#include "role/config.h"
#include <stdbool.h>
#include <stdint.h>

/* The torture: one server with every role in one process, one client in another, and the k-th allocation or system call of the
 * server failing. torture.c drives, torture_calls.c fails, torture_client.c asks and judges, torture_place.c makes the data directory. */

enum torture_kind { TORTURE_ALLOC, TORTURE_SYSCALL, TORTURE_KINDS };
enum { TRACE_MAX_FRAMES = 24, SAID_MAX = 400 };

/* One mapping shared by the server, its client and the driver. */
struct board {
	int armed;                      /* failing is on: from the first octet of the journey to its last */
	enum torture_kind kind;
	long k;                         /* which one fails; < 0: only count */
	long count[TORTURE_KINDS];      /* points passed so far */
	long spared;                    /* calls that are not made to fail, see torture_calls.c */
	int fired, error;               /* it has failed, with this errno (-1: a short count) */
	bool header;                    /* it was the write of the index's header, see torture_calls.c */
	char call[24];
	void *trace[TRACE_MAX_FRAMES]; int trace_n;
};
extern struct board *board;             /* NULL outside a server */
extern unsigned torture_turn;           /* another choice of errno for each point */
void torture_serve_begin(struct board *b); /* in the server's process, before its first thread */
void torture_trace(const char *call, int error);
size_t torture_alive(void *callers[], size_t max); /* blocks of mem_new() and mem_grow() that are not free: who asked for them */
void torture_forget(void);                      /* those of now do not count */

/* ---- what must be true ---- */

enum { ITEMS_MAX = 32, WHO = 2 };
struct item {                           /* one message of one mailbox */
	char tag[24];
	int who;                        /* 0 alice, 1 bob */
	size_t size;
	bool appended;                  /* octet for octet as given; delivered ones begin with trace headers */
	int least, most;                /* copies that may be there */
	bool flagged;                   /* \Flagged was answered OK */
};
struct truth { struct item items[ITEMS_MAX]; size_t n; };

struct place {                          /* a data directory and the configuration to serve it */
	char dir[256];
	unsigned smtp, imap, pop3;
	struct config config;
	uint64_t account[WHO];
};
#define TORTURE_PASSWORD "torture-only"
extern const char *const torture_who[WHO];

/* Fails with what went wrong in `said`. */
bool place_make(struct place *p, char said[SAID_MAX]);           /* new: keys, domain, accounts; no message yet */
bool place_config(struct place *p, char said[SAID_MAX]);
bool place_copy(const struct place *from, const char *to, char said[SAID_MAX]);
void place_remove(const char *dir);
bool place_check(struct place *p, const uint32_t exists[WHO], char said[SAID_MAX]); /* nobody serves it: verify, and the counts by a fresh view */

/* The whole journey, named so that its messages are its own. `strict`: everything must be answered yes. Otherwise a refusal or a
 * closed connection is fine, a lie or a silence is not. What may be there afterwards is written into `t`. */
bool client_journey(const struct place *p, struct truth *t, const char *name, bool strict, char said[SAID_MAX]);
bool client_deliver(const struct place *p, struct truth *t, const char *tag, size_t size, unsigned whom, bool strict, char said[SAID_MAX]);
bool client_audit(const struct place *p, const struct truth *t, uint32_t exists[WHO], char said[SAID_MAX]); /* all messages against `t` */
bool client_greeted(unsigned port, unsigned ms);                 /* somebody answers there */
bool said_set(char said[SAID_MAX], const char *format, ...) __attribute__((format(printf, 2, 3))); /* false */
