#pragma once
#include <stddef.h>
/* One error vocabulary for the whole program. Add a value only when some caller
 * would branch on it; anything finer belongs in the text. */
enum rc {
	RC_OK = 0,
	RC_AGAIN,    /* not an error: come back when there is more */
	RC_SYNTAX,   /* the peer or the file said something malformed */
	RC_LIMIT,    /* well-formed, but larger than we accept */
	RC_DENIED, RC_NOTFOUND, RC_EXISTS,
	RC_CONFLICT, /* the state changed under us: read again */
	RC_FULL,     /* no room: disk, quota, or byte budget */
	RC_BUSY,     /* a limit on rate or concurrency; later is fine */
	RC_DAMAGED,  /* stored bytes fail their checksum or seal */
	RC_CLOSED, RC_LATE, RC_NOMEM, RC_IO,
};
#define MUST_USE __attribute__((warn_unused_result))

/* Why it failed, for a human. Filled at the point of failure, never by callers on the way up. */
struct why {
	enum rc rc;
	int sys;              /* errno, or 0 */
	const char *at;       /* "file:line" */
	char text[200];
};
enum rc why_fail(struct why *w, enum rc rc, int sys, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
#define WHY_STR2(x) #x
#define WHY_STR(x) WHY_STR2(x)
#define FAIL(w, rc, ...) return why_fail((w), (rc), 0, __FILE__ ":" WHY_STR(__LINE__), __VA_ARGS__)
#define FAIL_SYS(w, ...) return why_fail((w), RC_IO, errno, __FILE__ ":" WHY_STR(__LINE__), __VA_ARGS__)

/* The only macro in the tree that may return from its caller besides FAIL. */
#define TRY(call)                                  \
	do {                                       \
		enum rc rc_try_ = (call);          \
		if (rc_try_ != RC_OK)              \
			return rc_try_;            \
	} while (0)

/* Scope-bound cleanup, and giving something away. */
#define AUTO(close_fn) __attribute__((cleanup(close_fn)))

const char *rc_name(enum rc rc); /* "ok", "syntax", ... for logs and tests */
