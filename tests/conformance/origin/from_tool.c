/* The author domain of headers, for from_readers.py: one header a line in hexadecimal on standard input; "ok DOMAIN" or "RC reason" a line. */
#include "base/codec.h"
#include "origin/dmarc.h"

#include <stdio.h>

int main(void)
{
	static char line[1 << 20];
	while (fgets(line, sizeof line, stdin)) {
		AUTO(arena_done) struct arena a = { .max = 4 << 20 };
		AUTO(buf_done) struct buf header = { .max = 1 << 20 };
		struct str domain = STR("");
		struct why why = { 0 };
		if (hex_decode(str_trim(str_z(line)), &header) != RC_OK)
			return 1;
		enum rc rc = dmarc_from(buf_str(&header), &a, &domain, &why);
		printf("%s %.*s\n", rc_name(rc), PSTR(rc == RC_OK ? domain : str_z(why.text)));
	}
	return 0;
}
