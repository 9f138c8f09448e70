/* Lines over memory: whatever the chunks, the same lines, the same errors and the same octets consumed. The first octet
 * is the line limit, the second the chunk size; the rest is the input. */
#include "base/buf.h"
#include "os/stream.h"

#include <assert.h>

static void transcript(struct str in, size_t chunk, size_t max, struct buf *out)
{
	struct stream *s = stream_of_memory((struct stream_memory){ .in = in, .chunk = chunk, .fail_at = -1 });
	struct str line;
	if (!s)
		return;
	for (;;) {
		enum rc rc = stream_line(s, max, &line);
		buf_u8(out, (uint8_t)rc);
		if (rc == RC_OK) {
			assert(line.n <= max && !memchr(line.p, '\r', line.n) && !memchr(line.p, '\n', line.n));
			buf_run(out, line);
		}
		if (stream_error(s) != RC_OK)
			break;
	}
	stream_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 100000)
		return 0;
	struct buf whole, parts;
	struct str in = str_of(data + 2, size - 2);
	buf_init(&whole, 1 << 22);
	buf_init(&parts, 1 << 22);
	transcript(in, 0, data[0], &whole);
	transcript(in, data[1] ? data[1] : 1, data[0], &parts);
	assert(!whole.failed && str_eq(buf_str(&whole), buf_str(&parts)));
	buf_done(&whole);
	buf_done(&parts);
	return 0;
}
