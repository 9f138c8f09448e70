#include "origin/origin.h"
#include <stdarg.h>
#include <stdio.h>

const char *auth_name(enum auth a)
{
	static const char *const names[] = { "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror" };
	return (size_t)a < sizeof(names) / sizeof(names[0]) ? names[a] : "none";
}

void origin_step(const struct origin_trace *t, const char *what, const char *fmt, ...)
{
	if (!t || !t->step)
		return;
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	t->step(t->house, what, text);
}
