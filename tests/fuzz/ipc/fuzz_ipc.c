#include "ipc/codec.h"
#include "ipc/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Header, then a payload of the type it names. What decodes must encode to the very same octets. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_header h;
	struct str in = str_of(data, size), payload;
	_Alignas(16) char msg[MSG_STRUCT_MAX];
	if (frame_header_get(in, &h) != RC_OK)
		return 0;
	enum msg_type t = (enum msg_type)(h.type % (MSG_COUNT + 1));
	bool answer = h.kind & 1;
	payload = str_skip(in, FRAME_HEADER);
	(void)msg_permitted((enum role)h.slot, (enum role)h.generation, t);
	if (msg_decode(t, answer, payload, msg, NULL) != RC_OK)
		return 0;
	struct buf again;
	buf_init(&again, 1 << 26);
	if (msg_encode(t, answer, msg, &again) != RC_OK || !str_eq(buf_str(&again), payload))
		abort();
	buf_done(&again);
	return 0;
}
