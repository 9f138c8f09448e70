#include "smtp/received.h"

#include <assert.h>
#include <string.h>

/* The Received field: whatever is said, one field whose continuation lines begin with a tab, no comment that a stranger could close. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 9 || n > 8192)
		return 0;
	struct str parts[7], rest = str_of(data + 9, n - 9);
	for (size_t i = 0; i < 7; i++)
		str_cut(rest, '\n', &parts[i], &rest);
	struct smtp_received r = { .helo = parts[0], .peer_ip = parts[1], .by = parts[2], .id = parts[3], .only_rcpt = parts[4], .tls_version = parts[5], .tls_cipher = parts[6] };
	r.lmtp = data[0] & 1, r.esmtp = data[0] & 2, r.auth = data[0] & 4, r.utf8 = data[0] & 8;
	memcpy(&r.wall_ms, data + 1, 8);
	struct buf out;
	buf_init(&out, 2048);
	smtp_received_format(&r, &out);
	assert(!out.failed);
	struct str field = buf_str(&out);
	assert(str_starts(field, STR("Received: from ")) && str_ends(field, STR(" +0000\r\n")));
	size_t depth = 0;
	for (size_t i = 0; i < field.n; i++) {
		depth += field.p[i] == '(';
		depth -= field.p[i] == ')';
		assert(depth <= 1);
		if (field.p[i] == '\r')
			assert(field.p[i + 1] == '\n' && (i + 2 == field.n || field.p[i + 2] == '\t'));
		else
			assert(field.p[i] == '\n' || field.p[i] == '\t' || field.p[i] < 0 || field.p[i] >= ' ');
	}
	assert(depth == 0);
	buf_done(&out);
	return 0;
}
