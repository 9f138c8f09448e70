#include "role/config.h"
#include "role/wire.h"

/* First octet: which list. What is accepted must be written back octet for octet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define AGAIN(what, type)                                                  \
	{                                                                  \
		type *list;                                                \
		size_t k;                                                  \
		if (wire_get_##what(in, &a, &list, &k) != RC_OK)           \
			return 0;                                          \
		wire_put_##what(&out, list, k);                            \
		break;                                                     \
	}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	struct str in = str_of(data + 1, n - 1);
	AUTO(buf_done) struct buf out = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 1 << 22 };
	switch (data[0] % 10) {
	case 0: AGAIN(accounts, struct account)
	case 1: AGAIN(ranges, struct uid_range)
	case 2: AGAIN(copies, struct store_copy)
	case 3: AGAIN(results, struct store_copy_result)
	case 4: AGAIN(epochs, struct store_epoch)
	case 5: {
		struct box_info *list;
		size_t k;
		(void)wire_get_boxes(in, &a, &list, &k); /* empty keywords at the end are not written again */
		return 0;
	}
	case 6: AGAIN(changes, struct box_change)
	case 7: AGAIN(strs, struct str)
	case 8: AGAIN(ids, uint64_t)
	default: {
		struct config c;
		struct why why;
		if (config_unpack(in, &c, &why) != RC_OK)
			return 0;
		config_pack(&c, &out);
		config_done(&c);
	}
	}
	if (!str_eq(buf_str(&out), in))
		__builtin_trap();
	return 0;
}
