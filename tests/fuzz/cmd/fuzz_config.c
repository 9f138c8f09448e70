#include "cmd/config_file.h"

#include <stdint.h>

/* Any file: refused with a reason that names it, or taken; what is taken survives packing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config c, again;
	struct config_lines lines;
	struct why why = { 0 };
	if (n > 65536)
		return 0;
	if (config_text_load("f", str_of(data, n), &c, &lines, &why) != RC_OK) {
		if (!why.text[0] || !strstr(why.text, "f"))
			__builtin_trap();
		return 0;
	}
	AUTO(buf_done) struct buf packed = { .max = 1 << 20 };
	config_pack(&c, &packed);
	if (config_unpack(buf_str(&packed), &again, &why) != RC_OK)
		__builtin_trap();
	config_done(&again);
	config_done(&c);
	return 0;
}
