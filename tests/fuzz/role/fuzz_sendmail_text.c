#include "role/sendmail_text.h"
#include <stdlib.h>

/* What any program of the machine gives to sendmail. First octet: does a dot end it? A message made of it is lines that end in CR LF, and whose names have a
 * domain once gets no second one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_lines(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			abort();
	if (s.n && !str_ends(s, STR("\r\n")))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_done) struct arena a = { .max = 16 << 20 };
	AUTO(buf_done) struct buf message = { .max = 1 << 20 }, once = { .max = 1 << 20 }, twice = { .max = 1 << 20 };
	struct why why = { 0 };
	struct str *list;
	size_t count;
	if (n == 0)
		return 0;
	sendmail_message(str_of(data + 1, n - 1), data[0] & 1, &message);
	if (message.failed)
		return 0;
	check_lines(buf_str(&message));
	if (sendmail_qualify(buf_str(&message), STR("d.example"), &a, &once) != RC_OK || sendmail_qualify(buf_str(&once), STR("d.example"), &a, &twice) != RC_OK)
		return 0;
	if (!str_eq(buf_str(&once), buf_str(&twice)))
		abort();
	if (sendmail_recipients(buf_str(&once), &a, &list, &count, &why) == RC_OK)
		for (size_t i = 0; i < count; i++)
			if (!list[i].p)
				abort();
	if (sendmail_argument(str_of(data + 1, n - 1), &a, &list, &count, &why) == RC_OK)
		for (size_t i = 0; i < count; i++)
			if (!list[i].p)
				abort();
	(void)sendmail_has_from(buf_str(&once));
	return 0;
}
