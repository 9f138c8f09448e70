#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

enum rc why_fail(struct why *w, enum rc rc, int sys, const char *at, const char *fmt, ...)
{
	if (!w)
		return rc;
	w->rc = rc;
	w->sys = sys;
	w->at = at;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(w->text, sizeof w->text, fmt, ap); /* truncation is fine for humans */
	va_end(ap);
	return rc;
}

const char *rc_name(enum rc rc)
{
	static const char *const names[] = {
		[RC_OK] = "ok",           [RC_AGAIN] = "again",     [RC_SYNTAX] = "syntax",     [RC_LIMIT] = "limit",
		[RC_DENIED] = "denied",   [RC_NOTFOUND] = "notfound", [RC_EXISTS] = "exists",   [RC_CONFLICT] = "conflict",
		[RC_FULL] = "full",       [RC_BUSY] = "busy",       [RC_DAMAGED] = "damaged",   [RC_CLOSED] = "closed",
		[RC_LATE] = "late",       [RC_NOMEM] = "nomem",     [RC_IO] = "io",
	};
	return (size_t)rc < sizeof names / sizeof *names && names[rc] ? names[rc] : "unknown";
}
