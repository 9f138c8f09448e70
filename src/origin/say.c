#include "origin/say.h"

#include <stdarg.h>
#include <stdio.h>

struct str origin_say(struct arena *a, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return arena_str(a, str_z(text));
}
